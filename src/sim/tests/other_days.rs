//! What one stretch of traffic tells of others, through the whole simulator: a provider's limit that bursts run into, and what is paid elsewhere
//! then.

use std::sync::Arc;

use super::run::{groups, rows, variant};
use super::*;
use crate::gateway::draw::Purpose;
use crate::gateway::id::ModelId;
use crate::gateway::journal::{CallClosed, Fact};
use crate::report::statistics::ALPHA;
use crate::report::statistics::blocks::{Blocks, DRAWS, Pair};
use crate::sim::driver::{Driver, Variant};
use crate::sim::observe::{Bill, Context, Observer};
use crate::sim::world::{Counted, ProviderLimit};
use crate::traffic::distribution::{Distribution, Draws};

/// Stretches of traffic that have nothing to do with each other.
const DAYS: u64 = 100;
/// Seconds of each: 24 blocks of what the limit remembers.
const SECONDS: u64 = 240;
const MEMORY_S: u64 = 10;

/// What calls cost in each second.
#[derive(Default)]
struct Costs(Vec<i128>);

impl Observer for Costs {
    fn wants(_: &Fact) -> bool {
        false
    }

    fn call(&mut self, now: Time, _: &Context, _: &CallClosed, bill: &Bill) {
        let second = (now.0 / Span::SECOND.0).min(SECONDS - 1) as usize;
        self.0.resize(SECONDS as usize, 0);
        self.0[second] += bill.cost.0;
    }
}

/// Three requests a second, in waves of some seconds.
fn day(number: u64) -> Arc<Batch> {
    let mut batch = rows("at_s,input_tokens,output_tokens\n0,1000,20\n");
    let row = batch.rows.remove(0);
    let log_normal = Distribution::LogNormal { mu: 0.0, sigma: 1.0 };
    let (mut wave, mut due) = (0.0_f64, 0.0_f64);
    for second in 0..SECONDS {
        wave = 0.8 * wave + 0.6 * log_normal.draw(&mut Draws::new(number, second, Purpose::Overlay, 0)).ln();
        due += 3.0 * (0.5 * wave - 0.125).exp();
        while due >= 1.0 {
            due -= 1.0;
            let mut row = row.clone();
            row.at = Time(second * Span::SECOND.0);
            batch.rows.push(row);
        }
    }
    Arc::new(batch)
}

/// A cheap model that takes 27 requests in 10 s, a few less than come in the mean, and a dear one for the rest, or nothing.
fn limited(fallback: bool) -> Variant {
    let mut plan = groups(&[("a", mini()), ("b", gpt_4o())]);
    if fallback {
        plan.models[0].fallbacks.groups = vec![ModelId(1)];
    }
    let mut limiter = Limiter::ledger(1_000_000, 1_000_000_000, Refill::Bucket);
    limiter.set(ProviderLimit { counts: Counted::Requests, amount: 27, period: Span::from_secs(MEMORY_S), refill: Refill::Bucket });
    variant(plan, vec![DeploymentWorld { limiter: Some(limiter), ..DeploymentWorld::ledger("a") }, DeploymentWorld::ledger("b")])
}

fn costs(variant: &Variant, day: &Arc<Batch>) -> Vec<i128> {
    let mut driver = Driver::new(variant, 1, Costs::default()).unwrap();
    driver.feed(day).unwrap();
    driver.finish().0.0
}

/// The bound is four standard deviations of a binomial count beyond 5 in 100; the truth is taken from all hundred together. Some of these days have
/// so few bursts that they have no interval; not more than two in five.
#[test]
fn the_interval_of_one_day_holds_what_a_hundred_days_cost() {
    let [with, without] = [true, false].map(limited);
    let pair = |(with, without): (&i128, &i128)| Pair { reference: *with as f64, difference: (without - with) as f64 };
    let compared = |number| {
        let day = day(number);
        costs(&with, &day).iter().zip(&costs(&without, &day)).map(pair).collect::<Vec<Pair>>()
    };
    let days: Vec<Vec<Pair>> = (0..DAYS).map(compared).collect();
    let relative = |pairs: &mut dyn Iterator<Item = &Pair>| {
        let mut sum = Pair::default();
        pairs.for_each(|pair| sum += *pair);
        sum.difference / sum.reference
    };
    let truth = relative(&mut days.iter().flatten());
    let is_covered = |day: &Vec<Pair>| {
        let reach = Blocks::of(std::slice::from_ref(day), Pair::default(), MEMORY_S as usize, DRAWS).unwrap().reach(ALPHA)?;
        let off = relative(&mut day.iter()) - truth;
        Some((-reach.above..=reach.below).contains(&off))
    };
    let held: Vec<bool> = days.iter().filter_map(is_covered).collect();
    let missed = held.iter().filter(|holds| !**holds).count();
    println!("no fallback saves {:.1} %; missed by the interval of {missed} of {} days", -100.0 * truth, held.len());
    let days = held.len() as f64;
    assert!(days >= 60.0 && missed as f64 <= 0.05 * days + 4.0 * (0.05 * 0.95 * days).sqrt(), "{missed} of {days}");
}
