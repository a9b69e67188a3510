//! The requests of late, each with what it came to. Bounded: the oldest make room.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Sums;
use crate::gateway::id::{DeploymentId, ModelId, RequestId};
use crate::gateway::journal::{CallClosed, Certainty, Ended, Fact, Outcome};
use crate::gateway::money::Money;
use crate::gateway::request::Request;
use crate::gateway::time::Time;

/// How many are kept.
const RECENT_MAX: usize = 10_000;

/// A request and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// The request.
    pub request: Request,
    /// When it came.
    pub began: Time,
    /// When its answer began.
    pub opened: Option<Time>,
    /// When it had its end for the client.
    pub ended: Option<Time>,
    /// How it ended; `None` if its process ended first.
    pub outcome: Option<Outcome>,
    /// The group and the deployment that was called last.
    pub called: Option<(ModelId, DeploymentId)>,
    /// What it came to.
    pub sums: Sums,
    /// Whether some of it is presumed.
    pub is_presumed: bool,
}

impl Spent {
    pub(super) fn new(request: Request, began: Time) -> Self {
        let (opened, ended, outcome, called) = (None, None, None, None);
        Self { request, began, opened, ended, outcome, called, sums: Sums::default(), is_presumed: false }
    }

    /// Whether the client had no answer.
    pub fn is_failed(&self) -> bool {
        !matches!(self.outcome, Some(Outcome::Served { .. } | Outcome::Cached | Outcome::Shared))
    }

    /// Whether its answer was another's.
    pub fn is_cached(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Cached | Outcome::Shared))
    }

    pub(super) fn note(&mut self, call: &CallClosed) {
        self.sums.add_call(call.usage);
        self.is_presumed |= call.certainty == Certainty::Presumed;
        if call.ended == Ended::Delivered {
            self.called = Some((call.model, call.deployment));
        }
    }

    pub(super) fn take(&mut self, at: Time, fact: &Fact) {
        match fact {
            Fact::Called(call) => self.called = Some((call.model, call.deployment)),
            Fact::Opened { .. } => self.opened = Some(at),
            Fact::Answered { outcome } => {
                self.outcome = Some(*outcome);
                self.ended = Some(at);
            }
            _ => {}
        }
    }
}

/// The requests of late.
#[derive(Debug, Clone, Default)]
pub struct Recent(VecDeque<Spent>);

impl Recent {
    pub(super) fn push(&mut self, spent: Spent) {
        if self.0.len() >= RECENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(spent);
    }

    /// What a request that is over has cost turned out to be more by `more`, or less.
    pub(super) fn correct(&mut self, id: RequestId, more: Money) {
        if let Some(spent) = self.0.iter_mut().rev().find(|spent| spent.request.id == id) {
            spent.sums.spend += more;
        }
    }

    /// Newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Spent> {
        self.0.iter().rev()
    }
}
