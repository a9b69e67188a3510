//! What a client sees of how its request ended: the status, the error in its own dialect, the headers. Decides no outcome.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use super::app::App;
use super::upstream::Said;
use crate::config::gateway::server::Server;
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::journal::Denial;
use crate::gateway::time::Span;
use crate::wire::errors::ErrorBody;
use crate::wire::{Dialect, Endpoint, ErrorKind};

/// An error on its way to a client.
#[derive(Debug, Clone)]
pub struct Problem {
    status: u16,
    kind: ErrorKind,
    message: String,
    code: Option<String>,
    param: Option<String>,
    retry_after: Option<Span>,
    no_retry: bool,
}

impl Problem {
    /// A problem with no more to it.
    pub fn new(status: u16, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), code: None, param: None, retry_after: None, no_retry: false }
    }

    /// With the code that programs look at.
    #[must_use]
    pub fn code(self, code: &str) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// About a field of the request.
    #[must_use]
    pub fn param(self, param: Option<String>) -> Self {
        Self { param, ..self }
    }

    /// To be tried again after so long.
    #[must_use]
    pub fn after(self, retry_after: Option<Span>) -> Self {
        Self { retry_after, ..self }
    }

    /// Not to be tried again by the client library itself.
    #[must_use]
    pub fn for_good(self) -> Self {
        Self { no_retry: true, ..self }
    }

    /// The body.
    pub fn body(&self, dialect: Dialect) -> Bytes {
        self.words().body(dialect)
    }

    /// As an event in a stream that has begun.
    pub fn event(&self, endpoint: Endpoint) -> Bytes {
        self.words().event(endpoint)
    }

    fn words(&self) -> ErrorBody<'_> {
        ErrorBody { param: self.param.as_deref(), code: self.code.as_deref(), ..ErrorBody::new(self.kind, &self.message) }
    }

    /// The whole answer.
    pub fn respond(&self, dialect: Dialect) -> Response {
        let mut response = Response::new(Body::from(self.body(dialect)));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after.filter(|after| *after < Span::MAX) {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.0.div_ceil(Span::SECOND.0)));
        }
        if self.no_retry {
            // Both client libraries go by it.
            headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
        }
        response
    }
}

/// The name of the caller's key.
///
/// # Errors
/// If there is none, or it is not known.
pub fn authenticate(app: &App, headers: &HeaderMap) -> Result<Arc<str>, Problem> {
    let secret = secret(headers);
    let missing = "no key: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`";
    app.keys.name_of(secret).ok_or_else(|| if secret.is_some() { unknown_key() } else { Problem::new(401, ErrorKind::Unauthorized, missing) })
}

/// The secret that a request came with.
pub fn secret(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|text| text.strip_prefix("Bearer ").or_else(|| text.strip_prefix("bearer ")));
    let own = || headers.get("x-api-key").or_else(|| headers.get("api-key"))?.to_str().ok();
    bearer.or_else(own).map(str::trim).filter(|secret| !secret.is_empty())
}

/// The gateway is open, but not to every page that a browser on its machine shows.
pub fn foreign_page() -> Problem {
    let why = "this gateway has no keys, and takes nothing that a browser sends for a page from elsewhere: make a key, and send it";
    Problem::new(403, ErrorKind::Forbidden, why)
}

/// Nobody has such a key.
pub fn unknown_key() -> Problem {
    Problem::new(401, ErrorKind::Unauthorized, "unknown key").code("invalid_api_key")
}

/// The gateway has refused a request. `what` are the limit or the budget in words, `model` is what was asked for.
pub fn denied(denial: Denial, server: &Server, what: Option<(String, Option<Span>)>, model: &str) -> Problem {
    use ErrorKind::{BadRequest, BudgetExceeded, Forbidden, NotFound, RateLimited, Timeout, Unauthorized};
    let (words, after) = what.unzip();
    let words = words.unwrap_or_else(|| "a limit".into());
    match denial {
        Denial::UnknownKey | Denial::Deleted => unknown_key(),
        Denial::Blocked => Problem::new(401, Unauthorized, "this key, or its team, is blocked").code("key_blocked"),
        Denial::Expired => Problem::new(401, Unauthorized, "this key has expired").code("key_expired"),
        Denial::ModelNotAllowed => Problem::new(403, Forbidden, format!("this key may not use the model `{model}`")).code("model_not_allowed"),
        Denial::UnknownModel => Problem::new(404, NotFound, format!("there is no model `{model}`")).code("model_not_found"),
        Denial::Limited(_) => Problem::new(429, RateLimited, format!("{words} is used up")).code("rate_limit_exceeded").after(after.flatten()),
        Denial::QueueFull(_) => {
            Problem::new(429, RateLimited, format!("too many requests wait for {words}")).code("rate_limit_exceeded").after(after.flatten())
        }
        Denial::Loop => {
            Problem::new(429, RateLimited, "the same request was sent again and again: the loop detector stops it").code("loop_detected").for_good()
        }
        Denial::Budget(_) => {
            // It comes back with its next window, not with the client library's next try.
            Problem::new(server.budget_status, BudgetExceeded, format!("the most that this request can cost does not fit {words}"))
                .code("budget_exceeded")
                .for_good()
        }
        Denial::TooLong => {
            let message = format!("the input is longer than any deployment of `{model}` takes");
            Problem::new(400, BadRequest, message).code("context_length_exceeded").param(Some("messages".into()))
        }
        Denial::CannotExpress => {
            let message = format!("no deployment of `{model}`, nor of its fallbacks, can be asked for all that this request asks for");
            Problem::new(422, BadRequest, message).code("unsupported_by_model")
        }
        Denial::DeadlinePassed => Problem::new(408, Timeout, "the request's deadline has passed"),
    }
}

/// Every attempt has failed. `said` are the provider's words, if the last failure is of a provider.
pub fn failed(failure: Failure, said: Option<&Said>) -> Problem {
    use ErrorKind::{BadGateway, BadRequest, Internal, NotFound, RateLimited, Timeout, Unavailable};
    let words = |own: &str| said.map(|said| said.message.clone()).filter(|message| !message.is_empty()).unwrap_or_else(|| own.to_owned());
    let passed_on = |kind, own: &str| {
        let problem = Problem::new(failure.status, kind, words(own)).param(said.and_then(|said| said.param.clone()));
        Problem { code: said.and_then(|said| said.code.clone()), ..problem }
    };
    let problem = match failure.class {
        FailureClass::RateLimited => passed_on(RateLimited, "the provider's limit is used up"),
        FailureClass::Saturated => Problem::new(failure.status, RateLimited, words("the gateway's limit on the deployment is used up")),
        FailureClass::Timeout => Problem::new(504, Timeout, words("the provider took too long")),
        FailureClass::Connect => Problem::new(502, BadGateway, words("the provider could not be reached")),
        FailureClass::Internal if said.is_none() => Problem::new(500, Internal, "the provider failed"),
        FailureClass::Internal => passed_on(Internal, "the provider failed"),
        FailureClass::BadGateway => Problem::new(502, BadGateway, words("what the provider answered makes no sense")),
        FailureClass::Unavailable => Problem::new(503, Unavailable, words("the provider is overloaded")),
        FailureClass::NoDeployment => Problem::new(503, Unavailable, "every deployment of the model is left alone for a while after failures"),
        FailureClass::Cut => Problem::new(502, BadGateway, words("the provider broke off in the middle of its answer")),
        FailureClass::BadRequest | FailureClass::Conflict => passed_on(BadRequest, "the provider refused the request"),
        FailureClass::ContextWindow => {
            let problem = passed_on(BadRequest, "the input does not fit the model's context window");
            Problem { status: 400, ..problem }.code("context_length_exceeded")
        }
        FailureClass::ContentPolicy => passed_on(BadRequest, "the provider's content policy forbids it"),
        FailureClass::NotFound => passed_on(NotFound, "the provider does not know the model"),
        FailureClass::Unauthorized | FailureClass::Forbidden => {
            // The caller's own key is good. The provider's words may quote the gateway's.
            let message = format!("the provider refused the gateway's credentials ({})", failure.status);
            Problem::new(502, BadGateway, message).code("provider_credentials_refused").for_good()
        }
    };
    problem.after(failure.retry_after)
}

/// An answer, or the replay of one, in one piece.
pub fn whole(body: Bytes, streamed: bool) -> Response {
    let mut response = Response::new(Body::from(body));
    if streamed {
        stream_headers(response.headers_mut());
    } else {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

/// The headers of a stream.
pub fn stream_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

/// The answer of an identical request was to be this one's, and can't be had.
pub fn lost() -> Problem {
    Problem::new(503, ErrorKind::Unavailable, "the answer of an identical request could not be shared: ask again").after(Some(Span::SECOND))
}

/// The gateway goes down; another one, or the next, will answer.
pub fn going_down() -> Problem {
    Problem::new(503, ErrorKind::Unavailable, "the gateway is going down: ask again").after(Some(Span::SECOND))
}

/// The gateway can't write its journal. Its disk may have room again.
pub fn unwritable(error: &std::io::Error) -> Problem {
    let message = format!("the gateway can't write its journal, and makes no calls that nobody would know of: {error}");
    Problem::new(503, ErrorKind::Unavailable, message).code("journal_unwritable").after(Some(Span::SECOND))
}

/// An answer in JSON.
pub fn json(value: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Nothing is at this address.
pub async fn no_such_route(uri: axum::http::Uri) -> Response {
    Problem::new(404, ErrorKind::NotFound, format!("there is nothing at {}", uri.path())).code("unknown_url").respond(Dialect::OpenAi)
}

/// The address takes another method.
pub async fn no_such_method(method: axum::http::Method, uri: axum::http::Uri) -> Response {
    Problem::new(405, ErrorKind::BadRequest, format!("{} does not take {method}", uri.path())).respond(Dialect::OpenAi)
}

/// A handler has panicked.
pub fn panicked() -> Response {
    Problem::new(500, ErrorKind::Internal, "something is broken in the gateway; it has been noted").respond(Dialect::OpenAi)
}
