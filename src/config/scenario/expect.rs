//! `[[expect]]`: bounds on results. Measures nothing; what a bound means is the report's to say.

use crate::gateway::money::Money;
use crate::report::expect::{Bound, Expectation};

use super::super::read::{Item, Section};
use super::super::{problem, quantity};

/// What can be bounded, as keys.
const COST: &str = "cost_usd";
const ANSWERED: &str = "answered";

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
    let cost = section.read(COST, |item| range(item, usd));
    let answered = section.read(ANSWERED, |item| range(item, share));
    if section.place_of(COST).is_none() && section.place_of(ANSWERED).is_none() {
        section.report(problem::missing_key(section.place(), COST, "an expectation", "{ at_most = 3.00 }"));
    }
    let (cost_least, cost_most) = cost.unwrap_or_default();
    let (answered_least, answered_most) = answered.unwrap_or_default();
    let bounds = [
        cost_least.map(Bound::CostAtLeast),
        cost_most.map(Bound::CostAtMost),
        answered_least.map(|per_million| Bound::AnsweredAtLeast { per_million }),
        answered_most.map(|per_million| Bound::AnsweredAtMost { per_million }),
    ];
    bounds.into_iter().flatten().map(|bound| Expectation { variant: variant.clone(), bound }).collect()
}

/// `{ at_least = .., at_most = .. }`, one of them at least.
fn range<'a, T: Copy + PartialOrd>(item: Item<'a>, reader: impl Fn(Item<'a>) -> Option<T>) -> Option<(Option<T>, Option<T>)> {
    let section = item.section()?;
    let (least, most) = (section.read("at_least", &reader), section.read("at_most", &reader));
    if section.place_of("at_least").is_none() && section.place_of("at_most").is_none() {
        section.report(problem::missing_key(section.place(), "at_most", "a bound", "3.00"));
    }
    if let (Some(low), Some(high)) = (least, most)
        && low > high
    {
        section.report(problem::malformed(section.place(), item.key, "a range", "at_least is above at_most", "{ at_least = 1, at_most = 3 }"));
    }
    Some((least, most))
}

fn usd(item: Item<'_>) -> Option<Money> {
    let text = item.number()?;
    match quantity::money(&format!("{text} USD")) {
        Ok(amount) => Some(amount),
        Err(why) => {
            item.report(problem::malformed(item.place(), item.key, "a number of dollars", &why, "3.00"));
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
