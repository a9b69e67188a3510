//! Ends of calls that nobody names the bill of: an answer without usage, a break after the provider had begun, a request that nobody carries on.
//! A request for 100 tokens in and 100 out costs $500 millionths at most, and 140 with 10 out.

use alloc::format;
use alloc::vec;

use super::desk::Desk;
use super::plans::{budget, cache, limit, plan};
use crate::gateway::command::KeySpec;
use crate::gateway::failure::{FailureClass, FailureSet};
use crate::gateway::id::AccountId;
use crate::gateway::journal::{Certainty, Ended, Fact};
use crate::gateway::money::Money;
use crate::gateway::plan::{Breaker, BudgetMode, CachePolicy, Leave, LimitKind, Plan, Presume, Queue};
use crate::gateway::time::Span;

const ONE: &[(&str, &[&str])] = &[("A", &["a"])];

/// What is booked, confirmed and presumed, in millionths of a dollar.
fn booked(desk: &Desk) -> (i128, i128) {
    let settled = desk.gateway.budget().settled();
    (settled.confirmed.0 / 1_000_000, settled.presumed.0 / 1_000_000)
}

fn ended(desk: &Desk) -> (Ended, Certainty) {
    let closed = desk.journal.iter().rev().find_map(|record| if let Fact::CallClosed(closed) = record.fact { Some(closed) } else { None });
    closed.map(|closed| (closed.ended, closed.certainty)).expect("a call was closed")
}

#[test]
fn an_answer_without_usage_is_delivered_and_presumed_until_its_usage_comes() {
    for ask in ["ask", "ask stream"] {
        let mut desk = Desk::new(plan(ONE));
        desk.check(&format!("{ask}; 1 ends 20"), "1 calls a; 1 served by A");
        assert_eq!((booked(&desk), ended(&desk)), ((0, 180), (Ended::Delivered, Certainty::Presumed)));
        desk.check("1 ok 1 10; 1 ok 1 90", "1 corrected $0.00018 to $0.00014");
        assert_eq!(booked(&desk), (140, 0));
        desk.check_empty();
    }
    let mut long = Desk::new(plan(ONE));
    long.check("ask; 1 ends 4000", "1 calls a; 1 served by A");
    assert_eq!(booked(&long), (0, 500), "it can't have been more than was held");
}

#[test]
fn an_answer_without_usage_is_cached_and_shared() {
    let mut plan = plan(ONE);
    plan.models[0].cache = Some(CachePolicy { single_flight: true, ..cache(60) });
    let mut desk = Desk::new(plan);
    desk.check("ask same; ask same; 1 ends 20; ask same", "1 calls a; 2 follows 1; 1 served by A; 2 shared; 3 cached");
    assert_eq!(booked(&desk), (0, 180));
}

#[test]
fn what_its_provider_does_not_say_is_no_length_that_was_seen() {
    let mut plan = plan(ONE);
    let mode = BudgetMode::Estimate { quantile_per_mille: 900, headroom_per_mille: 0 };
    plan.budgets = vec![crate::gateway::plan::BudgetSpec { mode, ..budget(1_000_000) }];
    let mut desk = Desk::new(plan);
    for number in 1..=100 {
        desk.run(&format!("ask; {number} ends 10"));
    }
    desk.run("ask");
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now).1, Money(500_000_000), "nothing is known to estimate from");
}

#[test]
fn a_drain_that_is_given_up_ends_as_a_cancel() {
    for words in ["ask; 1 leaves; 1 wakes", "ask; 1 leaves; 1 fail cut"] {
        let mut plan = plan(ONE);
        plan.models[0].on_disconnect.non_stream = Leave::Drain;
        let mut desk = Desk::new(plan);
        desk.check(words, "1 calls a; 1 drains 30s 50; 1 abandoned");
        assert_eq!((booked(&desk), ended(&desk)), ((0, 500), (Ended::Cancelled, Certainty::Presumed)));
    }
}

/// What is booked where failures cost nothing by the provider's rule.
#[track_caller]
fn check_failed(stops: bool, words: &str, micro_usd: (i128, i128)) {
    let mut plan = plan(ONE);
    let billing = &mut plan.deployments[0].billing;
    (billing.failed, billing.cancel_stops_billing) = (Presume::Nothing, stops);
    let mut desk = Desk::new(plan);
    desk.run(words);
    assert_eq!(booked(&desk), micro_usd, "{words}");
    desk.check_empty();
}

#[test]
fn what_fails_after_the_provider_had_begun_is_billed_as_a_break_and_not_as_a_refusal() {
    check_failed(true, "ask; 1 fail connect", (0, 0));
    check_failed(true, "ask; 1 fail connect accepted", (0, 500));
    check_failed(true, "ask; 1 fail bad_gateway accepted", (0, 500));
    check_failed(true, "ask stream; 1 fail cut", (0, 0));
    check_failed(true, "ask stream; 1 fail cut accepted", (0, 100 + 4 * 10));
    check_failed(true, "ask stream; 1 fail rate_limited accepted got=5", (0, 100 + 4 * 15));
    check_failed(false, "ask stream; 1 fail cut accepted", (0, 500));
    check_failed(true, "ask; 1 leaves; 1 fail connect accepted", (0, 500));
}

#[test]
fn every_call_that_broke_is_presumed_and_corrected_for_itself() {
    let mut plan = plan(ONE);
    plan.models[0].transport.retries = 1;
    plan.models[0].transport.retry_on = FailureSet::of(&[FailureClass::Connect]);
    let mut desk = Desk::new(plan);
    desk.run("ask; 1 fail connect accepted; 1 wakes; 1 ok; 1 ok 1 20");
    assert_eq!(booked(&desk), (140 + 180, 0));
    desk.check_empty();
}

/// Policies that have a request go on without its client, with a place of every kind to be lost.
fn clinging() -> Desk {
    let mut plan: Plan = plan(&[("A", &["a"]), ("R", &["r"])]);
    for model in &mut plan.models {
        model.transport.retries = 5;
        model.transport.retry_on = FailureSet::ALL;
        model.attempts.per_group = 2;
        model.backoff.base = Span::SECOND;
        let policy = &mut model.on_disconnect;
        (policy.between_attempts, policy.non_stream) = (Leave::Ignore, Leave::Ignore);
        (policy.before_first_byte, policy.streaming) = (Leave::Ignore, Leave::Ignore);
        model.limits = vec![limit(LimitKind::Concurrency, 9, 1)];
    }
    plan.models[0].cache = Some(CachePolicy { single_flight: true, ..cache(60) });
    plan.models[1].cache = Some(CachePolicy { remote: true, ..cache(60) });
    plan.deployments[0].limits = vec![limit(LimitKind::Concurrency, 9, 1)];
    plan.budgets = vec![budget(1_000_000)];
    let mut desk = Desk::new(plan);
    let queue = Some(Queue { length_max: 9, wait_max: Span::from_secs(30) });
    let limits = vec![crate::gateway::plan::LimitSpec { queue, ..limit(LimitKind::Concurrency, 1, 1) }];
    desk.put_key("queue", KeySpec { limits, ..KeySpec::default() });
    desk
}

#[test]
fn what_nobody_carries_on_is_closed_as_after_a_crash_in_every_state() {
    let states = [
        ("ask key=queue; ask key=queue", "2 drops; 1 drops", 500),
        ("ask key=queue; ask key=queue", "1 drops; 2 drops", 1000),
        ("ask R", "1 drops", 0),
        ("ask same; ask same", "2 drops; 1 drops", 500),
        ("ask same; ask same", "1 drops; 2 drops", 1000),
        ("ask; 1 fail rate_limited", "1 drops", 0),
        ("ask", "1 drops", 500),
        ("ask; 1 leaves", "1 drops", 500),
        ("ask stream", "1 drops", 500),
        ("ask stream; 1 opens", "1 drops", 500),
        ("ask stream; 1 opens; 1 leaves 5 5", "1 drops", 500),
        ("ask; 1 ok 0", "1 drops", 0),
    ];
    for (path, drops, presumed) in states {
        let mut desk = clinging();
        desk.run(path);
        desk.run(drops);
        desk.check_empty();
        assert_eq!(booked(&desk).1, presumed, "{path}; {drops}");
    }
}

#[test]
fn who_waits_for_a_request_that_nobody_carries_on_goes_first() {
    let mut desk = clinging();
    desk.check("ask same; ask same; 1 drops; 2 ok", "1 calls a; 2 follows 1; 1 failed: internal; 2 calls a; 2 served by A");
    desk.check("1 ok 1 10", "1 corrected $0.0005 to $0.00014");
    desk.check_empty();
}

#[test]
fn a_probe_that_nobody_carries_on_makes_room_for_the_next() {
    let mut plan = plan(ONE);
    let counted = FailureSet::of(&[FailureClass::Internal]);
    plan.models[0].breaker = Some(Breaker { failures: 1, open_for: Span::SECOND, probes: 1, successes: 1, counted });
    let mut desk = Desk::new(plan);
    desk.check("ask; 1 fail internal; +2; ask", "1 calls a; a open; 1 failed: internal; a half-open; 2 calls a");
    desk.check("2 drops; ask; 3 ok", "2 failed: internal; a half-open; 3 calls a; a closed; 3 served by A");
    desk.check_empty();
}
