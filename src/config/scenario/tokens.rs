//! `[[tokens]]`: how token counts carry over between models. Checks that every rule is about two models that there are; knows no traffic.

use std::collections::BTreeMap;

use crate::price::tokens::{Ratio, RatioRange, TokenCounts, TokenRule, matches};

use super::super::gateway::GatewayConfig;
use super::super::read::Item;
use super::super::tree::Value;
use super::super::{problem, quantity};

/// The least and the most that a ratio can be, in millionths: beyond these it is a slip of the decimal point.
const RATIO_MIN: u32 = 10_000;
const RATIO_MAX: u32 = 100_000_000;

/// Reads the rules. The first gateway is the configuration that was recorded: it says what the recorded tokens of each of its models are tokens of.
pub fn read(item: Option<Item<'_>>, gateways: &[&GatewayConfig], complete: bool) -> TokenCounts {
    let homes = homes(gateways);
    let mut rules: Vec<TokenRule> = Vec::new();
    let pairs = pairs(&homes, gateways);
    for item in item.and_then(Item::one_or_more).unwrap_or_default() {
        let Some(section) = item.section() else { continue };
        let from = section.require("from", "\"gpt-4o*\"", Item::name);
        let to = section.require("to", "\"claude-*\"", Item::name);
        let input = section.read("input", ratio);
        let output = section.read("output", ratio);
        if ["input", "output"].iter().all(|key| section.place_of(key).is_none()) {
            section.report(problem::missing_key(section.place(), "input", "a ratio of token counts", "1.2"));
        }
        let (Some(from), Some(to)) = (from, to) else { continue };
        let same = RatioRange::exactly(Ratio::ONE);
        let rule = TokenRule { from, to, input: input.unwrap_or(same), output: output.unwrap_or(same) };
        let about: Vec<&(&str, &str)> = pairs.iter().filter(|(asked, answered)| rule.is_about(asked, answered)).collect();
        let is_new = about.iter().any(|(asked, answered)| !rules.iter().any(|rule| rule.is_about(asked, answered)));
        if complete && about.is_empty() {
            let sides = [("from", &rule.from), ("to", &rule.to)];
            let names = |key: &str| pairs.iter().map(move |(asked, answered)| if key == "from" { *asked } else { *answered }).collect::<Vec<_>>();
            let wrong = sides.into_iter().find(|(key, pattern)| !names(key).iter().any(|name| matches(pattern, name)));
            match wrong {
                Some((key, pattern)) => {
                    let mut known = names(key);
                    known.sort_unstable();
                    known.dedup();
                    section.report(problem::unknown_name(section.place_of(key).unwrap_or(section.place()), "model", pattern, known));
                }
                None => section.report(problem::without_effect(section.place(), "the ratio", "no request goes from the one to the other")),
            }
        } else if complete && !is_new {
            section.report(problem::without_effect(section.place(), "the ratio", "one before it is about the same models, and the first counts"));
        }
        rules.push(rule);
    }
    TokenCounts { rules, homes, deployments: deployments(gateways), ..TokenCounts::default() }
}

/// By model group: the provider's model of its first deployment, in the first gateway that has the group.
fn homes(gateways: &[&GatewayConfig]) -> BTreeMap<String, String> {
    let mut homes = BTreeMap::new();
    for plan in gateways.iter().map(|gateway| &gateway.plan) {
        for (model, first) in plan.models.iter().filter_map(|model| Some((model, model.deployments.first()?))) {
            homes.entry(model.name.clone()).or_insert_with(|| plan.deployment(*first).model.clone());
        }
    }
    homes
}

/// By deployment: the provider's model behind it, in the first gateway that has the deployment.
fn deployments(gateways: &[&GatewayConfig]) -> BTreeMap<String, String> {
    let all = gateways.iter().rev().flat_map(|gateway| &gateway.plan.deployments);
    all.map(|deployment| (deployment.name.clone(), deployment.model.clone())).collect()
}

/// Every two models that a request could go between, whether it does or not.
fn pairs<'a>(homes: &'a BTreeMap<String, String>, gateways: &[&'a GatewayConfig]) -> Vec<(&'a str, &'a str)> {
    let plans = gateways.iter().map(|gateway| &gateway.plan);
    let answering = plans.flat_map(|plan| plan.deployments.iter().map(|deployment| deployment.model.as_str()));
    let mut pairs: Vec<(&str, &str)> = answering.flat_map(|to| homes.values().map(move |from| (from.as_str(), to))).filter(|(a, b)| a != b).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// One ratio, or the least and the most that it may be.
fn ratio(item: Item<'_>) -> Option<RatioRange> {
    if !matches!(item.node().value, Value::List(_)) {
        return one(item).map(RatioRange::exactly);
    }
    let ends = item.list()?;
    let [low, high] = ends.as_slice() else {
        item.report(problem::malformed(item.place(), item.key, "a ratio, or a list of two", "the list has another length", "[1.10, 1.42]"));
        return None;
    };
    let (low, high) = (one(*low)?, one(*high)?);
    if low > high {
        item.report(problem::malformed(item.place(), item.key, "a range from low to high", "it goes from high to low", "[1.10, 1.42]"));
        return None;
    }
    Some(RatioRange { low, high })
}

fn one(item: Item<'_>) -> Option<Ratio> {
    let text = item.number()?;
    let millionths = match quantity::per_million(&text) {
        Ok(millionths) => millionths,
        Err(why) => {
            item.report(problem::malformed(item.place(), item.key, "a ratio", &why, "1.2"));
            return None;
        }
    };
    if !(RATIO_MIN..=RATIO_MAX).contains(&millionths) {
        item.report(problem::malformed(item.place(), item.key, "a ratio from 0.01 to 100", "it is outside", "1.2"));
        return None;
    }
    Some(Ratio::per_million(millionths))
}
