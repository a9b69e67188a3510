//! What seeds tell of a difference whose size mathematics knows, through the whole simulator: common luck finds it, luck of one's own does not.

use std::sync::Arc;

use super::run::{groups, rows, variant};
use super::*;
use crate::report::statistics::ALPHA;
use crate::report::statistics::luck::Paired;
use crate::sim::driver::{Driver, Variant};
use crate::sim::world::Billing;

const REQUESTS: u64 = 100;
const SEEDS: u64 = 10;
const EXPERIMENTS: u64 = 100;

/// One call in so many fails after its prompt was read, and is billed for it.
///
/// Every attempt costs the same in the mean, so a third attempt adds f^2 / (1 + f) to the bill of two, for a share f of calls that fail: 1 % here.
const FAILS_PER_MILLION: u32 = 105_125;

fn with_attempts(name: &str, attempts: u32) -> Variant {
    let mut plan = groups(&[(name, mini())]);
    plan.models[0].attempts.per_group = attempts;
    let chances = vec![Chance { per_million: FAILS_PER_MILLION, step: Step::status(500) }];
    let billing = Billing { failed_after_prefill: true, ..Billing::EXACT };
    variant(plan, vec![DeploymentWorld { chances, billing, ..DeploymentWorld::ledger(name) }])
}

/// The bills of so many experiments, seed by seed.
fn bills(variant: &Variant) -> Vec<Money> {
    let mut batch = rows("at_s,input_tokens,output_tokens\n0,1000,20\n");
    let row = batch.rows.remove(0);
    for second in 0..REQUESTS {
        let mut row = row.clone();
        row.at = Time(second * Span::SECOND.0);
        batch.rows.push(row);
    }
    let batch = Arc::new(batch);
    let bill = |seed| {
        let mut driver = Driver::new(variant, seed, ()).unwrap();
        driver.feed(&batch).unwrap();
        driver.finish().1.billed
    };
    (1..=EXPERIMENTS * SEEDS).map(bill).collect()
}

/// In how many experiments, each of its own seeds, something holds for the relative difference and its half-width.
fn count(reference: &[Money], variant: &[Money], holds: impl Fn(f64, f64) -> bool) -> usize {
    let experiments = reference.chunks(SEEDS as usize).zip(variant.chunks(SEEDS as usize));
    let holds = |(reference, variant): (&[Money], &[Money])| {
        let paired = Paired::of(reference, variant);
        holds(paired.relative().unwrap(), paired.part(ALPHA).half_width().unwrap())
    };
    experiments.map(holds).filter(|holds| *holds).count()
}

/// Of a hundred experiments; the bounds leave four standard deviations of a binomial count (2.2 at 95 in 100).
#[test]
fn one_per_cent_more_calls_is_found_by_common_luck() {
    let [two, three, elsewhere] = [("a", 2), ("a", 3), ("b", 2)].map(|(name, attempts)| bills(&with_attempts(name, attempts)));
    let is_found = |relative: f64, half_width: f64| relative.abs() > half_width;
    let paired = count(&two, &three, is_found);
    let mut other_seeds = three.clone();
    other_seeds.rotate_left(SEEDS as usize);
    let alone = count(&two, &other_seeds, is_found);
    let gain = Paired::of(&two, &three).pairing().unwrap();
    println!("a true 1 % more calls found in {paired} of 100 with common luck, in {alone} without; variance {gain:.0} times smaller");
    assert!(paired >= 80 && alone < 20, "{paired}, {alone}");

    let covered = count(&two, &three, |relative, half_width| (relative - 0.01).abs() <= half_width);
    println!("the true 1 % held by {covered} of 100");
    assert!(covered >= 86, "{covered}");

    let mut rotated = two.clone();
    rotated.rotate_left(SEEDS as usize);
    let same = count(&two, &rotated, is_found);
    let renamed = count(&two, &elsewhere, is_found);
    println!("false alarms: {same} of 100 with other seeds, {renamed} where another name alters every draw");
    assert!(same < 14 && renamed < 14, "{same}, {renamed}");
}
