//! The counters themselves: integers by number of model, deployment and key. They count while the lock is held, so nothing here allocates for what it
//! has seen before.

use std::collections::{BTreeMap, HashMap};

use crate::gateway::id::{DeploymentId, KeyId, ModelId, RequestId};
use crate::gateway::in_flight::Event;
use crate::gateway::journal::{Alert, BreakerState, CallClosed, Certainty, Denial, Ended, Fact, Outcome, Skip};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::Time;
use crate::serve::observe::Context;

/// Upper ends of the latency buckets, in milliseconds; above the last is infinity.
pub const LATENCY_MS: [u64; 14] = [50, 100, 200, 400, 800, 1_500, 3_000, 5_000, 10_000, 20_000, 40_000, 60_000, 120_000, 600_000];

/// What was counted since the start of the process.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests that had their end, by model asked for and how they ended.
    pub requests: BTreeMap<(ModelId, &'static str), u64>,
    /// Calls to providers, by deployment and how they ended.
    pub calls: BTreeMap<(DeploymentId, &'static str), u64>,
    /// Tokens that providers billed or are presumed to bill.
    pub tokens: BTreeMap<(DeploymentId, &'static str), u64>,
    /// What they cost, by deployment and whether it is known.
    pub spend: BTreeMap<(DeploymentId, &'static str), Money>,
    /// What keys have spent; shown by team.
    pub spend_of_keys: BTreeMap<KeyId, Money>,
    /// Spend on calls that delivered nothing, by how they ended.
    pub wasted: BTreeMap<(DeploymentId, &'static str), Money>,
    /// Output tokens that were billed and did not reach a client.
    pub undelivered: BTreeMap<DeploymentId, u64>,
    /// What answers from the cache had cost when they were made.
    pub saved: BTreeMap<ModelId, Money>,
    /// Refusals by reason and whether they were only observed.
    pub refusals: BTreeMap<(&'static str, bool), u64>,
    /// Groups and deployments passed over, by reason.
    pub skips: BTreeMap<&'static str, u64>,
    /// Cooldowns begun, by deployment.
    pub cooldowns: BTreeMap<DeploymentId, u64>,
    /// Until when each deployment cools.
    pub cools_until: BTreeMap<DeploymentId, Time>,
    /// How each breaker stands.
    pub breakers: BTreeMap<DeploymentId, BreakerState>,
    /// Alerts by kind.
    pub alerts: BTreeMap<&'static str, u64>,
    /// What late usage has taken off presumed spend, or put on it.
    pub corrected: Money,
    /// Windows that closed above their limit.
    pub breaches: u64,
    /// Times from arrival to the client's end, by model asked for.
    pub latency: BTreeMap<ModelId, Histogram>,
    /// Times from arrival to the first content of streams, by model asked for.
    pub first_token: BTreeMap<ModelId, Histogram>,
    /// Requests that were turned away before the core, by status.
    pub turned_away: BTreeMap<u16, u64>,
    arrived: HashMap<RequestId, Time>,
}

/// Times in buckets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Histogram {
    /// How many in each bucket of [`LATENCY_MS`], and above.
    pub counts: [u64; LATENCY_MS.len() + 1],
    /// All times together, in nanoseconds.
    pub sum: u128,
}

impl Histogram {
    fn add(&mut self, nanos: u64) {
        let place = LATENCY_MS.iter().position(|most| nanos <= most * 1_000_000).unwrap_or(LATENCY_MS.len());
        self.counts[place] += 1;
        self.sum += u128::from(nanos);
    }
}

impl Tally {
    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.arrived.len()
    }

    /// Takes a fact.
    pub fn observe(&mut self, context: &Context<'_>, fact: &Fact) {
        match fact {
            Fact::Told(Event::Arrived(request)) => {
                self.arrived.insert(request.id, context.now);
            }
            Fact::Opened { .. } => self.opened(context),
            Fact::Answered { outcome } => self.answered(context, *outcome),
            Fact::Closed => {
                self.arrived.remove(&context.request.map_or(RequestId(u64::MAX), |request| request.id));
            }
            Fact::CallClosed(closed) => self.closed(context, closed),
            Fact::Corrected { presumed, confirmed, .. } => self.corrected(context, *presumed, *confirmed),
            Fact::CacheHit { saved } => {
                if let Some(request) = context.request {
                    *self.saved.entry(request.model).or_default() += *saved;
                }
            }
            Fact::Refused { denial, observed } => *self.refusals.entry((reason(*denial), *observed)).or_default() += 1,
            Fact::Skipped { reason, .. } => *self.skips.entry(skip(*reason)).or_default() += 1,
            Fact::Cooled { deployment, until, .. } => {
                *self.cooldowns.entry(*deployment).or_default() += 1;
                self.cools_until.insert(*deployment, *until);
            }
            Fact::BreakerTurned { deployment, to } => {
                self.breakers.insert(*deployment, *to);
            }
            Fact::Alerted(alert) => *self.alerts.entry(kind(*alert)).or_default() += 1,
            Fact::Breached { .. } => self.breaches += 1,
            _ => {}
        }
    }

    /// Counts a request that the core does not get to see.
    pub fn turned_away(&mut self, status: u16) {
        *self.turned_away.entry(status).or_default() += 1;
    }

    fn opened(&mut self, context: &Context<'_>) {
        let Some(request) = context.request.filter(|request| request.stream) else { return };
        if let Some(arrived) = self.arrived.get(&request.id) {
            self.first_token.entry(request.model).or_default().add(context.now.since(*arrived).0);
        }
    }

    fn answered(&mut self, context: &Context<'_>, outcome: Outcome) {
        let Some(request) = context.request else { return };
        // Names that clients invent must not become series: what no model answers to is counted together.
        let known = context.plan.models.get(request.model.index()).map_or(ModelId(u32::MAX), |_| request.model);
        *self.requests.entry((known, end(outcome))).or_default() += 1;
        if let Some(arrived) = self.arrived.get(&request.id) {
            self.latency.entry(known).or_default().add(context.now.since(*arrived).0);
        }
    }

    fn closed(&mut self, context: &Context<'_>, closed: &CallClosed) {
        let CallClosed { deployment, ended, usage, delivered, amount, certainty, .. } = *closed;
        *self.calls.entry((deployment, call_end(ended))).or_default() += 1;
        if amount != Money::ZERO || certainty == Certainty::Confirmed {
            for (class, tokens) in classes(usage) {
                *self.tokens.entry((deployment, class)).or_default() += u64::from(tokens);
            }
        }
        *self.spend.entry((deployment, sure(certainty))).or_default() += amount;
        if let Some(request) = context.request {
            *self.spend_of_keys.entry(request.key).or_default() += amount;
        }
        if ended != Ended::Delivered {
            *self.wasted.entry((deployment, call_end(ended))).or_default() += amount;
        }
        *self.undelivered.entry(deployment).or_default() += u64::from(usage.output.saturating_sub(delivered));
    }

    /// Usage that came late turns a presumed amount into the confirmed one. Of which deployment it was is not in the fact: the sums by key are set
    /// right, and those by deployment stay as they were presumed, with the difference in a sum of its own.
    fn corrected(&mut self, context: &Context<'_>, presumed: Money, confirmed: Money) {
        self.corrected += confirmed - presumed;
        if let Some(request) = context.request {
            let spent = self.spend_of_keys.entry(request.key).or_default();
            *spent += confirmed - presumed;
        }
    }
}

/// A usage in parts that overlap nowhere.
fn classes(usage: Usage) -> [(&'static str, u32); 4] {
    let written = usage.cache_write + usage.cache_write_1h;
    let plain = usage.input.saturating_sub(usage.cache_read).saturating_sub(written);
    [("input", plain), ("cache_read", usage.cache_read), ("cache_write", written), ("output", usage.output)]
}

/// The word for how a request ended.
pub fn end(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Served { .. } => "served",
        Outcome::Cached => "cached",
        Outcome::Shared => "shared",
        Outcome::Refused(_) => "refused",
        Outcome::Failed(_) => "failed",
        Outcome::Abandoned => "abandoned",
    }
}

fn call_end(ended: Ended) -> &'static str {
    match ended {
        Ended::Delivered => "delivered",
        Ended::Failed(class) => class.name(),
        Ended::TimedOut => "timed_out",
        Ended::Cancelled => "cancelled",
        Ended::Discarded => "discarded",
    }
}

fn sure(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Confirmed => "confirmed",
        Certainty::Presumed => "presumed",
    }
}

/// The word for why a request was refused.
pub fn reason(denial: Denial) -> &'static str {
    match denial {
        Denial::UnknownKey => "unknown_key",
        Denial::Blocked => "blocked",
        Denial::Deleted => "deleted",
        Denial::Expired => "expired",
        Denial::ModelNotAllowed => "model_not_allowed",
        Denial::UnknownModel => "unknown_model",
        Denial::Limited(_) => "limited",
        Denial::QueueFull(_) => "queue_full",
        Denial::Loop => "loop",
        Denial::Budget(_) => "budget",
        Denial::TooLong => "too_long",
        Denial::DeadlinePassed => "deadline_passed",
        Denial::CannotExpress => "cannot_express",
    }
}

fn skip(reason: Skip) -> &'static str {
    match reason {
        Skip::Budget(_) => "budget",
        Skip::PriceRatio => "price_ratio",
        Skip::Tier => "tier",
        Skip::Unhealthy => "unhealthy",
        Skip::TooLong => "too_long",
        Skip::RetryBudget => "retry_budget",
        Skip::ModelNotAllowed => "model_not_allowed",
        Skip::Retired => "retired",
        Skip::CannotExpress => "cannot_express",
    }
}

fn kind(alert: Alert) -> &'static str {
    match alert {
        Alert::BudgetLevel { .. } => "budget_level",
        Alert::FallbackShare { .. } => "fallback_share",
        Alert::Loop { .. } => "loop",
        Alert::Recovered { .. } => "recovered",
    }
}

/// The name of a model, for a label; one word for all that the plan does not have.
pub fn model_name(plan: &Plan, model: ModelId) -> &str {
    plan.models.get(model.index()).map_or("unknown", |model| &model.name)
}
