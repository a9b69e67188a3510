//! How one variant's bill differs from the reference's, and how sure that is. Reads what the runs of a report have; knows no words and no layout.
//!
//! What the parts mean to a reader is told in `docs/statistics.md`; the arithmetic is in [`super::statistics`].

mod assumptions;
mod timeline;

use super::statistics::blocks::{Blocks, Reach};
use super::statistics::luck::Paired;
use super::statistics::{ALPHA, several, stopping};
use super::{Report, Variant};
use crate::gateway::money::Money;
use crate::gateway::time::Span;
use timeline::Timeline;

/// How one variant's bill differs from the reference's. Fractions of the reference's bill: 0.01 is one per cent; at 95 % unless said otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Variant minus reference on the trace: the mean over the seeds, rounded towards zero by less than a picodollar.
    pub difference: Money,
    /// The difference by the reference's bill; `None` if the reference costs nothing. No fraction below means anything then.
    pub relative: Option<f64>,
    /// Nothing that was counted differs, in any seed.
    pub is_identical: bool,
    /// The same traffic under other luck: from the seeds.
    pub luck: Part,
    /// Other days like this, beyond what luck does to them: from blocks of time. With one seed it holds the luck too.
    pub traffic: Part,
    /// What the ranges of assumptions (token ratios, imputed lengths) add below and above; at least 0 each. `None` where no assumption is a range.
    pub assumptions: Option<(f64, f64)>,
    /// The lower end with all known parts: luck and traffic in quadrature, assumptions added at the end.
    pub low: f64,
    /// The upper end, likewise.
    pub high: f64,
    /// The interval does not hold 0, at the level that several variants ask for (Holm).
    pub is_decided: bool,
    /// How much more the difference would vary if the two shared no luck: variance of the unpaired difference by that of the paired one.
    pub pairing: Option<f64>,
}

/// One reason why a change is not known exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    /// It changes nothing: identical, or exactly no variation.
    Nothing,
    /// The change is known to plus or minus this; half of the whole width where one end is nearer than the other.
    HalfWidth(f64),
    /// It was not measured.
    Unknown(Unknown),
}

/// Why a part is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// One seed says nothing about others.
    OneSeed,
    /// The trace has fewer blocks of time than it takes.
    TraceTooShort {
        /// Whole blocks in the trace in which anything was paid, outside of scripted times.
        blocks: usize,
        /// The least that say anything.
        needed: usize,
        /// How long a block is: at least as long as anything is remembered.
        block: Span,
    },
    /// What differs is in so few blocks of time that such a day could as well have had none of them.
    FewBlocksDiffer,
    /// The reference costs nothing: there is nothing to take a fraction of.
    NothingToCompareWith,
}

impl Part {
    /// The half-width, where there is one: 0 for nothing, `None` for unknown.
    pub fn half_width(self) -> Option<f64> {
        match self {
            Self::Nothing => Some(0.0),
            Self::HalfWidth(half_width) => Some(half_width),
            Self::Unknown(_) => None,
        }
    }
}

/// One change for each variant, `None` at the reference.
pub fn changes(report: &Report) -> Vec<Option<Change>> {
    let reference = &report.variants[report.reference];
    let others = report.variants.iter().enumerate().filter(|(index, _)| *index != report.reference);
    let mut measured: Vec<Measured> = others.map(|(_, variant)| Measured::of(report, reference, variant)).collect();
    let comparable: Vec<usize> = (0..measured.len()).filter(|index| measured[*index].can_be_decided()).collect();
    let decided = several::decided(comparable.len(), ALPHA, |index, level| measured[comparable[index]].excludes_nothing(level));
    for (index, is_decided) in comparable.into_iter().zip(decided) {
        measured[index].change.is_decided = is_decided;
    }
    let mut changes: Vec<Option<Change>> = measured.into_iter().map(|measured| Some(measured.change)).collect();
    changes.insert(report.reference, None);
    changes
}

/// A change, and what it takes to ask for it at another level.
struct Measured {
    change: Change,
    paired: Paired,
    /// What a level of 95 % is for luck, if the seeds were stopped when there were enough.
    luck_alpha: f64,
    blocks: Option<Blocks>,
}

impl Measured {
    fn of(report: &Report, reference: &Variant, variant: &Variant) -> Self {
        let bills = |variant: &Variant| variant.runs.iter().map(|run| run.totals.bill).collect::<Vec<_>>();
        let paired = Paired::of(&bills(reference), &bills(variant));
        let luck_alpha = if report.precision.is_some() { stopping::ALPHA } else { ALPHA };
        let mut change = Change {
            difference: variant.bill().mean - reference.bill().mean,
            relative: paired.relative(),
            is_identical: variant.is_identical(reference),
            luck: Part::Nothing,
            traffic: Part::Nothing,
            assumptions: None,
            low: 0.0,
            high: 0.0,
            is_decided: false,
            pairing: paired.pairing(),
        };
        let mut measured = Self { change: change.clone(), paired, luck_alpha, blocks: None };
        if change.is_identical {
            return measured;
        }
        if change.relative.is_none() {
            let nothing = Part::Unknown(Unknown::NothingToCompareWith);
            (measured.change.luck, measured.change.traffic) = (nothing, nothing);
            return measured;
        }
        change.luck = measured.paired.part(luck_alpha);
        let blocks = Timeline::of(report, reference, variant).blocks(report.memory);
        change.traffic = blocks.as_ref().map_or_else(|unknown| Part::Unknown(*unknown), traffic);
        change.assumptions = assumptions::reach(report, reference, variant);
        measured.blocks = blocks.ok();
        measured.change = change;
        (measured.change.low, measured.change.high) = measured.interval(ALPHA);
        measured
    }

    /// What is the same needs no decision; what was not measured can have none, nor what a few moments of the trace decide.
    fn can_be_decided(&self) -> bool {
        let Change { relative, is_identical, luck, traffic, .. } = &self.change;
        let is_measured = luck.half_width().is_some() || traffic.half_width().is_some();
        relative.is_some() && !is_identical && is_measured && *traffic != Part::Unknown(Unknown::FewBlocksDiffer)
    }

    fn excludes_nothing(&self, alpha: f64) -> bool {
        let (low, high) = self.interval(alpha);
        low > 0.0 || high < 0.0
    }

    /// All known parts: luck and traffic have nothing to do with each other, so their squares add up; an assumption is either true or not, so its
    /// reach is added as it is.
    fn interval(&self, alpha: f64) -> (f64, f64) {
        let luck = self.paired.part(alpha * self.luck_alpha / ALPHA).half_width().unwrap_or_default();
        let traffic = match (self.change.traffic, &self.blocks) {
            // At so small a level that no draw is rare enough: no difference is that sure.
            (Part::HalfWidth(_), Some(blocks)) => blocks.reach_of_traffic(alpha).unwrap_or(Reach { below: f64::INFINITY, above: f64::INFINITY }),
            _ => Reach::NOTHING,
        };
        let relative = self.change.relative.unwrap_or_default();
        let (below, above) = self.change.assumptions.unwrap_or_default();
        (relative - luck.hypot(traffic.below) - below, relative + luck.hypot(traffic.above) + above)
    }
}

fn traffic(blocks: &Blocks) -> Part {
    match blocks.reach_of_traffic(ALPHA) {
        _ if blocks.reach(ALPHA) == Some(Reach::NOTHING) => Part::Nothing,
        Some(reach) => Part::HalfWidth(reach.half_width()),
        None => Part::Unknown(Unknown::FewBlocksDiffer),
    }
}

#[cfg(test)]
mod tests;
