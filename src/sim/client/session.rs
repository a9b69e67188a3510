//! Closed loops: sessions whose next request waits for the answer to the one before, as an agent's do. Decides when a step is sent, or that it
//! never is; knows nothing of how it is answered. Two requests of a session that overlapped when they were recorded come one after the other here.
//!
//! A loop that runs on a clock, whatever is answered, is not one of these: its requests stand in the traffic with their times.

use std::collections::VecDeque;

use crate::gateway::time::{Span, Time};
use crate::traffic::trace::NameId;

/// What a session does when one of its requests got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes on with the next.
    Continue,
    /// Its other requests are never sent.
    Stop,
}

/// All sessions of the traffic so far. A session costs a few words for ever, as its name does, and its requests, each an `S`, only while they wait.
#[derive(Debug)]
pub struct Sessions<S> {
    on_failure: OnFailure,
    sessions: Vec<Session<S>>,
}

/// What becomes of the next request of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It is the first, and sent when the traffic has it.
    First,
    /// It is sent at this instant.
    At(Time),
    /// It waits for an answer.
    Held,
    /// It is never sent.
    Dropped,
}

/// One request of a session, as recorded and as sent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// When the traffic says that it was sent.
    pub recorded_at: Time,
    /// How long it took in the traffic, if that says so.
    pub recorded_duration: Option<Span>,
}

#[derive(Debug)]
struct Session<S> {
    state: State,
    /// The step sent last, and when.
    last: Step,
    sent_at: Time,
    ended_at: Time,
    /// What is held, with the instants that the traffic has for it.
    waiting: VecDeque<(Time, S)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// The last step was answered, and the next is not known yet.
    Idle,
    /// A step is in flight, or has its instant.
    Busy,
    Stopped,
}

impl<S> Sessions<S> {
    /// Sessions of which nothing was sent yet.
    pub fn new(on_failure: OnFailure) -> Self {
        Self { on_failure, sessions: Vec::new() }
    }

    /// Says what to do with the next request of a session, which is known from `now` on.
    pub fn offer(&mut self, session: NameId, now: Time, step: Step) -> Offer {
        if self.sessions.len() <= session.index() {
            self.sessions.resize_with(session.index() + 1, Session::new);
        }
        let session = &mut self.sessions[session.index()];
        let offer = match session.state {
            State::Stopped => return Offer::Dropped,
            State::Busy => return Offer::Held,
            State::New => Offer::First,
            State::Idle => Offer::At(session.due(step.recorded_at).max(now)),
        };
        session.state = State::Busy;
        offer
    }

    /// Keeps a request that was held.
    pub fn hold(&mut self, session: NameId, step: Step, sending: S) {
        self.sessions[session.index()].waiting.push_back((step.recorded_at, sending));
    }

    /// A step was sent.
    pub fn sent(&mut self, session: NameId, step: Step, now: Time) {
        let session = &mut self.sessions[session.index()];
        (session.last, session.sent_at) = (step, now);
    }

    /// A step has its end. Gives the next and its instant; what is never sent is moved to `dropped`.
    pub fn ended(&mut self, session: NameId, now: Time, answered: bool, dropped: &mut Vec<S>) -> Option<(Time, S)> {
        let session = &mut self.sessions[session.index()];
        session.ended_at = now;
        if !answered && self.on_failure == OnFailure::Stop {
            session.state = State::Stopped;
            dropped.extend(std::mem::take(&mut session.waiting).into_iter().map(|(_, sending)| sending));
            return None;
        }
        match session.waiting.pop_front() {
            Some((recorded_at, next)) => Some((session.due(recorded_at).max(now), next)),
            None => {
                session.state = State::Idle;
                None
            }
        }
    }

    /// Whether nobody waits.
    pub fn is_at_rest(&self) -> bool {
        self.sessions.iter().all(|session| session.state != State::Busy && session.waiting.is_empty())
    }
}

impl<S> Session<S> {
    fn new() -> Self {
        Self { state: State::New, last: Step::default(), sent_at: Time(0), ended_at: Time(0), waiting: VecDeque::new() }
    }

    /// When the step after the last is sent, which the traffic has at `recorded_at`.
    ///
    /// Where the traffic says how long the last took, what remains of the gap is thought, and follows the answer. Where it doesn't, the gap between
    /// the two stays, but for an answer that comes later.
    fn due(&self, recorded_at: Time) -> Time {
        let gap = recorded_at.since(self.last.recorded_at);
        match self.last.recorded_duration {
            Some(took) => self.ended_at + Span(gap.0.saturating_sub(took.0)),
            None => self.ended_at.max(self.sent_at + gap),
        }
    }
}
