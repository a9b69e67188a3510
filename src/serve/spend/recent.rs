//! A request, and what it came to. Knows no other one.

use serde::{Deserialize, Serialize};

use super::Sums;
use crate::gateway::id::{DeploymentId, ModelId};
use crate::gateway::journal::{CallClosed, Certainty, Ended, Fact, Outcome};
use crate::gateway::request::Request;
use crate::gateway::time::Time;

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
