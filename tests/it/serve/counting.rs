//! Requests whose input is counted because the bound on it does not fit: what they are served, refused and billed, and that nothing is left of them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use gwsim::gateway::Outstanding;
use gwsim::gateway::money::Money;
use gwsim::journal;
use gwsim::serve::exchange;
use gwsim::wire::Endpoint;
use http_body_util::{BodyExt, Full};
use hyper::Request;

use super::desk::{Answer, Desk, config};
use super::upstream::{self, Upstream};

const PATH: &str = "/v1/chat/completions";
/// $0.15 of a million input tokens and $0.60 of a million output tokens.
const BILL: Money = Money(10 * 150_000 + 5 * 600_000);

/// 20,000 characters in some 4,450 tokens: $0.0030 by their bytes, $0.0007 as they are.
fn long() -> String {
    "The quick brown fox jumps over the lazy dog. ".repeat(20_000 / 45)
}

fn chat(words: &str) -> serde_json::Value {
    let mut body = super::desk::chat(words);
    body["max_tokens"] = 10.into();
    body
}

fn budget(usd: &str) -> String {
    format!("[budget]\nglobal = {{ limit = \"{usd} USD\", every = \"day\" }}\n")
}

async fn refused(answer: Answer) -> String {
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (429, Some("budget_exceeded")), "{}", answer.body);
    answer.message()
}

#[tokio::test]
async fn a_prompt_that_fits_by_its_tokens_is_served_and_what_does_not_is_refused_as_ever() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let toml = config(&upstream.address, &budget("0.001"));
    let desk = Desk::start_with(&toml, |start| start.journal = Some(path.clone())).await;
    let answer = desk.post(PATH, &chat(&long())).await;
    assert_eq!((answer.status, answer.header("x-gwsim-cost")), (200, "0.000004500000"), "{}", answer.body);
    assert_eq!(desk.spent(), (BILL, Money::ZERO));
    // Four times as long, it does not fit as it is either.
    let counted = refused(desk.post(PATH, &chat(&long().repeat(4))).await).await;
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(desk.settled().await, Outstanding::default());
    desk.app.engine.close().unwrap();
    let verdict = journal::verify(&path, None).unwrap();
    assert!(verdict.difference.is_none(), "{:?}", verdict.difference);

    // A model whose tokenizer nobody knows is refused by the bound, in the same words.
    let unknown = toml.replace("model = \"gpt-4o-mini-2024-07-18\"", "model = \"mini\", priced_as = \"gpt-4o-mini-2024-07-18\"");
    let desk = Desk::start(&unknown).await;
    assert_eq!(refused(desk.post(PATH, &chat(&long())).await).await, counted);
    assert_eq!(desk.post(PATH, &chat("hi")).await.status, 200);
}

#[tokio::test]
async fn what_stands_in_for_an_unsaid_bill_is_made_from_what_was_counted() {
    let silent = |_: usize, _: &upstream::Seen| {
        let body: serde_json::Value = serde_json::from_str(&upstream::completion_body("hello")).unwrap();
        let body: serde_json::Map<_, _> = body.as_object().unwrap().clone().into_iter().filter(|(key, _)| key != "usage").collect();
        upstream::answer(200, &[], &serde_json::Value::Object(body).to_string())
    };
    let upstream = Upstream::start(silent).await;
    let desk = Desk::start(&config(&upstream.address, &budget("0.001"))).await;
    assert_eq!(desk.post(PATH, &chat(&long())).await.status, 200);
    let (confirmed, presumed) = desk.spent();
    let spent = confirmed + presumed;
    assert!(Money(4_400 * 150_000) < spent && spent <= Money(1_000_000_000), "{spent}");
}

/// Polls a request so often that it is counted, and drops it.
async fn given_up_while_it_is_counted(desk: &Desk, body: &serde_json::Value, polls: usize) -> bool {
    let request = Request::post(PATH).body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let mut answer = pin!(exchange::answer(desk.app.clone(), Endpoint::ChatCompletions, request));
    for _ in 0..polls {
        if let Poll::Ready(response) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            let _ = response.into_body().collect().await;
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test]
async fn a_request_that_is_dropped_while_it_is_counted_leaves_nothing() {
    for more in ["", "[cache]\nttl = \"0s\"\n"] {
        let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
        let desk = Desk::start(&config(&upstream.address, &format!("{}{more}", budget("0.01")))).await;
        let body = chat(&long().repeat(10));
        for polls in 1..4 {
            // Others go the same way: the second waits for its turn, and in the cache for the answer of the first.
            let gone = tokio::join!(given_up_while_it_is_counted(&desk, &body, polls), given_up_while_it_is_counted(&desk, &body, 1));
            assert_eq!(gone, (false, false), "a count takes longer than that");
            assert_eq!(desk.settled().await, Outstanding::default());
        }
        assert_eq!(desk.post(PATH, &body).await.status, 200, "the next one is counted and served");
        assert_eq!(desk.settled().await, Outstanding::default());
    }
}

#[tokio::test]
async fn many_counts_at_once_are_all_done() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let desk = Desk::start(&config(&upstream.address, &budget("0.002"))).await;
    let body = chat(&long()).to_string();
    let sent: Vec<_> = (0..20).map(|_| tokio::spawn(desk.client.request(desk.request(PATH, body.clone())))).collect();
    let mut served = 0;
    for answer in sent {
        let status = answer.await.unwrap().unwrap().status().as_u16();
        assert!(status == 200 || status == 429, "{status}");
        served += i128::from(status == 200);
    }
    // Two of them fit at a time.
    assert!(served >= 2, "{served}");
    assert_eq!(desk.settled().await, Outstanding::default());
    assert_eq!(desk.spent(), (Money(BILL.0 * served), Money::ZERO));
}
