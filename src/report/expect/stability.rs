//! Whether a variant stands its load as expected: the verdicts on its stability as bounds. Reaches no verdict of its own.

use crate::report::numbers;
use crate::report::stability::{Aftermath, Metastable, Stability, Undecided};

/// What is said where nobody looked.
const UNKNOWN: &str = "nobody looked";

/// What was found, and whether it is as expected.
pub(super) fn saturated(stability: Option<&Stability>, expected: bool) -> (String, bool) {
    let Some(stability) = stability else { return (UNKNOWN.to_owned(), false) };
    let found = match &stability.saturated {
        None => "not saturated".to_owned(),
        Some(it) => format!(
            "saturated for {}: {} of {} calls turned away",
            numbers::length(it.lasts),
            numbers::count(it.turned_away),
            numbers::count(it.calls)
        ),
    };
    (found, stability.saturated.is_some() == expected)
}

/// What was found, and whether it is as expected.
pub(super) fn metastable(stability: Option<&Stability>, expected: bool) -> (String, bool) {
    let Some(stability) = stability else { return (UNKNOWN.to_owned(), false) };
    match stability.metastable {
        Metastable::NoTrigger => ("no trigger in the scenario".to_owned(), false),
        Metastable::Recovers(after) => (format!("recovers: {}", attempts(after)), !expected),
        Metastable::Metastable(after) => (format!("metastable: {}", attempts(after)), expected),
        Metastable::NotDecided(why) => (format!("not decided: {}", undecided(why)), false),
    }
}

fn undecided(why: Undecided) -> String {
    match why {
        Undecided::NoCalls => "no calls to compare".to_owned(),
        Undecided::TooShort { after, needed } => {
            format!("the run goes on for {} after the trigger, less than {}", numbers::length(after), numbers::length(needed))
        }
        Undecided::StillFalling(after) => format!("still falling: {}", attempts(after)),
        Undecided::Overloaded(after) => format!("overloaded without the trigger, too: {}", attempts(after)),
    }
}

fn attempts(after: Aftermath) -> String {
    let (low, high) = after.interval;
    let percent = |share: f64| format!("{:+.1}", share * 100.0);
    let window = numbers::length(after.window);
    format!("{} % attempts a request in the last {window} ({} to {} %)", percent(after.more_attempts), percent(low), percent(high))
}
