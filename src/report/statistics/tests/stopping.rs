//! Stopping: whether more seeds are run until it is enough, and whether the interval is still worth its name then.

use super::noise::Noise;
use super::{holds_what_it_claims, per_cent};
use crate::gateway::money::Money;
use crate::report::statistics::luck::Paired;
use crate::report::statistics::stopping::{ALPHA, Decision, enough};

/// More seeds than these experiments ever ask for but once in a while.
const SEEDS_MAX: usize = 320;

/// A variant that costs what the reference does, but for luck of 1 % a seed: after n seeds its change is known to about 2 % by the root of n.
fn bills(experiment: u32, seeds: usize) -> Vec<Vec<Money>> {
    let mut noise = Noise::new(2, experiment);
    let usd = |amount: f64| Money((amount * Money::PER_USD as f64) as i128);
    let variant = (0..seeds).map(|_| usd(100.0 + noise.normal())).collect();
    vec![vec![Money::usd(100); seeds], variant]
}

/// How many seeds are run until their number is enough or exhausted.
fn seeds_run(experiment: u32, precision: f64) -> usize {
    let mut seeds = 0;
    while let Decision::More(next) = enough(&bills(experiment, seeds), 0, precision, SEEDS_MAX) {
        assert!(next > seeds && next <= SEEDS_MAX);
        seeds = next;
    }
    seeds
}

#[test]
fn an_interval_that_was_waited_for_holds_what_it_claims() {
    // From "10 seeds are nearly always enough" to "80 are hardly": where it stops by chance the interval is the least sure.
    for precision in [0.01, 0.006, 0.005, 0.004, 0.0025] {
        let is_covered = |experiment| {
            let bills = bills(experiment, seeds_run(experiment, precision));
            let paired = Paired::of(&bills[0], &bills[1]);
            Some(paired.relative().unwrap().abs() <= paired.part(ALPHA).half_width().unwrap())
        };
        holds_what_it_claims(&format!("luck, stopped at +-{} %: hold the truth", precision * 100.0), is_covered);
    }
}

#[test]
fn looks_are_at_ten_twenty_and_forty_seeds_and_no_others() {
    let decide = |seeds, precision| enough(&bills(0, seeds), 0, precision, SEEDS_MAX);
    assert_eq!([0, 5, 10, 11, 20, 40].map(|seeds| decide(seeds, 0.0)), [10, 10, 20, 20, 40, 80].map(Decision::More));
    assert_eq!([5, 10, 11, 20].map(|seeds| decide(seeds, 1.0)), [Decision::More(10), Decision::Enough, Decision::More(20), Decision::Enough]);
    assert_eq!(decide(SEEDS_MAX, 0.0), Decision::Exhausted);
    assert_eq!(enough(&bills(0, 20), 0, 0.0, 25), Decision::More(25));
    assert_eq!(enough(&bills(0, 25), 0, 1.0, 25), Decision::Enough);
    assert_eq!(enough(&bills(0, 1), 0, 1.0, 1), Decision::Exhausted, "one seed says nothing about precision");
}

#[test]
fn the_least_sure_variant_decides_and_the_reference_alone_is_held_against_itself() {
    let [same, noisy] = [bills(0, 10)[0].clone(), bills(0, 10)[1].clone()];
    let precise = 1e-6;
    assert_eq!(enough(&[same.clone(), same.clone()], 0, precise, SEEDS_MAX), Decision::Enough);
    assert_eq!(enough(&[same.clone(), same.clone(), noisy.clone()], 0, precise, SEEDS_MAX), Decision::More(20));
    assert_eq!(enough(std::slice::from_ref(&same), 0, precise, SEEDS_MAX), Decision::Enough);
    assert_eq!(enough(std::slice::from_ref(&noisy), 0, precise, SEEDS_MAX), Decision::More(20));
    assert_eq!(enough(std::slice::from_ref(&noisy), 0, 0.02, SEEDS_MAX), Decision::Enough);
}

/// Luck of 1 % a seed and a precision of 0.5 % want (2.1 * 1 / 0.5)^2 = 18 seeds: 20 in most experiments.
#[test]
fn it_takes_as_many_seeds_as_the_luck_asks_for() {
    let share = per_cent("luck of 1 % a seed, stopped at +-0.5 %: 20 or 40 seeds", |experiment| matches!(seeds_run(experiment, 0.005), 20 | 40));
    assert!(share > 80.0, "{share}");
}
