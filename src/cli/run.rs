//! `gwsim run`: the variants of a scenario on its traffic. Resolves arguments and scenario into a job, and shows and keeps what comes out.

use std::sync::Arc;
use std::thread;

use super::args::{Format, RunArguments};
use super::check::loaded;
use super::simulate::{Job, simulate};
use super::{Exit, Failure, Printer, assumptions, digest, requests};
use crate::config::diagnostic::Diagnostics;
use crate::config::scenario::{Scenario, ScenarioVariant};
use crate::config::{self, Loaded, Options};
use crate::report::expect::Expectation;
use crate::report::write::Place;
use crate::report::{Origin, Report, table, trust, write};
use crate::sim::driver::Variant;
use crate::sim::experiment::Experiment;

/// Runs a scenario, prints what came out and keeps the report.
///
/// # Errors
/// If the scenario, one of its files or its traffic is wrong, or the report can't be written.
pub fn run(arguments: &RunArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let (job, expectations) = resolve(arguments, printer)?;
    let place =
        Place::make(&job.name, &arguments.out).map_err(|error| Failure::usage(format!("{error}\nhint: choose another directory with --out")))?;
    let again = arguments.requests.then(|| job.clone());
    let report = match simulate(job, printer) {
        Ok(report) => report,
        Err(failure) => {
            place.leave();
            return Err(failure);
        }
    };
    conclude(report, &expectations, again.as_ref(), arguments, printer)
}

fn resolve(arguments: &RunArguments, printer: &Printer) -> Result<(Job, Vec<Expectation>), Failure> {
    let options = Options { sweeps: arguments.sweep.clone(), ..arguments.reading.options() };
    let RunArguments { seed: first, seeds: count, threads, yes: is_agreed, .. } = *arguments;
    let wanted = Wanted { first, count, least: 1, threads, is_agreed };
    job(config::load_scenario(&arguments.scenario, &options), wanted, printer)
}

/// What a command line asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The first seed; the scenario's if not stated.
    pub first: Option<u64>,
    /// How many seeds.
    pub count: Option<u32>,
    /// How many at least, where the command line doesn't say.
    pub least: u64,
    /// Threads; all there are if not stated.
    pub threads: Option<u32>,
    /// Whether a long sweep is agreed to.
    pub is_agreed: bool,
}

/// What a loaded scenario asks for: what is to be simulated, and what is expected of it.
pub(super) fn job(loaded_with: Result<Loaded<Scenario>, Diagnostics>, wanted: Wanted, printer: &Printer) -> Result<(Job, Vec<Expectation>), Failure> {
    let texts = loaded_with.as_ref().map(|loaded| digest::of_sources(&loaded.warnings)).unwrap_or_default();
    let scenario = loaded(loaded_with, printer)?;
    let seeds = seeds(wanted, &scenario);
    // So many seeds as are asked for, or as many as it takes: not both.
    let precision = scenario.precision.filter(|_| wanted.count.is_none());
    let Scenario { name, traffic, variants, baseline, expectations, sweep, .. } = scenario;
    let unreadable = |error: std::io::Error| Failure::usage(format!("{}: can't read it: {error}", traffic.trace.display()));
    let mut inputs = texts;
    if traffic.made.is_none() {
        inputs.push(digest::of_file("trace", &traffic.trace).map_err(unreadable)?);
    }
    let mut assumptions = assumptions::of_traffic(&traffic);
    assumptions.extend(assumptions::of(&variants));
    let figures = assumptions::figures(&variants);
    let prices = variants.first().map(|variant| variant.gateway.price_list.clone()).unwrap_or_default();
    let reserved = variants.iter().map(|variant| variant.gateway.reserved.clone()).collect();
    let variants = variants.into_iter().map(configuration).collect();
    let threads = wanted.threads.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), |threads| threads as usize);
    let origin = if traffic.synthetic { Origin::Synthetic } else { Origin::Recorded };
    let experiment = Experiment { variants, seeds, threads };
    let job = Job {
        name,
        experiment,
        traffic,
        origin,
        baseline,
        inputs,
        prices,
        assumptions,
        figures,
        reserved,
        precision,
        sweep,
        is_agreed: wanted.is_agreed,
    };
    Ok((job, expectations))
}

/// The scenario's seeds, or as many from where the command line says.
fn seeds(wanted: Wanted, scenario: &Scenario) -> Vec<u64> {
    let first = wanted.first.unwrap_or_else(|| scenario.seeds.first().copied().unwrap_or(1));
    let count = wanted.count.map_or((scenario.seeds.len() as u64).max(wanted.least), u64::from);
    (0..count).map(|i| first.saturating_add(i)).collect()
}

/// A variant as the simulator has it.
pub(super) fn configuration(variant: ScenarioVariant) -> Variant {
    let ScenarioVariant { name, gateway, world, clients } = variant;
    Variant { name, plan: Arc::new(gateway.plan), setup: gateway.commands.into(), world: Arc::new(world), clients: Arc::new(clients) }
}

fn conclude(
    mut report: Report,
    expectations: &[Expectation],
    again: Option<&Job>,
    arguments: &RunArguments,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    report.judge(expectations);
    let directory = write::write(&report, &arguments.out).map_err(Failure::internal)?;
    match again {
        Some(job) => requests::write(job, &report, &directory, printer)?,
        None => requests::forget(&directory).map_err(Failure::internal)?,
    }
    match arguments.format {
        Format::Text => printer.result(&table::render(&report))?,
        Format::Json => {
            let mut json = Vec::new();
            write::write_json(&report, &mut json).map_err(Failure::internal)?;
            printer.result(&String::from_utf8_lossy(&json))?;
        }
    }
    printer.note(format!("report: {}", directory.display()));
    for verdict in report.expectations.iter().filter(|verdict| !verdict.holds) {
        printer.note(format!("error: expectation failed: variant `{}`: expected {}, found {}", verdict.variant, verdict.expected, verdict.found));
    }
    if let Some(missed) = report.baseline.as_ref().and_then(trust::missed) {
        printer.note(format!("error: {missed}\nhint: the first variant, or the one that [baseline] names, must be what the log was recorded under"));
        return Ok(Exit::Incomplete);
    }
    Ok(if report.is_as_expected() { Exit::Pass } else { Exit::Failed })
}
