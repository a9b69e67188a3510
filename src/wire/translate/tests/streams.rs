//! Streams in the words of the other dialect.

use proptest::prelude::*;

use super::super::super::relay::{Ended, Relay};
use super::*;

/// What a client gets of a stream that comes in these chunks.
fn relayed(inbound: &Inbound, chunks: &[&[u8]]) -> (Vec<u8>, Ended) {
    let mut relay = Relay::new(inbound, target(inbound, GPT).dialect);
    let mut out = Vec::new();
    for chunk in chunks {
        relay.push(Bytes::copy_from_slice(chunk));
        while let Some(bytes) = relay.take() {
            out.extend_from_slice(&bytes);
        }
    }
    let ended = relay.finish();
    while let Some(bytes) = relay.take() {
        out.extend_from_slice(&bytes);
    }
    (out, ended)
}

/// The data of events, `[DONE]` as a string.
fn events(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
}

fn of_anthropic(events: &[Value]) -> String {
    events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect()
}

fn of_openai(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>() + "data: [DONE]\n\n"
}

fn message_start() -> Value {
    json!({ "type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": { "input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 90, "output_tokens": 1 },
    } })
}

fn start(index: u32, block: Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: u32, delta: Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn stop(index: u32) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

fn anthropic_answer() -> Vec<Value> {
    vec![
        message_start(),
        start(0, json!({ "type": "thinking", "thinking": "", "signature": "" })),
        json!({ "type": "ping" }),
        delta(0, json!({ "type": "thinking_delta", "thinking": "Hm…" })),
        delta(0, json!({ "type": "signature_delta", "signature": "c2ln" })),
        stop(0),
        start(1, json!({ "type": "text", "text": "" })),
        delta(1, json!({ "type": "text_delta", "text": "Zü" })),
        delta(1, json!({ "type": "text_delta", "text": "rich\n\"🏔\"" })),
        stop(1),
        start(2, json!({ "type": "tool_use", "id": "toolu_1", "name": "f", "input": {} })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": "" })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": "{\"a\":" })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": " 1}" })),
        stop(2),
        start(3, json!({ "type": "tool_use", "id": "toolu_2", "name": "g", "input": {} })),
        stop(3),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use", "stop_sequence": null }, "usage": { "output_tokens": 55 } }),
        json!({ "type": "message_stop" }),
    ]
}

#[test]
fn a_stream_of_anthropic_is_one_of_chunks() {
    let inbound = chat(json!({ "stream": true, "stream_options": { "include_usage": true } }));
    let (stream, ended) = relayed(&inbound, &[of_anthropic(&anthropic_answer()).as_bytes()]);
    assert_eq!(ended, Ended::Whole);
    let chunks = events(&stream);
    let usage = json!({
        "prompt_tokens": 100, "completion_tokens": 55, "total_tokens": 155, "prompt_tokens_details": { "cached_tokens": 90 },
    });
    let (done, chunks) = chunks.split_last().unwrap();
    let (last, chunks) = chunks.split_last().unwrap();
    assert_eq!((done, &last["usage"], &last["choices"]), (&json!("[DONE]"), &usage, &json!([])));
    for chunk in chunks {
        assert_eq!((&chunk["id"], &chunk["object"], &chunk["model"]), (&json!("msg_1"), &json!("chat.completion.chunk"), &json!("asked-for")));
        assert!(chunk["usage"].is_null() && chunk["created"].is_u64() && chunk["choices"][0]["index"] == 0);
    }
    let (finish, chunks) = chunks.split_last().unwrap();
    assert_eq!(finish["choices"][0]["finish_reason"], "tool_calls");
    let deltas: Vec<Value> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    let call = |call: Value| json!({ "tool_calls": [call] });
    let expected = [
        json!({ "role": "assistant", "content": "" }),
        json!({ "reasoning_content": "Hm…" }),
        json!({ "content": "Zü" }),
        json!({ "content": "rich\n\"🏔\"" }),
        call(json!({ "index": 0, "id": "toolu_1", "type": "function", "function": { "name": "f", "arguments": "" } })),
        call(json!({ "index": 0, "function": { "arguments": "{\"a\":" } })),
        call(json!({ "index": 0, "function": { "arguments": " 1}" } })),
        call(json!({ "index": 1, "id": "toolu_2", "type": "function", "function": { "name": "g", "arguments": "" } })),
        call(json!({ "index": 1, "function": { "arguments": "{}" } })),
    ];
    assert_eq!(deltas, expected);
}

#[test]
fn usage_that_was_not_asked_for_stays_but_is_kept_in_the_copy() {
    let inbound = chat(json!({ "stream": true }));
    let mut relay = Relay::new(&inbound, Dialect::Anthropic);
    relay.record(1 << 20);
    relay.push(of_anthropic(&anthropic_answer()).into());
    let mut stream = Vec::new();
    while let Some(bytes) = relay.take() {
        stream.extend_from_slice(&bytes);
    }
    assert!(relay.is_over() && relay.usage().is_some());
    assert!(events(&stream).iter().all(|chunk| chunk.get("usage").is_none()));
    assert_eq!(events(&stream).last(), Some(&json!("[DONE]")));
    let copy = events(&relay.recorded().unwrap());
    assert_eq!(copy[copy.len() - 2]["usage"]["total_tokens"], 155);
    assert_eq!(copy.len(), events(&stream).len() + 1);
}

fn chunk(delta: Value, finish_reason: Value) -> Value {
    json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }] })
}

fn piece(index: u32, id: Option<&str>, arguments: &str) -> Value {
    match id {
        Some(id) => json!({ "index": index, "id": id, "type": "function", "function": { "name": format!("f_{id}"), "arguments": arguments } }),
        None => json!({ "index": index, "function": { "arguments": arguments } }),
    }
}

fn openai_usage() -> Value {
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 55, "total_tokens": 155, "prompt_tokens_details": { "cached_tokens": 64 } });
    json!({ "id": "chatcmpl-1", "choices": [], "usage": usage })
}

fn openai_answer() -> Vec<Value> {
    vec![
        json!({ "id": "", "choices": [], "prompt_filter_results": [] }),
        chunk(json!({ "role": "assistant", "content": "", "refusal": null }), json!(null)),
        chunk(json!({ "content": "Zü" }), json!(null)),
        chunk(json!({ "content": "rich 🏔" }), json!(null)),
        chunk(json!({ "tool_calls": [piece(0, Some("a"), "")] }), json!(null)),
        chunk(json!({ "tool_calls": [piece(0, None, "{\"x\":")] }), json!(null)),
        chunk(json!({ "tool_calls": [piece(0, None, "\"}\"}")] }), json!(null)),
        chunk(json!({ "tool_calls": [piece(1, Some("b"), "{}")] }), json!(null)),
        chunk(json!({}), json!("tool_calls")),
        openai_usage(),
    ]
}

fn block_events() -> Vec<Value> {
    let call = |id: &str| json!({ "type": "tool_use", "id": id, "name": format!("f_{id}"), "input": {} });
    let input = |index: u32, json: &str| delta(index, json!({ "type": "input_json_delta", "partial_json": json }));
    vec![
        start(0, json!({ "type": "text", "text": "" })),
        delta(0, json!({ "type": "text_delta", "text": "Zü" })),
        delta(0, json!({ "type": "text_delta", "text": "rich 🏔" })),
        stop(0),
        start(1, call("a")),
        input(1, "{\"x\":"),
        input(1, "\"}\"}"),
        stop(1),
        start(2, call("b")),
        input(2, "{}"),
        stop(2),
    ]
}

#[test]
fn a_stream_of_chunks_is_one_of_messages() {
    let inbound = messages(json!({ "stream": true }));
    let (stream, ended) = relayed(&inbound, &[of_openai(&openai_answer()).as_bytes()]);
    assert_eq!(ended, Ended::Whole);
    let nothing = json!({ "input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0 });
    let first = json!({ "type": "message_start", "message": {
        "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "asked-for", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": nothing,
    } });
    let usage = json!({ "input_tokens": 36, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 64, "output_tokens": 55 });
    let last = [
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use", "stop_sequence": null }, "usage": usage }),
        json!({ "type": "message_stop" }),
    ];
    let expected: Vec<Value> = std::iter::once(first).chain(block_events()).chain(last).collect();
    assert_eq!(events(&stream), expected);
    let names: Vec<&str> = std::str::from_utf8(&stream).unwrap().lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names, expected.iter().map(|event| event["type"].as_str().unwrap()).collect::<Vec<_>>());
}

#[test]
fn calls_whose_pieces_come_in_turn_have_one_block_after_the_other() {
    let inbound = messages(json!({ "stream": true }));
    let chunks = [
        chunk(json!({ "content": "Zürich 🏔" }), json!(null)),
        chunk(json!({ "tool_calls": [piece(0, Some("a"), ""), piece(1, Some("b"), "")] }), json!(null)),
        chunk(json!({ "tool_calls": [piece(0, None, "{\"x\":"), piece(1, None, "{")] }), json!(null)),
        chunk(json!({ "tool_calls": [piece(1, None, "}"), piece(0, None, "\"}\"}")] }), json!(null)),
        chunk(json!({}), json!("tool_calls")),
    ];
    let (stream, _) = relayed(&inbound, &[of_openai(&chunks).as_bytes()]);
    let pieces = |events: &[Value]| -> Vec<(u64, String)> {
        let mut blocks: Vec<(u64, String)> = Vec::new();
        for event in events {
            let index = event["index"].as_u64();
            match event["type"].as_str().unwrap() {
                "content_block_start" => blocks.push((index.unwrap(), event["content_block"]["id"].as_str().unwrap_or("text").to_owned())),
                "content_block_delta" => {
                    let (open, text) = blocks.last_mut().unwrap();
                    assert_eq!(Some(*open), index, "only the last block is open");
                    text.push_str(event["delta"]["partial_json"].as_str().or(event["delta"]["text"].as_str()).unwrap());
                }
                _ => {}
            }
        }
        blocks
    };
    assert_eq!(pieces(&events(&stream)), pieces(&block_events()));
}

#[test]
fn calls_without_numbers_are_told_apart_by_their_identity() {
    let inbound = messages(json!({ "stream": true }));
    let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let numbered = |id: &str| json!({ "index": 0, "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
    for calls in [json!([call("a"), call("b")]), json!([numbered("a"), numbered("b")])] {
        let (stream, _) = relayed(&inbound, &[of_openai(&[chunk(json!({ "tool_calls": calls }), json!("stop"))]).as_bytes()]);
        let events = events(&stream);
        let begun: Vec<&Value> = events.iter().filter_map(|event| event["content_block"].get("id")).collect();
        assert_eq!(begun, ["a", "b"]);
        assert!(events.iter().any(|event| event["delta"]["stop_reason"] == "tool_use"));
    }
}

#[test]
fn a_stream_that_lacks_its_last_words_but_is_whole_gets_them() {
    let whole = of_openai(&openai_answer());
    let (stream, ended) = relayed(&messages(json!({ "stream": true })), &[whole.trim_end().strip_suffix("data: [DONE]").unwrap().as_bytes()]);
    assert_eq!((ended, events(&stream).last()), (Ended::Whole, Some(&json!({ "type": "message_stop" }))));
    let answer = anthropic_answer();
    let (stream, ended) = relayed(&chat(json!({ "stream": true })), &[of_anthropic(&answer[..answer.len() - 1]).as_bytes()]);
    assert_eq!((ended, events(&stream).last()), (Ended::Whole, Some(&json!("[DONE]"))));
}

#[test]
fn a_stream_that_breaks_off_has_no_clean_end() {
    for length in 1..anthropic_answer().len() - 2 {
        let (stream, ended) = relayed(&chat(json!({ "stream": true })), &[of_anthropic(&anthropic_answer()[..length]).as_bytes()]);
        assert_eq!(ended, Ended::Cut);
        assert!(!String::from_utf8(stream).unwrap().contains("[DONE]"));
    }
    let chunks = openai_answer();
    for length in 1..chunks.len() - 2 {
        let whole = of_openai(&chunks[..length]);
        let (stream, ended) = relayed(&messages(json!({ "stream": true })), &[whole.strip_suffix("data: [DONE]\n\n").unwrap().as_bytes()]);
        assert_eq!(ended, Ended::Cut);
        assert!(!String::from_utf8(stream).unwrap().contains("message_stop"));
    }
}

#[test]
fn an_error_of_the_upstream_is_the_relays_and_not_passed_on() {
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let stream = of_anthropic(&[message_start(), error]);
    let (out, ended) = relayed(&chat(json!({ "stream": true })), &[stream.as_bytes()]);
    assert_eq!(ended, Ended::Cut);
    assert!(!String::from_utf8(out).unwrap().contains("verloaded"));
}

fn cut<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    at.extend([0, stream.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The client's stream does not depend on how the upstream's was cut into chunks.
    #[test]
    fn any_chunking_gives_the_same_stream(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40), line_end in prop::sample::select(vec!["\n", "\r\n", "\r"])) {
        let (chat, messages) = (chat(json!({ "stream": true })), messages(json!({ "stream": true })));
        for (inbound, stream) in [(chat, of_anthropic(&anthropic_answer())), (messages, of_openai(&openai_answer()))] {
            let whole = events(&relayed(&inbound, &[stream.as_bytes()]).0);
            let stream = stream.replace('\n', line_end);
            let mut cut = events(&relayed(&inbound, &cut(stream.as_bytes(), &cuts)).0);
            // The clock may have gone on.
            for (cut, whole) in cut.iter_mut().zip(&whole).filter(|(cut, _)| cut.get("created").is_some()) {
                cut["created"] = whole["created"].clone();
            }
            prop_assert_eq!(cut, whole);
        }
    }
}

/// Something in the shape of an answer, a message or a delta, as either dialect has it, with anything in it.
fn any_upstream() -> impl Strategy<Value = Value> {
    (requests::any_json(), requests::any_json(), any::<bool>(), 0..6u32).prop_map(|(one, other, is_openai, kind)| {
        let calls = json!([{ "index": kind % 2, "id": one, "function": other }, { "function": { "name": one, "arguments": other } }, other]);
        let message = json!({ "role": "assistant", "content": one, "refusal": other, "tool_calls": calls });
        if is_openai {
            return json!({ "id": other, "choices": [{ "index": 0, "message": message, "delta": message, "finish_reason": one }], "usage": null });
        }
        let block = json!({ "type": "tool_use", "id": one, "name": other, "input": one, "text": other });
        let event = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"][kind as usize];
        json!({ "type": event, "index": kind % 2, "message": { "id": one }, "content_block": block, "delta": other, "content": [block, one, other], "stop_reason": one })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever an upstream answers, the client gets JSON, or the gateway an error; and a stream ends at most once.
    #[test]
    fn no_upstream_can_break_what_its_client_reads(parts in prop::collection::vec(any_upstream(), 1..8)) {
        for inbound in [chat(json!({ "stream": true })), messages(json!({ "stream": true }))] {
            for part in &parts {
                if let Ok(answer) = Answer::read(&inbound, target(&inbound, GPT).dialect, part.to_string().into()) {
                    prop_assert!(serde_json::from_slice::<Value>(&answer.body).is_ok(), "{:?}", answer.body);
                }
            }
            let (stream, _) = relayed(&inbound, &[of_openai(&parts).as_bytes()]);
            let events = events(&stream);
            let ends = |event: &&Value| **event == json!("[DONE]") || event["type"] == "message_stop";
            prop_assert!(events.iter().filter(ends).count() <= 1);
            prop_assert!(events.iter().all(|event| event.is_object() || *event == json!("[DONE]")), "{:?}", events);
        }
    }
}
