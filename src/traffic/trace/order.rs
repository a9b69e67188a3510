//! Whether rows come in the order of time, and whether one clock wrote them all. Decides what disorder is refused; knows no file format.

use super::column::Problem;
use super::error::{Fault, thousands};
use super::row::Batch;
use crate::gateway::time::{Span, Time};

/// What to do about rows that are earlier than the row before them. Rows at the same time always keep the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Refuse the trace at the first one: a replay goes forward in time.
    #[default]
    Strict,
    /// Load the whole trace and sort it stably, with about 280 bytes a row and 16 a block while it sorts. Memory grows with the file.
    Sort,
    /// Pass rows on as they are and count: for looking at a trace, not for replaying it.
    Count,
}

/// A gap between two neighbouring rows that no recording has: a year. Two units of time, or two epochs, were mixed.
const CLOCK_GAP: Span = Span::from_secs(366 * 86_400);

/// Watches the times of the rows in the order of the file.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// What the file has, for messages: `line` or `row`.
    unit: &'static str,
    previous: Option<(Time, u64)>,
    latest: (Time, u64),
    pub earlier_rows: u64,
    pub furthest_back: Span,
}

impl Watch {
    pub(super) fn new(unit: &'static str) -> Self {
        Self { unit, previous: None, latest: (Time(0), 0), earlier_rows: 0, furthest_back: Span::ZERO }
    }

    /// Takes note of the next row.
    pub(super) fn see(&mut self, at: Time, line: u64, order: Order) -> Result<(), Problem> {
        if let Some((previous, previous_line)) = self.previous {
            let (gap, direction) = if at < previous { (previous.since(at), "earlier") } else { (at.since(previous), "later") };
            if gap > CLOCK_GAP {
                let what =
                    format!("the time is {} {direction} than on line {previous_line}: {} there, {} here", apart(gap), date(previous), date(at));
                let hint = "two clocks or two units are mixed (seconds with milliseconds?): write all times in one unit from one epoch";
                return Err(Problem::row(Fault::Clock, what, hint));
            }
        }
        self.previous = Some((at, line));
        if at >= self.latest.0 {
            self.latest = (at, line);
            return Ok(());
        }
        let back = self.latest.0.since(at);
        if order == Order::Strict {
            let what = format!("the row is {} earlier than {} {}", apart(back), self.unit, thousands(self.latest.1));
            let hint = "a replay goes forward in time: sort the trace once with `gwsim trace convert --sort IN OUT`";
            return Err(Problem::row(Fault::Order, what, hint));
        }
        self.earlier_rows += 1;
        self.furthest_back = self.furthest_back.max(back);
        Ok(())
    }
}

/// The rows of all batches by time, equal times in their order, cut into batches anew. Names are all first seen in the first one.
pub(super) fn sorted(batches: Vec<Batch>) -> Vec<Batch> {
    let mut places: Vec<(Time, u32, u32)> = Vec::new();
    for (batch, number) in batches.iter().zip(0..) {
        places.extend(batch.rows.iter().zip(0..).map(|(row, place)| (row.at, number, place)));
    }
    places.sort_by_key(|(at, ..)| *at);
    let mut sorted = Vec::new();
    let mut next = Batch::default();
    for batch in &batches {
        next.first_seen.append(&batch.first_seen);
    }
    for (_, batch, place) in places {
        let batch = &batches[batch as usize];
        next.push(batch, &batch.rows[place as usize]);
        if next.is_full() {
            sorted.push(std::mem::take(&mut next));
        }
    }
    if !next.rows.is_empty() {
        sorted.push(next);
    }
    sorted
}

/// A duration for people: whole units where it is long, all digits where it is short.
pub(super) fn apart(span: Span) -> String {
    let seconds = span.0 / 1_000_000_000;
    let two = |whole: u64, unit: &str, rest: u64, smaller: &str| {
        if rest == 0 { format!("{whole} {unit}") } else { format!("{whole} {unit} {rest} {smaller}") }
    };
    match seconds {
        0..60 => super::decimal::text(u128::from(span.0), 9) + " s",
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..172_800 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => format!("{} days", thousands(seconds / 86_400)),
    }
}

/// An instant for people.
pub(super) fn date(at: Time) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).map_or_else(|_| format!("{} ns", at.0), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(times: &[u64], order: Order) -> Result<Watch, Problem> {
        let mut watch = Watch::new("line");
        for (at, line) in times.iter().zip(1..) {
            watch.see(Time(*at), line, order)?;
        }
        Ok(watch)
    }

    #[test]
    fn equal_times_are_in_order() {
        assert_eq!(see(&[0, 0, 5, 5], Order::Strict).unwrap().earlier_rows, 0);
    }

    #[test]
    fn a_step_back_is_refused_or_counted_from_the_latest_row() {
        let problem = see(&[0, 9_000_000_000, 7_500_000_000], Order::Strict).unwrap_err();
        assert_eq!((problem.fault, problem.what.as_str()), (Fault::Order, "the row is 1.5 s earlier than line 2"));
        let watch = see(&[0, 9, 7, 8, 9, 1], Order::Count).unwrap();
        assert_eq!((watch.earlier_rows, watch.furthest_back), (3, Span(8)));
    }

    #[test]
    fn two_clocks_are_refused_in_every_order() {
        let seconds = 1_700_000_000 * 1_000_000;
        let millis = seconds * 1000;
        for order in [Order::Strict, Order::Sort, Order::Count] {
            for times in [[millis, seconds], [seconds, millis]] {
                let problem = see(&times, order).unwrap_err();
                assert_eq!(problem.fault, Fault::Clock);
                assert!(problem.what.contains("line 1: "), "{}", problem.what);
            }
        }
    }
}
