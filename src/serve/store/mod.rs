//! Where keys and teams outlive the process that made them. Decides what is kept of them; knows no core and no HTTP.
//!
//! The store is the truth for who there is. What they have spent is the journal's, and is never here.

mod memory;
mod record;
mod sqlite;

use std::fmt;
use std::path::Path;

pub use memory::Memory;
pub use record::{Hash, KeyRecord, TeamRecord, Terms};
pub use sqlite::Sqlite;

/// Keeps keys and teams. Each call is whole or has changed nothing.
pub trait Store: Send {
    /// All that there is.
    ///
    /// # Errors
    /// If it can't be read.
    fn load(&mut self) -> Result<Stored, StoreError>;

    /// Writes a key, new or in the place of the one of its name. It is kept with [`Self::commit`], and not with [`Self::roll_back`]: one of them
    /// comes next.
    ///
    /// # Errors
    /// If it can't be written, or another key has the same secret. There is nothing to be kept then.
    fn stage_key(&mut self, key: &KeyRecord) -> Result<(), StoreError>;

    /// Writes a team, as [`Self::stage_key`].
    ///
    /// # Errors
    /// If it can't be written. There is nothing to be kept then.
    fn stage_team(&mut self, team: &TeamRecord) -> Result<(), StoreError>;

    /// Keeps what was written.
    ///
    /// # Errors
    /// If it can't be kept: it is as if it had never been written then.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Makes it as if it had never been written.
    fn roll_back(&mut self);

    /// Forgets keys, by name. A name that there is not is none the less gone.
    ///
    /// # Errors
    /// If it can't be written.
    fn delete_keys(&mut self, names: &[String]) -> Result<(), StoreError>;

    /// Forgets teams, and `keys` with them.
    ///
    /// # Errors
    /// If it can't be written.
    fn delete_teams(&mut self, names: &[String], keys: &[String]) -> Result<(), StoreError>;
}

/// All that a store keeps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stored {
    /// The teams, by name.
    pub teams: Vec<TeamRecord>,
    /// The keys, by name.
    pub keys: Vec<KeyRecord>,
}

/// Why a store can't do what it is asked, in words. Never has a secret in it: the store has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// The store in the file at `path`, made if there is none; without a path one that ends with the process.
///
/// # Errors
/// If the file can't be opened, is no store, or is one of a later version.
pub fn open(path: Option<&Path>) -> Result<Box<dyn Store>, StoreError> {
    match path {
        None => Ok(Box::new(Memory::default())),
        Some(path) => Ok(Box::new(Sqlite::open(path)?)),
    }
}

#[cfg(test)]
mod tests;
