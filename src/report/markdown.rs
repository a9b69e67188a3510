//! The report as a comment on a pull request: the first screen, and what it rests on folded away. Decides layout only; GitHub's Markdown.

use std::fmt::Write;

use super::cause::Causes;
use super::change::{Change, changes};
use super::headline::{self, Headline};
use super::numbers::{decimals, dollars, rounded_parts};
use super::period;
use super::stability::Stability;
use super::table::{facts, summary};
use super::threshold::{Finding, Judged};
use super::totals::Totals;
use super::trust;
use super::{Report, Variant};
use crate::gateway::money::Money;

/// Renders a report; ends with a line break.
pub fn render(report: &Report) -> String {
    let merged: Vec<(&Variant, Totals)> = report.variants.iter().map(|variant| (variant, variant.merged())).collect();
    let changes = changes(report);
    let Headline { sentence, could_be_wrong, .. } = headline::headline(report, &changes);
    let mut text = format!("### {}\n\n{}  \n{}\n\n", escaped(&report.name), escaped(&facts(report)), escaped(&trust::sentence(report)));
    let (titles, rows) = summary(report, &merged, &changes, headline::relative);
    table(&mut text, &titles, rows.iter().map(|(name, cells)| (*name, cells.clone())));
    text.push_str(&said(&sentence, &could_be_wrong));
    let stability = report.variants.iter().flat_map(|variant| {
        let verdicts = variant.stability.iter().flat_map(Stability::words);
        verdicts.map(|words| format!("{}: {words}", variant.name))
    });
    let stability: Vec<String> = stability.collect();
    if !stability.is_empty() {
        text.push('\n');
        stability.iter().for_each(|verdict| list(&mut text, verdict));
    }
    folded(&mut text, "Dollars by cause", &causes(&merged));
    let mut rests = how_sure(report, &changes);
    if let Some(note) = period::note(report.traffic.span) {
        list(&mut rests, &note);
    }
    list(&mut rests, &format!("prices: {}", report.prices));
    for assumption in &report.assumptions {
        list(&mut rests, &format!("{} {} [{}]", assumption.what, assumption.value, assumption.source));
    }
    for input in &report.inputs {
        let _ = writeln!(rests, "- {} `{}`, SHA-256 `{}`", input.role, input.file, input.sha256);
    }
    folded(&mut text, "What it rests on", &rests);
    if !report.expectations.is_empty() {
        let mut expected = String::new();
        for verdict in &report.expectations {
            let holds = if verdict.holds { "holds" } else { "**FAILED**" };
            let _ = writeln!(expected, "- {}: {}: {holds}, found {}", escaped(&verdict.variant), escaped(&verdict.expected), escaped(&verdict.found));
        }
        folded(&mut text, "Expectations", &expected);
    }
    text
}

/// Renders only what tells the variants of a report apart, with what was asked of them.
pub fn comparison(report: &Report, judged: &[Judged]) -> String {
    let merged: Vec<(&Variant, Totals)> = report.variants.iter().map(|variant| (variant, variant.merged())).collect();
    let changes = changes(report);
    let Headline { sentence, could_be_wrong, .. } = headline::headline(report, &changes);
    let mut text = format!("### {}\n\n{}  \n{}\n\n", escaped(&report.name), escaped(&facts(report)), escaped(&trust::sentence(report)));
    for judged in judged {
        let mark = match judged.finding {
            Finding::Within => "pass",
            Finding::Above => "**FAILED**",
            Finding::Open(_) => "**not decided**",
        };
        let _ = writeln!(text, "- {mark}: {}", escaped(&judged.line()));
    }
    if !judged.is_empty() {
        text.push('\n');
    }
    let (titles, rows) = summary(report, &merged, &changes, headline::relative);
    table(&mut text, &titles, rows.iter().map(|(name, cells)| (*name, cells.clone())));
    text.push_str(&said(&sentence, &could_be_wrong));
    folded(&mut text, "Dollars by cause", &causes(&merged));
    let mut rests = how_sure(report, &changes);
    list(&mut rests, &format!("traffic digest {}", report.traffic.digest));
    folded(&mut text, "How sure", &rests);
    text
}

/// A folded list; nothing of nothing.
pub fn notes(title: &str, items: &[String]) -> String {
    let (mut text, mut inside) = (String::new(), String::new());
    items.iter().for_each(|item| list(&mut inside, item));
    if !items.is_empty() {
        folded(&mut text, title, &inside);
    }
    text
}

/// The headline's sentence and what could be wrong with it.
fn said(sentence: &str, could_be_wrong: &[String]) -> String {
    let mut text = format!("\n**{}**\n", escaped(sentence));
    if !could_be_wrong.is_empty() {
        text.push_str("\nCould be wrong:\n");
        could_be_wrong.iter().for_each(|doubt| list(&mut text, doubt));
    }
    text
}

/// What each change's interval is made of, as a list.
fn how_sure(report: &Report, changes: &[Option<Change>]) -> String {
    let mut text = String::new();
    for (variant, change) in report.variants.iter().zip(changes) {
        if let Some(change) = change.as_ref().filter(|change| !change.is_identical) {
            list(&mut text, &format!("{}: 95 % of the change, in points: {}", variant.name, headline::parts(change)));
        }
    }
    text
}

/// Dollars by cause: means over the seeds, so rounded that each row adds up as shown.
fn causes(merged: &[(&Variant, Totals)]) -> String {
    let rows: Vec<(&str, Vec<Money>)> = merged
        .iter()
        .map(|(variant, totals)| {
            let Causes { base, premium, prompt_cache, undelivered, reserved, .. } = totals.causes;
            let runs = i128::try_from(variant.runs.len()).expect("few seeds");
            let parts = [base, premium, prompt_cache, totals.causes.wasted_total(), undelivered, reserved];
            (variant.name.as_str(), parts.map(|part| Money(part.0 / runs)).to_vec())
        })
        .collect();
    let total = |parts: &[Money]| parts.iter().copied().sum::<Money>();
    let decimals = decimals(rows.iter().map(|(_, parts)| total(parts)).max().unwrap_or_default());
    let mut text = String::new();
    let shown = rows.iter().map(|(name, parts)| {
        let units = rounded_parts(parts, total(parts), decimals);
        let sum = units.iter().sum();
        (*name, units.into_iter().chain([sum]).map(|units| dollars(units, decimals)).collect())
    });
    table(&mut text, &["base", "premium of place", "prompt cache", "wasted", "undelivered", "reserved", "total"], shown);
    text
}

fn table<'a>(text: &mut String, titles: &[&str], rows: impl Iterator<Item = (&'a str, Vec<String>)>) {
    let _ = writeln!(text, "| | {} |", titles.join(" | "));
    let _ = writeln!(text, "|---|{}", "--:|".repeat(titles.len()));
    for (name, cells) in rows {
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        let _ = writeln!(text, "| {} | {} |", escaped(name), cells.join(" | "));
    }
}

fn list(text: &mut String, item: &str) {
    let _ = writeln!(text, "- {}", escaped(item));
}

fn folded(text: &mut String, title: &str, inside: &str) {
    let _ = write!(text, "\n<details><summary>{title}</summary>\n\n{inside}\n</details>\n");
}

/// Names come from files: what Markdown or HTML would take for markup is written as itself.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
