//! The time of whatever runs live: the wall at start, and from then on what a monotonic clock adds. Can run faster than life, so that a gateway, its
//! twin and the traffic are tried in less time than they stand for; then all of them at the same speed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::gateway::time::{Span, Time};

/// Where live time comes from.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    at: Time,
    /// Seconds of the core in a thousand seconds of life.
    per_mille: u64,
}

impl Clock {
    /// A clock that starts now, but not before `least`: what a recovered gateway knows already must not be in the future.
    /// `per_mille` is its speed in thousandths; 1,000 is life.
    ///
    /// # Panics
    /// If `per_mille` is 0.
    pub fn start(least: Time, per_mille: u64) -> Self {
        assert!(per_mille > 0, "time goes on");
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(Time(0), |since| Time(nanos(since)));
        Self { began: Instant::now(), at: wall.max(least), per_mille }
    }

    /// When it started.
    pub fn began_at(&self) -> Time {
        self.at
    }

    /// Now.
    pub fn now(&self) -> Time {
        let passed = u128::from(nanos(self.began.elapsed())) * u128::from(self.per_mille) / 1000;
        self.at + Span(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// The instant in life at which `time` has come: a timer set to it is late if need be, never early.
    pub fn instant(&self, time: Time) -> Instant {
        let passed = (u128::from(time.since(self.at).0) * 1000).div_ceil(u128::from(self.per_mille));
        // Timers have no use for more than a year, and an Instant may not hold 584 of them.
        let longest = 365 * 86_400 * 1_000_000_000;
        self.began + Duration::from_nanos(u64::try_from(passed).unwrap_or(longest).min(longest))
    }

    /// How long a span of the core takes in life.
    pub fn in_life(&self, span: Span) -> Duration {
        let nanos = (u128::from(span.0) * 1000).div_ceil(u128::from(self.per_mille));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
