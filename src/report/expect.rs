//! Bounds that a scenario states about its variants, and whether they hold. Knows numbers, not how they were written.

mod quantity;
mod stability;
#[cfg(test)]
mod tests;

use super::{Report, Variant};

pub use quantity::{Quantity, Unit};

/// Which way a quantity is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Every seed has at least this.
    AtLeast,
    /// No seed has more than this.
    AtMost,
}

/// What has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A quantity stays on one side of a value. It holds if it does under every seed.
    Quantity {
        /// What is bounded.
        quantity: Quantity,
        /// Which way.
        side: Side,
        /// By how much, in the quantity's [unit](Unit).
        value: i128,
    },
    /// More is asked of the deployments than they can do, or not. Holds neither way if nobody looked.
    Saturated(bool),
    /// The variant keeps itself down after what the scenario has scripted, or comes back. Holds neither way if that is not decided.
    Metastable(bool),
}

/// A bound on the results of one variant, or of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The variant's name; `None` for every one.
    pub variant: Option<String>,
    /// The bound.
    pub bound: Bound,
}

/// A bound and whether it held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The variant's name.
    pub variant: String,
    /// What was expected, in words.
    pub expected: String,
    /// What came out, in words: of the seed that is furthest off, if several.
    pub found: String,
    /// Whether every seed holds it.
    pub holds: bool,
}

impl Report {
    /// Looks at every bound; the verdicts are kept with the report. A bound on a variant that does not exist does not hold.
    pub fn judge(&mut self, expectations: &[Expectation]) {
        self.expectations = expectations.iter().flat_map(|expectation| judge_all(self, expectation)).collect();
    }

    /// Whether every expectation holds.
    pub fn is_as_expected(&self) -> bool {
        self.expectations.iter().all(|verdict| verdict.holds)
    }
}

fn judge_all(report: &Report, expectation: &Expectation) -> Vec<Verdict> {
    let meant = |variant: &&Variant| expectation.variant.as_ref().is_none_or(|name| *name == variant.name);
    let verdicts: Vec<Verdict> = report.variants.iter().filter(meant).map(|variant| judge(report, variant, expectation.bound)).collect();
    if !verdicts.is_empty() {
        return verdicts;
    }
    let variant = expectation.variant.clone().unwrap_or_default();
    vec![Verdict { variant, expected: expectation.bound.words(), found: "no such variant".to_owned(), holds: false }]
}

fn judge(report: &Report, variant: &Variant, bound: Bound) -> Verdict {
    let (found, holds) = match bound {
        Bound::Quantity { quantity, side, value } => {
            let figures = quantity.of(variant, report.variants.get(report.reference).unwrap_or(variant));
            let (all, furthest) = match side {
                Side::AtLeast => (figures.iter().all(|it| it.compared_with(value).is_ge()), figures.iter().min_by_key(|it| it.rounded())),
                Side::AtMost => (figures.iter().all(|it| it.compared_with(value).is_le()), figures.iter().max_by_key(|it| it.rounded())),
            };
            (furthest.map_or_else(|| quantity.absent().to_owned(), |figure| quantity.shown(*figure)), all && !figures.is_empty())
        }
        Bound::Saturated(expected) => stability::saturated(variant.stability.as_ref(), expected),
        Bound::Metastable(expected) => stability::metastable(variant.stability.as_ref(), expected),
    };
    Verdict { variant: variant.name.clone(), expected: bound.words(), found, holds }
}

impl Bound {
    /// What is expected, in words.
    fn words(self) -> String {
        match self {
            Self::Quantity { quantity, side, value } => quantity.words(side, value),
            Self::Saturated(true) => "saturated".to_owned(),
            Self::Saturated(false) => "not saturated".to_owned(),
            Self::Metastable(true) => "metastable".to_owned(),
            Self::Metastable(false) => "recovers".to_owned(),
        }
    }
}
