//! Who there is beside the configuration: the keys and teams that administrators have made. Keeps core, store and key ring in step.
//!
//! A change is written to the store first, in a transaction that is kept once the core has carried it out (and so has it in the journal); then it
//! goes to the ring, and only then is it answered. What the store can't write the core is not told: taking it back would empty the window of a
//! budget. But what blocks or deletes holds, and whoever asked is told that it would not outlive the process.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::terms;
use crate::config::gateway::BudgetDefaults;
use crate::gateway::Gateway;
use crate::gateway::command::{Command, CommandError};
use crate::serve::adoption::in_words;
use crate::serve::answers::Problem;
use crate::serve::engine::Engine;
use crate::serve::keyring::KeyRing;
use crate::serve::reload::Configured;
use crate::serve::store::{Hash, KeyRecord, Store, StoreError, Stored, TeamRecord};
use crate::wire::ErrorKind;

/// The keys and teams that administrators have made, and where they are kept.
pub struct Register {
    store: Box<dyn Store>,
    keys: BTreeMap<String, KeyRecord>,
    teams: BTreeMap<String, TeamRecord>,
    /// What the core has been told last of each, as a digest.
    told: BTreeMap<String, [u8; 32]>,
    /// Who is deleted, but still in the store, which could not be written.
    struck: BTreeSet<String>,
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
        Ok(Self { store, keys, teams, told: BTreeMap::new(), struck: BTreeSet::new(), defaults, configured: Configured::default() })
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Makes what the store keeps true in a gateway that has carried out its configuration. Returns what the operator should know. To be called at
    /// the start, and when the configuration was loaded again: models may have come and gone.
    pub fn restore(&mut self, engine: &Engine, ring: &KeyRing) -> Vec<String> {
        let mut notes = Vec::new();
        let teams: Vec<_> = self.teams.values().filter(|team| !self.struck.contains(&told_team(&team.name))).cloned().collect();
        for team in teams {
            if self.configured.teams.contains(&team.name) {
                notes.push(format!("team `{}` of the store is passed over: the configuration has one of that name", team.name));
                self.told.remove(&told_team(&team.name));
            } else if let Err(problem) = self.tell_team(engine, &team) {
                notes.push(format!("team `{}` of the store can't be had: {problem}", team.name));
            }
        }
        let keys: Vec<_> = self.keys.values().filter(|key| !self.struck.contains(&told_key(&key.name))).cloned().collect();
        for key in keys {
            if self.configured.keys.contains(&key.name) {
                notes.push(format!("key `{}` of the store is passed over: the configuration has one of that name", key.name));
                self.told.remove(&told_key(&key.name));
                if !self.configured.secrets.contains(&key.hash.0) {
                    ring.remove(&key.hash.0);
                }
                continue;
            }
            match self.tell_key(engine, &key) {
                Ok(()) => ring.put_hash(&key.name, key.hash.0),
                Err(problem) => {
                    notes.push(format!("key `{}` of the store can't be used: {problem}", key.name));
                    ring.remove(&key.hash.0);
                }
            }
        }
        notes
    }

    /// What deletes whoever is neither in a configuration nor in the store. After a crash the journal may know more than the store: what was not
    /// kept was not answered, and nobody has its secret.
    pub fn unknown(&self, gateway: &Gateway, configured: &Configured) -> Vec<Command> {
        let directory = gateway.directory();
        let is_key = |name: &&String| !configured.keys.contains(*name) && !self.keys.contains_key(*name);
        let is_team = |name: &&String| !configured.teams.contains(*name) && !self.teams.contains_key(*name);
        let keys = directory.key_names().iter().filter(is_key).map(|name| Command::DeleteKey { name: name.clone() });
        let teams = directory.team_names().iter().filter(is_team).map(|name| Command::DeleteTeam { name: name.clone() });
        keys.chain(teams).filter(|command| !gateway.is_so(command)).collect()
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
        self.check_struck(&told_key(&key.name))?;
        let before = self.keys.get(&key.name).cloned();
        let blocks = key.blocked && before.as_ref().is_some_and(|before| !before.blocked);
        let staged = self.store.stage_key(&key);
        if let (Err(error), false) = (&staged, blocks) {
            return Err(unkept(error, Ok(())));
        }
        if let Err(refused) = self.tell_key(engine, &key) {
            self.store.roll_back();
            return Err(refused.problem());
        }
        if let Err(error) = staged.and_then(|()| self.store.commit()) {
            let undone = match &before {
                Some(before) if !blocks => self.tell_key(engine, before),
                Some(before) => {
                    // A later change of something else does not let it go again.
                    let blocked = KeyRecord { hash: before.hash, hint: before.hint.clone(), ..key };
                    self.keys.insert(blocked.name.clone(), blocked);
                    return Err(stays(&error, "the key is blocked"));
                }
                None => {
                    self.told.remove(&told_key(&key.name));
                    tell(engine, Command::DeleteKey { name: key.name })
                }
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
        self.forget(&[], names);
        Ok(())
    }

    /// Adds a team, or changes the one of its name.
    ///
    /// # Errors
    /// As [`Self::put_key`].
    pub fn put_team(&mut self, engine: &Engine, team: TeamRecord) -> Result<(), Problem> {
        self.check_struck(&told_team(&team.name))?;
        let before = self.teams.get(&team.name).cloned();
        let blocks = team.blocked && before.as_ref().is_some_and(|before| !before.blocked);
        let staged = self.store.stage_team(&team);
        if let (Err(error), false) = (&staged, blocks) {
            return Err(unkept(error, Ok(())));
        }
        if let Err(refused) = self.tell_team(engine, &team) {
            self.store.roll_back();
            return Err(refused.problem());
        }
        if let Err(error) = staged.and_then(|()| self.store.commit()) {
            let undone = match &before {
                Some(before) if !blocks => self.tell_team(engine, before),
                Some(_) => {
                    self.teams.insert(team.name.clone(), team);
                    return Err(stays(&error, "the team is blocked"));
                }
                None => {
                    self.told.remove(&told_team(&team.name));
                    tell(engine, Command::DeleteTeam { name: team.name })
                }
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
            self.told.remove(&told_team(name));
            self.struck.insert(told_team(name));
            tell(engine, Command::DeleteTeam { name: name.clone() }).map_err(Refused::problem)?;
        }
        self.strike(engine, ring, &keys)?;
        self.store.delete_teams(names, &keys).map_err(|error| stays(&error, "the teams and their keys are deleted"))?;
        self.forget(names, &keys);
        Ok(())
    }

    /// They are gone from the store, too.
    fn forget(&mut self, teams: &[String], keys: &[String]) {
        for team in teams {
            self.teams.remove(team);
            self.struck.remove(&told_team(team));
        }
        for key in keys {
            self.keys.remove(key);
            self.struck.remove(&told_key(key));
        }
    }

    /// Nobody comes back by a change of something else.
    fn check_struck(&self, who: &str) -> Result<(), Problem> {
        if self.struck.contains(who) {
            let message = "it is deleted, but the store could not be written: ask for the deletion again";
            return Err(Problem::new(400, ErrorKind::BadRequest, message).code("deleted"));
        }
        Ok(())
    }

    /// From now on nobody has these keys, whatever the store says.
    fn strike(&mut self, engine: &Engine, ring: &KeyRing, names: &[String]) -> Result<(), Problem> {
        for name in names {
            self.told.remove(&told_key(name));
            self.struck.insert(told_key(name));
            tell(engine, Command::DeleteKey { name: name.clone() }).map_err(Refused::problem)?;
            if let Some(key) = self.keys.get(name) {
                ring.remove(&key.hash.0);
            }
        }
        Ok(())
    }

    /// Tells the core of a key, unless it has been told the same.
    fn tell_key(&mut self, engine: &Engine, key: &KeyRecord) -> Result<(), Refused> {
        let spec = terms::key_spec(key, &engine.plan(), &self.defaults);
        let digest = digest(&(&spec, key.blocked));
        let put = Command::PutKey { name: key.name.clone(), spec };
        let block = Command::BlockKey { name: key.name.clone(), blocked: key.blocked };
        let is_known = engine.read(|gateway, _, _| gateway.key(&key.name).is_some());
        self.tell_both(engine, told_key(&key.name), digest, (put, block), is_known, key.blocked)
    }

    fn tell_team(&mut self, engine: &Engine, team: &TeamRecord) -> Result<(), Refused> {
        let spec = terms::team_spec(team, &engine.plan(), &self.defaults);
        let digest = digest(&(&spec, team.blocked));
        let put = Command::PutTeam { name: team.name.clone(), spec };
        let block = Command::BlockTeam { name: team.name.clone(), blocked: team.blocked };
        let is_known = engine.read(|gateway, _, _| gateway.directory().team(&team.name).is_some());
        self.tell_both(engine, told_team(&team.name), digest, (put, block), is_known, team.blocked)
    }

    /// What makes it stricter comes first: no request slips through between two commands.
    fn tell_both(
        &mut self,
        engine: &Engine,
        who: String,
        digest: [u8; 32],
        (put, block): (Command, Command),
        is_known: bool,
        blocked: bool,
    ) -> Result<(), Refused> {
        if self.told.get(&who) == Some(&digest) {
            return Ok(());
        }
        // If half of it fails, the core is to be told again.
        self.told.remove(&who);
        match (is_known, blocked) {
            (true, true) => tell(engine, block).and_then(|()| tell(engine, put))?,
            (false, false) => tell(engine, put)?,
            // A new key that is blocked from the start is on nobody's ring yet.
            (true, false) | (false, true) => tell(engine, put).and_then(|()| tell(engine, block))?,
        }
        self.told.insert(who, digest);
        Ok(())
    }
}

fn told_key(name: &str) -> String {
    format!("key {name}")
}

fn told_team(name: &str) -> String {
    format!("team {name}")
}

/// Tells apart what the core was told, without keeping it.
fn digest<T: serde::Serialize>(told: &T) -> [u8; 32] {
    Sha256::digest(postcard::to_stdvec(told).expect("what the core is told can be written")).into()
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
            Self::Core(error) => f.write_str(&in_words(error)),
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
    if engine.read(|gateway, _, _| gateway.is_so(&command)) {
        // A start with a journal would write down every key again.
        return Ok(());
    }
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
