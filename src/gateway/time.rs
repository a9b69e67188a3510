//! Instants and durations as integers. Decides nothing; knows no clock.

use core::fmt;
use core::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// An instant: nanoseconds since the Unix epoch. The core never reads a clock; every `now` is an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(pub u64);

/// A non-negative duration in nanoseconds, at most 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Span(pub u64);

impl Time {
    /// Later than every instant a run can reach.
    pub const MAX: Self = Self(u64::MAX);

    /// The time that passed since `earlier`; zero if `earlier` is not in the past.
    #[inline]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// Longer than any run.
    pub const MAX: Self = Self(u64::MAX);
    /// One second.
    pub const SECOND: Self = Self(1_000_000_000);
    /// One minute, the window that providers state their limits for.
    pub const MINUTE: Self = Self::from_secs(60);

    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000_000_000)
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// The smaller of two spans.
    pub fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// `self` doubled `times` times, saturating: the exponential of a back-off.
    pub const fn doubled(self, times: u32) -> Self {
        if times >= self.0.leading_zeros() {
            return if self.0 == 0 { self } else { Self::MAX };
        }
        Self(self.0 << times)
    }
}

impl Add<Span> for Time {
    type Output = Self;
    #[inline]
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Add for Span {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub<Span> for Time {
    type Output = Self;
    #[inline]
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Span {
    /// The largest unit that needs no fraction beyond milliseconds: `2h`, `90s`, `1.5s`, `250ms`, `7ns`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0.is_multiple_of(1_000_000_000) {
            let seconds = self.0 / 1_000_000_000;
            let (size, unit) = UNITS.into_iter().find(|(size, _)| seconds.is_multiple_of(*size)).expect("1 divides every number");
            return write!(f, "{}{unit}", seconds / size);
        }
        if self.0 >= 1_000_000_000 && self.0.is_multiple_of(1_000_000) {
            let millis = self.0 / 1_000_000;
            return write!(f, "{}.{:03}s", millis / 1000, millis % 1000);
        }
        for (size, unit) in [(1_000_000, "ms"), (1_000, "us")] {
            if self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}ns", self.0)
    }
}
