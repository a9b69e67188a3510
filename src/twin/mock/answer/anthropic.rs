//! Answers as Anthropic's messages have them.

use serde_json::{Value, json};

use super::{Answer, Chunk, event};
use crate::gateway::rate_card::Usage;

/// A whole answer.
pub(super) fn whole(answer: &Answer) -> Value {
    let content = match &answer.ask.tool {
        Some(tool) => {
            let input: Value = serde_json::from_str(&tool.arguments).unwrap_or_default();
            json!({"type": "tool_use", "id": answer.id("toolu_"), "name": tool.name, "input": input})
        }
        None => json!({"type": "text", "text": answer.whole_text(0)}),
    };
    let mut message = message(answer, usage(answer.usage, answer.usage.output));
    message["content"] = json!([content]);
    message["stop_reason"] = finish(answer).into();
    message
}

/// The message without its content, and the beginning of that.
pub(super) fn opening(answer: &Answer, out: &mut String) {
    let used = usage(answer.usage, answer.usage.output.min(1));
    event(&json!({"type": "message_start", "message": message(answer, used)}), out);
    let block = match &answer.ask.tool {
        Some(tool) => json!({"type": "tool_use", "id": answer.id("toolu_"), "name": tool.name, "input": {}}),
        None => json!({"type": "text", "text": ""}),
    };
    event(&json!({"type": "content_block_start", "index": 0, "content_block": block}), out);
    event(&json!({"type": "ping"}), out);
}

/// One chunk.
pub(super) fn chunk(answer: &Answer, chunk: Chunk, out: &mut String) {
    let text = answer.text(chunk);
    let delta = match &answer.ask.tool {
        Some(_) => json!({"type": "input_json_delta", "partial_json": text}),
        None => json!({"type": "text_delta", "text": text}),
    };
    event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}), out);
}

/// Why it ended and what it used.
pub(super) fn closing(answer: &Answer, out: &mut String) {
    event(&json!({"type": "content_block_stop", "index": 0}), out);
    let delta = json!({"stop_reason": finish(answer), "stop_sequence": null});
    event(&json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": answer.usage.output}}), out);
    event(&json!({"type": "message_stop"}), out);
}

fn message(answer: &Answer, usage: Value) -> Value {
    json!({
        "id": answer.id("msg_"), "type": "message", "role": "assistant", "model": answer.ask.model,
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage,
    })
}

/// Input that is read from the prompt cache or written to it is no part of `input_tokens` there (P).
fn usage(usage: Usage, output: u32) -> Value {
    let written = usage.cache_write + usage.cache_write_1h;
    json!({
        "input_tokens": usage.input - usage.cache_read - written,
        "cache_read_input_tokens": usage.cache_read, "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": usage.cache_write_1h},
        "output_tokens": output, "service_tier": "standard",
    })
}

fn finish(answer: &Answer) -> &'static str {
    match &answer.ask.tool {
        _ if answer.is_limited => "max_tokens",
        Some(_) => "tool_use",
        None => "end_turn",
    }
}
