//! How a process goes on with a journal that another one has left: the newest checkpoint, the turns since, told to the core again, and then
//! whatever was open closed as presumed. Knows no policy: the core decides, and what it decides is what was recorded.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::buffer::{Buffer, Reach};
use super::checkpoint;
use super::error::JournalError;
use super::fold::{Both, Fold};
use super::log::{self, Log, Settings};
use super::reader::Reader;
use super::redrive::Redriven;
use super::segment::{self, Torn};
use crate::gateway::Gateway;
use crate::gateway::id::RequestId;
use crate::gateway::journal::Bodies;
use crate::gateway::plan::Plan;
use crate::gateway::time::Time;

/// The state that a journal ends in.
#[derive(Debug)]
pub struct Recovered {
    /// The gateway, with what was in flight.
    pub state: Redriven,
    /// Turns that were read from the checkpoint on.
    pub turns: u64,
    /// What comes after the last whole turn.
    pub torn: Option<Torn>,
    /// Checkpoints that were passed over, because they are not good.
    pub passed_over: Vec<String>,
    /// The last segment that turns were read from.
    last: Option<PathBuf>,
    next_number: u32,
}

/// A journal that no other process can write, and the state that it ends in.
#[derive(Debug)]
pub struct Taken {
    folder: PathBuf,
    lock: File,
    recovered: Option<Recovered>,
}

/// A journal that is open for writing, and the gateway that goes on with it.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub log: Log,
    /// What the gateway records into.
    pub buffer: Buffer,
    /// The gateway: of a recovered one every call is closed, every place returned.
    pub gateway: Gateway,
    /// The plan that it has. Another one has to follow it ([`Plan::following`]) and be adopted.
    pub plan: Arc<Plan>,
    /// The identity of the next request.
    pub next: RequestId,
    /// The time that it is at: the clock goes on from here.
    pub at: Time,
    /// What was found; `None` where the journal begins.
    pub found: Option<Found>,
}

impl Opened {
    /// A gateway that keeps no journal.
    pub fn kept_nowhere((gateway, plan): (Gateway, Arc<Plan>)) -> Self {
        Self { log: Log::none(), buffer: Buffer::none(), gateway, plan, next: RequestId(1), at: Time(0), found: None }
    }
}

/// What was found when a journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Turns that were read from the checkpoint on.
    pub turns: u64,
    /// Calls that were open, and are closed as presumed at their worst case now.
    pub calls: usize,
    /// What was cut off: turns that were not whole, which nobody had waited for.
    pub torn: Option<Torn>,
    /// Checkpoints that were passed over, because they are not good.
    pub passed_over: Vec<String>,
}

/// Reads the state that a journal ends in, and tells `fold` what has led there. Changes nothing. `None` if the folder has no journal.
///
/// # Errors
/// If the journal can't be read to its end, or the core decides anything else than what is recorded.
pub fn recover(folder: &Path, fold: &mut dyn Fold) -> Result<Option<Recovered>, JournalError> {
    let mut passed_over = Vec::new();
    let Some((checkpoint, mut reader)) = Reader::newest(folder, |error| passed_over.push(error.to_string()))? else { return Ok(None) };
    fold.begin(&checkpoint.gateway, checkpoint.section(fold.name()));
    let mut state = Redriven::from(checkpoint);
    let mut turns = 0;
    while let Some(turn) = reader.next_turn()? {
        state.follow(turn).map_err(JournalError::Differs)?;
        for record in &turn.records {
            fold.take(record.at, record.request, &record.fact);
        }
        turns += 1;
    }
    Ok(Some(Recovered {
        state,
        turns,
        torn: reader.torn().cloned(),
        passed_over,
        last: reader.last().map(Path::to_owned),
        next_number: reader.next_number(),
    }))
}

/// Takes the journal in `folder` for this process alone, and reads the state that it ends in; `fold` is told what has led there. Nothing of it is
/// changed yet.
///
/// # Errors
/// As [`recover`]; if another process has it, or the folder can't be made.
pub fn take(folder: &Path, fold: &mut dyn Fold) -> Result<Taken, JournalError> {
    let lock = log::lock(folder)?;
    Ok(Taken { folder: folder.to_owned(), lock, recovered: recover(folder, fold)? })
}

impl Taken {
    /// The plan that the journal ends with; `None` where it has not begun. The plan of today has to follow it ([`Plan::following`]).
    pub fn plan(&self) -> Option<&Plan> {
        self.recovered.as_ref().map(|recovered| &*recovered.state.plan)
    }

    /// When its last turn was; `None` where it has not begun.
    pub fn last_turn_at(&self) -> Option<Time> {
        self.recovered.as_ref().map(|recovered| recovered.state.reach.at)
    }

    /// Goes on with the journal, at `now` or at its last turn, whichever is later, and tells `fold`, which must be the one that it was taken with.
    /// Where it has not begun, it begins with the gateway that `first` makes.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn open(
        self,
        settings: Settings,
        now: Time,
        fold: &mut dyn Fold,
        first: impl FnOnce() -> (Gateway, Arc<Plan>),
    ) -> Result<Opened, JournalError> {
        let Self { folder, lock, recovered } = self;
        match recovered {
            Some(recovered) => go_on((&folder, lock), settings, now, fold, recovered),
            None => begin((&folder, lock), settings, now, fold, first()),
        }
    }
}

fn begin((folder, lock): (&Path, File), settings: Settings, now: Time, fold: &dyn Fold, first: (Gateway, Arc<Plan>)) -> Result<Opened, JournalError> {
    let unwritable = || JournalError::io(folder, "write the journal");
    let state = Redriven::first(first.0, first.1, Reach { turn: 0, at: now });
    checkpoint::write(folder, 0, &state.draft().with(fold.section())).map_err(unwritable())?;
    let log = Log::begin(folder, lock, settings, 0, state.reach, true).map_err(unwritable())?;
    let Redriven { gateway, plan, next, reach, .. } = state;
    Ok(Opened { log, buffer: Buffer::after(0, now), gateway, plan, next, at: reach.at, found: None })
}

fn go_on((folder, lock): (&Path, File), settings: Settings, now: Time, fold: &mut dyn Fold, recovered: Recovered) -> Result<Opened, JournalError> {
    let unwritable = || JournalError::io(folder, "write the journal");
    let Recovered { state, turns, torn, passed_over, last, next_number } = recovered;
    if let Some(last) = &last {
        // No segment begins before the one before is on the disk: whoever has written this one may have left it with the machine alone.
        let kept = File::options().write(true).open(last).and_then(|file| {
            torn.as_ref().filter(|torn| torn.offset > 0).map_or(Ok(()), |torn| file.set_len(torn.offset))?;
            segment::sync(&file, last)
        });
        kept.map_err(JournalError::io(last, "have the disk keep its whole turns"))?;
    }
    let Redriven { mut gateway, plan, next, reach, .. } = state;
    let at = now.max(reach.at);
    let mut buffer = Buffer::after(reach.turn, reach.at);
    let calls = gateway.recover(&plan, at, Bodies::Lost, &mut Both { buffer: &mut buffer, fold });
    let turn = buffer.end_turn();
    let log = Log::begin(folder, lock, settings, next_number, reach, false).map_err(unwritable())?;
    log.commit(turn, |bytes| buffer.give(bytes)).map_err(unwritable())?;
    Ok(Opened { log, buffer, gateway, plan, next, at, found: Some(Found { turns, calls, torn, passed_over }) })
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal goes on: {} turns read since its newest checkpoint", self.turns)?;
        if self.calls > 0 {
            write!(f, "; {} calls were open, and are presumed to have cost all that was held for them", self.calls)?;
        }
        if let Some(Torn { file, offset, bytes }) = &self.torn {
            write!(f, "; {} ended within a turn: {bytes} bytes after byte {offset} are cut off", file.display())?;
        }
        for passed_over in &self.passed_over {
            write!(f, "; passed over: {passed_over}")?;
        }
        Ok(())
    }
}
