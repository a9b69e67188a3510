//! What the numbers of a run rest on, in words: how the simulated world was set. Decides wording only.

mod clients;

use crate::config::scenario::ScenarioVariant;
use crate::report::Assumption;
use crate::sim::world::{Basis, DeploymentWorld, Pace, PromptCache, Visible};

/// The assumptions behind all variants together.
pub fn of(variants: &[ScenarioVariant]) -> Vec<Assumption> {
    let mut worlds: Vec<&DeploymentWorld> = variants.iter().flat_map(|variant| &variant.world.deployments).collect();
    // Variants differ in their gateways; a deployment that several of them have is one.
    worlds.sort_by_key(|world| &world.name);
    worlds.dedup_by_key(|world| &world.name);
    let assume = |what: &str, value: String, source: &str| Assumption { what: what.to_owned(), value, source: source.to_owned() };
    let mut found = vec![
        assume("latency", latency(&worlds), "world"),
        assume("provider limits", limits(&worlds), "world"),
        assume("prompt cache", prompt_cache(&worlds), "world"),
        assume("provider failures", failures(&worlds), "world"),
    ];
    // One scenario has the same clients in all variants.
    if let Some(variant) = variants.first() {
        found.extend(clients::of(&variant.clients.habits).into_iter().map(|(what, value, source)| assume(what, value, source)));
    }
    if variants.iter().any(|variant| variant.gateway.plan.models.len() > 1) {
        found.push(assume("token counts", "the same on every model".to_owned(), "assumed"));
        found.push(assume("answer quality", "not measured".to_owned(), "assumed"));
    }
    found
}

fn latency(worlds: &[&DeploymentWorld]) -> String {
    match worlds.iter().filter(|world| world.pace == Pace::INSTANT).count() {
        0 => "as the world's paces say, the same for every call".to_owned(),
        all if all == worlds.len() => "none: every answer comes at once".to_owned(),
        some => format!("none on {some} of {} deployments", worlds.len()),
    }
}

fn limits(worlds: &[&DeploymentWorld]) -> String {
    let limiters: Vec<_> = worlds.iter().filter_map(|world| world.limiter.as_ref()).collect();
    if limiters.is_empty() {
        return "none: no provider answers 429".to_owned();
    }
    let basis = if limiters.iter().all(|limiter| limiter.basis == Basis::Actual) { "actual tokens" } else { "max_tokens" };
    let rejects = if limiters.iter().any(|limiter| limiter.rejects_count) { "rejects count" } else { "rejects are free" };
    format!("on {} of {} deployments, by {basis}, {rejects}", limiters.len(), worlds.len())
}

fn prompt_cache(worlds: &[&DeploymentWorld]) -> String {
    let caches: Vec<&PromptCache> = worlds.iter().filter_map(|world| world.prompt_cache.as_ref()).collect();
    if caches.is_empty() {
        return "none: all input at the plain rate".to_owned();
    }
    let visible = if caches.iter().all(|cache| cache.visible == Visible::Arrival) { "arrival" } else { "the first token" };
    format!("on {} of {} deployments, readable from {visible} on", caches.len(), worlds.len())
}

fn failures(worlds: &[&DeploymentWorld]) -> String {
    let scripted = worlds.iter().filter(|world| !(world.steps.is_empty() && world.chances.is_empty() && world.incidents.is_empty())).count();
    match scripted {
        0 => "none".to_owned(),
        some => format!("as the world says, on {some} of {} deployments", worlds.len()),
    }
}
