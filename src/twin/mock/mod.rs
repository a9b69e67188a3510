//! The scenario's providers over real HTTP: each deployment under an address of its own, answering as the simulator's world has it. Decides which
//! bytes leave when; what a call's fate is, `sim::upstream` decides.
//!
//! `POST /DEPLOYMENT/v1/chat/completions` and what else a provider has; `GET /__bill` is what all of it has cost.

pub mod answer;
pub mod ask;
pub mod bill;
pub mod providers;
pub mod refusal;

mod socket;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::answer::Answer;
use self::ask::{Ask, Endpoint};
use self::providers::{Origin, Providers, Wanted};
use self::refusal::Refusal;
use self::socket::{Breaker, Socket};
use self::stream::{Answering, Streaming};
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::id::DeploymentId;
use crate::gateway::time::Span;
use crate::price::tokens::{TokenCounts, TokenRatio};
use crate::sim::fate::{Ending, Fate};

/// The largest body that is read, in bytes.
const BODY_MAX: usize = 64 << 20;

/// The providers and their dialects.
pub struct Mock {
    /// The world behind it.
    pub providers: Arc<Providers>,
    /// Which deployments speak Anthropic's dialect, by number; the others speak OpenAI's.
    pub are_anthropic: Vec<bool>,
    /// How tokens carry over from the model that a prompt says it is counted by.
    pub counts: TokenCounts,
}

/// A provider that breaks the connection: there is no answer.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection breaks")
    }
}

impl std::error::Error for Broken {}

/// Whether a failed call had no status line at all.
fn is_broken(failure: &Failure) -> bool {
    failure.class == FailureClass::Connect
}

/// The path under which a deployment is reached.
pub fn path_of(deployment: &str) -> String {
    let mut path = String::from("/");
    for byte in deployment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(byte as char);
        } else {
            path += &format!("%{byte:02X}");
        }
    }
    path
}

/// Serves until the future that drives it is dropped. Whoever can't be accepted is passed over.
pub async fn serve(mock: Arc<Mock>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, most likely: give those that are open time to close.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        // An answer that waits for another one's acknowledgement comes late.
        let _ = stream.set_nodelay(true);
        let mock = Arc::clone(&mock);
        tokio::spawn(async move {
            let (socket, breaker) = Socket::new(stream);
            let answer = service_fn(move |request| {
                let (mock, breaker) = (Arc::clone(&mock), breaker.clone());
                async move { mock.answer(request, breaker).await }
            });
            // However it ends, the caller's business is with its calls, and they are closed.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

impl Mock {
    async fn answer(&self, request: Request<Incoming>, breaker: Breaker) -> Result<Response<Answering>, Broken> {
        let path = request.uri().path().to_owned();
        if path == "/__bill" {
            return Ok(whole(StatusCode::OK, &self.providers.bills.sums()));
        }
        let (name, rest) = path[1.min(path.len())..].split_once('/').unwrap_or((&path[1.min(path.len())..], ""));
        let rest = format!("/{rest}");
        let Some(deployment) = unescaped(name).and_then(|name| self.providers.plan().find_deployment(&name)) else {
            return Ok(refuse(&Refusal::plain(404, format!("no deployment has the path /{name}")), rest.contains("/messages"), ""));
        };
        let is_anthropic = self.are_anthropic[deployment.index()];
        if request.method() == Method::GET && rest.ends_with("/models") {
            return Ok(whole(StatusCode::OK, &self.models(deployment)));
        }
        let endpoint = Endpoint::of_path(&rest).filter(|endpoint| endpoint.is_anthropic() == is_anthropic);
        let (Some(endpoint), &Method::POST) = (endpoint, request.method()) else {
            let refusal = Refusal::plain(404, format!("{} {rest} is not there", request.method()));
            return Ok(refuse(&refusal, is_anthropic, ""));
        };
        let origin = origin(request.headers());
        let body = match Limited::new(request.into_body(), BODY_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Ok(refuse(&Refusal::plain(413, "the body is too large, or broke off"), is_anthropic, "")),
        };
        match Ask::read(endpoint, &body) {
            Ok(ask) => {
                let called = &self.providers.plan().deployment(deployment).model;
                let ratio = ask.marker.counted_by.as_deref().map_or(TokenRatio::ONE, |model| self.counts.between(model, called));
                self.call(deployment, ask.counted(ratio), origin, breaker).await
            }
            Err(fault) => Ok(refuse(&Refusal::malformed(fault), is_anthropic, "")),
        }
    }

    async fn call(&self, deployment: DeploymentId, ask: Ask, origin: Origin, breaker: Breaker) -> Result<Response<Answering>, Broken> {
        let is_embedding = ask.endpoint == Endpoint::Embeddings;
        if ask.endpoint == Endpoint::CountTokens {
            return Ok(whole(StatusCode::OK, &json!({"input_tokens": ask.input_tokens})));
        }
        let wanted = Wanted {
            input_tokens: ask.input_tokens,
            output_tokens: if is_embedding { Some(0) } else { ask.marker.output },
            max_tokens: ask.max_tokens,
            choices: ask.choices,
            stream: ask.stream && !is_embedding,
            blocks: &ask.blocks,
            block_size: ask.block_size,
            block_ratio: ask.block_ratio,
        };
        let open = self.providers.call(deployment, origin, &wanted);
        let is_anthropic = ask.endpoint.is_anthropic();
        let mut headers = HeaderMap::new();
        refusal::put_allowances(&self.providers.allowances(deployment), open.at, is_anthropic, &mut headers);
        let id = format!("req_{:016x}", open.number);
        let name = if is_anthropic { "request-id" } else { "x-request-id" };
        headers.insert(name, HeaderValue::try_from(&id).expect("it is plain text"));
        let fate = open.answered().await;
        let mut response = match fate.ending {
            Ending::Whole | Ending::Cut(_) => {
                let answer = answer_of(ask, &open, &fate);
                if fate.stream {
                    streamed(Streaming::new(open, answer, fate, breaker))
                } else {
                    let mut response = whole(StatusCode::OK, &answer.whole());
                    open.end();
                    if let (Ending::Cut(_), Answering::Whole(Some(body))) = (fate.ending, response.body()) {
                        let half = body.slice(..body.len() / 2);
                        *response.body_mut() = Answering::Part(Some(half), breaker);
                    }
                    response
                }
            }
            Ending::Failed(failure) | Ending::Refused(failure) if !is_broken(&failure) => {
                open.end();
                let most = self.providers.plan().deployment(deployment).input_tokens_max;
                let mut response = refuse(&Refusal::of_failure(&failure, &ask.model, ask.input_tokens, most), is_anthropic, &id);
                if let Some(wait) = failure.retry_after {
                    refusal::put_retry_after(wait, response.headers_mut());
                }
                response
            }
            Ending::Failed(_) | Ending::Refused(_) | Ending::Silent(_) => {
                open.end();
                breaker.reset();
                return Err(Broken);
            }
        };
        response.headers_mut().extend(headers);
        Ok(response)
    }

    fn models(&self, deployment: DeploymentId) -> Value {
        let model = &self.providers.plan().deployment(deployment).model;
        if self.are_anthropic[deployment.index()] {
            let item = json!({"type": "model", "id": model, "display_name": model, "created_at": "1970-01-01T00:00:00Z"});
            return json!({"data": [item], "has_more": false, "first_id": model, "last_id": model});
        }
        json!({"object": "list", "data": [{"id": model, "object": "model", "created": 0, "owned_by": "gwsim"}]})
    }
}

fn answer_of(ask: Ask, open: &providers::Open, fate: &Fate) -> Answer {
    Answer {
        ask,
        number: open.number,
        created: open.at.0 / Span::SECOND.0,
        usage: fate.usage,
        chunk_tokens: fate.chunk_tokens,
        is_limited: open.is_limited,
    }
}

fn whole(status: StatusCode, body: &Value) -> Response<Answering> {
    let mut response = Response::new(Answering::Whole(Some(Bytes::from(body.to_string()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn streamed(stream: Streaming) -> Response<Answering> {
    let mut response = Response::new(Answering::Stream(Box::new(stream)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    response
}

fn refuse(refusal: &Refusal, is_anthropic: bool, id: &str) -> Response<Answering> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(status, &refusal.body(is_anthropic, id))
}

/// Whose call it is: the W3C header `traceparent`, `VERSION-TRACE-PARENT-FLAGS` in hexadecimal.
fn origin(headers: &HeaderMap) -> Origin {
    let read = || {
        let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
        let (_, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
        let trace = u128::from_str_radix(trace, 16).ok().filter(|id| trace.len() == 32 && *id != 0)?;
        Some(Origin { trace: Some(trace), parent: u64::from_str_radix(parent, 16).ok()? })
    };
    read().unwrap_or_default()
}

/// A part of a path as it was before it was escaped.
pub fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}
