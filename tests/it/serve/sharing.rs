//! Answers that serve more than one request: from the cache, and while they are on their way.

use std::time::Duration;

use gwsim::gateway::Outstanding;
use serde_json::json;

use super::desk::{Desk, chat, config, streamed};
use super::upstream::{self, Piece, Upstream};

const PATH: &str = "/v1/chat/completions";

async fn slow(milliseconds: u64) -> Upstream {
    Upstream::start(move |_, seen| {
        let mut pieces = if seen.body.contains("\"stream\":true") { upstream::stream(&["one", " two"]) } else { upstream::completion("one two") };
        pieces.insert(0, Piece::Wait(Duration::from_millis(milliseconds)));
        pieces
    })
    .await
}

#[tokio::test]
async fn an_equal_request_is_answered_from_the_cache_in_the_form_that_it_asks_for() {
    let upstream = slow(0).await;
    let desk = Desk::start(&config(&upstream.address, "[cache]\nttl = \"1h\"\nseparate_streams = false\n")).await;
    let first = desk.chat("hi").await;
    assert_eq!(first.header("x-gwsim-cache"), "miss");
    let again = desk.chat("hi").await;
    assert_eq!((again.header("x-gwsim-cache"), again.header("x-gwsim-cost")), ("hit", "0.000000000000"));
    assert_eq!(again.body, first.body);
    let stream = desk.post(PATH, &streamed("hi")).await;
    assert_eq!((stream.header("x-gwsim-cache"), stream.header("content-type")), ("hit", "text/event-stream; charset=utf-8"));
    assert!(stream.body.contains("one two") && stream.body.ends_with("data: [DONE]\n\n") && !stream.body.contains("usage"), "{}", stream.body);
    let mut fresh = chat("hi");
    fresh["cache"] = json!({ "no-cache": true });
    assert_eq!(desk.post(PATH, &fresh).await.header("x-gwsim-cache"), "miss");
    assert_eq!(upstream.seen().len(), 2);
    assert!(upstream.seen()[1].json().get("cache").is_none(), "it is for the gateway");

    let told = desk.post(PATH, &streamed("told as a stream")).await;
    assert_eq!(told.header("x-gwsim-cache"), "miss");
    let retold = desk.post(PATH, &streamed("told as a stream")).await;
    assert_eq!((retold.header("x-gwsim-cache"), &retold.body), ("hit", &told.body));
    let mut asks = streamed("told as a stream");
    asks["stream_options"] = json!({ "include_usage": true });
    assert!(desk.post(PATH, &asks).await.body.contains("\"completion_tokens\":2"));
    let whole = desk.chat("told as a stream").await;
    assert_eq!(whole.json()["choices"][0]["message"]["content"], "one two");
    assert_eq!(upstream.seen().len(), 3);
    assert_eq!(desk.settled().await, Outstanding::default());
}

#[tokio::test]
async fn equal_requests_at_one_time_make_one_call() {
    let upstream = slow(150).await;
    // An answer that is too large to be kept is shared all the same.
    let desk = Desk::start(&config(&upstream.address, "[server]\ncached_body_max = \"100 B\"\n[cache]\nttl = \"1h\"\n")).await;
    let answers = tokio::join!(desk.chat("hi"), desk.chat("hi"), desk.chat("hi"));
    let mut kinds =
        [&answers.0, &answers.1, &answers.2].map(|answer| (answer.status, answer.header("x-gwsim-cache").to_owned(), answer.body.clone()));
    kinds.sort();
    let body = upstream::completion_body("one two");
    assert_eq!(
        kinds.map(|(status, kind, own)| (status, kind, own == body)),
        [(200, "miss", true), (200, "shared", true), (200, "shared", true)].map(|(status, kind, is)| (status, kind.to_owned(), is))
    );
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(desk.chat("hi").await.header("x-gwsim-cache"), "miss", "it was not kept");
    assert_eq!(desk.settled().await, Outstanding::default());
    assert_eq!(desk.read(|gateway| gateway.cache().len()), 0, "and the index knows");
}

#[tokio::test]
async fn the_call_goes_on_for_others_when_the_client_that_made_it_leaves() {
    let upstream = slow(200).await;
    let desk = Desk::start(&config(&upstream.address, "[stream]\non_disconnect = \"cancel\"\n[cache]\nttl = \"1h\"\n")).await;
    let leader = tokio::time::timeout(Duration::from_millis(80), desk.chat("hi"));
    let follower = async {
        tokio::time::sleep(Duration::from_millis(40)).await;
        desk.chat("hi").await
    };
    let (leader, follower) = tokio::join!(leader, follower);
    assert!(leader.is_err(), "it has left");
    assert_eq!((follower.status, follower.header("x-gwsim-cache")), (200, "shared"));
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(desk.settled().await, Outstanding::default());
}
