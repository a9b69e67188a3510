//! What one recorded request is, whatever file it came from. Decides how rows are laid out in memory and when two requests are the same one;
//! knows no file format.

use std::num::NonZeroU32;

use crate::gateway::draw::philox;
use crate::gateway::id::Registry;
use crate::gateway::money::Money;
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

/// The identity of a request: equal fingerprints are exact duplicates of each other, which a response cache may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u64; 2]);

impl Fingerprint {
    const UNIQUE: u64 = u64::MAX;

    /// The fingerprint of a request that is nobody's duplicate, from its 0-based place in the file.
    pub const fn unique(ordinal: u64) -> Self {
        Self([Self::UNIQUE, ordinal])
    }

    /// The fingerprint with these 128 bits, for requests that no file gives one. Never a unique one.
    pub(in crate::traffic) const fn of_halves([high, low]: [u64; 2]) -> Self {
        Self([if high == Self::UNIQUE { 0 } else { high }, low])
    }

    /// Its 128 bits.
    pub(in crate::traffic) const fn halves(self) -> [u64; 2] {
        self.0
    }

    /// Whether the file gave this request no identity, so that it duplicates nothing.
    pub const fn is_unique(self) -> bool {
        self.0[0] == Self::UNIQUE
    }

    /// The fingerprint of a text: its own value if it is 32 lower-case hexadecimal digits, a 128-bit hash of it otherwise.
    pub fn of_text(text: &str) -> Self {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex && let (Ok(high), Ok(low)) = (u64::from_str_radix(&text[..16], 16), u64::from_str_radix(&text[16..], 16)) {
            return Self([high, low]);
        }
        let bytes = text.as_bytes();
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        Self::of_words(words, bytes.len() as u64)
    }

    /// The fingerprint of a prompt known by its chained block ids and its length in tokens.
    ///
    /// The output length is not part of it: the same prompt is the same request, however long the recorded answer was.
    pub fn of_prompt(blocks: &[u64], input_tokens: u32) -> Self {
        Self::of_words(blocks.iter().copied(), u64::from(input_tokens))
    }

    /// Davies-Meyer over Philox4x32-10: stable for ever, unlike a hasher of a library. Not meant to resist an attacker.
    fn of_words(words: impl Iterator<Item = u64>, length: u64) -> Self {
        let mut state = [0x6777_7369, 0x6d20_6670, 0, 0];
        for word in words.chain([length]) {
            let mixed = philox(word, state);
            for (part, mixed) in state.iter_mut().zip(mixed) {
                *part ^= mixed;
            }
        }
        let [a, b, c, d] = state.map(u64::from);
        let high = a | b << 32;
        Self([if high == Self::UNIQUE { 0 } else { high }, c | d << 32])
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
    pub(in crate::traffic) const fn subject(&self) -> u64 {
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
        self.recorded.extend(from.recorded(&row));
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

    #[test]
    fn a_fingerprint_reads_back_what_it_prints_and_tells_texts_apart() {
        let known = Fingerprint::of_text("00112233445566778899aabbccddeeff");
        assert_eq!(known, Fingerprint([0x0011_2233_4455_6677, 0x8899_aabb_ccdd_eeff]));
        let texts = ["", "a", "b", "a\0", "abcdefgh", "abcdefgh\0", "00112233445566778899AABBCCDDEEFF"];
        for (i, a) in texts.iter().enumerate() {
            assert!(!Fingerprint::of_text(a).is_unique());
            for b in &texts[..i] {
                assert_ne!(Fingerprint::of_text(a), Fingerprint::of_text(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_prompt_is_its_blocks_in_order_and_its_length() {
        let of = Fingerprint::of_prompt;
        assert_eq!(of(&[1, 2], 900), of(&[1, 2], 900));
        assert_ne!(of(&[1, 2], 900), of(&[2, 1], 900));
        assert_ne!(of(&[1, 2], 900), of(&[1, 2], 901));
        assert_ne!(of(&[], 1), of(&[1], 0));
    }
}
