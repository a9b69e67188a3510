//! Made-up traffic against the laws that it is drawn from. Tolerances are five standard errors, derived where they are used.

use proptest::prelude::*;

use super::*;
use crate::traffic::local_clock::LocalClock;
use crate::traffic::trace::Names;

/// Poisson arrivals, ten a second, for a while.
pub(in crate::traffic) fn plain(seconds: u64) -> Synthetic {
    Synthetic {
        start: Time(0),
        duration: Span::from_secs(seconds),
        per_second: 10.0,
        profile: Profile::flat(Time(0)),
        arrivals: Arrivals::Poisson,
        cv: Distribution::Constant(1.0),
        keys: None,
        teams: Vec::new(),
        input: Distribution::lognormal(200.0, 2_000.0),
        output: Distribution::lognormal(30.0, 300.0),
        input_max: 128_000,
        output_max: 16_384,
        sessions: None,
        loops: Vec::new(),
    }
}

pub(in crate::traffic) fn names(kind: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{kind}-{number}")).collect()
}

fn batches(synthetic: &Synthetic, seed: u64) -> Vec<Batch> {
    let mut made = Generated::new(Arc::new(synthetic.clone()), seed);
    std::iter::from_fn(|| made.next_batch().unwrap()).collect()
}

fn rows(synthetic: &Synthetic, seed: u64) -> Vec<Row> {
    batches(synthetic, seed).into_iter().flat_map(|batch| batch.rows).collect()
}

/// Mean and coefficient of variation of the times between arrivals, in seconds.
fn gaps(rows: &[Row]) -> (f64, f64) {
    let gaps: Vec<f64> = rows.windows(2).map(|pair| pair[1].at.since(pair[0].at).0 as f64 / 1e9).collect();
    let count = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / count;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt() / mean)
}

/// The standard error of the coefficient of variation of `count` draws, by the delta method, from the first four moments about zero:
/// Var(s/m) = [(m4 - s^4)/(4 s^2 m^2) + s^4/m^4 - m3/m^3] / count, with m3 and m4 about the mean m.
fn standard_error(moments: [f64; 4], count: f64) -> f64 {
    let [m, second, third, fourth] = moments;
    let variance = second - m * m;
    let m3 = third - 3.0 * m * second + 2.0 * m.powi(3);
    let m4 = fourth - 4.0 * m * third + 6.0 * m * m * second - 3.0 * m.powi(4);
    (((m4 - variance * variance) / (4.0 * variance * m * m) + variance * variance / m.powi(4) - m3 / m.powi(3)) / count).sqrt()
}

#[test]
fn arrivals_have_the_variation_and_the_rate_that_they_are_asked_for() {
    let gamma = statrs::function::gamma::gamma;
    for (arrivals, cv) in
        [(Arrivals::Poisson, 1.0), (Arrivals::Gamma, 0.5), (Arrivals::Gamma, 2.0), (Arrivals::Weibull, 0.5), (Arrivals::Weibull, 1.6)]
    {
        let rows = rows(&Synthetic { arrivals, cv: Distribution::Constant(cv), ..plain(4_000) }, 1);
        let moments = match (arrivals, Distribution::weibull_of_mean(1.0, cv)) {
            (Arrivals::Poisson, _) => [1.0, 2.0, 6.0, 24.0],
            (Arrivals::Weibull, Distribution::Weibull { shape, scale }) => [1.0, 2.0, 3.0, 4.0].map(|n: f64| scale.powf(n) * gamma(1.0 + n / shape)),
            _ => {
                let shape = 1.0 / (cv * cv);
                let mut product = 1.0;
                [0.0, 1.0, 2.0, 3.0].map(|n| {
                    product *= (shape + n) / shape;
                    product
                })
            }
        };
        let count = rows.len() as f64;
        let (_, found) = gaps(&rows);
        let most = 5.0 * standard_error(moments, count);
        assert!((found - cv).abs() < most, "{arrivals:?}: a CV of {found} for {cv}, at most {most} away");
        // The number of renewals in a time has the variance cv^2 * its mean.
        let most = 5.0 * cv * 40_000_f64.sqrt();
        assert!((count - 40_000.0).abs() < most, "{arrivals:?}: {count} arrivals");
    }
}

#[test]
fn the_first_arrivals_are_no_more_than_their_share() {
    // 2,000 keys, each with one arrival expected: without meeting the first gap in its middle, bursty keys would have 2.6 more each.
    let keys = Some(Shares::zipf(names("key", 2_000), 0.0));
    for (arrivals, cv) in [(Arrivals::Gamma, 2.5), (Arrivals::Weibull, 2.5)] {
        let count = rows(&Synthetic { keys: keys.clone(), arrivals, cv: Distribution::Constant(cv), ..plain(200) }, 3).len() as f64;
        // Var N(1) = 1 + 2 * (the integral of the renewal function) - 1 in equilibrium, which is at most 1 + 2 cv^2 by Lorden's bound.
        let most = 5.0 * (2_000.0 * (1.0 + 2.0 * cv * cv)).sqrt();
        assert!((count - 2_000.0).abs() < most, "{arrivals:?}: {count} arrivals for 2,000");
    }
}

#[test]
fn hours_days_and_bursts_multiply_the_rate() {
    assert!((HOURLY.iter().sum::<f64>() - 24.0).abs() < 1e-9, "the published factors have a mean of 1");
    let start = START_OF_A_SUNDAY;
    let burst = Burst { from: Span::from_secs(26 * 3_600), lasts: Span::from_secs(600), factor: 8.0 };
    let weekly = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    let profile = Profile { hourly: HOURLY, weekly, bursts: vec![burst], start, clock: LocalClock::UTC };
    let rows = rows(&Synthetic { start, profile, per_second: 2.0, ..plain(2 * 86_400) }, 1);
    let count = |from: u64, seconds: u64| {
        let (from, to) = (start + Span::from_secs(from), start + Span::from_secs(from + seconds));
        rows.iter().filter(|row| (from..to).contains(&row.at)).count() as f64
    };
    let check = |found: f64, expected: f64| assert!((found - expected).abs() < 5.0 * expected.sqrt(), "{found} arrivals for {expected}");
    for (hour, factor) in HOURLY.iter().enumerate() {
        check(count(hour as u64 * 3_600, 3_600), 7_200.0 * factor);
    }
    // Monday: half; its third hour is a burst of ten minutes.
    check(count(25 * 3_600, 3_600), 3_600.0 * HOURLY[1]);
    check(count(26 * 3_600, 600), 8.0 * 600.0 * HOURLY[2]);
    check(count(26 * 3_600 + 600, 3_000), 3_000.0 * HOURLY[2]);
}

#[test]
fn the_hours_of_a_zone_keep_to_its_summer_time() {
    // Requests come at six in the morning in Berlin only, which is 05:00 UTC, and from the last Sunday of March 2026 on 04:00 UTC.
    let mut hourly = [0.0; 24];
    hourly[6] = 1.0;
    let start = Time(1_774_656_000_000_000_000);
    let clock = LocalClock::of_zone("Europe/Berlin").unwrap();
    let profile = Profile { hourly, clock, ..Profile::flat(start) };
    let rows = rows(&Synthetic { start, profile, per_second: 0.1, ..plain(2 * 86_400) }, 1);
    let mut hours: Vec<u64> = rows.iter().map(|row| row.at.since(start).0 / 3_600_000_000_000).collect();
    hours.dedup();
    assert_eq!(hours, [5, 24 + 4]);
}

/// Sunday, 4 January 1970.
const START_OF_A_SUNDAY: Time = Time(3 * 86_400 * 1_000_000_000);

#[test]
fn the_preset_for_tenants_has_the_published_skew() {
    let keys = Shares::zipf(names("key", CLIENTS), CLIENT_SKEW);
    let published = [(1, 0.16, 0.52), (5, 0.43, 0.77), (10, 0.63, 0.93)];
    for (count, least, most) in published {
        let share: f64 = (0..count).map(|index| keys.share(index)).sum();
        assert!((least..=most).contains(&share), "the top {count} send {share}");
    }
    let made = batches(&Synthetic { keys: Some(keys), arrivals: Arrivals::Gamma, cv: CV, ..plain(5_000) }, 1);
    let mut counts = [0_u32; CLIENTS];
    made.iter().flat_map(|batch| &batch.rows).for_each(|row| counts[row.key.unwrap().index()] += 1);
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let total: u32 = counts.iter().sum();
    for (count, least, most) in published {
        let share = f64::from(counts[..count].iter().sum::<u32>()) / f64::from(total);
        assert!((least..=most).contains(&share), "the top {count} sent {share}");
    }
    assert!((CV.quantile(0.5) - 1.2).abs() < 1e-6 && (4.0..=5.5).contains(&CV.quantile(0.9)), "{}", CV.quantile(0.9));
}

fn conversations() -> Synthetic {
    let sessions = Sessions {
        share: 0.6,
        turns: Distribution::lognormal(3.0, 12.0),
        think: Distribution::lognormal(2e9, 2e10),
        message: Distribution::lognormal(40.0, 400.0),
        block_size: 128,
    };
    Synthetic { sessions: Some(sessions), keys: Some(Shares::zipf(names("key", 5), 1.0)), teams: names("team", 2), ..plain(4_000) }
}

#[test]
fn a_turn_sends_the_blocks_of_the_turns_before_it_again() {
    let made = batches(&conversations(), 1);
    let mut last: crate::gateway::id::Map<_, (u32, u32, Vec<u64>, _)> = crate::gateway::id::Map::default();
    let (mut turns, mut singles) = (0_u32, 0_u32);
    for batch in &made {
        for row in &batch.rows {
            let Some(session) = row.session else {
                singles += 1;
                assert!(row.prefix.is_empty());
                continue;
            };
            turns += 1;
            let blocks = batch.blocks(row).to_vec();
            assert_eq!(blocks.len() as u32, row.input_tokens.div_ceil(128));
            if let Some((input, output, before, key)) = last.get(&session) {
                let full = (input / 128) as usize;
                assert!(row.input_tokens > input + output, "a turn sends all before it");
                assert_eq!((&blocks[..full], row.key), (&before[..full], *key));
                assert!(before.get(full).is_none_or(|partial| blocks.get(full) != Some(partial)), "a block that was not full is another now");
            }
            last.insert(session, (row.input_tokens, row.output_tokens.unwrap(), blocks, row.key));
        }
    }
    // The turns of S sessions are a compound Poisson number with a relative error of sqrt((1 + cv^2)/S), and the cv of turns is 1.0. Less than
    // 0.5 % of the turns fall after the end: a session lasts 18 s on average, the traffic 4,000 s.
    let error = 5.0 * (2.0 / last.len() as f64).sqrt() + 0.005;
    let (share, all) = (f64::from(turns) / f64::from(turns + singles), f64::from(turns + singles));
    assert!((share - 0.6).abs() < 0.6 * 0.4 * error, "{share} of the requests are part of a session");
    assert!((all / 40_000.0 - 1.0).abs() < error, "the rate counts all requests: {all}");
}

#[test]
fn a_loop_repeats_one_request_and_changes_no_other() {
    let looping = Loop { key: "key-2".into(), from: Span::from_secs(60), lasts: Span::from_secs(30), every: Span::from_millis(500) };
    let without = rows(&conversations(), 1);
    let with = batches(&Synthetic { loops: vec![looping], ..conversations() }, 1);
    let mut names = Names::default();
    with.iter().for_each(|batch| names.learn(&batch.first_seen));
    let (steps, others): (Vec<Row>, Vec<Row>) = with.into_iter().flat_map(|batch| batch.rows).partition(|row| !row.fingerprint.is_unique());
    assert_eq!(steps.len(), 60);
    assert!(steps.iter().all(|row| row.fingerprint == steps[0].fingerprint && row.input_tokens == steps[0].input_tokens));
    assert!(
        steps.iter().all(|row| names.keys.name(row.key.unwrap().number()) == "key-2" && names.teams.name(row.team.unwrap().number()) == "team-2")
    );
    let shown = |row: &Row| (row.at, row.fingerprint, row.key, row.input_tokens, row.output_tokens);
    assert_eq!(others.iter().map(shown).collect::<Vec<_>>(), without.iter().map(shown).collect::<Vec<_>>());
}

#[test]
fn lengths_follow_their_distribution_within_their_bounds() {
    let rows = rows(&Synthetic { input: Distribution::LogNormal { mu: 5.345, sigma: 0.726 }, input_max: 1_000, ..plain(4_000) }, 1);
    // Half are below the median, give or take 5 * sqrt(1/4 / n).
    let below = rows.iter().filter(|row| f64::from(row.input_tokens) <= 5.345_f64.exp()).count() as f64 / rows.len() as f64;
    assert!((below - 0.5).abs() < 5.0 * (0.25 / rows.len() as f64).sqrt(), "{below}");
    assert!(rows.iter().all(|row| (1..=1_000).contains(&row.input_tokens)));
    assert_eq!(rows.iter().map(|row| row.input_tokens).max(), Some(1_000), "the tail is cut");
}

#[test]
fn traffic_without_a_request_is_an_error_like_an_empty_trace() {
    let mut made = Generated::new(Arc::new(Synthetic { per_second: 1e-9, ..plain(1) }), 1);
    let error = made.next_batch().unwrap_err();
    assert_eq!((error.fault(), error.what()), (Fault::Empty, "no requests"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_seed_gives_the_same_rows_in_time_order(seed in 0_u64..1_000, share in 0.0_f64..=1.0, seconds in 1_u64..200) {
        let mut synthetic = conversations();
        synthetic.duration = Span::from_secs(seconds);
        if let Some(sessions) = &mut synthetic.sessions {
            sessions.share = share;
        }
        // Ten requests a second leave none for a second once in 22,000 times.
        prop_assume!(Generated::new(Arc::new(synthetic.clone()), seed).next_batch().is_ok());
        let made = rows(&synthetic, seed);
        prop_assert_eq!(&made, &rows(&synthetic, seed));
        prop_assert!(made.is_sorted_by_key(|row| row.at));
        prop_assert!(made.iter().all(|row| row.at < synthetic.start + synthetic.duration));
        prop_assert!(made.len() < 30 || made != rows(&synthetic, seed + 1));
    }
}
