//! Prices as the user pays them: a list, what the contract changes about it, and from when on. A model without a price is an error, never free.

use std::borrow::Cow;
use std::path::Path;

use crate::gateway::plan::Deployment;
use crate::gateway::rate_card::{RateCard, RateSchedule};
use crate::gateway::time::Time;
use crate::price::{Entry, PriceError, PriceList, Reserved, ServiceTier};

use super::super::diagnostic::{Diagnostics, Place, Problem};
use super::super::read::{Item, Section};
use super::super::tree::{Node, Value};
use super::super::{files, problem};
use super::providers::Provider;
use super::terms::Terms;

/// What a deployment costs, and how much its model takes and gives.
#[derive(Debug, Clone)]
pub struct Price {
    /// What calls cost.
    pub rates: RateSchedule,
    /// The most input tokens, if the list says.
    pub input_tokens_max: Option<u32>,
    /// The most output tokens, if the list says.
    pub output_tokens_max: Option<u32>,
}

/// What is to be priced.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The deployment's name.
    pub deployment: &'a str,
    /// The model as price lists call it.
    pub model: &'a str,
    /// Who sells it.
    pub provider: &'a Provider,
    /// The service tier that the deployment states.
    pub service: Option<ServiceTier>,
}

/// The section `[prices]`, read.
#[derive(Debug)]
pub struct Prices<'a> {
    list: &'a PriceList,
    /// What holds from each instant on; the first from the beginning of time.
    terms: Vec<(Time, Terms)>,
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
    let mut prices = Prices { list, terms: vec![(Time(0), Terms::default())] };
    let Some(section) = section else { return prices };
    section.read("list", Item::text);
    prices.terms[0].1.read(section, list, providers);
    let mut before: Option<(Time, Place)> = None;
    for change in section.read("changes", Item::one_or_more).unwrap_or_default() {
        let Some(change) = change.section() else { continue };
        let from = change.require("from", "2026-12-01", |item| Some((from(item)?, item.place())));
        let mut terms = prices.terms.last().map(|(_, terms)| terms.clone()).unwrap_or_default();
        if !terms.read(&change, list, providers) {
            change.report(problem::missing_key(change.place(), "models", "a price change", "{ \"gpt-4o\" = { input = 2.00, output = 8.00 } }"));
        }
        let Some((from, place)) = from else { continue };
        match before {
            Some((earlier, earlier_place)) if from <= earlier => change.report(problem::not_after(place, "a price change", earlier_place)),
            _ => {
                before = Some((from, place));
                prices.terms.push((from, terms));
            }
        }
    }
    prices
}

/// The instant that a price change holds from. A date without a time is its midnight in UTC: providers do not say whose midnight they mean (U).
fn from(item: Item<'_>) -> Option<Time> {
    let (Value::Datetime(text) | Value::Text(text)) = &item.node().value else { return item.instant() };
    let Ok(date) = text.parse::<jiff::civil::Date>() else { return item.instant() };
    if text.len() > "2026-12-01".len() {
        return item.instant();
    }
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    match u64::try_from(midnight.as_nanosecond()) {
        Ok(nanos) => Some(Time(nanos)),
        Err(_) => item.instant(),
    }
}

impl Prices<'_> {
    /// Reports prices of deployments that are not there.
    pub fn check_deployments<'n>(&self, known: impl Iterator<Item = &'n str> + Clone, diagnostics: &Diagnostics) {
        // Each change starts from what was stated before it: the last has all names.
        for (name, place) in self.terms.last().into_iter().flat_map(|(_, terms)| terms.deployments_named()) {
            if !known.clone().any(|known| known == name) {
                diagnostics.report(problem::unknown_name(place, "deployment", name, known.clone()));
            }
        }
    }

    /// What a deployment costs, from the beginning of time on. Reported at `item`, which names the model, if nobody knows.
    pub fn price(&self, item: Item<'_>, wanted: &Wanted<'_>) -> Option<Price> {
        let mut cards: Vec<(Time, RateCard)> = Vec::new();
        for (from, terms) in &self.terms {
            let fixed = terms.fixed(wanted.deployment);
            let entry = match fixed.or_else(|| terms.model(wanted.model)) {
                Some(entry) => entry,
                None => self.listed(item, wanted.model, wanted.provider)?,
            };
            let card = entry
                .card(terms.discount(wanted), terms.service(wanted))
                .map_err(|error| item.report(Problem::error(item.place(), error.to_string()).why("it would have no price")))
                .ok()?;
            if cards.last().is_none_or(|(_, last)| *last != card) {
                cards.push((*from, card));
            }
        }
        let entry = self.terms[0].1.model(wanted.model).or_else(|| self.found(wanted.model, wanted.provider));
        let (_, card) = cards.remove(0);
        let (input_tokens_max, output_tokens_max) = entry.map_or((None, None), |entry| (entry.max_input, entry.max_output));
        Some(Price { rates: RateSchedule::new(card, cards), input_tokens_max, output_tokens_max })
    }

    /// What deployments cost by the hour, called or not.
    pub fn reserved(&self, deployments: &[Deployment]) -> Vec<Reserved> {
        let ids = (0..).zip(deployments).map(|(id, deployment)| {
            let per_hour = self.terms.iter().map(|(from, terms)| (*from, terms.reserved(&deployment.name)));
            Reserved::new(crate::gateway::id::DeploymentId(id), per_hour)
        });
        ids.filter(|reserved| !reserved.is_nothing()).collect()
    }

    /// The list's entry; reported at `item` if there is none.
    fn listed(&self, item: Item<'_>, model: &str, provider: &Provider) -> Option<&Entry> {
        self.found(model, provider).or_else(|| {
            self.list.find(model).map_err(|unknown| item.report(problem::no_price(item.place(), model, &unknown.list, &unknown.near))).ok()
        })
    }

    /// The list's entry: of this provider, by its own name or its dialect's, else of whoever sells a model of that name.
    fn found(&self, model: &str, provider: &Provider) -> Option<&Entry> {
        let sellers = [provider.name.as_str(), provider.api.name()];
        let by_provider = sellers.into_iter().find_map(|seller| self.list.find(&format!("{seller}/{model}")).ok());
        by_provider.or_else(|| self.list.find(model).ok())
    }
}
