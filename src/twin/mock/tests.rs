//! Providers as a caller meets them: over sockets, in one process. Time runs twenty times as fast.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::bill::Bills;
use super::providers::{Origin, Providers};
use super::{Mock, origin, path_of, serve, unescaped};
use crate::clock::Clock;
use crate::config::{self, Options};
use crate::gateway::time::{Span, Time};
use crate::price::tokens::TokenCounts;
use crate::sim::upstream::Upstream;
use crate::sim::world::{Answer, Billing, DeploymentWorld, Pace, PromptCache, Step, World};
use crate::traffic::distribution::Distribution;

const SCENARIO: &str = r#"
traffic = { synthetic = { duration = "1m", rate = "1/s" } }
[gateway.models.m]
deployments = [{ id = "mini", provider = "openai", model = "gpt-4o-mini" }, { id = "haiku", provider = "anthropic", model = "claude-3-haiku" }]
"#;

/// A mock on a free port.
struct Twin {
    mock: Arc<Mock>,
    port: u16,
}

/// What came back: head and body, and whether the connection was closed in good order.
struct Answered {
    head: String,
    body: String,
    in_order: bool,
}

impl Twin {
    /// `mini` is as said, `haiku` answers at once.
    async fn new(mini: DeploymentWorld) -> Self {
        let scenario = config::load_scenario_text(Path::new("scenario.toml"), SCENARIO, &Options::default());
        let plan = scenario.unwrap_or_else(|diagnostics| panic!("{}", diagnostics.render(false))).value.variants.remove(0).gateway.plan;
        let world = World { deployments: vec![mini, DeploymentWorld::ledger("haiku")] };
        let upstream = Upstream::new(&plan, &world, 1).unwrap();
        let clock = Clock::start(Time(0), 20_000);
        let providers = Providers::new(Arc::new(plan), upstream, 1, Distribution::Constant(5.0), clock, Bills::new(None).unwrap());
        let mock = Arc::new(Mock { providers: Arc::new(providers), are_anthropic: vec![false, true], counts: TokenCounts::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(Arc::clone(&mock), listener));
        Self { mock, port }
    }

    async fn send(&self, path: &str, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        stream
    }

    async fn post(&self, path: &str, body: &Value) -> Answered {
        let mut stream = self.send(path, body).await;
        let mut bytes = Vec::new();
        let in_order = stream.read_to_end(&mut bytes).await.is_ok();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Answered { head: head.to_owned(), body: body.to_owned(), in_order }
    }

    async fn chat(&self, more: &Value) -> Answered {
        self.post("/mini/v1/chat/completions", &chat(more)).await
    }

    /// The bill, once so many calls have ended.
    async fn bill(&self, calls: u64) -> Value {
        for _ in 0..500 {
            let sums = self.mock.providers.bills.sums();
            if sums["calls"].as_u64().unwrap() >= calls {
                return sums;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{calls} calls have not ended: {}", self.mock.providers.bills.sums());
    }
}

fn chat(more: &Value) -> Value {
    let mut body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "cat dog sun [[gwsim output=7]]"}]});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn steps(steps: &[Step]) -> DeploymentWorld {
    DeploymentWorld { steps: steps.to_vec(), ..DeploymentWorld::ledger("mini") }
}

/// A stream that sends one token at once and the next after half a minute of life.
fn slow() -> DeploymentWorld {
    let pace = Pace { first: Span::ZERO, gap: Span::from_secs(600), chunk_tokens: 1 };
    DeploymentWorld { pace, billing: Billing { cancel_lag_tokens: 3, ..Billing::EXACT }, ..DeploymentWorld::ledger("mini") }
}

#[tokio::test]
async fn an_answer_has_the_tokens_that_its_marker_says_and_is_billed_for_them() {
    let twin = Twin::new(DeploymentWorld::ledger("mini")).await;
    let answered = twin.chat(&json!({})).await;
    let body: Value = serde_json::from_str(&answered.body).unwrap();
    assert_eq!((&body["usage"]["prompt_tokens"], &body["usage"]["completion_tokens"]), (&json!(3), &json!(7)));
    let limited: Value = serde_json::from_str(&twin.chat(&json!({"max_tokens": 4})).await.body).unwrap();
    assert_eq!((&limited["usage"]["completion_tokens"], &limited["choices"][0]["finish_reason"]), (&json!(4), &json!("length")));
    let drawn = json!({"messages": [{"role": "user", "content": "no marker"}]});
    let drawn: Value = serde_json::from_str(&twin.chat(&drawn).await.body).unwrap();
    assert_eq!(drawn["usage"]["completion_tokens"], 5, "the lengths of the traffic");
    let bill = twin.bill(3).await;
    assert_eq!((&bill["input"], &bill["output"]), (&json!(3 + 3 + 3), &json!(7 + 4 + 5)));
}

#[tokio::test]
async fn a_deployment_speaks_its_provider_s_dialect_and_no_other() {
    let twin = Twin::new(DeploymentWorld::ledger("mini")).await;
    let body = json!({"model": "claude-3-haiku", "max_tokens": 9, "messages": [{"role": "user", "content": "cat [[gwsim output=2]]"}]});
    let answered = twin.post("/haiku/v1/messages", &body).await;
    let message: Value = serde_json::from_str(&answered.body).unwrap();
    assert_eq!((&message["type"], &message["usage"]["output_tokens"]), (&json!("message"), &json!(2)));
    assert!(twin.post("/haiku/v1/chat/completions", &body).await.head.starts_with("HTTP/1.1 404"));
    assert!(twin.post("/mini/v1/messages", &body).await.head.starts_with("HTTP/1.1 404"));
    assert!(twin.post("/nobody/v1/messages", &body).await.head.starts_with("HTTP/1.1 404"));
    let counted = twin.post("/haiku/v1/messages/count_tokens", &body).await;
    assert_eq!(counted.body, r#"{"input_tokens":1}"#);
    assert_eq!(twin.bill(1).await["calls"], 1, "counting is free");
}

#[tokio::test]
async fn a_429_says_when_to_come_back_and_costs_nothing() {
    let refused = Step::of(Answer::Status { status: 429, retry_after: Some(Span::from_millis(1_500)), reason: crate::sim::world::Reason::Plain });
    let twin = Twin::new(steps(&[refused])).await;
    let answered = twin.chat(&json!({})).await;
    assert!(answered.head.starts_with("HTTP/1.1 429") && answered.head.contains("retry-after: 2\r\n"), "{}", answered.head);
    assert!(answered.body.contains("rate_limit_exceeded"));
    assert_eq!(twin.bill(1).await["billed"], 0);
}

#[tokio::test]
async fn a_provider_that_breaks_gives_no_status_and_one_that_hangs_gives_nothing() {
    let twin = Twin::new(steps(&[Step::of(Answer::Broken), Step::of(Answer::Hang(Span::from_secs(2))), Step::of(Answer::Hang(Span::MAX))])).await;
    for what in ["broken", "closed after two seconds of its time"] {
        let answered = twin.chat(&json!({})).await;
        assert_eq!((answered.head.as_str(), answered.in_order), ("", false), "{what}");
    }
    let mut forever = twin.send("/mini/v1/chat/completions", &chat(&json!({}))).await;
    let mut byte = [0];
    assert!(tokio::time::timeout(Duration::from_millis(100), forever.read(&mut byte)).await.is_err(), "it says nothing");
    assert_eq!(twin.bill(2).await["billed"], 0);
    drop(forever);
    let bill = twin.bill(3).await;
    assert_eq!((&bill["billed"], &bill["output"]), (&json!(1), &json!(7)), "a plain call is made and billed in full, whoever hears of it");
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_in_the_middle_and_its_tokens_are_billed() {
    let twin = Twin::new(steps(&[Step::of(Answer::Cut { chunks: 2 })])).await;
    let answered = twin.chat(&json!({"stream": true})).await;
    assert!(answered.head.starts_with("HTTP/1.1 200") && !answered.in_order);
    assert_eq!(answered.body.matches("\"content\":\"").count() - 1, 2, "after the role");
    assert!(!answered.body.contains("[DONE]"));
    assert_eq!(twin.bill(1).await["output"], 2);
}

#[tokio::test]
async fn a_plain_answer_that_is_cut_breaks_in_its_body_and_is_billed_in_full() {
    let twin = Twin::new(steps(&[Step::of(Answer::Cut { chunks: 2 })])).await;
    let answered = twin.chat(&json!({})).await;
    assert!(answered.head.starts_with("HTTP/1.1 200") && !answered.in_order && answered.body.contains("chat.completion"), "{}", answered.body);
    assert!(!answered.body.contains("usage"));
    assert_eq!(twin.bill(1).await["output"], 7);
}

#[tokio::test]
async fn who_leaves_a_stream_pays_for_what_was_made_and_the_lag() {
    let twin = Twin::new(slow()).await;
    let mut stream = twin.send("/mini/v1/chat/completions", &chat(&json!({"stream": true}))).await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"content\":\"") || !String::from_utf8_lossy(&seen).contains("delta\":{\"content") {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "it goes on");
        seen.extend_from_slice(&part[..read]);
    }
    drop(stream);
    assert_eq!(twin.bill(1).await["output"], 1 + 3);
}

#[tokio::test]
async fn a_prompt_that_comes_again_is_read_from_the_cache_as_far_as_it_goes() {
    let world = DeploymentWorld { prompt_cache: Some(PromptCache::openai(Span::from_secs(300))), ..DeploymentWorld::ledger("mini") };
    let twin = Twin::new(world).await;
    let ask = |text: String| json!({"messages": [{"role": "user", "content": format!("[[gwsim output=1]]{text}")}]});
    let cached = |answered: Answered| {
        let body: Value = serde_json::from_str(&answered.body).unwrap();
        body["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap()
    };
    let mut text = String::new();
    crate::twin::words::write(9, 0, 1_536, &mut text);
    assert_eq!(cached(twin.chat(&ask(text.clone())).await), 0);
    assert_eq!(cached(twin.chat(&ask(text.clone() + "and more")).await), 1_536);
    assert_eq!(cached(twin.chat(&ask(text[4 * 128..].to_owned())).await), 0, "another beginning");
}

#[test]
fn a_deployment_of_any_name_has_a_path_of_its_own() {
    for name in ["openai-mini", "eu/gpt 4", "größe", "%41"] {
        let path = path_of(name);
        assert!(path[1..].bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'), "{path}");
        assert_eq!(unescaped(&path[1..]).as_deref(), Some(name));
    }
    assert_eq!((unescaped("a%4"), unescaped("%zz")), (None, None));
}

#[test]
fn whose_call_it_is_stands_in_its_traceparent_or_nowhere() {
    let of = |value: &'static str| origin(&HeaderMap::from_iter([(HeaderName::from_static("traceparent"), HeaderValue::from_static(value))]));
    let expected = Origin { trace: Some(0x6777_7369_6d00_0000_0000_0000_0000_002a), parent: 7 };
    assert_eq!(of("00-67777369-0000000000000007-01"), Origin::default(), "no trace has so short an id");
    assert_eq!(of("00-677773696d000000000000000000002a-0000000000000007-01"), expected);
    assert_eq!(of("00-00000000000000000000000000000000-0000000000000007-01"), Origin::default(), "no trace");
    assert_eq!(origin(&HeaderMap::new()), Origin::default());
}
