//! Instants and durations as integers. Decides nothing; knows no clock.

use core::fmt;
use core::ops::{Add, Sub};

use alloc::vec::Vec;
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

/// The starts of consecutive calendar windows (days in a named zone, months, ...), made by `config` where zones are known.
///
/// Strictly increasing. The core only searches it: window `i` is `[starts[i], starts[i + 1])`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Calendar {
    starts: Vec<Time>,
}

impl Calendar {
    /// A calendar from the starts of its windows.
    ///
    /// # Panics
    /// If `starts` is empty or not strictly increasing: `config` makes these tables, so that is a bug there.
    pub fn new(starts: Vec<Time>) -> Self {
        assert!(!starts.is_empty(), "a calendar has at least one window");
        assert!(starts.is_sorted_by(|a, b| a < b), "calendar windows follow each other");
        Self { starts }
    }

    /// Whether this is `other`, or goes on where it ends: the windows that both have are the same, up to the last of `other`, which has no end.
    pub fn extends(&self, other: &Self) -> bool {
        self.starts.starts_with(&other.starts)
    }

    /// The index of the window that holds `now`; window 0 also takes whatever lies before the table.
    #[inline]
    pub fn window(&self, now: Time) -> u64 {
        self.starts.partition_point(|start| *start <= now).saturating_sub(1) as u64
    }

    /// When the window after `index` starts, or [`Time::MAX`] for the last one.
    #[inline]
    pub fn end(&self, index: u64) -> Time {
        usize::try_from(index + 1).ok().and_then(|next| self.starts.get(next)).copied().unwrap_or(Time::MAX)
    }
}
