//! `[world]`: what providers are like, in layers from all deployments to one. Nothing is called.
//!
//! Each deployment starts from the preset; then come `[world]` itself, its provider's, its models' and its own section, each on top of the last.

use crate::gateway::plan::{Anchor, Deployment, Refill};
use crate::gateway::time::Span;
use crate::sim::world::{
    Answer, Basis, Billing, CacheWrite, Chance, Counted, DeploymentWorld, Incident, Limiter, Pace, PromptCache, ProviderLimit, Reason, RetryAfter,
    Step, Visible, World,
};

use super::super::gateway::GatewayConfig;
use super::super::problem;
use super::super::read::{Item, Section};
use super::super::tree::Value;
use super::expect;

/// No provider sees more requests or tokens in a period.
const AMOUNT_MAX: u64 = 1_000_000_000_000;

/// Calls that a script may spell out.
const STEPS_MAX: u64 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preset {
    Ledger,
    Realistic,
}

/// The world around one gateway.
pub fn resolve(section: Option<&Section<'_>>, gateway: &GatewayConfig) -> World {
    let preset = preset(section);
    let deployments = gateway.plan.deployments.iter().map(|deployment| {
        let mut world = match preset {
            Preset::Ledger => DeploymentWorld::ledger(&deployment.name),
            Preset::Realistic => realistic(deployment, gateway),
        };
        if let Some(section) = section {
            apply_layers(section, preset, deployment, gateway, &mut world);
        }
        world
    });
    World { deployments: deployments.collect() }
}

/// Reports sections for deployments, models and providers that no gateway has.
pub fn check_names(section: Option<&Section<'_>>, gateways: &[&GatewayConfig]) {
    let Some(section) = section else { return };
    let deployments = gateways.iter().flat_map(|gateway| gateway.plan.deployments.iter().map(|deployment| deployment.name.as_str()));
    let models = gateways.iter().flat_map(|gateway| gateway.plan.models.iter().map(|model| model.name.as_str()));
    let providers = gateways.iter().flat_map(|gateway| gateway.providers.iter().map(|provider| provider.name.as_str()));
    check_kind(section, "deployments", "deployment", deployments.collect());
    check_kind(section, "models", "model", models.collect());
    check_kind(section, "providers", "provider", providers.collect());
}

fn check_kind(section: &Section<'_>, key: &'static str, kind: &str, mut known: Vec<&str>) {
    known.sort_unstable();
    known.dedup();
    for item in section.section(key).iter().flat_map(Section::entries).filter(|item| !known.contains(&item.key)) {
        item.report(problem::unknown_name(item.key_place, kind, item.key, known.iter().copied()));
    }
}

/// Reports what is wrong within the layers, whether a deployment uses them or not.
pub fn check_layers(section: Option<&Section<'_>>) {
    let Some(section) = section else { return };
    let preset = preset(Some(section));
    layer(section, preset, &mut DeploymentWorld::ledger(""));
    for key in ["deployments", "models", "providers"] {
        for item in section.section(key).iter().flat_map(Section::entries) {
            if let Some(section) = item.section() {
                layer(&section, preset, &mut DeploymentWorld::ledger(""));
            }
        }
    }
}

fn preset(section: Option<&Section<'_>>) -> Preset {
    let Some(section) = section else { return Preset::Realistic };
    if let Some(item) = section.item("outcomes")
        && item.choice(&[("model", true), ("recorded", false)]) == Some(false)
    {
        item.report(problem::not_supported_yet(item.place(), "outcomes = \"recorded\"", "write outcomes = \"model\""));
    }
    let presets = [("ledger", Preset::Ledger), ("realistic", Preset::Realistic)];
    section.read("preset", |item| item.choice(&presets)).unwrap_or(Preset::Realistic)
}

/// The realistic preset; whether closing a stream stops the bill is the provider's own rule.
fn realistic(deployment: &Deployment, gateway: &GatewayConfig) -> DeploymentWorld {
    let provider = gateway.providers.iter().find(|provider| provider.name == deployment.provider);
    let cancel_stops_billing = provider.is_none_or(|provider| provider.api.billing().cancel_stops_billing);
    DeploymentWorld { billing: Billing { cancel_stops_billing, ..Billing::REALISTIC }, ..DeploymentWorld::realistic(&deployment.name) }
}

fn apply_layers(section: &Section<'_>, preset: Preset, deployment: &Deployment, gateway: &GatewayConfig, world: &mut DeploymentWorld) {
    layer(section, preset, world);
    let mut apply = |key: &'static str, applies: &dyn Fn(&str) -> bool| {
        for item in section.section(key).iter().flat_map(Section::entries).filter(|item| applies(item.key)) {
            if let Some(section) = item.section() {
                layer(&section, preset, world);
            }
        }
    };
    apply("providers", &|name| name == deployment.provider);
    let is_in = |name: &str| {
        let models = gateway.plan.models.iter().filter(|model| model.name == name);
        models.flat_map(|model| &model.deployments).any(|id| gateway.plan.deployment(*id).name == deployment.name)
    };
    apply("models", &is_in);
    apply("deployments", &|name| name == deployment.name);
}

fn layer(section: &Section<'_>, preset: Preset, world: &mut DeploymentWorld) {
    pace(section, &mut world.pace);
    if let Some(limits) = section.read("limits", Item::section_or_off) {
        let start = world.limiter.take();
        world.limiter = limits.map(|limits| limiter(&limits, preset, start));
    }
    section.put("script", script, &mut world.steps);
    section.put("then", step, &mut world.then);
    section.put("chances", chances, &mut world.chances);
    section.put("outages", outages, &mut world.incidents);
    if let Some(cache) = section.read("prompt_cache", Item::section_or_off) {
        world.prompt_cache = cache.map(|cache| prompt_cache(&cache, preset, world.prompt_cache));
    }
    if let Some(billing) = section.section("billing") {
        billing.put("cancel_stops_billing", Item::boolean, &mut world.billing.cancel_stops_billing);
        billing.put("cancel_lag_tokens", Item::count, &mut world.billing.cancel_lag_tokens);
        billing.put("timeout_billed", Item::boolean, &mut world.billing.timed_out);
        billing.put("failure_billed", Item::boolean, &mut world.billing.failed_after_prefill);
    }
}

/// Either `latency`, the whole answer at once, or `ttft` and `tokens_per_second`.
fn pace(section: &Section<'_>, pace: &mut Pace) {
    let latency = section.read("latency", constant);
    section.put("ttft", constant, &mut pace.first);
    if let Some(speed) = section.read("tokens_per_second", Item::count_from_one) {
        *pace = Pace { chunk_tokens: pace.chunk_tokens, ..Pace::tokens_per_second(pace.first, speed) };
    }
    section.put("chunk_tokens", Item::count_from_one, &mut pace.chunk_tokens);
    if let Some(latency) = latency {
        *pace = Pace { first: latency, ..Pace::INSTANT };
        for key in ["ttft", "tokens_per_second"] {
            if let Some(place) = section.place_of(key) {
                section.report(problem::needs_other(place, key, "no `latency`: that is the time of the whole answer"));
            }
        }
    }
}

/// A duration that is always the same.
fn constant(item: Item<'_>) -> Option<Span> {
    if item.is_table() {
        let instead = format!("write a duration, which is then always the same: {} = \"300ms\"", item.key);
        item.report(problem::not_supported_yet(item.place(), "a distribution", &instead));
        return None;
    }
    item.span()
}

fn limiter(section: &Section<'_>, preset: Preset, start: Option<Limiter>) -> Limiter {
    let mut limiter = start.unwrap_or_else(|| match preset {
        Preset::Ledger => Limiter { limits: Vec::new(), ..Limiter::ledger(1, 1, Refill::Bucket) },
        Preset::Realistic => Limiter { limits: Vec::new(), ..Limiter::openai(1, 1) },
    });
    let windows = [("bucket", Refill::Bucket), ("fixed", Refill::Window(Anchor::Clock)), ("start", Limiter::WINDOWS_FROM_START)];
    let stated_window = section.read("window", |item| item.choice(&windows));
    let refill = stated_window.or(limiter.limits.first().map(|limit| limit.refill)).unwrap_or(Refill::Bucket);
    for limit in limiter.limits.iter_mut().filter(|_| stated_window.is_some()) {
        limit.refill = refill;
    }
    let day = Span::from_secs(86_400);
    for (key, counts, period) in [
        ("rps", Counted::Requests, Span::SECOND),
        ("rpm", Counted::Requests, Span::MINUTE),
        ("rpd", Counted::Requests, day),
        ("tpm", Counted::TotalTokens, Span::MINUTE),
        ("tpd", Counted::TotalTokens, day),
        ("itpm", Counted::InputTokens, Span::MINUTE),
        ("otpm", Counted::OutputTokens, Span::MINUTE),
    ] {
        if let Some(amount) = section.read(key, |item| item.whole(1, AMOUNT_MAX)) {
            limiter.limits.retain(|limit| (limit.counts, limit.period) != (counts, period));
            limiter.limits.push(ProviderLimit { counts, amount, period, refill, starts: Span::ZERO });
        }
    }
    let unstated = match limiter.basis {
        Basis::MaxTokens { unstated } => unstated,
        Basis::Actual => 16,
    };
    section.put("basis", |item| item.choice(&[("actual", Basis::Actual), ("max_tokens", Basis::MaxTokens { unstated })]), &mut limiter.basis);
    section.put("rejects_count", Item::boolean, &mut limiter.rejects_count);
    section.put("retry_after", retry_after, &mut limiter.retry_after);
    limiter
}

fn retry_after(item: Item<'_>) -> Option<RetryAfter> {
    match item.text()? {
        "none" => Some(RetryAfter::Absent),
        "until_it_fits" => Some(RetryAfter::UntilItFits),
        _ => item.span_above_zero().map(RetryAfter::Fixed),
    }
}

fn script(item: Item<'_>) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for item in item.list()? {
        let Some(section) = item.section() else { continue };
        let times = section.read("times", |item| item.whole(1, STEPS_MAX)).unwrap_or(1);
        let step = step_of(&section);
        if steps.len() as u64 + times > STEPS_MAX {
            item.report(problem::malformed(item.place(), "times", &format!("at most {STEPS_MAX} calls in all"), "the script is longer", "3"));
            return None;
        }
        steps.extend((0..times).filter_map(|_| step));
    }
    Some(steps)
}

fn step(item: Item<'_>) -> Option<Step> {
    step_of(&item.section()?)
}

/// What a call meets: one of `status`, `hang`, `reset`, `cut_after`; without any, a whole answer.
fn step_of(section: &Section<'_>) -> Option<Step> {
    let kinds: Vec<&str> = ["status", "hang", "reset", "cut_after"].into_iter().filter(|key| section.place_of(key).is_some()).collect();
    if let [first, second, ..] = kinds.as_slice() {
        section.report(problem::needs_other(
            section.place_of(second).unwrap_or(section.place()),
            second,
            &format!("a step of its own: `{first}` is there"),
        ));
    }
    let status = section.read("status", |item| item.whole(400, 599)).and_then(|status| u16::try_from(status).ok());
    let retry_after = section.read("retry_after", Item::span);
    let reasons = [("plain", Reason::Plain), ("context_window", Reason::ContextWindow), ("content_policy", Reason::ContentPolicy)];
    let reason = section.read("reason", |item| item.choice(&reasons)).unwrap_or(Reason::Plain);
    if status.is_none() {
        for key in ["retry_after", "reason"] {
            if let Some(place) = section.place_of(key).filter(|_| section.place_of("status").is_none()) {
                section.report(problem::needs_other(place, key, "`status`"));
            }
        }
    }
    let hang = section.read("hang", hang);
    let reset = section.read("reset", Item::boolean);
    let cut = section.read("cut_after", Item::count);
    let pace = section.read("latency", constant).map(|first| Pace { first, ..Pace::INSTANT });
    let input_tokens = section.read("input_tokens", Item::count);
    let output_tokens = section.read("output_tokens", Item::count);
    let answer = match (status, hang, reset, cut) {
        (Some(status), ..) => Answer::Status { status, retry_after, reason },
        (_, Some(hang), ..) if hang > Span::ZERO => Answer::Hang(hang),
        (_, _, Some(true), _) => Answer::Broken,
        (.., Some(chunks)) => Answer::Cut { chunks },
        _ => Answer::Whole,
    };
    Some(Step { answer, pace, input_tokens, output_tokens })
}

/// `true` hangs for ever, a duration until the provider closes.
fn hang(item: Item<'_>) -> Option<Span> {
    match item.node().value {
        Value::Boolean(true) => Some(Span::MAX),
        Value::Boolean(false) => Some(Span::ZERO),
        _ => item.span_above_zero(),
    }
}

fn chances(item: Item<'_>) -> Option<Vec<Chance>> {
    let (mut chances, mut sum) = (Vec::new(), 0_u32);
    for item in item.list()? {
        let Some(section) = item.section() else { continue };
        let per_million = section.require("share", "0.01", expect::share);
        let step = step_of(&section);
        let (Some(per_million), Some(step)) = (per_million, step) else { continue };
        sum = sum.saturating_add(per_million);
        chances.push(Chance { per_million, step });
    }
    if sum > 1_000_000 {
        item.report(problem::malformed(item.place(), "share", "at most 1 for all chances together", "they are more", "0.01"));
        return None;
    }
    Some(chances)
}

fn outages(item: Item<'_>) -> Option<Vec<Incident>> {
    let mut outages = Vec::new();
    for item in item.list()? {
        let Some(section) = item.section() else { continue };
        let from = section.require("from", "\"10m\"", Item::span);
        let lasts = section.require("for", "\"6h\"", Item::span_above_zero);
        let step = step_of(&section);
        let (Some(from), Some(lasts), Some(step)) = (from, lasts, step) else { continue };
        // An outage that says nothing else is a 503.
        let step = if step.answer == Answer::Whole { Step { pace: step.pace, ..Step::status(503) } } else { step };
        outages.push(Incident::outage(from, lasts, step));
    }
    Some(outages)
}

fn prompt_cache(section: &Section<'_>, preset: Preset, start: Option<PromptCache>) -> PromptCache {
    /// The lower end of what OpenAI states (5 to 10 minutes), and Anthropic's short lifetime.
    const TTL: Span = Span::from_secs(300);
    let visible = |cache: PromptCache| match preset {
        Preset::Ledger => cache,
        Preset::Realistic => cache.visible_at_first_token(),
    };
    let kinds = [("openai", visible(PromptCache::openai(TTL))), ("anthropic", visible(PromptCache::anthropic(TTL)))];
    let stated = match section.item("kind") {
        Some(item) => item.choice(&kinds),
        None => {
            if start.is_none() {
                section.report(problem::missing_key(section.place(), "kind", "`prompt_cache`", "\"openai\""));
            }
            None
        }
    };
    let mut cache = stated.or(start).unwrap_or(PromptCache::openai(TTL));
    section.put("ttl", Item::span_above_zero, &mut cache.ttl);
    section.put("minimum", Item::count, &mut cache.tokens_min);
    section.put("step", Item::count_from_one, &mut cache.step);
    let writes = [("plain", CacheWrite::Plain), ("short", CacheWrite::Short), ("hour", CacheWrite::Hour)];
    section.put("write", |item| item.choice(&writes), &mut cache.write);
    section.put("visible", |item| item.choice(&[("arrival", Visible::Arrival), ("first_token", Visible::FirstToken)]), &mut cache.visible);
    cache
}
