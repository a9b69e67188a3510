//! Teams, keys, tags and end users as the commands that create them. They are state of the gateway, not part of its plan.

use crate::gateway::budget::ACCOUNTS_MAX;
use crate::gateway::command::{Command, KeySpec, Overrides, TeamSpec};
use crate::gateway::plan::{BudgetSpec, OnDisconnect};

use super::super::problem;
use super::super::read::{Item, Section};
use super::budgets::BudgetDefaults;
use super::models::Models;
use super::providers::{self, Secret};
use super::{budgets, limits, policies};

/// The most budgets on a key's path. Of the places in a hold, `gateway::directory` keeps four free: two for the model and its deployment, one each
/// for the end user and the request's tag.
pub const KEY_BUDGETS_MAX: usize = ACCOUNTS_MAX - 4;
/// The most budgets of a model and its deployment together.
pub const CALL_BUDGETS_MAX: usize = 2;

/// What teams and keys are read with.
pub struct Context<'a> {
    /// The models that they may ask for.
    pub models: &'a Models,
    /// What budgets have that say nothing.
    pub budgets: &'a BudgetDefaults,
    /// What a team or key changes when it changes a part of it.
    pub on_disconnect: OnDisconnect,
    /// Budgets over everything.
    pub global_budgets: usize,
}

/// Reads `[teams]`, `[keys]`, `[tags]` and `[end_users]` into commands, in an order in which they can be carried out, and says where
/// the secrets of keys are.
pub fn read(root: &Section<'_>, context: &Context<'_>) -> (Vec<Command>, Vec<(String, Secret)>) {
    let budget = |item: Item<'_>| budgets::at_most_one(item, context.budgets);
    let mut commands = Vec::new();
    let mut tag_budgets = Vec::new();
    for item in root.section("tags").iter().flat_map(Section::entries) {
        let Some(section) = item.section() else { continue };
        let budgets = section.require("budget", "{ limit = \"50 USD\", every = \"day\" }", budget).unwrap_or_default();
        tag_budgets.push((item.key, budgets));
    }
    let budgets_of_tags = |tags: &[String]| -> usize {
        tags.iter().map(|tag| tag_budgets.iter().find(|(name, _): &&(&str, Vec<BudgetSpec>)| name == tag).map_or(0, |(_, own)| own.len())).sum()
    };
    let mut blocked = Vec::new();
    let mut teams: Vec<(&str, TeamSpec)> = Vec::new();
    for item in root.section("teams").iter().flat_map(Section::entries) {
        let Some(section) = item.section() else { continue };
        let is_blocked = section.read("blocked", Item::boolean) == Some(true);
        blocked.push(Command::BlockTeam { name: item.key.into(), blocked: is_blocked });
        let spec = team(&section, context);
        let count = context.global_budgets + spec.budgets.len() + budgets_of_tags(&spec.tags);
        if count > KEY_BUDGETS_MAX {
            section.report(problem::too_many_budgets(item.key_place, item.key, count, KEY_BUDGETS_MAX));
        }
        teams.push((item.key, spec));
    }
    let (mut keys, mut secrets) = (Vec::new(), Vec::new());
    for item in root.section("keys").iter().flat_map(Section::entries) {
        let Some(section) = item.section() else { continue };
        let is_blocked = section.read("blocked", Item::boolean) == Some(true);
        blocked.push(Command::BlockKey { name: item.key.into(), blocked: is_blocked });
        let spec = key(&section, &teams, context);
        let team = teams.iter().find(|(name, _)| Some(*name) == spec.team.as_deref()).map(|(_, team)| team);
        let of_team = team.map_or(0, |team| team.budgets.len() + budgets_of_tags(&team.tags));
        let count = context.global_budgets + of_team + spec.budgets.len() + budgets_of_tags(&spec.tags);
        if count > KEY_BUDGETS_MAX {
            section.report(problem::too_many_budgets(item.key_place, item.key, count, KEY_BUDGETS_MAX));
        }
        secrets.extend(section.read("secret", providers::secret).map(|secret| (item.key.to_owned(), secret)));
        keys.push(Command::PutKey { name: item.key.into(), spec });
    }
    commands.extend(teams.into_iter().map(|(name, spec)| Command::PutTeam { name: name.into(), spec }));
    commands.extend(keys);
    commands.extend(tag_budgets.into_iter().map(|(name, budgets)| Command::PutTag { name: name.into(), budgets }));
    for item in root.section("end_users").iter().flat_map(Section::entries) {
        let Some(section) = item.section() else { continue };
        let budgets = section.require("budget", "{ limit = \"5 USD\", every = \"day\" }", budget).unwrap_or_default();
        commands.push(Command::PutEndUser { name: item.key.into(), budgets });
    }
    commands.extend(blocked);
    (commands, secrets)
}

fn team(section: &Section<'_>, context: &Context<'_>) -> TeamSpec {
    TeamSpec {
        budgets: section.read("budget", |item| budgets::read(item, context.budgets)).unwrap_or_default(),
        limits: section.read("limits", limits::read).unwrap_or_default(),
        models: section.read("models", |item| context.models.resolve(item)),
        tags: section.read("tags", tags).unwrap_or_default(),
        overrides: overrides(section, context.on_disconnect),
    }
}

fn key(section: &Section<'_>, teams: &[(&str, TeamSpec)], context: &Context<'_>) -> KeySpec {
    let team = section.read("team", |item| {
        let name = item.text()?;
        if !teams.iter().any(|(known, _)| *known == name) {
            item.report(problem::unknown_name(item.place(), "team", name, teams.iter().map(|(known, _)| *known)));
        }
        Some(name.to_owned())
    });
    KeySpec {
        team,
        budgets: section.read("budget", |item| budgets::read(item, context.budgets)).unwrap_or_default(),
        limits: section.read("limits", limits::read).unwrap_or_default(),
        models: section.read("models", |item| context.models.resolve(item)),
        tags: section.read("tags", tags).unwrap_or_default(),
        expires: section.read("expires", Item::instant),
        overrides: overrides(section, context.on_disconnect),
    }
}

/// Tags as a list of words, or as a table: `{ cost_centre = "4711" }` is the tag `cost_centre=4711`.
fn tags(item: Item<'_>) -> Option<Vec<String>> {
    if !item.is_table() {
        return Some(item.list()?.into_iter().filter_map(Item::name).collect());
    }
    let section = item.section()?;
    Some(section.entries().into_iter().filter_map(|item| Some(format!("{}={}", item.key, item.text()?))).collect())
}

/// Policies of a team or key, under the same names as a model's.
fn overrides(section: &Section<'_>, on_disconnect: OnDisconnect) -> Overrides {
    let mut own = Overrides::default();
    if let Some(attempts) = section.section("attempts") {
        attempts.put_some("per_request", policies::attempts_cap, &mut own.attempts_per_request);
    }
    if let Some(fallback) = section.read("fallback", Item::section_or_off) {
        match fallback {
            None => own.fallbacks = Some(false),
            Some(fallback) => {
                fallback.put_some("enabled", Item::boolean, &mut own.fallbacks);
                fallback.put_some("max_price_ratio", Item::per_mille, &mut own.price_ratio_max_per_mille);
            }
        }
    }
    if let Some(cache) = section.read("cache", Item::section_or_off) {
        match cache {
            None => own.cache = Some(false),
            Some(cache) => {
                cache.put_some("enabled", Item::boolean, &mut own.cache);
                cache.put_some("scope", |item| item.choice(&policies::SCOPES), &mut own.cache_scope);
            }
        }
    }
    if let Some(lengths) = section.section("max_tokens") {
        lengths.put_some("cap", Item::count_from_one, &mut own.max_tokens_cap);
    }
    if let Some(stream) = section.section("stream") {
        let mut leaving = on_disconnect;
        policies::read_stream(&stream, &mut leaving);
        own.on_disconnect = Some(leaving);
    }
    own
}
