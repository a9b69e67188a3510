//! What was spent, and by whom: a fold over facts. Decides how spend is attributed and for how many it is kept apart; the money itself is the core's.
//!
//! A fold of the facts in their order and of nothing else: told a journal again, it is the same again. It is [`serde`] data, so it can stand in a
//! checkpoint; the requests of late are not part of that.

mod recent;
mod sums;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use self::recent::{Recent, Spent};
pub use self::sums::Sums;
use super::observe::{Context, Observer};
use crate::gateway::Gateway;
use crate::gateway::command::Command;
use crate::gateway::id::{EndUserId, KeyId, ModelId, Registry, RequestId, TagId};
use crate::gateway::in_flight::Event;
use crate::gateway::journal::{Fact, NameKind};
use crate::gateway::money::Money;
use crate::gateway::request::Request;
use crate::gateway::time::Time;

/// For how many end users spend is kept apart, first come first served; what the others spend is one sum.
const END_USERS_MAX: usize = 10_000;
/// For how many tags.
const TAGS_MAX: usize = 10_000;
/// For how many days, the latest.
const DAYS_MAX: usize = 400;
/// For how many keys of a day.
const DAY_KEYS_MAX: usize = 1_000;
/// How many closed requests with a presumed amount are remembered, so that a correction finds whose it is.
const PRESUMED_MAX: usize = 100_000;
/// Nanoseconds in a day.
const DAY: u64 = 86_400_000_000_000;

/// What was spent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Spend {
    total: Sums,
    keys: BTreeMap<KeyId, Sums>,
    teams: BTreeMap<u32, Sums>,
    models: BTreeMap<ModelId, Sums>,
    end_users: BTreeMap<EndUserId, Sums>,
    end_users_beyond: Sums,
    tags: BTreeMap<String, Sums>,
    tags_beyond: Sums,
    days: BTreeMap<u64, Day>,
    open: BTreeMap<RequestId, Spent>,
    presumed: BTreeMap<RequestId, Spent>,
    /// Mirrors of the core's names: the same in the same order.
    key_names: Registry,
    team_names: Registry,
    tag_names: Registry,
    /// By key: its team, and its tags.
    belongs: Vec<Belongs>,
    team_tags: Vec<Vec<String>>,
    #[serde(skip)]
    recent: Recent,
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

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Belongs {
    team: Option<u32>,
    tags: Vec<String>,
}

impl Spend {
    /// Takes a fact, as it was recorded.
    pub fn take(&mut self, at: Time, request: Option<RequestId>, fact: &Fact) {
        match (request, fact) {
            (_, Fact::Commanded(command)) => self.command(command),
            (_, Fact::Named { kind: NameKind::Tag, name }) => drop(self.tag_names.intern(name)),
            (_, Fact::Recovered { calls, .. }) => {
                for call in calls {
                    self.charge(at, call.request, call.amount, |_| {});
                }
                for (_, lost) in std::mem::take(&mut self.open) {
                    self.close(at, lost);
                }
            }
            (Some(id), Fact::Told(Event::Arrived(request))) => drop(self.open.insert(id, Spent::new(*request, at))),
            (Some(id), Fact::CallClosed(call)) => {
                let (model, usage) = (call.model, call.usage);
                if let Some(open) = self.open.get_mut(&id) {
                    open.note(call);
                }
                self.charge_model(at, id, model, call.amount, |sums| sums.add_call(usage));
            }
            (Some(id), Fact::Corrected { presumed, confirmed, .. }) => {
                let more = *confirmed - *presumed;
                self.charge(at, id, more, |_| {});
                self.recent.correct(id, more);
            }
            (Some(id), Fact::Closed) => {
                if let Some(closed) = self.open.remove(&id) {
                    self.close(at, closed);
                }
            }
            (Some(id), _) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.take(at, fact);
                }
            }
            _ => {}
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::PutKey { name, spec } => {
                let team = spec.team.as_ref().map(|team| self.team_names.intern(team));
                let key = self.key_names.intern(name) as usize;
                if self.belongs.len() <= key {
                    self.belongs.resize_with(key + 1, Belongs::default);
                }
                self.belongs[key] = Belongs { team, tags: spec.tags.clone() };
            }
            Command::PutTeam { name, spec } => {
                let team = self.team_names.intern(name) as usize;
                if self.team_tags.len() <= team {
                    self.team_tags.resize_with(team + 1, Vec::new);
                }
                self.team_tags[team].clone_from(&spec.tags);
            }
            Command::PutTag { name, .. } => drop(self.tag_names.intern(name)),
            _ => {}
        }
    }

    /// Adds an amount to whoever it is attributed to, and does `add` to their sums.
    fn charge(&mut self, at: Time, id: RequestId, amount: Money, add: impl Fn(&mut Sums)) {
        let asked = self.open.get(&id).or_else(|| self.presumed.get(&id)).map(|spent| spent.request.model);
        self.charge_model(at, id, asked.unwrap_or(ModelId(u32::MAX)), amount, add);
    }

    fn charge_model(&mut self, at: Time, id: RequestId, model: ModelId, amount: Money, add: impl Fn(&mut Sums)) {
        let spent = self.open.get_mut(&id).or_else(|| self.presumed.get_mut(&id));
        let request = spent.map(|spent| {
            spent.sums.spend += amount;
            spent.request
        });
        let put = |sums: &mut Sums| {
            sums.spend += amount;
            add(sums);
        };
        self.each(at, request.as_ref(), &put);
        if model.0 != u32::MAX {
            put(self.models.entry(model).or_default());
            *self.day(at).models.entry(model).or_default() += amount;
        }
        if let Some(Request { key, .. }) = request {
            let keys = &mut self.day(at).keys;
            if keys.len() < DAY_KEYS_MAX || keys.contains_key(&key) {
                *keys.entry(key).or_default() += amount;
            }
        }
    }

    /// A request has its end.
    fn close(&mut self, at: Time, mut spent: Spent) {
        let (failed, cached) = (spent.is_failed(), spent.is_cached());
        let count = |sums: &mut Sums| sums.add_request(failed, cached);
        let request = spent.request;
        self.each(at, Some(&request), &count);
        if request.model.0 != u32::MAX {
            count(self.models.entry(request.model).or_default());
        }
        spent.sums.add_request(failed, cached);
        spent.ended.get_or_insert(at);
        if spent.is_presumed {
            self.presumed.insert(request.id, spent.clone());
            if self.presumed.len() > PRESUMED_MAX {
                self.presumed.pop_first();
            }
        }
        self.recent.push(spent);
    }

    /// Does `put` to every sum that a request counts in, but its models'.
    fn each(&mut self, at: Time, request: Option<&Request>, put: &impl Fn(&mut Sums)) {
        put(&mut self.total);
        put(&mut self.day(at).sums);
        let Some(request) = request else { return };
        let Self { keys, teams, tags, tags_beyond, end_users, end_users_beyond, belongs, team_tags, tag_names, .. } = self;
        // A request with a key that nobody has counts for nobody.
        if let Some(belongs) = belongs.get(request.key.index()) {
            put(keys.entry(request.key).or_default());
            if let Some(team) = belongs.team {
                put(teams.entry(team).or_default());
            }
            let of_team = belongs.team.and_then(|team| team_tags.get(team as usize)).into_iter().flatten();
            let own = request.tag.and_then(|TagId(tag)| tag_names.names().get(tag as usize));
            let mut seen: Vec<&String> = Vec::new();
            for tag in of_team.chain(&belongs.tags).chain(own) {
                if seen.contains(&tag) {
                    continue;
                }
                seen.push(tag);
                let is_full = tags.len() >= TAGS_MAX;
                match tags.get_mut(tag) {
                    Some(sums) => put(sums),
                    None if is_full => put(tags_beyond),
                    None => put(tags.entry(tag.clone()).or_default()),
                }
            }
        }
        if let Some(end_user) = request.end_user {
            let is_full = end_users.len() >= END_USERS_MAX && !end_users.contains_key(&end_user);
            put(if is_full { end_users_beyond } else { end_users.entry(end_user).or_default() });
        }
    }

    fn day(&mut self, at: Time) -> &mut Day {
        let day = at.0 / DAY;
        if self.days.len() >= DAYS_MAX && !self.days.contains_key(&day) {
            self.days.pop_first();
        }
        self.days.entry(day).or_default()
    }
}

/// The spend of a live gateway: told every fact as it is recorded, and read by the control plane.
#[derive(Debug, Clone, Default)]
pub struct SpendBook(Arc<Mutex<Spend>>);

impl SpendBook {
    /// A book that goes on where another one ended.
    pub fn following(spend: Spend) -> Self {
        Self(Arc::new(Mutex::new(spend)))
    }

    /// Goes on with a gateway that has a past which this book was not told of: its names have their numbers, and what it has spent in all counts.
    /// Whose that was is not known.
    pub fn follow(&self, gateway: &Gateway) {
        let (mut spend, directory) = (self.lock(), gateway.directory());
        spend.key_names = directory.key_names().to_vec().into();
        spend.tag_names = directory.tag_names().to_vec().into();
        spend.team_names = directory.team_names().to_vec().into();
        let teams = (0..).map(KeyId).take(directory.key_names().len()).map(|key| directory.team_of(key).map(|team| team.0));
        spend.belongs = teams.map(|team| Belongs { team, tags: Vec::new() }).collect();
        let settled = gateway.budget().settled();
        spend.total.spend = settled.confirmed + settled.presumed;
    }

    /// The whole of it, for a checkpoint.
    pub fn snapshot(&self) -> Spend {
        let spend = self.lock();
        Spend { recent: Recent::default(), ..spend.clone() }
    }

    /// In all.
    pub fn total(&self) -> Sums {
        self.lock().total
    }

    /// By a key.
    pub fn of_key(&self, name: &str) -> Sums {
        let spend = self.lock();
        let key = spend.key_names.find(name).map(KeyId);
        key.and_then(|key| spend.keys.get(&key)).copied().unwrap_or_default()
    }

    /// By the keys of a team, while they were in it.
    pub fn of_team(&self, name: &str) -> Sums {
        let spend = self.lock();
        spend.team_names.find(name).and_then(|team| spend.teams.get(&team)).copied().unwrap_or_default()
    }

    /// Through a model, called for itself or as a fallback.
    pub fn of_model(&self, model: ModelId) -> Sums {
        self.lock().models.get(&model).copied().unwrap_or_default()
    }

    /// By an end user; those beyond the bound count as nobody.
    pub fn of_end_user(&self, end_user: EndUserId) -> Sums {
        self.lock().end_users.get(&end_user).copied().unwrap_or_default()
    }

    /// For a tag; those beyond the bound count as nobody.
    pub fn of_tag(&self, tag: &str) -> Sums {
        self.lock().tags.get(tag).copied().unwrap_or_default()
    }

    /// Day by day, by the number of the day since 1970.
    pub fn days(&self) -> Vec<(u64, Day)> {
        self.lock().days.iter().map(|(day, sums)| (*day, sums.clone())).collect()
    }

    /// The requests of late that `wanted` picks, newest first, at most so many.
    pub fn recent(&self, most: usize, wanted: impl Fn(&Spent) -> bool) -> Vec<Spent> {
        self.lock().recent.newest().filter(|spent| wanted(spent)).take(most).cloned().collect()
    }

    /// The names of keys, by number.
    pub fn key_names(&self) -> Vec<String> {
        self.lock().key_names.names().to_vec()
    }

    fn lock(&self) -> MutexGuard<'_, Spend> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for SpendBook {
    fn observe(&mut self, context: &Context<'_>, fact: &Fact) {
        // Most facts are about decisions, and cost nothing here.
        if !matches!(fact, Fact::Decided(_) | Fact::Ticked | Fact::Queued { .. } | Fact::Skipped { .. }) {
            self.lock().take(context.now, context.request.map(|request| request.id), fact);
        }
    }
}

#[cfg(test)]
mod tests;
