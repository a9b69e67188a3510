//! Providers that answer what is no answer, send their clients elsewhere, or lie about what they bill: each is a clear error or a whole answer, and
//! the books stay within their law, `settled + held <= granted + breaches`.

use std::sync::{Arc, Mutex};

use gwsim::gateway::Outstanding;
use gwsim::gateway::journal::Fact;
use gwsim::gateway::money::Money;
use gwsim::serve::observe::{Context, Observer};
use serde_json::{Value, json};

use super::desk::{Desk, chat, config, streamed};
use super::upstream::{self, Piece, Upstream};

const PATH: &str = "/v1/chat/completions";
const ONCE: &str = "[attempts]\nper_deployment = 1\n[cooldown]\ntime = \"0s\"\n";

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_goes_nowhere_else() {
    let evil = Upstream::start(|_, _| upstream::completion("no")).await;
    let there = format!("{}/v1/chat/completions", evil.address);
    let statuses = [301, 302, 303, 307, 308];
    let upstream = Upstream::start(move |n, _| upstream::answer(statuses[n % statuses.len()], &[("location", &there)], "")).await;
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "sk-provider").unwrap();
    let toml = config(&upstream.address, ONCE).replace("[models", &format!("key = \"file:{}\"\n[models", key.path().display()));
    let desk = Desk::start(&toml).await;
    for body in [chat("hi"), streamed("hi")] {
        for _ in statuses {
            let answer = desk.post(PATH, &body).await;
            assert_eq!((answer.status, answer.headers.get("location")), (502, None), "{}", answer.body);
        }
    }
    assert_eq!((upstream.seen().len(), evil.seen().len()), (10, 0));
    assert_eq!(upstream.seen()[0].header("authorization"), Some("Bearer sk-provider"));
    assert_eq!(desk.settled().await, Outstanding::default());
}

/// The lines of a stream that is not what it should be, after its head; and whether its answer is whole all the same.
fn streams() -> Vec<(&'static str, Vec<String>, bool)> {
    let (one, end) = (upstream::word("one"), upstream::finale(1));
    let finish = end.split_inclusive("\n\n").next().unwrap().to_owned();
    let usage = end.split_inclusive("\n\n").nth(1).unwrap().to_owned();
    vec![
        ("no [DONE], but a reason to end and its usage", vec![one.clone(), finish.clone(), usage.clone()], true),
        ("no [DONE] and no reason to end", vec![one.clone()], false),
        ("lines that end with CR LF, and comments", vec![": hi\r\n\r\n".into(), one.replace('\n', "\r\n"), end.replace('\n', "\r\n")], true),
        ("fields that nobody knows", vec![format!("id: 7\nretry: 5\nevent: x\n{one}"), end.clone()], true),
        ("no JSON", vec![one.clone(), "data: {\"choices\": [}\n\n".into(), end.clone()], false),
        ("JSON that is no object", vec![one.clone(), "data: [1, 2]\n\n".into(), end.clone()], false),
        ("an error in the middle", vec![one.clone(), "data: {\"error\": {\"message\": \"out of memory\"}}\n\n".into()], false),
        ("no UTF-8", vec![one.clone(), "BAD".into(), end.clone()], false),
        ("a line without an end", vec![one.clone(), "HUGE".into(), end.clone()], false),
        ("words after the end", vec![one.clone(), end.clone(), one.clone()], true),
        ("nothing at all", vec![], false),
        ("HTML", vec!["<html><body>Bad gateway</body></html>".into()], false),
    ]
}

fn piece(text: &str) -> Piece {
    let bytes = match text {
        "BAD" => b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n".to_vec(),
        "HUGE" => [b"data: {\"x\":\"".as_slice(), &vec![b'x'; 17 << 20]].concat(),
        text => text.as_bytes().to_vec(),
    };
    Piece::Bytes([format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat())
}

#[tokio::test]
async fn a_stream_that_is_none_ends_as_an_error_and_one_that_can_be_understood_is_passed_on() {
    let upstream = Upstream::start(|n, _| {
        let mut pieces = vec![upstream::stream_head()];
        pieces.extend(streams()[n].1.iter().map(|text| piece(text)));
        pieces.push(upstream::stream_end());
        pieces
    })
    .await;
    let desk = Desk::start(&config(&upstream.address, ONCE)).await;
    for (what, _, is_whole) in streams() {
        let answer = desk.post(PATH, &streamed("hi")).await;
        let (ends, says) = (answer.body.trim_end().ends_with("data: [DONE]"), answer.body.contains("\"error\""));
        assert_eq!((ends, says), (is_whole, !is_whole), "{what}: {} {}", answer.status, answer.body);
        assert_eq!(desk.settled().await, Outstanding::default(), "{what}");
    }
}

/// Adds up what was closed and by how much budgets were passed.
#[derive(Default)]
struct Sums {
    holds: Vec<Money>,
    amounts: Vec<Money>,
    breaches: Money,
}

struct Adds(Arc<Mutex<Sums>>);

impl Observer for Adds {
    fn observe(&mut self, _: &Context<'_>, fact: &Fact) {
        let mut sums = self.0.lock().unwrap();
        match fact {
            Fact::Called(called) => sums.holds.push(called.worst_case),
            Fact::CallClosed(closed) => sums.amounts.push(closed.amount),
            Fact::Breached { over, .. } => sums.breaches += *over,
            _ => {}
        }
    }
}

/// A usage that a provider states, and whether it can be true.
fn usages() -> Vec<(Value, bool)> {
    vec![
        (json!({ "prompt_tokens": 10, "completion_tokens": 1 }), true),
        // More than was held for it: the provider bills it, so it counts.
        (json!({ "prompt_tokens": 5000, "completion_tokens": 7000 }), true),
        (json!({ "prompt_tokens": 4_000_000_000_u32, "completion_tokens": 4_000_000_000_u32 }), true),
        (json!({ "prompt_tokens": -10, "completion_tokens": 1 }), false),
        (json!({ "prompt_tokens": 10, "completion_tokens": -1 }), false),
        (json!({ "prompt_tokens": "10", "completion_tokens": "1" }), false),
        (json!({ "prompt_tokens": 10.5, "completion_tokens": 1 }), false),
        (json!({ "prompt_tokens": 1e300, "completion_tokens": 1 }), false),
        (json!({ "prompt_tokens": 18_446_744_073_709_551_615_u64, "completion_tokens": 1 }), false),
        (json!({ "prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 11 }), false),
        (json!({ "prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": { "cached_tokens": 11 } }), false),
        (json!({ "completion_tokens": 1 }), false),
        (json!([]), false),
        (json!("lots"), false),
        (Value::Null, false),
    ]
}

#[tokio::test]
async fn usage_that_can_not_be_true_is_presumed_and_usage_beyond_the_hold_is_a_breach() {
    let upstream = Upstream::start(|_, seen| {
        let case: usize = seen.json()["messages"][0]["content"].as_str().unwrap().parse().unwrap();
        let usage = &usages()[case].0;
        if seen.body.contains("\"stream\":true") {
            let last = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage });
            let stop = upstream::finale(1).split_inclusive("\n\n").next().unwrap().to_owned();
            let end = format!("{stop}data: {last}\n\ndata: [DONE]\n\n");
            return vec![upstream::stream_head(), upstream::chunk(&upstream::word("one")), upstream::chunk(&end), upstream::stream_end()];
        }
        let mut body: Value = serde_json::from_str(&upstream::completion_body("one")).unwrap();
        body["usage"] = usage.clone();
        upstream::answer(200, &[], &body.to_string())
    })
    .await;
    for (case, (usage, can_be_true)) in usages().into_iter().enumerate() {
        // A budget of its own each, with room for little more than the request.
        let sums = Arc::<Mutex<Sums>>::default();
        let adds = Adds(sums.clone());
        let budget = format!("{ONCE}[budget]\nmode = \"reserve\"\nglobal = {{ limit = \"0.001 USD\", every = \"total\" }}\n");
        let desk = Desk::start_with(&config(&upstream.address, &budget), |start| start.observers = vec![Box::new(adds)]).await;
        for mut body in [chat(&case.to_string()), streamed(&case.to_string())] {
            body["max_tokens"] = 20.into();
            let answer = desk.post(PATH, &body).await;
            let is_refused = answer.status == 429 && answer.body.contains("budget_exceeded");
            if is_refused {
                // It is used up by what the one before was billed.
                assert!(can_be_true && sums.lock().unwrap().breaches > Money::ZERO, "{usage}: {}", answer.body);
                continue;
            }
            assert!(answer.status == 200 && !answer.body.contains("\"error\""), "{usage}: {} {}", answer.status, answer.body);
        }
        assert_eq!(desk.settled().await, Outstanding::default(), "{usage}");
        let window = desk.read(|gateway| {
            let account = gateway.budget().accounts().next().unwrap();
            *gateway.budget().windows(account).last().unwrap()
        });
        let sums = std::mem::take(&mut *sums.lock().unwrap());
        assert!(window.settled + window.held <= Money(1_000_000_000) + window.breached, "case {case}, {usage}: {window:?}");
        assert_eq!(window.breached, sums.breaches, "{usage}");
        let spent = sums.amounts.iter().fold(Money::ZERO, |sum, amount| sum + *amount);
        assert_eq!(window.settled, spent, "{usage}");
        assert_eq!(desk.spent(), if can_be_true { (spent, Money::ZERO) } else { (Money::ZERO, spent) }, "{usage}: confirmed, presumed");
        for (amount, hold) in sums.amounts.iter().zip(&sums.holds) {
            if can_be_true {
                let tokens = |field: &str| usage[field].as_i64().map(i128::from).unwrap();
                assert_eq!(amount.0, tokens("prompt_tokens") * 150_000 + tokens("completion_tokens") * 600_000, "{usage}");
            } else {
                // At least what can be counted: all of the input, and the word.
                assert!(*amount >= Money(600_000) && amount <= hold, "{usage}: {amount:?} of {hold:?}");
            }
        }
        let metrics = desk.get("/metrics").await.body;
        let counted = metrics.lines().find_map(|line| line.strip_prefix("gwsim_breaches_total ")).unwrap_or_else(|| panic!("{metrics}"));
        assert_eq!(counted.parse::<f64>().unwrap() > 0.0, sums.breaches > Money::ZERO, "{usage}: {counted}");
    }
}

/// Answers that are none, as they come over the connection.
fn answers() -> Vec<(&'static str, Vec<u8>)> {
    let whole = |head: &str, body: &[u8]| [format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
    vec![
        ("no HTTP", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        ("no status", b"HTTP/1.1 fine OK\r\n\r\n".to_vec()),
        ("a status that is none", whole("99 Low", b"{}")),
        ("a head without an end", [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &vec![b'x'; 4 << 20]].concat()),
        ("control characters in its head", whole("200 OK\r\nx: a\x01b", upstream::completion_body("no").as_bytes())),
        ("nothing", whole("200 OK", b"")),
        ("no content", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        ("a list", whole("200 OK", b"[]")),
        ("half of an answer", whole("200 OK", &upstream::completion_body("no").as_bytes()[..90])),
        ("no UTF-8", whole("200 OK", b"{\"choices\": \"\xff\xfe\"}")),
        ("compressed although nobody asked for it", whole("200 OK\r\ncontent-encoding: gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03")),
        ("chunks of no length", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n".to_vec()),
        ("an error that says that all is well", whole("200 OK", br#"{"error": {"message": "out of memory", "type": "server_error"}}"#)),
    ]
}

#[tokio::test]
async fn what_is_no_answer_is_an_error_in_words_plain_or_streamed() {
    let upstream = Upstream::start(|n, _| vec![Piece::Bytes(answers()[n / 2].1.clone()), Piece::Cut]).await;
    let desk = Desk::start(&config(&upstream.address, ONCE)).await;
    for (what, _) in answers() {
        for body in [chat("hi"), streamed("hi")] {
            let answer = desk.post(PATH, &body).await;
            assert!([500, 502].contains(&answer.status) && !answer.message().is_empty(), "{what}: {} {}", answer.status, answer.body);
            assert_eq!(desk.settled().await, Outstanding::default(), "{what}");
        }
    }
    assert_eq!(upstream.seen().len(), 2 * answers().len());
}
