//! Whose an account or a limit is, by its number: what makes "over budget" a sentence that somebody can act on. Knows no request.

use crate::gateway::Gateway;
use crate::gateway::command::{Command, KeySpec, TeamSpec};
use crate::gateway::id::{AccountId, KeyId, LimitId, Map};
use crate::gateway::plan::{BudgetSpec, BudgetWindow, LimitKind, LimitSpec, Plan};
use crate::gateway::time::Time;
use crate::report::numbers::{count, length, usd};

/// Follows the commands of a run on a gateway of its own, so that numbers come out as they did there.
#[derive(Debug)]
pub struct Owners {
    plan: Plan,
    gateway: Gateway,
    teams: Map<String, TeamSpec>,
    keys: Map<String, KeySpec>,
}

impl Owners {
    /// Nobody yet.
    pub fn new(plan: &Plan) -> Self {
        // Nothing is asked of its cache.
        let plan = Plan { cache_bytes_max: 0, ..plan.clone() };
        Self { gateway: Gateway::new(&plan, 0), plan, teams: Map::default(), keys: Map::default() }
    }

    /// Those of a gateway in the state that it is in. Budgets and limits have no owners until commands tell of them again.
    pub fn of(plan: &Plan, gateway: Gateway) -> Self {
        Self { plan: plan.clone(), gateway, teams: Map::default(), keys: Map::default() }
    }

    /// Follows a change of plan.
    pub fn adopt(&mut self, now: Time, plan: &Plan) {
        self.plan = plan.clone();
        self.gateway.adopt(plan, now, &mut ());
    }

    /// Follows a command.
    pub fn follow(&mut self, now: Time, command: &Command) {
        match command {
            Command::PutTeam { name, spec } => drop(self.teams.insert(name.clone(), spec.clone())),
            Command::PutKey { name, spec } => drop(self.keys.insert(name.clone(), spec.clone())),
            _ => {}
        }
        // What the gateway of the run has carried out, this one can.
        let _ = self.gateway.apply(&self.plan, now, command.clone(), &mut ());
    }

    /// `the budget of key intern, $50.00 a day`.
    pub fn budget(&self, key: KeyId, account: AccountId) -> String {
        // End users get accounts as they come, which are not followed: from there on the numbers are others.
        if self.plan.end_user_budget.is_some() {
            return "a budget".to_owned();
        }
        let of_path = |owner: String| format!("{owner}, {}", of_budget(self.gateway.budget().spec(account)));
        self.owner(
            key,
            |path| path.accounts.iter().position(|id| *id == account),
            |team| team.budgets.len(),
            |key| key.budgets.len(),
            self.plan.budgets.len(),
        )
        .map_or_else(|| "the budget of a model, a deployment or a tag".to_owned(), |owner| of_path(format!("the budget of {owner}")))
    }

    /// `the limit of key intern, 100 requests in 1 min`.
    pub fn limit(&self, key: KeyId, limit: LimitId) -> String {
        let spec = of_limit(self.gateway.limits().spec(limit));
        self.owner(
            key,
            |path| path.limits.iter().position(|id| *id == limit),
            |team| team.limits.len(),
            |key| key.limits.len(),
            self.plan.limits.len(),
        )
        .map_or_else(|| format!("the limit of a model or a deployment, {spec}"), |owner| format!("the limit of {owner}, {spec}"))
    }

    /// Whose the entry of a key's path at that place is: those of all come first, then the team's, then the key's own, then tags.
    fn owner(
        &self,
        key: KeyId,
        place: impl Fn(&crate::gateway::directory::Path) -> Option<usize>,
        of_team: impl Fn(&TeamSpec) -> usize,
        of_key: impl Fn(&KeySpec) -> usize,
        of_all: usize,
    ) -> Option<String> {
        let directory = self.gateway.directory();
        let name = directory.key_names().get(key.index())?;
        let place = place(directory.path(directory.path_of(key)))?;
        let spec = self.keys.get(name)?;
        let team = spec.team.as_ref().and_then(|team| Some((team, self.teams.get(team)?)));
        let team_ends = of_all + team.map_or(0, |(_, spec)| of_team(spec));
        match place {
            place if place < of_all => Some("the gateway as a whole".to_owned()),
            place if place < team_ends => team.map(|(name, _)| format!("team {name}")),
            place if place < team_ends + of_key(spec) => Some(format!("key {name}")),
            _ => Some("a tag".to_owned()),
        }
    }
}

fn of_budget(spec: &BudgetSpec) -> String {
    let limit = usd(spec.limit);
    match &spec.window {
        BudgetWindow::Total => format!("{limit} in all"),
        BudgetWindow::Fixed(span, _) => format!("{limit} every {}", length(*span)),
        BudgetWindow::Rolling { length: span, .. } => format!("{limit} in any {}", length(*span)),
        BudgetWindow::Calendar(_) => format!("{limit} a calendar window"),
    }
}

fn of_limit(spec: &LimitSpec) -> String {
    let what = match spec.kind {
        LimitKind::Requests => "requests",
        LimitKind::InputTokens => "input tokens",
        LimitKind::OutputTokens => "output tokens",
        LimitKind::TotalTokens => "tokens",
        LimitKind::Concurrency => return format!("{} at one time", count(spec.amount)),
    };
    format!("{} {what} in {}", count(spec.amount), length(spec.period))
}
