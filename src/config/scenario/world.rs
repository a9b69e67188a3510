//! `[world]`: what providers are like, in layers from all deployments to one. Nothing is called.
//!
//! Each deployment starts from the preset; then come `[world]` itself, its provider's, its models' and its own section, each on top of the last.

#[cfg(test)]
mod error_tests;
mod incidents;
mod limits;
mod pace;
mod steps;

use crate::gateway::plan::Deployment;
use crate::gateway::time::Span;
use crate::sim::presets;
use crate::sim::world::{Billing, CacheWrite, DeploymentWorld, PromptCache, Visible, World};

use super::super::gateway::GatewayConfig;
use super::super::problem;
use super::super::read::{Item, Section};
use super::super::tree::Value;

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
    let about = About { preset: preset(Some(section)), model: "", luck_of: "", provider: "" };
    layer(section, about, &mut DeploymentWorld::ledger(""));
    for key in ["deployments", "models", "providers"] {
        for item in section.section(key).iter().flat_map(Section::entries) {
            if let Some(section) = item.section() {
                apply_preset(&section, about, &mut DeploymentWorld::ledger(""));
                layer(&section, about, &mut DeploymentWorld::ledger(""));
            }
        }
    }
}

fn preset(section: Option<&Section<'_>>) -> Preset {
    let Some(section) = section else { return Preset::Realistic };
    let words = [("ledger", Preset::Ledger), ("realistic", Preset::Realistic)];
    let read = |item: Item<'_>| {
        if let Value::Text(name) = &item.node().value
            && presets::find(name).is_some()
        {
            let example = "\"realistic\", and the other in [world.providers.NAME]";
            item.report(problem::malformed(item.place(), "preset", "ledger or realistic here", "this is one of a provider", example));
            return None;
        }
        item.choice(&words)
    };
    section.read("preset", read).unwrap_or(Preset::Realistic)
}

/// The realistic preset; whether closing a stream stops the bill is the provider's own rule.
fn realistic(deployment: &Deployment, gateway: &GatewayConfig) -> DeploymentWorld {
    let provider = gateway.providers.iter().find(|provider| provider.name == deployment.provider);
    let cancel_stops_billing = provider.is_none_or(|provider| provider.api.billing().cancel_stops_billing);
    DeploymentWorld { billing: Billing { cancel_stops_billing, ..Billing::REALISTIC }, ..DeploymentWorld::realistic(&deployment.name) }
}

/// What a layer is read for.
#[derive(Clone, Copy)]
struct About<'a> {
    preset: Preset,
    /// The provider's name for the deployment's model.
    model: &'a str,
    /// What is drawn for all that the layer is about is keyed by it.
    luck_of: &'a str,
    /// The same for presets, which are about a provider wherever they stand.
    provider: &'a str,
}

fn apply_layers(section: &Section<'_>, preset: Preset, deployment: &Deployment, gateway: &GatewayConfig, world: &mut DeploymentWorld) {
    // All deployments of a provider are down together; what a model or a deployment is said to be like is its own.
    let shared = About { preset, model: &deployment.model, luck_of: &deployment.provider, provider: &deployment.provider };
    let own = About { luck_of: &deployment.name, ..shared };
    layer(section, shared, world);
    let mut apply = |key: &'static str, about: About<'_>, applies: &dyn Fn(&str) -> bool| {
        for item in section.section(key).iter().flat_map(Section::entries).filter(|item| applies(item.key)) {
            if let Some(section) = item.section() {
                apply_preset(&section, about, world);
                layer(&section, about, world);
            }
        }
    };
    apply("providers", shared, &|name| name == deployment.provider);
    let is_in = |name: &str| {
        let models = gateway.plan.models.iter().filter(|model| model.name == name);
        models.flat_map(|model| &model.deployments).any(|id| gateway.plan.deployment(*id).name == deployment.name)
    };
    apply("models", own, &is_in);
    apply("deployments", own, &|name| name == deployment.name);
}

fn apply_preset(section: &Section<'_>, about: About<'_>, world: &mut DeploymentWorld) {
    let Some(item) = section.item("preset") else { return };
    let Some(name) = item.text() else { return };
    match presets::find(name) {
        Some(preset) => preset.apply(about.model, about.provider, world),
        None => {
            let names: Vec<&str> = presets::PRESETS.iter().map(|preset| preset.name).collect();
            item.report(problem::unknown_word(item.place(), "preset", name, &names));
        }
    }
}

fn layer(section: &Section<'_>, about: About<'_>, world: &mut DeploymentWorld) {
    pace::read(section, world);
    section.put("outcomes", |item| item.choice(&[("model", false), ("recorded", true)]), &mut world.recorded_outcomes);
    limits::read(section, about.preset, world);
    section.put("script", steps::script, &mut world.steps);
    section.put("then", steps::step, &mut world.then);
    section.put("chances", steps::chances, &mut world.chances);
    incidents::read(section, about.luck_of, &mut world.incidents);
    if let Some(cache) = section.read("prompt_cache", Item::section_or_off) {
        world.prompt_cache = cache.map(|cache| prompt_cache(&cache, about.preset, world.prompt_cache));
    }
    if let Some(billing) = section.section("billing") {
        billing.put("cancel_stops_billing", Item::boolean, &mut world.billing.cancel_stops_billing);
        billing.put("cancel_lag_tokens", Item::count, &mut world.billing.cancel_lag_tokens);
        billing.put("timeout_billed", Item::boolean, &mut world.billing.timed_out);
        billing.put("failure_billed", Item::boolean, &mut world.billing.failed_after_prefill);
    }
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
