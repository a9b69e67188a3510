//! How far the dollars of a report can be believed, by what they were checked against. Decides the grade; knows no layout.

use super::baseline::Baseline;
use super::numbers::difference;
use super::{Origin, Report};

/// What the dollars were checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Grade C: the recorded configuration was simulated and came out as recorded.
    Reproduced,
    /// The recorded configuration came out otherwise: nothing of the run is to be decided on.
    Missed,
    /// Grade D: recorded traffic, checked against nothing.
    Unchecked,
    /// Traffic that nobody had: no grade.
    Synthetic,
}

/// The grade of a report.
pub fn of(report: &Report) -> Trust {
    match (&report.baseline, report.traffic.origin) {
        (Some(baseline), _) if baseline.is_reproduced() => Trust::Reproduced,
        (Some(_), _) => Trust::Missed,
        (None, Origin::Recorded) => Trust::Unchecked,
        (None, Origin::Synthetic) => Trust::Synthetic,
    }
}

impl Trust {
    /// Whether dollars may be named before they are compared: they start from a log that was reproduced.
    pub const fn has_dollars(self) -> bool {
        matches!(self, Self::Reproduced)
    }
}

/// The grade and what it is good for, in one line.
pub fn sentence(report: &Report) -> String {
    match (of(report), &report.baseline) {
        (Trust::Reproduced, Some(baseline)) => {
            format!("TRUST C: baseline reproduced ({}), not checked against a bill.", difference(baseline.repriced, baseline.simulated.cost))
        }
        (Trust::Missed, Some(baseline)) => missed(baseline).unwrap_or_default(),
        (Trust::Synthetic, _) => "Synthetic traffic has no grade. Compare the variants; don't budget with the dollars.".to_owned(),
        (Trust::Unchecked | Trust::Reproduced | Trust::Missed, _) => {
            "TRUST D: not checked against a bill. Compare the variants; don't budget with the dollars.".to_owned()
        }
    }
}

/// In one line why nobody should decide on a run with this baseline; `None` if it is reproduced.
pub fn missed(baseline: &Baseline) -> Option<String> {
    if baseline.is_reproduced() {
        return None;
    }
    let off = if baseline.misses_in_all() {
        difference(baseline.repriced, baseline.simulated.cost)
    } else {
        let parts = baseline.missed_parts().map(|part| format!("{} {}", part.name, difference(part.repriced, part.simulated)));
        parts.collect::<Vec<_>>().join(", ")
    };
    Some(format!("Baseline not reproduced ({off}): don't decide on this run"))
}
