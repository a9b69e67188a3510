//! An answer as it comes in: what its headers say, how much of a stream is there, whether it ended whole. Reads OpenAI's dialect, in which all is
//! sent.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::gateway::money::Money;
use crate::gateway::time::Span;
use crate::twin::words;

/// What a gateway's headers say of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The gateway's name for the request.
    pub request: Option<u64>,
    /// It came from the response cache, or from another's call.
    pub is_cached: bool,
    /// The model that answered.
    pub model: Option<String>,
    /// The deployment that answered.
    pub deployment: Option<String>,
    /// What it has cost.
    pub cost: Option<Money>,
    /// How long to wait before the next try.
    pub retry_after: Option<Span>,
    /// Not to be tried again, whatever the status: client libraries go by it (P: `_should_retry` of openai-python and anthropic-sdk-python).
    pub is_for_good: bool,
}

/// A stream as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What came of an event that is not whole yet.
    rest: Vec<u8>,
    /// Content so far, in tokens.
    pub tokens: u32,
    /// It said that it is done.
    pub is_whole: bool,
    /// It carried an error.
    pub has_failed: bool,
    /// Input and output tokens, if it said so.
    pub usage: Option<(u64, u64)>,
}

impl Said {
    /// Reads them.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            request: text("x-gwsim-request-id").and_then(|text| text.parse().ok()),
            is_cached: matches!(text("x-gwsim-cache"), Some("hit" | "shared")),
            model: text("x-gwsim-model").map(str::to_owned),
            deployment: text("x-gwsim-deployment").map(str::to_owned),
            cost: text("x-gwsim-cost").and_then(money),
            retry_after: text(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok()).map(Span::from_secs),
            is_for_good: text("x-should-retry") == Some("false"),
        }
    }
}

impl Reading {
    /// Takes what has come.
    pub fn push(&mut self, data: &[u8]) {
        self.rest.extend_from_slice(data);
        let mut from = 0;
        while let Some(end) = self.rest[from..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[from..from + end]).into_owned();
            self.line(line.trim_end());
            from += end + 1;
        }
        self.rest.drain(..from);
    }

    fn line(&mut self, line: &str) {
        let Some(data) = line.strip_prefix("data:").map(str::trim_start) else { return };
        if data == "[DONE]" {
            self.is_whole = true;
            return;
        }
        let Ok(event) = serde_json::from_str::<Value>(data) else { return };
        self.has_failed |= !event["error"].is_null();
        if let Some(used) = usage(&event) {
            self.usage = Some(used);
        }
        for choice in event["choices"].as_array().into_iter().flatten() {
            let delta = &choice["delta"];
            let arguments = delta["tool_calls"][0]["function"]["arguments"].as_str();
            self.tokens += words::tokens(delta["content"].as_str().or(arguments).unwrap_or_default());
        }
    }
}

/// The input and output tokens that an answer says it has used.
pub(super) fn usage(answer: &Value) -> Option<(u64, u64)> {
    let usage = &answer["usage"];
    Some((usage["prompt_tokens"].as_u64()?, usage["completion_tokens"].as_u64()?))
}

/// The next part of a body; `Ok(None)` at its end.
pub(super) async fn next(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame?.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// An amount in dollars with decimals; none that is finer than a picodollar.
fn money(text: &str) -> Option<Money> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 12 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i128 = whole.parse().ok().filter(|whole| *whole >= 0)?;
    let parts: i128 = format!("{decimals:0<12}").parse().ok()?;
    Some(Money(whole.checked_mul(Money::PER_USD)? + parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_alike_however_it_is_cut() {
        let text = "data: {\"choices\":[{\"delta\":{\"content\":\"cat \"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"dog \"}}]}\r\n\r\n: ping\n\n\
                    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
        for size in [1, 7, 1_000] {
            let mut reading = Reading::default();
            text.as_bytes().chunks(size).for_each(|part| reading.push(part));
            assert_eq!((reading.tokens, reading.usage, reading.is_whole, reading.has_failed), (2, Some((7, 2)), true, false));
        }
        let mut cut = Reading::default();
        cut.push(b"data: {\"error\":{\"message\":\"cut\"}}\n\n");
        assert!(cut.has_failed && !cut.is_whole);
    }

    #[test]
    fn dollars_are_read_exactly() {
        assert_eq!(money("0.000060900000"), Some(Money(60_900_000)));
        assert_eq!(money("12"), Some(Money::usd(12)));
        assert_eq!((money("-1.0"), money("1.0000000000001"), money("a")), (None, None, None));
    }
}
