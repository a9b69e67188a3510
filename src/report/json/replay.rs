//! The part of `report.json` that is about a replayed log, in both directions.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Text, Usd};
use crate::gateway::time::Span;
use crate::report::baseline::{Baseline, Kind, Part, Recorded, Simulated};
use crate::report::coverage::{Coverage, Field};
use crate::report::{Imputed, trust};

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BaselineJson<'a> {
    variant: Text<'a>,
    reproduced: bool,
    verdict: Option<String>,
    recorded: RecordedJson,
    repriced: Usd,
    simulated: SimulatedJson,
    parts: Vec<PartJson<'a>>,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RecordedJson {
    requests: u64,
    requests_with_cost: u64,
    cost: Usd,
    calls: u64,
    requests_rate_limited: u64,
    requests_elsewhere: u64,
    p95_us: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SimulatedJson {
    cost: Usd,
    calls: u64,
    requests_rate_limited: u64,
    p95_us: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PartJson<'a> {
    by: Text<'a>,
    name: Text<'a>,
    repriced: Usd,
    simulated: Usd,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CoverageJson<'a> {
    field: Text<'a>,
    rows: u64,
    of_rows: u64,
    instead: Text<'a>,
    hanging: Usd,
}

/// Twins of tokens that were drawn, which say in their names of what kind.
macro_rules! imputed {
    ($($(#[$doc:meta])* $twin:ident { $tokens:ident, $of_tokens:ident })*) => {$(
        $(#[$doc])*
        #[derive(Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub(super) struct $twin {
            requests: u64,
            $tokens: u64,
            $of_tokens: u64,
            dollars: Usd,
            dollars_if_all_are_short: Usd,
            dollars_if_all_are_long: Usd,
        }

        impl $twin {
            pub(super) fn of(imputed: &Imputed) -> Self {
                let Imputed { requests, tokens: $tokens, of_tokens: $of_tokens, dollars, low, high } = *imputed;
                let [dollars, dollars_if_all_are_short, dollars_if_all_are_long] = [dollars, low, high].map(Usd);
                Self { requests, $tokens, $of_tokens, dollars, dollars_if_all_are_short, dollars_if_all_are_long }
            }

            pub(super) fn read(self) -> Imputed {
                let [dollars, low, high] = [self.dollars, self.dollars_if_all_are_short, self.dollars_if_all_are_long].map(|amount| amount.0);
                Imputed { requests: self.requests, tokens: self.$tokens, of_tokens: self.$of_tokens, dollars, low, high }
            }
        }
    )*};
}

imputed! {
    ImputedJson { output_tokens, of_output_tokens }
    ImputedInputsJson { input_tokens, of_input_tokens }
}

impl<'a> BaselineJson<'a> {
    pub(super) fn of(baseline: &'a Baseline) -> Self {
        let Baseline { variant, recorded, repriced, simulated, parts } = baseline;
        let micros = |span: Option<Span>| span.map(|span| span.0 / 1_000);
        Self {
            variant: variant.into(),
            reproduced: baseline.is_reproduced(),
            verdict: trust::missed(baseline),
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

    pub(super) fn read(self) -> Result<Baseline, String> {
        let span = |micros: Option<u64>| micros.map(|micros| Span(micros.saturating_mul(1_000)));
        let Self { variant, recorded, repriced, simulated, parts, .. } = self;
        Ok(Baseline {
            variant: variant.into_owned(),
            recorded: Recorded {
                requests: recorded.requests,
                with_cost: recorded.requests_with_cost,
                cost: recorded.cost.0,
                calls: recorded.calls,
                rate_limited: recorded.requests_rate_limited,
                elsewhere: recorded.requests_elsewhere,
                p95: span(recorded.p95_us),
            },
            repriced: repriced.0,
            simulated: Simulated {
                cost: simulated.cost.0,
                calls: simulated.calls,
                rate_limited: simulated.requests_rate_limited,
                p95: span(simulated.p95_us),
            },
            parts: parts.into_iter().map(PartJson::read).collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> PartJson<'a> {
    fn of(part: &'a Part) -> Self {
        Self { by: part.kind.name().into(), name: (&part.name).into(), repriced: Usd(part.repriced), simulated: Usd(part.simulated) }
    }

    fn read(self) -> Result<Part, String> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == self.by).ok_or_else(|| format!("no dollars are told by `{}`", self.by))?;
        Ok(Part { kind, name: self.name.into_owned(), repriced: self.repriced.0, simulated: self.simulated.0 })
    }
}

pub(super) fn coverage<'a>(coverage: &'a Coverage) -> Vec<CoverageJson<'a>> {
    let of_rows = coverage.rows;
    let field = |field: &'a Field| {
        let Field { name, instead, rows, hanging } = field;
        CoverageJson { field: name.as_ref().into(), rows: *rows, of_rows, instead: instead.into(), hanging: Usd(*hanging) }
    };
    coverage.fields.iter().map(field).collect()
}

pub(super) fn read_coverage(fields: Vec<CoverageJson<'_>>) -> Coverage {
    let rows = fields.first().map_or(0, |field| field.of_rows);
    let field = |field: CoverageJson<'_>| {
        let CoverageJson { field: name, rows, instead, hanging, .. } = field;
        Field { name: Cow::Owned(name.into_owned()), instead: instead.into_owned(), rows, hanging: hanging.0 }
    };
    Coverage { rows, fields: fields.into_iter().map(field).collect() }
}
