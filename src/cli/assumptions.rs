//! What the numbers of a run rest on, in words: how the simulated world was set. Decides wording only.

mod clients;
mod traffic;

pub use traffic::of_traffic;

use crate::config::scenario::ScenarioVariant;
use crate::report::Assumption;
use crate::report::numbers::counted;
use crate::sim::client::Habits;
use crate::sim::world::{Basis, DeploymentWorld, Pace, PromptCache, Visible};
use crate::traffic::replay::link::Links;

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
    if worlds.iter().any(|world| world.recorded_outcomes) {
        let value = "as recorded where a variant's first call is the log's: optimistic, its load then is not the variant's";
        found.push(assume("latency and failures", value.to_owned(), "log"));
    }
    let deployments = || variants.iter().flat_map(|variant| &variant.gateway.plan.deployments);
    if deployments().any(|deployment| deployment.rates.cards().count() > 1) {
        let value = "by when a call is made; a date is its midnight in UTC, whatever the provider's own clock";
        found.push(assume("price changes", value.to_owned(), "assumed"));
    }
    if variants.iter().any(|variant| variant.gateway.reserved.iter().any(|reserved| !reserved.is_nothing())) {
        found.push(assume("reserved capacity", "paid from the first arrival to the last, whether it is called or not".to_owned(), "gateway"));
    }
    if variants.iter().any(|variant| variant.gateway.plan.models.len() > 1) {
        found.push(assume("answer quality", "not measured".to_owned(), "assumed"));
    }
    found
}

/// What was made of client retries in the log, where it has any. `habits` are the clients that it is replayed with.
pub fn of_links(links: Links, habits: &Habits) -> Option<Assumption> {
    if links.linked == 0 && links.ambiguous == 0 {
        return None;
    }
    let mut value = format!("{} taken for them, not for arrivals", counted(links.linked, "row"));
    if links.ambiguous > 0 {
        value += &format!("; {} in doubt, replayed", counted(links.ambiguous, "row"));
    }
    if habits.sdk.is_none_or(|sdk| sdk.retries == 0) {
        value += "; clients make none here";
    }
    Some(Assumption { what: "client retries in the log".to_owned(), value, source: "assumed".to_owned() })
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
    let scripted = worlds.iter().filter(|world| !(world.steps.is_empty() && world.chances.is_empty() && world.outages.is_empty())).count();
    match scripted {
        0 => "none".to_owned(),
        some => format!("as the world says, on {some} of {} deployments", worlds.len()),
    }
}
