//! The loop of one variant: brings rows, the world's answers, deadlines and leaving clients to the core in the order of their times, and carries
//! out what the core wants. Contains no policy.

mod ahead;
mod books;
mod users;

use std::collections::VecDeque;
use std::sync::Arc;

use self::ahead::{Arrivals, Line};
use self::books::{About, Listener};
use super::batches::{Batches, RowPlace};
use super::client::callers::{self, Callers, UserCall};
use super::client::{self, ClientError, Clients, Directory};
use super::fate::{Ending, Fate};
use super::observe::{Context, Observer, Totals};
use super::queue::{Class, Queue, Ticket};
use super::replay::counted::Counted;
use super::replay::outcomes::Outcomes;
use super::upstream::{Prompt, Upstream, WorldError};
use super::world::World;
use crate::gateway::command::Command;
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::id::Slot;
use crate::gateway::in_flight::{Action, Call, Event, InFlight};
use crate::gateway::plan::Plan;
use crate::gateway::request::Request;
use crate::gateway::time::{Span, Time};
use crate::gateway::{Gateway, Outstanding};
use crate::price::tokens::{Ratio, TokenRatio, TokenTable};
use crate::traffic::trace::{Batch, LeftAfter};

/// One configuration in one world.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its name in reports.
    pub name: String,
    /// The gateway's configuration.
    pub plan: Arc<Plan>,
    /// The teams and keys, carried out before the first request.
    pub setup: Arc<[Command]>,
    /// The world around it.
    pub world: Arc<World>,
    /// How rows become its requests.
    pub clients: Arc<Clients>,
}

/// One run of one variant.
pub struct Driver<O> {
    variant: Variant,
    gateway: Gateway,
    upstream: Upstream,
    /// How tokens carry over between models; `None` where all count alike.
    tokens: Option<TokenTable>,
    directory: Directory,
    seed: u64,
    /// Clients that send something again, or wait for an answer before they send; `None` if nobody does.
    callers: Option<Box<Callers>>,
    /// What the log saw, where the world is to go by it.
    outcomes: Option<Outcomes>,
    /// What rows were counted by that another model has answered; `None` where all count alike.
    counted: Option<Counted>,
    observer: O,
    entries: Vec<Entry>,
    free: Vec<Slot>,
    queue: Queue,
    /// Events of this very instant.
    due: VecDeque<(Slot, Ticket)>,
    batches: Batches,
    now: Time,
    next_tick: Time,
    has_begun: bool,
    totals: Totals,
}

/// One request in flight.
#[repr(C)]
struct Entry {
    /// Its lines of the processor's cache: nothing, at the place where they begin.
    lines: [Line; 0],
    flight: InFlight,
    context: Context,
    open: Option<Open>,
    left_after: Option<LeftAfter>,
    pending: Ticket,
    what: What,
    is_finished: bool,
    has_left: bool,
    is_looking: bool,
    /// Where its row is, if its blocks or its recorded outcome are needed.
    batch: Option<u32>,
    row: u32,
}

/// The call that is open.
struct Open {
    call: Call,
    fate: Fate,
    output_ratio: Ratio,
    has_opened: bool,
    has_ended: bool,
    /// Nobody reads it any more: it is closed then at the latest, or with so many output tokens.
    is_drained: bool,
    drained_until: Time,
    drained_tokens_max: u32,
    /// A time-out ran out that the driver watches: between two chunks, or for a stream as a whole.
    has_timed_out: bool,
}

/// The one pending event of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Looked,
    Opens,
    Ends,
    TimesOut,
    DrainEnds,
    Wakes,
    Leaves,
    /// The client's library has waited long enough.
    GivesUp,
}

/// The same instant can't have more steps than this: a gateway that never comes to rest is a bug, not a slow run.
const STEPS_AT_ONE_INSTANT_MAX: u32 = 100_000_000;

impl<O: Observer> Driver<O> {
    /// A run that has seen no traffic yet. `seed` keys the gateway's draws and the world's luck.
    ///
    /// # Errors
    /// If the variant's world doesn't fit its plan.
    pub fn new(variant: &Variant, seed: u64, observer: O) -> Result<Self, WorldError> {
        Ok(Self {
            gateway: Gateway::new(&variant.plan, seed),
            upstream: Upstream::new(&variant.plan, &variant.world, seed)?,
            tokens: Some(TokenTable::new(&variant.plan, &variant.clients.tokens)).filter(|table| !table.is_equal()),
            directory: Directory::default(),
            seed,
            callers: Callers::new(&variant.clients, seed),
            outcomes: variant.world.deployments.iter().any(|world| world.recorded_outcomes).then(Outcomes::default),
            counted: (!variant.clients.tokens.rules.is_empty()).then(Counted::default),
            observer,
            entries: Vec::new(),
            free: Vec::new(),
            queue: Queue::default(),
            due: VecDeque::new(),
            batches: Batches::default(),
            now: Time(0),
            next_tick: Time::MAX,
            has_begun: false,
            totals: Totals::default(),
            variant: variant.clone(),
        })
    }

    /// Runs through the rows of `batch`, which follow those of the batch before, up to the last arrival.
    ///
    /// # Errors
    /// If the variant can't take the traffic: nothing of the batch has been run then.
    pub fn feed(&mut self, batch: &Arc<Batch>) -> Result<(), ClientError> {
        let Some(first) = batch.rows.first() else { return Ok(()) };
        if !self.has_begun {
            self.begin(first.at)?;
        }
        let clients = Arc::clone(&self.variant.clients);
        let mut journal = Listener { observer: &mut self.observer, totals: &mut self.totals, about: None };
        let additions = self.directory.learn(batch, &clients, &self.variant.plan, &mut self.gateway, (self.now, &mut journal))?;
        for command in additions {
            self.command(command)?;
        }
        self.directory.learn_keys(batch, &clients, &self.gateway)?;
        self.directory.learn_tags(batch, |list, tags| self.observer.tagged(list, tags));
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.learn(batch, &self.variant.plan);
        }
        if let Some(counted) = &mut self.counted {
            counted.learn(batch, &clients.tokens);
        }
        self.batches.push(Arc::clone(batch));
        let first = self.totals.rows;
        self.totals.rows += batch.rows.len() as u64;
        let taken = self.take_ahead(&clients, batch, first);
        let mut arrivals = Arrivals::default();
        for (index, row) in (0..).zip(&batch.rows) {
            self.fetch_for_arrivals(&clients, &batch.rows[index as usize + 1..], &mut arrivals);
            self.run_until(row.at);
            if self.callers.is_none() {
                let (request, context, left_after, place) = self.request(&clients, batch, row, index, first);
                self.arrive(request, context, left_after, place, None);
            } else if taken.get(index as usize) != Some(&true) {
                self.send_row(&clients, batch, index, first);
            }
        }
        self.batches.release_current();
        Ok(())
    }

    /// Runs until nothing is in flight any more and says when that is: for clients that send one request after the other.
    pub fn run_to_rest(&mut self) -> Time {
        self.run_until(Time::MAX);
        self.now
    }

    /// Runs until nothing is in flight any more, checks the books and gives what was observed.
    ///
    /// # Panics
    /// If something was lost: a request without an end, a call that nobody closed, a hold or a place that nobody returned.
    pub fn finish(mut self) -> (O, Totals) {
        self.run_until(Time::MAX);
        assert_eq!(self.free.len(), self.entries.len(), "no request is left in flight");
        assert!(self.callers.as_ref().is_none_or(|callers| callers.is_at_rest()), "nobody is left to send anything");
        assert_eq!(self.gateway.outstanding(), Outstanding::default(), "no hold, place, waiter or flight is left");
        self.totals.waits = self.upstream.waits();
        self.totals.check();
        (self.observer, self.totals)
    }

    /// Requests that have arrived so far.
    pub fn arrived(&self) -> u64 {
        self.totals.arrived
    }

    fn begin(&mut self, start: Time) -> Result<(), ClientError> {
        self.has_begun = true;
        self.now = start;
        self.next_tick = Time(start.0 - start.0 % Span::SECOND.0) + Span::SECOND;
        self.upstream.begin(start);
        let setup = Arc::clone(&self.variant.setup);
        for command in setup.iter() {
            self.command(command.clone())?;
        }
        self.directory = Directory::new(&self.variant.clients, &self.variant.plan, &self.gateway, &setup);
        Ok(())
    }

    fn command(&mut self, command: Command) -> Result<(), ClientError> {
        let name = match &command {
            Command::PutTeam { name, .. } | Command::PutKey { name, .. } => name.clone(),
            other => format!("{other:?}"),
        };
        let mut journal = Listener { observer: &mut self.observer, totals: &mut self.totals, about: None };
        self.gateway.apply(&self.variant.plan, self.now, command, &mut journal).map_err(|error| ClientError::Refused(name, error))
    }

    /// Lets everything happen that is due up to `limit`, the instant included.
    fn run_until(&mut self, limit: Time) {
        loop {
            let queued = self.queue.next_at().filter(|at| *at <= limit);
            if self.callers.is_some() && self.send_next(queued, limit) {
                continue;
            }
            let Some(at) = queued else { break };
            self.tick_until(at);
            let (at, slot, ticket) = self.queue.pop().expect("it was there when its time was read");
            self.fetch_for_events();
            if self.entries[slot.index()].pending == ticket {
                self.now = self.now.max(at);
                self.fire(slot);
                self.settle();
            }
        }
        if limit != Time::MAX {
            self.tick_until(limit);
            self.now = self.now.max(limit);
        }
    }

    /// Ticks for every whole second up to `at`; long silence is one tick.
    #[inline]
    fn tick_until(&mut self, at: Time) {
        const SILENCE: Span = Span::from_secs(1_000_000);
        while self.next_tick <= at && at != Time::MAX {
            if at.since(self.next_tick) > SILENCE {
                self.next_tick = Time(at.0 - at.0 % Span::SECOND.0);
            }
            self.now = self.now.max(self.next_tick);
            let mut journal = Listener { observer: &mut self.observer, totals: &mut self.totals, about: None };
            self.gateway.tick(self.now, &mut journal);
            self.next_tick = self.next_tick + Span::SECOND;
            self.settle();
        }
    }

    #[inline(always)]
    fn arrive(&mut self, mut request: Request, context: Context, left_after: Option<LeftAfter>, place: RowPlace, call: Option<UserCall>) {
        let slot = self.free.pop().unwrap_or_else(|| Slot(u32::try_from(self.entries.len()).expect("fewer than 2^32 requests in flight")));
        request.slot = slot;
        if let Some(table) = &self.tokens {
            request.input_tokens_max = table.input_most(request.model, request.input_tokens);
        }
        self.totals.arrived += 1;
        if let (Some(callers), Some(call)) = (&mut self.callers, call) {
            callers.arrived(self.now, slot, &context, call);
        }
        self.observer.arrived(self.now, &context);
        if slot.index() == self.entries.len() {
            self.entries.push(Entry::new(context));
        }
        self.entries[slot.index()].begin(context, left_after, place);
        let event = Event::Arrived(request);
        self.step(slot, event);
        self.settle();
    }

    /// Lets everything happen that is due at this instant: whoever was set free first, as the core's contract has it.
    #[inline]
    fn settle(&mut self) {
        for _ in 0..STEPS_AT_ONE_INSTANT_MAX {
            if let Some((slot, wake)) = self.gateway.ready.pop_front() {
                self.step(slot, Event::Released(wake));
            } else if let Some((slot, ticket)) = self.due.pop_front() {
                if self.entries[slot.index()].pending == ticket {
                    self.fire(slot);
                }
            } else {
                return;
            }
        }
        panic!("the gateway comes to rest at every instant; it doesn't at {:?}", self.now);
    }

    /// Tells a request its pending event.
    fn fire(&mut self, slot: Slot) {
        let (now, entry) = (self.now, &mut self.entries[slot.index()]);
        let event = match (entry.what, &mut entry.open) {
            (What::Wakes, _) => Event::Woke,
            (What::Looked, _) => {
                entry.is_looking = false;
                Event::Looked(None)
            }
            (What::Leaves | What::GivesUp, _) => {
                if let (What::GivesUp, Some(callers)) = (entry.what, &mut self.callers) {
                    callers.timed_out(slot);
                }
                entry.has_left = true;
                let received = entry.open.as_ref().map_or(0, |open| open.fate.received(now));
                Event::ClientLeft { received, delivered: received }
            }
            (What::Opens, Some(open)) => {
                open.has_opened = true;
                entry.context.first_token_at.get_or_insert(now);
                Event::Opened { call: open.call.call }
            }
            (What::Ends, Some(open)) => {
                open.has_ended = true;
                let Call { call, .. } = open.call;
                match open.fate.ending.failure() {
                    None => {
                        entry.context.first_token_at.get_or_insert(now);
                        Event::Finished { call, received: open.fate.usage.output, usage: Some(open.fate.usage) }
                    }
                    Some(failure) => {
                        let accepted = matches!(open.fate.ending, Ending::Cut(_));
                        Event::Failed { call, failure, accepted, received: open.fate.received(now), usage: None }
                    }
                }
            }
            (what @ (What::TimesOut | What::DrainEnds), Some(open)) => {
                open.has_timed_out = what == What::TimesOut;
                let class = if open.has_timed_out { FailureClass::Timeout } else { FailureClass::Cut };
                let (call, received) = (open.call.call, open.fate.received(now));
                Event::Failed { call, failure: Failure::new(class), accepted: open.has_opened, received, usage: None }
            }
            (What::Opens | What::Ends | What::TimesOut | What::DrainEnds, None) => unreachable!("events of a call are dropped with it"),
        };
        self.step(slot, event);
    }

    /// Takes one step of a request, carries out the action and schedules what comes next.
    fn step(&mut self, slot: Slot, event: Event) {
        let (now, plan, entry) = (self.now, &self.variant.plan, &mut self.entries[slot.index()]);
        let has_left = entry.has_left;
        let (context, open, upstream) = (&entry.context, entry.open.as_ref(), &self.upstream);
        let is_awaited = self.callers.is_some();
        let mut about = About { context, has_left, open, upstream, plan, has_closed: false, is_awaited, answered: None };
        let mut journal = Listener { observer: &mut self.observer, totals: &mut self.totals, about: Some(&mut about) };
        let action = entry.flight.step(plan, &mut self.gateway, now, event, &mut journal);
        let answered = about.answered;
        if about.has_closed
            && let Some(open) = entry.open.take()
            && !open.has_ended
        {
            self.upstream.close(now, open.call.deployment, slot, &open.fate);
        }
        assert!(entry.open.as_ref().is_none_or(|open| !open.has_ended), "a call that has ended is closed at once");
        match action {
            Action::Wait | Action::Relay | Action::Sleep { .. } => {}
            Action::LookUp(_) => entry.is_looking = true,
            Action::Call(call) => self.call(slot, call),
            Action::Count => unreachable!("what the simulator sends has no text that could be counted"),
            Action::Drain { until, tokens_max } => {
                let open = entry.open.as_mut().expect("only an open call is drained");
                // A plain answer has no tokens to count before it is whole: its drain ends with the core's own deadline.
                if open.fate.stream {
                    (open.is_drained, open.drained_until, open.drained_tokens_max) = (true, until, tokens_max);
                }
            }
            Action::Finish(_) => entry.is_finished = true,
        }
        if let Some(outcome) = answered {
            self.answered(slot, outcome);
        }
        self.schedule(slot);
        if !self.upstream.moved.is_empty() {
            self.move_up();
        }
    }

    /// Calls that wait for a place of their provider get it earlier than they were told, because somebody has left.
    fn move_up(&mut self) {
        let mut moved = std::mem::take(&mut self.upstream.moved);
        for (slot, fate) in moved.drain(..) {
            let open = self.entries[slot.index()].open.as_mut().expect("who waits for a place is open");
            open.fate = fate;
            self.schedule(slot);
        }
        self.upstream.moved = moved;
    }

    fn call(&mut self, slot: Slot, call: Call) {
        let entry = &mut self.entries[slot.index()];
        assert!(entry.open.is_none(), "one call of a request is open at one time");
        let (request, output_tokens) = (*entry.flight.request(), entry.context.output_tokens);
        let (blocks, block_size) = entry.batch.map_or((&[][..], 0), |batch| self.batches.blocks(batch, entry.row));
        let recorded =
            self.outcomes.as_ref().filter(|_| call.call == 1 && callers::is_first_try(request.id)).zip(entry.batch).and_then(|(outcomes, batch)| {
                let (batch, row) = self.batches.row(batch, entry.row);
                outcomes.step(batch, row, call.deployment, self.upstream.world(call.deployment))
            });
        let ratio = self.tokens.as_ref().map_or(TokenRatio::ONE, |table| table.ratio(request.model, call.deployment));
        let prompt = Prompt {
            request: request.id,
            slot,
            input_tokens: ratio.input.of(request.input_tokens),
            output_tokens: ratio.output.of(output_tokens),
            choices: request.choices,
            stream: request.stream,
            blocks,
            block_size,
            recorded,
            block_ratio: ratio.input,
        };
        let fate = self.upstream.call(self.now, call.deployment, call.nth, call.max_tokens, &prompt);
        if fate.is_turned_away || fate.begins_at != self.now {
            self.observer.short_of_capacity(self.now, fate.is_turned_away, fate.begins_at.since(self.now));
        }
        entry.context.called = Some(call.deployment);
        entry.open = Some(Open {
            call,
            fate,
            output_ratio: ratio.output,
            has_opened: false,
            has_ended: false,
            is_drained: false,
            drained_until: Time::MAX,
            drained_tokens_max: 0,
            has_timed_out: false,
        });
        self.totals.calls += 1;
    }

    /// Makes the earliest of all that may happen to a request its one pending event, or frees its slot.
    fn schedule(&mut self, slot: Slot) {
        let entry = &mut self.entries[slot.index()];
        entry.pending = Ticket::default();
        if entry.is_finished && entry.flight.is_closed() {
            assert!(entry.open.is_none(), "a request is closed when its calls are");
            if let Some(batch) = entry.batch {
                self.batches.release(batch);
            }
            self.free.push(slot);
            return;
        }
        let gives_up_at = self.callers.as_ref().map_or(Time::MAX, |callers| callers.times_out_at(slot));
        let Some((at, class, what)) = entry.next(self.now, &self.variant.plan, gives_up_at) else { return };
        entry.what = what;
        if at <= self.now {
            entry.pending = self.queue.ticket();
            self.due.push_back((slot, entry.pending));
        } else {
            entry.pending = self.queue.push(at, class, slot);
        }
    }
}

impl Entry {
    fn new(context: Context) -> Self {
        Self {
            lines: [],
            flight: InFlight::new(),
            context,
            open: None,
            left_after: None,
            pending: Ticket::default(),
            what: What::Wakes,
            is_finished: false,
            has_left: false,
            is_looking: false,
            batch: None,
            row: 0,
        }
    }

    /// Stands for another request from now on. Field by field: a whole entry would be made elsewhere first, and then copied.
    #[inline(always)]
    fn begin(&mut self, context: Context, left_after: Option<LeftAfter>, RowPlace { batch, row }: RowPlace) {
        self.flight = InFlight::new();
        self.context = context;
        self.open = None;
        self.left_after = left_after;
        (self.pending, self.what) = (Ticket::default(), What::Wakes);
        (self.is_finished, self.has_left, self.is_looking) = (false, false, false);
        (self.batch, self.row) = (batch, row);
    }

    /// The earliest of all that may happen to it; its client's library gives it up at `gives_up_at`, unless a stream has begun by then. `None`:
    /// only the core can set it free.
    fn next(&self, now: Time, plan: &Plan, gives_up_at: Time) -> Option<(Time, Class, What)> {
        if self.is_looking {
            return Some((now, Class::Completion, What::Looked));
        }
        let mut first: Option<(Time, Class, What)> = None;
        let mut or = |at: Time, class, what| {
            if first.is_none_or(|(earliest, over, _)| (at, class) < (earliest, over)) {
                first = Some((at, class, what));
            }
        };
        if let Some(open) = &self.open {
            if open.fate.stream && !open.has_opened && open.fate.opens_at != Time::MAX {
                or(open.fate.opens_at, Class::Completion, What::Opens);
            } else {
                or(open.fate.ends_at, Class::Completion, What::Ends);
            }
            if open.has_opened {
                let idle_at = open.fate.idle_at(plan.model(open.call.model).timeouts.idle);
                if idle_at != Time::MAX {
                    or(idle_at, Class::Wake, What::TimesOut);
                }
            }
            // Worked out anew each time: a call that waits for a place may move up, and its tokens with it, but not its time.
            if open.is_drained {
                let at = open.drained_until.min(open.fate.made_at(open.drained_tokens_max));
                if at != Time::MAX {
                    or(at, Class::Wake, What::DrainEnds);
                }
            }
        }
        if let Some((at, _)) = self.flight.deadline() {
            // Once a stream has opened, the driver says how much had come when its time was up.
            let has_opened = self.open.as_ref().is_some_and(|open| open.has_opened);
            or(at, Class::Wake, if has_opened { What::TimesOut } else { What::Wakes });
        }
        if let Some(left_after) = self.left_after.filter(|_| !self.has_left && !self.is_finished) {
            let at = client::leaves_at(left_after, self.context.arrived_at, self.open.as_ref().map(|open| (&open.fate, open.output_ratio)));
            if at != Time::MAX {
                or(at, Class::Leave, What::Leaves);
            }
        }
        let has_begun = || self.flight.request().stream && self.context.first_token_at.is_some();
        if gives_up_at != Time::MAX && !self.has_left && !self.is_finished && !has_begun() {
            or(gives_up_at, Class::Leave, What::GivesUp);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_in_flight_stays_small() {
        let beside = size_of::<Entry>() - size_of::<InFlight>();
        assert!(beside <= 304, "{beside} bytes beside the core's own {}", size_of::<InFlight>());
    }
}
