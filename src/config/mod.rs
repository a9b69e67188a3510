//! Configuration: text with places -> tree -> plan. Collects every problem before it gives up; decides nothing that happens while a gateway runs.
//!
//! [`tree`] parses, [`set`] changes the tree, the readers in [`gateway`] and `scenario` take it apart with [`read`], and [`diagnostic`] shows what
//! [`problem`]s there were.

pub mod diagnostic;
mod files;
pub mod gateway;
mod near;
pub mod problem;
mod quantity;
mod read;
mod set;
mod tree;

use std::path::{Path, PathBuf};

use self::diagnostic::Diagnostics;
use self::gateway::GatewayConfig;

/// What the command line adds to a file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--set PATH=VALUE`, in order; later ones win.
    pub sets: Vec<String>,
    /// `--prices FILE`: a price list (gwsim's CSV or LiteLLM's JSON) in place of the one that the file names.
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

/// Loads a gateway.toml.
///
/// # Errors
/// If anything in it is wrong: every problem at once, warnings included.
pub fn load_gateway(path: &Path, options: &Options) -> Result<Loaded<GatewayConfig>, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let loaded = gateway_tree(path, options, &mut diagnostics).and_then(|root| {
        let directory = path.parent().unwrap_or(Path::new(""));
        gateway::resolve(&root, directory, options.prices.as_deref(), &mut diagnostics)
    });
    finished(loaded, diagnostics)
}

fn gateway_tree(path: &Path, options: &Options, diagnostics: &mut Diagnostics) -> Option<tree::Node> {
    let root = files::read(path, None, diagnostics).and_then(|(source, _)| tree::parse(diagnostics, source));
    // What the command line says is read even if the file is broken: all problems at once.
    let sets: Vec<_> = options.sets.iter().flat_map(|argument| set::command_line(argument, diagnostics)).collect();
    let mut root = root?;
    for assignment in &sets {
        set::apply(&mut root, assignment, diagnostics);
    }
    Some(root)
}

fn finished<T>(loaded: Option<T>, diagnostics: Diagnostics) -> Result<Loaded<T>, Diagnostics> {
    match loaded {
        Some(value) if !diagnostics.has_errors() => Ok(Loaded { value, warnings: diagnostics }),
        _ => Err(diagnostics),
    }
}
