//! Every endpoint, every kind of provider: where a request goes, with which credentials, and in which words errors come back.

use gwsim::gateway::Outstanding;
use gwsim::gateway::money::Money;
use serde_json::json;

use super::desk::{Desk, chat};
use super::upstream::{self, Upstream};

/// A gateway on a provider of `api` with a key and a header of its own.
async fn desk(api: &str, upstream: &Upstream, model: &str, key: &std::path::Path) -> Desk {
    Desk::start(&format!(
        "version = 1\n[providers.mine]\napi = \"{api}\"\nbase_url = \"{}/base\"\nkey = \"file:{}\"\nheaders = {{ x-team = \"blue\" }}\n\
         [models.m]\ndeployments = [{{ id = \"d\", provider = \"mine\", model = \"{model}\" }}]\n",
        upstream.address,
        key.display()
    ))
    .await
}

fn key() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "prov-key\n").unwrap();
    file
}

#[tokio::test]
async fn each_endpoint_goes_to_its_own_address_with_the_provider_s_credentials() {
    let embedding = json!({ "object": "list", "data": [{ "object": "embedding", "index": 0, "embedding": [0.5] }], "model": "x", "usage": { "prompt_tokens": 8, "total_tokens": 8 } });
    let upstream = Upstream::start(move |_, seen| match seen.target.as_str() {
        target if target.contains("embeddings") => upstream::answer(200, &[], &embedding.to_string()),
        target if target.contains("responses") => {
            let body = json!({ "id": "resp_1", "object": "response", "status": "completed", "output": [], "usage": { "input_tokens": 7, "output_tokens": 3, "total_tokens": 10 } });
            upstream::answer(200, &[], &body.to_string())
        }
        _ => upstream::completion("hello"),
    })
    .await;
    let key = key();
    let desk = desk("openai", &upstream, "gpt-4o-mini", key.path()).await;
    let mut words = chat("hi");
    words["model"] = "m".into();
    let asks = [
        ("/v1/chat/completions", words),
        ("/v1/completions", json!({ "model": "m", "prompt": "hi" })),
        ("/v1/embeddings", json!({ "model": "m", "input": "hi" })),
        ("/v1/responses", json!({ "model": "m", "input": "hi" })),
    ];
    for (path, body) in &asks {
        let answer = desk.post(path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    for (seen, (path, _)) in upstream.seen().iter().zip(&asks) {
        assert_eq!(seen.target, path.replace("/v1", "/base"));
        assert_eq!((seen.header("authorization"), seen.header("x-team")), (Some("Bearer prov-key"), Some("blue")));
    }
    let expected = 2 * (10 * 150_000 + 5 * 600_000) + 8 * 150_000 + (7 * 150_000 + 3 * 600_000);
    assert_eq!(desk.settled().await, Outstanding::default());
    assert_eq!(desk.spent(), (Money(expected), Money::ZERO));
}

#[tokio::test]
async fn azure_has_deployments_in_its_addresses() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let key = key();
    let desk = desk("azure", &upstream, "gpt-4o-mini", key.path()).await;
    let mut words = chat("hi");
    words["model"] = "m".into();
    assert_eq!(desk.post("/v1/chat/completions", &words).await.status, 200);
    let seen = &upstream.seen()[0];
    assert_eq!(seen.target, "/base/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21");
    assert_eq!((seen.header("api-key"), seen.header("authorization")), (Some("prov-key"), None));
}

#[tokio::test]
async fn anthropic_is_asked_and_answers_in_its_own_dialect() {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [{ "type": "text", "text": "hello" }],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": { "input_tokens": 9, "output_tokens": 4 },
    });
    let upstream = Upstream::start(move |n, seen| match n {
        _ if seen.target.ends_with("count_tokens") => upstream::answer(200, &[], "{\"input_tokens\":9}"),
        0 => upstream::answer(200, &[], &message.to_string()),
        _ => upstream::answer(529, &[], "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"),
    })
    .await;
    let key = key();
    let desk = desk("anthropic", &upstream, "claude-3-haiku-20240307", key.path()).await;
    let body = json!({ "model": "m", "max_tokens": 100, "messages": [{ "role": "user", "content": "hi" }] });
    let mut request = desk.request("/v1/messages", body.to_string());
    request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
    request.headers_mut().insert("anthropic-beta", "a-feature".parse().unwrap());
    let answer = desk.send(request).await;
    assert_eq!((answer.status, answer.json()["content"][0]["text"].as_str()), (200, Some("hello")), "{}", answer.body);
    let seen = upstream.seen();
    assert_eq!(seen[0].target, "/base/v1/messages");
    assert_eq!(
        (seen[0].header("x-api-key"), seen[0].header("anthropic-version"), seen[0].header("anthropic-beta")),
        (Some("prov-key"), Some("2023-06-01"), Some("a-feature"))
    );
    let count = desk.post("/v1/messages/count_tokens", &body).await;
    assert_eq!((count.json()["input_tokens"].as_u64(), count.header("x-gwsim-cost")), (Some(9), "0.000000000000"));
    let overloaded = desk.post("/v1/messages", &body).await;
    assert_eq!((overloaded.status, overloaded.json()["error"]["type"].as_str()), (503, Some("overloaded_error")), "{}", overloaded.body);
    let unknown = desk.post("/v1/messages", &json!({ "model": "x", "max_tokens": 1, "messages": [{ "role": "user", "content": "hi" }] })).await;
    assert_eq!((unknown.json()["type"].as_str(), unknown.json()["error"]["type"].as_str()), (Some("error"), Some("not_found_error")));
}

#[tokio::test]
async fn what_a_deployment_can_not_be_asked_for_is_not_sent_there() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let key = key();
    let desk = desk("anthropic", &upstream, "claude-3-haiku-20240307", key.path()).await;
    let answer = desk.post("/v1/embeddings", &json!({ "model": "m", "input": "hi" })).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (422, Some("unsupported_by_model")), "{}", answer.body);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn what_has_no_room_in_a_budget_is_refused_with_the_status_of_the_configuration() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    for (line, status) in [("", 429), ("[server]\nbudget_status = 402\n", 402)] {
        let more = format!("{line}[budget]\nglobal = {{ limit = \"0.0001 USD\", every = \"day\" }}\n");
        let desk = Desk::start(&super::desk::config(&upstream.address, &more)).await;
        let mut body = chat("hi");
        body["max_tokens"] = 100_000.into();
        let refused = desk.post("/v1/chat/completions", &body).await;
        assert_eq!((refused.status, refused.header("x-should-retry"), refused.header("retry-after")), (status, "false", ""), "{}", refused.body);
        assert!(refused.message().contains("the budget of the gateway as a whole, $0.0001 every 1d"), "{}", refused.body);
        body["max_tokens"] = 10.into();
        assert_eq!(desk.post("/v1/chat/completions", &body).await.status, 200);
    }
}

/// A gateway whose model is at an OpenAI that fails, and falls back on Claude at `upstream`.
async fn fallback_on_claude(upstream: &Upstream, key: &std::path::Path) -> Desk {
    Desk::start(&format!(
        "version = 1\n[attempts]\nper_deployment = 1\n[providers.openai]\nbase_url = \"{0}/openai\"\n\
         [providers.anthropic]\nbase_url = \"{0}/anthropic\"\nkey = \"file:{1}\"\n\
         [models.gpt-4o-mini]\ndeployments = [{{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }}]\nfallbacks = [\"haiku\"]\n\
         [models.haiku]\ndeployments = [{{ id = \"claude\", provider = \"anthropic\", model = \"claude-3-haiku-20240307\" }}]\n",
        upstream.address,
        key.display()
    ))
    .await
}

#[tokio::test]
async fn a_fallback_from_gpt_to_claude_answers_in_the_words_of_gpt() {
    let upstream = Upstream::start(|_, seen| {
        if seen.target.starts_with("/openai") {
            return upstream::answer(500, &[], "{}");
        }
        if seen.body.contains("\"stream\":true") { upstream::message_stream("hello") } else { upstream::message("hello") }
    })
    .await;
    let key = key();
    let desk = fallback_on_claude(&upstream, key.path()).await;
    let answer = desk.chat("hi").await;
    assert_eq!((answer.status, answer.header("x-gwsim-model"), answer.header("x-gwsim-attempts")), (200, "haiku", "2"), "{}", answer.body);
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "hello");
    assert_eq!(answer.json()["usage"]["completion_tokens"], 4);
    let sent = upstream.seen();
    assert_eq!(
        (sent[1].target.as_str(), sent[1].header("x-api-key"), sent[1].header("authorization")),
        ("/anthropic/v1/messages", Some("prov-key"), None)
    );
    let streamed = desk.post("/v1/chat/completions", &super::desk::streamed("hi")).await;
    assert!(streamed.body.contains("\"content\":\"hello\"") && streamed.body.ends_with("data: [DONE]\n\n"), "{}", streamed.body);
    assert!(!streamed.body.contains("message_start"), "{}", streamed.body);
    // $0.25 and $1.25 a million (built-in price list).
    assert_eq!(desk.settled().await, Outstanding::default());
    assert_eq!(desk.spent(), (Money(2 * (9 * 250_000 + 4 * 1_250_000)), Money::ZERO));
    // What Claude has no words for is not sent there: the failure is the last word.
    let mut asks = chat("hi");
    asks["logprobs"] = true.into();
    let refused = desk.post("/v1/chat/completions", &asks).await;
    assert_eq!((refused.status, refused.header("x-gwsim-attempts")), (500, "1"), "{}", refused.body);
}
