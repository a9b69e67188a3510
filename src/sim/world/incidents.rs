//! Times in which a deployment is worse than usual, as data. Decides nothing while a run goes on (`sim::weather` does).

use std::sync::Arc;

use super::Step;
use crate::gateway::time::Span;
use crate::traffic::distribution::Distribution;

/// A time in which calls fare worse: an outage, a brownout, a burst of errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// What people call it.
    pub kind: Kind,
    /// When it is.
    pub when: When,
    /// Calls in a million that meet `step`. A million is an outage: such calls are not even counted by the limiter.
    pub per_million: u32,
    /// What those calls meet.
    pub step: Step,
    /// Time to the first token and between chunks of the others, in thousandths of the usual. 1000 leaves them as they are.
    pub slower_per_mille: u32,
    /// Drawn times are keyed by it: deployments that have the same name here are hit together, as those of one provider are.
    pub luck_of: Arc<str>,
}

/// What people call an incident. Changes nothing about what calls meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Calls fail.
    Outage,
    /// Calls are slow.
    Brownout,
    /// A short time with many errors.
    Burst,
}

/// When an incident is.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// Once, as written.
    Once {
        /// From the first arrival of the run.
        from: Span,
        /// How long.
        lasts: Span,
    },
    /// Again and again, at times that nobody knows before.
    Drawn {
        /// From the beginning of one to the beginning of the next, in the mean. The time between them is exponential.
        every: Span,
        /// How long, in nanoseconds; the mean must be below `every`.
        lasts: Distribution,
    },
}

/// Calls in a million that are all calls.
pub const ALL_CALLS: u32 = 1_000_000;

impl When {
    /// From when until when it is, counted from the first arrival, if the scenario says so.
    pub fn scripted(&self) -> Option<(Span, Span)> {
        match self {
            Self::Once { from, lasts } => Some((*from, *from + *lasts)),
            Self::Drawn { .. } => None,
        }
    }
}

impl Incident {
    /// The same, but it never happens. The luck of the others stays what it is.
    #[must_use]
    pub fn that_never_comes(&self) -> Self {
        Self { when: When::Once { from: Span::ZERO, lasts: Span::ZERO }, ..self.clone() }
    }

    /// A time in which every call meets the same error.
    pub fn outage(from: Span, lasts: Span, step: Step) -> Self {
        Self { kind: Kind::Outage, when: When::Once { from, lasts }, per_million: ALL_CALLS, step, slower_per_mille: 1000, luck_of: "".into() }
    }
}
