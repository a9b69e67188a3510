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
#[derive(Debug, Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<u128>>,
    sequence: u32,
}

const SEQUENCE_BITS: u32 = 30;

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
        self.heap.push(Reverse(u128::from(at.0) << 64 | u128::from(middle) << 32 | u128::from(slot.0)));
        Ticket(self.sequence)
    }

    /// The instant of the next event.
    #[inline]
    pub fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(key)| Time((key >> 64) as u64))
    }

    /// Takes the next event.
    #[inline]
    pub fn pop(&mut self) -> Option<(Time, Slot, Ticket)> {
        let Reverse(key) = self.heap.pop()?;
        let sequence = (key >> 32) as u32 & ((1 << SEQUENCE_BITS) - 1);
        Some((Time((key >> 64) as u64), Slot(key as u32), Ticket(sequence)))
    }
}

#[cfg(test)]
mod tests {
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
}
