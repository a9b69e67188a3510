//! The resolved configuration: models, deployments, policies and rates, validated and immutable. Holds no state and no names of files.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::features::Features;
use super::id::{DeploymentId, ModelId};
use super::money::Money;
pub use super::policy::*;
use super::rate_card::{RateSchedule, Usage};
use super::time::{Span, Time};

/// Everything the core needs to know that is not state. A request keeps the plan that it was admitted under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Model groups; a [`ModelId`] is an index. Append-only over the life of a gateway: a removed model is `retired`.
    pub models: Vec<Model>,
    /// Deployments; a [`DeploymentId`] is an index. Append-only: a removed deployment is `retired`.
    pub deployments: Vec<Deployment>,
    /// Budgets over everything.
    pub budgets: Vec<BudgetSpec>,
    /// Limits over everything.
    pub limits: Vec<LimitSpec>,
    /// The budget that every end user gets who has none of their own.
    pub end_user_budget: Option<BudgetSpec>,
    /// Bytes of answers that the response cache may hold, over all models.
    pub cache_bytes_max: u64,
    /// The loop detector, if on.
    pub loop_detector: Option<LoopDetector>,
    /// The retry budget, if on. One bucket for each requested model.
    pub retry_budget: Option<RetryBudget>,
    /// How long the usage of a call that was closed with a presumed amount may still come in and correct it.
    pub late_usage_window: Span,
}

/// A model group: a name that clients ask for, and what may answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The name that clients ask for.
    pub name: String,
    /// What may answer, in the order of the configuration.
    pub deployments: Vec<DeploymentId>,
    /// How one of them is picked.
    pub strategy: Strategy,
    /// Whether the pick looks at the gateway's own limits on deployments.
    pub pick: Pick,
    /// Caps on calls, and what is tried again.
    pub attempts: Attempts,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// Retries below an attempt, as a provider's client library makes them.
    pub transport: Transport,
    /// Where a request goes when this group has failed.
    pub fallbacks: Fallbacks,
    /// When a deployment of this group is left alone for a while.
    pub cooldown: Cooldown,
    /// When a deployment of this group is closed to all but probes.
    pub breaker: Option<Breaker>,
    /// How long a call may take.
    pub timeouts: Timeouts,
    /// The response cache for this group.
    pub cache: Option<CachePolicy>,
    /// Output length when the client does not state one, and at most.
    pub max_tokens: MaxTokens,
    /// What happens upstream when the client leaves.
    pub on_disconnect: OnDisconnect,
    /// The price tier, for fallbacks that must stay within it.
    pub tier: Option<u32>,
    /// The rates that this group's traffic is compared with: its first deployment's.
    pub reference: RateSchedule,
    /// The most output tokens that any of its deployments can produce.
    pub output_tokens_max: u32,
    /// Budgets over everything that this group is asked to answer, fallback or not.
    pub budgets: Vec<BudgetSpec>,
    /// Limits on requests that ask for this group.
    pub limits: Vec<LimitSpec>,
    /// Taken out of the configuration: known to the journal, never called.
    pub retired: bool,
}

/// One deployment: a provider's model behind one account or endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its name in configuration, world and reports; luck is keyed by it.
    pub name: String,
    /// The provider's name in the configuration.
    pub provider: String,
    /// The provider's own name for the model.
    pub model: String,
    /// What calls cost.
    pub rates: RateSchedule,
    /// The share of picks under [`Strategy::WeightedShuffle`]; 0 means never, unless all are 0.
    pub weight: u32,
    /// Priority level: lower ones are used first, and a request moves on to the next when its attempts there are used up.
    pub order: u32,
    /// The gateway's own limits on this deployment.
    pub limits: Vec<LimitSpec>,
    /// Budgets over this deployment's spend.
    pub budgets: Vec<BudgetSpec>,
    /// The most output tokens that the model can produce.
    pub output_tokens_max: u32,
    /// The largest input that it takes.
    pub input_tokens_max: u32,
    /// The class of service that its rates are of.
    pub service: ServiceClass,
    /// What a request that is sent there may require.
    pub offers: Features,
    /// The tokenizer of its model is known to the driver, which can count what a request's input comes to there.
    pub countable: bool,
    /// What the provider bills for calls that do not end well.
    pub billing: BillingRule,
    /// Overrides [`Cooldown::time`] of its group.
    pub cooldown_time: Option<Span>,
    /// Taken out of the configuration.
    pub retired: bool,
}

/// The classes of service that a provider sells a model in, by what they cost. The core asks only what a deployment offers; who reads requests
/// holds what they ask for against the class that is priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ServiceClass {
    /// Cheaper, and slower.
    Economy,
    /// The ordinary one.
    Standard,
    /// Dearer, and faster.
    Premium,
}

/// The most that one request can cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstCase {
    /// Upstream calls.
    pub calls: u32,
    /// Dollars, if every call is billed in full.
    pub cost: Money,
}

impl Plan {
    /// The group behind an id.
    #[inline]
    pub fn model(&self, id: ModelId) -> &Model {
        &self.models[id.index()]
    }

    /// The deployment behind an id.
    #[inline]
    pub fn deployment(&self, id: DeploymentId) -> &Deployment {
        &self.deployments[id.index()]
    }

    /// The model of this name, if there is one that is not retired.
    pub fn find_model(&self, name: &str) -> Option<ModelId> {
        let index = self.models.iter().position(|model| model.name == name && !model.retired)?;
        u32::try_from(index).ok().map(ModelId)
    }

    /// The deployment of this name, if there is one that is not retired.
    pub fn find_deployment(&self, name: &str) -> Option<DeploymentId> {
        let index = self.deployments.iter().position(|deployment| deployment.name == name && !deployment.retired)?;
        u32::try_from(index).ok().map(DeploymentId)
    }

    /// The most calls and dollars that one request for `model` can cause, if every call is billed in full for `usage.input` input
    /// tokens and every output is as long as the request and the caps allow (`usage.output` is the client's max_tokens; 0 states none).
    /// Where rates change, at whatever instant is the dearest.
    ///
    /// An upper bound for a request that wants one answer and whose key sets no policies of its own: it counts the dearest calls that the
    /// caps on the request, its groups and deployments, the tier rule and the price ceiling allow together.
    pub fn worst_case(&self, model: ModelId, usage: Usage) -> WorstCase {
        let asked = self.model(model);
        let per_request = asked.attempts.per_request;
        let ratio = asked.fallbacks.price_ratio_max_per_mille.map(i128::from);
        let ceiling = |now: Time| {
            let (ratio, first) = ratio.zip(asked.deployments.first())?;
            Some(asked.reference.at(now).worst_case(usage.input, self.output_tokens(asked, *first, usage.output)).0 * ratio)
        };
        let mut calls: Vec<(Money, usize, DeploymentId)> = Vec::new();
        let mut group_left: Vec<u32> = Vec::new();
        for (place, group) in self.reachable(model).into_iter().enumerate() {
            let group = self.model(group);
            let of_tier = place == 0 || !asked.fallbacks.same_tier || group.tier == asked.tier;
            let resends = group.transport.retries + 1;
            let mut levels: Vec<u32> = group.deployments.iter().map(|id| self.deployment(*id).order).collect();
            levels.sort_unstable();
            levels.dedup();
            group_left.push(group.attempts.most().saturating_mul(resends).saturating_mul(levels.len() as u32));
            for id in group.deployments.iter().filter(|id| of_tier && !self.deployment(**id).retired) {
                let output = self.output_tokens(group, *id, usage.output);
                let Deployment { rates, countable, .. } = self.deployment(*id);
                let costs = rates.cards().chain(asked.reference.cards()).filter_map(|(now, _)| {
                    let cost = rates.at(now).worst_case(usage.input, output);
                    match ceiling(now).filter(|ceiling| place > 0 && cost.0 * 1000 > *ceiling) {
                        None => Some(cost),
                        // Once counted, an input may be short enough: a call costs up to the ceiling then.
                        Some(ceiling) => countable.then_some(Money(ceiling / 1000)),
                    }
                });
                let Some(cost) = costs.max() else { continue };
                let most = group.attempts.per_deployment.saturating_mul(resends).min(per_request);
                calls.extend(core::iter::repeat_n((cost, place, *id), most as usize));
            }
        }
        calls.sort_by_key(|(cost, ..)| core::cmp::Reverse(*cost));
        let mut worst = WorstCase { calls: 0, cost: Money::ZERO };
        for (cost, place, _) in calls {
            if worst.calls < per_request && group_left[place] > 0 {
                group_left[place] -= 1;
                worst.calls += 1;
                worst.cost += cost;
            }
        }
        worst
    }

    /// The output tokens that a call for one answer may ask for; `stated` is the client's max_tokens, 0 for none.
    fn output_tokens(&self, group: &Model, id: DeploymentId, stated: u32) -> u64 {
        let most = self.deployment(id).output_tokens_max;
        let stated = (stated > 0).then_some(stated).or(group.max_tokens.default);
        u64::from(stated.unwrap_or(most).min(group.max_tokens.cap.unwrap_or(u32::MAX)).min(most))
    }

    /// The group asked for and every group that a walk of its fallbacks can reach.
    pub fn reachable(&self, model: ModelId) -> Vec<ModelId> {
        let flat = self.model(model).fallbacks.walk == Walk::Flat;
        let mut found = Vec::from([model]);
        let mut next = 0;
        while let Some(group) = found.get(next).copied() {
            next += 1;
            if flat && group != model {
                continue;
            }
            let fallbacks = &self.model(group).fallbacks;
            let special = fallbacks.context_window.iter().chain(&fallbacks.content_policy).flatten();
            for target in fallbacks.groups.iter().chain(special) {
                if !found.contains(target) {
                    found.push(*target);
                }
            }
        }
        found
    }
}
