//! Keys, teams, end users and tags: who may ask for what, and which accounts and limits their requests count on. Changed by commands only.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::budget::{ACCOUNTS_MAX, Budget};
use super::command::{Command, CommandError, KeySpec, Overrides, TeamSpec};
use super::id::{AccountId, EndUserId, KeyId, LimitId, LimitListId, ModelId, Registry, TagId, TeamId};
use super::journal::Denial;
use super::limits::Limits;
use super::pages::Pages;
use super::plan::{BudgetSpec, LimitSpec};
use super::scope::{Owner, Scope};
use super::shared::Shared;
use super::time::Time;

/// Accounts left free on every key's path for those that depend on the request: the model's, the deployment's, the end user's and the request's tag.
const REQUEST_ACCOUNTS: usize = 4;

/// Who there is. A copy shares all that there may be many of, as it changes with commands and with new names only.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Directory {
    key_names: Shared<Registry>,
    team_names: Shared<Registry>,
    end_user_names: Shared<Registry>,
    tag_names: Shared<Registry>,
    keys: Shared<Vec<Key>>,
    teams: Shared<Vec<Team>>,
    end_users: Pages<EndUser>,
    /// The budget of end users who have none of their own.
    end_user_default: Option<BudgetSpec>,
    tags: Shared<Vec<Vec<AccountId>>>,
    everyone: Scope,
    paths: Shared<Vec<Path>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Key {
    /// Without budgets and limits: accounts and limits know their own.
    spec: KeySpec,
    scope: Scope,
    team: Option<TeamId>,
    status: Status,
    path: PathId,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Team {
    /// As a key's.
    spec: TeamSpec,
    scope: Scope,
    status: Status,
}

/// An end user's one account. It keeps its number and what it has counted while there is no budget for it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct EndUser {
    account: Option<AccountId>,
    is_used: bool,
    /// Whether the budget is their own, not the default.
    is_own: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Status {
    blocked: bool,
    deleted: bool,
}

/// An immutable list of accounts and limits. A request keeps its path while its key may get another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathId(pub u32);

/// What every request of a key counts on, resolved once when the key changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// Global, team, key, and tags of both.
    pub accounts: Vec<AccountId>,
    /// Global, team, key.
    pub limits: Vec<LimitId>,
    /// The same as a list.
    pub list: LimitListId,
    /// The key's policies, or its team's.
    pub overrides: Overrides,
    /// The team.
    pub team: Option<TeamId>,
}

impl Directory {
    /// The number of a key.
    pub fn key(&self, name: &str) -> Option<KeyId> {
        self.key_names.find(name).map(KeyId)
    }

    /// The number of a team.
    pub fn team(&self, name: &str) -> Option<TeamId> {
        self.team_names.find(name).map(TeamId)
    }

    /// The number of an end user, if the name has one.
    pub fn known_end_user(&self, name: &str) -> Option<EndUserId> {
        self.end_user_names.find(name).map(EndUserId)
    }

    /// The number of a tag, if the name has one.
    pub fn known_tag(&self, name: &str) -> Option<TagId> {
        self.tag_names.find(name).map(TagId)
    }

    /// The number of an end user, given to the name now if it has none.
    pub(super) fn end_user(&mut self, name: &str) -> EndUserId {
        if let Some(known) = self.known_end_user(name) {
            return known;
        }
        self.end_users.push(EndUser::default());
        EndUserId(self.end_user_names.change().intern(name))
    }

    /// The number of a tag, given to the name now if it has none.
    pub(super) fn tag(&mut self, name: &str) -> TagId {
        if let Some(known) = self.known_tag(name) {
            return known;
        }
        self.tags.change().push(Vec::new());
        TagId(self.tag_names.change().intern(name))
    }

    /// Names of keys, by number.
    pub fn key_names(&self) -> &[String] {
        self.key_names.names()
    }

    /// Names of teams, by number.
    pub fn team_names(&self) -> &[String] {
        self.team_names.names()
    }

    /// Names of end users, by number.
    pub fn end_user_names(&self) -> &[String] {
        self.end_user_names.names()
    }

    /// Names of tags, by number.
    pub fn tag_names(&self) -> &[String] {
        self.tag_names.names()
    }

    /// The team of a key.
    pub fn team_of(&self, key: KeyId) -> Option<TeamId> {
        self.keys.get(key.index()).and_then(|key| key.team)
    }

    /// The tags that a key's requests carry; none if there is no such key.
    pub fn tags_of_key(&self, key: KeyId) -> &[String] {
        self.keys.get(key.index()).map_or(&[], |key| &key.spec.tags)
    }

    /// The tags that requests of a team's keys carry; none if there is no such team.
    pub fn tags_of_team(&self, team: TeamId) -> &[String] {
        self.teams.get(team.index()).map_or(&[], |team| &team.spec.tags)
    }

    /// The path of a key's requests.
    #[inline]
    pub fn path_of(&self, key: KeyId) -> PathId {
        self.keys[key.index()].path
    }

    /// The path of a key's requests, if there is such a key.
    #[inline]
    pub(super) fn known_path(&self, key: KeyId) -> Option<PathId> {
        self.keys.get(key.index()).map(|key| key.path)
    }

    /// What a path stands for.
    #[inline]
    pub fn path(&self, id: PathId) -> &Path {
        &self.paths[id.0 as usize]
    }

    /// An end user is seen: one without a budget gets the default.
    pub(super) fn meet_end_user(&mut self, id: EndUserId, budget: &mut Budget) {
        if let (false, Some(default)) = (self.of_end_user(id).is_used, &self.end_user_default) {
            self.end_users.at(id.index()).put(id, Some(default), budget);
        }
    }

    /// The accounts of a tag.
    pub fn tag_accounts(&self, id: TagId) -> &[AccountId] {
        &self.tags[id.index()]
    }

    /// The accounts of an end user.
    ///
    /// # Panics
    /// If no name has this number.
    pub fn end_user_accounts(&self, id: EndUserId) -> &[AccountId] {
        self.of_end_user(id).accounts()
    }

    /// Whether an end user has a budget of their own, not the default.
    pub fn has_own_budget(&self, id: EndUserId) -> bool {
        self.of_end_user(id).is_own
    }

    fn of_end_user(&self, id: EndUserId) -> &EndUser {
        self.end_users.get(id.index()).expect("end users are named before they are asked for")
    }

    /// Whether a key may ask for a model at `now`.
    #[inline]
    pub fn admit(&self, key: KeyId, model: ModelId, now: Time) -> Result<PathId, Denial> {
        self.standing(key)?;
        let key = &self.keys[key.index()];
        if key.spec.expires.is_some_and(|expires| now >= expires) {
            return Err(Denial::Expired);
        }
        if !self.allows(key, model) {
            return Err(Denial::ModelNotAllowed);
        }
        Ok(key.path)
    }

    /// Whether calls may still be made for a key: a blocked or deleted one makes no more, not even for requests in flight.
    #[inline]
    pub fn standing(&self, key: KeyId) -> Result<(), Denial> {
        let Some(key) = self.keys.get(key.index()) else { return Err(Denial::UnknownKey) };
        let team = key.team.map(|team| &self.teams[team.index()]);
        let status = team.map_or(key.status, |team| Status {
            blocked: key.status.blocked || team.status.blocked,
            deleted: key.status.deleted || team.status.deleted,
        });
        if status.deleted {
            return Err(Denial::Deleted);
        }
        if status.blocked { Err(Denial::Blocked) } else { Ok(()) }
    }

    /// Whether a key's lists of models have this one.
    pub fn may_use(&self, key: KeyId, model: ModelId) -> bool {
        self.allows(&self.keys[key.index()], model)
    }

    fn allows(&self, key: &Key, model: ModelId) -> bool {
        let team = key.team.and_then(|team| self.teams[team.index()].spec.models.as_ref());
        [key.spec.models.as_ref(), team].into_iter().flatten().all(|models| models.contains(&model))
    }

    /// Sets the budgets and limits over everything. Paths may become too long by it: see [`Self::crowded`].
    pub(super) fn put_everyone(&mut self, budgets: &[BudgetSpec], limits: &[LimitSpec], money: &mut Budget, rates: &mut Limits) {
        self.everyone.put(Owner::Everyone, budgets, limits, money, rates);
        self.resolve_paths(rates);
    }

    /// Sets the budget of end users who have none of their own, those who have been seen included.
    pub(super) fn put_end_user_default(&mut self, default: Option<&BudgetSpec>, money: &mut Budget) {
        if self.end_user_default.as_ref() == default {
            return;
        }
        self.end_user_default = default.cloned();
        for id in (0..).map(EndUserId).take(self.end_users.len()) {
            let end_user = self.of_end_user(id);
            if !end_user.is_own && end_user.account.is_some() {
                self.end_users.at(id.index()).put(id, default, money);
            }
        }
    }

    /// Adds or changes a team.
    pub(super) fn put_team(&mut self, name: &str, spec: TeamSpec, money: &mut Budget, rates: &mut Limits) -> Result<(), CommandError> {
        let own = spec.budgets.len() + self.tag_accounts_of(&spec.tags);
        let team = self.team(name);
        let keys = self.keys.iter().filter(|key| team.is_some() && key.team == team && !key.status.deleted);
        let below = keys.map(|key| key.scope.accounts().len() + self.tag_accounts_of(&key.spec.tags)).max().unwrap_or(0);
        self.check_path(self.everyone.accounts().len() + own + below)?;
        let id = self.team_names.change().intern(name) as usize;
        let teams = self.teams.change();
        if id == teams.len() {
            teams.push(Team { spec: TeamSpec::default(), scope: Scope::default(), status: Status::default() });
        }
        let team = &mut teams[id];
        team.scope.put(Owner::Team(TeamId(id as u32)), &spec.budgets, &spec.limits, money, rates);
        team.spec = TeamSpec { budgets: Vec::new(), limits: Vec::new(), ..spec };
        team.status.deleted = false;
        self.resolve_paths(rates);
        Ok(())
    }

    /// Adds or changes a key.
    pub(super) fn put_key(&mut self, name: &str, spec: KeySpec, money: &mut Budget, rates: &mut Limits) -> Result<(), CommandError> {
        let team = match &spec.team {
            None => None,
            Some(team) => Some(self.team(team).ok_or_else(|| CommandError::UnknownTeam(team.clone()))?),
        };
        let above = team.map_or(0, |team| {
            let team = &self.teams[team.index()];
            team.scope.accounts().len() + self.tag_accounts_of(&team.spec.tags)
        });
        self.check_path(self.everyone.accounts().len() + above + spec.budgets.len() + self.tag_accounts_of(&spec.tags))?;
        let id = self.key_names.change().intern(name) as usize;
        let keys = self.keys.change();
        if id == keys.len() {
            keys.push(Key { spec: KeySpec::default(), scope: Scope::default(), team, status: Status::default(), path: PathId(0) });
        }
        let key = &mut keys[id];
        key.scope.put(Owner::Key(KeyId(id as u32)), &spec.budgets, &spec.limits, money, rates);
        (key.spec, key.team) = (KeySpec { budgets: Vec::new(), limits: Vec::new(), ..spec }, team);
        key.status.deleted = false;
        self.resolve_path(id, rates);
        Ok(())
    }

    /// Sets the budgets of an end user.
    pub(super) fn put_end_user(&mut self, name: &str, budgets: &[BudgetSpec], money: &mut Budget) -> Result<(), CommandError> {
        check_one(budgets)?;
        let id = self.end_user(name);
        let end_user = self.end_users.at(id.index());
        // Without an account they get the default when they are seen.
        let default = self.end_user_default.as_ref().filter(|_| end_user.account.is_some());
        end_user.put(id, budgets.first().or(default), money);
        end_user.is_own = !budgets.is_empty();
        Ok(())
    }

    /// Sets the budgets of a tag.
    pub(super) fn put_tag(&mut self, name: &str, budgets: &[BudgetSpec], money: &mut Budget, rates: &mut Limits) -> Result<(), CommandError> {
        check_one(budgets)?;
        if !budgets.is_empty() {
            let added = usize::from(self.tag_names.find(name).is_none_or(|tag| self.tags[tag as usize].is_empty()));
            let has = |tags: &[String]| tags.iter().any(|other| other == name);
            let team = |key: &Key| key.team.is_some_and(|team| has(&self.teams[team.index()].spec.tags));
            let touched = self.keys.iter().filter(|key| self.works(key) && (has(&key.spec.tags) || team(key)));
            let longest = touched.map(|key| self.paths[key.path.0 as usize].accounts.len()).max().unwrap_or(0);
            self.check_path(longest + added)?;
        }
        let id = self.tag(name);
        put_accounts(Owner::Tag(id), &mut self.tags.change()[id.index()], budgets, money);
        self.resolve_paths(rates);
        Ok(())
    }

    /// Blocks or unblocks a key.
    pub(super) fn block_key(&mut self, name: &str, blocked: bool) -> Result<(), CommandError> {
        self.key_status(name)?.blocked = blocked;
        Ok(())
    }

    /// Deletes a key.
    pub(super) fn delete_key(&mut self, name: &str) -> Result<(), CommandError> {
        self.key_status(name)?.deleted = true;
        Ok(())
    }

    /// Blocks or unblocks a team.
    pub(super) fn block_team(&mut self, name: &str, blocked: bool) -> Result<(), CommandError> {
        self.team_status(name)?.blocked = blocked;
        Ok(())
    }

    /// Deletes a team.
    pub(super) fn delete_team(&mut self, name: &str) -> Result<(), CommandError> {
        self.team_status(name)?.deleted = true;
        Ok(())
    }

    /// As [`super::Gateway::is_so`].
    pub(super) fn is_so(&self, command: &Command, money: &Budget, rates: &Limits) -> bool {
        let has = |scope: &Scope, budgets: &[BudgetSpec], limits: &[LimitSpec]| {
            scope.accounts().iter().map(|id| money.spec(*id)).eq(budgets) && scope.limits().iter().map(|id| rates.spec(*id)).eq(limits)
        };
        let key = |name: &str| self.key(name).map(|key| &self.keys[key.index()]);
        let team = |name: &str| self.team(name).map(|team| &self.teams[team.index()]);
        match command {
            Command::PutKey { name, spec } => key(name).is_some_and(|key| {
                let bare = KeySpec { budgets: Vec::new(), limits: Vec::new(), ..spec.clone() };
                !key.status.deleted && key.spec == bare && has(&key.scope, &spec.budgets, &spec.limits)
            }),
            Command::PutTeam { name, spec } => team(name).is_some_and(|team| {
                let bare = TeamSpec { budgets: Vec::new(), limits: Vec::new(), ..spec.clone() };
                !team.status.deleted && team.spec == bare && has(&team.scope, &spec.budgets, &spec.limits)
            }),
            Command::BlockKey { name, blocked } => key(name).is_some_and(|key| key.status.blocked == *blocked),
            Command::BlockTeam { name, blocked } => team(name).is_some_and(|team| team.status.blocked == *blocked),
            Command::DeleteKey { name } => key(name).is_some_and(|key| key.status.deleted),
            Command::DeleteTeam { name } => team(name).is_some_and(|team| team.status.deleted),
            Command::PutTag { name, budgets } => budgets.is_empty() && self.known_tag(name).is_some_and(|tag| self.tag_accounts(tag).is_empty()),
            Command::PutEndUser { .. } | Command::Grant { .. } => false,
        }
    }

    /// As [`super::Gateway::lessened`].
    pub(super) fn lessened(&self, command: &Command, money: &Budget, rates: &Limits) -> Option<Command> {
        let left = |scope: &Scope, count: usize| -> Option<(Vec<BudgetSpec>, Vec<LimitSpec>)> {
            let budgets = scope.accounts().get(..count).filter(|left| left.len() < scope.accounts().len())?;
            let limits = scope.limits().iter().map(|id| *rates.spec(*id)).collect();
            Some((budgets.iter().map(|id| money.spec(*id).clone()).collect(), limits))
        };
        match command {
            Command::PutTeam { name, spec } => {
                let team = &self.teams[self.team(name)?.index()];
                let (budgets, limits) = left(&team.scope, spec.budgets.len())?;
                Some(Command::PutTeam { name: name.clone(), spec: TeamSpec { budgets, limits, ..team.spec.clone() } })
            }
            Command::PutKey { name, spec } => {
                let key = &self.keys[self.key(name)?.index()];
                let (budgets, limits) = left(&key.scope, spec.budgets.len())?;
                Some(Command::PutKey { name: name.clone(), spec: KeySpec { budgets, limits, ..key.spec.clone() } })
            }
            Command::PutTag { name, budgets } if budgets.is_empty() && !self.tag_accounts(self.known_tag(name)?).is_empty() => Some(command.clone()),
            _ => None,
        }
    }

    /// The keys that work and have more accounts on their path than a hold carries, with how many that are and how many there may be.
    pub fn crowded(&self) -> impl Iterator<Item = (KeyId, usize, usize)> {
        let most = ACCOUNTS_MAX - REQUEST_ACCOUNTS;
        let keys = self.keys.iter().zip(0..).filter(|(key, _)| self.works(key));
        let counted = keys.map(|(key, id)| (KeyId(id), self.path(key.path).accounts.len()));
        counted.filter(move |(_, budgets)| *budgets > most).map(move |(key, budgets)| (key, budgets, most))
    }

    /// Whether neither the key nor its team is deleted.
    fn works(&self, key: &Key) -> bool {
        !key.status.deleted && key.team.is_none_or(|team| !self.teams[team.index()].status.deleted)
    }

    fn key_status(&mut self, name: &str) -> Result<&mut Status, CommandError> {
        let id = self.key(name).ok_or_else(|| CommandError::UnknownKey(name.into()))?;
        Ok(&mut self.keys.change()[id.index()].status)
    }

    fn team_status(&mut self, name: &str) -> Result<&mut Status, CommandError> {
        let id = self.team(name).ok_or_else(|| CommandError::UnknownTeam(name.into()))?;
        Ok(&mut self.teams.change()[id.index()].status)
    }

    fn check_path(&self, budgets: usize) -> Result<(), CommandError> {
        let most = ACCOUNTS_MAX - REQUEST_ACCOUNTS;
        if budgets > most { Err(CommandError::TooManyBudgets { budgets, most }) } else { Ok(()) }
    }

    fn tag_accounts_of(&self, tags: &[String]) -> usize {
        tags.iter().filter_map(|tag| self.tag_names.find(tag)).map(|id| self.tags[id as usize].len()).sum()
    }

    fn resolve_paths(&mut self, rates: &mut Limits) {
        for key in 0..self.keys.len() {
            self.resolve_path(key, rates);
        }
    }

    /// Gives a key the path that its present state asks for: its old one if nothing has changed, else a new one.
    fn resolve_path(&mut self, id: usize, rates: &mut Limits) {
        let key = &self.keys[id];
        let team = key.team.map(|team| &self.teams[team.index()]);
        let old = self.paths.get(key.path.0 as usize).map(|path| path.list);
        let none = LimitListId(u32::MAX);
        let mut path = Path { accounts: Vec::new(), limits: Vec::new(), list: none, overrides: key.spec.overrides, team: key.team };
        path.add(&self.everyone);
        if let Some(team) = team {
            path.add(&team.scope);
            path.overrides = path.overrides.or(team.spec.overrides);
        }
        path.add(&key.scope);
        let team_tags = team.map_or(&[][..], |team| &team.spec.tags);
        for tag in team_tags.iter().chain(&key.spec.tags).filter_map(|tag| self.tag_names.find(tag)) {
            for account in &self.tags[tag as usize] {
                if !path.accounts.contains(account) {
                    path.accounts.push(*account);
                }
            }
        }
        path.list = rates.list(&path.limits, old);
        if self.paths.get(key.path.0 as usize) != Some(&path) {
            self.keys.change()[id].path = PathId(u32::try_from(self.paths.len()).expect("fewer than 2^32 paths"));
            self.paths.change().push(path);
        }
    }
}

impl EndUser {
    fn put(&mut self, id: EndUserId, spec: Option<&BudgetSpec>, money: &mut Budget) {
        if let Some(spec) = spec {
            match self.account {
                Some(account) => money.change(account, spec.clone()),
                None => self.account = Some(money.add(Owner::EndUser(id), spec.clone())),
            }
        }
        self.is_used = spec.is_some();
    }

    fn accounts(&self) -> &[AccountId] {
        if self.is_used { self.account.as_slice() } else { &[] }
    }
}

impl Path {
    fn add(&mut self, scope: &Scope) {
        self.accounts.extend(scope.accounts());
        self.limits.extend(scope.limits());
    }
}

fn put_accounts(owner: Owner, accounts: &mut Vec<AccountId>, budgets: &[BudgetSpec], money: &mut Budget) {
    accounts.truncate(budgets.len());
    for (position, spec) in budgets.iter().enumerate() {
        match accounts.get(position) {
            Some(id) => money.change(*id, spec.clone()),
            None => accounts.push(money.add(owner, spec.clone())),
        }
    }
}

/// End users and tags that come with a request have one place each on its path.
fn check_one(budgets: &[BudgetSpec]) -> Result<(), CommandError> {
    if budgets.len() > 1 { Err(CommandError::TooManyBudgets { budgets: budgets.len(), most: 1 }) } else { Ok(()) }
}
