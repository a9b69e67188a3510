//! What the first screen says about a replayed log: the grade, the baseline before any variant, what the log covers. Decides wording and layout only.

use super::{Lines, line};
use crate::gateway::money::Money;
use crate::report::baseline::{Baseline, Kind, Part};
use crate::report::coverage::{Coverage, Field};
use crate::report::numbers::{count, counted, decimals, difference, dollars, latency, rounded, share, usd};
use crate::report::trust::{self, Trust};
use crate::report::{Imputed, Report};

/// Models, teams and hours that are named when the baseline is missed.
const RESIDUALS: usize = 3;

/// The grade of the dollars, or why there is none.
pub(super) fn grade(report: &Report) -> String {
    let mut text = String::new();
    line(&mut text, "", &trust::sentence(report));
    if let (Trust::Missed, Some(baseline)) = (trust::of(report), &report.baseline) {
        text.push_str(&missed(baseline));
    }
    text
}

fn missed(baseline: &Baseline) -> String {
    let mut text = String::new();
    let off = |part: &Part| {
        let by = difference(part.repriced, part.simulated);
        format!("{} {by} ({} simulated, {} re-priced)", part.name, usd(part.simulated), usd(part.repriced))
    };
    for kind in Kind::ALL {
        let parts: Vec<String> = baseline.largest_residuals(kind, RESIDUALS).into_iter().map(off).collect();
        if !parts.is_empty() {
            line(&mut text, "", &format!("   off by {}: {}", kind.name(), parts.join(", ")));
        }
    }
    text
}

/// The recorded configuration, three times.
pub(super) fn baseline(report: &Report) -> String {
    let Some(Baseline { variant, recorded, repriced, simulated, .. }) = &report.baseline else { return String::new() };
    let mut table = Lines::new(&format!("baseline: {variant}"), ["recorded", "re-priced", "simulated"].into_iter());
    let has_cost = recorded.with_cost > 0;
    let largest = [recorded.cost, *repriced, simulated.cost].into_iter().max().unwrap_or_default();
    let money = |amount: Money| dollars(rounded(amount, decimals(largest)), decimals(largest));
    let none = || "-".to_owned();
    let seconds = |span: Option<_>| span.map_or_else(none, latency);
    table.add("$ trace", [if has_cost { money(recorded.cost) } else { none() }, money(*repriced), money(simulated.cost)].into_iter());
    table.add("calls", [count(recorded.calls), none(), count(simulated.calls)].into_iter());
    table.add("requests answered 429", [count(recorded.rate_limited), none(), count(simulated.rate_limited)].into_iter());
    table.add("p95", [seconds(recorded.p95), none(), seconds(simulated.p95)].into_iter());
    let mut text = table.render();
    if has_cost && recorded.with_cost < recorded.requests {
        let with = format!("{} of {}", count(recorded.with_cost), counted(recorded.requests, "request"));
        line(&mut text, "", &format!("Recorded dollars are those of {with}; the others have none in the log."));
    } else if has_cost && recorded.cost != *repriced {
        let off = difference(recorded.cost, *repriced);
        line(&mut text, "", &format!("Re-priced is {off} from recorded: other prices or discounts then, no part of the verdict."));
    }
    if recorded.elsewhere > 0 {
        let requests = counted(recorded.elsewhere, "request");
        line(&mut text, "", &format!("{requests} were answered by deployments that this variant lacks: re-priced as the first of the model."));
    }
    text.push('\n');
    text
}

/// What the log has, and what stands in for the rest.
pub(super) fn coverage(report: &Report) -> String {
    let Some(Coverage { rows, fields }) = &report.coverage else { return String::new() };
    let (whole, partial): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(|field| field.rows == *rows);
    let mut text = String::from("\n");
    if !partial.is_empty() {
        let mut table = Lines::new("log covers", ["rows", "assumed instead", "$ on it"].into_iter());
        let largest = partial.iter().map(|field| field.hanging).max().unwrap_or_default();
        for field in partial {
            let money = match field.hanging {
                Money::ZERO => "0".to_owned(),
                amount => dollars(rounded(amount, decimals(largest)), decimals(largest)),
            };
            table.add(&field.name, [share(field.rows, *rows), field.instead.clone(), money].into_iter());
        }
        text.push_str(&table.render());
    }
    if !whole.is_empty() {
        let names: Vec<&str> = whole.into_iter().map(|field| field.name.as_ref()).collect();
        line(&mut text, "Every request has", &names.join(", "));
    }
    text.push('\n');
    text
}

/// What was imputed, as assumptions.
pub(super) fn imputed(report: &Report) -> String {
    let mut text = String::new();
    let inputs = report.imputed_inputs.map(|imputed| ("input of failed requests drawn from other requests", "input", imputed));
    let lengths = report.imputed.map(|imputed| ("output length drawn from whole answers", "output", imputed));
    for (what, kind, imputed) in inputs.into_iter().chain(lengths) {
        line(&mut text, "Assumed", &format!("{what} for {} [log]", drawn(report, kind, imputed)));
    }
    text
}

/// For how many requests something was drawn, and what hangs on it.
fn drawn(report: &Report, kind: &str, imputed: Imputed) -> String {
    let Imputed { requests, tokens, of_tokens, dollars, low, high } = imputed;
    let bill = report.variants.get(report.reference).map(|variant| variant.bill().mean).unwrap_or_default();
    format!(
        "{} of {} ({}): {} {kind} tokens ({}), {} ({}; {} to {} if all were short or long)",
        count(requests),
        counted(report.traffic.requests, "request"),
        share(requests, report.traffic.requests),
        count(tokens),
        share(tokens, of_tokens),
        usd(dollars),
        of_money(dollars, bill),
        usd(low),
        usd(high),
    )
}

/// `part` of `whole` in percent.
fn of_money(part: Money, whole: Money) -> String {
    // Parts of a dollar below a millionth make no percentage.
    let micros = |amount: Money| u64::try_from(rounded(amount, 6)).unwrap_or(0);
    share(micros(part), micros(whole))
}
