//! The part of `report.json` that says how variants differ and how sure that is.

use serde::Serialize;

use super::Usd;
use crate::report::Report;
use crate::report::change::{Change, Part, Unknown};

/// Fractions of the reference's bill, to a billionth.
#[derive(Serialize)]
pub(super) struct ChangeJson {
    difference: Usd,
    identical: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    relative: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
    decided: bool,
    luck: PartJson,
    day_to_day: PartJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    assumptions: Option<ReachJson>,
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
    unknown: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_needed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_ns: Option<u64>,
}

/// What blocks of time were made by.
#[derive(Serialize)]
pub(super) struct TimeJson {
    longest_memory_ns: u64,
    scripted_ns: Vec<[u64; 2]>,
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
            Unknown::OneSeed => Self { unknown: Some("one seed"), ..Self::default() },
            Unknown::TraceTooShort { blocks, needed, block } => Self {
                unknown: Some("trace too short"),
                blocks: Some(blocks),
                blocks_needed: Some(needed),
                block_ns: Some(block.0),
                ..Self::default()
            },
            Unknown::FewBlocksDiffer => Self { unknown: Some("few blocks of time differ"), ..Self::default() },
            Unknown::NothingToCompareWith => Self { unknown: Some("the reference costs nothing"), ..Self::default() },
        }
    }
}

impl TimeJson {
    pub(super) fn of(report: &Report) -> Self {
        Self { longest_memory_ns: report.memory.0, scripted_ns: report.scripted.iter().map(|(from, until)| [from.0, until.0]).collect() }
    }
}

/// No more digits than mean anything, so that a compiler's last bit is in no file.
fn rounded(fraction: f64) -> f64 {
    (fraction * 1e9).round() / 1e9
}
