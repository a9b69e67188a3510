//! What a request wishes beside its content: model, stream, limits, who it is for, and which words it uses. Measures nothing.

use std::num::NonZeroU32;

use super::super::json::{Kind, Value};
use super::super::{Dialect, Endpoint, features};
use super::Malformed;
use super::fields::{Field, Fields};
use crate::gateway::features::Features;
use crate::gateway::plan::ServiceClass;

/// What was found.
#[derive(Debug)]
pub(super) struct Wishes {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) max_tokens: Option<NonZeroU32>,
    pub(super) choices: u16,
    pub(super) end_user: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) no_cache: bool,
    pub(super) no_store: bool,
    pub(super) unseen_input: bool,
    pub(super) used: Features,
}

/// The names under which an endpoint takes a limit on output tokens.
pub(super) const fn limit_names(endpoint: Endpoint) -> &'static [&'static str] {
    match endpoint {
        Endpoint::ChatCompletions => &["max_tokens", "max_completion_tokens"],
        Endpoint::Completions | Endpoint::Messages => &["max_tokens"],
        Endpoint::Responses => &["max_output_tokens"],
        Endpoint::Embeddings | Endpoint::CountTokens => &[],
    }
}

pub(super) fn read(endpoint: Endpoint, fields: &Fields<'_>) -> Result<Wishes, Malformed> {
    if endpoint == Endpoint::Responses && boolean(fields, Field::Background)? {
        return Err(Malformed::field("background", "is true, but what a response costs after its answer is not seen here: leave it out"));
    }
    let metadata = object(fields, Field::Metadata)?;
    let cache = object(fields, Field::Cache)?;
    let cache_wish = |key: &str| {
        let wish = cache.and_then(|cache| cache.some(key));
        wish.map_or(Ok(false), |wish| wish.boolean().ok_or_else(|| Malformed::kind(format!("cache.{key}"), wish, "true or false")))
    };
    Ok(Wishes {
        model: model(fields)?,
        stream: endpoint.can_stream() && boolean(fields, Field::Stream)?,
        include_usage: include_usage(endpoint, fields)?,
        max_tokens: max_tokens(endpoint, fields)?,
        choices: choices(endpoint, fields)?,
        end_user: end_user(fields, metadata)?,
        tags: tags(fields, metadata)?,
        no_cache: cache_wish("no-cache")?,
        no_store: cache_wish("no-store")?,
        unseen_input: unseen_input(endpoint, fields),
        used: used(endpoint, fields)?,
    })
}

fn model(fields: &Fields<'_>) -> Result<String, Malformed> {
    let value = fields.get(Field::Model).ok_or_else(|| Malformed::field("model", "is missing"))?;
    let model = value.string().ok_or_else(|| Malformed::kind("model", value, "a string"))?;
    if model.is_empty() || model.chars().any(char::is_control) {
        return Err(Malformed::field("model", "must be a name without control characters"));
    }
    Ok(model.into_owned())
}

fn include_usage(endpoint: Endpoint, fields: &Fields<'_>) -> Result<bool, Malformed> {
    // The other endpoints tell usage in every stream.
    if !matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions) {
        return Ok(true);
    }
    let options = object(fields, Field::StreamOptions)?;
    let wish = options.and_then(|options| options.some("include_usage"));
    wish.map_or(Ok(false), |wish| wish.boolean().ok_or_else(|| Malformed::kind("stream_options.include_usage", wish, "true or false")))
}

fn max_tokens(endpoint: Endpoint, fields: &Fields<'_>) -> Result<Option<NonZeroU32>, Malformed> {
    let names = limit_names(endpoint);
    if names.is_empty() {
        return Ok(Some(NonZeroU32::MIN));
    }
    let mut found: Option<(&str, NonZeroU32)> = None;
    for field in [Field::MaxTokens, Field::MaxCompletionTokens, Field::MaxOutputTokens] {
        let (name, Some(value)) = (field.name(), fields.get(field)) else { continue };
        if !names.contains(&name) {
            continue;
        }
        let number = count(name, value, u32::MAX)?;
        if let Some((other, _)) = found {
            return Err(Malformed::field(name, format_args!("and `{other}` can't both be set")));
        }
        found = Some((name, NonZeroU32::new(number).expect("a count is at least 1")));
    }
    if found.is_none() && endpoint == Endpoint::Messages {
        return Err(Malformed::field("max_tokens", "is missing: the Messages API requires it"));
    }
    Ok(found.map(|(_, number)| number))
}

fn choices(endpoint: Endpoint, fields: &Fields<'_>) -> Result<u16, Malformed> {
    if !matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions) {
        return Ok(1);
    }
    let read = |field: Field| fields.get(field).map_or(Ok(1), |value| count(field.name(), value, u32::from(u16::MAX)));
    let mut choices = read(Field::N)?;
    if endpoint == Endpoint::Completions {
        let prompts = match fields.get(Field::Prompt) {
            // A list of numbers is one prompt as tokens.
            Some(list) if list.kind() == Kind::Array && list.items().next().is_some_and(|first| first.kind() != Kind::Number) => list.items().count(),
            _ => 1,
        };
        choices = choices.max(read(Field::BestOf)?).saturating_mul(u32::try_from(prompts).unwrap_or(u32::MAX));
    }
    u16::try_from(choices).map_err(|_| Malformed::field("n", format_args!("asks for {choices} answers in all; {} is the most", u16::MAX)))
}

fn end_user(fields: &Fields<'_>, metadata: Option<Value<'_>>) -> Result<Option<String>, Malformed> {
    let of_metadata = metadata.and_then(|metadata| metadata.some("user_id")).map(|value| ("metadata.user_id", value));
    let named = |field: Field| fields.get(field).map(|value| (field.name(), value));
    let Some((param, value)) = named(Field::User).or_else(|| named(Field::SafetyIdentifier)).or(of_metadata) else { return Ok(None) };
    let name = value.string().ok_or_else(|| Malformed::kind(param, value, "a string"))?;
    Ok(Some(name.into_owned()).filter(|name| !name.is_empty()))
}

/// The most tags of one request: each is held against those before it.
const TAGS_MAX: usize = 64;

fn tags(fields: &Fields<'_>, metadata: Option<Value<'_>>) -> Result<Vec<String>, Malformed> {
    let own = fields.get(Field::Tags).map(|value| ("tags", value));
    // A string under `tags` is the provider's metadata, as any other.
    let of_metadata = metadata.and_then(|metadata| metadata.some("tags")).filter(|value| value.kind() == Kind::Array);
    let mut tags: Vec<String> = Vec::new();
    for (param, list) in own.into_iter().chain(of_metadata.map(|value| ("metadata.tags", value))) {
        if list.kind() != Kind::Array {
            return Err(Malformed::kind(param, list, "a list of strings"));
        }
        for tag in list.items() {
            let tag = tag.string().ok_or_else(|| Malformed::kind(param, tag, "strings only"))?;
            if tags.iter().any(|known| *known == tag) {
                continue;
            }
            if tags.len() == TAGS_MAX {
                return Err(Malformed::field(param, format_args!("has more than {TAGS_MAX} tags")));
            }
            tags.push(tag.into_owned());
        }
    }
    Ok(tags)
}

/// Whether the model may be billed for input that is not in the request, or for the same more than once.
fn unseen_input(endpoint: Endpoint, fields: &Fields<'_>) -> bool {
    let everywhere = [Field::WebSearchOptions, Field::PreviousResponseId, Field::Conversation, Field::McpServers, Field::Container];
    let stored_prompt = endpoint == Endpoint::Responses && fields.has(Field::Prompt);
    // Anthropic's server may have the model sum up the conversation before it answers: it reads it twice.
    let edits = fields.get(Field::ContextManagement).and_then(|context| context.some("edits")).into_iter().flat_map(Value::items);
    let is_summed_up = |edit: Value<'_>| edit.get("type").and_then(Value::string).is_some_and(|kind| kind.starts_with("compact"));
    stored_prompt || edits.into_iter().any(is_summed_up) || everywhere.into_iter().any(|field| fields.has(field))
}

/// The words that it uses, those within its content aside.
fn used(endpoint: Endpoint, fields: &Fields<'_>) -> Result<Features, Malformed> {
    let of_endpoint = match endpoint {
        Endpoint::ChatCompletions => features::CHAT,
        Endpoint::Completions => features::COMPLETIONS,
        Endpoint::Embeddings => features::EMBEDDINGS,
        Endpoint::Responses => features::RESPONSES,
        Endpoint::Messages => features::MESSAGES,
        Endpoint::CountTokens => features::COUNT_TOKENS,
    };
    let is_on = |field: Field| fields.get(field).is_some_and(|value| value.boolean() != Some(false) && value.number() != Some(0.0));
    let has_entries = |field: Field| fields.get(field).is_some_and(|value| value.entries().next().is_some());
    let thinks = fields.get(Field::Thinking).is_some_and(|thinking| thinking.get("type").is_none_or(|kind| !kind.is("disabled")));
    let speaks = fields.get(Field::Modalities).is_some_and(|list| list.items().any(|item| item.is("audio")));
    let answers = endpoint == Endpoint::ChatCompletions && fields.get(Field::N).is_some_and(|n| n.whole() != Some(1));
    let flags = [
        (fields.has(Field::ParallelToolCalls), features::PARALLEL_TOOLS),
        (answers, features::CHOICES),
        (is_on(Field::Logprobs) || is_on(Field::TopLogprobs), features::LOGPROBS),
        (speaks || fields.has(Field::Audio), features::AUDIO),
        (fields.has(Field::Prediction), features::PREDICTION),
        (fields.has(Field::ReasoningEffort) || fields.has(Field::Reasoning) || thinks, features::REASONING),
        (fields.has(Field::Functions) || fields.has(Field::FunctionCall), features::FUNCTIONS),
        (has_entries(Field::LogitBias) || is_on(Field::FrequencyPenalty) || is_on(Field::PresencePenalty), features::PENALTIES),
        (fields.has(Field::TopK), features::TOP_K),
        (fields.has(Field::WebSearchOptions), features::WEB_SEARCH.and(features::BILLED_TOOLS)),
        (fields.has(Field::PreviousResponseId) || fields.has(Field::Conversation), features::STORED),
        (endpoint == Endpoint::Responses && fields.has(Field::Prompt), features::STORED),
        (fields.has(Field::McpServers) || fields.has(Field::Container), features::HOSTED_TOOLS),
        (endpoint == Endpoint::Messages && costs_more(fields), features::PREMIUM_SERVICE),
    ];
    let all = flags.into_iter().filter(|(on, _)| *on).fold(of_endpoint, |all, (_, feature)| all.and(feature));
    let tier = fields.get(Field::ServiceTier);
    let tier = tier.map(|tier| tier.string().ok_or_else(|| Malformed::kind("service_tier", tier, "a string"))).transpose()?;
    let service = tier.map_or(ServiceClass::Standard, |tier| features::service_of(tier.as_bytes()));
    let all = all.and(features::of_service(service));
    Ok(all.and(output_format(fields)).and(tools(endpoint, fields)?))
}

/// Whether it asks for what Anthropic multiplies its prices for: a faster model, or one in a certain place (P, Anthropic's page on prices).
fn costs_more(fields: &Fields<'_>) -> bool {
    let other_than = |field: Field, usual: &str| fields.get(field).is_some_and(|value| !value.is(usual));
    other_than(Field::Speed, "standard") || other_than(Field::InferenceGeo, "global")
}

/// What it asks of the form of the answer.
fn output_format(fields: &Fields<'_>) -> Features {
    let nested = |field: Field| fields.get(field).and_then(|value| value.some("format"));
    let formats = [fields.get(Field::ResponseFormat), nested(Field::Text), nested(Field::OutputConfig), fields.get(Field::OutputFormat)];
    formats.into_iter().flatten().fold(Features::NONE, |all, format| match format.get("type").and_then(Value::string).as_deref() {
        Some("text") | None => all,
        Some("json_object") => all.and(features::JSON_OBJECT),
        Some(_) => all.and(features::JSON_SCHEMA),
    })
}

fn tools(endpoint: Endpoint, fields: &Fields<'_>) -> Result<Features, Malformed> {
    let Some(list) = fields.get(Field::Tools) else { return Ok(Features::NONE) };
    if list.kind() != Kind::Array {
        return Err(Malformed::kind("tools", list, "a list"));
    }
    let mut all = Features::NONE;
    for (at, tool) in list.items().enumerate() {
        if tool.kind() != Kind::Object {
            return Err(Malformed::kind(format!("tools[{at}]"), tool, "an object"));
        }
        let kind = tool.some("type").and_then(Value::string);
        all = all.and(match (endpoint.dialect(), kind.as_deref()) {
            (Dialect::OpenAi, Some("function")) | (Dialect::Anthropic, None | Some("custom")) => features::TOOLS,
            (Dialect::OpenAi, Some("custom")) => features::CUSTOM_TOOLS,
            (Dialect::OpenAi, None) => return Err(Malformed::field(format!("tools[{at}].type"), "is missing")),
            (dialect, Some(kind)) if is_billed(dialect, kind) => features::HOSTED_TOOLS.and(features::BILLED_TOOLS),
            (Dialect::OpenAi | Dialect::Anthropic, Some(_)) => features::HOSTED_TOOLS,
        });
    }
    Ok(all)
}

/// Whether a tool of the provider's own may cost more than its tokens. Those that are named here do not: the client runs them, or no price is on the
/// pages of the two (P). What is not known may.
fn is_billed(dialect: Dialect, kind: &str) -> bool {
    let free: &[&str] = match dialect {
        Dialect::OpenAi => &["mcp", "computer", "local_shell", "apply_patch", "tool_search"],
        Dialect::Anthropic => &["bash_", "text_editor_", "computer_", "memory_", "web_fetch_", "tool_search_", "mcp_toolset"],
    };
    !free.iter().any(|name| kind.starts_with(name))
}

fn boolean(fields: &Fields<'_>, field: Field) -> Result<bool, Malformed> {
    fields.get(field).map_or(Ok(false), |value| value.boolean().ok_or_else(|| Malformed::kind(field.name(), value, "true or false")))
}

fn object<'a>(fields: &Fields<'a>, field: Field) -> Result<Option<Value<'a>>, Malformed> {
    match fields.get(field) {
        Some(value) if value.kind() != Kind::Object => Err(Malformed::kind(field.name(), value, "an object")),
        found => Ok(found),
    }
}

/// A whole number from 1 to `most`.
fn count(param: &str, value: Value<'_>, most: u32) -> Result<u32, Malformed> {
    if value.kind() != Kind::Number {
        return Err(Malformed::kind(param, value, "a whole number"));
    }
    let number = value.whole().filter(|number| (1..=u64::from(most)).contains(number)).and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| {
        let written = String::from_utf8_lossy(value.raw());
        let written: String = written.chars().take(24).collect();
        Malformed::field(param, format_args!("is {written}, but must be a whole number from 1 to {most}"))
    })
}
