//! `gwsim calibrate`: a log made into a scenario, and how well that forecasts the rest of the log. Fits nothing itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{CalibrateArguments, Format, RetriesArgument};
use super::{Exit, Failure, Printer};
use crate::advise::calibrate::{self, Calibrated, Error, Judgement, Question};
use crate::gateway::money::Money;
use crate::gateway::time::Span;
use crate::report::numbers::{counted, difference, latency, length, share, usd};
use crate::traffic::replay::link::Retries;

/// Calibrates a log, writes the scenario and prints the forecast.
///
/// # Errors
/// If the log or the gateway is wrong, they don't fit, or the scenario can't be written.
pub fn calibrate(arguments: &CalibrateArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let scenario = arguments.output.clone().unwrap_or_else(|| PathBuf::from("scenario.toml"));
    let directory = scenario.parent().unwrap_or(Path::new(""));
    let gateway = arguments.gateway.as_deref().unwrap_or(Path::new("gateway.toml"));
    let retries = match arguments.retries {
        RetriesArgument::Link => Retries::Link,
        RetriesArgument::Keep => Retries::Keep,
    };
    let question = Question {
        trace: arguments.trace.clone(),
        gateway: arguments.gateway.clone(),
        retries,
        names: (seen_from(directory, &arguments.trace)?, seen_from(directory, gateway)?),
        scenario,
        seed: arguments.seed,
    };
    let calibrated = calibrate::calibrate(&question).map_err(|error| failure(error, printer))?;
    if arguments.output.is_some() {
        fs::write(&question.scenario, &calibrated.scenario)
            .map_err(|error| Failure::usage(format!("{}: can't write it: {error}", question.scenario.display())))?;
    }
    show(&calibrated, arguments, printer)?;
    Ok(Exit::Pass)
}

/// A path as a file in `directory` names it.
fn seen_from(directory: &Path, path: &Path) -> Result<String, Failure> {
    let same = |left: &Path, right: &Path| fs::canonicalize(left).ok().zip(fs::canonicalize(right).ok()).is_some_and(|(left, right)| left == right);
    let parent = |path: &Path| path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let named = match path.file_name() {
        _ if path.is_absolute() || same(here, Path::new(".")) => path.to_owned(),
        Some(name) if same(here, &parent(path)) => PathBuf::from(name),
        _ => std::path::absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?,
    };
    named.to_str().map(str::to_owned).ok_or_else(|| Failure::usage(format!("{}: a scenario can't name it, it is not UTF-8", path.display())))
}

fn failure(error: Error, printer: &Printer) -> Failure {
    match error {
        Error::Configuration(problems) => {
            printer.note(problems.render(printer.errors_in_color).trim_end());
            Failure::told(Exit::Usage)
        }
        other => Failure::usage(other),
    }
}

fn show(calibrated: &Calibrated, arguments: &CalibrateArguments, printer: &mut Printer) -> Result<(), Failure> {
    if arguments.format == Format::Json {
        let json = Json { scenario: &calibrated.scenario, forecast: calibrated.judgement.as_ref().map(Forecast::of) };
        return printer.result(&(serde_json::to_string_pretty(&json).map_err(Failure::internal)? + "\n"));
    }
    let table =
        calibrated.judgement.as_ref().map_or_else(|| "Not judged: that takes the gateway it was recorded under, --gateway.\n".to_owned(), table);
    match &arguments.output {
        Some(output) => printer.result(&format!("{}: written\n{table}", output.display())),
        None => {
            printer.result(&calibrated.scenario)?;
            printer.note(table.trim_end());
            Ok(())
        }
    }
}

/// The last quarter as recorded and as forecast.
fn table(judgement: &Judgement) -> String {
    let mut rows = vec![["".to_owned(), "recorded".to_owned(), "forecast".to_owned(), "difference".to_owned()]];
    let unknown = || "-".to_owned();
    for (model, measured) in &judgement.dollars_per_hour {
        let off = measured.recorded.zip(measured.forecast).map(|(recorded, forecast)| difference(recorded, forecast));
        let shown = |amount: Option<Money>| amount.map_or_else(unknown, usd);
        rows.push([format!("$/hour {model}"), shown(measured.recorded), shown(measured.forecast), off.unwrap_or_else(unknown)]);
    }
    let (recorded, forecast) = (judgement.rate_limited.recorded, judgement.rate_limited.forecast);
    let points = 100.0 * (ratio(forecast) - ratio(recorded));
    let shown = |(requests, limited): (u64, u64)| share(limited, requests);
    rows.push(["answered 429".to_owned(), shown(recorded), shown(forecast), format!("{points:+.1} points")]);
    let (recorded, forecast) = (judgement.ttft_p95.recorded, judgement.ttft_p95.forecast);
    let off = recorded.zip(forecast).filter(|(recorded, _)| *recorded > Span::ZERO);
    let off = off.map(|(recorded, forecast)| format!("{:+.1} %", 100.0 * (forecast.0 as f64 / recorded.0 as f64 - 1.0)));
    let shown = |span: Option<Span>| span.map_or_else(unknown, latency);
    rows.push(["p95 TTFT".to_owned(), shown(recorded), shown(forecast), off.unwrap_or_else(unknown)]);
    let widths: [usize; 4] = std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = format!(
        "Fitted to the first 75 % of the log, judged on the rest: {} in {}\n\n",
        counted(judgement.requests, "request"),
        length(judgement.span)
    );
    for [name, rest @ ..] in rows {
        text.push_str(&format!("{name:<0$}", widths[0]));
        rest.iter().zip(&widths[1..]).for_each(|(cell, width)| text.push_str(&format!("  {cell:>width$}")));
        text.push('\n');
    }
    text
}

fn ratio((requests, part): (u64, u64)) -> f64 {
    if requests == 0 { 0.0 } else { part as f64 / requests as f64 }
}

#[derive(Serialize)]
struct Json<'a> {
    scenario: &'a str,
    forecast: Option<Forecast>,
}

#[derive(Serialize)]
struct Forecast {
    requests: u64,
    span_ns: u64,
    simulations: u32,
    dollars_per_hour: Vec<ByModel>,
    rate_limited: Pair<f64>,
    ttft_p95_us: Pair<Option<u64>>,
}

#[derive(Serialize)]
struct ByModel {
    model: String,
    recorded: Option<String>,
    forecast: Option<String>,
}

#[derive(Serialize)]
struct Pair<T> {
    recorded: T,
    forecast: T,
}

impl Forecast {
    fn of(judgement: &Judgement) -> Self {
        let dollars = |amount: Option<Money>| amount.map(|amount| amount.to_string());
        let by_model = judgement.dollars_per_hour.iter().map(|(model, measured)| ByModel {
            model: model.clone(),
            recorded: dollars(measured.recorded),
            forecast: dollars(measured.forecast),
        });
        let micros = |span: Option<Span>| span.map(|span| span.0 / 1_000);
        Self {
            requests: judgement.requests,
            span_ns: judgement.span.0,
            simulations: judgement.runs,
            dollars_per_hour: by_model.collect(),
            rate_limited: Pair { recorded: ratio(judgement.rate_limited.recorded), forecast: ratio(judgement.rate_limited.forecast) },
            ttft_p95_us: Pair { recorded: micros(judgement.ttft_p95.recorded), forecast: micros(judgement.ttft_p95.forecast) },
        }
    }
}
