//! `[[expect]]`: bounds on results. Measures nothing; what a bound means is the report's to say.

use crate::gateway::money::Money;
use crate::report::expect::{Bound, Expectation, Quantity, Side, Unit};

use super::super::read::{Item, Section};
use super::super::{problem, quantity};

/// The verdicts on stability, as keys.
const SATURATED: &str = "saturated";
const METASTABLE: &str = "metastable";

/// Any count of calls or retries: more than a run has.
const COUNT_MAX: u64 = 1_000_000_000_000;

/// Reads all expectations. `complete` says whether `variants` are all that there are.
pub fn read(item: Item<'_>, variants: &[&str], complete: bool) -> Option<Vec<Expectation>> {
    let mut expectations = Vec::new();
    for item in item.one_or_more()? {
        if let Some(section) = item.section() {
            expectations.extend(one(&section, variants, complete));
        }
    }
    Some(expectations)
}

fn one(section: &Section<'_>, variants: &[&str], complete: bool) -> Vec<Expectation> {
    let variant = section.read("variant", |item| {
        let name = item.text()?;
        if complete && !variants.contains(&name) {
            item.report(problem::unknown_name(item.place(), "variant", name, variants.iter().copied()));
        }
        Some(name.to_owned())
    });
    let mut bounds = Vec::new();
    for (key, quantity) in Quantity::ALL {
        bounds.extend(section.read(key, |item| range(item, quantity)).unwrap_or_default());
    }
    bounds.extend(section.read(SATURATED, Item::boolean).map(Bound::Saturated));
    bounds.extend(section.read(METASTABLE, Item::boolean).map(Bound::Metastable));
    let mut keys = Quantity::ALL.iter().map(|(key, _)| *key).chain([SATURATED, METASTABLE]);
    if keys.all(|key| section.place_of(key).is_none()) {
        section.report(problem::missing_key(section.place(), Quantity::ALL[0].0, "an expectation", "{ at_most = 3.00 }"));
    }
    bounds.into_iter().map(|bound| Expectation { variant: variant.clone(), bound }).collect()
}

/// `{ at_least = .., at_most = .. }`, one of them at least.
fn range(item: Item<'_>, quantity: Quantity) -> Option<Vec<Bound>> {
    let example = match quantity.unit() {
        Unit::Dollars => "3.00",
        Unit::Share => "0.05",
        Unit::Change => "-0.25",
        Unit::Mean => "1.2",
        Unit::Count => "4",
        Unit::Time => "\"2s\"",
    };
    let section = item.section()?;
    let read = |key: &'static str| section.read(key, |item| value(item, quantity.unit(), example));
    let (least, most) = (read("at_least"), read("at_most"));
    if section.place_of("at_least").is_none() && section.place_of("at_most").is_none() {
        section.report(problem::missing_key(section.place(), "at_most", "a bound", example));
    }
    if let (Some(low), Some(high)) = (least, most)
        && low > high
    {
        let example = format!("{{ at_most = {example} }}");
        section.report(problem::malformed(section.place(), item.key, "a range", "at_least is above at_most", &example));
    }
    let bound = |side, value: Option<i128>| value.map(|value| Bound::Quantity { quantity, side, value });
    Some([bound(Side::AtLeast, least), bound(Side::AtMost, most)].into_iter().flatten().collect())
}

fn value(item: Item<'_>, unit: Unit, example: &str) -> Option<i128> {
    match unit {
        Unit::Dollars => usd(item, example).map(|amount| amount.0),
        Unit::Share => share(item).map(i128::from),
        Unit::Change => change(item, example),
        Unit::Mean => millionths(item, "a number of calls", example).map(i128::from),
        Unit::Count => item.whole(0, COUNT_MAX).map(i128::from),
        Unit::Time => item.span().map(|span| span.0.into()),
    }
}

fn usd(item: Item<'_>, example: &str) -> Option<Money> {
    let text = item.number()?;
    match quantity::money(&format!("{text} USD")) {
        Ok(amount) => Some(amount),
        Err(why) => {
            item.report(problem::malformed(item.place(), item.key, "a number of dollars", &why, example));
            None
        }
    }
}

/// A share from 0 to 1, in millionths.
pub fn share(item: Item<'_>) -> Option<u32> {
    let text = item.number()?;
    let per_million = quantity::per_million(&text).and_then(|share| if share > 1_000_000 { Err("it is above 1".into()) } else { Ok(share) });
    match per_million {
        Ok(share) => Some(share),
        Err(why) => {
            item.report(problem::malformed(item.place(), item.key, "a share from 0 to 1", &why, "0.01"));
            None
        }
    }
}

/// A change in millionths: -0.25 is a quarter less. Nothing gets cheaper than free.
fn change(item: Item<'_>, example: &str) -> Option<i128> {
    const EXPECTED: &str = "a change of the bill, -1 and above";
    let text = item.number()?;
    let Some(less) = text.strip_prefix('-') else { return millionths(item, EXPECTED, example).map(i128::from) };
    match quantity::per_million(less) {
        Ok(less) if less <= 1_000_000 => Some(-i128::from(less)),
        Ok(_) => {
            item.report(problem::malformed(item.place(), item.key, EXPECTED, "nothing is cheaper than free", example));
            None
        }
        Err(why) => {
            item.report(problem::malformed(item.place(), item.key, EXPECTED, &why, example));
            None
        }
    }
}

fn millionths(item: Item<'_>, expected: &str, example: &str) -> Option<u32> {
    let text = item.number()?;
    quantity::per_million(&text).map_err(|why| item.report(problem::malformed(item.place(), item.key, expected, &why, example))).ok()
}
