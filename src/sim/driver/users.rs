//! The loop's part for clients that send a request again, or wait for an answer before they send the next: brings both to the core in the order of
//! their times. What they send and when, `client::callers` decides.

use super::Driver;
use crate::gateway::id::Slot;
use crate::gateway::journal::Outcome;
use crate::sim::batches::RowPlace;
use crate::sim::client::Clients;
use crate::sim::client::callers::{Answered, Offer, Sending, UserCall};
use crate::sim::observe::Observer;
use crate::traffic::trace::Batch;

impl<O: Observer> Driver<O> {
    /// Where sessions wait for their answers: takes the rows of a batch that are not their session's first, and says which. They are sent when
    /// their answers are there, be it before the traffic has them or after; none before its batch is read.
    pub(super) fn take_ahead(&mut self, clients: &Clients, batch: &Batch, first: u64) -> Vec<bool> {
        if !self.callers.as_ref().is_some_and(|callers| callers.has_sessions()) {
            return Vec::new();
        }
        let mut taken = vec![false; batch.rows.len()];
        for (index, row) in (0..).zip(&batch.rows) {
            let (Some(callers), Some(session)) = (&mut self.callers, row.session) else { continue };
            let offer = callers.offer(session, self.now, UserCall::of(batch, row).step);
            if offer != Offer::First {
                let sending = self.sending(clients, batch, index, first);
                taken[index as usize] = true;
                self.callers.as_mut().expect("they have made the offer").take(offer, sending);
            }
        }
        self.drop_unsent();
        taken
    }

    /// A row of the traffic, sent when the traffic has it.
    pub(super) fn send_row(&mut self, clients: &Clients, batch: &Batch, index: u32, first: u64) {
        let sending = self.sending(clients, batch, index, first);
        self.send(sending);
    }

    fn sending(&mut self, clients: &Clients, batch: &Batch, index: u32, first: u64) -> Sending {
        let row = &batch.rows[index as usize];
        let (request, context, left_after, place) = self.request(clients, batch, row, index, first);
        Sending { request, context, left_after, place, call: UserCall::of(batch, row) }
    }

    /// What the clients send next, now that its instant has come.
    pub(super) fn send_next(&mut self) {
        let callers = self.callers.as_mut().expect("asked for where there are callers");
        let (at, sending) = callers.pop().expect("it was there when its time was read");
        self.now = self.now.max(at);
        self.totals.retried += u64::from(sending.call.retries > 0);
        self.send(sending);
    }

    /// The client of a request has its end.
    pub(super) fn answered(&mut self, slot: Slot, outcome: Outcome) {
        let Some(callers) = &mut self.callers else { return };
        let entry = &self.entries[slot.index()];
        let answered = Answered {
            request: entry.flight.request(),
            context: &entry.context,
            left_after: entry.left_after,
            place: RowPlace { batch: entry.batch, row: entry.row },
            outcome,
        };
        match callers.answered(self.now, slot, answered, &self.gateway.limits) {
            Ok(end) => {
                self.totals.users += 1;
                self.observer.user(self.now, &entry.context, &end);
            }
            Err(RowPlace { batch: Some(batch), .. }) => self.batches.hold(batch),
            Err(RowPlace { batch: None, .. }) => {}
        }
        self.drop_unsent();
    }

    fn send(&mut self, sending: Sending) {
        let Sending { request, context, left_after, place, call } = sending;
        self.arrive(request, context, left_after, place, Some(call));
    }

    fn drop_unsent(&mut self) {
        let Some(callers) = &mut self.callers else { return };
        for sending in callers.dropped.drain(..) {
            self.totals.not_sent += 1;
            if let Some(batch) = sending.place.batch {
                self.batches.release(batch);
            }
        }
    }
}
