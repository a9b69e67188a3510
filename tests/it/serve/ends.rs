//! What is booked where the provider does not say what it bills: never less than it may be, and never as if it were known.

use gwsim::gateway::Outstanding;
use gwsim::gateway::money::Money;
use serde_json::json;

use super::desk::{Desk, chat, config, streamed};
use super::upstream::{self, Piece, Upstream};

const PATH: &str = "/v1/chat/completions";

/// What one output token costs.
const OUTPUT: i128 = 600_000;

/// One attempt, and a bound on the output.
fn desk_config(upstream: &Upstream, more: &str) -> String {
    config(&upstream.address, &format!("[attempts]\nper_group = 1\nper_deployment = 1\n{more}"))
}

fn ten(mut body: serde_json::Value) -> serde_json::Value {
    body["max_tokens"] = 10.into();
    body
}

/// What is presumed for a call that is answered so, in output tokens, rounded down; nothing is confirmed.
async fn presumed(body: serde_json::Value, pieces: Vec<Piece>) -> (u16, i128) {
    let upstream = Upstream::start(move |_, _| pieces.clone()).await;
    let desk = Desk::start(&desk_config(&upstream, "")).await;
    let answer = desk.post(PATH, &ten(body)).await;
    assert_eq!(desk.settled().await, Outstanding::default());
    let (confirmed, presumed) = desk.spent();
    assert_eq!(confirmed, Money::ZERO, "nobody has said what it costs");
    (answer.status, presumed.0 / OUTPUT)
}

#[tokio::test]
async fn an_answer_without_usage_is_presumed_from_what_came_or_what_was_held() {
    let body =
        json!({ "id": "1", "object": "chat.completion", "choices": [{ "index": 0, "message": { "content": "hi" }, "finish_reason": "stop" }] });
    let (status, tokens) = presumed(chat("hi"), upstream::answer(200, &[], &body.to_string())).await;
    assert!(status == 200 && tokens >= 10, "{tokens}");
    let stop = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let pieces = vec![upstream::stream_head(), upstream::chunk(&upstream::word("abc")), upstream::chunk(stop), upstream::stream_end()];
    let (status, tokens) = presumed(streamed("hi"), pieces).await;
    let (_, most) = presumed(streamed("hi"), vec![upstream::stream_head(), Piece::Cut]).await;
    assert_eq!((status, most - tokens), (200, 10 - 4), "three bytes and their frame are at most four tokens");
}

#[tokio::test]
async fn what_goes_wrong_after_a_good_status_is_not_free() {
    let cut = Piece::Bytes(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{\"choices\":".to_vec());
    let plain = [
        vec![cut, Piece::Cut],
        upstream::answer(200, &[], "{\"choices\": ["),
        upstream::answer(200, &[], "{\"error\": {\"message\": \"overloaded\", \"code\": \"rate_limit_exceeded\"}}"),
    ];
    for pieces in plain {
        let (status, tokens) = presumed(chat("hi"), pieces.clone()).await;
        assert!(status >= 400 && tokens >= 10, "{status} {tokens}: {pieces:?}");
    }
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"code\":\"rate_limit_exceeded\"}}\n\n";
    let streams = [
        vec![upstream::stream_head(), Piece::Cut],
        vec![upstream::stream_head(), upstream::chunk(error), upstream::stream_end()],
        upstream::answer(200, &[], "{}"),
    ];
    for pieces in streams {
        let (status, tokens) = presumed(streamed("hi"), pieces.clone()).await;
        assert!(status >= 400 && tokens >= 10, "{status} {tokens}: {pieces:?}");
    }
    let (status, tokens) = presumed(chat("hi"), upstream::answer(500, &[], "{}")).await;
    assert_eq!((status, tokens), (500, 0), "what is refused costs nothing");
}

#[tokio::test]
async fn a_cached_answer_that_has_not_the_form_asked_for_is_none() {
    let upstream = Upstream::start(|n, _| match n {
        // An answer, as far as anyone can tell, but nothing that could be told as a stream.
        0 => upstream::answer(200, &[], "{\"object\":\"odd\",\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":1}}"),
        _ => upstream::stream(&["one", " two"]),
    })
    .await;
    let desk = Desk::start(&desk_config(&upstream, "[cache]\nttl = \"1h\"\nseparate_streams = false\n")).await;
    let kind = |answer: &super::desk::Answer| (answer.status, answer.header("x-gwsim-cache").to_owned());
    let (miss, hit) = ((200, "miss".to_owned()), (200, "hit".to_owned()));
    assert_eq!(kind(&desk.chat("hi").await), miss);
    assert_eq!(kind(&desk.chat("hi").await), hit);
    let stream = desk.post(PATH, &streamed("hi")).await;
    assert_eq!(kind(&stream), miss);
    assert!(stream.body.ends_with("data: [DONE]\n\n"), "{}", stream.body);
    assert_eq!(kind(&desk.post(PATH, &streamed("hi")).await), hit, "the other one has replaced it");
    let whole = desk.chat("hi").await;
    assert_eq!((kind(&whole), &whole.json()["choices"][0]["message"]["content"]), (hit, &json!("one two")));
    assert_eq!(upstream.seen().len(), 2);
    assert_eq!(desk.settled().await, Outstanding::default());
}

/// A body that asks for more than tokens at the standard price.
fn asking(more: &serde_json::Value) -> serde_json::Value {
    let mut body = ten(chat("hi"));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn what_could_cost_more_than_its_price_says_is_not_sent() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let [tier, flex, tool] =
        [json!({ "service_tier": "priority" }), json!({ "service_tier": "flex" }), json!({ "web_search_options": { "user_location": null } })];
    let statuses = async |more: &str, provider: &str| {
        let toml = desk_config(&upstream, more).replace("[models", &format!("{provider}[models"));
        let desk = Desk::start(&toml).await;
        let mut statuses = Vec::new();
        for more in [&json!({}), &tier, &flex, &tool] {
            statuses.push(desk.post(PATH, &asking(more)).await.status);
        }
        assert_eq!(desk.settled().await, Outstanding::default());
        statuses
    };
    let priced_at = |tier: &str| format!("[prices]\nmodels.\"gpt-4o-mini-2024-07-18\" = {{ service_tier = \"{tier}\" }}\n");
    assert_eq!(statuses("", "").await, [200, 422, 200, 422]);
    assert_eq!(upstream.seen().len(), 2);
    assert_eq!(statuses(&priced_at("priority"), "").await, [200, 200, 200, 422]);
    assert_eq!(statuses(&priced_at("batch"), "").await, [422, 422, 200, 422]);
    assert_eq!(statuses("", "billed_tools = true\n").await, [200, 422, 200, 200]);
}

#[tokio::test]
async fn an_answer_of_another_class_of_service_than_its_price_is_presumed() {
    let served = |tier: &str| {
        let mut body: serde_json::Value = serde_json::from_str(&upstream::completion_body("hello")).unwrap();
        body["service_tier"] = tier.into();
        upstream::answer(200, &[], &body.to_string())
    };
    let (_, most) = presumed(chat("hi"), served("priority")).await;
    let (_, least) = presumed(chat("hi"), served("flex")).await;
    assert_eq!(most - least, 10 - 5, "all that was held, and what it costs at most at the standard price");
    let told = |tier: &str| {
        let text = upstream::word("one").replacen('{', &format!("{{\"service_tier\":\"{tier}\","), 1);
        vec![upstream::stream_head(), upstream::chunk(&text), upstream::chunk(&upstream::finale(1)), upstream::stream_end()]
    };
    let (_, tokens) = presumed(streamed("hi"), told("priority")).await;
    assert_eq!(tokens, most);
    let upstream = Upstream::start(move |_, _| served("default")).await;
    let desk = Desk::start(&desk_config(&upstream, "")).await;
    desk.chat("hi").await;
    assert_eq!(desk.spent().1, Money::ZERO);
}
