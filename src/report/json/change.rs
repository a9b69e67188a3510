//! The part of `report.json` that says how variants differ and how sure that is.

use std::borrow::Cow;

use serde::Serialize;

use super::Usd;
use crate::report::change::{Change, Part, Unknown};

/// How the bill differs from the reference's. Fractions of the reference's bill, to a billionth; 95 %.
#[derive(Serialize)]
pub(super) struct ChangeJson {
    difference: Usd,
    /// Nothing that was counted differs.
    identical: bool,
    /// Missing where the reference costs nothing, as are the ends of the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    relative: Option<f64>,
    /// All known parts together.
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
    /// The interval does not hold 0, at the level that several variants ask for.
    decided: bool,
    /// The same traffic under other luck.
    luck: PartJson,
    /// Other days like this.
    day_to_day: PartJson,
    /// What ranges of assumptions add below and above; missing where none is a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    assumptions: Option<ReachJson>,
    /// How many times as much the difference would vary if the two shared no luck.
    #[serde(skip_serializing_if = "Option::is_none")]
    variance_without_pairing: Option<f64>,
}

#[derive(Serialize)]
struct ReachJson {
    below: f64,
    above: f64,
}

/// Either a half-width, 0 where nothing varies, or why there is none.
#[derive(Serialize, Default)]
struct PartJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    half_width: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_needed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_ns: Option<u64>,
}

impl ChangeJson {
    pub(super) fn of(change: &Change) -> Self {
        let has_interval = |end: f64| change.relative.map(|_| rounded(end));
        Self {
            difference: Usd(change.difference),
            identical: change.is_identical,
            relative: change.relative.map(rounded),
            low: has_interval(change.low),
            high: has_interval(change.high),
            decided: change.is_decided,
            luck: PartJson::of(change.luck),
            day_to_day: PartJson::of(change.traffic),
            assumptions: change.assumptions.map(|(below, above)| ReachJson { below: rounded(below), above: rounded(above) }),
            variance_without_pairing: change.pairing.map(rounded),
        }
    }
}

impl PartJson {
    fn of(part: Part) -> Self {
        let Part::Unknown(unknown) = part else { return Self { half_width: part.half_width().map(rounded), ..Self::default() } };
        match unknown {
            Unknown::OneSeed => Self { unknown: Some("one seed".into()), ..Self::default() },
            Unknown::TraceTooShort { blocks, needed, block } => Self {
                unknown: Some("trace too short".into()),
                blocks: Some(blocks),
                blocks_needed: Some(needed),
                block_ns: Some(block.0),
                ..Self::default()
            },
            Unknown::FewBlocksDiffer => Self { unknown: Some("few blocks of time differ".into()), ..Self::default() },
            Unknown::NothingToCompareWith => Self { unknown: Some("the reference costs nothing".into()), ..Self::default() },
        }
    }
}

/// No more digits than mean anything, so that a compiler's last bit is in no file.
fn rounded(fraction: f64) -> f64 {
    (fraction * 1e9).round() / 1e9
}
