//! What a row of LiteLLM's logs says: `LiteLLM_SpendLogs` and the flat `StandardLoggingPayload`. Decides which of its many fields name the
//! model, the key, the deployment and the outcome of a request; how a file holds them is decided elsewhere.
//!
//! Source of the fields: litellm 1.109.1, `proxy/schema.prisma` and `types/utils.py` (P).

use std::borrow::Cow;

use serde::Deserialize;

use super::column::{self, Cell, Clock, Problem};
use super::row::{LeftAfter, NameId, Names, Recorded, Row};
use crate::gateway::id::Registry;
use crate::gateway::request::Fingerprint;
use crate::gateway::time::Time;

/// A field whose meaning depends on other fields of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Model,
    ModelGroup,
    ModelId,
    ApiBase,
    ApiKey,
    TeamId,
    EndedAt,
    FirstTokenAt,
    OutputTokens,
    Status,
    CacheKey,
    Tags,
    Metadata,
    ErrorInformation,
    ModelParameters,
}

impl Field {
    /// Whether the value is JSON, as an object or as text.
    pub(super) const fn is_json(self) -> bool {
        matches!(self, Self::Tags | Self::Metadata | Self::ErrorInformation | Self::ModelParameters)
    }
}

/// The fields of one row, until it is whole. Used again for the next row, so that its texts are allocated once.
#[derive(Debug, Default)]
pub(super) struct Log {
    is_set: bool,
    texts: Texts,
    ended_at: Option<Time>,
    first_token_at: Option<Time>,
    output_tokens: Option<u32>,
    failed: Option<bool>,
    tags: Vec<String>,
    metadata: Metadata,
    error: Option<ErrorInformation>,
    max_tokens: Option<u32>,
}

#[derive(Debug, Default)]
struct Texts {
    model: String,
    model_group: String,
    model_id: String,
    api_base: String,
    api_key: String,
    team_id: String,
    cache_key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    user_api_key_alias: Option<String>,
    user_api_key_hash: Option<String>,
    user_api_key_team_id: Option<String>,
    user_api_key_team_alias: Option<String>,
    status: Option<String>,
    error_information: Option<ErrorInformation>,
    usage_object: Option<Usage>,
    attempted_retries: Option<u32>,
    attempted_fallbacks: Option<u32>,
    original_model_group: Option<String>,
    client_disconnected: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorInformation {
    /// A status as text; empty or `None` where the error has none.
    error_code: Option<serde_json::Value>,
    error_class: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    cache_read_input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<u32>,
    cache_creation_tokens: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ModelParameters {
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
}

/// What a finished row is written to.
pub(super) struct Target<'t> {
    pub row: &'t mut Row,
    pub recorded: &'t mut Recorded,
    pub fingerprint: &'t mut Option<Fingerprint>,
    pub names: &'t mut Names,
    /// The arena of the batch.
    pub tags: &'t mut Vec<NameId>,
}

impl Log {
    /// Forgets the row before.
    pub(super) fn clear(&mut self) {
        if !self.is_set {
            return;
        }
        let Texts { model, model_group, model_id, api_base, api_key, team_id, cache_key } = &mut self.texts;
        [model, model_group, model_id, api_base, api_key, team_id, cache_key].into_iter().for_each(String::clear);
        let (texts, mut tags) = (std::mem::take(&mut self.texts), std::mem::take(&mut self.tags));
        tags.clear();
        *self = Self { texts, tags, ..Self::default() };
    }

    /// Takes one value; the builder has left out those that are absent.
    pub(super) fn set(&mut self, field: Field, name: &str, cell: &Cell<'_>) -> Result<(), Problem> {
        self.is_set = true;
        let texts = &mut self.texts;
        let mut put = |text: fn(&mut Texts) -> &mut String| column::text(name, cell).map(|value| text(texts).push_str(&value));
        match field {
            Field::Model => put(|texts| &mut texts.model)?,
            Field::ModelGroup => put(|texts| &mut texts.model_group)?,
            Field::ModelId => put(|texts| &mut texts.model_id)?,
            Field::ApiBase => put(|texts| &mut texts.api_base)?,
            Field::ApiKey => put(|texts| &mut texts.api_key)?,
            Field::TeamId => put(|texts| &mut texts.team_id)?,
            Field::CacheKey => put(|texts| &mut texts.cache_key)?,
            Field::EndedAt => self.ended_at = Some(column::time(name, cell, Clock::DateOrSeconds, Time(0))?),
            Field::FirstTokenAt => self.first_token_at = Some(column::time(name, cell, Clock::DateOrSeconds, Time(0))?),
            Field::OutputTokens => self.output_tokens = Some(column::tokens(name, cell)?),
            Field::Status => self.failed = Some(failed(name, &column::text(name, cell)?)?),
            Field::Tags => self.tags = json::<Option<Vec<String>>>(name, cell)?.unwrap_or_default(),
            Field::Metadata => self.metadata = json::<Option<Metadata>>(name, cell)?.unwrap_or_default(),
            Field::ErrorInformation => self.error = json(name, cell)?,
            Field::ModelParameters => {
                let parameters = json::<Option<ModelParameters>>(name, cell)?.unwrap_or_default();
                self.max_tokens = parameters.max_completion_tokens.or(parameters.max_tokens);
            }
        }
        Ok(())
    }

    /// Writes what the row says, once all its fields are there.
    pub(super) fn settle(&self, target: Target<'_>) -> Result<(), Problem> {
        if !self.is_set {
            return Ok(());
        }
        let Target { row, recorded, fingerprint, names, tags } = target;
        let (texts, metadata) = (&self.texts, &self.metadata);
        let fell_back = metadata.attempted_fallbacks.is_some_and(|fallbacks| fallbacks > 0);
        let original = metadata.original_model_group.as_deref().filter(|_| fell_back);
        row.model = named(&mut names.models, [original, Some(&texts.model_group), Some(&texts.model)]);
        let (alias, hash) = (metadata.user_api_key_alias.as_deref(), metadata.user_api_key_hash.as_deref());
        row.key = named(&mut names.keys, [alias, Some(&texts.api_key), hash]);
        let (alias, id) = (metadata.user_api_key_team_alias.as_deref(), metadata.user_api_key_team_id.as_deref());
        row.team = named(&mut names.teams, [alias, Some(&texts.team_id), id]);
        let first_tag = tags.len() as u32;
        // A `;` separates tags in gwsim's own format, and LiteLLM tags requests with user agents, which are full of them.
        tags.extend(self.tags.iter().filter(|tag| !tag.is_empty()).map(|tag| NameId::new(names.tags.intern(&tag.replace(';', ",")))));
        (row.tags.start, row.tags.end) = (first_tag, tags.len() as u32);
        row.max_tokens = row.max_tokens.or(self.max_tokens);
        if !matches!(texts.cache_key.as_str(), "" | "Cache OFF" | "None") {
            *fingerprint = Some(Fingerprint::of_text(&texts.cache_key));
        }
        let answered_from_cache = recorded.cache_hit == Some(true);
        if !answered_from_cache && !texts.model.is_empty() {
            recorded.deployment = Some(NameId::new(names.deployments.intern(&self.deployment())));
        }
        self.settle_times(row, recorded, answered_from_cache)?;
        self.settle_outcome(row, recorded);
        Ok(())
    }

    /// The deployment by what tells it apart: LiteLLM's id of it, or its address.
    fn deployment(&self) -> Cow<'_, str> {
        let Texts { model, model_id, api_base, .. } = &self.texts;
        match (model_id.as_str(), api_base.as_str()) {
            ("", "") => Cow::Borrowed(model),
            ("", base) => Cow::Owned(format!("{model}@{base}")),
            (id, _) => Cow::Owned(format!("{model}#{id}")),
        }
    }

    fn settle_times(&self, row: &mut Row, recorded: &mut Recorded, answered_from_cache: bool) -> Result<(), Problem> {
        let before = |what: &str| {
            let hint = "the times of a request go startTime, completionStartTime, endTime; was the export shifted or mended?";
            Problem::row(super::Fault::Value, format!("the request {what} before it starts"), hint)
        };
        if let Some(ended_at) = self.ended_at {
            if ended_at < row.at {
                return Err(before("ends"));
            }
            recorded.duration = recorded.duration.or(Some(ended_at.since(row.at)));
        }
        let (Some(first), Some(ended)) = (self.first_token_at, self.ended_at) else { return Ok(()) };
        if first < row.at {
            return Err(before("has its first token"));
        }
        // LiteLLM sets both to the same instant where there was no stream, and where there was no answer.
        if first < ended {
            recorded.ttft = Some(first.since(row.at));
            row.stream = row.stream.or(Some(true));
        } else if self.has_failed() == Some(false) && !answered_from_cache {
            row.stream = row.stream.or(Some(false));
        }
        Ok(())
    }

    fn settle_outcome(&self, row: &mut Row, recorded: &mut Recorded) {
        let metadata = &self.metadata;
        let error = self.error.as_ref().or(metadata.error_information.as_ref());
        recorded.status = match self.has_failed() {
            Some(true) => Some(error.map_or(500, ErrorInformation::status)),
            Some(false) => Some(200),
            None => None,
        };
        // A failure has 0 tokens for want of an answer, which is not an answer of 0 tokens.
        row.output_tokens = self.output_tokens.filter(|tokens| *tokens > 0 || self.has_failed() != Some(true));
        if let Some(usage) = &metadata.usage_object {
            let prompt = usage.prompt_tokens_details.as_ref();
            recorded.cached_tokens = prompt.and_then(|details| details.cached_tokens).or(usage.cache_read_input_tokens);
            recorded.cache_write_tokens = prompt.and_then(|details| details.cache_creation_tokens).or(usage.cache_creation_input_tokens);
            recorded.reasoning_tokens = usage.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
        }
        let (retries, fallbacks) = (metadata.attempted_retries, metadata.attempted_fallbacks);
        if retries.is_some() || fallbacks.is_some() {
            recorded.attempts = Some(1u32.saturating_add(retries.unwrap_or(0)).saturating_add(fallbacks.unwrap_or(0)));
            recorded.fallbacks = fallbacks;
        }
        if metadata.client_disconnected == Some(true) {
            let tokens = || LeftAfter::Tokens(self.output_tokens.unwrap_or(0));
            row.left_after = Some(recorded.duration.map_or_else(tokens, LeftAfter::Waited));
        }
    }

    fn has_failed(&self) -> Option<bool> {
        self.failed.or_else(|| failed("metadata", self.metadata.status.as_deref()?).ok())
    }
}

impl ErrorInformation {
    /// The HTTP status: the one given, or that of the class, or 500.
    fn status(&self) -> u16 {
        let code = match &self.error_code {
            Some(serde_json::Value::Number(number)) => number.as_u64().and_then(|code| u16::try_from(code).ok()),
            Some(serde_json::Value::String(text)) => text.trim().parse().ok(),
            _ => None,
        };
        let of_class = || match self.error_class.as_deref() {
            Some("Timeout" | "APITimeoutError") => 408,
            Some("RateLimitError" | "RouterRateLimitError") => 429,
            Some("AuthenticationError") => 401,
            Some("BadRequestError" | "ContextWindowExceededError" | "ContentPolicyViolationError") => 400,
            _ => 500,
        };
        code.filter(|code| (100..=599).contains(code)).unwrap_or_else(of_class)
    }
}

/// The first of the names that is one.
fn named<const N: usize>(registry: &mut Registry, names: [Option<&str>; N]) -> Option<NameId> {
    let name = names.into_iter().flatten().find(|name| !name.is_empty())?;
    Some(NameId::new(registry.intern(name)))
}

fn failed(name: &str, status: &str) -> Result<bool, Problem> {
    match status {
        "success" => Ok(false),
        "failure" => Ok(true),
        other => {
            let what = format!("`{name}` is neither success nor failure: {}", super::error::quoted(other));
            Err(Problem::value(name, what, "these are the two that LiteLLM writes"))
        }
    }
}

fn json<'c, T: Deserialize<'c>>(name: &str, cell: &'c Cell<'_>) -> Result<T, Problem> {
    let hint = "an export of a jsonb column holds JSON text: quoted in CSV, each quote in it doubled";
    let Cell::Text(text) = cell else {
        return Err(Problem::value(name, format!("`{name}` is not JSON"), hint));
    };
    serde_json::from_str(text).map_err(|error| Problem::value(name, format!("`{name}` is not what LiteLLM writes: {error}"), hint))
}
