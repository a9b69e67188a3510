//! Durations in log-linear buckets: quantiles of any number of requests in fixed memory, in integers. Knows nothing of what it measures.

use std::fmt;

use crate::gateway::time::Span;

/// Bits of precision within one power of two: a quantile is off by at most one part in 128.
const BITS: u32 = 6;
const PER_OCTAVE: usize = 1 << BITS;
const BUCKETS: usize = (64 - BITS as usize + 1) * PER_OCTAVE;

/// How often each duration was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64]>,
    seen: u64,
    longest: Span,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into_boxed_slice(), seen: 0, longest: Span::ZERO }
    }
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn add(&mut self, span: Span) {
        self.counts[bucket(span.0)] += 1;
        self.seen += 1;
        self.longest = self.longest.max(span);
    }

    /// How many were counted.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The longest, exactly.
    pub fn longest(&self) -> Span {
        self.longest
    }

    /// The duration that `per_mille` thousandths of all were not longer than, within 0.8 %; `None` if there are none.
    pub fn quantile(&self, per_mille: u64) -> Option<Span> {
        let rank = (u128::from(self.seen) * u128::from(per_mille)).div_ceil(1000).max(1);
        let mut below = 0_u128;
        for (index, count) in self.counts.iter().enumerate() {
            below += u128::from(*count);
            if below >= rank {
                return Some(Span(middle(index)).min(self.longest));
            }
        }
        None
    }

    /// The histogram that was written as `text`, with its longest duration.
    pub fn parse(text: &str, longest: Span) -> Option<Self> {
        let mut histogram = Self { longest, ..Self::default() };
        for pair in text.split_ascii_whitespace() {
            let (bucket, count) = pair.split_once(':')?;
            let count: u64 = count.parse().ok()?;
            *histogram.counts.get_mut(bucket.parse::<usize>().ok()?)? = count;
            histogram.seen = histogram.seen.checked_add(count)?;
        }
        Some(histogram)
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.seen += other.seen;
        self.longest = self.longest.max(other.longest);
    }
}

impl fmt::Display for Histogram {
    /// Buckets that hold anything, each with its count: `412:7 413:20`. What [`Histogram::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        for (nth, (bucket, count)) in held.enumerate() {
            write!(f, "{}{bucket}:{count}", if nth == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[inline]
fn bucket(value: u64) -> usize {
    if value < PER_OCTAVE as u64 {
        return value as usize;
    }
    let octave = 63 - value.leading_zeros() - BITS;
    (octave as usize) * PER_OCTAVE + (value >> octave) as usize
}

/// The middle of bucket `index`.
fn middle(index: usize) -> u64 {
    if index < 2 * PER_OCTAVE {
        return index as u64;
    }
    let octave = index / PER_OCTAVE - 1;
    let low = ((index - octave * PER_OCTAVE) as u64) << octave;
    low + (1_u64 << octave) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(spans: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        spans.iter().for_each(|span| histogram.add(Span(*span)));
        histogram
    }

    #[test]
    fn small_spans_are_exact() {
        let hundred: Vec<u64> = (1..=100).collect();
        let quantiles = [500, 950, 990, 1000].map(|q| of(&hundred).quantile(q).unwrap().0);
        assert_eq!(quantiles, [50, 95, 99, 100]);
        assert_eq!(of(&[]).quantile(500), None);
        assert_eq!(of(&[0, 0, 7]).quantile(500), Some(Span(0)));
    }

    #[test]
    fn the_longest_span_has_a_bucket() {
        assert_eq!(of(&[u64::MAX]).quantile(500).unwrap().0 >> 56, 0xFF);
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_one_part_in_128(mut spans in prop::collection::vec(any::<u64>().prop_map(|x| x >> (x % 50)), 1..200), q in 1_u64..=1000) {
            let found = of(&spans).quantile(q).unwrap().0;
            spans.sort_unstable();
            let exact = spans[(spans.len() as u64 * q).div_ceil(1000) as usize - 1];
            prop_assert!(found.abs_diff(exact) <= exact / 128 + 1, "{found} for {exact}");
        }

        #[test]
        fn what_is_written_is_read(spans in prop::collection::vec(any::<u64>().prop_map(|x| x >> (x % 50)), 0..50)) {
            let histogram = of(&spans);
            prop_assert_eq!(Histogram::parse(&histogram.to_string(), histogram.longest()), Some(histogram));
        }

        #[test]
        fn merging_is_counting_both(a in prop::collection::vec(any::<u64>(), 0..50), b in prop::collection::vec(any::<u64>(), 0..50)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }
    }
}
