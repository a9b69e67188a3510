//! Errors as the two dialects have them, and the headers that tell of limits. Knows what went wrong, not why.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::ask::Malformed;
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::time::{Span, Time};
use crate::sim::upstream::Allowance;
use crate::sim::world::Counted;

/// An error before it is put in a dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// OpenAI's `type`.
    openai_type: &'static str,
    /// OpenAI's `code`.
    code: Option<&'static str>,
    /// Anthropic's `type`.
    anthropic_type: &'static str,
    message: String,
    param: Option<&'static str>,
}

impl Refusal {
    /// What a call that failed is answered; `most` is the deployment's context window, `input` what came.
    pub fn of_failure(failure: &Failure, model: &str, input: u32, most: u32) -> Self {
        let (openai_type, code) = match failure.class {
            FailureClass::ContextWindow => ("invalid_request_error", Some("context_length_exceeded")),
            FailureClass::ContentPolicy => ("invalid_request_error", Some("content_policy_violation")),
            FailureClass::RateLimited => ("requests", Some("rate_limit_exceeded")),
            FailureClass::Unauthorized => ("invalid_request_error", Some("invalid_api_key")),
            FailureClass::Forbidden => ("invalid_request_error", Some("unsupported_country_region_territory")),
            FailureClass::NotFound => ("invalid_request_error", Some("model_not_found")),
            FailureClass::Unavailable => ("server_error", Some("overloaded")),
            _ if failure.status >= 500 => ("server_error", None),
            _ => ("invalid_request_error", None),
        };
        let message = match failure.class {
            FailureClass::ContextWindow => {
                format!("This model's maximum context length is {most} tokens. However, your messages resulted in {input} tokens: prompt is too long")
            }
            FailureClass::ContentPolicy => "Your request was rejected by the content policy".into(),
            FailureClass::RateLimited => format!("Rate limit reached for {model}"),
            FailureClass::Unavailable => "The server is overloaded, try again later".into(),
            class => format!("The call failed: {class}"),
        };
        Self { status: failure.status, openai_type, code, anthropic_type: anthropic_type(failure.status), message, param: None }
    }

    /// A call that can't be read.
    pub fn malformed(fault: Malformed) -> Self {
        Self { param: fault.param, ..Self::plain(400, fault.message) }
    }

    /// Anything else that is the caller's fault.
    pub fn plain(status: u16, message: impl Into<String>) -> Self {
        let code = (status == 404).then_some("not_found");
        Self { status, openai_type: "invalid_request_error", code, anthropic_type: anthropic_type(status), message: message.into(), param: None }
    }

    /// As a body.
    pub fn body(&self, is_anthropic: bool, id: &str) -> Value {
        let Self { openai_type, code, anthropic_type, message, param, .. } = self;
        if is_anthropic {
            return json!({"type": "error", "error": {"type": anthropic_type, "message": message}, "request_id": id});
        }
        json!({"error": {"message": message, "type": openai_type, "param": param, "code": code}})
    }
}

const fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// Puts a Retry-After, in whole seconds, rounded up (RFC 9110).
pub fn put_retry_after(wait: Span, headers: &mut HeaderMap) {
    headers.insert(hyper::header::RETRY_AFTER, HeaderValue::from(wait.0.div_ceil(Span::SECOND.0)));
}

/// Puts what is left of each limit, as the dialect names it. Where a provider has several limits on one thing, the scarcest.
pub fn put_allowances(allowances: &[Allowance], now: Time, is_anthropic: bool, headers: &mut HeaderMap) {
    let mut told: Vec<Allowance> = Vec::new();
    for allowance in allowances {
        match told.iter_mut().find(|other| other.counts == allowance.counts) {
            Some(other) if other.left > allowance.left => *other = *allowance,
            Some(_) => {}
            None => told.push(*allowance),
        }
    }
    for Allowance { counts, amount, left, full_after } in told {
        let what = match counts {
            Counted::Requests => "requests",
            Counted::InputTokens => "input-tokens",
            Counted::OutputTokens => "output-tokens",
            Counted::TotalTokens => "tokens",
        };
        let mut put = |name: String, value: String| {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        };
        let name = |field: &str| {
            if is_anthropic { format!("anthropic-ratelimit-{what}-{field}") } else { format!("x-ratelimit-{field}-{what}") }
        };
        put(name("limit"), amount.to_string());
        put(name("remaining"), left.to_string());
        // OpenAI says how long, Anthropic until when (P).
        let millis = full_after.0.div_ceil(1_000_000);
        put(name("reset"), if is_anthropic { instant(now + full_after) } else { format!("{}.{:03}s", millis / 1000, millis % 1000) });
    }
}

/// RFC 3339, to the second.
fn instant(at: Time) -> String {
    let seconds = i64::try_from(at.0 / Span::SECOND.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_limit_on_each_thing_is_told_in_the_words_of_the_dialect() {
        let minute = Allowance { counts: Counted::Requests, amount: 500, left: 499, full_after: Span::from_millis(120) };
        let day = Allowance { amount: 10_000, left: 7, full_after: Span::from_secs(86_400), ..minute };
        let tokens = Allowance { counts: Counted::TotalTokens, amount: 200_000, left: 0, ..minute };
        let mut headers = HeaderMap::new();
        put_allowances(&[minute, day, tokens], Time(0), false, &mut headers);
        assert_eq!(
            (&headers["x-ratelimit-remaining-requests"], &headers["x-ratelimit-limit-requests"]),
            (&"7".parse().unwrap(), &"10000".parse().unwrap())
        );
        assert_eq!(headers["x-ratelimit-reset-tokens"], "0.120s");
        put_allowances(&[minute], Time(0), true, &mut headers);
        assert_eq!(headers["anthropic-ratelimit-requests-reset"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn an_error_is_what_each_dialect_makes_of_it() {
        let failure = Failure::of_status(429, None);
        let refusal = Refusal::of_failure(&failure, "gpt-4o-mini", 1, 2);
        assert_eq!(refusal.body(false, "")["error"]["code"], "rate_limit_exceeded");
        assert_eq!(refusal.body(true, "req_1")["error"]["type"], "rate_limit_error");
        let overloaded = Refusal::of_failure(&Failure::of_status(529, None), "m", 1, 2);
        assert_eq!(overloaded.body(true, "")["error"]["type"], "overloaded_error");
    }
}
