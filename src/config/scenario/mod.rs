//! scenario.toml: traffic, a world, and variants of one gateway, resolved into what the simulator runs. Runs nothing.

mod baseline;
#[cfg(test)]
mod client_tests;
mod clients;
#[cfg(test)]
mod error_tests;
mod expect;
#[cfg(test)]
mod expect_tests;
mod gateways;
mod overlay;
mod seeds;
mod sweep;
mod synthetic;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod token_tests;
mod tokens;
mod traffic;
#[cfg(test)]
mod traffic_tests;
mod world;

use std::path::Path;

use crate::report::expect::Expectation;
use crate::sim::client::Clients;
use crate::sim::world::World;

pub use self::baseline::BaselineSpec;
pub use self::seeds::Precision;
pub use self::sweep::SweepSpec;
pub use self::traffic::TrafficSpec;

use super::Options;
use super::diagnostic::{Diagnostics, Place};
use super::gateway::{self, GatewayConfig};
use super::read::{Item, Section};
use super::set::{self, Assignment};
use super::tree::{self, Node, Value};
use super::{files, problem};

/// The keys that only a scenario has. By them a file is told from a gateway.toml, and a `--set` for the scenario from one for its gateway.
pub const KEYS: [&str; 16] = [
    "baseline",
    "name",
    "gateway",
    "litellm",
    "precision",
    "seed",
    "seeds",
    "seeds_max",
    "traffic",
    "clients",
    "world",
    "tokens",
    "variant",
    "sweep",
    "expect",
    "description",
];

/// A scenario, ready to run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What reports call it.
    pub name: String,
    /// What it shows; may be empty.
    pub description: String,
    /// The seeds that each variant is run under; with `precision`, the first ones.
    pub seeds: Vec<u64>,
    /// How precise the changes are to be, if seeds are to be added until they are.
    pub precision: Option<Precision>,
    /// What is replayed.
    pub traffic: TrafficSpec,
    /// At least one, in the order of the file.
    pub variants: Vec<ScenarioVariant>,
    /// What a log is held against.
    pub baseline: BaselineSpec,
    /// What must hold of the results.
    pub expectations: Vec<Expectation>,
    /// What is varied beside the variants.
    pub sweep: Option<SweepSpec>,
}

/// One configuration of the gateway, and the world and clients around it.
#[derive(Debug, Clone)]
pub struct ScenarioVariant {
    /// What reports call it.
    pub name: String,
    /// The gateway.
    pub gateway: GatewayConfig,
    /// What its deployments are like.
    pub world: World,
    /// How rows become its requests.
    pub clients: Clients,
}

/// A variant before it is resolved.
struct Draft {
    name: String,
    sets: Vec<Assignment>,
}

/// Whether a change is for the scenario, not for its gateway.
pub fn is_own(set: &Assignment) -> bool {
    set.path.first().is_some_and(|(key, _)| KEYS.contains(&key.as_str()))
}

/// Resolves a parsed scenario. `None` if there were errors, which are all in `diagnostics` then.
pub fn resolve(mut root: Node, path: &Path, options: &Options, sets: &[Assignment], diagnostics: &mut Diagnostics) -> Option<Scenario> {
    if !options.gateways.is_empty() {
        gateways::forget_own(&mut root);
    }
    let stated = options.sweeps.iter().flat_map(|argument| set::command_line("--sweep", argument, diagnostics)).collect();
    tree::name_tables(&mut root, "");
    let sweep = sweep::take(&mut root, stated, diagnostics);
    let scenario = resolve_one(root.clone(), path, options, sets, diagnostics);
    let sweep = sweep.map(|sweep| sweep.resolve(root, (path, options), sets, diagnostics));
    scenario.map(|scenario| Scenario { sweep, ..scenario })
}

/// The tree of one variant's gateway, the first if none is named, with all its changes, and the folder that its paths are relative to.
pub fn gateway_of(
    mut root: Node,
    path: &Path,
    sets: &[Assignment],
    variant: Option<&str>,
    diagnostics: &mut Diagnostics,
) -> Option<(Node, std::path::PathBuf)> {
    tree::name_tables(&mut root, "");
    let (mut gateway, directory) = gateway_tree(&root, path.parent().unwrap_or(Path::new("")), diagnostics)?;
    let draft = drafts(&root, diagnostics).into_iter().find(|draft| variant.is_none_or(|name| draft.name == name))?;
    draft.sets.iter().chain(sets).for_each(|assignment| set::apply(&mut gateway, assignment, diagnostics));
    Some((gateway, directory))
}

/// The scenario without its sweep.
fn resolve_one(mut root: Node, path: &Path, options: &Options, sets: &[Assignment], diagnostics: &mut Diagnostics) -> Option<Scenario> {
    let directory = path.parent().unwrap_or(Path::new(""));
    tree::name_tables(&mut root, "");
    let (drafts, bases): (Vec<Draft>, Vec<_>) = if options.gateways.is_empty() {
        let base = gateway_tree(&root, directory, diagnostics);
        drafts(&root, diagnostics).into_iter().map(|draft| (draft, base.clone())).unzip()
    } else {
        gateways::drafts(&options.gateways, diagnostics).unzip()
    };
    let mut gateways = Vec::new();
    for (draft, base) in drafts.iter().zip(bases) {
        gateways.push(base.and_then(|(mut tree, directory)| {
            for assignment in draft.sets.iter().chain(sets) {
                set::apply(&mut tree, assignment, diagnostics);
            }
            gateway::resolve(tree, &directory, options.prices.as_deref(), diagnostics)
        }));
    }
    let Value::Table(table) = &root.value else { return None };
    let start = Place { end: root.place.start, ..root.place };
    let section = Section::new(table, "the scenario", start, diagnostics);
    let resolved: Vec<(&Draft, GatewayConfig)> = drafts.iter().zip(gateways).filter_map(|(draft, gateway)| Some((draft, gateway?))).collect();
    let complete = resolved.len() == drafts.len();
    read(&section, path, resolved, complete)
}

fn read(root: &Section<'_>, path: &Path, resolved: Vec<(&Draft, GatewayConfig)>, complete: bool) -> Option<Scenario> {
    // Read before by `gateway_tree`, `drafts` and `sweep`.
    for key in ["gateway", "variant", "sweep"] {
        root.item(key);
    }
    refuse_what_comes_later(root);
    let directory = path.parent().unwrap_or(Path::new(""));
    let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let name = root.read("name", Item::name).unwrap_or(stem);
    let description = root.read("description", Item::text).unwrap_or_default().to_owned();
    let (seeds, precision) = seeds::read(root);
    let names: Vec<&str> = resolved.iter().map(|(draft, _)| draft.name.as_str()).collect();
    // With a variant missing, a name that looks unknown may be one of its own.
    let expectations = root.read("expect", |item| expect::read(item, &names, complete)).unwrap_or_default();
    let baseline = root.read("baseline", |item| baseline::read(item, &names, complete)).unwrap_or_default();
    let gateways: Vec<&GatewayConfig> = resolved.iter().map(|(_, gateway)| gateway).collect();
    let world_section = root.section("world");
    if complete {
        world::check_names(world_section.as_ref(), &gateways);
    }
    world::check_layers(world_section.as_ref());
    let habits = clients::read(root.section("clients").as_ref());
    // Recorded tokens are those of the configuration that was recorded.
    let mut recorded_first = gateways.clone();
    if let Some(up_to) = recorded_first.get_mut(..=baseline.variant) {
        up_to.rotate_right(1);
    }
    let tokens = tokens::read(root.item("tokens"), &recorded_first, complete);
    let traffic_section = root.require("traffic", "{ trace = \"trace.csv\" }", Item::section);
    let traffic = traffic_section.as_ref().and_then(|section| traffic::read(section, directory, &gateways));
    let (traffic, draft_clients) = traffic?;
    clients::check_retries(&habits, &traffic, traffic_section.as_ref());
    let variants = resolved
        .into_iter()
        .map(|(draft, mut gateway)| ScenarioVariant {
            name: draft.name.clone(),
            world: world::resolve(world_section.as_ref(), &gateway),
            clients: Clients { habits: habits.clone(), tokens: tokens.clone(), ..draft_clients.for_gateway(&mut gateway) },
            gateway,
        })
        .collect();
    complete.then_some(Scenario { name, description, seeds, precision, traffic, variants, baseline, expectations, sweep: None })
}

fn refuse_what_comes_later(root: &Section<'_>) {
    if let Some(item) = root.item("litellm") {
        item.report(problem::not_supported_yet(item.key_place, "a LiteLLM config", "write the gateway as gateway.toml: gateway = \"gateway.toml\""));
    }
}

/// The tree of the gateway that all variants start from, and the directory that its paths are relative to.
fn gateway_tree(root: &Node, directory: &Path, diagnostics: &mut Diagnostics) -> Option<(Node, std::path::PathBuf)> {
    let Value::Table(table) = &root.value else { return None };
    let Some(entry) = table.find("gateway") else {
        if table.find("litellm").is_none() {
            let start = Place { end: root.place.start, ..root.place };
            diagnostics.report(problem::missing_key(start, "gateway", "a scenario", "\"gateway.toml\""));
        }
        return None;
    };
    match &entry.node.value {
        Value::Table(_) => Some((Node { place: entry.key_place, value: entry.node.value.clone() }, directory.into())),
        Value::Text(file) => {
            let path = directory.join(file);
            let (source, _) = files::read(&path, Some(entry.node.place), diagnostics)?;
            let tree = tree::parse(diagnostics, source)?;
            Some((tree, path.parent().unwrap_or(Path::new("")).into()))
        }
        other => {
            let expected = "the path of a gateway.toml, or a table";
            diagnostics.report(problem::wrong_kind(entry.node.place, "gateway", other.kind(), expected, "\"gateway.toml\""));
            None
        }
    }
}

/// The variants; without any, the gateway as it is.
fn drafts(root: &Node, diagnostics: &Diagnostics) -> Vec<Draft> {
    let as_configured = || Draft { name: "as configured".into(), sets: Vec::new() };
    let Value::Table(table) = &root.value else { return Vec::new() };
    let Some(entry) = table.find("variant") else { return vec![as_configured()] };
    let mut drafts: Vec<Draft> = Vec::new();
    let mut places: Vec<Place> = Vec::new();
    for item in Item::new(&entry.node, "variant", diagnostics).one_or_more().unwrap_or_default() {
        let Some(section) = item.section() else { continue };
        let named = section.require("name", "\"capped\"", |item| Some((item.name()?, item.place())));
        let sets = section.item("set").and_then(|item| match &item.node().value {
            Value::Table(table) => Some(set::assignments(table, diagnostics)),
            _ => item.section().map(|_| Vec::new()),
        });
        let Some((name, place)) = named else { continue };
        if let Some(first) = drafts.iter().position(|draft| draft.name == name) {
            section.report(problem::duplicate(place, "variant", &name, places[first]));
            continue;
        }
        places.push(place);
        drafts.push(Draft { name, sets: sets.unwrap_or_default() });
    }
    drafts
}
