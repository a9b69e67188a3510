//! Traffic: what the blocks of one trace tell of other days.

use super::noise::Noise;
use super::{EXPERIMENTS, holds_what_it_claims, of_those_with_an_interval};
use crate::gateway::money::Money;
use crate::report::statistics::ALPHA;
use crate::report::statistics::blocks::{Blocks, DRAWS as OF_A_REPORT, Pair, Reach, TooFew, length};
use crate::report::statistics::luck::Paired;

/// Buckets that the gateway of these experiments remembers.
const MEMORY: usize = 10;

/// Enough to see how often it holds, and 2.5 % is a rank: what a report draws more is only for the digits.
const DRAWS: u32 = 119;

/// A gateway before a busy provider. Traffic comes in waves; the variant has a response cache that hits the more often the more came within its ttl,
/// and retries what was turned away as long as it is remembered. Both last for `MEMORY` buckets.
fn stateful(experiment: u32, buckets: usize) -> Vec<Pair> {
    in_waves(experiment, buckets, MEMORY as f64 / 2.0)
}

fn in_waves(experiment: u32, buckets: usize, length: f64) -> Vec<Pair> {
    let mut noise = Noise::new(3, experiment);
    let warm_up = 2 * MEMORY;
    let volume: Vec<f64> = noise.alike(length, warm_up + buckets).into_iter().map(|wave| (0.4 * wave - 0.08).exp()).collect();
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

/// A queue that builds up in rare rushes, a few a day, and is worked off by half in each bucket; what the variant pays more is in the queue.
fn in_rushes(experiment: u32, buckets: usize) -> Vec<Pair> {
    let mut noise = Noise::new(5, experiment);
    let mut queue = 0.0;
    let volume = noise.alike(MEMORY as f64 / 3.0, 2 * MEMORY + buckets);
    let pairs = volume.into_iter().map(|wave| {
        let volume = (0.5 * wave).exp();
        queue = (volume + 0.5 * queue - 1.35).max(0.0);
        Pair { reference: volume * (1.0 + 0.05 * noise.normal()), difference: 0.8 * queue * (1.0 + 0.1 * noise.normal()) }
    });
    pairs.collect::<Vec<_>>().split_off(2 * MEMORY)
}

/// The blocks of one seed.
fn blocks_of(buckets: &[Pair], fixed: Pair, length: usize, draws: u32) -> Result<Blocks, TooFew> {
    Blocks::of(&[buckets.to_vec()], fixed, length, draws)
}

fn relative(buckets: &[Pair], fixed: Pair) -> f64 {
    let mut sum = fixed;
    buckets.iter().for_each(|bucket| sum += *bucket);
    sum.difference / sum.reference
}

/// Half of the width of these buckets' interval, if they have one.
fn half_width(buckets: &[Pair], fixed: Pair) -> Option<f64> {
    blocks_of(buckets, fixed, MEMORY, OF_A_REPORT).unwrap().reach(ALPHA).map(Reach::half_width)
}

/// The change over a trace that is so long that it has none of a day's chance left.
fn truth(of: impl Fn(u32, usize) -> Vec<Pair>) -> Pair {
    let mut sum = Pair::default();
    (0..100).for_each(|part| of(EXPERIMENTS + part, 5_000).into_iter().for_each(|bucket| sum += bucket));
    Pair { reference: sum.reference / 500_000.0, difference: sum.difference / 500_000.0 }
}

/// Whether the interval of these buckets holds the truth; `None` where it says that there is none.
fn is_covered(buckets: &[Pair], fixed: Pair, truth: f64) -> Option<bool> {
    let reach = blocks_of(buckets, fixed, MEMORY, DRAWS).unwrap().reach(ALPHA)?;
    Some((-reach.above..=reach.below).contains(&(relative(buckets, fixed) - truth)))
}

/// The interval does not move if the variant is made dearer by a fraction of the reference, so what it holds of a true difference it also holds of
/// none: false alarms are what is left of a hundred.
#[test]
fn other_days_are_covered_whatever_the_traffic() {
    type Traffic = fn(u32, usize) -> Vec<Pair>;
    let as_long_as_blocks: Traffic = |experiment, buckets| in_waves(experiment, buckets, MEMORY as f64);
    for (what, traffic) in [("waves", stateful as Traffic), ("waves as long as a block", as_long_as_blocks), ("rare rushes", in_rushes)] {
        let mean = truth(traffic);
        let truth = mean.difference / mean.reference;
        for blocks in [20, 40, 60] {
            let is_covered = |experiment| is_covered(&traffic(experiment, blocks * MEMORY), Pair::default(), truth);
            holds_what_it_claims(&format!("traffic, {what}, {blocks} blocks: hold the truth"), is_covered);
        }
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
    let is_covered = |experiment| is_covered(&stateful(experiment, of_day - of_outage), scripted, truth);
    holds_what_it_claims("traffic, 20 blocks around a scripted outage: hold the truth", is_covered);

    let mut drawn = stateful(0, of_day - of_outage);
    let kept = half_width(&drawn, scripted).unwrap();
    drawn.splice(0..0, vec![outage; of_outage]);
    let drawn = half_width(&drawn, Pair::default());
    assert!(drawn.is_none_or(|drawn| drawn > 3.0 * kept), "drawn anew, there are days without it and days with three: {drawn:?}, {kept}");
}

/// Five seeds of a trace of 24 blocks, where luck and traffic make about as much difference. The blocks' own view of luck is taken out, so nothing is
/// counted twice, whether luck acts on a bucket or on a whole run at once. Two half-widths that rest on few observations each are a little more than
/// they need be together: more than 97 % may hold the truth, but no fewer than 93 %.
#[test]
fn luck_and_traffic_together_hold_no_less_than_they_claim() {
    const SEEDS: usize = 5;
    let mean = truth(stateful);
    let truth = mean.difference / mean.reference;
    let buckets = 24 * MEMORY;
    let picodollars = |amount: f64| Money((amount * Money::PER_USD as f64) as i128);
    for (passing, lasting, what) in [(0.3, 0.0, "luck of a moment"), (0.0, 0.02, "luck of a whole run")] {
        let is_covered = |experiment: u32| {
            let (day, mut noise) = (stateful(experiment, buckets), Noise::new(4, experiment));
            let mut of_seed = || {
                let all_run_long = lasting * noise.normal();
                let mut luck = || if passing > 0.0 { passing * noise.normal() } else { all_run_long };
                day.iter().map(|pair| Pair { difference: pair.difference + luck(), ..*pair }).collect::<Vec<Pair>>()
            };
            let seeds: Vec<Vec<Pair>> = (0..SEEDS).map(|_| of_seed()).collect();
            let bill = |buckets: &Vec<Pair>| buckets.iter().fold((0.0, 0.0), |(a, d), pair| (a + pair.reference, d + pair.difference));
            let (a, b): (Vec<_>, Vec<_>) = seeds.iter().map(bill).map(|(a, d)| (picodollars(a), picodollars(a + d))).unzip();
            let paired = Paired::of(&a, &b);
            let luck = paired.part(ALPHA).half_width().unwrap();
            let traffic = Blocks::of(&seeds, Pair::default(), MEMORY, DRAWS).unwrap().reach_of_traffic(ALPHA)?;
            let off = paired.relative().unwrap() - truth;
            Some((-luck.hypot(traffic.above)..=luck.hypot(traffic.below)).contains(&off))
        };
        let share = of_those_with_an_interval(&format!("{what} (5 seeds) and traffic (24 blocks) together: hold the truth"), is_covered);
        assert!(share >= 93.0, "{what}: {share} %");
    }
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
    let too_few = |buckets: &[Pair], length| blocks_of(buckets, Pair::default(), length, DRAWS).map(|_| ());
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
    assert_eq!(blocks_of(&day, Pair::default(), MEMORY, DRAWS).unwrap().reach(ALPHA), Some(Reach::NOTHING));
}

/// Where three bursts are all that differs, five days in a hundred like it have none (e^-3), and nobody can say how much such days differ.
#[test]
fn a_few_bursts_are_no_sample_of_days() {
    let with_bursts = |bursts: usize| {
        let mut day: Vec<Pair> = stateful(0, 40 * MEMORY).iter().map(|pair| Pair { difference: 0.0, ..*pair }).collect();
        (0..bursts).for_each(|burst| day[(4 * burst + 2) * MEMORY].difference = 1.0);
        blocks_of(&day, Pair::default(), MEMORY, OF_A_REPORT).unwrap().reach(ALPHA)
    };
    assert_eq!([1, 2, 3].map(with_bursts), [None; 3]);
    assert!(with_bursts(8).is_some());
}

/// A day with fewer rushes than others says too little by far more often than too much by as far.
#[test]
fn where_rushes_decide_the_interval_reaches_further_up() {
    let reach = |day: Vec<Pair>| blocks_of(&day, Pair::default(), MEMORY, OF_A_REPORT).unwrap().reach(ALPHA);
    let reaches: Vec<Reach> = (0..100).filter_map(|experiment| reach(in_rushes(experiment, 40 * MEMORY))).collect();
    let [below, above] = [|reach: &Reach| reach.below, |reach: &Reach| reach.above].map(|end| reaches.iter().map(end).sum::<f64>());
    assert!(above > below, "{below}, {above}");
}

#[test]
fn the_same_day_has_the_same_interval() {
    let width = || half_width(&stateful(7, 24 * MEMORY), Pair::default()).unwrap();
    assert_eq!(width().to_bits(), width().to_bits());
}
