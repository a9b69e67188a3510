//! `gwsim trace`: what is in a trace, and traces in gwsim's own format.

use super::args::{ConvertArguments, Format, InfoArguments, ReadArguments, SynthArguments};
use super::check::loaded;
use super::simulate::adapt;
use super::{Exit, Failure, Printer};
use crate::config;
use crate::gateway::time::Time;
use crate::report::numbers::{count, counted};
use crate::traffic::stream;
use crate::traffic::trace::{self, Options, Order};

/// Prints what is in a trace.
///
/// # Errors
/// If the arguments are wrong, or the trace is.
pub fn info(arguments: &InfoArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let summary = trace::info(&arguments.file, options(&arguments.read, Order::Count)?).map_err(Failure::usage)?;
    let text = match arguments.format {
        Format::Text => summary.to_string(),
        Format::Json => serde_json::to_string_pretty(&summary).map_err(Failure::internal)? + "\n",
    };
    printer.result(&text)?;
    Ok(Exit::Pass)
}

/// Writes a trace in gwsim's own format.
///
/// # Errors
/// If the arguments are wrong, or the trace is, or the output can't be written.
pub fn convert(arguments: &ConvertArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let order = if arguments.sort { Order::Sort } else { Order::Strict };
    let converted = trace::convert(&arguments.input, &arguments.output, options(&arguments.read, order)?).map_err(Failure::usage)?;
    let sorted = if converted.earlier_rows > 0 { format!(", {} out of order before", count(converted.earlier_rows)) } else { String::new() };
    printer.result(&format!("{}: {}{sorted}\n", arguments.output.display(), counted(converted.rows, "request")))?;
    Ok(Exit::Pass)
}

/// Writes the traffic of a scenario as a trace.
///
/// # Errors
/// If the scenario is wrong, or its trace is, or the output can't be written.
pub fn synth(arguments: &SynthArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let options = config::Options { sets: arguments.set.clone(), prices: None };
    let traffic = loaded(config::load_scenario(&arguments.scenario, &options), printer)?.traffic;
    let base = traffic.base(traffic.options.order);
    let open = || stream::open(&base, &traffic.changes).map_err(Failure::usage);
    let (mut first, mut second) = (open()?, open()?);
    let next_batch = |requests: &mut dyn stream::Source| {
        let mut batch = requests.next_batch()?;
        batch.iter_mut().for_each(|batch| adapt(batch, &traffic));
        Ok(batch)
    };
    let rows = trace::write(&arguments.output, || next_batch(&mut *first), || next_batch(&mut *second)).map_err(Failure::usage)?;
    printer.result(&format!("{}: {}\n", arguments.output.display(), counted(rows, "request")))?;
    Ok(Exit::Pass)
}

fn options(arguments: &ReadArguments, order: Order) -> Result<Options, Failure> {
    let format = match &arguments.input_format {
        Some(name) => Some(format(name)?),
        None => None,
    };
    let epoch = match &arguments.epoch {
        Some(text) => instant(text)?,
        None => Time(0),
    };
    Ok(Options { format, order, epoch, block_size: arguments.block_size })
}

fn format(name: &str) -> Result<trace::Format, Failure> {
    let unknown = || {
        let known: Vec<&str> = trace::Format::ALL.iter().map(|format| format.name()).collect();
        Failure::usage(format!("--input-format {name}: no such format; it is one of {}", known.join(", ")))
    };
    trace::Format::from_name(name).ok_or_else(unknown)
}

fn instant(text: &str) -> Result<Time, Failure> {
    let wrong = |why: String| Failure::usage(format!("--epoch {text}: {why}; write an instant with its zone, such as 2026-11-20T00:00:00Z"));
    let parsed: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| wrong(error.to_string()))?;
    u64::try_from(parsed.as_nanosecond()).map(Time).map_err(|_| wrong("it is before 1970 or after 2554".to_owned()))
}
