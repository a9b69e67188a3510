//! The accounts and limits of one owner (everyone, a team, a key, a model, a deployment), kept by position over changes of its configuration.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::id::{AccountId, DeploymentId, EndUserId, KeyId, LimitId, LimitListId, ModelId, TagId, TeamId};
use super::limits::Limits;
use super::plan::{BudgetSpec, LimitSpec};

/// Whose an account or a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// Nobody's alone: everything counts on it.
    Everyone,
    /// A team's.
    Team(TeamId),
    /// A key's.
    Key(KeyId),
    /// An end user's.
    EndUser(EndUserId),
    /// A tag's.
    Tag(TagId),
    /// A model group's.
    Model(ModelId),
    /// A deployment's.
    Deployment(DeploymentId),
}

/// What one owner's requests count on. What the configuration no longer has keeps its number and what it has counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    accounts: Vec<AccountId>,
    limits: Vec<LimitId>,
    accounts_used: usize,
    limits_used: usize,
    list: Option<LimitListId>,
}

impl Scope {
    /// Takes over a configuration of its one owner.
    pub(super) fn put(&mut self, owner: Owner, budgets: &[BudgetSpec], limits: &[LimitSpec], budget: &mut Budget, rates: &mut Limits) {
        for (position, spec) in budgets.iter().enumerate() {
            match self.accounts.get(position) {
                Some(id) => budget.change(*id, spec.clone()),
                None => self.accounts.push(budget.add(owner, spec.clone())),
            }
        }
        for (position, spec) in limits.iter().enumerate() {
            match self.limits.get(position) {
                Some(id) if rates.counts_alike(*id, spec) => rates.change(*id, *spec),
                Some(_) => self.limits[position] = rates.add(owner, *spec),
                None => self.limits.push(rates.add(owner, *spec)),
            }
        }
        (self.accounts_used, self.limits_used) = (budgets.len(), limits.len());
        self.list = Some(rates.list(&self.limits[..self.limits_used], self.list));
    }

    /// The accounts in use.
    #[inline]
    pub fn accounts(&self) -> &[AccountId] {
        &self.accounts[..self.accounts_used]
    }

    /// The limits in use.
    #[inline]
    pub fn limits(&self) -> &[LimitId] {
        &self.limits[..self.limits_used]
    }

    /// The limits in use, as a list.
    ///
    /// # Panics
    /// Before the first [`Self::put`]; `Gateway::new` makes that call for all models and deployments.
    #[inline]
    pub fn list(&self) -> LimitListId {
        self.list.expect("scopes are set before they are used")
    }
}
