//! Whether the core decides today what a journal says that it has decided. Counts what was held against it; decides nothing itself.

use std::path::Path;

use serde::Serialize;

use super::buffer::Reach;
use super::checkpoint;
use super::error::JournalError;
use super::reader::Reader;
use super::redrive::{Difference, Redriven};
use super::segment::Torn;
use super::turn::Turn;
use crate::gateway::Gateway;
use crate::gateway::in_flight::Event;
use crate::gateway::journal::Fact;
use crate::gateway::money::Money;

/// What came of it.
#[derive(Debug)]
pub struct Verdict {
    /// What was held against the core.
    pub counts: Counts,
    /// The state before the first turn.
    pub from: Reach,
    /// The gateway after the last turn that was followed, with its plan, for the names in what is told of a difference.
    pub state: Redriven,
    /// The first difference, if there is one.
    pub difference: Option<Unlike>,
    /// What comes after the last whole turn.
    pub torn: Option<Torn>,
}

/// How much was held against the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Segments.
    pub segments: u32,
    /// Checkpoints whose books were compared with what the turns before them lead to.
    pub checkpoints: u32,
    /// Turns.
    pub turns: u64,
    /// Facts.
    pub facts: u64,
    /// Requests that arrived.
    pub requests: u64,
    /// Calls that left.
    pub calls: u64,
    /// How often a process went on where another had ended.
    pub recoveries: u64,
}

/// A difference.
#[derive(Debug, Clone, PartialEq)]
pub enum Unlike {
    /// The core decides otherwise than is recorded.
    Decision(Box<Difference>),
    /// The books of a checkpoint are not those that the turns before it lead to.
    Books {
        /// The turn that it is the state after.
        turn: u64,
        /// As the checkpoint has them.
        recorded: Books,
        /// As the turns before lead to them.
        decided: Books,
    },
}

/// What a ledger comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Books {
    /// Settled by usage that was seen.
    pub confirmed: Money,
    /// Settled by rule.
    pub presumed: Money,
    /// Calls that are open.
    pub open: u64,
}

impl Verdict {
    /// What the ledger comes to after the last turn that was followed.
    pub fn books(&self) -> Books {
        Books::of(&self.state.gateway)
    }
}

impl Books {
    fn of(gateway: &Gateway) -> Self {
        let settled = gateway.budget().settled();
        Self { confirmed: settled.confirmed, presumed: settled.presumed, open: gateway.outstanding().holds }
    }
}

impl Counts {
    fn add(&mut self, turn: &Turn) {
        self.turns += 1;
        self.facts += turn.records.len() as u64;
        for record in &turn.records {
            match record.fact {
                Fact::Told(Event::Arrived(_)) => self.requests += 1,
                Fact::Called(_) => self.calls += 1,
                Fact::Recovered { .. } => self.recoveries += 1,
                _ => {}
            }
        }
    }
}

/// Tells the core all inputs of a journal, from the checkpoint of segment `from` on or from the oldest one, and compares every decision.
///
/// # Errors
/// If the journal can't be read: then what is in the rest of it is not known.
pub fn verify(folder: &Path, from: Option<u32>) -> Result<Verdict, JournalError> {
    let (checkpoint, mut reader) = Reader::open(folder, from)?;
    let from = checkpoint.reach;
    let mut state = Redriven::from(checkpoint);
    let (mut counts, mut difference) = (Counts::default(), None);
    while difference.is_none() {
        let is_over = reader.next_turn()?.is_none();
        if let Some(file) = reader.checkpoint().filter(|_| counts.turns > 0) {
            let checkpoint = checkpoint::read(&file)?;
            let (turn, recorded, decided) = (checkpoint.reach.turn, Books::of(&checkpoint.gateway), Books::of(&state.gateway));
            counts.checkpoints += 1;
            if recorded != decided {
                difference = Some(Unlike::Books { turn, recorded, decided });
                break;
            }
        }
        if is_over {
            break;
        }
        match state.follow(reader.turn()) {
            Ok(()) => counts.add(reader.turn()),
            Err(found) => difference = Some(Unlike::Decision(found)),
        }
    }
    counts.segments = reader.segments();
    Ok(Verdict { counts, from, state, difference, torn: reader.torn().cloned() })
}
