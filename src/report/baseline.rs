//! The recorded configuration three times, never mixed: as the log has it, as its usage costs at the prices in use, and as it was simulated. Decides
//! whether the simulation reproduces the log; without that no variant is worth a look.

use std::collections::BTreeMap;

use super::Variant;
use super::recorded::Log;
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};

/// The baseline and what the log says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// The variant that is as the log was recorded.
    pub variant: String,
    /// What the log says.
    pub recorded: Recorded,
    /// What the recorded usage costs at the prices in use.
    pub repriced: Money,
    /// What the variant came to, the mean over its seeds.
    pub simulated: Simulated,
    /// Re-priced and simulated dollars by model, team and hour.
    pub parts: Vec<Part>,
}

/// What a log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Requests in the traffic.
    pub requests: u64,
    /// Of these, those with a cost.
    pub with_cost: u64,
    /// The sum of the recorded costs.
    pub cost: Money,
    /// Calls; one for every request that no cache answered, unless the log counts attempts.
    pub calls: u64,
    /// Requests that were answered 429.
    pub rate_limited: u64,
    /// Requests that were answered by deployments that the variant doesn't have: re-priced as the first of the model asked for.
    pub elsewhere: u64,
    /// The duration that 95 of 100 answered requests did not exceed.
    pub p95: Option<Span>,
}

/// What a simulation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulated {
    /// The bill of its calls: capacity that is paid by the hour is in no log.
    pub cost: Money,
    /// Calls.
    pub calls: u64,
    /// Requests that ended with a 429: refused by the gateway's limits, or failed by a provider's.
    pub rate_limited: u64,
    /// The latency that 95 of 100 answered requests did not exceed.
    pub p95: Option<Span>,
}

/// What a part of the dollars is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The model asked for.
    Model,
    /// The team of the key.
    Team,
    /// The hour in which answers ended, or more hours if the run's series is coarser.
    Hour,
}

impl Kind {
    /// All kinds, in the order of reports.
    pub const ALL: [Self; 3] = [Self::Model, Self::Team, Self::Hour];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Team => "team",
            Self::Hour => "hour",
        }
    }
}

/// A part of the dollars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is about.
    pub kind: Kind,
    /// Which one.
    pub name: String,
    /// Re-priced.
    pub repriced: Money,
    /// Simulated.
    pub simulated: Money,
}

impl Part {
    /// Simulated less re-priced.
    pub fn residual(&self) -> Money {
        self.simulated - self.repriced
    }
}

/// How far the simulation may be off in all, in percent of the re-priced dollars.
const OFF_MAX: i128 = 2;
/// How far it may be off on a large model or team.
const OFF_MAX_OF_A_PART: i128 = 5;
/// From what share of all dollars on a part is large, in percent.
const LARGE: i128 = 10;

impl Baseline {
    /// Holds `variant` against `log`; `team_of` gives the team of a key, by its number in the log.
    ///
    /// # Panics
    /// If the variant has no runs.
    pub fn of(log: &Log, variant: &Variant, team_of: impl Fn(Option<u32>) -> Option<String>) -> Self {
        let merged = variant.merged();
        let runs = variant.runs.len() as u64;
        let mean = |sum: Money| Money(sum.0 / i128::from(runs));
        let recorded = Recorded {
            requests: log.requests,
            with_cost: log.with_cost,
            cost: log.cost,
            calls: log.calls,
            rate_limited: log.rate_limited,
            elsewhere: log.elsewhere,
            p95: log.durations.quantile(950),
        };
        let simulated = Simulated {
            cost: mean(merged.billed_by_call()),
            calls: merged.calls_sent() / runs,
            rate_limited: merged.requests_rate_limited() / runs,
            p95: merged.latency.quantile(950),
        };
        let mut parts = Parts::default();
        for (name, amount) in variant.names.models.iter().zip(&log.by_model) {
            parts.add(Kind::Model, name.clone(), *amount, Money::ZERO);
        }
        for (name, demand) in variant.names.models.iter().zip(&merged.asked) {
            parts.add(Kind::Model, name.clone(), Money::ZERO, mean(demand.bill));
        }
        for (amount, key) in log.by_key.iter().zip(std::iter::once(None).chain((0..).map(Some))) {
            if let Some(team) = team_of(key) {
                parts.add(Kind::Team, team, *amount, Money::ZERO);
            }
        }
        for (name, demand) in variant.names.teams.iter().zip(&merged.teams) {
            parts.add(Kind::Team, name.clone(), Money::ZERO, mean(demand.bill));
        }
        parts.add_hours(log, variant);
        Self { variant: variant.name.clone(), recorded, repriced: log.repriced, simulated, parts: parts.finish() }
    }

    /// Whether the simulated dollars are within 2 % of the re-priced ones, and within 5 % on every model and team that has a tenth of them.
    pub fn is_reproduced(&self) -> bool {
        !self.misses_in_all() && self.missed_parts().next().is_none()
    }

    /// Whether the dollars in all are off too far.
    pub fn misses_in_all(&self) -> bool {
        is_off(self.repriced, self.simulated.cost, OFF_MAX)
    }

    /// The large models and teams whose dollars are off too far.
    pub fn missed_parts(&self) -> impl Iterator<Item = &Part> {
        let is_large = |part: &Part| {
            let of = |part: Money, whole: Money| part.0 * 100 > whole.0 * LARGE;
            of(part.repriced, self.repriced) || of(part.simulated, self.simulated.cost)
        };
        let judged = self.parts.iter().filter(|part| part.kind != Kind::Hour);
        judged.filter(move |part| is_large(part) && is_off(part.repriced, part.simulated, OFF_MAX_OF_A_PART))
    }

    /// The parts of one kind that are off the most dollars, at most `count`; none if there is only one of the kind.
    pub fn largest_residuals(&self, kind: Kind, count: usize) -> Vec<&Part> {
        let mut parts: Vec<&Part> = self.parts.iter().filter(|part| part.kind == kind).collect();
        if parts.len() < 2 {
            return Vec::new();
        }
        parts.retain(|part| part.residual() != Money::ZERO);
        parts.sort_by_key(|part| std::cmp::Reverse(part.residual().0.abs()));
        parts.truncate(count);
        parts
    }
}

fn is_off(repriced: Money, simulated: Money, percent: i128) -> bool {
    (simulated - repriced).0.abs() * 100 > repriced.0 * percent
}

#[derive(Default)]
struct Parts(BTreeMap<(Kind, String), (Money, Money)>);

impl Parts {
    fn add(&mut self, kind: Kind, name: String, repriced: Money, simulated: Money) {
        if (repriced, simulated) != (Money::ZERO, Money::ZERO) {
            let part = self.0.entry((kind, name)).or_default();
            *part = (part.0 + repriced, part.1 + simulated);
        }
    }

    fn add_hours(&mut self, log: &Log, variant: &Variant) {
        let hour = Span::from_secs(3_600);
        let width = variant.runs.iter().map(|run| run.series.width()).max().unwrap_or(hour).max(hour);
        let start = |at: u64| date(Time(at - at % width.0));
        for (number, amount) in &log.by_hour {
            self.add(Kind::Hour, start(number * hour.0), *amount, Money::ZERO);
        }
        let runs = i128::try_from(variant.runs.len()).expect("few seeds");
        for (at, bucket) in variant.runs.iter().flat_map(|run| run.series.buckets()) {
            self.add(Kind::Hour, start(at.0), Money::ZERO, Money(bucket.cost.0 / runs));
        }
    }

    fn finish(self) -> Vec<Part> {
        self.0.into_iter().map(|((kind, name), (repriced, simulated))| Part { kind, name, repriced, simulated }).collect()
    }
}

/// An hour for people and for sorting: `2026-11-20 14:00 UTC`.
fn date(at: Time) -> String {
    let timestamp = i64::try_from(at.0 / 1_000_000_000).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    timestamp.map_or_else(String::new, |timestamp| timestamp.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
pub(crate) mod tests;
