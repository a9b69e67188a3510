//! The shape of `report.json`: twins of the report's types that may be written. What a field means is told at its original.

mod replay;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::cause::{POSITIONS, Waste, position_name};
use super::histogram::Histogram;
use super::totals::{DENIAL_NAMES, Demand, Incidents, Ledger, Supply, Tokens, Totals, Users};
use super::{Names, Origin, Report, Run, Spread, Variant, write};
use crate::gateway::failure::FailureClass;
use crate::gateway::money::Money;

/// The whole file.
#[derive(Serialize)]
pub(super) struct ReportJson<'a> {
    version: u32,
    gwsim: &'static str,
    name: &'a str,
    prices: &'a str,
    inputs: Vec<InputJson<'a>>,
    traffic: TrafficJson<'a>,
    assumptions: Vec<AssumptionJson<'a>>,
    figures: Vec<AssumptionJson<'a>>,
    seeds: Vec<u64>,
    variants: Vec<VariantJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<replay::BaselineJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Vec<replay::CoverageJson<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imputed: Option<replay::ImputedJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imputed_inputs: Option<replay::ImputedInputsJson>,
    expectations: Vec<VerdictJson<'a>>,
}

#[derive(Serialize)]
struct InputJson<'a> {
    role: &'a str,
    file: &'a str,
    sha256: &'a str,
    bytes: u64,
}

#[derive(Serialize)]
struct TrafficJson<'a> {
    name: &'a str,
    origin: &'static str,
    requests: u64,
    first_ns: u64,
    span_ns: u64,
}

#[derive(Serialize)]
struct AssumptionJson<'a> {
    what: &'a str,
    value: &'a str,
    source: &'a str,
}

#[derive(Serialize)]
struct VerdictJson<'a> {
    variant: &'a str,
    expected: &'a str,
    found: &'a str,
    holds: bool,
}

#[derive(Serialize)]
struct VariantJson<'a> {
    name: &'a str,
    bill: SpreadJson,
    worst_case_of_a_request: Option<WorstCaseJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bill_at_ends_of_token_counts: Option<EndsJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answered_by_other_model: Vec<CrossingJson<'a>>,
    runs: Vec<RunJson<'a>>,
}

#[derive(Serialize)]
struct WorstCaseJson<'a> {
    model: &'a str,
    input_tokens: u32,
    calls: u32,
    cost: Usd,
}

#[derive(Serialize)]
struct EndsJson {
    low: SpreadJson,
    high: SpreadJson,
}

#[derive(Serialize)]
struct CrossingJson<'a> {
    asked: &'a str,
    answered: &'a str,
    /// `false`: they were taken to be the same.
    token_counts_compared: bool,
    calls: u64,
    bill: Usd,
}

#[derive(Serialize)]
struct SpreadJson {
    mean: Usd,
    min: Usd,
    max: Usd,
}

#[derive(Serialize)]
struct RunJson<'a> {
    seed: u64,
    bill: Usd,
    requests: RequestsJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<UsersJson>,
    calls: CallsJson,
    cause: CauseJson,
    by_position: BTreeMap<&'static str, Usd>,
    ledger: LedgerJson,
    tokens: TokensJson,
    latency: LatencyJson,
    first_token: LatencyJson,
    incidents: IncidentsJson,
    largest: LargestJson,
    by_model_asked: Vec<DemandJson<'a>>,
    by_team: Vec<DemandJson<'a>>,
    by_key: Vec<DemandJson<'a>>,
    by_model_called: Vec<SupplyJson<'a>>,
    by_deployment: Vec<SupplyJson<'a>>,
    series_width_s: u64,
}

#[derive(Serialize)]
struct RequestsJson {
    arrived: u64,
    served: u64,
    cached: u64,
    shared: u64,
    refused: u64,
    failed: u64,
    abandoned: u64,
    other_model: u64,
    refused_by: BTreeMap<&'static str, u64>,
    failed_by: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct UsersJson {
    calls: u64,
    answered: u64,
    refused: u64,
    failed: u64,
    abandoned: u64,
    not_sent: u64,
    retries: u64,
    latency: LatencyJson,
}

#[derive(Serialize)]
struct CallsJson {
    sent: u64,
    retries: u64,
    fallbacks: u64,
    rate_limited: u64,
    prompt_cache_hits: u64,
    by_position: BTreeMap<&'static str, u64>,
    delivered: u64,
    failed: u64,
    timed_out: u64,
    cancelled: u64,
    discarded: u64,
    failed_by: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct CauseJson {
    base: Usd,
    premium_of_place: Usd,
    prompt_cache: Usd,
    undelivered: Usd,
    wasted: Usd,
    wasted_by: BTreeMap<&'static str, BTreeMap<&'static str, Usd>>,
    of_which_shared: Usd,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved: Option<Usd>,
}

#[derive(Serialize)]
struct LedgerJson {
    confirmed: Usd,
    presumed: Usd,
    confirmed_calls: u64,
    presumed_calls: u64,
    corrected_calls: u64,
}

#[derive(Serialize)]
struct TokensJson {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
    output_delivered: u64,
}

#[derive(Serialize)]
struct LatencyJson {
    seen: u64,
    p50_us: Option<u64>,
    p95_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: u64,
}

#[derive(Serialize)]
struct IncidentsJson {
    observed_refusals: u64,
    followed: u64,
    queued: u64,
    skipped: u64,
    cooldowns: u64,
    breakers_opened: u64,
    budget_alerts: u64,
    fallback_alerts: u64,
    loop_alerts: u64,
    recoveries: u64,
    breaches: u64,
    breached: Usd,
    cache_saved: Usd,
    calls_queued: u64,
    calls_queued_ms: u64,
    calls_turned_away: u64,
}

#[derive(Serialize)]
struct LargestJson {
    calls_of_one_request: u32,
    worst_case_of_one_call: Usd,
    bill_of_one_call: Usd,
}

#[derive(Serialize)]
struct DemandJson<'a> {
    name: &'a str,
    requests: u64,
    answered: u64,
    other_model: u64,
    refused: u64,
    failed: u64,
    calls: u64,
    bill: Usd,
}

#[derive(Serialize)]
struct SupplyJson<'a> {
    name: &'a str,
    calls: u64,
    delivered: u64,
    rate_limited: u64,
    failed: u64,
    input_tokens: u64,
    output_tokens: u64,
    bill: Usd,
}

/// Money as a string of dollars with 12 decimals.
struct Usd(Money);

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.decimal())
    }
}

impl<'a> ReportJson<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        let origin = match report.traffic.origin {
            Origin::Recorded => "recorded",
            Origin::Synthetic => "synthetic",
        };
        let input = |input: &'a super::Input| InputJson { role: input.role, file: &input.file, sha256: &input.sha256, bytes: input.bytes };
        let assumption = |it: &'a super::Assumption| AssumptionJson { what: &it.what, value: &it.value, source: &it.source };
        let verdict =
            |it: &'a super::expect::Verdict| VerdictJson { variant: &it.variant, expected: &it.expected, found: &it.found, holds: it.holds };
        Self {
            version: write::VERSION,
            gwsim: env!("CARGO_PKG_VERSION"),
            name: &report.name,
            prices: &report.prices,
            inputs: report.inputs.iter().map(input).collect(),
            traffic: TrafficJson {
                name: &report.traffic.name,
                origin,
                requests: report.traffic.requests,
                first_ns: report.traffic.first.0,
                span_ns: report.traffic.span.0,
            },
            assumptions: report.assumptions.iter().map(assumption).collect(),
            figures: report.figures.iter().map(assumption).collect(),
            seeds: report.variants.first().map_or_else(Vec::new, |variant| variant.runs.iter().map(|run| run.seed).collect()),
            variants: report.variants.iter().map(VariantJson::of).collect(),
            baseline: report.baseline.as_ref().map(replay::BaselineJson::of),
            coverage: report.coverage.as_ref().map(replay::coverage),
            imputed: report.imputed.as_ref().map(replay::ImputedJson::of),
            imputed_inputs: report.imputed_inputs.as_ref().map(replay::ImputedInputsJson::of),
            expectations: report.expectations.iter().map(verdict).collect(),
        }
    }
}

impl<'a> VariantJson<'a> {
    fn of(variant: &'a Variant) -> Self {
        let bill = spread(variant.bill());
        let bill_at_ends_of_token_counts = variant.token_ends.as_ref().map(|ends| EndsJson { low: spread(ends.low()), high: spread(ends.high()) });
        let crossings = variant.crossings.iter().map(|crossing| CrossingJson {
            asked: &crossing.pair.asked,
            answered: &crossing.pair.answered,
            token_counts_compared: crossing.pair.rule.is_some(),
            calls: crossing.calls,
            bill: Usd(crossing.bill),
        });
        let answered_by_other_model = crossings.collect();
        let runs = variant.runs.iter().map(|run| RunJson::of(run, &variant.names)).collect();
        let worst_case_of_a_request = variant.worst_case.as_ref().map(|worst| WorstCaseJson {
            model: &worst.model,
            input_tokens: worst.input_tokens,
            calls: worst.most.calls,
            cost: Usd(worst.most.cost),
        });
        Self { name: &variant.name, bill, worst_case_of_a_request, bill_at_ends_of_token_counts, answered_by_other_model, runs }
    }
}

impl<'a> RunJson<'a> {
    fn of(run: &'a Run, names: &'a Names) -> Self {
        let totals = &run.totals;
        Self {
            seed: run.seed,
            bill: Usd(totals.bill),
            requests: requests(totals),
            users: totals.users.as_deref().map(users),
            calls: calls(totals),
            cause: cause(totals),
            by_position: by_position(&totals.by_position),
            ledger: ledger(&totals.ledger),
            tokens: tokens(&totals.tokens),
            latency: latency(&totals.latency),
            first_token: latency(&totals.first_token),
            incidents: incidents(&totals.incidents),
            largest: LargestJson {
                calls_of_one_request: totals.calls_of_one_request_max,
                worst_case_of_one_call: Usd(totals.worst_case_of_one_call_max),
                bill_of_one_call: Usd(totals.bill_of_one_call_max),
            },
            by_model_asked: demands(&totals.asked, &names.models),
            by_team: demands(&totals.teams, &names.teams),
            by_key: demands(&totals.keys, &names.keys),
            by_model_called: supplies(&totals.called, &names.models),
            by_deployment: supplies(&totals.deployments, &names.deployments),
            series_width_s: run.series.width().0 / 1_000_000_000,
        }
    }
}

fn spread(Spread { mean, min, max }: Spread) -> SpreadJson {
    SpreadJson { mean: Usd(mean), min: Usd(min), max: Usd(max) }
}

fn requests(totals: &Totals) -> RequestsJson {
    let ends = &totals.outcomes;
    RequestsJson {
        arrived: totals.requests,
        served: ends.served,
        cached: ends.cached,
        shared: ends.shared,
        refused: ends.refused,
        failed: ends.failed,
        abandoned: ends.abandoned,
        other_model: totals.other_model,
        refused_by: positive(DENIAL_NAMES.into_iter().zip(totals.denials)),
        failed_by: positive(FailureClass::ALL.iter().map(|class| class.name()).zip(totals.failures)),
    }
}

fn users(users: &Users) -> UsersJson {
    let ends = &users.outcomes;
    UsersJson {
        calls: users.total(),
        answered: ends.answered(),
        refused: ends.refused,
        failed: ends.failed,
        abandoned: ends.abandoned,
        not_sent: users.not_sent,
        retries: users.retries,
        latency: latency(&users.latency),
    }
}

fn calls(totals: &Totals) -> CallsJson {
    let ends = &totals.ends;
    CallsJson {
        sent: totals.calls_sent(),
        retries: totals.retries(),
        fallbacks: totals.fallbacks(),
        rate_limited: totals.rate_limited(),
        prompt_cache_hits: totals.prompt_cache_hits,
        by_position: POSITIONS.into_iter().map(|position| (position_name(position), totals.calls[position as usize])).collect(),
        delivered: ends.delivered,
        failed: ends.failed,
        timed_out: ends.timed_out,
        cancelled: ends.cancelled,
        discarded: ends.discarded,
        failed_by: positive(FailureClass::ALL.iter().map(|class| class.name()).zip(totals.call_failures)),
    }
}

fn cause(totals: &Totals) -> CauseJson {
    let causes = &totals.causes;
    CauseJson {
        of_which_shared: Usd(totals.shared),
        base: Usd(causes.base),
        premium_of_place: Usd(causes.premium),
        prompt_cache: Usd(causes.prompt_cache),
        undelivered: Usd(causes.undelivered),
        wasted: Usd(causes.wasted_total()),
        wasted_by: Waste::ALL.into_iter().map(|waste| (waste.name(), by_position(&causes.wasted[waste as usize]))).collect(),
        reserved: (causes.reserved != Money::ZERO).then_some(Usd(causes.reserved)),
    }
}

fn by_position(amounts: &[Money; 4]) -> BTreeMap<&'static str, Usd> {
    POSITIONS.into_iter().map(|position| (position_name(position), Usd(amounts[position as usize]))).collect()
}

fn ledger(ledger: &Ledger) -> LedgerJson {
    let Ledger { confirmed, presumed, confirmed_calls, presumed_calls, corrected_calls } = *ledger;
    LedgerJson { confirmed: Usd(confirmed), presumed: Usd(presumed), confirmed_calls, presumed_calls, corrected_calls }
}

fn tokens(tokens: &Tokens) -> TokensJson {
    let Tokens { input, cache_read, cache_write, output, reasoning, output_delivered } = *tokens;
    TokensJson { input, cache_read, cache_write, output, reasoning, output_delivered }
}

fn latency(histogram: &Histogram) -> LatencyJson {
    let at = |per_mille| histogram.quantile(per_mille).map(|span| span.0 / 1_000);
    LatencyJson { seen: histogram.seen(), p50_us: at(500), p95_us: at(950), p99_us: at(990), max_us: histogram.longest().0 / 1_000 }
}

fn incidents(incidents: &Incidents) -> IncidentsJson {
    IncidentsJson {
        observed_refusals: incidents.observed_refusals,
        followed: incidents.followed,
        queued: incidents.queued,
        skipped: incidents.skipped,
        cooldowns: incidents.cooldowns,
        breakers_opened: incidents.breakers_opened,
        budget_alerts: incidents.budget_alerts,
        fallback_alerts: incidents.fallback_alerts,
        loop_alerts: incidents.loop_alerts,
        recoveries: incidents.recoveries,
        breaches: incidents.breaches,
        breached: Usd(incidents.breached),
        cache_saved: Usd(incidents.cache_saved),
        calls_queued: incidents.calls_queued,
        calls_queued_ms: incidents.calls_queued_ms,
        calls_turned_away: incidents.calls_turned_away,
    }
}

/// Rows of names that anything happened to: a name that nothing asked for changes no byte.
fn demands<'a>(rows: &'a [Demand], names: &'a [String]) -> Vec<DemandJson<'a>> {
    let rows = rows.iter().zip(names).filter(|(row, _)| **row != Demand::default());
    rows.map(|(row, name)| {
        let Demand { requests, answered, other_model, refused, failed, calls, bill } = *row;
        DemandJson { name, requests, answered, other_model, refused, failed, calls, bill: Usd(bill) }
    })
    .collect()
}

fn supplies<'a>(rows: &'a [Supply], names: &'a [String]) -> Vec<SupplyJson<'a>> {
    let rows = rows.iter().zip(names).filter(|(row, _)| **row != Supply::default());
    rows.map(|(row, name)| {
        let Supply { calls, delivered, rate_limited, failed, input_tokens, output_tokens, bill } = *row;
        SupplyJson { name, calls, delivered, rate_limited, failed, input_tokens, output_tokens, bill: Usd(bill) }
    })
    .collect()
}

fn positive(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<&'static str, u64> {
    counts.filter(|(_, count)| *count > 0).collect()
}
