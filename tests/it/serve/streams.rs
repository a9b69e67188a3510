//! Streamed answers: passed on as they come, and never ended as if they were whole when they are not.

use std::time::{Duration, Instant};

use gwsim::gateway::Outstanding;
use gwsim::gateway::money::Money;
use http_body_util::BodyExt;
use serde_json::json;

use super::desk::{Desk, config, streamed};
use super::upstream::{self, Piece, Upstream};

const PATH: &str = "/v1/chat/completions";

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn a_stream_is_passed_on_word_by_word_and_its_usage_stays_here_unless_asked_for() {
    let upstream = Upstream::start(|_, _| {
        let mut pieces = upstream::stream(&["one", " two"]);
        pieces.insert(2, Piece::Wait(millis(300)));
        pieces
    })
    .await;
    let desk = Desk::start(&config(&upstream.address, "")).await;
    let begun = Instant::now();
    let response = desk.client.request(desk.request(PATH, streamed("hi").to_string())).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(response.headers()["x-gwsim-deployment"], "mini");
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, upstream::word("one"), "the provider's bytes");
    assert!(begun.elapsed() < millis(250), "the first word did not wait for the second");
    let rest = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(rest.ends_with("data: [DONE]\n\n") && !rest.contains("usage"), "{rest}");
    assert_eq!(upstream.seen()[0].json()["stream_options"], json!({ "include_usage": true }), "it is always asked for");
    let mut asks = streamed("hi");
    asks["stream_options"] = json!({ "include_usage": true });
    let with_usage = desk.post(PATH, &asks).await;
    assert!(with_usage.body.contains("\"completion_tokens\":2"), "{}", with_usage.body);
    assert_eq!(desk.settled().await, Outstanding::default());
    assert_eq!(desk.spent(), (Money(2 * (10 * 150_000 + 2 * 600_000)), Money::ZERO));
}

#[tokio::test]
async fn a_provider_that_refuses_stream_options_is_not_sent_any() {
    let upstream = Upstream::start(|_, _| upstream::stream(&["hello"])).await;
    let toml = config(&upstream.address, "").replace("[models", "stream_options = false\n[models");
    let desk = Desk::start(&toml).await;
    let mut asks = streamed("hi");
    asks["stream_options"] = json!({ "include_usage": true });
    for body in [streamed("hi"), asks] {
        assert_eq!(desk.post("/v1/chat/completions", &body).await.status, 200);
    }
    assert!(upstream.seen().iter().all(|seen| seen.json().get("stream_options").is_none()), "{:?}", upstream.seen());
}

#[tokio::test]
async fn any_chunking_gives_the_same_bytes() {
    let text = format!("{}{}{}", upstream::word("Grüße, "), upstream::word("世界"), upstream::finale(2));
    let sent = text.clone();
    let upstream = Upstream::start(move |n, _| {
        let size = [1, 2, 7, 1000][n % 4];
        let mut pieces = vec![upstream::stream_head()];
        for part in sent.as_bytes().chunks(size) {
            let mut piece = format!("{:x}\r\n", part.len()).into_bytes();
            piece.extend_from_slice(part);
            piece.extend_from_slice(b"\r\n");
            pieces.push(Piece::Bytes(piece));
        }
        pieces.push(upstream::stream_end());
        pieces
    })
    .await;
    let desk = Desk::start(&config(&upstream.address, "")).await;
    let mut asks = streamed("hi");
    asks["stream_options"] = json!({ "include_usage": true });
    for _ in 0..4 {
        assert_eq!(desk.post(PATH, &asks).await.body, text);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error() {
    let upstream = Upstream::start(|n, _| {
        let mut pieces = vec![upstream::stream_head(), upstream::chunk(&upstream::word("one"))];
        match n {
            0 => pieces.push(Piece::Cut),
            // A clean end of the connection is no end of the answer.
            1 => pieces.push(upstream::stream_end()),
            2 => pieces.push(upstream::chunk("data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\"code\":null}}\n\n")),
            3 => pieces.push(upstream::chunk("data: {\"choices\": [\n\n")),
            _ => pieces.push(Piece::Hang),
        }
        pieces
    })
    .await;
    let desk = Desk::start(&config(&upstream.address, "[timeouts]\nidle = \"100ms\"\n")).await;
    for case in 0..5 {
        let answer = desk.post(PATH, &streamed("hi")).await;
        assert_eq!(answer.status, 200, "it had begun");
        assert!(answer.body.starts_with(&upstream::word("one")) && !answer.body.contains("[DONE]"), "{case}: {}", answer.body);
        let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
        let error: serde_json::Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
        assert!(error["error"]["message"].is_string(), "{case}: {last}");
    }
    tokio::time::sleep(millis(50)).await;
    assert_eq!(upstream.seen().len(), 5, "what has opened is not tried again");
    assert_eq!(upstream.closed().len(), 1, "the silent one was closed");
    assert_eq!(desk.settled().await, Outstanding::default());
    let (confirmed, presumed) = desk.spent();
    assert!(confirmed == Money::ZERO && presumed > Money::ZERO);
}

#[tokio::test]
async fn what_fails_before_its_first_word_is_tried_again() {
    let upstream = Upstream::start(|n, _| match n {
        0 => vec![
            upstream::stream_head(),
            upstream::chunk("data: {\"error\":{\"message\":\"try later\",\"code\":\"rate_limit_exceeded\"}}\n\n"),
            upstream::stream_end(),
        ],
        2 => vec![upstream::stream_head(), upstream::chunk(": no word yet\n\n"), Piece::Cut],
        4 => vec![upstream::stream_head(), upstream::stream_end()],
        1 | 3 | 5 => upstream::stream(&["after all"]),
        _ => upstream::answer(200, &[], "{}"),
    })
    .await;
    let desk = Desk::start(&config(&upstream.address, "[attempts]\nbackoff = { base = \"10ms\", jitter = \"1ms\" }\n")).await;
    for case in ["an error", "a break", "a clean end"] {
        let answer = desk.post(PATH, &streamed("hi")).await;
        assert_eq!((answer.status, answer.header("x-gwsim-attempts")), (200, "2"), "{case}");
        assert!(answer.body.contains("after all") && !answer.body.contains("try later"), "{case}: {}", answer.body);
    }
    assert_eq!(desk.post(PATH, &streamed("no stream")).await.status, 502);
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_between_events() {
    let upstream = Upstream::start(|_, _| {
        let mut pieces = upstream::stream(&["one", " two"]);
        // In the middle of an event: a comment must not tear it apart.
        let text = upstream::word(" two");
        pieces[2] = upstream::chunk(&text[..20]);
        pieces.insert(3, Piece::Wait(millis(250)));
        pieces.insert(4, upstream::chunk(&text[20..]));
        pieces
    })
    .await;
    let desk = Desk::start(&config(&upstream.address, "[server]\nkeep_alive = \"60ms\"\n")).await;
    let answer = desk.post(PATH, &streamed("hi")).await;
    let comments = answer.body.matches(": keep-alive\n\n").count();
    assert!((2..=5).contains(&comments), "{}", answer.body);
    let without = answer.body.replace(": keep-alive\n\n", "");
    assert!(without.starts_with(&format!("{}{}", upstream::word("one"), upstream::word(" two"))), "{without}");
}
