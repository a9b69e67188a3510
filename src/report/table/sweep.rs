//! What the first screen says about a sweep: dollars at each value, variant by variant, and for one axis at a time how far each moves the bill.
//! Decides wording and layout only; all cells are in `sweep.csv`.

use super::{Lines, line};
use crate::gateway::money::Money;
use crate::report::numbers::{counted, decimals, dollars, rounded};
use crate::report::sweep::{Axis, Cell, Mode, Sweep};
use crate::report::{Report, Spread, Variant};

/// Values of an axis that are shown; of more, as many, spread evenly.
const ROWS_MAX: usize = 12;

/// Columns that fit beside a value.
const COLUMNS_MAX: usize = 6;

/// The tables of a report's sweep; nothing without one.
pub(super) fn sweep(report: &Report) -> String {
    let Some(sweep) = &report.sweep else { return String::new() };
    let mut text = match (sweep.mode, sweep.axes.as_slice()) {
        (Mode::OneAtATime, _) => tornado(report, sweep),
        (Mode::Grid, [axis]) => curve(report, sweep, axis),
        (Mode::Grid, [down, across, ..]) => grids(report, sweep, (down, across)),
        (Mode::Grid, []) => return String::new(),
    };
    let seeds = if sweep.seeds.len() > 1 { format!(", means over {}", counted(sweep.seeds.len() as u64, "seed")) } else { String::new() };
    line(&mut text, "", &format!("{} in sweep.csv{seeds}.", counted(sweep.cells.len() as u64, "cell")));
    text.push('\n');
    text
}

/// One axis: a row for each value, a column for each variant.
fn curve(report: &Report, sweep: &Sweep, axis: &Axis) -> String {
    let variants = &report.variants[..report.variants.len().min(COLUMNS_MAX)];
    let decimals = decimals(largest(sweep));
    let mut table = Lines::new(&format!("$ trace by {}", axis.path), variants.iter().map(|variant| variant.name.as_str()));
    for index in shown(axis.values.len()) {
        let Some(cell) = sweep.cells.iter().find(|cell| cell.at.first() == Some(&Some(index))) else { continue };
        table.add(&axis.values[index], (0..variants.len()).map(|variant| amount(cell, variant, decimals)));
    }
    table.render()
}

/// Two axes: a table for each variant.
fn grids(report: &Report, sweep: &Sweep, (down, across): (&Axis, &Axis)) -> String {
    let decimals = decimals(largest(sweep));
    let columns: Vec<usize> = shown(across.values.len()).take(COLUMNS_MAX).collect();
    let mut text = format!("$ trace by {} (down) and {} (across)\n", down.path, across.path);
    for (index, Variant { name, .. }) in report.variants.iter().enumerate() {
        let mut table = Lines::new(name, columns.iter().map(|column| across.values[*column].as_str()));
        for row in shown(down.values.len()) {
            let cells = columns.iter().map(|column| {
                let cell = sweep.cells.iter().find(|cell| cell.at == [Some(row), Some(*column)]);
                cell.map_or_else(|| "-".to_owned(), |cell| amount(cell, index, decimals))
            });
            table.add(&down.values[row], cells);
        }
        text.push_str(&table.render());
    }
    text
}

/// An axis with the values that make the least and the most of a bill, and these.
type Bar<'a> = (&'a Axis, (usize, Money), (usize, Money));

/// One axis at a time: the least and the most that each makes of the reference's bill, the widest first.
fn tornado(report: &Report, sweep: &Sweep) -> String {
    let bills = |axis: usize| -> Vec<(usize, Money)> {
        let varied = sweep.cells.iter().filter_map(|cell| Some((cell.at.get(axis).copied().flatten()?, bill(cell, report.reference)?)));
        varied.collect()
    };
    let mut bars: Vec<Bar<'_>> = Vec::new();
    for (index, axis) in sweep.axes.iter().enumerate() {
        let bills = bills(index);
        if let (Some(least), Some(most)) = (bills.iter().min_by_key(|(_, bill)| *bill), bills.iter().max_by_key(|(_, bill)| *bill)) {
            bars.push((axis, *least, *most));
        }
    }
    bars.sort_by_key(|(_, least, most)| std::cmp::Reverse(most.1 - least.1));
    let decimals = decimals(largest(sweep));
    let name = report.variants.get(report.reference).map_or("", |variant| variant.name.as_str());
    let mut table = Lines::new(&format!("$ trace, {name}, one at a time"), ["least", "at", "most", "at"].into_iter());
    for (axis, (least_at, least), (most_at, most)) in bars {
        let money = |amount: Money| dollars(rounded(amount, decimals), decimals);
        table.add(&axis.path, [money(least), axis.values[least_at].clone(), money(most), axis.values[most_at].clone()].into_iter());
    }
    table.render()
}

/// The indices that are shown of so many values: all, or evenly spread ones with both ends.
fn shown(values: usize) -> impl Iterator<Item = usize> {
    let rows = values.min(ROWS_MAX);
    (0..rows).map(move |row| if rows < 2 { 0 } else { row * (values - 1) / (rows - 1) })
}

fn bill(cell: &Cell, variant: usize) -> Option<Money> {
    cell.variants.get(variant).map(|result| Spread::of(result.bills.iter().copied()).mean)
}

fn amount(cell: &Cell, variant: usize, decimals: u32) -> String {
    bill(cell, variant).map_or_else(|| "-".to_owned(), |bill| dollars(rounded(bill, decimals), decimals))
}

fn largest(sweep: &Sweep) -> Money {
    sweep.cells.iter().flat_map(|cell| cell.variants.iter().flat_map(|result| result.bills.iter().copied())).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::report::sweep::CellResult;

    fn axis(path: &str, values: &[&str]) -> Axis {
        Axis { path: path.into(), values: values.iter().map(|value| (*value).to_owned()).collect(), numbers: None, is_log: false }
    }

    fn cell(at: &[Option<usize>], dollars: i64) -> Cell {
        let result = CellResult {
            bills: vec![Money::usd(dollars), Money::usd(dollars + 2)],
            answered: (1, 1),
            p95: None,
            other_model: 0,
            rate_limited: 0,
            attempts: 1,
            requests: 1,
        };
        Cell { at: at.to_vec(), variants: vec![result] }
    }

    fn rendered(axes: Vec<Axis>, mode: Mode, cells: Vec<Cell>) -> String {
        let mut report = sample::report();
        report.sweep = Some(Sweep { axes, mode, cells, seeds: vec![1, 2] });
        sweep(&report)
    }

    #[test]
    fn a_curve_is_a_table_by_value() {
        let cells = vec![cell(&[Some(0)], 10), cell(&[Some(1)], 7)];
        insta::assert_snapshot!(rendered(vec![axis("cache.ttl", &["0s", "1h"])], Mode::Grid, cells), @r"
        $ trace by cache.ttl  as configured
        0s                            11.00
        1h                             8.00
        2 cells in sweep.csv, means over 2 seeds.
        ");
    }

    #[test]
    fn a_grid_is_a_table_for_each_variant() {
        let cells = vec![cell(&[Some(0), Some(0)], 1), cell(&[Some(0), Some(1)], 2), cell(&[Some(1), Some(0)], 3), cell(&[Some(1), Some(1)], 4)];
        insta::assert_snapshot!(rendered(vec![axis("a", &["0", "1"]), axis("b", &["x", "y"])], Mode::Grid, cells), @r"
        $ trace by a (down) and b (across)
        as configured     x     y
        0              2.00  3.00
        1              4.00  5.00
        4 cells in sweep.csv, means over 2 seeds.
        ");
    }

    #[test]
    fn one_at_a_time_shows_the_widest_first() {
        let cells = vec![
            cell(&[None, None], 10),
            cell(&[Some(0), None], 9),
            cell(&[Some(1), None], 11),
            cell(&[None, Some(0)], 4),
            cell(&[None, Some(1)], 10),
        ];
        let axes = vec![axis("attempts.per_request", &["2", "6"]), axis("cache.ttl", &["1h", "0s"])];
        insta::assert_snapshot!(rendered(axes, Mode::OneAtATime, cells), @r"
        $ trace, as configured, one at a time  least  at   most  at
        cache.ttl                               5.00  1h  11.00  0s
        attempts.per_request                   10.00   2  12.00   6
        5 cells in sweep.csv, means over 2 seeds.
        ");
    }

    #[test]
    fn of_many_values_both_ends_are_shown() {
        let all: Vec<usize> = shown(100).collect();
        assert_eq!((all.len(), all[0], all[11]), (12, 0, 99));
        assert_eq!(shown(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(shown(1).collect::<Vec<_>>(), [0]);
    }
}
