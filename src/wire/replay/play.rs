//! Whole answers played as streams, one function for each kind. Each text goes in one piece.

use serde_json::{Map, Value, json};

use super::super::sse;
use super::{Player, set};

/// A chat completion: for each choice its message and its end, then usage.
pub(super) fn chat(out: &mut Player, answer: &Value, include_usage: bool) -> Option<()> {
    let frame = frame(answer, "chat.completion.chunk")?;
    let with = |choices: Value| chunk(&frame, choices, include_usage);
    for choice in answer.get("choices")?.as_array()? {
        let mut delta = choice.get("message")?.as_object()?.clone();
        delta.retain(|_, value| !value.is_null());
        for (at, call) in (0u64..).zip(delta.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten()) {
            set(call, "index", at);
        }
        let logprobs = choice.get("logprobs").unwrap_or(&Value::Null);
        out.chunk(&with(json!([{ "index": choice["index"], "delta": delta, "logprobs": logprobs, "finish_reason": null }])));
        out.chunk(&with(json!([{ "index": choice["index"], "delta": {}, "logprobs": null, "finish_reason": choice["finish_reason"] }])));
    }
    end(out, &frame, answer, include_usage);
    Some(())
}

/// A completion: for each choice its text and its end, then usage.
pub(super) fn completions(out: &mut Player, answer: &Value, include_usage: bool) -> Option<()> {
    let frame = frame(answer, "text_completion")?;
    for choice in answer.get("choices")?.as_array()? {
        out.chunk(&chunk(&frame, json!([choice]), include_usage));
    }
    end(out, &frame, answer, include_usage);
    Some(())
}

/// What all chunks of an answer say.
fn frame(answer: &Value, object: &str) -> Option<Map<String, Value>> {
    let mut frame = answer.as_object()?.clone();
    frame.remove("choices")?;
    frame.remove("usage");
    frame.insert("object".into(), object.into());
    Some(frame)
}

fn chunk(frame: &Map<String, Value>, choices: Value, include_usage: bool) -> Value {
    let mut chunk = frame.clone();
    chunk.insert("choices".into(), choices);
    if include_usage {
        chunk.insert("usage".into(), Value::Null);
    }
    Value::Object(chunk)
}

fn end(out: &mut Player, frame: &Map<String, Value>, answer: &Value, include_usage: bool) {
    if let (true, Some(usage)) = (include_usage, answer.get("usage")) {
        let mut last = chunk(frame, json!([]), true);
        set(&mut last, "usage", usage.clone());
        out.chunk(&last);
    }
    out.out.extend_from_slice(sse::DONE);
}

/// A message: its frame, its blocks, its end.
pub(super) fn message(out: &mut Player, answer: &Value) -> Option<()> {
    let mut frame = answer.as_object()?.clone();
    let blocks = frame.insert("content".into(), json!([]))?;
    let (reason, sequence) = (frame.insert("stop_reason".into(), Value::Null), frame.insert("stop_sequence".into(), Value::Null));
    if let Some(output) = frame.get_mut("usage").and_then(|usage| usage.get_mut("output_tokens")) {
        *output = 0.into();
    }
    out.event(&json!({ "type": "message_start", "message": frame }));
    for (at, block) in (0u64..).zip(blocks.as_array()?) {
        let (start, deltas) = pieces(block)?;
        out.event(&json!({ "type": "content_block_start", "index": at, "content_block": start }));
        for delta in deltas {
            out.event(&json!({ "type": "content_block_delta", "index": at, "delta": delta }));
        }
        out.event(&json!({ "type": "content_block_stop", "index": at }));
    }
    let delta = json!({ "stop_reason": reason, "stop_sequence": sequence.unwrap_or(Value::Null) });
    out.event(&json!({ "type": "message_delta", "delta": delta, "usage": answer["usage"] }));
    out.event(&json!({ "type": "message_stop" }));
    Some(())
}

/// A block as it begins, and what then comes to it.
fn pieces(block: &Value) -> Option<(Value, Vec<Value>)> {
    let mut start = block.clone();
    let fields = start.as_object_mut()?;
    let mut deltas = Vec::new();
    // Field, its beginning, the delta's type, the delta's field.
    let parts = [("text", "text_delta", "text"), ("thinking", "thinking_delta", "thinking"), ("signature", "signature_delta", "signature")];
    for (field, kind, name) in parts {
        if let Some(text) = fields.get_mut(field).filter(|text| text.is_string()) {
            let text = std::mem::replace(text, "".into());
            deltas.push(json!({ "type": kind, name: text }));
        }
    }
    for citation in fields.get_mut("citations").and_then(Value::as_array_mut).map(std::mem::take).into_iter().flatten() {
        deltas.push(json!({ "type": "citations_delta", "citation": citation }));
    }
    if let Some(input) = fields.get_mut("input").filter(|_| block["type"].as_str().is_some_and(|kind| kind.ends_with("tool_use"))) {
        let input = std::mem::replace(input, json!({}));
        deltas.push(json!({ "type": "input_json_delta", "partial_json": input.to_string() }));
    }
    Some((start, deltas))
}

/// A response: its frame, its items, and itself at the end.
pub(super) fn response(out: &mut Player, answer: &Value) -> Option<()> {
    let items = answer.get("output")?.as_array()?;
    let mut frame = answer.clone();
    for (field, value) in [("output", json!([])), ("status", json!("in_progress")), ("usage", Value::Null)] {
        set(&mut frame, field, value);
    }
    out.numbered(json!({ "type": "response.created", "response": frame }));
    out.numbered(json!({ "type": "response.in_progress", "response": frame }));
    for (at, item) in (0u64..).zip(items) {
        let mut begun = item.clone();
        set(&mut begun, "status", "in_progress");
        let parts = item.get("content").and_then(Value::as_array).filter(|_| item["type"] == "message");
        if parts.is_some() {
            set(&mut begun, "content", json!([]));
        }
        let arguments = item.get("arguments").filter(|_| item["type"] == "function_call");
        if arguments.is_some() {
            set(&mut begun, "arguments", "");
        }
        out.numbered(json!({ "type": "response.output_item.added", "output_index": at, "item": begun }));
        for (index, part) in (0u64..).zip(parts.into_iter().flatten()) {
            content_part(out, &json!({ "item_id": item["id"], "output_index": at, "content_index": index }), part);
        }
        if let Some(arguments) = arguments {
            let place = json!({ "item_id": item["id"], "output_index": at });
            out.numbered(with(&place, json!({ "type": "response.function_call_arguments.delta", "delta": arguments })));
            out.numbered(with(&place, json!({ "type": "response.function_call_arguments.done", "arguments": arguments, "name": item["name"] })));
        }
        out.numbered(json!({ "type": "response.output_item.done", "output_index": at, "item": item }));
    }
    let kind = if answer["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
    out.numbered(json!({ "type": kind, "response": answer }));
    Some(())
}

fn content_part(out: &mut Player, place: &Value, part: &Value) {
    let field = if part["type"] == "refusal" { "refusal" } else { "text" };
    let name = if field == "refusal" { "response.refusal" } else { "response.output_text" };
    let mut begun = part.clone();
    set(&mut begun, field, "");
    out.numbered(with(place, json!({ "type": "response.content_part.added", "part": begun })));
    out.numbered(with(place, json!({ "type": format!("{name}.delta"), "delta": part[field], "logprobs": [] })));
    out.numbered(with(place, json!({ "type": format!("{name}.done"), field: part[field], "logprobs": [] })));
    out.numbered(with(place, json!({ "type": "response.content_part.done", "part": part })));
}

/// An event with its place.
fn with(place: &Value, mut event: Value) -> Value {
    for (key, value) in place.as_object().into_iter().flatten() {
        set(&mut event, key, value.clone());
    }
    event
}
