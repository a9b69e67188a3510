//! gateway.toml: from a parsed tree to a plan for the core and the commands that create its keys. Knows no traffic and no driver.
//!
//! One reader per section; the reading code is the schema, and [`defaults`] lists what holds where the file says nothing.

mod budgets;
pub mod calendar;
pub mod defaults;
#[cfg(test)]
mod error_tests;
mod identities;
mod limits;
mod models;
mod policies;
mod price_lists;
#[cfg(test)]
mod price_tests;
mod prices;
pub mod providers;
pub mod server;
#[cfg(test)]
mod server_error_tests;
mod terms;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod value_error_tests;

use std::path::{Path, PathBuf};

use crate::gateway::command::Command;
use crate::gateway::plan::{BudgetSpec, LoopDetector, Plan, RetryBudget};
use crate::gateway::time::Span;
use crate::price::Reserved;

pub use self::budgets::BudgetDefaults;
use self::identities::KEY_BUDGETS_MAX;
use self::policies::Policies;
use self::providers::{Api, HeaderText, Provider, Secret};
use self::server::Server;
use super::diagnostic::{Diagnostics, Place};
use super::problem;
use super::read::{Item, Section};
use super::tree::{self, Node, Value};

/// The version of the format that this gwsim reads.
const VERSION: u64 = 1;

/// A gateway, ready to be driven.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayConfig {
    /// What the core needs to know.
    pub plan: Plan,
    /// What creates teams, keys, tags and end users, in order. To be carried out before the first request.
    pub commands: Vec<Command>,
    /// Where the secrets of its virtual keys are, by name. A simulation needs none.
    pub key_secrets: Vec<(String, Secret)>,
    /// Where deployments are and what they speak.
    pub providers: Vec<Provider>,
    /// How `gwsim serve` listens.
    pub server: Server,
    /// What budgets have that are made while serving.
    pub budget_defaults: BudgetDefaults,
    /// Where alerts go.
    pub alerts: Alerts,
    /// The price list that costs are from: its name and date.
    pub price_list: String,
    /// Where the price of each deployment is from, by number.
    pub price_sources: Vec<String>,
    /// Capacity that costs by the hour, called or not.
    pub reserved: Vec<Reserved>,
}

/// Where alerts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    /// A Slack webhook's address.
    pub slack: Option<Secret>,
    /// A webhook's address.
    pub webhook: Option<Secret>,
    /// What signs the notices that the webhook gets.
    pub webhook_secret: Option<Secret>,
    /// Equal alerts within this are one.
    pub dedupe: Span,
}

impl GatewayConfig {
    /// The files that its secrets are in, by the paths that it has for them.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let headers = self.providers.iter().flat_map(|provider| &provider.headers).filter_map(|(_, text)| match text {
            HeaderText::Secret(secret) => Some(secret),
            HeaderText::Plain(_) => None,
        });
        let alerts = [&self.alerts.slack, &self.alerts.webhook, &self.alerts.webhook_secret];
        let keys = self.key_secrets.iter().map(|(_, secret)| secret);
        let providers = self.providers.iter().filter_map(|provider| provider.key.as_ref());
        let secrets = keys.chain(providers).chain(headers).chain(&self.server.master_key).chain(alerts.into_iter().flatten());
        let files = secrets.filter_map(|secret| if let Secret::File(path) = secret { Some(path.into()) } else { None });
        files.collect()
    }
}

/// Resolves a tree. `None` if there were errors, which are all in `diagnostics` then. `directory` is what paths in the tree are relative to,
/// `price_list` is a list from the command line that takes the place of the tree's own.
pub fn resolve(mut root: Node, directory: &Path, price_list: Option<&Path>, diagnostics: &mut Diagnostics) -> Option<GatewayConfig> {
    let before = diagnostics.error_count();
    tree::name_tables(&mut root, "");
    let lists = price_lists::read(&root, directory, price_list, diagnostics);
    let Value::Table(table) = &root.value else { return None };
    let start = Place { end: root.place.start, ..root.place };
    let section = Section::new(table, "gateway.toml", start, diagnostics);
    let config = read(&section, &lists);
    drop(section);
    (diagnostics.error_count() == before).then_some(config)
}

fn read(root: &Section<'_>, lists: &price_lists::Lists) -> GatewayConfig {
    root.read("version", version);
    let providers = providers(root);
    let prices = prices::read(root.section("prices").as_ref(), lists, &providers);
    let mut policies = defaults::policies();
    policies::read(root, policies::Level::Gateway, &mut policies);
    let cache_bytes_max = read_cache(root, &mut policies);
    let mut budget_defaults = defaults::budget();
    let mut budgets = Budgets { late_usage_window: defaults::LATE_USAGE_WINDOW, ..Budgets::default() };
    if let Some(section) = root.section("budget") {
        budgets::read_defaults(&section, &mut budget_defaults);
        budgets.read(&section, &budget_defaults);
    }
    let context = models::Context { policies: &policies, budgets: &budget_defaults, providers: &providers, prices: &prices };
    let models_section = root.section("models");
    if models_section.is_none() && root.place_of("models").is_none() {
        let example = "{ \"gpt-4o-mini\" = { deployments = [{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }] } }";
        root.report(problem::missing_key(root.place(), "models", "a gateway", example));
    }
    let models = models::read(root.section("deployments").as_ref(), models_section.as_ref(), &context);
    prices.check_deployments(models.declared_deployments(), root.diagnostics());
    let (commands, key_secrets) = identities::read(
        root,
        &identities::Context {
            models: &models,
            budgets: &budget_defaults,
            on_disconnect: policies.on_disconnect,
            global_budgets: budgets.global.len(),
        },
    );
    GatewayConfig {
        commands,
        key_secrets,
        // Where the file says it is nothing to those who are not reading it.
        budget_defaults: BudgetDefaults { timezone_place: None, ..budget_defaults },
        server: root.section("server").as_ref().map(server::read).unwrap_or_default(),
        alerts: alerts(root),
        price_list: lists.to_string(),
        reserved: prices.reserved(&models.deployments),
        price_sources: models.price_sources,
        plan: Plan {
            models: models.models,
            deployments: models.deployments,
            budgets: budgets.global,
            limits: root.read("limits", limits::read).unwrap_or_default(),
            end_user_budget: budgets.end_user,
            cache_bytes_max,
            loop_detector: root.read("loop_detector", loop_detector).flatten(),
            retry_budget: retry_budget(root),
            late_usage_window: budgets.late_usage_window,
        },
        providers,
    }
}

fn version(item: Item<'_>) -> Option<u64> {
    if item.node().value != Value::Whole(Some(VERSION.into())) {
        item.report(problem::unknown_version(item.place(), VERSION));
    }
    Some(VERSION)
}

/// The providers of the file, and those that need no entry because their name says what they speak.
fn providers(root: &Section<'_>) -> Vec<Provider> {
    let mut providers = root.section("providers").as_ref().map(providers::read).unwrap_or_default();
    for api in [Api::OpenAi, Api::Azure, Api::Anthropic, Api::Gemini, Api::Bedrock] {
        if !providers.iter().any(|provider| provider.name == api.name()) {
            providers.push(Provider::own(api));
        }
    }
    providers
}

fn read_cache(root: &Section<'_>, policies: &mut Policies) -> u64 {
    let mut bytes_max = defaults::CACHE_BYTES_MAX;
    if let Some(Some(section)) = root.read("cache", Item::section_or_off) {
        section.put("size_max", Item::bytes, &mut bytes_max);
        policies.cache = policies::cache(&section, None);
    }
    bytes_max
}

#[derive(Debug, Default)]
struct Budgets {
    global: Vec<BudgetSpec>,
    end_user: Option<BudgetSpec>,
    late_usage_window: Span,
}

impl Budgets {
    fn read(&mut self, section: &Section<'_>, defaults: &budgets::BudgetDefaults) {
        section.put("global", |item| budgets::read(item, defaults), &mut self.global);
        if let (true, Some(place)) = (self.global.len() > KEY_BUDGETS_MAX, section.place_of("global")) {
            section.report(problem::too_many_budgets(place, "global", self.global.len(), KEY_BUDGETS_MAX));
        }
        section.put_some("end_user", |item| budgets::one(item, defaults), &mut self.end_user);
        section.put("late_usage_window", Item::span, &mut self.late_usage_window);
    }
}

fn loop_detector(item: Item<'_>) -> Option<Option<LoopDetector>> {
    let Some(section) = item.section_or_off()? else { return Some(None) };
    let mut detector = defaults::loop_detector();
    section.put("repeats", Item::count_from_one, &mut detector.repeats);
    section.put("window", Item::span_above_zero, &mut detector.window);
    section.put("enforce", |item| item.choice(&budgets::ENFORCE), &mut detector.enforce);
    Some(Some(detector))
}

/// `retry_budget` stands in `[attempts]`, but there is one for the whole gateway; [`policies`] reads the rest of that section.
fn retry_budget(root: &Section<'_>) -> Option<RetryBudget> {
    let section = root.peek("attempts")?.read("retry_budget", Item::section_or_off)??;
    let mut budget = defaults::retry_budget();
    section.put("ratio", Item::per_mille, &mut budget.ratio_per_mille);
    section.put("burst", Item::count, &mut budget.burst);
    Some(budget)
}

fn alerts(root: &Section<'_>) -> Alerts {
    let mut alerts = Alerts { slack: None, webhook: None, webhook_secret: None, dedupe: Span::from_secs(3600) };
    if let Some(section) = root.section("alerts") {
        section.put_some("slack", providers::secret, &mut alerts.slack);
        section.put_some("webhook", providers::secret, &mut alerts.webhook);
        section.put_some("webhook_secret", providers::secret, &mut alerts.webhook_secret);
        section.put("dedupe", Item::span, &mut alerts.dedupe);
        if let (None, Some(place)) = (section.place_of("webhook"), section.place_of("webhook_secret")) {
            section.report(problem::needs_other(place, "webhook_secret", "webhook"));
        }
    }
    alerts
}
