//! Cooldowns and breakers: when a deployment is left alone, and when it comes back.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::desk::Desk;
use super::plans::{TRANSIENT, plan};
use crate::gateway::failure::{FailureClass, FailureSet};
use crate::gateway::id::ModelId;
use crate::gateway::journal::{Fact, Position};
use crate::gateway::plan::{Breaker, Counts, FailureShare, Hops, Leave, Plan, Single};
use crate::gateway::time::Span;

const ONE: &[(&str, &[&str])] = &[("A", &["a"])];
const TWO: &[(&str, &[&str])] = &[("A", &["a", "b"])];

fn cooling(change: impl FnOnce(&mut Plan)) -> impl FnOnce(&mut Plan) {
    |plan: &mut Plan| {
        for model in &mut plan.models {
            model.cooldown.time = Span::from_secs(5);
        }
        change(plan);
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Plan), groups: &[(&str, &[&str])], words: &str, expected: &str) {
    let mut plan = plan(groups);
    change(&mut plan);
    let mut desk = Desk::new(plan);
    desk.check(words, expected);
    desk.check_empty();
}

#[test]
fn a_first_call_is_a_fallback_where_the_group_asked_for_is_cooling() {
    let mut plan = plan(&[("A", &["a"]), ("B", &["b"])]);
    plan.models[0].cooldown.time = Span::from_secs(5);
    plan.models[0].cooldown.at_once = FailureSet::ALL;
    plan.models[0].fallbacks.groups = vec![ModelId(1)];
    let mut desk = Desk::new(plan);
    let words = "1 calls a; a cools 5s for internal; 1 calls b; 1 served by B; 2 skips A: Unhealthy; 2 calls b; 2 served by B";
    desk.check("ask; 1 fail internal; 1 ok; ask; 2 ok", words);
    let positions = desk.journal.iter().filter_map(|record| if let Fact::Called(called) = record.fact { Some(called.position) } else { None });
    assert_eq!(positions.collect::<Vec<_>>(), [Position::First, Position::Fallback, Position::Fallback]);
}

#[test]
fn a_deployment_is_not_blamed_for_a_client_that_had_no_more_time() {
    let change = || cooling(|plan| plan.models[0].cooldown.at_once = FailureSet::ALL);
    check(change(), ONE, "ask wait=1; 1 wakes; ask; 2 ok", "1 calls a; 1 failed: timeout; 2 calls a; 2 served by A");
    // The group's own time-out is one minute.
    check(change(), ONE, "ask wait=100; 1 wakes", "1 calls a; a cools 5s for timeout; 1 failed: timeout");
}

#[test]
fn a_deployment_is_not_blamed_for_a_drain_that_is_given_up() {
    let change = || {
        cooling(|plan| {
            plan.models[0].cooldown.at_once = FailureSet::ALL;
            plan.models[0].on_disconnect.non_stream = Leave::Drain;
            plan.models[0].on_disconnect.streaming = Leave::Drain;
        })
    };
    let drained = "1 calls a; 1 relays; 1 drains 30s 50; 1 abandoned; 2 calls a; 2 served by A";
    check(change(), ONE, "ask stream; 1 opens; 1 leaves 5 5; 1 wakes; ask; 2 ok", drained);
    check(change(), ONE, "ask stream; 1 opens; 1 leaves 5 5; 1 fail cut got=50; ask; 2 ok", drained);
    check(change(), ONE, "ask; 1 leaves; 1 wakes; ask; 2 ok", "1 calls a; 1 drains 30s 50; 1 abandoned; 2 calls a; 2 served by A");
    // A failure is one, whoever reads it; and so is a call that took longer than the two minutes that the group allows a stream.
    let failed = "1 calls a; 1 relays; 1 drains 30s 50; a cools 5s for internal; 1 abandoned";
    check(change(), ONE, "ask stream; 1 opens; 1 leaves 5 5; 1 fail internal", failed);
    let slow = "1 calls a; 1 relays; 1 drains 30s 50; a cools 5s for timeout; 1 abandoned";
    check(change(), ONE, "ask stream; 1 opens; +90; 1 leaves 5 5; 1 wakes", slow);
    check(change(), ONE, "ask stream; 1 opens; +90; 1 leaves 5 5; +30; 1 fail cut got=6", slow);
    let just = "1 calls a; 1 relays; 1 drains 30s 50; 1 abandoned";
    check(change(), ONE, "ask stream; 1 opens; +89.999; 1 leaves 5 5; 1 wakes", just);
}

#[test]
fn some_failures_cool_at_once_and_for_exactly_the_time() {
    let change = || cooling(|plan| plan.models[0].cooldown.at_once = FailureSet::of(&[FailureClass::RateLimited]));
    check(change(), ONE, "ask; 1 fail internal", "1 calls a; 1 failed: internal");
    let words = "ask; 1 fail rate_limited; +4.999; ask; +0.001; ask; 3 ok";
    let expected = "1 calls a; a cools 5s for rate_limited; 1 failed: rate_limited; 2 skips A: Unhealthy; 2 failed: no_deployment, back in 1ms;
        3 calls a; 3 served by A";
    check(change(), ONE, words, expected);
}

#[test]
fn a_deployment_is_back_with_the_first_tick_and_says_so_once() {
    let change = cooling(|plan| plan.models[0].cooldown.at_once = FailureSet::ALL);
    check(change, ONE, "ask; 1 fail internal; +4; tick; +1; tick; +1; tick", "1 calls a; a cools 5s for internal; 1 failed: internal; a is back");
}

#[test]
fn a_providers_retry_after_takes_the_place_of_the_time_and_a_deployments_own_time_of_both() {
    let change = |own: Option<u64>| {
        cooling(move |plan| {
            plan.models[0].cooldown.at_once = FailureSet::ALL;
            plan.models[0].cooldown.retry_after = true;
            plan.deployments[0].cooldown_time = own.map(Span::from_secs);
        })
    };
    check(change(None), ONE, "ask; 1 fail rate_limited after=9", "1 calls a; a cools 9s for rate_limited; 1 failed: rate_limited, back in 9s");
    check(change(Some(2)), ONE, "ask; 1 fail rate_limited after=9", "1 calls a; a cools 2s for rate_limited; 1 failed: rate_limited, back in 9s");
    check(change(Some(0)), ONE, "ask; 1 fail rate_limited", "1 calls a; 1 failed: rate_limited");
}

#[test]
fn a_retry_after_of_zero_is_none() {
    let change = cooling(|plan| {
        plan.models[0].cooldown.at_once = FailureSet::of(&[FailureClass::RateLimited]);
        plan.models[0].cooldown.retry_after = true;
    });
    let expected = "1 calls a; a cools 5s for rate_limited; 1 failed: rate_limited, back in 0s";
    check(change, ONE, "ask; 1 fail rate_limited after=0", expected);
}

/// `allowed` failures pass and one more cools.
#[track_caller]
fn check_allowed(allowed: u32) {
    let mut plan = plan(ONE);
    cooling(|plan| plan.models[0].cooldown.allowed_fails = Some(allowed))(&mut plan);
    let mut desk = Desk::new(plan);
    for number in 1..=allowed {
        desk.check(&format!("ask; {number} fail internal"), &format!("{number} calls a; {number} failed: internal"));
    }
    let number = allowed + 1;
    desk.check(&format!("ask; {number} fail internal"), &format!("{number} calls a; a cools 5s for internal; {number} failed: internal"));
}

#[test]
fn allowed_fails_cool_at_the_next_one() {
    check_allowed(0);
    check_allowed(1);
    check_allowed(3);
}

#[test]
fn allowed_fails_are_those_of_one_window_and_one_class_may_have_its_own() {
    let change = || {
        cooling(|plan| {
            plan.models[0].cooldown.allowed_fails = Some(1);
            plan.models[0].cooldown.window = Span::from_secs(10);
            plan.models[0].cooldown.allowed_by_class[FailureClass::Timeout as usize] = Some(0);
        })
    };
    let words = "ask; 1 fail internal; +10; ask; 2 fail internal; +9.999; ask; 3 fail internal";
    let expected = "1 calls a; 1 failed: internal; 2 calls a; 2 failed: internal; 3 calls a; a cools 5s for internal; 3 failed: internal";
    check(change(), ONE, words, expected);
    check(change(), ONE, "ask; 1 fail timeout", "1 calls a; a cools 5s for timeout; 1 failed: timeout");
}

#[test]
fn a_share_of_failures_cools_above_it_and_from_its_least_number_of_calls() {
    let change = || {
        cooling(|plan| {
            plan.models[0].cooldown.share = Some(FailureShare { per_mille: 500, calls_min: 4, window: Span::MINUTE });
        })
    };
    // Two of four is the share; three of five is above it.
    let words = "ask; 1 ok; ask; 2 ok; ask; 3 fail internal; ask; 4 fail internal; ask; 5 fail internal";
    let expected = "1 calls a; 1 served by A; 2 calls a; 2 served by A; 3 calls a; 3 failed: internal; 4 calls a; 4 failed: internal;
        5 calls a; a cools 5s for internal; 5 failed: internal";
    check(change(), ONE, words, expected);
    let words = "ask; 1 fail internal; ask; 2 fail internal; ask; 3 fail internal; ask; 4 fail internal";
    let expected = "1 calls a; 1 failed: internal; 2 calls a; 2 failed: internal; 3 calls a; 3 failed: internal;
        4 calls a; a cools 5s for internal; 4 failed: internal";
    check(change(), ONE, words, expected);
}

#[test]
fn only_the_first_failure_of_a_request_may_count() {
    let change = |counts: Counts| {
        cooling(move |plan| {
            plan.models[0].attempts.per_group = 3;
            plan.models[0].cooldown.allowed_fails = Some(1);
            plan.models[0].cooldown.counts = counts;
        })
    };
    let words = "ask; 1 fail internal; 1 fail internal; 1 ok";
    check(change(Counts::FirstOfRequest), ONE, words, "1 calls a; 1 calls a; 1 calls a; 1 served by A");
    let expected = "1 calls a; 1 calls a; a cools 5s for internal; 1 skips A: Unhealthy; 1 failed: no_deployment, back in 5s";
    check(change(Counts::Every), ONE, "ask; 1 fail internal; 1 fail internal", expected);
}

#[test]
fn failures_on_fallback_hops_count_always_never_or_if_the_request_fails() {
    let groups: &[(&str, &[&str])] = &[("A", &["a"]), ("B", &["b"]), ("C", &["c"])];
    let change = |hops: Hops| {
        cooling(move |plan| {
            plan.models[0].fallbacks.groups = vec![ModelId(1), ModelId(2)];
            plan.models[1].cooldown.at_once = FailureSet::ALL;
            plan.models[1].cooldown.hops = hops;
        })
    };
    let (good, bad) = ("ask; 1 fail internal; 1 fail internal; 1 ok", "ask; 1 fail internal; 1 fail internal; 1 fail internal");
    let cooled = "1 calls a; 1 calls b; b cools 5s for internal; 1 calls c; 1 served by C";
    check(change(Hops::Count), groups, good, cooled);
    check(change(Hops::Ignore), groups, bad, "1 calls a; 1 calls b; 1 calls c; 1 failed: internal");
    check(change(Hops::IfRequestFails), groups, good, "1 calls a; 1 calls b; 1 calls c; 1 served by C");
    check(change(Hops::IfRequestFails), groups, bad, "1 calls a; 1 calls b; 1 calls c; b cools 5s for internal; 1 failed: internal");
}

#[test]
fn a_groups_only_deployment_may_be_exempt() {
    let change = |single: Single, fallback: bool| {
        cooling(move |plan| {
            plan.models[0].cooldown.at_once = FailureSet::ALL;
            plan.models[0].cooldown.single = single;
            plan.models[0].cooldown.single_exempt = TRANSIENT;
            plan.models[0].fallbacks.fallback_on = FailureSet::NONE;
            if fallback {
                plan.models[0].fallbacks.groups = vec![ModelId(0)];
            }
        })
    };
    let (exempt, cooled) = ("1 calls a; 1 failed: internal", "1 calls a; a cools 5s for internal; 1 failed: internal");
    check(change(Single::Cooled, false), ONE, "ask; 1 fail internal", cooled);
    check(change(Single::Exempt, true), ONE, "ask; 1 fail internal", exempt);
    check(change(Single::ExemptWithoutFallback, false), ONE, "ask; 1 fail internal", exempt);
    check(change(Single::ExemptWithoutFallback, true), ONE, "ask; 1 fail internal", cooled);
    check(change(Single::Exempt, false), TWO, "ask; 1 fail internal", cooled);
    check(change(Single::Exempt, false), ONE, "ask; 1 fail not_found", "1 calls a; a cools 5s for not_found; 1 failed: not_found");
    let retired = |plan: &mut Plan| {
        change(Single::Exempt, false)(plan);
        plan.deployments[1].retired = true;
    };
    check(retired, TWO, "ask; 1 fail internal", exempt);
}

fn breaker(plan: &mut Plan) {
    plan.models[0].breaker = Some(Breaker { failures: 2, counted: TRANSIENT, open_for: Span::from_secs(10), probes: 1, successes: 2 });
}

#[test]
fn a_breaker_opens_at_its_number_of_consecutive_failures() {
    let words = "ask; 1 fail internal; ask; 2 ok; ask; 3 fail internal; ask; 4 fail bad_request; ask; 5 fail internal; ask";
    let expected = "1 calls a; 1 failed: internal; 2 calls a; 2 served by A; 3 calls a; 3 failed: internal; 4 calls a; 4 failed: bad_request;
        5 calls a; a open; 5 failed: internal; 6 skips A: Unhealthy; 6 failed: no_deployment, back in 10s";
    check(breaker, ONE, words, expected);
}

#[test]
fn a_half_open_breaker_lets_its_probes_through_and_closes_after_its_successes() {
    let opened = "ask; 1 fail internal; ask; 2 fail internal; +9.999; ask; +0.001; ";
    let opens = "1 calls a; 1 failed: internal; 2 calls a; a open; 2 failed: internal; 3 skips A: Unhealthy; 3 failed: no_deployment, back in 1ms; ";
    let well = "ask; ask; 4 ok; ask; 6 ok; ask; ask; 7 ok; 8 ok";
    let closes =
        "a half-open; 4 calls a; 5 skips A: Unhealthy; 5 failed: no_deployment, back in 0s; 4 served by A; 6 calls a; a closed; 6 served by A;
        7 calls a; 8 calls a; 7 served by A; 8 served by A";
    check(breaker, ONE, &[opened, well].concat(), &[opens, closes].concat());
    let badly = "ask; 4 fail internal; ask";
    let opens_again = "a half-open; 4 calls a; a open; 4 failed: internal; 5 skips A: Unhealthy; 5 failed: no_deployment, back in 10s";
    check(breaker, ONE, &[opened, badly].concat(), &[opens, opens_again].concat());
}

#[test]
fn a_call_from_before_the_breaker_opened_is_no_probe() {
    let words = "ask; ask; ask; 1 fail internal; 2 fail internal; +10; ask; 3 ok; ask; 4 ok; ask; 6 ok";
    let expected = "1 calls a; 2 calls a; 3 calls a; 1 failed: internal; a open; 2 failed: internal; a half-open; 4 calls a; 3 served by A;
        5 skips A: Unhealthy; 5 failed: no_deployment, back in 0s; 4 served by A; 6 calls a; a closed; 6 served by A";
    check(breaker, ONE, words, expected);
}

#[test]
fn a_probe_whose_client_leaves_gives_its_place_back() {
    let words = "ask; 1 fail internal; ask; 2 fail internal; +10; ask; 3 leaves; ask; 4 leaves";
    let expected = "1 calls a; 1 failed: internal; 2 calls a; a open; 2 failed: internal; a half-open; 3 calls a; 3 abandoned;
        a half-open; 4 calls a; 4 abandoned";
    check(breaker, ONE, words, expected);
}

#[test]
fn a_probe_of_an_earlier_half_open_time_is_none_of_a_later_one() {
    let two_probes = |plan: &mut Plan| {
        plan.models[0].breaker = Some(Breaker { failures: 1, counted: TRANSIENT, open_for: Span::from_secs(10), probes: 2, successes: 2 });
    };
    // 3 was a probe when 2 was: it takes no place of those that come after, gives none back, and does not help to close the breaker.
    let words = "ask; 1 fail internal; +10; ask; ask; 2 fail internal; +10; ask; ask; 3 ok; ask; 4 ok; ask; ask; 5 ok; 7 ok";
    let expected = "1 calls a; a open; 1 failed: internal; a half-open; 2 calls a; 3 calls a; a open; 2 failed: internal;
        a half-open; 4 calls a; 5 calls a; 3 served by A; 6 skips A: Unhealthy; 6 failed: no_deployment, back in 0s;
        4 served by A; 7 calls a; 8 skips A: Unhealthy; 8 failed: no_deployment, back in 0s; a closed; 5 served by A; 7 served by A";
    check(two_probes, ONE, words, expected);
    // Nor does one from before the breaker was closed.
    let words = "ask; 1 fail internal; +10; ask; ask; 2 ok; ask; 4 ok; ask; 5 fail internal; +10; ask; ask; 3 ok; 6 ok; ask; ask";
    let expected = "1 calls a; a open; 1 failed: internal; a half-open; 2 calls a; 3 calls a; 2 served by A; 4 calls a; a closed; 4 served by A;
        5 calls a; a open; 5 failed: internal; a half-open; 6 calls a; 7 calls a; 3 served by A; 6 served by A; 8 calls a;
        9 skips A: Unhealthy; 9 failed: no_deployment, back in 0s";
    let mut plan = plan(ONE);
    two_probes(&mut plan);
    Desk::new(plan).check(words, expected);
}
