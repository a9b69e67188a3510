use super::*;
use crate::report::sample;
use crate::report::{table, trust};

pub(crate) fn baseline(repriced: i128, simulated: i128, parts: &[(Kind, &str, i128, i128)]) -> Baseline {
    let recorded = Recorded { requests: 3, with_cost: 3, cost: Money(repriced), calls: 3, rate_limited: 1, p95: None, elsewhere: 0 };
    let part = |(kind, name, repriced, simulated): &(Kind, &str, i128, i128)| Part {
        kind: *kind,
        name: (*name).to_owned(),
        repriced: Money(*repriced),
        simulated: Money(*simulated),
    };
    let simulated = Simulated { cost: Money(simulated), calls: 3, rate_limited: 1, p95: Some(Span::SECOND) };
    Baseline { variant: "as configured".into(), recorded, repriced: Money(repriced), simulated, parts: parts.iter().map(part).collect() }
}

#[test]
fn two_percent_in_all_is_reproduced_and_more_is_not() {
    for (simulated, reproduced) in [(10_200, true), (10_201, false), (9_800, true), (9_799, false), (10_000, true), (0, false)] {
        assert_eq!(baseline(10_000, simulated, &[]).is_reproduced(), reproduced, "{simulated}");
    }
    assert_eq!(trust::missed(&baseline(10_000, 10_740, &[])).as_deref(), Some("Baseline not reproduced (+7.4 %): don't decide on this run"));
    assert_eq!(trust::missed(&baseline(10_000, 10_000, &[])), None);
}

#[test]
fn five_percent_on_a_tenth_of_the_dollars_is_reproduced_and_more_is_not() {
    use Kind::{Hour, Model, Team};
    let of = |kind, repriced, simulated| baseline(10_000, 10_000, &[(kind, "x", repriced, simulated)]).is_reproduced();
    assert_eq!([of(Model, 2_000, 2_100), of(Model, 2_000, 2_101), of(Team, 2_000, 1_900), of(Team, 2_000, 1_899)], [true, false, true, false]);
    assert!(of(Model, 1_000, 900), "a tenth is not large");
    assert!(!of(Model, 1_001, 901) && !of(Team, 900, 1_001), "large as recorded, or as simulated");
    assert!(of(Hour, 5_000, 6_000), "answers that end a little later are in another hour");
    let missed = baseline(10_000, 10_100, &[(Model, "gpt-4o", 5_000, 5_310), (Model, "mini", 5_000, 4_790), (Team, "red", 2_000, 1_000)]);
    assert_eq!(trust::missed(&missed).as_deref(), Some("Baseline not reproduced (gpt-4o +6.2 %, red -50.0 %): don't decide on this run"));
}

#[test]
fn the_largest_residuals_are_named() {
    use Kind::{Hour, Model, Team};
    let usd = 1_000_000_000_000;
    let missed = baseline(
        40 * usd,
        43 * usd,
        &[
            (Model, "gpt-4o", 30 * usd, 33 * usd),
            (Model, "mini", 10 * usd, 10 * usd),
            (Team, "red", 40 * usd, 43 * usd),
            (Hour, "2026-11-20 13:00 UTC", 10 * usd, 11 * usd),
            (Hour, "2026-11-20 14:00 UTC", 20 * usd, 24 * usd),
            (Hour, "2026-11-20 15:00 UTC", 5 * usd, 5 * usd - 1),
            (Hour, "2026-11-20 16:00 UTC", 5 * usd, 3 * usd),
        ],
    );
    let report = crate::report::Report { baseline: Some(missed), ..sample::report() };
    insta::assert_snapshot!(table::render(&report).split("\n\n").take(2).collect::<Vec<_>>().join("\n\n"), @r#"
    Fallback escalation!: three.csv, 3 requests in 2 min, recorded
    Baseline not reproduced (+7.5 %): don't decide on this run
       off by model: gpt-4o +10.0 % ($33.00 simulated, $30.00 re-priced)
       off by hour: 2026-11-20 14:00 UTC +20.0 % ($24.00 simulated, $20.00 re-priced), 2026-11-20 16:00
        UTC -40.0 % ($3.00 simulated, $5.00 re-priced), 2026-11-20 13:00 UTC +10.0 % ($11.00 simulated,
        $10.00 re-priced)

    baseline: as configured  recorded  re-priced  simulated
    $ trace                     40.00      40.00      43.00
    calls                           3          -          3
    requests answered 429           1          -          1
    p95                             -          -      1.0 s
    "#);
}

#[test]
fn a_reproduced_baseline_is_grade_c() {
    let report = crate::report::Report { baseline: Some(baseline(4_000_000_000_000, 4_010_000_000_000, &[])), ..sample::report() };
    insta::assert_snapshot!(table::render(&report).split("\n\n").take(2).collect::<Vec<_>>().join("\n\n"), @r#"
    Fallback escalation!: three.csv, 3 requests in 2 min, recorded
    TRUST C: baseline reproduced (+0.3 %), not checked against a bill.

    baseline: as configured  recorded  re-priced  simulated
    $ trace                      4.00       4.00       4.01
    calls                           3          -          3
    requests answered 429           1          -          1
    p95                             -          -      1.0 s
    "#);
}
