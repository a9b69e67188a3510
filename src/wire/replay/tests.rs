use serde_json::json;

use super::*;

fn chat_answer() -> Value {
    let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let logprobs = json!({ "content": [{ "token": "Hi", "logprob": -0.5 }], "refusal": null });
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "gpt-4o",
        "choices": [
            { "index": 0, "message": { "role": "assistant", "content": "Hi \"ann\"\nü" }, "logprobs": logprobs, "finish_reason": "stop" },
            { "index": 1, "message": { "role": "assistant", "content": null, "tool_calls": [call("a"), call("b")] }, "finish_reason": "tool_calls" },
        ],
        "usage": { "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12 },
    })
}

fn message_answer() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": [
            { "type": "thinking", "thinking": "hm", "signature": "sig" },
            { "type": "text", "text": "Grüezi", "citations": [{ "type": "char_location", "cited_text": "x" }] },
            { "type": "tool_use", "id": "t", "name": "f", "input": { "a": [1, 2] } },
            { "type": "tool_use", "id": "u", "name": "g", "input": {} },
            { "type": "redacted_thinking", "data": "abc" },
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 7 },
    })
}

fn response_answer() -> Value {
    json!({
        "id": "resp_1", "object": "response", "status": "completed", "error": null, "model": "o3",
        "output": [
            { "id": "rs", "type": "reasoning", "summary": [] },
            { "id": "m", "type": "message", "status": "completed", "role": "assistant", "content": [{ "type": "output_text", "text": "Hi", "annotations": [] }] },
            { "id": "f", "type": "function_call", "status": "completed", "call_id": "c", "name": "g", "arguments": "{}" },
        ],
        "usage": { "input_tokens": 3, "output_tokens": 2, "total_tokens": 5 },
    })
}

fn completion_answer() -> Value {
    json!({
        "id": "cmpl-1", "object": "text_completion", "created": 5, "model": "m",
        "choices": [{ "text": "one", "index": 0, "logprobs": null, "finish_reason": "stop" }, { "text": "two", "index": 1, "logprobs": null, "finish_reason": "length" }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7 },
    })
}

#[track_caller]
fn there_and_back(endpoint: Endpoint, answer: &Value) {
    let stream = as_stream(endpoint, answer.to_string().as_bytes(), true).unwrap();
    let back = as_whole(endpoint, &stream).unwrap();
    let mut back: Value = serde_json::from_slice(&back).unwrap();
    // Choices without log probabilities may say so or not.
    for choice in back.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten() {
        if choice["logprobs"].is_null() && endpoint == Endpoint::ChatCompletions {
            choice.as_object_mut().unwrap().remove("logprobs");
        }
        if let Some(logprobs) = choice.get_mut("logprobs").and_then(Value::as_object_mut) {
            logprobs.entry("refusal").or_insert(Value::Null);
        }
    }
    assert_eq!(&back, answer, "{}", String::from_utf8_lossy(&stream));
}

#[test]
fn an_answer_comes_back_from_its_stream() {
    there_and_back(Endpoint::ChatCompletions, &chat_answer());
    there_and_back(Endpoint::Completions, &completion_answer());
    there_and_back(Endpoint::Messages, &message_answer());
    there_and_back(Endpoint::Responses, &response_answer());
}

#[test]
fn a_replayed_stream_is_whole_to_a_relay() {
    use super::super::relay::{Ended, Relay};
    use super::super::{Endpoint::*, Inbound};
    for (endpoint, answer) in
        [(ChatCompletions, chat_answer()), (Completions, completion_answer()), (Messages, message_answer()), (Responses, response_answer())]
    {
        let mut body = json!({ "model": "m", "stream": true, "messages": [{ "role": "user" }], "input": "x", "n": 2 });
        if endpoint == Messages {
            body["max_tokens"] = json!(5);
        }
        let inbound = Inbound::read(endpoint, body.to_string().into()).unwrap();
        let mut relay = Relay::new(&inbound, endpoint.dialect());
        relay.push(as_stream(endpoint, answer.to_string().as_bytes(), true).unwrap());
        assert_eq!(relay.finish(), Ended::Whole, "{endpoint:?}");
        assert!(relay.usage().is_some_and(|usage| usage.output > 0) && relay.has_content(), "{endpoint:?}");
    }
}

#[test]
fn usage_is_told_in_a_stream_only_if_asked_for() {
    let stream = as_stream(Endpoint::ChatCompletions, chat_answer().to_string().as_bytes(), false).unwrap();
    assert!(!String::from_utf8_lossy(&stream).contains("usage"));
}

#[test]
fn pieces_of_a_provider_make_one_answer() {
    let chunk = |choice: Value| format!("data: {}\n\n", json!({ "id": "c", "object": "chat.completion.chunk", "choices": [choice] }));
    let delta = |delta: Value| chunk(json!({ "index": 0, "delta": delta, "finish_reason": null }));
    let call = |call: Value| delta(json!({ "tool_calls": [call] }));
    let stream = [
        delta(json!({ "role": "assistant", "content": "" })),
        delta(json!({ "content": "Hel" })),
        delta(json!({ "content": "lo" })),
        call(json!({ "index": 0, "id": "a", "type": "function", "function": { "name": "f", "arguments": "" } })),
        call(json!({ "index": 0, "function": { "arguments": "{\"x\":" } })),
        call(json!({ "index": 0, "function": { "arguments": "1}" } })),
        call(json!({ "index": 1, "id": "b", "type": "function", "function": { "name": "g", "arguments": "{}" } })),
        chunk(json!({ "index": 0, "delta": {}, "finish_reason": "tool_calls" })),
        "data: [DONE]\n\n".into(),
    ]
    .concat();
    let whole: Value = serde_json::from_slice(&as_whole(Endpoint::ChatCompletions, stream.as_bytes()).unwrap()).unwrap();
    let calls = json!([
        { "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"x\":1}" } },
        { "id": "b", "type": "function", "function": { "name": "g", "arguments": "{}" } },
    ]);
    let message = json!({ "role": "assistant", "content": "Hello", "tool_calls": calls });
    assert_eq!(whole["choices"], json!([{ "index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": null }]));
}

#[test]
fn half_a_stream_is_no_answer() {
    for (endpoint, answer) in
        [(Endpoint::ChatCompletions, chat_answer()), (Endpoint::Messages, message_answer()), (Endpoint::Responses, response_answer())]
    {
        let stream = as_stream(endpoint, answer.to_string().as_bytes(), true).unwrap();
        assert_eq!(as_whole(endpoint, &stream[..stream.len() / 2]), None, "{endpoint:?}");
    }
    let failed = "data: {\"error\":{\"message\":\"x\"}}\n\n";
    assert_eq!(as_whole(Endpoint::ChatCompletions, failed.as_bytes()), None);
}

/// Puts another value somewhere into an answer.
fn spoil(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| spoil(value, at, with)),
        Value::Object(object) => object.values_mut().for_each(|value| spoil(value, at, with)),
        _ => {}
    }
}

/// Whatever stands where in an answer, or in an event of its stream, playing and collecting it stand.
#[test]
fn any_answer_is_survived() {
    for (endpoint, answer) in [
        (Endpoint::ChatCompletions, chat_answer()),
        (Endpoint::Completions, completion_answer()),
        (Endpoint::Messages, message_answer()),
        (Endpoint::Responses, response_answer()),
    ] {
        let stream = as_stream(endpoint, answer.to_string().as_bytes(), true).unwrap();
        let text = String::from_utf8(stream.to_vec()).unwrap();
        let blocks: Vec<&str> = text.split_inclusive("\n\n").collect();
        for with in [json!(null), json!(false), json!(7), json!("é"), json!([]), json!([{}]), json!({}), json!({ "type": "text" })] {
            for spoilt in spoilt(&answer, &with) {
                as_stream(endpoint, spoilt.to_string().as_bytes(), true);
            }
            for (number, block) in blocks.iter().enumerate() {
                let Some((head, data)) = block.split_once("data: ").filter(|(_, data)| data.starts_with('{')) else { continue };
                for spoilt in spoilt(&serde_json::from_str(data).unwrap(), &with) {
                    let event = format!("{head}data: {spoilt}\n\n");
                    let stream = [&blocks[..number], &[&event], &blocks[number + 1..]].concat().concat();
                    as_whole(endpoint, stream.as_bytes());
                }
            }
        }
    }
}

/// A value as it would be with another in one place of it, for every place.
fn spoilt(value: &Value, with: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let (mut at, mut spoilt) = (all.len(), value.clone());
        spoil(&mut spoilt, &mut at, with);
        // All places were counted, and none was the one.
        if at < usize::MAX / 2 {
            return all;
        }
        all.push(spoilt);
    }
}
