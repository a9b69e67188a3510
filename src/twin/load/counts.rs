//! How the tokens that rows record carry over to the models that answer, where they are not counted alike. The ratios are the scenario's.

use std::sync::{Arc, Mutex};

use crate::gateway::plan::Plan;
use crate::price::tokens::{Ratio, TokenCounts, TokenRatio, TokenTable};
use crate::sim::replay::counted::Counted;
use crate::traffic::trace::{Batch, Row};

/// Ratios for the deployments of one plan.
pub struct Counts {
    plan: Arc<Plan>,
    counts: TokenCounts,
    table: TokenTable,
    counted: Mutex<Counted>,
}

impl Counts {
    /// The ratios of `counts`; `None` if it has none.
    pub fn new(plan: &Arc<Plan>, counts: &TokenCounts) -> Option<Self> {
        if counts.rules.is_empty() {
            return None;
        }
        let table = TokenTable::new(plan, counts);
        Some(Self { plan: Arc::clone(plan), counts: counts.clone(), table, counted: Mutex::default() })
    }

    /// Learns the names that first appear in a batch.
    pub(super) fn learn(&self, batch: &Batch) {
        self.counted.lock().expect("nobody panics with it").learn(batch, &self.counts);
    }

    /// From the tokens of the model asked for to those that a row of a learnt batch has.
    pub(super) fn recorded(&self, batch: &Batch, row: &Row, model: &str) -> TokenRatio {
        let Some(model) = self.plan.find_model(model) else { return TokenRatio::ONE };
        self.counted.lock().expect("nobody panics with it").ratio(batch, row, model, &self.plan, &self.counts)
    }

    /// The provider's model that the requests for a model are counted by.
    pub(super) fn home(&self, model: &str) -> Option<&str> {
        self.counts.home(&self.plan, self.plan.find_model(model)?)
    }

    /// From the output tokens of the model asked for to those of a deployment.
    pub(super) fn output(&self, model: &str, deployment: &str) -> Ratio {
        let pair = self.plan.find_model(model).zip(self.plan.find_deployment(deployment));
        pair.map_or(Ratio::ONE, |(model, deployment)| self.table.ratio(model, deployment).output)
    }
}
