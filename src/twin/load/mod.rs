//! Traffic against a live gateway: every request has its instant from the traffic, whatever became of those before it, but for sessions that wait for
//! their answers. Decides when what is sent and what clients do about the answers; knows of the gateway only what it says.

pub mod counts;
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use self::caller::Caller;
use self::counts::Counts;
use self::prompt::Prompts;
use self::tally::{End, Tally, User};
use crate::clock::Clock;
use crate::gateway::time::Time;
use crate::price::tokens::TokenRatio;
use crate::sim::client::{Clients, Offer, Sessions, Step};
use crate::sim::replay::counted::as_asked;
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
    /// How the tokens of rows carry over to the models that answer; `None` where all count alike.
    pub counts: Option<Counts>,
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
    /// Where sessions wait for their answers.
    sessions: Option<Mutex<Sessions<Planned>>>,
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
    /// From the tokens of the model asked for to those that the row has.
    recorded: TokenRatio,
    /// When it is to be sent, by the clock of the load.
    at: Time,
    /// What the traffic says of it, for sessions.
    step: Step,
}

/// Sends all rows that `next` gives, batch by batch, and waits for the last answer.
///
/// # Errors
/// If a row can't be sent, a key can't be a header, or `next` fails.
pub async fn run(load: Load, mut next: impl FnMut() -> Result<Option<Arc<Batch>>, Refused>) -> Result<Tally, Refused> {
    let mut batch = next()?;
    let shared = Arc::new(Shared::new(load)?);
    let mut names = Names::default();
    let mut callers = JoinSet::new();
    let (mut first_at, mut number) = (None, 0);
    while let Some(rows) = batch {
        names.learn(&rows.first_seen);
        if let Some(counts) = &shared.load.counts {
            counts.learn(&rows);
        }
        let mut due = Vec::with_capacity(rows.rows.len());
        for row in &rows.rows {
            if number >= shared.load.requests_max {
                break;
            }
            let first_at: Time = *first_at.get_or_insert(row.at);
            let planned = shared.planned(&rows, row, &names, number, shared.clock.began_at() + row.at.since(first_at))?;
            number += 1;
            due.extend(offer(&shared, planned, &mut callers));
        }
        for planned in due {
            let place = place(&shared, planned.at).await;
            callers.spawn(follow(Arc::clone(&shared), planned, place));
            while callers.try_join_next().is_some() {}
        }
        batch = if number < shared.load.requests_max { next()? } else { None };
    }
    while callers.join_next().await.is_some() {}
    if let Some(log) = &shared.load.log {
        log.lock().expect("nobody panics with it").flush().map_err(unwritable)?;
    }
    let tally = std::mem::take(&mut *shared.tally.lock().expect("nobody panics with it"));
    Ok(tally)
}

/// Gives a row back that is sent when the traffic has it. Others of its session go before any other, once the session has come so far; none before
/// its batch is read.
fn offer(shared: &Arc<Shared>, mut planned: Planned, callers: &mut JoinSet<()>) -> Option<Planned> {
    let (Some(sessions), Some(session)) = (&shared.sessions, planned.row.session) else { return Some(planned) };
    let mut sessions = sessions.lock().expect("nobody panics with it");
    match sessions.offer(session, shared.clock.now(), planned.step) {
        Offer::First => return Some(planned),
        Offer::Held => sessions.hold(session, planned.step, planned),
        Offer::Dropped => shared.tally.lock().expect("nobody panics with it").not_sent += 1,
        Offer::At(at) => {
            planned.at = at;
            let shared = Arc::clone(shared);
            callers.spawn(async move {
                let place = place(&shared, planned.at).await;
                follow(shared, planned, place).await;
            });
        }
    }
    None
}

/// Waits for an instant, and for a place if none is free then.
async fn place(shared: &Shared, at: Time) -> OwnedSemaphorePermit {
    let instant = shared.clock.instant(at);
    if instant > Instant::now() {
        tokio::time::sleep_until(tokio::time::Instant::from_std(instant)).await;
    }
    Arc::clone(&shared.places).acquire_owned().await.expect("nobody closes it")
}

/// Sends a request, and after its answer what has waited for that.
async fn follow(shared: Arc<Shared>, mut planned: Planned, mut place_taken: OwnedSemaphorePermit) {
    loop {
        let late = Instant::now().saturating_duration_since(shared.clock.instant(planned.at));
        shared.sent(&planned);
        let user = User { late, ..Caller::new(&shared, &planned).call().await };
        shared.log(&user);
        let next = shared.ended(&planned, user.end);
        shared.tally.lock().expect("nobody panics with it").add(&user);
        drop(place_taken);
        let Some(next) = next else { return };
        planned = next;
        place_taken = place(&shared, planned.at).await;
    }
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
            sessions: load.clients.habits.closed_loop.map(Sessions::new).map(Mutex::new),
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
        let recorded = self.load.counts.as_ref().map_or(TokenRatio::ONE, |counts| counts.recorded(batch, row, &model));
        let mut asked = row.clone();
        asked.input_tokens = as_asked(recorded.input, row.input_tokens);
        let recorded_duration = batch.recorded(row).and_then(|recorded| recorded.duration);
        Ok(Planned {
            row: asked,
            blocks: batch.blocks(row).to_vec(),
            number,
            model,
            key: row.key.map(|id| names.keys.name(id.number()).to_owned()).or_else(|| clients.default_key.clone()),
            end_user: row.end_user.map(|id| names.end_users.name(id.number()).to_owned()),
            tags: batch.tags(row).iter().map(|id| names.tags.name(id.number()).to_owned()).collect(),
            recorded,
            at,
            step: Step { recorded_at: at, recorded_duration },
        })
    }

    /// A request is sent.
    fn sent(&self, planned: &Planned) {
        if let (Some(sessions), Some(session)) = (&self.sessions, planned.row.session) {
            sessions.lock().expect("nobody panics with it").sent(session, planned.step, planned.at);
        }
    }

    /// A request has its end. Gives the one that has waited for it.
    fn ended(&self, planned: &Planned, end: End) -> Option<Planned> {
        let (sessions, session) = (self.sessions.as_ref()?, planned.row.session?);
        let mut dropped = Vec::new();
        let next = sessions.lock().expect("nobody panics with it").ended(session, self.clock.now(), end == End::Served, &mut dropped);
        self.tally.lock().expect("nobody panics with it").not_sent += dropped.len() as u64;
        next.map(|(at, next)| Planned { at, ..next })
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
