//! A request of a client, as its exchange sees it: steps it, and never leaves one behind that is not closed.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Engine, Kept, Turn};
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::in_flight::{Action, Call, Event};
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::request::Request;

/// A request of a client: what its exchange steps it by. Dropped before its money is closed, it tells the core so.
pub struct Ticket {
    engine: Arc<Engine>,
    index: usize,
    is_closed: bool,
    calls: u32,
    /// The client has left.
    left: bool,
    /// How much of the answer has come and gone, kept up by its exchange: what is presumed of a call that is closed early is made from it.
    pub passed: Passed,
    /// The plan that the request was admitted under.
    pub plan: Arc<Plan>,
    /// The request.
    pub request: Request,
}

/// How many output tokens came from upstream, and how many of them were passed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Output tokens that came.
    pub received: u32,
    /// Output tokens that were passed on to the client; at most `received`.
    pub delivered: u32,
}

impl Ticket {
    pub(super) fn new(engine: Arc<Engine>, index: usize, plan: Arc<Plan>, request: Request) -> Self {
        Self { engine, index, is_closed: false, calls: 0, left: false, passed: Passed::default(), plan, request }
    }

    /// Tells the core an event of this request.
    ///
    /// # Panics
    /// If its money is closed: see [`Turn::is_closed`].
    pub fn step(&mut self, event: Event) -> Turn {
        self.step_with(event, None)
    }

    /// Tells the core that a call has ended well, with the answer that it had: kept if the core says so, and given to whoever waits for it.
    ///
    /// # Panics
    /// If its money is closed.
    pub fn step_with(&mut self, event: Event, body: Option<&Arc<Kept>>) -> Turn {
        assert!(!self.is_closed, "the request is in flight");
        let mut locked = self.engine.lock();
        let now = locked.read(&self.engine.clock);
        let turn = locked.step(self.index, now, event, body);
        drop(locked);
        self.saw(&turn);
        turn
    }

    /// What came of waiting: ready once somebody else's step has set this request free.
    pub fn poll_released(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        let mut locked = self.engine.lock();
        let entry = locked.requests.get_mut(self.index).expect("the request is in flight");
        let Some(turn) = entry.released.take() else {
            entry.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        if turn.is_closed {
            locked.requests.remove(self.index);
        }
        drop(locked);
        self.saw(&turn);
        Poll::Ready(turn)
    }

    /// The instant of the deadline has come. What somebody else's step has made of the request meanwhile comes first: the timer was for what was
    /// before it.
    ///
    /// # Panics
    /// If its money is closed.
    pub fn woke(&mut self) -> Turn {
        assert!(!self.is_closed, "the request is in flight");
        let mut locked = self.engine.lock();
        let now = locked.read(&self.engine.clock);
        let unseen = locked.requests.get_mut(self.index).expect("the request is in flight").released.take();
        let turn = match unseen {
            Some(turn) => {
                if turn.is_closed {
                    locked.requests.remove(self.index);
                }
                turn
            }
            None => locked.step(self.index, now, Event::Woke, None),
        };
        drop(locked);
        self.saw(&turn);
        turn
    }

    /// The client has left. A call that the core wanted and its exchange has not seen costs nothing, and the core is told so in the same turn;
    /// or it is what comes back, if it is to be made all the same.
    pub fn leave(&mut self) -> Turn {
        assert!(!self.is_closed && !self.left, "a client leaves once, and not after the end");
        self.left = true;
        let mut locked = self.engine.lock();
        let now = locked.read(&self.engine.clock);
        let entry = locked.requests.get_mut(self.index).expect("the request is in flight");
        entry.waker = None;
        let unseen = entry.released.take();
        if let Some(turn) = unseen.as_ref().filter(|turn| turn.is_closed) {
            locked.requests.remove(self.index);
            drop(locked);
            self.saw(turn);
            return turn.clone();
        }
        let Passed { received, delivered } = self.passed;
        let mut turn = locked.step_one(self.index, now, Event::ClientLeft { received, delivered }, None);
        if let Some(Action::Call(made)) = unseen.map(|turn| turn.action) {
            let (call, nothing) = (made.call, Usage::default());
            match turn.action {
                Action::Finish(_) => {
                    locked.step_one(self.index, now, Event::Finished { call, received: 0, usage: Some(nothing) }, None);
                }
                Action::Drain { .. } => {
                    let failure = Failure::new(FailureClass::Connect);
                    let failed = Event::Failed { call, failure, accepted: false, received: 0, usage: Some(nothing) };
                    turn = locked.step_one(self.index, now, failed, None);
                }
                _ => turn.action = Action::Call(made),
            }
        }
        locked.release(now, None);
        turn.number = locked.end_turn();
        if turn.is_closed {
            locked.requests.remove(self.index);
        }
        drop(locked);
        self.saw(&turn);
        turn
    }

    /// The engine that it is a request of.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The number of its latest call, from 1; 0 before the first.
    pub fn call(&self) -> u32 {
        self.calls
    }

    /// Whether its money is closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn saw(&mut self, turn: &Turn) {
        if let Action::Call(call) = turn.action {
            self.calls = call.call;
        }
        self.is_closed |= turn.is_closed;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_closed || self.engine.locked.is_poisoned() {
            return;
        }
        // Only where no exchange could take care: the process ends, or a handler has panicked.
        let mut locked = self.engine.lock();
        let now = locked.read(&self.engine.clock);
        let entry = locked.requests.get_mut(self.index).expect("the request is in flight");
        entry.waker = None;
        let unseen = entry.released.take();
        if unseen.as_ref().is_none_or(|turn| !turn.is_closed) {
            locked.step_one(self.index, now, Event::Dropped, None);
            if let Some(Action::Call(Call { call, .. })) = unseen.map(|turn| turn.action) {
                // It was never made.
                locked.step_one(self.index, now, Event::Finished { call, received: 0, usage: Some(Usage::default()) }, None);
            }
            locked.release(now, None);
            locked.end_turn();
        }
        locked.requests.remove(self.index);
    }
}
