//! How many runs fit side by side in memory. An estimate of bytes, in one formula; no result depends on it.
//!
//! A run takes `BASE` bytes and `ANSWER` for each answer that its response cache can hold at most: as many as its capacity has room for, or as there
//! are requests. Both are measured (`docs/experiments.md` has the figures and how). Variants that are compared also keep what became of each row.

use std::fs;

use crate::report::unserved::Rows;
use crate::sim::driver::Variant;

/// What is kept of a run until the report is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Everything, over time.
    Series,
    /// What a cell of a sweep shows.
    Tally,
}

/// Bytes of a run without a response cache: counters, requests in flight, keys.
const BASE_SERIES: u64 = 1_600_000;
const BASE_TALLY: u64 = 300_000;

/// Bytes of the index of a response cache for each answer.
const ANSWER: u64 = 192;

/// The smallest answer, as the capacity of a response cache counts it.
const ANSWER_MIN: u64 = 500;

/// Never more than this much, and no less, whatever the machine has.
const MOST: u64 = 4 << 30;
const LEAST: u64 = 256 << 20;

/// What the costs of the reference's rows may take over all seeds of a pass: four million rows under one seed.
const ROWS_MOST: u64 = 256 << 20;

/// How many runs of `variants`, in turn, may be in memory at one time; at least one of each. `requests` is how many there are, if it is known.
pub fn lanes_at_once(variants: &[Variant], kept: Kept, requests: Option<u64>) -> usize {
    at_once(budget(), all(variants, kept, requests)).saturating_mul(variants.len().max(1))
}

/// Under how many seeds all of `lanes` may be run at one time, of which `compared` are variants that are held against each other row by row, each
/// with up to `rows_max` rows.
pub fn seeds_at_once(lanes: &[Variant], compared: usize, rows_max: u64) -> usize {
    at_once(budget(), all(lanes, Kept::Series, None) + of_rows(compared, rows_max))
}

/// How many rows are kept of each run where so many seeds are asked for: by their number alone, so that no result depends on the machine.
pub fn rows_max(seeds: usize) -> u64 {
    ROWS_MOST / Rows::BYTES_OF_A_ROW as u64 / (seeds as u64).max(1)
}

/// What the rows take of so many variants under one seed: one of them, the reference, keeps their costs.
fn of_rows(compared: usize, rows_max: u64) -> u64 {
    (0..compared).map(|variant| Rows::bytes(rows_max, variant == 0)).sum()
}

fn all(variants: &[Variant], kept: Kept, requests: Option<u64>) -> u64 {
    variants.iter().map(|variant| bytes(variant, kept, requests)).sum()
}

fn at_once(budget: u64, all: u64) -> usize {
    usize::try_from((budget / all.max(1)).max(1)).unwrap_or(1)
}

/// What one run takes.
pub fn bytes(variant: &Variant, kept: Kept, requests: Option<u64>) -> u64 {
    let base = if kept == Kept::Series { BASE_SERIES } else { BASE_TALLY };
    let has_cache = variant.plan.models.iter().any(|model| model.cache.is_some());
    let answers = if has_cache { requests.unwrap_or(u64::MAX).min(variant.plan.cache_bytes_max / ANSWER_MIN) } else { 0 };
    base + answers * ANSWER
}

/// Half of what the machine has to spare.
fn budget() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.map_or(1 << 30, |kilobytes| kilobytes * 1024 / 2).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixty-four bytes a row for the reference and a bit a row for every variant; the sum of [`Rows::bytes`] is held to what is there in its file.
    #[test]
    fn rows_that_are_compared_leave_room_for_fewer_seeds() {
        assert_eq!([1, 4, 0].map(rows_max), [4_194_304, 1_048_576, 4_194_304]);
        assert_eq!(of_rows(0, 1_000_000), 0, "one variant is compared with none");
        assert_eq!(of_rows(3, 64_000), 64_000 * 64 + 3 * 8_000);
        let (runs, rows) = (10_000_000, of_rows(2, rows_max(8)));
        assert_eq!(rows, 524_288 * 64 + 2 * 65_536);
        assert_eq!([at_once(400_000_000, runs), at_once(400_000_000, runs + rows), at_once(1, runs)], [40, 9, 1]);
    }

    #[test]
    fn all_seeds_of_a_pass_together_stay_within_what_rows_may_take() {
        for seeds in 1..=200 {
            let of_costs = seeds as u64 * rows_max(seeds) * Rows::BYTES_OF_A_ROW as u64;
            assert!(of_costs <= ROWS_MOST, "{seeds} seeds: {of_costs}");
        }
    }
}
