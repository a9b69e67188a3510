//! What is left of limits, when there is more, and whose limits and accounts are.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::desk::Desk;
use super::plans::{budget, limit, plan};
use crate::gateway::allowance::Allowances;
use crate::gateway::command::{Command, KeySpec, TeamSpec};
use crate::gateway::id::{AccountId, KeyId, LimitId, ModelId};
use crate::gateway::journal::{Denial, Fact};
use crate::gateway::limits::{Allowance, Meter};
use crate::gateway::money::Money;
use crate::gateway::plan::{Anchor, BudgetSpec, LimitKind, LimitSpec, Refill, TokenCount};
use crate::gateway::time::{Span, Time};

const ONE: &[(&str, &[&str])] = &[("A", &["a"])];

fn left(desk: &Desk) -> Allowances {
    desk.gateway.allowances(KeyId(0), ModelId(0), desk.now)
}

#[test]
fn of_several_limits_the_one_with_the_least_left_is_told() {
    let mut plan = plan(ONE);
    plan.limits = vec![limit(LimitKind::Requests, 9, 60)];
    plan.models[0].limits = vec![LimitSpec { count: TokenCount::After, ..limit(LimitKind::OutputTokens, 300, 60) }];
    // A deployment's limits are nobody's business: another deployment may have room.
    plan.deployments[0].limits = vec![limit(LimitKind::Requests, 1000, 60)];
    let mut desk = Desk::new(plan);
    desk.put_team("team", TeamSpec { limits: vec![limit(LimitKind::Requests, 6, 60)], ..TeamSpec::default() });
    let limits = vec![limit(LimitKind::TotalTokens, 1000, 100), limit(LimitKind::Concurrency, 1, 1)];
    desk.put_key("key", KeySpec { team: Some("team".into()), limits, ..KeySpec::default() });
    let team = desk.gateway.directory().path(desk.gateway.directory().path_of(KeyId(0))).limits[1];
    let requests = Allowance { limit: team, amount: 6, remaining: 6, full_in: Span::ZERO };
    assert_eq!(left(&desk).requests, Some(requests));
    assert_eq!(left(&desk).tokens.map(|tokens| (tokens.amount, tokens.remaining)), Some((300, 300)));
    // 100 tokens in and at most 100 out are taken from the key's, nothing from the model's until it is known.
    desk.run("ask; +5");
    assert_eq!(left(&desk).requests, Some(Allowance { remaining: 5, full_in: Span::from_secs(5), ..requests }));
    assert_eq!(left(&desk).tokens.map(|tokens| tokens.remaining), Some(300));
    desk.run("1 ok 90; +5");
    // 90 of 300 a minute come again in 18 seconds.
    assert_eq!(left(&desk).tokens.map(|tokens| (tokens.remaining, tokens.full_in)), Some((235, Span::from_secs(13))));
    assert_eq!(left(&desk).requests, Some(requests));
    for (key, model) in [(KeyId(9), ModelId(0)), (KeyId(0), ModelId(9))] {
        assert_eq!(desk.gateway.allowances(key, model, desk.now), Allowances::default());
    }
}

#[test]
fn there_is_room_for_one_more_request_when_it_is_said_and_not_before() {
    for refill in [Refill::Bucket, Refill::Window(Anchor::Clock), Refill::Window(Anchor::FirstUse), Refill::Window(Anchor::Start)] {
        let mut desk = Desk::new(plan(ONE));
        desk.put_key("key", KeySpec { limits: vec![LimitSpec { refill, ..limit(LimitKind::Requests, 2, 30) }], ..KeySpec::default() });
        desk.run("+7; ask; 1 ok; +1; ask; 2 ok; ask");
        let refused = |desk: &Desk| match desk.journal.iter().rev().find_map(|record| Some(record.fact.clone()).filter(is_end)) {
            Some(Fact::Refused { denial: Denial::Limited(limit), .. }) => Some(limit),
            _ => None,
        };
        let limit = refused(&desk).expect("two of two are used");
        let wait = desk.gateway.retry_after(limit, desk.now).expect("it comes again");
        desk.now = desk.now + Span(wait.0 - 1);
        desk.run("ask");
        assert_eq!(refused(&desk), Some(limit), "{refill:?}: a nanosecond too early");
        desk.now = desk.now + Span(1);
        desk.run("ask");
        assert_eq!(refused(&desk), None, "{refill:?}");
    }
}

/// A refusal, or a call.
fn is_end(fact: &Fact) -> bool {
    matches!(fact, Fact::Refused { .. } | Fact::Called(_))
}

#[test]
fn a_limit_that_admits_nothing_never_has_room() {
    let mut desk = Desk::new(plan(ONE));
    let limits = vec![limit(LimitKind::Requests, 0, 30), limit(LimitKind::Concurrency, 1, 1)];
    desk.put_key("key", KeySpec { limits, ..KeySpec::default() });
    let after = |number: u32| desk.gateway.retry_after(LimitId(number), desk.now);
    assert_eq!([after(0), after(1), after(2)], [None, Some(Span::SECOND), None]);
    assert_eq!(left(&desk).requests, Some(Allowance { limit: LimitId(0), amount: 0, remaining: 0, full_in: Span::ZERO }));
}

proptest! {
    /// The figures of a meter are what it does: full at the instant that it says, and not a nanosecond before.
    #[test]
    fn a_meter_is_full_when_it_says(
        refill in prop::sample::select(vec![Refill::Bucket, Refill::Window(Anchor::Clock), Refill::Window(Anchor::FirstUse), Refill::Window(Anchor::Start)]),
        amount in 1_u64..50,
        period in 1_u64..1_000,
        uses in prop::collection::vec((0_u64..500, 0_u64..60), 0..20),
    ) {
        let mut meter = Meter::new(refill, amount, Span(period));
        let mut now = Time(1_000_000);
        for (passed, n) in uses {
            now = now + Span(passed);
            meter.take(now, n);
            let full_in = meter.full_in(now);
            prop_assert_eq!(meter.left(now + full_in), amount);
            if full_in > Span::ZERO {
                prop_assert!(meter.left(now + Span(full_in.0 - 1)) < amount);
            }
        }
    }
}

#[test]
fn limits_and_accounts_are_told_by_whose_they_are() {
    let one = |amount: u64| vec![limit(LimitKind::Requests, amount, 60)];
    let usd = |dollars: i64| BudgetSpec { limit: Money::usd(dollars), ..budget(0) };
    let mut plan = plan(ONE);
    (plan.limits, plan.budgets, plan.end_user_budget) = (one(1), vec![usd(1)], Some(usd(9)));
    (plan.models[0].limits, plan.models[0].budgets) = (one(2), vec![usd(2)]);
    (plan.deployments[0].limits, plan.deployments[0].budgets) = (one(3), vec![usd(3)]);
    let mut desk = Desk::new(plan);
    desk.put_team("t", TeamSpec { limits: one(4), budgets: vec![usd(4)], ..TeamSpec::default() });
    let spec = KeySpec { limits: one(5), budgets: vec![usd(5)], ..KeySpec::default() };
    desk.put_key("k", spec.clone());
    desk.apply(Command::PutEndUser { name: "u".into(), budgets: vec![usd(6)] });
    desk.apply(Command::PutTag { name: "g".into(), budgets: vec![usd(7)] });
    desk.run("ask user=v");
    // A limit that counts something else from now on is another one, of the same owner.
    desk.put_key("k", KeySpec { limits: vec![limit(LimitKind::TotalTokens, 6, 60), limit(LimitKind::Concurrency, 7, 1)], ..spec });
    let limits: Vec<String> = (0..).map_while(|id| desk.gateway.describe_limit(&desk.plan, LimitId(id))).collect();
    let accounts: Vec<String> = (0..).map_while(|id| desk.gateway.describe_account(&desk.plan, AccountId(id))).collect();
    let owners = ["the gateway as a whole, 1 request", "model A, 2 requests", "deployment a, 3 requests", "team t, 4 requests", "key k, 5 requests"];
    let mut expected: Vec<String> = owners.iter().map(|owner| alloc::format!("the limit of {owner} in 1m")).collect();
    expected.extend(["the limit of key k, 6 tokens in 1m".into(), "the limit of key k, 7 at one time".into()]);
    assert_eq!(limits, expected);
    let owners =
        ["the gateway as a whole, $1", "model A, $2", "deployment a, $3", "team t, $4", "key k, $5", "end user u, $6", "tag g, $7", "end user v, $9"];
    assert_eq!(accounts, owners.map(|owner| alloc::format!("the budget of {owner} in all")));
}
