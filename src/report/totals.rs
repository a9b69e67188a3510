//! The counters that one run is folded into: how many, how much, by whom. Knows no order of events (`fold` does) and no names.

use std::ops::AddAssign;

use super::cause::Causes;
use super::histogram::Histogram;
use crate::gateway::failure::{CLASSES, FailureClass};
use crate::gateway::id::DeploymentId;
use crate::gateway::journal::{Denial, Outcome};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};

macro_rules! sums {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl AddAssign<&Self> for $name {
            fn add_assign(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }
    )*};
}

sums! {
    /// How requests ended for their clients.
    Outcomes {
        /// An upstream call answered.
        served: u64,
        /// The response cache answered.
        cached: u64,
        /// The call of an identical request answered.
        shared: u64,
        /// The gateway refused.
        refused: u64,
        /// Every attempt failed.
        failed: u64,
        /// The client left first.
        abandoned: u64,
    }

    /// What was asked for under one name: a model, a key, a team.
    Demand {
        /// Requests that arrived.
        requests: u64,
        /// Requests answered, in whatever way.
        answered: u64,
        /// Of these, answered by another model than asked.
        other_model: u64,
        /// Requests refused.
        refused: u64,
        /// Requests failed.
        failed: u64,
        /// Calls made for it.
        calls: u64,
        /// What these were billed.
        bill: Money,
    }

    /// What was called under one name: a deployment, a model group.
    Supply {
        /// Calls closed.
        calls: u64,
        /// Of these, those that delivered an answer.
        delivered: u64,
        /// Of these, 429s.
        rate_limited: u64,
        /// Of these, other failures and time-outs.
        failed: u64,
        /// Input tokens billed.
        input_tokens: u64,
        /// Output tokens billed.
        output_tokens: u64,
        /// The bill.
        bill: Money,
    }

    /// Calls to another model than the one that a request's tokens were counted by.
    Crossed {
        /// Calls closed.
        calls: u64,
        /// What these were billed.
        bill: Money,
    }

    /// Tokens as billed by the world, and as delivered.
    Tokens {
        /// Input, cached input included.
        input: u64,
        /// Of `input`, read from a prompt cache.
        cache_read: u64,
        /// Of `input`, written to a prompt cache.
        cache_write: u64,
        /// Output, reasoning included.
        output: u64,
        /// Of `output`, reasoning.
        reasoning: u64,
        /// Output that reached a client.
        output_delivered: u64,
    }

    /// Calls that were closed, by how they ended; 429s and other failures by class are in [`Totals::call_failures`].
    Ends {
        /// Delivered the answer.
        delivered: u64,
        /// Failed.
        failed: u64,
        /// Ended by a time-out of the gateway.
        timed_out: u64,
        /// Closed because the client had left.
        cancelled: u64,
        /// Ended well when nobody was there any more.
        discarded: u64,
    }

    /// What the gateway's own ledger says.
    Ledger {
        /// Amounts whose usage was seen.
        confirmed: Money,
        /// Amounts that stand in for usage that was not seen.
        presumed: Money,
        /// Calls closed with a confirmed amount.
        confirmed_calls: u64,
        /// Calls closed with a presumed amount.
        presumed_calls: u64,
        /// Presumed amounts that late usage has confirmed since.
        corrected_calls: u64,
    }

    /// What happened beside answering.
    Incidents {
        /// Requests that would have been refused, had their budget been enforced.
        observed_refusals: u64,
        /// Requests that waited for an identical one.
        followed: u64,
        /// Requests that waited before a concurrency limit.
        queued: u64,
        /// Groups and deployments that were passed over.
        skipped: u64,
        /// Cooldowns begun.
        cooldowns: u64,
        /// Breakers opened.
        breakers_opened: u64,
        /// Alerts about levels of budgets.
        budget_alerts: u64,
        /// Alerts about shares of fallbacks.
        fallback_alerts: u64,
        /// Alerts about loops.
        loop_alerts: u64,
        /// Notices that a deployment is back.
        recoveries: u64,
        /// Times that a budget window was closed above its limit.
        breaches: u64,
        /// By how much, in all.
        breached: Money,
        /// What the answers given from the cache had cost when they were made.
        cache_saved: Money,
        /// Calls that waited for a place of their provider.
        calls_queued: u64,
        /// How long in all, in whole milliseconds.
        calls_queued_ms: u64,
        /// Calls that found the provider's queue full or waited in vain.
        calls_turned_away: u64,
    }
}

impl Outcomes {
    /// Counts one end.
    #[inline]
    pub fn count(&mut self, outcome: &Outcome) {
        *(match outcome {
            Outcome::Served { .. } => &mut self.served,
            Outcome::Cached => &mut self.cached,
            Outcome::Shared => &mut self.shared,
            Outcome::Refused(_) => &mut self.refused,
            Outcome::Failed(_) => &mut self.failed,
            Outcome::Abandoned => &mut self.abandoned,
        }) += 1;
    }

    /// Requests that got an answer.
    pub fn answered(&self) -> u64 {
        self.served + self.cached + self.shared
    }

    /// Requests that have come to an end.
    pub fn total(&self) -> u64 {
        self.answered() + self.refused + self.failed + self.abandoned
    }
}

impl Tokens {
    /// Counts the usage of one call.
    #[inline]
    pub fn count(&mut self, usage: Usage, delivered: u32) {
        self.input += u64::from(usage.input);
        self.cache_read += u64::from(usage.cache_read);
        self.cache_write += u64::from(usage.cache_write) + u64::from(usage.cache_write_1h);
        self.output += u64::from(usage.output);
        self.reasoning += u64::from(usage.reasoning);
        self.output_delivered += u64::from(delivered);
    }
}

impl Ledger {
    /// Everything that the ledger holds.
    pub fn total(&self) -> Money {
        self.confirmed + self.presumed
    }
}

/// How many kinds of denials there are.
pub const DENIALS: usize = DENIAL_NAMES.len();

/// The names of denials in reports, in the order of [`denial_index`].
pub const DENIAL_NAMES: [&str; 13] = [
    "unknown key",
    "blocked",
    "deleted",
    "expired",
    "model not allowed",
    "unknown model",
    "rate limit",
    "queue full",
    "loop",
    "budget",
    "too long",
    "deadline passed",
    "cannot express",
];

/// The place of a denial's kind in [`DENIAL_NAMES`].
#[inline]
pub const fn denial_index(denial: &Denial) -> usize {
    match denial {
        Denial::UnknownKey => 0,
        Denial::Blocked => 1,
        Denial::Deleted => 2,
        Denial::Expired => 3,
        Denial::ModelNotAllowed => 4,
        Denial::UnknownModel => 5,
        Denial::Limited(_) => 6,
        Denial::QueueFull(_) => 7,
        Denial::Loop => 8,
        Denial::Budget(_) => 9,
        Denial::TooLong => 10,
        Denial::DeadlinePassed => 11,
        Denial::CannotExpress => 12,
    }
}

/// How users fared, where clients retry or wait for each other's answers: a user's call is one row of the traffic, however many requests it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Users {
    /// How their last requests ended; one that the client's library gave up on counts as failed.
    pub outcomes: Outcomes,
    /// Requests beyond the first.
    pub retries: u64,
    /// Rows that were never sent, as their session had stopped.
    pub not_sent: u64,
    /// From the first request to the end of the answer, over users who got one.
    pub latency: Histogram,
}

impl Users {
    /// Counts one user's end.
    pub fn count(&mut self, outcome: &Outcome, retries: u32, took: Span) {
        self.outcomes.count(outcome);
        self.retries += u64::from(retries);
        if matches!(outcome, Outcome::Served { .. } | Outcome::Cached | Outcome::Shared) {
            self.latency.add(took);
        }
    }

    /// Rows of the traffic.
    pub fn total(&self) -> u64 {
        self.outcomes.total() + self.not_sent
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.outcomes += &other.outcomes;
        self.retries += other.retries;
        self.not_sent += other.not_sent;
        self.latency.merge(&other.latency);
    }
}

/// Everything about one variant under one seed (or, merged, under several) in memory that does not grow with the number of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// The first arrival; `Time::MAX` before there is one.
    pub first: Time,
    /// The last arrival.
    pub last_arrival: Time,
    /// The last thing that happened.
    pub last: Time,
    /// Requests that arrived.
    pub requests: u64,
    /// How they ended; adds up to `requests` when the run is over.
    pub outcomes: Outcomes,
    /// Refused requests by [`denial_index`].
    pub denials: [u64; DENIALS],
    /// Failed requests by the class of the last failure.
    pub failures: [u64; CLASSES],
    /// Requests answered by another model than asked.
    pub other_model: u64,
    /// Calls sent, by position.
    pub calls: [u64; 4],
    /// Calls closed, by end.
    pub ends: Ends,
    /// Failed calls by class; 429s are among them.
    pub call_failures: [u64; CLASSES],
    /// What the world billed.
    pub bill: Money,
    /// What the gateway's ledger says.
    pub ledger: Ledger,
    /// The bill by cause.
    pub causes: Causes,
    /// Of the bill, calls that went on for others after the client that is billed for them had left.
    pub shared: Money,
    /// The bill by position of the call, without what is [`Causes::reserved`].
    pub by_position: [Money; 4],
    /// By pair of models, as the plan's token table numbers them.
    pub crossed: Vec<Crossed>,
    /// By model asked for.
    pub asked: Vec<Demand>,
    /// By key.
    pub keys: Vec<Demand>,
    /// By team.
    pub teams: Vec<Demand>,
    /// By tag. A request with several counts under each: they add up to no total.
    pub tags: Vec<Demand>,
    /// Of the bill, the calls for requests with any tag, each once.
    pub tagged: Money,
    /// By group called.
    pub called: Vec<Supply>,
    /// By deployment.
    pub deployments: Vec<Supply>,
    /// Tokens.
    pub tokens: Tokens,
    /// Calls that read a part of their input from a prompt cache.
    pub prompt_cache_hits: u64,
    /// From arrival to the answer's end, over answered requests.
    pub latency: Histogram,
    /// From arrival to the answer's beginning, over answers that were streamed.
    pub first_token: Histogram,
    /// What else happened.
    pub incidents: Incidents,
    /// The most calls that one request caused.
    pub calls_of_one_request_max: u32,
    /// The dearest worst case of one call.
    pub worst_case_of_one_call_max: Money,
    /// The dearest bill of one call.
    pub bill_of_one_call_max: Money,
    /// How users fared, where that is not how their requests did.
    pub users: Option<Box<Users>>,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            first: Time::MAX,
            last_arrival: Time(0),
            last: Time(0),
            requests: 0,
            outcomes: Outcomes::default(),
            denials: [0; DENIALS],
            failures: [0; CLASSES],
            other_model: 0,
            calls: [0; 4],
            ends: Ends::default(),
            call_failures: [0; CLASSES],
            bill: Money::ZERO,
            ledger: Ledger::default(),
            causes: Causes::default(),
            shared: Money::ZERO,
            by_position: [Money::ZERO; 4],
            crossed: Vec::new(),
            asked: Vec::new(),
            keys: Vec::new(),
            teams: Vec::new(),
            tags: Vec::new(),
            tagged: Money::ZERO,
            called: Vec::new(),
            deployments: Vec::new(),
            tokens: Tokens::default(),
            prompt_cache_hits: 0,
            latency: Histogram::default(),
            first_token: Histogram::default(),
            incidents: Incidents::default(),
            calls_of_one_request_max: 0,
            worst_case_of_one_call_max: Money::ZERO,
            bill_of_one_call_max: Money::ZERO,
            users: None,
        }
    }
}

impl Totals {
    /// Empty counters for a run under `plan`.
    pub fn new(plan: &Plan) -> Self {
        let (models, deployments) = (plan.models.len(), plan.deployments.len());
        Self {
            asked: vec![Demand::default(); models],
            called: vec![Supply::default(); models],
            deployments: vec![Supply::default(); deployments],
            ..Self::default()
        }
    }

    /// Adds what another run (of another seed) has counted.
    pub fn merge(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last_arrival = self.last_arrival.max(other.last_arrival);
        self.last = self.last.max(other.last);
        self.requests += other.requests;
        self.outcomes += &other.outcomes;
        add_all(&mut self.denials, &other.denials);
        add_all(&mut self.failures, &other.failures);
        self.other_model += other.other_model;
        add_all(&mut self.calls, &other.calls);
        self.ends += &other.ends;
        add_all(&mut self.call_failures, &other.call_failures);
        self.bill += other.bill;
        self.ledger += &other.ledger;
        self.causes += &other.causes;
        self.shared += other.shared;
        for (mine, theirs) in self.by_position.iter_mut().zip(other.by_position) {
            *mine += theirs;
        }
        add_rows(&mut self.crossed, &other.crossed);
        add_rows(&mut self.asked, &other.asked);
        add_rows(&mut self.keys, &other.keys);
        add_rows(&mut self.teams, &other.teams);
        add_rows(&mut self.tags, &other.tags);
        self.tagged += other.tagged;
        add_rows(&mut self.called, &other.called);
        add_rows(&mut self.deployments, &other.deployments);
        self.tokens += &other.tokens;
        self.prompt_cache_hits += other.prompt_cache_hits;
        self.latency.merge(&other.latency);
        self.first_token.merge(&other.first_token);
        self.incidents += &other.incidents;
        self.calls_of_one_request_max = self.calls_of_one_request_max.max(other.calls_of_one_request_max);
        self.worst_case_of_one_call_max = self.worst_case_of_one_call_max.max(other.worst_case_of_one_call_max);
        self.bill_of_one_call_max = self.bill_of_one_call_max.max(other.bill_of_one_call_max);
        if let Some(other) = &other.users {
            self.users.get_or_insert_default().merge(other);
        }
    }

    /// What was asked for and got an answer, and what was asked for: by users, whose requests may be several for one answer.
    pub fn answered_of(&self) -> (u64, u64) {
        self.users.as_ref().map_or((self.outcomes.answered(), self.requests), |users| (users.outcomes.answered(), users.total()))
    }

    /// How long users waited for their answers.
    pub fn waited(&self) -> &Histogram {
        self.users.as_ref().map_or(&self.latency, |users| &users.latency)
    }

    /// Adds what the capacity of one deployment cost over the run: to the bill, to its causes and to the deployment's own.
    pub fn reserve(&mut self, deployment: DeploymentId, amount: Money) {
        self.bill += amount;
        self.causes.reserved += amount;
        row(&mut self.deployments, deployment.index()).bill += amount;
    }

    /// What all calls were billed: the bill without reserved capacity, which no ledger of calls has.
    pub fn billed_by_call(&self) -> Money {
        self.bill - self.causes.reserved
    }

    /// Calls sent.
    pub fn calls_sent(&self) -> u64 {
        self.calls.iter().sum()
    }

    /// Retries sent, on the same deployment or another.
    pub fn retries(&self) -> u64 {
        self.calls[1] + self.calls[2]
    }

    /// Calls sent to another group than asked for.
    pub fn fallbacks(&self) -> u64 {
        self.calls[3]
    }

    /// Requests whose clients saw a 429: from the gateway's limits, or because every attempt failed and the last failure is one.
    pub fn requests_rate_limited(&self) -> u64 {
        let failed = FailureClass::ALL.iter().zip(self.failures).filter(|(class, _)| class.status() == 429);
        let refused = ["rate limit", "queue full"].iter().flat_map(|limit| DENIAL_NAMES.iter().position(|name| name == limit));
        failed.map(|(_, count)| count).chain(refused.map(|index| self.denials[index])).sum()
    }

    /// Calls that ended with a 429.
    pub fn rate_limited(&self) -> u64 {
        self.call_failures[FailureClass::RateLimited as usize]
    }
}

/// The row at `index`, added if there is none yet.
#[inline]
pub(super) fn row<T: Clone + Default>(rows: &mut Vec<T>, index: usize) -> &mut T {
    if index >= rows.len() {
        rows.resize(index + 1, T::default());
    }
    &mut rows[index]
}

fn add_all(mine: &mut [u64], theirs: &[u64]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += theirs;
    }
}

fn add_rows<T: Clone + Default + for<'a> AddAssign<&'a T>>(mine: &mut Vec<T>, theirs: &[T]) {
    for (index, theirs) in theirs.iter().enumerate() {
        *row(mine, index) += theirs;
    }
}
