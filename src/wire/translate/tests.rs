//! Requests, answers and streams in the words of the other dialect, in both directions.

mod requests;
mod streams;

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::answer::Answer;
use super::super::features::{ANTHROPIC_WORDS, OPENAI_WORDS};
use super::super::{Dialect, Endpoint, Inbound, Target};
use super::*;

const CLAUDE: &str = "claude-sonnet-4-5";
const GPT: &str = "gpt-4o";

fn chat(body: Value) -> Inbound {
    read(Endpoint::ChatCompletions, body)
}

fn messages(body: Value) -> Inbound {
    read(Endpoint::Messages, body)
}

/// A request; `model`, `max_tokens` and a question stand for those that `body` lacks.
#[track_caller]
fn read(endpoint: Endpoint, mut body: Value) -> Inbound {
    let defaults = [("model", json!("asked-for")), ("max_tokens", json!(4000)), ("messages", json!([{ "role": "user", "content": "Hi" }]))];
    for (key, value) in defaults {
        if body.get(key).is_none() && (key != "max_tokens" || endpoint == Endpoint::Messages) {
            body[key] = value;
        }
    }
    Inbound::read(endpoint, body.to_string().into()).unwrap()
}

fn target(inbound: &Inbound, model: &'static str) -> Target<'static> {
    let dialect = match inbound.endpoint.dialect() {
        Dialect::OpenAi => Dialect::Anthropic,
        Dialect::Anthropic => Dialect::OpenAi,
    };
    Target { dialect, model, max_tokens: 4000, output_tokens_max: 8000, stream_options: true }
}

/// What goes to a model of the other dialect.
#[track_caller]
fn sent_to(model: &'static str, inbound: &Inbound) -> Value {
    assert!(stays_with_its_dialect(inbound).is_none(), "{:?}", stays_with_its_dialect(inbound));
    serde_json::from_slice(&inbound.outbound(&target(inbound, model)).unwrap()).unwrap()
}

/// Why a request may not go to the other dialect, as the core is told.
fn stays_with_its_dialect(inbound: &Inbound) -> Option<String> {
    let words = OPENAI_WORDS.and(ANTHROPIC_WORDS);
    let stays = inbound.requires.without(words) != inbound.requires;
    stays.then(|| known::unknown(inbound.endpoint, inbound.root()).unwrap_or_else(|| "a feature".into()))
}

#[track_caller]
fn answered(inbound: &Inbound, upstream: Value) -> Value {
    let dialect = target(inbound, GPT).dialect;
    let answer = Answer::read(inbound, dialect, Bytes::from(upstream.to_string())).unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn an_answer_of_anthropic_is_a_chat_completion() {
    let upstream = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [
            { "type": "thinking", "thinking": "Let me \"see\".", "signature": "c2ln" },
            { "type": "text", "text": "It is\n" },
            { "type": "text", "text": "sunny." },
            { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "city": "Zürich" } },
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000, "output_tokens": 40 },
    });
    let mut answer = answered(&chat(json!({})), upstream);
    assert!(answer["created"].as_u64().is_some_and(|created| created > 1_700_000_000));
    answer["created"] = json!(0);
    let expected = json!({
        "id": "msg_1", "object": "chat.completion", "created": 0, "model": "asked-for",
        "choices": [{
            "index": 0,
            "message": {
                "role": "assistant", "content": "It is\nsunny.", "refusal": null, "reasoning_content": "Let me \"see\".",
                "tool_calls": [{ "id": "toolu_1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Zürich\"}" } }],
            },
            "logprobs": null, "finish_reason": "tool_calls",
        }],
        "usage": {
            "prompt_tokens": 3210, "completion_tokens": 40, "total_tokens": 3250,
            "prompt_tokens_details": { "cached_tokens": 3000, "cache_write_tokens": 200 },
        },
    });
    assert_eq!(answer, expected);
}

#[test]
fn an_answer_of_openai_is_a_message() {
    let call = |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": "weather", "arguments": arguments } });
    let upstream = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "gpt-4o-2024-11-20",
        "choices": [{
            "index": 0, "finish_reason": "tool_calls", "logprobs": null,
            "message": { "role": "assistant", "content": "Let me look.", "refusal": null,
                "tool_calls": [call("call_1", "{\"city\": \"Zürich\"}"), call("call_2", ""), call("call_3", "no JSON")] },
        }],
        "usage": { "prompt_tokens": 1210, "completion_tokens": 40, "total_tokens": 1250, "prompt_tokens_details": { "cached_tokens": 1024 } },
    });
    let expected = json!({
        "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "asked-for",
        "content": [
            { "type": "text", "text": "Let me look." },
            { "type": "tool_use", "id": "call_1", "name": "weather", "input": { "city": "Zürich" } },
            { "type": "tool_use", "id": "call_2", "name": "weather", "input": {} },
            { "type": "tool_use", "id": "call_3", "name": "weather", "input": { "arguments": "no JSON" } },
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 186, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 1024, "output_tokens": 40 },
    });
    assert_eq!(answered(&messages(json!({})), upstream), expected);
}

#[test]
fn every_reason_to_stop_has_its_counterpart() {
    let of_anthropic = |reason: &str| {
        let upstream =
            json!({ "id": "m", "type": "message", "content": [], "stop_reason": reason, "usage": { "input_tokens": 1, "output_tokens": 1 } });
        answered(&chat(json!({})), upstream)["choices"][0]["finish_reason"].as_str().unwrap().to_owned()
    };
    for (reason, expected) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ] {
        assert_eq!(of_anthropic(reason), expected, "{reason}");
    }
    let of_openai = |reason: &str, message: Value| {
        let upstream = json!({ "id": "c", "choices": [{ "index": 0, "message": message, "finish_reason": reason }] });
        answered(&messages(json!({})), upstream)["stop_reason"].as_str().unwrap().to_owned()
    };
    let said = || json!({ "content": "x" });
    assert_eq!(of_openai("stop", said()), "end_turn");
    assert_eq!(of_openai("length", said()), "max_tokens");
    assert_eq!(of_openai("content_filter", said()), "refusal");
    assert_eq!(of_openai("stop", json!({ "content": null, "refusal": "I can't." })), "refusal");
    let forced = json!({ "content": null, "tool_calls": [{ "id": "a", "function": { "name": "f", "arguments": "{}" } }] });
    assert_eq!(of_openai("stop", forced), "tool_use", "a forced call ends with `stop` at OpenAI");
}

#[test]
fn a_refusal_is_said_in_words() {
    let upstream = json!({ "id": "c", "choices": [{ "index": 0, "message": { "content": null, "refusal": "I can't." }, "finish_reason": "stop" }] });
    assert_eq!(answered(&messages(json!({})), upstream)["content"], json!([{ "type": "text", "text": "I can't." }]));
}

#[test]
fn what_is_no_answer_is_broken() {
    let broken = |inbound: &Inbound, body: Value| Answer::read(inbound, target(inbound, GPT).dialect, body.to_string().into()).unwrap_err().class;
    assert_eq!(broken(&chat(json!({})), json!({ "type": "message" })), crate::gateway::failure::FailureClass::BadGateway);
    assert_eq!(broken(&messages(json!({})), json!({ "choices": [] })), crate::gateway::failure::FailureClass::BadGateway);
    assert_eq!(broken(&messages(json!({})), json!({ "choices": [{ "index": 0 }] })), crate::gateway::failure::FailureClass::BadGateway);
}
