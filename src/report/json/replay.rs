//! The part of `report.json` that is about a replayed log.

use serde::Serialize;

use super::Usd;
use crate::report::baseline::{Baseline, Part};
use crate::report::coverage::{Coverage, Field};
use crate::report::{Imputed, table};

#[derive(Serialize)]
pub(super) struct BaselineJson<'a> {
    variant: &'a str,
    reproduced: bool,
    verdict: Option<String>,
    recorded: RecordedJson,
    repriced: Usd,
    simulated: SimulatedJson,
    parts: Vec<PartJson<'a>>,
}

#[derive(Serialize)]
struct RecordedJson {
    requests: u64,
    requests_with_cost: u64,
    cost: Usd,
    calls: u64,
    requests_rate_limited: u64,
    requests_elsewhere: u64,
    p95_us: Option<u64>,
}

#[derive(Serialize)]
struct SimulatedJson {
    cost: Usd,
    calls: u64,
    requests_rate_limited: u64,
    p95_us: Option<u64>,
}

#[derive(Serialize)]
struct PartJson<'a> {
    by: &'static str,
    name: &'a str,
    repriced: Usd,
    simulated: Usd,
}

#[derive(Serialize)]
pub(super) struct CoverageJson<'a> {
    field: &'static str,
    rows: u64,
    of_rows: u64,
    instead: &'a str,
    hanging: Usd,
}

#[derive(Serialize)]
pub(super) struct ImputedJson {
    requests: u64,
    output_tokens: u64,
    of_output_tokens: u64,
    dollars: Usd,
    dollars_if_all_are_short: Usd,
    dollars_if_all_are_long: Usd,
}

#[derive(Serialize)]
pub(super) struct ImputedInputsJson {
    requests: u64,
    input_tokens: u64,
    of_input_tokens: u64,
    dollars: Usd,
    dollars_if_all_are_short: Usd,
    dollars_if_all_are_long: Usd,
}

impl<'a> BaselineJson<'a> {
    pub(super) fn of(baseline: &'a Baseline) -> Self {
        let Baseline { variant, recorded, repriced, simulated, parts } = baseline;
        let micros = |span: Option<crate::gateway::time::Span>| span.map(|span| span.0 / 1_000);
        Self {
            variant,
            reproduced: baseline.is_reproduced(),
            verdict: table::verdict(baseline),
            recorded: RecordedJson {
                requests: recorded.requests,
                requests_with_cost: recorded.with_cost,
                cost: Usd(recorded.cost),
                calls: recorded.calls,
                requests_rate_limited: recorded.rate_limited,
                requests_elsewhere: recorded.elsewhere,
                p95_us: micros(recorded.p95),
            },
            repriced: Usd(*repriced),
            simulated: SimulatedJson {
                cost: Usd(simulated.cost),
                calls: simulated.calls,
                requests_rate_limited: simulated.rate_limited,
                p95_us: micros(simulated.p95),
            },
            parts: parts.iter().map(PartJson::of).collect(),
        }
    }
}

impl<'a> PartJson<'a> {
    fn of(part: &'a Part) -> Self {
        Self { by: part.kind.name(), name: &part.name, repriced: Usd(part.repriced), simulated: Usd(part.simulated) }
    }
}

pub(super) fn coverage<'a>(coverage: &'a Coverage) -> Vec<CoverageJson<'a>> {
    let of_rows = coverage.rows;
    let field = |field: &'a Field| {
        let Field { name, instead, rows, hanging } = field;
        CoverageJson { field: name, rows: *rows, of_rows, instead, hanging: Usd(*hanging) }
    };
    coverage.fields.iter().map(field).collect()
}

impl ImputedJson {
    pub(super) fn of(imputed: &Imputed) -> Self {
        let Imputed { requests, tokens, of_tokens, dollars, low, high } = *imputed;
        Self {
            requests,
            output_tokens: tokens,
            of_output_tokens: of_tokens,
            dollars: Usd(dollars),
            dollars_if_all_are_short: Usd(low),
            dollars_if_all_are_long: Usd(high),
        }
    }
}

impl ImputedInputsJson {
    pub(super) fn of(imputed: &Imputed) -> Self {
        let Imputed { requests, tokens, of_tokens, dollars, low, high } = *imputed;
        Self {
            requests,
            input_tokens: tokens,
            of_input_tokens: of_tokens,
            dollars: Usd(dollars),
            dollars_if_all_are_short: Usd(low),
            dollars_if_all_are_long: Usd(high),
        }
    }
}
