//! How much dearer a variant may be than the reference, or how much it may cost: within, above, or not decided by what is known. Decides that; knows
//! no command line.

use super::change::{Change, Part};
use super::headline;
use super::numbers::usd;
use super::period::Period;
use super::statistics::luck::Paired;
use super::statistics::{ALPHA, stopping};
use super::{Report, Variant};
use crate::gateway::money::Money;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Thresholds {
    /// The most that the bill may be above the reference's, as a fraction; below 0 it must be so much lower.
    pub increase_max: Option<f64>,
    /// The most that a variant may cost, on the trace or in a period of such traffic.
    pub cost_max: Option<(Money, Option<Period>)>,
}

/// How a threshold came out for a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The variant.
    pub variant: String,
    /// What was asked for: `at most +5 %`.
    pub asked: String,
    /// What was found: `+7.1 % (+6 to +8)`.
    pub found: String,
    /// Whether that is enough.
    pub finding: Finding,
}

/// Whether something is within a threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is, with all of its interval.
    Within,
    /// It is not, with all of its interval.
    Above,
    /// The threshold is inside of the interval, or there is none; how to find out.
    Open(&'static str),
}

const MORE: &str = "the threshold is within the interval; more seeds (--seeds) or a longer trace may decide it";
const LESS: &str = "it answers less, or more by other models than asked: fewer dollars for less are no saving";
const ONE_SEED: &str = "one seed says nothing about luck; run it with --seeds 10";

impl Thresholds {
    /// Holds every variant but the reference against them. `changes` are those of the report.
    pub fn judge(&self, report: &Report, changes: &[Option<Change>]) -> Vec<Judged> {
        let reference = report.variants[report.reference].bill().mean;
        let before = report.variants[report.reference].merged();
        let mut all = Vec::new();
        for (variant, change) in report.variants.iter().zip(changes) {
            let Some(change) = change else { continue };
            if let Some(most) = self.increase_max {
                let asked = format!("at most {} %", signed_percent(most));
                let found = headline::relative(change, reference, variant.bill().mean);
                let finding = match increase(change, most) {
                    Finding::Within if !headline::succeeds_as(&variant.merged(), &before) => Finding::Open(LESS),
                    finding => finding,
                };
                all.push(Judged { variant: variant.name.clone(), asked, found, finding });
            }
            if let Some((most, period)) = self.cost_max {
                all.push(cost(report, variant, most, period));
            }
        }
        all
    }
}

fn increase(change: &Change, most: f64) -> Finding {
    if change.is_identical {
        return if most >= 0.0 { Finding::Within } else { Finding::Above };
    }
    if change.relative.is_none() {
        // The reference costs nothing: anything is more than any fraction of it.
        return if change.difference <= Money::ZERO { Finding::Within } else { Finding::Above };
    }
    if matches!(change.luck, Part::Unknown(_)) {
        return Finding::Open(ONE_SEED);
    }
    within(change.low, change.high, most)
}

fn cost(report: &Report, variant: &Variant, most: Money, period: Option<Period>) -> Judged {
    let per = |amount: Money| period.map_or(amount, |period| period.of(amount, report.traffic.span));
    let bills: Vec<Money> = variant.runs.iter().map(|run| run.totals.bill).collect();
    let alpha = if report.precision.is_some() { stopping::ALPHA } else { ALPHA };
    let half = if bills.len() > 1 { Paired::own_half_width(&bills, alpha) } else { 0.0 };
    let ends = variant.bill_at_ends().map(|bill| per(bill).0 as f64);
    let (least, largest) = (ends.iter().copied().fold(f64::INFINITY, f64::min), ends.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let (low, high) = (least * (1.0 - half), largest * (1.0 + half));
    let finding = if bills.len() > 1 { within(low, high, most.0 as f64) } else { Finding::Open(ONE_SEED) };
    let of = period.map_or_else(|| "on this traffic".to_owned(), |period| period.each.to_owned());
    let mean = usd(per(variant.bill().mean));
    let found =
        if high > low { format!("{mean} {of} ({} to {})", usd(Money(low as i128)), usd(Money(high as i128))) } else { format!("{mean} {of}") };
    Judged { variant: variant.name.clone(), asked: format!("at most {} {of}", usd(most)), found, finding }
}

fn within(low: f64, high: f64, most: f64) -> Finding {
    match () {
        () if high <= most => Finding::Within,
        () if low > most => Finding::Above,
        () => Finding::Open(MORE),
    }
}

/// `+5`, `-2.5`, `+0`.
fn signed_percent(fraction: f64) -> String {
    // Whole thousandths of a percent: what a user writes.
    let text = format!("{:+.3}", fraction * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Judged {
    /// One line about it.
    pub fn line(&self) -> String {
        let Self { variant, asked, found, finding } = self;
        match finding {
            Finding::Within => format!("within: {variant}: {found}, {asked} asked for"),
            Finding::Above => format!("above: {variant}: {found}, {asked} asked for"),
            Finding::Open(how) => format!("inconclusive: {variant}: {found}, {asked} asked for: {how}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::change::{Unknown, changes};
    use crate::report::sample;

    fn change(low: f64, high: f64) -> Change {
        let middle = f64::midpoint(low, high);
        Change {
            difference: Money(1),
            relative: Some(middle),
            is_identical: false,
            luck: Part::HalfWidth(high - middle),
            traffic: Part::Nothing,
            assumptions: None,
            low,
            high,
            is_decided: true,
            pairing: None,
        }
    }

    #[test]
    fn a_threshold_inside_of_the_interval_decides_nothing() {
        assert_eq!(increase(&change(0.01, 0.05), 0.05), Finding::Within);
        assert_eq!(increase(&change(0.051, 0.09), 0.05), Finding::Above);
        assert_eq!(increase(&change(0.04, 0.06), 0.05), Finding::Open(MORE));
        assert_eq!(increase(&change(-0.2, -0.1), -0.1), Finding::Within);
    }

    #[test]
    fn one_seed_decides_nothing_unless_nothing_differs() {
        let one = Change { luck: Part::Unknown(Unknown::OneSeed), ..change(0.3, 0.3) };
        assert_eq!(increase(&one, 0.05), Finding::Open(ONE_SEED));
        assert_eq!(increase(&Change { is_identical: true, ..one }, 0.05), Finding::Within);
    }

    #[test]
    fn a_reference_that_costs_nothing_has_no_percentage() {
        let from_zero = Change { relative: None, ..change(0.0, 0.0) };
        assert_eq!(increase(&from_zero, 10.0), Finding::Above);
        assert_eq!(increase(&Change { difference: Money::ZERO, ..from_zero }, 0.0), Finding::Within);
    }

    #[test]
    fn what_was_asked_and_found_is_said() {
        let mut report = sample::report();
        let mut second = report.variants[0].clone();
        second.name = "second".to_owned();
        report.variants.push(second);
        let more_seeds = |variant: &mut Variant| {
            let mut run = variant.runs[0].clone();
            run.seed = 2;
            variant.runs.push(run);
        };
        report.variants.iter_mut().for_each(more_seeds);
        let thresholds = Thresholds { increase_max: Some(0.05), cost_max: Some((Money(3_710_000_000), None)) };
        let lines: Vec<String> = thresholds.judge(&report, &changes(&report)).iter().map(Judged::line).collect();
        // Two calls, 0.00021 and 0.0035 dollars.
        assert_eq!(
            lines,
            [
                "within: second: identical, at most +5 % asked for",
                "within: second: $0.00371 on this traffic, at most $0.00371 on this traffic asked for"
            ]
        );
        assert_eq!([0.05, -0.025, 0.0, 0.1234].map(signed_percent), ["+5", "-2.5", "+0", "+12.34"]);
    }
}
