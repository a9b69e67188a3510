//! `seed`, `seeds`, `precision`, `seeds_max`: under how many seeds each variant is run. Draws nothing.

use crate::report::statistics::stopping::FIRST_LOOK;

use super::super::problem;
use super::super::read::{Item, Section};

/// Seeds that one run may take.
const SEEDS_MAX: u64 = 1000;

/// Seeds that `precision` may take if nothing is said.
const SEEDS_MAX_OF_PRECISION: u32 = 160;

/// How precise the changes of all variants are to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Precision {
    /// Half the width of a change's luck interval, as a share of the reference's bill: 0.01 is a point of a per cent.
    pub half_width: f64,
    /// Where it stops, precise or not; at least [`FIRST_LOOK`].
    pub seeds_max: u32,
}

/// The seeds, and what more there may be of them.
pub(super) fn read(root: &Section<'_>) -> (Vec<u64>, Option<Precision>) {
    let first = root.read("seed", |item| item.whole(0, u64::MAX / 2)).unwrap_or(1);
    let stated = root.read("seeds", |item| item.whole(1, SEEDS_MAX));
    let half_width = root.read("precision", precision);
    let seeds_max = root.read("seeds_max", |item| item.whole(FIRST_LOOK as u64, SEEDS_MAX));
    let is_precise = root.place_of("precision").is_some();
    if let (Some(place), true) = (root.place_of("seeds"), is_precise) {
        root.report(problem::seeds_twice(place));
    }
    if let (Some(place), false) = (root.place_of("seeds_max"), is_precise) {
        root.report(problem::needs_other(place, "seeds_max", "`precision`"));
    }
    let count = stated.unwrap_or(if is_precise { FIRST_LOOK as u64 } else { 1 });
    let seeds_max = seeds_max.and_then(|most| u32::try_from(most).ok()).unwrap_or(SEEDS_MAX_OF_PRECISION);
    ((first..first + count).collect(), half_width.map(|half_width| Precision { half_width, seeds_max }))
}

fn precision(item: Item<'_>) -> Option<f64> {
    let text = item.number()?;
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Some(share),
        _ => {
            item.report(problem::malformed(item.place(), item.key, "a share above 0 and below 1", "half the width of the interval", "0.01"));
            None
        }
    }
}
