//! Folds what a log says about its requests: what it says they cost, and what their recorded usage costs at the prices in use. Knows no trace and
//! no simulator.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::histogram::Histogram;
use super::totals::row;
use crate::gateway::id::{DeploymentId, ModelId};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};

/// Nanoseconds in an hour.
const HOUR: u64 = 3_600_000_000_000;

/// One request as the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When the call to answer it was made, which it is priced by.
    pub made_at: Time,
    /// When its answer ended.
    pub ended_at: Time,
    /// The model that it asked for.
    pub model: ModelId,
    /// The deployment that answered, if the log names one that the plan has.
    pub deployment: Option<DeploymentId>,
    /// Whether it was answered by a deployment that the plan doesn't have.
    pub is_elsewhere: bool,
    /// The number of its key in the log.
    pub key: Option<u32>,
    /// What it was billed for, as far as the log says or lets guess; `None` if for nothing.
    pub usage: Option<Usage>,
    /// What the client's attempts before the last one cost at the prices in use.
    pub earlier: Money,
    /// Whether the log has the length of the answer, or that there was none.
    pub has_usage: bool,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// What the log says that it cost.
    pub cost: Option<Money>,
    /// From the gateway's hearing of it (the last time, if the client tried more than once) to the end of the answer.
    pub duration: Option<Span>,
    /// Calls that the gateway made for it; 0 if its cache answered.
    pub calls: u32,
    /// How often its client was answered 429.
    pub rate_limited: u64,
}

/// What a log says in all. Memory grows with its keys and its hours.
#[derive(Debug, Clone)]
pub struct Log {
    plan: Arc<Plan>,
    /// Requests in the traffic, whatever the log says about them.
    pub requests: u64,
    /// Of these, those with a cost.
    pub with_cost: u64,
    /// Of these, those with a status.
    pub with_status: u64,
    /// Of these, those with usage.
    pub with_usage: u64,
    /// The sum of the recorded costs.
    pub cost: Money,
    /// Calls made.
    pub calls: u64,
    /// Answers that were a 429, to clients that tried again or gave up.
    pub rate_limited: u64,
    /// Requests that were answered by deployments that the plan doesn't have.
    pub elsewhere: u64,
    /// How long answered requests took.
    pub durations: Histogram,
    /// Recorded usage at the prices in use.
    pub repriced: Money,
    /// The same by model asked for.
    pub by_model: Vec<Money>,
    /// The same by key: first those without one, then the log's keys by number.
    pub by_key: Vec<Money>,
    /// The same by the hour (since the epoch) in which the answer ended.
    pub by_hour: BTreeMap<u64, Money>,
}

impl Log {
    /// An empty log, to be priced under `plan`.
    pub fn new(plan: Arc<Plan>) -> Self {
        Self {
            plan,
            requests: 0,
            with_cost: 0,
            with_status: 0,
            with_usage: 0,
            cost: Money::ZERO,
            calls: 0,
            rate_limited: 0,
            elsewhere: 0,
            durations: Histogram::default(),
            repriced: Money::ZERO,
            by_model: Vec::new(),
            by_key: Vec::new(),
            by_hour: BTreeMap::new(),
        }
    }

    /// Counts a request, and gives what it costs at the prices in use: at the deployment that answered, or
    /// where the log doesn't name one of the plan's, at the first of the model asked for.
    pub fn add(&mut self, entry: &Entry) -> Money {
        let plan = &self.plan;
        let price = entry.deployment.map_or(&plan.model(entry.model).reference, |id| &plan.deployment(id).rates);
        let amount = entry.usage.map_or(Money::ZERO, |usage| price.at(entry.made_at).cost(usage)) + entry.earlier;
        self.requests += 1;
        self.with_cost += u64::from(entry.cost.is_some());
        self.with_status += u64::from(entry.status.is_some());
        self.with_usage += u64::from(entry.has_usage);
        self.cost += entry.cost.unwrap_or_default();
        self.calls += u64::from(entry.calls);
        self.rate_limited += entry.rate_limited;
        self.elsewhere += u64::from(entry.is_elsewhere);
        if let Some(duration) = entry.duration.filter(|_| entry.status.is_none_or(|status| status < 400)) {
            self.durations.add(duration);
        }
        self.repriced += amount;
        *row(&mut self.by_model, entry.model.index()) += amount;
        *row(&mut self.by_key, entry.key.map_or(0, |key| key as usize + 1)) += amount;
        *self.by_hour.entry(entry.ended_at.0 / HOUR).or_default() += amount;
        amount
    }

    /// Counts requests that come before the log says anything about how requests end.
    pub fn add_silent(&mut self, requests: u64) {
        self.requests += requests;
    }

    /// Whether a simulation can be held against the log: most of its requests have a cost or a status, and most have usage.
    pub fn can_be_checked(&self) -> bool {
        let most = |part: u64| part * 2 > self.requests;
        (most(self.with_cost) || most(self.with_status)) && most(self.with_usage) && self.repriced > Money::ZERO
    }
}
