//! Times in which deployments were down, read off requests in a row that they did not answer. Decides what is neither luck nor a cooldown nor a
//! limit; simulates nothing.

use super::log::{Attempt, Part};
use super::measure::Facts;
use crate::gateway::plan::{Model, Plan};
use crate::gateway::time::{Span, Time};

/// Requests in a row, and the time from the first to the last, from which on a deployment was down: shorter runs are luck.
const REQUESTS_MIN: usize = 6;
const SPAN_MIN: Span = Span::from_secs(30);
/// The same in cooldowns, each of which keeps requests away for one failure.
const COOLDOWNS_MIN: u64 = 4;

/// A time in which a deployment was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// From the first arrival of the log to the first request that was not answered.
    pub from: Span,
    /// From there to the last.
    pub lasts: Span,
    /// How many they were.
    pub requests: usize,
    /// Whether the log shows no failure, but that others answered.
    pub is_behind_fallbacks: bool,
}

/// The outages that failures of a deployment show, whose attempts these are, in the order of time.
pub fn of_failures(attempts: &[&Attempt], first: Time) -> Vec<Outage> {
    let runs = attempts.chunk_by(|left, right| has_failed(left) == has_failed(right)).filter(|run| has_failed(run[0]));
    runs.filter_map(|run| outage(run, first, SPAN_MIN, false)).collect()
}

/// The outages of all deployments of a model together that the log has only as answers of other models, by the number of the model.
///
/// A gateway that falls back logs who answered, not who was asked before. All requests in a row elsewhere may be an outage, cooldowns after single
/// failures, or a limit that nobody gets under. Here it is an outage if it lasts longer than cooldowns in a row would by chance, and if never within
/// it or in the minute before there were more requests in 60 s than the least that a limit can be: a bucket lets through at most twice that.
pub fn behind_fallbacks(part: &Part, facts: &Facts, plan: &Plan) -> Vec<Vec<Outage>> {
    let of_model = |(number, name): (u32, &String)| {
        let Some(model) = plan.find_model(name).map(|id| plan.model(id)) else { return Vec::new() };
        let mut attempts: Vec<&Attempt> = part.attempts.iter().filter(|attempt| attempt.model == number && attempt.left_after.is_none()).collect();
        attempts.sort_by_key(|attempt| attempt.at);
        let span_min = Span(SPAN_MIN.0.max(COOLDOWNS_MIN * longest_cooldown(model, plan).0));
        let least_limit = facts.models[number as usize].admitted.requests / 2;
        let seen = |outage: &Outage| {
            let own = |deployment: &&super::measure::DeploymentFacts| {
                model.deployments.iter().any(|id| plan.deployment(*id).name == deployment.name)
                    && deployment.outages.iter().any(|own| overlap(own, outage))
            };
            facts.deployments.iter().any(|deployment| own(&deployment))
        };
        let is_away = |attempt: &Attempt| attempt.is_elsewhere || has_failed(attempt);
        let runs = attempts.chunk_by(|left, right| is_away(left) == is_away(right)).filter(|run| is_away(run[0]));
        let outages = runs.filter(|run| most_within_a_minute(&attempts, run) <= least_limit);
        outages.filter_map(|run| outage(run, facts.first, span_min, true)).filter(|outage| !seen(outage)).collect()
    };
    (0..).zip(&part.models).map(of_model).collect()
}

fn has_failed(attempt: &Attempt) -> bool {
    attempt.status.is_some_and(|status| status >= 500)
}

fn outage(run: &[&Attempt], first: Time, span_min: Span, is_behind_fallbacks: bool) -> Option<Outage> {
    let lasts = run[run.len() - 1].at.since(run[0].at);
    let is_one = run.len() >= REQUESTS_MIN && lasts >= span_min;
    is_one.then(|| Outage { from: run[0].at.since(first), lasts, requests: run.len(), is_behind_fallbacks })
}

fn longest_cooldown(model: &Model, plan: &Plan) -> Span {
    let own = model.deployments.iter().filter_map(|id| plan.deployment(*id).cooldown_time);
    let open = model.breaker.as_ref().map(|breaker| breaker.open_for);
    own.chain(open).fold(model.cooldown.time, Span::max)
}

fn overlap(one: &Outage, other: &Outage) -> bool {
    one.from <= other.from + other.lasts && other.from <= one.from + one.lasts
}

/// The most of `attempts` in any 60 s from a minute before the run to its end.
fn most_within_a_minute(attempts: &[&Attempt], run: &[&Attempt]) -> u64 {
    let (from, until) = (Time(run[0].at.0.saturating_sub(Span::MINUTE.0)), run[run.len() - 1].at);
    let start = attempts.partition_point(|attempt| attempt.at < from);
    let (mut oldest, mut most) = (start, 0);
    for (index, attempt) in attempts.iter().enumerate().skip(start).take_while(|(_, attempt)| attempt.at <= until) {
        while attempts[oldest].at + Span::MINUTE <= attempt.at {
            oldest += 1;
        }
        most = most.max(index - oldest + 1);
    }
    most as u64
}
