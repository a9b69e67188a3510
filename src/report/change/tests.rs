//! Changes of whole reports: which parts are known, how they come together, and what is decided.

use super::*;
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};
use crate::report::crossing::TokenEnds;
use crate::report::sample;
use crate::report::series::Series;
use crate::report::statistics::t_quantile;
use crate::report::{Imputed, Run};

const START: Time = Time(1_700_000_000_000_000_000);

/// A report on variants by what they cost, in cents, in each second under each seed.
fn report<const N: usize>(variants: [&dyn Fn(u64, u64) -> i64; N], seeds: u64, seconds: u64) -> Report {
    let mut report = sample::report();
    let like = report.variants.remove(0);
    report.traffic.first = START;
    report.traffic.span = Span::from_secs(seconds - 1);
    report.memory = Span::from_secs(5);
    for (number, cents) in variants.into_iter().enumerate() {
        let run = |seed| {
            let (mut series, mut totals) = (Series::default(), like.runs[0].totals.clone());
            (totals.bill, totals.causes.base) = (Money::ZERO, Money::ZERO);
            for second in 0..seconds {
                let cost = Money::usd(cents(seed, second)).per_mille(10);
                series.at(START + Span::from_secs(second)).cost += cost;
                totals.bill += cost;
                totals.causes.base += cost;
            }
            Run { seed, totals, series }
        };
        report.variants.push(Variant { name: number.to_string(), runs: (0..seeds).map(run).collect(), ..like.clone() });
    }
    report
}

/// Traffic that is now more and now less.
fn busy(second: u64) -> i64 {
    1_000 + i64::try_from(second * second * 7 % 401).unwrap()
}

#[track_caller]
fn only(report: &Report) -> Change {
    let mut known: Vec<Change> = changes(report).into_iter().flatten().collect();
    assert_eq!(known.len(), 1);
    known.remove(0)
}

#[test]
fn each_variant_has_a_change_but_the_reference_wherever_it_stands() {
    let mut report = report([&|_, _| 110, &|_, _| 100, &|_, _| 150], 2, 10);
    report.reference = 1;
    let relative: Vec<_> = changes(&report).iter().map(|change| change.as_ref().and_then(|change| change.relative)).collect();
    assert_eq!(relative, [Some(0.1), None, Some(0.5)]);
}

#[test]
fn what_is_identical_needs_no_interval() {
    let change = only(&report([&|seed, _| 100 + seed as i64, &|seed, _| 100 + seed as i64], 3, 10));
    assert!(change.is_identical && !change.is_decided);
    assert_eq!((change.luck, change.traffic, change.low, change.high, change.pairing), (Part::Nothing, Part::Nothing, 0.0, 0.0, None));
    assert_eq!(change.difference, Money::ZERO);
}

#[test]
fn one_seed_and_a_short_trace_say_nothing_and_say_so() {
    let change = only(&report([&|_, _| 100, &|_, _| 90], 1, 10));
    assert_eq!(change.luck, Part::Unknown(Unknown::OneSeed));
    assert_eq!(change.traffic, Part::Unknown(Unknown::TraceTooShort { blocks: 2, needed: 20, block: Span::from_secs(5) }));
    assert_eq!((change.relative, change.low, change.high, change.is_decided), (Some(-0.1), -0.1, -0.1, false));
}

#[test]
fn one_seed_of_a_long_trace_tells_of_other_days() {
    let mut report = report([&|_, second| busy(second), &|_, second| busy(second) - 100 - (second * 13 % 50) as i64], 1, 200);
    let change = only(&report);
    assert_eq!(change.luck, Part::Unknown(Unknown::OneSeed));
    let half_width = change.traffic.half_width().unwrap();
    let relative = change.relative.unwrap();
    assert!(half_width > 0.0 && change.is_decided);
    assert!((change.high - change.low - 2.0 * half_width).abs() < 1e-12 && change.low < relative && relative < change.high);
    report.memory = Span::from_secs(11);
    let too_short = Unknown::TraceTooShort { blocks: 18, needed: 20, block: Span::from_secs(11) };
    assert_eq!(only(&report).traffic, Part::Unknown(too_short));
}

#[test]
fn a_discount_is_known_exactly() {
    let change = only(&report([&|seed, second| busy(second) * (10 + seed as i64), &|seed, second| busy(second) * (10 + seed as i64) / 2], 3, 200));
    assert!(change.relative.is_some_and(|relative| (relative + 0.5).abs() < 0.001));
    let exact = only(&report([&|seed, second| 2 * busy(second) * (1 + seed as i64), &|seed, second| busy(second) * (1 + seed as i64)], 3, 200));
    assert_eq!((exact.luck, exact.traffic, exact.low, exact.high, exact.is_decided), (Part::Nothing, Part::Nothing, -0.5, -0.5, true));
}

#[test]
fn luck_and_traffic_add_up_squared_and_assumptions_as_they_are() {
    let variant = |seed: u64, second: u64| busy(second) - 100 - (second * 13 % 50) as i64 + seed as i64;
    let mut report = report([&|_, second| busy(second), &variant], 4, 200);
    let bill = report.variants[1].bill().mean;
    // The bill is 2 % lower at one end and 1 % higher at the other.
    let ends = TokenEnds { low: vec![bill.per_mille(980); 4], high: vec![bill.per_mille(1_010); 4] };
    report.variants[1].token_ends = Some(ends);
    let change = only(&report);
    let (luck, traffic) = (change.luck.half_width().unwrap(), change.traffic.half_width().unwrap());
    let reach = Timeline::of(&report, &report.variants[0], &report.variants[1]).blocks(report.memory).unwrap().reach_of_traffic(ALPHA).unwrap();
    assert_eq!(reach.half_width(), traffic);
    let (below, above) = change.assumptions.unwrap();
    let relative = change.relative.unwrap();
    assert!(luck > 0.0 && traffic > 0.0);
    assert!((below - 0.02 * (1.0 + relative)).abs() < 1e-9 && (above - 0.01 * (1.0 + relative)).abs() < 1e-9);
    let ends = [relative - luck.hypot(reach.below) - below, relative + luck.hypot(reach.above) + above];
    assert!((change.low - ends[0]).abs() < 1e-12 && (change.high - ends[1]).abs() < 1e-12);
    report.variants.iter_mut().for_each(|variant| variant.runs.truncate(1));
    let with_luck_in_it = only(&report).traffic.half_width().unwrap();
    assert!(with_luck_in_it > traffic, "nobody can take out the luck of one seed");
}

#[test]
fn nothing_is_no_base_for_a_fraction() {
    let change = only(&report([&|_, _| 0, &|_, _| 90], 2, 10));
    assert_eq!((change.relative, change.is_decided), (None, false));
    assert_eq!(change.luck, Part::Unknown(Unknown::NothingToCompareWith));
    assert_eq!(change.difference, Money::usd(9));
}

/// A variant whose mean is so many standard errors above the reference, over ten seeds: half of them as much above that as the others below.
fn above(standard_errors: f64) -> impl Fn(u64, u64) -> i64 {
    // The variance of ten values of +-d is d^2 * 10/9.
    let standard_error = (10.0_f64 / 9.0 / 10.0).sqrt() * 10_000.0;
    let mean = (standard_errors * standard_error).round() as i64;
    move |seed, _| 1_000_000 + mean + if seed % 2 == 0 { 10_000 } else { -10_000 }
}

#[test]
fn several_variants_are_held_to_more_than_one() {
    // Student's t of 9 degrees: 2.262 leaves out 5 %, 2.685 2.5 %.
    let decided = |report: &Report| changes(report).iter().flatten().map(|change| change.is_decided).collect::<Vec<_>>();
    let reference = |_: u64, _: u64| 1_000_000;
    assert_eq!(decided(&report([&reference, &above(2.5)], 10, 1)), [true]);
    assert_eq!(decided(&report([&reference, &above(2.5), &above(2.4)], 10, 1)), [false, false]);
    assert_eq!(decided(&report([&reference, &above(2.5), &above(3.0)], 10, 1)), [true, true], "who comes second has one fewer to share with");
    assert_eq!(decided(&report([&reference, &above(2.5), &reference], 10, 1)), [true, false], "what is identical is no guess");
}

#[test]
fn seeds_that_were_stopped_at_a_precision_pay_for_it() {
    let mut report = report([&|_, _| 1_000_000, &above(2.3)], 10, 1);
    let fixed = only(&report);
    report.precision = Some(0.01);
    let stopped = only(&report);
    let wider = stopped.luck.half_width().unwrap() / fixed.luck.half_width().unwrap();
    assert!((wider - t_quantile(0.035, 9.0) / t_quantile(0.05, 9.0)).abs() < 1e-9 && wider > 1.05);
    assert!(fixed.is_decided && !stopped.is_decided);
}

#[test]
fn a_scripted_time_is_not_drawn_anew() {
    // An outage from 80 s to 110 s makes everything five times as dear; the rest is a little cheaper.
    let outage = |second: u64| (80..110).contains(&second);
    let variant = |_: u64, second: u64| if outage(second) { 5 * busy(second) } else { busy(second) - 100 - (second * 13 % 50) as i64 };
    let mut report = report([&|_, second| busy(second), &variant], 1, 300);
    let drawn = only(&report);
    report.scripted = vec![(START + Span::from_secs(80), START + Span::from_secs(110))];
    let kept = only(&report);
    assert_eq!(kept.relative, drawn.relative);
    assert!(kept.traffic.half_width().unwrap() * 10.0 < drawn.traffic.half_width().unwrap_or(f64::INFINITY));
    // The outage itself, and the five seconds that it is remembered, are no part of the blocks.
    report.memory = Span::from_secs(14);
    let too_short = Unknown::TraceTooShort { blocks: 18, needed: 20, block: Span::from_secs(14) };
    assert_eq!(only(&report).traffic, Part::Unknown(too_short));
}

#[test]
fn a_difference_of_one_moment_is_not_decided_by_any_number_of_seeds() {
    let burst = |seed: u64, second: u64| busy(second) + if second == 100 { 50_000 + seed as i64 } else { 0 };
    let change = only(&report([&|_, second| busy(second), &burst], 10, 300));
    assert!(change.luck.half_width().is_some_and(|luck| luck < 0.001) && change.relative.unwrap() > 0.1);
    assert_eq!((change.traffic, change.is_decided), (Part::Unknown(Unknown::FewBlocksDiffer), false));
}

#[test]
fn drawn_lengths_reach_as_far_as_what_they_can_make_different() {
    let mut report = report([&|_, _| 100, &|_, _| 90], 2, 10);
    let imputed = |dollars, low, high| {
        let [dollars, low, high] = [dollars, low, high].map(|cents| Money::usd(cents).per_mille(10));
        Some(Imputed { requests: 1, tokens: 1, of_tokens: 2, dollars, low, high })
    };
    // All $10 are for drawn lengths that could cost half as much or a quarter more: a difference of 10 % could be 15 % or 5 %.
    report.imputed = imputed(1_000, 500, 1_250);
    assert_eq!(only(&report).assumptions, Some((0.05, 0.05)));
    // Ten cents are; they could have been five, which is half a per cent of the bill.
    report.imputed = imputed(10, 5, 12);
    assert_eq!(only(&report).assumptions, Some((0.005, 0.005)));
    report.imputed = imputed(10, 10, 10);
    assert_eq!(only(&report).assumptions, None);
}
