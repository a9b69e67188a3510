//! The journal outside memory: one sequence of turns, each with all that the core was told and has decided in it. Knows files; knows no policy,
//! no sockets, and neither prompts nor secrets.
//!
//! - [`open`] goes on with the journal of a folder, or begins one; the gateway records into a [`Buffer`], and a [`Log`] writes it.
//! - [`recover`] is the state that a journal ends in; [`Reader`] reads its turns, and [`Redriven`] tells them to the core again.

mod buffer;
mod checkpoint;
mod error;
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
pub use log::{Durability, Log, Settings};
pub use reader::Reader;
pub use recover::{Found, Opened, Recovered, open, recover};
pub use redrive::{Difference, Redriven};
pub use segment::{Files, Torn, is_journal, list};
pub use turn::Turn;
pub use verify::{Books, Counts, Unlike, Verdict, verify};
pub use words::Words;
