//! Clients: how a row of traffic becomes a request, and when its sender loses patience. Knows nothing of what the gateway does with it.
//!
//! [`Sdk`] is what a client library does on its own, `session` the sessions in which each request waits for the answer
//! to the one before, and `callers` puts both to work.

pub(super) mod callers;
mod session;
mod tags;

use std::fmt;
use std::num::NonZeroU32;

pub use self::callers::{RETRIES_MAX, id};
pub use self::session::{Offer, OnFailure, Sessions, Step};

use self::tags::TagLists;
use super::fate::Fate;
use super::observe::Context;
use crate::gateway::Gateway;
use crate::gateway::command::{Command, CommandError, KeySpec, TeamSpec};
use crate::gateway::draw::{Purpose, below, bits};
use crate::gateway::features::Features;
use crate::gateway::id::{EndUserId, KeyId, ModelId, RequestId, Slot, TagId};
use crate::gateway::journal::Journal;
use crate::gateway::plan::Plan;
use crate::gateway::request::Request;
use crate::gateway::time::{Span, Time};
use crate::price::tokens::{Ratio, TokenCounts};
use crate::traffic::distribution::{Distribution, Draws};
use crate::traffic::sdk::Sdk;
use crate::traffic::trace::{Batch, LeftAfter, NameId, Row, Subject};

/// How rows become requests where they don't say it themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct Clients {
    /// The key of rows without one.
    pub default_key: Option<String>,
    /// The model of rows without one.
    pub default_model: Option<String>,
    /// What to do about keys that the variant doesn't know.
    pub unknown_key: UnknownKey,
    /// What to do about models that the variant doesn't know.
    pub unknown_model: UnknownModel,
    /// Whether rows that don't say so are streams.
    pub stream: bool,
    /// Output tokens of rows that don't record any. Such rows are counted.
    pub output_tokens_unrecorded: u32,
    /// How long after sending it first a client gives up on a request, retries included; the gateway is told.
    pub deadline: Option<Span>,
    /// How the tokens that rows record carry over to the models that answer.
    pub tokens: TokenCounts,
    /// What they do on their own.
    pub habits: Habits,
}

/// What clients do on their own, beyond sending what the traffic says.
#[derive(Debug, Clone, PartialEq)]
pub struct Habits {
    /// The library that clients call with, and its retries.
    pub sdk: Option<Sdk>,
    /// How long a client waits for the whole answer, retries included, where the traffic doesn't say: in nanoseconds. The gateway isn't told.
    pub patience: Option<Distribution>,
    /// How many in a million streams are left in the middle, where the traffic doesn't say: after a uniform share of their tokens.
    pub abandons_per_million: u32,
    /// Whether each request of a session waits for the answer to the one before, and what if there is none.
    pub closed_loop: Option<OnFailure>,
    /// The status of a refusal for want of budget.
    pub budget_status: u16,
}

/// What to do about a key in the traffic that the variant doesn't know.
#[derive(Debug, Clone, PartialEq)]
pub enum UnknownKey {
    /// Stop with an error that lists them.
    Error,
    /// Add it with these rules, in the team that the row names, which is added too if need be.
    Add(Box<KeySpec>),
    /// Use the default key.
    Default,
}

/// What to do about a model in the traffic that the variant doesn't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownModel {
    /// Stop with an error that lists them.
    Error,
    /// Use the default model.
    Default,
}

/// Why traffic can't be sent to a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientError {
    /// Keys that the variant doesn't know, and the first line of each.
    UnknownKeys(Vec<(String, u64)>),
    /// Models that the variant doesn't know, and the first line of each.
    UnknownModels(Vec<(String, u64)>),
    /// The row at this line has no key, and there is no default.
    NoKey(u64),
    /// The row at this line has no model, and there is no default.
    NoModel(u64),
    /// A key could not be added.
    Refused(String, CommandError),
}

impl Default for Clients {
    /// No defaults, errors for what is unknown, plain answers, no deadline; unrecorded outputs have 256 tokens (U).
    fn default() -> Self {
        Self {
            default_key: None,
            default_model: None,
            unknown_key: UnknownKey::Error,
            unknown_model: UnknownModel::Error,
            stream: false,
            output_tokens_unrecorded: 256,
            deadline: None,
            tokens: TokenCounts::default(),
            habits: Habits::default(),
        }
    }
}

impl Default for Habits {
    /// Nobody retries, leaves or waits unless the traffic has it so. Want of budget is 422, as LiteLLM has it since 1.109 (M; it was 429 from 1.86
    /// to 1.102, and 400 before).
    fn default() -> Self {
        Self { sdk: None, patience: None, abandons_per_million: 0, closed_loop: None, budget_status: 422 }
    }
}

impl Habits {
    /// When the client of `request` leaves that a row stands for: as the row says, or drawn.
    #[inline]
    pub fn left_after(&self, row: &Row, seed: u64, request: &Request, output_tokens: u32) -> Option<LeftAfter> {
        if row.left_after.is_some() || (self.patience.is_none() && self.abandons_per_million == 0) {
            return row.left_after;
        }
        let draw = |ordinal| bits(seed, request.id.0, Purpose::Patience, ordinal);
        if request.stream && below(draw(1), 1_000_000) < u64::from(self.abandons_per_million) {
            let tokens = 1 + below(draw(2), u64::from(output_tokens.saturating_sub(1)));
            return Some(LeftAfter::Tokens(tokens as u32));
        }
        let patience = self.patience.as_ref()?;
        let waited = patience.draw_whole(&mut Draws::new(seed, request.id.0, Purpose::Patience, 0));
        Some(LeftAfter::Waited(Span(waited)))
    }
}

/// The ids that a variant's gateway and plan have for the names in the traffic.
#[derive(Debug, Default)]
pub(super) struct Directory {
    default_key: Option<KeyId>,
    default_model: Option<ModelId>,
    models: Vec<ModelId>,
    keys: Vec<KeyId>,
    end_users: Vec<EndUserId>,
    tags: Vec<TagId>,
    tag_lists: TagLists,
    teams: Vec<String>,
    teams_known: Vec<String>,
}

impl Directory {
    /// The ids of the defaults. `setup` was carried out already.
    pub(super) fn new(clients: &Clients, plan: &Plan, gateway: &Gateway, setup: &[Command]) -> Self {
        let teams_known = setup.iter().filter_map(|command| match command {
            Command::PutTeam { name, .. } => Some(name.clone()),
            _ => None,
        });
        Self {
            default_key: clients.default_key.as_deref().and_then(|name| gateway.key(name)),
            default_model: clients.default_model.as_deref().and_then(|name| plan.find_model(name)),
            teams_known: teams_known.collect(),
            ..Self::default()
        }
    }

    /// Learns the names that first appear in `batch`, and checks that each of its rows can be sent. Gives the commands that add keys.
    pub(super) fn learn<J: Journal>(
        &mut self,
        batch: &Batch,
        clients: &Clients,
        plan: &Plan,
        gateway: &mut Gateway,
        (now, journal): (Time, &mut J),
    ) -> Result<Vec<Command>, ClientError> {
        let seen = &batch.first_seen;
        self.teams.extend(seen.teams.iter().cloned());
        self.end_users.extend(seen.end_users.iter().map(|name| gateway.end_user(now, name, journal)));
        self.tags.extend(seen.tags.iter().map(|name| gateway.tag(now, name, journal)));
        let mut unknown = Vec::new();
        for name in &seen.models {
            let id = match clients.unknown_model {
                UnknownModel::Error => plan.find_model(name),
                UnknownModel::Default => plan.find_model(name).or(self.default_model),
            };
            let line = || first_line(batch, |row| row.model, self.models.len());
            unknown.extend(id.is_none().then(|| (name.clone(), line())));
            self.models.push(id.unwrap_or(ModelId(u32::MAX)));
        }
        if !unknown.is_empty() {
            return Err(ClientError::UnknownModels(unknown));
        }
        let without = |is_without: fn(&Row) -> bool| batch.rows.iter().find(|row| is_without(row)).map(|row| row.line);
        if self.default_model.is_none()
            && let Some(line) = without(|row| row.model.is_none())
        {
            return Err(ClientError::NoModel(line));
        }
        if self.default_key.is_none()
            && let Some(line) = without(|row| row.key.is_none())
        {
            return Err(ClientError::NoKey(line));
        }
        Ok(self.additions(batch, clients, gateway))
    }

    /// Learns the keys that first appear in `batch`, once the commands of [`Self::learn`] were carried out.
    pub(super) fn learn_keys(&mut self, batch: &Batch, clients: &Clients, gateway: &Gateway) -> Result<(), ClientError> {
        let mut unknown = Vec::new();
        for name in &batch.first_seen.keys {
            let default = if clients.unknown_key == UnknownKey::Default { self.default_key } else { None };
            let id = gateway.key(name).or(default);
            let line = || first_line(batch, |row| row.key, self.keys.len());
            unknown.extend(id.is_none().then(|| (name.clone(), line())));
            self.keys.push(id.unwrap_or(KeyId(u32::MAX)));
        }
        if unknown.is_empty() { Ok(()) } else { Err(ClientError::UnknownKeys(unknown)) }
    }

    /// Learns the tags of the rows of `batch`, and tells of each list of them that is new.
    pub(super) fn learn_tags(&mut self, batch: &Batch, tell: impl FnMut(NameId, &[&str])) {
        self.tag_lists.learn(batch, tell);
    }

    /// The commands that add the unknown keys of a batch and their teams.
    fn additions(&mut self, batch: &Batch, clients: &Clients, gateway: &Gateway) -> Vec<Command> {
        let UnknownKey::Add(template) = &clients.unknown_key else { return Vec::new() };
        let mut commands = Vec::new();
        for (index, name) in (self.keys.len()..).zip(&batch.first_seen.keys) {
            if gateway.key(name).is_some() {
                continue;
            }
            let mut spec = KeySpec::clone(template);
            let first = batch.rows.iter().find(|row| row.key.is_some_and(|key| key.index() == index));
            if let Some(team) = first.and_then(|row| row.team).map(|team| self.teams[team.index()].clone()) {
                if !self.teams_known.contains(&team) {
                    commands.push(Command::PutTeam { name: team.clone(), spec: TeamSpec::default() });
                    self.teams_known.push(team.clone());
                }
                spec.team = Some(team);
            }
            commands.push(Command::PutKey { name: name.clone(), spec });
        }
        commands
    }

    /// As much of a row's request as the key of its answer depends on.
    #[inline]
    pub(super) fn ahead(&self, clients: &Clients, row: &Row) -> Option<Request> {
        Some(Request {
            key: row.key.map_or(self.default_key, |key| Some(self.keys[key.index()]))?,
            model: row.model.map_or(self.default_model, |model| Some(self.models[model.index()]))?,
            stream: row.stream.unwrap_or(clients.stream),
            fingerprint: row.fingerprint,
            ..Request::NONE
        })
    }

    /// The request that a row of a learnt batch stands for, and what observers and the world need to know about it.
    #[inline(always)]
    pub(super) fn request(&self, clients: &Clients, batch: &Batch, row: &Row, id: RequestId, slot: Slot, now: Time) -> (Request, Context) {
        let key = row.key.map_or(self.default_key, |key| Some(self.keys[key.index()]));
        let model = row.model.map_or(self.default_model, |model| Some(self.models[model.index()]));
        let tag = if row.tags.is_empty() { None } else { batch.tags(row).first() };
        let request = Request {
            id,
            slot,
            key: key.expect("rows without a key need a default, which `learn` has checked"),
            model: model.expect("rows without a model need a default, which `learn` has checked"),
            end_user: row.end_user.map(|user| self.end_users[user.index()]),
            tag: tag.map(|tag| self.tags[tag.index()]),
            input_tokens: row.input_tokens,
            input_tokens_max: row.input_tokens,
            max_tokens: row.max_tokens.and_then(NonZeroU32::new),
            choices: 1,
            stream: row.stream.unwrap_or(clients.stream),
            no_cache: false,
            no_store: false,
            fingerprint: row.fingerprint,
            requires: Features::NONE,
            deadline: clients.deadline.map(|span| now + span),
        };
        let context = Context {
            id,
            key: request.key,
            model: request.model,
            arrived_at: now,
            first_token_at: None,
            called: None,
            tags: self.tag_lists.of(row),
            session: row.session,
            output_tokens: row.output_tokens.unwrap_or(clients.output_tokens_unrecorded),
            output_is_recorded: row.output_tokens.is_some(),
        };
        (request, context)
    }
}

/// When a client leaves that waits for the open call (with the ratio that makes its output tokens of recorded ones), if it is to leave;
/// [`Time::MAX`] if that call is over before.
#[inline]
pub(super) fn leaves_at(left_after: LeftAfter, arrived_at: Time, open: Option<(&Fate, Ratio)>) -> Time {
    match left_after {
        LeftAfter::Waited(span) => arrived_at + span,
        LeftAfter::Tokens(tokens) => open.map_or(Time::MAX, |(fate, ratio)| fate.made_at(ratio.of(tokens))),
    }
}

fn first_line(batch: &Batch, name: fn(&Row) -> Option<NameId>, index: usize) -> u64 {
    batch.rows.iter().find(|row| name(row).is_some_and(|id| id.index() == index)).map_or(0, |row| row.line)
}

impl ClientError {
    /// The first row at fault: its line, and what it has that it may not have, or that it lacks.
    pub fn first(&self) -> Option<(u64, Subject, &str)> {
        match self {
            Self::UnknownKeys(names) => names.first().map(|(name, line)| (*line, Subject::Key, name.as_str())),
            Self::UnknownModels(names) => names.first().map(|(name, line)| (*line, Subject::Model, name.as_str())),
            Self::NoKey(line) => Some((*line, Subject::Key, "")),
            Self::NoModel(line) => Some((*line, Subject::Model, "")),
            Self::Refused(..) => None,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[(String, u64)]| {
            let shown: Vec<_> = names.iter().take(10).map(|(name, line)| format!("`{name}` (first in line {line})")).collect();
            let more = names.len().saturating_sub(shown.len());
            shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
        };
        match self {
            Self::UnknownKeys(names) => write!(f, "the traffic has keys that the configuration doesn't have: {}", list(names)),
            Self::UnknownModels(names) => write!(f, "the traffic asks for models that the configuration doesn't have: {}", list(names)),
            Self::NoKey(line) => write!(f, "the request in line {line} has no key, and no default key is set"),
            Self::NoModel(line) => write!(f, "the request in line {line} names no model, and no default model is set"),
            Self::Refused(name, error) => write!(f, "`{name}` could not be set up: {error:?}"),
        }
    }
}

impl std::error::Error for ClientError {}
