//! Those who wait for answers: a user's call over all its tries, and the sessions that it belongs to. Decides what is sent next and when, by what a
//! client sees; knows no deployment and no policy. A scenario whose clients neither retry nor wait has none of this.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::Clients;
use super::session::{Offer, Sessions, Step};
use crate::gateway::draw::{Purpose, bits};
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::id::{RequestId, Slot};
use crate::gateway::journal::{Denial, Outcome};
use crate::gateway::limits::Limits;
use crate::gateway::request::Request;
use crate::gateway::time::{Span, Time};
use crate::sim::batches::RowPlace;
use crate::sim::observe::{Context, UserEnd};
use crate::traffic::sdk::Sdk;
use crate::traffic::trace::{Batch, LeftAfter, NameId, Row};

/// Bits of a request's id that say which row of the traffic it is. Those above count a client's retries, so that the id of a retry follows from its
/// parent's alone, whatever else arrives.
const ROW_BITS: u32 = 48;

/// Retries that have an id.
pub const RETRIES_MAX: u32 = u16::MAX as u32;

/// The id of retry `nth`, from 1, of the request that row `row` stands for; the row itself is retry 0.
///
/// # Panics
/// If there are 2^48 rows or 2^16 retries.
pub fn id(row: u64, nth: u32) -> RequestId {
    assert!(row >> ROW_BITS == 0 && nth <= RETRIES_MAX, "fewer than 2^48 rows and 2^16 retries");
    RequestId(row | u64::from(nth) << ROW_BITS)
}

/// The row of the traffic that a request stands for, counted from 0.
pub(in crate::sim) fn row_of(id: RequestId) -> u64 {
    id.0 & ((1 << ROW_BITS) - 1)
}

/// Whether a request is what the traffic has, and no retry of it.
pub(in crate::sim) fn is_first_try(id: RequestId) -> bool {
    id.0 >> ROW_BITS == 0
}

/// A request on its way to the gateway.
#[derive(Debug)]
pub(in crate::sim) struct Sending {
    pub request: Request,
    pub context: Context,
    pub left_after: Option<LeftAfter>,
    pub place: RowPlace,
    pub call: UserCall,
}

/// What a user waits for: one answer, however many tries it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sim) struct UserCall {
    /// When the first try was sent.
    pub sent_at: Time,
    /// Tries before this one.
    pub retries: u32,
    /// When the library gives this try up, unless a stream has opened.
    pub times_out_at: Time,
    /// It has.
    pub has_timed_out: bool,
    /// What the traffic says, for closed loops.
    pub step: Step,
}

impl UserCall {
    /// What the user of a row waits for.
    pub(in crate::sim) fn of(batch: &Batch, row: &Row) -> Self {
        let recorded_duration = batch.recorded(row).and_then(|recorded| recorded.duration);
        Self { step: Step { recorded_at: row.at, recorded_duration }, ..Self::default() }
    }
}

/// A request in flight that has just been answered.
pub(in crate::sim) struct Answered<'a> {
    pub request: &'a Request,
    pub context: &'a Context,
    pub left_after: Option<LeftAfter>,
    pub place: RowPlace,
    pub outcome: Outcome,
}

/// Everyone who waits.
#[derive(Debug)]
pub(in crate::sim) struct Callers {
    clients: Arc<Clients>,
    seed: u64,
    /// The calls in flight, by slot.
    calls: Vec<UserCall>,
    sessions: Option<Sessions<Sending>>,
    /// What is sent when: time, order of deciding, place in `sendings`.
    agenda: BinaryHeap<Reverse<(Time, u64, usize)>>,
    decided: u64,
    sendings: Vec<Option<Sending>>,
    free: Vec<usize>,
    /// Requests that are never sent; whoever takes them out returns what they hold.
    pub dropped: Vec<Sending>,
}

impl Callers {
    /// `None` if nobody waits for anything.
    pub(in crate::sim) fn new(clients: &Arc<Clients>, seed: u64) -> Option<Box<Self>> {
        (clients.habits.sdk.is_some() || clients.habits.closed_loop.is_some()).then(|| {
            Box::new(Self {
                clients: Arc::clone(clients),
                seed,
                calls: Vec::new(),
                sessions: clients.habits.closed_loop.map(Sessions::new),
                agenda: BinaryHeap::new(),
                decided: 0,
                sendings: Vec::new(),
                free: Vec::new(),
                dropped: Vec::new(),
            })
        })
    }

    /// The instant of the next request that is sent.
    pub(in crate::sim) fn next_at(&self) -> Option<Time> {
        self.agenda.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next request that is sent.
    pub(in crate::sim) fn pop(&mut self) -> Option<(Time, Sending)> {
        let Reverse((at, _, place)) = self.agenda.pop()?;
        let mut sending = self.sendings[place].take().expect("what is on the agenda is there");
        self.free.push(place);
        sending.context.arrived_at = at;
        if sending.call.retries == 0 {
            sending.request.deadline = self.clients.deadline.map(|span| at + span);
        }
        Some((at, sending))
    }

    /// Whether sessions wait for their answers.
    pub(in crate::sim) fn has_sessions(&self) -> bool {
        self.sessions.is_some()
    }

    /// Says what to do with the next request of a session, which is known from `now` on.
    pub(in crate::sim) fn offer(&mut self, session: NameId, now: Time, step: Step) -> Offer {
        self.sessions.as_mut().map_or(Offer::First, |sessions| sessions.offer(session, now, step))
    }

    /// Takes a request that is not its session's first, as was said of it.
    pub(in crate::sim) fn take(&mut self, offer: Offer, sending: Sending) {
        match (offer, &mut self.sessions, sending.context.session) {
            (Offer::At(at), ..) => self.push(at, sending),
            (Offer::Held, Some(sessions), Some(session)) => sessions.hold(session, sending.call.step, sending),
            (Offer::Dropped, ..) => self.dropped.push(sending),
            (Offer::First | Offer::Held, ..) => unreachable!("only requests of sessions wait, and none that is the first"),
        }
    }

    /// A request arrives at the gateway.
    pub(in crate::sim) fn arrived(&mut self, now: Time, slot: Slot, context: &Context, mut call: UserCall) {
        if call.retries == 0 {
            call.sent_at = now;
            if let (Some(sessions), Some(session)) = (&mut self.sessions, context.session) {
                sessions.sent(session, call.step, now);
            }
        }
        call.times_out_at = self.clients.habits.sdk.map_or(Time::MAX, |sdk| now + sdk.timeout);
        if self.calls.len() <= slot.index() {
            self.calls.resize(slot.index() + 1, UserCall::default());
        }
        self.calls[slot.index()] = call;
    }

    /// When the library gives up on the request in `slot`, if nothing comes.
    pub(in crate::sim) fn times_out_at(&self, slot: Slot) -> Time {
        let call = &self.calls[slot.index()];
        if call.has_timed_out { Time::MAX } else { call.times_out_at }
    }

    /// The library has given up on the request in `slot`.
    pub(in crate::sim) fn timed_out(&mut self, slot: Slot) {
        self.calls[slot.index()].has_timed_out = true;
    }

    /// A request was answered, in whatever way: it is sent again later (`Err` with the place that is to be kept for it), or its user has an end.
    pub(in crate::sim) fn answered(&mut self, now: Time, slot: Slot, answered: Answered<'_>, limits: &Limits) -> Result<UserEnd, RowPlace> {
        let call = self.calls[slot.index()];
        let Answered { request, context, left_after, place, mut outcome } = answered;
        if call.has_timed_out {
            outcome = Outcome::Failed(Failure::new(FailureClass::Timeout));
        }
        // What has begun is not sent again: the library has handed the stream over.
        let has_begun = request.stream && context.first_token_at.is_some();
        if let Some(sdk) = self.clients.habits.sdk.filter(|_| !has_begun)
            && let Some(at) = self.retry_at(now, &sdk, request, &call, &outcome, limits)
            && request.deadline.is_none_or(|deadline| at < deadline)
            && let Some(left_after) = patience_left(left_after, context.arrived_at, at)
        {
            let row = request.id.0 & ((1 << ROW_BITS) - 1);
            let id = id(row, call.retries + 1);
            let request = Request { id, ..*request };
            let context = Context { id, first_token_at: None, called: None, ..*context };
            let call = UserCall { retries: call.retries + 1, has_timed_out: false, ..call };
            self.push(at, Sending { request, context, left_after, place, call });
            return Err(place);
        }
        let is_answer = matches!(outcome, Outcome::Served { .. } | Outcome::Cached | Outcome::Shared);
        if let (Some(sessions), Some(session)) = (&mut self.sessions, context.session)
            && let Some((at, next)) = sessions.ended(session, now, is_answer, &mut self.dropped)
        {
            self.push(at, next);
        }
        Ok(UserEnd { outcome, retries: call.retries, sent_at: call.sent_at })
    }

    /// Whether nobody waits any more.
    pub(in crate::sim) fn is_at_rest(&self) -> bool {
        self.agenda.is_empty() && self.dropped.is_empty() && self.sessions.as_ref().is_none_or(Sessions::is_at_rest)
    }

    fn retry_at(&self, now: Time, sdk: &Sdk, request: &Request, call: &UserCall, outcome: &Outcome, limits: &Limits) -> Option<Time> {
        let (status, retry_after) = self.seen(outcome, now, limits)?;
        let jitter = bits(self.seed, request.id.0, Purpose::ClientBackoff, 0);
        sdk.wait(call.retries, status, retry_after, jitter).map(|wait| now + wait)
    }

    /// The status and the Retry-After that a client sees; `None` for an answer, and where nobody is there to see any.
    fn seen(&self, outcome: &Outcome, now: Time, limits: &Limits) -> Option<(u16, Option<Span>)> {
        let denial = match outcome {
            Outcome::Served { .. } | Outcome::Cached | Outcome::Shared | Outcome::Abandoned => return None,
            Outcome::Failed(failure) => return Some((failure.status, failure.retry_after)),
            Outcome::Refused(denial) => denial,
        };
        Some(match denial {
            Denial::UnknownKey | Denial::Blocked | Denial::Deleted | Denial::Expired => (401, None),
            Denial::ModelNotAllowed => (403, None),
            Denial::UnknownModel => (404, None),
            Denial::TooLong | Denial::CannotExpress => (400, None),
            Denial::DeadlinePassed => (408, None),
            Denial::Loop => (429, None),
            Denial::Budget(_) => (self.clients.habits.budget_status, None),
            Denial::Limited(limit) | Denial::QueueFull(limit) => (429, whole_seconds(limits.retry_after(*limit, now))),
        })
    }

    fn push(&mut self, at: Time, sending: Sending) {
        let place = self.free.pop().unwrap_or(self.sendings.len());
        if place == self.sendings.len() {
            self.sendings.push(None);
        }
        self.sendings[place] = Some(sending);
        self.agenda.push(Reverse((at, self.decided, place)));
        self.decided += 1;
    }
}

/// When the client of a retry at `at` leaves, if its first try arrived, or was last sent, at `arrived_at` and it was to leave `left_after` that.
/// `None` if it has left by then.
fn patience_left(left_after: Option<LeftAfter>, arrived_at: Time, at: Time) -> Option<Option<LeftAfter>> {
    match left_after {
        Some(LeftAfter::Waited(span)) => {
            let left = (arrived_at + span).since(at);
            (left > Span::ZERO).then_some(Some(LeftAfter::Waited(left)))
        }
        other => Some(other),
    }
}

/// The Retry-After header is in whole seconds (RFC 9110, 10.2.3): rounded up. `None` if there is no time to come back at.
fn whole_seconds(span: Span) -> Option<Span> {
    (span != Span::MAX).then(|| Span(span.0.div_ceil(Span::SECOND.0).saturating_mul(Span::SECOND.0)))
}
