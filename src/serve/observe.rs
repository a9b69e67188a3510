//! Who is told of every fact as it is recorded: metrics, alerts, spend. Folds; they decide nothing, and must be quick, as they run under the lock.

use crate::gateway::id::RequestId;
use crate::gateway::journal::{Fact, Journal};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::request::Request;
use crate::gateway::time::Time;
use crate::journal::{Buffer, Section};

/// What is known around a fact.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// When.
    pub now: Time,
    /// The request that the fact is about, if it is about one.
    pub request: Option<&'a Request>,
    /// The plan that the request was admitted under; today's for facts about no request.
    pub plan: &'a Plan,
}

/// A fold over the facts of a live gateway.
pub trait Observer: Send {
    /// Takes a fact.
    fn observe(&mut self, context: &Context<'_>, fact: &Fact);

    /// What of it rides in the journal's checkpoints; copied quickly, under the lock.
    fn section(&self) -> Option<Section> {
        None
    }
}

/// Records for the journal and tells the observers, in one step of one request.
pub(super) struct Recorder<'a> {
    pub(super) plan: &'a Plan,
    pub(super) request: Option<&'a Request>,
    /// Where what its calls cost is added up.
    pub(super) spent: Option<&'a mut Money>,
    pub(super) buffer: &'a mut Buffer,
    pub(super) observers: &'a mut [Box<dyn Observer>],
}

impl Journal for Recorder<'_> {
    fn record(&mut self, now: Time, request: Option<RequestId>, fact: impl FnOnce() -> Fact) {
        let fact = fact();
        if let Some(spent) = &mut self.spent {
            match &fact {
                Fact::CallClosed(call) => **spent += call.amount,
                Fact::Corrected { presumed, confirmed, .. } => **spent = **spent + *confirmed - *presumed,
                _ => {}
            }
        }
        let about = self.request.filter(|_| request.is_some());
        for observer in &mut *self.observers {
            observer.observe(&Context { now, request: about, plan: self.plan }, &fact);
        }
        self.buffer.record(now, request, || fact);
    }
}
