//! `[traffic.overlay]`, and what made-up traffic has in common with it: senders, models, streams, clients that leave, duplicates. Lays nothing over.

use crate::gateway::time::Span;
use crate::traffic::overlay::{Duplicates, Overlay, Patience, Repeated, Shares};

use super::super::distribution::{self, Unit, within};
use super::super::gateway::GatewayConfig;
use super::super::problem;
use super::super::read::{Item, Section};
use super::super::tree::Value;
use super::{expect, traffic};

/// More senders than a scenario needs, and few enough to be told apart in a report.
const NAMES_MAX: u64 = 100_000;

/// Exponents of Zipf's law: 0 is equal shares, and at 5 the first has 96 %.
pub(super) const EXPONENTS: (f64, f64) = (0.0, 5.0);

/// Reads `[traffic.overlay]`.
pub(super) fn read(section: &Section<'_>, gateways: &[&GatewayConfig]) -> Overlay {
    let (keys, teams) = senders(section, None);
    Overlay { keys, teams, replace: section.read("replace", Item::boolean).unwrap_or(false), ..requests(section, gateways) }
}

/// What requests are like, whoever sends them.
pub(super) fn requests(section: &Section<'_>, gateways: &[&GatewayConfig]) -> Overlay {
    Overlay {
        models: section.read("models", |item| models(item, gateways)),
        stream_per_million: section.read("stream", expect::share),
        abandon: abandon(section),
        max_tokens: section.read("max_tokens", |item| distribution::read(item, Unit::Number)),
        duplicates: section.read("duplicates", duplicates),
        ..Overlay::default()
    }
}

/// Keys and teams: `keys = 40` or a list of names, `key_skew`, `teams`. `preset` is for who states nothing.
pub(super) fn senders(section: &Section<'_>, preset: Option<(usize, f64)>) -> (Option<Shares>, Vec<String>) {
    let keys = section.read("keys", |item| names(item, "key")).or_else(|| preset.map(|(count, _)| numbered("key", count)));
    let skew = section.read("key_skew", |item| within(item, EXPONENTS)).or(preset.map(|(_, skew)| skew));
    let teams = section.read("teams", |item| names(item, "team")).unwrap_or_default();
    let has_keys = preset.is_some() || section.place_of("keys").is_some();
    if let Some(place) = section.place_of("key_skew").filter(|_| !has_keys) {
        section.report(problem::needs_other(place, "key_skew", "`keys`"));
    }
    (keys.map(|keys| Shares::zipf(keys, skew.unwrap_or(0.0))), teams)
}

/// A list of names, or how many there are.
fn names(item: Item<'_>, kind: &str) -> Option<Vec<String>> {
    if !matches!(item.node().value, Value::List(_)) {
        let count = item.whole(1, NAMES_MAX)?;
        return Some(numbered(kind, usize::try_from(count).ok()?));
    }
    let items = item.names()?;
    let names: Vec<String> = items.iter().filter_map(|item| item.name()).collect();
    if items.is_empty() {
        item.report(problem::malformed(item.place(), item.key, "names, or how many there are", "the list is empty", "40"));
    }
    (!names.is_empty() && names.len() == items.len()).then_some(names)
}

fn numbered(kind: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{kind}-{number}")).collect()
}

/// `{ "gpt-4o-mini" = 8, "gpt-4o" = 2 }`.
fn models(item: Item<'_>, gateways: &[&GatewayConfig]) -> Option<Shares> {
    let entries = item.section()?.entries();
    let weights: Vec<(String, f64)> = entries
        .iter()
        .filter_map(|item| {
            let (is_known, weight) = (traffic::is_model(item.key, item.key_place, item, gateways), within(*item, (0.0, 1e9)));
            weight.filter(|_| is_known).map(|weight| (item.key.to_owned(), weight))
        })
        .collect();
    if weights.len() < entries.len() {
        return None;
    }
    if weights.iter().all(|(_, weight)| *weight == 0.0) {
        let example = "{ \"gpt-4o-mini\" = 8, \"gpt-4o\" = 2 }";
        item.report(problem::malformed(item.place(), item.key, "models with weights", "none has a weight above 0", example));
        return None;
    }
    let (names, weights): (Vec<String>, Vec<f64>) = weights.into_iter().unzip();
    Some(Shares::weighted(names, weights.into_iter()))
}

fn abandon(section: &Section<'_>) -> Option<(u32, Patience)> {
    let share = section.read("abandon", expect::share);
    let waited = section.read("patience", |item| distribution::read(item, Unit::Duration));
    let tokens = section.read("patience_tokens", |item| distribution::read(item, Unit::Number));
    if let Some(place) = section.place_of("patience_tokens").filter(|_| section.place_of("patience").is_some()) {
        section.report(problem::needs_other(place, "patience_tokens", "no `patience`: a client leaves for one of the two"));
    }
    for key in ["patience", "patience_tokens"] {
        if let Some(place) = section.place_of(key).filter(|_| section.place_of("abandon").is_none()) {
            section.report(problem::needs_other(place, key, "`abandon`, the share of clients that leave"));
        }
    }
    let patience = waited.map(Patience::Waited).or(tokens.map(Patience::Tokens)).unwrap_or_default();
    share.map(|share| (share, patience))
}

fn duplicates(item: Item<'_>) -> Option<Duplicates> {
    let section = item.section()?;
    let per_million = section.require("share", "0.05", expect::share);
    let zipf = section.read("zipf", |item| within(item, EXPONENTS)).unwrap_or(1.0);
    let window = section.read("within", Item::span_above_zero);
    let standing = section.read("standing", Item::count_from_one);
    if let Some(place) = section.place_of("standing").filter(|_| section.place_of("within").is_some()) {
        section.report(problem::needs_other(place, "standing", "no `within`: standing prompts come again at any time"));
    }
    let of = standing.map_or(Repeated::Within(window.unwrap_or(Span::from_secs(3_600))), Repeated::Standing);
    Some(Duplicates { per_million: per_million?, zipf, of })
}
