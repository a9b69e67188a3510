//! The part of `report.json` that says whether a variant stands its load, in both directions.

use serde::{Deserialize, Serialize};

use super::Usd;
use crate::gateway::time::Span;
use crate::report::stability::{Aftermath, Metastable, Saturated, Stability, Undecided};

/// Whether a variant stands its load.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct StabilityJson {
    /// When more was asked of the deployments than they can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    saturated: Option<SaturatedJson>,
    /// What became of it after what the scenario has scripted.
    after_trigger: VerdictJson,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
    /// Against the same runs without the trigger.
    #[serde(skip_serializing_if = "Option::is_none")]
    against_twin: Option<AftermathJson>,
    /// How long the run goes on after the trigger, and how long it should, if that is too short.
    #[serde(skip_serializing_if = "Option::is_none")]
    too_short_ns: Option<(u64, u64)>,
}

/// From the first arrival on, over all seeds.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SaturatedJson {
    from_ns: u64,
    lasts_ns: u64,
    calls: u64,
    turned_away: u64,
    admitted_per_second: f64,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum VerdictJson {
    NoTrigger,
    Recovers,
    Metastable,
    NotDecidedTooShort,
    NotDecidedStillFalling,
    NotDecidedOverloaded,
    NotDecidedNoCalls,
}

/// Means over the seeds. Fractions: 0.05 is 5 % more than without the trigger.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct AftermathJson {
    /// From the first arrival on.
    trigger_ended_ns: u64,
    /// The last third of the time after the trigger.
    window_ns: u64,
    more_attempts: f64,
    more_attempts_low: f64,
    more_attempts_high: f64,
    /// In the third before.
    more_attempts_before: f64,
    more_answers: f64,
    /// What the time after the trigger costs more.
    tail: Usd,
}

impl StabilityJson {
    pub(super) fn of(stability: &Stability) -> Self {
        let (after_trigger, after, too_short) = match stability.metastable {
            Metastable::NoTrigger => (VerdictJson::NoTrigger, None, None),
            Metastable::Recovers(after) => (VerdictJson::Recovers, Some(after), None),
            Metastable::Metastable(after) => (VerdictJson::Metastable, Some(after), None),
            Metastable::NotDecided(Undecided::TooShort { after, needed }) => (VerdictJson::NotDecidedTooShort, None, Some((after.0, needed.0))),
            Metastable::NotDecided(Undecided::StillFalling(after)) => (VerdictJson::NotDecidedStillFalling, Some(after), None),
            Metastable::NotDecided(Undecided::Overloaded(after)) => (VerdictJson::NotDecidedOverloaded, Some(after), None),
            Metastable::NotDecided(Undecided::NoCalls) => (VerdictJson::NotDecidedNoCalls, None, None),
        };
        Self {
            saturated: stability.saturated.as_ref().map(SaturatedJson::of),
            after_trigger,
            words: stability.metastable.words(),
            against_twin: after.as_ref().map(AftermathJson::of),
            too_short_ns: too_short,
        }
    }

    /// The verdicts again.
    ///
    /// # Errors
    /// If the figures that a verdict rests on are missing.
    pub(super) fn read(self) -> Result<Stability, String> {
        let after = || self.against_twin.as_ref().map(AftermathJson::read).ok_or("a verdict has no figures");
        let undecided = match self.after_trigger {
            VerdictJson::NoTrigger => Err(Metastable::NoTrigger),
            VerdictJson::Recovers => Err(Metastable::Recovers(after()?)),
            VerdictJson::Metastable => Err(Metastable::Metastable(after()?)),
            VerdictJson::NotDecidedStillFalling => Ok(Undecided::StillFalling(after()?)),
            VerdictJson::NotDecidedOverloaded => Ok(Undecided::Overloaded(after()?)),
            VerdictJson::NotDecidedNoCalls => Ok(Undecided::NoCalls),
            VerdictJson::NotDecidedTooShort => {
                let (after, needed) = self.too_short_ns.ok_or("a verdict has no figures")?;
                Ok(Undecided::TooShort { after: Span(after), needed: Span(needed) })
            }
        };
        let metastable = undecided.map_or_else(|decided| decided, Metastable::NotDecided);
        Ok(Stability { saturated: self.saturated.map(SaturatedJson::read), metastable })
    }
}

impl SaturatedJson {
    fn of(saturated: &Saturated) -> Self {
        let Saturated { from, lasts, calls, turned_away, admitted_per_second } = *saturated;
        Self { from_ns: from.0, lasts_ns: lasts.0, calls, turned_away, admitted_per_second: millionths(admitted_per_second) }
    }

    fn read(self) -> Saturated {
        let Self { from_ns, lasts_ns, calls, turned_away, admitted_per_second } = self;
        Saturated { from: Span(from_ns), lasts: Span(lasts_ns), calls, turned_away, admitted_per_second }
    }
}

impl AftermathJson {
    fn of(after: &Aftermath) -> Self {
        Self {
            trigger_ended_ns: after.trigger_ended.0,
            window_ns: after.window.0,
            more_attempts: millionths(after.more_attempts),
            more_attempts_low: millionths(after.interval.0),
            more_attempts_high: millionths(after.interval.1),
            more_attempts_before: millionths(after.more_attempts_before),
            more_answers: millionths(after.more_answers),
            tail: Usd(after.tail),
        }
    }

    fn read(&self) -> Aftermath {
        Aftermath {
            trigger_ended: Span(self.trigger_ended_ns),
            window: Span(self.window_ns),
            more_attempts: self.more_attempts,
            interval: (self.more_attempts_low, self.more_attempts_high),
            more_attempts_before: self.more_attempts_before,
            more_answers: self.more_answers,
            tail: self.tail.0,
        }
    }
}

/// What is left of verdicts that are written and read again.
#[cfg(test)]
pub(in crate::report) fn again(stability: &Stability) -> Stability {
    let text = serde_json::to_string(&StabilityJson::of(stability)).expect("it can be written");
    serde_json::from_str::<StabilityJson>(&text).expect("it can be read").read().expect("it is complete")
}

/// Rounded to six decimals: no more is known, and what is read again is the same number.
fn millionths(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}
