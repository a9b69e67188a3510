//! Luck: what two variants' seeds tell of their difference.

use super::noise::Noise;
use super::{holds_what_it_claims, per_cent};
use crate::gateway::money::Money;
use crate::report::change::{Part, Unknown};
use crate::report::statistics::ALPHA;
use crate::report::statistics::luck::Paired;

/// Two variants over some seeds: bills near $1,000 that luck makes 2 % dearer or cheaper, of which all but 0.5 % hits both alike.
struct Arms {
    seeds: usize,
    /// How much dearer the variant is.
    effect: f64,
    /// Whether both run under the same seeds.
    paired: bool,
    /// How much of a seed's luck is the variant's own.
    own: f64,
}

const ARMS: Arms = Arms { seeds: 10, effect: 0.0, paired: true, own: 0.005 };

impl Arms {
    fn bills(&self, experiment: u32) -> [Vec<Money>; 2] {
        let mut noise = Noise::new(1, experiment);
        let usd = |amount: f64| Money((amount * Money::PER_USD as f64).round() as i128);
        let bills = (0..self.seeds).map(|_| {
            let luck = noise.normal();
            let other = if self.paired { luck } else { noise.normal() };
            let [a, b] = [luck * 0.02, other * 0.02 + self.own * noise.normal()].map(|luck| 1_000.0 * luck.exp());
            (usd(a), usd(b * (1.0 + self.effect)))
        });
        let (reference, variant) = bills.unzip();
        [reference, variant]
    }

    fn difference(&self, experiment: u32) -> Paired {
        let [reference, variant] = self.bills(experiment);
        Paired::of(&reference, &variant)
    }

    fn half_width(&self, experiment: u32) -> (f64, f64) {
        let paired = self.difference(experiment);
        (paired.relative().unwrap(), paired.part(ALPHA).half_width().unwrap())
    }

    /// Whether the interval holds the truth: the variant's own luck makes its mean dearer by half its variance.
    fn is_covered(&self, experiment: u32) -> bool {
        let truth = (1.0 + self.effect) * (self.own * self.own / 2.0).exp() - 1.0;
        let (relative, half_width) = self.half_width(experiment);
        (relative - truth).abs() <= half_width
    }

    fn is_found(&self, experiment: u32) -> bool {
        let (relative, half_width) = self.half_width(experiment);
        relative.abs() > half_width
    }
}

#[test]
fn luck_is_covered_whatever_the_number_of_seeds() {
    for seeds in [3, 10, 40] {
        let arms = Arms { seeds, effect: -0.1, ..ARMS };
        holds_what_it_claims(&format!("luck, {seeds} seeds: hold the truth"), |experiment| Some(arms.is_covered(experiment)));
    }
}

#[test]
fn one_more_run_lies_where_it_is_predicted() {
    for seeds in [3, 10, 40] {
        let arms = Arms { seeds: seeds + 1, ..ARMS };
        holds_what_it_claims(&format!("one more run after {seeds} seeds"), |experiment| {
            let [bills, _] = arms.bills(experiment);
            let [low, high] = Paired::one_more(&bills[1..], ALPHA)?;
            Some((low..=high).contains(&bills[0]))
        });
    }
    assert_eq!(Paired::one_more(&[Money::usd(1)], ALPHA), None);
}

#[test]
fn two_runs_of_the_same_configuration_are_not_told_apart() {
    let other_seeds = Arms { paired: false, own: 0.0, ..ARMS };
    let altered_draws = Arms { own: 0.02, ..ARMS };
    for (arms, what) in [(other_seeds, "A/A, other seeds in each arm"), (altered_draws, "A/A, a change that alters draws and nothing else")] {
        let share = per_cent(&format!("{what}: false alarms"), |experiment| arms.is_found(experiment));
        assert!(share <= 7.0, "{what}: {share} %");
    }
}

#[test]
fn one_per_cent_is_found_with_common_luck_and_rarely_without() {
    let cheaper = Arms { effect: -0.01, ..ARMS };
    let with = per_cent("a true difference of 1 %, 10 seeds, common luck: found", |experiment| cheaper.is_found(experiment));
    let alone = Arms { paired: false, ..cheaper };
    let without = per_cent("a true difference of 1 %, 10 seeds, luck of their own: found", |experiment| alone.is_found(experiment));
    assert!(with >= 80.0 && without < 30.0, "{with} %, {without} %");
}

/// The unpaired difference varies by 0.02^2 twice and by 0.005^2, the paired one by 0.005^2: 33 times less, known to some 5 % from 1,000 seeds.
#[test]
fn pairing_gains_what_the_common_luck_is_worth() {
    let many = Arms { seeds: 1_000, effect: -0.1, ..ARMS };
    let gain = many.difference(0).pairing().unwrap();
    assert!((gain / 33.0 - 1.0).abs() < 0.2, "{gain}");
    let alone = Arms { paired: false, own: 0.0, ..many };
    let gain = alone.difference(0).pairing().unwrap();
    assert!((gain - 1.0).abs() < 0.2, "{gain}");
}

#[test]
fn the_half_width_is_students_over_the_residuals() {
    let usd = |amounts: [i64; 3]| amounts.map(Money::usd);
    // 10 % dearer, and off that by 1, 0 and -1 dollars: a variance of 1, over 3 seeds, by a mean of 200. Student's t for 2 degrees: 4.3027.
    let paired = Paired::of(&usd([100, 200, 300]), &usd([111, 220, 329]));
    assert_eq!(paired.relative(), Some(0.1));
    let half_width = paired.part(ALPHA).half_width().unwrap();
    assert!((half_width - 4.302_653 / 3.0_f64.sqrt() / 200.0).abs() < 1e-7, "{half_width}");
}

#[test]
fn what_does_not_vary_or_was_not_repeated_is_said_in_words() {
    let [ten, nine] = [Money::usd(10), Money::usd(9)];
    assert_eq!(Paired::of(&[ten], &[nine]).part(ALPHA), Part::Unknown(Unknown::OneSeed));
    assert_eq!(Paired::of(&[ten, ten], &[nine, nine]).part(ALPHA), Part::Nothing);
    // A discount: dearer seeds save more, but always the same share.
    assert_eq!(Paired::of(&[ten, Money::usd(20)], &[nine, Money::usd(18)]).part(ALPHA), Part::Nothing);
    let free = Paired::of(&[Money::ZERO; 2], &[ten, nine]);
    assert_eq!((free.relative(), free.part(ALPHA)), (None, Part::Unknown(Unknown::NothingToCompareWith)));
}
