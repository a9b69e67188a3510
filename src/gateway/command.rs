//! What an administrator may change while requests are in flight. Carried out by `Gateway::apply`, in one sequence with the requests.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::id::{AccountId, ModelId};
use super::money::Money;
use super::plan::{BudgetSpec, CacheScope, LimitSpec, OnDisconnect};
use super::time::Time;

/// One change. Names are unique within their kind; a name that is not known yet is added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Adds or changes a team. Budgets and limits keep what they have counted, by position.
    PutTeam {
        /// The team's name.
        name: String,
        /// What it may do.
        spec: TeamSpec,
    },
    /// Adds or changes a key, or brings a deleted one back.
    PutKey {
        /// The key's name; never the secret.
        name: String,
        /// What it may do.
        spec: KeySpec,
    },
    /// Adds or changes an end user with budgets of their own.
    PutEndUser {
        /// The end user's name.
        name: String,
        /// Their budgets.
        budgets: Vec<BudgetSpec>,
    },
    /// Adds or changes a tag's budgets.
    PutTag {
        /// The tag.
        name: String,
        /// Its budgets.
        budgets: Vec<BudgetSpec>,
    },
    /// Blocks or unblocks a key.
    BlockKey {
        /// The key's name.
        name: String,
        /// Whether its requests are refused.
        blocked: bool,
    },
    /// Blocks or unblocks a team with all its keys.
    BlockTeam {
        /// The team's name.
        name: String,
        /// Whether its requests are refused.
        blocked: bool,
    },
    /// Deletes a key; its name and number stay taken.
    DeleteKey {
        /// The key's name.
        name: String,
    },
    /// Deletes a team; its keys are refused from now on.
    DeleteTeam {
        /// The team's name.
        name: String,
    },
    /// Sets how much of an account's limit this process may spend in the current window (replicas share one budget by grants).
    Grant {
        /// The account.
        account: AccountId,
        /// What it may admit in all in its current window.
        amount: Money,
    },
}

/// What a team may do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TeamSpec {
    /// Budgets over all its keys.
    pub budgets: Vec<BudgetSpec>,
    /// Limits over all its keys.
    pub limits: Vec<LimitSpec>,
    /// The models it may ask for; `None` is all.
    pub models: Option<Vec<ModelId>>,
    /// Tags that its spend is attributed to.
    pub tags: Vec<String>,
    /// Policies of its own.
    pub overrides: Overrides,
}

/// What a key may do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct KeySpec {
    /// The team it belongs to. Must exist.
    pub team: Option<String>,
    /// Budgets of its own.
    pub budgets: Vec<BudgetSpec>,
    /// Limits of its own.
    pub limits: Vec<LimitSpec>,
    /// The models it may ask for; `None` is all that its team may.
    pub models: Option<Vec<ModelId>>,
    /// Tags that its spend is attributed to, beside those of its team.
    pub tags: Vec<String>,
    /// When it stops working.
    pub expires: Option<Time>,
    /// Policies of its own; where it has none, its team's.
    pub overrides: Overrides,
}

/// Policies that a team or key sets in place of its models'. `None` leaves the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Overrides {
    /// In place of `attempts.per_request`.
    pub attempts_per_request: Option<u32>,
    /// Whether fallbacks are walked.
    pub fallbacks: Option<bool>,
    /// In place of `fallback.max_price_ratio`, in thousandths.
    pub price_ratio_max_per_mille: Option<u32>,
    /// Whether the response cache is used, where the model has one.
    pub cache: Option<bool>,
    /// In place of the cache's scope.
    pub cache_scope: Option<CacheScope>,
    /// In place of the cap on max_tokens.
    pub max_tokens_cap: Option<u32>,
    /// In place of `stream.on_disconnect`.
    pub on_disconnect: Option<OnDisconnect>,
}

impl Overrides {
    /// These, and where they say nothing those of `parent`.
    #[must_use]
    pub fn or(self, parent: Self) -> Self {
        Self {
            attempts_per_request: self.attempts_per_request.or(parent.attempts_per_request),
            fallbacks: self.fallbacks.or(parent.fallbacks),
            price_ratio_max_per_mille: self.price_ratio_max_per_mille.or(parent.price_ratio_max_per_mille),
            cache: self.cache.or(parent.cache),
            cache_scope: self.cache_scope.or(parent.cache_scope),
            max_tokens_cap: self.max_tokens_cap.or(parent.max_tokens_cap),
            on_disconnect: self.on_disconnect.or(parent.on_disconnect),
        }
    }
}

/// Why a command was not carried out. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// No team has this name.
    UnknownTeam(String),
    /// No key has this name.
    UnknownKey(String),
    /// There is no such account.
    UnknownAccount(AccountId),
    /// More budgets apply to one request than a hold can carry.
    TooManyBudgets {
        /// How many there would be.
        budgets: usize,
        /// How many there may be.
        most: usize,
    },
}
