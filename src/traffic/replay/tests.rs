//! Logs with retries in them, and the arrivals behind them.

use std::path::Path;

use proptest::prelude::*;

use super::coverage::Coverage;
use super::link::{Linked, Links, Retries};
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};
use crate::traffic::sdk::Sdk;
use crate::traffic::trace::{Batch, FirstSeen, Options, Row, Trace, TraceError};

const HEAD: &str = "at_ms,key,model,input_tokens,output_tokens,fingerprint,status,duration_ms,cost_usd,deployment,session,request,retry\n";

fn trace(lines: &str) -> Trace {
    Trace::of_bytes(Path::new("t"), format!("{HEAD}{lines}").as_bytes(), Options::default()).unwrap()
}

/// The arrivals in a log: (arrival in ms, rows that it stands for, input and output tokens, last status).
type Arrival = (u64, usize, u32, Option<u32>, Option<u16>);

fn arrivals(batches: impl Iterator<Item = Result<Batch, TraceError>>) -> (Vec<Arrival>, Links) {
    let mut linked = Linked::new(batches, Retries::Link);
    let mut found = Vec::new();
    for batch in linked.by_ref() {
        let batch = batch.unwrap();
        found.extend(batch.rows.iter().map(|row| {
            let rows = batch.client_attempts(row).len().max(1);
            let status = batch.recorded(row).and_then(|recorded| recorded.status);
            (row.at.0 / 1_000_000, rows, row.input_tokens, row.output_tokens, status)
        }));
    }
    (found, linked.links())
}

fn check(lines: &str, expected: &[Arrival]) -> Links {
    let (found, links) = arrivals(trace(lines));
    assert_eq!(found, expected);
    links
}

#[test]
fn a_request_that_is_tried_again_arrives_once() {
    let log = "1000,web,m,100,,a,429,100,0.001,d1,,,\n1200,web,m,7,7,b,200,50,0.5,d1,,,\n1600,web,m,100,40,a,200,900,0.002,d2,,,\n";
    let links = check(log, &[(1000, 2, 100, Some(40), Some(200)), (1200, 1, 7, Some(7), Some(200))]);
    assert_eq!(links, Links { linked: 1, chains: 1, ambiguous: 0, kept: 2 });
    let batch = Linked::new(trace(log), Retries::Link).next().unwrap().unwrap();
    let first = &batch.rows[0];
    let recorded = batch.recorded(first).unwrap();
    assert_eq!(recorded.cost.unwrap().0, 3_000_000_000, "both tries were paid for");
    assert_eq!(recorded.duration, Some(Span::from_millis(1500)), "from the first arrival to the last end");
    let tries: Vec<_> =
        batch.client_attempts(first).iter().map(|attempt| (attempt.at.0 / 1_000_000, attempt.recorded.status, attempt.line)).collect();
    assert_eq!(tries, [(1000, Some(429), 2), (1600, Some(200), 4)]);
    assert!(batch.client_attempts(&batch.rows[1]).is_empty());
}

#[test]
fn a_retry_comes_within_the_back_off_of_client_libraries() {
    // After a 500: 0.5 s and a second of slack after the end, not before it.
    let of = |status: u16, second: u64| {
        let (found, _) = arrivals(trace(&format!("0,web,m,9,,a,{status},1000,,,,,\n{second},web,m,9,5,a,200,10,,,,,\n")));
        found.len() == 1
    };
    assert!(!of(500, 999) && of(500, 1000) && of(500, 2500) && !of(500, 2501));
    // A 429 may name up to 120 s.
    assert!(of(429, 122_000) && !of(429, 122_001));
    for (status, is_retried) in [(408, true), (409, true), (503, true), (400, false), (401, false), (499, false), (200, false)] {
        assert_eq!(of(status, 1200), is_retried, "{status}");
    }
    // The third wait is up to 2 s: 500, 500, 500, then 3 s after the end.
    check(
        "0,web,m,9,,a,500,0,,,,,\n500,web,m,9,,a,500,0,,,,,\n1500,web,m,9,,a,500,0,,,,,\n4500,web,m,9,5,a,200,0,,,,,\n",
        &[(0, 4, 9, Some(5), Some(200))],
    );
}

#[test]
fn whatever_a_client_library_does_by_itself_is_linked() {
    for sdk in Sdk::KNOWN {
        for status in [408, 409, 429, 500, 503, 529] {
            let waits = [None].into_iter().chain([1, 30, 60, 61, 120, 121].map(|seconds| Some(Span::from_secs(seconds))));
            for retry_after in waits.filter(|after| after.is_none() || matches!(status, 429 | 503)) {
                // Tries that take as long as a client waits for them, with the shortest and the longest pauses.
                for (bits, duration) in [(0, 0), (u64::MAX, 0), (0, sdk.timeout.0), (u64::MAX, sdk.timeout.0)] {
                    let (mut at, mut tries, mut log) = (0, 1, String::new());
                    for nth in 0.. {
                        log += &format!("{},web,m,9,,a,{status},{},,,,,\n", at / 1_000_000, duration / 1_000_000);
                        let Some(wait) = sdk.wait(nth, status, retry_after, bits) else { break };
                        at += duration + wait.0;
                        tries += 1;
                    }
                    let (found, _) = arrivals(trace(&log));
                    assert_eq!(found, [(0, tries, 9, None, Some(status))], "{log}");
                }
            }
        }
    }
}

#[test]
fn another_key_or_another_request_is_no_retry() {
    for second in ["600,app,m,9,5,a,200,0,,,,,", "600,web,m,9,5,b,200,0,,,,,", "600,web,m,9,5,,200,0,,,,,"] {
        assert_eq!(arrivals(trace(&format!("0,web,m,9,,a,500,0,,,,,\n{second}\n"))).0.len(), 2, "{second}");
    }
}

#[test]
fn without_fingerprints_the_sizes_must_be_equal_and_the_failure_the_only_one() {
    let one = "0,web,m,9,,,500,0,,,,,\n600,web,m,9,5,,200,0,,,,,\n";
    assert_eq!(check(one, &[(0, 2, 9, Some(5), Some(200))]).ambiguous, 0);
    let other_size = "0,web,m,9,,,500,0,,,,,\n600,web,m,8,5,,200,0,,,,,\n";
    assert_eq!(check(other_size, &[(0, 1, 9, None, Some(500)), (600, 1, 8, Some(5), Some(200))]).ambiguous, 0);
    let two = format!("0,web,m,9,,,500,0,,,,,\n{one}");
    assert_eq!(check(&two, &[(0, 1, 9, None, Some(500)), (0, 1, 9, None, Some(500)), (600, 1, 9, Some(5), Some(200))]).ambiguous, 1);
    let nobody = "0,,m,9,,,500,0,,,,,\n600,,m,9,5,,200,0,,,,,\n";
    assert_eq!(check(nobody, &[(0, 1, 9, None, Some(500)), (600, 1, 9, Some(5), Some(200))]).ambiguous, 1, "equal sizes alone are chance");
}

#[test]
fn a_failure_that_does_not_know_its_size_is_linked_where_the_session_tells() {
    let of = |session: &str| format!("0,web,m,0,,,500,0,,,{session},,\n600,web,m,90,5,,200,0,,,{session},,\n");
    check(&of("s"), &[(0, 2, 90, Some(5), Some(200))]);
    assert_eq!(check(&of(""), &[(0, 1, 0, None, Some(500)), (600, 1, 90, Some(5), Some(200))]).ambiguous, 1);
}

/// A log of failed requests has no sizes: who asks again a while after three tries has given up on the first.
#[test]
fn a_user_who_asks_again_after_three_tries_and_later_than_a_fourth_would_come_asks_something_else() {
    let tries = "0,web,m,0,,,429,0,,,s,,\n500,web,m,0,,,429,0,,,s,,\n1500,web,m,0,,,429,0,,,s,,\n";
    let of = |next: u64| arrivals(trace(&format!("{tries}{next},web,m,90,5,,200,0,,,s,,\n"))).0.len();
    // A fourth try waits for 1.5 s to 2 s; 1 s of slack.
    assert_eq!([2_999, 3_000, 4_500, 4_501, 31_500].map(of), [2, 1, 1, 2, 2]);
    // A second try may have been told to wait for two minutes.
    let second = |next: u64| arrivals(trace(&format!("0,web,m,0,,,429,0,,,s,,\n{next},web,m,90,5,,200,0,,,s,,\n"))).0.len();
    assert_eq!([374, 375, 121_000, 121_001].map(second), [2, 1, 1, 2]);
}

#[test]
fn of_two_requests_that_failed_the_one_whose_turn_it_is_was_tried_again() {
    let at_once = "0,web,m,9,,,429,0,,,s,,\n100,web,m,9,,,429,0,,,s,,\n10000,web,m,9,,,500,0,,,s,,\n";
    assert_eq!(arrivals(trace(at_once)).1.ambiguous, 1, "neither's turn");
    let due = "0,web,m,9,,,429,0,,,s,,\n100,web,m,9,,,429,0,,,s,,\n600,web,m,9,,,500,0,,,s,,\n";
    assert_eq!(arrivals(trace(due)).1.ambiguous, 1, "the turn of both");
    let first = "0,web,m,9,,,429,0,,,s,,\n300,web,m,9,,,429,5000,,,s,,\n800,web,m,9,,,500,0,,,s,,\n";
    assert_eq!(arrivals(trace(first)).1.ambiguous, 0, "the second has not even failed yet");
    let late = "0,web,m,9,,,429,0,,,s,,\n300,web,m,9,,,429,9000,,,s,,\n9800,web,m,9,,,500,0,,,s,,\n";
    assert_eq!(check(late, &[(0, 1, 9, None, Some(429)), (300, 2, 9, None, Some(500))]).ambiguous, 0, "the first would have come long before");
}

#[test]
fn attempts_of_one_request_are_one_arrival_of_the_model_asked_for() {
    let log =
        "0,web,gpt-4o,9,,,429,50,,d1,,R,\n20,web,claude,9,,,500,50,,d2,,R,\n40,web,claude,9,5,,200,50,,d3,,R,\n5000,web,other,9,5,,200,50,,d3,,R,\n";
    check(log, &[(0, 3, 9, Some(5), Some(200)), (5000, 1, 9, Some(5), Some(200))]);
    let batch = Linked::new(trace(log), Retries::Link).next().unwrap().unwrap();
    assert_eq!(batch.first_seen.models, ["gpt-4o", "other"], "a model that only a removed row asked for is not in the traffic");
    let names: Vec<_> = batch.rows.iter().map(|row| batch.first_seen.models[row.model.unwrap().index()].as_str()).collect();
    assert_eq!(names, ["gpt-4o", "other"]);
    let deployments =
        batch.client_attempts(&batch.rows[0]).iter().map(|attempt| &batch.first_seen.deployments[attempt.recorded.deployment.unwrap().index()]);
    assert_eq!(deployments.collect::<Vec<_>>(), ["d1", "d2", "d3"]);
}

#[test]
fn a_marked_retry_is_linked_to_one_of_several_and_kept_where_there_is_none() {
    let log = "0,web,m,9,,,500,0,,,,,\n0,web,m,9,,,500,0,,,,,\n600,web,m,9,5,,200,0,,,,,true\n";
    assert_eq!(check(log, &[(0, 2, 9, Some(5), Some(200)), (0, 1, 9, None, Some(500))]).linked, 1);
    let alone = "0,web,m,9,5,,200,0,,,,,\n600,web,m,9,5,,200,0,,,,,true\n700,web,m,9,5,,500,0,,,,,\n";
    assert_eq!(
        check("0,web,n,9,,,500,0,,,,,\n600,web,m,9,5,,200,0,,,,,true\n", &[(0, 1, 9, None, Some(500)), (600, 1, 9, Some(5), Some(200))]).ambiguous,
        1
    );
    assert_eq!(arrivals(trace(alone)).0.len(), 3);
}

#[test]
fn a_loop_that_tries_for_ever_is_cut_into_arrivals() {
    let log: String = (0..100).map(|i| format!("{},web,m,9,,a,429,0,,,,,\n", i * 1000)).collect();
    let (found, links) = arrivals(trace(&log));
    assert_eq!(found.iter().map(|arrival| arrival.1).collect::<Vec<_>>(), [16, 16, 16, 16, 16, 16, 4]);
    assert_eq!((links.linked, links.kept), (93, 7));
}

#[test]
fn traffic_without_failures_is_passed_on_untouched() {
    let log: String =
        (0..140_000).map(|i| format!("{i},k{},m,9,5,{},{},7,,d,,,\n", i % 70_001, i % 50, if i % 2 == 0 { "200" } else { "" })).collect();
    let before: Vec<Batch> = trace(&log).map(Result::unwrap).collect();
    let after: Vec<Batch> = Linked::new(trace(&log), Retries::Link).map(Result::unwrap).collect();
    assert!(before.len() == 3 && before == after);
    let failing = "0,web,m,9,,a,500,0,,,,,\n600,web,m,9,5,a,200,0,,,,,\n";
    let kept: Vec<Batch> = Linked::new(trace(failing), Retries::Keep).map(Result::unwrap).collect();
    assert_eq!(kept, trace(failing).map(Result::unwrap).collect::<Vec<_>>());
}

/// The same rows in batches that end after every `lengths` rows, in turn. All names are first seen in the first one.
fn cut(batch: &Batch, lengths: &[usize]) -> Vec<Batch> {
    let mut cut = vec![Batch::default()];
    cut[0].first_seen = batch.first_seen.clone();
    let mut lengths = lengths.iter().cycle();
    let mut room = lengths.next().copied().unwrap_or(1);
    for row in &batch.rows {
        if room == 0 {
            cut.push(Batch::default());
            room = lengths.next().copied().unwrap_or(1);
        }
        cut.last_mut().unwrap().push(batch, row);
        room -= 1;
    }
    cut
}

/// All arrivals with their names and what is known of them.
fn spelt(batches: impl Iterator<Item = Batch>) -> Vec<String> {
    let mut known = FirstSeen::default();
    let mut spelt = Vec::new();
    for batch in batches {
        for (known, new) in known.kinds_mut().into_iter().zip(batch.first_seen.kinds()) {
            known.extend_from_slice(new);
        }
        let one = |row: &Row| {
            let key = row.key.map(|key| &known.keys[key.index()]);
            let attempts: Vec<u64> = batch.client_attempts(row).iter().map(|attempt| attempt.line).collect();
            format!("{:?} {} {key:?} {} {:?} {attempts:?}", row.at, row.line, row.input_tokens, row.output_tokens)
        };
        spelt.extend(batch.rows.iter().map(one));
    }
    spelt
}

#[test]
fn coverage_says_which_dollars_hang_on_what_is_missing() {
    let log = "0,web,m,100,5,a,200,10,0.25,d1,,,\n1,,m,100,5,,200,,,,,,\n2,web,m,0,,b,500,,0.5,,,,\n3,,other,7,5,,,,,,,,\n";
    let mut trace = trace(log);
    let batch = trace.next().unwrap().unwrap();
    let mut coverage = Coverage::default();
    for row in &batch.rows {
        let recorded = batch.recorded(row).and_then(|recorded| recorded.cost);
        let is_listed = trace.names().models.name(row.model.unwrap().number()) == "m";
        coverage.see(&batch, row, recorded.or(is_listed.then_some(Money::usd(2))));
    }
    assert_eq!((coverage.rows, coverage.priced, coverage.dollars.to_string().as_str()), (4, 3, "$2.75"), "one model has no price");
    let of = |field: &str| {
        let covered = coverage.fields.iter().find(|covered| covered.field == field).unwrap();
        (covered.rows, covered.dollars_without.to_string())
    };
    assert_eq!(of("arrival"), (4, "$0".into()));
    assert_eq!(of("key"), (2, "$2".into()), "a row without a price hangs on it too, with no dollars to say");
    assert_eq!(of("input_tokens"), (3, "$0.5".into()), "0 tokens of a failure are not known");
    assert_eq!((of("output_tokens"), of("cost_usd"), of("deployment")), ((3, "$0.5".into()), (2, "$2".into()), (1, "$2.5".into())));
    assert!(coverage.to_string().ends_with("  $: of the 75.0 % of requests whose cost is recorded or follows from the price list\n"), "{coverage}");
    assert_eq!(serde_json::to_value(&coverage).unwrap()["dollars"], "2.750000000000");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Rows of a few keys that fail or not: each is an arrival or belongs to one, in order, wherever batches happen to end.
    #[test]
    fn no_row_is_lost_and_no_arrival_moves(
        rows in prop::collection::vec((0u64..3000, 0usize..3, 1u32..3, 0usize..3, 0u64..2000), 1..80),
        lengths in prop::collection::vec(1usize..9, 1..4),
    ) {
        let mut at = 0;
        let mut log = String::new();
        for (gap, key, input, status, duration) in rows {
            at += gap;
            log += &format!("{at},{},m,{input},5,{},{},{duration},,,,,\n", ["a", "b", ""][key], ["", "x"][(input % 2) as usize], [200, 429, 500][status]);
        }
        let whole = trace(&log).next().unwrap().unwrap();
        let mut linked = Linked::new(trace(&log), Retries::Link);
        let together: Vec<Batch> = linked.by_ref().map(Result::unwrap).collect();
        let links = linked.links();
        let arrivals: Vec<(Time, usize)> = together.iter().flat_map(|batch| batch.rows.iter().map(|row| (row.at, batch.client_attempts(row).len().max(1)))).collect();
        prop_assert!(arrivals.is_sorted_by_key(|(at, _)| *at));
        prop_assert_eq!(arrivals.iter().map(|(_, rows)| rows).sum::<usize>(), whole.rows.len());
        prop_assert_eq!((links.kept as usize, (links.kept + links.linked) as usize), (arrivals.len(), whole.rows.len()));
        let pieces = cut(&whole, &lengths).into_iter().map(Ok::<_, TraceError>);
        let apart = Linked::new(pieces, Retries::Link).map(Result::unwrap);
        prop_assert_eq!(spelt(apart), spelt(together.into_iter()));
    }

    /// Clients that try again as the SDKs do, all at once: what comes out is what they wanted.
    #[test]
    fn the_requests_behind_a_log_of_retries_are_found_again(
        requests in prop::collection::vec((0u64..4000, 0u32..4, 1u64..3000, 75u64..=100), 1..40),
    ) {
        let mut rows: Vec<(u64, String)> = Vec::new();
        let mut wanted = Vec::new();
        let mut at = 0;
        for (number, (gap, failures, duration, jitter)) in requests.into_iter().enumerate() {
            at += gap;
            let mut now = at;
            for failure in 0..failures {
                rows.push((now, format!("web,m,100,,f{number},500,{duration},,,,,")));
                now += duration + (500 << failure) * jitter / 100;
            }
            rows.push((now, format!("web,m,100,{number},f{number},200,{duration},,,,,")));
            wanted.push((at, failures as usize + 1, 100, Some(number as u32), Some(200)));
        }
        rows.sort_by_key(|(at, _)| *at);
        let log: String = rows.into_iter().map(|(at, row)| format!("{at},{row}\n")).collect();
        prop_assert_eq!(arrivals(trace(&log)).0, wanted);
    }
}
