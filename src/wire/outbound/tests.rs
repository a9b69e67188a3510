use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::super::inbound::tests::any_request;
use super::*;

const TARGET: Target<'static> =
    Target { dialect: Dialect::OpenAi, model: "gpt-4o", max_tokens: 300, output_tokens_max: 16_384, stream_options: true };

fn sent(endpoint: Endpoint, target: &Target<'_>, body: &str) -> String {
    let inbound = Inbound::read(endpoint, body.as_bytes().to_vec().into()).unwrap();
    String::from_utf8(inbound.outbound(target).unwrap().to_vec()).unwrap()
}

/// `…` stands for a conversation.
#[track_caller]
fn check(target: &Target<'_>, body: &str, expected: &str) {
    let messages = r#""messages": [ {"role":"user","content":"caf\u00e9 🙂"} ]"#;
    assert_eq!(sent(Endpoint::ChatCompletions, target, &body.replace('…', messages)), expected.replace('…', messages));
}

#[test]
fn what_need_not_change_is_sent_as_it_came() {
    let all = Target { max_tokens: 16_384, ..TARGET };
    check(&all, r#"{ "model" : "gpt-4o",  … , "x": {"y": [1.0, 1e2]}}"#, r#"{ "model" : "gpt-4o",  … , "x": {"y": [1.0, 1e2]}}"#);
    let body = Bytes::from_static(br#"{"model":"gpt-4o","messages":[{"role":"user"}]}"#);
    let inbound = Inbound::read(Endpoint::ChatCompletions, body.clone()).unwrap();
    assert_eq!(inbound.outbound(&all).unwrap().as_ptr(), body.as_ptr(), "not even copied");
}

#[test]
fn the_model_is_the_targets() {
    check(&TARGET, r#"{"model":"group", …,"max_tokens":300}"#, r#"{"model":"gpt-4o", …,"max_tokens":300}"#);
    check(&Target { model: "a\"b", ..TARGET }, r#"{"max_tokens":300,…,"model":"g"}"#, r#"{"max_tokens":300,…,"model":"a\"b"}"#);
}

#[test]
fn the_limit_goes_under_the_name_that_the_client_used() {
    check(&TARGET, r#"{"model":"gpt-4o",…,"max_tokens": 1000}"#, r#"{"model":"gpt-4o",…,"max_tokens": 300}"#);
    check(&TARGET, r#"{"model":"gpt-4o","max_completion_tokens":1000,…}"#, r#"{"model":"gpt-4o","max_completion_tokens":300,…}"#);
    check(&TARGET, r#"{"model":"gpt-4o",…}"#, r#"{"max_tokens":300,"model":"gpt-4o",…}"#);
    check(&TARGET, r#"{"model":"gpt-4o",…,"max_tokens":null}"#, r#"{"model":"gpt-4o",…,"max_tokens":300}"#);
}

#[test]
fn reasoning_models_take_the_newer_name_only() {
    for model in ["o1", "o3-mini", "gpt-5", "gpt-5.1-codex", "openai/o4-mini"] {
        assert!(reasons(model), "{model}");
    }
    for model in ["gpt-4o", "gpt-4.1-mini", "omni", "claude-o", "olmo-2"] {
        assert!(!reasons(model), "{model}");
    }
    let o3 = Target { model: "o3", ..TARGET };
    check(&o3, r#"{"model":"o3",…}"#, r#"{"max_completion_tokens":300,"model":"o3",…}"#);
    check(&o3, r#"{"model":"o3","max_tokens":1000,…}"#, r#"{"model":"o3","max_completion_tokens":300,…}"#);
    let null = r#"{"model":"o3","max_tokens":1000,…,"cache":{},"max_completion_tokens":null}"#;
    check(&o3, null, r#"{"model":"o3","max_completion_tokens":300,…}"#);
}

#[test]
fn usage_is_asked_for_in_every_stream() {
    let usage = Target { max_tokens: 16_384, ..TARGET };
    let asks = r#"{"stream_options":{"include_usage":true},"model":"gpt-4o",…,"stream":true}"#;
    check(&usage, r#"{"model":"gpt-4o",…,"stream":true}"#, asks);
    let with = |options: &str| format!(r#"{{"model":"gpt-4o",…,"stream":true,"stream_options":{options}}}"#);
    check(&usage, &with(r#"{"include_usage":false}"#), &with(r#"{"include_usage":true}"#));
    check(&usage, &with("{}"), &with(r#"{"include_usage":true}"#));
    check(&usage, &with(r#"{"a":1}"#), &with(r#"{"include_usage":true,"a":1}"#));
    check(&usage, &with("null"), &with(r#"{"include_usage":true}"#));
    check(&usage, &with(r#"{"include_usage":true}"#), &with(r#"{"include_usage":true}"#));
    check(&Target { stream_options: false, ..usage }, r#"{"model":"gpt-4o",…,"stream":true}"#, r#"{"model":"gpt-4o",…,"stream":true}"#);
    check(&usage, r#"{"model":"gpt-4o",…,"stream":false}"#, r#"{"model":"gpt-4o",…,"stream":false}"#);
}

#[test]
fn what_is_for_the_gateway_stays_here() {
    let all = Target { max_tokens: 16_384, ..TARGET };
    let plain = r#"{"model":"gpt-4o", …}"#;
    check(&all, r#"{"cache":{"no-cache":true},"model":"gpt-4o", …}"#, plain);
    check(&all, r#"{"model":"gpt-4o", …, "cache": {"ttl":5}}"#, plain);
    check(&all, r#"{"model":"gpt-4o", …, "tags":["a"] , "cache": {"ttl":5}}"#, plain);
    check(&all, r#"{"tags":["a"],"model":"gpt-4o", …,"metadata":{"tags":["b"]}}"#, plain);
    check(&all, r#"{"metadata":{"tags":["b"],"x":"y"},"model":"gpt-4o", …}"#, r#"{"metadata":{"x":"y"},"model":"gpt-4o", …}"#);
    check(&all, r#"{"metadata":{"x":"y","tags":["b"]},"model":"gpt-4o", …}"#, r#"{"metadata":{"x":"y"},"model":"gpt-4o", …}"#);
    check(&all, r#"{"metadata":{"tags":"b"},"model":"gpt-4o", …}"#, r#"{"metadata":{"tags":"b"},"model":"gpt-4o", …}"#);
}

#[test]
fn other_endpoints_have_limits_of_other_names_or_none() {
    let response = sent(Endpoint::Responses, &TARGET, r#"{"model":"gpt-4o","input":"x","stream":true}"#);
    assert_eq!(response, r#"{"max_output_tokens":300,"model":"gpt-4o","input":"x","stream":true}"#);
    let embeddings = sent(Endpoint::Embeddings, &TARGET, r#"{"model":"gpt-4o","input":"x"}"#);
    assert_eq!(embeddings, r#"{"model":"gpt-4o","input":"x"}"#);
    let claude = Target { dialect: Dialect::Anthropic, model: "claude", ..TARGET };
    let message = r#"{"model":"claude","max_tokens":900,"stream":true,"messages":[{"role":"user"}],"metadata":{"user_id":"u"}}"#;
    assert_eq!(sent(Endpoint::Messages, &claude, message), message.replace("900", "300"));
    let count = r#"{"model":"claude","messages":[{"role":"user"}]}"#;
    assert_eq!(sent(Endpoint::CountTokens, &claude, count), count);
}

/// What `outbound` is to do, said in another way: on the values, not on the bytes.
fn expected(endpoint: Endpoint, target: &Target<'_>, mut body: Json) -> Json {
    let fields = body.as_object_mut().unwrap();
    fields.insert("model".into(), target.model.into());
    let streams = fields.get("stream") == Some(&json!(true)) && matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
    if streams && target.stream_options {
        let options = fields.entry("stream_options").or_insert_with(|| json!({}));
        if options.is_null() {
            *options = json!({});
        }
        options["include_usage"] = json!(true);
    }
    if !target.stream_options {
        fields.remove("stream_options");
    }
    fields.remove("cache");
    fields.remove("tags");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Json::as_object_mut) {
        metadata.remove("tags");
        if metadata.is_empty() {
            fields.remove("metadata");
        }
    }
    let limited = |fields: &serde_json::Map<String, Json>, name: &str| fields.get(name).is_some_and(|limit| !limit.is_null());
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Completions | Endpoint::Messages
            if limited(fields, "max_tokens") || target.max_tokens < target.output_tokens_max || endpoint == Endpoint::Messages =>
        {
            fields.insert("max_tokens".into(), target.max_tokens.into());
        }
        Endpoint::Responses if target.max_tokens < target.output_tokens_max => {
            fields.insert("max_output_tokens".into(), target.max_tokens.into());
        }
        _ => {}
    }
    body
}

proptest! {
    /// The law of a request passed on: it differs in the spliced fields only, wherever they stand and whatever stands around them.
    #[test]
    fn only_the_spliced_fields_differ((endpoint, body) in any_request(), pretty in any::<bool>(), limits in any::<bool>(), stream_options in any::<bool>()) {
        let max_tokens = if limits { 50 } else { 1000 };
        let target = Target { dialect: endpoint.dialect(), model: "target", max_tokens, output_tokens_max: 1000, stream_options };
        let text = if pretty { serde_json::to_string_pretty(&body).unwrap() } else { body.to_string() };
        let out = sent(endpoint, &target, &text);
        let parsed: Json = serde_json::from_str(&out).map_err(|error| TestCaseError::fail(format!("{error}: {out}")))?;
        prop_assert_eq!(parsed, expected(endpoint, &target, body));
    }
}
