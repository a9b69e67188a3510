//! Recorded tokens of another model: what a row says that a fallback has answered is counted by the model that answered. Decides which rows those
//! are, and reads them in the tokens of the model asked for, as all others are.

use crate::gateway::id::{Map, ModelId};
use crate::gateway::plan::Plan;
use crate::price::tokens::{Ratio, TokenCounts, TokenRatio};
use crate::traffic::trace::{Batch, NameId, Row};

/// The deployments that the log names, and the ratios that its rows were recorded by.
#[derive(Debug, Default)]
pub struct Counted {
    /// By the number of its name in the log: the provider's model of a deployment, if the recorded configuration has it.
    answered_by: Vec<Option<String>>,
    ratios: Map<(ModelId, NameId), TokenRatio>,
}

impl Counted {
    /// Learns the names that first appear in `batch`.
    pub fn learn(&mut self, batch: &Batch, counts: &TokenCounts) {
        self.answered_by.extend(batch.first_seen.deployments.iter().map(|name| counts.deployments.get(name).cloned()));
    }

    /// From the tokens of the model asked for, a group of `plan`, to those that the row has: equal unless its answer came from another model. A
    /// failure was not counted by whoever answered, as nobody did.
    pub fn ratio(&mut self, batch: &Batch, row: &Row, model: ModelId, plan: &Plan, counts: &TokenCounts) -> TokenRatio {
        let answer = batch.recorded(row).filter(|recorded| recorded.status.is_none_or(|status| status < 400));
        let Some(deployment) = answer.and_then(|recorded| recorded.deployment) else { return TokenRatio::ONE };
        let answered_by = &self.answered_by;
        *self.ratios.entry((model, deployment)).or_insert_with(|| {
            let answered = answered_by[deployment.index()].as_deref();
            counts.home(plan, model).zip(answered).map_or(TokenRatio::ONE, |(asked, answered)| counts.between(asked, answered))
        })
    }
}

/// So many recorded tokens in those of the model asked for; an answer of some stays one.
pub fn as_asked(ratio: Ratio, tokens: u32) -> u32 {
    ratio.undo(tokens).max(u32::from(tokens > 0))
}
