//! Facts on their way to the file: encoded as they are recorded, under the lock of the gateway.

use super::turn::Writer;
use crate::gateway::id::RequestId;
use crate::gateway::journal::{Fact, Journal};
use crate::gateway::plan::Plan;
use crate::gateway::time::Time;

/// What was recorded and is not written yet. Lives beside the gateway, under its lock.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    turn: u64,
    /// When the last turn that has ended was.
    ended_at: Time,
    writer: Writer,
    keeps: bool,
}

impl Buffer {
    /// A buffer that keeps nothing and only counts turns.
    pub const fn none() -> Self {
        Self { bytes: Vec::new(), turn: 0, ended_at: Time(0), writer: Writer::new(Time(0)), keeps: false }
    }

    /// A buffer that goes on after `turn`, which was at `at`.
    pub const fn after(turn: u64, at: Time) -> Self {
        Self { bytes: Vec::new(), turn, ended_at: at, writer: Writer::new(at), keeps: true }
    }

    /// Notes the plan that is adopted next, in the same turn.
    pub fn plan(&mut self, now: Time, plan: &Plan) {
        if self.keeps {
            self.writer.plan(&mut self.bytes, now, plan);
        }
    }

    /// Ends a turn: whatever was recorded since the last one is written together, or not at all. Returns its number; where nothing was
    /// recorded there was no turn, and it is the number of the last one.
    pub fn end_turn(&mut self) -> u64 {
        if !self.keeps || self.writer.end(&mut self.bytes) {
            self.turn += 1;
            self.ended_at = self.writer.at();
        }
        self.turn
    }

    /// The number of the last turn that has ended.
    pub const fn turn(&self) -> u64 {
        self.turn
    }

    /// Gives away the turns that have ended for an empty buffer, and says how far they reach. One that has not ended, because the core has
    /// panicked in it, stays and is never written: who was told it again would panic again.
    ///
    /// # Panics
    /// If `empty` is not.
    pub fn give(&mut self, empty: &mut Vec<u8>) -> Reach {
        assert!(empty.is_empty(), "nothing is lost");
        std::mem::swap(&mut self.bytes, empty);
        if let Some(start) = self.writer.open_since() {
            self.bytes.extend_from_slice(&empty[start..]);
            empty.truncate(start);
            self.writer.moved_to_front();
        }
        Reach { turn: self.turn, at: self.ended_at }
    }
}

/// How far a journal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
pub struct Reach {
    /// The number of the last turn.
    pub turn: u64,
    /// When it was.
    pub at: Time,
}

impl Journal for Buffer {
    fn record(&mut self, at: Time, request: Option<RequestId>, fact: impl FnOnce() -> Fact) {
        if self.keeps {
            self.writer.record(&mut self.bytes, at, request, &fact());
        }
    }
}
