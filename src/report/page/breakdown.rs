//! Where the money goes: by cause, model, deployment, team, key and tag, largest first, the rest in one row. Decides what is one row; knows names
//! only as the report has them.

use std::collections::BTreeMap;

use super::html::{Table, note, paragraph};
use super::{Entry, Page};
use crate::gateway::money::Money;
use crate::report::cause::{POSITIONS, Waste, position_name};
use crate::report::numbers::{count, decimals, dollars, rounded, rounded_parts, share};
use crate::report::totals::{Demand, Supply};

/// Rows of their own; what is beyond them is summed up.
const ROWS_MAX: usize = 10;

/// Tables of dollars by what they went to.
pub(super) fn tables(page: &Page) -> String {
    let mut html = by_cause(page);
    let asked = |entry: &Entry| demands(&entry.totals.asked, &entry.variant.names.models);
    let called = |entry: &Entry| supplies(&entry.totals.called, &entry.variant.names.models);
    let deployment = |entry: &Entry| supplies(&entry.totals.deployments, &entry.variant.names.deployments);
    let team = |entry: &Entry| demands(&entry.totals.teams, &entry.variant.names.teams);
    let key = |entry: &Entry| demands(&entry.totals.keys, &entry.variant.names.keys);
    html.push_str(&by("Dollars by model asked for", "reserved capacity", page, asked));
    html.push_str(&by("Dollars by model called", "reserved capacity", page, called));
    html.push_str(&by("Dollars by deployment", "no deployment", page, deployment));
    html.push_str(&by("Dollars by team", "no team", page, team));
    html.push_str(&by("Dollars by key", "no key", page, key));
    html.push_str(&by_tag(page));
    html
}

type Amounts = BTreeMap<String, Money>;

fn demands(rows: &[Demand], names: &[String]) -> Amounts {
    names.iter().zip(rows).map(|(name, row)| (name.clone(), row.bill)).collect()
}

fn supplies(rows: &[Supply], names: &[String]) -> Amounts {
    names.iter().zip(rows).map(|(name, row)| (name.clone(), row.bill)).collect()
}

/// One table; nothing if there is but one name to put it down to. What no name has is in a row `without`, so that every table adds up to the bill.
fn by(title: &str, without: &str, page: &Page, amounts: impl Fn(&Entry) -> Amounts) -> String {
    let columns: Vec<Amounts> =
        page.entries.iter().map(|entry| amounts(entry).into_iter().map(|(name, sum)| (name, entry.mean(sum))).collect()).collect();
    let mut largest: BTreeMap<&str, Money> = BTreeMap::new();
    for (name, amount) in columns.iter().flatten() {
        let known = largest.entry(name).or_default();
        *known = (*known).max(*amount);
    }
    largest.retain(|_, amount| *amount != Money::ZERO);
    if largest.len() < 2 {
        return String::new();
    }
    let mut names: Vec<(&str, Money)> = largest.into_iter().collect();
    names.sort_by_key(|(name, amount)| (std::cmp::Reverse(*amount), *name));
    let (shown, others) = names.split_at(names.len().min(ROWS_MAX));
    let mut sums: Vec<Vec<Money>> = columns
        .iter()
        .map(|column| {
            let get = |name: &str| column.get(name).copied().unwrap_or_default();
            let rest: Money = others.iter().map(|(name, _)| get(name)).sum();
            shown.iter().map(|(name, _)| get(name)).chain((!others.is_empty()).then_some(rest)).collect()
        })
        .collect();
    let mut rows: Vec<String> = shown.iter().map(|(name, _)| (*name).to_owned()).collect();
    if !others.is_empty() {
        rows.push(format!("{} others", count(others.len() as u64)));
    }
    // Means are rounded by less than a picodollar a row: that is nobody's.
    let nobodys = |(column, entry): (&Vec<Money>, &Entry)| entry.variant.bill().mean - column.iter().copied().sum::<Money>();
    let rests: Vec<Money> = sums.iter().zip(&page.entries).map(nobodys).collect();
    let is_rounding = |rest: &Money| rest.0.unsigned_abs() <= rows.len() as u128 + ROWS_MAX as u128 + others.len() as u128;
    if !rests.iter().all(is_rounding) {
        rows.push(without.to_owned());
        sums.iter_mut().zip(rests).for_each(|(column, rest)| column.push(rest));
    }
    of_money(title, page, &rows, &sums)
}

/// Dollars by tag; nothing where nothing has one. The rows add up to no total, as a call may have several.
fn by_tag(page: &Page) -> String {
    let columns: Vec<Amounts> = page.entries.iter().map(|entry| demands(&entry.totals.tags, &entry.variant.names.tags)).collect();
    let mut largest: BTreeMap<&str, Money> = BTreeMap::new();
    for (name, amount) in columns.iter().flatten().filter(|(_, amount)| **amount != Money::ZERO) {
        let known = largest.entry(name).or_default();
        *known = (*known).max(*amount);
    }
    if largest.is_empty() {
        return String::new();
    }
    let mut names: Vec<(&str, Money)> = largest.into_iter().collect();
    names.sort_by_key(|(name, amount)| (std::cmp::Reverse(*amount), *name));
    let bills = page.entries.iter().map(|entry| entry.variant.bill().mean);
    let decimals = decimals(bills.max().unwrap_or_default());
    let shown = |amount: Money| if amount == Money::ZERO { "0".to_owned() } else { dollars(rounded(amount, decimals), decimals) };
    let mut table = Table::new("Dollars by tag", page.columns(""));
    for (name, _) in names.iter().take(ROWS_MAX) {
        let of = |(column, entry): (&Amounts, &Entry)| shown(entry.mean(column.get(*name).copied().unwrap_or_default()));
        table.row(name, columns.iter().zip(&page.entries).map(of));
    }
    table.row("no tag", page.entries.iter().map(|entry| shown(entry.mean(entry.totals.bill - entry.totals.tagged))));
    table.sum("the bill", page.entries.iter().map(|entry| shown(entry.variant.bill().mean)));
    let several = "A call counts under each of its tags: those of its team, of its key and its own. Where calls have several, the rows add up to \
        more than the bill.";
    let more = match names.len().saturating_sub(ROWS_MAX) {
        0 => String::new(),
        more => format!(" The largest {ROWS_MAX} of them; report.json has {} more.", count(more as u64)),
    };
    table.render() + &note(&format!("{several}{more}"))
}

/// A table of amounts by variant, whose columns add up as shown.
fn of_money(title: &str, page: &Page, rows: &[String], columns: &[Vec<Money>]) -> String {
    let totals: Vec<Money> = columns.iter().map(|column| column.iter().copied().sum()).collect();
    let largest = columns.iter().flatten().chain(&totals).max_by_key(|amount| amount.0.abs()).copied().unwrap_or_default();
    let decimals = decimals(largest);
    let units: Vec<Vec<i128>> = columns.iter().zip(&totals).map(|(column, total)| rounded_parts(column, *total, decimals)).collect();
    let mut table = Table::new(title, page.columns(""));
    let shown = |amount: Money, units: i128| if amount == Money::ZERO { "0".to_owned() } else { dollars(units, decimals) };
    for (number, name) in rows.iter().enumerate() {
        table.row(name, columns.iter().zip(&units).map(|(column, units)| shown(column[number], units[number])));
    }
    table.sum("total", totals.iter().map(|total| dollars(rounded(*total, decimals), decimals)));
    table.render()
}

fn by_cause(page: &Page) -> String {
    let mut rows: Vec<(String, Vec<Money>)> = Vec::new();
    let mut add = |name: String, amount: &dyn Fn(&Entry) -> Money| {
        let amounts: Vec<Money> = page.entries.iter().map(|entry| entry.mean(amount(entry))).collect();
        if amounts.iter().any(|amount| *amount != Money::ZERO) {
            rows.push((name, amounts));
        }
    };
    add("base: what was delivered, at the model asked for".to_owned(), &|entry| entry.totals.causes.base);
    add("premium of place: what it cost more where it was answered".to_owned(), &|entry| entry.totals.causes.premium);
    add("prompt cache: what the provider's cache changed".to_owned(), &|entry| entry.totals.causes.prompt_cache);
    for waste in Waste::ALL {
        for position in POSITIONS {
            let name = format!("wasted: {}, {}", waste.name(), position_name(position));
            add(name, &|entry| entry.totals.causes.wasted[waste as usize][position as usize]);
        }
    }
    add("undelivered: billed beyond what reached the client".to_owned(), &|entry| entry.totals.causes.undelivered);
    add("reserved: capacity paid by the hour".to_owned(), &|entry| entry.totals.causes.reserved);
    let columns: Vec<Vec<Money>> = (0..page.entries.len()).map(|column| rows.iter().map(|(_, amounts)| amounts[column]).collect()).collect();
    let names: Vec<String> = rows.into_iter().map(|(name, _)| name).collect();
    of_money("Dollars by cause", page, &names, &columns)
}

/// Output that was billed and never reached a client, and calls that were paid for in vain.
pub(super) fn undelivered(page: &Page) -> String {
    let has_any = |entry: &Entry| {
        let (tokens, causes) = (&entry.totals.tokens, &entry.totals.causes);
        tokens.output > tokens.output_delivered || causes.undelivered != Money::ZERO || causes.wasted_total() != Money::ZERO
    };
    if !page.entries.iter().any(has_any) {
        return paragraph("None: every token that was billed reached its client.");
    }
    let columns = ["", "output tokens billed", "delivered", "never delivered", "share", "$ undelivered", "$ wasted calls"];
    let mut table = Table::new("Tokens that were paid for and reached nobody", columns);
    let amounts = page.entries.iter().flat_map(|entry| [entry.mean(entry.totals.causes.undelivered), entry.mean(entry.totals.causes.wasted_total())]);
    let decimals = decimals(amounts.max().unwrap_or_default());
    for entry in &page.entries {
        let (tokens, runs) = (&entry.totals.tokens, entry.variant.runs.len() as u64);
        let lost = tokens.output.saturating_sub(tokens.output_delivered);
        let counts = [tokens.output, tokens.output_delivered, lost].map(|number| count(number / runs));
        let money =
            [entry.totals.causes.undelivered, entry.totals.causes.wasted_total()].map(|sum| dollars(rounded(entry.mean(sum), decimals), decimals));
        table.row(&entry.variant.name, counts.into_iter().chain([share(lost, tokens.output)]).chain(money));
    }
    let told = "Wasted calls delivered no answer: they failed after the input was processed, timed out, or their client had left. Undelivered is \
        what was billed beyond what reached the client.";
    format!("{}{}", table.render(), note(told))
}
