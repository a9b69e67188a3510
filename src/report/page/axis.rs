//! Scales and the round numbers on them: dollars, shares, plain numbers and the time of the day. Knows pixels only as the ends of a scale.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::gateway::time::Time;
use crate::report::numbers::dollars;

/// A straight line from values to pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// `low` is at pixel `from`, `high` at `to`. Where both are one value, it is in the middle.
    pub(super) fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        Self { low, high, from, to }
    }

    /// The pixel of a value.
    pub(super) fn at(self, value: f64) -> f64 {
        let width = self.high - self.low;
        let share = if width > 0.0 { (value - self.low) / width } else { 0.5 };
        self.from + share * (self.to - self.from)
    }
}

/// A value on an axis and what is written there.
pub(super) type Tick = (f64, String);

/// What the numbers on an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Dollars.
    Dollars,
    /// Percent.
    Percent,
    /// A number of things.
    Plain,
}

impl Unit {
    /// Round numbers from `low` to `high`, about `most` of them.
    pub(super) fn ticks(self, low: f64, high: f64, most: usize) -> Vec<Tick> {
        let step = step(high - low, most);
        let first = (low / step - 1e-6).ceil();
        let count = ((high / step + 1e-6).floor() - first).max(0.0) as u64;
        (0..=count).map(|i| (first + i as f64) * step).map(|value| (value, self.label(value, step))).collect()
    }

    /// A value as it stands beside others that are `step` apart.
    fn label(self, value: f64, step: f64) -> String {
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as u32;
        // Nobody writes $2.5.
        let decimals = if self == Self::Dollars && decimals == 1 { 2 } else { decimals };
        let number = dollars((value * 10_f64.powi(decimals.try_into().unwrap_or(0))).round() as i128, decimals);
        match (self, number.strip_prefix('-')) {
            (Self::Dollars, Some(number)) => format!("-${number}"),
            (Self::Dollars, None) => format!("${number}"),
            (Self::Percent, _) => format!("{number} %"),
            (Self::Plain, _) => number,
        }
    }
}

/// The round distance at which about `most` ticks fit into `width`: 1, 2 or 5 of a power of ten.
pub(super) fn step(width: f64, most: usize) -> f64 {
    let least = width.max(1e-9) / most.max(1) as f64;
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= least * 0.999).unwrap_or(power * 10.0)
}

/// `high`, raised to the next tick, so that the highest value stands below a line.
pub(super) fn rounded_up(low: f64, high: f64, most: usize) -> f64 {
    let step = step(high - low, most);
    (high / step - 1e-6).ceil() * step
}

/// Distances of ticks in time, in seconds.
const TIMES_S: [u64; 22] =
    [1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_592_000, 7_776_000];

/// Instants from here on are dates; a trace with earlier ones counts from its own beginning.
const DATES_FROM: Time = Time(946_684_800_000_000_000);

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    /// What a trace without dates counts from.
    first: Time,
}

impl Clock {
    /// For traffic that begins at `first`.
    pub(super) fn new(first: Time) -> Self {
        Self { first }
    }

    /// Whether the traffic has dates.
    pub(super) fn has_dates(self) -> bool {
        self.first >= DATES_FROM
    }

    /// What to write at the axis.
    pub(super) fn title(self) -> String {
        if self.has_dates() { format!("UTC, from {}", format(self.first, "%a %-d %b %Y")) } else { "since the first request".to_owned() }
    }

    /// Round times between two instants in seconds since the epoch, about `most` of them.
    pub(super) fn ticks(self, from: f64, until: f64, most: usize) -> Vec<Tick> {
        let origin = if self.has_dates() { 0.0 } else { self.first.0 as f64 / 1e9 };
        let least = (until - from).max(1.0) / most.max(1) as f64;
        let step = TIMES_S.into_iter().find(|step| *step as f64 >= least).unwrap_or(31_104_000);
        let first = ((from - origin) / step as f64 - 1e-9).ceil().max(0.0) as u64;
        let mut ticks = Vec::new();
        for number in first.. {
            let at = origin + (number * step) as f64;
            if at > until + 1e-6 {
                break;
            }
            ticks.push((at, self.label(number * step, step)));
        }
        ticks
    }

    /// A number of seconds on an axis, since the epoch or since the first request.
    fn label(self, seconds: u64, step: u64) -> String {
        if !self.has_dates() {
            return match step {
                _ if seconds == 0 => "0".to_owned(),
                0..60 => format!("{}:{:02} min", seconds / 60, seconds % 60),
                60..3_600 => format!("{} min", seconds / 60),
                3_600..86_400 => format!("{} h", seconds / 3_600),
                _ => format!("day {}", seconds / 86_400),
            };
        }
        let at = Time(seconds.saturating_mul(1_000_000_000));
        match step {
            _ if step >= 86_400 || seconds.is_multiple_of(86_400) => format(at, "%-d %b"),
            0..60 => format(at, "%H:%M:%S"),
            _ => format(at, "%H:%M"),
        }
    }

    /// A whole instant, for a table.
    pub(super) fn instant(self, at: Time) -> String {
        if self.has_dates() {
            return format(at, "%-d %b %Y, %H:%M:%S");
        }
        let seconds = at.since(self.first).0 / 1_000_000_000;
        format!("{}:{:02}:{:02}", seconds / 3_600, seconds % 3_600 / 60, seconds % 60)
    }
}

fn format(at: Time, how: &str) -> String {
    let timestamp = i64::try_from(at.0 / 1_000_000_000).ok().and_then(|second| Timestamp::from_second(second).ok());
    timestamp.map_or_else(String::new, |timestamp| timestamp.to_zoned(TimeZone::UTC).strftime(how).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: Vec<Tick>) -> Vec<String> {
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_have_the_digits_that_they_need() {
        assert_eq!(labels(Unit::Dollars.ticks(0.0, 31.0, 5)), ["$0", "$10", "$20", "$30"]);
        assert_eq!(labels(Unit::Dollars.ticks(-0.004, 0.011, 4)), ["$0.000", "$0.005", "$0.010"]);
        assert_eq!(labels(Unit::Dollars.ticks(-2_000.0, 2_500.0, 5)), ["-$2,000", "-$1,000", "$0", "$1,000", "$2,000"]);
        assert_eq!(labels(Unit::Dollars.ticks(0.0, 1.0, 2)), ["$0.00", "$0.50", "$1.00"]);
        assert_eq!(labels(Unit::Percent.ticks(98.6, 100.0, 4)), ["99.0 %", "99.5 %", "100.0 %"]);
        assert_eq!(labels(Unit::Plain.ticks(0.0, 0.0, 4)).len(), 1);
    }

    #[test]
    fn times_are_of_the_clock_where_the_traffic_has_dates() {
        let at = 1_700_158_500; // Thursday, 16 November 2023, 18:15:00 UTC
        let clock = Clock::new(Time(at * 1_000_000_000));
        assert_eq!(clock.title(), "UTC, from Thu 16 Nov 2023");
        let (from, until) = (at as f64, at as f64 + 3_436.0);
        assert_eq!(labels(clock.ticks(from, until, 4)), ["18:15", "18:30", "18:45", "19:00"]);
        assert_eq!(labels(clock.ticks(from, from + 86_400.0, 5)), ["17 Nov", "06:00", "12:00", "18:00"]);
        assert_eq!(labels(clock.ticks(from, from + 14.0 * 86_400.0, 3)), ["23 Nov", "30 Nov"]);
    }

    #[test]
    fn times_are_since_the_first_request_where_it_has_none() {
        let clock = Clock::new(Time(5_000_000_000));
        assert_eq!(labels(clock.ticks(5.0, 3_605.0, 4)), ["0", "15 min", "30 min", "45 min", "60 min"]);
        assert_eq!(clock.instant(Time(3_666_000_000_000)), "1:01:01");
    }

    #[test]
    fn a_value_is_where_the_scale_puts_it() {
        let scale = Scale::new((0.0, 10.0), (100.0, 0.0));
        assert_eq!([0.0, 5.0, 10.0].map(|value| scale.at(value)), [100.0, 50.0, 0.0]);
        assert_eq!(Scale::new((3.0, 3.0), (0.0, 10.0)).at(3.0), 5.0);
    }
}
