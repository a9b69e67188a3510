//! Requests and calls of a gateway's journal as rows. Decides which turns tell of them; the rows are [`Recorder`]'s, the bills the ledger's.

use std::path::Path;
use std::sync::Arc;

use super::file::Chunk;
use super::recorder::Recorder;
use crate::gateway::id::RequestId;
use crate::gateway::journal::Fact;
use crate::journal::{JournalError, Reader};
use crate::report::fold::Billed;

/// Gives `take` the rows of a journal's requests, those of `only` one if it is given, as they are closed. Requests that are still open at its end,
/// and those that arrived before its oldest checkpoint, are not given.
///
/// # Errors
/// If the journal can't be read to its end.
pub fn read(folder: &Path, only: Option<u64>, mut take: impl FnMut(Chunk)) -> Result<(), JournalError> {
    let (checkpoint, mut reader) = Reader::open(folder, None)?;
    let mut recorder = Recorder::of_journal(&folder.display().to_string(), checkpoint.plan, checkpoint.gateway);
    while let Some(turn) = reader.next_turn()? {
        if let Some(plan) = &turn.plan {
            recorder.adopt(turn.at, Arc::new((**plan).clone()));
        }
        for record in &turn.records {
            if record.request.is_some_and(|RequestId(id)| only.is_some_and(|only| only != id)) {
                continue;
            }
            recorder.fact(turn.at, record.request, &record.fact);
            if let (Some(request), Fact::CallClosed(closed)) = (record.request, &record.fact) {
                let billed = Billed { usage: closed.usage, amount: closed.amount, shared: false };
                recorder.call(turn.at, (request, None), closed, billed);
            }
        }
        let done = recorder.take();
        if !done.requests.is_empty() {
            take(done);
        }
    }
    Ok(())
}
