//! What an overlay fills in, what it leaves alone, and how often. Tolerances are five standard errors of a binomial share.

use std::path::Path;

use super::*;
use crate::traffic::replay::link::{Linked, Retries};
use crate::traffic::synthetic::tests::{names, plain};
use crate::traffic::trace::{Names, Options, Trace};

/// Rows with their names, as a reader of batches knows them.
#[derive(Default)]
struct Laid {
    rows: Vec<Row>,
    names: Names,
}

fn drain(mut source: impl Source) -> Laid {
    let mut laid = Laid::default();
    while let Some(batch) = source.next_batch().unwrap() {
        laid.names.learn(&batch.first_seen);
        laid.rows.extend(batch.rows);
    }
    laid
}

/// The overlay over 20,000 made-up requests, or over a trace.
fn over(overlay: Overlay, text: Option<&str>) -> Laid {
    let source: Box<dyn Source> = match text {
        Some(text) => Box::new(Linked::new(Trace::of_bytes(Path::new("t.csv"), text.as_bytes(), Options::default()).unwrap(), Retries::Keep)),
        None => Box::new(crate::traffic::synthetic::Generated::new(Arc::new(plain(2_000)), 1)),
    };
    drain(Overlaid::new(source, Arc::new(overlay), 7))
}

fn whole() -> Overlay {
    Overlay {
        keys: Some(Shares::zipf(names("key", 40), 1.1)),
        teams: names("team", 4),
        models: Some(Shares::weighted(vec!["small".into(), "large".into()], [8.0, 2.0].into_iter())),
        stream_per_million: Some(700_000),
        abandon: Some((50_000, Patience::Waited(Distribution::lognormal(1e10, 6e10)))),
        max_tokens: Some(Distribution::Constant(500.0)),
        duplicates: Some(Duplicates { per_million: 50_000, zipf: 1.0, of: Repeated::Within(Span::from_secs(600)) }),
        ..Overlay::default()
    }
}

#[track_caller]
fn check_share(rows: &[Row], share: f64, is_one: impl Fn(&Row) -> bool) {
    let found = rows.iter().filter(|row| is_one(row)).count() as f64 / rows.len() as f64;
    let most = 5.0 * (share * (1.0 - share) / rows.len() as f64).sqrt();
    assert!((found - share).abs() < most, "a share of {found} for {share}, at most {most} away");
}

#[test]
fn each_field_has_its_share() {
    let Laid { rows, names } = over(Overlay { duplicates: None, ..whole() }, None);
    let keys = Shares::zipf(super::tests::names("key", 40), 1.1);
    for index in 0..3 {
        check_share(&rows, keys.share(index), |row| names.keys.name(row.key.unwrap().number()) == keys.names()[index]);
    }
    assert!(rows.iter().all(|row| {
        let key: usize = names.keys.name(row.key.unwrap().number())[4..].parse().unwrap();
        names.teams.name(row.team.unwrap().number()) == format!("team-{}", (key - 1) % 4 + 1)
    }));
    check_share(&rows, 0.8, |row| names.models.name(row.model.unwrap().number()) == "small");
    check_share(&rows, 0.7, |row| row.stream == Some(true));
    check_share(&rows, 0.05, |row| row.left_after.is_some());
    let waited = rows.iter().filter_map(|row| match row.left_after {
        Some(LeftAfter::Waited(span)) => Some(span),
        _ => None,
    });
    let (below, all) = waited.fold((0.0, 0.0), |(below, all), span| (below + f64::from(u8::from(span.0 <= 10_000_000_000)), all + 1.0));
    assert!((below / all - 0.5_f64).abs() < 5.0 * (0.25_f64 / all).sqrt(), "half of those that leave have waited for at most 10 s");
    assert!(rows.iter().all(|row| row.max_tokens == Some(row.output_tokens.unwrap().max(500))), "a limit leaves room for the recorded answer");
}

#[test]
fn one_field_of_an_overlay_changes_no_other() {
    let all = over(whole(), None).rows;
    let without = [
        Overlay { keys: None, teams: Vec::new(), duplicates: None, ..whole() },
        Overlay { models: None, duplicates: None, ..whole() },
        Overlay { abandon: None, max_tokens: None, duplicates: None, ..whole() },
    ];
    let [senders, models, rest] = without.map(|overlay| over(overlay, None).rows);
    let base = over(Overlay { duplicates: None, ..whole() }, None).rows;
    for index in 0..base.len() {
        let (row, all) = (&base[index], &all[index]);
        assert_eq!((row.key, row.team, row.left_after, row.at), (all.key, all.team, all.left_after, all.at), "duplicates keep their sender");
        assert_eq!((row.model, row.stream, row.max_tokens, row.left_after), {
            let other = &senders[index];
            (other.model, other.stream, other.max_tokens, other.left_after)
        });
        assert_eq!(
            (row.key, row.team, row.stream, row.left_after),
            (models[index].key, models[index].team, models[index].stream, models[index].left_after)
        );
        assert_eq!((row.key, row.model, row.stream), (rest[index].key, rest[index].model, rest[index].stream));
    }
}

const RECORDED: &str = "\
at_s,model,key,team,session,input_tokens,output_tokens,max_tokens,stream,fingerprint,left_after_tokens
1,theirs,alice,red,,10,20,30,true,same,4
2,theirs,alice,red,,10,20,30,false,same,
3,,,,s1,10,20,,,,
4,,,,s1,15,20,,,,
5,,bob,,,15,20,,,,
";

#[test]
fn what_the_trace_records_stays_unless_it_is_to_be_replaced() {
    let filled = over(whole(), Some(RECORDED));
    let name = |registry: &crate::gateway::id::Registry, id: Option<NameId>| id.map(|id| registry.name(id.number()).to_owned()).unwrap_or_default();
    for (row, left) in filled.rows[..2].iter().zip([Some(LeftAfter::Tokens(4)), None]) {
        assert_eq!((name(&filled.names.models, row.model), name(&filled.names.keys, row.key)), ("theirs".into(), "alice".into()));
        assert_eq!((name(&filled.names.teams, row.team), row.max_tokens, row.fingerprint), ("red".into(), Some(30), Fingerprint::of_text("same")));
        assert!(left.is_none() || row.left_after == left);
    }
    assert_eq!(name(&filled.names.keys, filled.rows[4].key), "bob");
    assert!(name(&filled.names.teams, filled.rows[4].team).starts_with("team-"), "a key without a team gets one");
    let replaced = over(Overlay { replace: true, ..whole() }, Some(RECORDED));
    assert!(replaced.rows.iter().all(|row| name(&replaced.names.keys, row.key).starts_with("key-") && row.max_tokens == Some(500)));
    assert_eq!(replaced.names.keys.find("alice"), None, "a name that no row has is none");
    assert!(!replaced.rows.iter().any(|row| name(&replaced.names.models, row.model) == "theirs"));
}

#[test]
fn a_session_has_one_sender_and_one_model() {
    let rows: String = (0..400).map(|row| format!("{row},s{},10,20\n", row % 40)).collect();
    let laid = over(whole(), Some(&format!("at_s,session,input_tokens,output_tokens\n{rows}")));
    for (index, row) in laid.rows.iter().enumerate() {
        let first = &laid.rows[index % 40];
        assert_eq!((row.key, row.team, row.model), (first.key, first.team, first.model));
    }
    assert!(laid.rows[..40].iter().any(|row| row.key != laid.rows[0].key), "sessions differ");
}

#[test]
fn duplicates_of_the_trace_stay_duplicates() {
    let rows: String = (0..400).map(|row| format!("{row},10,20,f{}\n", row % 40)).collect();
    let laid = over(whole(), Some(&format!("at_s,input_tokens,output_tokens,fingerprint\n{rows}")));
    for (index, row) in laid.rows.iter().enumerate() {
        let first = &laid.rows[index % 40];
        assert_eq!((row.model, row.stream, row.max_tokens, row.fingerprint), (first.model, first.stream, first.max_tokens, first.fingerprint));
    }
    assert!(laid.rows.iter().step_by(40).any(|row| row.key != laid.rows[0].key), "their senders differ");
    assert!(laid.rows[..40].iter().any(|row| row.model != laid.rows[0].model), "requests differ");
}

#[test]
fn a_duplicate_repeats_what_its_key_asked_within_the_window() {
    let window = Span::from_secs(60);
    let duplicates = Duplicates { per_million: 300_000, zipf: 1.0, of: Repeated::Within(window) };
    let overlay = Overlay { keys: Some(Shares::zipf(names("key", 3), 0.0)), duplicates: Some(duplicates), ..whole() };
    let rows = over(overlay, None).rows;
    let mut asked: Map<Fingerprint, Row> = Map::default();
    let mut repeated = 0;
    for row in &rows {
        match asked.get(&row.fingerprint) {
            Some(original) => {
                repeated += 1;
                assert_eq!((row.key, row.model, row.stream, row.max_tokens), (original.key, original.model, original.stream, original.max_tokens));
                assert_eq!((row.input_tokens, row.output_tokens), (original.input_tokens, original.output_tokens));
                assert!(row.at.since(original.at) <= window);
            }
            None => {
                asked.insert(row.fingerprint, row.clone());
            }
        }
    }
    // Of 3 keys with 200 requests in a window each, only the first has nothing to repeat.
    let (found, most) = (f64::from(repeated) / rows.len() as f64, 5.0 * (0.3 * 0.7 / rows.len() as f64).sqrt());
    assert!((found - 0.3).abs() < most, "{found} are duplicates");
}

#[test]
fn standing_prompts_are_asked_by_zipfs_law() {
    let duplicates = Duplicates { per_million: 1_000_000, zipf: 0.8, of: Repeated::Standing(50) };
    let rows = over(Overlay { duplicates: Some(duplicates), ..Overlay::default() }, None).rows;
    let mut counts: Map<Fingerprint, u32> = Map::default();
    rows.iter().for_each(|row| *counts.entry(row.fingerprint).or_default() += 1);
    let mut found: Vec<u32> = counts.into_values().collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    let law = Shares::zipf(names("prompt", 50), 0.8);
    assert_eq!(found.len(), 50);
    for (index, count) in found.iter().enumerate().take(3) {
        let expected = law.share(index) * rows.len() as f64;
        assert!((f64::from(*count) - expected).abs() < 5.0 * expected.sqrt(), "prompt {index}: {count} for {expected}");
    }
}
