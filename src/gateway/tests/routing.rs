//! Attempts, back-offs, walks of fallbacks, and what keeps a request from going on.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::desk::Desk;
use super::plans::{TRANSIENT, budget, card, plan};
use crate::gateway::command::{KeySpec, Overrides};
use crate::gateway::failure::{FailureClass, FailureSet};
use crate::gateway::features::Features;
use crate::gateway::id::ModelId;
use crate::gateway::plan::{DepthBy, Pick, Plan, RetryBudget, Strategy, Walk};
use crate::gateway::time::Span;

#[track_caller]
fn check(change: impl FnOnce(&mut Plan), groups: &[(&str, &[&str])], words: &str, expected: &str) {
    let mut plan = plan(groups);
    change(&mut plan);
    let mut desk = Desk::new(plan);
    desk.check(words, expected);
    desk.check_empty();
}

const ONE: &[(&str, &[&str])] = &[("A", &["a"])];
const TWO: &[(&str, &[&str])] = &[("A", &["a", "b"])];
const THREE: &[(&str, &[&str])] = &[("A", &["a"]), ("B", &["b"]), ("C", &["c"])];

fn fall_back(plan: &mut Plan) {
    plan.models[0].fallbacks.groups = vec![ModelId(1), ModelId(2)];
}

#[test]
fn attempts_in_a_group_stop_at_their_cap() {
    let three = |plan: &mut Plan| plan.models[0].attempts.per_group = 3;
    check(three, ONE, "ask; 1 fail internal; 1 fail timeout; 1 fail unavailable", "1 calls a; 1 calls a; 1 calls a; 1 failed: unavailable");
}

#[test]
fn attempts_of_a_request_stop_at_their_cap_over_all_groups() {
    let change = |plan: &mut Plan| {
        fall_back(plan);
        plan.models[0].attempts.per_request = 2;
    };
    check(change, THREE, "ask; 1 fail internal; 1 fail internal", "1 calls a; 1 calls b; 1 failed: internal");
}

#[test]
fn a_key_has_its_own_cap_for_retries_and_for_transport_retries() {
    let mut plan = plan(ONE);
    plan.models[0].attempts.per_group = 5;
    plan.models[0].transport.retries = 5;
    plan.models[0].transport.retry_on = FailureSet::of(&[FailureClass::Connect]);
    let mut desk = Desk::new(plan);
    let overrides = Overrides { attempts_per_request: Some(2), ..Overrides::default() };
    desk.put_key("key", KeySpec { overrides, ..KeySpec::default() });
    desk.check("ask; 1 fail internal; 1 fail internal", "1 calls a; 1 calls a; 1 failed: internal");
    desk.check("ask; 2 fail connect; 2 wakes; 2 fail connect", "2 calls a; 2 sleeps 0s; 2 calls a; 2 failed: connect");
}

#[test]
fn attempts_on_a_deployment_stop_at_their_cap_and_siblings_take_over() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 9;
        plan.models[0].attempts.per_deployment = 2;
        plan.models[0].strategy = Strategy::LowestCost;
    };
    let words = "ask; 1 fail internal; 1 fail internal; 1 fail internal; 1 fail internal";
    check(change, TWO, words, "1 calls a; 1 calls a; 1 calls b; 1 calls b; 1 failed: internal");
}

#[test]
fn what_is_retried_and_what_falls_back_are_two_sets() {
    let change = |plan: &mut Plan| {
        fall_back(plan);
        plan.models[0].attempts.per_group = 2;
        plan.models[0].attempts.retry_on = FailureSet::of(&[FailureClass::Internal]);
        plan.models[0].fallbacks.fallback_on = FailureSet::of(&[FailureClass::RateLimited]);
    };
    check(change, THREE, "ask; 1 fail internal; 1 fail internal", "1 calls a; 1 calls a; 1 failed: internal");
    check(change, THREE, "ask; 1 fail rate_limited; 1 ok", "1 calls a; 1 calls b; 1 served by B");
}

#[test]
fn some_failures_are_retried_only_with_a_sibling() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 2;
        plan.models[0].attempts.retry_on_other = FailureSet::of(&[FailureClass::Unauthorized]);
    };
    check(change, ONE, "ask; 1 fail unauthorized", "1 calls a; 1 failed: unauthorized");
    check(change, TWO, "ask; 1 fail unauthorized; 1 ok", "1 calls a; 1 calls b; 1 served by A");
}

#[test]
fn a_class_has_its_own_number_of_retries() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 3;
        plan.models[0].attempts.retries_by_class[FailureClass::BadRequest as usize] = Some(1);
        plan.models[0].attempts.retries_by_class[FailureClass::Internal as usize] = Some(0);
    };
    check(change, ONE, "ask; 1 fail bad_request; 1 fail bad_request", "1 calls a; 1 calls a; 1 failed: bad_request");
    check(change, ONE, "ask; 1 fail internal", "1 calls a; 1 failed: internal");
}

#[test]
fn a_deployment_is_avoided_after_some_failures_while_there_is_another() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 3;
        plan.models[0].attempts.avoid_after = TRANSIENT;
        plan.models[0].strategy = Strategy::LowestCost;
    };
    check(change, TWO, "ask; 1 fail internal; 1 fail internal; 1 ok", "1 calls a; 1 calls b; 1 calls a; 1 served by A");
}

#[test]
fn back_offs_double_up_to_their_maximum_and_from_their_floor() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 5;
        plan.models[0].backoff.base = Span::from_millis(500);
        plan.models[0].backoff.floor = Span::from_millis(700);
        plan.models[0].backoff.max = Span::from_secs(2);
    };
    let words = "ask; 1 fail internal; 1 wakes; 1 fail internal; 1 wakes; 1 fail internal; 1 wakes; 1 fail internal; 1 wakes; 1 ok";
    let expected = "1 calls a; 1 sleeps 700ms; 1 calls a; 1 sleeps 1s; 1 calls a; 1 sleeps 2s; 1 calls a; 1 sleeps 2s; 1 calls a; 1 served by A";
    check(change, ONE, words, expected);
}

#[test]
fn retry_after_is_kept_up_to_its_maximum_and_above_it_ignored() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 4;
        plan.models[0].backoff.base = Span::SECOND;
        plan.models[0].backoff.retry_after_max = Span::from_secs(60);
    };
    let words = "ask; 1 fail rate_limited after=60; 1 wakes; 1 fail rate_limited after=60.001; 1 wakes; 1 fail rate_limited after=0";
    check(change, ONE, &[words, "; 1 leaves"].concat(), "1 calls a; 1 sleeps 1m; 1 calls a; 1 sleeps 2s; 1 calls a; 1 sleeps 4s; 1 abandoned");
}

#[test]
fn no_back_off_ends_after_the_deadline_of_the_client() {
    let change = |plan: &mut Plan| {
        fall_back(plan);
        plan.models[0].attempts.per_group = 2;
        plan.models[0].backoff.base = Span::from_secs(5);
    };
    check(change, THREE, "ask wait=5; 1 fail internal; 1 ok", "1 calls a; 1 calls b; 1 served by B");
    check(change, THREE, "ask wait=5.001; 1 fail internal; 1 wakes; 1 ok", "1 calls a; 1 sleeps 5s; 1 calls a; 1 served by A");
    check(change, THREE, "ask wait=5.001; 1 fail internal; 1 late 1", "1 calls a; 1 sleeps 5s; 1 failed: internal");
}

#[test]
fn with_a_healthy_sibling_there_may_be_no_wait() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 3;
        plan.models[0].backoff.base = Span::SECOND;
        plan.models[0].backoff.only_without_healthy = true;
        plan.models[0].cooldown.time = Span::from_secs(9);
        plan.models[0].cooldown.at_once = FailureSet::ALL;
    };
    let words = "ask; 1 fail internal; 1 fail internal; 1 leaves";
    let expected = "1 calls a; a cools 9s for internal; 1 calls b; b cools 9s for internal; 1 sleeps 2s; 1 abandoned";
    check(change, TWO, words, expected);
}

#[test]
fn a_wait_may_follow_the_last_attempt() {
    let change = |plan: &mut Plan| {
        fall_back(plan);
        plan.models[0].attempts.per_group = 2;
        plan.models[0].backoff.base = Span::SECOND;
        plan.models[0].backoff.after_last = true;
    };
    let words = "ask; 1 fail internal; 1 wakes; 1 fail internal; 1 wakes; 1 ok";
    check(change, THREE, words, "1 calls a; 1 sleeps 1s; 1 calls a; 1 sleeps 2s; 1 calls b; 1 served by B");
}

#[test]
fn retries_may_need_a_healthy_deployment() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 3;
        plan.models[0].attempts.only_if_healthy = true;
        plan.models[0].cooldown.time = Span::SECOND;
        plan.models[0].cooldown.at_once = FailureSet::of(&[FailureClass::RateLimited]);
    };
    check(change, ONE, "ask; 1 fail internal; 1 fail rate_limited", "1 calls a; 1 calls a; a cools 1s for rate_limited; 1 failed: rate_limited");
}

#[test]
fn transport_retries_stay_below_the_attempt() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 2;
        plan.models[0].transport.retries = 1;
        plan.models[0].transport.retry_on = FailureSet::of(&[FailureClass::Connect]);
        plan.models[0].strategy = Strategy::LowestCost;
    };
    let words = "ask; 1 fail connect; 1 wakes; 1 fail connect; 1 fail connect; 1 wakes; 1 fail connect";
    check(change, ONE, words, "1 calls a; 1 sleeps 0s; 1 calls a; 1 calls a; 1 sleeps 0s; 1 calls a; 1 failed: connect");
}

#[test]
fn priority_levels_are_used_in_order_each_with_its_attempts() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 2;
        plan.deployments[0].order = 2;
        plan.deployments[1].order = 1;
    };
    let words = "ask; 1 fail internal; 1 fail internal; 1 fail internal; 1 fail internal";
    check(change, TWO, words, "1 calls b; 1 calls b; 1 calls a; 1 calls a; 1 failed: internal");
}

#[test]
fn a_blind_pick_meets_a_full_deployment_an_admissible_one_goes_round_it() {
    let busy = |pick: Pick| {
        move |plan: &mut Plan| {
            plan.models[0].pick = pick;
            plan.deployments[0].limits = vec![super::plans::limit(crate::gateway::plan::LimitKind::Concurrency, 1, 1)];
        }
    };
    check(busy(Pick::Admissible), TWO, "ask; ask; 1 ok; 2 ok", "1 calls a; 2 calls b; 1 served by A; 2 served by A");
    check(busy(Pick::Blind), TWO, "ask; ask; 1 ok", "1 calls a; 2 failed: saturated; 1 served by A");
}

/// Every group fails; the walk is the order of the calls.
#[track_caller]
fn check_walk(walk: Walk, edges: &[(usize, &[u32])], expected: &str) {
    let names = [("A", &["A"][..]), ("B", &["B"]), ("C", &["C"]), ("D", &["D"]), ("E", &["E"]), ("F", &["F"]), ("G", &["G"]), ("H", &["H"])];
    let mut plan = plan(&names);
    for (from, to) in edges {
        plan.models[*from].fallbacks.groups = to.iter().map(|id| ModelId(*id)).collect();
    }
    plan.models[0].fallbacks.walk = walk;
    let calls = expected.split(' ').count();
    let words = ["ask".into(), vec!["; 1 fail internal"; calls].concat()].concat::<str>();
    let steps: Vec<_> = expected.split(' ').map(|name| ["1 calls ", name, "; "].concat()).collect();
    let mut desk = Desk::new(plan);
    desk.check(&words, &[steps.concat().as_str(), "1 failed: internal"].concat());
}

const fn depth_first(depth_max: u32, depth_by: DepthBy, resume_origin: bool) -> Walk {
    Walk::DepthFirst { depth_max, depth_by, resume_origin }
}

#[test]
fn a_flat_walk_uses_only_the_list_of_the_group_asked_for() {
    check_walk(Walk::Flat, &[(0, &[1, 2]), (1, &[3, 4])], "A B C");
}

#[test]
fn a_deep_walk_enters_every_group_once() {
    let walk = depth_first(5, DepthBy::Sibling, true);
    check_walk(walk, &[(0, &[1, 2]), (1, &[3, 4]), (2, &[3, 5])], "A B D C F E");
    check_walk(walk, &[(0, &[1, 2]), (1, &[3, 4]), (2, &[5, 6]), (3, &[7])], "A B D H C F G E");
    check_walk(walk, &[(0, &[1]), (1, &[0, 2]), (2, &[1])], "A B C");
}

#[test]
fn a_deep_walk_without_resumption_comes_back_to_siblings() {
    check_walk(depth_first(5, DepthBy::Level, false), &[(0, &[1, 2]), (1, &[3, 4]), (2, &[3, 5])], "A B D E C F");
}

#[test]
fn the_depth_of_a_walk_is_capped_by_levels_or_by_siblings() {
    let tree: &[(usize, &[u32])] = &[(0, &[1, 2]), (1, &[3, 4]), (2, &[3, 5])];
    check_walk(depth_first(2, DepthBy::Sibling, true), tree, "A B D E C");
    check_walk(depth_first(2, DepthBy::Level, false), tree, "A B D E C F");
    check_walk(depth_first(1, DepthBy::Level, false), tree, "A B C");
    check_walk(depth_first(0, DepthBy::Level, false), tree, "A");
    check_walk(depth_first(2, DepthBy::Level, true), &[(0, &[1]), (1, &[2]), (2, &[3])], "A B C");
}

#[test]
fn special_failures_have_their_own_fallbacks_and_no_retries() {
    let change = |plan: &mut Plan| {
        fall_back(plan);
        plan.models[0].attempts.per_group = 3;
        plan.models[0].attempts.retry_on = FailureSet::ALL;
        plan.models[0].fallbacks.context_window = Some(vec![ModelId(2)]);
        plan.models[0].fallbacks.content_policy = Some(vec![]);
    };
    check(change, THREE, "ask; 1 fail context_window; 1 ok", "1 calls a; 1 calls c; 1 served by C");
    check(change, THREE, "ask; 1 fail content_policy", "1 calls a; 1 failed: content_policy");
}

/// The deployments named do not offer feature 0.
fn without_feature(plan: &mut Plan, names: &[&str]) {
    for deployment in plan.deployments.iter_mut().filter(|deployment| names.contains(&deployment.name.as_str())) {
        deployment.offers = Features::ALL.without(Features::of(0));
    }
}

#[test]
fn a_request_goes_only_to_deployments_that_can_express_it() {
    for pick in [Pick::Admissible, Pick::Blind] {
        let change = |plan: &mut Plan| {
            without_feature(plan, &["a"]);
            (plan.models[0].pick, plan.models[0].attempts.per_group) = (pick, 3);
        };
        // Said once, not with every attempt.
        let expected = "1 skips a: CannotExpress; 1 calls b; 1 calls b; 1 served by A; 2 calls a; 2 served by A; 3 calls a; 3 served by A";
        check(change, TWO, "ask needs=0; 1 fail internal; 1 ok; ask needs=1; 2 ok; ask; 3 ok", expected);
    }
}

#[test]
fn a_request_that_no_group_can_express_is_refused_and_one_that_another_can_goes_there() {
    for pick in [Pick::Admissible, Pick::Blind] {
        let with = |names: &'static [&'static str]| {
            move |plan: &mut Plan| {
                fall_back(plan);
                without_feature(plan, names);
                plan.models[0].pick = pick;
            }
        };
        check(with(&["a"]), THREE, "ask needs=0; 1 ok", "1 skips a: CannotExpress; 1 calls b; 1 served by B");
        let nobody = "1 skips a: CannotExpress; 1 skips b: CannotExpress; 1 skips c: CannotExpress; 1 refused: CannotExpress";
        check(with(&["a", "b", "c"]), THREE, "ask needs=0", nobody);
        // What has failed stays what the client sees.
        let failed = "1 calls a; 1 skips b: CannotExpress; 1 skips c: CannotExpress; 1 failed: internal";
        check(with(&["b", "c"]), THREE, "ask needs=0; 1 fail internal", failed);
    }
}

#[test]
fn who_could_express_a_request_but_may_not_be_called_now_makes_it_a_matter_of_time() {
    let change = |plan: &mut Plan| {
        fall_back(plan);
        without_feature(plan, &["b", "c"]);
        (plan.models[0].cooldown.time, plan.models[0].cooldown.at_once) = (Span::from_secs(60), FailureSet::ALL);
    };
    let first = "1 calls a; a cools 1m for internal; 1 skips b: CannotExpress; 1 skips c: CannotExpress; 1 failed: internal";
    let second = "2 skips A: Unhealthy; 2 skips b: CannotExpress; 2 skips c: CannotExpress; 2 failed: no_deployment, back in 1m";
    check(change, THREE, "ask needs=0; 1 fail internal; ask needs=0", &format!("{first}; {second}"));
}

#[test]
fn a_sibling_that_cannot_express_the_request_is_no_reason_to_try_again() {
    let change = |plan: &mut Plan| {
        without_feature(plan, &["b"]);
        let attempts = &mut plan.models[0].attempts;
        (attempts.per_group, attempts.retry_on, attempts.retry_on_other) = (2, FailureSet::NONE, FailureSet::ALL);
    };
    check(change, TWO, "ask needs=0; 1 fail internal", "1 skips b: CannotExpress; 1 calls a; 1 failed: internal");
    check(change, TWO, "ask; 1 fail internal; 1 ok", "1 calls a; 1 calls b; 1 served by A");
}

#[test]
fn an_input_too_long_goes_where_it_fits_or_is_refused() {
    let change = |plan: &mut Plan| plan.deployments[0].input_tokens_max = 99;
    check(change, ONE, "ask in=99; 1 ok; ask in=100", "1 calls a; 1 served by A; 2 skips A: TooLong; 2 refused: TooLong");
    check(change, TWO, "ask in=100; 1 ok", "1 calls b; 1 served by A");
    let special = |plan: &mut Plan| {
        plan.deployments[0].input_tokens_max = 99;
        plan.models[0].fallbacks.context_window = Some(vec![ModelId(2)]);
    };
    check(special, THREE, "ask in=100; 1 ok", "1 skips A: TooLong; 1 calls c; 1 served by C");
}

#[test]
fn a_fallback_costs_at_most_its_ratio() {
    let ratio = |per_mille: u32| {
        move |plan: &mut Plan| {
            fall_back(plan);
            plan.deployments[1].rates = card(2, 8).into();
            plan.models[0].fallbacks.price_ratio_max_per_mille = Some(per_mille);
        }
    };
    check(ratio(2000), THREE, "ask; 1 fail internal; 1 ok", "1 calls a; 1 calls b; 1 served by B");
    check(ratio(1999), THREE, "ask; 1 fail internal; 1 ok", "1 calls a; 1 skips B: PriceRatio; 1 calls c; 1 served by C");
}

#[test]
fn a_fallback_may_have_to_be_of_the_same_tier() {
    let change = |plan: &mut Plan| {
        fall_back(plan);
        (plan.models[0].tier, plan.models[2].tier) = (Some(1), Some(1));
        plan.models[0].fallbacks.same_tier = true;
    };
    check(change, THREE, "ask; 1 fail internal; 1 ok", "1 calls a; 1 skips B: Tier; 1 calls c; 1 served by C");
}

#[test]
fn the_retry_budget_pays_for_retries_levels_and_fallbacks() {
    let change = |plan: &mut Plan| {
        fall_back(plan);
        plan.models[0].attempts.per_group = 9;
        plan.retry_budget = Some(RetryBudget { ratio_per_mille: 500, burst: 2 });
    };
    // Three requests earn 1.5 retries; what is full earns nothing.
    let words = "ask; 1 fail internal; 1 fail internal; 1 fail internal; ask; 2 fail internal; ask; 3 fail internal; 3 fail internal";
    let expected =
        "1 calls a; 1 calls a; 1 calls a; 1 skips A: RetryBudget; 1 failed: internal; 2 calls a; 2 skips A: RetryBudget; 2 failed: internal;
        3 calls a; 3 calls a; 3 skips A: RetryBudget; 3 failed: internal";
    check(change, THREE, words, expected);
    let levels = |plan: &mut Plan| {
        plan.deployments[1].order = 1;
        plan.retry_budget = Some(RetryBudget { ratio_per_mille: 0, burst: 0 });
    };
    check(levels, TWO, "ask; 1 fail internal", "1 calls a; 1 skips A: RetryBudget; 1 failed: internal");
}

#[test]
fn two_sleepers_do_not_spend_one_retry_twice() {
    let change = |plan: &mut Plan| {
        plan.models[0].attempts.per_group = 2;
        plan.models[0].backoff.base = Span::SECOND;
        plan.retry_budget = Some(RetryBudget { ratio_per_mille: 0, burst: 1 });
    };
    let words = "ask; ask; 1 fail internal; 2 fail internal; 1 wakes; 2 wakes; 1 ok";
    let expected = "1 calls a; 2 calls a; 1 sleeps 1s; 2 sleeps 1s; 1 calls a; 2 skips A: RetryBudget; 2 failed: internal; 1 served by A";
    check(change, ONE, words, expected);
}

#[test]
fn many_fallbacks_alert_once() {
    let mut plan = plan(THREE);
    fall_back(&mut plan);
    plan.models[0].fallbacks.alert_share_per_mille = 50;
    let mut desk = Desk::new(plan);
    let direct = |desk: &mut Desk, numbers: core::ops::RangeInclusive<u32>| {
        for number in numbers {
            desk.check(&format!("ask; {number} ok"), &format!("{number} calls a; {number} served by A"));
        }
    };
    direct(&mut desk, 1..=18);
    // One of nineteen would be above the level, but nineteen say nothing.
    desk.check("ask; 19 fail internal; 19 ok; +60", "19 calls a; 19 calls b; 19 served by B");
    direct(&mut desk, 20..=38);
    // One of twenty is the level; two of twenty-one is above it.
    desk.check("ask; 39 fail internal; 39 ok", "39 calls a; 39 calls b; 39 served by B");
    desk.check("ask; 40 fail internal; 40 ok", "40 calls a; 40 calls b; fallbacks at 95; 40 served by B");
    desk.check("ask; 41 fail internal; 41 ok", "41 calls a; 41 calls b; 41 served by B");
}

#[test]
fn strategies_pick_what_they_say() {
    let with = |strategy: Strategy| {
        move |plan: &mut Plan| {
            plan.models[0].strategy = strategy;
            plan.deployments[0].rates = card(3, 3).into();
        }
    };
    check(with(Strategy::LowestCost), TWO, "ask max=10; 1 ok", "1 calls b for 10; 1 served by A");
    check(with(Strategy::LowestCost), TWO, "ask in=10; 1 ok", "1 calls a; 1 served by A");
    check(
        with(Strategy::LeastBusy),
        TWO,
        "ask; ask; ask; 2 ok; ask; 1 ok; 3 ok; 4 ok",
        "1 calls a; 2 calls b; 3 calls a; 2 served by A; 4 calls b; 1 served by A; 3 served by A; 4 served by A",
    );
    check(
        with(Strategy::LowestUsage),
        TWO,
        "ask; 1 ok; ask; 2 ok 50; ask; 3 ok; +60; ask; 4 ok",
        "1 calls a; 1 served by A; 2 calls b; 2 served by A; 3 calls a; 3 served by A; 4 calls a; 4 served by A",
    );
    // Nothing is known of either, then something of one: the unknown one comes first.
    let latency = with(Strategy::LowestLatency { buffer_per_mille: 0 });
    check(latency, TWO, "ask; +2; 1 ok; ask; 2 leaves", "1 calls b; 1 served by A; 2 calls a; 2 abandoned");
}

#[test]
fn who_drew_a_deployment_that_can_not_be_paid_draws_again() {
    let mut plan = plan(&[("A", &["a", "b", "c"])]);
    plan.models[0].strategy = Strategy::WeightedShuffle;
    plan.deployments[0].budgets = vec![budget(0)];
    let mut desk = Desk::new(plan);
    let mut second = [0, 0];
    for number in 1..=600 {
        let before = desk.journal.len();
        desk.run(&format!("ask; {number} ok"));
        let decided = desk.decided_since(before);
        if decided[0].contains("skips a") {
            second[usize::from(decided[1].ends_with("calls c"))] += 1;
        }
    }
    // A third draw `a`, and of those about half each of the others: not all the same one, as they would by the draw that has chosen `a`.
    assert_eq!(second, [107, 95]);
}
