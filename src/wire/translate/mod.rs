//! Requests, answers and streams of one dialect in the words of the other: chat completions and the Messages API, both ways. Decides no route.
//!
//! What a request says is carried over, or keeps it with its own dialect by a feature of [`super::features`], or is harmless without and stands
//! in these tables. A field that is in none of them is [`super::features::UNTRANSLATED`]. Errors need no translation: the gateway writes its own
//! ([`super::errors`]).
//!
//! From chat completions to the Messages API:
//!
//! | field | what happens |
//! |---|---|
//! | `max_tokens`, `max_completion_tokens` | `max_tokens`, always: the core's limit |
//! | system and developer messages | `system`, all of them, in their order; neighbours of one role become one turn |
//! | no user at the beginning | one who says `.`, as Anthropic requires a user's turn |
//! | text without a visible character | left out: Anthropic refuses it |
//! | images | `data:` URLs as `base64`, others as `url`; `detail` is left out, Anthropic has one |
//! | `tools`, `tool_choice`, `allowed_tools` | the same; an empty schema becomes that of an object |
//! | `strict` of a tool | left out: the model is told the schema, but not held to it |
//! | calls and results of tools | the same; characters of an `id` that Anthropic refuses are written as codes |
//! | arguments that are no object | `{"arguments": ".."}` |
//! | calls without `tools` | the tools that were called are named, with `tool_choice` `none`, as Anthropic requires them |
//! | `parallel_tool_calls: false` | `disable_parallel_tool_use` |
//! | `stop` | `stop_sequences`; a blank one keeps the request away |
//! | `temperature` | up to 1; left out with thinking, and for models that take none (`models`) |
//! | `top_p` | left out where `temperature` is stated: later models take one of them |
//! | `reasoning_effort` | a budget of a fifth, a half or four fifths of the limit, or `effort`, as the model takes it |
//! | the same, for models that do not think, or with a forced tool | left out |
//! | the same, as a budget right after results of tools | left out: that turn would need signed thoughts |
//! | `user`, `safety_identifier` | `metadata.user_id`, up to 256 characters |
//! | `cache_control` in parts, messages and tools | kept |
//! | `name` of a message, `reasoning_content` of earlier turns | left out: Anthropic knows no names, and only thoughts that it signed |
//! | `seed`, `verbosity` | left out: best effort |
//! | `service_tier`, `store`, `metadata`, `prompt_cache_*`, `stream_options` | left out: `OpenAI`'s own bookkeeping |
//!
//! From the Messages API to chat completions:
//!
//! | field | what happens |
//! |---|---|
//! | `max_tokens` | the core's limit, under the name that the model takes |
//! | `system` | a system message; its texts are joined by blank lines |
//! | results of tools | messages of role `tool`, texts joined by line ends, after `Error: ` where `is_error`; images follow as the user's |
//! | thinking of earlier turns | left out: nobody but Anthropic can read it, and it drops all but the last turn's itself (P) |
//! | `thinking`, `output_config.effort` | `reasoning_effort`, as said or by the budget's share of the limit, for models that know it |
//! | `temperature`, `top_p` | the same; left out for models of `OpenAI` that reason, which refuse them |
//! | `stop_sequences` | `stop`; more than four keep the request away |
//! | `cache_control` | left out: these caches work by themselves; changes cost alone |
//! | `metadata.user_id` | `user`, up to 64 characters |
//! | `service_tier` | left out |
//! | of tools, all but name, description, schema and `strict` | left out: hints on how they are used |
//!
//! Answers: texts are joined, thoughts become `reasoning_content` and have no counterpart on the way back (nothing signs them), reasons to stop are
//! mapped (which stop sequence it was, `OpenAI` does not say), a refusal is a text with its own reason to stop; `model` is what the client asked for,
//! `id` is the provider's.

mod answers;
mod anthropic_stream;
mod calls;
mod known;
mod models;
mod openai_stream;
mod to_anthropic;
mod to_openai;
mod write;

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::answer::Broken;
use super::json::Value;
use super::outbound::{CannotExpress, Target};
use super::relay::Rewrite;
use super::{Dialect, Endpoint, Inbound};

/// Whether a request says something that no translation does, features of its own aside.
pub(super) fn is_untranslated(endpoint: Endpoint, root: Value<'_>) -> bool {
    known::unknown(endpoint, root).is_some()
}

/// The length in tokens from which on a model caches a prefix.
pub(super) fn cached_prefix_min(model: &str) -> u64 {
    models::claude(model).cached_prefix_min
}

/// The body of a request for a target of the other dialect.
///
/// # Errors
/// If it can't be said there.
pub fn request(inbound: &Inbound, target: &Target<'_>) -> Result<Bytes, CannotExpress> {
    if let Some(what) = known::unknown(inbound.endpoint, inbound.root()) {
        return Err(CannotExpress { what });
    }
    match inbound.endpoint {
        Endpoint::ChatCompletions => Ok(to_anthropic::body(inbound, target).into()),
        Endpoint::Messages => Ok(to_openai::body(inbound, target).into()),
        endpoint => Err(CannotExpress { what: endpoint.path().to_owned() }),
    }
}

/// A whole answer of the other dialect in the words of the client.
///
/// # Errors
/// If it makes no sense.
pub fn answer(inbound: &Inbound, body: &[u8]) -> Result<Bytes, Broken> {
    let written = match inbound.endpoint.dialect() {
        Dialect::OpenAi => answers::to_openai(inbound, body, now())?,
        Dialect::Anthropic => answers::to_anthropic(inbound, body)?,
    };
    Ok(written.into())
}

/// What writes a stream of the other dialect in the words of the client.
pub fn stream(inbound: &Inbound) -> Box<dyn Rewrite> {
    match inbound.endpoint.dialect() {
        Dialect::OpenAi => Box::new(openai_stream::OpenAiStream::new(inbound, now())),
        Dialect::Anthropic => Box::new(anthropic_stream::AnthropicStream::new(inbound)),
    }
}

/// Seconds since 1970, which answers of chat completions carry and nothing here depends on.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
