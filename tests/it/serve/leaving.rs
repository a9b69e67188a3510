//! Clients that leave: what they cost, what is closed, and that nothing is left behind wherever they do.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use gwsim::gateway::Outstanding;
use gwsim::gateway::money::Money;
use gwsim::serve::exchange;
use gwsim::wire::Endpoint;
use http_body_util::{BodyExt, Full};
use hyper::Request;

use super::desk::{Desk, chat, config, streamed};
use super::upstream::{self, Piece, Upstream};

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn where_closing_stops_the_bill_the_call_is_closed_at_once() {
    let upstream = Upstream::start(|_, _| vec![upstream::stream_head(), upstream::chunk(&upstream::word("one")), Piece::Hang]).await;
    let desk = Desk::start(&config(&upstream.address, "")).await;
    let mut body = desk.client.request(desk.request(PATH, streamed("hi").to_string())).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let left = std::time::Instant::now();
    drop(body);
    while upstream.closed().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(left.elapsed() < Duration::from_millis(100), "the provider goes on at our expense");
    }
    assert_eq!(desk.settled().await, Outstanding::default());
    let (confirmed, presumed) = desk.spent();
    // One word came and 200 tokens of lag may follow (the provider's rule); the input's bound is in it, too.
    assert!(confirmed == Money::ZERO && presumed >= Money(10 * 150_000 + 201 * 600_000), "{presumed:?}");
}

#[tokio::test]
async fn where_it_does_not_the_answer_is_read_to_its_end() {
    let upstream = Upstream::start(|_, _| {
        let mut pieces = upstream::stream(&["one", " two", " three"]);
        pieces.insert(2, Piece::Wait(Duration::from_millis(150)));
        pieces
    })
    .await;
    let toml = config(&upstream.address, "").replace("[models", "billing = 0\n[models").replace("billing = 0\n", "cancel_stops_billing = false\n");
    let desk = Desk::start(&toml).await;
    let mut body = desk.client.request(desk.request(PATH, streamed("hi").to_string())).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(desk.settled().await, Outstanding::default());
    assert_eq!(desk.spent(), (Money(10 * 150_000 + 3 * 600_000), Money::ZERO), "an exact bill");
    // One word of the three had been passed on.
    let metrics = desk.get("/metrics").await;
    let says = |line: &str| metrics.body.lines().any(|own| own == line);
    assert!(says("gwsim_undelivered_tokens_total{deployment=\"mini\"} 2.0"), "{}", metrics.body);
    assert!(says("gwsim_upstream_calls_total{deployment=\"mini\",ended=\"delivered\"} 1.0"), "{}", metrics.body);
}

/// Polls so often, and not once more.
async fn at_most<F: Future>(future: F, polls: &mut usize) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        if *polls == 0 {
            return Poll::Ready(None);
        }
        *polls -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// One request, given up after so many polls of its handler and its body. Says whether it got to its end.
async fn given_up_after(desk: &Desk, endpoint: Endpoint, body: &serde_json::Value, mut polls: usize) -> bool {
    let request = Request::post(endpoint.path()).body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let Some(response) = at_most(exchange::answer(desk.app.clone(), endpoint, request), &mut polls).await else { return false };
    let mut body = response.into_body();
    loop {
        match at_most(body.frame(), &mut polls).await {
            None => return false,
            Some(None) => return true,
            Some(Some(frame)) => drop(frame.unwrap()),
        }
    }
}

/// Has requests given up at every await, each beside one that is given up earlier and one that is not: others wait for the same answer, for a
/// place, and for nothing. Whatever is left open goes on in the background, and comes to its end.
async fn drop_everywhere(toml: &str, endpoint: Endpoint, bodies: &[serde_json::Value]) {
    let desk = Desk::start(toml).await;
    for body in bodies {
        for polls in 0.. {
            let (ended, _, third) = tokio::join!(
                given_up_after(&desk, endpoint, body, polls),
                given_up_after(&desk, endpoint, body, polls / 2),
                given_up_after(&desk, endpoint, body, usize::MAX)
            );
            assert!(third);
            assert_eq!(desk.settled().await, Outstanding::default(), "given up after {polls} polls: {body}");
            if ended && polls > 12 {
                break;
            }
        }
    }
}

/// Answers in the dialect that it is asked in, a piece at a time. Whoever asks for what fails is refused every other time.
async fn of_both_dialects() -> Upstream {
    Upstream::start(|n, seen| {
        if seen.body.contains("fails at gpt") && seen.target.starts_with("/openai") || seen.body.contains("fails first") && n.is_multiple_of(2) {
            return upstream::answer(500, &[], "{}");
        }
        let mut pieces = match (seen.target.ends_with("/messages"), seen.body.contains("\"stream\":true")) {
            (false, true) => upstream::stream(&["one", " two"]),
            (false, false) => upstream::completion("one two"),
            (true, true) => upstream::message_stream("one two"),
            (true, false) => upstream::message("one two"),
        };
        for at in (1..pieces.len()).rev() {
            pieces.insert(at, Piece::Wait(Duration::from_millis(2)));
        }
        pieces
    })
    .await
}

const QUICK: &str = "[attempts]\nbackoff = { base = \"2ms\", jitter = \"0ms\" }\n[cooldown]\ntime = \"0s\"\n\
                     [limits]\nconcurrency = 2\nqueue = { length = 9, wait = \"5s\" }\n";

/// The gateway with each of: closing or draining, alone or with a cache, whose single flights have followers.
fn ways(toml: &str) -> [String; 4] {
    let drains = |toml: &str| toml.replace("base_url", "cancel_stops_billing = false\nbase_url");
    let cached = format!("{toml}[cache]\nttl = \"0s\"\n");
    [toml.to_owned(), drains(toml), drains(&cached), cached]
}

#[tokio::test]
async fn a_handler_can_be_dropped_at_every_await() {
    let upstream = of_both_dialects().await;
    for toml in ways(&config(&upstream.address, QUICK)) {
        let bodies = [chat("hi"), streamed("hi"), chat("fails first"), streamed("fails first")];
        drop_everywhere(&toml, Endpoint::ChatCompletions, &bodies).await;
    }
}

#[tokio::test]
async fn a_handler_can_be_dropped_at_every_await_whichever_dialect_it_is_asked_and_answered_in() {
    let upstream = of_both_dialects().await;
    let toml = format!(
        "version = 1\n[providers.openai]\nbase_url = \"{0}/openai\"\n[providers.anthropic]\nbase_url = \"{0}/anthropic\"\n\
         [models.gpt]\ndeployments = [{{ id = \"gpt\", provider = \"openai\", model = \"gpt-4o-mini\" }}]\nfallbacks = [\"claude\"]\n\
         [models.claude]\ndeployments = [{{ id = \"claude\", provider = \"anthropic\", model = \"claude-3-haiku\" }}]\n{QUICK}",
        upstream.address
    );
    let of = |model: &str, mut body: serde_json::Value| {
        body["model"] = model.into();
        body["max_tokens"] = 50.into();
        body
    };
    for toml in ways(&toml) {
        // In Anthropic's own words, in translation, and by a fallback from one dialect to the other.
        let own = [of("claude", chat("hi")), of("claude", streamed("hi")), of("gpt", streamed("fails at gpt"))];
        drop_everywhere(&toml, Endpoint::Messages, &own).await;
        let translated =
            [of("claude", chat("hi")), of("claude", streamed("hi")), of("gpt", chat("fails at gpt")), of("gpt", streamed("fails at gpt"))];
        drop_everywhere(&toml, Endpoint::ChatCompletions, &translated).await;
    }
}
