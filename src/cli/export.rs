//! `gwsim export`: a report in the formats of others.

use std::fs::File;
use std::io::{BufWriter, Write};

use super::args::{FocusArguments, FocusPeriod};
use super::{Exit, Failure, Printer, explain, reports};
use crate::gateway::money::Money;
use crate::gateway::time::Span;
use crate::report::focus::Bill;
use crate::report::requests::CallRow;
use crate::report::requests::file::read;

/// Writes a variant's bill as FOCUS 1.2.
///
/// # Errors
/// If there is no such report or variant, it was made without its requests, or the file can't be written.
///
/// # Panics
/// If the rows are not the bill: a part of a call that has no row.
pub fn focus(arguments: &FocusArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let report = reports::open(&arguments.report)?;
    let variant = match &arguments.variant {
        Some(name) => reports::variant(&report, name)?,
        None => &report.variants[report.reference],
    };
    let run = variant.runs.first().map(|run| &run.totals);
    if variant.reserved.is_empty() && run.is_some_and(|totals| totals.causes.reserved != Money::ZERO) {
        return Err(Failure::incomplete(format!(
            "{} does not say what its capacity costs by the hour: an older gwsim made it\nhint: make it anew with `gwsim run`",
            arguments.report.display()
        )));
    }
    let (_, calls) = explain::files(&arguments.report)?;
    let period = match arguments.period {
        FocusPeriod::Hour => Span::from_secs(3_600),
        FocusPeriod::Day => Span::from_secs(86_400),
    };
    let mut bill = Bill::new(period);
    let add = |rows: Vec<CallRow>| {
        rows.iter().filter(|call| call.variant == variant.name).for_each(|call| bill.add(call));
        true
    };
    read(&calls, add).map_err(|error| Failure::usage(format!("{}: {error}", calls.display())))?;
    let mut csv = Vec::new();
    let sum = bill.write(&report, variant, &mut csv).map_err(Failure::internal)?;
    let billed = run.map(|totals| totals.bill).unwrap_or_default();
    assert_eq!(sum, billed, "the rows sum to the bill");
    match &arguments.output {
        None => printer.result(&String::from_utf8_lossy(&csv))?,
        Some(path) => {
            let written = File::create(path).map(BufWriter::new).and_then(|mut file| file.write_all(&csv).and_then(|()| file.flush()));
            written.map_err(|error| Failure::internal(format!("can't write {}: {error}", path.display())))?;
            printer.note(format!(
                "{}: {} of `{}`, {} a row",
                path.display(),
                billed,
                variant.name,
                if period.0 > 3_600_000_000_000 { "a day" } else { "an hour" }
            ));
        }
    }
    Ok(Exit::Pass)
}
