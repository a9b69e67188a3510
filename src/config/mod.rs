//! Configuration: text with places -> tree -> plan. Collects every problem before it gives up; decides nothing that happens while a gateway runs.
//!
//! [`tree`] parses, [`mod@set`] changes the tree, the readers in [`mod@gateway`] and [`mod@scenario`] take it apart with [`read`], and
//! [`diagnostic`] shows what [`problem`]s there were.

pub mod diagnostic;
pub mod distribution;
mod files;
pub mod gateway;
pub mod near;
pub mod problem;
mod quantity;
mod read;
pub mod scenario;
mod set;
mod tree;

use std::path::{Path, PathBuf};

use self::diagnostic::Diagnostics;
use self::gateway::GatewayConfig;
use self::scenario::Scenario;
use self::set::Assignment;
use self::tree::{Node, Value};

/// What the command line adds to a file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--set PATH=VALUE`, in order; later ones win.
    pub sets: Vec<String>,
    /// `--sweep PATH=VALUES`, in order: the axes of a sweep in place of the scenario's.
    pub sweeps: Vec<String>,
    /// gateway.toml files, each with a name, in place of a scenario's gateway and variants: each is a variant.
    pub gateways: Vec<(String, PathBuf)>,
    /// `--prices FILE`: a price list (gwsim's CSV or LiteLLM's JSON, or `built-in`) in place of the one that the file names.
    pub prices: Option<PathBuf>,
}

/// Something loaded, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// What was loaded.
    pub value: T,
    /// Warnings; no errors.
    pub warnings: Diagnostics,
}

/// A file of either kind.
#[derive(Debug, Clone)]
pub enum Checked {
    /// It was a gateway.toml.
    Gateway(Box<GatewayConfig>),
    /// It was a scenario.toml.
    Scenario(Box<Scenario>),
}

/// Loads a gateway.toml.
///
/// # Errors
/// If anything in it is wrong: every problem at once, warnings included.
pub fn load_gateway(path: &Path, options: &Options) -> Result<Loaded<GatewayConfig>, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let (root, sets) = parse(path, options, &mut diagnostics);
    let loaded = root.and_then(|root| gateway(root, path, options, &sets, &mut diagnostics));
    finished(loaded, diagnostics)
}

/// Loads a scenario.toml with its gateway. A `--set` whose path starts with a key of the scenario changes the scenario, every other one the gateway
/// of every variant, after the variant's own.
///
/// # Errors
/// If anything in either file is wrong: every problem at once, warnings included.
pub fn load_scenario(path: &Path, options: &Options) -> Result<Loaded<Scenario>, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let (root, sets) = parse(path, options, &mut diagnostics);
    let loaded = root.and_then(|root| scenario(root, path, options, sets, &mut diagnostics));
    finished(loaded, diagnostics)
}

/// As [`load_scenario`] of a file with this text that need not exist. Other files that it names are read, relative to `path`.
///
/// # Errors
/// As [`load_scenario`].
pub fn load_scenario_text(path: &Path, text: &str, options: &Options) -> Result<Loaded<Scenario>, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    diagnostics.add_source(path.display().to_string(), text);
    let (root, sets) = parse(path, options, &mut diagnostics);
    let loaded = root.and_then(|root| scenario(root, path, options, sets, &mut diagnostics));
    finished(loaded, diagnostics)
}

/// The gateway.toml of one variant of a scenario, the first if none is named, as it is once all changes to it have been carried out; and the folder
/// that its paths are relative to. `None` if there is no such variant.
///
/// # Errors
/// If a file can't be read or is no TOML; what else is wrong with the scenario, [`load_scenario`] says.
pub fn gateway_of_scenario(path: &Path, options: &Options, variant: Option<&str>) -> Result<Option<(toml::Table, PathBuf)>, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let (root, sets) = parse(path, options, &mut diagnostics);
    let found = root.and_then(|mut root| {
        let (own, for_gateway): (Vec<_>, Vec<_>) = sets.into_iter().partition(scenario::is_own);
        own.iter().for_each(|assignment| set::apply(&mut root, assignment, &diagnostics));
        scenario::gateway_of(root, path, &for_gateway, variant, &mut diagnostics)
    });
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    Ok(found.map(|(node, directory)| (tree::plain_table(&node), directory)))
}

/// Loads a file of either kind: a scenario if it has a key that only scenarios have.
///
/// # Errors
/// As [`load_gateway`] and [`load_scenario`].
pub fn load_either(path: &Path, options: &Options) -> Result<Loaded<Checked>, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let (root, sets) = parse(path, options, &mut diagnostics);
    let loaded = root.and_then(|root| {
        if is_scenario(&root) {
            scenario(root, path, options, sets, &mut diagnostics).map(|scenario| Checked::Scenario(Box::new(scenario)))
        } else {
            gateway(root, path, options, &sets, &mut diagnostics).map(|gateway| Checked::Gateway(Box::new(gateway)))
        }
    });
    finished(loaded, diagnostics)
}

/// Whether the file at `path` is a scenario, and not a gateway.toml.
///
/// # Errors
/// If it can't be read, or is no TOML.
pub fn is_scenario_file(path: &Path) -> Result<bool, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let (root, _) = parse(path, &Options::default(), &mut diagnostics);
    root.map(|root| is_scenario(&root)).ok_or(diagnostics)
}

/// The tree of a file and the changes of the command line, which are read even if the file is broken: all problems at once.
fn parse(path: &Path, options: &Options, diagnostics: &mut Diagnostics) -> (Option<Node>, Vec<Assignment>) {
    let root = if is_named_like_a_trace(path) && path.is_file() {
        diagnostics.report(problem::trace_for_configuration(&path.display().to_string()));
        None
    } else {
        files::read(path, None, diagnostics).and_then(|(source, _)| tree::parse(diagnostics, source))
    };
    let sets = options.sets.iter().flat_map(|argument| set::command_line("--set", argument, diagnostics)).collect();
    (root, sets)
}

fn is_named_like_a_trace(path: &Path) -> bool {
    let extension = path.extension().and_then(std::ffi::OsStr::to_str);
    extension.is_some_and(|extension| ["csv", "jsonl", "ndjson", "parquet", "gz", "zst"].contains(&extension))
}

fn is_scenario(root: &Node) -> bool {
    has_any(root, &scenario::KEYS)
}

fn has_any(root: &Node, keys: &[&str]) -> bool {
    matches!(&root.value, Value::Table(table) if keys.iter().any(|key| table.find(key).is_some()))
}

fn gateway(mut root: Node, path: &Path, options: &Options, sets: &[Assignment], diagnostics: &mut Diagnostics) -> Option<GatewayConfig> {
    for assignment in sets {
        set::apply(&mut root, assignment, diagnostics);
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    gateway::resolve(root, directory, options.prices.as_deref(), diagnostics)
}

fn scenario(mut root: Node, path: &Path, options: &Options, sets: Vec<Assignment>, diagnostics: &mut Diagnostics) -> Option<Scenario> {
    if !is_scenario(&root) && has_any(&root, &["models"]) {
        diagnostics.report(problem::gateway_for_scenario(root.place));
        return None;
    }
    let (own, for_gateway): (Vec<_>, Vec<_>) = sets.into_iter().partition(scenario::is_own);
    for assignment in &own {
        set::apply(&mut root, assignment, diagnostics);
    }
    scenario::resolve(root, path, options, &for_gateway, diagnostics)
}

fn finished<T>(loaded: Option<T>, diagnostics: Diagnostics) -> Result<Loaded<T>, Diagnostics> {
    match loaded {
        Some(value) if !diagnostics.has_errors() => Ok(Loaded { value, warnings: diagnostics }),
        _ => Err(diagnostics),
    }
}
