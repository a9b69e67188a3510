//! Who there is beside the configuration: the keys and teams that administrators have made. Keeps core, store and key ring in step.
//!
//! A change goes to the core first (and so into the journal), then to the store, then to the ring, and only then is it answered. It is taken back if
//! the store can't keep it; but what blocks or deletes stays, and whoever asked is told that it would not outlive the process.

use std::collections::{BTreeMap, BTreeSet};

use super::terms;
use crate::config::gateway::BudgetDefaults;
use crate::gateway::command::{Command, CommandError};
use crate::gateway::journal::Denial;
use crate::serve::answers::Problem;
use crate::serve::engine::Engine;
use crate::serve::keyring::KeyRing;
use crate::serve::store::{Hash, KeyRecord, Store, StoreError, Stored, TeamRecord};
use crate::wire::ErrorKind;

/// The keys and teams that administrators have made, and where they are kept.
pub struct Register {
    store: Box<dyn Store>,
    keys: BTreeMap<String, KeyRecord>,
    teams: BTreeMap<String, TeamRecord>,
    /// What budgets have that say nothing of it.
    pub defaults: BudgetDefaults,
    /// Who is in the configuration: to be kept up when it is loaded again.
    pub configured: Configured,
}

impl Register {
    /// What a store keeps. It has no effect before [`Self::restore`].
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn open(mut store: Box<dyn Store>, defaults: BudgetDefaults) -> Result<Self, StoreError> {
        let Stored { teams, keys } = store.load()?;
        let teams = teams.into_iter().map(|team| (team.name.clone(), team)).collect();
        let keys = keys.into_iter().map(|key| (key.name.clone(), key)).collect();
        Ok(Self { store, keys, teams, defaults, configured: Configured::default() })
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Makes what the store keeps true in a gateway that has carried out its configuration, and deletes whoever is in neither. Returns what the
    /// operator should know. To be called at the start, and when the configuration was loaded again: models may have come and gone.
    pub fn restore(&self, engine: &Engine, ring: &KeyRing) -> Vec<String> {
        let (mut notes, configured) = (Vec::new(), &self.configured);
        for team in self.teams.values() {
            if configured.teams.contains(&team.name) {
                notes.push(format!("team `{}` of the store is passed over: the configuration has one of that name", team.name));
            } else if let Err(problem) = self.tell_team(engine, team) {
                notes.push(format!("team `{}` of the store can't be had: {problem}", team.name));
            }
        }
        for key in self.keys.values() {
            if configured.keys.contains(&key.name) {
                notes.push(format!("key `{}` of the store is passed over: the configuration has one of that name", key.name));
                continue;
            }
            match self.tell_key(engine, key) {
                Ok(()) => ring.put_hash(&key.name, key.hash.0),
                Err(problem) => notes.push(format!("key `{}` of the store can't be used: {problem}", key.name)),
            }
        }
        // After a crash the journal may know more than the store: what was not kept was not answered, and nobody has its secret.
        let (keys, teams) = engine.read(|gateway, _, _| {
            let directory = gateway.directory();
            let is_known = |name: &&String| !configured.keys.contains(*name) && !self.keys.contains_key(*name);
            let stands = |name: &&String| gateway.key(name).is_some_and(|key| directory.standing(key) != Err(Denial::Deleted));
            let keys: Vec<String> = directory.key_names().iter().filter(is_known).filter(stands).cloned().collect();
            let is_known = |name: &&String| !configured.teams.contains(*name) && !self.teams.contains_key(*name);
            (keys, directory.team_names().iter().filter(is_known).cloned().collect::<Vec<_>>())
        });
        let deleted = keys.into_iter().map(|name| Command::DeleteKey { name }).chain(teams.into_iter().map(|name| Command::DeleteTeam { name }));
        for command in deleted {
            if let Err(problem) = tell(engine, command) {
                notes.push(problem.to_string());
            }
        }
        notes
    }

    /// The keys, by name.
    pub fn keys(&self) -> impl Iterator<Item = &KeyRecord> {
        self.keys.values()
    }

    /// The teams, by name.
    pub fn teams(&self) -> impl Iterator<Item = &TeamRecord> {
        self.teams.values()
    }

    /// The key of a name.
    pub fn key(&self, name: &str) -> Option<&KeyRecord> {
        self.keys.get(name)
    }

    /// The team of a name.
    pub fn team(&self, name: &str) -> Option<&TeamRecord> {
        self.teams.get(name)
    }

    /// Whether somebody has this secret.
    pub fn has_hash(&self, hash: Hash) -> bool {
        self.keys.values().any(|key| key.hash == hash)
    }

    /// Adds a key, or changes the one of its name.
    ///
    /// # Errors
    /// If the core refuses it, or it can't be kept. Nothing has changed then, or the problem says what has.
    pub fn put_key(&mut self, engine: &Engine, ring: &KeyRing, key: KeyRecord) -> Result<(), Problem> {
        let before = self.keys.get(&key.name).cloned();
        self.tell_key(engine, &key).map_err(Refused::problem)?;
        if let Err(error) = self.store.put_key(&key) {
            let undone = match &before {
                Some(before) if before.blocked || !key.blocked => self.tell_key(engine, before),
                Some(before) => {
                    // A later change of something else does not let it go again.
                    let blocked = KeyRecord { hash: before.hash, hint: before.hint.clone(), ..key };
                    self.keys.insert(blocked.name.clone(), blocked);
                    return Err(stays(&error, "the key is blocked"));
                }
                None => tell(engine, Command::DeleteKey { name: key.name }),
            };
            return Err(unkept(&error, undone));
        }
        ring.put_hash(&key.name, key.hash.0);
        if let Some(before) = before.filter(|before| before.hash != key.hash) {
            ring.remove(&before.hash.0);
        }
        self.keys.insert(key.name.clone(), key);
        Ok(())
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// If the journal or the store can't be written: the problem says what has changed.
    pub fn delete_keys(&mut self, engine: &Engine, ring: &KeyRing, names: &[String]) -> Result<(), Problem> {
        self.strike(engine, ring, names)?;
        self.store.delete_keys(names).map_err(|error| stays(&error, "the keys are deleted"))?;
        for name in names {
            self.keys.remove(name);
        }
        Ok(())
    }

    /// Adds a team, or changes the one of its name.
    ///
    /// # Errors
    /// As [`Self::put_key`].
    pub fn put_team(&mut self, engine: &Engine, team: TeamRecord) -> Result<(), Problem> {
        let before = self.teams.get(&team.name).cloned();
        self.tell_team(engine, &team).map_err(Refused::problem)?;
        if let Err(error) = self.store.put_team(&team) {
            let undone = match &before {
                Some(before) if before.blocked || !team.blocked => self.tell_team(engine, before),
                Some(_) => {
                    self.teams.insert(team.name.clone(), team);
                    return Err(stays(&error, "the team is blocked"));
                }
                None => tell(engine, Command::DeleteTeam { name: team.name }),
            };
            return Err(unkept(&error, undone));
        }
        self.teams.insert(team.name.clone(), team);
        Ok(())
    }

    /// Deletes teams, and their keys with them.
    ///
    /// # Errors
    /// As [`Self::delete_keys`].
    pub fn delete_teams(&mut self, engine: &Engine, ring: &KeyRing, names: &[String]) -> Result<(), Problem> {
        let of_team = |key: &&KeyRecord| key.team.as_ref().is_some_and(|team| names.contains(team));
        let keys: Vec<String> = self.keys.values().filter(of_team).map(|key| key.name.clone()).collect();
        for name in names {
            tell(engine, Command::DeleteTeam { name: name.clone() }).map_err(Refused::problem)?;
        }
        self.strike(engine, ring, &keys)?;
        self.store.delete_teams(names, &keys).map_err(|error| stays(&error, "the teams and their keys are deleted"))?;
        self.teams.retain(|name, _| !names.contains(name));
        self.keys.retain(|name, _| !keys.contains(name));
        Ok(())
    }

    /// From now on nobody has these keys, whatever the store says.
    fn strike(&self, engine: &Engine, ring: &KeyRing, names: &[String]) -> Result<(), Problem> {
        for name in names {
            tell(engine, Command::DeleteKey { name: name.clone() }).map_err(Refused::problem)?;
            if let Some(key) = self.keys.get(name) {
                ring.remove(&key.hash.0);
            }
        }
        Ok(())
    }

    /// Tells the core of a key. What makes it stricter comes first: no request slips through between two commands.
    fn tell_key(&self, engine: &Engine, key: &KeyRecord) -> Result<(), Refused> {
        let spec = terms::key_spec(key, &engine.plan(), &self.defaults);
        let put = Command::PutKey { name: key.name.clone(), spec };
        let block = Command::BlockKey { name: key.name.clone(), blocked: key.blocked };
        let is_known = engine.read(|gateway, _, _| gateway.key(&key.name).is_some());
        self.in_order(engine, put, block, is_known, key.blocked)
    }

    fn tell_team(&self, engine: &Engine, team: &TeamRecord) -> Result<(), Refused> {
        let spec = terms::team_spec(team, &engine.plan(), &self.defaults);
        let put = Command::PutTeam { name: team.name.clone(), spec };
        let block = Command::BlockTeam { name: team.name.clone(), blocked: team.blocked };
        let is_known = engine.read(|gateway, _, _| gateway.directory().team(&team.name).is_some());
        self.in_order(engine, put, block, is_known, team.blocked)
    }

    fn in_order(&self, engine: &Engine, put: Command, block: Command, is_known: bool, blocked: bool) -> Result<(), Refused> {
        match (is_known, blocked) {
            (true, true) => tell(engine, block).and_then(|()| tell(engine, put)),
            (false, false) => tell(engine, put),
            // A new key that is blocked from the start is on nobody's ring yet.
            (true, false) | (false, true) => tell(engine, put).and_then(|()| tell(engine, block)),
        }
    }
}

/// Who is in the configuration, by name.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// Its keys.
    pub keys: BTreeSet<String>,
    /// Its teams.
    pub teams: BTreeSet<String>,
}

impl Configured {
    /// Whom these commands make.
    pub fn by(commands: &[Command]) -> Self {
        let mut configured = Self::default();
        for command in commands {
            match command {
                Command::PutKey { name, .. } => drop(configured.keys.insert(name.clone())),
                Command::PutTeam { name, .. } => drop(configured.teams.insert(name.clone())),
                _ => {}
            }
        }
        configured
    }
}

/// Why a command was not carried out.
#[derive(Debug)]
enum Refused {
    /// The journal can't be written.
    Unwritten(std::io::Error),
    /// The core refuses it.
    Core(CommandError),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unwritten(error) => write!(f, "the journal can't be written: {error}"),
            Self::Core(CommandError::UnknownTeam(team)) => write!(f, "there is no team `{team}`"),
            Self::Core(CommandError::UnknownKey(key)) => write!(f, "there is no key `{key}`"),
            Self::Core(CommandError::UnknownAccount(_)) => write!(f, "there is no such account"),
            Self::Core(CommandError::TooManyBudgets { budgets, most }) => {
                write!(f, "{budgets} budgets would apply to one request, {most} at most: those of the gateway, the team, the key and their tags")
            }
        }
    }
}

impl Refused {
    fn problem(self) -> Problem {
        match self {
            Self::Unwritten(_) => Problem::new(503, ErrorKind::Unavailable, format!("{self}; ask again")).code("journal_unwritable"),
            Self::Core(_) => Problem::new(400, ErrorKind::BadRequest, self.to_string()),
        }
    }
}

fn tell(engine: &Engine, command: Command) -> Result<(), Refused> {
    engine.command(command).map_err(Refused::Unwritten)?.map_err(Refused::Core)
}

/// The store could not keep a change, which was taken back.
fn unkept(error: &StoreError, undone: Result<(), Refused>) -> Problem {
    let message = match undone {
        Ok(()) => format!("{error}; nothing has changed"),
        Err(refused) => format!("{error}; and it could not be taken back ({refused}), so it holds until the gateway starts again"),
    };
    Problem::new(500, ErrorKind::Internal, message).code("store_unwritable")
}

/// The store could not keep a change that allows less. It holds all the same.
fn stays(error: &StoreError, what: &str) -> Problem {
    let message = format!("{error}; {what} now, but that would not survive a restart: ask again");
    Problem::new(500, ErrorKind::Internal, message).code("store_unwritable")
}
