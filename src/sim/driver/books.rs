//! The books of a run: what the core's journal says is counted and passed on, and the world bills each call that is closed. Schedules nothing.

use super::Open;
use crate::gateway::id::RequestId;
use crate::gateway::journal::{CallClosed, Ended, Fact, Journal, Outcome};
use crate::gateway::plan::Plan;
use crate::gateway::time::{Span, Time};
use crate::sim::fate::End;
use crate::sim::observe::{Bill, Context, Observer, Totals};
use crate::sim::upstream::Upstream;

/// The core's journal: passes facts on and has the world bill the calls that are closed.
pub(super) struct Listener<'a, 'b, O> {
    pub(super) observer: &'a mut O,
    pub(super) totals: &'a mut Totals,
    pub(super) about: Option<&'a mut About<'b>>,
}

/// The request whose step it is.
pub(super) struct About<'a> {
    pub(super) context: &'a Context,
    pub(super) has_left: bool,
    pub(super) open: Option<&'a Open>,
    pub(super) upstream: &'a Upstream,
    pub(super) plan: &'a Plan,
    pub(super) has_closed: bool,
    /// Whether its client waits for what becomes of it: if none does, its end is not kept.
    pub(super) is_awaited: bool,
    pub(super) answered: Option<Outcome>,
}

impl<O: Observer> Journal for Listener<'_, '_, O> {
    #[inline(always)]
    fn record(&mut self, now: Time, request: Option<RequestId>, fact: impl FnOnce() -> Fact) {
        let context = self.about.as_ref().filter(|_| request.is_some()).map(|about| about.context);
        assert!(request == context.map(|context| context.id), "a request's facts are recorded in its own steps");
        // Not before the assertion: a fact that has to be dropped there is made even if nobody reads it.
        let fact = fact();
        match &fact {
            Fact::CallClosed(closed) => {
                let about = self.about.as_mut().expect("calls are closed in steps");
                let bill = about.close(now, closed);
                if about.has_waited_in_vain(now) {
                    self.observer.short_of_capacity(now, true, Span::ZERO);
                }
                self.totals.calls_closed += 1;
                self.totals.ledger += closed.amount;
                self.totals.billed += bill.cost;
                self.observer.call(now, about.context, closed, &bill);
            }
            Fact::Answered { outcome } => {
                self.totals.answered(outcome);
                if let Some(about) = self.about.as_mut().filter(|about| about.is_awaited) {
                    about.answered = Some(*outcome);
                }
            }
            Fact::Closed => self.totals.closed += 1,
            _ => {}
        }
        if O::wants(&fact) {
            self.observer.fact(now, context, &fact);
        }
    }
}

impl About<'_> {
    /// Whether the open call, which is being closed, still waits for a place.
    fn has_waited_in_vain(&self, now: Time) -> bool {
        self.open.is_some_and(|open| !open.has_ended && open.fate.begins_at > now)
    }

    /// The world's bill of the open call, which ends now if it has not ended by itself.
    fn close(&mut self, now: Time, closed: &CallClosed) -> Bill {
        let open = self.open.filter(|open| open.call.call == closed.call && !self.has_closed).expect("only the open call is closed, once");
        self.has_closed = true;
        let end = match closed.ended {
            _ if open.has_ended => End::ByItself,
            Ended::TimedOut => End::TimedOut(now),
            _ if open.has_timed_out => End::TimedOut(now),
            _ => End::Closed(now),
        };
        // Only for others is an answer delivered whole whose client has left: to itself a part of it was.
        let shared = self.has_left && open.has_ended && closed.ended == Ended::Delivered && closed.delivered == open.fate.usage.output;
        let deployment = open.call.deployment;
        let billed = open.fate.bill(end, &self.upstream.world(deployment).billing);
        billed.map_or(Bill::default(), |usage| Bill { usage, cost: self.plan.deployment(deployment).rates.at(closed.since).cost(usage), shared })
    }
}
