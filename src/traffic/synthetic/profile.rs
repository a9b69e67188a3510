//! How the rate of arrivals changes with the hour, the day of the week and bursts. Draws nothing.

use crate::gateway::time::{Span, Time};
use crate::traffic::local_clock::LocalClock;

const HOUR: u64 = 3_600_000_000_000;
const DAY: u64 = 24 * HOUR;

/// A factor on the rate for every instant, constant between whole hours and the ends of bursts.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// By hour of the day, hour 0 first.
    pub hourly: [f64; 24],
    /// By day of the week, Monday first.
    pub weekly: [f64; 7],
    /// On top of both.
    pub bursts: Vec<Burst>,
    /// What the bursts count from.
    pub start: Time,
    /// Whose hours and days they are.
    pub clock: LocalClock,
}

/// A time with more requests, or fewer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// Since the start of the traffic.
    pub from: Span,
    /// How long.
    pub lasts: Span,
    /// On the rate, from 0.
    pub factor: f64,
}

impl Profile {
    /// The same rate at all times.
    pub const fn flat(start: Time) -> Self {
        Self { hourly: [1.0; 24], weekly: [1.0; 7], bursts: Vec::new(), start, clock: LocalClock::UTC }
    }

    /// The factor at an instant, and the instant up to which it holds.
    fn at(&self, now: Time) -> (f64, Time) {
        let (local, runs_until) = self.clock.at(now);
        let hour = (local.0 % DAY / HOUR) as usize;
        // 1970 began on a Thursday.
        let day = ((local.0 / DAY + 3) % 7) as usize;
        let mut factor = self.hourly[hour] * self.weekly[day];
        let mut until = runs_until.min(now + Span(HOUR - local.0 % HOUR));
        for burst in &self.bursts {
            let from = self.start + burst.from;
            let to = from + burst.lasts;
            if (from..to).contains(&now) {
                factor *= burst.factor;
                until = until.min(to);
            } else if from > now {
                until = until.min(from);
            }
        }
        (factor, until)
    }

    /// The instant at which `seconds` at a factor of 1 have gone by since `now`, rounded to the nanosecond; `None` if that is not before `end`.
    pub(super) fn after(&self, mut now: Time, mut seconds: f64, end: Time) -> Option<Time> {
        while now < end {
            let (factor, until) = self.at(now);
            let held = until.since(now).0 as f64 / 1e9 * factor;
            if seconds < held {
                let at = now + Span((seconds / factor * 1e9).round() as u64);
                return (at < end).then_some(at);
            }
            seconds -= held;
            now = until;
        }
        None
    }
}
