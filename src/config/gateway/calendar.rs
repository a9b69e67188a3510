//! Calendar windows in named time zones, as tables for the core. The only place of a gateway that knows time zones.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Span as CivilSpan, ToSpan};

use crate::gateway::calendar::Calendar;
use crate::gateway::plan::{Anchor, BudgetWindow};
use crate::gateway::time::{Span, Time};

/// A period of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// A clock hour.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday (ISO 8601).
    Week,
    /// A month.
    Month,
}

/// Words for [`Period`].
pub const PERIODS: [(&str, Period); 4] = [("hour", Period::Hour), ("day", Period::Day), ("week", Period::Week), ("month", Period::Month)];

/// The tables that were made. Every key may have such a budget, and a table is long.
static MADE: Mutex<BTreeMap<(Period, String), Calendar>> = Mutex::new(BTreeMap::new());

/// The windows of `period` in the zone called `timezone`; `None` if nobody knows that zone.
///
/// Tables of days reach from 2015 to 2045, of weeks and months from 1970 to 2100: traces lie within, and what lies outside falls into the first or
/// the last window. Hours, and days in UTC, are of one length and need no table. Whoever asks for the same windows again shares the table.
pub fn windows(period: Period, timezone: &str) -> Option<BudgetWindow> {
    let zone = if timezone == "UTC" { TimeZone::UTC } else { TimeZone::get(timezone).ok()? };
    let (first, last, step): (Date, Date, CivilSpan) = match period {
        Period::Hour => return Some(BudgetWindow::Fixed(Span::from_secs(3600), Anchor::Clock)),
        Period::Day if zone == TimeZone::UTC => return Some(BudgetWindow::Fixed(Span::from_secs(86_400), Anchor::Clock)),
        Period::Day => (date(2015, 1, 1), date(2045, 1, 1), 1.day()),
        // The first Monday after the epoch.
        Period::Week => (date(1970, 1, 5), date(2100, 1, 1), 1.week()),
        Period::Month => (date(1970, 2, 1), date(2100, 1, 1), 1.month()),
    };
    let starts = || first.series(step).take_while(|day| *day <= last).filter_map(|day| start_of(day, &zone)).collect::<Vec<_>>();
    // A table is there whole or not at all, whatever has panicked.
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let calendar = made.entry((period, timezone.to_owned())).or_insert_with(|| Calendar::new(starts()));
    Some(BudgetWindow::Calendar(calendar.clone()))
}

fn start_of(day: Date, zone: &TimeZone) -> Option<Time> {
    let midnight = day.to_zoned(zone.clone()).and_then(|midnight| midnight.start_of_day()).ok()?;
    u64::try_from(midnight.timestamp().as_nanosecond()).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(period: Period, zone: &str) -> Calendar {
        match windows(period, zone) {
            Some(BudgetWindow::Calendar(calendar)) => calendar,
            other => panic!("no table: {other:?}"),
        }
    }

    fn at(text: &str) -> Time {
        let instant: jiff::Timestamp = text.parse().expect("an instant");
        Time(u64::try_from(instant.as_nanosecond()).expect("after the epoch"))
    }

    #[test]
    fn a_day_in_berlin_lasts_23_hours_when_summer_time_begins() {
        let days = calendar(Period::Day, "Europe/Berlin");
        let day = days.window(at("2026-03-29T12:00:00+02:00"));
        assert_eq!(days.end(day), at("2026-03-30T00:00:00+02:00"));
        assert_eq!(days.end(day).since(days.end(day - 1)), Span::from_secs(23 * 3600));
    }

    #[test]
    fn a_day_lasts_23_hours_where_midnight_itself_is_skipped() {
        let days = calendar(Period::Day, "America/Santiago");
        let day = days.window(at("2024-09-08T12:00:00-03:00"));
        assert_eq!(days.end(day - 1), at("2024-09-08T01:00:00-03:00"), "it starts at 01:00");
        assert_eq!(days.end(day).since(days.end(day - 1)), Span::from_secs(23 * 3600));
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        let weeks = calendar(Period::Week, "UTC");
        assert_eq!(weeks.end(weeks.window(at("2026-11-22T23:59:59Z"))), at("2026-11-23T00:00:00Z"));
        let months = calendar(Period::Month, "America/New_York");
        assert_eq!(months.end(months.window(at("2024-02-29T12:00:00-05:00"))), at("2024-03-01T00:00:00-05:00"));
    }

    #[test]
    fn a_table_is_made_once_and_written_down_in_few_words() {
        for (zone, period, bytes) in [
            ("UTC", Period::Week, 100),
            ("UTC", Period::Month, 500),
            ("Europe/Berlin", Period::Day, 3000),
            ("Europe/Berlin", Period::Week, 5000),
            ("Europe/Berlin", Period::Month, 2000),
            ("America/New_York", Period::Month, 2000),
        ] {
            let made = calendar(period, zone);
            assert!(made.is_shared_with(&calendar(period, zone)));
            let spelt = postcard::to_stdvec(&made).unwrap();
            assert!(spelt.len() <= bytes, "{period:?} in {zone}: {} bytes", spelt.len());
            assert_eq!(postcard::from_bytes::<Calendar>(&spelt).unwrap(), made, "{period:?} in {zone}");
        }
        assert!(!calendar(Period::Month, "Europe/Berlin").is_shared_with(&calendar(Period::Month, "UTC")));
    }

    #[test]
    fn an_unknown_zone_has_no_windows() {
        assert_eq!(windows(Period::Day, "Europe/Berlim"), None);
    }
}
