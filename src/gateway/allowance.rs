//! What is left of the limits that a key's requests count on, when there is more, and whose a limit or an account is, in words. Changes nothing.

use alloc::format;
use alloc::string::String;

use super::Gateway;
use super::id::{AccountId, KeyId, LimitId, ModelId};
use super::limits::Allowance;
use super::plan::{BudgetSpec, BudgetWindow, LimitKind, LimitSpec, Plan};
use super::scope::Owner;
use super::time::{Span, Time};

/// What a key has left for one model, by the limits that have the least; `None` where there is no such limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowances {
    /// Requests.
    pub requests: Option<Allowance>,
    /// Tokens: input, output or both, as that limit counts them.
    pub tokens: Option<Allowance>,
}

impl Gateway {
    /// What `key` has left for `model` at `now`, by the limits of everyone, its team, itself and the model. Nothing for a key or model that there
    /// is not.
    pub fn allowances(&self, key: KeyId, model: ModelId, now: Time) -> Allowances {
        let (Some(path), Some(state)) = (self.directory.known_path(key), self.models.get(model.index())) else { return Allowances::default() };
        let mut least = Allowances::default();
        for id in [self.directory.path(path).list, state.scope.list()].into_iter().flat_map(|list| self.limits.ids(list)) {
            let found = match self.limits.spec(*id).kind {
                LimitKind::Requests => &mut least.requests,
                LimitKind::InputTokens | LimitKind::OutputTokens | LimitKind::TotalTokens => &mut least.tokens,
                LimitKind::Concurrency => continue,
            };
            let allowance = self.limits.allowance(*id, now);
            if found.is_none_or(|found| (allowance.remaining, allowance.amount) < (found.remaining, found.amount)) {
                *found = Some(allowance);
            }
        }
        least
    }

    /// How long until there is room again at a limit for one more request, or one more token, if nobody else takes it; `None` if there never is.
    /// Who holds a place at a concurrency limit cannot be known: the answer is a second.
    pub fn retry_after(&self, limit: LimitId, now: Time) -> Option<Span> {
        self.limits.owner(limit)?;
        Some(self.limits.retry_after(limit, now)).filter(|wait| *wait < Span::MAX)
    }

    /// Whose a limit is, and how much: `the limit of key intern, 100 requests in 1m`. `None` if there is no such limit.
    pub fn describe_limit(&self, plan: &Plan, limit: LimitId) -> Option<String> {
        let owner = self.limits.owner(limit)?;
        Some(format!("the limit of {}, {}", self.name_of(plan, owner), figures_of_limit(self.limits.spec(limit))))
    }

    /// Whose an account is, and how much: `the budget of team frontend, $200 every 1d`. `None` if there is no such account.
    pub fn describe_account(&self, plan: &Plan, account: AccountId) -> Option<String> {
        let owner = self.budget.owner(account)?;
        Some(format!("the budget of {}, {}", self.name_of(plan, owner), figures_of_budget(self.budget.spec(account))))
    }

    fn name_of(&self, plan: &Plan, owner: Owner) -> String {
        let directory = &self.directory;
        match owner {
            Owner::Everyone => "the gateway as a whole".into(),
            Owner::Team(id) => format!("team {}", directory.team_names()[id.index()]),
            Owner::Key(id) => format!("key {}", directory.key_names()[id.index()]),
            Owner::EndUser(id) => format!("end user {}", directory.end_user_names()[id.index()]),
            Owner::Tag(id) => format!("tag {}", directory.tag_names()[id.index()]),
            Owner::Model(id) => format!("model {}", plan.model(id).name),
            Owner::Deployment(id) => format!("deployment {}", plan.deployment(id).name),
        }
    }
}

fn figures_of_limit(spec: &LimitSpec) -> String {
    let what = match spec.kind {
        LimitKind::Requests => "request",
        LimitKind::InputTokens => "input token",
        LimitKind::OutputTokens => "output token",
        LimitKind::TotalTokens => "token",
        LimitKind::Concurrency => return format!("{} at one time", spec.amount),
    };
    let plural = if spec.amount == 1 { "" } else { "s" };
    format!("{} {what}{plural} in {}", spec.amount, spec.period)
}

fn figures_of_budget(spec: &BudgetSpec) -> String {
    let limit = spec.limit;
    match &spec.window {
        BudgetWindow::Total => format!("{limit} in all"),
        BudgetWindow::Fixed(length, _) => format!("{limit} every {length}"),
        BudgetWindow::Rolling { length, .. } => format!("{limit} in any {length}"),
        BudgetWindow::Calendar(_) => format!("{limit} a calendar window"),
    }
}
