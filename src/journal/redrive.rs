//! The core, told again what a journal says that it was told. Decides whether it decides the same; knows no file.

use std::fmt;
use std::sync::Arc;

use super::buffer::Reach;
use super::checkpoint::{Checkpoint, Draft};
use super::turn::Turn;
use crate::gateway::Gateway;
use crate::gateway::id::{Map, RequestId, Slot};
use crate::gateway::in_flight::{Event, InFlight};
use crate::gateway::journal::{Fact, Journal, NameKind, Record};
use crate::gateway::plan::Plan;
use crate::gateway::time::Time;

/// A gateway that follows a journal, turn by turn.
#[derive(Debug)]
pub struct Redriven {
    /// The gateway after the last turn that was followed.
    pub gateway: Gateway,
    /// The plan of that day.
    pub plan: Arc<Plan>,
    /// The identity that the next request gets.
    pub next: RequestId,
    /// The last turn that was followed.
    pub reach: Reach,
    requests: Vec<Option<(InFlight, Arc<Plan>)>>,
    slots: Map<RequestId, Slot>,
}

/// Where what the core decides is not what is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The turn.
    pub turn: u64,
    /// When it was.
    pub at: Time,
    /// What the turn was about, from its input on, up to the difference.
    pub before: Vec<Record>,
    /// What is recorded; `None` if nothing more is.
    pub recorded: Option<Record>,
    /// What the core decides; `None` if nothing more.
    pub decided: Option<Record>,
}

/// Holds what the core records against what was recorded.
struct Comparison<'a> {
    recorded: &'a [Record],
    place: usize,
    other: Option<Record>,
}

impl Journal for Comparison<'_> {
    #[inline]
    fn record(&mut self, at: Time, request: Option<RequestId>, fact: impl FnOnce() -> Fact) {
        if self.other.is_some() {
            return;
        }
        let fact = fact();
        match self.recorded.get(self.place) {
            Some(recorded) if recorded.request == request && recorded.fact == fact => self.place += 1,
            _ => self.other = Some(Record { at, request, fact }),
        }
    }
}

impl Redriven {
    /// A gateway at the beginning of a journal, before its first turn. Requests of a journal are counted from 1.
    pub fn first(gateway: Gateway, plan: Arc<Plan>, reach: Reach) -> Self {
        Self { gateway, plan, next: RequestId(1), reach, requests: Vec::new(), slots: Map::default() }
    }

    /// A gateway that goes on from a checkpoint.
    pub fn from(checkpoint: Checkpoint) -> Self {
        let Checkpoint { reach, next, plan, gateway, requests, sections: _, gwsim: _ } = checkpoint;
        let mut redriven = Self { next, ..Self::first(gateway, plan, reach) };
        for (slot, request, plan) in requests {
            redriven.put(request.request().id, slot, request, plan);
        }
        redriven
    }

    /// The state as it is now.
    pub fn draft(&self) -> Draft {
        let requests = self.requests.iter().enumerate();
        let requests = requests.filter_map(|(slot, entry)| entry.as_ref().map(|(request, plan)| (Slot(slot as u32), request, plan)));
        Draft::new(self.reach, &self.gateway, &self.plan, self.next, requests)
    }

    /// Requests that are not closed.
    pub fn in_flight(&self) -> impl Iterator<Item = &InFlight> {
        self.requests.iter().flatten().map(|(request, _)| request).filter(|request| !request.is_closed())
    }

    /// Tells the core the inputs of the next turn.
    ///
    /// # Errors
    /// If it decides anything else than what is recorded. The gateway is good for nothing then.
    pub fn follow(&mut self, turn: &Turn) -> Result<(), Box<Difference>> {
        let mut comparison = Comparison { recorded: &turn.records, place: 0, other: None };
        while comparison.other.is_none() && comparison.place < turn.records.len() {
            let place = comparison.place;
            let is_told = if let Fact::Told(Event::Released(_)) = turn.records[place].fact {
                self.release(turn.at, &mut comparison)
            } else {
                self.tell(turn, &mut comparison)
            };
            if !is_told || comparison.place == place {
                return Err(difference(turn, comparison));
            }
        }
        // Whoever is set free is stepped in the same turn.
        if comparison.other.is_none() {
            self.release(turn.at, &mut comparison);
        }
        if comparison.other.is_some() {
            return Err(difference(turn, comparison));
        }
        self.reach = Reach { turn: turn.number, at: turn.at };
        Ok(())
    }

    /// Tells the input that is recorded next. `false` if there is none, or nobody whom it could be told.
    fn tell(&mut self, turn: &Turn, comparison: &mut Comparison<'_>) -> bool {
        let now = turn.at;
        let Record { request, fact, .. } = &turn.records[comparison.place];
        match fact {
            Fact::Told(Event::Arrived(request)) => {
                self.next = RequestId(self.next.0.max(request.id.0 + 1));
                self.put(request.id, request.slot, InFlight::new(), Arc::clone(&self.plan));
                return self.step(request.slot, now, Event::Arrived(*request), comparison);
            }
            Fact::Told(event) => {
                let slot = request.and_then(|id| self.slots.get(&id).copied());
                return slot.is_some_and(|slot| self.step(slot, now, *event, comparison));
            }
            // One that the core refuses records nothing, which is not what is recorded.
            Fact::Commanded(command) => drop(self.gateway.apply(&self.plan, now, command.clone(), comparison)),
            Fact::Named { kind: NameKind::EndUser, name } => drop(self.gateway.end_user(now, name, comparison)),
            Fact::Named { kind: NameKind::Tag, name } => drop(self.gateway.tag(now, name, comparison)),
            Fact::PlanAdopted(_) => {
                let Some(plan) = &turn.plan else { return false };
                self.plan = Arc::new((**plan).clone());
                self.gateway.adopt(&self.plan, now, comparison);
            }
            Fact::Ticked => self.gateway.tick(now, comparison),
            Fact::Forgotten { key } => drop(self.gateway.forget_answer(now, *key, comparison)),
            _ => return self.tell_of_money(turn, comparison),
        }
        true
    }

    /// Inputs about money are recorded after the breaches that they cause.
    fn tell_of_money(&mut self, turn: &Turn, comparison: &mut Comparison<'_>) -> bool {
        let inputs = turn.records[comparison.place..].iter().find(|record| !matches!(record.fact, Fact::Breached { .. } | Fact::Alerted(_)));
        match inputs.map(|record| (record.request, &record.fact)) {
            Some((_, Fact::Recovered { bodies, .. })) => {
                self.requests.clear();
                self.slots.clear();
                self.gateway.recover(&self.plan, turn.at, *bodies, comparison);
            }
            Some((Some(request), Fact::Corrected { call, confirmed, .. })) => {
                let (call, confirmed) = (*call, *confirmed);
                self.gateway.advance(turn.at);
                // The usage is not recorded, but what it comes to is.
                if let Some(presumed) = self.gateway.budget.correct(request, call, turn.at, confirmed, comparison) {
                    comparison.record(turn.at, Some(request), || Fact::Corrected { call, presumed, confirmed });
                }
            }
            _ => return false,
        }
        true
    }

    /// Steps who was set free first. `false` if nobody was.
    fn release(&mut self, now: Time, comparison: &mut Comparison<'_>) -> bool {
        let Some((slot, wake)) = self.gateway.ready.pop_front() else { return false };
        self.step(slot, now, Event::Released(wake), comparison)
    }

    fn step(&mut self, slot: Slot, now: Time, event: Event, comparison: &mut Comparison<'_>) -> bool {
        let Some(Some((in_flight, plan))) = self.requests.get_mut(slot.index()) else { return false };
        in_flight.step(plan, &mut self.gateway, now, event, comparison);
        true
    }

    /// A slot has a new request: what was in it is over.
    fn put(&mut self, id: RequestId, slot: Slot, in_flight: InFlight, plan: Arc<Plan>) {
        if self.requests.len() <= slot.index() {
            self.requests.resize_with(slot.index() + 1, || None);
        }
        let entry = &mut self.requests[slot.index()];
        if let Some((over, _)) = entry.take() {
            self.slots.remove(&over.request().id);
        }
        self.slots.insert(id, slot);
        *entry = Some((in_flight, plan));
    }
}

fn difference(turn: &Turn, comparison: Comparison<'_>) -> Box<Difference> {
    let Comparison { place, other, .. } = comparison;
    let recorded = turn.records.get(place).cloned();
    Box::new(Difference { turn: turn.number, at: turn.at, before: turn.records[..place].to_vec(), recorded, decided: other })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |record: &Option<Record>| record.as_ref().map_or_else(|| "nothing more".to_owned(), |record| format!("{:?}", record.fact));
        write!(f, "turn {}: recorded is {}, decided {}", self.turn, told(&self.recorded), told(&self.decided))
    }
}
