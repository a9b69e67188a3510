//! The pending events in the order in which they happen. Decides ties; knows only instants and slots, not what the events are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::gateway::id::Slot;
use crate::gateway::time::Time;

/// What comes first at one instant. Arrivals come after all of these and are never queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Something comes from upstream.
    Completion = 0,
    /// A deadline has come.
    Wake = 1,
    /// A client leaves.
    Leave = 2,
}

/// Tells a pending event of a slot from earlier ones that it has replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ticket(u32);

/// Pending events: by time, then class, then the order in which they were scheduled.
///
/// An entry is one u128: 64 bits of time, 2 of class, 30 of sequence, 32 of slot. The sequence starts over after 10^9 events, far more than can be
/// pending together.
///
/// Only the events of the present span of time stand in a heap, which is small and near; those of later spans wait unsorted. One heap of them all
/// would be a dozen unforeseeable comparisons deep at thousands of requests in flight.
#[derive(Debug)]
pub struct Queue {
    /// Events of the present span and of those before.
    near: BinaryHeap<Reverse<u128>>,
    /// The number of the present span.
    span: u64,
    /// The events of the next spans, at their number modulo [`SPANS`].
    later: Vec<Vec<Reverse<u128>>>,
    /// Room for the events of a span, the one last used at the end: what was used lately is near the processor.
    spare: Vec<Vec<Reverse<u128>>>,
    /// A bit for each place in `later` that has events.
    occupied: [u64; SPANS / 64],
    /// What is further away.
    far: BinaryHeap<Reverse<u128>>,
    sequence: u32,
}

const SEQUENCE_BITS: u32 = 30;
/// A span is 2^24 ns, about 17 ms: some dozens of events at thousands a second.
const SPAN_BITS: u32 = 24;
/// The next span becomes the present one when fewer events are left than [`Queue::next_slots`] tells of beside the one that is taken.
const NEAR_MIN: usize = 3;
/// Spans that wait unsorted: 8.6 s, longer than most answers take.
const SPANS: usize = 512;

impl Default for Queue {
    fn default() -> Self {
        Self {
            near: BinaryHeap::new(),
            span: 0,
            later: vec![Vec::new(); SPANS],
            spare: Vec::new(),
            occupied: [0; SPANS / 64],
            far: BinaryHeap::new(),
            sequence: 0,
        }
    }
}

impl Queue {
    /// A ticket for an event that isn't queued because it is due at once. Never [`Ticket::default`].
    #[inline]
    pub fn ticket(&mut self) -> Ticket {
        self.sequence = (self.sequence % ((1 << SEQUENCE_BITS) - 1)) + 1;
        Ticket(self.sequence)
    }

    /// Schedules an event of `slot`.
    #[inline]
    pub fn push(&mut self, at: Time, class: Class, slot: Slot) -> Ticket {
        let Ticket(_) = self.ticket();
        let middle = (class as u32) << SEQUENCE_BITS | self.sequence;
        let entry = Reverse(u128::from(at.0) << 64 | u128::from(middle) << 32 | u128::from(slot.0));
        match span(entry).checked_sub(self.span) {
            None | Some(0) => self.near.push(entry),
            Some(ahead) if ahead < SPANS as u64 => {
                let place = place(span(entry));
                let events = &mut self.later[place];
                if events.capacity() == 0 {
                    *events = self.spare.pop().unwrap_or_default();
                }
                events.push(entry);
                self.occupied[place / 64] |= 1 << (place % 64);
            }
            Some(_) => self.far.push(entry),
        }
        Ticket(self.sequence)
    }

    /// The instant of the next event.
    #[inline]
    pub fn next_at(&mut self) -> Option<Time> {
        if self.near.len() < NEAR_MIN {
            self.go_on();
        }
        self.near.peek().map(|Reverse(key)| Time((key >> 64) as u64))
    }

    /// The slots of the next event and of the one after it, as far as they are known.
    #[inline]
    pub fn next_slots(&self) -> [Option<Slot>; 2] {
        let slot = |Reverse(key): &Reverse<u128>| Slot(*key as u32);
        // The second of a heap is one of the two below its top.
        match self.near.as_slice() {
            [] => [None, None],
            [next] => [Some(slot(next)), None],
            [next, second] => [Some(slot(next)), Some(slot(second))],
            [next, one, other, ..] => [Some(slot(next)), Some(slot(one.max(other)))],
        }
    }

    /// Takes the next event.
    #[inline]
    pub fn pop(&mut self) -> Option<(Time, Slot, Ticket)> {
        self.next_at()?;
        let Reverse(key) = self.near.pop()?;
        let sequence = (key >> 32) as u32 & ((1 << SEQUENCE_BITS) - 1);
        Some((Time((key >> 64) as u64), Slot(key as u32), Ticket(sequence)))
    }

    /// Makes the next span that has events the present one, if there is any.
    fn go_on(&mut self) {
        let far = self.far.peek().map(|entry| span(*entry));
        let Some(next) = self.next_occupied().into_iter().chain(far).min() else { return };
        self.span = next;
        let place = place(next);
        // The place is empty when the next events are far ones.
        let events = core::mem::take(&mut self.later[place]);
        self.occupied[place / 64] &= !(1 << (place % 64));
        let mut left = core::mem::replace(&mut self.near, BinaryHeap::from(events));
        self.near.append(&mut left);
        if left.capacity() > 0 {
            self.spare.push(left.into_vec());
        }
        while self.far.peek().is_some_and(|entry| span(*entry) == next) {
            self.near.extend(self.far.pop());
        }
    }

    /// The number of the next of the later spans that has events.
    fn next_occupied(&self) -> Option<u64> {
        let first = self.span + 1;
        let start = place(first);
        let words = SPANS / 64;
        // The word of the start is looked at twice: from the start on, and at the end up to it.
        (0..=words).find_map(|turn| {
            let word = (start / 64 + turn) % words;
            let bits = match turn {
                0 => self.occupied[word] & (u64::MAX << (start % 64)),
                _ => self.occupied[word],
            };
            (bits != 0).then(|| {
                let found = word * 64 + bits.trailing_zeros() as usize;
                first + ((found + SPANS - start) % SPANS) as u64
            })
        })
    }
}

const fn span(Reverse(entry): Reverse<u128>) -> u64 {
    (entry >> (64 + SPAN_BITS)) as u64
}

const fn place(span: u64) -> usize {
    span as usize % SPANS
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_are_completions_then_wakes_then_leaving_each_in_the_order_scheduled() {
        let mut queue = Queue::default();
        let order = [
            (5, Class::Leave, 1),
            (5, Class::Wake, 2),
            (5, Class::Completion, 9),
            (4, Class::Leave, 4),
            (5, Class::Wake, 0),
            (5, Class::Completion, 3),
        ];
        for (at, class, slot) in order {
            queue.push(Time(at), class, Slot(slot));
        }
        let slots: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(at, slot, _)| (at.0, slot.0)).collect();
        assert_eq!(slots, [(4, 4), (5, 9), (5, 3), (5, 2), (5, 0), (5, 1)]);
    }

    #[test]
    fn times_slots_and_tickets_come_out_as_they_went_in() {
        let mut queue = Queue::default();
        let first = queue.push(Time(u64::MAX), Class::Leave, Slot(u32::MAX));
        let second = queue.push(Time(0), Class::Completion, Slot(0));
        assert_ne!(first, second);
        assert_eq!(queue.next_at(), Some(Time(0)));
        assert_eq!(queue.pop(), Some((Time(0), Slot(0), second)));
        assert_eq!(queue.pop(), Some((Time(u64::MAX), Slot(u32::MAX), first)));
        assert_eq!(queue.pop(), None);
    }

    proptest! {
        /// Near, later and far events, pushed and taken in any mixture, come out as a sorted list would give them.
        #[test]
        fn events_come_in_the_order_of_their_keys(turns in vec((0..4_u8, any::<u64>(), 1..64_u32), 1..400)) {
            let (mut queue, mut sorted, mut now) = (Queue::default(), Vec::<(Time, Ticket, Slot)>::new(), 0_u64);
            for (turn, number, bits) in turns {
                if turn == 0 {
                    let next = sorted.first().copied();
                    prop_assert_eq!(queue.next_at(), next.map(|(at, ..)| at));
                    let popped = queue.pop().map(|(at, slot, ticket)| (at, ticket, slot));
                    prop_assert_eq!(popped, next);
                    now = next.map_or(now, |(Time(at), ..)| at);
                    sorted.drain(..sorted.len().min(1));
                } else {
                    let (at, slot) = (Time(now.saturating_add(number >> bits)), Slot(bits));
                    let ticket = queue.push(at, Class::Wake, slot);
                    let place = sorted.partition_point(|(other, ..)| *other <= at);
                    sorted.insert(place, (at, ticket, slot));
                }
            }
        }
    }
}
