//! The loop's part for clients that send a request again, or wait for an answer before they send the next: brings both to the core in the order of
//! their times. What they send and when, `client::callers` decides.

use super::Driver;
use crate::gateway::id::Slot;
use crate::gateway::journal::Outcome;
use crate::sim::client::callers::{Answered, Sending};
use crate::sim::observe::Observer;

impl<O: Observer> Driver<O> {
    /// A row of the traffic whose client may have to wait.
    pub(super) fn offer(&mut self, sending: Sending) {
        let callers = self.callers.as_mut().expect("asked for where there are callers");
        if let Some(sending) = callers.offer(self.now, sending) {
            self.send(sending);
        }
        self.drop_unsent();
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
            place: (entry.batch, entry.row),
            outcome,
        };
        match callers.answered(self.now, slot, answered, &self.gateway.limits) {
            Ok(end) => {
                self.totals.users += 1;
                self.observer.user(self.now, &entry.context, &end);
            }
            Err((Some(batch), _)) => self.batches.hold(batch),
            Err((None, _)) => {}
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
            if let (Some(batch), _) = sending.place {
                self.batches.release(batch);
            }
        }
    }
}
