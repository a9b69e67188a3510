//! Marks for Anthropic's prompt cache (`server.prompt_cache_marks`), put where a long prefix of a request is likely to come again: after the tools,
//! after the system prompt, and after the last but one turn of the user. A request with a mark of its own is left alone.
//!
//! Each mark makes the provider write the prefix at 1.25 times the price of input, unless it has it and reads it at a tenth (P): what is marked but
//! changes from request to request costs more than without. What a call may cost must count all its input as written.

use bytes::Bytes;

use super::json::{Document, Kind, Value};
use super::translate;

/// Bytes of text in a token, as in the estimate of a request's size: four characters of English (P, `OpenAI`'s help on tokens).
const BYTES_PER_TOKEN: u64 = 4;

const MARK: &[u8] = br#","cache_control":{"type":"ephemeral"}"#;

/// A body of the Messages API with up to three marks (four are allowed), each after a prefix that is long enough for `model` to be cached. The same
/// bytes if it has marks already, or no prefix is that long, or it is no JSON.
pub fn mark(body: &Bytes, model: &str) -> Bytes {
    let least = translate::cached_prefix_min(model) * BYTES_PER_TOKEN;
    if (body.len() as u64) < least {
        return body.clone();
    }
    let Ok(document) = Document::parse(body) else { return body.clone() };
    let root = document.root(body);
    if root.all().any(|value| value.is("cache_control")) {
        return body.clone();
    }
    let mut places = places(root, least);
    places.sort_by_key(|place| place.span().start);
    let mut out = Vec::with_capacity(body.len() + places.len() * 80);
    let mut at = 0;
    for place in places {
        let span = place.span();
        if place.kind() == Kind::String {
            out.extend_from_slice(&body[at..span.start]);
            out.extend_from_slice(br#"[{"type":"text","text":"#);
            out.extend_from_slice(place.raw());
            out.extend_from_slice(MARK);
            out.extend_from_slice(b"}]");
            at = span.end;
        } else {
            let brace = span.end - 1;
            out.extend_from_slice(&body[at..brace]);
            out.extend_from_slice(MARK);
            at = brace;
        }
    }
    out.extend_from_slice(&body[at..]);
    out.into()
}

/// What is marked: texts that stand alone, and objects.
fn places(root: Value<'_>, least: u64) -> Vec<Value<'_>> {
    let mut places = Vec::with_capacity(3);
    let mut prefix = 0;
    if let Some(tools) = root.some("tools") {
        prefix += text_bytes(tools);
        let last = tools.items().last().filter(|tool| tool.entries().next().is_some());
        places.extend(last.filter(|_| prefix >= least));
    }
    if let Some(system) = root.some("system") {
        prefix += text_bytes(system);
        places.extend(end(system).filter(|_| prefix >= least));
    }
    let messages = || root.some("messages").into_iter().flat_map(Value::items);
    let is_user = |message: Value<'_>| message.get("role").is_some_and(|role| role.is("user"));
    let turns: Vec<usize> = messages().enumerate().filter(|(_, message)| is_user(*message)).map(|(at, _)| at).collect();
    if let [.., before_last, _] = turns[..] {
        prefix += messages().take(before_last + 1).map(text_bytes).sum::<u64>();
        let content = messages().nth(before_last).and_then(|message| message.some("content"));
        places.extend(content.and_then(end).filter(|_| prefix >= least));
    }
    places
}

/// The last block of a content, if a mark may stand on it: not on thoughts, nor on text that can't be seen (P).
fn end(content: Value<'_>) -> Option<Value<'_>> {
    let is_seen = |text: Value<'_>| text.string().is_some_and(|text| !text.trim().is_empty());
    if content.kind() == Kind::String {
        return Some(content).filter(|text| is_seen(*text));
    }
    let block = content.items().last()?;
    let kind = block.get("type").and_then(Value::string)?;
    match &*kind {
        "text" => block.get("text").filter(|text| is_seen(*text)).map(|_| block),
        "image" | "document" | "tool_use" | "tool_result" => Some(block),
        _ => None,
    }
}

/// The bytes of what a model reads in a value, pictures aside.
fn text_bytes(value: Value<'_>) -> u64 {
    match value.kind() {
        Kind::Object => value.entries().filter(|(key, _)| !key.is("data")).map(|(key, value)| key.string_bytes() as u64 + text_bytes(value)).sum(),
        Kind::Array => value.items().map(text_bytes).sum(),
        Kind::String => value.string_bytes() as u64,
        Kind::Number | Kind::Boolean | Kind::Null => value.raw().len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    const MODEL: &str = "claude-sonnet-4-5";

    fn long() -> String {
        "word ".repeat(1024)
    }

    fn marked(body: &Json) -> Json {
        serde_json::from_slice(&mark(&body.to_string().into(), MODEL)).unwrap()
    }

    fn is_marked(value: &Json) -> bool {
        value["cache_control"] == json!({ "type": "ephemeral" })
    }

    #[test]
    fn long_tools_system_and_the_last_but_one_turn_are_marked() {
        let user = |text: &str| json!({ "role": "user", "content": text });
        let body = json!({
            "model": MODEL,
            "tools": [{ "name": "a", "description": long(), "input_schema": {} }, { "name": "b", "input_schema": {} }],
            "system": "be kind",
            "messages": [user("one"), { "role": "assistant", "content": "yes" }, user("two"), { "role": "assistant", "content": "no" }, user("three")],
        });
        let marked = marked(&body);
        assert!(is_marked(&marked["tools"][1]) && !is_marked(&marked["tools"][0]));
        assert_eq!(marked["system"], json!([{ "type": "text", "text": "be kind", "cache_control": { "type": "ephemeral" } }]));
        assert!(is_marked(&marked["messages"][2]["content"][0]), "{marked}");
        assert_eq!((&marked["messages"][0], &marked["messages"][4]), (&body["messages"][0], &body["messages"][4]));
    }

    #[test]
    fn a_prefix_is_marked_from_the_length_on_that_its_model_caches() {
        let body = json!({ "system": [{ "type": "text", "text": "s".repeat(3000) }], "messages": [{ "role": "user", "content": long() }] });
        assert_eq!(marked(&body), body, "the system prompt is too short, and there is no turn before the last");
        let body = json!({ "system": [{ "type": "text", "text": long() }], "messages": [] });
        assert!(is_marked(&marked(&body)["system"][0]));
        let text: Bytes = body.to_string().into();
        assert_eq!(mark(&text, "claude-haiku-4-5"), text, "4,096 tokens are asked for there");
    }

    #[test]
    fn a_request_with_a_mark_of_its_own_is_left_alone() {
        let body = json!({
            "system": long(),
            "messages": [{ "role": "user", "content": [{ "type": "text", "text": "x", "cache_control": { "type": "ephemeral", "ttl": "1h" } }] }],
        });
        let text: Bytes = body.to_string().into();
        assert_eq!(mark(&text, MODEL), text);
        let text: Bytes = format!("{{\"system\":{:?}", long()).into();
        assert_eq!(mark(&text, MODEL), text, "what is no JSON is not ours to mend");
    }

    #[test]
    fn thoughts_blanks_and_pictures_are_no_places_and_pictures_no_text() {
        let turn = |last: Json| json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": long() }, last] }, { "role": "user", "content": "x" }] });
        assert!(is_marked(&marked(&turn(json!({ "type": "tool_result", "tool_use_id": "a" })))["messages"][0]["content"][1]));
        for last in [json!({ "type": "text", "text": " " }), json!({ "type": "thinking", "thinking": "x", "signature": "y" })] {
            assert_eq!(marked(&turn(last.clone())), turn(last));
        }
        let picture = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "A".repeat(9000) } });
        let body = json!({ "messages": [{ "role": "user", "content": [picture] }, { "role": "user", "content": "x" }] });
        assert_eq!(marked(&body), body);
    }
}
