//! What one recorded request is, whatever file it came from. Decides how rows are laid out in memory; knows no file format.

use std::num::NonZeroU32;

use crate::gateway::id::Registry;
use crate::gateway::money::Money;
use crate::gateway::request::Fingerprint;
use crate::gateway::time::{Span, Time};

/// Rows in a batch.
pub const BATCH_ROWS: usize = 65_536;
/// Block ids in a batch (32 MiB): long prompts make shorter batches.
pub(super) const BATCH_BLOCKS: usize = 1 << 22;

/// A name in one of the registries of [`Names`]: the kind of thing follows from the field that holds the id.
///
/// Never zero inside, so that an optional name takes four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(NonZeroU32);

impl NameId {
    /// The id of the name with this number.
    ///
    /// # Panics
    /// If `number` is `u32::MAX`: no registry grows that far.
    pub const fn new(number: u32) -> Self {
        Self(NonZeroU32::new(number.wrapping_add(1)).expect("fewer than 2^32 - 1 names"))
    }

    /// The number of the name in its registry: dense, from 0, in order of first appearance in the file.
    pub const fn number(self) -> u32 {
        self.0.get() - 1
    }

    /// The number as an index into a table.
    pub const fn index(self) -> usize {
        self.number() as usize
    }
}

/// A range in one of the arenas of a [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slice {
    /// The first index.
    pub start: u32,
    /// One past the last index.
    pub end: u32,
}

impl Slice {
    /// The number of entries.
    pub const fn len(self) -> u32 {
        self.end - self.start
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    const fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// When the client left before its answer was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftAfter {
    /// After it had received this many output tokens.
    Tokens(u32),
    /// After it had waited this long.
    Waited(Span),
}

/// What the log says about how the request was answered. Reused only where a scenario asks for recorded outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// The HTTP status of the answer, 100 to 599.
    pub status: Option<u16>,
    /// From arrival to the first token.
    pub ttft: Option<Span>,
    /// From arrival to the end of the answer.
    pub duration: Option<Span>,
    /// What the log says that the request cost.
    pub cost: Option<Money>,
    /// The part of the input read from the provider's prompt cache.
    pub cached_tokens: Option<u32>,
    /// The part of the input written to the provider's prompt cache.
    pub cache_write_tokens: Option<u32>,
    /// The part of the output that was reasoning.
    pub reasoning_tokens: Option<u32>,
    /// The deployment that answered.
    pub deployment: Option<NameId>,
    /// Whether the gateway's own cache answered.
    pub cache_hit: Option<bool>,
    /// Whether the request is known to be a client's retry of an earlier one.
    pub retry: Option<bool>,
    /// Calls to providers that the log counts for the request, at least 1; there may have been more than the log saw.
    pub attempts: Option<u32>,
    /// How many of them went to another model group than the one before.
    pub fallbacks: Option<u32>,
    /// A hash of the id that all attempts of one request share, where each attempt is a row.
    pub request: Option<u64>,
    /// See [`Batch::client_attempts`].
    pub(in crate::traffic) client_attempts: Slice,
}

/// One row of a log, among several that were one arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAttempt {
    /// When it arrived.
    pub at: Time,
    /// Its line in the file.
    pub line: u64,
    /// Input tokens.
    pub input_tokens: u32,
    /// Output tokens.
    pub output_tokens: Option<u32>,
    /// Its outcome, with times measured from its own arrival.
    pub recorded: Recorded,
}

/// One recorded request. Lists and rare fields live in the [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When it arrived.
    pub at: Time,
    /// The 1-based line of a text file, or row of a Parquet file, for messages.
    pub line: u64,
    /// Its identity for a response cache.
    pub fingerprint: Fingerprint,
    /// The model asked for.
    pub model: Option<NameId>,
    /// The virtual key.
    pub key: Option<NameId>,
    /// The team of the key.
    pub team: Option<NameId>,
    /// The end user named in the request.
    pub end_user: Option<NameId>,
    /// The conversation or agent run that the request belongs to.
    pub session: Option<NameId>,
    /// Input tokens, cached ones included.
    pub input_tokens: u32,
    /// Output tokens; `None` = not recorded, which is not 0.
    pub output_tokens: Option<u32>,
    /// The limit on output tokens that the client sent.
    pub max_tokens: Option<u32>,
    /// Tokens in a block of the prefix; 0 if the row has no blocks.
    pub block_size: u32,
    /// The chained block ids of the prompt, see [`Batch::blocks`].
    pub prefix: Slice,
    /// The tags, see [`Batch::tags`].
    pub tags: Slice,
    /// Whether the client asked for a stream.
    pub stream: Option<bool>,
    /// When the client left, if it did.
    pub left_after: Option<LeftAfter>,
    /// 1-based index into the recorded outcomes, see [`Batch::recorded`].
    pub(in crate::traffic) recorded: Option<NonZeroU32>,
}

/// Consecutive rows with what they share. Made to be put behind an `Arc` and read by several threads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The rows, in time order; equal times in file order.
    pub rows: Vec<Row>,
    /// Names that first appear in this batch: their ids follow those of all earlier batches, so a reader that appends them batch by
    /// batch holds the same tables as the trace.
    pub first_seen: FirstSeen,
    pub(in crate::traffic) blocks: Vec<u64>,
    pub(in crate::traffic) tags: Vec<NameId>,
    pub(in crate::traffic) recorded: Vec<Recorded>,
    pub(in crate::traffic) client_attempts: Vec<ClientAttempt>,
}

impl Row {
    /// A row with what every request has. The rest is as if the trace had no columns for it.
    pub const fn new(at: Time, line: u64, fingerprint: Fingerprint, input_tokens: u32) -> Self {
        const NOTHING: Slice = Slice { start: 0, end: 0 };
        Self {
            at,
            line,
            fingerprint,
            model: None,
            key: None,
            team: None,
            end_user: None,
            session: None,
            input_tokens,
            output_tokens: None,
            max_tokens: None,
            block_size: 0,
            prefix: NOTHING,
            tags: NOTHING,
            stream: None,
            left_after: None,
            recorded: None,
        }
    }
}

impl Row {
    /// What draws about this row are keyed by: the same row has the same, whichever part of its trace is read.
    pub const fn subject(&self) -> u64 {
        if self.fingerprint.is_unique() { self.fingerprint.halves()[1] } else { self.line | 1 << 62 }
    }
}

impl Batch {
    /// A batch of rows without blocks, tags and recorded outcomes, for traffic that is made and not read.
    ///
    /// # Panics
    /// If a row refers to any of these: they would be in an arena that this batch does not have.
    pub fn of(rows: Vec<Row>, first_seen: FirstSeen) -> Self {
        assert!(rows.iter().all(|row| row.prefix.is_empty() && row.tags.is_empty() && row.recorded.is_none()), "rows without lists");
        Self { rows, first_seen, ..Self::default() }
    }

    /// The chained ids of the prompt's blocks; equal leading ids are an equal prefix. Empty if the trace has none.
    #[inline]
    pub fn blocks(&self, row: &Row) -> &[u64] {
        &self.blocks[row.prefix.range()]
    }

    /// Whether any row may have tags.
    pub fn has_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// The tags of a row of this batch.
    #[inline]
    pub fn tags(&self, row: &Row) -> &[NameId] {
        &self.tags[row.tags.range()]
    }

    /// How the log says that a row of this batch was answered.
    #[inline]
    pub fn recorded(&self, row: &Row) -> Option<&Recorded> {
        row.recorded.map(|number| &self.recorded[number.get() as usize - 1])
    }

    /// The rows of the log that this one stands for, in time order, if a client's retries were linked to it; empty otherwise.
    #[inline]
    pub fn client_attempts(&self, row: &Row) -> &[ClientAttempt] {
        self.recorded(row).map_or(&[], |recorded| &self.client_attempts[recorded.client_attempts.range()])
    }

    /// Sets how the log says that the last row was answered.
    pub(in crate::traffic) fn record_last(&mut self, recorded: Recorded) {
        let Some(row) = self.rows.last_mut() else { return };
        match row.recorded {
            Some(number) => self.recorded[number.get() as usize - 1] = recorded,
            None => {
                self.recorded.push(recorded);
                row.recorded = NonZeroU32::new(self.recorded.len() as u32);
            }
        }
    }

    /// Gives every name of the last row the id that `rename` has for it, told which kind of name it is (as in [`FirstSeen::kinds`]).
    pub(in crate::traffic) fn rename_last(&mut self, mut rename: impl FnMut(usize, NameId) -> NameId) {
        let Some(row) = self.rows.last_mut() else { return };
        for (kind, id) in [&mut row.model, &mut row.key, &mut row.team, &mut row.end_user, &mut row.session].into_iter().enumerate() {
            *id = id.map(|id| rename(kind, id));
        }
        self.tags[row.tags.range()].iter_mut().for_each(|id| *id = rename(5, *id));
        let Some(recorded) = row.recorded.map(|number| &mut self.recorded[number.get() as usize - 1]) else { return };
        recorded.deployment = recorded.deployment.map(|id| rename(6, id));
        for attempt in &mut self.client_attempts[recorded.client_attempts.range()] {
            attempt.recorded.deployment = attempt.recorded.deployment.map(|id| rename(6, id));
        }
    }

    /// Whether the next row belongs in another batch.
    pub(in crate::traffic) fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS || self.blocks.len() >= BATCH_BLOCKS
    }

    /// Appends a copy of a row of another batch.
    pub(in crate::traffic) fn push(&mut self, from: &Self, row: &Row) {
        let mut row = row.clone();
        let (blocks, tags) = (from.blocks(&row), from.tags(&row));
        let (block, tag) = (self.blocks.len() as u32, self.tags.len() as u32);
        self.blocks.extend_from_slice(blocks);
        self.tags.extend_from_slice(tags);
        if let Some(mut recorded) = from.recorded(&row).copied() {
            let first = self.client_attempts.len() as u32;
            self.client_attempts.extend_from_slice(from.client_attempts(&row));
            recorded.client_attempts = Slice { start: first, end: self.client_attempts.len() as u32 };
            self.recorded.push(recorded);
        }
        row.recorded = row.recorded.and_then(|_| NonZeroU32::new(self.recorded.len() as u32));
        row.prefix = Slice { start: block, end: self.blocks.len() as u32 };
        row.tags = Slice { start: tag, end: self.tags.len() as u32 };
        self.rows.push(row);
    }
}

macro_rules! kinds_of_names {
    ($($(#[$doc:meta])* $kind:ident $number:literal;)*) => {
        /// The names in a trace, one registry a kind. Memory grows with the number of different names.
        #[derive(Debug, Clone, Default)]
        pub struct Names {
            $($(#[$doc])* pub $kind: Registry,)*
        }

        /// The names that first appear in a batch, in the order of their ids.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct FirstSeen {
            $($(#[$doc])* pub $kind: Vec<String>,)*
        }

        impl FirstSeen {
            pub(super) fn append(&mut self, later: &Self) {
                $(self.$kind.extend_from_slice(&later.$kind);)*
            }
        }

        impl FirstSeen {
            /// The lists, by the number of their kind.
            pub(in crate::traffic) fn kinds(&self) -> [&Vec<String>; 7] {
                [$(&self.$kind),*]
            }

            /// The same, to be changed.
            pub(in crate::traffic) fn kinds_mut(&mut self) -> [&mut Vec<String>; 7] {
                [$(&mut self.$kind),*]
            }
        }

        impl Names {
            /// The names that were added since `known`, which then counts them too.
            pub(in crate::traffic) fn since(&self, known: &mut [usize; 7]) -> FirstSeen {
                let seen = FirstSeen { $($kind: self.$kind.names()[known[$number]..].to_vec(),)* };
                $(known[$number] = self.$kind.names().len();)*
                seen
            }

            /// Takes over the names of a batch.
            pub fn learn(&mut self, seen: &FirstSeen) {
                $(for name in &seen.$kind {
                    self.$kind.intern(name);
                })*
            }
        }
    };
}

kinds_of_names! {
    /// Models asked for.
    models 0;
    /// Virtual keys.
    keys 1;
    /// Teams.
    teams 2;
    /// End users.
    end_users 3;
    /// Sessions.
    sessions 4;
    /// Tags.
    tags 5;
    /// Deployments that answered.
    deployments 6;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stays_compact() {
        assert_eq!(size_of::<Option<NameId>>(), 4);
        assert!(size_of::<Row>() <= 128, "{}", size_of::<Row>());
    }
}
