//! The core under one lock: every step, command and tick goes through here, in one sequence with the journal. Never locked across an await.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::clock::Clock;
use super::observe::{Observer, Recorder};
use crate::gateway::Gateway;
use crate::gateway::command::{Command, CommandError};
use crate::gateway::id::{EndUserId, RequestId, Slot, TagId};
use crate::gateway::in_flight::{Action, Event, InFlight};
use crate::gateway::plan::Plan;
use crate::gateway::request::Request;
use crate::gateway::time::Time;
use crate::journal::{Buffer, Log};

/// The gateway, live.
pub struct Engine {
    locked: Mutex<Locked>,
    clock: Clock,
    log: Log,
}

/// What the lock guards.
struct Locked {
    gateway: Gateway,
    plan: Arc<Plan>,
    requests: Slab<Entry>,
    buffer: Buffer,
    observers: Vec<Box<dyn Observer>>,
    next: RequestId,
    now: Time,
}

/// A request in flight, and what has come of its waiting.
struct Entry {
    in_flight: InFlight,
    request: Request,
    plan: Arc<Plan>,
    released: Option<Turn>,
    waker: Option<Waker>,
}

/// What came of a step.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// What to do.
    pub action: Action,
    /// When the request wants a `Woke`, if it does.
    pub deadline: Option<Time>,
    /// The number of the turn in the journal: committed before the action leaves the process.
    pub number: u64,
    /// Whether the request's money is closed: the ticket is no longer good for events.
    pub is_closed: bool,
}

/// What is asked of the gateway while a request is put together, in the turn of its arrival.
pub struct Arriving<'a> {
    gateway: &'a mut Gateway,
    recorder: Recorder<'a>,
    plan: &'a Plan,
    now: Time,
    /// The identity of the request that arrives.
    pub id: RequestId,
    /// Its place among the requests in flight.
    pub slot: Slot,
}

impl Arriving<'_> {
    /// The gateway as it is.
    pub fn gateway(&self) -> &Gateway {
        self.gateway
    }

    /// The plan of today.
    pub fn plan(&self) -> &Plan {
        self.plan
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The number of an end user that the request names.
    pub fn end_user(&mut self, name: &str) -> EndUserId {
        self.gateway.end_user(self.now, name, &mut self.recorder)
    }

    /// The number of a tag that the request carries.
    pub fn tag(&mut self, name: &str) -> TagId {
        self.gateway.tag(self.now, name, &mut self.recorder)
    }
}

/// A request of a client: what its exchange steps it by. Dropped before its money is closed, it tells the core that the client left.
pub struct Ticket {
    engine: Arc<Engine>,
    index: usize,
    is_closed: bool,
    calls: u32,
    /// The plan that the request was admitted under.
    pub plan: Arc<Plan>,
    /// The request.
    pub request: Request,
}

impl Engine {
    /// An engine for a gateway that has its commands and its recovery behind it. `buffer` goes on after the last turn of `log`.
    pub fn new(
        gateway: Gateway,
        plan: Arc<Plan>,
        clock: Clock,
        (log, buffer): (Log, Buffer),
        next: RequestId,
        observers: Vec<Box<dyn Observer>>,
    ) -> Self {
        let locked = Locked { gateway, plan, requests: Slab::new(), buffer, observers, next, now: clock.now() };
        Self { locked: Mutex::new(locked), clock, log }
    }

    /// Where its time comes from.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// A request arrives: `make` puts it together, in the same turn.
    pub fn arrive(self: &Arc<Self>, make: impl FnOnce(&mut Arriving<'_>) -> Request) -> (Ticket, Turn) {
        let mut locked = self.lock();
        let now = locked.read(&self.clock);
        let Locked { gateway, plan, requests, buffer, observers, next, .. } = &mut *locked;
        let id = *next;
        next.0 += 1;
        let place = requests.vacant_entry();
        let index = place.key();
        let slot = Slot(u32::try_from(index).expect("fewer than 2^32 requests in flight"));
        let recorder = Recorder { plan, request: None, buffer, observers };
        let mut arriving = Arriving { gateway, recorder, plan, now, id, slot };
        let request = make(&mut arriving);
        assert!(request.id == id && request.slot == slot, "the request has the identity that it was given");
        let plan = plan.clone();
        place.insert(Entry { in_flight: InFlight::new(), request, plan: plan.clone(), released: None, waker: None });
        let turn = locked.step(index, now, Event::Arrived(request));
        drop(locked);
        let mut ticket = Ticket { engine: self.clone(), index, is_closed: false, calls: 0, plan, request };
        let turn = ticket.seen(turn);
        (ticket, turn)
    }

    /// Makes sure that a turn is in the journal, as safely as its durability asks.
    ///
    /// # Errors
    /// If it can't be written: what it decided must not leave then.
    pub fn commit(&self, turn: u64) -> io::Result<()> {
        self.log.commit(turn, || self.lock().buffer.take())
    }

    /// Carries out a command, and waits until it is in the journal.
    ///
    /// # Errors
    /// The outer one if the journal can't be written; the inner one if the core refuses it.
    pub fn command(&self, command: Command) -> io::Result<Result<(), CommandError>> {
        let (done, turn) = self.change(|gateway, plan, now, recorder| gateway.apply(plan, now, command, recorder));
        self.commit(turn)?;
        Ok(done)
    }

    /// Once a second: edges that need time without traffic to be seen.
    pub fn tick(&self) {
        self.change(|gateway, _, now, recorder| gateway.tick(now, recorder));
    }

    /// Reads the state. Quick: every request waits meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&Gateway, &Plan, Time) -> T) -> T {
        let mut locked = self.lock();
        let now = locked.read(&self.clock);
        look(&locked.gateway, &locked.plan, now)
    }

    /// The plan of today.
    pub fn plan(&self) -> Arc<Plan> {
        self.lock().plan.clone()
    }

    /// Goes over to another plan for requests that arrive from now on. It must follow today's: same numbers for same names.
    pub fn adopt(&self, plan: Arc<Plan>) {
        let mut locked = self.lock();
        locked.plan = plan;
        drop(locked);
        self.change(|gateway, plan, now, recorder| gateway.adopt(plan, now, recorder));
    }

    /// One change of the state that is no request's, as a turn of its own.
    fn change<T>(&self, make: impl FnOnce(&mut Gateway, &Plan, Time, &mut Recorder<'_>) -> T) -> (T, u64) {
        let mut locked = self.lock();
        let now = locked.read(&self.clock);
        let Locked { gateway, plan, buffer, observers, .. } = &mut *locked;
        let plan = plan.clone();
        let done = make(gateway, &plan, now, &mut Recorder { plan: &plan, request: None, buffer, observers });
        locked.release(now);
        (done, locked.buffer.end_turn())
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        // A panic under the lock is a broken invariant; what comes after it must not go on as if nothing had been.
        self.locked.lock().expect("the core has not panicked")
    }
}

impl Locked {
    /// Reads the clock, after the lock was taken: turns have their times in their order.
    fn read(&mut self, clock: &Clock) -> Time {
        self.now = self.now.max(clock.now());
        self.now
    }

    fn step(&mut self, index: usize, now: Time, event: Event) -> Turn {
        let mut turn = self.step_one(index, now, event);
        self.release(now);
        turn.number = self.buffer.end_turn();
        turn
    }

    /// Steps whoever was set free, in the same turn, and wakes their tasks.
    fn release(&mut self, now: Time) {
        while let Some((slot, wake)) = self.gateway.ready.pop_front() {
            let number = self.buffer.turn() + 1;
            let turn = self.step_one(slot.index(), now, Event::Released(wake));
            let entry = self.requests.get_mut(slot.index()).expect("who waits is in flight");
            entry.released = Some(Turn { number, ..turn });
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    fn step_one(&mut self, index: usize, now: Time, event: Event) -> Turn {
        let Self { gateway, requests, buffer, observers, .. } = self;
        let Entry { in_flight, request, plan, .. } = requests.get_mut(index).expect("the request is in flight");
        let action = in_flight.step(plan, gateway, now, event, &mut Recorder { plan, request: Some(request), buffer, observers });
        let deadline = in_flight.deadline().map(|(time, _)| time);
        Turn { action, deadline, number: 0, is_closed: in_flight.is_closed() }
    }
}

impl Ticket {
    /// Tells the core an event of this request.
    ///
    /// # Panics
    /// If its money is closed: see [`Turn::is_closed`].
    pub fn step(&mut self, event: Event) -> Turn {
        assert!(!self.is_closed, "the request is in flight");
        let mut locked = self.engine.lock();
        let now = locked.read(&self.engine.clock);
        let turn = locked.step(self.index, now, event);
        drop(locked);
        self.seen(turn)
    }

    /// What came of waiting: ready once somebody else's step has set this request free.
    pub fn poll_released(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        let mut locked = self.engine.lock();
        let entry = locked.requests.get_mut(self.index).expect("the request is in flight");
        let Some(turn) = entry.released.take() else {
            entry.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        drop(locked);
        Poll::Ready(self.seen(turn))
    }

    /// The engine that it is a request of.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The number of its latest call, from 1; 0 before the first.
    pub fn call(&self) -> u32 {
        self.calls
    }

    fn seen(&mut self, turn: Turn) -> Turn {
        if let Action::Call(call) = turn.action {
            self.calls = call.call;
        }
        if turn.is_closed {
            self.close();
        }
        turn
    }

    fn close(&mut self) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.engine.lock().requests.remove(self.index);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_closed || std::thread::panicking() {
            return;
        }
        let turn = self.step(Event::ClientLeft { received: 0, delivered: 0 });
        if !turn.is_closed {
            // Nobody is there to read a drain to its end: what it cost is presumed.
            let failure = crate::gateway::failure::Failure::new(crate::gateway::failure::FailureClass::Cut);
            self.step(Event::Failed { call: self.calls, failure, received: 0, usage: None });
        }
    }
}
