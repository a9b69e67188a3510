//! The life of one request: told an [`Event`], it answers with the one [`Action`] to take.

mod admission;
mod calls;

use core::num::{NonZeroU16, NonZeroU32};

use serde::{Deserialize, Serialize};

use super::Gateway;
use super::budget::Hold;
use super::command::Overrides;
use super::directory::PathId;
use super::failure::Failure;
use super::flights::FlightId;
use super::id::{DeploymentId, LimitId, LimitListId, ModelId, RequestId};
use super::journal::{Fact, Journal, Outcome, Position};
use super::limits::Ask;
use super::pick;
use super::plan::Plan;
use super::rate_card::Usage;
use super::request::{Fingerprint, Request};
use super::router::{Progress, Then};
use super::time::Time;

/// What a driver tells a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The client has sent it. The first event of every request, and the only `Arrived`.
    Arrived(Request),
    /// The remote cache has answered the [`Action::LookUp`].
    Looked(Option<Hit>),
    /// The input has been counted, as [`Action::Count`] asked.
    Counted {
        /// The most input tokens that can be billed at any deployment that is [`countable`](super::plan::Deployment::countable). One that is
        /// above the bound that was known changes nothing.
        input_tokens_max: u32,
    },
    /// The instant of [`InFlight::deadline`] has come.
    Woke,
    /// What it waited for is there; from `Gateway::ready`.
    Released(Wake),
    /// The answer of call `call` has begun (what counts as the beginning, headers or first content, is the driver's setting).
    Opened {
        /// The call, from [`Call::call`].
        call: u32,
    },
    /// Call `call` has ended well. After a call that was closed before, this is late usage.
    Finished {
        /// The call.
        call: u32,
        /// At least the output tokens that had come. Looked at where the provider does not say what it bills.
        received: u32,
        /// What the provider says it bills, if it said so.
        usage: Option<Usage>,
    },
    /// Call `call` has failed.
    Failed {
        /// The call.
        call: u32,
        /// How.
        failure: Failure,
        /// The provider had begun to answer: the head of its answer said that all is well. What it has made is billed, most likely.
        accepted: bool,
        /// Output tokens that had arrived.
        received: u32,
        /// What the provider says it bills, if it said so.
        usage: Option<Usage>,
    },
    /// The client has gone.
    ClientLeft {
        /// Output tokens that had arrived from upstream.
        received: u32,
        /// Output tokens that had been passed on to the client; at most `received`.
        delivered: u32,
    },
    /// Nobody carries the request on any more: what had it is gone, by a panic or with its process. It is closed as recovery closes it.
    Dropped,
}

/// What a request wants its driver to do. A call that was open and is not drained is closed by whatever comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Nothing: tell it the next event, or the instant of its deadline.
    Wait,
    /// Ask the remote cache, then tell `Looked`.
    LookUp(CacheKey),
    /// Count the input, then tell `Counted`: a bound on it that is too high stands in the way. Asked for once, and only of a request that is
    /// [`countable`](Request::countable).
    Count,
    /// Call a deployment, then tell `Opened` (streams), `Finished` or `Failed`.
    Call(Call),
    /// Back-off: nothing until the instant of the deadline.
    Sleep {
        /// When it ends.
        until: Time,
    },
    /// Pass the answer on as it comes.
    Relay,
    /// The client is gone; read the answer to its end all the same, within these caps, then tell `Finished` or `Failed`.
    Drain {
        /// Give up then and tell `Failed` with class `Cut`.
        until: Time,
        /// Give up after so many output tokens.
        tokens_max: u32,
    },
    /// The request is over, and its slot free unless a drain goes on.
    Finish(Finish),
}

/// A call to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its number within the request, from 1.
    pub call: u32,
    /// The group that it is for.
    pub model: ModelId,
    /// Where to.
    pub deployment: DeploymentId,
    /// The n-th call of this request to this deployment, from 0; luck is keyed by it.
    pub nth: u32,
    /// The max_tokens to send.
    pub max_tokens: u32,
}

/// How a request ended, and what to keep of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// For the client.
    pub outcome: Outcome,
    /// The key to keep the answer under, where the remote store or the driver's bodies want it.
    pub store: Option<CacheKey>,
}

/// The identity of an answer in the response cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CacheKey(pub Fingerprint);

/// An answer from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The usage of the call that made it.
    pub usage: Usage,
    /// The deployment that made it.
    pub deployment: DeploymentId,
}

/// Why a waiting request goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wake {
    /// It has its place before the concurrency limit.
    Admitted,
    /// The place that it waited for is free, but this limit has none, and no place in a queue.
    TurnedAway(LimitId),
    /// The identical request that it waited for was answered.
    Served(Hit),
    /// The identical request failed or left; this one goes first now.
    Leads {
        /// The request that had led.
        after: RequestId,
    },
}

/// One request in flight. As data, it goes on under the plan that it was admitted under, in the gateway of a snapshot of the same instant;
/// there is no second one of it, as there is none of what it holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct InFlight {
    request: Request,
    state: State,
    gone: bool,
    /// Its client has gone, and it went on only because others waited for its answer.
    for_others: bool,
    placed: bool,
    taken: bool,
    /// The flight of identical requests that it leads; or, while it follows, the one that it waits for.
    flight: Option<FlightId>,
    path: PathId,
    limit_lists: [LimitListId; 2],
    /// The key of its answer, if its model has a cache that its virtual key uses.
    key: Option<CacheKey>,
    began: Time,
    deadline: Time,
    wake: Time,
    then: Then,
    progress: Progress,
    open: Option<Open>,
    last_called: Option<DeploymentId>,
    delivered: u32,
    used_input: u32,
    used_output: u32,
}

/// Where a request is in its life. What may happen in each is the table in `InFlight::on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    New,
    Queued,
    Looking,
    Following,
    Counting,
    Sleeping,
    Calling,
    Relaying,
    Draining,
    Over,
}

/// The call that is open.
#[derive(Debug, Serialize, Deserialize)]
struct Open {
    hold: Hold,
    deployment: DeploymentId,
    model: ModelId,
    position: Position,
    max_tokens: u32,
    limits: LimitListId,
    since: Time,
    /// It has begun to answer.
    opened: bool,
    /// The half-open time of a breaker that it is a probe of.
    probe: Option<NonZeroU16>,
}

/// What every step is given: the plan, the shared state, the time, and where facts go.
struct Turn<'a, J> {
    plan: &'a Plan,
    gateway: &'a mut Gateway,
    now: Time,
    journal: &'a mut J,
}

impl Default for InFlight {
    fn default() -> Self {
        Self::new()
    }
}

impl InFlight {
    const NEW: Self = Self {
        request: Request::NONE,
        state: State::New,
        gone: false,
        for_others: false,
        placed: false,
        taken: false,
        flight: None,
        path: PathId(0),
        limit_lists: [LimitListId(0); 2],
        key: None,
        began: Time(0),
        deadline: Time::MAX,
        wake: Time::MAX,
        then: Then::Retry,
        progress: Progress::nowhere(),
        open: None,
        last_called: None,
        delivered: 0,
        used_input: 0,
        used_output: 0,
    };

    /// A request that has not arrived yet.
    #[inline]
    pub const fn new() -> Self {
        // One constant: filling it in field by field is three times the work.
        Self::NEW
    }

    /// Takes one event and says what to do next. Afterwards the driver drains `gateway.ready`.
    ///
    /// # Panics
    /// If the driver breaks the contract of `gateway`: time that runs backwards, a second `Arrived`, a wake that was not for this request.
    #[inline]
    pub fn step<J: Journal>(&mut self, plan: &Plan, gateway: &mut Gateway, now: Time, event: Event, journal: &mut J) -> Action {
        gateway.advance(now);
        if let (State::New, Event::Arrived(request)) = (self.state, event) {
            self.request = request;
        }
        let id = Some(self.request.id);
        journal.record(now, id, || Fact::Told(event));
        let mut turn = Turn { plan, gateway, now, journal };
        let action = self.on(&mut turn, event);
        turn.journal.record(now, id, || Fact::Decided(action));
        action
    }

    /// The key of its answer in the response cache, if it has one: where the body is of an answer that is `Cached` or `Shared`.
    #[inline]
    pub fn cache_key(&self) -> Option<CacheKey> {
        self.key
    }

    /// What is held for its open call.
    #[inline]
    pub(super) fn hold(&self) -> Option<&Hold> {
        self.open.as_ref().map(|open| &open.hold)
    }

    /// The flight of identical requests that it is in.
    #[inline]
    pub(super) fn flight(&self) -> Option<FlightId> {
        self.flight
    }

    /// The next instant at which this request wants a `Woke`, and why.
    #[inline]
    pub fn deadline(&self) -> Option<(Time, &'static str)> {
        let why = match self.state {
            State::New | State::Over => return None,
            State::Queued => "the wait in the queue is over",
            State::Looking => "the remote cache took too long",
            State::Following => "the client's deadline",
            State::Counting => "the count took too long",
            State::Sleeping => "the back-off is over",
            State::Calling => "the call took too long",
            State::Relaying => "the stream took too long",
            State::Draining => "the drain took too long",
        };
        (self.wake < Time::MAX).then_some((self.wake, why))
    }

    /// Whether its money is closed: no further event is expected, late usage aside.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.state == State::Over
    }

    /// How many calls it has made; the number of its latest.
    pub fn calls(&self) -> u32 {
        u32::from(self.progress.calls)
    }

    /// The request itself.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The state x event table. Every cell is here; what cannot matter any more is `Wait`.
    #[inline]
    fn on<J: Journal>(&mut self, turn: &mut Turn<'_, J>, event: Event) -> Action {
        match (self.state, event) {
            (State::New, Event::Arrived(_)) => self.arrived(turn),
            (_, Event::Arrived(_)) => panic!("a request arrives once"),

            (State::Looking, Event::Looked(hit)) => self.looked(turn, hit),
            // The answer came after it was given up.
            (_, Event::Looked(_)) => Action::Wait,

            (State::Counting, Event::Counted { input_tokens_max }) => self.counted(turn, input_tokens_max),
            // The count came after it was given up.
            (_, Event::Counted { .. }) => Action::Wait,

            // A timer of an earlier state that was not stopped in time.
            (_, Event::Woke) if turn.now < self.wake => Action::Wait,
            (State::Queued, Event::Woke) => self.waited_too_long(turn),
            (State::Looking, Event::Woke) => self.looked(turn, None),
            (State::Following, Event::Woke) => self.gave_up_following(turn),
            // It is refused by the bound then, or goes on where that fits.
            (State::Counting, Event::Woke) => self.counted(turn, u32::MAX),
            (State::Sleeping, Event::Woke) => self.slept(turn),
            (State::Calling | State::Relaying | State::Draining, Event::Woke) => self.timed_out(turn),
            (State::New | State::Over, Event::Woke) => Action::Wait,

            (State::Queued, Event::Released(Wake::Admitted)) => self.placed(turn),
            (State::Queued, Event::Released(Wake::TurnedAway(limit))) => self.refused_by(turn, limit),
            (State::Following, Event::Released(Wake::Served(hit))) => self.shared(turn, hit),
            (State::Following, Event::Released(Wake::Leads { .. })) => self.leads(turn),
            (_, Event::Released(wake)) => panic!("{wake:?} is drained in the step that makes it, before its request can move on"),

            (State::Calling, Event::Opened { call }) if self.is_current(call) => self.opened(turn),
            (State::Draining, Event::Opened { call }) if self.is_current(call) => self.opened_unseen(),
            (_, Event::Opened { .. }) => Action::Wait,

            (State::Calling | State::Relaying | State::Draining, Event::Finished { call, received, usage }) if self.is_current(call) => {
                self.finished(turn, received, usage)
            }
            (State::Calling | State::Relaying | State::Draining, Event::Failed { call, failure, accepted, received, usage })
                if self.is_current(call) =>
            {
                self.failed(turn, failure, accepted, received, usage)
            }
            (_, Event::Finished { call, usage: Some(usage), .. } | Event::Failed { call, usage: Some(usage), .. }) => self.late(turn, call, usage),
            (_, Event::Finished { usage: None, .. } | Event::Failed { usage: None, .. }) => Action::Wait,

            (State::New | State::Over, Event::ClientLeft { .. }) => Action::Wait,
            (_, Event::ClientLeft { .. }) if self.gone => Action::Wait,
            (_, Event::ClientLeft { received, delivered }) => self.client_left(turn, received, delivered),

            (State::New | State::Over, Event::Dropped) => Action::Wait,
            (_, Event::Dropped) => self.dropped(turn),
        }
    }

    /// Money events are never dropped; those of calls that were closed before correct what was presumed.
    fn late<J: Journal>(&mut self, turn: &mut Turn<'_, J>, call: u32, usage: Usage) -> Action {
        turn.gateway.late_usage(turn.plan, turn.now, self.request.id, call, usage, turn.journal);
        Action::Wait
    }

    #[inline]
    fn is_current(&self, call: u32) -> bool {
        self.open.is_some() && call == u32::from(self.progress.calls)
    }

    /// Ends the request, for its client and for the books. `hit` is the answer, if there is one for those who wait for it.
    #[inline]
    fn finish<J: Journal>(&mut self, turn: &mut Turn<'_, J>, outcome: Outcome, hit: Option<&Hit>, store: Option<CacheKey>) -> Action {
        debug_assert!(self.open.is_none(), "the last call is closed before the request");
        let Turn { plan, gateway, now, journal } = turn;
        let outcome = if self.gone { Outcome::Abandoned } else { outcome };
        if let Some(flight) = self.flight.take() {
            match hit {
                Some(hit) => gateway.flights.served(flight, hit, &mut gateway.ready),
                None => gateway.flights.failed(flight, &mut gateway.ready),
            }
        }
        self.return_limits(plan, gateway, *now);
        if let Outcome::Failed(_) = outcome {
            for (model, deployment, failure) in self.progress.deferred() {
                gateway.health.count_failure(plan, plan.model(model), deployment, *now, failure.class, failure.retry_after, *journal);
            }
        }
        if !self.gone {
            journal.record(*now, Some(self.request.id), || Fact::Answered { outcome });
        }
        journal.record(*now, Some(self.request.id), || Fact::Closed);
        self.state = State::Over;
        self.wake = Time::MAX;
        Action::Finish(Finish { outcome, store })
    }

    fn return_limits(&mut self, plan: &Plan, gateway: &mut Gateway, now: Time) {
        let Gateway { limits, directory, ready, .. } = gateway;
        if self.taken {
            let ask = self.ask(plan, &directory.path(self.path).overrides);
            let used = Ask { input: u64::from(self.used_input), output: u64::from(self.used_output) };
            limits.give_back(&self.limit_lists, now, self.began, ask, used, ready);
        } else if self.placed {
            limits.return_places(&self.limit_lists, ready);
        }
        (self.taken, self.placed) = (false, false);
    }

    /// What the request asks of the limits of its key and model: the output that its own model would be asked for.
    fn ask(&self, plan: &Plan, overrides: &Overrides) -> Ask {
        let model = plan.model(self.request.model);
        let (stated, most) = (self.request.max_tokens.map(NonZeroU32::get), model.output_tokens_max);
        let cap = overrides.max_tokens_cap.or(model.max_tokens.cap).unwrap_or(u32::MAX);
        pick::ask(&self.request, stated.or(model.max_tokens.default).unwrap_or(most).min(cap).min(most))
    }
}
