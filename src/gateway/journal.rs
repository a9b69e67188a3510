//! What happened and what was decided, as facts in one sequence. Everything that is shown to anyone is a fold over these.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::failure::{Failure, FailureClass};
use super::id::{AccountId, DeploymentId, KeyId, LimitId, ModelId, RequestId};
use super::in_flight::{Action, CacheKey, Event};
use super::money::Money;
use super::rate_card::Usage;
use super::time::Time;

/// Receives facts. Generic and lazy: a fold that keeps totals pays for no record it does not read.
pub trait Journal {
    /// Takes the fact that `fact` makes. `request` is the request that it is about, if it is about one.
    fn record(&mut self, now: Time, request: Option<RequestId>, fact: impl FnOnce() -> Fact);
}

/// Keeps nothing.
impl Journal for () {
    #[inline]
    fn record(&mut self, _: Time, _: Option<RequestId>, _: impl FnOnce() -> Fact) {}
}

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Time,
    /// About which request.
    pub request: Option<RequestId>,
    /// What.
    pub fact: Fact,
}

/// Keeps everything.
impl Journal for Vec<Record> {
    fn record(&mut self, at: Time, request: Option<RequestId>, fact: impl FnOnce() -> Fact) {
        self.push(Record { at, request, fact: fact() });
    }
}

impl<J: Journal> Journal for &mut J {
    #[inline]
    fn record(&mut self, now: Time, request: Option<RequestId>, fact: impl FnOnce() -> Fact) {
        J::record(self, now, request, fact);
    }
}

/// A fact: an input that the core was given, a decision that it took with its reason, or a change of its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    /// Input: an event of a request.
    Told(Event),
    /// Input: a command.
    Commanded(Command),
    /// Input: a name that the traffic brought got the next number of its kind.
    Named {
        /// What it names.
        kind: NameKind,
        /// The name.
        name: String,
    },
    /// Input: a new plan, by its number.
    PlanAdopted(u32),
    /// Input: the driver's tick.
    Ticked,
    /// Input: the process that had requests in flight is gone, and they are over. No other fact closes them.
    Recovered {
        /// The calls that were open, closed as presumed at their worst case. Late usage corrects them as it does others.
        calls: Vec<RecoveredCall>,
        /// Whether the response cache was emptied.
        bodies: Bodies,
    },
    /// Input: the driver has no body for a cached answer, and the index no longer has it either.
    Forgotten {
        /// The answer's key.
        key: CacheKey,
    },
    /// Decision: what the driver is to do.
    Decided(Action),

    /// The request was refused, or would have been (`observed`) under `enforce = "observe"`.
    Refused {
        /// Why.
        denial: Denial,
        /// Decided, but not carried out.
        observed: bool,
    },
    /// The response cache had the answer.
    CacheHit {
        /// What the answer had cost when it was made, at the rates of today's plan.
        saved: Money,
    },
    /// The request waits for the answer to an identical one.
    Followed {
        /// The request that it waits for.
        leader: RequestId,
    },
    /// The request waits before a concurrency limit.
    Queued {
        /// The limit that is full.
        limit: LimitId,
    },
    /// A call leaves.
    Called(Called),
    /// A fallback or deployment was passed over.
    Skipped {
        /// The group.
        model: ModelId,
        /// The deployment, if it was one.
        deployment: Option<DeploymentId>,
        /// Why.
        reason: Skip,
    },
    /// The answer has begun.
    Opened {
        /// Which call of the request.
        call: u32,
    },
    /// The money of a call is settled.
    CallClosed(CallClosed),
    /// Usage came in for a call that had been closed with a presumed amount.
    Corrected {
        /// Which call of the request.
        call: u32,
        /// The presumed amount.
        presumed: Money,
        /// The confirmed one.
        confirmed: Money,
    },
    /// The client has its end: exactly once for every request.
    Answered {
        /// How it ended.
        outcome: Outcome,
    },
    /// The request's money has its end: exactly once for every request, not before `Answered`.
    Closed,

    /// A deployment is left alone until `until`.
    Cooled {
        /// Which one.
        deployment: DeploymentId,
        /// Until when.
        until: Time,
        /// What it was for.
        class: FailureClass,
    },
    /// A breaker changed.
    BreakerTurned {
        /// Whose.
        deployment: DeploymentId,
        /// To what.
        to: BreakerState,
    },
    /// Something that somebody should know.
    Alerted(Alert),
    /// A window of an account was closed above its limit by usage beyond the hold.
    Breached {
        /// The account.
        account: AccountId,
        /// Its window.
        window: u64,
        /// By how much more than before.
        over: Money,
    },
}

/// What a name from the traffic stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameKind {
    /// An end user.
    EndUser,
    /// A tag.
    Tag,
}

/// A call leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// Its number within the request, from 1.
    pub call: u32,
    /// The group that it is for.
    pub model: ModelId,
    /// The deployment called.
    pub deployment: DeploymentId,
    /// Its place among the request's calls.
    pub position: Position,
    /// The worst case of this call; what `reserve` accounts hold.
    pub worst_case: Money,
    /// The max_tokens that goes with it.
    pub max_tokens: u32,
}

/// How the money of a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallClosed {
    /// Its number within the request, from 1.
    pub call: u32,
    /// The group that it was for.
    pub model: ModelId,
    /// The deployment called.
    pub deployment: DeploymentId,
    /// Its place among the request's calls.
    pub position: Position,
    /// When it was made: what it costs is decided then.
    pub since: Time,
    /// How it ended.
    pub ended: Ended,
    /// What it is billed for, as far as known.
    pub usage: Usage,
    /// Output tokens that reached the client.
    pub delivered: u32,
    /// What it costs in the ledger.
    pub amount: Money,
    /// Whether the amount is known or stands in.
    pub certainty: Certainty,
}

/// A call that was open when its process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveredCall {
    /// Whose call.
    pub request: RequestId,
    /// Its number within the request, from 1.
    pub call: u32,
    /// What the ledger presumes: its worst case.
    pub amount: Money,
}

/// What is left of the bodies of cached answers when a process goes on where another ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bodies {
    /// All of them, outside the process: the index stays.
    Kept,
    /// None: the index is emptied.
    Lost,
}

/// Whether an amount is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Certainty {
    /// Usage was seen, or the provider bills nothing for such an end.
    Confirmed,
    /// By the provider's rule, from what was seen.
    Presumed,
}

/// The place of a call among its request's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Position {
    /// The first.
    First,
    /// A retry on the deployment that was called before.
    RetrySame,
    /// A retry on another deployment of the group.
    RetryOther,
    /// In another group than the one asked for.
    Fallback,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// It delivered the request's answer, whole or up to where the client left.
    Delivered,
    /// It failed.
    Failed(FailureClass),
    /// One of the gateway's time-outs ended it.
    TimedOut,
    /// Closed before any of it was delivered, because nobody was there any more.
    Cancelled,
    /// It ended well, but nobody was there any more.
    Discarded,
}

/// How a request ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// An upstream call answered it.
    Served {
        /// The group that answered.
        model: ModelId,
    },
    /// The response cache answered it.
    Cached,
    /// The call of an identical request answered it.
    Shared,
    /// The gateway refused it.
    Refused(Denial),
    /// Every attempt failed; the client sees the last failure.
    Failed(Failure),
    /// The client left first.
    Abandoned,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Denial {
    /// No such key.
    UnknownKey,
    /// The key or its team is blocked.
    Blocked,
    /// The key or its team was deleted.
    Deleted,
    /// The key has expired.
    Expired,
    /// The key may not ask for this model.
    ModelNotAllowed,
    /// No such model, or it was retired.
    UnknownModel,
    /// A limit is used up.
    Limited(LimitId),
    /// The queue before a concurrency limit is full, or the wait in it was too long.
    QueueFull(LimitId),
    /// The loop detector.
    Loop,
    /// The worst case of no admissible call fits this account.
    Budget(AccountId),
    /// The input is longer than any admissible deployment takes.
    TooLong,
    /// The client's deadline had passed, or would before anything could be done.
    DeadlinePassed,
    /// No admissible deployment offers all that the request requires.
    CannotExpress,
}

/// Why a group or deployment was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Skip {
    /// Its worst case does not fit this account.
    Budget(AccountId),
    /// Dearer than `max_price_ratio` allows.
    PriceRatio,
    /// Of another tier.
    Tier,
    /// All its deployments cool, or their breakers are open.
    Unhealthy,
    /// The input is longer than it takes.
    TooLong,
    /// The retry budget is empty.
    RetryBudget,
    /// The key may not use the model.
    ModelNotAllowed,
    /// Taken out of the configuration.
    Retired,
    /// It does not offer all that the request requires.
    CannotExpress,
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BreakerState {
    /// All calls pass.
    Closed,
    /// None pass.
    Open,
    /// Probes pass.
    HalfOpen,
}

/// Something that somebody should know. One fact per incident, not per request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alert {
    /// An account's spend has reached a level of its limit.
    BudgetLevel {
        /// The account.
        account: AccountId,
        /// The level, in thousandths.
        per_mille: u32,
    },
    /// The share of a model's answers that come from fallbacks is above its level.
    FallbackShare {
        /// The model asked for.
        model: ModelId,
        /// The share, in thousandths.
        per_mille: u32,
    },
    /// A key repeats one request.
    Loop {
        /// The key.
        key: KeyId,
    },
    /// A deployment that was cooling is back, and nothing had called it since.
    Recovered {
        /// Which one.
        deployment: DeploymentId,
    },
}
