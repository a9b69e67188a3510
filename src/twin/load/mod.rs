//! Traffic against a live gateway, in an open loop: every request has its instant from the traffic, whatever became of those before it. Decides when
//! what is sent and what clients do about the answers; knows of the gateway only what it says.

pub mod tally;

mod answer;
mod caller;
mod prompt;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper::header::{HeaderMap, HeaderValue};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use self::caller::Caller;
use self::prompt::Prompts;
use self::tally::{Tally, User};
use crate::clock::Clock;
use crate::gateway::time::Time;
use crate::sim::client::Clients;
use crate::traffic::trace::{Batch, Names, Row};

/// What is sent, and to whom.
pub struct Load {
    /// The address that `/chat/completions` is put after.
    pub target: Uri,
    /// The secret of every key that has one of its own.
    pub keys: BTreeMap<String, String>,
    /// The secret of all other requests.
    pub key: Option<String>,
    /// How rows become requests, and what clients do on their own.
    pub clients: Clients,
    /// For all draws about clients.
    pub seed: u64,
    /// Requests at one time; more than that are sent late.
    pub connections: usize,
    /// Seconds of the traffic in a thousand seconds of life.
    pub per_mille: u64,
    /// So many requests at most.
    pub requests_max: u64,
    /// Gets a line for every user.
    pub log: Option<Mutex<BufWriter<File>>>,
}

/// What a load can't go on after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// In words.
    pub message: String,
}

/// What all callers share.
struct Shared {
    load: Load,
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    clock: Clock,
    uri: Uri,
    secrets: BTreeMap<String, HeaderValue>,
    secret: Option<HeaderValue>,
    prompts: Prompts,
    places: Arc<Semaphore>,
    tally: Mutex<Tally>,
}

/// A row on its way to its caller.
struct Planned {
    row: Row,
    blocks: Vec<u64>,
    number: u64,
    model: String,
    key: Option<String>,
    end_user: Option<String>,
    tags: Vec<String>,
    /// When it is to be sent, by the clock of the load.
    at: Time,
}

/// Sends all rows that `next` gives, batch by batch, and waits for the last answer.
///
/// # Errors
/// If a row can't be sent, a key can't be a header, or `next` fails.
pub async fn run(load: Load, mut next: impl FnMut() -> Result<Option<Arc<Batch>>, Refused>) -> Result<Tally, Refused> {
    let mut batch = next()?;
    let shared = Arc::new(Shared::new(load)?);
    let mut names = Names::default();
    let (mut first_at, mut number) = (None, 0);
    while let Some(rows) = batch {
        names.learn(&rows.first_seen);
        for row in &rows.rows {
            if number >= shared.load.requests_max {
                break;
            }
            let first_at: Time = *first_at.get_or_insert(row.at);
            let planned = shared.planned(&rows, row, &names, number, shared.clock.began_at() + row.at.since(first_at))?;
            number += 1;
            send(&shared, planned).await;
        }
        batch = if number < shared.load.requests_max { next()? } else { None };
    }
    let all = u32::try_from(shared.load.connections).unwrap_or(u32::MAX);
    let _rest = shared.places.acquire_many(all).await;
    if let Some(log) = &shared.load.log {
        log.lock().expect("nobody panics with it").flush().map_err(unwritable)?;
    }
    let tally = std::mem::take(&mut *shared.tally.lock().expect("nobody panics with it"));
    Ok(tally)
}

/// Waits for a row's instant, and for a place if none is free, and sends it.
async fn send(shared: &Arc<Shared>, planned: Planned) {
    let instant = shared.clock.instant(planned.at);
    if instant > Instant::now() {
        tokio::time::sleep_until(tokio::time::Instant::from_std(instant)).await;
    }
    let Ok(place) = Arc::clone(&shared.places).acquire_owned().await else { return };
    let late = Instant::now().saturating_duration_since(instant);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let user = User { late, ..Caller::new(&shared, &planned).call().await };
        shared.log(&user);
        shared.tally.lock().expect("nobody panics with it").add(&user);
        drop(place);
    });
}

impl Shared {
    fn new(load: Load) -> Result<Self, Refused> {
        let header = |secret: &String| {
            let mut value =
                HeaderValue::try_from(format!("Bearer {secret}")).map_err(|_| refused("a key has characters that a header can't have"))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let secrets = load.keys.iter().map(|(name, secret)| Ok((name.clone(), header(secret)?))).collect::<Result<_, Refused>>()?;
        let uri = format!("{}/chat/completions", load.target.to_string().trim_end_matches('/'));
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let https = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(http);
        let mut client = legacy::Client::builder(TokioExecutor::new());
        client.pool_idle_timeout(Duration::from_secs(30)).pool_timer(TokioTimer::new());
        Ok(Self {
            http: client.build(https),
            clock: Clock::start(Time(0), load.per_mille),
            uri: uri.parse().map_err(|error| refused(format!("{uri} is no address: {error}")))?,
            secret: load.key.as_ref().map(header).transpose()?,
            secrets,
            prompts: Prompts::default(),
            places: Arc::new(Semaphore::new(load.connections)),
            tally: Mutex::new(Tally::default()),
            load,
        })
    }

    fn log(&self, user: &User) {
        if let Some(log) = &self.load.log {
            // What can't be written now can't be flushed at the end either, and is told then.
            let _ = writeln!(log.lock().expect("nobody panics with it"), "{}", user.json());
        }
    }

    fn planned(&self, batch: &Batch, row: &Row, names: &Names, number: u64, at: Time) -> Result<Planned, Refused> {
        let clients = &self.load.clients;
        let model = row.model.map(|id| names.models.name(id.number()).to_owned()).or_else(|| clients.default_model.clone());
        let model = model.ok_or_else(|| refused(format!("the request in line {} names no model: add --model NAME", row.line)))?;
        Ok(Planned {
            row: row.clone(),
            blocks: batch.blocks(row).to_vec(),
            number,
            model,
            key: row.key.map(|id| names.keys.name(id.number()).to_owned()).or_else(|| clients.default_key.clone()),
            end_user: row.end_user.map(|id| names.end_users.name(id.number()).to_owned()),
            tags: batch.tags(row).iter().map(|id| names.tags.name(id.number()).to_owned()).collect(),
            at,
        })
    }

    /// The headers that all tries of a request have.
    fn headers(&self, planned: &Planned) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let own = planned.key.as_ref().and_then(|key| self.secrets.get(key));
        if let Some(secret) = own.or(self.secret.as_ref()) {
            headers.insert(hyper::header::AUTHORIZATION, secret.clone());
        }
        headers
    }
}

fn unwritable(error: io::Error) -> Refused {
    refused(format!("can't write the log: {error}"))
}

fn refused(message: impl Into<String>) -> Refused {
    Refused { message: message.into() }
}
