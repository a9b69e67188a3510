//! Which batches of traffic must stay in memory because a request in flight may still be called again with their blocks. Knows no events.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::traffic::trace::{Batch, Row};

/// Where the row of a request is: its blocks, and what a log says came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowPlace {
    /// The batch that is kept for it; `None` if nothing of the row is needed any more.
    pub batch: Option<u32>,
    /// Its row there.
    pub row: u32,
}

/// The batches whose blocks are still needed by requests in flight.
#[derive(Default)]
pub(super) struct Batches {
    first: u32,
    held: VecDeque<(Option<Arc<Batch>>, u32)>,
}

impl Batches {
    /// Adds the batch that is being run, which holds itself until [`Self::release_current`].
    pub(super) fn push(&mut self, batch: Arc<Batch>) {
        self.held.push_back((Some(batch), 1));
    }

    /// Keeps the batch that is being run for one more request; gives its number.
    pub(super) fn hold_current(&mut self) -> u32 {
        let last = self.held.len() - 1;
        self.held[last].1 += 1;
        self.first + last as u32
    }

    /// Keeps batch `number`, which a request in flight holds, for one more.
    pub(super) fn hold(&mut self, number: u32) {
        self.held[(number - self.first) as usize].1 += 1;
    }

    /// All rows of the batch that is being run have arrived.
    pub(super) fn release_current(&mut self) {
        self.release(self.first + self.held.len() as u32 - 1);
    }

    /// A request needs batch `number` no more.
    pub(super) fn release(&mut self, number: u32) {
        let (batch, holders) = &mut self.held[(number - self.first) as usize];
        *holders -= 1;
        if *holders == 0 {
            *batch = None;
        }
        while self.held.front().is_some_and(|(_, holders)| *holders == 0) {
            self.held.pop_front();
            self.first += 1;
        }
    }

    /// A row and its batch.
    pub(super) fn row(&self, number: u32, row: u32) -> (&Batch, &Row) {
        let batch = self.held[(number - self.first) as usize].0.as_ref().expect("a batch is kept while a request holds it");
        (batch, &batch.rows[row as usize])
    }

    /// The blocks of a row's prompt, and the tokens in one.
    pub(super) fn blocks(&self, number: u32, row: u32) -> (&[u64], u32) {
        let (batch, row) = self.row(number, row);
        (batch.blocks(row), row.block_size)
    }
}
