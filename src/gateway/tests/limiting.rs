//! Rate limits, concurrency and its queues, the loop detector, and the directory.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use super::desk::Desk;
use super::plans::{limit, plan};
use crate::gateway::command::{Command, KeySpec, TeamSpec};
use crate::gateway::id::ModelId;
use crate::gateway::plan::{Anchor, Enforce, LimitKind, LimitSpec, LoopDetector, Presume, Queue, Refill, TokenCount};
use crate::gateway::time::{Span, Time};

const ONE: &[(&str, &[&str])] = &[("A", &["a"])];

/// A desk whose key has this limit.
fn desk(spec: LimitSpec) -> Desk {
    let mut desk = Desk::new(plan(ONE));
    desk.put_key("key", KeySpec { limits: vec![spec], ..KeySpec::default() });
    desk
}

fn limited(number: u32) -> String {
    format!("{number} refused: Limited(LimitId(0))")
}

#[test]
fn a_bucket_is_full_at_first_and_fills_exactly() {
    let mut desk = desk(limit(LimitKind::Requests, 3, 10));
    desk.check(
        "ask; 1 ok; ask; 2 ok; ask; 3 ok; ask",
        &format!("1 calls a; 1 served by A; 2 calls a; 2 served by A; 3 calls a; 3 served by A; {}", limited(4)),
    );
    // A third of ten seconds, to the nanosecond.
    desk.now = desk.now + Span(3_333_333_333);
    desk.check("ask", &limited(5));
    desk.now = desk.now + Span(1);
    desk.check("ask; 6 ok; ask", &format!("6 calls a; 6 served by A; {}", limited(7)));
}

#[test]
fn windows_begin_by_the_clock_at_the_first_use_or_in_step_with_the_first() {
    let with = |anchor: Anchor| {
        let mut desk = desk(LimitSpec { refill: Refill::Window(anchor), ..limit(LimitKind::Requests, 1, 60) });
        desk.check("+10; ask; 1 ok", "1 calls a; 1 served by A");
        desk
    };
    // The clock's minute ends at 1020, ten seconds from now.
    with(Anchor::Clock).check("+9.999; ask; +0.001; ask; 3 ok", &format!("{}; 3 calls a; 3 served by A", limited(2)));
    for anchor in [Anchor::FirstUse, Anchor::Start] {
        with(anchor).check("+59.999; ask; +0.001; ask; 3 ok", &format!("{}; 3 calls a; 3 served by A", limited(2)));
    }
    // Used again 90 s after its first use: the next one of its own is over after 60, in step after 30.
    let words = "+90; ask; 2 ok; +30; ask";
    with(Anchor::FirstUse).check(words, &format!("2 calls a; 2 served by A; {}", limited(3)));
    with(Anchor::Start).check(words, "2 calls a; 2 served by A; 3 calls a");
}

#[test]
fn tokens_are_counted_before_and_corrected_or_only_afterwards() {
    let total = |count: TokenCount| desk(LimitSpec { count, ..limit(LimitKind::TotalTokens, 400, 3600) });
    // 100 in and 100 out are asked for; 110 are used.
    let words = "ask; ask; ask; 1 ok; ask; 2 ok; ask max=80; 5 ok";
    let expected = format!("1 calls a; 2 calls a; {}; 1 served by A; {}; 2 served by A; 5 calls a for 80; 5 served by A", limited(3), limited(4));
    total(TokenCount::Reserve).check(words, &expected);
    total(TokenCount::After)
        .check("ask; ask; ask; 1 ok 100; 2 ok 100; ask", &format!("1 calls a; 2 calls a; 3 calls a; 1 served by A; 2 served by A; {}", limited(4)));
    let input = || desk(limit(LimitKind::InputTokens, 150, 3600));
    input().check("ask; 1 ok; ask", &format!("1 calls a; 1 served by A; {}", limited(2)));
    input().check("ask; 1 ok; ask in=50; 2 ok", "1 calls a; 1 served by A; 2 calls a; 2 served by A");
    let mut output = desk(limit(LimitKind::OutputTokens, 100, 3600));
    output
        .check("ask; 1 ok 40; ask max=60; 2 ok 60; ask max=1", &format!("1 calls a; 1 served by A; 2 calls a for 60; 2 served by A; {}", limited(3)));
}

#[test]
fn tokens_given_back_do_not_begin_a_window() {
    let spec = LimitSpec { refill: Refill::Window(Anchor::FirstUse), ..limit(LimitKind::TotalTokens, 200, 20) };
    let mut desk = desk(spec);
    // Given back at second 30, used at 40: the window of that use ends at 60, not at 50.
    let words = "ask; +30; 1 ok; +10; ask; 2 ok 100; +15; ask";
    desk.check(words, &format!("1 calls a; 1 served by A; 2 calls a; 2 served by A; {}", limited(3)));
}

#[test]
fn a_bucket_that_was_full_since_gets_nothing_back() {
    let bucket = |amount: u64| limit(LimitKind::TotalTokens, amount, 10);
    // 1 leaves 90 of its 200 unused, but all have run in again when 2 takes them; what 2 leaves is given back.
    let words = "ask; +10; ask; 1 ok; ask in=50 max=40; 2 ok; ask in=50 max=40";
    let served = format!("1 calls a; 2 calls a; 1 served by A; {}; 2 served by A; 4 calls a for 40", limited(3));
    desk(bucket(200)).check(words, &served);
    // A nanosecond before, the bucket had not been full since.
    for (since, third) in [(9_999_999_999, String::from("3 calls a")), (10_000_000_000, limited(3))] {
        let mut desk = desk(bucket(200));
        desk.run("ask");
        desk.now = desk.now + Span(since);
        desk.check("ask in=1 max=1; 1 ok 0; ask", &format!("1 calls a; 2 calls a for 1; 1 served by A; {third}"));
    }
    let mut raised = desk(bucket(200));
    raised.run("ask; +10; ask");
    raised.put_key("key", KeySpec { limits: vec![bucket(300)], ..KeySpec::default() });
    raised.check("1 ok; ask in=60 max=41", &format!("1 calls a; 2 calls a; 1 served by A; {}", limited(3)));
}

#[test]
fn output_that_may_have_been_billed_is_not_given_back() {
    // Hardly anything runs in again while these calls last.
    let with = |amount: u64, timed_out: Presume, of_key: bool| {
        let mut plan = plan(ONE);
        plan.deployments[0].billing.timed_out = timed_out;
        let limits = vec![limit(LimitKind::TotalTokens, amount, 3_600_000)];
        plan.deployments[0].limits = if of_key { vec![] } else { limits.clone() };
        let mut desk = Desk::new(plan);
        desk.put_key("key", KeySpec { limits: if of_key { limits } else { vec![] }, ..KeySpec::default() });
        desk
    };
    for (of_key, refused) in [(true, limited(2)), (false, String::from("2 failed: saturated"))] {
        // 100 in and 100 out, none of which anybody has seen.
        let (timed_out, calls) = ("1 calls a; 1 failed: timeout", String::from("2 calls a"));
        for (amount, rule, then) in [
            (400, Presume::WorstCase, &calls),
            (399, Presume::WorstCase, &refused),
            (300, Presume::Input, &calls),
            (299, Presume::Input, &refused),
            (200, Presume::Nothing, &calls),
        ] {
            with(amount, rule, of_key).check("ask; 1 wakes; ask", &format!("{timed_out}; {then}"));
        }
        // 5 have come, and 10 more may have been made.
        for (amount, then) in [(315, &calls), (314, &refused)] {
            let expected = format!("1 calls a; 1 relays; 1 failed: cut; {then}");
            with(amount, Presume::WorstCase, of_key).check("ask stream; 1 opens; 1 fail cut got=5; ask", &expected);
        }
    }
}

#[test]
fn a_limit_is_asked_for_no_more_output_than_the_model_makes() {
    for (kind, most) in [(LimitKind::OutputTokens, 100), (LimitKind::TotalTokens, 200)] {
        desk(limit(kind, most, 3600)).check("ask max=64000", "1 calls a");
        desk(limit(kind, most - 1, 3600)).check("ask max=64000", &limited(1));
    }
}

fn queue(amount: u64, length_max: u32, wait_secs: u64) -> LimitSpec {
    LimitSpec { queue: Some(Queue { length_max, wait_max: Span::from_secs(wait_secs) }), ..limit(LimitKind::Concurrency, amount, 1) }
}

#[test]
fn a_concurrency_limit_refuses_or_queues_first_in_first_out() {
    desk(limit(LimitKind::Concurrency, 2, 1)).check(
        "ask; ask; ask; 1 ok; ask; 2 ok; 4 ok",
        &format!("1 calls a; 2 calls a; {}; 1 served by A; 4 calls a; 2 served by A; 4 served by A", limited(3)),
    );
    let mut queued = desk(queue(1, 2, 30));
    let words = "ask; ask; ask; ask; 1 ok; 2 fail internal; 3 ok";
    let expected = "1 calls a; 2 queues at 0; 3 queues at 0; 4 refused: QueueFull(LimitId(0)); 1 served by A; 2 calls a; 2 failed: internal; 3 calls a; 3 served by A";
    queued.check(words, expected);
    queued.check_empty();
}

#[test]
fn who_waits_too_long_or_leaves_gives_up_the_queue() {
    let mut desk = desk(queue(1, 2, 30));
    let words = "ask; ask; ask; 2 leaves; ask wait=10; 4 wakes; +19.999; 3 wakes; ask; 1 ok; 5 ok";
    let expected = "1 calls a; 2 queues at 0; 3 queues at 0; 2 abandoned; 4 queues at 0; 4 refused: DeadlinePassed; 3 refused: QueueFull(LimitId(0));
        5 queues at 0; 1 served by A; 5 calls a; 5 served by A";
    desk.check(words, expected);
    desk.check_empty();
}

#[test]
fn who_waited_at_one_limit_is_refused_by_another_that_has_no_queue_or_a_full_one() {
    for (second, denial) in [(limit(LimitKind::Concurrency, 1, 1), "Limited"), (queue(1, 0, 30), "QueueFull")] {
        let mut desk = Desk::new(plan(ONE));
        desk.put_team("team", TeamSpec { limits: vec![queue(1, 9, 30)], ..TeamSpec::default() });
        desk.put_key("one", KeySpec { team: Some("team".into()), ..KeySpec::default() });
        desk.put_key("two", KeySpec { team: Some("team".into()), limits: vec![second], ..KeySpec::default() });
        // The key's own place is free when 2 queues for the team's, and taken by 4, as the key has left the team, when its turn comes.
        desk.check("ask key=one; ask key=two; ask key=one", "1 calls a; 2 queues at 0; 3 queues at 0");
        desk.put_key("two", KeySpec { limits: vec![second], ..KeySpec::default() });
        desk.check("ask key=two", "4 calls a");
        desk.check("1 ok", &format!("1 served by A; 2 refused: {denial}(LimitId(1)); 3 calls a"));
        desk.check("3 ok; 4 ok", "3 served by A; 4 served by A");
        desk.check_empty();
    }
}

#[test]
fn who_waits_is_overtaken_by_nobody_who_needs_the_same_places_and_came_later() {
    let mut desk = Desk::new(plan(ONE));
    desk.put_team("team", TeamSpec { limits: vec![queue(2, 9, 30)], ..TeamSpec::default() });
    desk.put_key("one", KeySpec { team: Some("team".into()), limits: vec![queue(1, 9, 30)], ..KeySpec::default() });
    desk.put_key("two", KeySpec { team: Some("team".into()), ..KeySpec::default() });
    let words = "ask key=one; ask key=two; ask key=one; ask key=two; ask key=one; ask key=one";
    desk.check(words, "1 calls a; 2 calls a; 3 queues at 0; 4 queues at 0; 5 queues at 0; 6 queues at 0");
    // The team's place is no use to 3, as the key has none; it waits for that from now on, and 5 and 6 come after it in either queue.
    desk.check("2 ok; 1 ok", "2 served by A; 4 calls a; 1 served by A; 3 calls a");
    desk.check("4 ok; 3 ok", "4 served by A; 3 served by A; 5 calls a");
    desk.check("5 ok; 6 ok", "5 served by A; 6 calls a; 6 served by A");
    desk.check_empty();
}

#[test]
fn who_is_held_up_at_another_limit_keeps_its_place_in_the_order_there() {
    let mut desk = Desk::new(plan(&[("A", &["a"]), ("B", &["b"])]));
    desk.adopt(|plan| plan.models[0].limits = vec![queue(1, 9, 300)]);
    desk.put_key("one", KeySpec { limits: vec![queue(1, 9, 300)], ..KeySpec::default() });
    // 3 waits for the model alone; 2 for its key first, and then for the model, before 3.
    desk.check("ask B key=one; ask A key=one; ask A; ask A", "1 calls b; 2 queues at 1; 3 calls a; 4 queues at 0");
    desk.check("1 ok; 3 ok; 2 ok; 4 ok", "1 served by B; 3 served by A; 2 calls a; 2 served by A; 4 calls a; 4 served by A");
    desk.check_empty();
}

#[test]
fn places_at_all_limits_are_returned_before_any_is_given_away() {
    let mut desk = Desk::new(plan(&[("A", &["a"]), ("B", &["b"])]));
    desk.adopt(|plan| plan.models[0].limits = vec![queue(1, 9, 30)]);
    desk.put_key("one", KeySpec { limits: vec![queue(1, 9, 30)], ..KeySpec::default() });
    // 2 needs both places of 1: 3, which needs only the key's, has come later.
    desk.check("ask A key=one; ask A key=one; ask B key=one", "1 calls a; 2 queues at 1; 3 queues at 1");
    desk.check("1 ok; 2 ok; 3 ok", "1 served by A; 2 calls a; 2 served by A; 3 calls b; 3 served by B");
    desk.check_empty();
}

#[test]
fn a_limit_that_is_raised_serves_who_waits_and_one_that_is_lowered_keeps_its_places() {
    let mut desk = desk(queue(1, 5, 3000));
    desk.check("ask; ask; ask", "1 calls a; 2 queues at 0; 3 queues at 0");
    desk.put_key("key", KeySpec { limits: vec![queue(2, 5, 3000)], ..KeySpec::default() });
    desk.check("", "2 calls a");
    desk.put_key("key", KeySpec { limits: vec![queue(1, 5, 3000)], ..KeySpec::default() });
    desk.check("1 ok; 2 ok; 3 ok", "1 served by A; 2 served by A; 3 calls a; 3 served by A");
    desk.check_empty();
}

#[test]
fn a_limit_that_counts_something_else_is_another_limit() {
    let mut desk = desk(limit(LimitKind::Requests, 1, 3600));
    desk.check("ask", "1 calls a");
    desk.put_key("key", KeySpec { limits: vec![limit(LimitKind::Concurrency, 1, 1)], ..KeySpec::default() });
    desk.check("ask; 1 ok", "2 calls a; 1 served by A");
    desk.put_key("key", KeySpec { limits: vec![limit(LimitKind::Requests, 1, 1)], ..KeySpec::default() });
    desk.check("2 ok", "2 served by A");
    desk.check_empty();
}

#[test]
fn a_bucket_that_is_changed_is_not_full_again() {
    let mut desk = desk(limit(LimitKind::Requests, 2, 3600));
    desk.check("ask; 1 ok; ask; 2 ok", "1 calls a; 1 served by A; 2 calls a; 2 served by A");
    desk.put_key("key", KeySpec { limits: vec![limit(LimitKind::Requests, 3, 3600)], ..KeySpec::default() });
    desk.check("ask; 3 ok; ask", &format!("3 calls a; 3 served by A; {}", limited(4)));
}

#[test]
fn limits_of_team_model_and_everyone_hold_beside_those_of_the_key() {
    let mut plan = plan(ONE);
    plan.limits = vec![limit(LimitKind::Requests, 3, 3600)];
    plan.models[0].limits = vec![limit(LimitKind::Requests, 2, 3600)];
    let mut desk = Desk::new(plan);
    desk.put_team("team", TeamSpec { limits: vec![limit(LimitKind::Requests, 1, 3600)], ..TeamSpec::default() });
    desk.put_key("one", KeySpec { team: Some("team".into()), ..KeySpec::default() });
    desk.put_key("two", KeySpec { team: Some("team".into()), ..KeySpec::default() });
    let words = "ask key=one; 1 ok; ask key=two; ask; 3 ok; ask";
    desk.check(words, "1 calls a; 1 served by A; 2 refused: Limited(LimitId(2)); 3 calls a; 3 served by A; 4 refused: Limited(LimitId(1))");
}

#[test]
fn a_loop_is_found_at_its_number_of_repetitions_and_alerts_once() {
    let with = |enforce: Enforce| {
        let mut plan = plan(ONE);
        plan.loop_detector = Some(LoopDetector { repeats: 2, window: Span::from_secs(60), enforce });
        Desk::new(plan)
    };
    let words = "ask same; 1 ok; ask same; 2 ok; ask; 3 ok; ask same; ask same";
    let good = "1 calls a; 1 served by A; 2 calls a; 2 served by A; 3 calls a; 3 served by A; ";
    with(Enforce::Hard).check(words, &[good, "key 0 loops; 4 refused: Loop; 5 refused: Loop"].concat());
    with(Enforce::Observe).check(words, &[good, "key 0 loops; 4 would be refused: Loop; 4 calls a; 5 would be refused: Loop; 5 calls a"].concat());
    let words = "ask same; 1 ok; ask same; 2 ok; +60; ask same; 3 ok";
    with(Enforce::Hard).check(words, "1 calls a; 1 served by A; 2 calls a; 2 served by A; 3 calls a; 3 served by A");
    let words = "ask same; 1 ok; ask same; 2 ok; +59.999; ask same";
    with(Enforce::Hard).check(words, "1 calls a; 1 served by A; 2 calls a; 2 served by A; key 0 loops; 3 refused: Loop");
}

#[test]
fn keys_are_refused_when_blocked_deleted_expired_or_not_allowed_the_model() {
    let mut desk = Desk::new(plan(&[("A", &["a"]), ("B", &["b"])]));
    desk.put_team("team", TeamSpec { models: Some(vec![ModelId(0)]), ..TeamSpec::default() });
    let expires = Some(Time(desk.now.0 + 10_000_000_000));
    desk.put_key("key", KeySpec { team: Some("team".into()), expires, ..KeySpec::default() });
    desk.check("ask B; ask A; 2 ok", "1 refused: ModelNotAllowed; 2 calls a; 2 served by A");
    let (key, team) = (String::from("key"), String::from("team"));
    desk.apply(Command::BlockKey { name: key.clone(), blocked: true });
    desk.check("ask", "3 refused: Blocked");
    desk.apply(Command::BlockKey { name: key.clone(), blocked: false });
    desk.apply(Command::BlockTeam { name: team.clone(), blocked: true });
    desk.check("ask", "4 refused: Blocked");
    desk.apply(Command::BlockTeam { name: team.clone(), blocked: false });
    desk.check("ask; 5 ok; +9.999; ask; 6 ok; +0.001; ask", "5 calls a; 5 served by A; 6 calls a; 6 served by A; 7 refused: Expired");
    // The call that is open when the key is deleted comes to its end; no other call is made, and the next request is refused.
    desk.put_key("key", KeySpec::default());
    desk.check("ask", "8 calls a");
    desk.apply(Command::DeleteKey { name: key });
    desk.check("8 ok; ask", "8 served by A; 9 refused: Deleted");
    desk.put_key("key", KeySpec { team: Some("team".into()), ..KeySpec::default() });
    desk.apply(Command::DeleteTeam { name: team });
    desk.check("ask", "10 refused: Deleted");
}

#[test]
fn a_fallback_that_the_key_may_not_use_is_passed_over() {
    let mut plan = plan(&[("A", &["a"]), ("B", &["b"]), ("C", &["c"])]);
    plan.models[0].fallbacks.groups = vec![ModelId(1), ModelId(2)];
    plan.models[2].retired = true;
    let mut desk = Desk::new(plan);
    desk.put_key("key", KeySpec { models: Some(vec![ModelId(0), ModelId(2)]), ..KeySpec::default() });
    desk.check("ask; 1 fail internal", "1 calls a; 1 skips B: ModelNotAllowed; 1 skips C: Retired; 1 failed: internal");
    desk.check("ask C", "2 refused: UnknownModel");
}

#[test]
fn a_new_plan_keeps_what_was_counted_and_calls_nothing_that_it_has_retired() {
    let mut plan = plan(&[("A", &["a", "b"])]);
    plan.limits = vec![limit(LimitKind::Requests, 2, 3600)];
    plan.models[0].attempts.per_group = 3;
    plan.models[0].backoff.base = Span::SECOND;
    let mut desk = Desk::new(plan);
    desk.check("ask; 1 fail internal", "1 calls a; 1 sleeps 1s");
    desk.adopt(|plan| {
        plan.deployments[1].retired = true;
        plan.deployments.push(super::plans::deployment("c"));
        plan.models[0].deployments.push(crate::gateway::id::DeploymentId(2));
    });
    // Under its own plan `b` would be next; it is taken out, and `c` this request does not know.
    desk.check("1 wakes; 1 fail internal; 1 leaves", "1 calls a; 1 sleeps 2s; 1 abandoned");
    desk.check("ask; 2 fail internal; 2 wakes; 2 ok; ask", "2 calls a; 2 sleeps 1s; 2 calls c; 2 served by A; 3 refused: Limited(LimitId(0))");
}

#[test]
fn a_request_that_comes_at_its_deadline_is_refused() {
    let mut desk = Desk::new(plan(ONE));
    desk.check("ask wait=0; ask wait=0.001", "1 refused: DeadlinePassed; 2 calls a");
    // Not even from the cache.
    let mut plan = plan(ONE);
    plan.models[0].cache = Some(super::plans::cache(60));
    Desk::new(plan).check("ask same; 1 ok; ask same wait=0", "1 calls a; 1 served by A; 2 refused: DeadlinePassed");
}
