//! Folds what a run observes, event by event, into totals and a time series. Decides what is counted as what; knows no driver.
//!
//! Sits in the inner loop of the simulator: arrays indexed by dense ids, no hashing, no allocation per request, no division of money.

use std::sync::Arc;

use super::cause::{self, Parts};
use super::series::Series;
use super::tags::Tags;
use super::totals::{Demand, Totals, denial_index, row};
use crate::gateway::command::Command;
use crate::gateway::failure::FailureClass;
use crate::gateway::id::{KeyId, ModelId, Registry, TeamId};
use crate::gateway::journal::{Alert, BreakerState, CallClosed, Certainty, Ended, Fact, Outcome, Position};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};
use crate::price::tokens::{TokenCounts, TokenTable};

/// The request that something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// When it arrived.
    pub arrived: Time,
    /// The key that it came with.
    pub key: KeyId,
    /// The model that it asked for.
    pub model: ModelId,
    /// The number of the list of tags that it carries itself, as [`Fold::tagged`] was told.
    pub tags: Option<u32>,
}

/// What the world charges for one call: the truth, which the gateway's ledger only approaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Billed {
    /// The usage that is charged for.
    pub usage: Usage,
    /// The charge.
    pub amount: Money,
    /// Its client had left, and it went on for those who waited for the same answer.
    pub shared: bool,
}

/// The keys and teams that commands have made, numbered as the core numbers them: in the order in which their names first appear.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Names of keys; a [`KeyId`] is an index.
    pub keys: Registry,
    /// Names of teams; a [`TeamId`] is an index.
    pub teams: Registry,
    /// What spend is attributed to beside them.
    pub tags: Tags,
    team_of: Vec<Option<TeamId>>,
}

impl Directory {
    /// The name of the team of the key with this name.
    pub fn team_of(&self, key: &str) -> Option<&str> {
        let team = self.team_of.get(self.keys.find(key)? as usize).copied().flatten()?;
        Some(self.teams.name(team.0))
    }

    /// The tags that a request counts under, which came with a key and a list of its own, separated by semicolons.
    pub(super) fn tags_of(&self, key: KeyId, list: Option<u32>) -> String {
        self.tags.of(key, list).map(|tag| self.tags.names()[tag].replace(';', ",")).collect::<Vec<_>>().join(";")
    }

    /// Who there is in a gateway. Their tags are not told.
    pub(super) fn of(core: &crate::gateway::directory::Directory) -> Self {
        let mut directory = Self::default();
        for name in core.team_names() {
            directory.teams.intern(name);
        }
        for (name, key) in core.key_names().iter().zip((0..).map(KeyId)) {
            directory.keys.intern(name);
            *row(&mut directory.team_of, key.index()) = core.team_of(key);
        }
        directory
    }

    pub(super) fn carry_out(&mut self, command: &Command) {
        match command {
            Command::PutTeam { name, spec } => {
                let team = TeamId(self.teams.intern(name));
                self.tags.put_team(team, &spec.tags);
            }
            Command::PutKey { name, spec } => {
                let key = KeyId(self.keys.intern(name));
                let team = spec.team.as_ref().map(|team| TeamId(self.teams.intern(team)));
                *row(&mut self.team_of, key.index()) = team;
                self.tags.put_key(key, team, &spec.tags);
            }
            Command::PutEndUser { .. }
            | Command::PutTag { .. }
            | Command::BlockKey { .. }
            | Command::BlockTeam { .. }
            | Command::DeleteKey { .. }
            | Command::DeleteTeam { .. }
            | Command::Grant { .. } => {}
        }
    }
}

/// The totals and the series of one run.
#[derive(Debug, Clone)]
pub struct Fold {
    plan: Arc<Plan>,
    tokens: TokenTable,
    /// Who may ask.
    pub directory: Directory,
    /// What has been counted.
    pub totals: Totals,
    /// When it happened.
    pub series: Series,
}

impl Fold {
    /// An empty fold for a run under `plan`, where all models count tokens alike.
    pub fn new(plan: Arc<Plan>) -> Self {
        let tokens = TokenTable::new(&plan, &TokenCounts::default());
        Self::with_tokens(plan, tokens)
    }

    /// As [`Fold::new`], where they count as `tokens` says.
    pub fn with_tokens(plan: Arc<Plan>, tokens: TokenTable) -> Self {
        Self { totals: Totals::new(&plan), series: Series::default(), directory: Directory::default(), plan, tokens }
    }

    /// Whether [`Fold::fact`] reads facts of this kind; a driver need not make the others.
    #[inline]
    pub fn wants(fact: &Fact) -> bool {
        !matches!(fact, Fact::Told(_) | Fact::Decided(_) | Fact::CallClosed(_) | Fact::Closed | Fact::PlanAdopted(_) | Fact::Ticked)
    }

    /// Requests may come with these tags of their own from now on: the number of their list, and the tags.
    pub fn tagged(&mut self, list: u32, tags: &[&str]) {
        self.directory.tags.put_list(list, tags);
    }

    /// Counts an arrival.
    #[inline]
    pub fn arrived(&mut self, now: Time, about: &About) {
        let totals = &mut self.totals;
        totals.first = totals.first.min(now);
        totals.last_arrival = totals.last_arrival.max(now);
        totals.last = totals.last.max(now);
        totals.requests += 1;
        demand(totals, &self.directory, about, |demand| demand.requests += 1);
        self.series.at(now).requests += 1;
    }

    /// Counts a fact of the core, about a request if it is about one. A closed call counts in [`Fold::call`], where its bill is known.
    #[inline]
    pub fn fact(&mut self, now: Time, about: Option<&About>, fact: &Fact) {
        match fact {
            Fact::Told(_)
            | Fact::Decided(_)
            | Fact::CallClosed(_)
            | Fact::Closed
            | Fact::PlanAdopted(_)
            | Fact::Ticked
            | Fact::Named { .. }
            | Fact::Recovered { .. }
            | Fact::Forgotten { .. }
            | Fact::Refused { observed: false, .. } => {}
            Fact::Commanded(command) => self.directory.carry_out(command),
            Fact::Called(called) => {
                self.sent(now, called.position, called.call, called.worst_case);
            }
            Fact::Answered { outcome } => {
                if let Some(about) = about {
                    self.answered(now, about, outcome);
                }
            }
            Fact::Opened { .. } => {
                if let Some(about) = about {
                    self.totals.first_token.add(now.since(about.arrived));
                }
            }
            Fact::Refused { observed: true, .. } => self.totals.incidents.observed_refusals += 1,
            Fact::CacheHit { saved } => self.totals.incidents.cache_saved += *saved,
            Fact::Followed { .. } => self.totals.incidents.followed += 1,
            Fact::Queued { .. } => self.totals.incidents.queued += 1,
            Fact::Skipped { .. } => self.totals.incidents.skipped += 1,
            Fact::Corrected { presumed, confirmed, .. } => {
                let ledger = &mut self.totals.ledger;
                ledger.presumed -= *presumed;
                ledger.confirmed += *confirmed;
                ledger.corrected_calls += 1;
            }
            Fact::Cooled { .. } => self.totals.incidents.cooldowns += 1,
            Fact::BreakerTurned { to, .. } => self.totals.incidents.breakers_opened += u64::from(*to == BreakerState::Open),
            Fact::Alerted(alert) => self.alerted(alert),
            Fact::Breached { over, .. } => {
                self.totals.incidents.breaches += 1;
                self.totals.incidents.breached += *over;
            }
        }
    }

    /// Counts a closed call with the world's bill for it, and gives the bill's parts.
    #[inline]
    pub fn call(&mut self, now: Time, about: &About, closed: &CallClosed, billed: Billed) -> Parts {
        let called = self.plan.deployment(closed.deployment).rates.at(closed.since);
        let reference = self.plan.model(about.model).reference.at(closed.since);
        let tokens = &self.tokens;
        let at_reference = |usage| tokens.at_reference(about.model, closed.deployment, usage);
        let parts = cause::split(closed, billed.usage, billed.amount, (called, reference), at_reference);
        let totals = &mut self.totals;
        if let Some(pair) = tokens.pair(about.model, closed.deployment) {
            let crossed = row(&mut totals.crossed, pair);
            crossed.calls += 1;
            crossed.bill += billed.amount;
        }
        totals.last = totals.last.max(now);
        totals.bill += billed.amount;
        totals.bill_of_one_call_max = totals.bill_of_one_call_max.max(billed.amount);
        totals.causes.add(parts);
        if billed.shared {
            totals.shared += billed.amount;
        }
        totals.by_position[closed.position as usize] += billed.amount;
        totals.tokens.count(billed.usage, closed.delivered);
        totals.prompt_cache_hits += u64::from(billed.usage.cache_read > 0);
        match closed.certainty {
            Certainty::Confirmed => {
                totals.ledger.confirmed += closed.amount;
                totals.ledger.confirmed_calls += 1;
            }
            Certainty::Presumed => {
                totals.ledger.presumed += closed.amount;
                totals.ledger.presumed_calls += 1;
            }
        }
        let limited = closed.ended == Ended::Failed(FailureClass::RateLimited);
        let failed = !limited && matches!(closed.ended, Ended::Failed(_) | Ended::TimedOut);
        match closed.ended {
            Ended::Delivered => totals.ends.delivered += 1,
            Ended::Failed(class) => {
                totals.ends.failed += 1;
                totals.call_failures[class as usize] += 1;
            }
            Ended::TimedOut => totals.ends.timed_out += 1,
            Ended::Cancelled => totals.ends.cancelled += 1,
            Ended::Discarded => totals.ends.discarded += 1,
        }
        demand(totals, &self.directory, about, |demand| {
            demand.calls += 1;
            demand.bill += billed.amount;
        });
        if self.directory.tags.is_used() && self.directory.tags.of(about.key, about.tags).next().is_some() {
            totals.tagged += billed.amount;
        }
        for supply in [row(&mut totals.called, closed.model.index()), row(&mut totals.deployments, closed.deployment.index())] {
            supply.calls += 1;
            supply.delivered += u64::from(closed.ended == Ended::Delivered);
            supply.rate_limited += u64::from(limited);
            supply.failed += u64::from(failed);
            supply.input_tokens += u64::from(billed.usage.input);
            supply.output_tokens += u64::from(billed.usage.output);
            supply.bill += billed.amount;
        }
        let bucket = self.series.at(now);
        bucket.add_cost(billed.amount, parts);
        bucket.rate_limited += u64::from(limited);
        parts
    }

    /// Counts a call that found no capacity.
    #[inline]
    pub fn short_of_capacity(&mut self, now: Time, is_turned_away: bool, wait: Span) {
        let bucket = self.series.at(now);
        bucket.turned_away += u64::from(is_turned_away);
        bucket.waits_ms += wait.0 / 1_000_000;
    }

    /// Counts a user's end, after so many requests beyond the first, which was sent at `sent_at`.
    pub fn user(&mut self, now: Time, outcome: &Outcome, retries: u32, sent_at: Time) {
        self.totals.users.get_or_insert_default().count(outcome, retries, now.since(sent_at));
    }

    #[inline]
    fn sent(&mut self, now: Time, position: Position, call: u32, worst_case: Money) {
        let totals = &mut self.totals;
        totals.calls[position as usize] += 1;
        totals.calls_of_one_request_max = totals.calls_of_one_request_max.max(call);
        totals.worst_case_of_one_call_max = totals.worst_case_of_one_call_max.max(worst_case);
        let bucket = self.series.at(now);
        bucket.calls += 1;
        bucket.retries += u64::from(matches!(position, Position::RetrySame | Position::RetryOther));
        bucket.fallbacks += u64::from(position == Position::Fallback);
    }

    #[inline]
    fn answered(&mut self, now: Time, about: &About, outcome: &Outcome) {
        let totals = &mut self.totals;
        totals.last = totals.last.max(now);
        totals.outcomes.count(outcome);
        let bucket = self.series.at(now);
        let (mut answered, mut other_model, mut refused, mut failed) = (0, 0, 0, 0);
        match outcome {
            Outcome::Served { model } => {
                (answered, other_model) = (1, u64::from(*model != about.model));
                bucket.served += 1;
            }
            Outcome::Cached | Outcome::Shared => {
                answered = 1;
                bucket.cached += 1;
            }
            Outcome::Refused(denial) => {
                refused = 1;
                bucket.refused += 1;
                totals.denials[denial_index(denial)] += 1;
            }
            Outcome::Failed(failure) => {
                failed = 1;
                bucket.failed += 1;
                totals.failures[failure.class as usize] += 1;
            }
            Outcome::Abandoned => bucket.abandoned += 1,
        }
        if answered == 1 {
            totals.latency.add(now.since(about.arrived));
        }
        totals.other_model += other_model;
        demand(totals, &self.directory, about, |demand| {
            demand.answered += answered;
            demand.other_model += other_model;
            demand.refused += refused;
            demand.failed += failed;
        });
    }

    #[cold]
    fn alerted(&mut self, alert: &Alert) {
        let incidents = &mut self.totals.incidents;
        *(match alert {
            Alert::BudgetLevel { .. } => &mut incidents.budget_alerts,
            Alert::FallbackShare { .. } => &mut incidents.fallback_alerts,
            Alert::Loop { .. } => &mut incidents.loop_alerts,
            Alert::Recovered { .. } => &mut incidents.recoveries,
        }) += 1;
    }
}

/// Counts a request in its rows: its model's, its key's, its team's, those of its tags. A key that nobody made has no row.
#[inline]
fn demand(totals: &mut Totals, directory: &Directory, about: &About, count: impl Fn(&mut Demand)) {
    count(row(&mut totals.asked, about.model.index()));
    if let Some(team) = directory.team_of.get(about.key.index()) {
        count(row(&mut totals.keys, about.key.index()));
        if let Some(team) = team {
            count(row(&mut totals.teams, team.index()));
        }
    }
    if directory.tags.is_used() {
        by_tag(&mut totals.tags, directory, about, &count);
    }
}

/// Apart from what every request counts in: most runs have no tags.
#[inline(never)]
fn by_tag(rows: &mut Vec<Demand>, directory: &Directory, about: &About, count: &dyn Fn(&mut Demand)) {
    directory.tags.of(about.key, about.tags).for_each(|tag| count(row(rows, tag)));
}

#[cfg(test)]
mod tests;
