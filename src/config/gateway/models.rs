//! Model groups and their deployments, resolved to numbers. Checks what needs all of them: names, prices, fallbacks.

use std::collections::BTreeMap;

use crate::gateway::failure::{FailureClass, FailureSet};
use crate::gateway::features::Features;
use crate::gateway::id::{DeploymentId, ModelId};
use crate::gateway::money::{Money, Rate};
use crate::gateway::plan::{BudgetSpec, Deployment, Model};
use crate::gateway::rate_card::{RateCard, Rates};
use crate::price::ServiceTier;

use super::super::diagnostic::Place;
use super::super::problem;
use super::super::read::{Item, Section};
use super::budgets::BudgetDefaults;
use super::identities::CALL_BUDGETS_MAX;
use super::policies::Policies;
use super::prices::{Prices, Wanted};
use super::providers::{Api, Provider};
use super::{budgets, defaults, limits, policies, providers};

/// Weights are shares of picks; their sum must stay a small number.
const WEIGHT_MAX: u32 = 1_000_000;

/// What models and deployments are read with.
pub struct Context<'a> {
    /// The gateway's own policies.
    pub policies: &'a Policies,
    /// What budgets have that say nothing.
    pub budgets: &'a BudgetDefaults,
    /// Where deployments can be.
    pub providers: &'a [Provider],
    /// What they cost.
    pub prices: &'a Prices<'a>,
}

/// Models and deployments, and where their names are written.
#[derive(Debug, Default)]
pub struct Models {
    /// The groups.
    pub models: Vec<Model>,
    /// The deployments.
    pub deployments: Vec<Deployment>,
    /// Where the price of each deployment is from.
    pub price_sources: Vec<String>,
    /// Every name in `[models]`, by number.
    pub names: Vec<String>,
    /// Where a deployment was declared; without a number if it is wrong, which has been reported.
    declared: BTreeMap<String, (Place, Option<DeploymentId>, bool)>,
}

/// Reads `[deployments]` and `[models]`.
pub fn read(deployments: Option<&Section<'_>>, models: Option<&Section<'_>>, context: &Context<'_>) -> Models {
    let mut found = Models::default();
    for item in deployments.map(Section::entries).unwrap_or_default() {
        if let Some(section) = item.section() {
            found.declare(item.key, item.key_place, &section, context);
        }
    }
    let items = models.map(Section::entries).unwrap_or_default();
    let sections: Vec<(Item<'_>, Section<'_>)> = items.into_iter().filter_map(|item| Some((item, item.section()?))).collect();
    found.names = sections.iter().map(|(item, _)| item.key.to_owned()).collect();
    let mut edges = Edges::default();
    for (item, section) in &sections {
        let model = found.model(*item, section, context, &mut edges);
        found.models.push(model);
    }
    for (place, cycle) in edges.cycles() {
        let names: Vec<&str> = cycle.iter().map(|model| found.names[*model].as_str()).collect();
        models.into_iter().for_each(|section| section.report(problem::fallback_cycle(place, &names)));
    }
    for (name, (place, _, used)) in &found.declared {
        if let Some(section) = deployments.filter(|_| !used) {
            section.report(problem::unused(*place, "deployment", name));
        }
    }
    found
}

impl Models {
    /// Numbers of the models that a list names.
    pub fn resolve(&self, item: Item<'_>) -> Option<Vec<ModelId>> {
        Some(self.resolve_items(item)?.into_iter().map(|(id, _)| id).collect())
    }

    /// Every name of a deployment, of those that are wrong too.
    pub fn declared_deployments(&self) -> impl Iterator<Item = &str> + Clone {
        self.declared.keys().map(String::as_str)
    }

    fn resolve_items<'a>(&self, item: Item<'a>) -> Option<Vec<(ModelId, Item<'a>)>> {
        let mut ids: Vec<(ModelId, Item<'a>)> = Vec::new();
        for item in item.list()? {
            let Some(name) = item.text() else { continue };
            let Some(id) = self.names.iter().position(|known| known == name).and_then(|index| u32::try_from(index).ok()) else {
                item.report(problem::unknown_name(item.place(), "model", name, self.names.iter().map(String::as_str)));
                continue;
            };
            if let Some((_, first)) = ids.iter().find(|(known, _)| known.0 == id) {
                item.report(problem::duplicate(item.place(), "model", name, first.place()));
                continue;
            }
            ids.push((ModelId(id), item));
        }
        Some(ids)
    }

    fn declare(&mut self, name: &str, place: Place, section: &Section<'_>, context: &Context<'_>) -> Option<DeploymentId> {
        let read = deployment(name, section, context);
        if let Some((first, ..)) = self.declared.get(name) {
            section.report(problem::duplicate(place, "deployment", name, *first));
            return None;
        }
        let id = read.and_then(|(deployment, source)| {
            self.deployments.push(deployment);
            self.price_sources.push(source);
            u32::try_from(self.deployments.len() - 1).ok().map(DeploymentId)
        });
        self.declared.insert(name.into(), (place, id, false));
        id
    }

    /// One element of a model's `deployments`: a table of its own, or the name of one in `[deployments]`.
    fn member(&mut self, item: Item<'_>, context: &Context<'_>) -> Option<DeploymentId> {
        if item.is_text() {
            let name = item.text()?;
            return match self.declared.get_mut(name) {
                Some((_, id, used)) => {
                    *used = true;
                    *id
                }
                None => {
                    item.report(problem::unknown_name(item.place(), "deployment", name, self.declared.keys().map(String::as_str)));
                    None
                }
            };
        }
        let section = item.section()?;
        let id = section.require("id", "\"mini-1\"", |item| Some((item.name()?, item.place())));
        match id {
            Some((name, place)) => {
                let id = self.declare(&name, place, &section, context);
                if let Some((.., used)) = self.declared.get_mut(&name) {
                    *used = true;
                }
                id
            }
            None => {
                // What else is wrong with it is worth knowing too.
                deployment("", &section, context);
                None
            }
        }
    }

    fn model(&mut self, item: Item<'_>, section: &Section<'_>, context: &Context<'_>, edges: &mut Edges) -> Model {
        let mut policies = context.policies.clone();
        policies::read(section, policies::Level::Model, &mut policies);
        if let Some(cache) = section.read("cache", Item::section_or_off) {
            policies.cache = cache.and_then(|cache| policies::cache(&cache, policies.cache));
        }
        let members = section.read("deployments", Item::list);
        let deployments: Vec<DeploymentId> = members.iter().flatten().filter_map(|member| self.member(*member, context)).collect();
        if members.as_ref().is_none_or(Vec::is_empty) && section.place_of("deployments").is_none_or(|_| members.is_some()) {
            section.report(problem::no_deployments(section.place_of("deployments").unwrap_or(item.key_place), item.key));
        }
        self.read_fallbacks(section, &mut policies, edges);
        let reference = deployments.first().map(|id| self.deployments[id.index()].rates.clone());
        let output_tokens_max = deployments.iter().map(|id| self.deployments[id.index()].output_tokens_max).max();
        Model {
            name: item.key.into(),
            strategy: policies.strategy,
            pick: policies.pick,
            attempts: policies.attempts,
            backoff: policies.backoff,
            transport: policies.transport,
            fallbacks: policies.fallbacks,
            cooldown: policies.cooldown,
            breaker: policies.breaker,
            timeouts: policies.timeouts,
            cache: policies.cache,
            max_tokens: policies.max_tokens,
            on_disconnect: policies.on_disconnect,
            tier: section.read("tier", Item::count),
            // Without a deployment there is an error, and the plan is never used.
            reference: reference.unwrap_or_else(|| free_card().into()),
            output_tokens_max: output_tokens_max.unwrap_or(0),
            budgets: self.model_budgets(item, section, &deployments, context),
            limits: section.read("limits", limits::read).unwrap_or_default(),
            deployments,
            retired: false,
        }
    }

    /// A model's budgets; with those of any of its deployments they must fit into a hold.
    fn model_budgets(&self, item: Item<'_>, section: &Section<'_>, deployments: &[DeploymentId], context: &Context<'_>) -> Vec<BudgetSpec> {
        let own = section.read("budget", |item| budgets::read(item, context.budgets)).unwrap_or_default();
        let of_deployment = deployments.iter().map(|id| self.deployments[id.index()].budgets.len()).max().unwrap_or(0);
        let count = own.len() + of_deployment;
        if count > CALL_BUDGETS_MAX {
            let place = section.place_of("budget").unwrap_or(item.key_place);
            let whose = format!("`{}` and one of its deployments", item.key);
            section.report(problem::too_many_budgets_of(place, &whose, count, CALL_BUDGETS_MAX));
        }
        own
    }

    fn read_fallbacks(&self, section: &Section<'_>, policies: &mut Policies, edges: &mut Edges) {
        let lists = ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"].map(|key| {
            let found = section.read(key, |item| self.resolve_items(item));
            edges.add(key, found.as_deref().unwrap_or_default());
            found.map(|found| found.into_iter().map(|(id, _)| id).collect::<Vec<_>>())
        });
        let [general, context_window, content_policy] = lists;
        // A list of its own for a class is pointless unless that class leads to a fallback.
        for (list, class) in [(&context_window, FailureClass::ContextWindow), (&content_policy, FailureClass::ContentPolicy)] {
            if list.is_some() {
                policies.fallbacks.fallback_on = policies.fallbacks.fallback_on.and(FailureSet::of(&[class]));
            }
        }
        policies.fallbacks.groups = general.unwrap_or_default();
        policies.fallbacks.context_window = context_window;
        policies.fallbacks.content_policy = content_policy;
    }
}

fn free_card() -> RateCard {
    RateCard::new(Rates::plain(Rate(0), Rate(0)), Vec::new(), Money::ZERO)
}

fn deployment(id: &str, section: &Section<'_>, context: &Context<'_>) -> Option<(Deployment, String)> {
    let provider = section.require("provider", "\"openai\"", |item| provider(item, context.providers));
    let model_item = section.item("model");
    let model = section.require("model", "\"gpt-4o-mini\"", Item::name);
    let priced_as = section.item("priced_as");
    let services = ServiceTier::ALL.map(|tier| (tier.name(), tier));
    let service = section.read("service_tier", |item| item.choice(&services));
    let price = match (&provider, &model) {
        (Some(provider), Some(model)) => {
            let name = priced_as.and_then(Item::name);
            let wanted = Wanted { deployment: id, model: name.as_deref().unwrap_or(model), provider, service };
            priced_as.or(model_item).and_then(|item| context.prices.price(item, &wanted))
        }
        _ => None,
    };
    let mut billing = provider.as_ref().map_or_else(|| Api::OpenAi.billing(), |provider| provider.billing);
    if let Some(inner) = section.section("billing") {
        providers::read_billing(&inner, &mut billing);
    }
    let output_tokens_max = section.read("max_output_tokens", Item::count_from_one);
    let input_tokens_max = section.read("max_input_tokens", Item::count_from_one);
    let weight = section.read("weight", |item| item.count_within(0, WEIGHT_MAX)).unwrap_or(1);
    let order = section.read("order", Item::count).unwrap_or(0);
    let limits = section.read("limits", limits::read).unwrap_or_default();
    let budgets = section.read("budget", |item| budgets::read(item, context.budgets)).unwrap_or_default();
    let cooldown_time = section.read("cooldown_time", Item::span);
    let (provider, model, price) = (provider?, model?, price?);
    let deployment = Deployment {
        name: id.into(),
        provider: provider.name,
        model,
        rates: price.rates,
        weight,
        order,
        limits,
        budgets,
        output_tokens_max: output_tokens_max.or(price.output_tokens_max.filter(|most| *most > 0)).unwrap_or(defaults::OUTPUT_TOKENS_MAX),
        input_tokens_max: input_tokens_max.or(price.input_tokens_max.filter(|most| *most > 0)).unwrap_or(defaults::INPUT_TOKENS_MAX),
        service: price.service,
        offers: Features::ALL,
        countable: false,
        billing,
        cooldown_time,
        retired: false,
    };
    Some((deployment, price.source))
}

/// The provider of that name.
fn provider(item: Item<'_>, providers: &[Provider]) -> Option<Provider> {
    let name = item.text()?;
    let found = providers.iter().find(|provider| provider.name == name).cloned();
    if found.is_none() {
        item.report(problem::unknown_name(item.place(), "provider", name, providers.iter().map(|provider| provider.name.as_str())));
    }
    found
}

/// Who falls back on whom, to find circles. Each kind of list is looked at on its own: a request walks only one kind.
#[derive(Debug, Default)]
struct Edges {
    /// For each kind of list and model: the numbers of its fallbacks, and where they are written.
    lists: BTreeMap<&'static str, Vec<Vec<(usize, Place)>>>,
}

impl Edges {
    fn add(&mut self, kind: &'static str, fallbacks: &[(ModelId, Item<'_>)]) {
        let targets = fallbacks.iter().map(|(id, item)| (id.index(), item.place())).collect();
        self.lists.entry(kind).or_default().push(targets);
    }

    /// Every fallback that leads back to a model on the way to it, with the way.
    fn cycles(&self) -> Vec<(Place, Vec<usize>)> {
        let mut cycles = Vec::new();
        for targets in self.lists.values() {
            let mut done = vec![false; targets.len()];
            for start in 0..targets.len() {
                walk(start, targets, &mut Vec::new(), &mut done, &mut cycles);
            }
        }
        cycles
    }
}

/// Depth first. Recursion is as deep as the longest chain of fallbacks.
fn walk(model: usize, targets: &[Vec<(usize, Place)>], path: &mut Vec<usize>, done: &mut [bool], cycles: &mut Vec<(Place, Vec<usize>)>) {
    if done[model] {
        return;
    }
    path.push(model);
    for (target, place) in &targets[model] {
        match path.iter().position(|on_path| on_path == target) {
            Some(first) => cycles.push((*place, path[first..].iter().copied().chain([*target]).collect())),
            None if *target < targets.len() => walk(*target, targets, path, done, cycles),
            None => {}
        }
    }
    path.pop();
    done[model] = true;
}
