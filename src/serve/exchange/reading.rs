//! What comes from upstream until it is understood: refusals and plain answers, within bounds. Knows no core.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};

use crate::gateway::failure::Failure;
use crate::gateway::id::RequestId;
use crate::serve::upstream::{self, Said};
use crate::wire::Endpoint;

/// The longest plain answer that is read, in bytes.
pub const ANSWER_MAX: usize = 64 << 20;
/// The longest answer of embeddings: 2,048 inputs, the most that `OpenAI` takes, of 4,096 numbers each, written out.
pub const EMBEDDINGS_MAX: usize = 256 << 20;
/// How much of a refusal is read, in bytes.
const REFUSAL_MAX: usize = 64 << 10;

/// The next data of a body: `None` at its end, `Some(None)` where it breaks off.
pub fn poll_data(body: &mut Incoming, context: &mut Context<'_>) -> Poll<Option<Option<Bytes>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(_)) => return Poll::Ready(Some(None)),
            // Trailers say nothing here.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Some(data)));
                }
            }
        }
    }
}

/// Whether an answer is a stream of events.
pub fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
}

/// An answer other than 2xx, as far as it has come.
#[derive(Debug)]
pub struct Refusal {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Refusal {
    /// One of which only the head has come.
    pub fn new(status: u16, headers: HeaderMap) -> Self {
        Self { status, headers, body: Vec::new() }
    }

    /// Takes more of it. Says whether that is enough.
    pub fn push(&mut self, data: &[u8]) -> bool {
        let room = REFUSAL_MAX - self.body.len();
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        data.len() >= room
    }

    /// What it means.
    pub fn read(&self) -> (Failure, Said) {
        upstream::refused(self.status, &self.headers, &self.body)
    }
}

/// A plain answer, as far as it has come.
#[derive(Debug)]
pub struct Whole {
    most: usize,
    first: Bytes,
    rest: BytesMut,
}

impl Whole {
    /// One of which only the head has come.
    pub fn new(endpoint: Endpoint) -> Self {
        let most = if endpoint == Endpoint::Embeddings { EMBEDDINGS_MAX } else { ANSWER_MAX };
        Self { most, first: Bytes::new(), rest: BytesMut::new() }
    }

    /// Takes more of it. Says whether it is within bounds.
    pub fn push(&mut self, data: Bytes) -> bool {
        if self.first.is_empty() {
            // Most answers come in one piece, which is kept as it is.
            self.first = data;
            return self.first.len() <= self.most;
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&self.first);
        }
        self.rest.extend_from_slice(&data);
        self.rest.len() <= self.most
    }

    /// All of it.
    pub fn take(&mut self) -> Bytes {
        if self.rest.is_empty() { std::mem::take(&mut self.first) } else { std::mem::take(&mut self.rest).freeze() }
    }
}

/// The W3C trace context that goes on to the provider: the client's trace if it has one, with this request as its part.
pub fn trace(asked: &HeaderMap, request: RequestId, seed: u64) -> HeaderValue {
    let given = asked.get("traceparent").and_then(|value| value.to_str().ok()).and_then(trace_id);
    let span = request.0.wrapping_add(1).max(1);
    let text = match given {
        Some(id) => format!("00-{id}-{span:016x}-01"),
        None => format!("00-{:016x}{:016x}-{span:016x}-01", seed | 1, request.0),
    };
    HeaderValue::from_str(&text).expect("hexadecimal digits")
}

/// The trace id of a traceparent, if it is one.
fn trace_id(text: &str) -> Option<&str> {
    let mut parts = text.split('-');
    let (version, id) = (parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (is_hex(version, 2) && is_hex(id, 32) && id.bytes().any(|byte| byte != b'0')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_and_one_is_made_where_there_is_none() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let mut asked = HeaderMap::new();
        asked.insert("traceparent", format!("00-{id}-00f067aa0ba902b7-01").parse().unwrap());
        assert_eq!(trace(&asked, RequestId(15), 7), format!("00-{id}-0000000000000010-01"));
        for broken in ["", "00-xyz", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4BF92F3577B34DA6A3CE929D0E0E4736-1-01"] {
            asked.insert("traceparent", broken.parse().unwrap());
            assert_eq!(trace(&asked, RequestId(15), 7), "00-0000000000000007000000000000000f-0000000000000010-01", "{broken}");
        }
    }

    #[test]
    fn a_refusal_is_read_up_to_its_bound() {
        let mut refusal = Refusal::new(500, HeaderMap::new());
        assert!(!refusal.push(&[b'x'; 1000]));
        assert!(refusal.push(&vec![b'x'; 1 << 20]));
        assert_eq!(refusal.body.len(), REFUSAL_MAX);
    }

    #[test]
    fn an_answer_is_put_together_from_its_pieces() {
        let mut whole = Whole::new(Endpoint::ChatCompletions);
        assert!(whole.push(Bytes::from_static(b"ab")) && whole.push(Bytes::from_static(b"cd")) && whole.push(Bytes::from_static(b"e")));
        assert_eq!(whole.take(), "abcde");
        let is_taken = |endpoint| Whole::new(endpoint).push(Bytes::from(vec![0; ANSWER_MAX + 1]));
        assert_eq!([Endpoint::ChatCompletions, Endpoint::Embeddings].map(is_taken), [false, true]);
    }
}
