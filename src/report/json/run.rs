//! The part of `report.json` that is about one run: its counters, in both directions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counters::{IncidentsJson, LedgerJson, TokensJson};
use super::{Name, Text, Usd};
use crate::gateway::failure::FailureClass;
use crate::gateway::money::Money;
use crate::gateway::time::Time;
use crate::report::cause::{Causes, POSITIONS, Waste, position_name};
use crate::report::histogram::Histogram;
use crate::report::series::Series;
use crate::report::totals::{DENIAL_NAMES, Demand, Ends, Outcomes, Supply, Totals, Users};
use crate::report::{Names, Run};

/// One variant under one seed.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RunJson<'a> {
    /// What its luck was drawn from.
    pub seed: u64,
    /// What the world billed, reserved capacity included.
    bill: Usd,
    /// The first arrival, the last one, and the last thing that happened, in nanoseconds since the Unix epoch.
    first_ns: u64,
    last_arrival_ns: u64,
    last_ns: u64,
    requests: RequestsJson,
    /// How users fared, where their clients retry or wait: one user's call may be several requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<UsersJson>,
    calls: CallsJson,
    cause: CauseJson,
    /// The bill by position of the call, without reserved capacity.
    by_position: BTreeMap<Name, Usd>,
    ledger: LedgerJson,
    tokens: TokensJson,
    /// From arrival to the end of the answer, over answered requests.
    latency: LatencyJson,
    /// From arrival to the first token, over answers that were streamed.
    first_token: LatencyJson,
    incidents: IncidentsJson,
    largest: LargestJson,
    by_model_asked: Vec<DemandJson<'a>>,
    by_team: Vec<DemandJson<'a>>,
    by_key: Vec<DemandJson<'a>>,
    /// A request with several tags, of its team, of its key and its own, counts under each: the rows add up to no total.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    by_tag: Vec<DemandJson<'a>>,
    /// Of the bill, what has no tag, reserved capacity included. Missing where nothing has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    bill_without_tag: Option<Usd>,
    by_model_called: Vec<SupplyJson<'a>>,
    by_deployment: Vec<SupplyJson<'a>>,
    /// How wide a row of series.csv is.
    series_width_s: u64,
}

/// How requests ended: `arrived` is the sum of the six after it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RequestsJson {
    arrived: u64,
    /// An upstream call answered.
    served: u64,
    /// The response cache answered.
    cached: u64,
    /// The call of an identical request answered.
    shared: u64,
    refused: u64,
    failed: u64,
    /// The client left first.
    abandoned: u64,
    /// Answered by another model than asked.
    other_model: u64,
    refused_by: BTreeMap<Name, u64>,
    failed_by: BTreeMap<Name, u64>,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct UsersJson {
    calls: u64,
    answered: u64,
    refused: u64,
    failed: u64,
    abandoned: u64,
    /// Rows that were never sent, as their session had stopped.
    not_sent: u64,
    /// Requests beyond the first.
    retries: u64,
    latency: LatencyJson,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CallsJson {
    sent: u64,
    retries: u64,
    fallbacks: u64,
    /// Ended with a 429.
    rate_limited: u64,
    prompt_cache_hits: u64,
    by_position: BTreeMap<Name, u64>,
    delivered: u64,
    failed: u64,
    timed_out: u64,
    cancelled: u64,
    discarded: u64,
    failed_by: BTreeMap<Name, u64>,
}

/// The bill by cause: base, premium_of_place, prompt_cache, undelivered, wasted and reserved are its parts.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CauseJson {
    /// What was delivered, at the model asked for.
    base: Usd,
    /// What answers from elsewhere cost more (or less).
    premium_of_place: Usd,
    /// What the provider's prompt cache cost or (negative) saved.
    prompt_cache: Usd,
    /// Billed beyond what reached the client.
    undelivered: Usd,
    /// Calls that did not deliver the answer.
    wasted: Usd,
    wasted_by: BTreeMap<Name, BTreeMap<Name, Usd>>,
    of_which_shared: Usd,
    /// Capacity paid by the hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved: Option<Usd>,
}

/// Quantiles in microseconds.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LatencyJson {
    seen: u64,
    p50_us: Option<u64>,
    p95_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: u64,
    /// What the quantiles are of: the longest in nanoseconds, then pairs of a bucket's number and its count, 64 buckets to a doubling.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    histogram: String,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LargestJson {
    calls_of_one_request: u32,
    worst_case_of_one_call: Usd,
    bill_of_one_call: Usd,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct DemandJson<'a> {
    name: Text<'a>,
    requests: u64,
    answered: u64,
    other_model: u64,
    refused: u64,
    failed: u64,
    calls: u64,
    bill: Usd,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SupplyJson<'a> {
    name: Text<'a>,
    calls: u64,
    delivered: u64,
    rate_limited: u64,
    failed: u64,
    input_tokens: u64,
    output_tokens: u64,
    bill: Usd,
}

impl<'a> RunJson<'a> {
    pub(super) fn of(run: &'a Run, names: &'a Names) -> Self {
        let totals = &run.totals;
        Self {
            seed: run.seed,
            bill: Usd(totals.bill),
            first_ns: totals.first.0,
            last_arrival_ns: totals.last_arrival.0,
            last_ns: totals.last.0,
            requests: RequestsJson::of(totals),
            users: totals.users.as_deref().map(UsersJson::of),
            calls: CallsJson::of(totals),
            cause: CauseJson::of(totals),
            by_position: by_position(&totals.by_position),
            ledger: LedgerJson::of(&totals.ledger),
            tokens: TokensJson::of(&totals.tokens),
            latency: LatencyJson::of(&totals.latency),
            first_token: LatencyJson::of(&totals.first_token),
            incidents: IncidentsJson::of(&totals.incidents),
            largest: LargestJson {
                calls_of_one_request: totals.calls_of_one_request_max,
                worst_case_of_one_call: Usd(totals.worst_case_of_one_call_max),
                bill_of_one_call: Usd(totals.bill_of_one_call_max),
            },
            by_model_asked: demands(&totals.asked, &names.models),
            by_team: demands(&totals.teams, &names.teams),
            by_key: demands(&totals.keys, &names.keys),
            bill_without_tag: totals.tags.iter().any(|tag| *tag != Demand::default()).then_some(Usd(totals.bill - totals.tagged)),
            by_tag: demands(&totals.tags, &names.tags),
            by_model_called: supplies(&totals.called, &names.models),
            by_deployment: supplies(&totals.deployments, &names.deployments),
            series_width_s: run.series.width().0 / 1_000_000_000,
        }
    }

    /// The run again, what it has names for counted under `names`, which grow.
    pub(super) fn read(self, names: &mut Names, series: Series) -> Result<Run, String> {
        let LargestJson { calls_of_one_request, worst_case_of_one_call, bill_of_one_call } = self.largest;
        let mut totals = Totals {
            first: Time(self.first_ns),
            last_arrival: Time(self.last_arrival_ns),
            last: Time(self.last_ns),
            requests: self.requests.arrived,
            outcomes: self.requests.outcomes(),
            denials: counts(&self.requests.refused_by, DENIAL_NAMES)?,
            failures: counts(&self.requests.failed_by, class_names())?,
            other_model: self.requests.other_model,
            calls: counts(&self.calls.by_position, POSITIONS.map(position_name))?,
            ends: self.calls.ends(),
            call_failures: counts(&self.calls.failed_by, class_names())?,
            tagged: self.bill_without_tag.map_or(Money::ZERO, |without| self.bill.0 - without.0),
            bill: self.bill.0,
            ledger: self.ledger.read(),
            causes: self.cause.read()?,
            shared: self.cause.of_which_shared.0,
            by_position: amounts(&self.by_position)?,
            tokens: self.tokens.read(),
            prompt_cache_hits: self.calls.prompt_cache_hits,
            latency: self.latency.read()?,
            first_token: self.first_token.read()?,
            incidents: self.incidents.read(),
            calls_of_one_request_max: calls_of_one_request,
            worst_case_of_one_call_max: worst_case_of_one_call.0,
            bill_of_one_call_max: bill_of_one_call.0,
            users: self.users.map(UsersJson::read).transpose()?.map(Box::new),
            ..Totals::default()
        };
        self.by_model_asked.into_iter().for_each(|row| row.read(&mut totals.asked, &mut names.models));
        self.by_team.into_iter().for_each(|row| row.read(&mut totals.teams, &mut names.teams));
        self.by_key.into_iter().for_each(|row| row.read(&mut totals.keys, &mut names.keys));
        self.by_tag.into_iter().for_each(|row| row.read(&mut totals.tags, &mut names.tags));
        self.by_model_called.into_iter().for_each(|row| row.read(&mut totals.called, &mut names.models));
        self.by_deployment.into_iter().for_each(|row| row.read(&mut totals.deployments, &mut names.deployments));
        Ok(Run { seed: self.seed, totals, series })
    }
}

impl RequestsJson {
    fn of(totals: &Totals) -> Self {
        let Outcomes { served, cached, shared, refused, failed, abandoned } = totals.outcomes;
        Self {
            arrived: totals.requests,
            served,
            cached,
            shared,
            refused,
            failed,
            abandoned,
            other_model: totals.other_model,
            refused_by: positive(DENIAL_NAMES, &totals.denials),
            failed_by: positive(class_names(), &totals.failures),
        }
    }

    fn outcomes(&self) -> Outcomes {
        let Self { served, cached, shared, refused, failed, abandoned, .. } = *self;
        Outcomes { served, cached, shared, refused, failed, abandoned }
    }
}

impl UsersJson {
    fn of(users: &Users) -> Self {
        let ends = &users.outcomes;
        Self {
            calls: users.total(),
            answered: ends.answered(),
            refused: ends.refused,
            failed: ends.failed,
            abandoned: ends.abandoned,
            not_sent: users.not_sent,
            retries: users.retries,
            latency: LatencyJson::of(&users.latency),
        }
    }

    /// Which of the three kinds of answers a user got is not kept.
    fn read(self) -> Result<Users, String> {
        let Self { answered: served, refused, failed, abandoned, not_sent, retries, .. } = self;
        let outcomes = Outcomes { served, refused, failed, abandoned, ..Outcomes::default() };
        Ok(Users { outcomes, retries, not_sent, latency: self.latency.read()? })
    }
}

impl CallsJson {
    fn of(totals: &Totals) -> Self {
        let Ends { delivered, failed, timed_out, cancelled, discarded } = totals.ends;
        Self {
            sent: totals.calls_sent(),
            retries: totals.retries(),
            fallbacks: totals.fallbacks(),
            rate_limited: totals.rate_limited(),
            prompt_cache_hits: totals.prompt_cache_hits,
            by_position: POSITIONS.into_iter().map(|position| (position_name(position).into(), totals.calls[position as usize])).collect(),
            delivered,
            failed,
            timed_out,
            cancelled,
            discarded,
            failed_by: positive(class_names(), &totals.call_failures),
        }
    }

    fn ends(&self) -> Ends {
        let Self { delivered, failed, timed_out, cancelled, discarded, .. } = *self;
        Ends { delivered, failed, timed_out, cancelled, discarded }
    }
}

impl CauseJson {
    fn of(totals: &Totals) -> Self {
        let causes = &totals.causes;
        Self {
            of_which_shared: Usd(totals.shared),
            base: Usd(causes.base),
            premium_of_place: Usd(causes.premium),
            prompt_cache: Usd(causes.prompt_cache),
            undelivered: Usd(causes.undelivered),
            wasted: Usd(causes.wasted_total()),
            wasted_by: Waste::ALL.into_iter().map(|waste| (waste.name().into(), by_position(&causes.wasted[waste as usize]))).collect(),
            reserved: (causes.reserved != Money::ZERO).then_some(Usd(causes.reserved)),
        }
    }

    fn read(&self) -> Result<Causes, String> {
        let mut wasted = [[Money::ZERO; 4]; 4];
        for (name, parts) in &self.wasted_by {
            *slot(&mut wasted, Waste::ALL.map(Waste::name), name)? = amounts(parts)?;
        }
        Ok(Causes {
            wasted,
            undelivered: self.undelivered.0,
            base: self.base.0,
            premium: self.premium_of_place.0,
            prompt_cache: self.prompt_cache.0,
            reserved: self.reserved.as_ref().map_or(Money::ZERO, |reserved| reserved.0),
        })
    }
}

impl LatencyJson {
    fn of(histogram: &Histogram) -> Self {
        let at = |per_mille| histogram.quantile(per_mille).map(|span| span.0 / 1_000);
        Self {
            seen: histogram.seen(),
            p50_us: at(500),
            p95_us: at(950),
            p99_us: at(990),
            max_us: histogram.longest().0 / 1_000,
            histogram: histogram.to_string(),
        }
    }

    fn read(self) -> Result<Histogram, String> {
        Histogram::parse(&self.histogram)
            .filter(|histogram| histogram.seen() == self.seen)
            .ok_or_else(|| "a histogram is not what was counted".to_owned())
    }
}

impl DemandJson<'_> {
    fn read(self, rows: &mut Vec<Demand>, names: &mut Vec<String>) {
        let Self { name, requests, answered, other_model, refused, failed, calls, bill } = self;
        *named(rows, names, &name) = Demand { requests, answered, other_model, refused, failed, calls, bill: bill.0 };
    }
}

impl SupplyJson<'_> {
    fn read(self, rows: &mut Vec<Supply>, names: &mut Vec<String>) {
        let Self { name, calls, delivered, rate_limited, failed, input_tokens, output_tokens, bill } = self;
        *named(rows, names, &name) = Supply { calls, delivered, rate_limited, failed, input_tokens, output_tokens, bill: bill.0 };
    }
}

/// Rows of names that anything happened to: a name that nothing asked for changes no byte.
fn demands<'a>(rows: &'a [Demand], names: &'a [String]) -> Vec<DemandJson<'a>> {
    let rows = rows.iter().zip(names).filter(|(row, _)| **row != Demand::default());
    rows.map(|(row, name)| {
        let Demand { requests, answered, other_model, refused, failed, calls, bill } = *row;
        DemandJson { name: name.into(), requests, answered, other_model, refused, failed, calls, bill: Usd(bill) }
    })
    .collect()
}

fn supplies<'a>(rows: &'a [Supply], names: &'a [String]) -> Vec<SupplyJson<'a>> {
    let rows = rows.iter().zip(names).filter(|(row, _)| **row != Supply::default());
    rows.map(|(row, name)| {
        let Supply { calls, delivered, rate_limited, failed, input_tokens, output_tokens, bill } = *row;
        SupplyJson { name: name.into(), calls, delivered, rate_limited, failed, input_tokens, output_tokens, bill: Usd(bill) }
    })
    .collect()
}

/// The row of a name, which is added to both if it is new.
fn named<'a, T: Clone + Default>(rows: &'a mut Vec<T>, names: &mut Vec<String>, name: &str) -> &'a mut T {
    let index = names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    if rows.len() <= index {
        rows.resize(index + 1, T::default());
    }
    &mut rows[index]
}

fn class_names() -> [&'static str; FailureClass::ALL.len()] {
    std::array::from_fn(|index| FailureClass::ALL[index].name())
}

fn by_position(amounts: &[Money; 4]) -> BTreeMap<Name, Usd> {
    POSITIONS.into_iter().map(|position| (position_name(position).into(), Usd(amounts[position as usize]))).collect()
}

fn amounts(parts: &BTreeMap<Name, Usd>) -> Result<[Money; 4], String> {
    let mut found = [Money::ZERO; 4];
    for (name, amount) in parts {
        *slot(&mut found, POSITIONS.map(position_name), name)? = amount.0;
    }
    Ok(found)
}

fn positive<const N: usize>(names: [&'static str; N], counts: &[u64; N]) -> BTreeMap<Name, u64> {
    names.into_iter().map(Cow::Borrowed).zip(counts.iter().copied()).filter(|(_, count)| *count > 0).collect()
}

fn counts<const N: usize>(from: &BTreeMap<Name, u64>, names: [&str; N]) -> Result<[u64; N], String> {
    let mut found = [0; N];
    for (name, count) in from {
        *slot(&mut found, names, name)? = *count;
    }
    Ok(found)
}

fn slot<'a, T, const N: usize>(slots: &'a mut [T; N], names: [&str; N], name: &str) -> Result<&'a mut T, String> {
    let index = names.iter().position(|known| *known == name).ok_or_else(|| format!("nothing is counted as `{name}`"))?;
    Ok(&mut slots[index])
}
