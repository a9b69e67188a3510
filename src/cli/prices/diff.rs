//! `gwsim prices diff`: what one price list says otherwise than another, price by price. What that does to somebody's traffic is told by
//! [`super::effect`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::super::args::{Format, PricesDiffArguments};
use super::super::{Exit, Failure, Printer};
use super::effect::{self, Effect};
use super::{RATES, columns, usd};
use crate::gateway::money::Rate;
use crate::gateway::rate_card::{RateSchedule, Rates};
use crate::price::{BUILT_IN, Discount, Entry, PriceList, ServiceTier};
use crate::report::numbers::{count, counted};
use crate::report::table;

/// Prints what the second price list says otherwise than the first, and with a scenario what that does to its bills.
///
/// # Errors
/// If a list, the scenario or a threshold is wrong, or the scenario has no price under one of them.
pub fn diff(arguments: &PricesDiffArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let (old, new) = (open(&arguments.old)?, open(&arguments.new)?);
    let (old, new) = (sold(old.as_ref()), sold(new.as_ref()));
    let differing = differing(&old, &new);
    let Some(scenario) = &arguments.scenario else {
        effect::no_thresholds(&arguments.thresholds)?;
        let text = match arguments.format {
            Format::Text => differing.iter().map(Differing::line).collect::<String>() + &tally(&differing, new.len()),
            Format::Json => json(&differing, arguments, None)?,
        };
        printer.result(&text)?;
        return Ok(Exit::Pass);
    };
    let effect = Effect::of(scenario, arguments, printer)?;
    let text = match arguments.format {
        Format::Text => {
            let mut text = effect.text();
            table::note(&mut text, "In the whole list", tally(&differing, new.len()).trim_end());
            text
        }
        Format::Json => json(&differing, arguments, Some(&effect))?,
    };
    printer.result(&text)?;
    Ok(effect.conclude(printer))
}

/// How many prices differ in all.
fn tally(differing: &[Differing], now: usize) -> String {
    let of = |wanted: fn(&Differing) -> bool| count(differing.iter().filter(|price| wanted(price)).count() as u64);
    let changed = of(|price| price.old.is_some() && price.new.is_some());
    let (added, gone) = (of(|price| price.old.is_none()), of(|price| price.new.is_none()));
    format!("{changed} changed, {added} new, {gone} gone; {} now\n", counted(now as u64, "price"))
}

/// A price that one list says otherwise than the other.
struct Differing<'a> {
    price: &'a Price,
    old: Option<[Rate; 6]>,
    new: Option<[Rate; 6]>,
}

impl Differing<'_> {
    fn line(&self) -> String {
        let title = self.price.title();
        match (self.old, self.new) {
            (Some(old), Some(new)) => format!("{title}: {}\n", changes(&old, &new)),
            (old, new) => {
                let [input, output, ..] = new.or(old).unwrap_or_default();
                format!("{title}: {}, input {}, output {}\n", if new.is_some() { "new" } else { "gone" }, usd(input), usd(output))
            }
        }
    }
}

fn differing<'a>(old: &'a Sold, new: &'a Sold) -> Vec<Differing<'a>> {
    let prices: std::collections::BTreeSet<&Price> = old.keys().chain(new.keys()).collect();
    let both = prices.into_iter().map(|price| Differing { price, old: old.get(price).copied(), new: new.get(price).copied() });
    both.filter(|price| price.old != price.new).collect()
}

/// `input 2.5 -> 2, output 10 -> 8`.
fn changes(old: &[Rate; 6], new: &[Rate; 6]) -> String {
    let rates = old.iter().zip(new).zip(RATES).filter(|((old, new), _)| old != new);
    rates.map(|((old, new), what)| format!("{what} {} -> {}", usd(*old), usd(*new))).collect::<Vec<_>>().join(", ")
}

/// What a deployment pays otherwise under another schedule, where its requests are plain or above a threshold; empty if it pays the same.
pub(super) fn pays(old: &RateSchedule, new: &RateSchedule) -> Vec<String> {
    let tiers = |schedule: &RateSchedule| -> BTreeMap<u32, [Rate; 6]> {
        let rates = |(above, rates): (u32, &Rates)| (above, columns(rates));
        schedule.cards().next().map(|(_, card)| card.tiers().map(rates).collect()).unwrap_or_default()
    };
    let (old, new) = (tiers(old), tiers(new));
    let at = |tiers: &BTreeMap<u32, [Rate; 6]>, above: u32| tiers.range(..=above).next_back().map(|(_, rates)| *rates).unwrap_or_default();
    let all: std::collections::BTreeSet<u32> = old.keys().chain(new.keys()).copied().collect();
    let told = |above: u32| {
        let (old, new) = (at(&old, above), at(&new, above));
        let over = if above > 0 { format!("over {}: ", count(above.into())) } else { String::new() };
        (old != new).then(|| over + &changes(&old, &new))
    };
    all.into_iter().filter_map(told).collect()
}

enum List {
    BuiltIn,
    File(Box<PriceList>),
}

impl AsRef<PriceList> for List {
    fn as_ref(&self) -> &PriceList {
        match self {
            Self::BuiltIn => PriceList::built_in(),
            Self::File(list) => list,
        }
    }
}

fn open(path: &Path) -> Result<List, Failure> {
    if path == Path::new(BUILT_IN) {
        return Ok(List::BuiltIn);
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{name}: can't read it: {error}\nhint: a .csv or .json file, or {BUILT_IN} for gwsim's own list")))?;
    let list = if name.ends_with(".csv") { PriceList::from_csv(&text, &name) } else { PriceList::from_litellm_json(&text, &name) };
    list.map(|list| List::File(Box::new(list))).map_err(Failure::usage)
}

/// What a price is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Price {
    model: String,
    provider: String,
    /// Nothing for the standard one.
    #[serde(skip_serializing_if = "str::is_empty")]
    service_tier: &'static str,
    above_tokens: u32,
}

impl Price {
    fn title(&self) -> String {
        let mut title = format!("{} ({})", self.model, self.provider);
        if !self.service_tier.is_empty() {
            let _ = write!(title, ", {}", self.service_tier);
        }
        if self.above_tokens > 0 {
            let _ = write!(title, ", over {}", count(self.above_tokens.into()));
        }
        title
    }
}

type Sold = BTreeMap<Price, [Rate; 6]>;

/// Every price of a list as charged.
fn sold(list: &PriceList) -> Sold {
    let mut prices = BTreeMap::new();
    let tiers = |entry: &Entry| ServiceTier::ALL.map(|service| entry.card(Discount::NONE, service).ok().map(|card| (service, card)));
    for entry in list.entries() {
        for (service, card) in tiers(entry).into_iter().flatten() {
            let service_tier = if service == ServiceTier::Standard { "" } else { service.name() };
            let price = |above_tokens| Price { model: entry.model.clone(), provider: entry.provider.clone(), service_tier, above_tokens };
            prices.extend(card.tiers().map(|(above, rates)| (price(above), columns(rates))));
        }
    }
    prices
}

/// The version of the format; it changes when a field changes its meaning or goes.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct DiffJson<'a> {
    version: u32,
    gwsim: &'static str,
    old: String,
    new: String,
    /// What differs, in dollars per million tokens.
    prices: Vec<PriceJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<effect::EffectJson>,
}

#[derive(Serialize)]
struct PriceJson<'a> {
    #[serde(flatten)]
    price: &'a Price,
    old: Option<BTreeMap<&'static str, String>>,
    new: Option<BTreeMap<&'static str, String>>,
}

fn json(differing: &[Differing], arguments: &PricesDiffArguments, effect: Option<&Effect>) -> Result<String, Failure> {
    let rates = |rates: [Rate; 6]| RATES.into_iter().zip(rates.map(usd)).collect();
    let prices = differing.iter().map(|price| PriceJson { price: price.price, old: price.old.map(rates), new: price.new.map(rates) });
    let json = DiffJson {
        version: VERSION,
        gwsim: env!("CARGO_PKG_VERSION"),
        old: arguments.old.display().to_string(),
        new: arguments.new.display().to_string(),
        prices: prices.collect(),
        effect: effect.map(Effect::json).transpose()?,
    };
    Ok(serde_json::to_string_pretty(&json).map_err(Failure::internal)? + "\n")
}
