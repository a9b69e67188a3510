//! `gwsim check`: whether a scenario or a gateway.toml is valid, with all that is wrong in it at once.

use std::path::Path;

use super::args::CheckArguments;
use super::{Exit, Failure, Printer};
use crate::config::diagnostic::Diagnostics;
use crate::config::{self, Loaded, Options};
use crate::report::numbers::count;

/// Checks a file and prints one line about it if it is valid.
///
/// # Errors
/// If it is not: all of its errors.
pub fn check(arguments: &CheckArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let options = Options { sets: arguments.set.clone(), prices: arguments.prices.clone() };
    let path = &arguments.file;
    let facts = if is_scenario(path) {
        let scenario = loaded(config::load_scenario(path, &options), printer)?;
        let variants = scenario.variants.len() as u64;
        format!("a scenario of {} variant{}", count(variants), plural(variants))
    } else {
        let gateway = loaded(config::load_gateway(path, &options), printer)?;
        let (models, deployments) = (gateway.plan.models.len() as u64, gateway.plan.deployments.len() as u64);
        format!("a gateway of {} model{} on {} deployment{}", count(models), plural(models), count(deployments), plural(deployments))
    };
    printer.result(&format!("{}: valid, {facts}\n", path.display()))?;
    Ok(Exit::Pass)
}

/// The value, its warnings printed; or all errors as a failure.
pub(super) fn loaded<T>(result: Result<Loaded<T>, Diagnostics>, printer: &Printer) -> Result<T, Failure> {
    match result {
        Ok(Loaded { value, warnings }) => {
            if !warnings.is_empty() {
                printer.note(warnings.render(printer.errors_in_color).trim_end());
            }
            Ok(value)
        }
        Err(diagnostics) => {
            printer.note(diagnostics.render(printer.errors_in_color).trim_end());
            Err(Failure::told(Exit::Usage))
        }
    }
}

/// Whether a file is meant as a scenario: traffic or variants are something only those have. A file that can't be read is left to its loader.
fn is_scenario(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::trim_start).any(|line| ["[traffic", "[[variant", "[world", "[[expect", "[sweep"].iter().any(|start| line.starts_with(start)))
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}
