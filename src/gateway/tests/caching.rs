//! The response cache and single flight.

use alloc::vec;
use alloc::vec::Vec;

use super::desk::Desk;
use super::plans::{TRANSIENT, budget, cache, limit, plan};
use crate::gateway::command::{KeySpec, Overrides, TeamSpec};
use crate::gateway::in_flight::{Action, CacheKey, Finish};
use crate::gateway::journal::{Bodies, Ended, Fact};
use crate::gateway::plan::{BudgetSpec, CachePolicy, CacheScope, Leave, LimitKind, OnShort, Plan};
use crate::gateway::time::Span;

fn desk(change: impl FnOnce(&mut CachePolicy, &mut u64)) -> Desk {
    let mut plan: Plan = plan(&[("A", &["a"])]);
    let mut policy = cache(60);
    change(&mut policy, &mut plan.cache_bytes_max);
    plan.models[0].cache = Some(policy);
    Desk::new(plan)
}

#[test]
fn an_answer_is_good_up_to_its_ttl_and_no_longer() {
    let mut desk = desk(|_, _| {});
    desk.check("ask same; 1 ok; +60; ask same; +0.001; ask same; 3 ok", "1 calls a; 1 served by A; 2 cached; 3 calls a; 3 served by A");
}

#[test]
fn a_sliding_ttl_starts_anew_with_every_hit() {
    let mut desk = desk(|policy, _| policy.sliding = true);
    desk.check(
        "ask same; 1 ok; +60; ask same; +60; ask same; +60.001; ask same; 4 leaves",
        "1 calls a; 1 served by A; 2 cached; 3 cached; 4 calls a; 4 abandoned",
    );
}

#[test]
fn the_least_recently_used_answer_goes_when_the_cache_is_full() {
    // An answer of 10 tokens takes 96 + 400 + 40 bytes.
    let mut desk = desk(|_, bytes| *bytes = 2 * 536);
    desk.check("ask same; 1 ok; ask; 2 ok; ask same", "1 calls a; 1 served by A; 2 calls a; 2 served by A; 3 cached");
    desk.check("ask; 4 ok; ask same", "4 calls a; 4 served by A; 5 cached");
    assert_eq!((desk.gateway.cache().len(), desk.gateway.cache().bytes()), (2, 1072));
    desk.check("ask; 6 ok; ask; 7 ok; ask same; 8 ok 11", "6 calls a; 6 served by A; 7 calls a; 7 served by A; 8 calls a; 8 served by A");
    assert_eq!((desk.gateway.cache().len(), desk.gateway.cache().bytes()), (1, 540));
    desk.adopt(|plan| plan.cache_bytes_max = 539);
    assert!(desk.gateway.cache().is_empty());
    desk.check("ask same; 9 ok 11; ask same; 10 leaves", "9 calls a; 9 served by A; 10 calls a; 10 abandoned");
}

#[test]
fn who_shares_answers_is_a_policy_and_a_key_may_have_its_own() {
    let answers = |scope: CacheScope, own: Option<CacheScope>| {
        let mut desk = desk(|policy, _| policy.scope = scope);
        desk.put_team("team", TeamSpec::default());
        for name in ["one", "two"] {
            let overrides = Overrides { cache_scope: own, ..Overrides::default() };
            desk.put_key(name, KeySpec { team: Some("team".into()), overrides, ..KeySpec::default() });
        }
        desk.check("ask same key=one; 1 ok", "1 calls a; 1 served by A");
        desk
    };
    answers(CacheScope::Shared, None).check("ask same key=two; ask same", "2 cached; 3 cached");
    answers(CacheScope::Team, None).check("ask same key=two; ask same; 3 leaves", "2 cached; 3 calls a; 3 abandoned");
    answers(CacheScope::Key, None).check("ask same key=one; ask same key=two; 3 leaves", "2 cached; 3 calls a; 3 abandoned");
    answers(CacheScope::Shared, Some(CacheScope::Key)).check("ask same key=two; 2 leaves", "2 calls a; 2 abandoned");
    // A key without a team shares with nobody.
    let mut desk = answers(CacheScope::Team, None);
    desk.put_key("other", KeySpec::default());
    desk.check("ask same; 2 ok; ask same key=other; 3 leaves; ask same", "2 calls a; 2 served by A; 3 calls a; 3 abandoned; 4 cached");
}

#[test]
fn a_key_may_do_without_the_cache() {
    let mut desk = desk(|policy, _| policy.single_flight = true);
    let overrides = Overrides { cache: Some(false), ..Overrides::default() };
    desk.put_key("other", KeySpec { overrides, ..KeySpec::default() });
    desk.check("ask same; 1 ok; ask same key=other; 2 ok; ask same", "1 calls a; 1 served by A; 2 calls a; 2 served by A; 3 cached");
}

#[test]
fn a_request_may_refuse_a_cached_answer_or_the_keeping_of_its_own() {
    let mut desk = desk(|_, _| {});
    desk.check("ask same no_store; 1 ok; ask same; 2 ok", "1 calls a; 1 served by A; 2 calls a; 2 served by A");
    desk.check("ask same no_cache; 3 ok; ask same no_store", "3 calls a; 3 served by A; 4 cached");
}

#[test]
fn streams_may_be_kept_apart() {
    let mut apart = desk(|policy, _| policy.separate_streams = true);
    apart.check("ask same stream; 1 ok; ask same; 2 ok; ask same stream", "1 calls a; 1 served by A; 2 calls a; 2 served by A; 3 cached");
    desk(|_, _| {}).check("ask same stream; 1 ok; ask same", "1 calls a; 1 served by A; 2 cached");
}

#[test]
fn hits_use_up_limits_if_they_count() {
    let with = |hits_count: bool| {
        let mut desk = desk(|policy, _| policy.hits_count = hits_count);
        desk.put_key("key", KeySpec { limits: vec![limit(LimitKind::Requests, 2, 60)], ..KeySpec::default() });
        desk
    };
    with(true).check("ask same; 1 ok; ask same; ask same", "1 calls a; 1 served by A; 2 cached; 3 refused: Limited(LimitId(0))");
    with(false).check("ask same; 1 ok; ask same; ask same", "1 calls a; 1 served by A; 2 cached; 3 cached");
}

#[test]
fn identical_requests_share_one_call() {
    let mut desk = desk(|policy, _| policy.single_flight = true);
    desk.check("ask same; ask same; ask same; 1 ok", "1 calls a; 2 follows 1; 3 follows 1; 1 served by A; 2 shared; 3 shared");
    desk.check("ask same no_cache; ask same no_store; 4 ok", "4 calls a; 5 cached; 4 served by A");
    desk.check_empty();
}

#[test]
fn an_answer_that_was_cut_short_for_its_key_is_neither_kept_nor_shared() {
    let with = |cap: Option<u32>| {
        let mut plan: Plan = plan(&[("A", &["a"])]);
        plan.models[0].cache = Some(CachePolicy { single_flight: true, ..cache(60) });
        plan.models[0].max_tokens.cap = cap;
        let mut desk = Desk::new(plan);
        // $300 millionths are enough for 100 tokens in and 50 out.
        let left = BudgetSpec { on_short: OnShort::Clamp { min: 1 }, ..budget(300) };
        desk.put_key("poor", KeySpec { budgets: vec![left], ..KeySpec::default() });
        let overrides = Overrides { max_tokens_cap: Some(50), ..Overrides::default() };
        desk.put_key("short", KeySpec { overrides, ..KeySpec::default() });
        desk
    };
    for key in ["poor", "short"] {
        let mut desk = with(None);
        let words = alloc::format!("ask same key={key}; ask same; ask same; 1 ok 50; 2 ok; ask same");
        desk.check(&words, "1 calls a for 50; 2 follows 1; 3 follows 1; 1 served by A; 2 calls a; 2 served by A; 3 shared; 4 cached");
        assert_eq!(kept(&desk).len(), 1);
        desk.check_empty();
        // Its own client has left, and gets nothing that others could have.
        let mut desk = with(None);
        desk.run(&alloc::format!("ask same key={key}; ask same; 1 leaves; 1 ok 50"));
        desk.check("2 ok", "1 calls a for 50; 2 follows 1; 1 abandoned; 2 calls a; 2 served by A");
        let ends = desk.journal.iter().filter_map(|record| if let Fact::CallClosed(closed) = record.fact { Some(closed.ended) } else { None });
        assert_eq!(ends.collect::<Vec<_>>(), [Ended::Discarded, Ended::Delivered]);
    }
    // What the request itself or its model wants is the whole of it.
    with(None).check("ask same max=50; 1 ok 50; ask same", "1 calls a for 50; 1 served by A; 2 cached");
    for key in ["key", "poor", "short"] {
        with(Some(50)).check(&alloc::format!("ask same key={key}; 1 ok 50; ask same"), "1 calls a for 50; 1 served by A; 2 cached");
        // What has ended before its bound is whole, whoever asked.
        let words = alloc::format!("ask same key={key}; ask same; 1 ok 49; ask same");
        let calls = if key == "key" { "1 calls a" } else { "1 calls a for 50" };
        with(None).check(&words, &alloc::format!("{calls}; 2 follows 1; 1 served by A; 2 shared; 3 cached"));
    }
}

#[test]
fn when_the_leader_fails_the_first_follower_leads() {
    let mut desk = desk(|policy, _| policy.single_flight = true);
    let words = "ask same; ask same; ask same; 1 fail internal; 2 ok";
    desk.check(words, "1 calls a; 2 follows 1; 3 follows 1; 1 failed: internal; 2 calls a; 2 served by A; 3 shared");
    desk.check_empty();
}

#[test]
fn when_the_leaders_client_leaves_its_call_goes_on_for_those_who_follow() {
    let mut desk = desk(|policy, _| policy.single_flight = true);
    desk.check("ask same; ask same; 1 leaves; ask same; 1 ok", "1 calls a; 2 follows 1; 3 follows 1; 1 abandoned; 2 shared; 3 shared");
    desk.check_empty();
}

#[test]
fn a_leader_that_went_on_for_others_tries_nothing_more_once_they_have_left_too() {
    let with = |change: fn(&mut Plan)| {
        let mut plan: Plan = plan(&[("A", &["a"])]);
        plan.models[0].cache = Some(CachePolicy { single_flight: true, ..cache(60) });
        plan.models[0].attempts.per_group = 2;
        change(&mut plan);
        Desk::new(plan)
    };
    let alone = "ask same; ask same; 1 leaves; 2 leaves; 1 fail internal";
    with(|_| {}).check(alone, "1 calls a; 2 follows 1; 2 abandoned; 1 abandoned");
    let back_off: fn(&mut Plan) = |plan| plan.models[0].backoff.base = Span::SECOND;
    let words = "ask same; ask same; 1 leaves; 1 fail internal; 2 leaves; 1 wakes";
    with(back_off).check(words, "1 calls a; 2 follows 1; 1 sleeps 1s; 2 abandoned; 1 abandoned");
    let resend: fn(&mut Plan) = |plan| {
        plan.models[0].transport.retries = 1;
        plan.models[0].transport.retry_on = TRANSIENT;
        plan.models[0].transport.backoff.base = Span::SECOND;
    };
    with(resend).check(alone, "1 calls a; 2 follows 1; 2 abandoned; 1 abandoned");
    with(resend).check(words, "1 calls a; 2 follows 1; 1 sleeps 1s; 2 abandoned; 1 abandoned");
    // Whoever has come since is waited for, and a policy may have it go on for nobody.
    let words = "ask same; ask same; 1 leaves; 2 leaves; ask same; 1 fail internal; 1 ok";
    with(|_| {}).check(words, "1 calls a; 2 follows 1; 2 abandoned; 3 follows 1; 1 calls a; 1 abandoned; 3 shared");
    let ignore: fn(&mut Plan) = |plan| plan.models[0].on_disconnect.between_attempts = Leave::Ignore;
    with(ignore).check(&[alone, "; 1 ok"].concat(), "1 calls a; 2 follows 1; 2 abandoned; 1 calls a; 1 abandoned");
}

#[test]
fn when_nobody_follows_a_leader_may_leave_and_a_follower_any_time() {
    let mut desk = desk(|policy, _| policy.single_flight = true);
    desk.check(
        "ask same; ask same; 2 leaves; 1 leaves; ask same; 3 ok",
        "1 calls a; 2 follows 1; 2 abandoned; 1 abandoned; 3 calls a; 3 served by A",
    );
    desk.check_empty();
}

#[test]
fn a_follower_gives_up_at_its_deadline_and_does_not_lead_after_it() {
    let mut desk = desk(|policy, _| policy.single_flight = true);
    desk.check("ask same; ask same wait=5; 2 wakes; 1 ok", "1 calls a; 2 follows 1; 2 failed: timeout; 1 served by A");
    let words = "+61; ask same; ask same wait=5; +5; 3 fail internal";
    desk.check(words, "3 calls a; 4 follows 3; 3 failed: internal; 4 refused: DeadlinePassed");
    desk.check_empty();
}

#[test]
fn a_remote_store_is_asked_by_the_leader_only() {
    let mut desk = desk(|policy, _| (policy.remote, policy.single_flight) = (true, true));
    desk.check("ask same; ask same; 1 looked", "1 looks up; 2 follows 1; 1 cached; 2 shared");
    desk.check("ask same; 3 misses; 3 ok", "3 looks up; 3 calls a; 3 served by A");
    desk.check("ask; 4 wakes; 4 looked; 4 ok", "4 looks up; 4 calls a; 4 served by A");
    desk.check("ask wait=0.1; 5 wakes", "5 looks up; 5 refused: DeadlinePassed");
    desk.check_empty();
}

#[test]
fn an_answer_as_large_as_the_cache_is_kept() {
    let mut desk = desk(|_, bytes| *bytes = 536);
    desk.check("ask same; 1 ok 10; ask same", "1 calls a; 1 served by A; 2 cached");
}

/// The keys that answers were to be kept under, in their order.
fn kept(desk: &Desk) -> Vec<CacheKey> {
    let store = |fact: &Fact| if let Fact::Decided(Action::Finish(Finish { store, .. })) = fact { *store } else { None };
    desk.journal.iter().filter_map(|record| store(&record.fact)).collect()
}

#[test]
fn what_the_index_lets_go_is_told_to_who_keeps_the_bodies() {
    let mut desk = desk(|_, bytes| *bytes = 2 * 536);
    desk.gateway.watch_cache();
    let dropped = |desk: &mut Desk| desk.gateway.dropped_answers().collect::<Vec<_>>();
    desk.run("ask same; 1 ok; ask; 2 ok");
    assert_eq!(dropped(&mut desk), []);
    // Another answer under the same key is in its place: nothing goes.
    desk.run("ask same no_cache; 3 ok");
    assert_eq!(dropped(&mut desk), []);
    desk.run("ask; 4 ok");
    assert_eq!(dropped(&mut desk), [kept(&desk)[1]]);
    // The answer of 3 has expired when somebody looks, that of 4 when another comes.
    desk.run("+61; ask same no_store; 5 ok; ask; 6 ok");
    assert_eq!(dropped(&mut desk), [kept(&desk)[0], kept(&desk)[3]]);
    // 1000 tokens are more than the cache takes: gone in the step that says where to keep them.
    desk.run("ask; 7 ok 1000");
    assert_eq!(dropped(&mut desk), [*kept(&desk).last().expect("it was kept")]);
    desk.adopt(|plan| plan.cache_bytes_max = 0);
    assert_eq!(dropped(&mut desk), [kept(&desk)[4]]);
    assert_eq!(dropped(&mut desk), []);
}

#[test]
fn an_answer_without_a_body_is_forgotten_once() {
    let mut desk = desk(|_, _| {});
    desk.run("ask same; 1 ok");
    let key = kept(&desk)[0];
    assert!(desk.gateway.forget_answer(desk.now, key, &mut desk.journal));
    assert!(!desk.gateway.forget_answer(desk.now, key, &mut desk.journal));
    assert_eq!(desk.journal.iter().filter(|record| record.fact == Fact::Forgotten { key }).count(), 1);
    assert_eq!((desk.gateway.cache().len(), desk.gateway.cache().bytes()), (0, 0));
    desk.run("ask same; 2 ok; ask same");
    desk.check("", "1 calls a; 1 served by A; 2 calls a; 2 served by A; 3 cached");
}

#[test]
fn a_process_that_has_lost_the_bodies_begins_with_an_empty_index() {
    for (bodies, then) in [(Bodies::Kept, "2 cached"), (Bodies::Lost, "2 calls a; 2 served by A; 3 cached")] {
        let mut desk = desk(|_, _| {});
        desk.run("ask same; 1 ok");
        desk.gateway.recover(&desk.plan, desk.now, bodies, &mut desk.journal);
        let words = if bodies == Bodies::Kept { "ask same" } else { "ask same; 2 ok; ask same" };
        desk.check(words, &alloc::format!("1 calls a; 1 served by A; recovered 0; {then}"));
    }
}
