//! Whether all that a request says can be said in the other dialect: every field, role and part by name. What is not listed here keeps the
//! request with its own dialect, so nothing is lost for being new. Writes nothing.

use super::super::json::{Kind, Value};
use super::super::{Dialect, Endpoint};

/// Fields of chat completions that are carried over, are harmless without, or have a feature of their own.
const OPENAI_FIELDS: &[&str] = &[
    "audio",
    "cache",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "tags",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// The same of the Messages API.
const ANTHROPIC_FIELDS: &[&str] = &[
    "cache",
    "cache_control",
    "container",
    "max_tokens",
    "mcp_servers",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "tags",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// The most stop sequences that `OpenAI` takes (P, its reference of chat completions).
const OPENAI_STOPS_MAX: usize = 4;

/// Whether a part is one that can be told.
type Known = fn(Value<'_>) -> bool;

/// The first thing that a request says and translation does not; `None` if there is none, or nothing of this endpoint is translated.
pub(super) fn unknown(endpoint: Endpoint, root: Value<'_>) -> Option<String> {
    let (fields, dialect) = match endpoint {
        Endpoint::ChatCompletions => (OPENAI_FIELDS, Dialect::OpenAi),
        Endpoint::Messages => (ANTHROPIC_FIELDS, Dialect::Anthropic),
        _ => return None,
    };
    let stranger = root.entries().find(|(key, value)| !value.is_null() && !is_one_of(*key, fields));
    if let Some((key, _)) = stranger {
        return key.string().map(Into::into);
    }
    let (message, content): (Known, Known) = match dialect {
        Dialect::OpenAi => (openai_message, openai_part),
        Dialect::Anthropic => (anthropic_message, anthropic_part),
    };
    let messages = root.some("messages").into_iter().flat_map(Value::items);
    for (at, item) in messages.enumerate() {
        if !message(item) {
            return Some(format!("messages[{at}]"));
        }
        if !item.some("content").is_none_or(|value| is_content(value, content)) {
            return Some(format!("messages[{at}].content"));
        }
    }
    let faults = match dialect {
        Dialect::OpenAi => [("stop", !openai_stop(root)), ("messages", ends_with_the_assistant(root)), ("tool_choice", !openai_choice(root))],
        Dialect::Anthropic => [
            ("stop_sequences", root.some("stop_sequences").is_some_and(|list| list.items().count() > OPENAI_STOPS_MAX)),
            ("system", !root.some("system").is_none_or(|value| is_content(value, is_text))),
            ("tool_choice", !anthropic_choice(root)),
        ],
    };
    faults.into_iter().find(|(_, is_fault)| *is_fault).map(|(field, _)| field.to_owned())
}

fn is_one_of(key: Value<'_>, names: &[&str]) -> bool {
    key.string().is_some_and(|key| names.binary_search(&&*key).is_ok())
}

/// Text, or a list of parts that are known.
fn is_content(value: Value<'_>, part: fn(Value<'_>) -> bool) -> bool {
    match value.kind() {
        Kind::String => true,
        Kind::Array => value.items().all(part),
        _ => false,
    }
}

fn is_text(part: Value<'_>) -> bool {
    type_of(part, "text") && part.get("text").is_some_and(|text| text.kind() == Kind::String)
}

fn type_of(value: Value<'_>, name: &str) -> bool {
    value.get("type").is_some_and(|kind| kind.is(name))
}

fn has_string(value: Value<'_>, key: &str) -> bool {
    value.get(key).is_some_and(|value| value.kind() == Kind::String)
}

fn openai_message(message: Value<'_>) -> bool {
    const KEYS: &[&str] =
        &["annotations", "cache_control", "content", "name", "reasoning", "reasoning_content", "refusal", "role", "tool_call_id", "tool_calls"];
    let role_is = |names: &[&str]| message.get("role").is_some_and(|role| names.iter().any(|name| role.is(name)));
    let role_is_known = role_is(&["system", "developer", "user", "assistant"]) || (role_is(&["tool"]) && has_string(message, "tool_call_id"));
    let calls_are_known = message.some("tool_calls").into_iter().flat_map(Value::items).all(|call| {
        let function = call.some("function");
        has_string(call, "id") && function.is_some_and(|function| has_string(function, "name") && has_string(function, "arguments"))
    });
    role_is_known && calls_are_known && message.entries().all(|(key, value)| value.is_null() || is_one_of(key, KEYS))
}

fn openai_part(part: Value<'_>) -> bool {
    let Some(url) = part.some("image_url").and_then(|url| url.some("url")).and_then(Value::string_raw) else {
        return is_text(part) || (type_of(part, "refusal") && has_string(part, "refusal"));
    };
    type_of(part, "image_url") && (!url.starts_with("data:") || split_data_url(url).is_some())
}

/// Media type and data of a data URL in base64, as they are escaped in the request.
pub(super) fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let (media, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    // `image/png;name=x` has parameters that the other dialect has no place for; they mean nothing to a model.
    Some((media.split(';').next().unwrap_or(media), data))
}

/// A blank stop sequence is refused by Anthropic (S), and without it the answer would be another.
fn openai_stop(root: Value<'_>) -> bool {
    let Some(stop) = root.some("stop") else { return true };
    let is_said = |value: Value<'_>| value.string().is_some_and(|text| !text.trim().is_empty());
    is_said(stop) || (stop.kind() == Kind::Array && stop.items().all(is_said))
}

/// Anthropic would go on with such a message, or refuse it; at `OpenAI` a new one follows.
fn ends_with_the_assistant(root: Value<'_>) -> bool {
    let last = root.some("messages").and_then(|messages| messages.items().last());
    last.and_then(|message| message.get("role")).is_some_and(|role| role.is("assistant"))
}

fn openai_choice(root: Value<'_>) -> bool {
    let Some(choice) = root.some("tool_choice") else { return true };
    let named = |value: Value<'_>| value.some("function").is_some_and(|function| has_string(function, "name"));
    match choice.kind() {
        Kind::String => ["auto", "none", "required"].iter().any(|name| choice.is(name)),
        Kind::Object if type_of(choice, "allowed_tools") => choice.some("allowed_tools").is_some_and(|allowed| {
            let mode = allowed.get("mode").is_some_and(|mode| mode.is("auto") || mode.is("required"));
            mode && allowed.some("tools").is_some_and(|tools| tools.kind() == Kind::Array && tools.items().all(named))
        }),
        _ => type_of(choice, "function") && named(choice),
    }
}

fn anthropic_message(message: Value<'_>) -> bool {
    let role_is_known = message.get("role").is_some_and(|role| ["user", "assistant", "system"].iter().any(|name| role.is(name)));
    role_is_known && message.entries().all(|(key, value)| value.is_null() || key.is("role") || key.is("content"))
}

fn anthropic_part(part: Value<'_>) -> bool {
    match part.get("type").and_then(Value::string).as_deref() {
        Some("text") => is_text(part),
        Some("image") => anthropic_image(part),
        Some("tool_use") => {
            has_string(part, "id") && has_string(part, "name") && part.some("input").is_some_and(|input| input.kind() == Kind::Object)
        }
        Some("tool_result") => {
            let inner = |part: Value<'_>| is_text(part) || anthropic_image(part);
            has_string(part, "tool_use_id") && part.some("content").is_none_or(|content| is_content(content, inner))
        }
        Some("thinking" | "redacted_thinking") => true,
        _ => false,
    }
}

fn anthropic_image(part: Value<'_>) -> bool {
    let Some(source) = part.some("source").filter(|_| type_of(part, "image")) else { return false };
    (type_of(source, "base64") && has_string(source, "media_type") && has_string(source, "data"))
        || (type_of(source, "url") && has_string(source, "url"))
}

fn anthropic_choice(root: Value<'_>) -> bool {
    let Some(choice) = root.some("tool_choice") else { return true };
    ["auto", "any", "none"].iter().any(|name| type_of(choice, name)) || (type_of(choice, "tool") && has_string(choice, "name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_halving() {
        assert!(OPENAI_FIELDS.is_sorted() && ANTHROPIC_FIELDS.is_sorted());
    }
}
