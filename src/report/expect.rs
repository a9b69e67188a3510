//! Bounds that a scenario states about its variants, and whether they hold. Knows numbers, not how they were written.

use super::numbers;
use super::{Report, Variant};
use crate::gateway::money::Money;

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The bill of every seed, at every end of token ratios, is at most this.
    CostAtMost(Money),
    /// The bill of every seed, at every end of token ratios, is at least this.
    CostAtLeast(Money),
    /// At least so many in a million of every seed's requests are answered, as their users see it.
    AnsweredAtLeast {
        /// Parts in a million.
        per_million: u32,
    },
    /// At most so many in a million of every seed's requests are answered, as their users see it.
    AnsweredAtMost {
        /// Parts in a million.
        per_million: u32,
    },
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
        self.expectations = expectations.iter().flat_map(|expectation| judge_all(&self.variants, expectation)).collect();
    }

    /// Whether every expectation holds.
    pub fn is_as_expected(&self) -> bool {
        self.expectations.iter().all(|verdict| verdict.holds)
    }
}

fn judge_all(variants: &[Variant], expectation: &Expectation) -> Vec<Verdict> {
    let meant = |variant: &&Variant| expectation.variant.as_ref().is_none_or(|name| *name == variant.name);
    let verdicts: Vec<Verdict> = variants.iter().filter(meant).map(|variant| judge(variant, expectation.bound)).collect();
    if !verdicts.is_empty() {
        return verdicts;
    }
    let variant = expectation.variant.clone().unwrap_or_default();
    vec![Verdict { variant, expected: words(expectation.bound), found: "no such variant".to_owned(), holds: false }]
}

fn judge(variant: &Variant, bound: Bound) -> Verdict {
    let bill = variant.bill_anywhere();
    let answered = variant.runs.iter().map(|run| run.totals.answered_of());
    let per_million = |(part, whole): (u64, u64)| u128::from(part) * 1_000_000 / u128::from(whole.max(1));
    let (least, most) = (answered.clone().min_by_key(|run| per_million(*run)), answered.max_by_key(|run| per_million(*run)));
    let holds_at = |share: Option<(u64, u64)>, holds: fn(u128, u128) -> bool, bound: u32| {
        share.is_some_and(|(part, whole)| holds(u128::from(part) * 1_000_000, u128::from(bound) * u128::from(whole)))
    };
    let shown = |share: Option<(u64, u64)>| {
        share.map_or_else(String::new, |(part, whole)| {
            format!("{} ({} of {})", numbers::share(part, whole), numbers::count(part), numbers::count(whole))
        })
    };
    let (found, holds) = match bound {
        Bound::CostAtMost(most) => (bill.max.to_string(), bill.max <= most),
        Bound::CostAtLeast(least) => (bill.min.to_string(), bill.min >= least),
        Bound::AnsweredAtLeast { per_million } => (shown(least), holds_at(least, |a, b| a >= b, per_million)),
        Bound::AnsweredAtMost { per_million } => (shown(most), holds_at(most, |a, b| a <= b, per_million)),
    };
    Verdict { variant: variant.name.clone(), expected: words(bound), found, holds }
}

fn words(bound: Bound) -> String {
    match bound {
        Bound::CostAtMost(most) => format!("a cost of at most {most}"),
        Bound::CostAtLeast(least) => format!("a cost of at least {least}"),
        Bound::AnsweredAtLeast { per_million } => format!("at least {} answered", percent(per_million)),
        Bound::AnsweredAtMost { per_million } => format!("at most {} answered", percent(per_million)),
    }
}

/// Parts in a million as a percentage, all digits that it has.
fn percent(per_million: u32) -> String {
    let (whole, rest) = (per_million / 10_000, format!("{:04}", per_million % 10_000));
    match rest.trim_end_matches('0') {
        "" => format!("{whole} %"),
        rest => format!("{whole}.{rest} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn check(bound: Bound) -> (bool, String) {
        let mut report = sample::report();
        report.judge(&[Expectation { variant: None, bound }]);
        let verdict = &report.expectations[0];
        (verdict.holds, format!("expected {}, found {}", verdict.expected, verdict.found))
    }

    #[test]
    fn a_bound_holds_up_to_and_with_its_edge() {
        // One request on gpt-4o-mini (0.00021) and one that fell back to gpt-4o (0.0035).
        assert_eq!(check(Bound::CostAtMost(Money(3_710_000_000))), (true, "expected a cost of at most $0.00371, found $0.00371".into()));
        assert!(!check(Bound::CostAtMost(Money(3_709_999_999))).0);
        assert!(check(Bound::CostAtLeast(Money(3_710_000_000))).0);
        assert!(!check(Bound::CostAtLeast(Money(3_710_000_001))).0);
    }

    #[test]
    fn a_share_is_compared_exactly() {
        assert_eq!(
            check(Bound::AnsweredAtLeast { per_million: 666_667 }),
            (false, "expected at least 66.6667 % answered, found 66.7 % (2 of 3)".into())
        );
        assert!(check(Bound::AnsweredAtLeast { per_million: 666_666 }).0);
        assert!(check(Bound::AnsweredAtMost { per_million: 666_667 }).0);
    }

    #[test]
    fn a_variant_that_does_not_exist_holds_nothing() {
        let mut report = sample::report();
        report.judge(&[Expectation { variant: Some("capped".to_owned()), bound: Bound::CostAtLeast(Money::ZERO) }]);
        assert!(!report.is_as_expected());
    }
}
