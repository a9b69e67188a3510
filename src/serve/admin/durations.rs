//! Durations and windows in LiteLLM's words: `30d`, `1mo`, `daily`. Decides which of them follow the calendar; knows no budget.
//!
//! As there (S: `litellm_core_utils/duration_parser.py` of 1.109.1), a budget of one day, of a week (`7d`) and of a month (`30d`, `1mo`) follows the
//! calendar, so its first window is shorter; hours, minutes and seconds begin at their multiples. Other numbers of days begin at their multiples
//! since 1970 here, and not at the midnight before the key was made.

use jiff::ToSpan;
use jiff::tz::TimeZone;

use crate::config::gateway::calendar::{self, Period};
use crate::gateway::plan::{Anchor, BudgetWindow};
use crate::gateway::time::{Span, Time};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// Words for durations.
const WORDS: [(&str, &str); 4] = [("hourly", "1h"), ("daily", "1d"), ("weekly", "7d"), ("monthly", "1mo")];
/// What a duration looks like, for errors.
pub const EXAMPLES: &str = "a whole number and a unit: `30s`, `15m`, `24h`, `7d`, `2w` or `1mo`";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Seconds(u64),
    Months(u32),
}

/// The window of a budget; `None` if the text is no duration.
pub fn window(text: &str, timezone: &str) -> Option<BudgetWindow> {
    let period = match length(text)? {
        Length::Seconds(seconds) if ends_in_days(text) => match seconds / DAY {
            1 => Period::Day,
            7 => Period::Week,
            30 => Period::Month,
            _ => return Some(BudgetWindow::Fixed(Span::from_secs(seconds), Anchor::Clock)),
        },
        Length::Seconds(seconds) => return Some(BudgetWindow::Fixed(Span::from_secs(seconds), Anchor::Clock)),
        Length::Months(1) => Period::Month,
        Length::Months(_) => return None,
    };
    calendar::windows(period, timezone)
}

/// When a window that `now` lies in ends; `None` if it never does.
pub fn end(window: &BudgetWindow, now: Time) -> Option<Time> {
    match window {
        BudgetWindow::Fixed(length, Anchor::Clock) => Some(Time((now.0 / length.0).checked_add(1)?.checked_mul(length.0)?)),
        BudgetWindow::Calendar(calendar) => Some(calendar.end(calendar.window(now))).filter(|end| *end < Time::MAX),
        BudgetWindow::Total | BudgetWindow::Fixed(..) | BudgetWindow::Rolling { .. } => None,
    }
}

/// The instant that is so long after `now`; `None` if the text is no duration.
pub fn after(text: &str, now: Time) -> Option<Time> {
    match length(text)? {
        Length::Seconds(seconds) => Some(Time(now.0.checked_add(seconds.checked_mul(1_000_000_000)?)?)),
        Length::Months(months) => {
            let now = jiff::Timestamp::from_nanosecond(i128::from(now.0)).ok()?.to_zoned(TimeZone::UTC);
            let then = now.checked_add(i64::from(months).months()).ok()?;
            u64::try_from(then.timestamp().as_nanosecond()).ok().map(Time)
        }
    }
}

/// An instant as clients read it: `2026-11-22T23:15:13Z`.
pub fn instant(time: Time) -> String {
    let seconds = i64::try_from(time.0 / 1_000_000_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "9999-12-31T23:59:59Z".into(), |time| time.to_string())
}

fn ends_in_days(text: &str) -> bool {
    text.ends_with(['d', 'w']) || WORDS.iter().any(|(word, _)| *word == text)
}

fn length(text: &str) -> Option<Length> {
    let text = WORDS.iter().find(|(word, _)| *word == text).map_or(text, |(_, length)| length);
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok().filter(|number| (1..=1_000_000_000).contains(number))?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => HOUR,
        "d" => DAY,
        "w" => 7 * DAY,
        "mo" => return u32::try_from(number).ok().filter(|months| *months <= 1200).map(Length::Months),
        _ => return None,
    };
    // A century: times end in the year 2262, and nobody means more.
    number.checked_mul(seconds).filter(|seconds| *seconds <= 36_525 * DAY).map(Length::Seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time(u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap())
    }

    fn ends(duration: &str, now: &str) -> String {
        instant(end(&window(duration, "UTC").unwrap(), at(now)).unwrap())
    }

    #[test]
    fn budgets_reset_when_litellm_resets_them() {
        let now = "2026-11-22T23:15:13Z";
        for (duration, end) in [
            ("1d", "2026-11-23T00:00:00Z"),
            ("daily", "2026-11-23T00:00:00Z"),
            ("24h", "2026-11-23T00:00:00Z"),
            ("7d", "2026-11-23T00:00:00Z"),
            ("1w", "2026-11-23T00:00:00Z"),
            ("30d", "2026-12-01T00:00:00Z"),
            ("1mo", "2026-12-01T00:00:00Z"),
            ("1h", "2026-11-23T00:00:00Z"),
            ("15m", "2026-11-22T23:30:00Z"),
            ("30s", "2026-11-22T23:15:30Z"),
        ] {
            assert_eq!(ends(duration, now), end, "{duration}");
        }
    }

    #[test]
    fn keys_expire_after_their_duration() {
        assert_eq!(after("1mo", at("2026-01-31T12:00:00Z")).map(instant).as_deref(), Some("2026-02-28T12:00:00Z"));
        assert_eq!(after("24h", at("2026-01-31T12:00:00Z")).map(instant).as_deref(), Some("2026-02-01T12:00:00Z"));
        for wrong in ["", "d", "30", "-1d", "0d", "1.5h", "1y", "30 d", "99999999999d", "2000mo", "1000000000w"] {
            assert_eq!(after(wrong, Time(0)), None, "{wrong}");
            assert_eq!(window(wrong, "UTC"), None, "{wrong}");
        }
    }
}
