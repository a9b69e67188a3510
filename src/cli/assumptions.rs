//! What the numbers of a run rest on, in words: how the simulated world was set. Decides wording only.

mod clients;
mod traffic;

pub use traffic::of_traffic;

use crate::config::scenario::ScenarioVariant;
use crate::report::Assumption;
use crate::report::numbers::counted;
use crate::sim::client::Habits;
use crate::sim::presets::{self, Figure, Preset};
use crate::sim::world::{Basis, Billing, DeploymentWorld, Kind, Pace, PromptCache, Visible, When};
use crate::traffic::replay::link::Links;

/// The assumptions behind all variants together.
pub fn of(variants: &[ScenarioVariant]) -> Vec<Assumption> {
    let worlds = worlds(variants);
    let assume = |what: &str, value: String, source: &str| Assumption { what: what.to_owned(), value, source: source.to_owned() };
    let mut found = vec![
        assume("latency", latency(&worlds), "world"),
        assume("provider limits", limits(&worlds), "world"),
        assume("prompt cache", prompt_cache(&worlds), "world"),
        assume("provider failures", failures(&worlds), "world"),
    ];
    found.extend(cut_short(&worlds).map(|value| assume("calls cut short", value, "world")));
    found.extend(used_presets(&worlds).into_iter().map(|(preset, value)| assume(&format!("preset {}", preset.name), value, "docs/presets.md")));
    // One scenario has the same clients in all variants.
    if let Some(variant) = variants.first() {
        found.extend(clients::of(&variant.clients.habits).into_iter().map(|(what, value, source)| assume(what, value, source)));
    }
    if worlds.iter().any(|world| world.recorded_outcomes) {
        let taken = worlds.iter().any(|world| world.recorded_outcomes && world.places.is_some());
        let places = if taken { ", and it takes no place from others" } else { "" };
        let value = format!("as recorded where a variant's first call is the log's: optimistic, its load then is not the variant's{places}");
        found.push(assume("latency and failures", value, "log"));
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

/// Every figure of the presets that the variants use, with its strength and its source. What a world states beside a preset is not among them.
pub fn figures(variants: &[ScenarioVariant]) -> Vec<Assumption> {
    let worlds = worlds(variants);
    let of_preset = |preset: &'static Preset| {
        let assumption = move |figure: Figure| {
            let whose = if figure.model.is_empty() { preset.name.to_owned() } else { format!("{}, {}", preset.name, figure.model) };
            Assumption { what: whose, value: figure.setting.to_string(), source: format!("{}: {}", figure.strength.letter(), figure.source) }
        };
        used_figures(preset, &worlds).into_iter().map(assumption)
    };
    presets::PRESETS.iter().flat_map(of_preset).collect()
}

/// All deployments. Variants differ in their gateways; a deployment that several of them have is one.
fn worlds(variants: &[ScenarioVariant]) -> Vec<&DeploymentWorld> {
    let mut worlds: Vec<&DeploymentWorld> = variants.iter().flat_map(|variant| &variant.world.deployments).collect();
    worlds.sort_by_key(|world| &world.name);
    worlds.dedup_by_key(|world| &world.name);
    worlds
}

fn latency(worlds: &[&DeploymentWorld]) -> String {
    let count = |which: &dyn Fn(&DeploymentWorld) -> bool| worlds.iter().filter(|world| which(world)).count();
    let is_drawn = |world: &DeploymentWorld| world.varies.is_some();
    let at_once = count(&|world| world.pace == Pace::INSTANT && !is_drawn(world));
    if at_once == worlds.len() {
        return "none: every answer comes at once".to_owned();
    }
    let mut parts = match (at_once, count(&is_drawn)) {
        (0, 0) => vec!["as the world's paces say, the same for every call".to_owned()],
        (0, all) if all == worlds.len() => vec!["drawn for every call".to_owned()],
        (0, some) => vec![format!("drawn for every call on {some} of {} deployments, the same for every call on the others", worlds.len())],
        (none, _) => vec![format!("none on {none} of {} deployments", worlds.len())],
    };
    let by_default = count(&|world| world.pace == Pace::REALISTIC && !is_drawn(world));
    if by_default > 0 {
        parts.push(format!("500 ms to the first token, then 80 tokens a second (S) on {by_default} of {} deployments", worlds.len()));
    }
    if count(&|world| world.prefill != crate::gateway::time::Span::ZERO) > 0 {
        parts.push("longer for longer prompts (U)".to_owned());
    }
    parts.join("; ")
}

fn limits(worlds: &[&DeploymentWorld]) -> String {
    let limiters: Vec<_> = worlds.iter().filter_map(|world| world.limiter.as_ref()).filter(|limiter| !limiter.limits.is_empty()).collect();
    let places = worlds.iter().filter(|world| world.places.is_some()).count();
    let places = || format!("so many calls at one time on {places} of {} deployments", worlds.len());
    if limiters.is_empty() {
        let has_places = worlds.iter().any(|world| world.places.is_some());
        return if has_places { places() } else { "none: no provider answers 429".to_owned() };
    }
    let basis = if limiters.iter().all(|limiter| limiter.basis == Basis::Actual) { "actual tokens" } else { "max_tokens" };
    let rejects = if limiters.iter().any(|limiter| limiter.rejects_count) { "rejects count" } else { "rejects are free" };
    let mut text = format!("on {} of {} deployments, by {basis}, {rejects}", limiters.len(), worlds.len());
    if worlds.iter().any(|world| world.places.is_some()) {
        text.push_str(&format!("; {}", places()));
    }
    text
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
    let fails = |world: &&&DeploymentWorld| !(world.steps.is_empty() && world.chances.is_empty() && world.incidents.is_empty());
    let failing = worlds.iter().filter(fails).count();
    if failing == 0 {
        return "none".to_owned();
    }
    let incidents = || worlds.iter().flat_map(|world| &world.incidents);
    let kinds = [(Kind::Outage, "outages"), (Kind::Brownout, "brownouts"), (Kind::Burst, "bursts of errors")];
    let is_drawn = |kind: Kind| incidents().any(|incident| incident.kind == kind && matches!(incident.when, When::Drawn { .. }));
    let drawn: Vec<&str> = kinds.into_iter().filter(|(kind, _)| is_drawn(*kind)).map(|(_, name)| name).collect();
    let drawn = if drawn.is_empty() { String::new() } else { format!("; {} drawn, the same for every variant", drawn.join(", ")) };
    format!("as the world says, on {failing} of {} deployments{drawn}", worlds.len())
}

/// What is billed for calls that don't end well, unless that is what the gateway sees.
fn cut_short(worlds: &[&DeploymentWorld]) -> Option<String> {
    let billings = || worlds.iter().map(|world| world.billing);
    if billings().all(|billing| billing == Billing::EXACT) {
        return None;
    }
    let stops = billings().filter(|billing| billing.cancel_stops_billing).count();
    let mut lags: Vec<u32> = billings().filter(|billing| billing.cancel_stops_billing).map(|billing| billing.cancel_lag_tokens).collect();
    lags.sort_unstable();
    let lag = match (lags.first(), lags.last()) {
        (Some(least), Some(most)) if least == most => format!(" after {least} tokens (U)"),
        (Some(least), Some(most)) => format!(" after {least} to {most} tokens (U)"),
        _ => String::new(),
    };
    let timed_out = if billings().all(|billing| billing.timed_out) { "time-outs are billed alike (S)" } else { "not every time-out is billed" };
    let failed = if billings().any(|billing| billing.failed_after_prefill) { "failures cost their input" } else { "failures are free (U)" };
    Some(format!("closing a stream stops the bill on {stops} of {} deployments (P){lag}; {timed_out}; {failed}", worlds.len()))
}

/// The presets that deployments were made by, in short: what each is about, and how strong that is.
fn used_presets(worlds: &[&DeploymentWorld]) -> Vec<(&'static Preset, String)> {
    let used = presets::PRESETS.iter().filter(|preset| worlds.iter().flat_map(|world| &world.presets).any(|used| used.preset == preset.name));
    let text = |preset: &Preset| {
        let mut topics: Vec<(&str, Vec<char>)> = Vec::new();
        for figure in used_figures(preset, worlds) {
            let (topic, letter) = (figure.setting.topic(), figure.strength.letter());
            match topics.iter_mut().find(|(other, _)| *other == topic) {
                Some((_, letters)) if letters.contains(&letter) => {}
                Some((_, letters)) => letters.push(letter),
                None => topics.push((topic, vec![letter])),
            }
        }
        let shown = |(topic, letters): (&str, Vec<char>)| format!("{topic} ({})", letters.iter().map(char::to_string).collect::<Vec<_>>().join(", "));
        topics.into_iter().map(shown).collect::<Vec<_>>().join(", ")
    };
    used.map(|preset| (preset, text(preset))).collect()
}

/// The figures of a preset that hold for one of the deployments that were made by it.
fn used_figures(preset: &Preset, worlds: &[&DeploymentWorld]) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    for used in worlds.iter().flat_map(|world| &world.presets).filter(|used| used.preset == preset.name) {
        for figure in preset.figures(&used.model) {
            if !figures.contains(&figure) {
                figures.push(figure);
            }
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Options};

    fn variants(world: &str) -> Vec<ScenarioVariant> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("scenario.toml");
        let deployments =
            r#"[{ id = "a", provider = "openai", model = "gpt-4o-mini" }, { id = "b", provider = "anthropic", model = "claude-3-haiku" }]"#;
        let text = format!("gateway.models.mini.deployments = {deployments}\n[traffic]\ntrace = \"t.csv\"\nmodel = \"mini\"\n[world]\n{world}");
        std::fs::write(&path, text).expect("a file");
        std::fs::write(directory.path().join("t.csv"), "").expect("a file");
        config::load_scenario(&path, &Options::default()).unwrap_or_else(|problems| panic!("{problems}")).value.variants
    }

    fn lines(world: &str) -> Vec<String> {
        of(&variants(world)).into_iter().map(|assumption| format!("{} {}", assumption.what, assumption.value)).collect()
    }

    #[test]
    fn defaults_are_said_with_their_strength() {
        let expected = [
            "latency as the world's paces say, the same for every call; 500 ms to the first token, then 80 tokens a second (S) on 2 of 2 deployments",
            "provider limits none: no provider answers 429",
            "prompt cache none: all input at the plain rate",
            "provider failures none",
            "calls cut short closing a stream stops the bill on 2 of 2 deployments (P) after 16 tokens (U); time-outs are billed alike (S); failures are \
             free (U)",
        ];
        assert_eq!(lines("")[..], expected);
        assert_eq!(lines("preset = \"ledger\"")[0], "latency none: every answer comes at once");
    }

    #[test]
    fn what_is_drawn_and_who_waits_is_said() {
        let world = "ttft = { p50 = \"1s\", p95 = \"2s\" }\nlimits = { concurrency = 5 }\nbursts = { every = \"1h\", for = \"1m\", share = 0.5 }\n";
        let lines = lines(world);
        assert_eq!(lines[..2], ["latency drawn for every call", "provider limits so many calls at one time on 2 of 2 deployments"]);
        assert_eq!(lines[3], "provider failures as the world says, on 2 of 2 deployments; bursts of errors drawn, the same for every variant");
    }

    /// Every figure that changes a world is in the report, with its strength and where it is from.
    #[test]
    fn every_figure_that_a_run_uses_is_in_its_report() {
        let variants = variants("[world.providers.openai]\npreset = \"openai-tier-1\"\n[world.providers.anthropic]\npreset = \"anthropic\"\n");
        let said = figures(&variants);
        for (preset, model) in [("openai-tier-1", "gpt-4o-mini"), ("anthropic", "claude-3-haiku")] {
            for figure in presets::find(preset).expect("it is there").figures(model) {
                let source = format!("{}: {}", figure.strength.letter(), figure.source);
                let is_it = |line: &&Assumption| line.value == figure.setting.to_string() && line.source == source && line.what.starts_with(preset);
                assert_eq!(said.iter().filter(is_it).count(), 1, "{preset}: {}", figure.setting);
            }
        }
        assert!(said.iter().any(|line| line.what == "openai-tier-1, gpt-4o-mini" && line.value == "500 requests a minute"));
        let short = of(&variants).into_iter().find(|line| line.what == "preset openai-tier-1").expect("a line for each preset");
        let expected = "first token (U), prompt cache (P), calls cut short (P, U), outages (M), how limits count (S, P), limits (S)";
        assert_eq!((short.value.as_str(), short.source.as_str()), (expected, "docs/presets.md"));
    }
}
