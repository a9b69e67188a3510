//! Tokens that another model counts otherwise: what the world bills, limits and caches by, and that the gateway's bounds still hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::run::{faulty, groups, rows, totals, traffic, variant};
use super::*;
use crate::gateway::journal::{CallClosed, Fact};
use crate::gateway::plan::{BudgetMode, BudgetSpec, BudgetWindow, Enforce, OnShort};
use crate::gateway::rate_card::Usage;
use crate::price::tokens::{End, RatioRange, TokenCounts, TokenRule, TokenTable};
use crate::sim::client::Clients;
use crate::sim::driver::{Driver, Variant};
use crate::sim::observe::{Bill, Context, Observer};

fn range(low: u32, high: u32) -> RatioRange {
    RatioRange { low: Ratio::per_million(low), high: Ratio::per_million(high) }
}

fn with_ratio(mut variant: Variant, input: RatioRange, output: RatioRange, end: End) -> Variant {
    let rules = vec![TokenRule { from: "a".into(), to: "b".into(), input, output }];
    let tokens = TokenCounts { rules, end, ..TokenCounts::default() };
    variant.clients = std::sync::Arc::new(Clients { tokens, ..Clients::clone(&variant.clients) });
    variant
}

/// `a` refuses everything, `b` answers.
fn fallback(world: DeploymentWorld) -> Variant {
    let mut plan = groups(&[("a", mini()), ("b", gpt_4o())]);
    plan.models[0].fallbacks.groups = vec![crate::gateway::id::ModelId(1)];
    variant(plan, vec![DeploymentWorld { then: Step::status(429), ..DeploymentWorld::ledger("a") }, world])
}

#[test]
fn a_call_is_billed_in_the_tokens_of_the_model_that_answers() {
    let batch = || rows("at_s,input_tokens,output_tokens\n0,1000,101\n1,3,1\n");
    let plain = fallback(DeploymentWorld::ledger("b"));
    // $2.50 and $10 a million: 1,003 in and 102 out.
    assert_eq!(totals(&plain, batch()).billed, Money(1_003 * 2_500_000 + 102 * 10_000_000));
    let ratio = with_ratio(plain, range(1_100_000, 1_300_000), range(500_000, 500_000), End::Middle);
    // 1,200 and 4 (3.6) in; 51 (50.5) and 1 (0.5) out.
    let totals = totals(&ratio, batch());
    assert_eq!(totals.billed, Money(1_204 * 2_500_000 + 52 * 10_000_000));
    assert_eq!(totals.ledger, totals.billed);
}

#[test]
fn what_a_fallback_answered_in_a_log_was_counted_by_its_model() {
    let log = "at_s,input_tokens,output_tokens,deployment,status\n0,1200,50,b,200\n1,1000,100,a,200\n2,1000,100,,200\n3,1000,100,b,503\n";
    let billed = |mut variant: Variant| {
        let mut clients = Clients::clone(&variant.clients);
        clients.tokens.deployments = [("a".to_owned(), "a".to_owned()), ("b".to_owned(), "b".to_owned())].into();
        variant.clients = std::sync::Arc::new(clients);
        totals(&variant, rows(log)).billed
    };
    let ratio = |variant| with_ratio(variant, range(1_200_000, 1_200_000), range(500_000, 500_000), End::Middle);
    // Each of the four is 1,000 in and 100 out of `a`, and 1,200 in and 50 out of `b`, whoever it was recorded from.
    assert_eq!(billed(ratio(fallback(DeploymentWorld::ledger("b")))), Money(4 * (1_200 * 2_500_000 + 50 * 10_000_000)));
    let mut served = fallback(DeploymentWorld::ledger("b"));
    served.world = std::sync::Arc::new(World { deployments: vec![DeploymentWorld::ledger("a"), DeploymentWorld::ledger("b")] });
    assert_eq!(billed(ratio(served)), Money(4 * (1_000 * 150_000 + 100 * 600_000)));
    // A configuration without the fallback reads the log as well.
    let alone = variant(groups(&[("a", mini())]), vec![DeploymentWorld::ledger("a")]);
    assert_eq!(billed(ratio(alone)), Money(4 * (1_000 * 150_000 + 100 * 600_000)));
}

#[test]
fn an_input_that_is_too_long_in_the_tokens_of_another_model_is_refused_there() {
    let served = |window: u32| {
        let mut variant = fallback(DeploymentWorld::ledger("b"));
        let mut plan = Plan::clone(&variant.plan);
        plan.deployments[1].input_tokens_max = window;
        variant.plan = std::sync::Arc::new(plan);
        let ratio = with_ratio(variant, range(1_200_000, 1_200_000), range(1_000_000, 1_000_000), End::Middle);
        let totals = totals(&ratio, rows("at_s,input_tokens,output_tokens\n0,1000,10\n"));
        (totals.served, totals.calls, totals.billed > Money::ZERO)
    };
    assert_eq!(served(1_200), (1, 2, true));
    // 1,000 tokens fit by the gateway's count, so it calls; they are 1,200 there.
    assert_eq!(served(1_199), (0, 2, false));
}

#[test]
fn a_limiter_counts_the_tokens_of_its_own_model() {
    let limiter = Some(Limiter::ledger(1_000, 1_000, Refill::Bucket));
    let world = DeploymentWorld { limiter, ..DeploymentWorld::ledger("b") };
    let batch = || rows("at_s,input_tokens,output_tokens\n0,500,0\n0,400,0\n");
    assert_eq!(totals(&fallback(world.clone()), batch()).served, 2);
    let ratio = with_ratio(fallback(world), range(1_200_000, 1_200_000), range(1_000_000, 1_000_000), End::Middle);
    assert_eq!(totals(&ratio, batch()).served, 1, "600 and 480 are more than 1,000");
}

#[test]
fn a_prompt_cache_holds_blocks_in_the_tokens_of_its_own_model() {
    let mut upstream = upstream(DeploymentWorld { prompt_cache: Some(PromptCache::openai(Span::MINUTE)), ..DeploymentWorld::ledger("mini") });
    let block_ratio = Ratio::per_million(1_200_000);
    let prompt = Prompt { input_tokens: 2_400, blocks: &[1, 2], block_size: 1_000, block_ratio, ..small(1) };
    assert_eq!(upstream.call(Time(0), ONLY, 0, u32::MAX, &prompt).usage.cache_read, 0);
    // 2 blocks of 1,000 are 2,400 here, in steps of 128.
    assert_eq!(upstream.call(Time(1), ONLY, 0, u32::MAX, &prompt).usage.cache_read, 2_304);
}

#[test]
fn a_model_that_no_request_gets_to_changes_no_hold() {
    let held = |deployments: &[(&str, RateCard)]| {
        let mut plan = groups(deployments);
        plan.models[0].fallbacks.groups = vec![crate::gateway::id::ModelId(1)];
        let worlds = deployments.iter().map(|(name, _)| DeploymentWorld::ledger(*name)).collect();
        let mut variant = with_ratio(variant(plan, worlds), range(1_100_000, 1_100_000), range(1_000_000, 1_000_000), End::Middle);
        let mut clients = Clients::clone(&variant.clients);
        let unused = TokenRule { from: "a".into(), to: "c".into(), input: range(3_000_000, 9_000_000), output: range(1_000_000, 1_000_000) };
        clients.tokens.rules.push(unused);
        variant.clients = std::sync::Arc::new(clients);
        let mut driver = Driver::new(&variant, 1, Calls::default()).unwrap();
        driver.feed(&std::sync::Arc::new(rows("at_s,input_tokens,output_tokens\n0,1000,10\n"))).unwrap();
        driver.finish().0.held
    };
    let alone = held(&[("a", mini()), ("b", gpt_4o())]);
    assert_eq!(alone, held(&[("a", mini()), ("b", gpt_4o()), ("c", sonnet())]));
    // 1,100 tokens of `a` at $0.15, as `b` might count them, and 16,384 at $0.60.
    assert_eq!(alone[&(0, 1)], Money(1_100 * 150_000 + 16_384 * 600_000));
}

#[test]
fn a_clients_retry_is_held_like_its_first_try() {
    let ratio = (range(1_500_000, 1_500_000), range(1_000_000, 1_000_000));
    let variant =
        with_ratio(fallback(DeploymentWorld { steps: vec![Step::status(503)], ..DeploymentWorld::ledger("b") }), ratio.0, ratio.1, End::Middle);
    let mut clients = Clients::clone(&variant.clients);
    clients.habits.sdk = Some(crate::traffic::sdk::Sdk::OPENAI);
    let variant = Variant { clients: std::sync::Arc::new(clients), ..variant };
    let mut driver = Driver::new(&variant, 1, Calls::default()).unwrap();
    driver.feed(&std::sync::Arc::new(rows("at_s,input_tokens,output_tokens\n0,1000,10\n"))).unwrap();
    let held = driver.finish().0.held;
    let held: Vec<Money> = held.into_values().collect();
    // Two calls of the first try, two of the retry: 1,500 tokens each time.
    let [first, fallback, again, fallback_again] = held[..] else { panic!("four calls: {held:?}") };
    assert_eq!((first, fallback), (again, fallback_again));
}

/// What was held and billed for each call.
#[derive(Default)]
struct Calls {
    held: BTreeMap<(u64, u32), Money>,
    closed: Vec<(u64, CallClosed, Money)>,
}

impl Observer for Calls {
    fn fact(&mut self, _: Time, context: Option<&Context>, fact: &Fact) {
        if let (Some(context), Fact::Called(called)) = (context, fact) {
            self.held.insert((context.id.0, called.call), called.worst_case);
        }
    }

    fn call(&mut self, _: Time, context: &Context, closed: &CallClosed, bill: &Bill) {
        self.closed.push((context.id.0, *closed, bill.cost));
    }
}

fn any_end() -> impl proptest::strategy::Strategy<Value = End> {
    prop::sample::select(vec![End::Low, End::Middle, End::High])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever in their ranges the ratios are: bill <= ledger <= hold for every call, worst case for every request, the limit for the budget.
    #[test]
    fn what_is_held_covers_the_tokens_of_every_model(
        seed in 0..1_000u64,
        (low, more) in (200_000..4_000_000u32, 0..2_000_000u32),
        output in 200_000..4_000_000u32,
        end in any_end(),
        rows_of in prop::collection::vec((0..2_000u64, 1..500u32, 1..300u32, any::<bool>(), prop::option::weighted(0.2, 0..400u32)), 1..60),
    ) {
        let mut variant = with_ratio(faulty(seed), range(low, low + more), range(output, output), end);
        let limit = Money(300_000_000_000);
        let mut plan = Plan::clone(&variant.plan);
        plan.budgets = vec![BudgetSpec {
            limit, window: BudgetWindow::Total, enforce: Enforce::Hard, mode: BudgetMode::Reserve,
            on_short: OnShort::Refuse, alert_at_per_mille: vec![],
        }];
        variant.plan = std::sync::Arc::new(plan);
        let batch = std::sync::Arc::new(traffic(&rows_of));
        let mut driver = Driver::new(&variant, 1, Calls::default()).unwrap();
        driver.feed(&batch).unwrap();
        let (calls, totals) = driver.finish();
        prop_assert!(totals.ledger <= limit);
        let table = TokenTable::new(&variant.plan, &variant.clients.tokens);
        let asked = crate::gateway::id::ModelId(0);
        let mut of_request: BTreeMap<u64, (u32, Money)> = BTreeMap::new();
        for (request, closed, bill) in calls.closed {
            let held = calls.held[&(request, closed.call)];
            prop_assert!(bill <= closed.amount && closed.amount <= held, "{} <= {} <= {}: {:?}", bill, closed.amount, held, closed);
            let all = of_request.entry(request).or_default();
            *all = (all.0 + 1, all.1 + bill);
        }
        for (request, (count, bill)) in of_request {
            let input = batch.rows[request as usize].input_tokens;
            let worst = variant.plan.worst_case(asked, Usage::plain(table.input_most(asked, input), 0));
            prop_assert!(count <= worst.calls && bill <= worst.cost, "{} calls, {} of {:?}", count, bill, worst);
        }
    }
}
