//! What happened when, in buckets of time that widen as the run grows longer, so that memory stays flat. Knows no names.

use std::ops::AddAssign;

use super::cause::{Causes, Parts};
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};

/// A series never has more buckets than this.
pub const BUCKETS_MAX: usize = 2_000;

/// Widths of buckets in seconds; each is a multiple of the one before, and divides a day.
const WIDTHS_S: [u64; 13] = [1, 2, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];

/// What happened in one bucket of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// Requests that arrived.
    pub requests: u64,
    /// Requests answered by a call.
    pub served: u64,
    /// Requests answered without one: from the cache, or shared.
    pub cached: u64,
    /// Requests refused.
    pub refused: u64,
    /// Requests failed.
    pub failed: u64,
    /// Requests whose client left first.
    pub abandoned: u64,
    /// Calls sent.
    pub calls: u64,
    /// Of these, retries in the same group.
    pub retries: u64,
    /// Of these, calls in another group than asked for.
    pub fallbacks: u64,
    /// Calls that ended with a 429.
    pub rate_limited: u64,
    /// Calls that were turned away for want of capacity: by a limiter or a full queue, by the time when they were made, or given up while they waited
    /// for a place, by that time.
    pub turned_away: u64,
    /// How long calls were told to wait for a place of their provider, in milliseconds, by the time when they were made.
    pub waits_ms: u64,
    /// Dollars, by the time when the call was closed.
    pub cost: Money,
    /// Of these, paid for calls that delivered no answer.
    pub wasted: Money,
    /// Of these, billed beyond what reached the client.
    pub undelivered: Money,
    /// Of these, what was delivered at the model asked for.
    pub base: Money,
    /// Of these, what answers from elsewhere cost more (or less).
    pub premium: Money,
    /// Of these, what the prompt cache cost or (negative) saved.
    pub prompt_cache: Money,
}

impl Bucket {
    #[inline]
    pub(super) fn add_cost(&mut self, bill: Money, parts: Parts) {
        self.cost += bill;
        match parts {
            Parts::Wasted(_, _, amount) => self.wasted += amount,
            Parts::Delivered { undelivered, base, premium, prompt_cache } => {
                self.undelivered += undelivered;
                self.base += base;
                self.premium += premium;
                self.prompt_cache += prompt_cache;
            }
        }
    }
}

impl AddAssign for Bucket {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.served += other.served;
        self.cached += other.cached;
        self.refused += other.refused;
        self.failed += other.failed;
        self.abandoned += other.abandoned;
        self.calls += other.calls;
        self.retries += other.retries;
        self.fallbacks += other.fallbacks;
        self.rate_limited += other.rate_limited;
        self.turned_away += other.turned_away;
        self.waits_ms += other.waits_ms;
        self.cost += other.cost;
        self.wasted += other.wasted;
        self.undelivered += other.undelivered;
        self.base += other.base;
        self.premium += other.premium;
        self.prompt_cache += other.prompt_cache;
    }
}

/// Buckets of equal width, aligned to multiples of it since the epoch (so that a bucket of an hour is an hour of the clock, in UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    width: Span,
    /// The start of the first bucket, in widths since the epoch.
    first: u64,
    buckets: Vec<Bucket>,
    /// The bucket that was asked for last, and the instants that it holds.
    last: usize,
    from: Time,
    until: Time,
}

impl Default for Series {
    fn default() -> Self {
        let width = Span::from_secs(WIDTHS_S[0]);
        Self { width, first: 0, buckets: Vec::with_capacity(BUCKETS_MAX), last: 0, from: Time(0), until: Time(0) }
    }
}

impl Series {
    /// The bucket that holds `now`. Asked for in order of time nearly always, so that it costs two comparisons.
    #[inline]
    pub fn at(&mut self, now: Time) -> &mut Bucket {
        if now < self.from || now >= self.until {
            self.move_to(now);
        }
        &mut self.buckets[self.last]
    }

    /// A series of buckets that follow each other, the first beginning at `start`, a multiple of `width`.
    ///
    /// # Panics
    /// If a bucket has no width.
    pub fn of(width: Span, start: Time, buckets: Vec<Bucket>) -> Self {
        assert!(width > Span::ZERO, "a bucket has a width");
        Self { width, first: start.0 / width.0, buckets, ..Self::default() }
    }

    /// How wide a bucket is.
    pub fn width(&self) -> Span {
        self.width
    }

    /// Every bucket from the first to the last with anything in it, by its start.
    pub fn buckets(&self) -> impl Iterator<Item = (Time, &Bucket)> {
        self.buckets.iter().zip(0_u64..).map(|(bucket, i)| (Time((self.first + i) * self.width.0), bucket))
    }

    /// The sum over all buckets.
    pub fn sum(&self) -> Bucket {
        self.buckets.iter().fold(Bucket::default(), |mut sum, bucket| {
            sum += *bucket;
            sum
        })
    }

    #[cold]
    fn move_to(&mut self, now: Time) {
        if self.buckets.is_empty() {
            self.first = now.0 / self.width.0;
        }
        while now.0 / self.width.0 >= self.first + BUCKETS_MAX as u64 {
            self.widen();
        }
        // An instant before the first bucket would be a clock that runs backwards; it is counted in the first one, not lost.
        let index = usize::try_from((now.0 / self.width.0).saturating_sub(self.first)).expect("fewer buckets than BUCKETS_MAX");
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, Bucket::default());
        }
        self.last = index;
        self.from = Time((self.first + index as u64) * self.width.0);
        self.until = self.from + self.width;
    }

    fn widen(&mut self) {
        let seconds = self.width.0 / Span::SECOND.0;
        let wider = WIDTHS_S.into_iter().find(|width| *width > seconds).unwrap_or(seconds * 2);
        let factor = wider / seconds;
        let (first, narrow) = (self.first / factor, std::mem::take(&mut self.buckets));
        self.buckets.reserve_exact(BUCKETS_MAX);
        for (bucket, i) in narrow.into_iter().zip(self.first..) {
            let index = usize::try_from(i / factor - first).expect("fewer buckets than before");
            if index >= self.buckets.len() {
                self.buckets.resize(index + 1, Bucket::default());
            }
            self.buckets[index] += bucket;
        }
        self.first = first;
        self.width = Span::from_secs(wider);
    }
}

impl Bucket {
    /// The parts of the cost, under the names of [`Causes`] with all waste in one.
    pub fn causes(&self) -> [(&'static str, Money); 5] {
        [
            ("wasted", self.wasted),
            ("undelivered", self.undelivered),
            ("base", self.base),
            ("premium", self.premium),
            ("prompt_cache", self.prompt_cache),
        ]
    }

    /// Whether the parts are those of `causes`.
    pub fn agrees_with(&self, causes: &Causes) -> bool {
        let theirs = [causes.wasted_total(), causes.undelivered, causes.base, causes.premium, causes.prompt_cache];
        self.causes().map(|(_, amount)| amount) == theirs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_are_aligned_to_the_clock_and_empty_ones_are_kept() {
        let mut series = Series::default();
        series.at(Time(10_200_000_000)).requests += 1;
        series.at(Time(10_900_000_000)).requests += 1;
        series.at(Time(13_000_000_000)).requests += 1;
        let seen: Vec<_> = series.buckets().map(|(start, bucket)| (start.0 / 1_000_000_000, bucket.requests)).collect();
        assert_eq!(seen, [(10, 2), (11, 0), (12, 0), (13, 1)]);
    }

    #[test]
    fn a_day_has_buckets_of_a_minute_and_a_year_of_six_hours() {
        for (days, width) in [(1, 60), (365, 21_600)] {
            let mut series = Series::default();
            for minute in 0..days * 1_440 {
                series.at(Time(minute * 60_000_000_000)).requests += 1;
            }
            assert_eq!(series.width(), Span::from_secs(width));
            assert_eq!(series.sum().requests, days * 1_440);
        }
    }

    proptest! {
        #[test]
        fn widening_loses_nothing_and_stays_within_the_cap(gaps in prop::collection::vec(0_u64..40_000_000_000_000, 1..300), start in any::<u32>()) {
            let (mut series, mut now) = (Series::default(), Time(u64::from(start) * 1_000_000_000));
            for gap in &gaps {
                now = now + Span(*gap);
                let bucket = series.at(now);
                bucket.requests += 1;
                bucket.cost += Money(i128::from(*gap));
            }
            prop_assert_eq!(series.sum().requests, gaps.len() as u64);
            prop_assert_eq!(series.sum().cost, Money(gaps.iter().map(|gap| i128::from(*gap)).sum()));
            prop_assert!(series.buckets().count() <= BUCKETS_MAX);
            let last = series.buckets().last().unwrap();
            prop_assert!(last.0 <= now && now < last.0 + series.width());
        }
    }
}
