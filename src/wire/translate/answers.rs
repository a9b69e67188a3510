//! A whole answer of one dialect in the words of the other, and what both kinds of answer share: reasons to stop, and usage. Decides nothing.

use super::super::answer::Broken;
use super::super::json::{Document, Kind, Value};
use super::super::{Dialect, Inbound, usage};
use super::to_anthropic;
use super::write::Writer;
use crate::gateway::failure::FailureClass;
use crate::gateway::rate_card::Usage;

/// The answer to a request of chat completions, from one of the Messages API. `created` is in seconds since 1970.
pub(super) fn to_openai(inbound: &Inbound, body: &[u8], created: u64) -> Result<Vec<u8>, Broken> {
    let document = parse(body)?;
    let root = document.root(body);
    let blocks = root.some("content").filter(|content| content.kind() == Kind::Array).ok_or_else(|| broken("it has no `content`"))?;
    let texts = |kind: &'static str, key: &'static str| {
        let blocks = blocks.items().filter(move |block| block.get("type").is_some_and(|name| name.is(kind)));
        blocks.filter_map(move |block| block.some(key)?.string_raw()).filter(|text| !text.is_empty())
    };
    let calls = || blocks.items().filter(|block| block.get("type").is_some_and(|name| name.is("tool_use")));
    let mut out = Writer::with_capacity(body.len() + 256);
    out.object();
    out.key("id");
    out.raw(root.get("id").map_or(b"\"\"", Value::raw));
    out.text("object", "chat.completion");
    out.count("created", created);
    out.text("model", &inbound.model);
    out.key("choices");
    out.list();
    out.object();
    out.count("index", 0);
    out.key("message");
    out.object();
    out.text("role", "assistant");
    out.key("content");
    if texts("text", "text").next().is_some() {
        out.pieces(texts("text", "text"))
    } else {
        out.raw(b"null")
    }
    out.field("refusal", b"null");
    if texts("thinking", "thinking").next().is_some() {
        out.key("reasoning_content");
        out.pieces(texts("thinking", "thinking"));
    }
    if calls().next().is_some() {
        out.key("tool_calls");
        out.list();
        calls().for_each(|call| tool_call(call, &mut out));
        out.end_list();
    }
    out.end_object();
    out.field("logprobs", b"null");
    out.text("finish_reason", finish_reason(root.get("stop_reason")));
    out.end_object();
    out.end_list();
    if let Some(usage) = root.some("usage").and_then(|value| usage::read(Dialect::Anthropic, value).ok()) {
        out.key("usage");
        openai_usage(usage, &mut out);
    }
    out.end_object();
    Ok(out.into_bytes())
}

fn tool_call(call: Value<'_>, out: &mut Writer) {
    out.object();
    out.key("id");
    out.raw(call.get("id").map_or(b"\"\"", Value::raw));
    out.text("type", "function");
    out.key("function");
    out.object();
    out.key("name");
    out.raw(call.get("name").map_or(b"\"\"", Value::raw));
    out.text("arguments", &String::from_utf8_lossy(call.some("input").map_or(b"{}", Value::raw)));
    out.end_object();
    out.end_object();
}

/// The answer to a request of the Messages API, from one of chat completions.
pub(super) fn to_anthropic(inbound: &Inbound, body: &[u8]) -> Result<Vec<u8>, Broken> {
    let document = parse(body)?;
    let root = document.root(body);
    let choice = root.some("choices").and_then(|choices| choices.items().next()).ok_or_else(|| broken("it has no `choices`"))?;
    let message = choice.some("message").ok_or_else(|| broken("its choice has no `message`"))?;
    let refusal = message.some("refusal").and_then(Value::string_raw).filter(|text| !text.is_empty());
    let calls = || message.some("tool_calls").into_iter().flat_map(Value::items);
    let mut out = Writer::with_capacity(body.len() + 256);
    out.object();
    out.key("id");
    out.raw(root.get("id").map_or(b"\"\"", Value::raw));
    out.text("type", "message");
    out.text("role", "assistant");
    out.text("model", &inbound.model);
    out.key("content");
    out.list();
    for text in message.some("content").map(texts).unwrap_or_default().into_iter().chain(refusal) {
        out.object();
        out.text("type", "text");
        out.key("text");
        out.pieces([text]);
        out.end_object();
    }
    calls().for_each(|call| tool_use(call, &mut out));
    out.end_list();
    out.text("stop_reason", stop_reason(choice.get("finish_reason"), calls().next().is_some(), refusal.is_some()));
    out.field("stop_sequence", b"null");
    out.key("usage");
    let usage = root.some("usage").and_then(|value| usage::read(Dialect::OpenAi, value).ok());
    anthropic_usage(usage.unwrap_or_default(), &mut out);
    out.end_object();
    Ok(out.into_bytes())
}

/// The texts of what a model says: a string, or as some copies have it, a list of parts.
pub(super) fn texts(content: Value<'_>) -> Vec<&str> {
    let found = if content.kind() == Kind::String {
        content.string_raw().into_iter().collect()
    } else {
        content.items().filter_map(|part| part.some("text")?.string_raw()).collect::<Vec<_>>()
    };
    found.into_iter().filter(|text| !text.is_empty()).collect()
}

fn tool_use(call: Value<'_>, out: &mut Writer) {
    let function = call.some("function");
    out.object();
    out.text("type", "tool_use");
    out.key("id");
    out.raw(call.get("id").map_or(b"\"\"", Value::raw));
    out.key("name");
    out.raw(function.and_then(|function| function.get("name")).map_or(b"\"\"", Value::raw));
    out.key("input");
    let arguments = function.and_then(|function| function.get("arguments")).and_then(Value::string).unwrap_or_default();
    to_anthropic::input(&arguments, out);
    out.end_object();
}

fn parse(body: &[u8]) -> Result<Document, Broken> {
    Document::parse(body).map_err(|fault| broken(fault.what))
}

fn broken(what: &str) -> Broken {
    Broken { class: FailureClass::BadGateway, message: format!("the provider's answer is not what it should be: {what}") }
}

/// Anthropic's reason to stop, as `OpenAI` has it.
pub(super) fn finish_reason(stop_reason: Option<Value<'_>>) -> &'static str {
    match stop_reason.and_then(Value::string).as_deref() {
        Some("max_tokens" | "model_context_window_exceeded") => "length",
        Some("tool_use") => "tool_calls",
        Some("refusal") => "content_filter",
        _ => "stop",
    }
}

/// `OpenAI`'s reason to stop, as Anthropic has it. A call that was forced ends with `stop` there, and here with `tool_use`.
pub(super) fn stop_reason(finish_reason: Option<Value<'_>>, calls_tools: bool, refuses: bool) -> &'static str {
    match finish_reason.and_then(Value::string).as_deref() {
        Some("length") => "max_tokens",
        Some("content_filter") => "refusal",
        _ if refuses => "refusal",
        _ if calls_tools => "tool_use",
        _ => "end_turn",
    }
}

/// In `OpenAI`'s dialect the input includes what was read from a cache and written to it.
pub(super) fn openai_usage(usage: Usage, out: &mut Writer) {
    out.object();
    out.count("prompt_tokens", u64::from(usage.input));
    out.count("completion_tokens", u64::from(usage.output));
    out.count("total_tokens", u64::from(usage.input) + u64::from(usage.output));
    out.key("prompt_tokens_details");
    out.object();
    out.count("cached_tokens", u64::from(usage.cache_read));
    let written = u64::from(usage.cache_write) + u64::from(usage.cache_write_1h);
    if written > 0 {
        out.count("cache_write_tokens", written);
    }
    out.end_object();
    if usage.reasoning > 0 {
        out.key("completion_tokens_details");
        out.object();
        out.count("reasoning_tokens", u64::from(usage.reasoning));
        out.end_object();
    }
    out.end_object();
}

/// In Anthropic's dialect the input is what no cache had to do with.
pub(super) fn anthropic_usage(usage: Usage, out: &mut Writer) {
    let written = u64::from(usage.cache_write) + u64::from(usage.cache_write_1h);
    out.object();
    out.count("input_tokens", u64::from(usage.input).saturating_sub(u64::from(usage.cache_read) + written));
    out.count("cache_creation_input_tokens", written);
    out.count("cache_read_input_tokens", u64::from(usage.cache_read));
    out.count("output_tokens", u64::from(usage.output));
    out.end_object();
}
