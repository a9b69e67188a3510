//! Prices as the user pays them: a list, discounts by provider, and overrides by model. A model without a price is an error, never free.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use crate::gateway::rate_card::RateCard;
use crate::price::{Discount, Entry, OverrideRates, PriceError, PriceList, ServiceTier, StatedRates, rate_from_usd_per_mtok};

use super::super::diagnostic::{Diagnostics, Place, Problem};
use super::super::read::{Item, Section};
use super::super::tree::{Node, Value};
use super::super::{files, problem};
use super::providers::Provider;

/// What a model costs at a provider, and how much it takes and gives.
#[derive(Debug, Clone)]
pub struct Price {
    /// What calls cost.
    pub rates: RateCard,
    /// The most input tokens, if the list says.
    pub input_tokens_max: Option<u32>,
    /// The most output tokens, if the list says.
    pub output_tokens_max: Option<u32>,
}

/// The section `[prices]`, read.
#[derive(Debug)]
pub struct Prices<'a> {
    list: &'a PriceList,
    overrides: BTreeMap<String, Entry>,
    discounts: BTreeMap<String, Discount>,
}

/// Which list a configuration asks for: the one of the command line, else its own, else the built-in one. Read before everything else, because a
/// file may have to be taken in.
pub fn list(root: &Node, directory: &Path, on_command_line: Option<&Path>, diagnostics: &mut Diagnostics) -> Cow<'static, PriceList> {
    let built_in = Cow::Borrowed(PriceList::built_in());
    if let Some(path) = on_command_line {
        return from_file(path, None, diagnostics).map_or(built_in, Cow::Owned);
    }
    let Some(node) = stated_list(root) else { return built_in };
    // Anything but text is reported when the section is read.
    let Value::Text(name) = &node.value else { return built_in };
    let is_file = [".csv", ".json"].iter().any(|ending| name.ends_with(ending));
    if is_file {
        return from_file(&directory.join(name), Some(node.place), diagnostics).map_or(built_in, Cow::Owned);
    }
    if PriceList::built_in().date() != Some(name) {
        let there = PriceList::built_in().date().unwrap_or("undated");
        diagnostics.report(problem::malformed(
            node.place,
            "list",
            "the date of the built-in list, or a .csv or .json file",
            &format!("the built-in list is of {there}"),
            &format!("\"{there}\""),
        ));
    }
    built_in
}

fn stated_list(root: &Node) -> Option<&Node> {
    let Value::Table(table) = &root.value else { return None };
    let Value::Table(prices) = &table.find("prices")?.node.value else { return None };
    prices.find("list").map(|entry| &entry.node)
}

fn from_file(path: &Path, place: Option<Place>, diagnostics: &mut Diagnostics) -> Option<PriceList> {
    let (source, name) = files::read(path, place, diagnostics)?;
    let text = diagnostics.text(source);
    let list = if name.ends_with(".csv") { PriceList::from_csv(text, &name) } else { PriceList::from_litellm_json(text, &name) };
    list.map_err(|PriceError { line, column, message, .. }| {
        let start = files::offset(diagnostics.text(source), line, column);
        diagnostics.report(Problem::error(Place::new(source, start..start + 1), message));
    })
    .ok()
}

/// Reads `[prices]`.
pub fn read<'a>(section: Option<&Section<'_>>, list: &'a PriceList, providers: &[Provider]) -> Prices<'a> {
    let mut prices = Prices { list, overrides: BTreeMap::new(), discounts: BTreeMap::new() };
    let Some(section) = section else { return prices };
    section.read("list", Item::text);
    if let Some(discounts) = section.section("discount") {
        for item in discounts.entries() {
            if !providers.iter().any(|provider| provider.name == item.key) {
                item.report(problem::unknown_name(item.key_place, "provider", item.key, providers.iter().map(|provider| provider.name.as_str())));
            }
            if let Some(discount) = discount(item) {
                prices.discounts.insert(item.key.into(), discount);
            }
        }
    }
    if let Some(models) = section.section("models") {
        for item in models.entries() {
            if let Some(entry) = item.section().and_then(|section| stated(item, &section, list)) {
                prices.overrides.insert(item.key.into(), entry);
            }
        }
    }
    prices
}

fn discount(item: Item<'_>) -> Option<Discount> {
    let text = item.number()?;
    Discount::parse(&text)
        .map_err(|error| item.report(problem::malformed(item.place(), item.key, "a discount from 0 to below 1", &error.to_string(), "0.12")))
        .ok()
}

fn stated(item: Item<'_>, section: &Section<'_>, list: &PriceList) -> Option<Entry> {
    let mut stated = OverrideRates { rates: rates(section), ..OverrideRates::default() };
    section.put_some("per_request", Item::money, &mut stated.per_request);
    let base_name = section.read("base", Item::text).unwrap_or(item.key);
    for tier in section.read("tiers", Item::list).unwrap_or_default() {
        let Some(tier) = tier.section() else { continue };
        let above = tier.require("above", "200_000", Item::count_from_one);
        let rates = rates(&tier);
        stated.tiers.extend(above.map(|above| (above, rates)));
    }
    let base = list.find(base_name);
    if let (Err(unknown), Some(place)) = (&base, section.place_of("base")) {
        section.report(problem::no_price(place, base_name, &unknown.list, &unknown.near));
    }
    if ["input", "output"]
        .into_iter()
        .zip([stated.rates.input, stated.rates.output])
        .any(|(key, rate)| rate.is_none() && section.place_of(key).is_some())
    {
        // Reported where it was read.
        return None;
    }
    Entry::from_override(item.key, base.ok(), &stated)
        .map_err(|error| section.report(Problem::error(item.key_place, error.to_string()).help("rates are in USD per million tokens")))
        .ok()
}

fn rates(section: &Section<'_>) -> StatedRates {
    let rate = |item: Item<'_>| {
        let text = item.number()?;
        rate_from_usd_per_mtok(&text).map_err(|error| item.report(problem::bad_rate(item.place(), item.key, &error.to_string()))).ok()
    };
    StatedRates {
        input: section.read("input", rate),
        output: section.read("output", rate),
        cache_read: section.read("cache_read", rate),
        cache_write: section.read("cache_write", rate),
        cache_write_1h: section.read("cache_write_1h", rate),
        reasoning: section.read("reasoning", rate),
    }
}

impl Prices<'_> {
    /// What `model` costs at `provider`. Reported at `place` if nobody knows.
    pub fn price(&self, item: Item<'_>, model: &str, provider: &Provider, service: ServiceTier) -> Option<Price> {
        let discount = self.discounts.get(&provider.name).copied().unwrap_or(Discount::NONE);
        let entry = match self.overrides.get(model) {
            Some(entry) => entry,
            None => self.listed(item, model, provider)?,
        };
        let rates = entry
            .card(discount, service)
            .map_err(|error| item.report(Problem::error(item.place(), error.to_string()).why("it would have no price")))
            .ok()?;
        Some(Price { rates, input_tokens_max: entry.max_input, output_tokens_max: entry.max_output })
    }

    /// The list's entry: of this provider, by its own name or its dialect's, else of whoever sells a model of that name.
    fn listed(&self, item: Item<'_>, model: &str, provider: &Provider) -> Option<&Entry> {
        let by_provider =
            [provider.name.as_str(), provider.api.name()].into_iter().find_map(|seller| self.list.find(&format!("{seller}/{model}")).ok());
        by_provider.or_else(|| {
            self.list.find(model).map_err(|unknown| item.report(problem::no_price(item.place(), model, &unknown.list, &unknown.near))).ok()
        })
    }
}
