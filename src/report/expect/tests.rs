//! Bounds on the small report of `sample`: one request on gpt-4o-mini ($0.00021), one that fell back to gpt-4o after a 429 ($0.0035), one refused.

use super::*;
use crate::gateway::money::Money;
use crate::gateway::time::Span;
use crate::report::crossing::TokenEnds;
use crate::report::stability::{Aftermath, Metastable, Saturated, Stability, Undecided};
use crate::report::{Report, sample};

#[track_caller]
fn judged(report: &mut Report, quantity: Quantity, side: Side, value: i128) -> (bool, String) {
    let variant = report.variants.last().map(|variant| variant.name.clone());
    report.judge(&[Expectation { variant, bound: Bound::Quantity { quantity, side, value } }]);
    let [verdict] = &report.expectations[..] else { panic!("one verdict") };
    (verdict.holds, format!("expected {}, found {}", verdict.expected, verdict.found))
}

/// The words of a bound that holds with its edge and not a step beyond.
#[track_caller]
fn check(report: &mut Report, quantity: Quantity, edge: i128, words: &str) {
    let most = judged(report, quantity, Side::AtMost, edge);
    assert!(most.0, "{}", most.1);
    assert_eq!(most.1, words);
    assert!(judged(report, quantity, Side::AtLeast, edge).0);
    assert!(!judged(report, quantity, Side::AtMost, edge - 1).0);
    assert!(!judged(report, quantity, Side::AtLeast, edge + 1).0);
}

#[test]
fn a_bound_holds_up_to_and_with_its_edge() {
    let report = &mut sample::report();
    check(report, Quantity::Cost, 3_710_000_000, "expected a cost of at most $0.00371, found $0.00371");
    check(report, Quantity::Wasted, 0, "expected at most $0 wasted, found $0");
    check(report, Quantity::CallsPerRequest, 1_000_000, "expected at most 1 calls a request, found 1 (3 for 3)");
    check(report, Quantity::CallsOfOneRequest, 2, "expected at most 2 calls for one request, found 2");
    check(report, Quantity::Retries, 0, "expected at most 0 retries, found 0");
    check(report, Quantity::OtherModel, 500_000, "expected at most 50 % of answers by another model, found 50.0 % (1 of 2)");
}

#[test]
fn a_share_is_compared_exactly() {
    let report = &mut sample::report();
    let (least, most) = (Side::AtLeast, Side::AtMost);
    let words = "expected at least 66.6667 % answered, found 66.7 % (2 of 3)";
    assert_eq!(judged(report, Quantity::Answered, least, 666_667), (false, words.into()));
    assert!(judged(report, Quantity::Answered, least, 666_666).0);
    assert!(judged(report, Quantity::Answered, most, 666_667).0);
    let words = "expected at most 33.3333 % of calls rate limited, found 33.3 % (1 of 3)";
    assert_eq!(judged(report, Quantity::RateLimited, most, 333_333), (false, words.into()));
}

#[test]
fn what_was_spent_above_budgets_is_bounded() {
    let mut report = sample::report();
    report.variants[0].runs[0].totals.incidents.breached = Money(5_000_000_000);
    check(&mut report, Quantity::Overspend, 5_000_000_000, "expected at most $0.005 above budgets, found $0.005");
    report.variants[0].runs[0].totals.causes.undelivered = Money(1);
    assert!(!judged(&mut report, Quantity::Undelivered, Side::AtMost, 0).0);
}

#[test]
fn waiting_is_bounded_within_what_the_histogram_knows() {
    // Both answers took 2 s.
    let report = &mut sample::report();
    let second = i128::from(Span::SECOND.0);
    assert!(judged(report, Quantity::P95, Side::AtMost, 2 * second * 1_008 / 1_000).0);
    assert!(!judged(report, Quantity::P95, Side::AtMost, 2 * second * 992 / 1_000).0);
}

#[test]
fn every_seed_has_to_hold_and_the_furthest_is_shown() {
    let mut report = sample::report();
    let mut other = report.variants[0].runs[0].clone();
    other.totals.bill += Money(1_000_000_000);
    report.variants[0].runs.push(other);
    let words = "expected a cost of at most $0.004, found $0.00471";
    assert_eq!(judged(&mut report, Quantity::Cost, Side::AtMost, 4_000_000_000), (false, words.into()));
    let words = "expected a cost of at least $0.004, found $0.00371";
    assert_eq!(judged(&mut report, Quantity::Cost, Side::AtLeast, 4_000_000_000), (false, words.into()));
}

#[test]
fn a_change_is_against_the_reference_at_the_same_seed_and_the_same_end_of_token_ratios() {
    let mut report = sample::report();
    let mut half = report.variants[0].clone();
    half.name = "half".into();
    half.runs[0].totals.bill = Money(3_710_000_000 / 2);
    report.variants.push(half);
    check(&mut report, Quantity::Change, -500_000, "expected a change of at most -50 %, found -50 %");

    // At the upper end the variant costs three quarters of what the reference does; the reference has no ends of its own.
    let bill = |part: i128| vec![Money(3_710_000_000 / 4 * part)];
    report.variants[1].token_ends = Some(TokenEnds { low: bill(1), high: bill(3) });
    let found = judged(&mut report, Quantity::Change, Side::AtMost, -500_000);
    assert_eq!(found, (false, "expected a change of at most -50 %, found -25 %".into()));
}

#[test]
fn what_was_not_measured_holds_no_bound() {
    let mut report = sample::report();
    report.variants.push(report.variants[0].clone());
    report.variants[0].runs[0].totals.bill = Money::ZERO;
    report.variants[1].name = "other".into();
    let nothing = "expected a change of at most +10 %, found nothing to compare with: the variant it is compared with costs nothing";
    assert_eq!(judged(&mut report, Quantity::Change, Side::AtMost, 100_000), (false, nothing.into()));
    report.variants[1].runs[0].totals.latency = crate::report::histogram::Histogram::default();
    assert_eq!(judged(&mut report, Quantity::P95, Side::AtMost, 0).1, "expected a p95 of at most 0, found no answers");
}

#[test]
fn a_variant_that_does_not_exist_holds_nothing() {
    let mut report = sample::report();
    let bound = Bound::Quantity { quantity: Quantity::Cost, side: Side::AtLeast, value: 0 };
    report.judge(&[Expectation { variant: Some("capped".to_owned()), bound }]);
    assert!(!report.is_as_expected());
}

/// Whether `metastable = true` and `metastable = false` hold, and what was found.
fn metastable(report: &mut Report, found: Option<Metastable>) -> (bool, bool, String) {
    report.variants[0].stability = found.map(|metastable| Stability { saturated: None, metastable });
    report.judge(&[true, false].map(|expected| Expectation { variant: None, bound: Bound::Metastable(expected) }));
    let [yes, no] = &report.expectations[..] else { panic!("two verdicts") };
    (yes.holds, no.holds, no.found.clone())
}

#[test]
fn only_a_verdict_that_was_reached_is_as_expected() {
    let report = &mut sample::report();
    let after = Aftermath {
        trigger_ended: Span::from_secs(60),
        window: Span::from_secs(120),
        more_attempts: 0.2,
        interval: (0.15, 0.25),
        more_attempts_before: 0.3,
        more_answers: -0.9,
        tail: Money::usd(1),
    };
    let words = "+20.0 % attempts a request in the last 2 min (+15.0 to +25.0 %)";
    assert_eq!(metastable(report, Some(Metastable::Metastable(after))), (true, false, format!("metastable: {words}")));
    assert_eq!(metastable(report, Some(Metastable::Recovers(after))), (false, true, format!("recovers: {words}")));
    let falling = Metastable::NotDecided(Undecided::StillFalling(after));
    assert_eq!(metastable(report, Some(falling)), (false, false, format!("not decided: still falling: {words}")));
    assert_eq!(metastable(report, Some(Metastable::NoTrigger)), (false, false, "no trigger in the scenario".to_owned()));
    assert_eq!(metastable(report, None), (false, false, "nobody looked".to_owned()));
}

#[test]
fn saturation_is_expected_or_not() {
    let mut report = sample::report();
    let (from, lasts) = (Span::from_secs(60), Span::from_secs(300));
    let saturated = Saturated { from, lasts, calls: 1_000, turned_away: 400, admitted_per_second: 2.0 };
    for (found, holds) in [(Some(saturated), [true, false]), (None, [false, true])] {
        report.variants[0].stability = Some(Stability { saturated: found, metastable: Metastable::NoTrigger });
        report.judge(&[true, false].map(|expected| Expectation { variant: None, bound: Bound::Saturated(expected) }));
        assert_eq!(report.expectations.iter().map(|verdict| verdict.holds).collect::<Vec<_>>(), holds);
    }
    assert_eq!(report.expectations[0].expected, "saturated");
    assert_eq!(report.expectations[0].found, "not saturated");
}
