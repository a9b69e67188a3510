use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::super::images;
use super::super::json::tests::any_json;
use super::*;

/// What every chat completion requires that asks for no cheaper service.
const CHAT: Features = features::CHAT.and(features::STANDARD_SERVICE);

fn read(endpoint: Endpoint, body: &Json) -> Inbound {
    Inbound::read(endpoint, body.to_string().into()).unwrap()
}

fn chat(more: Json) -> Inbound {
    let mut body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "Hello" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    read(Endpoint::ChatCompletions, &body)
}

#[track_caller]
fn refused(endpoint: Endpoint, body: &str, message: &str, param: Option<&str>) {
    let malformed = Inbound::read(endpoint, body.as_bytes().to_vec().into()).unwrap_err();
    assert_eq!((malformed.message.as_str(), malformed.param.as_deref()), (message, param), "{body}");
}

#[test]
fn what_a_chat_request_says_is_known() {
    let inbound = chat(json!({
        "stream": true,
        "stream_options": { "include_usage": true },
        "max_completion_tokens": 50,
        "n": 3,
        "user": "ann",
        "metadata": { "tags": ["batch", "team-a"], "job": "7" },
        "tags": ["team-a", "x"],
        "cache": { "no-cache": true, "no-store": true },
    }));
    assert_eq!((inbound.model.as_str(), inbound.stream, inbound.include_usage, inbound.choices), ("gpt-4o-mini", true, true, 3));
    assert_eq!((inbound.max_tokens, inbound.end_user.as_deref()), (NonZeroU32::new(50), Some("ann")));
    assert_eq!(inbound.tags, ["team-a", "x", "batch"]);
    assert!(inbound.no_cache && inbound.no_store && !inbound.unseen_input);
    let plain = chat(json!({}));
    assert_eq!((plain.stream, plain.include_usage, plain.choices, plain.max_tokens, plain.end_user), (false, false, 1, None, None));
    assert!(plain.tags.is_empty() && !plain.no_cache && !plain.no_store);
}

#[test]
fn a_field_that_is_null_is_absent() {
    let nulls = json!({ "stream": null, "max_tokens": null, "n": null, "user": null, "tools": null, "metadata": null, "cache": null, "tags": null });
    let inbound = chat(nulls);
    assert_eq!((inbound.stream, inbound.max_tokens, inbound.choices, inbound.requires), (false, None, 1, CHAT));
}

#[test]
fn each_endpoint_has_its_names() {
    let message = json!({ "model": "claude", "max_tokens": 9, "metadata": { "user_id": "bob" }, "messages": [{ "role": "user", "content": "Hi" }] });
    let inbound = read(Endpoint::Messages, &message);
    assert_eq!((inbound.max_tokens, inbound.end_user.as_deref(), inbound.include_usage), (NonZeroU32::new(9), Some("bob"), true));
    let response = read(Endpoint::Responses, &json!({ "model": "o3", "input": "Hi", "max_output_tokens": 20, "max_tokens": 5 }));
    assert_eq!(response.max_tokens, NonZeroU32::new(20));
    let embeddings = read(Endpoint::Embeddings, &json!({ "model": "e", "input": ["a", "b"], "stream": true }));
    assert_eq!((embeddings.max_tokens, embeddings.stream), (NonZeroU32::new(1), false));
}

#[test]
fn every_prompt_of_a_list_is_answered_and_billed() {
    let choices = |body: Json| read(Endpoint::Completions, &body).choices;
    assert_eq!(choices(json!({ "model": "m", "prompt": ["a", "b", "c"], "n": 2 })), 6);
    assert_eq!(choices(json!({ "model": "m", "prompt": "a", "n": 2, "best_of": 5 })), 5);
    assert_eq!(choices(json!({ "model": "m", "prompt": [1, 2, 3] })), 1);
    assert_eq!(choices(json!({ "model": "m", "prompt": [[1, 2], [3]] })), 2);
    assert_eq!(choices(json!({ "model": "m" })), 1);
}

#[test]
fn a_request_that_nobody_could_understand_is_refused() {
    use Endpoint::{ChatCompletions, Completions, Embeddings, Messages};
    refused(ChatCompletions, "{\n \"model\": }", "the body is not valid JSON: line 2, column 11: there is no JSON value here", None);
    refused(ChatCompletions, "[]", "the body is a list, but must be an object", None);
    refused(ChatCompletions, r#"{"messages":[]}"#, "`model` is missing", Some("model"));
    refused(ChatCompletions, r#"{"model":5}"#, "`model` is a number, but must be a string", Some("model"));
    refused(ChatCompletions, r#"{"model":"a\nb"}"#, "`model` must be a name without control characters", Some("model"));
    refused(ChatCompletions, r#"{"model":"m"}"#, "`messages` is missing", Some("messages"));
    refused(ChatCompletions, r#"{"model":"m","messages":{}}"#, "`messages` is an object, but must be a list", Some("messages"));
    refused(ChatCompletions, r#"{"model":"m","messages":[]}"#, "`messages` is empty", Some("messages"));
    refused(ChatCompletions, r#"{"model":"m","messages":["hi"]}"#, "`messages[0]` is a string, but must be an object", Some("messages[0]"));
    let no_role = "`messages[0].role` is missing, or no string";
    refused(ChatCompletions, r#"{"model":"m","messages":[{"content":"x"}]}"#, no_role, Some("messages[0].role"));
    refused(ChatCompletions, r#"{"model":"m","model":"n"}"#, "`model` stands there twice", Some("model"));
    refused(ChatCompletions, r#"{"model":"m","mod\u0065l":"n"}"#, "`model` stands there twice", Some("model"));
    let negative = "`max_tokens` is -5, but must be a whole number from 1 to 4294967295";
    refused(ChatCompletions, r#"{"model":"m","max_tokens":-5}"#, negative, Some("max_tokens"));
    let text = "`max_tokens` is a string, but must be a whole number";
    refused(ChatCompletions, r#"{"model":"m","max_tokens":"5"}"#, text, Some("max_tokens"));
    let both = "`max_completion_tokens` and `max_tokens` can't both be set";
    refused(ChatCompletions, r#"{"model":"m","max_tokens":5,"max_completion_tokens":5}"#, both, Some("max_completion_tokens"));
    refused(ChatCompletions, r#"{"model":"m","n":0}"#, "`n` is 0, but must be a whole number from 1 to 65535", Some("n"));
    refused(Completions, r#"{"model":"m","n":65535,"prompt":["a","b"]}"#, "`n` asks for 131070 answers in all; 65535 is the most", Some("n"));
    refused(ChatCompletions, r#"{"model":"m","stream":"yes"}"#, "`stream` is a string, but must be true or false", Some("stream"));
    let options = "`stream_options.include_usage` is a number, but must be true or false";
    refused(ChatCompletions, r#"{"model":"m","stream_options":{"include_usage":1}}"#, options, Some("stream_options.include_usage"));
    refused(ChatCompletions, r#"{"model":"m","user":7}"#, "`user` is a number, but must be a string", Some("user"));
    refused(ChatCompletions, r#"{"model":"m","tags":"a"}"#, "`tags` is a string, but must be a list of strings", Some("tags"));
    refused(
        ChatCompletions,
        r#"{"model":"m","cache":{"no-store":1}}"#,
        "`cache.no-store` is a number, but must be true or false",
        Some("cache.no-store"),
    );
    refused(ChatCompletions, r#"{"model":"m","tools":[{}]}"#, "`tools[0].type` is missing", Some("tools[0].type"));
    refused(Messages, r#"{"model":"m","messages":[]}"#, "`max_tokens` is missing: the Messages API requires it", Some("max_tokens"));
    let unseen = "`background` is true, but what a response costs after its answer is not seen here: leave it out";
    refused(Endpoint::Responses, r#"{"model":"m","input":"x","background":true}"#, unseen, Some("background"));
    refused(Embeddings, r#"{"model":"m"}"#, "`input` is missing", Some("input"));
    refused(Embeddings, r#"{"model":"m","input":{}}"#, "`input` is an object, but must be a string or a list", Some("input"));
}

#[test]
fn a_request_requires_the_words_that_it_uses() {
    let requires = |more: Json| chat(more).requires;
    let only_here = |feature: Features| CHAT.and(feature).and(features::OPENAI_WORDS);
    assert_eq!(requires(json!({ "tools": [{ "type": "function", "function": { "name": "f" } }] })), CHAT.and(features::TOOLS));
    assert_eq!(requires(json!({ "parallel_tool_calls": false })), CHAT.and(features::PARALLEL_TOOLS));
    assert_eq!(requires(json!({ "reasoning_effort": "low" })), CHAT.and(features::REASONING));
    assert_eq!(requires(json!({ "n": 2 })), only_here(features::CHOICES));
    assert_eq!(requires(json!({ "logprobs": true })), only_here(features::LOGPROBS));
    assert_eq!(requires(json!({ "logprobs": false, "presence_penalty": 0, "logit_bias": {} })), CHAT);
    assert_eq!(requires(json!({ "presence_penalty": 0.5 })), only_here(features::PENALTIES));
    assert_eq!(requires(json!({ "response_format": { "type": "text" } })), CHAT);
    assert_eq!(requires(json!({ "response_format": { "type": "json_object" } })), only_here(features::JSON_OBJECT));
    assert_eq!(requires(json!({ "response_format": { "type": "json_schema" } })), only_here(features::JSON_SCHEMA));
    assert_eq!(requires(json!({ "modalities": ["text", "audio"] })), only_here(features::AUDIO));
    assert_eq!(requires(json!({ "prediction": { "type": "content", "content": "x" } })), only_here(features::PREDICTION));
    assert_eq!(requires(json!({ "functions": [{ "name": "f" }] })), only_here(features::FUNCTIONS));
    let image = json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }] }]);
    assert_eq!(requires(json!({ "messages": image })), CHAT.and(features::IMAGES));
    let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let result = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "1" });
    let calls = json!({ "role": "assistant", "tool_calls": [call("a"), call("b")] });
    let calls = json!([{ "role": "user", "content": "Hi" }, calls, result("a"), result("b")]);
    assert_eq!(requires(json!({ "messages": calls })), CHAT.and(features::TOOLS).and(features::PARALLEL_TOOLS));
}

#[test]
fn a_request_says_what_it_may_cost_beyond_tokens_at_the_standard_price() {
    let requires = |more: Json| chat(more).requires;
    for tier in ["auto", "default", "standard"] {
        assert_eq!(requires(json!({ "service_tier": tier })), CHAT, "{tier}");
    }
    for tier in ["flex", "batch"] {
        assert_eq!(requires(json!({ "service_tier": tier })), features::CHAT, "{tier}");
    }
    for tier in ["priority", "something new"] {
        assert_eq!(requires(json!({ "service_tier": tier })), CHAT.and(features::PREMIUM_SERVICE), "{tier}");
    }
    refused(
        Endpoint::Embeddings,
        r#"{"model":"m","input":"x","service_tier":1}"#,
        "`service_tier` is a number, but must be a string",
        Some("service_tier"),
    );
    let is_dear = |more: Json| {
        let mut body = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "Hi" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(Endpoint::Messages, &body).requires.have(features::PREMIUM_SERVICE)
    };
    assert!(is_dear(json!({ "speed": "fast" })) && is_dear(json!({ "inference_geo": "us" })));
    assert!(!is_dear(json!({ "speed": "standard", "inference_geo": "global" })) && !is_dear(json!({ "speed": null })));
    assert!(requires(json!({ "web_search_options": {} })).have(features::BILLED_TOOLS));
    let tool = |endpoint: Endpoint, kind: &str| {
        let messages = json!([{ "role": "user", "content": "Hi" }]);
        let tools = json!([{ "type": kind, "name": "n", "max_uses": 3 }]);
        read(endpoint, &json!({ "model": "m", "max_tokens": 9, "messages": messages, "input": "x", "tools": tools }))
            .requires
            .have(features::BILLED_TOOLS)
    };
    for billed in ["web_search", "web_search_preview", "file_search", "code_interpreter", "image_generation", "something_new"] {
        assert!(tool(Endpoint::Responses, billed), "{billed}");
    }
    for free in ["function", "custom", "mcp", "computer_use_preview", "local_shell"] {
        assert!(!tool(Endpoint::Responses, free), "{free}");
    }
    assert!(tool(Endpoint::Messages, "web_search_20250305") && tool(Endpoint::Messages, "code_execution_20250825"));
    for free in ["custom", "bash_20250124", "text_editor_20250728", "web_fetch_20250910"] {
        assert!(!tool(Endpoint::Messages, free), "{free}");
    }
}

#[test]
fn whoever_speaks_the_dialect_offers_what_its_requests_require() {
    use features::Service;
    let everything = chat(json!({
        "n": 2, "logprobs": true, "prediction": {}, "functions": [], "top_k": 3, "web_search_options": {},
        "messages": [{ "role": "user", "content": [{ "type": "input_audio" }, { "type": "file" }, { "type": "image_url" }] }],
    }));
    assert!(Service::OpenAi.offers().have(everything.requires) && Service::Gemini.offers().have(everything.requires));
    assert!(!Service::Anthropic.offers().have(everything.requires));
    assert!(Service::Anthropic.offers().have(chat(json!({})).requires));
    let message = |content: Json| {
        let body = json!({ "model": "c", "max_tokens": 1, "messages": [{ "role": "user", "content": content }] });
        read(Endpoint::Messages, &body).requires
    };
    let document = message(json!([{ "type": "document" }, { "type": "thinking" }]));
    assert!(Service::Anthropic.offers().have(document) && !Service::OpenAi.offers().have(document));
    assert!(Service::OpenAi.offers().have(message(json!("Hi"))));
    let embeddings = read(Endpoint::Embeddings, &json!({ "model": "e", "input": "x" })).requires;
    let response = read(Endpoint::Responses, &json!({ "model": "e", "input": "x" })).requires;
    assert!(Service::Gemini.offers().have(embeddings) && !Service::Gemini.offers().have(response) && !Service::Anthropic.offers().have(embeddings));
}

#[test]
fn input_that_is_not_in_the_request_is_said() {
    let response = |more: Json| {
        let mut body = json!({ "model": "m", "input": "x" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let inbound = read(Endpoint::Responses, &body);
        assert_eq!(inbound.unseen_input, inbound.input_tokens_max >= 1_000_000, "nothing in it bounds what is billed");
        inbound.unseen_input
    };
    assert!(!response(json!({})));
    assert!(response(json!({ "previous_response_id": "resp_1" })) && response(json!({ "tools": [{ "type": "web_search" }] })));
    assert!(response(json!({ "input": [{ "type": "item_reference", "id": "x" }] })) && response(json!({ "prompt": { "id": "p" } })));
    assert!(chat(json!({ "messages": [{ "role": "user", "content": [{ "type": "file", "file": { "file_id": "f" } }] }] })).unseen_input);
    let edited = |kind: &str| {
        let edits = json!({ "edits": [{ "type": kind }] });
        let body = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "Hi" }], "context_management": edits });
        read(Endpoint::Messages, &body).unseen_input
    };
    assert!(edited("compact_20260112") && !edited("clear_tool_uses_20250919"), "to sum up is to read once more");
}

#[test]
fn a_request_has_no_more_tags_than_can_be_held_against_each_other() {
    let tags = |count: usize| json!((0..count).map(|number| format!("tag {}", number % count)).collect::<Vec<_>>());
    assert_eq!(chat(json!({ "tags": tags(64) })).tags.len(), 64);
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }], "metadata": { "tags": tags(65) } });
    refused(Endpoint::ChatCompletions, &body.to_string(), "`metadata.tags` has more than 64 tags", Some("metadata.tags"));
}

#[test]
fn an_image_is_measured_by_its_size_not_its_bytes() {
    let data = images::tests::base64(&[images::tests::png_of(512, 512), vec![0; 300_000]].concat());
    let part = |url: &str| json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": url } }] }]);
    let shown = chat(json!({ "messages": part(&format!("data:image/png;base64,{data}")) }));
    let linked = chat(json!({ "messages": part("https://example.com/a.png") }));
    // One tile; the same on the model that counts images 33 times.
    assert!(shown.input_tokens > 255 && shown.input_tokens < 300, "{}", shown.input_tokens);
    assert!((2833 + 5667..9_000).contains(&shown.input_tokens_max), "{}", shown.input_tokens_max);
    assert!(shown.input_tokens_max_on(false) < 1_000 && linked.input_tokens_max_on(false) > 20_000 && linked.input_tokens_max > 48_169);
}

#[test]
fn equal_content_has_equal_fingerprints() {
    let of = |text: &str| Inbound::read(Endpoint::ChatCompletions, text.as_bytes().to_vec().into()).unwrap().fingerprint;
    let plain = of(r#"{"model":"m","messages":[{"role":"user","content":"é"}],"temperature":1}"#);
    let spaced = of("{ \"temperature\": 1,\n\"messages\": [ {\"content\":\"\\u00e9\", \"role\":\"user\"} ], \"model\":\"m\"}");
    let delivered =
        of(r#"{"model":"other","stream":true,"stream_options":{"include_usage":true},"user":"u","metadata":{"a":"b"},"cache":{"no-cache":true},
        "tags":["x"],"messages":[{"role":"user","content":"é"}],"temperature":1}"#);
    assert_eq!([plain, plain], [spaced, delivered]);
    let others = [
        r#"{"model":"m","messages":[{"role":"user","content":"e"}],"temperature":1}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"é"}],"temperature":0}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"é"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"é"}],"temperature":1,"seed":1}"#,
        r#"{"model":"m","messages":[{"role":"user","content":["é"]}],"temperature":1}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"é","name":"user"}],"temperature":1}"#,
        r#"{"model":"m","messages":[{"role":"user"},{"role":"é"}],"temperature":1}"#,
    ];
    for other in others {
        assert_ne!(of(other), plain, "{other}");
    }
    let body = json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": "é" }] });
    assert_ne!(read(Endpoint::Messages, &body).fingerprint, read(Endpoint::ChatCompletions, &body).fingerprint, "answers of other dialects");
    let marked = |words: &[&str]| {
        let mut inbound = read(Endpoint::Messages, &body);
        inbound.mark(words.iter().map(|word| word.as_bytes()));
        inbound.fingerprint
    };
    assert_eq!(marked(&[]), read(Endpoint::Messages, &body).fingerprint);
    assert_eq!(marked(&["beta"]), marked(&["beta"]));
    assert!(marked(&["beta"]) != marked(&[]) && marked(&["beta"]) != marked(&["be", "ta"]));
}

/// Bodies that are requests, with anything in them that one may meet.
pub(in crate::wire) fn any_request() -> impl Strategy<Value = (Endpoint, Json)> {
    let part = prop_oneof![
        any_json(),
        "\\PC{0,40}".prop_map(|text| json!({ "type": "text", "text": text })),
        "\\PC{0,20}".prop_map(|text| json!({ "type": "tool_use", "id": "t", "name": "f", "input": { "a": text } })),
    ];
    let content = prop_oneof!["\\PC{0,60}".prop_map(Json::from), prop::collection::vec(part, 0..4).prop_map(Json::from)];
    let message = ("[a-z]{1,6}", content).prop_map(|(role, content)| json!({ "role": role, "content": content }));
    let messages = prop::collection::vec(message, 1..4);
    let extra = prop::collection::vec(("x_[a-z]{1,5}", any_json()), 0..4);
    let gateways = prop::collection::vec(
        prop::sample::select(vec![
            ("cache", json!({ "no-cache": true })),
            ("tags", json!(["a"])),
            ("metadata", json!({ "tags": ["a"] })),
            ("metadata", json!({ "tags": ["a"], "b": "c" })),
            ("metadata", json!({ "b": "c", "tags": ["a"] })),
            ("stream", json!(true)),
            ("stream_options", json!(null)),
            ("stream_options", json!({})),
            ("stream_options", json!({ "include_usage": false, "z": 1 })),
            ("max_completion_tokens", json!(null)),
            ("stop", json!(["a"])),
        ]),
        0..5,
    );
    (prop::sample::select(Endpoint::ALL.to_vec()), messages, extra, gateways, any::<bool>()).prop_map(
        |(endpoint, messages, extra, gateways, limited)| {
            let mut body = json!({ "model": "group", "messages": messages, "input": "text", "prompt": "text" });
            let fields = body.as_object_mut().unwrap();
            fields.extend(extra);
            fields.extend(gateways.into_iter().map(|(key, value)| (key.to_owned(), value)));
            if limited || endpoint == Endpoint::Messages {
                fields.insert("max_tokens".into(), json!(100));
                // The two exclude each other.
                fields.remove("max_completion_tokens");
            }
            if endpoint == Endpoint::Responses {
                fields.remove("prompt");
            }
            (endpoint, body)
        },
    )
}

/// The UTF-8 bytes of all strings that a message may show to a model, which no tokenizer over bytes makes more tokens of.
fn prompt_bytes(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len(),
        Json::Array(list) => list.iter().map(prompt_bytes).sum(),
        Json::Object(object) => object.values().map(prompt_bytes).sum(),
        _ => 0,
    }
}

/// The tokens of the same strings, one by one.
fn prompt_tokens(value: &Json, encoding: Encoding) -> u64 {
    match value {
        Json::String(text) => encoding.count(text),
        Json::Array(list) => list.iter().map(|value| prompt_tokens(value, encoding)).sum(),
        Json::Object(object) => object.values().map(|value| prompt_tokens(value, encoding)).sum(),
        _ => 0,
    }
}

#[test]
fn texts_are_counted_as_they_read_and_all_else_as_by_the_bound() {
    let words = "The quick brown fox jumps over the lazy dog. ".repeat(100);
    let plain = chat(json!({ "messages": [{ "role": "user", "content": words }] }));
    let counted = plain.count([Encoding::O200k], false);
    // Nine words, a stop and a space in ten tokens; 4500 bytes.
    assert!((1000..1100).contains(&counted) && plain.input_tokens_max > 4500, "{counted}");
    let escaped: String = words.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "@" }] }).to_string().replace('@', &escaped);
    let escaped = Inbound::read(Endpoint::ChatCompletions, body.into()).unwrap();
    assert_eq!(escaped.count([Encoding::O200k], false), counted);
    let definition = json!({ "type": "function", "function": { "name": "f", "description": words, "parameters": {} } });
    let tools = chat(json!({ "messages": [{ "role": "user", "content": words }], "tools": [definition] }));
    assert_eq!(tools.input_tokens_max - plain.input_tokens_max, tools.count([Encoding::O200k], false) - counted);
    let image = json!([{ "type": "text", "text": words }, { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }]);
    let image = chat(json!({ "messages": [{ "role": "user", "content": image }] }));
    assert!(image.count([Encoding::O200k], true) > image.count([Encoding::O200k], false) + 20_000);
}

#[test]
fn the_tokenizer_that_makes_the_most_of_it_is_counted_by() {
    let inbound = chat(json!({ "messages": [{ "role": "user", "content": "お誕生日おめでとう".repeat(50) }] }));
    let [old, new] = [Encoding::Cl100k, Encoding::O200k].map(|encoding| inbound.count([encoding], false));
    assert!(new < old);
    assert_eq!(inbound.count([Encoding::O200k, Encoding::Cl100k], false), old);
    assert_eq!(inbound.count([], false), inbound.input_tokens_max_on(false), "no tokenizer is known");
}

#[test]
fn what_can_not_be_lower_is_not_countable() {
    assert!(chat(json!({})).is_countable());
    assert!(!read(Endpoint::Embeddings, &json!({ "model": "e", "input": [1, 2, 3] })).is_countable());
    assert!(!read(Endpoint::Responses, &json!({ "model": "o3", "input": "Hi", "previous_response_id": "r" })).is_countable());
}

proptest! {
    #[test]
    fn a_count_is_between_what_its_texts_are_and_the_bound((endpoint, body) in any_request(), dear: bool) {
        let inbound = read(endpoint, &body);
        let prompt = match endpoint {
            Endpoint::ChatCompletions | Endpoint::Messages | Endpoint::CountTokens => &body["messages"],
            _ => &body["input"],
        };
        for encoding in [Encoding::Cl100k, Encoding::O200k] {
            let counted = inbound.count([encoding], dear);
            prop_assert!(counted <= inbound.input_tokens_max_on(dear));
            prop_assert!(prompt_tokens(prompt, encoding) <= u64::from(counted));
        }
    }

    #[test]
    fn no_tokenizer_finds_more_than_the_bound((endpoint, body) in any_request()) {
        let inbound = read(endpoint, &body);
        prop_assert!(inbound.input_tokens <= inbound.input_tokens_max);
        let prompt = match endpoint {
            Endpoint::ChatCompletions | Endpoint::Messages | Endpoint::CountTokens => prompt_bytes(&body["messages"]),
            _ => prompt_bytes(&body["input"]),
        };
        prop_assert!(prompt <= inbound.input_tokens_max as usize, "{} > {}", prompt, inbound.input_tokens_max);
    }

    /// Whatever is done to a body, it is read or refused.
    #[test]
    fn any_bytes_are_read_or_refused(
        (endpoint, body) in any_request(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..8),
    ) {
        let mut text = body.to_string().into_bytes();
        for (at, byte, how) in changes {
            let at = at.index(text.len().max(1)).min(text.len().saturating_sub(1));
            match how {
                0 if !text.is_empty() => text[at] = byte,
                1 => text.insert(at, byte),
                _ => text.truncate(at),
            }
        }
        if let Ok(inbound) = Inbound::read(endpoint, text.into()) {
            prop_assert!(inbound.input_tokens <= inbound.input_tokens_max);
        }
    }

    #[test]
    fn a_fingerprint_does_not_see_how_a_body_is_written((endpoint, body) in any_request()) {
        // serde_json writes keys in its own order, and other spaces.
        let pretty = Inbound::read(endpoint, serde_json::to_vec_pretty(&body).unwrap().into()).unwrap();
        let mut reversed = serde_json::Map::new();
        body.as_object().unwrap().iter().rev().for_each(|(key, value)| drop(reversed.insert(key.clone(), value.clone())));
        let reversed = read(endpoint, &Json::Object(reversed));
        prop_assert_eq!(pretty.fingerprint, reversed.fingerprint);
    }
}
