//! A store that ends with the process: for a gateway that is given no file.

use std::collections::BTreeMap;

use super::{KeyRecord, Store, StoreError, Stored, TeamRecord};

/// Keys and teams in memory.
#[derive(Debug, Default)]
pub struct Memory {
    keys: BTreeMap<String, KeyRecord>,
    teams: BTreeMap<String, TeamRecord>,
    staged: Option<Staged>,
}

#[derive(Debug)]
enum Staged {
    Key(KeyRecord),
    Team(TeamRecord),
}

impl Store for Memory {
    fn load(&mut self) -> Result<Stored, StoreError> {
        Ok(Stored { teams: self.teams.values().cloned().collect(), keys: self.keys.values().cloned().collect() })
    }

    fn stage_key(&mut self, key: &KeyRecord) -> Result<(), StoreError> {
        if self.keys.values().any(|other| other.hash == key.hash && other.name != key.name) {
            return Err(StoreError("another key has the same secret".into()));
        }
        self.staged = Some(Staged::Key(key.clone()));
        Ok(())
    }

    fn stage_team(&mut self, team: &TeamRecord) -> Result<(), StoreError> {
        self.staged = Some(Staged::Team(team.clone()));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        match self.staged.take() {
            Some(Staged::Key(key)) => drop(self.keys.insert(key.name.clone(), key)),
            Some(Staged::Team(team)) => drop(self.teams.insert(team.name.clone(), team)),
            None => {}
        }
        Ok(())
    }

    fn roll_back(&mut self) {
        self.staged = None;
    }

    fn delete_keys(&mut self, names: &[String]) -> Result<(), StoreError> {
        for name in names {
            self.keys.remove(name);
        }
        Ok(())
    }

    fn delete_teams(&mut self, names: &[String], keys: &[String]) -> Result<(), StoreError> {
        for name in names {
            self.teams.remove(name);
        }
        self.delete_keys(keys)
    }
}
