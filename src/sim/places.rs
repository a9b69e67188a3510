//! The places that a deployment works at, and who waits for one: when each call begins, in closed form, from the times at which places come free.
//! Knows neither why calls are made nor what they cost.
//!
//! A call's end is known when it is made, so a place's next free time is, and a waiting call needs no event of its own. Only a call that is closed
//! early moves those behind it up; they are told, once each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::fate::{Ending, Fate, times};
use super::world::{Billing, Places};
use crate::gateway::id::Slot;
use crate::gateway::time::Time;

/// The places of one deployment while it runs.
#[derive(Debug)]
pub(super) struct Queue {
    rules: Places,
    /// When each place that was ever used comes free after all calls that have been given it.
    free_at: BinaryHeap<Reverse<Time>>,
    /// First come, first served.
    waiting: VecDeque<Waiting>,
    /// Until when those wait that will give up.
    giving_up: VecDeque<Time>,
    waits: Waits,
}

/// How much calls have waited for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waits {
    /// Calls that found no free place, and a place in the queue.
    pub calls: u64,
    /// How long they waited in all, in nanoseconds, those who gave up included.
    pub nanoseconds: u128,
    /// Calls that found the queue full or gave up.
    pub turned_away: u64,
}

impl Waits {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, nanoseconds: self.nanoseconds + other.nanoseconds, turned_away: self.turned_away + other.turned_away }
    }
}

/// A call that has a place later.
#[derive(Debug)]
struct Waiting {
    slot: Slot,
    begins_at: Time,
    /// Its fate if it had begun when it was made.
    at_once: Fate,
}

impl Waiting {
    fn fate(&self) -> Fate {
        self.at_once.begun_at(self.begins_at)
    }
}

/// What a call meets at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// It is worked on from this instant on.
    Begins(Time),
    /// It is turned away at this instant; `None`: at once, for want of a place in the queue.
    TurnedAway(Option<Time>),
}

impl Queue {
    pub(super) fn new(rules: Places) -> Self {
        Self { rules, free_at: BinaryHeap::new(), waiting: VecDeque::new(), giving_up: VecDeque::new(), waits: Waits::default() }
    }

    pub(super) fn waits(&self) -> Waits {
        self.waits
    }

    /// What a call meets that comes at `now`. One that begins must [`Self::enter`].
    pub(super) fn door(&mut self, now: Time) -> Door {
        self.begin_due(now);
        let begins_at = match self.free_at.peek() {
            Some(Reverse(free_at)) if self.free_at.len() >= self.rules.count as usize => now.max(*free_at),
            _ => now,
        };
        if begins_at == now {
            return Door::Begins(now);
        }
        if self.waiting.len() + self.giving_up.len() >= self.rules.queue as usize {
            self.waits.turned_away += 1;
            return Door::TurnedAway(None);
        }
        let wait = begins_at.since(now);
        self.waits.calls += 1;
        self.waits.nanoseconds += u128::from(wait.min(self.rules.wait_max).0);
        if wait <= self.rules.wait_max {
            return Door::Begins(begins_at);
        }
        self.waits.turned_away += 1;
        let until = now + self.rules.wait_max;
        self.giving_up.push_back(until);
        Door::TurnedAway(Some(until))
    }

    /// Gives a call its place from `begins_at` on until it ends. `at_once` is its fate if it began now.
    pub(super) fn enter(&mut self, now: Time, slot: Slot, begins_at: Time, at_once: Fate) -> Fate {
        if self.free_at.len() >= self.rules.count as usize {
            self.free_at.pop();
        }
        let waiting = Waiting { slot, begins_at, at_once };
        let fate = waiting.fate();
        self.free_at.push(Reverse(fate.ends_at));
        if begins_at > now {
            self.waiting.push_back(waiting);
        }
        fate
    }

    /// Ends a call before its time. Whoever begins earlier for it is added to `moved`, with a new fate.
    pub(super) fn close(&mut self, now: Time, slot: Slot, fate: &Fate, billing: &Billing, moved: &mut Vec<(Slot, Fate)>) {
        self.begin_due(now);
        if fate.begins_at > now {
            let place = self.waiting.iter().position(|waiting| waiting.slot == slot).expect("who has not begun waits");
            self.waits.nanoseconds -= u128::from(fate.begins_at.since(now).0);
            let mut free_at = self.without_waiting();
            self.waiting.remove(place);
            self.place_waiting(now, &mut free_at, moved);
        } else if let Some(stops_at) = stops_at(now, fate, billing).filter(|at| *at < fate.ends_at) {
            let mut free_at = self.without_waiting();
            let place = free_at.iter().position(|at| *at == fate.ends_at).expect("who has begun and not ended has a place");
            free_at[place] = stops_at;
            self.place_waiting(now, &mut free_at, moved);
        }
    }

    /// Those whose time has come no longer wait.
    fn begin_due(&mut self, now: Time) {
        while self.waiting.front().is_some_and(|waiting| waiting.begins_at <= now) {
            self.waiting.pop_front();
        }
        while self.giving_up.front().is_some_and(|until| *until <= now) {
            self.giving_up.pop_front();
        }
    }

    /// When places come free if nobody who waits gets one: a waiting call took the time at which it begins and left the one at which it ends.
    fn without_waiting(&mut self) -> Vec<Time> {
        let mut free_at: Vec<Time> = std::mem::take(&mut self.free_at).into_iter().map(|Reverse(at)| at).collect();
        if self.waiting.is_empty() {
            return free_at;
        }
        free_at.extend(self.waiting.iter().map(|waiting| waiting.begins_at));
        free_at.sort_unstable();
        let mut ends: Vec<Time> = self.waiting.iter().map(|waiting| waiting.fate().ends_at).collect();
        ends.sort_unstable();
        let mut ends = ends.into_iter().peekable();
        free_at.retain(|at| ends.next_if_eq(at).is_none());
        assert!(ends.next().is_none(), "every waiting call's end is when a place comes free");
        free_at
    }

    /// Gives those who wait their places anew, in their order.
    fn place_waiting(&mut self, now: Time, free_at: &mut Vec<Time>, moved: &mut Vec<(Slot, Fate)>) {
        self.free_at = free_at.drain(..).map(Reverse).collect();
        for waiting in &mut self.waiting {
            let Reverse(free_at) = self.free_at.pop().expect("who waits has found all places taken");
            let begins_at = now.max(free_at);
            if begins_at < waiting.begins_at {
                self.waits.nanoseconds -= u128::from(waiting.begins_at.since(begins_at).0);
                waiting.begins_at = begins_at;
                moved.push((waiting.slot, waiting.fate()));
            }
            self.free_at.push(Reverse(waiting.fate().ends_at));
        }
        self.begin_due(now);
    }
}

/// When a provider stops working on a call that is closed at `now`; `None` if it doesn't.
fn stops_at(now: Time, fate: &Fate, billing: &Billing) -> Option<Time> {
    if matches!(fate.ending, Ending::Silent(_)) {
        return Some(now);
    }
    let lag = times(fate.gap, u64::from(billing.cancel_lag_tokens.div_ceil(fate.chunk_tokens)));
    (fate.stream && billing.cancel_stops_billing).then(|| now + lag)
}
