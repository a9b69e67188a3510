//! `gwsim check`: whether a scenario or a gateway.toml is valid, with all that is wrong in it at once.

use std::fmt::Write;

use super::args::CheckArguments;
use super::{Exit, Failure, Printer};
use crate::config::diagnostic::Diagnostics;
use crate::config::gateway::GatewayConfig;
use crate::config::{self, Checked, Loaded};
use crate::gateway::plan::ServiceClass;
use crate::report::numbers::counted;
use crate::serve::upstream::{self, NotServable};

/// Checks a file and prints one line about it if it is valid, and one for each reason that a part of it can't be served.
///
/// # Errors
/// If it is not: all of its errors.
pub fn check(arguments: &CheckArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let options = arguments.reading.options();
    let path = &arguments.file;
    let mut unreached = String::new();
    let facts = match loaded(config::load_either(path, &options), printer)? {
        Checked::Scenario(scenario) => {
            let (variants, seeds) = (scenario.variants.len() as u64, scenario.seeds.len() as u64);
            let sweep = scenario.sweep.map(|sweep| format!(", and a sweep of {}", counted(sweep.count(), "cell"))).unwrap_or_default();
            format!("a scenario of {} under {}{sweep}", counted(variants, "variant"), counted(seeds, "seed"))
        }
        Checked::Gateway(gateway) => {
            let (models, deployments) = (gateway.plan.models.len() as u64, gateway.plan.deployments.len() as u64);
            unreached = not_servable(&gateway);
            format!("a gateway of {} on {}", counted(models, "model"), counted(deployments, "deployment"))
        }
    };
    printer.result(&format!("{}: valid, {facts}\n{unreached}", path.display()))?;
    Ok(Exit::Pass)
}

/// The deployments that can be priced but that `gwsim serve` has no way to call, or only for some requests: a line for each reason.
fn not_servable(gateway: &GatewayConfig) -> String {
    let mut lines = String::new();
    for provider in &gateway.providers {
        let own = gateway.plan.deployments.iter().filter(|deployment| deployment.provider == provider.name);
        let names: Vec<String> = own.map(|deployment| format!("`{}`", deployment.name)).collect();
        if let (false, Some(NotServable { why })) = (names.is_empty(), upstream::not_servable(provider)) {
            let _ = writeln!(lines, "priced, not servable: {}: {why}", names.join(", "));
        }
    }
    let economy = gateway.plan.deployments.iter().filter(|deployment| deployment.service == ServiceClass::Economy);
    let names: Vec<String> = economy.map(|deployment| format!("`{}`", deployment.name)).collect();
    if !names.is_empty() {
        let _ =
            writeln!(lines, "priced at a cheaper service tier: {}: `gwsim serve` sends there what asks for one by `service_tier`", names.join(", "));
    }
    lines
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
