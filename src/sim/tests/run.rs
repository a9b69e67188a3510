//! The whole loop with the whole core: the recorded dollars again, and the laws that a run asserts about itself.

use std::num::NonZeroU32;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::gateway::command::{Command, KeySpec};
use crate::gateway::failure::{FailureClass, FailureSet};
use crate::gateway::id::ModelId;
use crate::gateway::journal::{CallClosed, Fact};
use crate::gateway::plan::{CachePolicy, CacheScope, Leave, OnDisconnect};
use crate::gateway::tests::plans;
use crate::sim::client::{ClientError, Clients, UnknownKey};
use crate::sim::driver::{Driver, Variant};
use crate::sim::experiment::{Experiment, RunError, run};
use crate::sim::observe::{Bill, Context, Observer, Totals};
use crate::sim::world::{Billing, Kind, Pace, Places, Varies, When};
use crate::traffic::distribution::Distribution;

/// A plan with one group for each deployment; the first group is what traffic asks for.
pub(super) fn groups(deployments: &[(&str, RateCard)]) -> Plan {
    let mut plan = plan(deployments.iter().map(|(name, rates)| deployment(name, rates.clone())).collect());
    plan.models =
        (0..).zip(deployments).map(|(index, (name, _))| plans::patient(name, &[index], plan.deployment(DeploymentId(index)).rates.clone())).collect();
    plan
}

pub(super) fn variant(plan: Plan, deployments: Vec<DeploymentWorld>) -> Variant {
    let clients = Clients { default_key: Some("key".into()), default_model: Some(plan.models[0].name.clone()), ..Clients::default() };
    Variant {
        name: "variant".into(),
        plan: Arc::new(plan),
        setup: Arc::new([Command::PutKey { name: "key".into(), spec: KeySpec::default() }]),
        world: Arc::new(World { deployments }),
        clients: Arc::new(clients),
    }
}

pub(super) fn totals(variant: &Variant, batch: Batch) -> Totals {
    let mut driver = Driver::new(variant, 1, ()).unwrap();
    driver.feed(&Arc::new(batch)).unwrap();
    driver.finish().1
}

pub(super) fn rows(text: &str) -> Batch {
    let mut trace = Trace::of_bytes(Path::new("t.csv"), text.as_bytes(), Options::default()).unwrap();
    trace.next_batch().unwrap().unwrap()
}

/// Writes down what happens, with milliseconds.
#[derive(Default)]
struct Log(Vec<String>);

impl Observer for Log {
    fn arrived(&mut self, now: Time, context: &Context) {
        self.0.push(format!("{} {}: arrived", now.0 / 1_000_000, context.id.0));
    }

    fn fact(&mut self, now: Time, context: Option<&Context>, fact: &Fact) {
        let Some(context) = context else { return };
        let text = match fact {
            Fact::Called(called) => format!("called {}", called.deployment.0),
            Fact::Opened { .. } => "opened".into(),
            Fact::Answered { outcome } => format!("{outcome:?}").split_whitespace().next().unwrap().to_lowercase(),
            Fact::Closed => "closed".into(),
            _ => return,
        };
        self.0.push(format!("{} {}: {text}", now.0 / 1_000_000, context.id.0));
    }

    fn call(&mut self, now: Time, context: &Context, closed: &CallClosed, bill: &Bill) {
        let (id, ended) = (context.id.0, closed.ended);
        self.0.push(format!("{} {id}: {ended:?}, {} delivered, {} billed", now.0 / 1_000_000, closed.delivered, bill.usage.output));
    }
}

#[track_caller]
fn check(variant: &Variant, text: &str, expected: &[&str]) {
    let mut driver = Driver::new(variant, 1, Log::default()).unwrap();
    driver.feed(&Arc::new(rows(text))).unwrap();
    let (Log(lines), totals) = driver.finish();
    assert_eq!(lines, expected);
    assert!(totals.billed <= totals.ledger, "{totals:?}");
}

#[test]
fn real_traffic_without_a_policy_costs_what_was_computed() {
    let cases = [
        ("azure_llm_2023_code.csv", ["47.608895000000", "2.856533700000", "57.868362000000"]),
        ("mooncake_conversation.jsonl.gz", ["403.205037500000", "24.192302250000", "496.212189000000"]),
        ("agent_miniswe.jsonl.gz", ["6.612845000000", "0.396770700000", "8.067165000000"]),
    ];
    for (trace, dollars) in cases {
        for (rates, dollars) in [gpt_4o(), mini(), sonnet()].into_iter().zip(dollars) {
            let Some(batch) = shared(trace) else { return };
            let arrived = batch.rows.len() as u64;
            let totals = totals(&variant(groups(&[("a", rates)]), vec![DeploymentWorld::ledger("a")]), batch);
            assert_eq!((totals.arrived, totals.served), (arrived, arrived));
            assert_eq!((totals.billed.decimal().to_string().as_str(), totals.ledger), (dollars, totals.billed), "{trace}");
        }
    }
}

#[test]
fn real_traffic_with_a_prompt_cache_costs_what_was_computed() {
    let ttl = Span::from_secs(300);
    for (rules, rates, dollars) in
        [(PromptCache::openai(ttl), gpt_4o(), "355.489997500000"), (PromptCache::anthropic(ttl), sonnet(), "472.163813400000")]
    {
        let Some(batch) = shared("mooncake_conversation.jsonl.gz") else { return };
        let world = DeploymentWorld { prompt_cache: Some(rules), ..DeploymentWorld::ledger("a") };
        let totals = totals(&variant(groups(&[("a", rates)]), vec![world]), batch);
        assert_eq!((totals.billed.decimal().to_string().as_str(), totals.ledger), (dollars, totals.billed));
    }
}

#[test]
fn one_fallback_hop_multiplies_the_bill_as_computed() {
    let cases = [(Refill::Bucket, 3_280, "26.918402250000"), (Limiter::WINDOWS_FROM_START, 5_063, "29.065404550000")];
    for (refill, rejects, dollars) in cases {
        let Some(batch) = shared("azure_llm_2023_code.csv") else { return };
        let mut plan = groups(&[("mini", mini()), ("gpt-4o", gpt_4o())]);
        plan.models[0].fallbacks.groups = vec![ModelId(1)];
        plan.models[0].fallbacks.fallback_on = FailureSet::of(&[FailureClass::RateLimited]);
        let limiter = Limiter::ledger(500, 200_000, refill);
        let mini = DeploymentWorld { limiter: Some(limiter), ..DeploymentWorld::ledger("mini") };
        let totals = totals(&variant(plan, vec![DeploymentWorld::ledger("gpt-4o"), mini]), batch);
        assert_eq!((totals.served, totals.calls), (8_819, 8_819 + rejects));
        assert_eq!((totals.billed.decimal().to_string().as_str(), totals.ledger), (dollars, totals.billed));
    }
}

#[test]
fn at_one_instant_completions_come_before_arrivals_and_rows_keep_their_order() {
    let world = DeploymentWorld { pace: Pace { first: Span::SECOND, ..Pace::INSTANT }, ..DeploymentWorld::ledger("a") };
    let expected = [
        "0 0: arrived",
        "0 0: called 0",
        "0 1: arrived",
        "0 1: called 0",
        "1000 0: Delivered, 7 delivered, 7 billed",
        "1000 0: served",
        "1000 0: closed",
        "1000 1: Delivered, 8 delivered, 8 billed",
        "1000 1: served",
        "1000 1: closed",
        "1000 2: arrived",
        "1000 2: called 0",
        "2000 2: Delivered, 9 delivered, 9 billed",
        "2000 2: served",
        "2000 2: closed",
    ];
    let text = "at_s,input_tokens,output_tokens\n0,10,7\n0,10,8\n1,10,9\n";
    check(&variant(groups(&[("a", mini())]), vec![world]), text, &expected);
}

#[test]
fn a_client_that_leaves_is_billed_what_was_made_and_the_lag() {
    let mut plan = groups(&[("a", mini())]);
    plan.deployments[0].billing.cancel_lag_tokens_max = 3;
    let pace = Pace { first: Span::SECOND, gap: Span::from_millis(100), chunk_tokens: 1 };
    let billing = Billing { cancel_lag_tokens: 3, ..Billing::EXACT };
    let variant = variant(plan, vec![DeploymentWorld { pace, billing, ..DeploymentWorld::ledger("a") }]);
    let text = "at_s,input_tokens,output_tokens,stream,left_after_tokens,left_after_ms\n0,10,50,true,5,\n100,10,50,true,,500\n200,10,50,false,,500\n";
    let expected = [
        "0 0: arrived",
        "0 0: called 0",
        "1000 0: opened",
        "1400 0: Delivered, 5 delivered, 8 billed",
        "100000 1: arrived",
        "100000 1: called 0",
        "100500 1: Cancelled, 0 delivered, 3 billed",
        "200000 2: arrived",
        "200000 2: called 0",
        "205900 2: Discarded, 0 delivered, 50 billed",
    ];
    let mut driver = Driver::new(&variant, 1, Log::default()).unwrap();
    driver.feed(&Arc::new(rows(text))).unwrap();
    let (Log(mut lines), totals) = driver.finish();
    lines.retain(|line| !line.ends_with("abandoned") && !line.ends_with("closed"));
    assert_eq!(lines, expected);
    assert_eq!((totals.abandoned, totals.billed <= totals.ledger), (3, true));
}

/// What each call was billed, and whether it was for others than its client.
#[derive(Default)]
struct Bills(Vec<(u64, u32, bool)>);

impl Observer for Bills {
    fn call(&mut self, _: Time, context: &Context, _: &CallClosed, bill: &Bill) {
        self.0.push((context.id.0, bill.usage.output, bill.shared));
    }
}

#[test]
fn a_call_that_goes_on_for_others_is_tagged() {
    let mut plan = groups(&[("a", mini())]);
    plan.cache_bytes_max = 1 << 20;
    plan.models[0].cache = Some(CachePolicy {
        ttl: Span::from_secs(3_600),
        sliding: false,
        scope: CacheScope::Shared,
        namespace: 0,
        single_flight: true,
        separate_streams: false,
        hits_count: false,
        remote: false,
    });
    // Half a second to the first of 80 tokens a second. The first client of each question leaves after 0.6 s, when it has nine tokens; the same is
    // asked again at once, after the client has gone, or not at all.
    let variant = variant(plan, vec![DeploymentWorld::realistic("a")]);
    let text = "at_ms,input_tokens,output_tokens,stream,fingerprint,left_after_ms\n\
        0,50,80,true,x,600\n0,50,80,true,x,\n10000,50,80,true,y,600\n20000,50,80,true,z,600\n20700,50,80,true,z,\n";
    let mut driver = Driver::new(&variant, 1, Bills::default()).unwrap();
    driver.feed(&Arc::new(rows(text))).unwrap();
    let (Bills(bills), totals) = driver.finish();
    let alone = 9 + Billing::REALISTIC.cancel_lag_tokens;
    assert_eq!(bills, [(0, 80, true), (2, alone, false), (3, alone, false), (4, 80, false)]);
    assert_eq!((totals.shared, totals.served, totals.abandoned), (1, 1, 3));
}

#[test]
fn who_waits_for_a_provider_moves_up_when_somebody_leaves_and_pays_nothing_for_leaving_early() {
    let pace = Pace { first: Span::SECOND, gap: Span::from_millis(100), chunk_tokens: 1 };
    let places = Some(Places { count: 1, queue: 9, wait_max: Span::MAX, status: 503 });
    let variant = variant(groups(&[("a", mini())]), vec![DeploymentWorld { pace, places, ..DeploymentWorld::ledger("a") }]);
    // Each would take 1 s + 50 x 100 ms: the first leaves after 2 s, the second while it waits.
    let text = "at_s,input_tokens,output_tokens,stream,left_after_ms\n0,10,51,true,2000\n0,10,51,true,1500\n0,10,51,true,\n0,10,51,false,\n";
    let mut driver = Driver::new(&variant, 1, Log::default()).unwrap();
    driver.feed(&Arc::new(rows(text))).unwrap();
    let (Log(mut lines), totals) = driver.finish();
    lines.retain(|line| line.contains("opened") || line.contains("billed"));
    let expected = [
        "1000 0: opened",
        "1500 1: Cancelled, 0 delivered, 0 billed",
        "2000 0: Delivered, 11 delivered, 11 billed",
        "3000 2: opened",
        "8000 2: Delivered, 51 delivered, 51 billed",
        "14000 3: Delivered, 51 delivered, 51 billed",
    ];
    assert_eq!(lines, expected);
    let waits = totals.waits;
    assert_eq!((waits.calls, waits.nanoseconds / 1_000_000, waits.turned_away), (3, 1_500 + 2_000 + 8_000, 0));
    assert!(totals.billed <= totals.ledger, "{totals:?}");
}

#[test]
fn a_drain_of_a_call_that_moves_up_ends_by_its_own_time_or_after_so_many_tokens() {
    let pace = Pace { first: Span::SECOND, gap: Span::from_millis(100), chunk_tokens: 1 };
    let places = Some(Places { count: 1, queue: 9, wait_max: Span::MAX, status: 503 });
    for (drain_tokens_max, ends) in [(u32::MAX, "10500 1: Cancelled, 0 delivered, 76 billed"), (20, "4900 1: Cancelled, 0 delivered, 20 billed")] {
        let mut plan = groups(&[("a", mini())]);
        let policy = &mut plan.models[0].on_disconnect;
        *policy = OnDisconnect { before_first_byte: Leave::Drain, drain_time_max: Span::from_secs(10), drain_tokens_max, ..*policy };
        let variant = variant(plan, vec![DeploymentWorld { pace, places, ..DeploymentWorld::ledger("a") }]);
        // The second is drained from 0.5 s on, while it waits for the place that the first would have had until 6 s, and leaves after 2 s.
        let text = "at_s,input_tokens,output_tokens,stream,left_after_ms\n0,10,51,true,2000\n0,10,200,true,500\n";
        let mut driver = Driver::new(&variant, 1, Log::default()).unwrap();
        driver.feed(&Arc::new(rows(text))).unwrap();
        let (Log(mut lines), totals) = driver.finish();
        lines.retain(|line| line.contains("billed"));
        assert_eq!(lines, ["2000 0: Delivered, 11 delivered, 11 billed", ends]);
        assert!(totals.billed <= totals.ledger, "{totals:?}");
    }
}

#[test]
fn a_plain_answer_whose_drain_is_given_up_is_billed_like_any_other_that_is_closed() {
    let mut plan = groups(&[("a", mini())]);
    plan.models[0].on_disconnect.drain_time_max = Span::SECOND;
    let billing = Billing { timed_out: false, ..Billing::EXACT };
    let pace = Pace { first: Span::SECOND, gap: Span::from_millis(100), chunk_tokens: 1 };
    let variant = variant(plan, vec![DeploymentWorld { pace, billing, ..DeploymentWorld::ledger("a") }]);
    let text = "at_s,input_tokens,output_tokens,stream,left_after_ms\n0,10,51,false,500\n";
    let expected = ["0 0: arrived", "0 0: called 0", "500 0: abandoned", "1500 0: Cancelled, 0 delivered, 51 billed", "1500 0: closed"];
    check(&variant, text, &expected);
}

#[test]
fn time_outs_between_chunks_and_of_calls_are_billed_by_the_world() {
    let mut plan = groups(&[("a", mini())]);
    plan.models[0].timeouts.idle = Span::from_millis(50);
    plan.models[0].timeouts.call = Span::from_secs(2);
    let slow = Step { pace: Some(Pace { first: Span::SECOND, gap: Span::from_millis(100), chunk_tokens: 2 }), ..Step::OK };
    let steps = vec![slow, Step::of(Answer::Hang(Span::from_secs(60)))];
    let variant = variant(plan, vec![DeploymentWorld { steps, ..DeploymentWorld::ledger("a") }]);
    let text = "at_s,input_tokens,output_tokens,stream\n0,10,50,true\n10,10,50,false\n";
    let expected = [
        "0 0: arrived",
        "0 0: called 0",
        "1000 0: opened",
        "1050 0: Failed(Timeout), 2 delivered, 2 billed",
        "1050 0: failed(failure",
        "1050 0: closed",
        "10000 1: arrived",
        "10000 1: called 0",
        "12000 1: TimedOut, 0 delivered, 50 billed",
        "12000 1: failed(failure",
        "12000 1: closed",
    ];
    check(&variant, text, &expected);
}

#[test]
fn a_stream_given_up_where_closing_does_not_stop_the_bill_is_presumed_at_its_worst() {
    let mut plan = groups(&[("a", mini())]);
    plan.deployments[0].billing.cancel_stops_billing = false;
    plan.models[0].timeouts.stream = Span::from_secs(1);
    plan.models[0].on_disconnect = OnDisconnect { drain_tokens_max: 7, ..plan.models[0].on_disconnect };
    let billing = Billing { cancel_stops_billing: false, ..Billing::EXACT };
    let variant = variant(plan, vec![DeploymentWorld { billing, ..DeploymentWorld::realistic("a") }]);
    let text = "at_s,input_tokens,output_tokens,stream,left_after_tokens\n0,10,90,true,\n100,10,90,true,3\n";
    let totals = totals(&variant, rows(text));
    let (bill, worst_case) = (Rate(150_000).times(20) + Rate(600_000).times(180), Rate(150_000).times(20) + Rate(600_000).times(2 * 16_384));
    assert_eq!((totals.failed, totals.abandoned, totals.billed, totals.ledger), (1, 1, bill, worst_case));
}

#[test]
fn unknown_names_in_the_traffic_are_an_error_that_lists_them_or_are_added() {
    let plan = groups(&[("a", mini())]);
    let mut variant = variant(plan, vec![DeploymentWorld::ledger("a")]);
    let text = "at_s,key,team,model,input_tokens,output_tokens\n0,key,,a,1,1\n1,x,red,a,1,1\n2,y,,a,1,1\n3,x,red,a,1,1\n";
    let feed = |variant: &Variant| {
        let mut driver = Driver::new(variant, 1, ()).unwrap();
        driver.feed(&Arc::new(rows(text))).map(|()| driver.finish().1.served)
    };
    let error = feed(&variant).unwrap_err();
    assert_eq!(error.to_string(), "the traffic has keys that the configuration doesn't have: `x` (first in line 3), `y` (first in line 4)");
    variant.clients = Arc::new(Clients { unknown_key: UnknownKey::Add(Box::default()), ..Clients::clone(&variant.clients) });
    assert_eq!(feed(&variant), Ok(4));
    variant.clients = Arc::new(Clients { unknown_key: UnknownKey::Default, ..Clients::clone(&variant.clients) });
    assert_eq!(feed(&variant), Ok(4));
    let other = rows("at_s,model,input_tokens,output_tokens\n0,a,1,1\n1,b,1,1\n");
    let error = Driver::new(&variant, 1, ()).unwrap().feed(&Arc::new(other)).unwrap_err();
    assert_eq!(error, ClientError::UnknownModels(vec![("b".into(), 3)]));
}

pub(super) fn faulty(seed: u64) -> Variant {
    let mut plan = groups(&[("a", mini()), ("b", gpt_4o())]);
    plan.models[0].attempts.per_group = 3;
    plan.models[0].fallbacks.groups = vec![ModelId(1)];
    plan.models[0].timeouts.call = Span::from_secs(3);
    for deployment in &mut plan.deployments {
        deployment.billing = BillingRule { cancel_lag_tokens_max: 16, failed: Presume::Input, ..deployment.billing };
    }
    let cuts = [Step::of(Answer::Cut { chunks: 0 }), Step::of(Answer::Cut { chunks: 4 })];
    let chances = [Step::status(500), Step::of(Answer::Hang(Span::from_secs(9))), cuts[0], cuts[1], Step::of(Answer::Broken)];
    let chances = chances.map(|step| Chance { per_million: 20_000 + seed as u32 % 7 * 10_000, step });
    let billing = Billing { failed_after_prefill: true, ..Billing::REALISTIC };
    let limiter = Some(Limiter::ledger(60, 4_000, Refill::Bucket));
    let places = Some(Places { count: 2, queue: 3, wait_max: Span::from_secs(2), status: 503 });
    let varies =
        Some(Box::new(Varies { first: Some(Distribution::lognormal(3e8, 2e9)), tokens_per_second: Some(Distribution::lognormal(80.0, 200.0)) }));
    let when = When::Drawn { every: Span::from_secs(20), lasts: Distribution::Exponential { mean: 2e9 } };
    let burst = Incident { kind: Kind::Burst, when, per_million: 500_000, step: Step::status(529), slower_per_mille: 3000, luck_of: "both".into() };
    let world = |name| DeploymentWorld {
        chances: chances.to_vec(),
        billing,
        limiter: limiter.clone(),
        places,
        varies: varies.clone(),
        incidents: vec![burst.clone()],
        ..DeploymentWorld::realistic(name)
    };
    variant(plan, vec![world("a"), world("b")])
}

pub(super) fn traffic(rows_of: &[(u64, u32, u32, bool, Option<u32>)]) -> Batch {
    let mut text = String::from("at_ms,input_tokens,output_tokens,stream,left_after_tokens,left_after_ms\n");
    let mut at = 0;
    for (gap, input, output, stream, left) in rows_of {
        at += gap;
        // Some leave after so many tokens, the others after a time.
        let left = match left.and_then(NonZeroU32::new).map(NonZeroU32::get) {
            Some(tokens) if tokens % 2 == 0 => format!("{tokens},"),
            Some(tenths) => format!(",{}", tenths * 10),
            None => ",".to_owned(),
        };
        text.push_str(&format!("{at},{input},{output},{stream},{left}\n"));
    }
    rows(&text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The run's own assertions hold: everything is answered and closed once, and no bill is above the ledger.
    #[test]
    fn nothing_is_lost_and_no_bill_is_above_the_ledger(
        seed in 0..1_000u64,
        rows_of in prop::collection::vec((0..2_000u64, 1..500u32, 1..300u32, any::<bool>(), prop::option::weighted(0.2, 0..400u32)), 1..100),
    ) {
        let totals = totals(&faulty(seed), traffic(&rows_of));
        prop_assert_eq!(totals.arrived, rows_of.len() as u64);
        prop_assert!(totals.billed <= totals.ledger, "{:?}", totals);
    }
}

/// What breaks off after its head was made, and is billed. It is tried again unless something of it has come.
#[test]
fn a_break_after_the_head_is_billed_and_presumed() {
    let mut plan = groups(&[("a", mini())]);
    (plan.models[0].attempts.per_group, plan.models[0].attempts.per_deployment) = (2, 2);
    let cost = |output| mini().cost(crate::gateway::rate_card::Usage::plain(100, output));
    for (stream, chunks, calls, served, billed) in
        [(false, 4, 2, 1, cost(40) + cost(40)), (true, 0, 2, 1, cost(0) + cost(40)), (true, 4, 1, 0, cost(4))]
    {
        let world = DeploymentWorld { steps: vec![Step::of(Answer::Cut { chunks })], ..DeploymentWorld::ledger("a") };
        let totals = totals(&variant(plan.clone(), vec![world]), traffic(&[(0, 100, 40, stream, None)]));
        assert_eq!((totals.calls, totals.served, totals.billed), (calls, served, billed), "{stream} {chunks}");
        assert!(totals.ledger >= billed, "it was presumed: {totals:?}");
        assert!(stream || totals.ledger > billed, "as much as was held: {totals:?}");
    }
}

#[test]
fn the_result_is_the_same_for_any_number_of_threads() {
    let batches: Vec<_> = (0..5)
        .map(|part| {
            let mut batch = traffic(&[(50, 100, 40, true, None); 200]);
            for row in &mut batch.rows {
                row.at = row.at + Span::from_secs(part * 10);
            }
            Arc::new(batch)
        })
        .collect();
    let result = |threads| {
        let variants = (0..3).map(faulty).collect();
        let mut batches = batches.iter().cloned();
        let mut handed = Vec::new();
        let experiment = Experiment { variants, seeds: vec![1, 2], threads };
        let runs = run(&experiment, || Ok(batches.next()), |_, _| Log::default(), |rows| handed.push(rows)).unwrap();
        assert_eq!(handed, [200, 400, 600, 800, 1_000]);
        runs.into_iter().map(|run| (run.variant, run.seed, run.observer.0, run.totals)).collect::<Vec<_>>()
    };
    let one = result(1);
    assert_eq!(one.iter().map(|(variant, seed, ..)| (*variant, *seed)).collect::<Vec<_>>(), [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)]);
    assert_ne!(one[0].2, one[1].2, "seeds differ");
    for threads in [2, 4, 100] {
        assert!(result(threads) == one, "{threads} threads");
    }
}

#[test]
fn an_error_in_the_trace_or_in_a_variant_ends_all_runs() {
    let experiment = Experiment { variants: vec![faulty(0), faulty(1)], seeds: vec![1], threads: 2 };
    let mut trace = Trace::of_bytes(Path::new("t.csv"), b"at_s,input_tokens,output_tokens\n0,1,1\n1,x,1\n", Options::default()).unwrap();
    let error = run(&experiment, || Ok(trace.next_batch()?.map(Arc::new)), |_, _| (), |_| {}).unwrap_err();
    assert!(matches!(&error, RunError::Trace(error) if error.line() == Some(3)), "{error}");

    let known = Arc::new(rows("at_s,key,input_tokens,output_tokens\n0,key,1,1\n"));
    let mut unknown = rows("at_s,key,input_tokens,output_tokens\n0,stranger,1,1\n");
    unknown.rows[0].key = Some(crate::traffic::trace::NameId::new(1));
    let mut batches = vec![Arc::new(unknown), known].into_iter().rev().chain(std::iter::repeat_with(|| Arc::new(Batch::default())));
    let error = run(&experiment, || Ok(batches.next()), |_, _| (), |_| {}).unwrap_err();
    let RunError::Client { variant, error: ClientError::UnknownKeys(names) } = error else { panic!("{error}") };
    assert_eq!((variant.as_str(), names), ("variant", vec![("stranger".into(), 2)]));
}
