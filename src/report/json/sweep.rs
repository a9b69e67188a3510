//! The part of `report.json` that is a sweep, in both directions.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{SpreadJson, Text, Usd, spread};
use crate::gateway::time::Span;
use crate::report::sweep::{Axis, Cell, CellResult, Mode, Sweep};

/// Settings that were varied beside the variants, and how each variant did in every cell.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SweepJson<'a> {
    mode: ModeJson,
    axes: Vec<AxisJson<'a>>,
    /// The seeds that every cell was run under.
    seeds: Vec<u64>,
    cells: Vec<CellJson>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
enum ModeJson {
    Grid,
    OneAtATime,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct AxisJson<'a> {
    path: Text<'a>,
    /// As TOML has them.
    values: Vec<Text<'a>>,
    /// On a numeric scale: durations in seconds, amounts in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<Vec<f64>>,
    /// Whether the values were taken in equal ratios.
    log: bool,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CellJson {
    /// For each axis the number of its value, from 0; `null` is the scenario's own.
    at: Vec<Option<usize>>,
    /// In the order of the report's variants.
    variants: Vec<ResultJson>,
}

/// Counts are sums over the seeds.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ResultJson {
    bill: SpreadJson,
    bill_by_seed: Vec<Usd>,
    /// By users, where their requests may be several for one answer.
    requests: u64,
    answered: u64,
    asked: u64,
    other_model: u64,
    p95_ns: Option<u64>,
    attempts: u64,
    rate_limited: u64,
}

impl<'a> SweepJson<'a> {
    pub(super) fn of(sweep: &'a Sweep) -> Self {
        let mode = match sweep.mode {
            Mode::Grid => ModeJson::Grid,
            Mode::OneAtATime => ModeJson::OneAtATime,
        };
        let cell = |cell: &Cell| CellJson { at: cell.at.clone(), variants: cell.variants.iter().map(ResultJson::of).collect() };
        Self { mode, axes: sweep.axes.iter().map(AxisJson::of).collect(), seeds: sweep.seeds.clone(), cells: sweep.cells.iter().map(cell).collect() }
    }

    /// The sweep again, of a report with so many variants.
    ///
    /// # Errors
    /// If it contradicts itself.
    pub(super) fn read(self, variants: usize) -> Result<Sweep, String> {
        let axes: Vec<Axis> = self.axes.into_iter().map(AxisJson::read).collect();
        let is_right = |cell: &CellJson| {
            cell.variants.len() == variants
                && cell.at.len() == axes.len()
                && cell.at.iter().zip(&axes).all(|(value, axis)| value.is_none_or(|value| value < axis.values.len()))
        };
        if !self.cells.iter().all(is_right) {
            return Err("a cell of the sweep has other axes or variants".to_owned());
        }
        let mode = match self.mode {
            ModeJson::Grid => Mode::Grid,
            ModeJson::OneAtATime => Mode::OneAtATime,
        };
        let cell = |CellJson { at, variants }| Cell { at, variants: variants.into_iter().map(ResultJson::read).collect() };
        Ok(Sweep { mode, cells: self.cells.into_iter().map(cell).collect(), seeds: self.seeds, axes })
    }
}

impl<'a> AxisJson<'a> {
    fn of(axis: &'a Axis) -> Self {
        let values = axis.values.iter().map(|value| Text::from(value)).collect();
        Self { path: (&axis.path).into(), values, numbers: axis.numbers.clone(), log: axis.is_log }
    }

    fn read(self) -> Axis {
        let values = self.values.into_iter().map(Cow::into_owned).collect();
        Axis { path: self.path.into_owned(), values, numbers: self.numbers, is_log: self.log }
    }
}

impl ResultJson {
    fn of(result: &CellResult) -> Self {
        let (answered, asked) = result.answered;
        Self {
            bill: spread(result.bill()),
            bill_by_seed: result.bills.iter().copied().map(Usd).collect(),
            requests: result.requests,
            answered,
            asked,
            other_model: result.other_model,
            p95_ns: result.p95.map(|span| span.0),
            attempts: result.attempts,
            rate_limited: result.rate_limited,
        }
    }

    fn read(self) -> CellResult {
        CellResult {
            bills: self.bill_by_seed.into_iter().map(|bill| bill.0).collect(),
            answered: (self.answered, self.asked),
            p95: self.p95_ns.map(Span),
            other_model: self.other_model,
            rate_limited: self.rate_limited,
            attempts: self.attempts,
            requests: self.requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::money::Money;

    #[test]
    fn a_sweep_survives_report_json() {
        let result = CellResult {
            bills: vec![Money(3_710_000_000), Money(-1)],
            answered: (5, 7),
            p95: Some(Span(1_234_567)),
            other_model: 1,
            rate_limited: 2,
            attempts: 9,
            requests: 7,
        };
        let axes = vec![
            Axis { path: "cache.ttl".into(), values: vec!["\"0s\"".into(), "\"1m\"".into()], numbers: Some(vec![0.0, 60.0]), is_log: false },
            Axis { path: "stream.on_disconnect".into(), values: vec!["\"drain\"".into()], numbers: None, is_log: true },
        ];
        let cells = vec![Cell { at: vec![None, None], variants: vec![result.clone()] }, Cell { at: vec![Some(1), Some(0)], variants: vec![result] }];
        let sweep = Sweep { axes, mode: Mode::OneAtATime, cells, seeds: vec![1, 2] };
        let again = |sweep: &Sweep, variants| {
            let text = serde_json::to_string(&SweepJson::of(sweep)).unwrap();
            serde_json::from_str::<SweepJson<'_>>(&text).unwrap().read(variants)
        };
        assert_eq!(again(&sweep, 1), Ok(sweep.clone()));
        assert!(again(&sweep, 2).is_err(), "a report with two variants has two results in a cell");
    }
}
