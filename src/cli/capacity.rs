//! How many runs fit side by side in memory. An estimate of bytes, in one formula; no result depends on it.
//!
//! A run takes `BASE` bytes and `ANSWER` for each answer that its response cache can hold at most: as many as its capacity has room for, or as there
//! are requests. Both are measured (`docs/experiments.md` has the figures and how).

use std::fs;

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

/// How many runs of `variants`, in turn, may be in memory at one time; at least one of each. `requests` is how many there are, if it is known.
pub fn lanes_at_once(variants: &[Variant], kept: Kept, requests: Option<u64>) -> usize {
    let all: u64 = variants.iter().map(|variant| bytes(variant, kept, requests)).sum();
    let rounds = (budget() / all.max(1)).max(1);
    usize::try_from(rounds).unwrap_or(1).saturating_mul(variants.len().max(1))
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
