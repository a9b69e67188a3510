//! `gwsim trace`: what is in a trace, and traces in gwsim's own format.

use std::collections::HashMap;

use super::args::{ConvertArguments, Format, InfoArguments, ReadArguments, SynthArguments};
use super::check::loaded;
use super::feed::adapt;
use super::{Exit, Failure, Printer};
use crate::config;
use crate::gateway::money::Money;
use crate::gateway::rate_card::{RateCard, Usage};
use crate::gateway::time::Time;
use crate::price::{Discount, PriceList, ServiceTier};
use crate::report::numbers::{count, counted};
use crate::traffic::stream;
use crate::traffic::trace::{self, Batch, Options, Order, Row};

/// Prints what is in a trace.
///
/// # Errors
/// If the arguments are wrong, or the trace is.
pub fn info(arguments: &InfoArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let mut list = List::default();
    let price = |model: Option<&str>, batch: &Batch, row: &Row| list.price(model?, batch, row);
    let summary = trace::info(&arguments.file, options(&arguments.read, Order::Count)?, price).map_err(Failure::usage)?;
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
    let options = config::Options { sets: arguments.set.clone(), ..config::Options::default() };
    let traffic = loaded(config::load_scenario(&arguments.scenario, &options), printer)?.traffic;
    let base = traffic.base();
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

/// The built-in price list, with what was looked up already.
#[derive(Default)]
struct List(HashMap<String, Option<RateCard>>);

impl List {
    /// What a request costs by what is recorded of it; none for a model that is not in the list.
    fn price(&mut self, model: &str, batch: &Batch, row: &Row) -> Option<Money> {
        if !self.0.contains_key(model) {
            let entry = PriceList::built_in().find(model).ok();
            self.0.insert(model.to_owned(), entry.and_then(|entry| entry.card(Discount::NONE, ServiceTier::Standard).ok()));
        }
        let recorded = batch.recorded(row).copied().unwrap_or_default();
        let mut usage = Usage::plain(row.input_tokens, row.output_tokens.unwrap_or(0));
        (usage.cache_read, usage.cache_write) = (recorded.cached_tokens.unwrap_or(0), recorded.cache_write_tokens.unwrap_or(0));
        usage.reasoning = recorded.reasoning_tokens.unwrap_or(0);
        self.0.get(model)?.as_ref().map(|card| card.cost(usage))
    }
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
