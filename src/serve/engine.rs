//! The core under one lock: every step, command and tick goes through here, in one sequence with the journal. Never locked across an await.
//!
//! What the core decides and what a driver keeps of it change in the same turn: a request's place, the bodies of cached answers, what a request has
//! cost. A panic under the lock is a broken invariant: nothing goes on from there, the process starts again (see [`Engine::check`]).

#[cfg(test)]
mod tests;
mod ticket;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use slab::Slab;
use tokio::runtime::{Handle, RuntimeFlavor};

pub use self::ticket::{Passed, Ticket};
use super::adoption::{self, Turns};
use super::bodies::{Bodies, Kept};
use super::clock::{self, Clock};
use super::logs;
use super::observe::{Observer, Recorder};
use crate::gateway::Gateway;
use crate::gateway::command::{Command, CommandError};
use crate::gateway::id::{EndUserId, RequestId, Slot, TagId};
use crate::gateway::in_flight::{Action, Event, InFlight, Wake};
use crate::gateway::journal::Outcome;
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::request::Request;
use crate::gateway::time::Time;
use crate::journal::{Buffer, Draft, Log};

/// The gateway, live.
pub struct Engine {
    locked: Mutex<Locked>,
    clock: Clock,
    log: Log,
    broken: Box<dyn Fn() + Send + Sync>,
}

/// What an engine is made of.
pub struct Parts {
    /// A gateway that has its commands and its recovery behind it.
    pub gateway: Gateway,
    /// Its plan.
    pub plan: Arc<Plan>,
    /// Where its time comes from.
    pub clock: Clock,
    /// Where its turns are written.
    pub log: Log,
    /// What is not written yet; goes on after the last turn of `log`.
    pub buffer: Buffer,
    /// The identity of the first request that arrives.
    pub next: RequestId,
    /// The largest answer whose body is kept, in bytes.
    pub cached_body_max: u64,
    /// Who is told of every fact.
    pub observers: Vec<Box<dyn Observer>>,
    /// Starts the process again after the core has panicked. What it was told by then is in the journal.
    pub broken: Box<dyn Fn() + Send + Sync>,
}

/// What the lock guards.
struct Locked {
    gateway: Gateway,
    plan: Arc<Plan>,
    requests: Slab<Entry>,
    bodies: Bodies,
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
    spent: Money,
    released: Option<Turn>,
    waker: Option<Waker>,
}

/// What came of a step.
#[derive(Debug, Clone)]
pub struct Turn {
    /// What to do.
    pub action: Action,
    /// When the request wants a `Woke`, if it does.
    pub deadline: Option<Time>,
    /// The number of the turn in the journal: committed before the action leaves the process.
    pub number: u64,
    /// Whether the request's money is closed: the ticket is no longer good for events.
    pub is_closed: bool,
    /// What its calls have cost so far.
    pub spent: Money,
    /// Whether its answer has a place in the response cache.
    pub has_cache: bool,
    /// The answer, where it is another request's: from the cache, or of an identical request that was in flight.
    pub body: Option<Arc<Kept>>,
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

impl Engine {
    /// An engine of its parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { mut gateway, plan, clock, log, buffer, next, cached_body_max, observers, broken } = parts;
        gateway.watch_cache();
        let bodies = Bodies::new(plan.cache_bytes_max, cached_body_max);
        let locked = Locked { gateway, plan, requests: Slab::new(), bodies, buffer, observers, next, now: clock.now() };
        Self { locked: Mutex::new(locked), clock, log, broken }
    }

    /// Where its time comes from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A request arrives: `make` puts it together, in the same turn.
    pub fn arrive(self: &Arc<Self>, make: impl FnOnce(&mut Arriving<'_>) -> Request) -> (Ticket, Turn) {
        let mut locked = self.lock();
        let now = locked.read(&self.clock);
        let Locked { gateway, plan, requests, bodies, buffer, observers, next, .. } = &mut *locked;
        let id = *next;
        next.0 += 1;
        let place = requests.vacant_entry();
        let index = place.key();
        let slot = Slot(u32::try_from(index).expect("fewer than 2^32 requests in flight"));
        let recorder = Recorder { plan, request: None, spent: None, buffer, observers };
        let mut arriving = Arriving { gateway, recorder, plan, now, id, slot };
        let request = make(&mut arriving);
        assert!(request.id == id && request.slot == slot, "the request has the identity that it was given");
        let Arriving { gateway, mut recorder, .. } = arriving;
        if let Some(key) = gateway.key_of_either_form(plan, &request)
            && bodies.get(key).is_some_and(|kept| !kept.has_form(request.stream))
        {
            bodies.remove(key);
            gateway.forget_answer(now, key, &mut recorder);
        }
        let plan = plan.clone();
        place.insert(Entry { in_flight: InFlight::new(), request, plan: plan.clone(), spent: Money::ZERO, released: None, waker: None });
        let turn = locked.step(index, now, Event::Arrived(request), None);
        drop(locked);
        let mut ticket = Ticket::new(self.clone(), index, plan, request);
        ticket.saw(&turn);
        (ticket, turn)
    }

    /// Makes sure that a turn is in the journal, as safely as its durability asks. Blocks for as long as that takes; where it may take as long as a
    /// disk does, the runtime is told, so that others are served meanwhile.
    ///
    /// # Errors
    /// If it can't be written: what it decided must not leave then.
    pub fn commit(&self, turn: u64) -> io::Result<()> {
        // Turns that have ended are whole, whatever came after them.
        let give = |bytes: &mut Vec<u8>| self.ignoring_panics().buffer.give(bytes);
        let has_other_threads = || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        let may_wait = !self.log.has(turn) && (self.log.waits_for_disk() || self.log.is_closing());
        if !may_wait || !has_other_threads() {
            return self.log.commit(turn, give);
        }
        // The runtime takes another thread for each that waits, and keeps it: only who has to wait may cost one.
        if !self.log.waits_for_disk()
            && let Some(done) = self.log.try_commit(turn, give)
        {
            return done;
        }
        tokio::task::block_in_place(|| self.log.commit(turn, give))
    }

    /// Once a second, on a thread that may block: writes what nobody has waited for (a refusal, an answer from the cache, a tick), sees to what the
    /// journal's durability promises of the disk, and to a checkpoint if one is due. Starts the process again if the core has panicked, even where
    /// no request asks for it.
    ///
    /// # Errors
    /// If the journal can't be written.
    pub fn keep_journal(&self) -> io::Result<()> {
        self.check_journal()?;
        self.log.sync()?;
        if !self.log.is_due() {
            return Ok(());
        }
        self.log.rotate(clock::wall(), |bytes| {
            let mut locked = self.locked.lock().expect("the core has not panicked");
            let reach = locked.buffer.give(bytes);
            let open = locked.requests.iter().filter(|(_, entry)| !entry.in_flight.is_closed());
            let open = open.map(|(index, entry)| (Slot(u32::try_from(index).expect("as it arrived")), &entry.in_flight, &entry.plan));
            let draft = Draft::new(reach, &locked.gateway, &locked.plan, locked.next, open);
            locked.observers.iter().filter_map(|observer| observer.section()).fold(draft, Draft::with)
        })
    }

    /// Whether the journal could not be written the last time: no call leaves before it can.
    pub fn journal_fails(&self) -> bool {
        self.log.fails()
    }

    /// Whether the journal can be written: writes what there is.
    ///
    /// # Errors
    /// If it can't.
    pub fn check_journal(&self) -> io::Result<()> {
        let turn = self.lock().buffer.turn();
        self.commit(turn)
    }

    /// Whether a request may arrive: not while the journal can't be written. Its turns could not be either, and would wait in memory.
    ///
    /// # Errors
    /// If the journal could not be written the last time, and can't be now.
    pub fn check_arrival(&self) -> io::Result<()> {
        if self.journal_fails() { self.check_journal() } else { Ok(()) }
    }

    /// Why the journal is not written any more until the process starts again, if it is so.
    pub fn journal_lost(&self) -> Option<&str> {
        self.log.lost()
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

    /// Once a second: edges that need time without traffic to be seen. The clock follows the wall, if that has gone ahead.
    pub fn tick(&self) {
        let by = self.clock.follow(clock::wall());
        if by > clock::AHEAD {
            logs::clock_went_on(by);
        }
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

    /// How many requests are in flight, drains included.
    pub fn in_flight(&self) -> usize {
        self.lock().requests.len()
    }

    /// Goes over to another configuration for requests that arrive from now on, in one turn of the lock: none sees half of it. The plan must follow
    /// today's: same numbers for same names. Waits until all of it is in the journal.
    ///
    /// # Errors
    /// The outer one if the journal can't be written; the inner one if the core refuses a command. What came before it is carried out.
    pub fn adopt(&self, plan: &Arc<Plan>, commands: &[Command]) -> io::Result<Result<(), adoption::Refused>> {
        let mut locked = self.lock();
        let now = locked.read(&self.clock);
        let done = adoption::carry_out(&mut Adopting { locked: &mut locked, now }, Some(plan), commands);
        let turn = locked.buffer.turn();
        drop(locked);
        self.commit(turn)?;
        Ok(done)
    }

    /// Whether the core has panicked: nothing may be decided any more.
    pub fn is_broken(&self) -> bool {
        self.locked.is_poisoned()
    }

    /// Starts the process again if the core has panicked. What the core had decided by then is written first, so that recovery finds it.
    pub fn check(&self) {
        if self.locked.is_poisoned() {
            // The log is locked before the gateway, never after it.
            let turn = self.ignoring_panics().buffer.turn();
            let _ = self.log.commit(turn, |bytes| self.ignoring_panics().buffer.give(bytes));
            (self.broken)();
        }
    }

    /// Writes what nobody has waited for.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn close(&self) -> io::Result<()> {
        self.log.close(|bytes| self.ignoring_panics().buffer.give(bytes))
    }

    /// One change of the state that is no request's, as a turn of its own.
    fn change<T>(&self, make: impl FnOnce(&mut Gateway, &Plan, Time, &mut Recorder<'_>) -> T) -> (T, u64) {
        let mut locked = self.lock();
        let now = locked.read(&self.clock);
        locked.change(now, make)
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.check();
        // Only where a test has it go on: nothing may be decided on what a panic has left.
        self.locked.lock().expect("the core has not panicked")
    }

    fn ignoring_panics(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A configuration on its way in, under the lock.
struct Adopting<'a> {
    locked: &'a mut Locked,
    now: Time,
}

impl Turns for Adopting<'_> {
    fn gateway(&self) -> &Gateway {
        &self.locked.gateway
    }

    fn adopt(&mut self, plan: &Arc<Plan>) {
        let Self { locked, now } = self;
        locked.bodies.resize(plan.cache_bytes_max);
        locked.buffer.plan(*now, plan);
        locked.plan = Arc::clone(plan);
        locked.change(*now, |gateway, plan, now, recorder| gateway.adopt(plan, now, recorder));
    }

    fn command(&mut self, command: Command) -> Result<(), CommandError> {
        self.locked.change(self.now, |gateway, plan, now, recorder| gateway.apply(plan, now, command, recorder)).0
    }
}

impl Locked {
    /// Reads the clock, after the lock was taken: turns have their times in their order.
    fn read(&mut self, clock: &Clock) -> Time {
        self.now = self.now.max(clock.now());
        self.now
    }

    /// One event of one request, and all that it sets free. `body` is the answer, if it ends one.
    fn step(&mut self, index: usize, now: Time, event: Event, body: Option<&Arc<Kept>>) -> Turn {
        let mut turn = self.step_one(index, now, event, body);
        self.release(now, body);
        turn.number = self.end_turn();
        if turn.is_closed {
            self.requests.remove(index);
        }
        turn
    }

    fn change<T>(&mut self, now: Time, make: impl FnOnce(&mut Gateway, &Plan, Time, &mut Recorder<'_>) -> T) -> (T, u64) {
        let Self { gateway, plan, buffer, observers, .. } = self;
        let plan = plan.clone();
        let done = make(gateway, &plan, now, &mut Recorder { plan: &plan, request: None, spent: None, buffer, observers });
        self.release(now, None);
        (done, self.end_turn())
    }

    /// Steps whoever was set free, in the same turn, and wakes their tasks.
    fn release(&mut self, now: Time, body: Option<&Arc<Kept>>) {
        while let Some((slot, wake)) = self.gateway.ready.pop_front() {
            let number = self.buffer.turn() + 1;
            let shared = if let Wake::Served(_) = wake { body } else { None };
            let turn = self.step_one(slot.index(), now, Event::Released(wake), shared);
            let entry = self.requests.get_mut(slot.index()).expect("who waits is in flight");
            entry.released = Some(Turn { number, body: turn.body.or_else(|| shared.cloned()), ..turn });
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    /// Lets go of the bodies that the index has let go, and closes the turn.
    fn end_turn(&mut self) -> u64 {
        for key in self.gateway.dropped_answers() {
            self.bodies.remove(key);
        }
        self.buffer.end_turn()
    }

    fn step_one(&mut self, index: usize, now: Time, event: Event, body: Option<&Arc<Kept>>) -> Turn {
        let Self { gateway, requests, bodies, buffer, observers, .. } = self;
        let Entry { in_flight, request, plan, spent, .. } = requests.get_mut(index).expect("the request is in flight");
        let mut recorder = Recorder { plan, request: Some(request), spent: Some(spent), buffer, observers };
        let action = in_flight.step(plan, gateway, now, event, &mut recorder);
        let mut found = None;
        if let Action::Finish(finish) = action {
            if let Some(key) = finish.store {
                let mut forget = |key| {
                    gateway.forget_answer(now, key, &mut recorder);
                };
                match body {
                    Some(body) => bodies.insert(key, body.clone(), forget),
                    None => forget(key),
                }
            }
            if finish.outcome == Outcome::Cached {
                found = in_flight.cache_key().and_then(|key| bodies.get(key));
            }
        }
        let deadline = in_flight.deadline().map(|(time, _)| time);
        let has_cache = in_flight.cache_key().is_some();
        Turn { action, deadline, number: 0, is_closed: in_flight.is_closed(), spent: *spent, has_cache, body: found }
    }
}
