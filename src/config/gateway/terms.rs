//! What `[prices]`, or one dated change of it, states: discounts, rates of models and deployments, service tiers, reserved capacity. Knows no dates.

use std::collections::BTreeMap;

use crate::gateway::money::{Money, Rate};
use crate::price::{Discount, Entry, OverrideRates, PriceList, ServiceTier, StatedRates, rate_from_usd_per_mtok};

use super::super::diagnostic::{Place, Problem};
use super::super::problem;
use super::super::read::{Item, Section};
use super::prices::Wanted;
use super::providers::Provider;

/// The keys that state a price, in the sections of models and of deployments.
const PRICE_KEYS: [&str; 9] = ["input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "per_request", "tiers", "base"];

/// What holds at one time.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// By provider.
    discounts: BTreeMap<String, Discount>,
    models: BTreeMap<String, ModelTerms>,
    deployments: BTreeMap<String, DeploymentTerms>,
}

#[derive(Debug, Clone, Default)]
struct ModelTerms {
    entry: Option<Entry>,
    discount: Option<Discount>,
    service: Option<ServiceTier>,
}

#[derive(Debug, Clone)]
struct DeploymentTerms {
    /// Where it was named first.
    place: Place,
    /// Rates as paid: nobody's discount but its own comes off.
    fixed: Option<Entry>,
    discount: Option<Discount>,
    reserved_per_hour: Money,
}

impl Terms {
    /// Reads what a section states on top of what there is, and says whether it states anything.
    pub fn read(&mut self, section: &Section<'_>, list: &PriceList, providers: &[Provider]) -> bool {
        if let Some(discounts) = section.section("discount") {
            for item in discounts.entries() {
                if !providers.iter().any(|provider| provider.name == item.key) {
                    item.report(problem::unknown_name(item.key_place, "provider", item.key, providers.iter().map(|provider| provider.name.as_str())));
                }
                if let Some(discount) = discount(item) {
                    self.discounts.insert(item.key.into(), discount);
                }
            }
        }
        for item in section.section("models").iter().flat_map(Section::entries) {
            if let Some(section) = item.section() {
                self.models.entry(item.key.into()).or_default().read(item, &section, list);
            }
        }
        for item in section.section("deployments").iter().flat_map(Section::entries) {
            if let Some(section) = item.section() {
                let terms = DeploymentTerms::read(item, self.deployments.get(item.key), &section, list);
                self.deployments.insert(item.key.into(), terms);
            }
        }
        ["discount", "models", "deployments"].iter().any(|key| section.place_of(key).is_some())
    }

    /// The rates that a deployment pays whatever its model costs elsewhere.
    pub fn fixed(&self, deployment: &str) -> Option<&Entry> {
        self.deployments.get(deployment)?.fixed.as_ref()
    }

    /// The rates that are stated for a model.
    pub fn model(&self, model: &str) -> Option<&Entry> {
        self.models.get(model)?.entry.as_ref()
    }

    /// The one discount that counts: the deployment's own, else its model's, else its provider's. Fixed rates have only their own.
    pub fn discount(&self, wanted: &Wanted<'_>) -> Discount {
        let own = self.deployments.get(wanted.deployment).and_then(|terms| terms.discount);
        let inherited = || {
            let of_model = self.models.get(wanted.model).and_then(|terms| terms.discount);
            of_model.or_else(|| self.discounts.get(&wanted.provider.name).copied())
        };
        let is_fixed = self.fixed(wanted.deployment).is_some();
        own.or_else(|| if is_fixed { None } else { inherited() }).unwrap_or(Discount::NONE)
    }

    /// The service tier that is bought: what the deployment states, else its model's.
    pub fn service(&self, wanted: &Wanted<'_>) -> ServiceTier {
        let of_model = || self.models.get(wanted.model).and_then(|terms| terms.service).filter(|_| self.fixed(wanted.deployment).is_none());
        wanted.service.or_else(of_model).unwrap_or_default()
    }

    /// The deployments that prices are stated for, and where.
    pub fn deployments_named(&self) -> impl Iterator<Item = (&str, Place)> {
        self.deployments.iter().map(|(name, terms)| (name.as_str(), terms.place))
    }

    /// What a deployment costs an hour, called or not.
    pub fn reserved(&self, deployment: &str) -> Money {
        self.deployments.get(deployment).map_or(Money::ZERO, |terms| terms.reserved_per_hour)
    }
}

impl ModelTerms {
    fn read(&mut self, item: Item<'_>, section: &Section<'_>, list: &PriceList) {
        section.put_some("discount", discount, &mut self.discount);
        let services = ServiceTier::ALL.map(|tier| (tier.name(), tier));
        section.put_some("service_tier", |item| item.choice(&services), &mut self.service);
        let stated = Stated::read(section, list);
        // A discount or a tier alone leaves each provider's own listing.
        let is_price = stated.is_price || ["discount", "service_tier"].iter().all(|key| section.place_of(key).is_none());
        if is_price && let Some(entry) = stated.entry(item, section, self.entry.as_ref().or_else(|| list.find(item.key).ok())) {
            self.entry = Some(entry);
        }
    }
}

impl DeploymentTerms {
    fn read(item: Item<'_>, terms: Option<&Self>, section: &Section<'_>, list: &PriceList) -> Self {
        let mut read = terms.cloned().unwrap_or(Self { place: item.key_place, fixed: None, discount: None, reserved_per_hour: Money::ZERO });
        section.put_some("discount", discount, &mut read.discount);
        if let Some(reserved) = section.section("reserved") {
            reserved.require("per_hour", "\"12.50 USD\"", Item::money).into_iter().for_each(|per_hour| read.reserved_per_hour = per_hour);
        }
        let stated = Stated::read(section, list);
        if stated.is_price {
            let is_whole = read.fixed.is_some() || section.place_of("base").is_some();
            let missing = ["input", "output"].into_iter().filter(|key| !is_whole && section.place_of(key).is_none());
            let missing = missing.inspect(|key| {
                let problem = problem::missing_key(item.key_place, key, &format!("the fixed price of `{}`", item.key), "2.50");
                section.report(problem.why("a fixed price takes nothing from a list, unless it names a `base`"));
            });
            if missing.count() == 0 {
                read.fixed = stated.entry(item, section, read.fixed.as_ref()).or(read.fixed);
            }
        }
        read
    }
}

/// What a section states of a price.
struct Stated {
    rates: OverrideRates,
    base: Option<Entry>,
    is_price: bool,
    is_right: bool,
}

impl Stated {
    fn read(section: &Section<'_>, list: &PriceList) -> Self {
        let mut stated = OverrideRates { rates: rates(section), ..OverrideRates::default() };
        section.put_some("per_request", Item::money, &mut stated.per_request);
        let base = section.read("base", Item::text);
        for tier in section.read("tiers", Item::list).unwrap_or_default() {
            let Some(tier) = tier.section() else { continue };
            let above = tier.require("above", "200_000", Item::count_from_one);
            let rates = rates(&tier);
            stated.tiers.extend(above.map(|above| (above, rates)));
        }
        let base = base.map(|name| (name, list.find(name)));
        if let (Some((name, Err(unknown))), Some(place)) = (&base, section.place_of("base")) {
            section.report(problem::no_price(place, name, &unknown.list, &unknown.near));
        }
        let unread = |(key, rate): (&str, Option<Rate>)| rate.is_none() && section.place_of(key).is_some();
        let is_right = ![("input", stated.rates.input), ("output", stated.rates.output)].into_iter().any(unread);
        let is_price = PRICE_KEYS.iter().any(|key| section.place_of(key).is_some());
        Self { rates: stated, base: base.and_then(|(_, found)| found.ok().cloned()), is_price, is_right }
    }

    /// The price: what is stated, on top of the base that is named, else of `otherwise`.
    fn entry(&self, item: Item<'_>, section: &Section<'_>, otherwise: Option<&Entry>) -> Option<Entry> {
        if !self.is_right {
            // Reported where it was read.
            return None;
        }
        let base = if section.place_of("base").is_some() { self.base.as_ref() } else { otherwise };
        Entry::from_override(item.key, base, &self.rates)
            .map_err(|error| section.report(Problem::error(item.key_place, error.to_string()).help("rates are in USD per million tokens")))
            .ok()
    }
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

fn discount(item: Item<'_>) -> Option<Discount> {
    let text = item.number()?;
    Discount::parse(&text)
        .map_err(|error| item.report(problem::malformed(item.place(), item.key, "a discount from 0 to below 1", &error.to_string(), "0.12")))
        .ok()
}
