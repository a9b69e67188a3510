//! The life of a request as a table, every state with every event, and what happens upstream when its client leaves.
//!
//! `is over` says that the request has ended with this event, `-` that it has changed nothing. Calls are the current one (1), and one that
//! was never made (2); `Sleeping` has a stale one (1).

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::desk::Desk;
use super::plans::{cache, limit, plan};
use crate::gateway::command::KeySpec;
use crate::gateway::plan::{Leave, LimitKind, Plan, Queue};
use crate::gateway::time::Span;

fn desk() -> Desk {
    let mut plan = plan(&[("A", &["a"]), ("R", &["r"])]);
    plan.models[0].attempts.per_group = 2;
    plan.models[0].backoff.base = Span::SECOND;
    plan.models[0].cache = Some(crate::gateway::plan::CachePolicy { single_flight: true, ..cache(60) });
    plan.models[0].on_disconnect.streaming = Leave::Drain;
    plan.models[1].cache = Some(crate::gateway::plan::CachePolicy { remote: true, ..cache(60) });
    let mut desk = Desk::new(plan);
    let queue = Some(Queue { length_max: 9, wait_max: Span::from_secs(30) });
    desk.put_key(
        "queue",
        KeySpec { limits: vec![crate::gateway::plan::LimitSpec { queue, ..limit(LimitKind::Concurrency, 1, 1) }], ..KeySpec::default() },
    );
    desk
}

/// States, and the shortest paths there. The request under test is the last one.
const STATES: [(&str, &str, &str); 9] = [
    ("Queued", "2", "ask key=queue; ask key=queue"),
    ("Looking", "1", "ask R"),
    ("Following", "2", "ask same; ask same"),
    ("Sleeping", "1", "ask; 1 fail internal"),
    ("Calling", "1", "ask"),
    ("Calling a stream", "1", "ask stream"),
    ("Relaying", "1", "ask stream; 1 opens"),
    ("Draining", "1", "ask stream; 1 opens; 1 leaves 5 5"),
    ("Over", "1", "ask; 1 ok"),
];

/// Events, each in a line, with what it decides in each of the states above.
const TABLE: [(&str, [&str; 9]); 16] = [
    ("looked", ["-", "cached", "-", "-", "-", "-", "-", "-", "-"]),
    ("misses", ["-", "calls r", "-", "-", "-", "-", "-", "-", "-"]),
    ("early", ["-", "-", "-", "-", "-", "-", "-", "-", "-"]),
    ("wakes", ["refused", "calls r", "failed", "calls a", "sleeps", "sleeps", "failed", "abandoned", "-"]),
    ("opens 1", ["-", "-", "-", "-", "relays", "relays", "-", "-", "-"]),
    ("opens 2", ["-", "-", "-", "-", "-", "-", "-", "-", "-"]),
    ("ok 1 9", ["-", "-", "-", "-", "served", "served", "served", "abandoned", "-"]),
    ("ok 2 9", ["-", "-", "-", "-", "-", "-", "-", "-", "-"]),
    ("ends 1", ["-", "-", "-", "-", "served", "served", "served", "abandoned", "-"]),
    ("ends 2", ["-", "-", "-", "-", "-", "-", "-", "-", "-"]),
    ("fail 1", ["-", "-", "-", "-", "sleeps", "sleeps", "failed", "abandoned", "-"]),
    ("fail 2", ["-", "-", "-", "-", "-", "-", "-", "-", "-"]),
    ("billed 1", ["-", "-", "-", "-", "sleeps", "sleeps", "failed", "abandoned", "-"]),
    ("billed 2", ["-", "-", "-", "-", "-", "-", "-", "-", "-"]),
    ("drops", ["failed", "failed", "failed", "failed", "failed", "failed", "failed", "abandoned", "-"]),
    ("leaves", ["abandoned", "abandoned", "abandoned", "abandoned", "abandoned", "abandoned", "drains", "-", "-"]),
];

#[test]
fn every_state_has_an_answer_to_every_event_and_nothing_leaks_after_it() {
    for (event, answers) in TABLE {
        for ((state, who, path), expected) in STATES.iter().zip(answers) {
            let mut desk = desk();
            desk.run(path);
            let before = desk.journal.len();
            if event != "wakes" || *state != "Over" {
                desk.tell(who, event);
            }
            let decided: Vec<String> = desk.decided_since(before);
            let own: Vec<&str> = decided.iter().filter_map(|text| text.strip_prefix(&format!("{who} "))).collect();
            let word = own.last().map_or("-", |text| if text.starts_with("calls") { text } else { text.split([' ', ':']).next().unwrap_or("-") });
            assert_eq!(word, expected, "{state} x {event}: {decided:?}");
            desk.end_all();
            desk.check_empty();
        }
    }
}

#[test]
fn what_is_released_goes_on_in_the_state_that_waited_for_it() {
    let mut queued = desk();
    queued.check("ask key=queue; ask key=queue; 1 ok; 2 ok", "1 calls a; 2 queues at 0; 1 served by A; 2 calls a; 2 served by A");
    let mut following = desk();
    following.check("ask same; ask same; 1 ok", "1 calls a; 2 follows 1; 1 served by A; 2 shared");
}

#[test]
#[should_panic(expected = "a request arrives once")]
fn a_second_arrival_breaks_the_contract() {
    let mut desk = desk();
    desk.run("ask");
    desk.arrive_again();
}

#[test]
#[should_panic(expected = "time runs backwards")]
fn time_that_runs_backwards_breaks_the_contract() {
    let mut desk = desk();
    desk.run("ask");
    desk.now = desk.now - Span(1);
    desk.run("1 ok");
}

/// What the gateway does when the client leaves in each phase: between attempts, plain, before the first byte, streaming.
#[track_caller]
fn check_leave(leave: Leave, cancel_stops_billing: bool, expected: [&str; 4]) {
    let paths = ["ask; 1 fail internal", "ask", "ask stream", "ask stream; 1 opens"];
    for (path, expected) in paths.iter().zip(expected) {
        let mut plan: Plan = plan(&[("A", &["a"])]);
        plan.models[0].attempts.per_group = 2;
        plan.models[0].backoff.base = Span::SECOND;
        let policy = &mut plan.models[0].on_disconnect;
        (policy.between_attempts, policy.non_stream, policy.before_first_byte, policy.streaming) = (leave, leave, leave, leave);
        plan.deployments[0].billing.cancel_stops_billing = cancel_stops_billing;
        let mut desk = Desk::new(plan);
        desk.run(path);
        let before = desk.journal.len();
        desk.run("1 leaves");
        let decided = desk.decided_since(before).join("; ");
        assert_eq!(decided, expected, "{leave:?} after {path}");
        desk.end_all();
        desk.check_empty();
    }
}

#[test]
fn a_client_that_leaves_is_followed_drained_or_cancelled_by_phase_policy_and_provider() {
    let (abandoned, drains) = ("1 abandoned", "1 drains 30s 50");
    for stops in [false, true] {
        check_leave(Leave::Cancel, stops, [abandoned; 4]);
        check_leave(Leave::Drain, stops, [abandoned, drains, drains, drains]);
        check_leave(Leave::Ignore, stops, [""; 4]);
    }
    check_leave(Leave::Auto, true, [abandoned, drains, abandoned, abandoned]);
    check_leave(Leave::Auto, false, [abandoned, drains, drains, drains]);
}

/// A drained call ends so, and this is booked in millionths of a dollar.
#[track_caller]
fn check_drain(stream: bool, cancel_stops_billing: bool, words: &str, micro_usd: i128) {
    let mut plan: Plan = plan(&[("A", &["a"])]);
    let policy = &mut plan.models[0].on_disconnect;
    (policy.non_stream, policy.streaming) = (Leave::Drain, Leave::Drain);
    plan.deployments[0].billing.cancel_stops_billing = cancel_stops_billing;
    plan.deployments[0].billing.failed = crate::gateway::plan::Presume::Input;
    let mut desk = Desk::new(plan);
    desk.run(if stream { "ask stream; 1 opens; 1 leaves 20 15" } else { "ask; 1 leaves" });
    desk.run(words);
    let settled = desk.gateway.budget().settled();
    assert_eq!(settled.confirmed + settled.presumed, crate::gateway::money::Money(micro_usd * 1_000_000), "{words}");
    desk.check_empty();
}

#[test]
fn a_drain_that_is_given_up_is_a_cancel_to_the_provider() {
    check_drain(true, true, "1 ok 50", 300);
    check_drain(true, true, "1 fail cut got=50", 100 + 4 * 60);
    check_drain(true, false, "1 fail cut got=50", 500);
    check_drain(true, true, "1 fail internal got=50", 100 + 4 * 60);
    check_drain(true, true, "1 wakes", 500);
    check_drain(false, true, "1 fail cut", 500);
    check_drain(false, true, "1 fail internal", 100);
    check_drain(false, true, "1 fail rate_limited", 0);
    check_drain(false, true, "1 wakes", 500);
}

#[test]
fn a_call_ignored_by_its_client_goes_on_through_retries() {
    let mut plan: Plan = plan(&[("A", &["a"])]);
    plan.models[0].attempts.per_group = 2;
    plan.models[0].on_disconnect.non_stream = Leave::Ignore;
    Desk::new(plan).check("ask; 1 leaves; 1 fail internal; 1 ok", "1 calls a; 1 calls a; 1 abandoned");
}
