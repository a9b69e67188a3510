//! From bytes on a connection to a request that the core has seen. Refuses what is none; decides nothing about what is one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Uri};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

use super::life::Life;
use crate::gateway::id::{KeyId, ModelId};
use crate::gateway::plan::Plan;
use crate::gateway::request::Request;
use crate::gateway::time::Span;
use crate::serve::answers::Problem;
use crate::serve::app::App;
use crate::serve::engine::Arriving;
use crate::serve::upstream::PASSED_ON;
use crate::wire::images::is_dear;
use crate::wire::{Endpoint, ErrorKind, Inbound};

/// The header that says how long a client waits for its answer.
const DEADLINE: &str = "x-gwsim-deadline";
/// How much of a body that is too large is read and thrown away, so that its sender gets to read why.
const DISCARD_MAX: u64 = 256 << 20;
/// The longest name of an end user or a tag that gets an account of its own, in bytes. Names are kept for ever.
const NAME_MAX: usize = 256;
/// How many of them get one.
const NAMES_MAX: usize = 1_000_000;

/// How much of a request is waited for, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The largest body, in bytes.
    pub body_max: u64,
    /// How long all of it may take to come.
    pub body_timeout: Duration,
}

/// Reads a request.
///
/// # Errors
/// If it is too large, too slow, or not a request.
pub async fn read<B: Body<Data = Bytes> + Unpin>(endpoint: Endpoint, headers: &HeaderMap, body: B, bounds: Bounds) -> Result<Inbound, Problem> {
    if let Some(kind) = headers.get(CONTENT_TYPE) {
        let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(415, ErrorKind::BadRequest, format!("the body must be application/json, not `{kind}`")));
        }
    }
    let stated = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let read = tokio::time::timeout(bounds.body_timeout, collect(body, stated, bounds.body_max)).await;
    let body = read.map_err(|_| Problem::new(408, ErrorKind::Timeout, "the body of the request took too long to come"))??;
    Inbound::read(endpoint, body).map_err(|malformed| Problem::new(400, ErrorKind::BadRequest, malformed.message).param(malformed.param))
}

async fn collect<B: Body<Data = Bytes> + Unpin>(mut body: B, stated: Option<u64>, most: u64) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0;
    let mut is_too_large = stated.is_some_and(|stated| stated > most);
    while let Some(frame) = body.frame().await {
        let broken = |_| Problem::new(400, ErrorKind::BadRequest, "the body of the request broke off");
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        length += data.len() as u64;
        is_too_large |= length > most;
        if is_too_large {
            (first, rest) = (Bytes::new(), BytesMut::new());
            if length > DISCARD_MAX {
                break;
            }
        } else if first.is_empty() {
            // Most bodies come in one piece, which is kept as it is.
            first = data;
        } else {
            if rest.is_empty() {
                rest.reserve(usize::try_from(stated.unwrap_or(0).min(most)).unwrap_or(0));
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    if is_too_large {
        return Err(Problem::new(413, ErrorKind::TooLarge, format!("the body is larger than the {most} bytes that this gateway takes")));
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// How long the client of a request waits for its answer, if its headers say so: in seconds, from when the request is there.
///
/// # Errors
/// If that is no number of seconds.
pub fn deadline(headers: &HeaderMap) -> Result<Option<Span>, Problem> {
    let Some(value) = headers.get(DEADLINE) else { return Ok(None) };
    let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok()).filter(|seconds| *seconds >= 0.0);
    let wrong = || Problem::new(400, ErrorKind::BadRequest, format!("{DEADLINE} must be a number of seconds, such as 30 or 2.5"));
    // More than a century says nothing.
    let span = Duration::try_from_secs_f64(seconds.ok_or_else(wrong)?.min(1e9)).map_err(|_| wrong())?;
    Ok(Some(Span(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))))
}

/// Whether a browser sends it for a page that is not from this machine. A gateway without keys would spend its owner's money on any page that is
/// opened there.
pub fn is_of_a_foreign_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let host = origin.as_ref().and_then(Uri::host).map(|host| host.trim_matches(['[', ']']));
    let is_here = |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    !host.is_some_and(is_here)
}

/// Tells the core of a request.
pub fn arrive(app: Arc<App>, key: Arc<str>, asked: HeaderMap, mut inbound: Inbound, deadline: Option<Span>) -> Life {
    inbound.mark(PASSED_ON.iter().filter_map(|name| asked.get(name)).map(HeaderValue::as_bytes));
    let (ticket, turn) = app.engine.arrive(|arriving| request(arriving, &key, &inbound, deadline));
    // Settings are asked for after the plan, so that they are never older.
    let settings = app.settings();
    Life::new(app, settings, key, asked, inbound, ticket, turn)
}

/// The upper bound on the input of a request: as low as the deployments that it can reach allow.
fn input_bound(plan: &Plan, model: ModelId, inbound: &Inbound) -> u32 {
    let usual = inbound.input_tokens_max_on(false);
    let is_known = model.index() < plan.models.len();
    if !is_known || (usual == inbound.input_tokens_max && !inbound.unseen_input) {
        return inbound.input_tokens_max;
    }
    let groups = plan.reachable(model);
    let reached = || groups.iter().flat_map(|group| &plan.model(*group).deployments).map(|id| plan.deployment(*id));
    let bound = if reached().any(|deployment| is_dear(&deployment.model)) { inbound.input_tokens_max } else { usual };
    if !inbound.unseen_input {
        return bound;
    }
    // What is not in the request can't be more than the models take.
    let most = reached().map(|deployment| deployment.input_tokens_max).max().unwrap_or(bound);
    bound.min(most).max(inbound.input_tokens)
}

fn request(arriving: &mut Arriving<'_>, key: &str, inbound: &Inbound, deadline: Option<Span>) -> Request {
    // Numbers that nobody has: the core says what is wrong with them.
    let key = arriving.gateway().key(key).unwrap_or(KeyId(u32::MAX));
    let model = arriving.plan().find_model(&inbound.model).unwrap_or(ModelId(u32::MAX));
    let is_name = |name: &&str| !name.is_empty() && name.len() <= NAME_MAX;
    let end_user = inbound.end_user.as_deref().filter(is_name).and_then(|name| {
        let directory = arriving.gateway().directory();
        let known = directory.known_end_user(name);
        let is_full = directory.end_user_names().len() >= NAMES_MAX;
        known.or_else(|| (!is_full).then(|| arriving.end_user(name)))
    });
    let tag = inbound.tags.first().map(String::as_str).filter(is_name).and_then(|name| {
        let directory = arriving.gateway().directory();
        let known = directory.known_tag(name);
        let is_full = directory.tag_names().len() >= NAMES_MAX;
        known.or_else(|| (!is_full).then(|| arriving.tag(name)))
    });
    let input_tokens_max = input_bound(arriving.plan(), model, inbound);
    Request {
        id: arriving.id,
        slot: arriving.slot,
        key,
        model,
        end_user,
        tag,
        input_tokens: inbound.input_tokens,
        input_tokens_max,
        input_tokens_counted: input_tokens_max,
        max_tokens: inbound.max_tokens,
        choices: inbound.choices,
        stream: inbound.stream,
        no_cache: inbound.no_cache,
        no_store: inbound.no_store,
        countable: inbound.is_countable(),
        fingerprint: inbound.fingerprint,
        requires: inbound.requires,
        deadline: deadline.map(|span| arriving.now() + span),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn a_page_is_foreign_unless_this_machine_serves_it() {
        let is_foreign = |origin: &'static str| is_of_a_foreign_page(&HeaderMap::from_iter([(ORIGIN, origin.parse().unwrap())]));
        assert!(!is_of_a_foreign_page(&HeaderMap::new()), "no browser sends it");
        for own in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"] {
            assert!(!is_foreign(own), "{own}");
        }
        for foreign in
            ["https://example.com", "null", "", "http://localhost.example.com", "http://10.0.0.1", "file://", "http://127.0.0.1.nip.io:4000"]
        {
            assert!(is_foreign(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_deadline_is_a_number_of_seconds() {
        let read = |text: &'static str| deadline(&HeaderMap::from_iter([(HeaderName::from_static(DEADLINE), text.parse().unwrap())]));
        assert_eq!(deadline(&HeaderMap::new()).unwrap(), None);
        assert_eq!((read("30").unwrap(), read(" 2.5").unwrap()), (Some(Span::from_secs(30)), Some(Span::from_millis(2_500))));
        assert_eq!((read("0").unwrap(), read("1e30").unwrap()), (Some(Span::ZERO), Some(Span::from_secs(1_000_000_000))));
        for wrong in ["", "soon", "-1", "NaN", "30s"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
