//! Mean values that mathematics knows, through the whole simulator: each inside four standard errors of what was drawn.

use std::sync::Arc;

use super::run::{groups, rows, variant};
use super::*;
use crate::gateway::draw::Purpose;
use crate::sim::driver::{Driver, Variant};
use crate::sim::observe::Totals;
use crate::sim::world::{Pace, Places, Varies, When};
use crate::traffic::distribution::{Distribution, Draws};

/// So many requests of one kind, after times drawn from `gaps`, in seconds.
fn arrivals(count: u64, gaps: &Distribution, seed: u64) -> Arc<Batch> {
    let mut batch = rows("at_s,input_tokens,output_tokens\n0,100,20\n");
    let row = batch.rows.remove(0);
    let mut at = 0.0;
    for number in 0..count {
        at += gaps.draw(&mut Draws::new(seed, number, Purpose::Overlay, 0));
        let mut row = row.clone();
        row.at = Time((at * 1e9).round() as u64);
        batch.rows.push(row);
    }
    Arc::new(batch)
}

fn run(variant: &Variant, batch: &Arc<Batch>, seed: u64) -> Totals {
    let mut driver = Driver::new(variant, seed, ()).unwrap();
    driver.feed(batch).unwrap();
    driver.finish().1
}

/// Calls a request where a share of them fails, each on its own, and the gateway tries again up to `retries` times.
#[test]
fn retries_multiply_calls_as_a_geometric_series() {
    const REQUESTS: u64 = 4_000;
    let batch = arrivals(REQUESTS, &Distribution::Constant(1.0), 0);
    for percent in [10, 30, 50] {
        for retries in [0, 2, 5] {
            let mut plan = groups(&[("a", mini())]);
            plan.models[0].attempts.per_group = retries + 1;
            let chances = vec![Chance { per_million: percent * 10_000, step: Step::status(500) }];
            let totals = run(&variant(plan, vec![DeploymentWorld { chances, ..DeploymentWorld::ledger("a") }]), &batch, 1);

            let share = f64::from(percent) / 100.0;
            let powers = |last: u32| (0..=last).map(move |calls| share.powi(calls.cast_signed()));
            let mean = (1.0 - share.powi(retries.cast_signed() + 1)) / (1.0 - share);
            // More than k calls are made with probability f^k, and E[N²] is the sum of (2k + 1) times that.
            let square: f64 = (0..).zip(powers(retries)).map(|(calls, more)| f64::from(2 * calls + 1) * more).sum();
            let error = ((square - mean * mean) / REQUESTS as f64).max(0.0).sqrt();
            let found = totals.calls as f64 / REQUESTS as f64;
            assert!((found - mean).abs() <= 4.0 * error + 1e-9, "{percent} %, {retries} retries: {found}, expected {mean} +- {error}");
        }
    }
}

/// The probability that a call waits at `places` places under an offered load of `load` (Erlang 1917).
fn erlang_c(places: u32, load: f64) -> f64 {
    let mut blocked = 1.0;
    for busy in 1..=places {
        blocked = load * blocked / (f64::from(busy) + load * blocked);
    }
    let places = f64::from(places);
    places * blocked / (places - load * (1.0 - blocked))
}

#[test]
fn erlang_c_has_its_known_values() {
    assert!((erlang_c(1, 0.7) - 0.7).abs() < 1e-12, "M/M/1 waits with the load's probability");
    assert!((erlang_c(2, 1.0) - 1.0 / 3.0).abs() < 1e-12, "a²/(2 + a) for two places");
}

/// A deployment whose answers take an exponential time of 1 s in the mean, at so many places.
fn exponential(places: Places) -> DeploymentWorld {
    let varies = Varies { first: Some(Distribution::Exponential { mean: 1e9 }), tokens_per_second: None };
    DeploymentWorld { varies: Some(Box::new(varies)), places: Some(places), ..DeploymentWorld::ledger("a") }
}

/// M/M/4 at a load of 0.7: twenty runs of 8,000 calls each, whose means give the standard error. They begin empty; that is over after about
/// 1/(√4 - √2.8)² = 9 s of 2,860 s, a bias of a third of a percent.
#[test]
fn calls_wait_for_places_as_erlang_says() {
    const CALLS: u64 = 8_000;
    let (places, load) = (4, 2.8);
    let rules = Places { count: places, queue: u32::MAX, wait_max: Span::MAX, status: 503 };
    let variant = variant(groups(&[("a", mini())]), vec![exponential(rules)]);
    let waits = (0..20).map(|seed| run(&variant, &arrivals(CALLS, &Distribution::Exponential { mean: 1.0 / load }, seed), seed).waits);
    let (shares, means): (Vec<f64>, Vec<f64>) =
        waits.map(|waits| (waits.calls as f64 / CALLS as f64, waits.nanoseconds as f64 / 1e9 / CALLS as f64)).unzip();
    let waiting = erlang_c(places, load);
    for (what, found, expected) in [("share", shares, waiting), ("mean wait", means, waiting / (f64::from(places) - load))] {
        let count = found.len() as f64;
        let mean = found.iter().sum::<f64>() / count;
        let error = (found.iter().map(|each| (each - mean).powi(2)).sum::<f64>() / (count * (count - 1.0))).sqrt();
        assert!(error < expected * 0.1, "{what}: {error} is too much to tell");
        assert!((mean - expected).abs() < 4.0 * error, "{what}: {mean}, expected {expected} +- {error}");
    }
}

/// Overload is not scripted: it is what a world does to traffic that is too much for it.
#[test]
fn twice_the_traffic_waits_longer_and_meets_more_429s() {
    let limiter = Limiter { limits: Limiter::openai(150, 1_000_000).limits, ..Limiter::openai(1, 1) };
    let rules = Places { count: 2, queue: 10, wait_max: Span::from_secs(20), status: 429 };
    let world = DeploymentWorld { limiter: Some(limiter), ..exponential(rules) };
    let variant = variant(groups(&[("a", mini())]), vec![world]);
    let totals = |rate: f64| run(&variant, &arrivals(2_000, &Distribution::Exponential { mean: 1.0 / rate }, 3), 3);
    let (once, twice) = (totals(1.5), totals(3.0));
    let mean_wait = |totals: &Totals| totals.waits.nanoseconds as f64 / totals.calls as f64;
    assert!(mean_wait(&twice) > 1.5 * mean_wait(&once), "{:?} {:?}", once.waits, twice.waits);
    assert!(twice.failed > 2 * once.failed && once.served > 1_900, "{} {} of 2000", once.failed, twice.failed);
    assert!(twice.waits.turned_away > once.waits.turned_away, "{:?} {:?}", once.waits, twice.waits);
    let cost = mini().cost(crate::gateway::rate_card::Usage::plain(100, 20));
    assert_eq!(once.billed.0, cost.0 * i128::from(once.served), "who is turned away pays nothing");
}

/// The same luck for everybody: what a call meets depends on its request and its deployment, not on what else is there.
#[test]
fn another_deployment_changes_nobody_elses_luck() {
    let varies = Varies { first: Some(Distribution::lognormal(3e8, 9e8)), tokens_per_second: Some(Distribution::lognormal(80.0, 120.0)) };
    let when = When::Drawn { every: Span::from_secs(600), lasts: Distribution::Exponential { mean: 1e11 } };
    let incident = |name: &str| Incident { when: when.clone(), luck_of: name.into(), ..Incident::outage(Span::ZERO, Span::ZERO, Step::status(503)) };
    let world =
        |name: &str| DeploymentWorld { incidents: vec![incident(name)], varies: Some(Box::new(varies.clone())), ..DeploymentWorld::realistic(name) };
    let ends = |names: &[&str], number: u64| {
        let plan = plan(names.iter().map(|name| deployment(name, mini())).collect());
        let mut upstream = Upstream::new(&plan, &World { deployments: names.iter().map(|name| world(name)).collect() }, 1).unwrap();
        let of = names.iter().position(|name| *name == "a").unwrap() as u32;
        let fate = upstream.call(Time(number * Span::MINUTE.0), DeploymentId(of), 0, u32::MAX, &small(number));
        (fate.opens_at, fate.ends_at, fate.gap, fate.ending)
    };
    assert!((0..50).any(|number| ends(&["a"], number).3 != Ending::Whole), "there was an outage");

    for number in 0..50 {
        assert_eq!(ends(&["a"], number), ends(&["b", "a"], number));
    }
    assert_ne!(ends(&["a"], 0), ends(&["a"], 1));
}

/// First tokens and speeds have the quantiles that they are stated by: of 4,000 draws, a share p is below them within four standard errors.
#[test]
fn speed_has_the_stated_percentiles() {
    let varies = Varies { first: Some(Distribution::lognormal(2.5e8, 7e8)), tokens_per_second: Some(Distribution::gamma(80.0, 120.0)) };
    let pace = Pace { chunk_tokens: 4, ..Pace::INSTANT };
    let mut upstream = upstream(DeploymentWorld { pace, varies: Some(Box::new(varies)), ..DeploymentWorld::ledger("a") });
    let fates: Vec<_> = (0..4_000).map(|number| upstream.call(Time(0), ONLY, 0, u32::MAX, &small(number))).collect();
    let check = |share: f64, count: usize| {
        let error = (share * (1.0 - share) / 4_000.0).sqrt();
        let found = count as f64 / 4_000.0;
        assert!((found - share).abs() < 4.0 * error, "{found}, expected {share} +- {error}");
    };
    for (share, first, tokens_per_second) in [(0.5, 250, 80.0), (0.95, 700, 120.0)] {
        check(share, fates.iter().filter(|fate| fate.opens_at.0 <= first * 1_000_000).count());
        check(share, fates.iter().filter(|fate| 4e9 / fate.gap.0 as f64 <= tokens_per_second).count());
    }
}
