//! Facts on their way to the file: encoded as they are recorded, under the lock of the gateway.

use crate::gateway::id::RequestId;
use crate::gateway::journal::{Fact, Journal, Record};
use crate::gateway::time::Time;

/// What was recorded and is not written yet. Lives beside the gateway, under its lock.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    turn: u64,
    keeps: bool,
}

impl Buffer {
    /// A buffer whose next turn has the number after `turn`. One that does not `keep` only counts turns.
    pub fn new(turn: u64, keeps: bool) -> Self {
        Self { bytes: Vec::new(), turn, keeps }
    }

    /// Ends a turn: whatever was recorded since the last one is written together, or not at all. Returns its number.
    pub fn end_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    /// The number of the last turn.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// What is to be written, and the number of the last turn in it.
    pub fn take(&mut self) -> (Vec<u8>, u64) {
        (std::mem::take(&mut self.bytes), self.turn)
    }
}

impl Journal for Buffer {
    fn record(&mut self, at: Time, request: Option<RequestId>, fact: impl FnOnce() -> Fact) {
        if self.keeps {
            let record = Record { at, request, fact: fact() };
            self.bytes = postcard::to_extend(&record, std::mem::take(&mut self.bytes)).expect("facts can be encoded");
        }
    }
}
