//! What luck does to the difference of two bills: both run under the same seeds, so that what hits both cancels. Knows no time.

use super::{NEGLIGIBLE, t_quantile};
use crate::gateway::money::Money;
use crate::report::change::{Part, Unknown};

/// Two variants' bills under the same seeds.
#[derive(Debug, Clone)]
pub struct Paired {
    seeds: f64,
    mean_reference: f64,
    /// (variant - reference) / reference, of the means.
    relative: Option<f64>,
    /// What is left of each seed's difference beyond the common fraction of its reference, squared and summed.
    residual_squares: f64,
    /// The same if the two had nothing in common but their means.
    unpaired_squares: f64,
}

impl Paired {
    /// Two variants' bills in the order of the same seeds.
    ///
    /// # Panics
    /// If there are none, or not as many of one as of the other.
    pub fn of(reference: &[Money], variant: &[Money]) -> Self {
        assert!(!reference.is_empty() && reference.len() == variant.len(), "two variants run under the same seeds");
        let seeds = reference.len() as f64;
        // Differences are taken exactly: two bills of a million dollars may differ by a cent.
        let differences: Vec<f64> = reference.iter().zip(variant).map(|(a, b)| (*b - *a).0 as f64).collect();
        let references: Vec<f64> = reference.iter().map(|bill| bill.0 as f64).collect();
        let (mean_reference, mean_difference) = (references.iter().sum::<f64>() / seeds, differences.iter().sum::<f64>() / seeds);
        let relative = (mean_reference > 0.0).then(|| mean_difference / mean_reference);
        let fraction = relative.unwrap_or_default();
        let (mut residual_squares, mut unpaired_squares) = (0.0, 0.0);
        for (a, difference) in references.iter().zip(&differences) {
            let of_reference = a - mean_reference;
            let of_difference = difference - mean_difference;
            residual_squares += square(of_difference - fraction * of_reference);
            unpaired_squares += square(of_reference + of_difference) + square((1.0 + fraction) * of_reference);
        }
        Self { seeds, mean_reference, relative, residual_squares, unpaired_squares }
    }

    /// The mean difference by the mean reference; `None` if the reference costs nothing.
    pub fn relative(&self) -> Option<f64> {
        self.relative
    }

    /// What luck leaves open of [`relative`](Self::relative), but for `alpha` of such experiments: a ratio estimator's residuals under Student's t.
    pub fn part(&self, alpha: f64) -> Part {
        if self.relative.is_none() {
            return Part::Unknown(Unknown::NothingToCompareWith);
        }
        if self.seeds < 2.0 {
            return Part::Unknown(Unknown::OneSeed);
        }
        let half_width = t_quantile(alpha, self.seeds - 1.0) * self.standard_error();
        if half_width > NEGLIGIBLE { Part::HalfWidth(half_width) } else { Part::Nothing }
    }

    /// The variance of the difference if the two shared no luck, by what it is; `None` with one seed, or if nothing varies.
    pub fn pairing(&self) -> Option<f64> {
        (self.relative.is_some() && self.seeds > 1.0 && self.standard_error() > NEGLIGIBLE).then(|| self.unpaired_squares / self.residual_squares)
    }

    /// How far the reference's own mean bill is known, by luck, as a fraction of it; 0 if it costs nothing.
    pub fn own_half_width(bills: &[Money], alpha: f64) -> f64 {
        let seeds = bills.len() as f64;
        let mean = bills.iter().map(|bill| bill.0 as f64).sum::<f64>() / seeds;
        let squares: f64 = bills.iter().map(|bill| square(bill.0 as f64 - mean)).sum();
        if mean == 0.0 || squares == 0.0 {
            return 0.0;
        }
        t_quantile(alpha, seeds - 1.0) * (squares / (seeds - 1.0) / seeds).sqrt() / mean
    }

    /// Where the bill of one more run lies, under luck that none of `bills` had, but for `alpha` of such runs: a prediction interval under Student's
    /// t, its ends outward to the microdollar. `None` of fewer than two bills.
    pub fn one_more(bills: &[Money], alpha: f64) -> Option<[Money; 2]> {
        const MICRODOLLAR: i128 = Money::PER_USD / 1_000_000;
        let seeds = bills.len() as f64;
        if bills.len() < 2 {
            return None;
        }
        let mean = bills.iter().map(|bill| bill.0 as f64).sum::<f64>() / seeds;
        let squares: f64 = bills.iter().map(|bill| square(bill.0 as f64 - mean)).sum();
        let half_width = t_quantile(alpha, seeds - 1.0) * (squares / (seeds - 1.0) * (1.0 + 1.0 / seeds)).sqrt();
        let whole = |picodollars: f64| (picodollars / MICRODOLLAR as f64) as i128;
        let (low, high) = (whole((mean - half_width).max(0.0)), whole(mean + half_width) + 1);
        Some([low, high].map(|microdollars| Money(microdollars * MICRODOLLAR)))
    }

    fn standard_error(&self) -> f64 {
        (self.residual_squares / (self.seeds - 1.0) / self.seeds).sqrt() / self.mean_reference
    }
}

/// Written out: how exactly a power is computed is left to the compiler, and a report has the same bytes from all of them.
fn square(value: f64) -> f64 {
    value * value
}
