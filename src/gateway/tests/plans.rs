//! Plans for tests: a small one in five lines, and random ones over the whole range of the policies. Knows nothing of what follows from them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::dice::Dice;
use super::driver::START;
use crate::gateway::calendar::Calendar;
use crate::gateway::failure::{CLASSES, FailureClass, FailureSet};
use crate::gateway::features::Features;
use crate::gateway::id::{DeploymentId, ModelId};
use crate::gateway::money::{Money, Rate};
use crate::gateway::plan::*;
use crate::gateway::rate_card::{RateCard, RateSchedule, Rates};
use crate::gateway::time::{Span, Time};

/// Failures that a careful gateway tries again.
pub(super) const TRANSIENT: FailureSet = FailureSet::of(&[
    FailureClass::RateLimited,
    FailureClass::Timeout,
    FailureClass::Connect,
    FailureClass::Internal,
    FailureClass::BadGateway,
    FailureClass::Unavailable,
]);

/// A plan of groups and their deployments: `[("gpt", &["a", "b"])]`. One attempt, no waits, no cache, no cooldown; every deployment
/// costs $1 per million input tokens and $4 per million output tokens, and makes at most 100 of them.
pub(super) fn plan(groups: &[(&str, &[&str])]) -> Plan {
    let mut plan = Plan {
        models: Vec::new(),
        deployments: Vec::new(),
        budgets: Vec::new(),
        limits: Vec::new(),
        end_user_budget: None,
        cache_bytes_max: 1 << 20,
        loop_detector: None,
        retry_budget: None,
        late_usage_window: Span::from_secs(600),
    };
    for (name, deployments) in groups {
        let mut model = model(name);
        for deployment in *deployments {
            model.deployments.push(DeploymentId(plan.deployments.len() as u32));
            plan.deployments.push(self::deployment(deployment));
        }
        plan.models.push(model);
    }
    plan
}

/// Rates in dollars per million tokens.
pub(super) fn card(input: u64, output: u64) -> RateCard {
    RateCard::new(Rates::plain(Rate(input * 1_000_000), Rate(output * 1_000_000)), Vec::new(), Money::ZERO)
}

pub(super) fn deployment(name: &str) -> Deployment {
    Deployment {
        name: name.to_string(),
        provider: String::from("provider"),
        model: String::from("model"),
        rates: card(1, 4).into(),
        weight: 1,
        order: 0,
        limits: Vec::new(),
        budgets: Vec::new(),
        output_tokens_max: 100,
        input_tokens_max: 100_000,
        service: ServiceClass::Standard,
        offers: Features::ALL,
        countable: false,
        billing: BillingRule { cancel_stops_billing: true, cancel_lag_tokens_max: 10, timed_out: Presume::WorstCase, failed: Presume::Nothing },
        cooldown_time: None,
        retired: false,
    }
}

/// A group without any policy: nothing ends before its time, and a client that leaves is dealt with as its provider bills.
pub(crate) fn patient(name: &str, deployments: &[u32], reference: impl Into<RateSchedule>) -> Model {
    let never = Span::MAX;
    let mut model = model(name);
    model.deployments = deployments.iter().copied().map(DeploymentId).collect();
    model.reference = reference.into();
    model.output_tokens_max = 16_384;
    model.attempts.retry_on = FailureSet::ALL;
    model.timeouts = Timeouts { call: never, first_byte: never, stream: never, idle: never, request: never };
    let leave = Leave::Auto;
    model.on_disconnect = OnDisconnect {
        between_attempts: leave,
        non_stream: leave,
        before_first_byte: leave,
        streaming: leave,
        drain_time_max: Span::from_secs(600),
        drain_tokens_max: u32::MAX,
    };
    model
}

pub(super) fn model(name: &str) -> Model {
    let backoff = no_backoff();
    let leave = Leave::Cancel;
    Model {
        name: name.to_string(),
        deployments: Vec::new(),
        strategy: Strategy::Ordered,
        pick: Pick::Admissible,
        attempts: Attempts {
            per_request: 100,
            per_group: 1,
            per_deployment: 100,
            retry_on: TRANSIENT,
            retry_on_other: FailureSet::NONE,
            retries_by_class: [None; CLASSES],
            avoid_after: FailureSet::NONE,
            only_if_healthy: false,
        },
        backoff,
        transport: Transport { retries: 0, retry_on: FailureSet::NONE, backoff },
        fallbacks: Fallbacks {
            groups: Vec::new(),
            context_window: None,
            content_policy: None,
            fallback_on: FailureSet::ALL,
            walk: Walk::Flat,
            shown: Shown::Last,
            price_ratio_max_per_mille: None,
            same_tier: false,
            alert_share_per_mille: 50,
        },
        cooldown: Cooldown {
            time: Span::ZERO,
            retry_after: false,
            at_once: FailureSet::NONE,
            counted: FailureSet::ALL,
            allowed_fails: None,
            allowed_by_class: [None; CLASSES],
            window: Span::MINUTE,
            share: None,
            counts: Counts::Every,
            hops: Hops::Count,
            single: Single::Cooled,
            single_exempt: FailureSet::NONE,
        },
        breaker: None,
        timeouts: Timeouts {
            call: Span::from_secs(60),
            first_byte: Span::from_secs(60),
            stream: Span::from_secs(120),
            idle: Span::MAX,
            request: Span::from_secs(600),
        },
        cache: None,
        max_tokens: MaxTokens { default: None, cap: None },
        on_disconnect: OnDisconnect {
            between_attempts: leave,
            non_stream: leave,
            before_first_byte: leave,
            streaming: leave,
            drain_time_max: Span::from_secs(30),
            drain_tokens_max: 50,
        },
        tier: None,
        reference: card(1, 4).into(),
        output_tokens_max: 100,
        budgets: Vec::new(),
        limits: Vec::new(),
        retired: false,
    }
}

pub(super) const fn no_backoff() -> Backoff {
    let none = Span::ZERO;
    let (only_without_healthy, after_last) = (false, false);
    Backoff { base: none, floor: none, max: Span::MINUTE, jitter: none, retry_after_max: none, only_without_healthy, after_last }
}

pub(super) fn cache(ttl_secs: u64) -> CachePolicy {
    CachePolicy {
        ttl: Span::from_secs(ttl_secs),
        sliding: false,
        scope: CacheScope::Shared,
        namespace: 0,
        single_flight: false,
        separate_streams: false,
        hits_count: false,
        remote: false,
    }
}

/// A hard budget that reserves, in microdollars.
pub(super) fn budget(micro_usd: i128) -> BudgetSpec {
    BudgetSpec {
        limit: Money(micro_usd * 1_000_000),
        window: BudgetWindow::Total,
        enforce: Enforce::Hard,
        mode: BudgetMode::Reserve,
        on_short: OnShort::Refuse,
        alert_at_per_mille: Vec::new(),
    }
}

pub(super) fn limit(kind: LimitKind, amount: u64, period_secs: u64) -> LimitSpec {
    let (period, refill) = (Span::from_secs(period_secs), Refill::Bucket);
    LimitSpec { kind, amount, refill, period, count: TokenCount::Reserve, queue: None }
}

/// A plan over the whole range of the policies. Up to four groups of up to four deployments; fallbacks in any direction, cycles too.
pub(super) fn random(dice: &mut Dice) -> Plan {
    let models = 1 + dice.below(4) as usize;
    let names: Vec<String> = (0..models).map(|i| format!("model{i}")).collect();
    let mut plan = plan(&[]);
    for name in &names {
        let mut model = model(name);
        for _ in 0..1 + dice.below(4) {
            let id = plan.deployments.len() as u32;
            model.deployments.push(DeploymentId(id));
            plan.deployments.push(random_deployment(dice, &format!("deployment{id}")));
        }
        if let (true, Some(other)) = (dice.one_in(6), plan.deployments.len().checked_sub(5)) {
            model.deployments.push(DeploymentId(other as u32));
        }
        model.reference = plan.deployment(model.deployments[0]).rates.clone();
        model.output_tokens_max = model.deployments.iter().map(|id| plan.deployment(*id).output_tokens_max).max().expect("it has one");
        random_model(dice, &mut model, models as u64);
        plan.models.push(model);
    }
    plan.budgets = some(dice, 2, random_budget);
    plan.limits = some(dice, 3, random_limit);
    plan.end_user_budget = dice.one_in(2).then(|| random_budget(dice));
    plan.cache_bytes_max = dice.of(&[0, 2_000, 1 << 20]);
    plan.late_usage_window = dice.of(&[Span::ZERO, Span::from_secs(5), Span::from_secs(3600)]);
    let enforce = dice.of(&[Enforce::Observe, Enforce::Hard]);
    plan.loop_detector = dice.one_in(4).then(|| LoopDetector { repeats: dice.below(4) as u32, window: Span::from_secs(20), enforce });
    plan.retry_budget = dice.one_in(3).then(|| RetryBudget { ratio_per_mille: dice.of(&[0, 100, 500]), burst: dice.of(&[0, 1, 3]) });
    plan
}

fn random_deployment(dice: &mut Dice, name: &str) -> Deployment {
    let rates = |dice: &mut Dice| {
        let mut rate = || Rate(1_000_000 * dice.below(20));
        Rates { input: rate(), cache_read: rate(), cache_write: rate(), cache_write_1h: rate(), output: rate(), reasoning: rate() }
    };
    let card = |dice: &mut Dice| {
        let tiers = if dice.one_in(3) { vec![(60, rates(dice))] } else { Vec::new() };
        RateCard::new(rates(dice), tiers, Money(dice.of(&[0, 1_000_000])))
    };
    let changes = if dice.one_in(3) { dice.below(3) } else { 0 };
    let later = (1..=changes).map(|change| (START + Span::from_secs(change * 20), card(dice))).collect();
    Deployment {
        rates: RateSchedule::new(card(dice), later),
        weight: dice.below(3) as u32,
        order: dice.of(&[0, 0, 0, 1, 2]),
        limits: some(dice, 4, random_limit),
        budgets: some(dice, 6, random_budget),
        output_tokens_max: dice.of(&[20, 100, 200]),
        input_tokens_max: dice.of(&[50, 1000, 1000]),
        service: ServiceClass::Standard,
        offers: if dice.one_in(3) { Features::ALL.without(Features::of(dice.below(3) as u32)) } else { Features::ALL },
        // Drawn by nobody, so that a seed makes the plan that it always made.
        countable: name.bytes().last().is_some_and(|byte| byte % 2 == 0),
        billing: BillingRule {
            cancel_stops_billing: dice.one_in(2),
            cancel_lag_tokens_max: dice.of(&[0, 7, 40]),
            timed_out: dice.of(&[Presume::Nothing, Presume::Input, Presume::WorstCase]),
            failed: dice.of(&[Presume::Nothing, Presume::Input, Presume::WorstCase]),
        },
        cooldown_time: dice.one_in(4).then(|| Span::from_secs(dice.below(4))),
        ..deployment(name)
    }
}

fn random_model(dice: &mut Dice, model: &mut Model, models: u64) {
    let group = |dice: &mut Dice| (0..dice.below(4)).map(|_| ModelId(dice.below(models) as u32)).collect::<Vec<_>>();
    let class_table = |dice: &mut Dice| {
        let mut table = [None; CLASSES];
        if dice.one_in(4) {
            table[dice.below(CLASSES as u64) as usize] = Some(dice.below(3) as u32);
        }
        table
    };
    model.strategy = dice.of(&[
        Strategy::WeightedShuffle,
        Strategy::Ordered,
        Strategy::LeastBusy,
        Strategy::LowestLatency { buffer_per_mille: 100 },
        Strategy::LowestCost,
        Strategy::LowestUsage,
    ]);
    model.pick = dice.of(&[Pick::Admissible, Pick::Blind]);
    model.attempts = Attempts {
        per_request: dice.of(&[1, 2, 4, 20]),
        per_group: dice.of(&[1, 2, 4]),
        per_deployment: dice.of(&[1, 2, 10]),
        retry_on: dice.set(),
        retry_on_other: dice.set(),
        retries_by_class: class_table(dice),
        avoid_after: dice.set(),
        only_if_healthy: dice.one_in(4),
    };
    model.backoff = random_backoff(dice);
    model.transport = Transport { retries: dice.of(&[0, 0, 1, 2]), retry_on: dice.set(), backoff: random_backoff(dice) };
    let resume_origin = dice.one_in(2);
    let depth_by = dice.of(&[DepthBy::Level, DepthBy::Sibling]);
    let walk = Walk::DepthFirst { depth_max: dice.below(5) as u32, depth_by, resume_origin };
    model.fallbacks = Fallbacks {
        groups: group(dice),
        context_window: dice.one_in(4).then(|| group(dice)),
        content_policy: dice.one_in(4).then(|| group(dice)),
        fallback_on: dice.set(),
        walk: dice.of(&[Walk::Flat, walk]),
        shown: dice.of(&[Shown::Last, Shown::Asked]),
        price_ratio_max_per_mille: dice.one_in(4).then(|| dice.of(&[500, 1000, 3000])),
        same_tier: dice.one_in(4),
        alert_share_per_mille: 50,
    };
    let allowed_by_class = class_table(dice);
    model.cooldown = random_cooldown(dice, allowed_by_class);
    let counted = dice.set();
    let (failures, probes, successes) = (1 + dice.below(3) as u32, 1 + dice.below(2) as u32, 1 + dice.below(2) as u32);
    model.breaker = dice.one_in(3).then(|| Breaker { failures, counted, open_for: Span::from_secs(3), probes, successes });
    let time = |dice: &mut Dice| dice.of(&[Span::MAX, Span::from_secs(2), Span::from_secs(20)]);
    model.timeouts = Timeouts { call: time(dice), first_byte: time(dice), stream: time(dice), idle: Span::MAX, request: time(dice) };
    model.cache = dice.one_in(2).then(|| CachePolicy {
        ttl: dice.of(&[Span::ZERO, Span::from_secs(1), Span::from_secs(100)]),
        sliding: dice.one_in(2),
        scope: dice.of(&[CacheScope::Shared, CacheScope::Team, CacheScope::Key]),
        namespace: 0,
        single_flight: dice.one_in(2),
        separate_streams: dice.one_in(2),
        hits_count: dice.one_in(2),
        remote: dice.one_in(4),
    });
    model.max_tokens = MaxTokens { default: dice.of(&[None, Some(50)]), cap: dice.of(&[None, Some(80)]) };
    let leave = |dice: &mut Dice| dice.of(&[Leave::Auto, Leave::Cancel, Leave::Drain, Leave::Ignore]);
    model.on_disconnect = OnDisconnect {
        between_attempts: leave(dice),
        non_stream: leave(dice),
        before_first_byte: leave(dice),
        streaming: leave(dice),
        drain_time_max: Span::from_secs(dice.below(30)),
        drain_tokens_max: 50,
    };
    model.tier = dice.of(&[None, Some(1), Some(2)]);
    model.budgets = some(dice, 4, random_budget);
    model.limits = some(dice, 4, random_limit);
}

fn random_cooldown(dice: &mut Dice, allowed_by_class: [Option<u32>; CLASSES]) -> Cooldown {
    let share = FailureShare { per_mille: 400, calls_min: 3, window: Span::from_secs(10) };
    Cooldown {
        time: Span::from_secs(dice.below(5)),
        retry_after: dice.one_in(2),
        at_once: dice.set(),
        counted: dice.set(),
        allowed_fails: dice.of(&[None, Some(0), Some(2)]),
        allowed_by_class,
        window: Span::from_secs(10),
        share: dice.one_in(3).then_some(share),
        counts: dice.of(&[Counts::Every, Counts::FirstOfRequest]),
        hops: dice.of(&[Hops::Count, Hops::Ignore, Hops::IfRequestFails]),
        single: dice.of(&[Single::Cooled, Single::Exempt, Single::ExemptWithoutFallback]),
        single_exempt: dice.set(),
    }
}

fn random_backoff(dice: &mut Dice) -> Backoff {
    Backoff {
        base: dice.of(&[Span::ZERO, Span::from_millis(100), Span::from_secs(1)]),
        floor: dice.of(&[Span::ZERO, Span::from_millis(150)]),
        max: dice.of(&[Span::ZERO, Span::from_secs(3)]),
        jitter: dice.of(&[Span::ZERO, Span::from_millis(75)]),
        retry_after_max: dice.of(&[Span::ZERO, Span::from_secs(5)]),
        only_without_healthy: dice.one_in(3),
        after_last: dice.one_in(3),
    }
}

/// A budget of a few calls' worth.
pub(super) fn random_budget(dice: &mut Dice) -> BudgetSpec {
    // Some tables end while the run goes on, and a new plan may bring a longer one.
    let starts = (0..dice.of(&[2, 5, 400])).map(|i| Time(super::driver::START.0 + 7_000_000_000 * i)).collect();
    let anchor = dice.of(&[Anchor::Clock, Anchor::FirstUse, Anchor::Start]);
    let window = match dice.below(4) {
        0 => BudgetWindow::Total,
        1 => BudgetWindow::Fixed(Span::from_secs(5), anchor),
        2 => BudgetWindow::Calendar(Calendar::new(starts)),
        _ => BudgetWindow::Rolling { length: Span::from_secs(10), slices: 4 },
    };
    let mode = match dice.below(5) {
        0 => BudgetMode::After,
        1 => BudgetMode::Estimate { quantile_per_mille: 500, headroom_per_mille: 200 },
        _ => BudgetMode::Reserve,
    };
    BudgetSpec {
        limit: Money(i128::from(dice.of(&[0, 500, 2_000, 10_000, 100_000])) * 1_000_000),
        window,
        enforce: if dice.one_in(4) { Enforce::Observe } else { Enforce::Hard },
        mode,
        on_short: dice.of(&[OnShort::Refuse, OnShort::Clamp { min: 5 }, OnShort::Shrink]),
        alert_at_per_mille: vec![500, 800, 1000],
    }
}

pub(super) fn random_limit(dice: &mut Dice) -> LimitSpec {
    use LimitKind::{Concurrency, InputTokens, OutputTokens, Requests, TotalTokens};
    let kind = dice.of(&[Requests, InputTokens, OutputTokens, TotalTokens, Concurrency, Concurrency]);
    let amount = match kind {
        Requests => dice.of(&[1, 5, 30]),
        // With no place at all and all the time of the world, a request would wait for ever.
        Concurrency => dice.of(&[1, 2, 5]),
        InputTokens | OutputTokens | TotalTokens => dice.of(&[50, 500, 5000]),
    };
    let anchor = dice.of(&[Anchor::Clock, Anchor::FirstUse, Anchor::Start]);
    LimitSpec {
        kind,
        amount,
        refill: dice.of(&[Refill::Bucket, Refill::Window(anchor)]),
        period: Span::from_secs(dice.of(&[1, 10])),
        count: dice.of(&[TokenCount::Reserve, TokenCount::After]),
        queue: dice.one_in(2).then(|| Queue { length_max: dice.of(&[1, 10]), wait_max: dice.of(&[Span::from_secs(3), Span::MAX]) }),
    }
}

/// One of them once in `n` times.
fn some<T>(dice: &mut Dice, n: u64, make: fn(&mut Dice) -> T) -> Vec<T> {
    if dice.one_in(n) { vec![make(dice)] } else { Vec::new() }
}
