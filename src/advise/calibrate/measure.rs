//! What can be counted in a log without a simulator: speeds, times in which a deployment was down, what clients do, the shape of the traffic.

use std::collections::BTreeMap;

use super::log::{Attempt, Part};
use super::outages::{self, Outage};
use super::pace::{self, Pace};
use crate::gateway::time::{Span, Time};
use crate::traffic::replay::link::Links;

/// What was counted in a part of a log.
#[derive(Debug)]
pub struct Facts {
    /// Models asked for, in the order of the log.
    pub models: Vec<ModelFacts>,
    /// Deployments that answered.
    pub deployments: Vec<DeploymentFacts>,
    /// When the first request arrived.
    pub first: Time,
    /// From the first arrival to the last.
    pub span: Span,
    /// Requests with their clients' retries.
    pub attempts: u64,
    /// Requests without.
    pub arrivals: u64,
    /// What linking did.
    pub links: Links,
    /// Retries of the client library after a failure.
    pub sdk_retries: u32,
    /// The coefficient of variation of the gaps between arrivals; exponential gaps have 1.
    pub gaps_cv: Option<f64>,
    /// Arrivals by hour of the day, in UTC.
    pub by_hour: [u64; 24],
    /// Arrivals whose content was asked for before, and those that have an identity at all.
    pub duplicates: (u64, u64),
    /// How long clients waited before they left, sorted, in nanoseconds.
    pub left_after: Vec<f64>,
    /// Whether the log counts calls beyond the first.
    pub counts_calls: bool,
}

/// One model as asked for.
#[derive(Debug)]
pub struct ModelFacts {
    /// Its name.
    pub name: String,
    /// Attempts that asked for it.
    pub attempts: u64,
    /// By minute since the first arrival.
    pub by_minute: Vec<u32>,
    /// The most attempts that were answered in 60 s up to one that was, and tokens of these.
    pub admitted: Window,
    /// The same at the least at which a 429 came; `None` if none came.
    pub refused: Option<Window>,
    /// Attempts answered 429.
    pub rate_limited: u64,
    /// When all its deployments were down and others answered; found where the gateway is known.
    pub outages: Vec<Outage>,
}

/// What was answered within 60 s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Requests.
    pub requests: u64,
    /// Input and output tokens.
    pub tokens: u64,
}

/// One deployment as it answered.
#[derive(Debug)]
pub struct DeploymentFacts {
    /// Its name.
    pub name: String,
    /// The most frequent status of the 5xx that ended there; 500 without any.
    pub status: u16,
    /// How fast it answers.
    pub pace: Pace,
    /// When it was down.
    pub outages: Vec<Outage>,
}

impl Facts {
    /// Counts a part of a log.
    pub fn of(part: &Part) -> Self {
        let first = part.first();
        let arrivals = || part.batches.iter().flat_map(|batch| &batch.rows).map(|row| row.at);
        let mut by_hour = [0; 24];
        arrivals().for_each(|at| by_hour[(at.0 / 3_600_000_000_000 % 24) as usize] += 1);
        let mut left_after: Vec<f64> = part.attempts.iter().filter_map(|attempt| attempt.left_after).map(|span| span.0 as f64).collect();
        left_after.sort_by(f64::total_cmp);
        Self {
            models: (0..).zip(&part.models).map(|(model, name)| of_model(part, model, name, first)).collect(),
            deployments: (0..).zip(&part.deployments).map(|(deployment, name)| of_deployment(part, deployment, name, first)).collect(),
            first,
            span: part.span(),
            attempts: part.attempts.len() as u64,
            arrivals: part.chains.len() as u64,
            links: part.links,
            sdk_retries: sdk_retries(part),
            gaps_cv: gaps_cv(arrivals()),
            by_hour,
            duplicates: part.duplicates,
            left_after,
            counts_calls: part.attempts.iter().any(|attempt| attempt.calls > 1),
        }
    }
}

fn of_model(part: &Part, model: u32, name: &str, first: Time) -> ModelFacts {
    let minutes = part.span().0 as usize / 60_000_000_000 + 1;
    let mut facts = ModelFacts {
        name: name.to_owned(),
        attempts: 0,
        by_minute: vec![0; minutes],
        admitted: Window::default(),
        refused: None,
        rate_limited: 0,
        outages: Vec::new(),
    };
    let mut attempts: Vec<&Attempt> = part.attempts.iter().filter(|attempt| attempt.model == model).collect();
    attempts.sort_by_key(|attempt| attempt.at);
    let (mut now, mut oldest) = (Window::default(), 0);
    let counts = |attempt: &Attempt| !attempt.is_elsewhere && !attempt.is_cached && attempt.status.is_none_or(|status| status < 400);
    let tokens = |attempt: &Attempt| u64::from(attempt.input_tokens) + u64::from(attempt.output_tokens.unwrap_or(0));
    for attempt in &attempts {
        facts.attempts += 1;
        let minute = attempt.at.since(first).0 as usize / 60_000_000_000;
        if let Some(count) = facts.by_minute.get_mut(minute) {
            *count += 1;
        }
        while attempts[oldest].at + Span::MINUTE <= attempt.at {
            if counts(attempts[oldest]) {
                now.requests -= 1;
                now.tokens -= tokens(attempts[oldest]);
            }
            oldest += 1;
        }
        if counts(attempt) {
            now.requests += 1;
            now.tokens += tokens(attempt);
            facts.admitted = Window { requests: facts.admitted.requests.max(now.requests), tokens: facts.admitted.tokens.max(now.tokens) };
        } else if attempt.status == Some(429) {
            facts.rate_limited += 1;
            let least = facts.refused.unwrap_or(now);
            facts.refused = Some(Window { requests: least.requests.min(now.requests), tokens: least.tokens.min(now.tokens) });
        }
    }
    facts
}

fn of_deployment(part: &Part, deployment: u32, name: &str, first: Time) -> DeploymentFacts {
    let mut attempts: Vec<&Attempt> = part.attempts.iter().filter(|attempt| attempt.deployment == Some(deployment)).collect();
    attempts.sort_by_key(|attempt| attempt.at);
    let failure = |attempt: &Attempt| attempt.status.filter(|status| *status >= 500);
    let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
    attempts.iter().filter_map(|attempt| failure(attempt)).for_each(|status| *statuses.entry(status).or_default() += 1);
    DeploymentFacts {
        name: name.to_owned(),
        status: statuses.iter().max_by_key(|(_, count)| **count).map_or(500, |(status, _)| *status),
        pace: Pace::of(attempts.iter().copied()),
        outages: outages::of_failures(&attempts, first),
    }
}

/// How often the client library tries again: as often as most requests were that were tried again and failed to the end. Where hardly any did, as
/// libraries do by default (P), or more if more were seen.
fn sdk_retries(part: &Part) -> u32 {
    const DEFAULT: u32 = 2;
    const CHAINS_MIN: u64 = 5;
    let mut tries: BTreeMap<u32, u64> = BTreeMap::new();
    let mut next = 0;
    for length in &part.chains {
        next += *length as usize;
        let last = part.attempts[next - 1];
        if *length > 1 && last.status.is_some_and(|status| matches!(status, 408 | 409 | 429 | 500..)) {
            *tries.entry(*length).or_default() += 1;
        }
    }
    let longest = part.chains.iter().copied().max().unwrap_or(1);
    let most = tries.iter().max_by_key(|(length, count)| (**count, **length)).filter(|(_, count)| **count >= CHAINS_MIN);
    most.map_or(DEFAULT.max(longest - 1), |(length, _)| length - 1)
}

fn gaps_cv(arrivals: impl Iterator<Item = Time>) -> Option<f64> {
    let (mut count, mut sum, mut squares, mut before) = (0.0, 0.0, 0.0, None);
    for at in arrivals {
        if let Some(gap) = before.replace(at).map(|before: Time| at.since(before).0 as f64) {
            (count, sum, squares) = (count + 1.0, sum + gap, squares + gap * gap);
        }
    }
    if count < 2.0 || sum <= 0.0 {
        return None;
    }
    let mean: f64 = sum / count;
    Some((squares / count - mean * mean).max(0.0).sqrt() / mean)
}

/// The tail of sorted durations in the words of a report.
pub fn quantiles(sorted: &[f64]) -> Option<[Span; 3]> {
    let at = |share| pace::quantile(sorted, share).map(|value| Span(value as u64));
    Some([at(0.5)?, at(0.9)?, at(0.99)?])
}
