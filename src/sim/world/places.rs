//! How many calls a deployment works on at one time, as data. Decides nothing while a run goes on (`sim::places` does).

use crate::gateway::time::Span;

/// A deployment that works on so many calls at one time and lets some of the others wait, first come, first served.
///
/// A call has its place until it ends, well or not; one that is closed early, until its provider stops working on it: at once for one that waits or
/// hangs, after `cancel_lag_tokens` for a stream where closing stops the bill, else when it would have ended. What a limiter or a total outage
/// answers takes no place. A call
/// that will wait in vain keeps its place in the queue until then, even if its client has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Calls at one time; at least 1.
    pub count: u32,
    /// Calls that may wait. Their first token comes later by as long as they wait.
    pub queue: u32,
    /// How long a call waits at most; [`Span::MAX`] for as long as it takes. Which calls this hits is decided when they come: a place that
    /// somebody gives up later does not save them.
    pub wait_max: Span,
    /// What a call is answered that finds the queue full or has waited for too long: 429 or 503.
    pub status: u16,
}
