//! Ten thousand streams that are cut anywhere: by their upstream, by their client, in chunks of any size. None ends as if it were whole when it is
//! not, none is left behind, and none costs less than its bill or more than was held for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gwsim::gateway::Outstanding;
use gwsim::gateway::draw::{Purpose, below, bits};
use gwsim::gateway::journal::{Certainty, Fact};
use gwsim::gateway::money::Money;
use gwsim::serve::observe::{Context, Observer};

use super::desk::{Desk, config, streamed};
use super::line::Line;
use super::upstream::{self, Piece, Seen, Upstream};

const PATH: &str = "/v1/chat/completions";
const WORDS: usize = 8;
const CLIENTS: u64 = 64;

fn count() -> u64 {
    std::env::var("GWSIM_CUT_STREAMS").ok().and_then(|count| count.parse().ok()).unwrap_or(10_000)
}

/// What the ledger says of a request: what was held for its call, and what it came to.
#[derive(Debug, Clone, Copy, Default)]
struct Paid {
    hold: Money,
    closed: Option<(Money, Certainty)>,
}

/// Keeps what the ledger says, by request.
struct Ledger(Arc<Mutex<HashMap<u64, Paid>>>);

impl Observer for Ledger {
    fn observe(&mut self, context: &Context<'_>, fact: &Fact) {
        let mut ledger = self.0.lock().unwrap();
        let paid = ledger.entry(context.request.map_or(0, |request| request.id.0)).or_default();
        match fact {
            Fact::Called(called) => {
                assert!(std::mem::replace(&mut paid.hold, called.worst_case) == Money::ZERO, "one call each");
            }
            Fact::CallClosed(closed) => {
                assert!(paid.closed.replace((closed.amount, closed.certainty)).is_none(), "closed once");
            }
            _ => {}
        }
    }
}

/// What a stream has before it: all that the upstream will do, and how much of it the client will read.
struct Fate {
    /// The upstream breaks off after so many bytes; never, where that is all of it.
    at: usize,
    /// The client leaves after so many bytes of the answer, if it does.
    leaves_after: Option<usize>,
}

fn fate(n: u64, length: usize) -> Fate {
    let draw = |ordinal, bound: usize| below(bits(3, n, Purpose::Failure, ordinal), bound as u64) as usize;
    // One in five is whole.
    let at = draw(0, length * 5 / 4).min(length);
    let leaves_after = (draw(1, 3) == 0).then(|| draw(2, length * 3 / 2));
    Fate { at, leaves_after }
}

/// The whole stream as the upstream would send it.
fn text() -> String {
    let words: String = (0..WORDS).map(|n| upstream::word(&format!("wörd{n} "))).collect();
    words + &upstream::finale(WORDS as u32)
}

/// The part of a stream up to `at`, in chunks of any size, some after a pause; and its end, if it has one.
fn pieces(n: u64, text: &str, at: usize) -> Vec<Piece> {
    let mut pieces = vec![upstream::stream_head()];
    let mut rest = &text.as_bytes()[..at];
    for ordinal in 10.. {
        let luck = bits(3, n, Purpose::Failure, ordinal);
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((1 + below(luck, 400) as usize).min(rest.len()));
        let mut bytes = format!("{:x}\r\n", chunk.len()).into_bytes();
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
        pieces.push(Piece::Bytes(bytes));
        if luck.is_multiple_of(4) {
            pieces.push(Piece::Wait(Duration::from_millis(1)));
        }
        rest = after;
    }
    pieces.push(if at == text.len() { upstream::stream_end() } else { Piece::Cut });
    pieces
}

/// What a provider bills for a stream of which so much has left it: the words that it has begun to send.
fn bill(text: &str, at: usize) -> Money {
    let begun = text[..text.floor_char_boundary(at)].matches("data: {").count().min(WORDS);
    Money(10 * 150_000 + begun as i128 * 600_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_streams_cut_anywhere_leave_nothing_behind() {
    let text: Arc<str> = text().into();
    let (spans, paid) = (Arc::new(Mutex::new(HashMap::new())), Arc::default());
    let (sent, seen_as) = (text.clone(), spans.clone());
    let upstream = Upstream::start(move |_, seen: &Seen| {
        let n: u64 = seen.json()["messages"][0]["content"].as_str().unwrap().parse().unwrap();
        // The span of a request is its number, from 1.
        let span = seen.header("traceparent").unwrap().split('-').nth(2).map(|span| u64::from_str_radix(span, 16).unwrap()).unwrap();
        assert!(seen_as.lock().unwrap().insert(n, span - 1).is_none(), "{n} is asked for once");
        pieces(n, &sent, fate(n, sent.len()).at)
    })
    .await;
    let ledger = Arc::clone(&paid);
    let budget = "[budget]\nmode = \"reserve\"\nglobal = { limit = \"100 USD\", every = \"total\" }\n";
    let toml = config(&upstream.address, &format!("[attempts]\nper_deployment = 1\n[cooldown]\ntime = \"0s\"\n{budget}"));
    // This provider bills what it has begun, whatever of it came through.
    let toml = toml.replace("[models", "failed = \"worst_case\"\n[models");
    let desk = Desk::start_with(&toml, |start| start.observers = vec![Box::new(Ledger(ledger))]).await;

    let clients: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(read_all(client, desk.address, text.clone()))).collect();
    let mut left = Vec::new();
    for client in clients {
        left.extend(client.await.unwrap());
    }
    assert_eq!(desk.settled().await, Outstanding::default());

    let (spans, paid) = (spans.lock().unwrap(), paid.lock().unwrap());
    let (mut confirmed, mut presumed) = (0, 0);
    for (n, request) in &*spans {
        let (at, Paid { hold, closed }) = (fate(*n, text.len()).at, paid[request]);
        let ((amount, certainty), bill) = (closed.expect("its money is closed"), bill(&text, at));
        assert!(bill <= amount && amount <= hold, "{n}, cut at {at}: {bill:?} <= {amount:?} <= {hold:?}");
        match certainty {
            Certainty::Confirmed => {
                confirmed += 1;
                assert_eq!(amount, bill, "{n}");
            }
            Certainty::Presumed => {
                presumed += 1;
                assert!(at < text.len() || left.contains(n), "{n} was whole");
            }
        }
    }
    println!("{confirmed} confirmed, {presumed} presumed, {} left by their clients", left.len());
    assert!(confirmed > spans.len() / 20 && presumed > spans.len() / 2 && left.len() > spans.len() / 10);
}

/// Asks for a share of the streams, one after the other, and holds how they end against how they were to. Says which it has left.
async fn read_all(client: u64, address: std::net::SocketAddr, text: Arc<str>) -> Vec<u64> {
    let mut left = Vec::new();
    let mut line = Line::open(address).await;
    for n in (client..count()).step_by(CLIENTS as usize) {
        let request = Line::request(PATH, "", &streamed(&n.to_string()));
        let Fate { at, leaves_after } = fate(n, text.len());
        if let Some(bytes) = leaves_after {
            if Line::open(address).await.leave_after(&request, bytes).await {
                left.push(n);
            }
            continue;
        }
        let (status, answer) = line.ask(&request).await;
        let is_whole = answer.contains("data: [DONE]\n\n");
        let says_error = answer.contains("\"error\"");
        assert!(is_whole != says_error && is_whole == (at == text.len()), "{n}, cut at {at} of {}: {status} {answer}", text.len());
    }
    left
}
