//! What a trace's dollars are for an hour, a day or a month of such traffic, and whether the trace is long enough to say so. Knows no variants.

use super::numbers::length;
use crate::gateway::money::Money;
use crate::gateway::time::Span;

/// A time that people think of costs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The title of its column: `$/month`.
    pub title: &'static str,
    /// In a sentence, after an amount: `a month`.
    pub each: &'static str,
    /// How long it is.
    pub length: Span,
}

/// An hour.
pub const HOUR: Period = Period { title: "$/hour", each: "an hour", length: Span::from_secs(3_600) };
/// A day.
pub const DAY: Period = Period { title: "$/day", each: "a day", length: WHOLE_DAY };
/// A month of 30 days.
pub const MONTH: Period = Period { title: "$/month", each: "a month", length: Span::from_secs(30 * 86_400) };

const WHOLE_DAY: Span = Span::from_secs(86_400);

/// Traffic of at least so long says something about a day: a day's log begins and ends a little inside it.
const A_DAY: Span = Span::from_secs(23 * 3_600);

/// Traffic shorter than this says nothing about an hour.
const TOO_SHORT: Span = Span::MINUTE;

/// The periods that traffic of `span` says something about, the shortest first: none below a minute.
pub fn periods(span: Span) -> &'static [Period] {
    match span {
        span if span >= A_DAY => &[DAY, MONTH],
        span if span >= TOO_SHORT => &[HOUR],
        _ => &[],
    }
}

/// How the dollars of the periods come from the trace's; `None` if nothing has to be said.
pub fn note(span: Span) -> Option<String> {
    match periods(span).len() {
        2 if span <= WHOLE_DAY => Some("$/day: the trace is taken for a day; $/month: 30 of them.".to_owned()),
        2 => Some(format!("$/day: the trace's dollars spread over its {}; $/month: 30 such days.", length(span))),
        1 => Some(format!("$/hour: the trace's dollars spread over its {}; too short to speak of days.", length(span))),
        _ => None,
    }
}

impl Period {
    /// `amount`, spent in a trace of `span`, for this period of such traffic.
    pub fn of(self, amount: Money, span: Span) -> Money {
        // A log of a day rarely reaches from midnight to midnight: between 23 and 24 hours it counts as one.
        let span = if (A_DAY..WHOLE_DAY).contains(&span) { WHOLE_DAY } else { span };
        let (span, target) = (i128::from(span.0 / 1_000_000).max(1), i128::from(self.length.0 / 1_000_000));
        Money(amount.0 / span * target + amount.0 % span * target / span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_spoken_of_only_after_a_day() {
        let titles = |seconds: u64| periods(Span::from_secs(seconds)).iter().map(|period| period.title).collect::<Vec<_>>();
        assert_eq!(titles(59), [""; 0]);
        assert_eq!(titles(3_436), ["$/hour"]);
        assert_eq!(titles(82_799), ["$/hour"]);
        assert_eq!(titles(86_399), ["$/day", "$/month"]);
        let day = |seconds| DAY.of(Money::usd(100), Span::from_secs(seconds));
        assert_eq!([86_399, 86_400, 172_800].map(day), [Money::usd(100), Money::usd(100), Money::usd(50)]);
    }
}
