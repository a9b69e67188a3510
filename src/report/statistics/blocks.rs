//! What other days would do to the difference of two bills: cuts the time that was seen into blocks, draws them anew, and asks how much the
//! difference varies then. What a gateway remembers must fit into a block. Knows no seeds.
//!
//! The standard error comes from the slowest waves of the paired difference over the blocks (an equally weighted cosine estimate of its long-run
//! variance: Müller, Lazarus, Lewis, Stock and Watson), as neighbouring blocks are alike. How many of them make 95 % is the larger of Student's t
//! and of what a moving-block bootstrap finds for the same statistic: the latter sees when a few bursts decide, the former never runs out of draws.
//! That this covers what it claims is measured in `tests`.

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
    /// How many standard errors the difference of drawn traffic was off, without sign, ascending.
    drawn: Vec<f64>,
}

/// The blocks that there are, and that they are too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFew(pub usize);

/// Into how many buckets a block reaches that must hold `memory` of them, at least 1, in `buckets`.
pub fn length(buckets: usize, memory: usize) -> usize {
    memory.max(buckets.div_ceil(ENOUGH)).max(1)
}

impl Blocks {
    /// Equal buckets in order of time, in blocks of `length` of them, beside what is `fixed` and not drawn anew: scripted times, and what does not
    /// depend on traffic.
    ///
    /// # Errors
    /// If there are fewer than [`NEEDED`] blocks in which anything is paid.
    pub fn of(buckets: &[Pair], fixed: Pair, length: usize, draws: u32) -> Result<Self, TooFew> {
        let blocks = buckets.len() / length;
        if blocks < NEEDED {
            return Err(TooFew(blocks));
        }
        let windows = windows(buckets, length);
        // Blocks that follow each other, and as much left out at the beginning as at the end.
        let first = (buckets.len() - blocks * length) / 2;
        let seen: Vec<Pair> = windows[first..].iter().step_by(length).take(blocks).copied().collect();
        let busy = seen.iter().filter(|block| **block != Pair::default()).count();
        if busy < NEEDED {
            return Err(TooFew(busy));
        }
        let waves = Waves::new(blocks);
        let all = Frame { fixed, scale: buckets.len() as f64 / (blocks * length) as f64, waves: &waves };
        let (_, standard_error) = all.estimate(&seen);
        let mean = windows.iter().fold(Pair::default(), Pair::plus).times(blocks as f64 / windows.len() as f64);
        let center = all.relative(mean);
        let mut block = vec![Pair::default(); blocks];
        let off = |draw| {
            pick(draw, &windows, &mut block);
            let (relative, standard_error) = all.estimate(&block);
            // A draw that misses every block in which something differs: by its own lights it is as far off as can be.
            if standard_error > NEGLIGIBLE { (relative - center).abs() / standard_error } else { f64::INFINITY }
        };
        let mut drawn: Vec<f64> = (0..draws).map(off).collect();
        drawn.sort_by(f64::total_cmp);
        Ok(Self { blocks, standard_error, drawn })
    }

    /// How far the change is known, but for `alpha` of such traffic; a fraction of the reference's bill. 0 if it never varies, infinite if what differs
    /// is in so few blocks that the traffic could as well have had none of them.
    pub fn half_width(&self, alpha: f64) -> f64 {
        if self.standard_error <= NEGLIGIBLE {
            return 0.0;
        }
        let student = t_quantile(alpha, waves(self.blocks) as f64);
        let rank = ((self.drawn.len() + 1) as f64 * (1.0 - alpha)).floor() as usize;
        let bootstrap = rank.min(self.drawn.len()).checked_sub(1).map_or(0.0, |rank| self.drawn[rank]);
        student.max(bootstrap) * self.standard_error
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
        let sum = blocks.iter().fold(Pair::default(), Pair::plus);
        let (relative, reference) = (self.relative(sum), sum.reference * self.scale + self.fixed.reference);
        let variance = self.waves.long_run_variance(blocks.iter().map(|block| block.difference - relative * block.reference));
        (relative, (variance * blocks.len() as f64 * self.scale).sqrt() / reference)
    }
}

/// The slowest waves over so many blocks: a row of cosines for each block.
struct Waves {
    rows: Vec<Vec<f64>>,
}

/// How many waves are looked at, which is how many degrees of freedom their mean square has: few enough that all are slower than what blocks
/// remember of each other.
fn waves(blocks: usize) -> usize {
    (blocks / 5).max(5)
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
        let mut sums = [0.0; ENOUGH / 5];
        for (value, row) in values.zip(&self.rows) {
            for (sum, cosine) in sums.iter_mut().zip(row) {
                *sum += value * cosine;
            }
        }
        let waves = self.rows[0].len();
        sums[..waves].iter().map(|sum| sum * sum).sum::<f64>() / waves as f64
    }
}

/// The sums over every run of `length` buckets.
fn windows(buckets: &[Pair], length: usize) -> Vec<Pair> {
    buckets.windows(length).map(|window| window.iter().fold(Pair::default(), Pair::plus)).collect()
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
