//! Less or more of the same traffic: part of it, copies beside it, repetitions after it, at another speed. Decides what may be shared between
//! copies (nothing that a cache could sell twice) and knows nothing of what a request costs.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::path::PathBuf;

use super::replay::link::Links;
use super::stream::Source;
use super::trace::{Batch, Fault, Fingerprint, Row, Trace, TraceError};
use super::weave::{Incoming, Kind, Lane, Weaver};
use crate::gateway::draw::{Purpose, below, bits};
use crate::gateway::time::{Span, Time};

/// Traffic as it is: a scale of 1.
pub const WHOLE: u64 = 1_000_000;
/// The most copies, and the most repetitions.
pub const TIMES_MAX: u32 = 1_000;

/// How much of the traffic there is.
///
/// Its smallest parts are sessions; outside sessions, all requests with one fingerprint; without one, single requests. A part is in copy `n`
/// (from 0) if its draw for that copy is below `scale - n`: a smaller scale is a subset of a larger one, and the whole is copy 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// In millionths: below [`WHOLE`] a part, above it copies. At most [`TIMES_MAX`] times the whole.
    pub per_million: u64,
    /// The parts of a copy come later than in the original, by up to so much, each part as a whole. Copy 0 is not moved.
    /// So much of the traffic is held in memory.
    pub jitter: Span,
    /// Whether a copy's keys are the original's. Otherwise they are others, as its end users are.
    pub same_keys: bool,
}

impl Scale {
    /// A minute (U): long enough that bursts of copies are not one burst, short against the hours that traffic changes over.
    pub const JITTER: Span = Span::MINUTE;

    const fn copies(self) -> u64 {
        self.per_million.div_ceil(WHOLE)
    }
}

impl Default for Scale {
    fn default() -> Self {
        Self { per_million: WHOLE, jitter: Self::JITTER, same_keys: false }
    }
}

/// What is done with a stream as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reshape {
    /// For the draws of the scale.
    pub seed: u64,
    /// How often the stream comes, one after the other. The gap between is the stream's mean gap, so that the rate stays.
    pub repeat: u32,
    /// In thousandths: 2000 halves the time between requests. Nothing else changes: how long clients wait stays.
    pub speed_per_mille: u32,
    /// How much of it there is.
    pub scale: Scale,
}

/// Opens the stream from its start.
pub type Reopen = Box<dyn Fn() -> Result<Box<dyn Source>, TraceError>>;

/// A stream that is reshaped.
pub(super) struct Reshaped {
    reshape: Reshape,
    /// For messages.
    file: PathBuf,
    is_empty: bool,
    reopen: Reopen,
    source: Box<dyn Source>,
    weaver: Weaver,
    /// Of the repetitions that rows still wait of, oldest first; the last is the current one.
    passes: VecDeque<Pass>,
    /// Of the first pass: its first and last instant, and its rows.
    first: Option<Time>,
    last: Time,
    rows: u64,
    is_over: bool,
    batches: VecDeque<Held>,
    batches_gone: u64,
    waiting: BinaryHeap<Reverse<Waiting>>,
    sequence: u64,
    /// No row to come is earlier.
    horizon: Time,
}

/// One repetition.
struct Pass {
    number: u32,
    shift: Span,
    incoming: Incoming,
    /// By session id, what its draws are keyed by.
    sessions: Vec<Option<u64>>,
}

struct Held {
    batch: Batch,
    pass: u32,
    waiting: u32,
}

/// A row on its way out, in the order in which rows go.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    at: Time,
    sequence: u64,
    batch: u64,
    row: u32,
    copy: u32,
}

impl Reshaped {
    pub(super) fn new(reshape: Reshape, file: PathBuf, reopen: Reopen) -> Result<Self, TraceError> {
        let source = reopen()?;
        let mut reshaped = Self {
            reshape,
            file,
            is_empty: true,
            reopen,
            source,
            weaver: Weaver::default(),
            passes: VecDeque::new(),
            first: None,
            last: Time(0),
            rows: 0,
            is_over: false,
            batches: VecDeque::new(),
            batches_gone: 0,
            waiting: BinaryHeap::new(),
            sequence: 0,
            horizon: Time(0),
        };
        reshaped.begin_pass(0, Span::ZERO);
        Ok(reshaped)
    }

    fn begin_pass(&mut self, number: u32, shift: Span) {
        let lanes = (0..self.reshape.scale.copies()).map(|copy| {
            let mut lane = Lane::default();
            if number > 0 {
                lane.add_suffix(Kind::Session, &format!("@{}", number + 1));
            }
            if copy > 0 {
                let suffix = format!("+{}", copy + 1);
                lane.add_suffix(Kind::Session, &suffix);
                if !self.reshape.scale.same_keys {
                    lane.add_suffix(Kind::Key, &suffix);
                    lane.add_suffix(Kind::EndUser, &suffix);
                }
            }
            lane
        });
        self.passes.push_back(Pass { number, shift, incoming: Incoming::new(lanes.collect()), sessions: Vec::new() });
    }

    /// Takes in the next batch, or begins the next repetition, or learns that all is over.
    fn advance(&mut self) -> Result<(), TraceError> {
        let pass = self.passes.back().expect("there is a current pass").number;
        match self.source.next_batch()? {
            Some(batch) => self.take_in(batch, pass),
            None if pass + 1 < self.reshape.repeat => {
                self.source = (self.reopen)()?;
                self.begin_pass(pass + 1, Span(self.period().0.saturating_mul(u64::from(pass) + 1)));
            }
            None => {
                self.is_over = true;
                self.horizon = Time::MAX;
            }
        }
        Ok(())
    }

    /// From the start of one repetition to the start of the next: the time between the first and last row, and one mean gap.
    fn period(&self) -> Span {
        let span = self.last.since(self.first.unwrap_or(self.last));
        if span == Span::ZERO {
            return Span::SECOND;
        }
        Span(span.0 + span.0 / (self.rows - 1).max(1))
    }

    fn take_in(&mut self, batch: Batch, pass: u32) {
        let current = self.passes.back_mut().expect("there is a current pass");
        current.incoming.learn(&batch);
        let first = *self.first.get_or_insert_with(|| batch.rows.first().map_or(Time(0), |row| row.at));
        if pass == 0 {
            self.rows += batch.rows.len() as u64;
            self.last = batch.rows.last().map_or(self.last, |row| row.at);
        }
        let number = self.batches_gone + self.batches.len() as u64;
        let mut held = 0;
        let Reshape { seed, scale, speed_per_mille, .. } = self.reshape;
        for (index, row) in (0..).zip(&batch.rows) {
            let at = sped_up(first, row.at + current.shift, speed_per_mille);
            self.horizon = at;
            let part = current.part(row);
            for copy in 0..scale.copies() {
                self.sequence += 1;
                let kept_below = (scale.per_million - copy * WHOLE).min(WHOLE);
                if kept_below < WHOLE && below(bits(seed, part, Purpose::Scale, 2 * copy as u32), WHOLE) >= kept_below {
                    continue;
                }
                let jitter =
                    if copy == 0 { 0 } else { below(bits(seed, part, Purpose::Scale, 2 * copy as u32 + 1), scale.jitter.0.saturating_add(1)) };
                self.waiting.push(Reverse(Waiting { at: at + Span(jitter), sequence: self.sequence, batch: number, row: index, copy: copy as u32 }));
                held += 1;
            }
        }
        self.batches.push_back(Held { batch, pass, waiting: held });
        self.drop_what_is_done();
    }

    /// Writes out the next row, if it can't be overtaken any more.
    fn emit(&mut self) -> bool {
        let is_due = self.waiting.peek().is_some_and(|Reverse(next)| next.at <= self.horizon);
        if !is_due {
            return false;
        }
        let Some(Reverse(next)) = self.waiting.pop() else { return false };
        let held = &mut self.batches[(next.batch - self.batches_gone) as usize];
        held.waiting -= 1;
        let oldest = self.passes[0].number;
        let pass = &mut self.passes[(held.pass - oldest) as usize];
        let row = &held.batch.rows[next.row as usize];
        let out = self.weaver.push(&mut pass.incoming, next.copy as usize, &held.batch, row);
        out.at = next.at;
        if (held.pass, next.copy) != (0, 0) {
            let salt = Salt::of(held.pass, next.copy);
            out.fingerprint = salt.fingerprint(out.fingerprint);
            self.weaver.change_blocks(|block| salt.block(block));
        }
        if held.waiting == 0 {
            self.drop_what_is_done();
        }
        true
    }

    fn drop_what_is_done(&mut self) {
        while self.batches.front().is_some_and(|held| held.waiting == 0) {
            self.batches.pop_front();
            self.batches_gone += 1;
        }
        let needed = self.batches.front().map(|held| held.pass);
        while self.passes.len() > 1 && needed.is_none_or(|pass| pass > self.passes[0].number) {
            self.passes.pop_front();
        }
    }
}

impl Source for Reshaped {
    fn next_batch(&mut self) -> Result<Option<Batch>, TraceError> {
        while !self.weaver.is_full() {
            if !self.emit() {
                if self.is_over {
                    break;
                }
                self.advance()?;
            }
        }
        let rows = self.weaver.take();
        self.is_empty &= rows.is_none();
        if self.is_empty {
            return Err(TraceError::of_file(Fault::Empty, &self.file, "no requests are left of it", "state a larger scale under [traffic]"));
        }
        Ok(rows)
    }

    fn trace(&self) -> Option<&Trace> {
        self.source.trace()
    }

    fn links(&self) -> Links {
        self.source.links()
    }
}

impl Pass {
    /// What the draws about a row are keyed by: its session, else its fingerprint, else the row.
    fn part(&mut self, row: &Row) -> u64 {
        let Some(session) = row.session else {
            let [high, low] = row.fingerprint.halves();
            return if row.fingerprint.is_unique() { row.subject() } else { high ^ mixed(low) };
        };
        if self.sessions.len() <= session.index() {
            self.sessions.resize(session.index() + 1, None);
        }
        *self.sessions[session.index()].get_or_insert_with(|| Fingerprint::of_text(self.incoming.name(Kind::Session, session)).halves()[1])
    }
}

/// The instant of a row whose stream is sped up from `first` on, rounded down to the nanosecond.
fn sped_up(first: Time, at: Time, per_mille: u32) -> Time {
    if per_mille == 1_000 {
        return at;
    }
    let since = u128::from(at.since(first).0) * 1_000 / u128::from(per_mille.max(1));
    first + Span(u64::try_from(since).unwrap_or(u64::MAX))
}

/// What makes the prompts of a copy or repetition others than the original's, and the same among themselves.
struct Salt(u64);

impl Salt {
    fn of(pass: u32, copy: u32) -> Self {
        // Not by `mixed`, which numbers in fingerprints may have been through: equal numbers would undo each other.
        Self(bits(0, u64::from(pass) << 32 | u64::from(copy), Purpose::Scale, u32::MAX))
    }

    fn fingerprint(&self, fingerprint: Fingerprint) -> Fingerprint {
        let [high, low] = fingerprint.halves();
        if fingerprint.is_unique() {
            return Fingerprint::unique(mixed(low ^ self.0));
        }
        Fingerprint::of_halves([mixed(high ^ self.0), mixed(low ^ self.0)])
    }

    fn block(&self, block: u64) -> u64 {
        mixed(block ^ self.0)
    }
}

/// A permutation of all 64-bit numbers without visible order: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
pub(super) const fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}
