//! The report as one page, `index.html`: what to decide first, then why, then what it rests on. Decides the order of sections; needs no network, no
//! script and no font. The same report gives the same bytes.

mod axis;
mod breakdown;
mod curves;
mod foundations;
mod html;
mod latency;
mod lines;
mod over_time;
mod pareto;
mod svg;
mod waterfall;

use std::fmt::Write;

use self::axis::Clock;
use self::html::{Table, escape, list, note, paragraph, section};
use super::change::{Change, changes};
use super::headline::{Headline, headline};
use super::period::periods;
use super::table::{facts, summary};
use super::totals::Totals;
use super::trust::{self, Trust};
use super::{Report, Variant};
use crate::gateway::money::Money;

const STYLE: &str = include_str!("style.css");

/// A report on its way to the page.
struct Page<'a> {
    report: &'a Report,
    entries: Vec<Entry<'a>>,
    changes: Vec<Option<Change>>,
    headline: Headline,
}

/// A variant with its counters over all seeds.
struct Entry<'a> {
    index: usize,
    variant: &'a Variant,
    totals: Totals,
}

impl Entry<'_> {
    /// The mean over the seeds of what was summed up over them, rounded towards zero by less than a picodollar.
    fn mean(&self, sum: Money) -> Money {
        Money(sum.0 / i128::try_from(self.variant.runs.len()).expect("few seeds").max(1))
    }
}

impl Page<'_> {
    fn clock(&self) -> Clock {
        Clock::new(self.report.traffic.first)
    }

    fn seeds(&self) -> usize {
        self.entries.first().map_or(0, |entry| entry.variant.runs.len())
    }

    fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        self.entries.iter().map(|entry| (entry.index, entry.variant.name.as_str()))
    }

    /// The columns of a table with one for each variant.
    fn columns(&self, first: &str) -> Vec<String> {
        std::iter::once(first.to_owned()).chain(self.entries.iter().map(|entry| entry.variant.name.clone())).collect()
    }

    /// The variants' costs for the longest period that the traffic says something about, and what that is.
    fn costs(&self) -> (&'static str, Vec<Money>) {
        let bills = self.entries.iter().map(|entry| entry.variant.bill().mean);
        let span = self.report.traffic.span;
        match periods(span).last() {
            Some(period) => (period.title, bills.map(|bill| period.of(bill, span)).collect()),
            None => ("$ trace", bills.collect()),
        }
    }
}

/// Renders the page.
pub fn render(report: &Report) -> String {
    let entries = report.variants.iter().enumerate().map(|(index, variant)| Entry { index, variant, totals: variant.merged() }).collect();
    let changes = changes(report);
    let headline = headline(report, &changes);
    let page = Page { report, entries, changes, headline };
    let mut html = head(&page);
    html.push_str(&top(&page));
    html.push_str("<main>\n");
    let sections = [
        ("variants", "The variants", variants(&page)),
        ("why", "Why: from one bill to the other, cause by cause", waterfall::figures(&page)),
        ("spend", "Over time", over_time::figures(&page)),
        ("sweep", "What it hangs on: the sweep", curves::figures(&page)),
        ("success", "Cheaper, or only fewer answers?", pareto::figure(&page)),
        ("money", "Where the money goes", breakdown::tables(&page)),
        ("waiting", "How long clients wait", latency::figures(&page)),
        ("undelivered", "Paid for and not delivered", breakdown::undelivered(&page)),
        ("ends", "Where every request went", foundations::conservation(&page)),
        ("log", "The log, and whether the simulation reproduces it", foundations::log(&page)),
        ("assumptions", "What was assumed", foundations::assumptions(&page)),
        ("not-priced", "What is not priced", foundations::not_priced()),
        ("provenance", "Where it comes from", foundations::provenance(&page)),
    ];
    for (id, heading, content) in sections {
        html.push_str(&section(&format!("s-{id}"), heading, &content));
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn head(page: &Page) -> String {
    // The policy lets nothing in: whatever a name in a report holds, the page asks nobody for anything.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n",
        foundations::title(page)
    )
}

/// What to know before anything else: the grade, the headline, what could be wrong with it.
fn top(page: &Page) -> String {
    let report = page.report;
    let headline = &page.headline;
    let class = if trust::of(report) == Trust::Missed { "trust bad" } else { "trust" };
    let mut html = String::from("<header>\n");
    let _ = writeln!(html, "<h1>{}</h1>\n<p class=\"facts\">{}</p>", escape(&report.name), escape(&facts(report)));
    let _ = writeln!(html, "<p class=\"{class}\">{}</p>", escape(&trust::sentence(report)));
    if trust::of(report) == Trust::Missed {
        // The headline would only say it again.
        html.push_str("</header>\n");
        return html;
    }
    let _ = writeln!(html, "<p class=\"headline\">{}</p>", escape(&headline.sentence));
    if !headline.could_be_wrong.is_empty() {
        let _ = write!(html, "<p class=\"doubts\">Could be wrong:</p>\n{}", list(&headline.could_be_wrong));
    }
    html.push_str("</header>\n");
    html
}

fn variants(page: &Page) -> String {
    let merged: Vec<(&Variant, Totals)> = page.entries.iter().map(|entry| (entry.variant, entry.totals.clone())).collect();
    let (titles, rows) = summary(page.report, &merged, &page.changes, crate::report::headline::relative);
    let mut table = Table::new("Each variant on the same requests", std::iter::once("").chain(titles));
    for (index, (name, cells)) in rows.into_iter().enumerate() {
        let cells = cells.into_iter().map(|cell| if cell.is_empty() && index == page.report.reference { "reference".to_owned() } else { cell });
        table.row(name, cells);
    }
    if let Some(best) = page.headline.variant {
        table.mark(best, "cheapest at equal success");
    }
    let told = "$ trace: what the traffic that was run costs. change: against the reference, with its 95 % interval where one is known. answered: \
        of all that was asked for. p95: the time that 95 in 100 of the answered did not wait longer than. other model: of the answers, those by \
        another model than asked. retries: calls that the gateway made again. 429s: calls turned away because a limit was reached.";
    let parts = [table.render(), note(told), foundations::certainty(page), foundations::stability(page), foundations::expectations(page)];
    let single = if page.entries.len() == 1 { paragraph("One variant: nothing to compare it with.") } else { String::new() };
    parts.concat() + &single
}

/// An amount for a picture, in dollars. No sum and no number is made of it.
fn picture_of(amount: Money) -> f64 {
    amount.0 as f64 / Money::PER_USD as f64
}

#[cfg(test)]
mod tests;
