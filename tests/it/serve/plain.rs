//! Plain answers, and errors of every kind.

use std::time::Duration;

use gwsim::gateway::Outstanding;
use gwsim::gateway::money::Money;
use serde_json::json;

use super::desk::{Desk, chat, config};
use super::upstream::{self, Piece, Upstream};

/// 10 input tokens and 5 output tokens of gpt-4o-mini: $0.15 and $0.60 a million (built-in price list).
const ONE_ANSWER: Money = Money(10 * 150_000 + 5 * 600_000);

/// A request for another model.
fn of(model: &str) -> serde_json::Value {
    let mut body = chat("hi");
    body["model"] = model.into();
    body
}

#[tokio::test]
async fn a_request_is_passed_on_answered_and_paid_for() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let desk = Desk::start(&config(&upstream.address, "")).await;
    for path in ["/v1/chat/completions", "/chat/completions"] {
        let mut body = chat("hi");
        body["a_field_of_tomorrow"] = json!({ "x": [1, 2.50] });
        let answer = desk.post(path, &body).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        assert_eq!(answer.body, upstream::completion_body("hello"), "the provider's bytes");
        assert_eq!(answer.header("x-gwsim-cost"), "0.000004500000");
        assert_eq!((answer.header("x-gwsim-model"), answer.header("x-gwsim-deployment")), ("gpt-4o-mini", "mini"));
        assert_eq!((answer.header("x-gwsim-attempts"), answer.header("x-gwsim-cache")), ("1", "off"));
    }
    let seen = upstream.seen();
    assert_eq!(seen[0].target, "/v1/chat/completions");
    assert_eq!(seen[0].json()["model"], "gpt-4o-mini-2024-07-18", "under the provider's name");
    assert_eq!(seen[0].json()["a_field_of_tomorrow"], json!({ "x": [1, 2.50] }));
    assert!(seen[0].header("traceparent").unwrap().starts_with("00-"));
    assert_eq!(desk.settled().await, Outstanding::default());
    assert_eq!(desk.spent(), (Money(2 * ONE_ANSWER.0), Money::ZERO));
}

#[tokio::test]
async fn what_is_no_request_is_refused_before_anything_is_called() {
    let upstream = Upstream::start(|_, _| upstream::completion("no")).await;
    let desk = Desk::start(&config(&upstream.address, "[server]\nbody_max = \"64 kB\"\n")).await;
    let path = "/v1/chat/completions";
    let answer = desk.send(desk.request(path, "{\"model\": ")).await;
    assert_eq!(answer.status, 400);
    assert!(answer.message().contains("line 1, column"), "{}", answer.body);
    let mut negative = chat("hi");
    negative["max_tokens"] = json!(-1);
    assert_eq!(desk.post(path, &negative).await.status, 400);
    assert_eq!(desk.send(desk.request(path, &b"{\"model\":\"\xff\xfe\"}"[..])).await.status, 400);
    assert_eq!(desk.send(desk.request(path, "x".repeat(200_000))).await.status, 413);
    let mut form = desk.request(path, "a=b");
    form.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    assert_eq!(desk.send(form).await.status, 415);
    assert_eq!(desk.get("/v1/nothing").await.status, 404);
    assert_eq!(desk.get(path).await.status, 405);
    let unknown = desk.post(path, &of("gpt-9")).await;
    assert_eq!((unknown.status, unknown.json()["error"]["code"].as_str()), (404, Some("model_not_found")));
    assert_eq!(desk.settled().await, Outstanding::default());
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn keys_open_what_they_may_and_nothing_else() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "sk-ci-4711\n").unwrap();
    let toml = format!(
        "version = 1\n[providers.openai]\nbase_url = \"{}/v1\"\n\
         [deployments.mini]\nprovider = \"openai\"\nmodel = \"gpt-4o-mini\"\n\
         [models.gpt-4o-mini]\ndeployments = [\"mini\"]\n[models.other]\ndeployments = [\"mini\"]\n\
         [keys.ci]\nsecret = \"file:{}\"\nmodels = [\"gpt-4o-mini\"]\nlimits = {{ rpm = 2 }}\n[keys.lost]\n",
        upstream.address,
        secret.path().display()
    );
    let desk = Desk::start(&toml).await;
    assert!(desk.notes.iter().any(|note| note.contains("key `lost` has no secret")), "{:?}", desk.notes);
    let path = "/v1/chat/completions";
    assert_eq!(desk.chat("hi").await.status, 401);
    assert_eq!(desk.post_as("sk-wrong", path, &chat("hi")).await.json()["error"]["code"], "invalid_api_key");
    let forbidden = desk.post_as("sk-ci-4711", path, &of("other")).await;
    assert_eq!((forbidden.status, forbidden.json()["error"]["code"].as_str()), (403, Some("model_not_allowed")));
    for left in ["1", "0"] {
        let answer = desk.post_as("sk-ci-4711", path, &chat("hi")).await;
        assert_eq!((answer.status, answer.header("x-ratelimit-limit-requests")), (200, "2"));
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), left);
    }
    let limited = desk.post_as("sk-ci-4711", path, &chat("hi")).await;
    assert_eq!(limited.status, 429);
    assert!(limited.message().contains("the limit of key ci, 2 requests in 1m"), "{}", limited.body);
    let after: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    let mut request = desk.request("/v1/models", "");
    *request.method_mut() = hyper::Method::GET;
    request.headers_mut().insert("x-api-key", "sk-ci-4711".parse().unwrap());
    let models = desk.send(request).await;
    assert_eq!(models.json()["data"].as_array().unwrap().len(), 1, "{}", models.body);
    assert_eq!(models.json()["data"][0]["id"], "gpt-4o-mini");
}

#[tokio::test]
async fn a_failure_is_tried_again_and_a_bad_request_is_not() {
    let upstream = Upstream::start(|n, seen| match n {
        0 => {
            upstream::answer(429, &[("retry-after-ms", "20")], r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#)
        }
        1 => upstream::completion("after all"),
        _ if seen.body.contains("bad") => {
            upstream::answer(400, &[], r#"{"error":{"message":"no such voice","type":"invalid_request_error","param":"voice","code":null}}"#)
        }
        _ => upstream::answer(401, &[], r#"{"error":{"message":"Incorrect API key provided: sk-prov-SECRET","code":"invalid_api_key"}}"#),
    })
    .await;
    let desk = Desk::start(&config(&upstream.address, "")).await;
    let answer = desk.chat("hi").await;
    assert_eq!((answer.status, answer.header("x-gwsim-attempts")), (200, "2"), "{}", answer.body);
    let bad = desk.chat("bad").await;
    assert_eq!((bad.status, bad.header("x-gwsim-attempts"), bad.header("x-gwsim-cost")), (400, "1", "0.000000000000"));
    assert_eq!((bad.message().as_str(), bad.json()["error"]["param"].as_str()), ("no such voice", Some("voice")), "in the provider's words");
    let refused = desk.chat("hi").await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (502, "false"));
    assert!(!refused.body.contains("SECRET"), "the provider's words quote the gateway's own key: {}", refused.body);
    assert_eq!(desk.settled().await, Outstanding::default());
}

#[tokio::test]
async fn what_does_not_answer_in_time_ends_with_the_right_status() {
    let upstream = Upstream::start(|n, _| match n {
        0 => vec![Piece::Hang],
        1 => vec![Piece::Bytes(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{".to_vec()), Piece::Cut],
        2 => upstream::answer(302, &[("location", "http://127.0.0.1:1/steal")], ""),
        3 => upstream::answer(200, &[], "<html>not JSON</html>"),
        _ => vec![Piece::Cut],
    })
    .await;
    let more = "[attempts]\nper_deployment = 1\n[timeouts]\ncall = \"150ms\"\n";
    let desk = Desk::start(&config(&upstream.address, more)).await;
    assert_eq!(desk.chat("hangs").await.status, 504);
    assert_eq!(desk.chat("is cut").await.status, 502);
    assert_eq!(desk.chat("is sent elsewhere").await.status, 502);
    assert_eq!(desk.chat("is no answer").await.status, 502);
    assert_eq!(desk.chat("is not there").await.status, 502);
    assert_eq!(upstream.seen().len(), 5, "nobody followed the redirect, and nothing was tried again");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(upstream.closed().len(), 1, "the call that took too long was closed");
    assert_eq!(desk.settled().await, Outstanding::default());
}
