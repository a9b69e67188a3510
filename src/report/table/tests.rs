use super::*;
use crate::report::sample;

#[test]
fn the_first_screen() {
    insta::assert_snapshot!(render(&sample::report()), @r"
    Fallback escalation!: three.csv, 3 requests in 2 min, recorded
    TRUST D: not checked against a bill. Compare the variants; don't budget with the dollars.

                   $ trace  $/hour  change  answered    p95  other model  retries  429s
    as configured  0.00371   0.111            66.7 %  2.0 s       50.0 %        0     1
    as configured costs $0.00371 on this traffic; one variant, nothing to compare it with.
    $/hour: the trace's dollars spread over its 2 min; too short to speak of days.

    $ by cause        base  premium of place  prompt cache  wasted  undelivered    total
    as configured  0.00042           0.00329             0       0            0  0.00371

    $ by call        first  retry, same  retry, other  fallback    total
    as configured  0.00021            0             0   0.00350  0.00371

    as configured: in 3 = served 2 + cached 0 + refused 1 + failed 0 + abandoned 0
       refused: budget 1
    Ledger: the gateway's own books equal the bill in every variant, all of it confirmed
    Prices: built-in list of 2026-11-22
    Assumed: prompt cache visible at arrival [preset ledger]
    ");
}

#[test]
fn variants_are_compared_with_the_first() {
    let mut report = sample::report();
    let mut twin = report.variants[0].clone();
    twin.name = "twin".into();
    let mut free = twin.clone();
    free.name = "a variant with a name that is longer than a column has room for, by far".into();
    free.runs[0].totals.bill = Money(1_000_000_000);
    report.variants.extend([twin, free]);
    let text = render(&report);
    insta::assert_snapshot!(text.lines().skip(3).take(6).collect::<Vec<_>>().join("\n"), @r#"
                                 $ trace  $/hour     change  answered    p95  other model  retries  429s
    as configured                0.00371   0.111               66.7 %  2.0 s       50.0 %        0     1
    twin                         0.00371   0.111  identical    66.7 %  2.0 s       50.0 %        0     1
    a variant with a name that   0.00100   0.030    -73.0 %    66.7 %  2.0 s       50.0 %        0     1
    is longer than a column has
    room for, by far
    "#);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_range_has_the_digits_that_tell_its_ends_apart() {
    let at = |least, most| range(Money(least), Money(most));
    assert_eq!(at(2_966_223_700_000, 2_966_263_550_000), "2.9662 to 2.9663");
    assert_eq!(at(1_000_000_000_000_001, 1_000_000_000_000_002), "1,000.000000000001 to 1,000.000000000002");
}

#[test]
fn several_seeds_show_the_mean_and_the_range() {
    let mut report = sample::report();
    let mut second = report.variants[0].runs[0].clone();
    second.seed = 2;
    second.totals.bill += Money(2_000_000_000);
    report.variants[0].runs.push(second);
    let text = render(&report);
    assert!(text.contains("as configured: $ trace over seeds: 0.00371 to 0.00571"), "{text}");
    assert!(text.contains("in 6 over 2 seeds = served 4 + cached 0 + refused 2"), "{text}");
}
