//! The verdicts on made-up counts: one second is one bucket.

use super::*;

/// A series with so many calls, turned-away calls and milliseconds of waiting in each second, as `of` says.
fn series(seconds: u64, of: impl Fn(u64) -> (u64, u64, u64)) -> Series {
    let mut series = Series::default();
    for second in 0..seconds {
        let bucket = series.at(Time(second * Span::SECOND.0));
        (bucket.calls, bucket.turned_away, bucket.waits_ms) = of(second);
        bucket.cost = Money(1_000 * i128::from(bucket.calls));
        bucket.served = 10;
    }
    series
}

fn at(second: u64) -> Time {
    Time(second * Span::SECOND.0)
}

fn minutes(minutes: u64) -> Span {
    Span(minutes * Span::MINUTE.0)
}

fn judged(seconds: u64, with: impl Fn(u64) -> (u64, u64, u64), without: impl Fn(u64) -> (u64, u64, u64)) -> Metastable {
    let trigger = (minutes(1), minutes(2));
    metastable(&[&series(seconds, with)], &[&series(seconds, without)], trigger, (at(0), at(seconds - 1)))
}

fn saturation(seconds: u64, of: impl Fn(u64) -> (u64, u64, u64)) -> Option<Saturated> {
    saturated(std::iter::once(&series(seconds, of)), (at(0), at(seconds - 1)))
}

const NORMAL: fn(u64) -> (u64, u64, u64) = |second| (10 + second % 2, 0, 0);

#[test]
fn more_attempts_that_stay_are_metastable() {
    let Metastable::Metastable(after) = judged(900, |second| if second < 60 { NORMAL(second) } else { (30, 0, 0) }, NORMAL) else {
        panic!("it stays")
    };
    // 30 for 10.5 in the mean, for ever.
    assert!((after.more_attempts - (30.0 / 10.5 - 1.0)).abs() < 0.01, "{after:?}");
    assert!(after.interval.0 <= after.more_attempts && after.more_attempts <= after.interval.1);
    // From the trigger's end on: 780 s of 19.5 calls more at 1,000 picodollars.
    assert_eq!(after.tail, Money(780 * 19_500));
}

#[test]
fn what_is_over_by_the_end_has_recovered() {
    let back = |second: u64| if (60..400).contains(&second) { (30, 0, 0) } else { NORMAL(second) };
    let Metastable::Recovers(after) = judged(900, back, NORMAL) else { panic!("it comes back") };
    assert_eq!((after.more_attempts, after.more_answers), (0.0, 0.0));
    assert_eq!(after.tail, Money((400 - 120) * 19_500), "the time until it is back costs");
    // Four per cent more for ever is below what counts.
    let little = |second: u64| (100 + 4 * u64::from(second >= 60), 0, 0);
    assert!(matches!(judged(900, little, |_| (100, 0, 0)), Metastable::Recovers(_)));
}

/// Six per cent in the mean, but of batches that are 60 % more or 48 % less: the interval holds 0.
#[test]
fn what_may_be_noise_is_no_difference() {
    let noisy = |second: u64| (if second / 26 % 2 == 0 { 160 } else { 52 }, 0, 0);
    let verdict = judged(900, noisy, |_| (100, 0, 0));
    let Metastable::Recovers(after) = verdict else { panic!("{verdict:?}") };
    assert!(after.more_attempts > 0.05 && after.interval.0 < 0.0, "{after:?}");
}

#[test]
fn a_difference_that_shrinks_or_that_is_overload_is_not_decided() {
    // From 200 % at the trigger's end to 20 % at the end of the run.
    let falling = |second: u64| (if second < 120 { 1_000 } else { 3_000 - (second - 120) * 1_800 / 780 }, 0, 0);
    assert!(matches!(judged(900, falling, |_| (1_000, 0, 0)), Metastable::NotDecided(Undecided::StillFalling(_))));
    // The twin, too, has a tenth of its calls turned away.
    assert!(matches!(judged(900, |_| (30, 20, 0), |_| (10, 1, 0)), Metastable::NotDecided(Undecided::Overloaded(_))));
    // Or its queue grows by a tenth of the time.
    assert!(matches!(judged(900, |_| (30, 0, 0), |second| (10, 0, second * 1_000)), Metastable::NotDecided(Undecided::Overloaded(_))));
    // Three minutes after a trigger of one decide, one second less does not.
    assert!(matches!(judged(301, |_| (30, 0, 0), NORMAL), Metastable::Metastable(_)));
    let short = Undecided::TooShort { after: Span::from_secs(179), needed: minutes(3) };
    assert_eq!(judged(300, |_| (30, 0, 0), NORMAL), Metastable::NotDecided(short));
    assert_eq!(judged(900, |_| (30, 0, 0), |_| (0, 0, 0)), Metastable::NotDecided(Undecided::NoCalls));
}

#[test]
fn what_is_turned_away_whatever_comes_is_saturation() {
    // At most ten a second are admitted, of 8 at first and then of 12 to 20.
    let offered = |second: u64| if second < 300 { 8 } else { 12 + second / 60 % 5 * 2 };
    let Some(found) = saturation(900, |second| (offered(second), offered(second).saturating_sub(10), 0)) else { panic!("it is") };
    assert_eq!((found.from, found.lasts), (minutes(5), minutes(10)));
    assert!((found.admitted_per_second - 10.0).abs() < 1e-9, "{found:?}");
    // A tenth is always refused, but of more that comes nine tenths get in.
    assert_eq!(saturation(900, |second| (offered(second) * 10, offered(second), 0)), None);
    // Two minutes are a burst.
    assert_eq!(saturation(900, |second| if (300..420).contains(&second) { (20, 10, 0) } else { (8, 0, 0) }), None);
}

/// 1.25 times as many calls as can be served: the wait of a call that comes after t seconds is a quarter of that.
#[test]
fn a_queue_that_grows_is_saturation_and_one_that_is_long_is_not() {
    let Some(found) = saturation(900, |second| (10, 0, 10 * second * 250)) else { panic!("it is") };
    assert_eq!((found.turned_away, found.lasts), (0, minutes(14)), "all but the first minute, which has none before it");
    assert!((found.admitted_per_second - 8.0).abs() < 1e-9, "10 calls come for 8 that are done: {found:?}");
    assert_eq!(saturation(900, |_| (10, 0, 60_000)), None);
}

#[test]
fn verdicts_are_said_in_a_line() {
    let after = Aftermath {
        trigger_ended: minutes(25),
        window: minutes(12),
        more_attempts: 2.0,
        interval: (1.9, 2.1),
        more_attempts_before: 2.0,
        more_answers: -0.5,
        tail: Money::usd(12),
    };
    insta::assert_snapshot!(Metastable::Metastable(after).words().unwrap(), @"METASTABLE: in the last 12 min attempts a request +200.0 % (+190.0 % to +210.0 %), answers -50.0 %, and not falling, though the load alone is below capacity, the variant keeps itself down; the time after it costs $12.00 more than without it");
    insta::assert_snapshot!(Metastable::Recovers(Aftermath { more_attempts: 0.0, interval: (0.0, 0.0), more_answers: 0.0, tail: Money::ZERO, ..after }).words().unwrap(), @"recovers from the trigger: in the last 12 min attempts a request +0.0 % (+0.0 % to +0.0 %); the time after it costs the same as without it");
    insta::assert_snapshot!(Metastable::NotDecided(Undecided::TooShort { after: minutes(10), needed: minutes(15) }).words().unwrap(), @"metastable or not is not decided: the run ends 10 min after the trigger, 15 min are needed, three times its length");
    insta::assert_snapshot!(Metastable::NotDecided(Undecided::StillFalling(after)).words().unwrap(), @"metastable or not is not decided: in the last 12 min attempts a request +200.0 % (+190.0 % to +210.0 %), answers -50.0 %, but still falling, from +200.0 %; the time after it costs $12.00 more than without it");
    let saturated = Saturated { from: minutes(5), lasts: minutes(10), calls: 300, turned_away: 100, admitted_per_second: 8.25 };
    insta::assert_snapshot!(saturated.words(), @"SATURATED for 10 min, first 5 min after the start: 33.3 % of calls turned away for want of capacity, 8.2 calls a second admitted, whatever was asked for");
    insta::assert_snapshot!(Saturated { turned_away: 0, ..saturated }.words(), @"SATURATED for 10 min, first 5 min after the start: calls waited longer and longer for a place, 8.2 calls a second admitted, whatever was asked for");
    assert_eq!(Metastable::NoTrigger.words(), None);
}

/// Whatever is written is read again.
#[test]
fn a_verdict_survives_report_json() {
    let after = Aftermath {
        trigger_ended: minutes(25),
        window: minutes(12),
        more_attempts: 2.015_625,
        interval: (1.5, 2.531_25),
        more_attempts_before: 0.1,
        more_answers: -0.123_456,
        tail: Money(-1),
    };
    let undecided =
        [Undecided::TooShort { after: Span(1), needed: Span(2) }, Undecided::StillFalling(after), Undecided::Overloaded(after), Undecided::NoCalls];
    let decided = [Metastable::NoTrigger, Metastable::Recovers(after), Metastable::Metastable(after)];
    let saturated = Saturated { from: Span(1), lasts: Span(2), calls: 3, turned_away: 1, admitted_per_second: 0.333_333 };
    for metastable in decided.into_iter().chain(undecided.map(Metastable::NotDecided)) {
        for saturated in [None, Some(saturated)] {
            let stability = Stability { saturated, metastable };
            assert_eq!(crate::report::json::stability::again(&stability), stability);
        }
    }
}
