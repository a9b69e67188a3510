//! A small plan and a small report for the tests of this module: two models, each on one deployment.

use std::sync::Arc;

use super::fold::{About, Billed, Fold};
use super::{Assumption, Input, Names, Origin, Report, Run, Traffic, Variant};
use crate::gateway::command::{Command, KeySpec};
use crate::gateway::failure::FailureClass;
use crate::gateway::features::Features;
use crate::gateway::id::{AccountId, DeploymentId, KeyId, ModelId};
use crate::gateway::journal::{CallClosed, Called, Certainty, Denial, Ended, Fact, Outcome, Position};
use crate::gateway::money::{Money, Rate};
use crate::gateway::plan::*;
use crate::gateway::rate_card::{RateCard, Rates, Usage};
use crate::gateway::tests::plans;
use crate::gateway::time::{Span, Time};

/// gpt-4o-mini.
pub(crate) const MINI: ModelId = ModelId(0);
/// Where it is served.
pub(crate) const OPENAI: DeploymentId = DeploymentId(0);

/// gpt-4o-mini with gpt-4o after it.
pub(crate) fn plan() -> Plan {
    let mini = RateCard::new(Rates::plain(Rate(150_000), Rate(600_000)), vec![], Money::ZERO);
    let large = RateCard::new(Rates::plain(Rate(2_500_000), Rate(10_000_000)), vec![], Money::ZERO);
    Plan {
        models: vec![model("gpt-4o-mini", 0, mini.clone()), model("gpt-4o", 1, large.clone())],
        deployments: vec![deployment("openai-mini", "gpt-4o-mini", mini), deployment("openai-large", "gpt-4o", large)],
        budgets: vec![],
        limits: vec![],
        end_user_budget: None,
        cache_bytes_max: 0,
        loop_detector: None,
        retry_budget: None,
        late_usage_window: Span::MINUTE,
    }
}

fn model(name: &str, deployment: u32, reference: RateCard) -> Model {
    let mut model = plans::patient(name, &[deployment], reference);
    (model.attempts.per_request, model.attempts.per_group, model.attempts.per_deployment) = (4, 2, 2);
    model
}

fn deployment(name: &str, model: &str, rates: RateCard) -> Deployment {
    Deployment {
        name: name.into(),
        provider: "openai".into(),
        model: model.into(),
        rates: rates.into(),
        weight: 1,
        order: 0,
        limits: vec![],
        budgets: vec![],
        output_tokens_max: 16_384,
        input_tokens_max: 128_000,
        service: ServiceClass::Standard,
        offers: Features::ALL,
        billing: BillingRule { cancel_stops_billing: true, cancel_lag_tokens_max: 50, timed_out: Presume::WorstCase, failed: Presume::Nothing },
        cooldown_time: None,
        retired: false,
    }
}

/// A report on three requests under one variant: one served by gpt-4o-mini, one that fell back to gpt-4o after a 429, one refused.
pub(crate) fn report() -> Report {
    let plan = Arc::new(plan());
    let mut fold = Fold::new(plan.clone());
    let everyone = Command::PutKey { name: "all".into(), spec: KeySpec::default() };
    fold.fact(Time(0), None, &Fact::Commanded(everyone));
    let second = |n: u64| Time(1_700_000_000_000_000_000 + n * 1_000_000_000);
    for (n, refused) in [(0, false), (60, false), (120, true)] {
        let about = About { arrived: second(n), key: KeyId(0), model: MINI, tags: None };
        fold.arrived(second(n), &about);
        if refused {
            fold.fact(second(n), Some(&about), &Fact::Answered { outcome: Outcome::Refused(Denial::Budget(AccountId(0))) });
            continue;
        }
        call(&mut fold, &about, second(n + 1), (1, 0), n == 60);
        if n == 60 {
            call(&mut fold, &about, second(n + 2), (2, 1), false);
        }
        fold.fact(second(n + 2), Some(&about), &Fact::Answered { outcome: Outcome::Served { model: ModelId(u32::from(n == 60)) } });
    }
    let run = Run { seed: 1, totals: fold.totals, series: fold.series };
    let names = Names::of(&plan, &fold.directory);
    Report {
        name: "Fallback escalation!".into(),
        inputs: vec![Input { role: "trace".into(), file: "three.csv".into(), sha256: "00".repeat(32), bytes: 99 }],
        prices: "built-in list of 2026-11-22".into(),
        traffic: Traffic {
            name: "three.csv".into(),
            origin: Origin::Recorded,
            digest: "5".repeat(32),
            requests: 3,
            first: second(0),
            span: Span::from_secs(120),
        },
        assumptions: vec![Assumption { what: "prompt cache".into(), value: "visible at arrival".into(), source: "preset ledger".into() }],
        figures: vec![],
        variants: vec![Variant {
            name: "as configured".into(),
            names,
            worst_case: None,
            crossings: vec![],
            token_ends: None,
            unserved: None,
            budgets: vec![],
            reserved: vec![],
            stability: None,
            runs: vec![run],
        }],
        reference: 0,
        memory: Span::ZERO,
        scripted: Vec::new(),
        precision: None,
        baseline: None,
        coverage: None,
        imputed: None,
        sweep: None,
        imputed_inputs: None,
        expectations: vec![],
    }
}

/// One call of 1,000 tokens in and 100 out, or one that is answered 429.
fn call(fold: &mut Fold, about: &About, now: Time, (call, target): (u32, u32), limited: bool) {
    let (model, deployment) = (ModelId(target), DeploymentId(target));
    let position = if target == 0 { Position::First } else { Position::Fallback };
    let worst_case = Money(10_000_000_000);
    fold.fact(now, Some(about), &Fact::Called(Called { call, model, deployment, position, worst_case, max_tokens: 500 }));
    let usage = if limited { Usage::default() } else { Usage::plain(1_000, 100) };
    let amount = if limited { Money::ZERO } else { plan().deployments[target as usize].rates.at(now).cost(usage) };
    let ended = if limited { Ended::Failed(FailureClass::RateLimited) } else { Ended::Delivered };
    let certainty = Certainty::Confirmed;
    let closed = CallClosed { call, model, deployment, position, since: now, ended, usage, delivered: usage.output, amount, certainty };
    fold.call(now, about, &closed, Billed { usage, amount, shared: false });
}
