//! One user's request over all its tries: sends it, listens, leaves or tries again as the client's library does. Knows no other request.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};
use serde_json::Value;

use super::answer::{self, Reading, Said};
use super::tally::{End, User};
use super::{Planned, Shared};
use crate::gateway::draw::{Purpose, bits};
use crate::gateway::id::RequestId;
use crate::gateway::request;
use crate::gateway::time::{Span, Time};
use crate::price::tokens::Ratio;
use crate::sim::client;
use crate::sim::replay::counted::as_asked;
use crate::traffic::trace::LeftAfter;

/// The upper half of the trace ids that a load makes; the lower one is the simulator's id of the request.
const TRACE: u64 = 0x6777_7369_6d00_0000;
/// How long after a deadline a gateway may be silent.
const SILENCE: Duration = Duration::from_secs(1);

/// Whoever waits for one answer.
pub(super) struct Caller<'a> {
    shared: &'a Shared,
    planned: &'a Planned,
    stream: bool,
    body: Bytes,
    headers: HeaderMap,
    left_after: Option<LeftAfter>,
    /// The gateway is told.
    deadline: Time,
    user: User,
}

/// What became of one try.
enum Tried {
    /// The user has an end.
    Ended(End),
    /// An answer that a library may ask for again, but for one that has begun or says that it is final: a status, 500 where there was none.
    Failed { status: u16, retry_after: Option<Span>, is_final: bool },
}

impl<'a> Caller<'a> {
    /// A caller for a row.
    pub fn new(shared: &'a Shared, planned: &'a Planned) -> Self {
        let clients = &shared.load.clients;
        let stream = planned.row.stream.unwrap_or(clients.stream);
        let output_tokens = planned.row.output_tokens.unwrap_or(clients.output_tokens_unrecorded);
        let asked = request::Request { id: client::id(planned.number, 0), stream, ..request::Request::NONE };
        let left_after = match clients.habits.left_after(&planned.row, shared.load.seed, &asked, output_tokens) {
            Some(LeftAfter::Tokens(tokens)) => Some(LeftAfter::Tokens(as_asked(planned.recorded.output, tokens))),
            other => other,
        };
        let output_tokens = as_asked(planned.recorded.output, output_tokens);
        let counted_by = shared.load.counts.as_ref().and_then(|counts| counts.home(&planned.model));
        Self {
            shared,
            planned,
            stream,
            body: shared.prompts.body(planned, stream, output_tokens, counted_by).into(),
            headers: shared.headers(planned),
            left_after,
            deadline: clients.deadline.map_or(Time::MAX, |span| planned.at + span),
            user: User { number: planned.number, asked: planned.model.clone(), ..User::default() },
        }
    }

    /// Sends it until its user has an end.
    pub async fn call(mut self) -> User {
        let leaves_at = match self.left_after {
            Some(LeftAfter::Waited(span)) => self.planned.at + span,
            _ => Time::MAX,
        };
        let instant = self.instant(leaves_at);
        let end = tokio::select! {
            end = self.try_until_it_ends() => end,
            () = tokio::time::sleep_until(instant.into()) => End::Left,
        };
        self.user.latency = self.since_intended();
        self.user.end = end;
        self.user
    }

    async fn try_until_it_ends(&mut self) -> End {
        loop {
            let id = client::id(self.planned.number, self.user.tries);
            self.user.tries += 1;
            let timeout = self.timeout();
            let (status, retry_after) = match self.once(id, timeout).await {
                Tried::Ended(end) => return end,
                Tried::Failed { status, is_final: true, .. } => return End::Failed(status),
                Tried::Failed { status, retry_after, .. } => (status, retry_after),
            };
            let jitter = bits(self.shared.load.seed, id.0, Purpose::ClientBackoff, 0);
            let sdk = self.shared.load.clients.habits.sdk;
            let Some(wait) = sdk.and_then(|sdk| sdk.wait(self.user.tries - 1, status, retry_after, jitter)) else { return End::Failed(status) };
            if self.shared.clock.now() + wait >= self.deadline {
                return End::Failed(status);
            }
            tokio::time::sleep(self.shared.clock.in_life(wait)).await;
        }
    }

    /// How long a try is waited for. Who has a deadline gets to hear from the gateway that it has passed, and gives up on one that says nothing.
    fn timeout(&self) -> Duration {
        let own = self.shared.load.clients.habits.sdk.map_or(Duration::from_secs(3600), |sdk| self.shared.clock.in_life(sdk.timeout));
        own.min(self.instant(self.deadline).saturating_duration_since(Instant::now()) + SILENCE)
    }

    /// One try: given up if nothing comes for so long.
    async fn once(&mut self, id: RequestId, timeout: Duration) -> Tried {
        let broken = Tried::Failed { status: 500, retry_after: None, is_final: false };
        let Ok(request) = self.request(id) else { return broken };
        let until = Instant::now() + timeout;
        let Ok(answered) = tokio::time::timeout_at(until.into(), self.shared.http.request(request)).await else {
            return Tried::Failed { status: 408, retry_after: None, is_final: false };
        };
        let Ok(response) = answered else { return broken };
        let said = Said::of(response.headers());
        self.user.request = said.request;
        let status = response.status().as_u16();
        if status != 200 {
            // An error's body is read so that its connection can be used again.
            let _ = response.into_body().collect().await;
            return Tried::Failed { status, retry_after: said.retry_after, is_final: said.is_for_good };
        }
        self.user.is_cached = said.is_cached;
        self.user.cost = said.cost;
        self.user.answered_by = said.model;
        if self.stream { self.listen(response, said.deployment).await } else { self.read(response, until).await }
    }

    async fn read(&mut self, response: Response<Incoming>, until: Instant) -> Tried {
        let body = match tokio::time::timeout_at(until.into(), response.into_body().collect()).await {
            Err(_) => return Tried::Failed { status: 408, retry_after: None, is_final: false },
            Ok(Err(_)) => return Tried::Failed { status: 500, retry_after: None, is_final: false },
            Ok(Ok(body)) => body.to_bytes(),
        };
        self.user.usage = serde_json::from_slice::<Value>(&body).ok().as_ref().and_then(answer::usage);
        Tried::Ended(End::Served)
    }

    async fn listen(&mut self, response: Response<Incoming>, deployment: Option<String>) -> Tried {
        let mut body = response.into_body();
        let mut reading = Reading::default();
        let leaves_after = match self.left_after {
            // A cached answer is there at once: nobody leaves in the middle of it, as in a simulation.
            Some(LeftAfter::Tokens(tokens)) if !self.user.is_cached => self.counted_by(deployment.as_deref()).of(tokens),
            _ => u32::MAX,
        };
        loop {
            let Ok(part) = answer::next(&mut body).await else { break };
            let Some(part) = part else { break };
            reading.push(&part);
            if reading.tokens > 0 && self.user.first_token.is_none() {
                self.user.first_token = Some(self.since_intended());
            }
            if reading.tokens >= leaves_after {
                return Tried::Ended(End::Left);
            }
        }
        self.user.usage = reading.usage;
        if reading.is_whole && !reading.has_failed {
            return Tried::Ended(End::Served);
        }
        Tried::Failed { status: 500, retry_after: None, is_final: self.user.first_token.is_some() }
    }

    /// From the output tokens of the model asked for to those of whoever answers.
    fn counted_by(&self, deployment: Option<&str>) -> Ratio {
        self.shared.load.counts.as_ref().zip(deployment).map_or(Ratio::ONE, |(counts, deployment)| counts.output(&self.planned.model, deployment))
    }

    fn request(&self, id: RequestId) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder().method(Method::POST).uri(&self.shared.uri).body(Full::new(self.body.clone()))?;
        *request.headers_mut() = self.headers.clone();
        let trace = format!("00-{TRACE:016x}{:016x}-{:016x}-01", id.0, id.0 | 1 << 63);
        request.headers_mut().insert("traceparent", HeaderValue::try_from(trace)?);
        if self.deadline != Time::MAX {
            let Span(nanos) = self.deadline.since(self.shared.clock.now());
            let seconds = format!("{}.{:09}", nanos / Span::SECOND.0, nanos % Span::SECOND.0);
            request.headers_mut().insert("x-gwsim-deadline", HeaderValue::try_from(seconds)?);
        }
        Ok(request)
    }

    /// In the time of the traffic.
    fn since_intended(&self) -> Span {
        self.shared.clock.now().since(self.planned.at)
    }

    fn instant(&self, at: Time) -> Instant {
        if at == Time::MAX { Instant::now() + Duration::from_secs(365 * 86_400) } else { self.shared.clock.instant(at) }
    }
}
