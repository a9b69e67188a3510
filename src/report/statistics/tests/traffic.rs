//! Traffic: what the blocks of one trace tell of other days.

use super::noise::Noise;
use super::{EXPERIMENTS, holds_what_it_claims, per_cent};
use crate::gateway::money::Money;
use crate::report::statistics::ALPHA;
use crate::report::statistics::blocks::{Blocks, DRAWS as OF_A_REPORT, Pair, TooFew, length};
use crate::report::statistics::luck::Paired;

/// Buckets that the gateway of these experiments remembers.
const MEMORY: usize = 10;

/// Enough to see how often it holds: what a report draws more is only for the digits.
const DRAWS: u32 = 199;

/// A gateway before a busy provider. Traffic comes in waves; the variant has a response cache that hits the more often the more came within its ttl, and
/// retries what was turned away as long as it is remembered. Both last for `MEMORY` buckets.
fn stateful(experiment: u32, buckets: usize) -> Vec<Pair> {
    let mut noise = Noise::new(3, experiment);
    let warm_up = 2 * MEMORY;
    let volume: Vec<f64> = noise.alike(MEMORY as f64 / 2.0, warm_up + buckets).into_iter().map(|wave| (0.4 * wave - 0.08).exp()).collect();
    let pair = |now: usize| {
        let remembered = &volume[now + 1 - MEMORY..=now];
        let recent = remembered.iter().sum::<f64>() / MEMORY as f64;
        let turned_away: f64 = remembered.iter().map(|volume| (volume - 1.6).max(0.0)).sum();
        let reference = volume[now] * (1.0 + 0.2 * noise.normal());
        let saved = volume[now] * 0.3 * recent / (1.0 + recent) * (1.0 + 0.3 * noise.normal());
        Pair { reference, difference: 0.05 * turned_away - saved }
    };
    (warm_up..warm_up + buckets).map(pair).collect()
}

fn relative(buckets: &[Pair], fixed: Pair) -> f64 {
    let mut sum = fixed;
    buckets.iter().for_each(|bucket| sum += *bucket);
    sum.difference / sum.reference
}

/// The change over a trace that is so long that it has none of a day's chance left.
fn truth(of: impl Fn(u32, usize) -> Vec<Pair>) -> Pair {
    let mut sum = Pair::default();
    (0..100).for_each(|part| of(EXPERIMENTS + part, 5_000).into_iter().for_each(|bucket| sum += bucket));
    Pair { reference: sum.reference / 500_000.0, difference: sum.difference / 500_000.0 }
}

#[test]
fn other_days_are_covered_where_traffic_comes_in_waves_and_the_gateway_remembers() {
    let mean = truth(stateful);
    let truth = mean.difference / mean.reference;
    for blocks in [20, 40, 60] {
        let is_covered = |experiment| {
            let buckets = stateful(experiment, blocks * MEMORY);
            let half_width = Blocks::of(&buckets, Pair::default(), MEMORY, DRAWS).unwrap().half_width(ALPHA);
            (relative(&buckets, Pair::default()) - truth).abs() <= half_width
        };
        holds_what_it_claims(&format!("traffic, {blocks} blocks: hold the truth"), is_covered);
    }
}

/// An outage of two blocks in which the variant pays thrice for a third of the traffic: another day like this has it too.
#[test]
fn a_scripted_time_is_a_condition_of_every_day() {
    let mean = truth(stateful);
    let outage = Pair { reference: 1.0, difference: 1.0 };
    let (of_day, of_outage) = (22 * MEMORY, 2 * MEMORY);
    let scripted = (0..of_outage).fold(Pair::default(), |mut sum, _| {
        sum += outage;
        sum
    });
    let rest = (of_day - of_outage) as f64;
    let truth = (mean.difference * rest + scripted.difference) / (mean.reference * rest + scripted.reference);
    let is_covered = |experiment| {
        let buckets = stateful(experiment, of_day - of_outage);
        let half_width = Blocks::of(&buckets, scripted, MEMORY, DRAWS).unwrap().half_width(ALPHA);
        (relative(&buckets, scripted) - truth).abs() <= half_width
    };
    holds_what_it_claims("traffic, 20 blocks around a scripted outage: hold the truth", is_covered);

    let mut drawn = stateful(0, of_day - of_outage);
    let kept = Blocks::of(&drawn, scripted, MEMORY, DRAWS).unwrap().half_width(ALPHA);
    drawn.splice(0..0, vec![outage; of_outage]);
    let drawn = Blocks::of(&drawn, Pair::default(), MEMORY, DRAWS).unwrap().half_width(ALPHA);
    assert!(drawn > 3.0 * kept, "drawn anew, there are days without it and days with three: {drawn}, {kept}");
}

/// Ten seeds of a trace of 40 blocks: the two parts in quadrature hold the truth too often rather than too rarely, as blocks see the luck of their time
/// once more.
#[test]
fn luck_and_traffic_together_hold_no_less_than_they_claim() {
    const SEEDS: u32 = 10;
    let mean = truth(stateful);
    let truth = mean.difference / mean.reference;
    let buckets_of_day = 40 * MEMORY;
    let is_covered = |experiment: u32| {
        let day = stateful(experiment, buckets_of_day);
        let mut noise = Noise::new(4, experiment);
        let mut bills = [Vec::new(), Vec::new()];
        let mut mean_over_seeds = vec![Pair::default(); buckets_of_day];
        for _ in 0..SEEDS {
            let mut seed = Pair::default();
            for (mean, pair) in mean_over_seeds.iter_mut().zip(&day) {
                let lucky = Pair { difference: pair.difference + 0.4 * noise.normal(), ..*pair };
                seed += lucky;
                *mean += Pair { reference: lucky.reference / f64::from(SEEDS), difference: lucky.difference / f64::from(SEEDS) };
            }
            let picodollars = |amount: f64| Money((amount * Money::PER_USD as f64) as i128);
            bills[0].push(picodollars(seed.reference));
            bills[1].push(picodollars(seed.reference + seed.difference));
        }
        let luck = Paired::of(&bills[0], &bills[1]).part(ALPHA).half_width().unwrap();
        let traffic = Blocks::of(&mean_over_seeds, Pair::default(), MEMORY, DRAWS).unwrap().half_width(ALPHA);
        (relative(&mean_over_seeds, Pair::default()) - truth).abs() <= luck.hypot(traffic)
    };
    let share = per_cent("luck (10 seeds) and traffic (40 blocks) together: hold the truth", is_covered);
    assert!(share >= 93.0, "{share}");
}

#[test]
fn blocks_hold_what_is_remembered_and_are_sixty_at_most() {
    assert_eq!(
        [(1_718, 30), (1_440, 1), (1_440, 60), (10, 0), (2_000, usize::MAX)].map(|(buckets, memory)| length(buckets, memory)),
        [30, 24, 60, 1, usize::MAX]
    );
}

#[test]
fn fewer_than_twenty_blocks_say_nothing_nor_do_idle_ones() {
    let too_few = |buckets: &[Pair], length| Blocks::of(buckets, Pair::default(), length, DRAWS).map(|_| ());
    let day = stateful(0, 20 * MEMORY);
    assert_eq!(too_few(&day, MEMORY), Ok(()));
    assert_eq!(too_few(&day[1..], MEMORY), Err(TooFew(19)));
    assert_eq!(too_few(&day, usize::MAX), Err(TooFew(0)));
    let mut with_a_night = day.clone();
    with_a_night.splice(0..0, vec![Pair::default(); 15 * MEMORY]);
    assert_eq!(too_few(&with_a_night[MEMORY..], MEMORY), Ok(()));
    assert_eq!(too_few(&with_a_night[..30 * MEMORY], MEMORY), Err(TooFew(15)));
}

#[test]
fn a_discount_is_the_same_on_every_day() {
    let discounted = |pair: &Pair| Pair { difference: pair.reference * -0.1, ..*pair };
    let day: Vec<Pair> = stateful(0, 40 * MEMORY).iter().map(discounted).collect();
    assert_eq!(Blocks::of(&day, Pair::default(), MEMORY, DRAWS).unwrap().half_width(ALPHA), 0.0);
}

/// Where two bursts are all that differs, one day in seven like it has none (e^-2), and nobody can say how much such days differ.
#[test]
fn a_few_bursts_are_no_sample_of_days() {
    let with_bursts = |bursts: usize| {
        let mut day: Vec<Pair> = stateful(0, 40 * MEMORY).iter().map(|pair| Pair { difference: 0.0, ..*pair }).collect();
        (0..bursts).for_each(|burst| day[(4 * burst + 2) * MEMORY].difference = 1.0);
        Blocks::of(&day, Pair::default(), MEMORY, OF_A_REPORT).unwrap().half_width(ALPHA)
    };
    assert_eq!([1, 2].map(with_bursts), [f64::INFINITY; 2]);
    assert!(with_bursts(8).is_finite());
}

#[test]
fn the_same_day_has_the_same_interval() {
    let half_width = || Blocks::of(&stateful(7, 24 * MEMORY), Pair::default(), MEMORY, OF_A_REPORT).unwrap().half_width(ALPHA);
    assert_eq!(half_width().to_bits(), half_width().to_bits());
}
