//! The world alone against the dollars and counts computed independently for the real traces, and the whole loop against hand-made plans.

mod clients;
mod closed_forms;
mod hits;
mod limiting;
mod other_days;
mod paired;
mod run;
mod tokens;

use std::path::{Path, PathBuf};

use super::fate::{End, Ending};
use super::upstream::{Prompt, Upstream};
use super::world::{Answer, Chance, DeploymentWorld, Incident, Limiter, PromptCache, Reason, RetryAfter, Step, World};
use crate::gateway::features::Features;
use crate::gateway::id::{DeploymentId, RequestId, Slot};
use crate::gateway::money::{Money, Rate};
use crate::gateway::plan::{BillingRule, Deployment, Plan, Presume, Refill, ServiceClass};
use crate::gateway::rate_card::{RateCard, Rates};
use crate::gateway::time::{Span, Time};
use crate::price::tokens::Ratio;
use crate::traffic::trace::{Batch, Options, Row, Trace};

/// A published trace in one piece, or `None` with a notice where the shared directory is not at hand.
pub(super) fn shared(name: &str) -> Option<Batch> {
    let root = std::env::var_os("GWSIM_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join("traces").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not here; set GWSIM_SHARED", path.display());
        return None;
    }
    let mut trace = Trace::open(&path, Options::default()).unwrap();
    let batch = trace.next_batch().unwrap();
    assert!(trace.next_batch().unwrap().is_none(), "the real traces fit one batch");
    batch
}

pub(super) fn gpt_4o() -> RateCard {
    let rate = Rate::micro_usd_per_mtok;
    let rates = Rates { cache_read: rate(1_250_000), ..Rates::plain(rate(2_500_000), rate(10_000_000)) };
    RateCard::new(rates, Vec::new(), Money::ZERO)
}

pub(super) fn mini() -> RateCard {
    let rate = Rate::micro_usd_per_mtok;
    let rates = Rates { cache_read: rate(75_000), ..Rates::plain(rate(150_000), rate(600_000)) };
    RateCard::new(rates, Vec::new(), Money::ZERO)
}

pub(super) fn sonnet() -> RateCard {
    let rate = Rate::micro_usd_per_mtok;
    let rates = Rates { cache_read: rate(300_000), cache_write: rate(3_750_000), ..Rates::plain(rate(3_000_000), rate(15_000_000)) };
    RateCard::new(rates, Vec::new(), Money::ZERO)
}

pub(super) fn deployment(name: &str, rates: RateCard) -> Deployment {
    Deployment {
        name: name.into(),
        provider: "provider".into(),
        model: name.into(),
        rates: rates.into(),
        weight: 1,
        order: 0,
        limits: Vec::new(),
        budgets: Vec::new(),
        output_tokens_max: 16_384,
        input_tokens_max: u32::MAX,
        service: ServiceClass::Standard,
        offers: Features::ALL,
        billing: BillingRule { cancel_stops_billing: true, cancel_lag_tokens_max: 0, timed_out: Presume::WorstCase, failed: Presume::Nothing },
        cooldown_time: None,
        retired: false,
    }
}

pub(super) fn plan(deployments: Vec<Deployment>) -> Plan {
    Plan {
        models: Vec::new(),
        deployments,
        budgets: Vec::new(),
        limits: Vec::new(),
        end_user_budget: None,
        cache_bytes_max: 0,
        loop_detector: None,
        retry_budget: None,
        late_usage_window: Span::ZERO,
    }
}

fn upstream(world: DeploymentWorld) -> Upstream {
    let plan = plan(vec![deployment(&world.name, mini())]);
    Upstream::new(&plan, &World { deployments: vec![world] }, 1).unwrap()
}

const ONLY: DeploymentId = DeploymentId(0);

fn prompt<'a>(number: u64, batch: &'a Batch, row: &Row) -> Prompt<'a> {
    Prompt {
        request: RequestId(number),
        slot: Slot(0),
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens.unwrap(),
        choices: 1,
        stream: false,
        blocks: batch.blocks(row),
        block_size: row.block_size,
        recorded: None,
        block_ratio: Ratio::ONE,
    }
}

fn small(number: u64) -> Prompt<'static> {
    Prompt {
        request: RequestId(number),
        slot: Slot(0),
        input_tokens: 100,
        output_tokens: 20,
        choices: 1,
        stream: true,
        blocks: &[],
        block_size: 0,
        block_ratio: Ratio::ONE,
        recorded: None,
    }
}

/// Rejected rows, and the bill if they go to gpt-4o and the others to mini.
fn admitted(trace: &str, limiter: Limiter) -> Option<(usize, String)> {
    let batch = shared(trace)?;
    let mut upstream = upstream(DeploymentWorld { limiter: Some(limiter), ..DeploymentWorld::ledger("mini") });
    let (mut rejected, mut bill) = (0, Money::ZERO);
    for (number, row) in (0..).zip(&batch.rows) {
        let fate = upstream.call(row.at, ONLY, 0, u32::MAX, &prompt(number, &batch, row));
        assert_eq!(fate.ends_at, row.at, "the ledger has no latency");
        let usage = crate::gateway::rate_card::Usage::plain(row.input_tokens, row.output_tokens.unwrap());
        match fate.ending {
            Ending::Whole => bill += mini().cost(fate.usage),
            _ => {
                assert_eq!(fate.bill(End::ByItself, &upstream.world(ONLY).billing), None);
                rejected += 1;
                bill += gpt_4o().cost(usage);
            }
        }
    }
    Some((rejected, bill.decimal().to_string()))
}

#[test]
fn admission_is_as_computed_for_the_real_traces() {
    let (azure, conversation) = ("azure_llm_2023_code.csv", "mooncake_conversation.jsonl.gz");
    let cases = [
        (azure, 500, 200_000, [3_280, 5_063], ["26.918402250000", "29.065404550000"]),
        (azure, 500, 30_000, [6_648, 7_942], ["", ""]),
        (azure, 5_000, 450_000, [811, 2_336], ["", ""]),
        (azure, 5_000, 800_000, [8, 558], ["", ""]),
        (conversation, 500, 200_000, [8_495, 10_853], ["367.201810800000", "372.731562900000"]),
    ];
    for (trace, requests, tokens, rejects, bills) in cases {
        for (refill, rejects, bill) in [(Refill::Bucket, rejects[0], bills[0]), (Limiter::WINDOWS_FROM_START, rejects[1], bills[1])] {
            let Some((rejected, billed)) = admitted(trace, Limiter::ledger(requests, tokens, refill)) else { return };
            assert_eq!(rejected, rejects, "{trace} {requests} {tokens} {refill:?}");
            assert!(bill.is_empty() || bill == billed, "{trace} {refill:?}: {billed}");
        }
    }
}

/// The dollars, cached tokens and rows with a hit of a trace under a prompt cache.
fn cached(trace: &str, rules: PromptCache, rates: &RateCard) -> Option<(String, u64, usize)> {
    let batch = shared(trace)?;
    let mut upstream = upstream(DeploymentWorld { prompt_cache: Some(rules), ..DeploymentWorld::ledger("any") });
    let (mut bill, mut tokens, mut hits) = (Money::ZERO, 0, 0);
    for (number, row) in (0..).zip(&batch.rows) {
        let fate = upstream.call(row.at, ONLY, 0, u32::MAX, &prompt(number, &batch, row));
        let usage = fate.bill(End::ByItself, &upstream.world(ONLY).billing).unwrap();
        bill += rates.cost(usage);
        tokens += u64::from(usage.cache_read);
        hits += usize::from(usage.cache_read > 0);
    }
    Some((bill.decimal().to_string(), tokens, hits))
}

#[test]
fn prompt_caches_cost_what_was_computed_for_the_real_traces() {
    let (conversation, miniswe) = ("mooncake_conversation.jsonl.gz", "agent_miniswe.jsonl.gz");
    let cases = [
        (conversation, 3_600, ["340.340877500000", "20.420452650000", "430.347515700000"], (50_291_328, 4_630)),
        (conversation, 300, ["355.489997500000", "21.329399850000", "472.163813400000"], (38_172_032, 3_644)),
        (conversation, 60, ["391.205677500000", "23.472340650000", "570.747156300000"], (9_599_488, 996)),
        (miniswe, 3_600, ["3.755565000000", "0.225333900000", "2.032998750000"], (2_285_824, 383)),
        (miniswe, 300, ["3.758125000000", "0.225487500000", "2.040240300000"], (2_283_776, 382)),
    ];
    for (trace, seconds, dollars, (cached_tokens, hits)) in cases {
        let ttl = Span::from_secs(seconds);
        let rules = [PromptCache::openai(ttl), PromptCache::openai(ttl), PromptCache::anthropic(ttl)];
        for ((rules, rates), dollars) in rules.into_iter().zip([gpt_4o(), mini(), sonnet()]).zip(dollars) {
            let Some((bill, tokens, rows)) = cached(trace, rules, &rates) else { return };
            assert_eq!(bill, dollars, "{trace} {seconds} s");
            assert!(rules.step == 1 || (tokens, rows) == (cached_tokens, hits), "{trace} {seconds} s: {tokens} in {rows}");
        }
    }
}

#[test]
fn scripts_are_met_in_the_order_of_calls_and_then_for_ever() {
    let refused = Answer::Status { status: 400, retry_after: None, reason: Reason::ContextWindow };
    let world = DeploymentWorld {
        steps: vec![Step::status(500), Step::of(refused)],
        then: Step::of(Answer::Cut { chunks: 3 }),
        ..DeploymentWorld::realistic("a")
    };
    let mut upstream = upstream(world);
    let mut call = |number| upstream.call(Time(0), ONLY, 0, u32::MAX, &small(number));
    let shown =
        [call(7), call(3), call(3), call(9)].map(|fate| (fate.ending.failure().map(|failure| failure.class.name()), fate.ends_at.0 / 1_000_000));
    assert_eq!(shown, [(Some("internal"), 500), (Some("context_window"), 500), (Some("cut"), 537), (Some("cut"), 537)]);
}

#[test]
fn an_outage_holds_from_its_first_to_before_its_last_instant() {
    let outage = Incident::outage(Span::from_secs(10), Span::from_secs(5), Step::status(503));
    let mut upstream = upstream(DeploymentWorld { incidents: vec![outage], ..DeploymentWorld::ledger("a") });
    let start = Time(1_000 * Span::SECOND.0);
    upstream.begin(start);
    let mut is_up = |millis| upstream.call(start + Span::from_millis(millis), ONLY, 0, u32::MAX, &small(0)).ending == Ending::Whole;
    assert_eq!([9_999, 10_000, 14_999, 15_000].map(&mut is_up), [true, false, false, true]);
}

#[test]
fn chances_hit_their_share_by_request_and_call_not_by_order() {
    let chances = vec![Chance { per_million: 100_000, step: Step::status(500) }, Chance { per_million: 50_000, step: Step::status(503) }];
    let world = DeploymentWorld { chances, ..DeploymentWorld::ledger("a") };
    let statuses = |numbers: &mut dyn Iterator<Item = u64>| {
        let mut upstream = upstream(world.clone());
        let status = |number| upstream.call(Time(0), ONLY, 0, u32::MAX, &small(number)).ending.failure().map_or(200, |failure| failure.status);
        numbers.map(status).collect::<Vec<_>>()
    };
    let forward = statuses(&mut (0..20_000));
    let mut backward = statuses(&mut (0..20_000).rev());
    backward.reverse();
    assert_eq!(forward, backward, "luck is the request's own");
    let share = |status| forward.iter().filter(|each| **each == status).count();
    assert!((1_850..2_150).contains(&share(500)) && (900..1_100).contains(&share(503)), "{} {}", share(500), share(503));
}

#[test]
fn rejects_may_use_up_the_limit_and_say_when_to_come_back() {
    for (rejects_count, last) in [(true, Some(Some(1))), (false, None)] {
        let limiter = Limiter { retry_after: RetryAfter::UntilItFits, rejects_count, ..Limiter::openai(60, 1_000) };
        let mut upstream = upstream(DeploymentWorld { limiter: Some(limiter), ..DeploymentWorld::ledger("a") });
        let mut call = |seconds, max_tokens| {
            let fate = upstream.call(Time(Span::from_secs(seconds).0), ONLY, 0, max_tokens, &small(0));
            fate.ending.failure().map(|failure| failure.retry_after.map(|span| span.0 / Span::SECOND.0))
        };
        assert_eq!(call(0, 800), None, "100 and 800 of 1,000");
        assert_eq!(call(0, 16_384), Some(Some(1)), "a call that states nothing counts 100 and 16: one second of refill away");
        assert_eq!(call(1, 16_384), None);
        for _ in 0..60 {
            assert_eq!(call(60, 901), Some(None), "1,001 never fit");
        }
        assert_eq!(call(60, 16_384), last, "60 rejects have used up the requests, or not");
    }
}

#[test]
fn a_world_must_fit_its_plan() {
    let plan = plan(vec![deployment("a", mini()), deployment("b", mini())]);
    let worlds = |names: &[&str]| World { deployments: names.iter().map(|name| DeploymentWorld::ledger(*name)).collect() };
    assert!(Upstream::new(&plan, &worlds(&["unused", "b", "a"]), 1).is_ok());
    let error = Upstream::new(&plan, &worlds(&["b", "b"]), 1).unwrap_err();
    assert_eq!(error.to_string(), "the world has no provider for `a` and two for `b`");
}
