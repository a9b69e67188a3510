//! The first screen: what each variant costs, why, and what that rests on, as plain text of at most 100 columns. Decides wording and layout only.

mod replay;
mod sweep;

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::cause::{POSITIONS, Waste, position_name};
use super::change::{Change, changes};
use super::headline::{self, Headline, relative};
use super::numbers::{change, count, counted, decimals, dollars, latency, length, rounded, rounded_parts, share, usd};
use super::period::{self, periods};
use super::stability;
use super::totals::{DENIAL_NAMES, Totals, Users};
use super::{Origin, Report, Variant};
use crate::gateway::failure::FailureClass;
use crate::gateway::money::Money;
use crate::gateway::time::Span;

/// The widest line.
const COLUMNS: u16 = 100;

/// Renders a report for a terminal or a pipe; ends with a line break.
pub fn render(report: &Report) -> String {
    let merged: Vec<(&Variant, Totals)> = report.variants.iter().map(|variant| (variant, variant.merged())).collect();
    let changes = changes(report);
    let mut text = heading(report);
    text.push_str(&replay::baseline(report));
    text.push_str(&verdict_table(report, &merged, &changes));
    text.push_str(&headline_lines(report, &changes));
    text.push_str(&stability_lines(report));
    text.push_str(&interval_lines(report, &changes));
    if let Some(note) = period::note(report.traffic.span) {
        line(&mut text, "", &note);
    }
    text.push_str(&token_lines(report));
    text.push_str(&seeds_lines(report));
    text.push('\n');
    text.push_str(&sweep::sweep(report));
    text.push_str(&cause_table(&merged));
    text.push_str(&position_table(&merged));
    text.push_str(&waste_lines(&merged));
    text.push('\n');
    for (variant, totals) in &merged {
        line(&mut text, &variant.name, &conservation(totals, variant.runs.len()));
        if let Some(why) = reasons(totals) {
            line(&mut text, "", &format!("   {why}"));
        }
        if let Some(users) = &totals.users {
            line(&mut text, "", &format!("   {}", fates(users, variant.runs.len())));
        }
    }
    text.push_str(&ledger_lines(&merged));
    text.push_str(&incident_lines(&merged));
    text.push_str(&worst_case_lines(report));
    text.push_str(&replay::coverage(report));
    text.push_str(&foundations(report));
    text
}

/// Renders only what tells the variants of a report apart: for variants that come from several reports, which have the rest.
pub fn comparison(report: &Report) -> String {
    let merged: Vec<(&Variant, Totals)> = report.variants.iter().map(|variant| (variant, variant.merged())).collect();
    let changes = changes(report);
    let mut text = String::new();
    line(&mut text, "", &format!("{}; changes are against {}", facts(report), report.variants[report.reference].name));
    text.push('\n');
    text.push_str(&verdict_table(report, &merged, &changes));
    text.push_str(&headline_lines(report, &changes));
    text.push_str(&interval_lines(report, &changes));
    if let Some(note) = period::note(report.traffic.span) {
        line(&mut text, "", &note);
    }
    text.push_str(&token_lines(report));
    text.push('\n');
    text.push_str(&cause_table(&merged));
    text
}

/// Adds a line of a comparison, broken to the width of the screen.
pub fn note(to: &mut String, label: &str, text: &str) {
    line(to, label, text);
}

fn heading(report: &Report) -> String {
    let mut text = String::new();
    line(&mut text, &report.name, &facts(report));
    text.push_str(&replay::grade(report));
    text.push('\n');
    text
}

/// What was replayed, in one line.
pub fn facts(report: &Report) -> String {
    let traffic = &report.traffic;
    let origin = match traffic.origin {
        Origin::Recorded => "recorded",
        Origin::Synthetic => "synthetic",
    };
    let told = format!("{}, {} in {}", traffic.name, counted(traffic.requests, "request"), length(traffic.span));
    // Traffic that no trace was the base of is called by what it is.
    if traffic.name == origin { told } else { format!("{told}, {origin}") }
}

fn verdict_table(report: &Report, merged: &[(&Variant, Totals)], changes: &[Option<Change>]) -> String {
    let (titles, rows) = summary(report, merged, changes, headline::mean);
    let mut table = Lines::new("", titles.into_iter());
    for (name, cells) in rows {
        table.add(name, cells.into_iter());
    }
    table.render()
}

/// A row of the first table: a variant's name and its cells.
pub(super) type Row<'a> = (&'a str, Vec<String>);

/// A change in a cell of the first table, from the reference's bill and the variant's.
pub(super) type Shown = fn(&Change, Money, Money) -> String;

/// The first table: the titles of its columns, and a row for each variant.
pub(super) fn summary<'a>(
    report: &Report,
    merged: &[(&'a Variant, Totals)],
    changes: &[Option<Change>],
    shown: Shown,
) -> (Vec<&'static str>, Vec<Row<'a>>) {
    let span = report.traffic.span;
    let bills: Vec<Money> = merged.iter().map(|(variant, _)| variant.bill().mean).collect();
    let columns: Vec<(&str, Vec<Money>)> = std::iter::once(("$ trace", bills.clone()))
        .chain(periods(span).iter().map(|period| (period.title, bills.iter().map(|bill| period.of(*bill, span)).collect())))
        .collect();
    let titles = columns.iter().map(|(title, _)| *title).chain(["change", "answered", "p95", "other model", "retries", "429s"]).collect();
    let row = |(i, (variant, totals)): (usize, &(&'a Variant, Totals))| {
        let money = columns.iter().map(|(_, amounts)| {
            let decimals = decimals(amounts.iter().copied().max().unwrap_or_default());
            dollars(rounded(amounts[i], decimals), decimals)
        });
        let against = changes.get(i).and_then(Option::as_ref).map(|change| shown(change, bills[report.reference], bills[i]));
        let runs = variant.runs.len() as u64;
        let (answered, asked) = totals.answered_of();
        let others = [
            against.unwrap_or_default(),
            share(answered, asked),
            totals.waited().quantile(950).map_or_else(|| "-".to_owned(), latency),
            share(totals.other_model, answered),
            count(totals.retries() / runs),
            count(totals.rate_limited() / runs),
        ];
        (variant.name.as_str(), money.chain(others).collect())
    };
    (titles, merged.iter().enumerate().map(row).collect())
}

/// The headline and what it hangs on; then how wide each interval is and of what, or why there is none.
fn headline_lines(report: &Report, changes: &[Option<Change>]) -> String {
    let Headline { sentence, could_be_wrong, .. } = headline::headline(report, changes);
    let mut text = String::new();
    line(&mut text, "", &sentence);
    if !could_be_wrong.is_empty() {
        line(&mut text, "Could be wrong", &format!("{}.", could_be_wrong.join("; ")));
    }
    text
}

/// Which variants do not stand their load or do not come back after a trigger, and which do.
fn stability_lines(report: &Report) -> String {
    let mut text = String::new();
    for variant in &report.variants {
        let verdicts = variant.stability.iter().flat_map(stability::Stability::words);
        verdicts.for_each(|words| line(&mut text, &variant.name, &words));
    }
    text
}

/// Each change with its interval and what that is made of, or why there is none; once for all where there is none for one reason.
fn interval_lines(report: &Report, changes: &[Option<Change>]) -> String {
    let mut text = String::new();
    let Some(before) = report.variants.get(report.reference).map(|reference| reference.bill().mean) else { return text };
    let variants = report.variants.iter().zip(changes);
    let differing: Vec<(&Variant, &Change)> =
        variants.filter_map(|(variant, change)| Some((variant, change.as_ref().filter(|change| !change.is_identical)?))).collect();
    let unknown = |(_, change): &(&Variant, &Change)| headline::interval(change).is_none().then(|| headline::parts(change));
    match differing.first().and_then(unknown) {
        Some(why) if differing.iter().all(|other| unknown(other).as_ref() == Some(&why)) => line(&mut text, "No interval", &why),
        _ => differing.iter().for_each(|(variant, change)| {
            let relative = relative(change, before, variant.bill().mean);
            line(&mut text, &variant.name, &format!("{relative}: {}", headline::parts(change)));
        }),
    }
    text
}

/// What the headline does not know of token counts: how far the ranges of ratios reach, and where a change rests on counts that nobody compared.
fn token_lines(report: &Report) -> String {
    let mut text = String::new();
    let Some(reference) = report.variants.get(report.reference) else { return text };
    for (index, variant) in report.variants.iter().enumerate().filter(|(_, variant)| variant.token_ends.is_some()) {
        let period = periods(report.traffic.span).first();
        let title = period.map_or("$ trace", |period| period.title);
        let bills = variant.bill_at_ends().map(|bill| period.map_or(bill, |period| period.of(bill, report.traffic.span)));
        let decimals = decimals(bills[1]);
        let shown = |bill: Money| dollars(rounded(bill, decimals), decimals);
        let (least, most) = (bills.into_iter().min().unwrap_or_default(), bills.into_iter().max().unwrap_or_default());
        let mut told = format!("{title} {} ({} to {}: token counts)", shown(bills[1]), shown(least), shown(most));
        if index != report.reference {
            let [at_low, middle, at_high] = [0, 1, 2].map(|end| change(reference.bill_at_ends()[end], variant.bill_at_ends()[end]));
            let _ = write!(told, ", change {middle} ({at_low} to {at_high})");
        }
        line(&mut text, &variant.name, &told);
    }
    let uncompared = |variant: &Variant| variant.billed_uncompared() != Money::ZERO;
    let rests = |other: &&Variant| !other.is_identical(reference) && (uncompared(reference) || uncompared(other));
    let rest: Vec<&str> = report.variants.iter().filter(rests).map(|variant| variant.name.as_str()).collect();
    if !rest.is_empty() {
        line(&mut text, "change", &format!("token counts not compared between the models that answer ({})", rest.join(", ")));
    }
    text
}

fn seeds_lines(report: &Report) -> String {
    let mut text = String::new();
    let seeds = report.variants.first().map_or(0, |variant| variant.runs.len());
    if seeds > 1 {
        line(&mut text, "", &format!("Dollars, retries and 429s are means over {seeds} seeds, counts of requests and incidents below their sums."));
        for variant in &report.variants {
            let bill = variant.bill();
            let spread = if bill.min == bill.max { "the same".to_owned() } else { range(bill.min, bill.max) };
            line(&mut text, &variant.name, &format!("$ trace over seeds: {spread}"));
        }
    }
    text
}

/// Two different amounts with as many decimals as it takes to tell them apart.
fn range(least: Money, most: Money) -> String {
    let apart = |decimals: &u32| rounded(least, *decimals) != rounded(most, *decimals);
    let decimals = (decimals(most)..=12).find(apart).unwrap_or(12);
    format!("{} to {}", dollars(rounded(least, decimals), decimals), dollars(rounded(most, decimals), decimals))
}

fn mean(amount: Money, variant: &Variant) -> Money {
    Money(amount.0 / i128::try_from(variant.runs.len()).expect("few seeds"))
}

fn cause_table(merged: &[(&Variant, Totals)]) -> String {
    let rows = merged.iter().map(|(variant, totals)| {
        let causes = &totals.causes;
        let parts = [causes.base, causes.premium, causes.prompt_cache, causes.wasted_total(), causes.undelivered, causes.reserved];
        (*variant, parts.map(|part| mean(part, variant)).to_vec())
    });
    money_table("$ by cause", &["base", "premium of place", "prompt cache", "wasted", "undelivered", RESERVED], rows.collect())
}

fn position_table(merged: &[(&Variant, Totals)]) -> String {
    if merged.iter().all(|(_, totals)| totals.by_position[1..].iter().all(|amount| *amount == Money::ZERO)) {
        return String::new();
    }
    let rows = merged.iter().map(|(variant, totals)| {
        let parts = totals.by_position.into_iter().chain([totals.causes.reserved]);
        (*variant, parts.map(|amount| mean(amount, variant)).collect())
    });
    format!("\n{}", money_table("$ by call", &["first", "retry, same", "retry, other", "fallback", RESERVED], rows.collect()))
}

/// The last column of a table of money, left out where nobody pays by the hour.
const RESERVED: &str = "reserved";

/// A table of amounts and their sum. What is shown adds up as shown.
fn money_table(title: &str, columns: &[&str], mut rows: Vec<(&Variant, Vec<Money>)>) -> String {
    let mut columns = columns.to_vec();
    if columns.last() == Some(&RESERVED) && rows.iter().all(|(_, parts)| parts.last() == Some(&Money::ZERO)) {
        columns.pop();
        rows.iter_mut().for_each(|(_, parts)| parts.truncate(columns.len()));
    }
    let largest = rows.iter().flat_map(|(_, parts)| parts.iter().copied().chain([parts.iter().copied().sum()])).max_by_key(|amount| amount.0.abs());
    let decimals = decimals(largest.unwrap_or_default());
    let mut table = Lines::new(title, columns.iter().copied().chain(["total"]));
    for (variant, parts) in rows {
        let total = parts.iter().copied().sum();
        let units = rounded_parts(&parts, total, decimals).into_iter().chain([rounded(total, decimals)]);
        let exact = parts.into_iter().chain([total]);
        // Exactly nothing has no digits; what only rounds to nothing has.
        table.add(
            &variant.name,
            exact.zip(units).map(|(amount, units)| if amount == Money::ZERO { "0".to_owned() } else { dollars(units, decimals) }),
        );
    }
    table.render()
}

fn waste_lines(merged: &[(&Variant, Totals)]) -> String {
    let mut text = String::new();
    for (variant, totals) in merged.iter().filter(|(_, totals)| totals.causes.wasted_total() != Money::ZERO) {
        let ways = Waste::ALL.into_iter().filter(|waste| totals.causes.wasted_by(*waste) != Money::ZERO).map(|waste| {
            let by_position = &totals.causes.wasted[waste as usize];
            let positions = POSITIONS.into_iter().filter(|position| by_position[*position as usize] != Money::ZERO);
            let positions: Vec<String> =
                positions.map(|position| format!("{} {}", position_name(position), usd(mean(by_position[position as usize], variant)))).collect();
            format!("{} {} ({})", waste.name(), usd(mean(totals.causes.wasted_by(waste), variant)), positions.join(", "))
        });
        line(&mut text, &variant.name, &format!("wasted: {}", ways.collect::<Vec<_>>().join("; ")));
    }
    for (variant, totals) in merged.iter().filter(|(_, totals)| totals.shared != Money::ZERO) {
        let shared = usd(mean(totals.shared, variant));
        line(&mut text, &variant.name, &format!("shared: {shared} of this for calls that went on for others after their own client had left"));
    }
    text
}

/// Counts over several seeds are sums, which add up as means would not.
fn over(seeds: usize) -> String {
    if seeds > 1 { format!(" over {seeds} seeds") } else { String::new() }
}

fn conservation(totals: &Totals, seeds: usize) -> String {
    let ends = &totals.outcomes;
    let mut text = format!("in {}{} = served {} + cached {}", count(totals.requests), over(seeds), count(ends.served), count(ends.cached));
    if ends.shared > 0 {
        let _ = write!(text, " + shared {}", count(ends.shared));
    }
    let _ = write!(text, " + refused {} + failed {} + abandoned {}", count(ends.refused), count(ends.failed), count(ends.abandoned));
    if let Some(open @ 1..) = totals.requests.checked_sub(ends.total()) {
        let _ = write!(text, " + unanswered {}", count(open));
    }
    text
}

/// How users fared, whose clients retry or wait.
fn fates(users: &Users, seeds: usize) -> String {
    let ends = &users.outcomes;
    let [calls, answered, refused, failed, abandoned, not_sent] =
        [users.total(), ends.answered(), ends.refused, ends.failed, ends.abandoned, users.not_sent].map(count);
    let over = over(seeds);
    let sum =
        format!("users: {calls}{over} = answered {answered} + refused {refused} + failed {failed} + abandoned {abandoned} + not sent {not_sent}");
    format!("{sum}; {} by their clients", counted(users.retries, "more request"))
}

/// Why requests were refused or failed, the most frequent reason first.
fn reasons(totals: &Totals) -> Option<String> {
    let of = |what: &str, mut reasons: Vec<(&str, u64)>| {
        reasons.retain(|(_, times)| *times > 0);
        reasons.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        let reasons: Vec<String> = reasons.into_iter().map(|(name, times)| format!("{name} {}", count(times))).collect();
        if reasons.is_empty() { None } else { Some(format!("{what}: {}", reasons.join(", "))) }
    };
    let refused = of("refused", DENIAL_NAMES.into_iter().zip(totals.denials).collect());
    let failed = of("failed", FailureClass::ALL.iter().map(|class| class.name()).zip(totals.failures).collect());
    let both: Vec<String> = [refused, failed].into_iter().flatten().collect();
    if both.is_empty() { None } else { Some(both.join("; ")) }
}

fn ledger_lines(merged: &[(&Variant, Totals)]) -> String {
    let mut text = String::new();
    if merged.iter().all(|(_, totals)| totals.ledger.total() == totals.billed_by_call() && totals.ledger.presumed == Money::ZERO) {
        line(&mut text, "Ledger", "the gateway's own books equal the bill in every variant, all of it confirmed");
        return text;
    }
    for (variant, totals) in merged {
        let (ledger, difference) = (&totals.ledger, mean(totals.ledger.total() - totals.billed_by_call(), variant));
        let against = match difference {
            Money::ZERO => "equal to the bill".to_owned(),
            more if more > Money::ZERO => format!("{} above the bill", usd(more)),
            less => format!("{} below the bill", usd(-less)),
        };
        let (confirmed, presumed) = (mean(ledger.confirmed, variant), mean(ledger.presumed, variant));
        line(&mut text, &variant.name, &format!("ledger: confirmed {}, presumed {}; {against}", usd(confirmed), usd(presumed)));
    }
    text
}

fn incident_lines(merged: &[(&Variant, Totals)]) -> String {
    let mut text = String::new();
    for (variant, totals) in merged {
        let incidents = &totals.incidents;
        let happened = [
            ("cooldowns", incidents.cooldowns),
            ("breakers opened", incidents.breakers_opened),
            ("budget alerts", incidents.budget_alerts),
            ("fallback alerts", incidents.fallback_alerts),
            ("loop alerts", incidents.loop_alerts),
            ("refusals only observed", incidents.observed_refusals),
        ];
        let mut facts: Vec<String> =
            happened.into_iter().filter(|(_, times)| *times > 0).map(|(what, times)| format!("{what} {}", count(times))).collect();
        if let Some(wait) = incidents.calls_queued_ms.checked_div(incidents.calls_queued) {
            let wait = latency(Span::from_millis(wait));
            facts.push(format!("{} waited for the provider, {wait} in the mean", counted(incidents.calls_queued, "call")));
        }
        if incidents.calls_turned_away > 0 {
            facts.push(format!("{} turned away", counted(incidents.calls_turned_away, "call")));
        }
        if incidents.breaches > 0 {
            facts.push(format!("budgets overspent {}, by {}", counted(incidents.breaches, "time"), usd(incidents.breached)));
        }
        if incidents.cache_saved != Money::ZERO {
            facts.push(format!("cache hits would have cost {}", usd(mean(incidents.cache_saved, variant))));
        }
        if !facts.is_empty() {
            line(&mut text, &variant.name, &facts.join(", "));
        }
    }
    text
}

fn worst_case_lines(report: &Report) -> String {
    let mut text = String::new();
    for variant in &report.variants {
        if let Some(worst) = &variant.worst_case {
            let request = format!("one request for {} with {}", worst.model, counted(worst.input_tokens.into(), "input token"));
            let most = format!("{}, {}", counted(worst.most.calls.into(), "call"), usd(worst.most.cost));
            line(&mut text, &variant.name, &format!("{request} causes at most {most}"));
        }
    }
    text
}

fn foundations(report: &Report) -> String {
    let mut text = String::new();
    line(&mut text, "Prices", &report.prices);
    text.push_str(&replay::imputed(report));
    for assumption in &report.assumptions {
        line(&mut text, "Assumed", &format!("{} {} [{}]", assumption.what, assumption.value, assumption.source));
    }
    for verdict in &report.expectations {
        let holds = if verdict.holds { "holds" } else { "FAILED" };
        line(&mut text, "Expected", &format!("{}: {}: {holds}, found {}", verdict.variant, verdict.expected, verdict.found));
    }
    text
}

/// Adds `label: text`, broken at spaces so that no line is wider than the screen.
fn line(to: &mut String, label: &str, text: &str) {
    let whole = if label.is_empty() { text.to_owned() } else { format!("{label}: {text}") };
    let mut width = 0;
    for word in whole.split(' ') {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > usize::from(COLUMNS) {
            to.push_str("\n   ");
            width = 3;
        }
        if width > 0 {
            to.push(' ');
            width += 1;
        }
        to.push_str(word);
        width += length.max(usize::from(word.is_empty() && width == 0));
    }
    to.push('\n');
}

/// A table without borders: names to the left, numbers to the right.
pub(super) struct Lines(Table);

impl Lines {
    pub(super) fn new<'a>(title: &str, columns: impl Iterator<Item = &'a str>) -> Self {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS);
        table.set_header(std::iter::once(title.to_owned()).chain(columns.map(str::to_owned)).collect::<Vec<_>>());
        Self(table)
    }

    pub(super) fn add(&mut self, name: &str, cells: impl Iterator<Item = String>) {
        self.0.add_row(std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>());
    }

    pub(super) fn render(mut self) -> String {
        for (i, column) in self.0.column_iter_mut().enumerate() {
            column.set_padding(if i == 0 { (0, 0) } else { (2, 0) });
            column.set_cell_alignment(if i == 0 { CellAlignment::Left } else { CellAlignment::Right });
        }
        let mut text: String = self.0.lines().flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()]).collect();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests;
