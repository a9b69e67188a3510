//! The journal outside memory: one sequence of turns, each with all that the core was told and has decided in it. Knows files; knows no policy,
//! no sockets, and neither prompts nor secrets.
//!
//! - [`take`] and [`Taken::open`] go on with the journal of a folder, or begin one; the gateway records into a [`Buffer`], a [`Log`] writes it.
//! - A [`Fold`] of its facts is told them again at a start, from what it has put into the newest checkpoint on.
//! - [`recover()`] is the state that a journal ends in; [`Reader`] reads its turns, and [`Redriven`] tells them to the core again.
//! - [`verify()`] says whether the core decides today what is recorded; [`Words`] tell what is.

mod buffer;
mod checkpoint;
mod error;
mod fold;
mod frame;
mod keep;
mod log;
mod reader;
mod recover;
mod redrive;
mod segment;
#[cfg(test)]
mod tests;
mod turn;
mod verify;
mod words;

pub use buffer::{Buffer, Reach};
pub use checkpoint::{Checkpoint, Draft};
pub use error::JournalError;
pub use fold::{Fold, Section};
pub use log::{Durability, Log, Settings};
pub use reader::Reader;
pub use recover::{Found, Opened, Recovered, Taken, recover, take};
pub use redrive::{Difference, Redriven};
pub use segment::{Files, Torn, is_journal, list};
pub use turn::Turn;
pub use verify::{Books, Counts, Unlike, Verdict, verify};
pub use words::Words;
