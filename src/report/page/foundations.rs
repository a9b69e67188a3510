//! What the figures rest on: how they were checked, what was assumed and how many dollars hang on it, what has no price here, and where all of it
//! came from. Decides which dollars hang on which assumption; finds nothing out.

use super::html::{Table, escape, list, note, paragraph};
use super::{Entry, Page};
use crate::gateway::money::Money;
use crate::report::Assumption;
use crate::report::baseline::Baseline;
use crate::report::coverage::Coverage;
use crate::report::headline;
use crate::report::numbers::{count, counted, decimals, difference, dollars, latency, rounded, share, usd};
use crate::report::period;
use crate::report::stability::Stability;

/// The recorded configuration three times, and what the log has.
pub(super) fn log(page: &Page) -> String {
    let mut html = String::new();
    if let Some(baseline) = &page.report.baseline {
        html.push_str(&of_baseline(baseline));
    }
    if let Some(Coverage { rows, fields }) = &page.report.coverage {
        let mut table = Table::new("What the log covers", ["", "of the rows", "assumed instead", "$ of rows without it"]).texts(&[2]);
        let decimals = decimals(fields.iter().map(|field| field.hanging).max().unwrap_or_default());
        for field in fields {
            let instead = if field.rows == *rows { String::new() } else { field.instead.clone() };
            table.row(&field.name, [share(field.rows, *rows), instead, dollars(rounded(field.hanging, decimals), decimals)]);
        }
        html.push_str(&table.render());
    }
    html
}

fn of_baseline(Baseline { variant, recorded, repriced, simulated, .. }: &Baseline) -> String {
    let mut table = Table::new(&format!("The recorded configuration, simulated as {variant}"), ["", "recorded", "re-priced", "simulated"]);
    let none = || "-".to_owned();
    let largest = [recorded.cost, *repriced, simulated.cost].into_iter().max().unwrap_or_default();
    let money = |amount: Money| dollars(rounded(amount, decimals(largest)), decimals(largest));
    table.row("$ trace", [if recorded.with_cost > 0 { money(recorded.cost) } else { none() }, money(*repriced), money(simulated.cost)]);
    table.row("calls", [count(recorded.calls), none(), count(simulated.calls)]);
    table.row("requests answered 429", [count(recorded.rate_limited), none(), count(simulated.rate_limited)]);
    table.row("p95", [recorded.p95.map_or_else(none, latency), none(), simulated.p95.map_or_else(none, latency)]);
    let off = format!("Simulated is {} from re-priced: the log's usage at the prices in use.", difference(*repriced, simulated.cost));
    format!("{}{}", table.render(), note(&off))
}

/// How sure each change is, and of what kind the doubt is.
pub(super) fn certainty(page: &Page) -> String {
    let mut table = Table::new("How sure each change is: the 95 % interval, and its parts in percentage points", ["", "change", "parts"]).texts(&[2]);
    let bill = |entry: &Entry| entry.variant.bill().mean;
    let Some(reference) = page.entries.get(page.report.reference) else { return String::new() };
    for (entry, change) in page.entries.iter().zip(&page.changes) {
        if let Some(change) = change.as_ref().filter(|change| !change.is_identical) {
            table.row(&entry.variant.name, [headline::relative(change, bill(reference), bill(entry)), headline::parts(change)]);
        }
    }
    if table.is_empty() {
        return String::new();
    }
    let told = "Luck: the same traffic, where other calls happen to fail or to be slow. Day to day: other traffic like this. Assumptions: the \
        stated ranges. A part that says unknown is not in the interval: that is then too narrow.";
    let periods = period::note(page.report.traffic.span).map(|told| note(&told)).unwrap_or_default();
    format!("{}{}{periods}", table.render(), note(told))
}

/// Whether variants stand their load.
pub(super) fn stability(page: &Page) -> String {
    // Variants of which the same is said share a line.
    let mut verdicts: Vec<(String, Vec<&str>)> = Vec::new();
    for entry in &page.entries {
        for words in entry.variant.stability.iter().flat_map(Stability::words) {
            match verdicts.iter_mut().find(|(known, _)| *known == words) {
                Some((_, names)) => names.push(&entry.variant.name),
                None => verdicts.push((words, vec![&entry.variant.name])),
            }
        }
    }
    let told = verdicts.into_iter().map(|(words, names)| match names.len() {
        all if all == page.entries.len() && all > 1 => format!("all variants: {words}"),
        _ => format!("{}: {words}", names.join(", ")),
    });
    let told: Vec<String> = told.collect();
    let has = |text: &str| told.iter().any(|line| line.contains(text));
    let words = [
        ("trigger", "Trigger: the outage, slowdown or rush that the scenario makes happen; each variant was also run without it."),
        ("SATURATED", "SATURATED: more was asked of the providers than they take."),
        ("METASTABLE", "METASTABLE: it stays down after what brought it down is over."),
    ];
    let glossary: Vec<&str> = words.into_iter().filter(|(text, _)| has(text)).map(|(_, meaning)| meaning).collect();
    let glossary = if glossary.is_empty() { String::new() } else { note(&glossary.join(" ")) };
    list(&told) + &glossary
}

/// What was expected, and whether it came out so: folded up where all of it did.
pub(super) fn expectations(page: &Page) -> String {
    let mut table = Table::new("What the scenario expects", ["", "expected", "found", "verdict"]).texts(&[1, 2, 3]);
    for verdict in &page.report.expectations {
        let holds = if verdict.holds { "holds" } else { "FAILED" };
        table.row(&verdict.variant, [verdict.expected.clone(), verdict.found.clone(), holds.to_owned()]);
    }
    if table.is_empty() {
        return String::new();
    }
    let failed = page.report.expectations.iter().filter(|verdict| !verdict.holds).count();
    let all = page.report.expectations.len();
    let (open, summary) = match failed {
        0 => ("", format!("What the scenario expects: all {all} hold")),
        some => (" open", format!("What the scenario expects: {some} of {all} FAILED")),
    };
    format!("<details{open}><summary>{summary}</summary>\n{}</details>\n", table.render())
}

/// What was assumed, and the most dollars of any variant that depend on it.
pub(super) fn assumptions(page: &Page) -> String {
    let mut table = Table::new("Assumed, not measured", ["", "taken to be", "from", "$ that hang on it", "which dollars"]).texts(&[1, 2, 4]);
    let report = page.report;
    if let Some(imputed) = &report.imputed {
        let taken = format!(
            "drawn from whole answers for {} of {} ({})",
            count(imputed.requests),
            counted(report.traffic.requests, "request"),
            share(imputed.requests, report.traffic.requests)
        );
        let which = format!("{} to {} if all were short or long", usd(imputed.low), usd(imputed.high));
        table.row("output length", [taken, "log".to_owned(), usd(imputed.dollars), which]);
    }
    let mut rows: Vec<(Option<(Money, &str)>, &Assumption)> =
        report.assumptions.iter().map(|assumption| (hanging(&assumption.what, page), assumption)).collect();
    // The most dollars first; those without dollars of their own as they come.
    rows.sort_by_key(|(hanging, _)| std::cmp::Reverse(hanging.map_or(Money(-1), |(amount, _)| amount)));
    for (hanging, assumption) in rows {
        let (amount, which) = match hanging {
            Some((Money::ZERO, which)) => ("0".to_owned(), which),
            Some((amount, which)) => (usd(amount), which),
            None => ("-".to_owned(), "no dollars of their own"),
        };
        table.row(&assumption.what, [assumption.value.clone(), assumption.source.clone(), amount, which.to_owned()]);
    }
    let told = "P: the provider says so. M: measured. S: secondary. U: unverified. Dollars are those of the variant where they are the most, on \
        this traffic: what would be in question, not an error bar.";
    if table.is_empty() { String::new() } else { format!("{}{}", table.render(), note(told)) }
}

/// The dollars that depend on an assumption, of the variant where they are the most; `None` where no dollars can be told apart.
fn hanging(what: &str, page: &Page) -> Option<(Money, &'static str)> {
    let most = |amount: &dyn Fn(&Entry) -> Money| page.entries.iter().map(amount).max().unwrap_or_default();
    let causes = |entry: &Entry| entry.totals.causes;
    Some(match what {
        "prompt cache" => (most(&|entry| Money(entry.mean(causes(entry).prompt_cache).0.abs())), "what the prompt cache changed"),
        "calls cut short" => (most(&|entry| entry.mean(causes(entry).undelivered + causes(entry).wasted_total())), "undelivered and wasted"),
        "provider limits" | "provider failures" | "latency and failures" => {
            (most(&|entry| entry.mean(entry.totals.by_position[1..].iter().copied().sum())), "calls after a request's first")
        }
        "token counts" => (most(&|entry| entry.variant.billed_uncompared()), "answered by models whose counts were not compared"),
        "answer quality" => {
            (most(&|entry| entry.variant.crossings.iter().map(|crossing| crossing.bill).sum()), "answered by another model than asked")
        }
        "reserved capacity" => (most(&|entry| entry.mean(causes(entry).reserved)), "paid by the hour"),
        "duplicates" => (most(&|entry| entry.mean(entry.totals.incidents.cache_saved)), "what cached answers had cost"),
        _ => return None,
    })
}

/// What no figure on the page has in it.
const NOT_PRICED: [&str; 7] = [
    "Answer quality: an answer by a weaker model counts like one by the model asked for. The share is in the first table.",
    "What a refused, failed or slow answer costs the business.",
    "People: who operates the gateway, who is called at night.",
    "The gateway itself: machines, storage, network egress.",
    "Taxes, currencies, credits and minimum commitments, unless the price list states them.",
    "Other services that the same requests use: search, embeddings, tools, moderation, unless they are requests here.",
    "How traffic would change if prices, limits or answers did.",
];

/// What isn't priced.
pub(super) fn not_priced() -> String {
    list(&NOT_PRICED.map(str::to_owned))
}

/// Where everything came from: enough to have the same page again.
pub(super) fn provenance(page: &Page) -> String {
    let report = page.report;
    let mut table = Table::new("What was read", ["", "file", "bytes", "SHA-256"]).texts(&[1, 3]);
    for input in &report.inputs {
        table.row(&input.role, [input.file.clone(), count(input.bytes), input.sha256.clone()]);
    }
    let seeds: Vec<u64> = report.variants.first().map_or_else(Vec::new, |variant| variant.runs.iter().map(|run| run.seed).collect());
    let is_range = seeds.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let seeds = match seeds[..] {
        [] => String::new(),
        [only] => only.to_string(),
        [first, .., last] if is_range => format!("{first} to {last}"),
        _ => seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    };
    let facts = [
        format!("gwsim {}", env!("CARGO_PKG_VERSION")),
        format!("Seeds: {seeds}"),
        format!("Prices: {}", report.prices),
        "The same inputs, seeds and version give the same bytes of this page. Exact amounts, to 10^-12 dollars, are in report.json, and all \
            buckets of time in series.csv and series.parquet."
            .to_owned(),
    ];
    let facts = list(&facts);
    if table.is_empty() { facts } else { format!("{facts}{}", table.render()) }
}

/// How every request ended, in one sum.
pub(super) fn conservation(page: &Page) -> String {
    let columns = ["", "in", "served", "cached", "shared", "refused", "failed", "abandoned", "users", "answered users", "not sent"];
    let has_users = page.entries.iter().any(|entry| entry.totals.users.is_some());
    let columns = if has_users { &columns[..] } else { &columns[..8] };
    let mut table = Table::new("Every request has one end", columns.iter().copied());
    for entry in &page.entries {
        let (ends, runs) = (&entry.totals.outcomes, entry.variant.runs.len() as u64);
        let mut cells = vec![entry.totals.requests, ends.served, ends.cached, ends.shared, ends.refused, ends.failed, ends.abandoned];
        if let Some(users) = entry.totals.users.as_ref().filter(|_| has_users) {
            cells.extend([users.total(), users.outcomes.answered(), users.not_sent]);
        }
        table.row(&entry.variant.name, cells.into_iter().map(|number| count(number / runs)));
    }
    let several = if page.seeds() > 1 { paragraph("Means over the seeds, rounded down.") } else { String::new() };
    format!("{}{several}", table.render())
}

/// The name of the page in its head.
pub(super) fn title(page: &Page) -> String {
    escape(&format!("{}: gwsim report", page.report.name))
}
