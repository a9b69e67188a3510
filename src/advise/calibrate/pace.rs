//! How fast a deployment answers, fitted to the answers that one call made. Decides the law; knows no gateway.

use super::log::Attempt;
use crate::gateway::time::Span;
use crate::traffic::distribution::Distribution;

/// A lognormal law this far (Kolmogorov-Smirnov) from what was seen gives way to the quantiles themselves.
const DISTANCE_MAX: f64 = 0.05;
/// Values without which no quantiles are stated.
const EMPIRICAL_MIN: usize = 100;
/// Streams without which speeds are read off whole answers.
const STREAMS_MIN: usize = 30;
/// Tokens of an answer below which its speed says nothing: the first comes with the time to the first token.
const TOKENS_MIN: u32 = 10;
/// The shares of stated quantiles.
const SHARES: [f64; 10] = [0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];

/// A law that was fitted to values.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Where most of it lies.
    pub law: Law,
    /// Values that it was fitted to.
    pub count: usize,
    /// The greatest difference between the shares of the law and of the values; 0 to 1.
    pub distance: f64,
}

/// The shape of a fit.
#[derive(Debug, Clone)]
pub enum Law {
    /// Always the same.
    Constant(f64),
    /// Lognormal by its median and 95th percentile.
    LogNormal(f64, f64),
    /// Shares and the values that they do not exceed.
    Quantiles(Vec<(f64, f64)>),
}

/// How fast one deployment answers.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Nanoseconds to the first token.
    pub ttft: Option<Fitted>,
    /// Output tokens a second.
    pub speed: Option<Fitted>,
    /// Whether both were told apart by how long answers of different lengths took: there were too few streams.
    pub is_regressed: bool,
}

impl Pace {
    /// The pace of the answers in `attempts`, which are of one deployment.
    pub fn of<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Self {
        let (mut ttfts, mut speeds, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
        for attempt in attempts.filter(|attempt| attempt.is_plain()) {
            let (Some(duration), Some(tokens)) = (attempt.duration, attempt.output_tokens) else { continue };
            wholes.push((f64::from(tokens.saturating_sub(1)), duration.0 as f64));
            let Some(ttft) = attempt.ttft else { continue };
            ttfts.push(ttft.0 as f64);
            let rest = Span(duration.0.saturating_sub(ttft.0));
            if tokens >= TOKENS_MIN && rest > Span::ZERO {
                speeds.push(f64::from(tokens - 1) * 1e9 / rest.0 as f64);
            }
        }
        if ttfts.len() >= STREAMS_MIN || wholes.len() < STREAMS_MIN {
            return Self { ttft: fitted(ttfts), speed: fitted(speeds), is_regressed: false };
        }
        let (first, gap) = line(&wholes);
        let constant = |value: f64| Some(Fitted { law: Law::Constant(value), count: wholes.len(), distance: 0.0 });
        let speed = if gap > 0.0 { constant(1e9 / gap) } else { None };
        Self { ttft: constant(first.max(0.0)), speed, is_regressed: true }
    }
}

/// The law of some values, or `None` of none.
pub fn fitted(mut values: Vec<f64>) -> Option<Fitted> {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    let (low, middle, high) = (quantile(&values, 0.05)?, quantile(&values, 0.5)?, quantile(&values, 0.95)?);
    if high <= low * 1.001 || middle <= 0.0 {
        return Some(Fitted { law: Law::Constant(middle), count, distance: 0.0 });
    }
    let distance = distance(&values, &Distribution::lognormal(middle, high));
    if distance <= DISTANCE_MAX || count < EMPIRICAL_MIN {
        return Some(Fitted { law: Law::LogNormal(middle, high), count, distance });
    }
    let points = SHARES.iter().filter_map(|share| Some((*share, quantile(&values, *share)?))).collect();
    Some(Fitted { law: Law::Quantiles(points), count, distance })
}

/// The value that a share of the sorted values does not exceed.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((share * last as f64).round() as usize).copied()
}

/// The Kolmogorov-Smirnov distance of sorted values from a law.
fn distance(sorted: &[f64], law: &Distribution) -> f64 {
    let count = sorted.len() as f64;
    let at = |(index, value): (usize, &f64)| {
        let share = law.cdf(*value);
        (share - index as f64 / count).abs().max((share - (index + 1) as f64 / count).abs())
    };
    sorted.iter().enumerate().map(at).fold(0.0, f64::max)
}

/// Intercept and slope of the line of least squares.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut both, mut square) = (0.0, 0.0);
    for point in points {
        both += (point.0 - x) * (point.1 - y);
        square += (point.0 - x) * (point.0 - x);
    }
    let slope = if square > 0.0 { both / square } else { 0.0 };
    (y - slope * x, slope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::draw::Purpose;
    use crate::traffic::distribution::Draws;

    fn drawn(law: &Distribution, count: u64) -> Vec<f64> {
        (0..count).map(|row| law.draw(&mut Draws::new(3, row, Purpose::Speed, 0))).collect()
    }

    /// The median of n values of a lognormal has a standard error of sqrt(pi/2) sigma / sqrt(n) of itself, its 95th percentile one of
    /// sqrt(0.95 * 0.05) / (phi(1.645) sqrt(n)) sigma = 2.11 sigma / sqrt(n): with sigma = 0.6 and n = 10,000 0.8 % and 1.3 %. Four of them.
    #[test]
    fn a_lognormal_is_found_again() {
        let found = fitted(drawn(&Distribution::lognormal(200.0, 200.0 * (0.6_f64 * 1.6449).exp()), 10_000)).unwrap();
        let Law::LogNormal(middle, high) = found.law else { panic!("{found:?}") };
        assert!((middle / 200.0 - 1.0).abs() < 4.0 * 0.008, "{middle}");
        assert!((high / (200.0 * (0.6_f64 * 1.6449).exp()) - 1.0).abs() < 4.0 * 0.013, "{high}");
    }

    #[test]
    fn what_no_lognormal_resembles_is_stated_by_its_quantiles() {
        let two_humps = drawn(&Distribution::Uniform { low: 90.0, high: 110.0 }, 1_000).into_iter();
        let values: Vec<f64> = two_humps.enumerate().map(|(index, value)| if index % 3 == 0 { value * 10.0 } else { value }).collect();
        let found = fitted(values).unwrap();
        assert!(found.distance > DISTANCE_MAX);
        let Law::Quantiles(points) = found.law else { panic!("{:?}", found.law) };
        let at = |share: f64| points.iter().find(|(other, _)| *other == share).unwrap().1;
        assert!((90.0..110.0).contains(&at(0.5)) && (900.0..1100.0).contains(&at(0.75)), "a third is ten times as long");
    }

    #[test]
    fn one_value_is_constant_and_none_is_nothing() {
        assert!(matches!(fitted(vec![5.0; 40]).unwrap().law, Law::Constant(value) if value == 5.0));
        assert!(fitted(Vec::new()).is_none());
    }
}
