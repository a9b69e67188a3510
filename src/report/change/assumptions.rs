//! How far a change would move if what was assumed lay elsewhere in its range. Knows no luck.

use crate::gateway::money::Money;
use crate::report::{Imputed, Report, Variant};

/// What the ranges of assumptions add to a relative change below and above, all at their ends at once; `None` where none is a range.
pub(super) fn reach(report: &Report, reference: &Variant, variant: &Variant) -> Option<(f64, f64)> {
    let tokens = token_counts(reference, variant);
    let lengths = report.imputed.as_ref().and_then(|imputed| output_lengths(imputed, reference, variant));
    match (tokens, lengths) {
        (None, None) => None,
        (tokens, lengths) => {
            let ((below, above), further) = (tokens.unwrap_or_default(), lengths.unwrap_or_default());
            Some((below + further, above + further))
        }
    }
}

/// Both variants were run at the ends of token ratios: the changes there against the change in the middle.
fn token_counts(reference: &Variant, variant: &Variant) -> Option<(f64, f64)> {
    if reference.token_ends.is_none() && variant.token_ends.is_none() {
        return None;
    }
    let [before, after] = [reference.bill_at_ends(), variant.bill_at_ends()];
    let change = |end: usize| fraction(after[end] - before[end], before[end]).unwrap_or_default();
    let [low, middle, high] = [0, 1, 2].map(change);
    Some((middle - low.min(high).min(middle), low.max(high).max(middle) - middle))
}

/// Nobody runs drawn lengths at their ends, so this is a bound: as if everything that the two variants pay differently were paid for drawn lengths,
/// and longer or shorter ones made it so much more or less; but no more than drawn lengths cost in all.
fn output_lengths(imputed: &Imputed, reference: &Variant, variant: &Variant) -> Option<f64> {
    let furthest = (imputed.high - imputed.dollars).max(imputed.dollars - imputed.low).at_least_zero();
    let bill = reference.bill().mean;
    let stretched = fraction(furthest, imputed.dollars)?;
    let in_all = fraction(furthest, bill)? * (fraction(variant.bill().mean, bill)?).max(1.0);
    let differently = fraction(paid_differently(reference, variant), bill)?;
    (furthest > Money::ZERO).then_some((differently * stretched).min(in_all))
}

/// What is paid for another cause, or not paid at all: the causes' differences without their signs.
fn paid_differently(reference: &Variant, variant: &Variant) -> Money {
    let [before, after] = [reference, variant].map(|variant| {
        let causes = variant.merged().causes;
        [causes.base, causes.premium, causes.prompt_cache, causes.undelivered, causes.wasted_total()]
    });
    let seeds = i128::try_from(reference.runs.len()).expect("few seeds");
    Money(before.iter().zip(after).map(|(before, after)| (after - *before).0.abs()).sum::<i128>() / seeds)
}

fn fraction(part: Money, of: Money) -> Option<f64> {
    (of > Money::ZERO).then(|| part.0 as f64 / of.0 as f64)
}
