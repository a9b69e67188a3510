//! What other days would do to the difference of two bills: cuts the time that was seen into blocks, draws them anew, and asks how much the
//! difference varies then. What a gateway remembers must fit into a block. Knows no reports.
//!
//! The standard error comes from the slowest waves of the paired difference over the blocks (an equally weighted cosine estimate of its long-run
//! variance: Müller, Lazarus, Lewis, Stock and Watson), as neighbouring blocks are alike. How many of them make 95 % is the larger of Student's t
//! and of what a moving-block bootstrap finds for the same statistic: the latter sees when a few bursts decide, the former never runs out of draws.
//! The two ends are found apart: a day that happens to have few rushes shows a difference that is too small and, at once, one that hardly varies, so
//! the truth is missed on one side nearly always. That this covers what it claims is measured in `tests`.

use std::f64::consts::PI;
use std::ops::AddAssign;

use super::{NEGLIGIBLE, t_quantile};
use crate::gateway::draw::{below, philox};

/// Fewer blocks than this say nothing.
pub const NEEDED: usize = 20;

/// More blocks than this are made fewer and longer: traffic has a memory of its own.
const ENOUGH: usize = 60;

/// How often blocks are drawn anew. One less than a round number: then the quantiles of 5 % and 1 % are themselves ranks.
pub const DRAWS: u32 = 999;

/// A day that varies so little beside the one that was seen has missed what differs.
const NEARLY_NONE: f64 = 0.1;

/// Any number will do, but never another one: the same report has the same bytes.
const KEY: u64 = 0x6d6f_7669_6e67_2062;

/// What one bucket of time costs: the reference, and the variant beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pair {
    /// The reference's cost.
    pub reference: f64,
    /// Variant minus reference.
    pub difference: f64,
}

/// How much the difference varies with the traffic.
#[derive(Debug, Clone)]
pub struct Blocks {
    blocks: usize,
    standard_error: f64,
    /// Of which luck makes this much, as far as it acts from block to block.
    of_luck: f64,
    /// More than one in a hundred such days has nearly nothing of what differs: there were fewer than five bursts of it, and `exp(-5)` is that much.
    is_rare: bool,
    /// How many standard errors the difference of drawn traffic was off, ascending.
    drawn: Vec<f64>,
}

/// How far below and above what was seen the truth may lie; fractions of the reference's bill, at least 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// Below.
    pub below: f64,
    /// Above.
    pub above: f64,
}

/// The blocks that there are, and that they are too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFew(pub usize);

/// Into how many buckets a block reaches that must hold `memory` of them, at least 1, in `buckets`.
pub fn length(buckets: usize, memory: usize) -> usize {
    memory.max(buckets.div_ceil(ENOUGH)).max(1)
}

impl Blocks {
    /// Equal buckets in order of time under each seed, in blocks of `length` of them, beside what is `fixed` and not drawn anew: scripted times, and
    /// what does not depend on traffic (the mean over the seeds).
    ///
    /// # Errors
    /// If there are fewer than [`NEEDED`] blocks in which anything is paid.
    ///
    /// # Panics
    /// If there is no seed, or one has fewer buckets than another.
    pub fn of(seeds: &[Vec<Pair>], fixed: Pair, length: usize, draws: u32) -> Result<Self, TooFew> {
        let buckets = &mean(seeds);
        let blocks = buckets.len() / length;
        if blocks < NEEDED {
            return Err(TooFew(blocks));
        }
        let windows = windows(buckets, length);
        // Blocks that follow each other, and as much left out at the beginning as at the end.
        let first = (buckets.len() - blocks * length) / 2;
        let blocks_of = |buckets: &[Pair]| buckets[first..].chunks_exact(length).take(blocks).map(total).collect::<Vec<Pair>>();
        let seen = blocks_of(buckets);
        let busy = seen.iter().filter(|block| **block != Pair::default()).count();
        if busy < NEEDED {
            return Err(TooFew(busy));
        }
        let waves = Waves::new(blocks);
        let all = Frame { fixed, scale: buckets.len() as f64 / (blocks * length) as f64, waves: &waves };
        let (relative, standard_error) = all.estimate(&seen);
        let each: Vec<Vec<Pair>> = seeds.iter().map(|buckets| blocks_of(buckets)).collect();
        let of_luck = luck_in(&each, relative) * all.scale.sqrt() / all.reference(&seen);
        let center = all.relative(total(&windows).times(blocks as f64 / windows.len() as f64));
        let mut block = vec![Pair::default(); blocks];
        let mut without = 0;
        let off = |draw| {
            pick(draw, &windows, &mut block);
            let (relative, of_draw) = all.estimate(&block);
            if of_draw < NEARLY_NONE * standard_error {
                without += 1;
            }
            let off = relative - center;
            // A draw that misses every block in which something differs: by its own lights it is as far off as can be.
            if of_draw > NEGLIGIBLE { off / of_draw } else { off.signum() * f64::INFINITY }
        };
        let mut drawn: Vec<f64> = (0..draws).map(off).collect();
        drawn.sort_by(f64::total_cmp);
        Ok(Self { blocks, standard_error, of_luck, is_rare: without * 100 > draws, drawn })
    }

    /// How far the change is known, but for `alpha` of such traffic under such luck, half of it on each side. Nothing if it never varies; `None` if
    /// what differs is in so few blocks that the traffic could as well have had none of them.
    pub fn reach(&self, alpha: f64) -> Option<Reach> {
        if self.standard_error <= NEGLIGIBLE {
            return Some(Reach::NOTHING);
        }
        let student = t_quantile(alpha, waves(self.blocks) as f64);
        let rank = ((self.drawn.len() + 1) as f64 * alpha / 2.0).floor() as usize;
        // So many from the end, and none beyond the last that was drawn. Who drew too much has the truth below.
        let last = self.drawn.len().checked_sub(1)?;
        let place = rank.saturating_sub(1).min(last);
        let [below, above] = [self.drawn[last - place], -self.drawn[place]].map(|off| student.max(off) * self.standard_error);
        (!self.is_rare && below.is_finite() && above.is_finite()).then_some(Reach { below, above })
    }

    /// The same without what luck makes of it, where several seeds tell: what would be left if there were ever more of them.
    pub fn reach_of_traffic(&self, alpha: f64) -> Option<Reach> {
        let luck = if self.standard_error > NEGLIGIBLE { self.of_luck / self.standard_error } else { 0.0 };
        let left = (1.0 - luck * luck).max(0.0).sqrt();
        self.reach(alpha).map(|Reach { below, above }| Reach { below: below * left, above: above * left })
    }
}

impl Reach {
    /// It never varies.
    pub const NOTHING: Self = Self { below: 0.0, above: 0.0 };

    /// Half of the whole width.
    pub fn half_width(self) -> f64 {
        f64::midpoint(self.below, self.above)
    }
}

/// What is the same for the blocks that were seen and for those that are drawn.
struct Frame<'a> {
    fixed: Pair,
    /// How much longer the time is than the blocks in it.
    scale: f64,
    waves: &'a Waves,
}

impl Frame<'_> {
    /// The difference by the reference, with what is fixed; `sum` is that of the blocks.
    fn relative(&self, sum: Pair) -> f64 {
        let all = sum.times(self.scale).plus(&self.fixed);
        all.difference / all.reference
    }

    /// The relative difference of these blocks, and its standard error.
    fn estimate(&self, blocks: &[Pair]) -> (f64, f64) {
        let relative = self.relative(total(blocks));
        let variance = self.waves.long_run_variance(blocks.iter().map(|block| block.difference - relative * block.reference));
        (relative, (variance * blocks.len() as f64 * self.scale).sqrt() / self.reference(blocks))
    }

    /// What the reference costs in all.
    fn reference(&self, blocks: &[Pair]) -> f64 {
        blocks.iter().map(|block| block.reference).sum::<f64>() * self.scale + self.fixed.reference
    }
}

/// The slowest waves over so many blocks: a row of cosines for each block.
struct Waves {
    rows: Vec<Vec<f64>>,
}

/// How many waves are looked at, which is how many degrees of freedom their mean square has: few enough that all are slower than what blocks
/// remember of each other.
fn waves(blocks: usize) -> usize {
    (blocks / 6).max(5)
}

impl Waves {
    fn new(blocks: usize) -> Self {
        let height = (2.0 / blocks as f64).sqrt();
        let row = |block: usize| {
            let phase = PI * (block as f64 + 0.5) / blocks as f64;
            (1..=waves(blocks)).map(|wave| height * (wave as f64 * phase).cos()).collect()
        };
        Self { rows: (0..blocks).map(row).collect() }
    }

    /// The variance of a sum of such values by their number, if as many followed each other in the same way. A common mean changes nothing.
    fn long_run_variance(&self, values: impl Iterator<Item = f64>) -> f64 {
        let mut sums = [0.0; ENOUGH / 6];
        for (value, row) in values.zip(&self.rows) {
            for (sum, cosine) in sums.iter_mut().zip(row) {
                *sum += value * cosine;
            }
        }
        let waves = self.rows[0].len();
        sums[..waves].iter().map(|sum| sum * sum).sum::<f64>() / waves as f64
    }
}

/// How far luck moves the sum of the seeds' mean: a standard deviation, if what it does in one block has nothing to do with another.
fn luck_in(seeds: &[Vec<Pair>], relative: f64) -> f64 {
    let count = seeds.len() as f64;
    let of_block = |block: usize| {
        let left = |seed: &Vec<Pair>| seed[block].difference - relative * seed[block].reference;
        let mean = seeds.iter().map(left).sum::<f64>() / count;
        let squares: f64 = seeds.iter().map(|seed| (left(seed) - mean) * (left(seed) - mean)).sum();
        squares / (count - 1.0) / count
    };
    if seeds.len() < 2 { 0.0 } else { (0..seeds[0].len()).map(of_block).sum::<f64>().sqrt() }
}

fn mean(seeds: &[Vec<Pair>]) -> Vec<Pair> {
    let of_bucket = |bucket: usize| {
        let mut sum = Pair::default();
        seeds.iter().for_each(|seed| sum += seed[bucket]);
        sum.times(1.0 / seeds.len() as f64)
    };
    (0..seeds[0].len()).map(of_bucket).collect()
}

fn total(pairs: &[Pair]) -> Pair {
    pairs.iter().fold(Pair::default(), Pair::plus)
}

/// The sums over every run of `length` buckets.
fn windows(buckets: &[Pair], length: usize) -> Vec<Pair> {
    buckets.windows(length).map(total).collect()
}

/// Fills `block` with windows, each as likely as any other.
fn pick(draw: u32, windows: &[Pair], block: &mut [Pair]) {
    for (four, group) in block.chunks_mut(4).zip(0_u32..) {
        // Four at a time: as many as there are numbers in one counter's bits.
        for (pair, bits) in four.iter_mut().zip(philox(KEY, [draw, group, 0, 0])) {
            *pair = windows[below(u64::from(bits) << 32, windows.len() as u64) as usize];
        }
    }
}

impl AddAssign for Pair {
    fn add_assign(&mut self, other: Self) {
        *self = self.plus(&other);
    }
}

impl Pair {
    fn plus(self, other: &Self) -> Self {
        Self { reference: self.reference + other.reference, difference: self.difference + other.difference }
    }

    fn times(self, factor: f64) -> Self {
        Self { reference: self.reference * factor, difference: self.difference * factor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wave of its own frequency is one value of the spectrum, exactly; a constant is none, and neither is a wave of another frequency.
    #[test]
    fn waves_neither_see_the_mean_nor_each_other() {
        let blocks = 40;
        let wave = |number: usize| move |block: usize| (PI * number as f64 * (block as f64 + 0.5) / blocks as f64).cos();
        let of = |values: &dyn Fn(usize) -> f64| Waves::new(blocks).long_run_variance((0..blocks).map(values));
        assert!(of(&|_| 5.0).abs() < 1e-20);
        // Its sum of squares is half the blocks; one wave of six.
        assert!((of(&wave(3)) - 20.0 / 6.0).abs() < 1e-12);
        assert!(of(&wave(7)).abs() < 1e-20, "faster than what is looked at");
    }
}
