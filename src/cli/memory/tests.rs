//! What is remembered counts where it was used, and nowhere else.

use std::sync::Arc;

use super::*;
use crate::gateway::command::KeySpec;
use crate::gateway::money::Money;
use crate::gateway::plan::{Anchor, BudgetMode, CachePolicy, CacheScope, Enforce};
use crate::report::sample;
use crate::sim::client::Clients;
use crate::sim::world::{DAY, Incident, PromptCache, Step, World};

/// The sample's plan in a world without anything, and a run of it in which nothing happened.
fn quiet() -> (Variant, Totals) {
    let plan = sample::plan();
    let deployments = plan.deployments.iter().map(|deployment| DeploymentWorld::ledger(deployment.name.clone())).collect();
    let totals = Totals::new(&plan);
    let world = Arc::new(World { deployments });
    let variant = Variant { name: "as configured".into(), plan: Arc::new(plan), setup: Arc::new([]), world, clients: Arc::new(Clients::default()) };
    (variant, totals)
}

fn plan(variant: &mut Variant) -> &mut Plan {
    Arc::make_mut(&mut variant.plan)
}

fn mini(variant: &mut Variant) -> &mut DeploymentWorld {
    &mut Arc::make_mut(&mut variant.world).deployments[0]
}

fn budget(window: BudgetWindow) -> BudgetSpec {
    BudgetSpec {
        limit: Money::usd(1),
        window,
        enforce: Enforce::Hard,
        mode: BudgetMode::Reserve,
        on_short: OnShort::Refuse,
        alert_at_per_mille: vec![],
    }
}

fn secs(span: Span) -> u64 {
    span.0 / Span::SECOND.0
}

#[test]
fn a_cache_is_remembered_once_it_has_answered() {
    let (mut variant, mut totals) = quiet();
    let cache = CachePolicy {
        ttl: Span::from_secs(3_600),
        sliding: false,
        scope: CacheScope::Team,
        namespace: 0,
        single_flight: false,
        separate_streams: false,
        hits_count: false,
        remote: false,
    };
    plan(&mut variant).models[0].cache = Some(cache);
    assert_eq!(secs(longest_of(&variant, &totals)), 0);
    totals.outcomes.cached = 1;
    assert_eq!(secs(longest_of(&variant, &totals)), 3_600);
}

#[test]
fn a_cooldown_is_remembered_once_it_has_begun() {
    let (mut variant, mut totals) = quiet();
    plan(&mut variant).models[1].cooldown.time = Span::from_secs(30);
    plan(&mut variant).deployments[0].cooldown_time = Some(Span::from_secs(90));
    assert_eq!(secs(longest_of(&variant, &totals)), 0);
    totals.incidents.cooldowns = 1;
    assert_eq!(secs(longest_of(&variant, &totals)), 90);
}

#[test]
fn a_budget_counts_where_it_stood_in_the_way() {
    let (mut variant, mut totals) = quiet();
    let day = budget(BudgetWindow::Fixed(Span::from_secs(86_400), Anchor::Clock));
    variant.setup = Arc::new([Command::PutKey { name: "intern".into(), spec: KeySpec { budgets: vec![day], ..KeySpec::default() } }]);
    assert_eq!(secs(longest_of(&variant, &totals)), 0);
    totals.denials[denial_index(&Denial::Budget(AccountId(0)))] = 1;
    assert_eq!(secs(longest_of(&variant, &totals)), 86_400);
    plan(&mut variant).budgets.push(budget(BudgetWindow::Total));
    assert_eq!(longest_of(&variant, &totals), Span::MAX, "what is never forgotten has no blocks");
}

#[test]
fn a_calendar_window_is_as_long_as_the_one_that_the_traffic_is_in() {
    let days = |days: u64| Time(days * 86_400 * Span::SECOND.0);
    let months = Calendar::new([0, 31, 59, 90].map(days).to_vec());
    let longest = |from, until| secs(longest_window(&months, days(from), days(until))) / 86_400;
    assert_eq!([longest(40, 45), longest(58, 60), longest(60, 61)], [28, 31, 31]);
}

#[test]
fn a_providers_limit_counts_where_it_has_rejected_and_could_be_full() {
    let (mut variant, mut totals) = quiet();
    let mut limiter = Limiter::openai(500, 200_000);
    limiter.set(ProviderLimit { counts: Counted::Requests, amount: 10_000, period: DAY, refill: Limiter::WINDOWS_FROM_START });
    mini(&mut variant).limiter = Some(limiter);
    totals.deployments[0].calls = 2_000;
    assert_eq!(secs(longest_of(&variant, &totals)), 0);
    totals.deployments[0].rate_limited = 7;
    assert_eq!(secs(longest_of(&variant, &totals)), 60, "2,000 calls never fill 10,000 a day");
    totals.deployments[0].calls = 20_000;
    assert_eq!(secs(longest_of(&variant, &totals)), 86_400);
}

#[test]
fn a_prompt_cache_counts_where_it_was_read() {
    let (mut variant, mut totals) = quiet();
    mini(&mut variant).prompt_cache = Some(PromptCache::openai(Span::from_secs(300)));
    assert_eq!(secs(longest_of(&variant, &totals)), 0);
    totals.prompt_cache_hits = 1;
    assert_eq!(secs(longest_of(&variant, &totals)), 300);
}

#[test]
fn scripted_incidents_are_told_in_order_and_once() {
    let (mut variant, _) = quiet();
    let outage = |from, lasts| Incident::outage(Span::from_secs(from), Span::from_secs(lasts), Step::status(503));
    mini(&mut variant).incidents = vec![outage(500, 10), outage(100, 60)];
    let mut other = variant.clone();
    mini(&mut other).incidents = vec![outage(130, 60)];
    let (start, end) = (Time(1_000 * Span::SECOND.0), Time(2_000 * Span::SECOND.0));
    let variants = [variant, other];
    let offset = |now: &Time| secs(now.since(start));
    let seconds: Vec<_> = scripted(&variants, start, end).iter().map(|(from, until)| (offset(from), offset(until))).collect();
    assert_eq!(seconds, [(100, 190), (500, 510)]);
    let [mut always, _] = variants;
    mini(&mut always).incidents = vec![outage(0, 2_000)];
    assert_eq!(scripted(&[always], start, end), [], "what is always so is no event");
}
