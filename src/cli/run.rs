//! `gwsim run`: the variants of a scenario on its traffic. Resolves arguments and scenario into a job, and shows and keeps what comes out.

use super::args::{Format, RunArguments};
use super::simulate::simulate;
use super::{Exit, Failure, Printer};
use crate::report::expect::Expectation;
use crate::report::{Report, table, write};

/// Runs a scenario, prints what came out and keeps the report.
///
/// # Errors
/// If the scenario, one of its files or its traffic is wrong, or the report can't be written.
pub fn run(arguments: &RunArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let (job, expectations) = resolve(arguments, printer)?;
    let report = simulate(job, printer)?;
    conclude(report, &expectations, arguments, printer)
}

fn conclude(mut report: Report, expectations: &[Expectation], arguments: &RunArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    report.judge(expectations);
    let directory = write::write(&report, &arguments.out).map_err(Failure::internal)?;
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
    Ok(if report.is_as_expected() { Exit::Pass } else { Exit::Failed })
}
