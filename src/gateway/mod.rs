//! The gateway's decisions as one deterministic core. A driver tells it what happened, and does what it says.
//!
//! # How to drive it
//! - Make a [`plan::Plan`], a [`Gateway`] for it, and [`Gateway::apply`] the commands that add teams and keys.
//! - For every request make an [`in_flight::InFlight`] and [`step`](in_flight::InFlight::step) it with `Event::Arrived`; do the one
//!   [`Action`](in_flight::Action) that comes back; step it again with what comes of that.
//! - After *every* step, command and tick, in the same lock turn, drain [`Gateway::ready`]: step each request named there with
//!   `Event::Released`, at the same instant.
//! - When the instant of [`InFlight::deadline`](in_flight::InFlight::deadline) has come, step it with `Event::Woke`: late if need be, never early.
//!
//! # The contract
//! - `now` never decreases over all steps, commands and ticks.
//! - At most one call of a request is open for its client. A call that is open is closed by the next `Call`, `Sleep` or `Finish`; only
//!   `Drain` keeps one going.
//! - Events of calls carry the call's number. Stale ones change nothing, but usage is never dropped: late usage corrects what was presumed.
//! - Every request is answered once (`Fact::Answered`) and closed once (`Fact::Closed`). A closed one needs no more events.
//! - A failure after `Opened` is never retried: the client has seen a part of the answer.
//!
//! There is no clock here, no socket, no float, no random hasher, no iteration over a hash map, and no async.

pub mod ahead;
pub mod allowance;
pub mod budget;
pub mod cache;
pub mod calendar;
pub mod command;
pub mod directory;
pub mod draw;
pub mod failure;
pub mod features;
pub mod flights;
pub mod health;
pub mod id;
pub mod in_flight;
pub mod journal;
pub mod limits;
pub mod loops;
pub mod model_state;
pub mod money;
pub mod pages;
pub mod pick;
pub mod plan;
pub mod policy;
pub mod rate_card;
pub mod request;
pub mod router;
pub mod scope;
pub mod shared;
pub mod stream;
pub mod succession;
pub mod time;

#[cfg(test)]
pub(crate) mod tests;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use budget::Budget;
use cache::Cache;
use command::{Command, CommandError};
use directory::{Directory, PathId};
use flights::Flights;
use health::Health;
use id::{DeploymentId, EndUserId, KeyId, ModelId, RequestId, Slot, TagId};
use in_flight::{CacheKey, Wake};
use journal::{Bodies, Fact, Journal, NameKind};
use limits::Limits;
use loops::Loops;
use model_state::ModelState;
use plan::Plan;
use rate_card::Usage;
use request::Request;
use scope::{Owner, Scope};
use time::Time;

/// The state that all requests share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Gateway {
    /// Requests that a step has set free: to be stepped with `Event::Released` at the same instant, first in, first out.
    pub ready: VecDeque<(Slot, Wake)>,
    pub(crate) seed: u64,
    now: Time,
    plans: u32,
    pub(crate) directory: Directory,
    pub(crate) budget: Budget,
    pub(crate) limits: Limits,
    pub(crate) health: Health,
    pub(crate) cache: Cache,
    pub(crate) flights: Flights,
    pub(crate) loops: Loops,
    pub(crate) models: Vec<ModelState>,
    pub(crate) deployments: Vec<Scope>,
}

/// What is left over. All zero when nothing is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outstanding {
    /// Holds that are neither settled nor voided.
    pub holds: u64,
    /// Places at concurrency limits.
    pub places: u64,
    /// Requests in queues.
    pub waiters: u64,
    /// Calls in flight, as the deployments' health counts them.
    pub calls: u64,
    /// Flights of identical requests.
    pub flights: u64,
    /// Wakes that were not drained.
    pub ready: u64,
}

impl Gateway {
    /// A gateway without teams and keys. `seed` keys its draws.
    pub fn new(plan: &Plan, seed: u64) -> Self {
        let mut gateway = Self {
            ready: VecDeque::new(),
            seed,
            now: Time(0),
            plans: 0,
            directory: Directory::default(),
            budget: Budget::default(),
            limits: Limits::default(),
            health: Health::default(),
            cache: Cache::new(plan.cache_bytes_max),
            flights: Flights::default(),
            loops: Loops::default(),
            models: Vec::new(),
            deployments: Vec::new(),
        };
        gateway.fit(plan);
        gateway
    }

    /// Notes the keys of cached answers that the index lets go, for a driver that keeps their bodies and takes them with
    /// [`Self::dropped_answers`]. What is noted is no part of a snapshot: a restored gateway is asked again.
    pub fn watch_cache(&mut self) {
        self.cache.watch(true);
    }

    /// The keys of cached answers that the index has let go since this was last asked. To be asked after every step and plan change, once the
    /// body that [`in_flight::Finish::store`] names is kept: an answer that is too large for the cache is let go in the step that stores it.
    pub fn dropped_answers(&mut self) -> impl Iterator<Item = CacheKey> {
        self.cache.take_dropped()
    }

    /// The driver has no body for the cached answer under `key`: it has lost it, or does not want to keep it. Says whether the index had one.
    pub fn forget_answer<J: Journal>(&mut self, now: Time, key: CacheKey, journal: &mut J) -> bool {
        self.advance(now);
        let had = self.cache.forget(key);
        if had {
            journal.record(now, None, || Fact::Forgotten { key });
        }
        had
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// If it names a team, key or account that there is not, or asks for more budgets on one path than a hold carries; nothing has changed then.
    pub fn apply<J: Journal>(&mut self, plan: &Plan, now: Time, command: Command, journal: &mut J) -> Result<(), CommandError> {
        self.advance(now);
        debug_assert!(self.models.len() >= plan.models.len(), "the plan was adopted");
        let Self { directory, budget, limits, .. } = self;
        match command.clone() {
            Command::PutTeam { name, spec } => directory.put_team(&name, spec, budget, limits)?,
            Command::PutKey { name, spec } => directory.put_key(&name, spec, budget, limits)?,
            Command::PutEndUser { name, budgets } => directory.put_end_user(&name, &budgets, budget)?,
            Command::PutTag { name, budgets } => directory.put_tag(&name, &budgets, budget, limits)?,
            Command::BlockKey { name, blocked } => directory.block_key(&name, blocked)?,
            Command::BlockTeam { name, blocked } => directory.block_team(&name, blocked)?,
            Command::DeleteKey { name } => directory.delete_key(&name)?,
            Command::DeleteTeam { name } => directory.delete_team(&name)?,
            Command::Grant { account, amount } => budget.grant(account, now, amount)?,
        }
        journal.record(now, None, || Fact::Commanded(command));
        self.limits.assign_all(&mut self.ready);
        Ok(())
    }

    /// Whether a command would change nothing, as far as that can be told without carrying it out. Who is told so much at one time that it would
    /// hold up requests need not be told that.
    pub fn is_so(&self, command: &Command) -> bool {
        self.directory.is_so(command, &self.budget, &self.limits)
    }

    /// What a command takes away of budgets, and nothing else of it; `None` if it takes none away. Carried out first for all the commands of a
    /// configuration, it makes room for what the others add: where there is none, [`Self::apply`] refuses them.
    pub fn lessened(&self, command: &Command) -> Option<Command> {
        self.directory.lessened(command, &self.budget, &self.limits)
    }

    /// Goes over to another plan for requests that arrive from now on. Models and deployments keep their numbers; what counts stays counted.
    ///
    /// # Panics
    /// If the plan has fewer models or deployments than the one before: ids are append-only, removed things are `retired`
    /// ([`Plan::following`] makes such a plan).
    pub fn adopt<J: Journal>(&mut self, plan: &Plan, now: Time, journal: &mut J) {
        self.advance(now);
        assert!(plan.models.len() >= self.models.len() && plan.deployments.len() >= self.deployments.len(), "ids are append-only");
        self.fit(plan);
        self.limits.assign_all(&mut self.ready);
        self.plans += 1;
        let number = self.plans;
        journal.record(now, None, || Fact::PlanAdopted(number));
    }

    /// Once a second: edges that need time without traffic to be seen.
    pub fn tick<J: Journal>(&mut self, now: Time, journal: &mut J) {
        self.advance(now);
        journal.record(now, None, || Fact::Ticked);
        self.health.tick(now, journal);
    }

    /// The number of a key.
    pub fn key(&self, name: &str) -> Option<KeyId> {
        self.directory.key(name)
    }

    /// The number of an end user, given to the name now if it has none.
    pub fn end_user<J: Journal>(&mut self, now: Time, name: &str, journal: &mut J) -> EndUserId {
        self.directory.known_end_user(name).unwrap_or_else(|| {
            self.advance(now);
            journal.record(now, None, || Fact::Named { kind: NameKind::EndUser, name: name.into() });
            self.directory.end_user(name)
        })
    }

    /// The number of a tag, given to the name now if it has none.
    pub fn tag<J: Journal>(&mut self, now: Time, name: &str, journal: &mut J) -> TagId {
        self.directory.known_tag(name).unwrap_or_else(|| {
            self.advance(now);
            journal.record(now, None, || Fact::Named { kind: NameKind::Tag, name: name.into() });
            self.directory.tag(name)
        })
    }

    /// Who there is.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The accounts and the ledger.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The response cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The key of a request's answer, if its model has a cache that its virtual key uses.
    #[inline]
    pub(crate) fn cache_key(&self, plan: &Plan, request: &Request, path: PathId) -> Option<CacheKey> {
        let policy = plan.model(request.model).cache.as_ref()?;
        let path = self.directory.path(path);
        if path.overrides.cache == Some(false) {
            return None;
        }
        Some(cache::key(request, policy, path.overrides.cache_scope.unwrap_or(policy.scope), path.team))
    }

    /// The key that the answer to a request which is about to arrive would be cached under, where streamed and whole answers share one: its driver
    /// may have a body for it that it can't give in the form asked for, and [`Self::forget_answer`] then makes the request a miss.
    pub fn key_of_either_form(&self, plan: &Plan, request: &Request) -> Option<CacheKey> {
        let policy = plan.models.get(request.model.index())?.cache.as_ref()?;
        if policy.separate_streams || request.no_cache {
            return None;
        }
        self.cache_key(plan, request, self.directory.known_path(request.key)?)
    }

    /// What is left over.
    pub fn outstanding(&self) -> Outstanding {
        let (places, waiters) = self.limits.outstanding();
        Outstanding {
            holds: self.budget.open_holds() as u64,
            places,
            waiters: waiters as u64,
            calls: self.health.in_flight_in_all(),
            flights: self.flights.open() as u64,
            ready: self.ready.len() as u64,
        }
    }

    /// The whole state. Lossless: a gateway restored from it goes on exactly as this one would.
    ///
    /// Quick, as who serves waits for it: what there may be a million of is shared with this gateway until it changes here, and what can be made
    /// anew from that is left out.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(Self {
            ready: self.ready.clone(),
            directory: self.directory.clone(),
            budget: self.budget.frozen(),
            limits: self.limits.clone(),
            health: self.health.clone(),
            cache: self.cache.frozen(),
            flights: self.flights.clone(),
            loops: self.loops.clone(),
            models: self.models.clone(),
            deployments: self.deployments.clone(),
            ..*self
        })
    }

    /// The gateway of a snapshot.
    pub fn restore(snapshot: Snapshot) -> Self {
        let Snapshot(mut gateway) = snapshot;
        gateway.budget.thaw();
        gateway.cache.thaw();
        gateway
    }

    /// After a crash, when the requests that were in flight are gone: closes every open call as presumed at its worst case, returns every
    /// place, and forgets waiters and flights. Accounts, limits, cooldowns and breakers stay, and the cache with its `bodies`. Returns how many
    /// calls were open. Usage that comes for them later, by the provider's report if need be, goes to [`Self::late_usage`].
    pub fn recover<J: Journal>(&mut self, plan: &Plan, now: Time, bodies: Bodies, journal: &mut J) -> usize {
        self.advance(now);
        self.ready.clear();
        self.limits.forget_places();
        self.health.forget_places();
        self.flights.forget();
        if bodies == Bodies::Lost {
            self.cache.clear();
        }
        let calls = self.budget.presume_open(now, plan.late_usage_window, journal);
        let count = calls.len();
        journal.record(now, None, || Fact::Recovered { calls, bodies });
        count
    }

    /// Usage of a call that was closed before: turns its presumed amount into the confirmed one, once.
    pub fn late_usage<J: Journal>(&mut self, plan: &Plan, now: Time, request: RequestId, call: u32, usage: Usage, journal: &mut J) {
        self.advance(now);
        let Some((deployment, since)) = self.budget.presumed_on(request, call, now) else { return };
        let confirmed = plan.deployment(deployment).rates.at(since).cost(usage);
        if let Some(presumed) = self.budget.correct(request, call, now, confirmed, journal) {
            journal.record(now, Some(request), || Fact::Corrected { call, presumed, confirmed });
        }
    }

    /// Whether the retry budget of a model has a retry left.
    #[inline]
    pub(crate) fn may_retry(&self, plan: &Plan, model: ModelId) -> bool {
        plan.retry_budget.is_none_or(|policy| self.models[model.index()].may_retry(policy))
    }

    /// Time has come to `now`.
    ///
    /// # Panics
    /// If it runs backwards.
    #[inline]
    pub(crate) fn advance(&mut self, now: Time) {
        assert!(now >= self.now, "time runs backwards: {now:?} after {:?}", self.now);
        self.now = now;
    }

    fn fit(&mut self, plan: &Plan) {
        self.health.fit(plan);
        self.cache.resize(plan.cache_bytes_max);
        self.models.resize_with(plan.models.len(), ModelState::default);
        self.deployments.resize_with(plan.deployments.len(), Scope::default);
        let Self { directory, budget, limits, models, deployments, .. } = self;
        directory.put_everyone(&plan.budgets, &plan.limits, budget, limits);
        directory.put_end_user_default(plan.end_user_budget.as_ref(), budget);
        for ((state, model), id) in models.iter_mut().zip(&plan.models).zip(0..) {
            state.scope.put(Owner::Model(ModelId(id)), &model.budgets, &model.limits, budget, limits);
        }
        for ((state, deployment), id) in deployments.iter_mut().zip(&plan.deployments).zip(0..) {
            state.put(Owner::Deployment(DeploymentId(id)), &deployment.budgets, &deployment.limits, budget, limits);
        }
    }
}

/// The whole state of a [`Gateway`], as data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Snapshot(Gateway);
