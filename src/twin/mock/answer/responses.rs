//! Answers as OpenAI's responses have them: one item, a message or a call of a function.

use serde_json::{Value, json};

use super::{Answer, Chunk, event};
use crate::gateway::rate_card::Usage;

/// Events before the first chunk.
const BEFORE: u32 = 4;

/// A whole answer.
pub(super) fn whole(answer: &Answer) -> Value {
    let mut response = response(answer, if answer.is_limited { "incomplete" } else { "completed" });
    response["output"] = json!([item(answer, "completed", &content(answer))]);
    response["usage"] = usage(answer.usage);
    if answer.is_limited {
        response["incomplete_details"] = json!({"reason": "max_output_tokens"});
    }
    response
}

/// The response without its output, and the beginning of that.
pub(super) fn opening(answer: &Answer, out: &mut String) {
    event(&json!({"type": "response.created", "sequence_number": 0, "response": response(answer, "in_progress")}), out);
    event(&json!({"type": "response.in_progress", "sequence_number": 1, "response": response(answer, "in_progress")}), out);
    let mut item = item(answer, "in_progress", "");
    if answer.ask.tool.is_none() {
        item["content"] = json!([]);
    }
    event(&json!({"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": item}), out);
    if answer.ask.tool.is_none() {
        event(&with_place(answer, json!({"type": "response.content_part.added", "sequence_number": 3, "part": part("")})), out);
    }
}

/// One chunk.
pub(super) fn chunk(answer: &Answer, chunk: Chunk, out: &mut String) {
    let delta = json!({"type": kind(answer, "delta"), "sequence_number": BEFORE + chunk.number, "delta": answer.text(chunk)});
    event(&with_place(answer, delta), out);
}

/// All of it once more, and what it used.
pub(super) fn closing(answer: &Answer, out: &mut String) {
    let mut number = BEFORE + answer.usage.output.div_ceil(answer.chunk_tokens.max(1));
    let mut send = |mut value: Value| {
        value["sequence_number"] = number.into();
        number += 1;
        event(&value, out);
    };
    let content = content(answer);
    if answer.ask.tool.is_some() {
        send(with_place(answer, json!({"type": kind(answer, "done"), "arguments": content})));
    } else {
        send(with_place(answer, json!({"type": kind(answer, "done"), "text": content})));
        send(with_place(answer, json!({"type": "response.content_part.done", "part": part(&content)})));
    }
    send(json!({"type": "response.output_item.done", "output_index": 0, "item": item(answer, "completed", &content)}));
    let kind = if answer.is_limited { "response.incomplete" } else { "response.completed" };
    send(json!({"type": kind, "response": whole(answer)}));
}

fn response(answer: &Answer, status: &str) -> Value {
    json!({
        "id": answer.id("resp_"), "object": "response", "created_at": answer.created, "status": status, "model": answer.ask.model,
        "output": [], "error": null, "incomplete_details": null, "instructions": null, "metadata": {}, "parallel_tool_calls": true,
        "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto", "tools": [], "max_output_tokens": answer.ask.max_tokens, "usage": null,
    })
}

fn item(answer: &Answer, status: &str, content: &str) -> Value {
    match &answer.ask.tool {
        Some(tool) => json!({
            "type": "function_call", "id": answer.id("fc_"), "call_id": answer.id("call_"), "name": tool.name, "arguments": content, "status": status,
        }),
        None => json!({"type": "message", "id": answer.id("msg_"), "role": "assistant", "status": status, "content": [part(content)]}),
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

/// The same event with where in the output it belongs.
fn with_place(answer: &Answer, mut value: Value) -> Value {
    value["output_index"] = 0.into();
    if answer.ask.tool.is_some() {
        value["item_id"] = answer.id("fc_").into();
    } else {
        value["item_id"] = answer.id("msg_").into();
        value["content_index"] = 0.into();
    }
    value
}

fn kind(answer: &Answer, what: &str) -> String {
    let of = if answer.ask.tool.is_some() { "function_call_arguments" } else { "output_text" };
    format!("response.{of}.{what}")
}

fn content(answer: &Answer) -> String {
    answer.ask.tool.as_ref().map_or_else(|| answer.whole_text(0), |tool| tool.arguments.clone())
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input, "input_tokens_details": {"cached_tokens": usage.cache_read},
        "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": usage.reasoning}, "total_tokens": usage.total(),
    })
}
