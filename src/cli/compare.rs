//! `gwsim compare`: reports, scenarios or gateway configs side by side, with thresholds. Decides what each operand is, runs what has no report yet,
//! and what the process ends with; what can be compared is decided by [`crate::report::compare`].

use std::path::{Path, PathBuf};

use super::args::{CompareArguments, CompareFormat, Per, ThresholdArguments};
use super::run::{self, Wanted};
use super::simulate::{Job, simulate};
use super::{Exit, Failure, Printer, reports};
use crate::config::{self, Options};
use crate::price::money_from_usd;
use crate::report::compare::{self, Group, Refusal, Side, foundations, side_by_side};
use crate::report::period::{self, Period, periods};
use crate::report::threshold::{Finding, Thresholds};
use crate::report::{Report, markdown, read, table, trust};

/// Where nothing else is said: enough for an interval.
pub(super) const SEEDS_LEAST: u64 = 10;

/// Compares, prints the result, and says whether it is within the thresholds.
///
/// # Errors
/// If an operand or a threshold is wrong, or what was asked for can't be compared.
pub fn compare(arguments: &CompareArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let thresholds = thresholds(&arguments.thresholds)?;
    let sides = sides(arguments, printer)?;
    let groups = groups(&sides, &thresholds)?;
    let exit = exit(&groups, arguments.thresholds.warn_only);
    let differing = foundations(&sides);
    let text = match arguments.format {
        CompareFormat::Text => text(&groups, &differing, &sides),
        CompareFormat::Markdown => page(&groups, &differing),
        CompareFormat::Json => compare::json(&groups, &differing, exit.code()).map_err(Failure::internal)?,
    };
    printer.result(&text)?;
    verdict(&groups, arguments.thresholds.warn_only, printer);
    Ok(exit)
}

/// Puts sides together and holds them against thresholds.
///
/// # Errors
/// If they can't be compared, or their traffic is too short for a threshold.
pub(super) fn groups(sides: &[Side], thresholds: &Thresholds) -> Result<Vec<Group>, Failure> {
    let together = side_by_side(sides).map_err(|refusal| match refusal {
        Refusal::Question(why) => Failure::usage(why),
        Refusal::Data(why) => Failure::incomplete(why),
    })?;
    if let (Some((_, Some(period))), Some(first)) = (thresholds.cost_max, together.first()) {
        speaks_of(period, first)?;
    }
    Ok(together.into_iter().map(|report| Group::of(report, thresholds)).collect())
}

fn text(groups: &[Group], differing: &[String], sides: &[Side]) -> String {
    let mut text = String::new();
    for group in groups {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&table::comparison(&group.report));
    }
    text.push('\n');
    for line in differing {
        table::note(&mut text, "Differs", line);
    }
    if let Some(side) = sides.first() {
        table::note(&mut text, "", &trust::sentence(&side.report));
    }
    text
}

/// As a comment on a pull request; the first line lets a bot find it again.
fn page(groups: &[Group], differing: &[String]) -> String {
    let mut text = "<!-- gwsim compare -->\n".to_owned();
    for group in groups {
        text.push_str(&markdown::comparison(&group.report, &group.judged));
        text.push('\n');
    }
    text.push_str(&markdown::notes("Rests on something else", differing));
    text
}

/// Says on stderr what is within the thresholds and what is not.
pub(super) fn verdict(groups: &[Group], warn_only: bool, printer: &Printer) {
    for line in groups.iter().flat_map(|group| &group.judged) {
        let label = match line.finding {
            Finding::Within => "pass: ",
            _ if warn_only => "warning: ",
            _ => "error: ",
        };
        printer.note(format!("{label}{}", line.line()));
    }
}

/// Above before not decided: what is known is enough to stop.
pub(super) fn exit(groups: &[Group], warn_only: bool) -> Exit {
    let mut judged = groups.iter().flat_map(|group| &group.judged);
    match () {
        () if warn_only => Exit::Pass,
        () if judged.clone().any(|judged| judged.finding == Finding::Above) => Exit::Failed,
        () if judged.any(|judged| matches!(judged.finding, Finding::Open(_))) => Exit::Inconclusive,
        () => Exit::Pass,
    }
}

/// What the arguments ask for.
///
/// # Errors
/// If one of them is no percentage or no amount.
pub(super) fn thresholds(arguments: &ThresholdArguments) -> Result<Thresholds, Failure> {
    let increase_max = arguments.max_increase.as_deref().map(percent).transpose()?;
    let period = match arguments.per {
        Per::Trace => None,
        Per::Hour => Some(period::HOUR),
        Per::Day => Some(period::DAY),
        Per::Month => Some(period::MONTH),
    };
    let money = |text: &str| {
        let digits = text.trim().trim_start_matches('$').trim_end_matches("USD").trim().replace(['_', ','], "");
        money_from_usd(&digits).map_err(|error| Failure::usage(format!("--max-cost {text}: {error}\nhint: write dollars: 500 or 0.25")))
    };
    let cost_max = arguments.max_cost.as_deref().map(money).transpose()?.map(|most| (most, period));
    Ok(Thresholds { increase_max, cost_max })
}

/// `5%` as 0.05.
fn percent(text: &str) -> Result<f64, Failure> {
    let digits = text.trim().strip_suffix('%').map(str::trim_end).filter(|digits| digits.chars().all(|c| c.is_ascii_digit() || "+-.".contains(c)));
    let number = digits.and_then(|digits| digits.parse::<f64>().ok()).filter(|number| number.is_finite());
    number.map(|number| number / 100.0).ok_or_else(|| Failure::usage(format!("--max-increase {text}: not a percentage\nhint: write 5% or 2.5%")))
}

/// Whether the traffic is long enough to say something of such a period.
fn speaks_of(period: Period, report: &Report) -> Result<(), Failure> {
    let known = periods(report.traffic.span);
    // What speaks of days speaks of hours.
    if known.contains(&period) || (period == period::HOUR && !known.is_empty()) {
        return Ok(());
    }
    let why = format!("--per: the traffic is too short to speak of {}", period.each);
    Err(Failure::usage(format!("{why}\nhint: state the most for the trace itself: --max-cost without --per")))
}

/// What an operand is.
enum Operand {
    Report(PathBuf),
    Scenario(PathBuf),
    Gateway(PathBuf),
}

fn sides(arguments: &CompareArguments, printer: &Printer) -> Result<Vec<Side>, Failure> {
    let operands = arguments.sides.iter().map(|side| operand(side)).collect::<Result<Vec<_>, _>>()?;
    let has_traffic = arguments.traffic.is_some() || arguments.trace.is_some();
    let gateways = operands.iter().filter(|(operand, _)| matches!(operand, Operand::Gateway(_))).count();
    if gateways > 0 {
        if gateways < operands.len() {
            return Err(Failure::usage(
                "gateway configs are compared with gateway configs\nhint: to hold one against a report, run it in a scenario first",
            ));
        }
        if !has_traffic {
            return Err(Failure::usage("gateway configs need traffic to be compared on\nhint: --traffic scenario.toml, or --trace log.csv"));
        }
        return gateway_sides(&operands, arguments, printer);
    }
    if has_traffic {
        return Err(Failure::usage("--traffic and --trace are for gateway configs: reports and scenarios have traffic of their own"));
    }
    let all_reports = operands.iter().all(|(operand, _)| matches!(operand, Operand::Report(_)));
    if all_reports && (!arguments.set.is_empty() || arguments.seeds.is_some() || arguments.seed.is_some() || arguments.prices.is_some()) {
        return Err(Failure::usage("--set, --seeds, --seed and --prices change what is run, and reports have been run"));
    }
    let mut sides = Vec::new();
    for ((operand, variant), label) in operands.into_iter().zip(&arguments.sides) {
        let report = match operand {
            Operand::Report(path) => reports::open(&path)?,
            Operand::Scenario(path) | Operand::Gateway(path) => run_scenario(&path, arguments, printer)?,
        };
        if let Some(name) = &variant {
            reports::variant(&report, name)?;
        }
        let label = variant.as_ref().and_then(|name| label.strip_suffix(&format!("#{name}"))).unwrap_or(label).to_owned();
        sides.push(Side { label, report, variant });
    }
    Ok(sides)
}

/// What an operand is, and the variant that it names.
fn operand(text: &str) -> Result<(Operand, Option<String>), Failure> {
    let (path, variant) = match text.rsplit_once('#') {
        Some((path, variant)) if !Path::new(text).exists() => (Path::new(path), Some(variant.to_owned())),
        _ => (Path::new(text), None),
    };
    if !path.exists() {
        return Err(reports::missing(path));
    }
    if read::is_report(path) {
        return Ok((Operand::Report(path.to_owned()), variant));
    }
    let is_scenario =
        config::is_scenario_file(path).map_err(|diagnostics| Failure::usage(diagnostics.render(false).trim_start_matches("error: ")))?;
    if !is_scenario && variant.is_some() {
        return Err(Failure::usage(format!("{} is a gateway config: it has no variants", path.display())));
    }
    let path = path.to_owned();
    Ok((if is_scenario { Operand::Scenario(path) } else { Operand::Gateway(path) }, variant))
}

fn wanted(arguments: &CompareArguments) -> Wanted {
    Wanted { first: arguments.seed, count: arguments.seeds, least: SEEDS_LEAST, threads: None, is_agreed: false }
}

fn run_scenario(path: &Path, arguments: &CompareArguments, printer: &Printer) -> Result<Report, Failure> {
    let options = Options { sets: arguments.set.clone(), prices: arguments.prices.clone(), ..Options::default() };
    let (job, _) = run::job(config::load_scenario(path, &options), wanted(arguments), printer)?;
    // Its variants are compared, not what it varies beside them.
    simulate(Job { sweep: None, ..job }, printer)
}

/// All gateways as variants of one run: they meet the same traffic, world and luck.
fn gateway_sides(operands: &[(Operand, Option<String>)], arguments: &CompareArguments, printer: &Printer) -> Result<Vec<Side>, Failure> {
    let path = |operand: &Operand| match operand {
        Operand::Report(path) | Operand::Scenario(path) | Operand::Gateway(path) => path.clone(),
    };
    let gateways: Vec<(String, PathBuf)> =
        operands.iter().zip(&arguments.sides).map(|((operand, _), label)| (label.clone(), path(operand))).collect();
    let options = Options { sets: arguments.set.clone(), prices: arguments.prices.clone(), gateways, ..Options::default() };
    let loaded = match (&arguments.traffic, &arguments.trace) {
        (Some(scenario), _) => config::load_scenario(scenario, &options),
        (None, trace) => config::load_scenario_text(Path::new("--trace"), &traffic(trace.as_deref(), arguments.model.as_deref()), &options),
    };
    let (job, _) = run::job(loaded, wanted(arguments), printer)?;
    let report = simulate(job, printer)?;
    let side = |label: &String| Side { label: label.clone(), report: report.clone(), variant: Some(label.clone()) };
    Ok(arguments.sides.iter().map(side).collect())
}

/// A scenario of a trace alone.
fn traffic(trace: Option<&Path>, model: Option<&str>) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let trace = quoted(&trace.map(|trace| trace.display().to_string()).unwrap_or_default());
    let model = model.map(|model| format!("model = {}\n", quoted(model))).unwrap_or_default();
    format!("[traffic]\ntrace = {trace}\nunknown_keys = \"add\"\n{model}")
}
