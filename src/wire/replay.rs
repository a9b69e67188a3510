//! A whole answer as a stream, and a stream as a whole answer: for the response cache, which keeps answers whole. Knows shapes, keeps nothing.

mod collect;
mod play;

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::Endpoint;
use super::sse::{self, Boundaries, Event};

/// A whole answer as the stream that a provider could have sent, each text in one piece. `None` if the answer is not of its endpoint.
///
/// `include_usage` says whether a chat's or completion's stream ends with its usage; other streams always tell it.
pub fn as_stream(endpoint: Endpoint, answer: &[u8], include_usage: bool) -> Option<Bytes> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let mut out = Player { out: BytesMut::with_capacity(1024), sequence: 0 };
    match endpoint {
        Endpoint::ChatCompletions => play::chat(&mut out, &answer, include_usage)?,
        Endpoint::Completions => play::completions(&mut out, &answer, include_usage)?,
        Endpoint::Responses => play::response(&mut out, &answer)?,
        Endpoint::Messages => play::message(&mut out, &answer)?,
        Endpoint::Embeddings | Endpoint::CountTokens => return None,
    }
    Some(out.out.freeze())
}

/// The whole answer that a stream tells, its usage included. `None` if the stream is none of its endpoint, is not whole, or has an error in it.
///
/// Numbers are read and written anew: a float (a log probability) may differ in its last digit.
pub fn as_whole(endpoint: Endpoint, stream: &[u8]) -> Option<Bytes> {
    let mut boundaries = Boundaries::default();
    let mut rest = stream;
    let mut events = Vec::new();
    let mut is_done = false;
    while !rest.is_empty() {
        // The last line end may be missing.
        let (block, after) = rest.split_at(boundaries.next(rest).unwrap_or(rest.len()));
        rest = after;
        match Event::read(block).data {
            Some(data) if *data == *b"[DONE]" => is_done = true,
            Some(data) if !data.is_empty() => events.push(serde_json::from_slice::<Value>(&data).ok()?),
            _ => {}
        }
    }
    if events.iter().any(|event| event.get("error").is_some_and(Value::is_object) || event["type"] == "error") {
        return None;
    }
    let whole = match endpoint {
        Endpoint::ChatCompletions if is_done => collect::chat(events)?,
        Endpoint::Completions if is_done => collect::completions(events)?,
        Endpoint::Responses => collect::response(events)?,
        Endpoint::Messages => collect::message(events)?,
        _ => return None,
    };
    Some(whole.to_string().into())
}

/// Where a stream is written.
struct Player {
    out: BytesMut,
    sequence: u64,
}

impl Player {
    /// An event without a name.
    fn chunk(&mut self, data: &Value) {
        sse::write(&mut self.out, "", data.to_string().as_bytes());
    }

    /// An event with the name that its `type` is.
    fn event(&mut self, data: &Value) {
        let name = data["type"].as_str().unwrap_or_default().to_owned();
        sse::write(&mut self.out, &name, data.to_string().as_bytes());
    }

    /// An event of a response, which are numbered.
    fn numbered(&mut self, mut data: Value) {
        set(&mut data, "sequence_number", self.sequence);
        self.sequence += 1;
        self.event(&data);
    }
}

/// Sets a field of an object; whatever else a provider has put there stays as it is.
fn set(value: &mut Value, key: &str, new: impl Into<Value>) {
    if let Some(object) = value.as_object_mut() {
        object.insert(key.into(), new.into());
    }
}

#[cfg(test)]
mod tests;
