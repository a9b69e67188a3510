//! Streams collected into whole answers, one function for each kind.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::set;

/// A chat completion of its chunks. `None` unless every choice has come to its end.
pub(super) fn chat(events: Vec<Value>) -> Option<Value> {
    collect(events, "chat.completion", |choice, piece| {
        let message = choice.entry("message").or_insert_with(|| json!({ "role": "assistant", "content": null }));
        let delta = piece.get_mut("delta").map(Value::take).unwrap_or_default();
        let Value::Object(mut delta) = delta else { return };
        for call in delta.remove("tool_calls").as_mut().and_then(Value::as_array_mut).into_iter().flatten() {
            add_call(message, call);
        }
        add(message, Value::Object(delta));
    })
}

/// A completion of its chunks. `None` unless every choice has come to its end.
pub(super) fn completions(events: Vec<Value>) -> Option<Value> {
    collect(events, "text_completion", |choice, piece| {
        let text = choice.entry("text").or_insert_with(|| json!(""));
        add(text, piece.get_mut("text").map(Value::take).unwrap_or_default());
    })
}

/// Chunks with choices; `take` adds the content of a piece to its choice.
fn collect(events: Vec<Value>, object: &str, take: impl Fn(&mut Map<String, Value>, &mut Value)) -> Option<Value> {
    let mut frame = Map::new();
    let mut choices: BTreeMap<u64, Map<String, Value>> = BTreeMap::new();
    for event in events {
        let Value::Object(mut event) = event else { return None };
        for piece in event.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten() {
            let index = piece.get("index").and_then(Value::as_u64).unwrap_or(0);
            let choice = choices.entry(index).or_default();
            choice.entry("index").or_insert_with(|| index.into());
            take(choice, piece);
            add_logprobs(choice, piece);
            if let Some(reason) = piece.get("finish_reason").filter(|reason| reason.as_str().is_some_and(|reason| !reason.is_empty())) {
                choice.insert("finish_reason".into(), reason.clone());
            }
        }
        event.remove("choices");
        // The first chunk names the answer, the last has its usage.
        for (key, value) in event {
            if !value.is_null() {
                frame.insert(key, value);
            }
        }
    }
    if choices.is_empty() || choices.values().any(|choice| !choice.contains_key("finish_reason")) {
        return None;
    }
    for choice in choices.values_mut() {
        choice.entry("logprobs").or_insert(Value::Null);
    }
    frame.insert("object".into(), object.into());
    // It pads chunks, against who counts their bytes.
    frame.remove("obfuscation");
    frame.insert("choices".into(), choices.into_values().map(Value::Object).collect());
    Some(Value::Object(frame))
}

/// Log probabilities come as lists under the same names.
fn add_logprobs(choice: &mut Map<String, Value>, piece: &mut Value) {
    let Some(more) = piece.get_mut("logprobs").map(Value::take) else { return };
    let known = choice.entry("logprobs").or_insert(Value::Null);
    match (known.is_null(), more) {
        (_, Value::Null) => {}
        (true, more) => *known = more,
        (false, more) => {
            for (key, value) in more.as_object().into_iter().flatten() {
                match (known.get_mut(key).and_then(Value::as_array_mut), value.as_array()) {
                    (Some(list), Some(more)) => list.extend(more.iter().cloned()),
                    _ => set(known, key, value.clone()),
                }
            }
        }
    }
}

/// A piece of a call of a tool goes to the call of its index.
fn add_call(message: &mut Value, piece: &mut Value) {
    let index = piece.get("index").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok()).unwrap_or(0);
    let calls = message.as_object_mut().map(|message| message.entry("tool_calls").or_insert_with(|| json!([])));
    let Some(calls) = calls.and_then(Value::as_array_mut) else { return };
    // No more calls than pieces, whatever index a provider writes.
    let index = index.min(calls.len());
    if index == calls.len() {
        calls.push(json!({}));
    }
    let Some(fields) = piece.as_object_mut() else { return };
    fields.remove("index");
    for key in ["id", "type"] {
        if let Some(value) = fields.remove(key).filter(|value| !value.is_null() && *value != "") {
            set(&mut calls[index], key, value);
        }
    }
    add(&mut calls[index], piece.take());
}

/// Adds a piece to what there is: texts and lists grow, the fields of objects one by one; all else is replaced. `null` adds nothing.
fn add(whole: &mut Value, piece: Value) {
    match (whole, piece) {
        (_, Value::Null) => {}
        (Value::String(whole), Value::String(piece)) => whole.push_str(&piece),
        (Value::Array(whole), Value::Array(piece)) => whole.extend(piece),
        (Value::Object(whole), Value::Object(piece)) => {
            for (key, value) in piece {
                // A role is said again by some, never in pieces.
                let is_name = matches!(key.as_str(), "role" | "type" | "id");
                match whole.get_mut(&key) {
                    Some(known) if !is_name => add(known, value),
                    _ if value.is_null() => {}
                    _ => drop(whole.insert(key, value)),
                }
            }
        }
        (whole, piece) => *whole = piece,
    }
}

/// A message of its events. `None` unless it has come to its end.
pub(super) fn message(events: Vec<Value>) -> Option<Value> {
    let mut message = Value::Null;
    let mut blocks: Vec<(Value, String)> = Vec::new();
    let mut is_over = false;
    for mut event in events {
        let index = event.get("index").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
        match event["type"].as_str()? {
            "message_start" => message = event.get_mut("message")?.take(),
            "content_block_start" => blocks.push((event.get_mut("content_block")?.take(), String::new())),
            "content_block_delta" => add_delta(blocks.get_mut(index?)?, event.get_mut("delta")?.take()),
            "message_delta" => {
                add_over(&mut message, event["delta"].take());
                add_over(message.as_object_mut()?.entry("usage").or_insert_with(|| json!({})), event["usage"].take());
            }
            "message_stop" => is_over = true,
            _ => {}
        }
    }
    let mut content = Vec::with_capacity(blocks.len());
    for (mut block, json) in blocks {
        if !json.is_empty() {
            set(&mut block, "input", serde_json::from_str::<Value>(&json).ok()?);
        }
        content.push(block);
    }
    message.as_object_mut()?.insert("content".into(), content.into());
    is_over.then_some(message)
}

/// Fields of `piece` in place of those that there are.
fn add_over(whole: &mut Value, piece: Value) {
    if let (Some(whole), Value::Object(piece)) = (whole.as_object_mut(), piece) {
        whole.extend(piece);
    }
}

fn add_delta((block, json): &mut (Value, String), mut delta: Value) {
    match delta["type"].as_str().unwrap_or_default() {
        "input_json_delta" => json.push_str(delta["partial_json"].as_str().unwrap_or_default()),
        "citations_delta" => {
            let citation = delta["citation"].take();
            match block.get_mut("citations").and_then(Value::as_array_mut) {
                Some(citations) => citations.push(citation),
                None => set(block, "citations", json!([citation])),
            }
        }
        _ => {
            if let Some(delta) = delta.as_object_mut() {
                delta.remove("type");
            }
            add(block, delta);
        }
    }
}

/// A response: its last event has all of it.
pub(super) fn response(events: Vec<Value>) -> Option<Value> {
    let mut last = events.into_iter().rev().find(|event| matches!(event["type"].as_str(), Some("response.completed" | "response.incomplete")))?;
    Some(last.get_mut("response")?.take())
}
