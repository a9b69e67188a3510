//! A budget over everything as a line that the money spent may not cross: what it has allowed so far. Knows no account and no spending.

use super::numbers::{length, usd};
use crate::gateway::calendar::Calendar;
use crate::gateway::money::Money;
use crate::gateway::policy::{Anchor, BudgetSpec, BudgetWindow, Enforce};
use crate::gateway::time::{Span, Time};

/// A budget that holds for all requests together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetLine {
    /// The most that may be spent in a window.
    pub limit: Money,
    /// What a window is.
    pub window: BudgetWindow,
    /// Whether requests are refused beyond it, or only counted.
    pub is_enforced: bool,
}

/// More windows than this make a slope, not stairs.
const STAIRS_MAX: usize = 200;

impl BudgetLine {
    /// The line of a budget.
    pub fn of(spec: &BudgetSpec) -> Self {
        Self { limit: spec.limit, window: spec.window.clone(), is_enforced: spec.enforce != Enforce::Observe }
    }

    /// `budget of $500 a day`.
    pub fn words(&self) -> String {
        let each = match &self.window {
            BudgetWindow::Total => "in all".to_owned(),
            BudgetWindow::Fixed(span, _) => every(*span),
            BudgetWindow::Calendar(calendar) => every(calendar.end(1).since(calendar.end(0))),
            BudgetWindow::Rolling { length, .. } => format!("in any {}", super::numbers::length(*length)),
        };
        format!("budget of {} {each}{}", usd(self.limit), if self.is_enforced { "" } else { " (only observed)" })
    }

    /// What all windows that have begun allow together, as corners of a line from `first` to `until`; `None` if that depends on what was spent when.
    pub fn allowed(&self, first: Time, until: Time) -> Option<Vec<(Time, Money)>> {
        let starts = match &self.window {
            BudgetWindow::Total => Vec::new(),
            BudgetWindow::Rolling { .. } => return None,
            BudgetWindow::Fixed(span, anchor) => {
                let origin = if *anchor == Anchor::Clock { first.0 / span.0 * span.0 } else { first.0 };
                (1..).map(|number| Time(origin.saturating_add(span.0.saturating_mul(number)))).take_while(|start| *start < until).collect()
            }
            BudgetWindow::Calendar(calendar) => {
                let window = calendar.window(first);
                (window..).map(|number| calendar.end(number)).take_while(|start| *start < until && *start > first).collect::<Vec<Time>>()
            }
        };
        let total = |windows: usize| Money(self.limit.0.saturating_mul(i128::try_from(windows).unwrap_or(i128::MAX)));
        if starts.len() > STAIRS_MAX {
            return Some(vec![(first, self.limit), (until, total(starts.len() + 1))]);
        }
        let stairs = starts.iter().zip(1..).flat_map(|(start, windows)| [(*start, total(windows)), (*start, total(windows + 1))]);
        Some(std::iter::once((first, self.limit)).chain(stairs).chain([(until, total(starts.len() + 1))]).collect())
    }
}

/// The ends of the windows of a calendar that matter to traffic from `first` to `until`, and of those around it.
pub fn ends(calendar: &Calendar, first: Time, until: Time) -> Vec<Time> {
    let from = calendar.window(first).saturating_sub(2);
    (from..=calendar.window(until) + 1).map(|window| calendar.end(window)).take_while(|end| *end < Time::MAX).collect()
}

/// A calendar that says the same of the traffic as the one with these [`ends`]: its first window also takes whatever lies before.
pub fn with_ends(ends: impl IntoIterator<Item = Time>) -> Calendar {
    Calendar::new(std::iter::once(Time(0)).chain(ends).collect())
}

fn every(span: Span) -> String {
    match span.0 / 3_600_000_000_000 {
        1 => "an hour".to_owned(),
        // A day of the calendar has 23 to 25 hours, a month 28 to 31 days.
        23..=25 => "a day".to_owned(),
        167..=169 => "a week".to_owned(),
        671..=745 => "a month".to_owned(),
        _ => format!("every {}", length(span)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(window: BudgetWindow) -> BudgetLine {
        BudgetLine { limit: Money::usd(10), window, is_enforced: true }
    }

    fn hours(hours: u64) -> Time {
        Time(hours * 3_600_000_000_000)
    }

    #[test]
    fn each_window_allows_its_limit_anew() {
        let day = Span::from_secs(86_400);
        let by_the_clock = budget(BudgetWindow::Fixed(day, Anchor::Clock));
        let allowed = by_the_clock.allowed(hours(18), hours(30)).unwrap();
        assert_eq!(allowed, [(hours(18), 10), (hours(24), 10), (hours(24), 20), (hours(30), 20)].map(|(at, usd)| (at, Money::usd(usd))));
        let from_the_first = budget(BudgetWindow::Fixed(day, Anchor::Start)).allowed(hours(18), hours(30)).unwrap();
        assert_eq!(from_the_first.last(), Some(&(hours(30), Money::usd(10))));
        let once = budget(BudgetWindow::Total).allowed(hours(0), hours(1_000)).unwrap();
        assert_eq!(once, [(hours(0), Money::usd(10)), (hours(1_000), Money::usd(10))]);
        assert_eq!(budget(BudgetWindow::Rolling { length: day, slices: 24 }).allowed(hours(0), hours(30)), None);
    }

    #[test]
    fn a_window_that_ends_with_the_traffic_is_the_last() {
        let hourly = budget(BudgetWindow::Fixed(Span::from_secs(3_600), Anchor::Clock));
        assert_eq!(hourly.allowed(hours(0), hours(2)).unwrap().last(), Some(&(hours(2), Money::usd(20))));
        let many = hourly.allowed(hours(0), hours(1_000)).unwrap();
        assert_eq!(many, [(hours(0), Money::usd(10)), (hours(1_000), Money::usd(10_000))], "a slope");
    }

    #[test]
    fn the_windows_around_the_traffic_say_what_the_whole_calendar_says() {
        let days = |days: u64| hours(24 * days);
        let months = Calendar::new([0, 31, 59, 90, 120, 151, 181, 212, 243].map(days).to_vec());
        for (first, until) in [(5, 20), (40, 45), (58, 100), (95, 95), (230, 240)] {
            let (first, until) = (days(first), days(until));
            let kept = with_ends(ends(&months, first, until));
            assert_eq!(ends(&kept, first, until), ends(&months, first, until));
            let [whole, kept] = [months.clone(), kept].map(|calendar| budget(BudgetWindow::Calendar(calendar)));
            assert_eq!(kept.allowed(first, until), whole.allowed(first, until));
            assert_eq!((kept.words(), whole.words()), ("budget of $10.00 a month".to_owned(), "budget of $10.00 a month".to_owned()));
        }
    }

    #[test]
    fn a_budget_says_what_it_is() {
        let day = BudgetLine { is_enforced: false, ..budget(BudgetWindow::Fixed(Span::from_secs(86_400), Anchor::Clock)) };
        assert_eq!(day.words(), "budget of $10.00 a day (only observed)");
        let minutes = budget(BudgetWindow::Fixed(Span::from_secs(600), Anchor::Start));
        assert_eq!(minutes.words(), "budget of $10.00 every 10 min");
    }
}
