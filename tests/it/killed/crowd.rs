//! Clients that go on asking whatever becomes of the gateway: plain and streamed, with three keys, some equal, some that leave early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gwsim::gateway::draw::{Purpose, below, bits};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Many clients.
pub(super) struct Crowd {
    runtime: Runtime,
    gateway: watch::Sender<String>,
    clients: Vec<JoinHandle<Vec<Heard>>>,
}

/// An answer that a client has had to its end, from a call that was made for it.
#[derive(Debug)]
pub(super) struct Heard {
    /// The number of its request.
    pub(super) request: u64,
    /// What it has cost, where its headers could say.
    pub(super) picodollars: Option<i128>,
}

impl Crowd {
    /// Clients without a gateway yet.
    pub(super) fn gather(seed: u64, count: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let gateway = watch::Sender::new(String::new());
        let asked = Arc::new(AtomicU32::new(0));
        let clients = (0..count).map(|_| runtime.spawn(live(seed, asked.clone(), gateway.subscribe()))).collect();
        Self { runtime, gateway, clients }
    }

    /// Where the gateway is now.
    pub(super) fn turn_to(&self, address: &str) {
        self.gateway.send_replace(address.to_owned());
    }

    /// Nobody asks again; what was heard.
    pub(super) fn go_home(self) -> Vec<Heard> {
        let Self { runtime, gateway, clients } = self;
        drop(gateway);
        runtime.block_on(async {
            let mut heard = Vec::new();
            for client in clients {
                heard.extend(client.await.unwrap());
            }
            heard
        })
    }
}

/// One request after the other, wherever the gateway is by then.
async fn live(seed: u64, asked: Arc<AtomicU32>, gateway: watch::Receiver<String>) -> Vec<Heard> {
    let http: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut heard = Vec::new();
    while gateway.has_changed().is_ok() {
        let luck = bits(seed, 1, Purpose::Patience, asked.fetch_add(1, Ordering::Relaxed));
        let address = gateway.borrow().clone();
        let leaves = (luck >> 8).is_multiple_of(8);
        let patience = Duration::from_millis(if leaves { below(luck, 120) } else { 20_000 });
        match tokio::time::timeout(patience, ask(&http, &address, luck)).await {
            Ok(Some(answer)) => heard.extend(answer),
            // Nobody is there, or was until now.
            Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(_) => {}
        }
    }
    heard
}

/// Asks. `None` if there is no answer, or only a part of one; within it nothing if no call was made for it.
async fn ask(http: &Client<HttpConnector, Full<Bytes>>, address: &str, luck: u64) -> Option<Option<Heard>> {
    let is_streamed = luck.is_multiple_of(2);
    // One in eight asks what another one asks too.
    let words = if (luck >> 16).is_multiple_of(8) { format!("common {}", (luck >> 24) % 16) } else { format!("own {luck}") };
    let body = json!({
        "model": "small", "stream": is_streamed, "max_tokens": 20 + (luck >> 32) % 300, "user": format!("user {}", (luck >> 40) % 5),
        "metadata": { "tags": ["night"] }, "messages": [{ "role": "user", "content": words }],
    });
    let key = ["a", "a", "a", "b", "b", "b", "b", "poor"][(luck >> 48) as usize % 8];
    let request = Request::post(format!("http://{address}/v1/chat/completions"))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer sk-gwsim-{key}"))
        .body(Full::new(Bytes::from(body.to_string())));
    let response = http.request(request.ok()?).await.ok()?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let called = response.status() == 200 && header("x-gwsim-cache").as_deref() == Some("miss");
    let request = header("x-gwsim-request-id").and_then(|id| id.parse().ok());
    let picodollars = header("x-gwsim-cost").and_then(|cost| cost.replace('.', "").parse().ok());
    let body = response.into_body().collect().await.ok()?.to_bytes();
    let is_whole = !is_streamed || body.ends_with(b"data: [DONE]\n\n");
    Some(request.filter(|_| called && is_whole).map(|request| Heard { request, picodollars }))
}
