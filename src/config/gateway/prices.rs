//! Prices as the user pays them: a list, what the contract changes about it, and from when on. A model without a price is an error, never free.

use crate::gateway::id::DeploymentId;
use crate::gateway::plan::{Deployment, ServiceClass};
use crate::gateway::rate_card::{RateCard, RateSchedule};
use crate::gateway::time::Time;
use crate::price::{Discount, Entry, PriceList, Reserved, ServiceTier};

use super::super::diagnostic::{Diagnostics, Place, Problem};
use super::super::problem;
use super::super::read::{Item, Section};
use super::super::tree::Value;
use super::price_lists::Lists;
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
    /// The class of service that the rates are of: the cheapest that they ever are.
    pub service: ServiceClass,
    /// Where the first rates are from, and what was done to them.
    pub source: String,
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
    /// In the order of time; the first from its beginning.
    periods: Vec<Period<'a>>,
}

/// What holds from one instant on, until the next.
#[derive(Debug)]
struct Period<'a> {
    from: Time,
    list: &'a PriceList,
    terms: Terms,
}

/// Reads `[prices]`.
pub fn read<'a>(section: Option<&Section<'_>>, lists: &'a Lists, providers: &[Provider]) -> Prices<'a> {
    let mut list = lists.first();
    let mut terms = Terms::default();
    let Some(section) = section else { return Prices { periods: vec![Period { from: Time(0), list, terms }] } };
    section.read("list", Item::text);
    terms.read(section, list, providers);
    let mut prices = Prices { periods: vec![Period { from: Time(0), list, terms: terms.clone() }] };
    let mut before: Option<(Time, Place)> = None;
    for (number, change) in section.read("changes", Item::one_or_more).unwrap_or_default().into_iter().enumerate() {
        let Some(change) = change.section() else { continue };
        let from = change.require("from", "2026-12-01", |item| Some((from(item)?, item.place())));
        let states_list = change.read("list", Item::text).is_some();
        list = lists.of_change(number).unwrap_or(list);
        if !terms.read(&change, list, providers) && !states_list {
            change.report(problem::no_change(change.place()));
        }
        let Some((from, place)) = from else { continue };
        match before {
            Some((earlier, earlier_place)) if from <= earlier => change.report(problem::not_after(place, "a price change", earlier_place)),
            _ => {
                before = Some((from, place));
                prices.periods.push(Period { from, list, terms: terms.clone() });
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
        for (name, place) in self.periods.last().into_iter().flat_map(|period| period.terms.deployments_named()) {
            if !known.clone().any(|known| known == name) {
                diagnostics.report(problem::unknown_name(place, "deployment", name, known.clone()));
            }
        }
    }

    /// What a deployment costs, from the beginning of time on. Reported at `item`, which names the model, if nobody knows.
    pub fn price(&self, item: Item<'_>, wanted: &Wanted<'_>) -> Option<Price> {
        let mut cards: Vec<(Time, RateCard)> = Vec::new();
        for period in &self.periods {
            let card = period.card(item, wanted)?;
            if cards.last().is_none_or(|(_, last)| *last != card) {
                cards.push((period.from, card));
            }
        }
        let (_, card) = cards.remove(0);
        let entry = self.periods[0].model(wanted);
        let (input_tokens_max, output_tokens_max) = entry.map_or((None, None), |entry| (entry.max_input, entry.max_output));
        let source = self.periods[0].source(wanted);
        let classes = self.periods.iter().map(|period| match period.terms.service(wanted) {
            ServiceTier::Batch | ServiceTier::Flex => ServiceClass::Economy,
            ServiceTier::Standard => ServiceClass::Standard,
            ServiceTier::Priority => ServiceClass::Premium,
        });
        let service = classes.min().unwrap_or(ServiceClass::Standard);
        Some(Price { rates: RateSchedule::new(card, cards), input_tokens_max, output_tokens_max, service, source })
    }

    /// What deployments cost by the hour, called or not.
    pub fn reserved(&self, deployments: &[Deployment]) -> Vec<Reserved> {
        let ids = (0..).map(DeploymentId).zip(deployments).map(|(id, deployment)| {
            let per_hour = self.periods.iter().map(|period| (period.from, period.terms.reserved(&deployment.name)));
            Reserved::new(id, per_hour)
        });
        ids.filter(|reserved| !reserved.is_nothing()).collect()
    }
}

impl Period<'_> {
    /// The deployment's rates; reported at `item` if nobody knows them.
    fn card(&self, item: Item<'_>, wanted: &Wanted<'_>) -> Option<RateCard> {
        let entry = match self.terms.fixed(wanted.deployment).or_else(|| self.model(wanted)) {
            Some(entry) => entry,
            None => {
                let found = self.list.find(wanted.model);
                found.map_err(|unknown| item.report(problem::no_price(item.place(), wanted.model, &unknown.list, &unknown.near))).ok()?
            }
        };
        entry
            .card(self.terms.discount(wanted), self.terms.service(wanted))
            .map_err(|error| item.report(Problem::error(item.place(), error.to_string()).why("it would have no price")))
            .ok()
    }

    /// Where the deployment's rates are from: the list's word for it, then the tier and the discount.
    fn source(&self, wanted: &Wanted<'_>) -> String {
        let fixed = self.terms.fixed(wanted.deployment).map(|entry| format!("fixed, {}", entry.source));
        let listed = || self.model(wanted).map(|entry| format!("{}, {}", entry.model, entry.source));
        let entry = fixed.or_else(listed).unwrap_or_default();
        let service = match self.terms.service(wanted) {
            ServiceTier::Standard => String::new(),
            tier => format!(", {}", tier.name()),
        };
        let discount = match self.terms.discount(wanted) {
            Discount::NONE => String::new(),
            discount => format!(", {discount} off"),
        };
        entry + &service + &discount
    }

    /// The model's entry: as stated, else the list's of this provider, by its own name or its dialect's, else of whoever sells a model of that name.
    fn model(&self, wanted: &Wanted<'_>) -> Option<&Entry> {
        let sellers = [wanted.provider.name.as_str(), wanted.provider.api.name()];
        let by_provider = || sellers.into_iter().find_map(|seller| self.list.find(&format!("{seller}/{}", wanted.model)).ok());
        self.terms.model(wanted.model).or_else(by_provider).or_else(|| self.list.find(wanted.model).ok())
    }
}
