//! The journal of a live gateway as a trace: what arrived, and what came of it. Decides how the facts of a request become a row; knows no file.
//!
//! A row is given in the order of arrivals once its request is over, so rows wait for the longest request in flight: about 200 bytes each.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Reader;
use super::builder::Builder;
use super::error::{Fault, TraceError};
use super::litellm::Target;
use super::row::{LeftAfter, NameId, Recorded};
use crate::gateway::Gateway;
use crate::gateway::id::{DeploymentId, Map, ModelId, Registry, RequestId, TeamId};
use crate::gateway::in_flight::{Event, Hit, Wake};
use crate::gateway::journal::{CallClosed, Certainty, Denial, Ended, Fact, Outcome};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::request::{Fingerprint, Request};
use crate::gateway::time::Time;
use crate::journal::{self, JournalError, Turn};

/// Answers whose length is remembered for those who get them from the response cache.
const ANSWERS_MAX: usize = 1 << 20;

/// Reads one row a request.
pub(super) struct Journal {
    folder: PathBuf,
    reader: journal::Reader,
    /// Follows commands, names and plans only: who the numbers in requests stand for.
    gateway: Gateway,
    plan: Arc<Plan>,
    /// Requests that have arrived, oldest first, and the number of the first of them.
    open: VecDeque<Open>,
    given: u64,
    numbers: Map<RequestId, u64>,
    /// What the answers were that may be in the response cache.
    answers: Map<Fingerprint, Usage>,
    is_over: bool,
}

/// What is known of a request so far.
struct Open {
    request: Request,
    at: Time,
    team: Option<TeamId>,
    recorded: Recorded,
    deployment: Option<DeploymentId>,
    /// The group that was called last.
    group: ModelId,
    calls: u32,
    fallbacks: u32,
    cost: Money,
    /// Of the call that answered.
    usage: Option<Usage>,
    /// The output is known to be whole, or what was seen of it is all there was.
    has_output: bool,
    left: Option<LeftAfter>,
    is_over: bool,
}

impl Journal {
    /// Opens a journal at its oldest checkpoint. Requests that were in flight then are not given: their arrivals are not there.
    pub(super) fn open(folder: &Path) -> Result<Self, TraceError> {
        let (checkpoint, reader) = journal::Reader::open(folder, None).map_err(|error| told(folder, &error))?;
        let journal::Checkpoint { gateway, plan, .. } = checkpoint;
        Ok(Self {
            folder: folder.to_owned(),
            reader,
            gateway,
            plan,
            open: VecDeque::new(),
            given: 0,
            numbers: Map::default(),
            answers: Map::default(),
            is_over: false,
        })
    }

    /// Reads a turn. `false` at the end.
    fn turn(&mut self) -> Result<bool, TraceError> {
        let Self { folder, reader, gateway, plan, open, given, numbers, answers, is_over } = self;
        let Some(turn) = reader.next_turn().map_err(|error| told(folder, &error))? else {
            *is_over = true;
            return Ok(false);
        };
        follow(gateway, plan, turn);
        for record in &turn.records {
            if let Fact::Told(Event::Arrived(request)) = &record.fact {
                numbers.insert(request.id, *given + open.len() as u64);
                open.push_back(Open::new(*request, turn.at, gateway.directory().team_of(request.key)));
                continue;
            }
            if let Fact::Recovered { calls, .. } = &record.fact {
                // Nobody saw their ends.
                for call in calls {
                    if let Some(number) = numbers.get(&call.request) {
                        open[(number - *given) as usize].cost += call.amount;
                    }
                }
                open.iter_mut().for_each(|open| open.is_over = true);
                numbers.clear();
                continue;
            }
            let Some(number) = record.request.and_then(|id| numbers.get(&id).copied()) else { continue };
            let request = &mut open[(number - *given) as usize];
            request.learn(turn.at, &record.fact, answers);
            if request.is_over {
                let caches = plan.models.get(request.request.model.index()).is_some_and(|model| model.cache.is_some());
                if let (true, true, Some(usage)) = (caches, request.has_output, request.usage) {
                    if answers.len() >= ANSWERS_MAX {
                        answers.clear();
                    }
                    answers.insert(request.request.fingerprint, usage);
                }
                numbers.remove(&request.request.id);
            }
        }
        Ok(true)
    }
}

impl Reader for Journal {
    fn row(&mut self, builder: &mut Builder) -> Result<bool, TraceError> {
        loop {
            let may_give = self.open.front().is_some_and(|open| open.is_over || self.is_over);
            if may_give && let Some(open) = self.open.pop_front() {
                self.given += 1;
                let line = open.request.id.0;
                let added = builder.add(line, |target| open.fill(target, &self.plan, &self.gateway));
                added.map_err(|problem| TraceError::of_row(problem.fault, &self.folder, line, problem.what, problem.hint))?;
                return Ok(true);
            }
            if self.is_over || !self.turn()? && self.open.is_empty() {
                return Ok(false);
            }
        }
    }
}

/// What changes who the numbers in requests stand for.
fn follow(gateway: &mut Gateway, plan: &mut Arc<Plan>, turn: &Turn) {
    for record in &turn.records {
        match &record.fact {
            // It was carried out there, on the same state.
            Fact::Commanded(command) => drop(gateway.apply(plan, turn.at, command.clone(), &mut ())),
            Fact::Named { kind: crate::gateway::journal::NameKind::EndUser, name } => drop(gateway.end_user(turn.at, name, &mut ())),
            Fact::Named { kind: crate::gateway::journal::NameKind::Tag, name } => drop(gateway.tag(turn.at, name, &mut ())),
            Fact::PlanAdopted(_) => {
                if let Some(new) = &turn.plan {
                    *plan = Arc::new((**new).clone());
                    gateway.adopt(plan, turn.at, &mut ());
                }
            }
            _ => {}
        }
    }
    // Nobody waits here who could be set free.
    gateway.ready.clear();
}

impl Open {
    fn new(request: Request, at: Time, team: Option<TeamId>) -> Self {
        Self {
            request,
            at,
            team,
            recorded: Recorded::default(),
            deployment: None,
            group: request.model,
            calls: 0,
            fallbacks: 0,
            cost: Money::ZERO,
            usage: None,
            has_output: false,
            left: None,
            is_over: false,
        }
    }

    /// Takes a fact about it.
    fn learn(&mut self, now: Time, fact: &Fact, answers: &Map<Fingerprint, Usage>) {
        match fact {
            Fact::Told(Event::Looked(Some(hit)) | Event::Released(Wake::Served(hit))) => self.hit(*hit),
            Fact::Told(Event::ClientLeft { delivered, .. }) if self.left.is_none() && self.recorded.status.is_none() => {
                let waited = now.since(self.at);
                self.left = Some(if *delivered > 0 { LeftAfter::Tokens(*delivered) } else { LeftAfter::Waited(waited) });
                self.recorded.duration = Some(waited);
            }
            Fact::CacheHit { .. } => {
                if let Some(usage) = answers.get(&self.request.fingerprint).filter(|_| self.usage.is_none()) {
                    (self.usage, self.has_output) = (Some(*usage), true);
                }
            }
            Fact::Called(called) => {
                self.calls += 1;
                self.fallbacks += u32::from(called.model != self.group);
                (self.group, self.deployment) = (called.model, Some(called.deployment));
            }
            Fact::Opened { .. } => self.recorded.ttft = self.recorded.ttft.or(Some(now.since(self.at))),
            Fact::CallClosed(closed) => self.call(closed),
            Fact::Corrected { presumed, confirmed, .. } => self.cost += *confirmed - *presumed,
            Fact::Answered { outcome } => {
                self.recorded.duration = Some(now.since(self.at));
                self.recorded.cache_hit = Some(matches!(outcome, Outcome::Cached | Outcome::Shared));
                self.recorded.status = status(outcome);
            }
            Fact::Closed => self.is_over = true,
            _ => {}
        }
    }

    fn hit(&mut self, hit: Hit) {
        (self.usage, self.has_output, self.deployment) = (Some(hit.usage), true, Some(hit.deployment));
    }

    fn call(&mut self, closed: &CallClosed) {
        self.cost += closed.amount;
        if matches!(closed.ended, Ended::Delivered | Ended::Discarded) {
            self.usage = Some(closed.usage);
            // What the provider has counted is whole; what is presumed is a bound.
            self.has_output = closed.certainty == Certainty::Confirmed;
        }
    }

    fn fill(&self, target: Target<'_>, plan: &Plan, gateway: &Gateway) {
        let Target { row, recorded, fingerprint, names, tags } = target;
        let (request, directory) = (&self.request, gateway.directory());
        let name = |registry: &mut Registry, name: Option<&String>| name.map(|name| NameId::new(registry.intern(name)));
        row.at = self.at;
        row.model = name(&mut names.models, plan.models.get(request.model.index()).map(|model| &model.name));
        row.key = name(&mut names.keys, directory.key_names().get(request.key.index()));
        row.team = name(&mut names.teams, self.team.and_then(|team| directory.team_names().get(team.index())));
        row.end_user = name(&mut names.end_users, request.end_user.and_then(|id| directory.end_user_names().get(id.index())));
        if let Some(tag) = request.tag.and_then(|id| directory.tag_names().get(id.index())) {
            tags.push(NameId::new(names.tags.intern(&tag.replace(';', ","))));
            row.tags.end = tags.len() as u32;
        }
        row.input_tokens = request.input_tokens;
        row.max_tokens = request.max_tokens.map(std::num::NonZeroU32::get);
        row.stream = Some(request.stream);
        row.left_after = self.left;
        *fingerprint = Some(request.fingerprint);
        *recorded = self.recorded;
        recorded.cost = Some(self.cost.at_least_zero());
        recorded.attempts = Some(self.calls).filter(|calls| *calls > 0);
        recorded.fallbacks = Some(self.fallbacks).filter(|_| self.calls > 0);
        let deployment = self.deployment.and_then(|id| plan.deployments.get(id.index())).map(|deployment| &deployment.name);
        recorded.deployment = name(&mut names.deployments, deployment.filter(|_| recorded.cache_hit != Some(true)));
        if let Some(usage) = self.usage {
            // The provider has counted; the gateway only estimates before.
            row.input_tokens = usage.input;
            recorded.cached_tokens = Some(usage.cache_read);
            recorded.cache_write_tokens = Some(usage.cache_write + usage.cache_write_1h);
            if self.has_output {
                row.output_tokens = Some(usage.output);
                recorded.reasoning_tokens = Some(usage.reasoning);
            }
        }
    }
}

/// The status that its client saw. A budget's is the usual one: which one it had is a setting of the server.
fn status(outcome: &Outcome) -> Option<u16> {
    match outcome {
        Outcome::Served { .. } | Outcome::Cached | Outcome::Shared => Some(200),
        Outcome::Failed(failure) => Some(failure.status).filter(|status| (100..600).contains(status)).or(Some(502)),
        Outcome::Abandoned => None,
        Outcome::Refused(denial) => Some(match denial {
            Denial::UnknownKey | Denial::Deleted | Denial::Blocked | Denial::Expired => 401,
            Denial::ModelNotAllowed => 403,
            Denial::UnknownModel => 404,
            Denial::Limited(_) | Denial::QueueFull(_) | Denial::Loop | Denial::Budget(_) => 429,
            Denial::TooLong => 400,
            Denial::CannotExpress => 422,
            Denial::DeadlinePassed => 408,
        }),
    }
}

fn told(folder: &Path, error: &JournalError) -> TraceError {
    TraceError::of_file(Fault::File, folder, error.to_string(), "`gwsim verify` says how far the journal is good")
}
