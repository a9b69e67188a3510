//! What was spent, and by whom: a fold over facts. Decides how spend is attributed and for how many it is kept apart; the money itself is the core's.
//!
//! A fold of the facts in their order and of nothing else: told a journal again, it is the same again. It rides in the journal's checkpoints, with
//! the requests of late, so a start is told it from there on.

mod book;
mod recent;
mod shared;
mod sums;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::book::SpendBook;
pub use self::recent::Spent;
pub use self::sums::Sums;
use crate::gateway::Gateway;
use crate::gateway::command::Command;
use crate::gateway::directory::Directory;
use crate::gateway::id::{EndUserId, KeyId, ModelId, Registry, RequestId, TagId, TeamId};
use crate::gateway::in_flight::Event;
use crate::gateway::journal::{Certainty, Fact, NameKind, RecoveredCall};
use crate::gateway::money::Money;
use crate::gateway::pages::Pages;
use crate::gateway::request::Request;
use crate::gateway::time::Time;

/// For how many end users spend is kept apart, the first that were named; what the others spend is one sum.
const END_USERS_MAX: usize = 10_000;
/// For how many tags.
const TAGS_MAX: usize = 10_000;
/// For how many days, the latest.
const DAYS_MAX: usize = 400;
/// For how many keys of a day.
const DAY_KEYS_MAX: usize = 1_000;
/// How many calls with a presumed amount are remembered, so that a correction finds whose it is.
const PRESUMED_MAX: usize = 100_000;
/// How many requests of late are kept.
const RECENT_MAX: usize = 10_000;
/// Nanoseconds in a day.
const DAY: u64 = 86_400_000_000_000;

/// What was spent.
#[derive(Debug, Clone, Default)]
pub struct Spend {
    kept: Kept,
    names: Names,
    /// The numbers of the tags that something was spent for.
    tags: BTreeMap<String, usize>,
    /// Where the calls with a presumed amount are.
    presumed: BTreeMap<(RequestId, u32), usize>,
}

/// What rides in a checkpoint. Copied under the lock of the gateway, so nothing of it is copied by value that there may be many of.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kept {
    total: Sums,
    keys: Pages<Sums>,
    teams: Pages<Sums>,
    models: Pages<Sums>,
    end_users: Pages<Sums>,
    end_users_beyond: Sums,
    tags: Pages<(String, Sums)>,
    tags_beyond: Sums,
    #[serde(with = "shared")]
    days: BTreeMap<u64, Arc<Day>>,
    #[serde(with = "shared")]
    open: BTreeMap<RequestId, Arc<Spent>>,
    presumed: Pages<Presumed>,
    recent: Pages<Spent>,
}

/// Mirrors of the core's names, the same in the same order, and what belongs to them. A gateway that is restored has them, so they ride in no
/// checkpoint a second time.
#[derive(Debug, Clone, Default)]
struct Names {
    keys: Registry,
    teams: Registry,
    tags: Registry,
    /// By key: its team, and its tags.
    belongs: Vec<Belongs>,
    team_tags: Vec<Vec<String>>,
}

/// A call with a presumed amount: whose a correction of it is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Presumed {
    request: RequestId,
    call: u32,
    model: ModelId,
    whose: Whose,
}

/// To whom spend is attributed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Whose {
    key: KeyId,
    tag: Option<TagId>,
    end_user: Option<EndUserId>,
}

impl Whose {
    fn of(request: &Request) -> Self {
        Self { key: request.key, tag: request.tag, end_user: request.end_user }
    }
}

/// A day's spend, in UTC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// In all.
    pub sums: Sums,
    /// By the model that was called.
    pub models: BTreeMap<ModelId, Money>,
    /// By key, for the first thousand that spent on it.
    pub keys: BTreeMap<KeyId, Money>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Belongs {
    team: Option<u32>,
    tags: Vec<String>,
}

impl Spend {
    /// Goes on with a gateway that has a past which this was not told of: what it has spent in all counts. Whose that was is not known.
    pub fn following(gateway: &Gateway) -> Self {
        let settled = gateway.budget().settled();
        let total = Sums { spend: settled.confirmed + settled.presumed, ..Sums::default() };
        Self::kept_with(Kept { total, ..Kept::default() }, Names::of(gateway.directory()))
    }

    /// What was kept, with the names of that day.
    fn kept_with(kept: Kept, names: Names) -> Self {
        let tags = kept.tags.iter().map(|(number, (tag, _))| (tag.clone(), number)).collect();
        let presumed = kept.presumed.iter().map(|(number, presumed)| ((presumed.request, presumed.call), number)).collect();
        Self { kept, names, tags, presumed }
    }

    /// Takes a fact, as it was recorded.
    pub fn take(&mut self, at: Time, request: Option<RequestId>, fact: &Fact) {
        match (request, fact) {
            (_, Fact::Commanded(command)) => self.names.command(command),
            (_, Fact::Named { kind: NameKind::Tag, name }) => drop(self.names.tags.intern(name)),
            (_, Fact::Recovered { calls, .. }) => self.recover(at, calls),
            (Some(id), Fact::Told(Event::Arrived(request))) => drop(self.kept.open.insert(id, Arc::new(Spent::new(*request, at)))),
            (Some(id), Fact::CallClosed(call)) => {
                let whose = self.open(id).map(|open| {
                    open.note(call);
                    open.sums.spend += call.amount;
                    Whose::of(&open.request)
                });
                let usage = call.usage;
                self.charge(at, whose, Some(call.model), call.amount, |sums| sums.add_call(usage));
                if let (Certainty::Presumed, Some(whose)) = (call.certainty, whose) {
                    self.presume(Presumed { request: id, call: call.call, model: call.model, whose });
                }
            }
            (Some(id), Fact::Corrected { call, presumed, confirmed }) => self.correct(at, (id, *call), *confirmed - *presumed),
            (Some(id), Fact::Closed) => {
                if let Some(closed) = self.kept.open.remove(&id) {
                    self.close(at, Arc::unwrap_or_clone(closed));
                }
            }
            (Some(id), _) => {
                if let Some(open) = self.open(id) {
                    open.take(at, fact);
                }
            }
            _ => {}
        }
    }

    /// The process that had requests in flight is gone: what was open is over, as presumed.
    fn recover(&mut self, at: Time, calls: &[RecoveredCall]) {
        for RecoveredCall { request, call, amount } in calls {
            let found = self.open(*request).map(|open| {
                open.sums.spend += *amount;
                open.is_presumed = true;
                (open.called.map_or(open.request.model, |(model, _)| model), Whose::of(&open.request))
            });
            self.charge(at, found.map(|(_, whose)| whose), found.map(|(model, _)| model), *amount, |_| {});
            if let Some((model, whose)) = found {
                self.presume(Presumed { request: *request, call: *call, model, whose });
            }
        }
        for (_, lost) in std::mem::take(&mut self.kept.open) {
            self.close(at, Arc::unwrap_or_clone(lost));
        }
    }

    fn open(&mut self, id: RequestId) -> Option<&mut Spent> {
        self.kept.open.get_mut(&id).map(Arc::make_mut)
    }

    fn presume(&mut self, presumed: Presumed) {
        let Kept { presumed: kept, .. } = &mut self.kept;
        self.presumed.insert((presumed.request, presumed.call), kept.end());
        kept.push(presumed);
        if kept.len() > PRESUMED_MAX
            && let Some(Presumed { request, call, .. }) = kept.pop_front()
        {
            self.presumed.remove(&(*request, *call));
        }
    }

    /// What a call has cost turned out to be more by `more`, or less.
    fn correct(&mut self, at: Time, (id, call): (RequestId, u32), more: Money) {
        let found = self.presumed.get(&(id, call)).and_then(|number| self.kept.presumed.get(*number)).copied();
        self.charge(at, found.map(|presumed| presumed.whose), found.map(|presumed| presumed.model), more, |_| {});
        if let Some(open) = self.open(id) {
            open.sums.spend += more;
            return;
        }
        let closed = self.kept.recent.iter().rev().find(|(_, spent)| spent.request.id == id).map(|(number, _)| number);
        if let Some(spent) = closed.and_then(|number| self.kept.recent.get_mut(number)) {
            spent.sums.spend += more;
        }
    }

    /// Adds an amount to whoever it is attributed to, and does `add` to their sums.
    fn charge(&mut self, at: Time, whose: Option<Whose>, model: Option<ModelId>, amount: Money, add: impl Fn(&mut Sums)) {
        let put = |sums: &mut Sums| {
            sums.spend += amount;
            add(sums);
        };
        self.each(at, whose, &put);
        if let Some(model) = model.filter(|model| model.0 != u32::MAX) {
            put(self.kept.models.at(model.index()));
            *self.kept.day(at).models.entry(model).or_default() += amount;
        }
        if let Some(Whose { key, .. }) = whose {
            let keys = &mut self.kept.day(at).keys;
            if keys.len() < DAY_KEYS_MAX || keys.contains_key(&key) {
                *keys.entry(key).or_default() += amount;
            }
        }
    }

    /// A request has its end.
    fn close(&mut self, at: Time, mut spent: Spent) {
        let (failed, cached) = (spent.is_failed(), spent.is_cached());
        let count = |sums: &mut Sums| sums.add_request(failed, cached);
        self.each(at, Some(Whose::of(&spent.request)), &count);
        let model = spent.request.model;
        if model.0 != u32::MAX {
            count(self.kept.models.at(model.index()));
        }
        spent.sums.add_request(failed, cached);
        spent.ended.get_or_insert(at);
        self.kept.recent.push(spent);
        if self.kept.recent.len() > RECENT_MAX {
            self.kept.recent.pop_front();
        }
    }

    /// Does `put` to every sum that something counts in, but its models'.
    fn each(&mut self, at: Time, whose: Option<Whose>, put: &impl Fn(&mut Sums)) {
        let Self { kept, names, tags, .. } = self;
        put(&mut kept.total);
        put(&mut kept.day(at).sums);
        let Some(Whose { key, tag, end_user }) = whose else { return };
        // A request with a key that nobody has counts for nobody.
        if let Some(belongs) = names.belongs.get(key.index()) {
            put(kept.keys.at(key.index()));
            if let Some(team) = belongs.team {
                put(kept.teams.at(team as usize));
            }
            let of_team = belongs.team.and_then(|team| names.team_tags.get(team as usize)).into_iter().flatten();
            let own = tag.and_then(|TagId(tag)| names.tags.names().get(tag as usize));
            let mut seen: Vec<&String> = Vec::new();
            for tag in of_team.chain(&belongs.tags).chain(own) {
                if seen.contains(&tag) {
                    continue;
                }
                seen.push(tag);
                match tags.get(tag).copied() {
                    Some(number) => put(&mut kept.tags.get_mut(number).expect("tags are not let go").1),
                    None if kept.tags.len() >= TAGS_MAX => put(&mut kept.tags_beyond),
                    None => {
                        let mut sums = Sums::default();
                        put(&mut sums);
                        tags.insert(tag.clone(), kept.tags.end());
                        kept.tags.push((tag.clone(), sums));
                    }
                }
            }
        }
        match end_user.map(EndUserId::index) {
            Some(end_user @ ..END_USERS_MAX) => put(kept.end_users.at(end_user)),
            Some(_) => put(&mut kept.end_users_beyond),
            None => {}
        }
    }
}

impl Kept {
    fn day(&mut self, at: Time) -> &mut Day {
        let day = at.0 / DAY;
        if self.days.len() >= DAYS_MAX && !self.days.contains_key(&day) {
            self.days.pop_first();
        }
        Arc::make_mut(self.days.entry(day).or_default())
    }
}

impl Names {
    /// Those of a directory.
    fn of(directory: &Directory) -> Self {
        let keys = (0..).map(KeyId).take(directory.key_names().len());
        let belongs = keys.map(|key| Belongs { team: directory.team_of(key).map(|team| team.0), tags: directory.tags_of_key(key).to_vec() });
        let teams = (0..).map(TeamId).take(directory.team_names().len());
        Self {
            keys: directory.key_names().to_vec().into(),
            teams: directory.team_names().to_vec().into(),
            tags: directory.tag_names().to_vec().into(),
            belongs: belongs.collect(),
            team_tags: teams.map(|team| directory.tags_of_team(team).to_vec()).collect(),
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::PutKey { name, spec } => {
                let team = spec.team.as_ref().map(|team| self.teams.intern(team));
                let key = self.keys.intern(name) as usize;
                if self.belongs.len() <= key {
                    self.belongs.resize_with(key + 1, Belongs::default);
                }
                self.belongs[key] = Belongs { team, tags: spec.tags.clone() };
            }
            Command::PutTeam { name, spec } => {
                let team = self.teams.intern(name) as usize;
                if self.team_tags.len() <= team {
                    self.team_tags.resize_with(team + 1, Vec::new);
                }
                self.team_tags[team].clone_from(&spec.tags);
            }
            Command::PutTag { name, .. } => drop(self.tags.intern(name)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
