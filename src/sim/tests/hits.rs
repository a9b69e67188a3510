//! The hit ratio of a cache with a fixed time to live, from made-up traffic through the whole loop, against its closed form.

use super::run::{groups, variant};
use super::*;
use crate::gateway::policy::{CachePolicy, CacheScope};
use crate::sim::driver::Driver;
use crate::traffic::distribution::Distribution;
use crate::traffic::overlay::{Duplicates, Overlay, Repeated};
use crate::traffic::stream::{Base, Changes, open};
use crate::traffic::synthetic::{Arrivals, Profile, Synthetic};

const PER_SECOND: f64 = 20.0;
const SECONDS: f64 = 2_000.0;
const PROMPTS: u32 = 200;
const ZIPF: f64 = 0.9;

/// Requests and misses of a response cache that keeps an answer for `ttl` seconds.
fn misses(ttl: u64) -> (f64, f64) {
    let synthetic = Synthetic {
        start: Time(0),
        duration: Span::from_secs(SECONDS as u64),
        per_second: PER_SECOND,
        profile: Profile::flat(Time(0)),
        arrivals: Arrivals::Poisson,
        cv: Distribution::Constant(1.0),
        keys: None,
        teams: Vec::new(),
        input: Distribution::Constant(100.0),
        output: Distribution::Constant(20.0),
        input_max: 1_000,
        output_max: 1_000,
        sessions: None,
        loops: Vec::new(),
    };
    let duplicates = Duplicates { per_million: 1_000_000, zipf: ZIPF, of: Repeated::Standing(PROMPTS) };
    let overlay = Overlay { duplicates: Some(duplicates), ..Overlay::default() };
    let changes = Changes { seed: 5, overlays: vec![overlay.into()], ..Changes::default() };
    let mut plan = groups(&[("a", mini())]);
    plan.cache_bytes_max = 1 << 30;
    plan.models[0].cache = Some(CachePolicy {
        ttl: Span::from_secs(ttl),
        sliding: false,
        scope: CacheScope::Shared,
        namespace: 0,
        single_flight: false,
        separate_streams: true,
        hits_count: true,
        remote: false,
    });
    let mut driver = Driver::new(&variant(plan, vec![DeploymentWorld::ledger("a")]), 1, ()).unwrap();
    let mut requests = open(&Base::Synthetic(synthetic.into()), &changes).unwrap();
    while let Some(batch) = requests.next_batch().unwrap() {
        driver.feed(&batch.into()).unwrap();
    }
    let totals = driver.finish().1;
    (totals.arrived as f64, totals.calls as f64)
}

/// Prompt i is asked lambda_i times a second, apart and at random. A miss is kept for T, and the next miss comes 1/lambda_i after that on average:
/// misses are renewals with the mean T + 1/lambda_i and the variance 1/lambda_i^2, so 1 - 1/(1 + lambda_i * T) of the requests are hits.
#[test]
fn a_cache_with_a_time_to_live_hits_as_often_as_its_closed_form_says() {
    let weights: Vec<f64> = (1..=PROMPTS).map(|rank| f64::from(rank).powf(-ZIPF)).collect();
    let sum: f64 = weights.iter().sum();
    for ttl in [2_u64, 10, 60] {
        let (requests, found) = misses(ttl);
        let (mut expected, mut variance, mut hit_ratio) = (0.0, 0.0, 0.0);
        for weight in &weights {
            let lambda = PER_SECOND * weight / sum;
            let (kept, mean) = (ttl as f64, ttl as f64 + 1.0 / lambda);
            // Cox, Renewal Theory, 1962: the number in a time of a process that begins empty, and its variance.
            expected += SECONDS / mean - 1.0 / (lambda * mean) + (1.0 / lambda.powi(2) + mean * mean) / (2.0 * mean * mean);
            variance += SECONDS / (lambda * lambda * mean.powi(3));
            hit_ratio += weight / sum * (1.0 - 1.0 / (1.0 + lambda * kept));
        }
        let five_errors = 5.0 * variance.sqrt();
        assert!((found - expected).abs() < five_errors, "{found} misses for {expected} give or take {five_errors} at {ttl} s");
        // The ratio is known as well as its misses, its requests, and what is missed because the cache began empty.
        let width = (five_errors + (1.0 - hit_ratio) * 5.0 * requests.sqrt() + expected - SECONDS * PER_SECOND * (1.0 - hit_ratio)) / requests;
        let ratio = 1.0 - found / requests;
        assert!((ratio - hit_ratio).abs() < width, "{ratio} hits for {hit_ratio} give or take {width} at {ttl} s");
    }
}
