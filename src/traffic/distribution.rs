//! Numbers that vary: what may be drawn, how often which value comes, and fits from two published figures. Knows neither what is drawn nor for whom.

use std::convert::Infallible;
use std::f64::consts::{LN_2, SQRT_2};
use std::sync::Arc;

use rand::TryRng;
use rand_distr::{Distribution as _, Exp1, Gamma, StandardNormal, StandardUniform, Weibull};
use statrs::distribution::{ContinuousCDF, Gamma as GammaLaw};
use statrs::function::erf::{erfc, erfc_inv};
use statrs::function::gamma::ln_gamma;

use crate::gateway::draw::{Purpose, philox};

/// Where the 95th percentile of a standard normal distribution lies.
const NORMAL_P95: f64 = 1.644_853_626_951_472_7;

/// Where the 90th is.
const NORMAL_P90: f64 = 1.281_551_565_544_600_4;

/// Shapes of gamma and Weibull distributions that fits may give: a coefficient of variation from 0.001 to about 10.
const SHAPES: (f64, f64) = (0.01, 1e6);

/// Uniform bits for one decision about one subject: a pure function of (seed, subject, purpose, ordinal), as long as a sampler needs it to be.
///
/// Its first 64 bits are those of [`crate::gateway::draw::bits`]. After 2^17 words of 64 bits it begins again, which no sampler reaches.
#[derive(Debug, Clone)]
pub struct Draws {
    seed: u64,
    subject: u64,
    purpose: Purpose,
    ordinal: u32,
    /// Words of 64 bits taken so far.
    taken: u32,
    /// The second word of the block that the first was taken from.
    spare: u64,
}

/// How often which value comes: nanoseconds for durations, plain numbers for the rest.
#[derive(Debug, Clone, PartialEq)]
pub enum Distribution {
    /// Always this value.
    Constant(f64),
    /// Every value from `low` to `high` alike.
    Uniform {
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
    },
    /// The time between events that know nothing of each other.
    Exponential {
        /// The mean, above 0.
        mean: f64,
    },
    /// A product of many small factors.
    LogNormal {
        /// The logarithm of the median.
        mu: f64,
        /// The standard deviation of the logarithm, from 0.
        sigma: f64,
    },
    /// A sum of exponential times, for a whole `shape`; burstier than one of them for a `shape` below 1.
    Gamma {
        /// 1 / (coefficient of variation squared), above 0.
        shape: f64,
        /// The mean divided by the shape, above 0.
        scale: f64,
    },
    /// An exponential time to the power of 1 / `shape`.
    Weibull {
        /// Above 0; 1 is exponential.
        shape: f64,
        /// The quantile of 1 - 1/e, above 0.
        scale: f64,
    },
    /// (Cumulative share, value), both ascending, straight lines between; below the first share, the first value. The last share is 1.
    Empirical(Arc<[(f64, f64)]>),
}

impl Draws {
    /// The bits of one decision.
    #[inline]
    pub const fn new(seed: u64, subject: u64, purpose: Purpose, ordinal: u32) -> Self {
        Self { seed, subject, purpose, ordinal, taken: 0, spare: 0 }
    }

    /// The next 64 bits.
    #[inline]
    pub const fn word(&mut self) -> u64 {
        let taken = self.taken;
        self.taken = taken.wrapping_add(1);
        if taken % 2 == 1 {
            return self.spare;
        }
        // The block is counted above the purpose, which has 16 bits.
        let block = ((taken / 2) & 0xFFFF) << 16;
        let [a, b, c, d] = philox(self.seed, [self.subject as u32, (self.subject >> 32) as u32, self.purpose as u32 | block, self.ordinal]);
        self.spare = c as u64 | (d as u64) << 32;
        a as u64 | (b as u64) << 32
    }

    /// The next number from 0 to below 1, in steps of 2^-53.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        StandardUniform.sample(self)
    }
}

impl TryRng for Draws {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word() as u32)
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.word())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.word().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

impl Distribution {
    /// The lognormal distribution with these percentiles; `0 < p50 <= p95`.
    pub fn lognormal(p50: f64, p95: f64) -> Self {
        Self::LogNormal { mu: p50.ln(), sigma: (p95 / p50).ln() / NORMAL_P95 }
    }

    /// The lognormal distribution with this median and 90th percentile; `0 < p50 <= p90`.
    pub fn lognormal_p90(p50: f64, p90: f64) -> Self {
        Self::LogNormal { mu: p50.ln(), sigma: (p90 / p50).ln() / NORMAL_P90 }
    }

    /// The lognormal distribution with this mean and coefficient of variation, both above 0.
    pub fn lognormal_of_mean(mean: f64, cv: f64) -> Self {
        let variance = (cv * cv).ln_1p();
        Self::LogNormal { mu: mean.ln() - variance / 2.0, sigma: variance.sqrt() }
    }

    /// The exponential distribution with this median, above 0.
    pub fn exponential(p50: f64) -> Self {
        Self::Exponential { mean: p50 / LN_2 }
    }

    /// The gamma distribution with these percentiles; `0 < p50 < p95`. Shapes beyond 0.01 and 10^6 are taken as those.
    pub fn gamma(p50: f64, p95: f64) -> Self {
        let ratio = p95 / p50;
        let shape = falling(SHAPES, |shape| {
            let law = GammaLaw::new(shape, 1.0).expect("shapes are above 0");
            law.inverse_cdf(0.95) / law.inverse_cdf(0.5) - ratio
        });
        let median = GammaLaw::new(shape, 1.0).expect("shapes are above 0").inverse_cdf(0.5);
        Self::Gamma { shape, scale: p50 / median }
    }

    /// The gamma distribution with this mean and coefficient of variation, both above 0: CV = 1/sqrt(shape).
    pub fn gamma_of_mean(mean: f64, cv: f64) -> Self {
        Self::Gamma { shape: 1.0 / (cv * cv), scale: mean * cv * cv }
    }

    /// The Weibull distribution with these percentiles; `0 < p50 < p95`.
    pub fn weibull(p50: f64, p95: f64) -> Self {
        let shape = (20_f64.ln() / LN_2).ln() / (p95 / p50).ln();
        Self::Weibull { shape, scale: p50 / LN_2.powf(1.0 / shape) }
    }

    /// The Weibull distribution with this mean and coefficient of variation, both above 0: CV² = Γ(1 + 2/shape) / Γ(1 + 1/shape)² - 1.
    pub fn weibull_of_mean(mean: f64, cv: f64) -> Self {
        // Γ(1 + 1/shape) stays within what a float holds.
        let shape = falling((0.05, SHAPES.1), |shape| (ln_gamma(1.0 + 2.0 / shape) - 2.0 * ln_gamma(1.0 + 1.0 / shape)).exp_m1() - cv * cv);
        Self::Weibull { shape, scale: mean / ln_gamma(1.0 + 1.0 / shape).exp() }
    }

    /// Each of the values as often as the others.
    ///
    /// # Panics
    /// If there are none.
    pub fn of_values(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "a distribution has values");
        values.sort_by(f64::total_cmp);
        let count = values.len() as f64;
        let step = |(index, value): (usize, f64)| [(index as f64 / count, value), ((index + 1) as f64 / count, value)];
        Self::Empirical(values.into_iter().enumerate().flat_map(step).collect())
    }

    /// One value.
    #[inline]
    pub fn draw(&self, draws: &mut Draws) -> f64 {
        const WHY: &str = "shapes and scales are above 0";
        match *self {
            Self::Constant(value) => value,
            Self::Uniform { low, high } => low + (high - low) * draws.uniform(),
            Self::Exponential { mean } => {
                let unit: f64 = Exp1.sample(draws);
                mean * unit
            }
            Self::LogNormal { mu, sigma } => {
                let normal: f64 = StandardNormal.sample(draws);
                (mu + sigma * normal).exp()
            }
            Self::Gamma { shape, scale } => Gamma::new(shape, scale).expect(WHY).sample(draws),
            Self::Weibull { shape, scale } => Weibull::new(scale, shape).expect(WHY).sample(draws),
            Self::Empirical(ref points) => at_share(points, draws.uniform()),
        }
    }

    /// One value, rounded: nanoseconds of a duration, or a count. Nothing below 0 comes.
    #[inline]
    pub fn draw_whole(&self, draws: &mut Draws) -> u64 {
        // A cast from a float saturates, and takes what is below 0 as 0.
        self.draw(draws).round() as u64
    }

    /// The mean of all values.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Constant(value) => value,
            Self::Uniform { low, high } => f64::midpoint(low, high),
            Self::Exponential { mean } => mean,
            Self::LogNormal { mu, sigma } => (mu + sigma * sigma / 2.0).exp(),
            Self::Gamma { shape, scale } => shape * scale,
            Self::Weibull { shape, scale } => scale * ln_gamma(1.0 + 1.0 / shape).exp(),
            Self::Empirical(ref points) => {
                let below = points.first().map_or(0.0, |(share, value)| share * value);
                below + points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * f64::midpoint(pair[0].1, pair[1].1)).sum::<f64>()
            }
        }
    }

    /// The value that a share `p` of all values does not exceed. `p` is from 0 to below 1, or 1 where there is a greatest value.
    pub fn quantile(&self, p: f64) -> f64 {
        match *self {
            Self::Constant(value) => value,
            Self::Uniform { low, high } => low + (high - low) * p,
            Self::Exponential { mean } => -mean * (-p).ln_1p(),
            Self::LogNormal { mu, sigma } => (mu - sigma * SQRT_2 * erfc_inv(2.0 * p)).exp(),
            Self::Gamma { shape, scale } => {
                // The library's own inverse is off by 10^-5 of a share where the quantile is tiny.
                let law = GammaLaw::new(shape, 1.0).expect("shapes are above 0");
                scale * falling((1e-300, 1e9), |value| p - law.cdf(value))
            }
            Self::Weibull { shape, scale } => scale * (-(-p).ln_1p()).powf(1.0 / shape),
            Self::Empirical(ref points) => at_share(points, p),
        }
    }

    /// The share of values that do not exceed `value`.
    pub fn cdf(&self, value: f64) -> f64 {
        match *self {
            Self::Constant(only) => f64::from(u8::from(only <= value)),
            Self::Uniform { low, high } if high > low => ((value - low) / (high - low)).clamp(0.0, 1.0),
            Self::Uniform { low, .. } => f64::from(u8::from(low <= value)),
            Self::Empirical(ref points) => share_at(points, value),
            _ if value <= 0.0 => 0.0,
            Self::Exponential { mean } => -(-value / mean).exp_m1(),
            Self::LogNormal { mu, sigma } if sigma > 0.0 => erfc((mu - value.ln()) / (sigma * SQRT_2)) / 2.0,
            Self::LogNormal { mu, .. } => f64::from(u8::from(mu <= value.ln())),
            Self::Gamma { shape, scale } => GammaLaw::new(shape, 1.0).expect("shapes are above 0").cdf(value / scale),
            Self::Weibull { shape, scale } => -(-(value / scale).powf(shape)).exp_m1(),
        }
    }
}

/// Where a falling function crosses zero, by halving on a logarithmic scale; the nearer end if it does not.
fn falling((mut low, mut high): (f64, f64), function: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..60 {
        let middle = low.sqrt() * high.sqrt();
        if function(middle) > 0.0 { low = middle } else { high = middle }
    }
    low.sqrt() * high.sqrt()
}

fn at_share(points: &[(f64, f64)], share: f64) -> f64 {
    let after = points.partition_point(|(other, _)| *other <= share);
    match (after.checked_sub(1).map(|before| points[before]), points.get(after)) {
        (Some((low, start)), Some((high, end))) => start + (end - start) * (share - low) / (high - low),
        (Some((_, last)), None) => last,
        (None, Some((_, first))) => *first,
        (None, None) => 0.0,
    }
}

fn share_at(points: &[(f64, f64)], value: f64) -> f64 {
    let after = points.partition_point(|(_, other)| *other <= value);
    match (after.checked_sub(1).map(|before| points[before]), points.get(after)) {
        (Some((low, start)), Some((high, end))) => low + (high - low) * (value - start) / (end - start),
        (Some(_), None) => 1.0,
        (None, _) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::gateway::draw::bits;

    use super::*;

    /// One of each kind, around a median of 200.
    fn kinds() -> Vec<Distribution> {
        vec![
            Distribution::Constant(200.0),
            Distribution::Uniform { low: 100.0, high: 300.0 },
            Distribution::exponential(200.0),
            Distribution::lognormal(200.0, 700.0),
            Distribution::lognormal_of_mean(200.0, 0.7),
            Distribution::gamma(200.0, 700.0),
            Distribution::gamma_of_mean(200.0, 2.0),
            Distribution::weibull(200.0, 700.0),
            Distribution::weibull_of_mean(200.0, 1.5),
            Distribution::Empirical([(0.5, 200.0), (0.95, 700.0), (1.0, 2000.0)].into()),
            Distribution::of_values(vec![300.0, 100.0, 200.0, 200.0]),
        ]
    }

    #[test]
    fn a_decision_has_the_same_bits_every_time_and_none_of_anothers() {
        let words = |subject, ordinal| {
            let mut draws = Draws::new(7, subject, Purpose::Speed, ordinal);
            (0..64).map(|_| draws.word()).collect::<Vec<u64>>()
        };
        assert_eq!(words(1, 0), words(1, 0));
        assert_eq!(words(1, 0)[0], bits(7, 1, Purpose::Speed, 0), "the first word is the plain draw");
        let mut all: Vec<u64> = (0..8).flat_map(|subject| (0..8).flat_map(move |ordinal| words(subject, ordinal))).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8 * 8 * 64, "the rounds of one decision are not those of another");
    }

    /// The Kolmogorov-Smirnov distance of n draws from their own law stays below 1.95/sqrt(n) in 999 of 1000 samples.
    #[test]
    fn draws_follow_their_law() {
        const COUNT: u32 = 20_000;
        for distribution in kinds().into_iter().filter(|kind| !matches!(kind, Distribution::Constant(_))) {
            let mut values: Vec<f64> = (0..COUNT).map(|row| distribution.draw(&mut Draws::new(3, row.into(), Purpose::Output, 0))).collect();
            values.sort_by(f64::total_cmp);
            let mut distance = 0.0_f64;
            for (rank, value) in (1..).zip(&values) {
                // At a step only the share up to and including the value counts.
                if values.get(rank) != Some(value) {
                    distance = distance.max((distribution.cdf(*value) - rank as f64 / f64::from(COUNT)).abs());
                }
            }
            assert!(distance < 1.95 / f64::from(COUNT).sqrt(), "{distribution:?} is off by {distance}");
        }
    }

    #[test]
    fn fits_have_the_figures_that_they_were_given() {
        let near = |left: f64, right: f64| assert!((left / right - 1.0).abs() < 1e-6, "{left} is not {right}");
        for fit in [Distribution::lognormal(150.0, 400.0), Distribution::gamma(150.0, 400.0), Distribution::weibull(150.0, 400.0)] {
            near(fit.quantile(0.5), 150.0);
            near(fit.quantile(0.95), 400.0);
        }
        near(Distribution::lognormal_p90(150.0, 400.0).quantile(0.9), 400.0);
        near(Distribution::exponential(150.0).quantile(0.5), 150.0);
        for (cv, mean) in [(0.3, 5.0), (1.0, 5.0), (3.0, 0.2)] {
            let Distribution::LogNormal { sigma, .. } = Distribution::lognormal_of_mean(mean, cv) else { panic!("it is lognormal") };
            near((sigma * sigma).exp_m1().sqrt(), cv);
            let Distribution::Weibull { shape, scale } = Distribution::weibull_of_mean(mean, cv) else { panic!("it is Weibull") };
            let second = scale * scale * ln_gamma(1.0 + 2.0 / shape).exp();
            near((second / (mean * mean) - 1.0).sqrt(), cv);
            for fit in [Distribution::lognormal_of_mean(mean, cv), Distribution::gamma_of_mean(mean, cv), Distribution::weibull_of_mean(mean, cv)] {
                near(fit.mean(), mean);
            }
        }
    }

    #[test]
    fn stated_quantiles_are_kept_and_joined_by_straight_lines() {
        let stated = Distribution::Empirical([(0.5, 200.0), (0.95, 700.0), (1.0, 2000.0)].into());
        assert_eq!(stated.quantile(0.5), 200.0);
        assert!((stated.quantile(0.725) - 450.0).abs() < 1e-9);
        assert_eq!((stated.quantile(0.0), stated.quantile(1.0)), (200.0, 2000.0));
        // Half at 200, 45 % around 450, 5 % around 1350.
        assert!((stated.mean() - (100.0 + 0.45 * 450.0 + 0.05 * 1350.0)).abs() < 1e-9);
        let listed = Distribution::of_values(vec![3.0, 1.0, 1.0, 7.0]);
        assert_eq!([0.1, 0.49, 0.6, 0.8].map(|p| listed.quantile(p)), [1.0, 1.0, 3.0, 7.0]);
        assert!((listed.mean() - 3.0).abs() < 1e-12);
    }

    #[test]
    fn counts_are_rounded_and_never_negative() {
        let mut draws = Draws::new(1, 1, Purpose::Output, 0);
        assert_eq!(Distribution::Constant(2.6).draw_whole(&mut draws), 3);
        assert_eq!(Distribution::Constant(-2.6).draw_whole(&mut draws), 0);
        assert_eq!(Distribution::Constant(f64::INFINITY).draw_whole(&mut draws), u64::MAX);
    }

    proptest! {
        /// The quantile is the inverse of the share, for every kind without steps.
        #[test]
        fn a_quantile_is_exceeded_as_often_as_it_says(p in 0.01_f64..0.99, kind in 1_usize..9) {
            let distribution = &kinds()[kind];
            let share = distribution.cdf(distribution.quantile(p));
            prop_assert!((share - p).abs() < 1e-6, "{distribution:?} has {share} below its quantile of {p}");
        }
    }
}
