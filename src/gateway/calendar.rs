//! The windows of a calendar, as a table that the core only searches. Knows no time zone: `config` makes the tables, where zones are known.
//!
//! Thousands of budgets may have one calendar, so a copy shares the table; and it is written down in few words, as every command that sets such a
//! budget is in the journal.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::time::{Span, Time};

/// How far back a repetition is looked for: four years of months.
const BACK_MAX: usize = 64;

/// The starts of consecutive calendar windows (days in a named zone, months, ...).
///
/// Strictly increasing: window `i` is `[starts[i], starts[i + 1])`.
#[derive(Debug, Clone)]
pub struct Calendar(Arc<Table>);

#[derive(Debug)]
struct Table {
    starts: Vec<Time>,
    /// The same, as it is written down.
    spelt: Spelt,
}

/// The first start, and from each to the next.
#[derive(Debug, Serialize, Deserialize)]
struct Spelt {
    first: Time,
    steps: Vec<Steps>,
}

/// Steps, and after them `again` more, each like the one `back` places before it.
#[derive(Debug, Serialize, Deserialize)]
struct Steps {
    new: Vec<Span>,
    back: usize,
    again: usize,
}

impl Calendar {
    /// A calendar from the starts of its windows.
    ///
    /// # Panics
    /// If `starts` is empty or not strictly increasing: `config` makes these tables, so that is a bug there.
    pub fn new(starts: Vec<Time>) -> Self {
        assert!(!starts.is_empty(), "a calendar has at least one window");
        assert!(starts.is_sorted_by(|a, b| a < b), "calendar windows follow each other");
        let spelt = Spelt::of(&starts);
        Self(Arc::new(Table { starts, spelt }))
    }

    /// Whether this is `other`, or goes on where it ends: the windows that both have are the same, up to the last of `other`, which has no end.
    pub fn extends(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.0.starts.starts_with(&other.0.starts)
    }

    /// Whether both are one table.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The index of the window that holds `now`; window 0 also takes whatever lies before the table.
    #[inline]
    pub fn window(&self, now: Time) -> u64 {
        self.0.starts.partition_point(|start| *start <= now).saturating_sub(1) as u64
    }

    /// When the window after `index` starts, or [`Time::MAX`] for the last one.
    #[inline]
    pub fn end(&self, index: u64) -> Time {
        usize::try_from(index + 1).ok().and_then(|next| self.0.starts.get(next)).copied().unwrap_or(Time::MAX)
    }
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.0.starts == other.0.starts
    }
}

impl Eq for Calendar {}

impl Serialize for Calendar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.spelt.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Calendar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spelt = Spelt::deserialize(deserializer)?;
        let starts = spelt.starts().ok_or_else(|| D::Error::custom("a calendar whose windows do not follow each other"))?;
        Ok(Self(Arc::new(Table { starts, spelt })))
    }
}

impl Spelt {
    fn of(starts: &[Time]) -> Self {
        let all: Vec<Span> = starts.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        let (mut steps, mut new, mut at) = (Vec::new(), Vec::new(), 0);
        while at < all.len() {
            let alike = |back: usize| all[at..].iter().zip(&all[at - back..]).take_while(|(step, before)| step == before).count();
            let longest = (1..=at.min(BACK_MAX)).map(|back| (alike(back), back)).max().filter(|(again, _)| *again > 1);
            if let Some((again, back)) = longest {
                steps.push(Steps { new: core::mem::take(&mut new), back, again });
                at += again;
            } else {
                new.push(all[at]);
                at += 1;
            }
        }
        steps.push(Steps { new, back: 0, again: 0 });
        Self { first: starts[0], steps }
    }

    /// The starts; `None` if what is written can't be those of a calendar.
    fn starts(&self) -> Option<Vec<Time>> {
        let (mut starts, mut all) = (alloc::vec![self.first], Vec::<Span>::new());
        let mut last = self.first;
        let mut go = |all: &mut Vec<Span>, step: Span| {
            last = Time(last.0.checked_add(step.0).filter(|_| step > Span::ZERO)?);
            starts.push(last);
            all.push(step);
            Some(())
        };
        for Steps { new, back, again } in &self.steps {
            new.iter().try_for_each(|step| go(&mut all, *step))?;
            for _ in 0..*again {
                let step = *all.get(all.len().checked_sub(*back)?)?;
                go(&mut all, step)?;
            }
        }
        Some(starts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(spelt: &Spelt) -> Result<Calendar, postcard::Error> {
        postcard::from_bytes(&postcard::to_stdvec(spelt).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_read_has_the_windows_that_were_written(
            first in 0..1_000_u64,
            // Few kinds of steps, so that there is much to repeat, and a few that are like no other.
            steps in proptest::collection::vec(prop_oneof![20 => 1..4_u64, 1 => 4..1_000_u64], 0..300),
            instants in proptest::collection::vec(0..4_000_u64, 20),
        ) {
            let mut starts = vec![Time(first)];
            starts.extend(steps.iter().scan(first, |at, step| { *at += step; Some(Time(*at)) }));
            let made = Calendar::new(starts.clone());
            let read: Calendar = postcard::from_bytes(&postcard::to_stdvec(&made).unwrap()).unwrap();
            prop_assert_eq!(&read.0.starts, &starts);
            prop_assert_eq!(&read, &made);
            for now in instants.into_iter().map(Time) {
                let window = starts.iter().rposition(|start| *start <= now).unwrap_or(0);
                let end = starts.get(window + 1).copied().unwrap_or(Time::MAX);
                prop_assert_eq!((read.window(now), read.end(read.window(now))), (window as u64, end));
                prop_assert_eq!(made.window(now), window as u64);
            }
        }
    }

    #[test]
    fn what_is_no_calendar_is_not_read() {
        let steps = |new: &[u64], back, again| Steps { new: new.iter().copied().map(Span).collect(), back, again };
        assert!(read(&Spelt { first: Time(1), steps: vec![steps(&[2, 3], 2, 5)] }).is_ok());
        for wrong in [steps(&[2, 0], 0, 0), steps(&[2], 2, 1), steps(&[2], 0, 1), steps(&[u64::MAX], 0, 0)] {
            assert!(read(&Spelt { first: Time(1), steps: vec![wrong] }).is_err());
        }
    }

    #[test]
    fn a_copy_is_the_same_table() {
        let one = Calendar::new((0..10).map(Time).collect());
        let other = Calendar::new((0..10).map(Time).collect());
        assert!(one.clone().is_shared_with(&one) && !one.is_shared_with(&other));
        assert_eq!(one, other);
    }
}
