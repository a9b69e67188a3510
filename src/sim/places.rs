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
        let waiting = Waiting { slot, begins_at, at_once: Fate { has_place: true, ..at_once } };
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
        if !fate.has_place {
            return;
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::gateway::rate_card::Usage;
    use crate::gateway::time::Span;

    fn queue(count: u32, length: u32, wait_max: Span) -> Queue {
        Queue::new(Places { count, queue: length, wait_max, status: 503 })
    }

    /// A stream of one token that takes so long.
    fn lasting(now: Time, time: u64) -> Fate {
        let at = now + Span(time);
        let usage = Usage::plain(1, 1);
        Fate {
            begins_at: now,
            opens_at: at,
            ends_at: at,
            gap: Span::ZERO,
            chunk_tokens: 1,
            has_place: true,
            is_turned_away: false,
            stream: true,
            usage,
            ending: Ending::Whole,
        }
    }

    #[test]
    fn who_finds_no_place_waits_gives_up_or_is_turned_away() {
        let mut queue = queue(1, 2, Span(100));
        let mut come = |at: u64, time| match queue.door(Time(at)) {
            Door::Begins(begins_at) => {
                queue.enter(Time(at), Slot(at as u32), begins_at, lasting(Time(at), time));
                Ok(begins_at.0)
            }
            Door::TurnedAway(until) => Err(until.map(|until| until.0)),
        };
        assert_eq!(come(0, 50), Ok(0));
        assert_eq!((come(10, 90), come(20, 10)), (Ok(50), Err(Some(120))), "the third would wait 120");
        assert_eq!(come(30, 10), Err(None), "two wait, though one in vain");
        assert_eq!(come(50, 10), Ok(140), "the second has begun");
        assert_eq!(come(60, 10), Err(None));
        assert_eq!(come(120, 10), Ok(150), "the third has given up");
        let expected = Waits { calls: 4, nanoseconds: 40 + 100 + 90 + 30, turned_away: 3 };
        assert_eq!(queue.waits(), expected);
    }

    #[test]
    fn a_call_that_runs_on_or_stops_late_keeps_its_place() {
        let billing = Billing { cancel_lag_tokens: 3, ..Billing::EXACT };
        let free_at = |fate: Fate, billing: Billing| {
            let mut queue = queue(1, 9, Span::MAX);
            let _ = queue.door(Time(0));
            queue.enter(Time(0), Slot(0), Time(0), fate);
            queue.close(Time(40), Slot(0), &fate, &billing, &mut Vec::new());
            match queue.door(Time(40)) {
                Door::Begins(at) => at.0,
                Door::TurnedAway(_) => unreachable!("there is a queue"),
            }
        };
        let stream = Fate { gap: Span(5), ..lasting(Time(0), 100) };
        assert_eq!(free_at(stream, billing), 55, "three tokens later");
        assert_eq!(free_at(Fate { gap: Span(50), ..stream }, billing), 100, "it ends before it would have stopped");
        assert_eq!(free_at(stream, Billing { cancel_stops_billing: false, ..billing }), 100);
        assert_eq!(free_at(Fate { stream: false, ..stream }, billing), 100);
        let silent = Ending::Silent(crate::gateway::failure::Failure::new(crate::gateway::failure::FailureClass::Connect));
        assert_eq!(free_at(Fate { stream: false, ending: silent, ends_at: Time::MAX, ..stream }, billing), 40, "a hang ends with its connection");
    }

    /// (arrival, time of work, when its client leaves after that), in the order of arrival.
    type Call = (u64, u64, Option<u64>);

    /// When each call begins, if it does, by an event for every instant at which something may happen.
    fn by_events(count: usize, calls: &[Call]) -> Vec<Option<u64>> {
        let mut begun = vec![None; calls.len()];
        let (mut running, mut waiting): (BTreeMap<usize, u64>, VecDeque<usize>) = (BTreeMap::new(), VecDeque::new());
        let mut instants: std::collections::BTreeSet<u64> = calls.iter().map(|call| call.0).collect();
        instants.extend(calls.iter().filter_map(|(at, _, leaves)| leaves.map(|after| at + after)));
        while let Some(now) = instants.pop_first() {
            let mut admit = |running: &mut BTreeMap<usize, u64>, waiting: &mut VecDeque<usize>| {
                while running.len() < count
                    && let Some(call) = waiting.pop_front()
                {
                    begun[call] = Some(now);
                    running.insert(call, now + calls[call].1);
                    instants.insert(now + calls[call].1);
                }
            };
            running.retain(|_, ends_at| *ends_at > now);
            admit(&mut running, &mut waiting);
            for (call, (at, _, leaves)) in calls.iter().enumerate() {
                if leaves.is_some_and(|after| at + after == now) {
                    running.remove(&call);
                    waiting.retain(|other| *other != call);
                    admit(&mut running, &mut waiting);
                }
            }
            for call in (0..calls.len()).filter(|call| calls[*call].0 == now) {
                waiting.push_back(call);
                admit(&mut running, &mut waiting);
            }
        }
        begun
    }

    /// The same by the queue in closed form.
    fn by_queue(count: u32, calls: &[Call]) -> Vec<Option<u64>> {
        let mut queue = queue(count, u32::MAX, Span::MAX);
        let mut fates: Vec<Option<Fate>> = vec![None; calls.len()];
        let mut instants: Vec<(u64, bool, usize)> = Vec::new();
        for (call, (at, _, leaves)) in calls.iter().enumerate() {
            instants.push((*at, true, call));
            instants.extend(leaves.map(|after| (at + after, false, call)));
        }
        instants.sort_unstable();
        for (now, comes, call) in instants {
            let (now, slot) = (Time(now), Slot(call as u32));
            if comes {
                let Door::Begins(begins_at) = queue.door(now) else { unreachable!("the queue is endless") };
                fates[call] = Some(queue.enter(now, slot, begins_at, lasting(now, calls[call].1)));
            } else if let Some(fate) = fates[call].filter(|fate| fate.ends_at > now) {
                let mut moved = Vec::new();
                queue.close(now, slot, &fate, &Billing::EXACT, &mut moved);
                if fate.begins_at > now {
                    fates[call] = None;
                }
                for (Slot(slot), fate) in moved {
                    fates[slot as usize] = Some(fate);
                }
            }
        }
        fates.into_iter().map(|fate| fate.map(|fate| fate.begins_at.0)).collect()
    }

    proptest! {
        /// Early leavers included, every call begins when it would if each place and each leaving were an event.
        #[test]
        fn calls_begin_as_they_would_by_events(
            count in 1..5_u32,
            calls in prop::collection::vec((1..200_u64, 1..1_000_u64, prop::option::weighted(0.4, 1..1_500_u64)), 1..40),
        ) {
            let mut at = 0;
            let calls: Vec<Call> = calls.into_iter().map(|(gap, time, leaves)| { at += gap; (at, time, leaves) }).collect();
            prop_assert_eq!(by_queue(count, &calls), by_events(count as usize, &calls));
        }
    }
}
