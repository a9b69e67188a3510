//! Answers as OpenAI's chat completions, completions and embeddings have them.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Answer, Chunk, data};
use crate::gateway::draw::{self, Purpose};
use crate::gateway::rate_card::Usage;
use crate::twin::mock::ask::Endpoint;

/// A whole answer.
pub(super) fn whole(answer: &Answer) -> Value {
    let choices: Vec<Value> = (0..u32::from(answer.ask.choices)).map(|index| choice(answer, index)).collect();
    let (prefix, object) = if is_chat(answer) { ("chatcmpl-", "chat.completion") } else { ("cmpl-", "text_completion") };
    json!({
        "id": answer.id(prefix), "object": object, "created": answer.created, "model": answer.ask.model,
        "choices": choices, "usage": usage(answer.usage), "service_tier": "default", "system_fingerprint": "fp_gwsim",
    })
}

/// Embeddings: numbers that depend on the text alone.
pub(super) fn embeddings(answer: &Answer) -> Value {
    let numbers = |subject: u64| (0..answer.ask.dimensions).map(move |ordinal| draw::below(draw::bits(0, subject, Purpose::Traffic, ordinal), 2000));
    let value = |number: u64| (number as f32 - 1000.0) / 1000.0;
    let embedding = |subject: u64| {
        if answer.ask.base64 {
            let bytes: Vec<u8> = numbers(subject).flat_map(|number| value(number).to_le_bytes()).collect();
            return base64(&bytes).into();
        }
        numbers(subject).map(|number| json!((f64::from(number as u32) - 1000.0) / 1000.0)).collect::<Value>()
    };
    let item = |(index, subject): (usize, &u64)| json!({"object": "embedding", "index": index, "embedding": embedding(*subject)});
    let data: Vec<Value> = answer.ask.inputs.iter().enumerate().map(item).collect();
    json!({
        "object": "list", "data": data, "model": answer.ask.model,
        "usage": {"prompt_tokens": answer.usage.input, "total_tokens": answer.usage.input},
    })
}

/// The first event of each answer.
pub(super) fn opening(answer: &Answer, out: &mut String) {
    if !is_chat(answer) {
        return;
    }
    for index in 0..answer.ask.choices {
        let mut delta = json!({"role": "assistant", "content": "", "refusal": null});
        if let Some(tool) = &answer.ask.tool {
            delta["content"] = Value::Null;
            delta["tool_calls"] =
                json!([{"index": 0, "id": answer.id("call_"), "type": "function", "function": {"name": tool.name, "arguments": ""}}]);
        }
        event(answer, &json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": null}]), None, out);
    }
}

/// One chunk: what most of a stream is, so it is put together by hand.
pub(super) fn chunk(answer: &Answer, chunk: Chunk, out: &mut String) {
    let (text, index) = (answer.text(chunk), answer.choice(chunk));
    let (prefix, object) = names(answer);
    let usage = if answer.ask.include_usage { ",\"usage\":null" } else { "" };
    let model = Value::from(answer.ask.model.as_str());
    let delta = match (&answer.ask.tool, is_chat(answer)) {
        (Some(_), true) => format!("\"delta\":{}", json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})),
        (_, true) => format!("\"delta\":{{\"content\":\"{text}\"}}"),
        (_, false) => format!("\"text\":\"{text}\""),
    };
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "data: {{\"id\":\"{prefix}{:016x}\",\"object\":\"{object}\",\"created\":{},\"model\":{model},\
         \"choices\":[{{\"index\":{index},{delta},\"logprobs\":null,\"finish_reason\":null}}]{usage}}}\n\n",
        answer.number, answer.created
    );
}

/// Why each answer ended, what all used if that was asked for, and that it is done.
pub(super) fn closing(answer: &Answer, out: &mut String) {
    for index in 0..answer.ask.choices {
        let content = if is_chat(answer) { ("delta", json!({})) } else { ("text", json!("")) };
        let mut choice = json!({"index": index, "logprobs": null, "finish_reason": finish(answer)});
        choice[content.0] = content.1;
        event(answer, &json!([choice]), None, out);
    }
    if answer.ask.include_usage {
        event(answer, &json!([]), Some(usage(answer.usage)), out);
    }
    out.push_str("data: [DONE]\n\n");
}

/// What was used.
fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": usage.total(),
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0},
    })
}

fn choice(answer: &Answer, index: u32) -> Value {
    if !is_chat(answer) {
        return json!({"index": index, "text": answer.whole_text(index), "logprobs": null, "finish_reason": finish(answer)});
    }
    let mut message = json!({"role": "assistant", "content": answer.whole_text(index), "refusal": null});
    if let Some(tool) = &answer.ask.tool {
        message["content"] = Value::Null;
        message["tool_calls"] = json!([{"id": answer.id("call_"), "type": "function", "function": {"name": tool.name, "arguments": tool.arguments}}]);
    }
    json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish(answer)})
}

fn event(answer: &Answer, choices: &Value, usage: Option<Value>, out: &mut String) {
    let (prefix, object) = names(answer);
    let mut value = json!({"id": answer.id(prefix), "object": object, "created": answer.created, "model": answer.ask.model, "choices": choices});
    if answer.ask.include_usage {
        value["usage"] = usage.unwrap_or_default();
    }
    data(&value, out);
}

fn names(answer: &Answer) -> (&'static str, &'static str) {
    if is_chat(answer) { ("chatcmpl-", "chat.completion.chunk") } else { ("cmpl-", "text_completion") }
}

fn finish(answer: &Answer) -> &'static str {
    match &answer.ask.tool {
        _ if answer.is_limited => "length",
        Some(_) => "tool_calls",
        None => "stop",
    }
}

fn is_chat(answer: &Answer) -> bool {
    answer.ask.endpoint == Endpoint::Chat
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize % 64];
            text.push(if place <= three.len() { letter as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_as_the_standard_has_it() {
        let vectors = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
