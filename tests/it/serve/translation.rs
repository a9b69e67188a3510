//! Requests that a provider of the other dialect answers: what it is sent, and what the client sees of it.

use serde_json::{Value, json};

use super::desk::{Answer, Desk, chat};
use super::upstream::{self, Upstream};

/// A model of OpenAI's that falls back to one of Anthropic's, both at `upstream`, and whatever `more` says.
async fn desk(upstream: &Upstream, more: &str) -> Desk {
    let address = &upstream.address;
    Desk::start(&format!(
        "version = 1\n[providers.openai]\nbase_url = \"{address}/openai/v1\"\n[providers.anthropic]\nbase_url = \"{address}/anthropic\"\n\
         [models.gpt-4o]\ndeployments = [{{ id = \"gpt\", provider = \"openai\", model = \"gpt-4o\" }}]\nfallbacks = [\"claude\"]\n\
         [models.claude]\ndeployments = [{{ id = \"claude\", provider = \"anthropic\", model = \"claude-sonnet-4-5\" }}]\n\
         [attempts]\nper_request = 2\nper_deployment = 1\n{more}"
    ))
    .await
}

/// OpenAI is overloaded, Anthropic answers.
async fn half_down() -> Upstream {
    Upstream::start(|_, seen| match seen.target.as_str() {
        target if target.starts_with("/anthropic") => upstream::message("hello"),
        _ => upstream::answer(503, &[], "{}"),
    })
    .await
}

fn from_gpt(body: Value) -> Value {
    let mut asked = chat("hi");
    asked["model"] = "gpt-4o".into();
    for (key, value) in body.as_object().unwrap() {
        asked[key] = value.clone();
    }
    asked
}

#[tokio::test]
async fn a_fallback_to_the_other_dialect_is_asked_and_answers_in_translation() {
    let upstream = half_down().await;
    let desk = desk(&upstream, "").await;
    let answer = desk.post("/v1/chat/completions", &from_gpt(json!({ "stop": "END" }))).await;
    assert_eq!((answer.status, answer.header("x-gwsim-deployment")), (200, "claude"), "{}", answer.body);
    let body = answer.json();
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("gpt-4o")));
    assert_eq!((&body["choices"][0]["message"]["content"], &body["usage"]["total_tokens"]), (&json!("hello"), &json!(13)));
    let seen = upstream.seen();
    let targets: Vec<&str> = seen.iter().map(|seen| seen.target.as_str()).collect();
    assert_eq!(targets, ["/openai/v1/chat/completions", "/anthropic/v1/messages"]);
    let sent = seen[1].json();
    assert_eq!((&sent["model"], &sent["stop_sequences"]), (&json!("claude-sonnet-4-5"), &json!(["END"])));
    assert_eq!(sent["messages"], json!([{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }]));
    assert_eq!(seen[1].header("anthropic-version"), Some("2023-06-01"));
}

#[tokio::test]
async fn a_request_that_the_other_dialect_has_no_words_for_is_not_sent_there() {
    let upstream = half_down().await;
    let desk = desk(&upstream, "").await;
    for wish in [json!({ "logprobs": true }), json!({ "response_format": { "type": "json_object" } }), json!({ "a_field_of_tomorrow": 1 })] {
        let answer: Answer = desk.post("/v1/chat/completions", &from_gpt(wish)).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
    }
    assert!(upstream.seen().iter().all(|seen| seen.target.starts_with("/openai")));
}

#[tokio::test]
async fn long_prefixes_are_marked_where_the_operator_says_so() {
    let long = "word ".repeat(2000);
    let body = json!({ "model": "claude", "max_tokens": 9, "system": long, "messages": [{ "role": "user", "content": "hi" }] });
    let chat = from_gpt(json!({ "model": "claude", "messages": [{ "role": "system", "content": long }, { "role": "user", "content": "hi" }] }));
    for (marks, expected) in [(false, Value::Null), (true, json!({ "type": "ephemeral" }))] {
        let upstream = Upstream::start(|_, _| upstream::message("hello")).await;
        let desk = desk(&upstream, &format!("[server]\nprompt_cache_marks = {marks}\n")).await;
        assert_eq!(desk.post("/v1/messages", &body).await.status, 200);
        assert_eq!(desk.post("/v1/chat/completions", &chat).await.status, 200);
        for seen in upstream.seen() {
            assert_eq!(seen.json()["system"][0]["cache_control"], expected, "{}", seen.target);
        }
    }
}
