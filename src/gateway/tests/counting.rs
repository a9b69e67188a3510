//! Inputs that are counted: only where the bound stands in the way and a count may help, once, and with nothing decided before.
//! A token costs $1 of a millionth in and $4 out, and an answer has 100 at most: 1000 tokens in by the bound make $1400 at most.

use alloc::vec;

use super::desk::Desk;
use super::plans::{budget, card, plan};
use crate::gateway::command::{Command, KeySpec};
use crate::gateway::money::Money;
use crate::gateway::plan::{BudgetSpec, Enforce, OnShort, Plan};
use crate::gateway::rate_card::Usage;
use crate::gateway::time::Span;

const ASK: &str = "ask bound=1000 countable";
const SHORT: &str = "1 skips a: Budget(AccountId(0)); 1 refused: Budget(AccountId(0))";

/// A desk whose everyone has this budget, in millionths of a dollar, and whose deployments can be counted.
fn desk(micro_usd: i128, change: impl FnOnce(&mut Plan)) -> Desk {
    let mut plan = plan(&[("A", &["a"]), ("B", &["b"])]);
    plan.budgets = vec![budget(micro_usd)];
    for deployment in &mut plan.deployments {
        deployment.countable = true;
    }
    change(&mut plan);
    Desk::new(plan)
}

#[track_caller]
fn check(micro_usd: i128, change: impl FnOnce(&mut Plan), words: &str, expected: &str) {
    let mut desk = desk(micro_usd, change);
    desk.check(words, expected);
    desk.end_all();
    desk.check_empty();
}

#[test]
fn what_does_not_fit_by_its_bound_is_counted_and_asked_again() {
    check(600, |_| {}, &format!("{ASK}; 1 counted 200; 1 ok"), "1 counts; 1 calls a; 1 served by A");
    check(600, |_| {}, &format!("{ASK}; 1 counted 201"), &format!("1 counts; {SHORT}"));
}

#[test]
fn what_fits_by_its_bound_is_not_counted() {
    check(1400, |_| {}, ASK, "1 calls a");
    check(1399, |_| {}, ASK, "1 counts");
}

#[test]
fn nothing_is_counted_that_would_not_fit_without_any_input() {
    check(400, |_| {}, ASK, "1 counts");
    check(399, |_| {}, ASK, SHORT);
}

#[test]
fn nothing_is_counted_that_can_not_be() {
    check(600, |_| {}, "ask bound=1000", SHORT);
    check(600, |plan| plan.deployments[0].countable = false, ASK, SHORT);
}

#[test]
fn a_count_above_the_bound_changes_nothing() {
    check(600, |_| {}, &format!("{ASK}; 1 counted 1001"), &format!("1 counts; {SHORT}"));
}

#[test]
fn a_request_is_counted_once() {
    let fall_back = |plan: &mut Plan| plan.models[0].fallbacks.groups = vec![crate::gateway::id::ModelId(1)];
    let skipped = "1 skips a: Budget(AccountId(0)); 1 skips b: Budget(AccountId(0)); 1 refused: Budget(AccountId(0))";
    check(600, fall_back, &format!("{ASK}; 1 counted 300"), &format!("1 counts; {skipped}"));
    // What was counted for one call holds for the next.
    check(600, fall_back, &format!("{ASK}; 1 counted 200; 1 fail internal"), "1 counts; 1 calls a; 1 calls b");
}

#[test]
fn the_bound_stays_where_the_tokenizer_is_not_known() {
    let two = |plan: &mut Plan| {
        plan.models[0].deployments.push(crate::gateway::id::DeploymentId(1));
        plan.deployments[0].countable = false;
    };
    check(600, two, &format!("{ASK}; 1 counted 200"), "1 counts; 1 skips a: Budget(AccountId(0)); 1 calls b");
}

#[test]
fn a_call_that_is_made_smaller_is_counted_first() {
    let on_short = |on_short| move |plan: &mut Plan| plan.budgets[0].on_short = on_short;
    let clamp = OnShort::Clamp { min: 1 };
    check(600, on_short(clamp), &format!("{ASK}; 1 counted 200"), "1 counts; 1 calls a");
    check(600, on_short(clamp), &format!("{ASK}; 1 counted 300"), "1 counts; 1 calls a for 75");
    check(300, on_short(clamp), &format!("{ASK}; 1 counted 100"), "1 counts; 1 calls a for 50");
    check(600, on_short(OnShort::Shrink), &format!("{ASK}; 1 counted 200"), "1 counts; 1 calls a");
    // All that is left is held, whatever a count would say.
    check(399, on_short(OnShort::Shrink), ASK, "1 calls a");
}

#[test]
fn an_observing_budget_says_only_what_it_would_have_refused_once_counted() {
    let observe = |plan: &mut Plan| plan.budgets = vec![BudgetSpec { enforce: Enforce::Observe, ..budget(600) }];
    check(0, observe, &format!("{ASK}; 1 counted 200"), "1 counts; 1 calls a");
    check(0, observe, &format!("{ASK}; 1 counted 201"), "1 counts; 1 would be refused: Budget(AccountId(0)); 1 calls a");
}

#[test]
fn a_fallback_that_is_too_dear_by_the_bound_is_counted_first() {
    let change = |plan: &mut Plan| {
        plan.models[0].fallbacks.groups = vec![crate::gateway::id::ModelId(1)];
        plan.models[0].fallbacks.price_ratio_max_per_mille = Some(2000);
        plan.deployments[1].rates = card(4, 4).into();
    };
    // $4400 beside $1400; with 200 tokens it is $1200 beside $600, with 201 more than twice as much.
    let words = |count: u32| format!("{ASK}; 1 fail internal; 1 counted {count}");
    check(1 << 40, change, &words(200), "1 calls a; 1 counts; 1 calls b");
    check(1 << 40, change, &words(201), "1 calls a; 1 counts; 1 skips B: PriceRatio; 1 failed: internal");
    // However few they are, it costs no more than twice $1400.
    let worst = |change: &dyn Fn(&mut Plan)| {
        let worst = desk(1 << 40, |plan| change(plan)).plan.worst_case(crate::gateway::id::ModelId(0), Usage::plain(1000, 0));
        (worst.calls, worst.cost)
    };
    assert_eq!(worst(&change), (2, Money(4_200_000_000)));
    let uncounted = |plan: &mut Plan| {
        change(plan);
        plan.deployments[1].countable = false;
    };
    assert_eq!(worst(&uncounted), (1, Money(1_400_000_000)));
}

#[test]
fn a_call_that_is_sent_again_is_counted_when_its_money_is_gone() {
    let change = |plan: &mut Plan| {
        plan.models[0].transport.retries = 1;
        plan.models[0].transport.retry_on = super::plans::TRANSIENT;
        plan.models[0].transport.backoff.base = Span::SECOND;
    };
    let words = format!("{ASK}; 1 fail internal; ask; 1 wakes; 1 counted 100; 1 ok");
    check(1400, change, &words, "1 calls a; 1 sleeps 1s; 2 calls a; 1 counts; 1 calls a; 1 served by A");
}

#[test]
fn a_count_that_takes_too_long_leaves_the_bound() {
    check(600, |_| {}, &format!("{ASK}; 1 wakes; 1 counted 100"), &format!("1 counts; {SHORT}"));
    let mut desk = desk(600, |_| {});
    desk.run(&format!("{ASK}; +9.999"));
    desk.tell("1", "early");
    desk.check("1 wakes", &format!("1 counts; {SHORT}"));
    check(600, |_| {}, &format!("{ASK} wait=2; 1 wakes"), "1 counts; 1 refused: DeadlinePassed");
}

#[test]
fn a_key_that_is_blocked_meanwhile_is_refused() {
    let mut desk = desk(600, |_| {});
    desk.put_key("other", KeySpec::default());
    desk.run("ask bound=1000 countable key=other");
    let before = desk.journal.len();
    desk.apply(Command::BlockKey { name: "other".into(), blocked: true });
    desk.run("1 counted 100");
    assert_eq!(desk.decided_since(before), ["1 refused: Blocked"]);
    desk.check_empty();
}

#[test]
fn what_is_presumed_of_a_call_is_made_from_what_was_counted() {
    let mut desk = desk(600, |_| {});
    desk.run(&format!("{ASK} stream; 1 counted 150; 1 opens; 1 fail cut got=5"));
    let settled = desk.gateway.budget().settled();
    assert_eq!((settled.confirmed, settled.presumed), (Money::ZERO, Money((150 + 4 * (5 + 10)) * 1_000_000)));
    desk.check_empty();
}
