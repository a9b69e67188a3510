//! What to do upstream when the client leaves, and what a call that did not end well is presumed to cost. Knows rules, not requests.

use super::failure::FailureClass;
use super::money::Money;
use super::plan::{BillingRule, Leave, OnDisconnect, Presume};
use super::rate_card::RateCard;

/// Where a request is when its client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between two attempts.
    BetweenAttempts,
    /// A call without streaming is open.
    NonStream,
    /// A stream's call is open; nothing has come yet.
    BeforeFirstByte,
    /// The stream is being passed on.
    Streaming,
}

/// What is done with the upstream call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// It is closed.
    Cancel,
    /// It is read to its end, and nothing more is tried.
    Drain,
    /// Everything goes on as if the client were there.
    GoOn,
}

/// What to do when the client leaves in `phase` of a call under `billing`.
pub const fn on_leave(policy: &OnDisconnect, billing: Option<BillingRule>, phase: Phase) -> Reaction {
    let (leave, streamed) = match phase {
        Phase::BetweenAttempts => (policy.between_attempts, false),
        Phase::NonStream => (policy.non_stream, false),
        Phase::BeforeFirstByte => (policy.before_first_byte, true),
        Phase::Streaming => (policy.streaming, true),
    };
    match (leave, billing) {
        (Leave::Ignore, _) => Reaction::GoOn,
        // Nothing is open: there is nothing to drain either.
        (_, None) | (Leave::Cancel, _) => Reaction::Cancel,
        (Leave::Drain, _) => Reaction::Drain,
        // Plain answers are billed in full whatever the client does: an exact bill beats a presumed one.
        (Leave::Auto, Some(rule)) if streamed && rule.cancel_stops_billing => Reaction::Cancel,
        (Leave::Auto, Some(_)) => Reaction::Drain,
    }
}

/// How a call ended that no usage came for. Most are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The gateway closed it; so many output tokens had come.
    Cancelled {
        /// It was a stream.
        stream: bool,
        /// Output tokens that had come.
        received: u32,
    },
    /// One of the gateway's time-outs ended it before anything came.
    TimedOut,
    /// The provider or the network ended it before it opened.
    Failed(FailureClass),
    /// It broke off after the provider had begun to answer; so many output tokens had come.
    Cut {
        /// It was a stream.
        stream: bool,
        /// Output tokens that had come.
        received: u32,
    },
    /// It did not break: the answer is whole, but its provider does not say what it bills. At most so many output tokens had come.
    Unsaid {
        /// A bound on the output tokens that had come.
        received: u32,
    },
    /// Nobody saw how it ended.
    Dropped,
}

/// What stands in for a bill that was never seen, and is never below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presumed {
    /// What it may come to.
    pub amount: Money,
    /// The output tokens that may be on it.
    pub output: u64,
}

/// What is presumed of a call that ended so; `None` where the provider bills nothing.
/// `rates` are those of the instant of the call, `worst_case` is what was held, `input` and `max_tokens` the upper bounds that it was made from.
pub fn presumed(rule: BillingRule, rates: &RateCard, worst_case: Money, input: u32, max_tokens: u64, broken: Broken) -> Option<Presumed> {
    let up_to = |output: u64| {
        let output = output.min(max_tokens);
        Presumed { amount: rates.worst_case(input, output).min(worst_case), output }
    };
    let all = Presumed { amount: worst_case, output: max_tokens };
    match broken {
        Broken::Cancelled { stream: true, received } if rule.cancel_stops_billing => {
            Some(up_to(u64::from(received) + u64::from(rule.cancel_lag_tokens_max)))
        }
        Broken::Cancelled { .. } => Some(all),
        // A plain answer is made before its first byte is sent. A break of a stream may be the gateway's own doing (a time-out, the end of a
        // drain): where closing does not stop the bill, it runs on.
        Broken::Cut { stream, .. } if !stream || !rule.cancel_stops_billing => Some(all),
        // What the provider generated before the break may have been more than came through, by the same lag.
        Broken::Cut { received, .. } => Some(up_to(u64::from(received) + u64::from(rule.cancel_lag_tokens_max))),
        Broken::Unsaid { received } => Some(up_to(u64::from(received))),
        Broken::Dropped => Some(all),
        Broken::TimedOut => by_rule(rule.timed_out, all, up_to(0)),
        Broken::Failed(class) if bills_nothing(class) => None,
        Broken::Failed(_) => by_rule(rule.failed, all, up_to(0)),
    }
}

const fn by_rule(rule: Presume, all: Presumed, input: Presumed) -> Option<Presumed> {
    match rule {
        Presume::Nothing => None,
        Presume::Input => Some(input),
        Presume::WorstCase => Some(all),
    }
}

/// Refusals: no provider bills a request that it did not run.
const fn bills_nothing(class: FailureClass) -> bool {
    match class {
        FailureClass::RateLimited
        | FailureClass::BadRequest
        | FailureClass::ContextWindow
        | FailureClass::ContentPolicy
        | FailureClass::Unauthorized
        | FailureClass::Forbidden
        | FailureClass::NotFound
        | FailureClass::Conflict
        | FailureClass::Saturated
        | FailureClass::NoDeployment => true,
        FailureClass::Timeout
        | FailureClass::Connect
        | FailureClass::Internal
        | FailureClass::BadGateway
        | FailureClass::Unavailable
        | FailureClass::Cut => false,
    }
}
