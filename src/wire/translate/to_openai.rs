//! A request of the Messages API in the words of chat completions. The request was checked by [`super::known`]; decides nothing of its own.

use super::super::json::{Kind, Value};
use super::super::{Endpoint, Inbound, Target, outbound};
use super::models;
use super::write::Writer;

/// The body.
pub(super) fn body(inbound: &Inbound, target: &Target<'_>) -> Vec<u8> {
    let root = inbound.root();
    let mut out = Writer::with_capacity(inbound.body.len() + 256);
    out.object();
    out.text("model", target.model);
    let limit = outbound::limit_name(Endpoint::ChatCompletions, target.model).expect("chat completions take a limit");
    out.count(limit, u64::from(target.max_tokens));
    messages(root, &mut out);
    tools(root, &mut out);
    if let Some(effort) = effort(root, target.max_tokens).filter(|_| models::takes_effort(target.model)) {
        out.text("reasoning_effort", effort);
    }
    if !models::takes_no_sampling(target.model) {
        for name in ["temperature", "top_p"] {
            if let Some(value) = root.some(name) {
                out.field(name, value.raw());
            }
        }
    }
    if let Some(stop) = root.some("stop_sequences").filter(|list| list.items().next().is_some()) {
        out.field("stop", stop.raw());
    }
    // The longest that OpenAI takes (S).
    if let Some(user) = inbound.end_user.as_ref().filter(|user| user.chars().count() <= 64) {
        out.text("user", user);
    }
    if inbound.stream {
        out.field("stream", b"true");
        if target.stream_options {
            out.field("stream_options", br#"{"include_usage":true}"#);
        }
    }
    out.end_object();
    out.into_bytes()
}

fn type_is(value: Value<'_>, name: &str) -> bool {
    value.get("type").is_some_and(|kind| kind.is(name))
}

fn messages(root: Value<'_>, out: &mut Writer) {
    out.key("messages");
    out.list();
    if let Some(system) = root.some("system") {
        instructions(system, out);
    }
    for message in root.some("messages").into_iter().flat_map(Value::items) {
        let Some(content) = message.some("content") else { continue };
        if message.get("role").is_some_and(|role| role.is("assistant")) {
            assistant(content, out);
        } else if message.get("role").is_some_and(|role| role.is("system")) {
            instructions(content, out);
        } else {
            user(content, out);
        }
    }
    out.end_list();
}

/// One text: more copies of the API take that than a list.
fn instructions(content: Value<'_>, out: &mut Writer) {
    let texts = texts(content);
    if texts.iter().all(|text| text.is_empty()) {
        return;
    }
    out.object();
    out.text("role", "system");
    out.key("content");
    out.pieces(between(&texts, "\\n\\n"));
    out.end_object();
}

/// The texts of a content, escaped as they stand.
fn texts(content: Value<'_>) -> Vec<&str> {
    if let Some(text) = content.string_raw() {
        return vec![text];
    }
    content.items().filter_map(|part| part.some("text")?.string_raw()).collect()
}

fn between<'a>(texts: &[&'a str], joint: &'static str) -> Vec<&'a str> {
    let mut pieces = Vec::with_capacity(texts.len() * 2);
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            pieces.push(joint);
        }
        pieces.push(*text);
    }
    pieces
}

/// Results of tools become messages of their own, ahead of what the user says: they answer the turn before. A message of a tool holds text alone, so
/// images follow with what the user says.
fn user(content: Value<'_>, out: &mut Writer) {
    let is_result = |part: &Value<'_>| type_is(*part, "tool_result");
    let mut parts = Vec::new();
    for result in content.items().filter(is_result) {
        tool_result(result, out);
        let inner = result.some("content").into_iter().flat_map(Value::items);
        parts.extend(inner.filter(|part| type_is(*part, "image")));
    }
    if content.kind() == Kind::String {
        open_message("user", out);
        out.raw(content.raw());
        out.end_object();
        return;
    }
    parts.extend(content.items().filter(|part| !is_result(part)));
    if !parts.is_empty() {
        open_message("user", out);
        say(&parts, out);
        out.end_object();
    }
}

fn open_message(role: &str, out: &mut Writer) {
    out.object();
    out.text("role", role);
    out.key("content");
}

/// A text alone as one, anything else as a list of parts.
fn say(parts: &[Value<'_>], out: &mut Writer) {
    if let [part] = parts
        && let Some(text) = part.some("text")
    {
        return out.raw(text.raw());
    }
    out.list();
    for part in parts {
        out.object();
        if let Some(text) = part.some("text") {
            out.text("type", "text");
            out.field("text", text.raw());
        } else if let Some(source) = part.some("source") {
            out.text("type", "image_url");
            out.key("image_url");
            image(source, out);
        }
        out.end_object();
    }
    out.end_list();
}

fn image(source: Value<'_>, out: &mut Writer) {
    let raw = |key: &str| source.get(key).and_then(Value::string_raw).unwrap_or_default();
    out.object();
    out.key("url");
    if type_is(source, "base64") {
        out.pieces(["data:", raw("media_type"), ";base64,", raw("data")]);
    } else {
        out.pieces([raw("url")]);
    }
    out.end_object();
}

fn tool_result(result: Value<'_>, out: &mut Writer) {
    let Some(id) = result.some("tool_use_id") else { return };
    let mut pieces = Vec::new();
    // The other dialect has no sign for it.
    if result.some("is_error").and_then(Value::boolean) == Some(true) {
        pieces.push("Error: ");
    }
    pieces.extend(result.some("content").map(|content| between(&texts(content), "\\n")).unwrap_or_default());
    out.object();
    out.text("role", "tool");
    out.field("tool_call_id", id.raw());
    out.key("content");
    out.pieces(pieces);
    out.end_object();
}

fn assistant(content: Value<'_>, out: &mut Writer) {
    let calls = || content.items().filter(|part| type_is(*part, "tool_use"));
    let said: Vec<Value<'_>> = content.items().filter(|part| type_is(*part, "text")).collect();
    if said.is_empty() && content.kind() != Kind::String && calls().next().is_none() {
        return;
    }
    open_message("assistant", out);
    if content.kind() == Kind::String {
        out.raw(content.raw());
    } else if said.is_empty() {
        out.raw(b"null");
    } else {
        say(&said, out);
    }
    if calls().next().is_some() {
        out.key("tool_calls");
        out.list();
        calls().for_each(|call| tool_call(call, out));
        out.end_list();
    }
    out.end_object();
}

fn tool_call(call: Value<'_>, out: &mut Writer) {
    let raw = |key: &str| call.get(key).map_or(&b"\"\""[..], Value::raw);
    out.object();
    out.field("id", raw("id"));
    out.text("type", "function");
    out.key("function");
    out.object();
    out.field("name", raw("name"));
    out.text("arguments", &String::from_utf8_lossy(call.get("input").map_or(b"{}", Value::raw)));
    out.end_object();
    out.end_object();
}

fn tools(root: Value<'_>, out: &mut Writer) {
    let defined = || root.some("tools").into_iter().flat_map(Value::items);
    if defined().next().is_none() {
        return;
    }
    out.key("tools");
    out.list();
    for tool in defined() {
        out.object();
        out.text("type", "function");
        out.key("function");
        out.object();
        for (name, own) in [("name", "name"), ("description", "description"), ("parameters", "input_schema"), ("strict", "strict")] {
            if let Some(value) = tool.some(own) {
                out.field(name, value.raw());
            }
        }
        out.end_object();
        out.end_object();
    }
    out.end_list();
    let Some(choice) = root.some("tool_choice") else { return };
    out.key("tool_choice");
    if let Some(name) = choice.some("name").filter(|_| type_is(choice, "tool")) {
        out.object();
        out.text("type", "function");
        out.key("function");
        out.object();
        out.field("name", name.raw());
        out.end_object();
        out.end_object();
    } else {
        out.string(if type_is(choice, "any") {
            "required"
        } else if type_is(choice, "none") {
            "none"
        } else {
            "auto"
        });
    }
    if choice.some("disable_parallel_tool_use").and_then(Value::boolean) == Some(true) {
        out.field("parallel_tool_calls", b"false");
    }
}

/// How much is to be thought: as said, or by the share of the output that may be thinking.
fn effort(root: Value<'_>, max_tokens: u32) -> Option<&'static str> {
    let thinking = root.some("thinking");
    if thinking.is_some_and(|thinking| type_is(thinking, "disabled")) {
        return None;
    }
    if let Some(budget) = thinking.and_then(|thinking| thinking.some("budget_tokens")).and_then(Value::whole) {
        let thirds = budget.saturating_mul(3) / u64::from(max_tokens.max(1));
        return Some(["low", "medium"].get(usize::try_from(thirds).unwrap_or(usize::MAX)).unwrap_or(&"high"));
    }
    let effort = root.some("output_config")?.some("effort")?.string()?;
    Some(match &*effort {
        "low" => "low",
        "medium" => "medium",
        _ => "high",
    })
}
