//! Whether a variant stands its load: has it enough capacity, and does it come back after a trigger. Knows counts over time, not how they were made.

use crate::gateway::money::Money;
use crate::gateway::time::Span;

/// The verdicts on one variant.
#[derive(Debug, Clone, PartialEq)]
pub struct Stability {
    /// When more was asked of the deployments than they can do; `None` if never for long.
    pub saturated: Option<Saturated>,
    /// Whether it comes back after what the scenario has scripted.
    pub metastable: Metastable,
}

/// More was asked of the deployments than they can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saturated {
    /// When it began, from the first arrival on.
    pub from: Span,
    /// For how long in all.
    pub lasts: Span,
    /// In that time: calls made.
    pub calls: u64,
    /// Of these, calls that were turned away for want of capacity.
    pub turned_away: u64,
    /// In that time: calls a second that were admitted. It stayed so much, whatever was asked for.
    pub admitted_per_second: f64,
}

/// What became of a variant after a scripted trigger: an outage, a brownout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metastable {
    /// The scenario scripts none.
    NoTrigger,
    /// The attempts went back to what they are without the trigger.
    Recovers(Aftermath),
    /// They did not, though the load alone is below capacity: the variant keeps itself down.
    Metastable(Aftermath),
    /// The run does not tell.
    NotDecided(Undecided),
}

/// How runs with the trigger differ from the same runs without it, after its end. Means over the seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aftermath {
    /// When the trigger ended, from the first arrival on.
    pub trigger_ended: Span,
    /// The last window, up to the last arrival; and the one before it is as long.
    pub window: Span,
    /// Attempts for each request in the last window, relative to the runs without the trigger: 0.05 is 5 % more.
    pub more_attempts: f64,
    /// The 95 % interval of it.
    pub interval: (f64, f64),
    /// The same in the window before the last.
    pub more_attempts_before: f64,
    /// What the time after the trigger's end cost more than without it.
    pub tail: Money,
}

/// Why it is not decided whether a variant comes back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Undecided {
    /// After the trigger's end the run goes on for less than three times its length.
    TooShort {
        /// How long the run goes on.
        after: Span,
        /// How long it should.
        needed: Span,
    },
    /// There were more attempts in the last window than without the trigger, but fewer than in the one before.
    StillFalling(Aftermath),
    /// Without the trigger, too, there is more load than capacity in the last window.
    Overloaded(Aftermath),
}
