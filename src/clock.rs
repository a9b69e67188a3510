//! The time of whatever runs live: the wall at start, and from then on what a monotonic clock adds; a wall that has gone ahead of that is followed,
//! one that was set back is not. Can run faster than life, so that a gateway, its
//! twin and the traffic are tried in less time than they stand for; then all of them at the same speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::gateway::time::{Span, Time};

/// The speed of life, in thousandths of it.
pub const LIFE: u64 = 1000;

/// A difference of time that somebody should know of: clocks that are kept right differ by less.
pub const AHEAD: Span = Span::MINUTE;

/// Where live time comes from. Copies show the same time.
#[derive(Debug, Clone)]
pub struct Clock {
    began: Instant,
    at: Time,
    /// What it has followed the wall by, in nanoseconds.
    followed: Arc<AtomicU64>,
    /// Seconds of the core in a thousand seconds of life.
    per_mille: u64,
}

/// The time that the machine shows.
pub fn wall() -> Time {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(Time(0), |since| Time(nanos(since)))
}

impl Clock {
    /// A clock that starts now, but not before `least`: what a recovered gateway knows already must not be in the future.
    /// `per_mille` is its speed in thousandths; 1,000 is life.
    ///
    /// # Panics
    /// If `per_mille` is 0.
    pub fn start(least: Time, per_mille: u64) -> Self {
        assert!(per_mille > 0, "time goes on");
        Self { began: Instant::now(), at: wall().max(least), followed: Arc::default(), per_mille }
    }

    /// A clock that starts so far behind the wall, as if the machine had been suspended since it did.
    #[cfg(test)]
    pub(crate) fn behind(by: Span) -> Self {
        Self { at: wall() - by, ..Self::start(Time(0), LIFE) }
    }

    /// When it started.
    pub fn began_at(&self) -> Time {
        self.at
    }

    /// Now.
    pub fn now(&self) -> Time {
        let passed = u128::from(nanos(self.began.elapsed())) * u128::from(self.per_mille) / 1000;
        self.origin() + Span(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// Goes on to the time that the wall shows, where that is later: a machine that was suspended has not counted meanwhile. Never goes back, and
    /// at another speed than that of life the wall says nothing. Returns by how much it went on.
    pub fn follow(&self, wall: Time) -> Span {
        if self.per_mille != LIFE {
            return Span::ZERO;
        }
        let followed = self.followed.load(Ordering::Relaxed);
        let behind = wall.since(self.now());
        self.followed.fetch_max(followed.saturating_add(behind.0), Ordering::Relaxed);
        behind
    }

    /// The time when it started, as if it had always shown what it shows since it has followed the wall.
    fn origin(&self) -> Time {
        self.at + Span(self.followed.load(Ordering::Relaxed))
    }

    /// The instant in life at which `time` has come: a timer set to it is late if need be, never early.
    pub fn instant(&self, time: Time) -> Instant {
        let passed = (u128::from(time.since(self.origin()).0) * 1000).div_ceil(u128::from(self.per_mille));
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Span = Span::from_secs(3600);
    const YEAR: Span = Span::from_secs(365 * 86_400);

    #[test]
    fn a_wall_that_has_gone_ahead_is_followed_and_one_that_was_set_back_is_not() {
        let clock = Clock::start(wall() + YEAR, LIFE);
        let copy = clock.clone();
        let mut shown = clock.now();
        // The wall, against what the clock shows; what the clock goes on by.
        for (ahead, goes_on) in [(0, false), (1, true), (0, false), (2, true), (2, true), (0, false)] {
            let wall = if ahead > 0 { clock.now() + Span(HOUR.0 * ahead) } else { shown - HOUR };
            let by = clock.follow(wall);
            assert_eq!(by > Span::ZERO, goes_on);
            assert!(by.0 <= HOUR.0 * ahead && by.0 + HOUR.0 / 2 > HOUR.0 * ahead, "{by}");
            assert!(clock.now() >= shown.max(wall), "it never goes back");
            shown = clock.now();
            assert!(copy.now() >= shown, "copies show the same");
        }
    }

    #[test]
    fn a_timer_is_never_early_once_the_wall_was_followed() {
        let clock = Clock::start(Time(0), LIFE);
        clock.follow(clock.now() + HOUR);
        let time = clock.now() + Span::MINUTE;
        let left = clock.instant(time).saturating_duration_since(Instant::now());
        assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60), "{left:?}");
        assert!(clock.instant(clock.now()) <= Instant::now(), "and what has come is due");
    }

    #[test]
    fn at_another_speed_the_wall_says_nothing() {
        let clock = Clock::start(Time(0), 20_000);
        assert_eq!(clock.follow(clock.now() + HOUR), Span::ZERO);
        assert!(clock.now() < wall() + HOUR);
    }
}
