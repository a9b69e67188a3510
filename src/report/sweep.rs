//! What a sweep found: the results of every variant at every cell. Knows neither how a cell was made nor how it is drawn.

mod csv;
mod tally;

pub(super) use self::csv::write_csv;
pub use self::tally::{Seeds, Tally};

use super::Run;
use crate::gateway::money::Money;
use crate::gateway::time::Span;

/// The results of a sweep. The scenario's own values, without the sweep, are the report's variants.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// What was varied.
    pub axes: Vec<Axis>,
    /// How the axes were put together.
    pub mode: Mode,
    /// The cells: in a grid the last axis changes fastest; one at a time, the scenario's own values first, then the values of each axis in turn.
    pub cells: Vec<Cell>,
    /// The seeds that every cell was run under, in order.
    pub seeds: Vec<u64>,
}

/// A setting that was varied.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Its path, as `set` has it.
    pub path: String,
    /// Its values, as TOML has them. Never empty.
    pub values: Vec<String>,
    /// The same on a numeric scale, where all of them are numbers, durations (in seconds) or amounts (in dollars).
    pub numbers: Option<Vec<f64>>,
    /// Whether equal ratios of the numbers should look equal.
    pub is_log: bool,
}

/// How axes are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every value of one with every value of the other.
    Grid,
    /// One axis is varied, the others have the scenario's own values: 1 + the sum of the numbers of values cells.
    OneAtATime,
}

/// One combination of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// For each axis the index of its value, `None` for the scenario's own.
    pub at: Vec<Option<usize>>,
    /// The results, in the order of the report's variants.
    pub variants: Vec<CellResult>,
}

/// How one variant did in one cell. Counts are sums over the seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellResult {
    /// The bill of each seed.
    pub bills: Vec<Money>,
    /// Answered, and asked: by users, where their requests may be several for one answer.
    pub answered: (u64, u64),
    /// The latency that 95 % of answers keep within, over all seeds; as users see it.
    pub p95: Option<Span>,
    /// Answered by another model than asked.
    pub other_model: u64,
    /// Calls that ended with a 429.
    pub rate_limited: u64,
    /// Calls made.
    pub attempts: u64,
    /// Requests that users made: what clients sent again is not counted again.
    pub requests: u64,
}

impl CellResult {
    /// What these runs of a variant are as a cell.
    pub fn of(runs: &[Run]) -> Self {
        let mut seeds = Seeds::default();
        runs.iter().for_each(|run| seeds.add(&Tally::from(&run.totals)));
        seeds.result()
    }
}

impl Sweep {
    /// The value of an axis in a cell, as people read it: a string without its quotes. `None` for the scenario's own.
    pub fn value<'a>(&'a self, cell: &Cell, axis: usize) -> Option<&'a str> {
        cell.at[axis].map(|value| {
            let text = self.axes[axis].values[value].as_str();
            let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote).filter(|inner| !inner.contains(quote));
            inner('"').or_else(|| inner('\'')).unwrap_or(text)
        })
    }
}
