//! Subsets, copies and repetitions of made-up and of published traffic.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::traffic::distribution::Distribution;
use crate::traffic::overlay::{Duplicates, Overlay, Repeated, Shares};
use crate::traffic::replay::link::Retries;
use crate::traffic::stream::{Base, Changes, Window, open};
use crate::traffic::synthetic::tests::{names, plain};
use crate::traffic::synthetic::{Sessions, Synthetic};
use crate::traffic::trace::{Names, Options};

/// Rows with their names and blocks spelt out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    at: Time,
    fingerprint: Fingerprint,
    key: Option<String>,
    session: Option<String>,
    input: u32,
    blocks: Vec<u64>,
}

fn seen(base: &Base, changes: &Changes) -> Vec<Seen> {
    let (mut source, mut names, mut found) = (open(base, changes).unwrap(), Names::default(), Vec::new());
    while let Some(batch) = source.next_batch().unwrap() {
        names.learn(&batch.first_seen);
        found.extend(batch.rows.iter().map(|row| Seen {
            at: row.at,
            fingerprint: row.fingerprint,
            key: row.key.map(|id| names.keys.name(id.number()).to_owned()),
            session: row.session.map(|id| names.sessions.name(id.number()).to_owned()),
            input: row.input_tokens,
            blocks: batch.blocks(row).to_vec(),
        }));
    }
    assert!(found.is_sorted_by_key(|row| row.at), "rows are in time order");
    found
}

/// Conversations and single requests of three keys, 5 % of the latter asked before.
fn made(seconds: u64) -> (Base, Changes) {
    let sessions = Sessions {
        share: 0.5,
        turns: Distribution::lognormal(3.0, 12.0),
        think: Distribution::lognormal(2e9, 2e10),
        message: Distribution::lognormal(40.0, 400.0),
        block_size: 128,
    };
    let keys = Some(Shares::zipf(names("key", 3), 1.0));
    let duplicates = Duplicates { per_million: 100_000, zipf: 1.0, of: Repeated::Within(Span::from_secs(600)) };
    let overlay = Overlay { duplicates: Some(duplicates), ..Overlay::default() };
    let synthetic = Synthetic { sessions: Some(sessions), keys, ..plain(seconds) };
    (Base::Synthetic(Arc::new(synthetic)), Changes { seed: 3, overlays: vec![Arc::new(overlay)], ..Changes::default() })
}

fn scaled(changes: &Changes, times: f64) -> Changes {
    Changes { scale: Scale { per_million: (times * 1e6).round() as u64, ..Scale::default() }, ..changes.clone() }
}

fn published(name: &str) -> Option<Base> {
    let root = std::env::var_os("GWSIM_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join("traces").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not here; set GWSIM_SHARED", path.display());
        return None;
    }
    Some(Base::Trace { path, options: Options::default(), retries: Retries::default() })
}

/// The share of requests whose exact duplicate came at most an hour before.
fn duplicate_share(rows: &[Seen]) -> f64 {
    let mut last: BTreeMap<Fingerprint, Time> = BTreeMap::new();
    let repeats = |row: &&Seen| last.insert(row.fingerprint, row.at).is_some_and(|before| row.at.since(before) <= Span::from_secs(3_600));
    rows.iter().filter(repeats).count() as f64 / rows.len() as f64
}

/// Standard deviation over mean of the times between arrivals.
fn variation(rows: &[Seen]) -> f64 {
    let gaps: Vec<f64> = rows.windows(2).map(|pair| pair[1].at.since(pair[0].at).0 as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt() / mean
}

fn is_subset(small: &[Seen], large: &[Seen]) -> bool {
    let mut large: Vec<&Seen> = large.iter().collect();
    large.sort();
    small.iter().all(|row| large.binary_search(&row).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn less_is_a_subset_of_more(small in 0.01_f64..3.0, more in 0.0_f64..2.0) {
        let (base, changes) = made(60);
        // Enough requests that a hundredth is never none is more than this law needs.
        prop_assume!(open(&base, &scaled(&changes, small)).unwrap().next_batch().is_ok());
        let (small, large) = (seen(&base, &scaled(&changes, small)), seen(&base, &scaled(&changes, small + more)));
        prop_assert!(is_subset(&small, &large));
    }
}

#[test]
fn a_part_keeps_whole_sessions_and_whole_groups_of_duplicates() {
    let (base, changes) = made(1_000);
    let (whole, part) = (seen(&base, &changes), seen(&base, &scaled(&changes, 0.3)));
    let group = |row: &Seen| row.session.clone().unwrap_or_else(|| format!("{:?}", row.fingerprint));
    let groups = |rows: &[Seen]| {
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        rows.iter().for_each(|row| *groups.entry(group(row)).or_default() += 1);
        groups
    };
    let (all, kept) = (groups(&whole), groups(&part));
    assert!(kept.iter().all(|(name, rows)| all[name] == *rows), "a group is kept whole or not at all");
    let (found, most) = (kept.len() as f64 / all.len() as f64, 5.0 * (0.3 * 0.7 / all.len() as f64).sqrt());
    assert!((found - 0.3).abs() < most, "{found} of the groups are kept");
}

#[test]
fn a_scale_of_one_is_the_traffic_as_it_is() {
    let (base, changes) = made(100);
    let with_jitter = Changes { scale: Scale { jitter: Span::from_secs(3_600), ..Scale::default() }, ..changes.clone() };
    assert_eq!(seen(&base, &with_jitter), seen(&base, &changes));
}

#[test]
fn copies_share_nothing_that_a_cache_could_sell_twice() {
    let (base, changes) = made(300);
    let (one, four) = (seen(&base, &changes), seen(&base, &scaled(&changes, 4.0)));
    assert_eq!(four.len(), 4 * one.len());
    assert!(is_subset(&one, &four), "the first copy is the original");
    fn distinct(rows: &[Seen], of: fn(&Seen) -> Vec<String>) -> usize {
        let mut all: Vec<String> = rows.iter().flat_map(of).collect();
        all.sort();
        all.dedup();
        all.len()
    }
    let kinds: [fn(&Seen) -> Vec<String>; 4] = [
        |row| vec![format!("{:?}", row.fingerprint)],
        |row| row.blocks.iter().map(u64::to_string).collect(),
        |row| row.session.iter().cloned().collect(),
        |row| row.key.iter().cloned().collect(),
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        assert_eq!(distinct(&four, kind), 4 * distinct(&one, kind), "kind {number}");
    }
    let same_keys = Changes { scale: Scale { same_keys: true, ..scaled(&changes, 4.0).scale }, ..changes };
    assert_eq!(distinct(&seen(&base, &same_keys), kinds[3]), 3);
    assert!(four.iter().any(|row| row.key.as_deref() == Some("key-1+4")));
}

#[test]
fn a_copy_comes_later_by_at_most_the_jitter_and_its_sessions_as_a_whole() {
    let (base, changes) = made(300);
    let (one, two) = (seen(&base, &changes), seen(&base, &scaled(&changes, 2.0)));
    let copies: Vec<&Seen> = two.iter().filter(|row| row.key.as_ref().is_some_and(|key| key.ends_with("+2"))).collect();
    let of = |rows: &mut dyn Iterator<Item = &Seen>, suffix: &str| {
        let mut sessions: BTreeMap<String, Vec<Time>> = BTreeMap::new();
        for row in rows {
            if let Some(session) = &row.session {
                sessions.entry(session.trim_end_matches(suffix).to_owned()).or_default().push(row.at);
            }
        }
        sessions
    };
    let (originals, moved) = (of(&mut one.iter(), ""), of(&mut copies.into_iter(), "+2"));
    let mut shifts: Vec<u64> = Vec::new();
    for (session, times) in &originals {
        let shift = moved[session][0].since(times[0]);
        shifts.push(shift.0);
        assert!(shift <= Scale::JITTER);
        assert_eq!(moved[session], times.iter().map(|at| *at + shift).collect::<Vec<_>>(), "{session} is moved as a whole");
    }
    // Uniform from 0 to 60 s: a mean of 30 s, a standard deviation of 60/sqrt(12) s.
    let (mean, error) = (shifts.iter().sum::<u64>() as f64 / 1e9 / shifts.len() as f64, 60.0 / (12.0 * shifts.len() as f64).sqrt());
    assert!((mean - 30.0).abs() < 5.0 * error, "sessions are moved by {mean} s on average");
}

/// Counts the batches taken from it: a row a second, a thousand in a batch, without end.
struct Endless(std::rc::Rc<std::cell::Cell<u64>>);

impl Source for Endless {
    fn next_batch(&mut self) -> Result<Option<Batch>, TraceError> {
        let first = self.0.get() * 1_000;
        self.0.set(self.0.get() + 1);
        let row = |number| Row::new(Time(number * Span::SECOND.0), number + 1, Fingerprint::unique(number), 10);
        Ok(Some(Batch::of((first..first + 1_000).map(row).collect(), Default::default())))
    }
}

#[test]
fn no_more_is_read_than_the_jitter_asks_for() {
    let taken = std::rc::Rc::new(std::cell::Cell::new(0));
    let reshape = Reshape {
        seed: 1,
        repeat: 5,
        speed_per_mille: 1_000,
        scale: Scale { per_million: 3_500_000, jitter: Span::from_secs(2_500), same_keys: false },
    };
    let again = std::rc::Rc::clone(&taken);
    let mut reshaped = Reshaped::new(reshape, PathBuf::new(), Box::new(move || Ok(Box::new(Endless(again.clone()))))).unwrap();
    let mut rows = 0;
    for _ in 0..4 {
        rows += reshaped.next_batch().unwrap().unwrap().rows.len() as u64;
        // 3.5 rows go out for each that comes in, up to 2.5 batches late; one batch is begun, and the draws of a half copy spread a little.
        let needed = rows * 2 / 7_000;
        assert!((needed..=needed + 5).contains(&taken.get()), "{} batches read for {rows} rows", taken.get());
        assert!(reshaped.batches.len() <= 4 && reshaped.waiting.len() <= 4 * 4_000);
    }
}

#[test]
fn copies_repeat_themselves_as_often_as_the_original() {
    let (base, changes) = made(2_000);
    let mut cases = vec![(base, changes)];
    cases.extend(published("mooncake_conversation.jsonl.gz").map(|base| (base, Changes::default())));
    for (base, changes) in &cases {
        let one = duplicate_share(&seen(base, changes));
        assert!(one > 0.005, "there are duplicates: {one}");
        for times in [4.0, 0.5] {
            let other = duplicate_share(&seen(base, &scaled(changes, times)));
            assert!((other - one).abs() < 0.01, "{other} at {times} times for {one}");
        }
    }
}

#[test]
fn repetitions_keep_burstiness_and_rate_and_repeat_no_prompt() {
    let (base, changes) = made(200);
    let mut cases = vec![(base, changes, None)];
    cases.extend(published("azure_llm_2023_code.csv").map(|base| (base, Changes::default(), Some(13.0))));
    for (base, changes, known) in &cases {
        let (one, three) = (seen(base, changes), seen(base, &Changes { repeat: 3, ..changes.clone() }));
        assert_eq!(three.len(), 3 * one.len());
        assert_eq!(three[..one.len()], one, "the first is the traffic as it is");
        let (once, thrice) = (variation(&one), variation(&three));
        // Only two mean gaps are new among thousands.
        assert!((thrice / once - 1.0).abs() < 1e-3, "a CV of {thrice} for {once}");
        assert!(known.is_none_or(|known: f64| (once - known).abs() < 0.5), "a CV of {once}");
        let span = |rows: &[Seen]| rows[rows.len() - 1].at.since(rows[0].at).0 as f64;
        let (rate, thrice) = ((one.len() - 1) as f64 / span(&one), (three.len() - 1) as f64 / span(&three));
        assert!((thrice / rate - 1.0).abs() < 1e-6, "the rate stays");
        let mut prints: Vec<Fingerprint> = three.iter().map(|row| row.fingerprint).collect();
        prints.sort_unstable();
        prints.dedup();
        let mut of_one: Vec<Fingerprint> = one.iter().map(|row| row.fingerprint).collect();
        of_one.sort_unstable();
        of_one.dedup();
        assert_eq!(prints.len(), 3 * of_one.len(), "a repetition has its own prompts");
    }
}

#[test]
fn speed_changes_the_gaps_and_nothing_else() {
    let (base, changes) = made(200);
    let (one, fast) = (seen(&base, &changes), seen(&base, &Changes { speed_per_mille: 2_500, ..changes }));
    assert_eq!(one.len(), fast.len());
    for (one_row, fast_row) in one.iter().zip(&fast) {
        let since = |row: &Seen, rows: &[Seen]| row.at.since(rows[0].at).0;
        assert_eq!(since(fast_row, &fast), since(one_row, &one) * 2 / 5);
        assert_eq!(Seen { at: one_row.at, ..fast_row.clone() }, *one_row);
    }
}

#[test]
fn a_window_is_a_part_of_the_traffic_with_the_names_of_its_rows_only() {
    let (base, changes) = made(200);
    let (from, lasts) = (Span::from_secs(50), Span::from_secs(20));
    let window = |from, lasts| Changes { window: Some(Window { from, lasts }), overlays: Vec::new(), ..changes.clone() };
    let whole = seen(&base, &Changes { overlays: Vec::new(), ..changes.clone() });
    let start = whole[0].at + from;
    let expected: Vec<Seen> = whole.into_iter().filter(|row| (start..start + lasts).contains(&row.at)).collect();
    assert_eq!(seen(&base, &window(from, lasts)), expected);
    let error = match open(&base, &window(Span::from_secs(300), lasts)).unwrap().next_batch() {
        Err(error) => error.to_string(),
        Ok(_) => panic!("nothing is in it"),
    };
    assert!(error.starts_with("synthetic traffic: no requests in the window\nhint: "), "{error}");
}
