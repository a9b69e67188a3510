//! What a sweep found: cost curves over the values of one setting, and a tornado where settings were varied one at a time. Decides how cells become
//! points; knows no simulator.

use super::axis::{Scale, Tick, Unit};
use super::html::{Figure, Table, note};
use super::lines::{Across, Chart, Line, key};
use super::svg::{Ink, Side, cut, draw, width_of};
use super::{Page, picture_of};
use crate::gateway::money::Money;
use crate::report::Spread;
use crate::report::numbers::{decimals, dollars, rounded, share};
use crate::report::sweep::{Axis, Cell, CellResult, Mode, Sweep};

/// The most charts of a second axis; its other values are in the table.
const CHARTS_MAX: usize = 6;
/// The most rows of a table; the others are in report.json.
const ROWS_MAX: usize = 200;

/// The charts of a sweep.
pub(super) fn figures(page: &Page) -> String {
    let Some(sweep) = &page.report.sweep else { return String::new() };
    match (sweep.mode, &sweep.axes[..]) {
        (_, []) => String::new(),
        (Mode::OneAtATime, axes) => tornados(page, sweep, axes),
        (Mode::Grid, [axis]) => curve(page, sweep, (0, axis), None),
        (Mode::Grid, [first, second, ..]) => {
            // The axis with a scale runs across; the other one makes charts.
            let (across, beside) =
                if first.numbers.is_none() && second.numbers.is_some() { ((1, second), (0, first)) } else { ((0, first), (1, second)) };
            let values = 0..beside.1.values.len();
            let mut html: String = values.clone().take(CHARTS_MAX).map(|value| curve(page, sweep, across, Some((beside.0, value)))).collect();
            if values.len() > CHARTS_MAX {
                html.push_str(&note(&format!("{} of {} values of {} are drawn; report.json has them all.", CHARTS_MAX, values.len(), beside.1.path)));
            }
            html
        }
    }
}

/// A variant's bill in a cell, over the seeds.
fn bill(result: &CellResult) -> Spread {
    Spread::of(result.bills.iter().copied())
}

/// The cells along one axis, in the order of its values; of the other axis, those at `beside`.
fn along(sweep: &Sweep, axis: usize, beside: Option<(usize, usize)>) -> Vec<(usize, &Cell)> {
    let is_meant = |cell: &&Cell| beside.is_none_or(|(other, value)| cell.at.get(other).copied().flatten() == Some(value));
    let mut cells: Vec<(usize, &Cell)> =
        sweep.cells.iter().filter(is_meant).filter_map(|cell| Some((cell.at.get(axis).copied().flatten()?, cell))).collect();
    cells.sort_by_key(|(value, _)| *value);
    cells
}

/// Where the values of an axis are: on their scale if they have one, else at equal distances.
fn places(axis: &Axis) -> Vec<f64> {
    let numbers = axis.numbers.as_ref().filter(|numbers| numbers.len() == axis.values.len());
    match numbers {
        // A logarithm has no place for 0 and less.
        Some(numbers) if axis.is_log && numbers.iter().all(|number| *number > 0.0) => numbers.iter().map(|number| number.ln()).collect(),
        Some(numbers) if !axis.is_log => numbers.clone(),
        _ => (0..axis.values.len()).map(|index| index as f64).collect(),
    }
}

/// The values themselves as ticks, as many of them as find room.
fn ticks(axis: &Axis, places: &[f64], most: usize) -> Vec<Tick> {
    let every = axis.values.len().div_ceil(most.max(1)).max(1);
    let (low, high) = ends(places);
    let least = (high - low) / (most as f64 * 1.6);
    let mut kept: Vec<Tick> = Vec::new();
    let mut ordered: Vec<(f64, &String)> = places.iter().copied().zip(&axis.values).collect();
    ordered.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    for (number, (place, value)) in ordered.into_iter().enumerate() {
        if number % every == 0 && kept.last().is_none_or(|(last, _)| place - last >= least) {
            kept.push((place, value.trim_matches('"').to_owned()));
        }
    }
    kept
}

fn ends(places: &[f64]) -> (f64, f64) {
    let (low, high) = places.iter().fold((f64::MAX, f64::MIN), |(low, high), place| (low.min(*place), high.max(*place)));
    if low < high { (low, high) } else { (low - 0.5, low + 0.5) }
}

fn curve(page: &Page, sweep: &Sweep, (number, axis): (usize, &Axis), beside: Option<(usize, usize)>) -> String {
    let cells = along(sweep, number, beside);
    let places = places(axis);
    let lines: Vec<Line> = page
        .entries
        .iter()
        .map(|entry| {
            let mut spots: Vec<(f64, Spread)> =
                cells.iter().filter_map(|(value, cell)| Some((places[*value], bill(cell.variants.get(entry.index)?)))).collect();
            spots.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            let points = spots.iter().map(|(place, bill)| (*place, Some(picture_of(bill.mean)))).collect();
            let varies = spots.iter().any(|(_, bill)| bill.min != bill.max);
            let band = spots.iter().filter(|_| varies).map(|(place, bill)| (*place, picture_of(bill.min), picture_of(bill.max))).collect();
            Line { name: entry.variant.name.clone(), index: entry.index, points, band }
        })
        .collect();
    let at = beside.map_or_else(String::new, |(other, value)| format!(" at {} = {}", sweep.axes[other].path, sweep.axes[other].values[value]));
    let title = format!("Cost by {}{at}", axis.path);
    let mut reading = "Dollars on this traffic.".to_owned();
    if lines.iter().any(|line| !line.band.is_empty()) {
        reading.push_str(&format!(" The line is the mean of {} seeds, the band their least and most.", sweep.seeds.len()));
    }
    let ticks = |most: usize| ticks(axis, &places, most);
    let across = Across { ends: ends(&places), title: axis.path.clone(), ticks: &ticks };
    let drawings = Chart { title: title.clone(), unit: Unit::Dollars, of: "dollars on this traffic", across, lines, limits: Vec::new() }.render();
    let suffix = beside.map_or_else(String::new, |(_, value)| format!("-{value}"));
    let rows: Vec<(String, &Cell)> = cells.into_iter().map(|(value, cell)| (axis.values[value].clone(), cell)).collect();
    let (table, note) = table(page, &title, &axis.path, &rows);
    Figure { id: format!("curve{suffix}"), title, reading, drawings, key: key(page.names()), table, note }.render()
}

/// Dollars and success of every variant in some cells.
fn table(page: &Page, title: &str, what: &str, rows: &[(String, &Cell)]) -> (Table, String) {
    let columns = page.entries.iter().flat_map(|entry| [format!("{} $", entry.variant.name), format!("{} answered", entry.variant.name)]);
    let mut table = Table::new(title, std::iter::once(what.to_owned()).chain(columns));
    let results = || rows.iter().flat_map(|(_, cell)| &cell.variants);
    let decimals = decimals(results().map(|result| bill(result).max).max().unwrap_or_default());
    for (name, cell) in rows.iter().take(ROWS_MAX) {
        let cells = cell
            .variants
            .iter()
            .flat_map(|result| [dollars(rounded(bill(result).mean, decimals), decimals), share(result.answered.0, result.answered.1)]);
        table.row(name, cells.collect::<Vec<_>>());
    }
    let more = rows.len().saturating_sub(ROWS_MAX);
    let note = if more > 0 { format!("{more} more rows are in report.json.") } else { String::new() };
    (table, note)
}

/// One setting of a tornado: where the bill goes when only this is changed.
struct Swing {
    name: String,
    least: (Money, String),
    most: (Money, String),
}

fn tornados(page: &Page, sweep: &Sweep, axes: &[Axis]) -> String {
    let is_own = |cell: &&Cell| cell.at.iter().all(Option::is_none);
    let Some(own) = sweep.cells.iter().find(is_own) else { return String::new() };
    let mut html = String::new();
    for entry in &page.entries {
        let Some(start) = own.variants.get(entry.index).map(|result| bill(result).mean) else { continue };
        let mut swings: Vec<Swing> = axes
            .iter()
            .enumerate()
            .filter_map(|(number, axis)| {
                let bills = along(sweep, number, None).into_iter();
                let mut bills: Vec<(Money, String)> =
                    bills.filter_map(|(value, cell)| Some((bill(cell.variants.get(entry.index)?).mean, axis.values[value].clone()))).collect();
                bills.sort();
                let (least, most) = (bills.first()?.clone(), bills.last()?.clone());
                Some(Swing { name: axis.path.clone(), least, most })
            })
            .collect();
        swings.sort_by_key(|swing| std::cmp::Reverse(swing.most.0.max(start) - swing.least.0.min(start)));
        let title = format!("What {} hangs on", entry.variant.name);
        let mut table = Table::new(&format!("{title}, dollars on this traffic"), ["", "least $", "at", "most $", "at"]).texts(&[2, 4]);
        let decimals = decimals(swings.iter().map(|swing| swing.most.0).max().unwrap_or(start));
        let shown = |amount: Money| dollars(rounded(amount, decimals), decimals);
        for Swing { name, least, most } in &swings {
            table.row(name, [shown(least.0), least.1.clone(), shown(most.0), most.1.clone()]);
        }
        table.sum("as the scenario has it", [shown(start), String::new(), shown(start), String::new()]);
        let drawings = [true, false].map(|is_wide| paint(&title, start, &swings, is_wide)).concat();
        let reading = "Each bar changes one setting and leaves the others; the line is the scenario's own values.".to_owned();
        let id = format!("tornado-{}", entry.index);
        html.push_str(&Figure { id, title, reading, drawings, key: String::new(), table, note: String::new() }.render());
    }
    html
}

fn paint(title: &str, start: Money, swings: &[Swing], is_wide: bool) -> String {
    let row = if is_wide { 36.0 } else { 54.0 };
    let (width, top) = (if is_wide { 920.0 } else { 350.0 }, 28.0);
    let height = top + row * swings.len() as f64 + 8.0;
    let amounts = || swings.iter().flat_map(|swing| [swing.least.0, swing.most.0]).chain([start]).map(picture_of);
    let (low, high) = amounts().fold((f64::MAX, f64::MIN), |(low, high), amount| (low.min(amount), high.max(amount)));
    let (low, high) = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
    let names = swings.iter().map(|swing| width_of(&swing.name)).fold(0.0, f64::max).min(290.0) + 14.0;
    let room = if is_wide { 110.0 } else { 70.0 };
    let x = Scale::new((low, high), (if is_wide { names } else { 0.0 } + room, width - room));
    draw(if is_wide { "wide" } else { "narrow" }, title, (width, height), |canvas| {
        for (value, label) in Unit::Dollars.ticks(low, high, if is_wide { 6 } else { 3 }) {
            canvas.line(&[(x.at(value), top - 6.0), (x.at(value), height - 4.0)], Ink::Grid);
            canvas.text((x.at(value), 10.0), Side::Middle, Ink::Tick, &label);
        }
        for (number, Swing { name, least, most }) in swings.iter().enumerate() {
            let middle = top + row * number as f64 + if is_wide { row / 2.0 } else { row - 14.0 };
            let (at, from, to) = (x.at(picture_of(start)), x.at(picture_of(least.0)), x.at(picture_of(most.0)));
            if least.0 < start {
                canvas.bar((from, middle - 9.0), (at.min(to.max(from)).max(at), middle + 9.0), Ink::Less);
            }
            if most.0 > start {
                canvas.bar((at, middle - 9.0), (to, middle + 9.0), Ink::More);
            }
            let value = |text: &str| cut(text.trim_matches('"'), room - 12.0);
            canvas.text((from.min(at) - 6.0, middle), Side::Left, Ink::Text, &value(&least.1));
            canvas.text((to.max(at) + 6.0, middle), Side::Right, Ink::Text, &value(&most.1));
            if is_wide {
                canvas.text((names - 12.0, middle), Side::Left, Ink::Text, &cut(name, 290.0));
            } else {
                canvas.text((2.0, middle - 22.0), Side::Right, Ink::Text, &cut(name, 330.0));
            }
        }
        let at = x.at(picture_of(start));
        canvas.line(&[(at, top - 6.0), (at, height - 4.0)], Ink::Axis);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(values: &[&str], numbers: Option<&[f64]>, is_log: bool) -> Axis {
        Axis {
            path: "cache.ttl".into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            numbers: numbers.map(<[f64]>::to_vec),
            is_log,
        }
    }

    #[test]
    fn values_are_where_their_scale_puts_them() {
        assert_eq!(places(&axis(&["1", "2", "10"], Some(&[1.0, 2.0, 10.0]), false)), [1.0, 2.0, 10.0]);
        assert_eq!(places(&axis(&["\"a\"", "\"b\""], None, false)), [0.0, 1.0]);
        assert_eq!(places(&axis(&["\"0s\"", "\"1h\""], Some(&[0.0, 3_600.0]), true)), [0.0, 1.0], "no logarithm of nothing");
        let log = places(&axis(&["1", "10", "100"], Some(&[1.0, 10.0, 100.0]), true));
        assert!((log[2] - 2.0 * log[1]).abs() < 1e-9, "{log:?}");
    }

    #[test]
    fn ticks_are_the_values_without_quotes_and_without_crowding() {
        let few = axis(&["\"1m\"", "\"1h\""], None, false);
        assert_eq!(ticks(&few, &places(&few), 5), [(0.0, "1m".to_owned()), (1.0, "1h".to_owned())]);
        let names: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        let many = axis(&names.iter().map(String::as_str).collect::<Vec<_>>(), None, false);
        assert!(ticks(&many, &places(&many), 5).len() <= 5);
    }
}
