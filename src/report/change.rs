//! How one variant's bill differs from the reference's, and how sure that is. Reads what the runs of a report have; knows no words and no layout.
//!
//! What the parts mean to a reader is told in `docs/statistics.md`; the arithmetic is in [`super::statistics`].

use super::statistics::{ALPHA, luck, stopping};
use super::{Report, Variant};
use crate::gateway::money::Money;
use crate::gateway::time::Span;

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
    /// Other days like this: from blocks of time.
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
    /// The change is known to plus or minus this.
    HalfWidth(f64),
    /// It was not measured.
    Unknown(Unknown),
}

/// Why a part is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// One seed says nothing about others.
    OneSeed,
    /// The trace has fewer blocks than it takes.
    TraceTooShort {
        /// Whole blocks in the trace, outside of scripted times.
        blocks: usize,
        /// The least that say anything.
        needed: usize,
        /// How long a block is: at least as long as anything is remembered.
        block: Span,
    },
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
    let alpha = if report.precision.is_some() { stopping::ALPHA } else { ALPHA };
    let change = |(index, variant)| (index != report.reference).then(|| change(reference, variant, alpha));
    report.variants.iter().enumerate().map(change).collect()
}

fn change(reference: &Variant, variant: &Variant, alpha: f64) -> Change {
    let bills = |variant: &Variant| variant.runs.iter().map(|run| run.totals.bill).collect::<Vec<_>>();
    let paired = luck::Paired::of(&bills(reference), &bills(variant));
    let difference = variant.bill().mean - reference.bill().mean;
    let is_identical = variant.is_identical(reference);
    let Some(relative) = paired.relative() else {
        let nothing = Part::Unknown(Unknown::NothingToCompareWith);
        let (luck, traffic) = if is_identical { (Part::Nothing, Part::Nothing) } else { (nothing, nothing) };
        return Change {
            difference,
            relative: None,
            is_identical,
            luck,
            traffic,
            assumptions: None,
            low: 0.0,
            high: 0.0,
            is_decided: false,
            pairing: None,
        };
    };
    let luck = if is_identical { Part::Nothing } else { paired.part(alpha) };
    let half_width = luck.half_width().unwrap_or_default();
    let (low, high) = (relative - half_width, relative + half_width);
    let is_decided = luck.half_width().is_some() && (low > 0.0 || high < 0.0);
    let traffic = Part::Nothing;
    Change { difference, relative: Some(relative), is_identical, luck, traffic, assumptions: None, low, high, is_decided, pairing: paired.pairing() }
}
