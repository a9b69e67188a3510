//! How rows become requests, and the loop's part for clients that send a request again, or wait for an answer before they send the next: brings all
//! to the core in the order of their times. What is sent again and when, `client::callers` decides.

use super::Driver;
use crate::gateway::id::Slot;
use crate::gateway::journal::Outcome;
use crate::gateway::request::Request;
use crate::gateway::time::Time;
use crate::sim::batches::RowPlace;
use crate::sim::client::callers::{self, Answered, Sending, UserCall};
use crate::sim::client::{Clients, Offer};
use crate::sim::observe::{Context, Observer};
use crate::sim::replay::counted::as_asked;
use crate::traffic::trace::{Batch, LeftAfter, Row};

impl<O: Observer> Driver<O> {
    /// The request of row `index` of the batch that is being run, whose first row is row `first` of the traffic; when its client leaves; and where
    /// its row is, if that is needed later on.
    #[inline(always)]
    pub(super) fn request(
        &mut self,
        clients: &Clients,
        batch: &Batch,
        row: &Row,
        index: u32,
        first: u64,
    ) -> (Request, Context, Option<LeftAfter>, RowPlace) {
        let id = callers::id(first + u64::from(index), 0);
        let (mut request, mut context) = self.directory.request(clients, batch, row, id, Slot(0), self.now);
        self.totals.outputs_unrecorded += u64::from(!context.output_is_recorded);
        let mut left_after = clients.habits.left_after(row, self.seed, &request, context.output_tokens);
        if let Some(counted) = &mut self.counted {
            let ratio = counted.ratio(batch, row, request.model, &self.variant.plan, &clients.tokens);
            request.input_tokens = as_asked(ratio.input, row.input_tokens);
            request.input_tokens_max = request.input_tokens;
            context.output_tokens = as_asked(ratio.output, context.output_tokens);
            if let Some(LeftAfter::Tokens(tokens)) = &mut left_after {
                *tokens = as_asked(ratio.output, *tokens);
            }
        }
        let batch = if row.prefix.is_empty() && self.outcomes.is_none() { None } else { Some(self.batches.hold_current()) };
        (request, context, left_after, RowPlace { batch, row: index })
    }

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

    /// Sends what the clients have next, if its instant comes before that of the next event, `queued`, and not after `limit`. Says whether.
    pub(super) fn send_next(&mut self, queued: Option<Time>, limit: Time) -> bool {
        let next = self.callers.as_ref().and_then(|callers| callers.next_at());
        let Some(at) = next.filter(|at| *at <= limit && queued.is_none_or(|queued| *at < queued)) else { return false };
        self.tick_until(at);
        if let Some((at, sending)) = self.callers.as_mut().and_then(|callers| callers.pop()) {
            self.now = self.now.max(at);
            self.totals.retried += u64::from(sending.call.retries > 0);
            self.send(sending);
        }
        true
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

    #[inline(never)]
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
