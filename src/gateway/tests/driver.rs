//! A second driver, for tests only: a random scheduler over a world of its own. It knows the contract of `gateway` and no policy.
//!
//! Everything is drawn from one seed. Events of different calls come in any order, timers late, clients leave at any point, usage comes
//! after the close, commands and plans in between. Every law that can be seen while it runs is asserted here; `laws` asks the rest.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dice::Dice;
use super::ledger::Ledger;
use super::{orders, plans, world};
use crate::gateway::Gateway;
use crate::gateway::budget::ACCOUNTS_MAX;
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::features::Features;
use crate::gateway::id::{AccountId, DeploymentId, KeyId, ModelId, RequestId, Slot};
use crate::gateway::in_flight::{Action, CacheKey, Event, Finish, Hit, InFlight};
use crate::gateway::journal::{Certainty, Denial, Fact, Record, Skip};
use crate::gateway::money::Money;
use crate::gateway::plan::{OnShort, Plan};
use crate::gateway::rate_card::Usage;
use crate::gateway::request::{Fingerprint, Request};
use crate::gateway::time::{Span, Time};

/// When every run begins.
pub(super) const START: Time = Time(1_000_000_000_000_000);

/// What is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) arrivals: u32,
    /// The gateway and the requests in flight are replaced by what was written of them after so many turns.
    pub(super) snapshot_at: Option<u32>,
    /// Providers keep to max_tokens and to their billing rules.
    pub(super) honest: bool,
    /// Changes the first plan.
    pub(super) change: fn(&mut Plan),
}

/// A run: the state while it goes on, and afterwards what there is to look at.
pub(super) struct Run {
    setup: Setup,
    pub(super) dice: Dice,
    pub(super) now: Time,
    pub(super) plans: Vec<Plan>,
    /// What orders and requests choose from: the models and deployments that the plan had before it was changed.
    pub(super) sizes: (usize, usize),
    pub(super) gateway: Gateway,
    pub(super) journal: Vec<Record>,
    pub(super) flights: Vec<Flight>,
    pub(super) ledger: Ledger,
    pub(super) bills: BTreeMap<(RequestId, u32), Money>,
    /// Under which keys there are bodies of answers: at every turn those that the index has.
    pub(super) bodies: BTreeSet<CacheKey>,
    stale: VecDeque<(usize, Event)>,
    arrivals_left: u32,
}

/// One request, as its driver and the world see it.
pub(super) struct Flight {
    pub(super) in_flight: InFlight,
    pub(super) plan: usize,
    pub(super) path_accounts: Vec<AccountId>,
    pub(super) calls: u32,
    call: Option<world::Upstream>,
    looking: bool,
    counting: bool,
    counted: bool,
    left: bool,
}

impl Flight {
    /// Something of it is under way elsewhere: a call, a look into the remote cache, a count.
    fn is_busy(&self) -> bool {
        self.call.is_some() || self.looking || self.counting
    }
}

impl Run {
    /// Runs `setup` from beginning to end.
    pub(super) fn of(setup: Setup) -> Self {
        let mut dice = Dice::new(setup.seed);
        let mut plan = plans::random(&mut dice);
        let sizes = (plan.models.len(), plan.deployments.len());
        (setup.change)(&mut plan);
        let gateway = Gateway::new(&plan, setup.seed);
        let (journal, flights, stale) = (Vec::new(), Vec::new(), VecDeque::new());
        let arrivals_left = setup.arrivals;
        let (ledger, bills, bodies, now) = (Ledger::default(), BTreeMap::new(), BTreeSet::new(), START);
        let plans = Vec::from([plan]);
        let mut run = Self { setup, dice, now, plans, sizes, gateway, journal, flights, ledger, bills, bodies, stale, arrivals_left };
        run.begin();
        let mut turns = 0;
        while run.arrivals_left > 0 || run.dice.below(20) > 0 && run.flights.iter().any(|flight| !flight.in_flight.is_closed()) {
            if setup.snapshot_at == Some(turns) {
                run.go_through_bytes();
            }
            run.turn();
            turns += 1;
        }
        run.end();
        run
    }

    /// The journal as bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.journal).expect("a journal can be written")
    }

    /// The gateway and all requests in flight are written and read again, in a format that describes itself and in one that does not.
    fn go_through_bytes(&mut self) {
        self.gateway = Gateway::restore(through_postcard(&through_json(&self.gateway.snapshot())));
        self.gateway.watch_cache();
        for flight in &mut self.flights {
            flight.in_flight = through_postcard(&through_json(&flight.in_flight));
        }
    }

    fn begin(&mut self) {
        self.gateway.advance(self.now);
        self.gateway.watch_cache();
        name_everyone(&mut self.gateway, self.now, &mut self.journal);
        self.ledger.learn(&self.gateway, self.now);
        for _ in 0..8 {
            orders::put_someone(self);
        }
    }

    fn turn(&mut self) {
        let wait = match self.dice.below(100) {
            0..50 => 0,
            50..85 => self.dice.below(300),
            85..98 => self.dice.below(3_000),
            _ => self.dice.below(30_000),
        };
        self.now = self.now + Span::from_millis(wait);
        match self.dice.below(100) {
            0..25 if self.arrivals_left > 0 => self.arrive(),
            0..55 => self.happen(),
            55..70 => self.wake(),
            70..76 => self.leave(),
            76..84 => self.late(),
            84..90 => orders::put_someone(self),
            90..93 => orders::adopt(self),
            93..96 => orders::order(self),
            96 => self.lose_a_body(),
            97 => self.lose_a_request(),
            _ => self.gateway.tick(self.now, &mut self.journal),
        }
        self.drain_ready();
        self.let_bodies_go();
        self.ledger.compare(&self.gateway, self.now);
        assert!(self.gateway.cache().keys().iter().eq(&self.bodies), "there is a body for every answer, and no other");
    }

    /// The body of an answer is no longer there.
    fn lose_a_body(&mut self) {
        let keys: Vec<CacheKey> = self.bodies.iter().copied().collect();
        if !keys.is_empty() {
            let key = self.dice.of(&keys);
            self.bodies.remove(&key);
            assert!(self.gateway.forget_answer(self.now, key, &mut self.journal));
        }
    }

    fn let_bodies_go(&mut self) {
        for key in self.gateway.dropped_answers() {
            assert!(self.bodies.remove(&key), "an answer is dropped once");
        }
    }

    /// No more arrivals: until every request is closed and every late usage told.
    fn end(&mut self) {
        for _ in 0..100_000 {
            let Some(slot) = self.flights.iter().position(|flight| !flight.in_flight.is_closed()) else {
                while !self.stale.is_empty() {
                    self.late();
                }
                self.ledger.compare(&self.gateway, self.now);
                return;
            };
            self.now = self.now + Span::from_millis(self.dice.below(100));
            if self.flights[slot].is_busy() {
                self.happen_to(slot);
            } else if self.flights[slot].in_flight.deadline().is_some() {
                self.wake_up(slot);
            } else {
                // It waits without a time: whatever it waits for is held by a later one.
                let others = |flight: &Flight| flight.is_busy() || flight.in_flight.deadline().is_some();
                let busy = self.flights.iter().position(others).expect("somebody holds what the others wait for");
                if self.flights[busy].is_busy() { self.happen_to(busy) } else { self.wake_up(busy) }
            }
            self.drain_ready();
        }
        panic!("seed {}: the requests do not come to an end", self.setup.seed);
    }

    fn arrive(&mut self) {
        self.arrivals_left -= 1;
        let dice = &mut self.dice;
        let number = self.flights.len() as u32;
        let input_tokens = dice.below(120) as u32;
        let request = Request {
            id: RequestId(u64::from(number)),
            slot: Slot(number),
            key: KeyId(if dice.one_in(30) { 99 } else { dice.below(4) as u32 }),
            model: ModelId(if dice.one_in(50) { 99 } else { dice.below(self.sizes.0 as u64) as u32 }),
            end_user: dice.one_in(3).then(|| crate::gateway::id::EndUserId(dice.below(2) as u32)),
            tag: dice.one_in(3).then(|| crate::gateway::id::TagId(dice.below(2) as u32)),
            input_tokens,
            input_tokens_max: input_tokens + dice.below(20) as u32 + if number % 8 == 5 { 2000 } else { 0 },
            input_tokens_counted: u32::MAX,
            max_tokens: core::num::NonZeroU32::new(dice.of(&[0, 10, 60, 500])),
            choices: dice.of(&[1, 1, 1, 2]),
            stream: dice.one_in(2),
            no_cache: dice.one_in(8),
            no_store: dice.one_in(8),
            countable: !number.is_multiple_of(3),
            fingerprint: Fingerprint(dice.below(6), 1),
            requires: if dice.one_in(4) { Features::of(dice.below(3) as u32) } else { Features::NONE },
            deadline: dice.one_in(3).then(|| self.now + Span::from_millis(dice.below(8_000))),
        };
        let (plan, path_accounts) = (self.plans.len() - 1, Vec::new());
        let flight = Flight {
            in_flight: InFlight::new(),
            plan,
            path_accounts,
            calls: 0,
            call: None,
            looking: false,
            counting: false,
            counted: false,
            left: false,
        };
        self.flights.push(flight);
        if (request.key.0 as usize) < self.gateway.directory().key_names().len() {
            let directory = self.gateway.directory();
            self.flights[number as usize].path_accounts = directory.path(directory.path_of(request.key)).accounts.clone();
        }
        self.step(number as usize, Event::Arrived(request));
    }

    /// Something happens to one of the calls.
    fn happen(&mut self) {
        let busy: Vec<usize> = (0..self.flights.len()).filter(|slot| self.flights[*slot].is_busy()).collect();
        if !busy.is_empty() {
            let slot = self.dice.of(&busy);
            self.happen_to(slot);
        }
    }

    fn happen_to(&mut self, slot: usize) {
        let flight = &mut self.flights[slot];
        if core::mem::take(&mut flight.looking) {
            let deployment = DeploymentId(self.dice.below(self.sizes.1 as u64) as u32);
            let hit = self.dice.one_in(4).then_some(Hit { usage: Usage::plain(3, 4), deployment });
            return self.step(slot, Event::Looked(hit));
        }
        if core::mem::take(&mut flight.counting) {
            let most = [100, u32::MAX, 0, 500][slot / 8 % 4];
            return self.step(slot, Event::Counted { input_tokens_max: most });
        }
        let hurry = self.arrivals_left == 0;
        if let Some(event) = flight.call.as_mut().and_then(|call| call.next(&mut self.dice, hurry)) {
            self.step(slot, event);
        }
    }

    fn wake(&mut self) {
        let timed: Vec<usize> = (0..self.flights.len()).filter(|slot| self.flights[*slot].in_flight.deadline().is_some()).collect();
        if !timed.is_empty() {
            let slot = self.dice.of(&timed);
            self.wake_up(slot);
        }
    }

    fn wake_up(&mut self, slot: usize) {
        let Some((at, _)) = self.flights[slot].in_flight.deadline() else { return };
        // A timer that nobody stopped may fire for a state that is over: it must do nothing.
        let early = self.dice.one_in(10);
        let far = at > self.now + Span::from_secs(100) && self.arrivals_left > 0;
        if !early && !far {
            let late = if self.dice.one_in(3) { Span::from_millis(self.dice.below(400)) } else { Span::ZERO };
            self.now = self.now.max(at + late);
        }
        self.step(slot, Event::Woke);
    }

    fn leave(&mut self) {
        let there: Vec<usize> = (0..self.flights.len()).filter(|slot| !self.flights[*slot].in_flight.is_closed()).collect();
        if there.is_empty() {
            return;
        }
        let slot = self.dice.of(&there);
        let flight = &mut self.flights[slot];
        let received = flight.call.as_mut().map_or(0, |call| call.receive(&mut self.dice));
        let delivered = self.dice.below(u64::from(received) + 1) as u32;
        flight.left = true;
        self.step(slot, Event::ClientLeft { received, delivered });
    }

    /// What has carried a request on is gone.
    fn lose_a_request(&mut self) {
        let there: Vec<usize> = (0..self.flights.len()).filter(|slot| !self.flights[*slot].in_flight.is_closed()).collect();
        if !there.is_empty() {
            let slot = self.dice.of(&there);
            self.step(slot, Event::Dropped);
            assert!(self.flights[slot].in_flight.is_closed());
        }
    }

    /// An event of a call that is over, or that never was.
    fn late(&mut self) {
        let Some((slot, event)) = self.stale.pop_front() else { return };
        self.step(slot, event);
    }

    pub(super) fn drain_ready(&mut self) {
        while let Some((Slot(slot), wake)) = self.gateway.ready.pop_front() {
            self.step(slot as usize, Event::Released(wake));
        }
    }

    fn step(&mut self, slot: usize, event: Event) {
        let before = self.journal.len();
        let flight = &mut self.flights[slot];
        let open_before = flight.call.is_some();
        let action = flight.in_flight.step(&self.plans[flight.plan], &mut self.gateway, self.now, event, &mut self.journal);
        for place in before..self.journal.len() {
            let Record { fact, request, .. } = self.journal[place].clone();
            match fact {
                Fact::CallClosed(closed) => {
                    assert!(open_before, "only the call that was open is closed");
                    let flight = &mut self.flights[slot];
                    let upstream = flight.call.take().expect("a call is closed once");
                    let request = *flight.in_flight.request();
                    let billed = upstream.billed(&mut self.dice, event, self.plans[flight.plan].deployment(closed.deployment));
                    let rates = &self.plans[flight.plan].deployment(closed.deployment).rates;
                    let bill = billed.map_or(Money::ZERO, |usage| rates.at(closed.since).cost(usage));
                    self.bills.insert((request.id, closed.call), bill);
                    self.ledger.closed(request.id, &closed);
                    self.check_bill(&closed, bill, upstream.worst_case);
                    if let (Some(usage), Certainty::Presumed) = (billed, closed.certainty) {
                        for _ in 0..self.dice.below(3) {
                            self.stale.push_back((slot, Event::Finished { call: closed.call, received: 0, usage: Some(usage) }));
                        }
                    }
                    self.stale.push_back((slot, upstream.leftover(&mut self.dice)));
                }
                Fact::Called(called) => {
                    let flight = &mut self.flights[slot];
                    flight.calls += 1;
                    assert_eq!(called.call, flight.calls, "calls are numbered");
                    let plan = &self.plans[flight.plan];
                    assert!(!self.plans[self.plans.len() - 1].deployment(called.deployment).retired, "a retired deployment is not called");
                    let request = *flight.in_flight.request();
                    assert!(plan.deployment(called.deployment).offers.have(request.requires), "nothing is sent to who cannot express it");
                    assert!(self.now < request.deadline.unwrap_or(Time::MAX), "nobody waits for the answer to this call");
                    let accounts = accounts_of(&self.gateway, flight, &called);
                    self.ledger.called(&self.gateway, self.now, request.id, &called, &accounts);
                    let deployment = plan.deployment(called.deployment);
                    flight.call = Some(world::Upstream::new(&mut self.dice, &request, deployment, &called, self.setup.honest));
                }
                Fact::Corrected { call, confirmed, .. } => {
                    let id = request.expect("a correction is about a request");
                    assert_eq!(self.bills[&(id, call)], confirmed, "late usage is the bill");
                    self.ledger.corrected(id, call, confirmed);
                }
                Fact::Breached { account, .. } if self.setup.honest => {
                    assert!(!self.ledger.is_strict(account), "{account:?} reserves, and was breached all the same");
                }
                _ => {}
            }
        }
        self.obey(slot, action);
    }

    fn obey(&mut self, slot: usize, action: Action) {
        if let Action::Finish(Finish { store: Some(key), .. }) = action {
            assert_eq!(self.flights[slot].in_flight.cache_key(), Some(key));
            self.bodies.insert(key);
        }
        self.let_bodies_go();
        if action == Action::Count {
            self.check_count(slot);
        }
        let flight = &mut self.flights[slot];
        flight.looking = matches!(action, Action::LookUp(_)) || (flight.looking && matches!(action, Action::Wait));
        assert!(action != Action::Count || !flight.counted, "a request is counted once");
        flight.counted |= action == Action::Count;
        flight.counting = action == Action::Count || (flight.counting && matches!(action, Action::Wait));
        match action {
            Action::Call(_) => assert!(flight.call.is_some()),
            Action::Sleep { .. } | Action::Count | Action::Finish(_) => assert!(flight.call.is_none(), "what is open is closed before {action:?}"),
            Action::Drain { .. } => flight.call.as_mut().expect("there is something to drain").drained = true,
            Action::Relay | Action::Wait | Action::LookUp(_) => {}
        }
        if flight.in_flight.is_closed() {
            assert!(flight.call.is_none(), "a request is closed after its calls");
        }
    }

    /// A count is asked for only where the bound stands in the way: were it not to help, something would be skipped, refused or made smaller.
    fn check_count(&self, slot: usize) {
        let flight = &self.flights[slot];
        let (plan, request) = (&self.plans[flight.plan], flight.in_flight.request());
        let (mut gateway, mut journal) = (self.gateway.clone(), Vec::new());
        let mut in_flight: InFlight = through_postcard(&flight.in_flight);
        in_flight.step(plan, &mut gateway, self.now, Event::Counted { input_tokens_max: u32::MAX }, &mut journal);
        let directory = self.gateway.directory();
        let key_ratio = directory.path(directory.path_of(request.key)).overrides.price_ratio_max_per_mille;
        let has_ratio = plan.model(request.model).fallbacks.price_ratio_max_per_mille.or(key_ratio).is_some();
        let is_in_the_way = |record: &Record| match &record.fact {
            Fact::Skipped { reason, .. } => matches!(reason, Skip::Budget(_) | Skip::PriceRatio),
            Fact::Refused { denial, .. } => matches!(denial, Denial::Budget(_)),
            Fact::Called(called) => {
                let accounts = accounts_of(&self.gateway, flight, called);
                accounts.iter().any(|account| self.gateway.budget().spec(*account).on_short != OnShort::Refuse)
            }
            _ => false,
        };
        assert!(has_ratio || journal.iter().any(is_in_the_way), "counted for nothing: {journal:?}");
    }

    fn check_bill(&self, closed: &crate::gateway::journal::CallClosed, bill: Money, worst_case: Money) {
        match closed.certainty {
            Certainty::Confirmed => assert_eq!(closed.amount, bill, "confirmed is exact: {closed:?}"),
            Certainty::Presumed if self.setup.honest => assert!(bill <= closed.amount, "presumed below the bill {bill}: {closed:?}"),
            Certainty::Presumed => {}
        }
        if self.setup.honest {
            assert!(bill <= worst_case && closed.amount <= worst_case, "above the worst case {worst_case}: {bill} {closed:?}");
        }
    }
}

/// What is read of what was written as JSON.
pub(super) fn through_json<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_slice(&serde_json::to_vec(value).expect("it can be written")).expect("what was written can be read")
}

/// What is read of what was written in a binary format whose readers have to know what comes next.
pub(super) fn through_postcard<T: Serialize + DeserializeOwned>(value: &T) -> T {
    postcard::from_bytes(&postcard::to_allocvec(value).expect("it can be written")).expect("what was written can be read")
}

/// End users and tags get their numbers before anything else, in one order.
fn name_everyone(gateway: &mut Gateway, now: Time, journal: &mut Vec<Record>) {
    for number in 0..2 {
        gateway.end_user(now, &format!("user{number}"), journal);
        gateway.tag(now, &format!("tag{number}"), journal);
    }
}

/// The accounts of a call, by the words of the plan: the key's path, group, deployment, end user, tag; each once.
fn accounts_of(gateway: &Gateway, flight: &Flight, called: &crate::gateway::journal::Called) -> Vec<AccountId> {
    let request = flight.in_flight.request();
    let mut accounts = flight.path_accounts.clone();
    accounts.extend(gateway.models[called.model.index()].scope.accounts());
    accounts.extend(gateway.deployments[called.deployment.index()].accounts());
    accounts.extend(request.end_user.iter().flat_map(|id| gateway.directory().end_user_accounts(*id)));
    accounts.extend(request.tag.iter().flat_map(|id| gateway.directory().tag_accounts(*id)));
    accounts.sort_unstable();
    accounts.dedup();
    assert!(accounts.len() <= ACCOUNTS_MAX);
    accounts
}

/// A failure for a call of the world.
pub(super) fn failure(dice: &mut Dice) -> Failure {
    let provider: Vec<FailureClass> = FailureClass::ALL.iter().copied().filter(|class| class.is_from_provider()).collect();
    let class = if dice.one_in(2) { FailureClass::RateLimited } else { dice.of(&provider) };
    Failure { retry_after: dice.one_in(3).then(|| Span::from_secs(dice.below(7))), ..Failure::new(class) }
}
