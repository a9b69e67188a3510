//! Clocks on the wall: what a zone's clock shows at an instant, summer time included. Decides nothing; what hangs on the hour or the day asks it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::gateway::time::{Span, Time};

/// The clock of one zone, from 1970 to 2100; before and after that as at the ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalClock {
    /// From when on it is how many nanoseconds ahead of UTC; none is UTC.
    offsets: Vec<(Time, i64)>,
}

impl LocalClock {
    /// UTC.
    pub const UTC: Self = Self { offsets: Vec::new() };

    /// The clock of a zone by its IANA name, `America/Los_Angeles`; `None` if nobody knows that zone.
    pub fn of_zone(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok()?;
        let last: Timestamp = "2100-01-01T00:00:00Z".parse().expect("an instant");
        let mut offsets = vec![(Time(0), nanoseconds(zone.to_offset(Timestamp::UNIX_EPOCH).seconds()))];
        let changes = zone.following(Timestamp::UNIX_EPOCH).take_while(|change| change.timestamp() < last);
        offsets.extend(changes.filter_map(|change| {
            let at = u64::try_from(change.timestamp().as_nanosecond()).ok()?;
            Some((Time(at), nanoseconds(change.offset().seconds())))
        }));
        Some(Self { offsets })
    }

    /// The clock that shows midnight when it is `span` past midnight in UTC.
    pub fn behind_utc(span: Span) -> Self {
        Self { offsets: vec![(Time(0), -i64::try_from(span.0).unwrap_or(i64::MAX))] }
    }

    /// What the clock shows at `now`, as the instant at which a clock of UTC shows it; and until when it runs on evenly from there.
    pub fn at(&self, now: Time) -> (Time, Time) {
        let next = self.offsets.partition_point(|(from, _)| *from <= now);
        let ahead = self.offsets.get(next.saturating_sub(1)).map_or(0, |(_, ahead)| *ahead);
        (Time(now.0.saturating_add_signed(ahead)), self.offsets.get(next).map_or(Time::MAX, |(from, _)| *from))
    }
}

fn nanoseconds(seconds: i32) -> i64 {
    i64::from(seconds) * 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        let instant: Timestamp = text.parse().expect("an instant");
        Time(u64::try_from(instant.as_nanosecond()).expect("after the epoch"))
    }

    #[test]
    fn a_clock_shows_summer_time_from_the_hour_on_at_which_it_begins() {
        let pacific = LocalClock::of_zone("America/Los_Angeles").unwrap();
        let spring = at("2026-03-08T10:00:00Z");
        let (shown, until) = pacific.at(spring - Span(1));
        assert_eq!((shown, until), (at("2026-03-08T02:00:00Z") - Span(1), spring));
        assert_eq!(pacific.at(spring), (at("2026-03-08T03:00:00Z"), at("2026-11-01T09:00:00Z")));
        assert_eq!(pacific.at(at("2026-11-01T09:00:00Z")).0, at("2026-11-01T01:00:00Z"), "an hour comes twice");
    }

    #[test]
    fn zones_need_no_whole_hours_and_no_summer() {
        let india = LocalClock::of_zone("Asia/Kolkata").unwrap();
        assert_eq!(india.at(at("2026-06-01T00:00:00Z")), (at("2026-06-01T05:30:00Z"), Time::MAX));
        assert_eq!(LocalClock::UTC.at(Time(7)), (Time(7), Time::MAX));
        assert_eq!(LocalClock::behind_utc(Span(8)).at(Time(9)), (Time(1), Time::MAX));
        assert_eq!(LocalClock::of_zone("America/Los_Angels"), None);
    }
}
