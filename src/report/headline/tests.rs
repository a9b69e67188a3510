use super::*;
use crate::gateway::time::Span;
use crate::report::Origin;
use crate::report::change::changes;
use crate::report::sample;

/// A report on 1,000 requests in 30 days at $1,000, all answered, and a variant of it.
fn report(edit: impl FnOnce(&mut Totals)) -> Report {
    let mut report = sample::report();
    let (first, month) = (report.traffic.first, Span::from_secs(30 * 86_400));
    report.traffic.span = month;
    let run = &mut report.variants[0].runs[0];
    run.series.at(first + month);
    let totals = &mut run.totals;
    totals.requests = 1_000;
    totals.outcomes = crate::report::totals::Outcomes { served: 1_000, ..Default::default() };
    totals.other_model = 100;
    totals.bill = Money::usd(1_000);
    totals.causes = Causes { base: Money::usd(800), premium: Money::usd(200), ..Default::default() };
    let mut variant = report.variants[0].clone();
    variant.name = "capped".into();
    edit(&mut variant.runs[0].totals);
    report.variants.push(variant);
    report
}

fn cheaper(totals: &mut Totals) {
    totals.bill = Money::usd(900);
    totals.causes.premium = Money::usd(100);
}

fn shown(report: &Report, changes: &[Option<Change>]) -> String {
    let Headline { variant, sentence, could_be_wrong } = headline(report, changes);
    let doubts: String = could_be_wrong.iter().map(|doubt| format!("\n- {doubt}")).collect();
    format!("{variant:?} {sentence}{doubts}")
}

/// The change of the sample's variant, known to 2 points by its days and to 0.3 by luck.
fn known(report: &Report) -> Vec<Option<Change>> {
    let mut changes = changes(report);
    let change = changes[1].as_mut().unwrap();
    (change.luck, change.traffic) = (Part::HalfWidth(0.003), Part::HalfWidth(0.02));
    (change.low, change.high, change.is_decided) = (-0.12, -0.08, true);
    changes
}

#[test]
fn a_saving_at_equal_success_is_recommended() {
    insta::assert_snapshot!(shown(&report(cheaper), &known(&report(cheaper))), @r"
    Some(1) capped costs 10.0 % less (likely 8 to 12 %), about $100 a month of such traffic, at equal success: less is paid for answers from dearer places ($100.00).
    - answer quality is not measured, and other models give 10.0 % of the answers
    ");
}

#[test]
fn a_log_that_was_reproduced_speaks_in_dollars() {
    let mut report = report(cheaper);
    report.baseline = Some(crate::report::baseline::tests::baseline(10_000, 10_040, &[]));
    insta::assert_snapshot!(shown(&report, &known(&report)), @r"
    Some(1) Save about $100 a month (likely $80 to $120) with capped, at equal success: less is paid for answers from dearer places ($100.00).
    - answer quality is not measured, and other models give 10.0 % of the answers
    ");
}

#[test]
fn a_baseline_that_is_missed_recommends_nothing() {
    let mut report = report(cheaper);
    report.baseline = Some(crate::report::baseline::tests::baseline(10_000, 10_740, &[]));
    insta::assert_snapshot!(shown(&report, &known(&report)), @"None Baseline not reproduced (+7.4 %): don't decide on this run.");
}

#[test]
fn refusing_traffic_is_not_saving() {
    let refuses = report(|totals| {
        cheaper(totals);
        (totals.outcomes.served, totals.outcomes.refused) = (500, 500);
    });
    insta::assert_snapshot!(shown(&refuses, &known(&refuses)), @r"
    None No variant saves at equal success. capped costs 10.0 % less, but answers 50.0 %, not 100.0 %: refusing traffic is not saving.
    - answer quality is not measured, and other models give 20.0 % of the answers
    ");
}

#[test]
fn answers_by_another_model_are_not_equal_success() {
    let elsewhere = report(|totals| {
        cheaper(totals);
        totals.other_model = 300;
    });
    insta::assert_snapshot!(shown(&elsewhere, &known(&elsewhere)), @r"
    None No variant saves at equal success. capped costs 10.0 % less, but the model asked for answers 70.0 %, not 90.0 %.
    - answer quality is not measured, and other models give 30.0 % of the answers
    ");
}

#[test]
fn one_answer_in_a_thousand_is_within_equal_success() {
    let fails = |failed: u64| {
        let report = report(|totals| {
            cheaper(totals);
            (totals.outcomes.served, totals.outcomes.failed) = (1_000 - failed, failed);
        });
        headline(&report, &known(&report)).variant
    };
    assert_eq!([0, 1, 2].map(fails), [Some(1), Some(1), None]);
}

#[test]
fn a_saving_that_may_be_none_is_not_recommended() {
    let report = report(cheaper);
    let mut changes = known(&report);
    let change = changes[1].as_mut().unwrap();
    (change.low, change.high, change.is_decided) = (-0.22, 0.02, false);
    insta::assert_snapshot!(shown(&report, &changes), @r"
    None No variant is surely cheaper at equal success: capped -10.0 % (-22 to +2).
    - answer quality is not measured, and other models give 10.0 % of the answers
    ");
}

#[test]
fn a_reference_that_is_the_cheapest_saves_nothing() {
    let dearer = report(|totals| totals.bill = Money::usd(1_100));
    insta::assert_snapshot!(shown(&dearer, &changes(&dearer)), @"None Nothing saves: as configured is the cheapest of 2 variants.");
    let same = report(|_| {});
    insta::assert_snapshot!(shown(&same, &changes(&same)), @"None No difference: both variants do the same on this traffic.");
}

#[test]
fn the_reason_is_the_part_that_fell_most() {
    let why = |edit: fn(&mut Totals)| {
        let report = report(edit);
        let Headline { sentence, .. } = headline(&report, &changes(&report));
        sentence.rsplit_once(": ").unwrap().1.to_owned()
    };
    let cached = |totals: &mut Totals| {
        (totals.outcomes.served, totals.outcomes.cached) = (660, 340);
        (totals.bill, totals.causes.base) = (Money::usd(728), Money::usd(528));
    };
    assert_eq!(why(cached), "answers that exist already are not bought again ($272.00).");
    assert_eq!(why(cheaper), "less is paid for answers from dearer places ($100.00).");
}

#[test]
fn an_interval_has_the_digits_that_are_known() {
    let at = |low, high| {
        let mut change = known(&report(cheaper))[1].clone().unwrap();
        (change.low, change.high) = (low, high);
        let (near, far) = interval(&change).unwrap();
        format!("{near} to {far}")
    };
    assert_eq!(at(-0.1201, -0.0798), "-8 to -12");
    assert_eq!(at(-0.012, 0.034), "-1 to +3");
    assert_eq!(at(0.0101, 0.0149), "+1.0 to +1.5");
    assert_eq!(at(-0.0002, 0.0003), "-0.02 to +0.03");
    assert_eq!(at(-0.003, 0.02), "0 to +2");
}

#[test]
fn synthetic_dollars_are_of_such_traffic() {
    let mut report = report(cheaper);
    report.traffic.origin = Origin::Synthetic;
    let Headline { sentence, .. } = headline(&report, &changes(&report));
    assert!(sentence.contains("about $100 a month of such traffic"), "{sentence}");
}
