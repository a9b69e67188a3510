//! A gateway of a test, in this process: started from TOML, asked over HTTP, looked into afterwards.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gwsim::config;
use gwsim::gateway::money::Money;
use gwsim::gateway::{Gateway, Outstanding};
use gwsim::serve::app::{App, Start};
use gwsim::serve::listener;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A gateway that is up.
pub struct Desk {
    pub app: Arc<App>,
    pub address: SocketAddr,
    pub client: Client<HttpConnector, Full<Bytes>>,
    pub notes: Vec<String>,
    _folder: TempDir,
}

/// An answer as a client has it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// A gateway of one model `gpt-4o-mini` on one deployment at `upstream`, and whatever `more` says.
pub fn config(upstream: &str, more: &str) -> String {
    format!(
        "version = 1\n\
         [providers.openai]\nbase_url = \"{upstream}/v1\"\n\
         [models.gpt-4o-mini]\ndeployments = [{{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini-2024-07-18\" }}]\n{more}"
    )
}

impl Desk {
    pub async fn start(toml: &str) -> Self {
        Self::start_with(toml, |_| {}).await
    }

    pub async fn start_with(toml: &str, change: impl FnOnce(&mut Start)) -> Self {
        let (folder, loaded) = load(toml);
        let mut start = Start { per_mille: 1000, seed: 1, journal: None::<PathBuf>, observers: Vec::new(), broken: Box::new(|| {}) };
        change(&mut start);
        let (app, notes) = App::new(loaded, start).unwrap_or_else(|faults| panic!("{faults:?}"));
        let app = Arc::new(app);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(listener::serve(app.clone(), listener));
        Self { app, address, client: Client::builder(TokioExecutor::new()).build_http(), notes, _folder: folder }
    }

    pub fn request(&self, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        Request::post(format!("http://{}{path}", self.address)).header("content-type", "application/json").body(Full::new(body.into())).unwrap()
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.send(self.request(path, body.to_string())).await
    }

    pub async fn post_as(&self, key: &str, path: &str, body: &serde_json::Value) -> Answer {
        let mut request = self.request(path, body.to_string());
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        self.send(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        let mut request = self.request(path, "");
        *request.method_mut() = hyper::Method::GET;
        self.send(request).await
    }

    pub async fn chat(&self, words: &str) -> Answer {
        self.post("/v1/chat/completions", &chat(words)).await
    }

    pub fn read<T>(&self, look: impl FnOnce(&Gateway) -> T) -> T {
        self.app.engine.read(|gateway, _, _| look(gateway))
    }

    /// Waits until nothing is in flight, and says what is left over: it should be nothing.
    pub async fn settled(&self) -> Outstanding {
        for _ in 0..500 {
            if self.app.engine.in_flight() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.app.engine.in_flight(), 0, "requests are left in flight");
        self.read(Gateway::outstanding)
    }

    /// What the ledger says was spent: confirmed, and presumed.
    pub fn spent(&self) -> (Money, Money) {
        let settled = self.read(|gateway| gateway.budget().settled());
        (settled.confirmed, settled.presumed)
    }
}

pub fn load(toml: &str) -> (TempDir, config::gateway::GatewayConfig) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, toml).unwrap();
    let loaded = config::load_gateway(&path, &config::Options::default()).unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    (folder, loaded.value)
}

pub fn chat(words: &str) -> serde_json::Value {
    serde_json::json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": words }] })
}

pub fn streamed(words: &str) -> serde_json::Value {
    let mut body = chat(words);
    body["stream"] = true.into();
    body
}
