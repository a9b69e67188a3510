//! The race for a budget: 64 clients at once over HTTP, budgets in reserve on the gateway, a team, a key and an end user. What counts is what the
//! upstream has answered, not what the gateway has written down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gwsim::gateway::Outstanding;
use gwsim::gateway::draw::{Purpose, below, bits};
use gwsim::gateway::money::Money;
use gwsim::wire::{Endpoint, Inbound};
use serde_json::{Value, json};

use super::desk::Desk;
use super::line::Line;
use super::upstream::{self, Piece, Seen, Upstream};

const PATH: &str = "/v1/chat/completions";
const CLIENTS: usize = 64;
const OUTPUT: u32 = 50;
/// Rates of the house model, in picodollars a token.
const RATES: (i128, i128) = (150_000, 600_000);

/// Who pays, beside everybody.
#[derive(Debug, Clone, Copy)]
enum Scope {
    Key,
    Team,
    User,
    Everybody,
}

impl Scope {
    /// The payer of a client's requests, its key and its end user. Several clients have one payer. The names of payers are of one length, as they
    /// are a part of the prompt and so of the worst case.
    fn of(self, client: usize) -> (String, String, Option<String>) {
        match self {
            Self::Key => (format!("key {}", client % 4), format!("key{}", client % 4), None),
            Self::Team => (format!("own {}", client % 2), format!("team{}key{}", client % 2, client / 2 % 2), None),
            Self::User => (format!("usr {}", client % 4), "open".into(), Some(format!("user{}", client % 4))),
            Self::Everybody => ("all 0".into(), "open".into(), None),
        }
    }
}

fn body(payer: &str, user: Option<&str>, turn: u32, stream: bool) -> Value {
    // The number keeps prompts apart; it has always eight digits.
    let words = format!("{payer} {:08}", turn % 100_000_000);
    let mut body = json!({ "model": "gpt-4o-mini", "max_tokens": OUTPUT, "stream": stream, "messages": [{ "role": "user", "content": words }] });
    if let Some(user) = user {
        body["user"] = user.into();
    }
    body
}

/// The most input tokens that such a request can be billed for.
fn input() -> u32 {
    let body = body("all 0", None, 7, false).to_string();
    Inbound::read(Endpoint::ChatCompletions, Bytes::from(body)).unwrap().input_tokens_max
}

/// What one request can cost.
fn worst_case() -> i128 {
    i128::from(input()) * RATES.0 + i128::from(OUTPUT) * RATES.1
}

/// How many requests of the worst case fit the limit of a payer.
fn fit(payer: &str) -> i128 {
    match &payer[..3] {
        "key" => 500,
        "own" => 1501,
        "usr" => 700,
        _ => 10_000,
    }
}

/// Whole requests, and a part of one that must not be spent: almost all of one, half of one, nothing.
fn limit(payer: &str) -> i128 {
    let more = match &payer[..3] {
        "key" => 1,
        "own" => worst_case() / 2,
        "usr" => 0,
        _ => worst_case() - 1,
    };
    fit(payer) * worst_case() + more
}

/// The model's tokenizer is not public: the most that a request can cost is by its bytes, and that is what the upstream bills.
fn gateway(upstream: &str, folder: &std::path::Path) -> String {
    let budget = |payer| format!("{{ limit = \"{} USD\", every = \"total\" }}", Money(limit(payer)).decimal());
    let mut toml = format!(
        "version = 1\n[providers.openai]\nbase_url = \"{upstream}/v1\"\n\
         [models.gpt-4o-mini]\ndeployments = [{{ id = \"house\", provider = \"openai\", model = \"house-model\" }}]\n\
         [prices.models.house-model]\ninput = 0.15\noutput = 0.6\n\
         [attempts]\nper_deployment = 3\nbackoff = {{ base = \"1ms\", jitter = \"0ms\" }}\n\
         [budget]\nmode = \"reserve\"\nglobal = {}\nend_user = {}\n[keys.open]\nsecret = \"file:{}\"\n",
        budget("all"),
        budget("usr"),
        secret(folder, "open")
    );
    for key in 0..4 {
        let (budget, secret) = (budget("key"), secret(folder, &format!("key{key}")));
        toml += &format!("[keys.key{key}]\nsecret = \"file:{secret}\"\nbudget = {budget}\n");
    }
    for team in 0..2 {
        toml += &format!("[teams.team{team}]\nbudget = {}\n", budget("own"));
        for key in 0..2 {
            let name = format!("team{team}key{key}");
            toml += &format!("[keys.{name}]\nteam = \"team{team}\"\nsecret = \"file:{}\"\n", secret(folder, &name));
        }
    }
    toml
}

fn secret(folder: &std::path::Path, key: &str) -> String {
    let path = folder.join(key);
    std::fs::write(&path, format!("sk-{key}")).unwrap();
    path.display().to_string()
}

/// What the upstream has billed, and how many answers that was, by payer; and in all, as `all`.
type Bill = Arc<Mutex<BTreeMap<String, (i128, i128)>>>;

fn enter(bill: &Bill, seen: &Seen, input: u32, output: u32) {
    let cost = i128::from(input) * RATES.0 + i128::from(output) * RATES.1;
    let words = seen.json()["messages"][0]["content"].as_str().unwrap().to_owned();
    let payer = words[..5].to_owned();
    let mut bill = bill.lock().unwrap();
    for name in [payer.as_str(), "all"] {
        let sum = bill.entry(name.to_owned()).or_default();
        *sum = (sum.0 + cost, sum.1 + 1);
    }
}

fn plain(input: u32, output: u32) -> Vec<Piece> {
    let mut body: Value = serde_json::from_str(&upstream::completion_body("yes")).unwrap();
    body["usage"] = json!({ "prompt_tokens": input, "completion_tokens": output });
    upstream::answer(200, &[], &body.to_string())
}

fn streamed(input: u32, output: u32) -> Vec<Piece> {
    let finale = upstream::finale(output).replace("\"prompt_tokens\":10", &format!("\"prompt_tokens\":{input}"));
    let finale = finale.replace(&format!("\"total_tokens\":{}", 10 + output), &format!("\"total_tokens\":{}", input + output));
    vec![upstream::stream_head(), upstream::chunk(&upstream::word("yes")), upstream::chunk(&finale), upstream::stream_end()]
}

/// Every client asks so often. Says how many were answered.
async fn all_at_once(desk: &Desk, turns: u32, scope: impl Fn(usize) -> Scope, streams: bool) -> i128 {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (payer, key, user) = scope(client).of(client);
            let (address, first) = (desk.address, client as u32 * turns);
            tokio::spawn(async move {
                let mut line = Line::open(address).await;
                let mut served = 0;
                for turn in first..first + turns {
                    let body = body(&payer, user.as_deref(), turn, streams && turn % 3 == 0);
                    let (status, answer) = line.ask(&Line::request(PATH, &format!("sk-{key}"), &body)).await;
                    match status {
                        200 => served += 1,
                        429 => assert!(answer.contains("budget_exceeded"), "{answer}"),
                        // The upstream's own failures, where a test has it fail.
                        status => assert!(status == 500 && streams, "{status}: {answer}"),
                    }
                }
                served
            })
        })
        .collect();
    let mut served = 0;
    for client in clients {
        served += client.await.unwrap();
    }
    served
}

/// In turn those of one key, one team, one end user.
fn mixed(client: usize) -> Scope {
    [Scope::Key, Scope::Team, Scope::User][client / 4 % 3]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_requests_that_cost_alike_exactly_so_many_are_admitted_as_fit() {
    let (bill, folder) = (Bill::default(), tempfile::tempdir().unwrap());
    let (bills, most) = (bill.clone(), input());
    let upstream = Upstream::start(move |_, seen| {
        enter(&bills, seen, most, OUTPUT);
        plain(most, OUTPUT)
    })
    .await;
    let desk = Desk::start(&gateway(&upstream.address, folder.path())).await;
    let served = all_at_once(&desk, 500, mixed, false).await + all_at_once(&desk, 300, |_| Scope::Everybody, false).await;
    let bill = bill.lock().unwrap().clone();
    for (payer, (billed, answers)) in bill.iter().filter(|(payer, _)| *payer != "all 0") {
        assert_eq!((*answers, *billed), (fit(payer), fit(payer) * worst_case()), "{payer}: {bill:?}");
    }
    assert_eq!((bill.len(), served), (12, fit("all")), "{bill:?}");
    assert_eq!(desk.settled().await, Outstanding::default());
    assert_eq!(desk.spent(), (Money(fit("all") * worst_case()), Money::ZERO));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_requests_cost_no_budget_is_overspent() {
    let (bill, folder) = (Bill::default(), tempfile::tempdir().unwrap());
    let (bills, most) = (bill.clone(), input());
    let upstream = Upstream::start(move |n, seen| {
        let luck = bits(1, n as u64, Purpose::Output, 0);
        if luck.is_multiple_of(20) {
            return upstream::answer(500, &[], "{}");
        }
        // Up to the whole of it, as a rule: what is held and not used comes back, and somebody else has it.
        let (input, output) = (1 + below(luck, u64::from(most)) as u32, 1 + (luck >> 32) as u32 % OUTPUT);
        enter(&bills, seen, input, output);
        if seen.body.contains("\"stream\":true") { streamed(input, output) } else { plain(input, output) }
    })
    .await;
    let desk = Desk::start(&gateway(&upstream.address, folder.path())).await;
    let served = all_at_once(&desk, 400, mixed, true).await + all_at_once(&desk, 400, |_| Scope::Everybody, true).await;
    assert_eq!(desk.settled().await, Outstanding::default());
    let bill = bill.lock().unwrap().clone();
    for (payer, (billed, _)) in bill.iter().filter(|(payer, _)| *payer != "all 0") {
        let limit = limit(payer);
        assert!(*billed <= limit, "{payer} has spent {billed}, and has {limit}");
        assert!(*billed > limit - worst_case(), "{payer} has spent {billed} of {limit}: nobody raced for the rest");
    }
    let (billed, answers) = bill["all"];
    assert_eq!((desk.spent(), served), ((Money(billed), Money::ZERO), answers), "and the gateway's books are the upstream's");
}
