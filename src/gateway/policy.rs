//! The policies that a plan is made of, each with its choices. Data only: what they mean is decided where they are used.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::failure::{CLASSES, FailureClass, FailureSet};
use super::id::ModelId;
use super::money::Money;
use super::time::Span;

/// How a deployment is picked among those that may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// At random, by weight.
    WeightedShuffle,
    /// The first in configuration order that has not failed this request; then the first.
    Ordered,
    /// The fewest calls in flight; ties go to the first.
    LeastBusy,
    /// The lowest smoothed latency per output token; unknown ones first. At random among those within `buffer_per_mille` of the best.
    LowestLatency {
        /// How much slower than the best still counts as best, in thousandths.
        buffer_per_mille: u32,
    },
    /// The lowest price for this request; ties go to the first.
    LowestCost,
    /// The fewest tokens in the current minute; ties go to the first.
    LowestUsage,
}

/// What a pick looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pick {
    /// Only deployments whose limits have room are candidates.
    Admissible,
    /// Limits are asked after the pick; a full one is a failure of class [`FailureClass::Saturated`].
    Blind,
}

/// Caps on calls, and which failures are tried again in the same group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Calls for one request over all groups, transport retries included. At least 1.
    pub per_request: u32,
    /// Attempts in one group. At least 1.
    pub per_group: u32,
    /// Attempts on one deployment. At least 1.
    pub per_deployment: u32,
    /// Failures that are tried again.
    pub retry_on: FailureSet,
    /// Failures that are tried again only if the group has another deployment.
    pub retry_on_other: FailureSet,
    /// Retries in one group for failures of a class, in place of `per_group`; such a class is retried whatever `retry_on` says.
    pub retries_by_class: [Option<u32>; CLASSES],
    /// Failures after which a deployment is not picked again for this request while another may be.
    pub avoid_after: FailureSet,
    /// Retry only while a deployment of the group is healthy (not cooling, not open).
    pub only_if_healthy: bool,
}

/// The wait before the next attempt in a group: `min(max(base * 2^i, floor), max) + jitter`, `i` counting from 0 in each group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The first wait.
    pub base: Span,
    /// The least wait before jitter.
    pub floor: Span,
    /// The longest wait before jitter.
    pub max: Span,
    /// A uniform draw from zero to this is added.
    pub jitter: Span,
    /// A provider's Retry-After replaces the exponential if it is above zero and at most this; zero ignores the header.
    pub retry_after_max: Span,
    /// Wait only when no healthy deployment is left in the group; else try again at once.
    pub only_without_healthy: bool,
    /// Wait also after the last failed attempt, before the fallback or the answer.
    pub after_last: bool,
}

/// Retries below an attempt: same deployment, not counted by health, cooldown or group caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    /// How many; zero switches them off.
    pub retries: u32,
    /// Failures that are sent again.
    pub retry_on: FailureSet,
    /// The wait between them.
    pub backoff: Backoff,
}

/// Where a request goes when its group has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallbacks {
    /// The groups to go to, in order.
    pub groups: Vec<ModelId>,
    /// The groups for inputs that are too long; `None` uses `groups`.
    pub context_window: Option<Vec<ModelId>>,
    /// The groups for answers that a content policy refused; `None` uses `groups`.
    pub content_policy: Option<Vec<ModelId>>,
    /// Failures that lead to a fallback.
    pub fallback_on: FailureSet,
    /// How fallbacks of fallbacks are walked.
    pub walk: Walk,
    /// Which failure the client sees when fallbacks have failed as well.
    pub shown: Shown,
    /// The most that a fallback may cost in its worst case, in thousandths of this request's worst case at the model asked for.
    pub price_ratio_max_per_mille: Option<u32>,
    /// Only groups of the same `tier` as the one asked for.
    pub same_tier: bool,
    /// Alert when this share of a model's answers comes from other groups, in thousandths, over a minute of at least 20 answers.
    pub alert_share_per_mille: u32,
}

/// How the graph of fallbacks is walked. Every group is entered at most once by one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Walk {
    /// Only the list of the group asked for.
    Flat,
    /// A failed fallback's own fallbacks come before its siblings.
    DepthFirst {
        /// Groups below the one asked for on one path; 0 means no fallbacks.
        depth_max: u32,
        /// What makes a path deeper.
        depth_by: DepthBy,
        /// Where a group goes that has no fallbacks of its own: to the rest of the list of the group asked for, or back to its siblings.
        resume_origin: bool,
    },
}

/// What counts as one step of depth in a [`Walk::DepthFirst`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DepthBy {
    /// One for each level of nesting.
    Level,
    /// One for each level of nesting and each sibling tried before (LiteLLM 1.109 counts so).
    Sibling,
}

/// Which failure a client sees when more than one group has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shown {
    /// That of the last group tried.
    Last,
    /// That of the group asked for; but if the last group had no deployment to call, then that (LiteLLM 1.109 answers so).
    Asked,
}

/// When a deployment is left alone for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooldown {
    /// How long; zero switches cooldowns off.
    pub time: Span,
    /// A provider's Retry-After takes the place of `time`.
    pub retry_after: bool,
    /// Failures that cool at once.
    pub at_once: FailureSet,
    /// Failures that are counted.
    pub counted: FailureSet,
    /// More counted failures than this within `window` cool; `None` switches the rule off.
    pub allowed_fails: Option<u32>,
    /// As `allowed_fails`, for single classes.
    pub allowed_by_class: [Option<u32>; CLASSES],
    /// The window of `allowed_fails`, from its first failure.
    pub window: Span,
    /// The rule on the share of failures.
    pub share: Option<FailureShare>,
    /// Which failures of a request are counted.
    pub counts: Counts,
    /// Which failures of fallback hops are counted.
    pub hops: Hops,
    /// Groups with one deployment.
    pub single: Single,
    /// Failures that single deployments are exempt from.
    pub single_exempt: FailureSet,
}

/// Cools when more than `per_mille` of at least `calls_min` calls failed within `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureShare {
    /// Thousandths of the calls.
    pub per_mille: u32,
    /// Fewer calls than this say nothing.
    pub calls_min: u32,
    /// From the first call counted.
    pub window: Span,
}

/// Which failures of one request count towards a cooldown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counts {
    /// Every failed attempt.
    Every,
    /// Only the request's first failed attempt.
    FirstOfRequest,
}

/// Whether failures on fallback hops count towards a cooldown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hops {
    /// Like any other.
    Count,
    /// Never.
    Ignore,
    /// Only if the request fails in the end; counted then.
    IfRequestFails,
}

/// Whether a group's only deployment may be cooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Single {
    /// Cooled like any other.
    Cooled,
    /// Exempt, for the failures of `single_exempt`.
    Exempt,
    /// Exempt so, unless the group has fallbacks.
    ExemptWithoutFallback,
}

/// A circuit breaker: open after consecutive failures, then half-open, letting probes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Consecutive failures that open it. At least 1.
    pub failures: u32,
    /// Failures that are counted.
    pub counted: FailureSet,
    /// How long it stays open before probes are let through.
    pub open_for: Span,
    /// Probes at one time while half-open. At least 1.
    pub probes: u32,
    /// Successful probes that close it. At least 1.
    pub successes: u32,
}

/// How long things may take. `Span::MAX` means for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// A plain call, from sending to the end of its answer.
    pub call: Span,
    /// A stream, from sending to its first byte.
    pub first_byte: Span,
    /// A stream, from sending to its end.
    pub stream: Span,
    /// A gap between two chunks of a stream; measured by the driver.
    pub idle: Span,
    /// The whole request, all attempts and waits, if the client states no deadline of its own.
    pub request: Span,
}

/// The response cache for one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachePolicy {
    /// How long an answer may be given again.
    pub ttl: Span,
    /// Every hit starts the ttl anew.
    pub sliding: bool,
    /// Who shares answers.
    pub scope: CacheScope,
    /// Separates deployments of gwsim that share a store.
    pub namespace: u64,
    /// Identical requests at one time make one call.
    pub single_flight: bool,
    /// Streams and plain answers are kept apart.
    pub separate_streams: bool,
    /// Hits use up request limits like calls do.
    pub hits_count: bool,
    /// A store outside the process is asked, with [`LookUp`](super::in_flight::Action::LookUp), when the local index has nothing.
    pub remote: bool,
}

/// Who may be given whose answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheScope {
    /// Everybody shares.
    Shared,
    /// Keys of one team share.
    Team,
    /// No sharing between keys.
    Key,
}

/// Output lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaxTokens {
    /// Sent upstream when the client states none; `None` leaves it to the model's own maximum.
    pub default: Option<u32>,
    /// The most that is sent upstream, whatever the client states.
    pub cap: Option<u32>,
}

/// What to do upstream when the client has left, by the phase that the request is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDisconnect {
    /// Between two attempts: cancel and drain both stop; ignore goes on with the attempts.
    pub between_attempts: Leave,
    /// During a call without streaming.
    pub non_stream: Leave,
    /// During a stream's call, before its first byte.
    pub before_first_byte: Leave,
    /// While the stream is passed on.
    pub streaming: Leave,
    /// The longest drain.
    pub drain_time_max: Span,
    /// The most output tokens drained.
    pub drain_tokens_max: u32,
}

/// One reaction to a client that left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leave {
    /// Cancel where that stops the bill, else drain: what is paid for is at least known exactly.
    Auto,
    /// Close the upstream call.
    Cancel,
    /// Let the call end, within the drain caps; no further attempt.
    Drain,
    /// Go on as if the client were there, retries and fallbacks included.
    Ignore,
}

/// What a provider bills for a call that does not end well: the rule by which the ledger presumes amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingRule {
    /// Closing a *stream* stops generation and so the bill.
    pub cancel_stops_billing: bool,
    /// Tokens generated at most between the close and the stop.
    pub cancel_lag_tokens_max: u32,
    /// After one of the gateway's own time-outs.
    pub timed_out: Presume,
    /// After a 5xx or a connection that broke before the answer.
    pub failed: Presume,
}

/// An amount that stands in for usage that was never seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presume {
    /// The provider bills nothing.
    Nothing,
    /// The input was processed and is billed.
    Input,
    /// Everything that the call could have cost.
    WorstCase,
}

/// The loop detector: one key sending one fingerprint again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopDetector {
    /// More equal requests than this within `window` are a loop.
    pub repeats: u32,
    /// From the first of them.
    pub window: Span,
    /// Refuse, or only alert.
    pub enforce: Enforce,
}

/// A token bucket over retries, per model asked for (Finagle's RetryBudget): every request adds `ratio`, every retry or fallback takes 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryBudget {
    /// Thousandths of a retry that every request earns.
    pub ratio_per_mille: u32,
    /// The bucket's size and first filling, in retries.
    pub burst: u32,
}

/// A budget account's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetSpec {
    /// The most that may be spent in a window.
    pub limit: Money,
    /// What a window is.
    pub window: BudgetWindow,
    /// Refuse, or only say that it would have.
    pub enforce: Enforce,
    /// What is held before a call.
    pub mode: BudgetMode,
    /// When the worst case of a call does not fit any more.
    pub on_short: OnShort,
    /// Levels of spend that alert, in thousandths of the limit, ascending.
    pub alert_at_per_mille: Vec<u32>,
}

/// The window of a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BudgetWindow {
    /// One window that never ends.
    Total,
    /// Of one length, aligned to the epoch or to the first use.
    Fixed(Span, Anchor),
    /// Calendar days, weeks or months in some zone.
    Calendar(Calendar),
    /// The last `length`, in steps of `length / slices`: at any instant the current step and the `slices` before it count.
    Rolling {
        /// What the limit holds for.
        length: Span,
        /// Steps; at least 1.
        slices: u32,
    },
}

/// Where fixed windows begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Anchor {
    /// At multiples of their length since the epoch.
    Clock,
    /// At the first use after the last one ended.
    FirstUse,
    /// At multiples of their length since the first use ever.
    Start,
}

/// Whether a decision is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforce {
    /// Decide, journal, alert, and admit all the same.
    Observe,
    /// Refuse.
    Hard,
}

/// What a budget holds before a call leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BudgetMode {
    /// The worst case of the call.
    Reserve,
    /// The cost at a quantile of the output lengths seen for the model, or the worst case while fewer than 100 were seen
    /// or while less than `headroom_per_mille` of the limit is left.
    Estimate {
        /// The quantile, in thousandths.
        quantile_per_mille: u32,
        /// Thousandths of the limit.
        headroom_per_mille: u32,
    },
    /// Nothing: only recorded spend is looked at. Overspends by whatever is in flight.
    After,
}

/// What happens to a call whose worst case does not fit what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnShort {
    /// It is not made.
    Refuse,
    /// Its max_tokens is lowered until it fits, if at least `min` output tokens remain.
    Clamp {
        /// Fewer tokens than this are not worth a call.
        min: u32,
    },
    /// All that is left is held and the call is made as it is. Can overspend by one call.
    Shrink,
}

/// A limit's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSpec {
    /// What is counted.
    pub kind: LimitKind,
    /// How many in `period`, or at one time.
    pub amount: u64,
    /// How the count comes down again. Not used for concurrency.
    pub refill: Refill,
    /// The period of `amount`. Not used for concurrency.
    pub period: Span,
    /// When tokens are counted.
    pub count: TokenCount,
    /// Where requests above a concurrency limit wait, if they do.
    pub queue: Option<Queue>,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitKind {
    /// Requests (calls, for a deployment).
    Requests,
    /// Input tokens.
    InputTokens,
    /// Output tokens.
    OutputTokens,
    /// Both.
    TotalTokens,
    /// Requests (calls) at one time.
    Concurrency,
}

/// How a rate limit's count comes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refill {
    /// A token bucket of size `amount`, full at first, filled continuously.
    Bucket,
    /// Fixed windows of `period`.
    Window(Anchor),
}

/// When a limit on tokens counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenCount {
    /// Input and max_tokens at admission, corrected when the usage is known.
    Reserve,
    /// The usage, when it is known; admits while anything is left.
    After,
}

/// A queue before a concurrency limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Requests that may wait.
    pub length_max: u32,
    /// How long one may wait.
    pub wait_max: Span,
}

impl Attempts {
    /// The attempts that a group allows after a failure of `class`, the first one included; 1 means no retry.
    pub fn allowed(&self, class: FailureClass, siblings: bool) -> u32 {
        if let Some(retries) = self.retries_by_class[class as usize] {
            return retries + 1;
        }
        let retried = self.retry_on.has(class) || (siblings && self.retry_on_other.has(class));
        if retried { self.per_group } else { 1 }
    }

    /// The most attempts in one group, whatever fails.
    pub fn most(&self) -> u32 {
        self.retries_by_class.iter().flatten().map(|retries| retries + 1).fold(self.per_group, u32::max)
    }
}
