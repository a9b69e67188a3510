//! When a difference is known well enough to run no more seeds. Looked at after 10, 20, 40, .. seeds only, and at a level that pays for looking more
//! than once. Knows no runs.

use super::luck::Paired;
use crate::gateway::money::Money;

/// After how many seeds is looked for the first time; then after twice as many each.
pub const FIRST_LOOK: usize = 10;

/// What an interval leaves out by itself where it was looked for more than once, so that it leaves out 5 % all the same: who stops at the first
/// narrow interval stops too often at one that is too narrow. At this level 95 to 97 % hold what they should, whatever the precision (M, `tests`).
pub const ALPHA: f64 = 0.035;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Every change is known to the precision asked for.
    Enough,
    /// Run more seeds until there are so many.
    More(usize),
    /// As many seeds as there may be were not enough.
    Exhausted,
}

/// Whether the seeds so far say enough: every variant's change against the reference is known to plus or minus `precision` (a fraction of the
/// reference's bill) as far as luck goes. One variant alone: its bill, by itself.
///
/// `bills` are by variant, then by seed; none at all asks for the first look. Never more than `seeds_max`.
///
/// # Panics
/// If the variants do not have the same number of seeds, or there is no variant.
pub fn enough(bills: &[Vec<Money>], reference: usize, precision: f64, seeds_max: usize) -> Decision {
    let seeds = bills[reference].len();
    let next = looks().find(|look| *look > seeds).unwrap_or(usize::MAX).min(seeds_max);
    let is_look = seeds == seeds_max || looks().take_while(|look| *look <= seeds).any(|look| look == seeds);
    if is_look && seeds > 1 && widest(bills, reference) <= precision {
        return Decision::Enough;
    }
    if seeds >= seeds_max { Decision::Exhausted } else { Decision::More(next) }
}

fn looks() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(FIRST_LOOK), |look| look.checked_mul(2))
}

/// The widest half-width of luck over the variants.
fn widest(bills: &[Vec<Money>], reference: usize) -> f64 {
    if let [alone] = bills {
        return Paired::own_half_width(alone, ALPHA);
    }
    let others = bills.iter().enumerate().filter(|(index, _)| *index != reference);
    others.map(|(_, variant)| Paired::of(&bills[reference], variant).part(ALPHA).half_width().unwrap_or(0.0)).fold(0.0, f64::max)
}
