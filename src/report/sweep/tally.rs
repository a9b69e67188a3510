//! What of one run goes into a cell of a sweep. Counts as `report::fold` does, and nothing that a cell does not show.

use super::CellResult;
use crate::gateway::failure::FailureClass;
use crate::gateway::journal::{Ended, Outcome};
use crate::gateway::money::Money;
use crate::gateway::time::Span;
use crate::report::histogram::Histogram;
use crate::report::totals::{Totals, Users};

/// The counters of one run, or of several seeds together.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    bill: Money,
    requests: u64,
    answered: u64,
    other_model: u64,
    rate_limited: u64,
    attempts: u64,
    latency: Histogram,
    users: Option<Box<Users>>,
}

impl Tally {
    /// Counts an arrival.
    #[inline]
    pub fn arrived(&mut self) {
        self.requests += 1;
    }

    /// Counts a call that is sent.
    #[inline]
    pub fn called(&mut self) {
        self.attempts += 1;
    }

    /// Counts an end, after `took`, and whether another model answered than was asked.
    #[inline]
    pub fn answered(&mut self, outcome: &Outcome, is_other_model: bool, took: Span) {
        if matches!(outcome, Outcome::Served { .. } | Outcome::Cached | Outcome::Shared) {
            self.answered += 1;
            self.latency.add(took);
        }
        self.other_model += u64::from(is_other_model);
    }

    /// Counts a closed call and its bill.
    #[inline]
    pub fn closed(&mut self, ended: Ended, amount: Money) {
        self.bill += amount;
        self.rate_limited += u64::from(ended == Ended::Failed(FailureClass::RateLimited));
    }

    /// Counts a user's end.
    pub fn user(&mut self, outcome: &Outcome, retries: u32, took: Span) {
        self.users.get_or_insert_default().count(outcome, retries, took);
    }

    /// Counts users whose requests were never sent.
    pub fn not_sent(&mut self, users: u64) {
        if users > 0 {
            self.users.get_or_insert_default().not_sent = users;
        }
    }

    /// Adds what is paid beside the calls.
    pub fn reserve(&mut self, amount: Money) {
        self.bill += amount;
    }

    /// The bill so far.
    pub fn bill(&self) -> Money {
        self.bill
    }
}

impl From<&Totals> for Tally {
    fn from(totals: &Totals) -> Self {
        Self {
            bill: totals.bill,
            requests: totals.requests,
            answered: totals.outcomes.answered(),
            other_model: totals.other_model,
            rate_limited: totals.call_failures[FailureClass::RateLimited as usize],
            attempts: totals.calls.iter().sum(),
            latency: totals.latency.clone(),
            users: totals.users.clone(),
        }
    }
}

/// The runs of one variant in one cell, seed by seed.
#[derive(Debug, Default)]
pub struct Seeds {
    bills: Vec<Money>,
    all: Tally,
}

impl Seeds {
    /// Adds the run of the next seed.
    pub fn add(&mut self, run: &Tally) {
        self.bills.push(run.bill);
        let all = &mut self.all;
        all.requests += run.requests;
        all.answered += run.answered;
        all.other_model += run.other_model;
        all.rate_limited += run.rate_limited;
        all.attempts += run.attempts;
        all.latency.merge(&run.latency);
        if let Some(users) = &run.users {
            all.users.get_or_insert_default().merge(users);
        }
    }

    /// The cell's result.
    pub fn result(self) -> CellResult {
        let Tally { requests, answered, other_model, rate_limited, attempts, latency, users, .. } = self.all;
        let (answered, requests, latency) =
            users.map_or((answered, requests, latency), |users| (users.outcomes.answered(), users.total(), users.latency));
        let p95 = latency.quantile(950);
        CellResult { bills: self.bills, answered: (answered, requests), p95, other_model, rate_limited, attempts, requests }
    }
}
