//! Bounds that a scenario states about its variants, and whether they hold. Knows numbers, not how they were written.

mod quantity;
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

/// A bound on one quantity. It holds if it does under every seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// What is bounded.
    pub quantity: Quantity,
    /// Which way.
    pub side: Side,
    /// By how much, in the quantity's [unit](Unit).
    pub value: i128,
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
    let quantity = bound.quantity;
    let figures = quantity.of(variant, report.variants.get(report.reference).unwrap_or(variant));
    let (holds, furthest) = match bound.side {
        Side::AtLeast => {
            (figures.iter().all(|figure| figure.compared_with(bound.value).is_ge()), figures.iter().min_by_key(|figure| figure.rounded()))
        }
        Side::AtMost => {
            (figures.iter().all(|figure| figure.compared_with(bound.value).is_le()), figures.iter().max_by_key(|figure| figure.rounded()))
        }
    };
    let found = furthest.map_or_else(|| quantity.absent().to_owned(), |figure| quantity.shown(*figure));
    Verdict { variant: variant.name.clone(), expected: bound.words(), found, holds: holds && !figures.is_empty() }
}
