//! What a provider's refusal means: its class, when to come back, and its words. Knows the error bodies of both dialects.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::http::header::RETRY_AFTER;
use hyper_util::client::legacy;
use serde::Deserialize;

use super::trust;
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::time::Span;

/// What a provider said when it refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// In words.
    pub message: String,
    /// The kind of error, by the provider's name.
    pub kind: Option<String>,
    /// The code that programs look at.
    pub code: Option<String>,
    /// The field of the request that it is about.
    pub param: Option<String>,
}

/// The longest message of a provider that is passed on, in characters.
const MESSAGE_MAX: usize = 4000;

/// The failure that an answer other than 2xx means, and what was said.
pub fn refused(status: u16, headers: &HeaderMap, body: &[u8]) -> (Failure, Said) {
    let said = said(body);
    let class = class(status, &said);
    (Failure { class, status, retry_after: retry_after(headers) }, said)
}

/// The failure that no answer at all means.
pub fn unreachable(error: &legacy::Error) -> (Failure, Said) {
    let message = match trust::distrust(error) {
        Some(why) => format!("the provider could not be reached safely: {why}"),
        None if error.is_connect() => "the provider could not be reached".into(),
        None => "the connection to the provider broke off before an answer".into(),
    };
    (Failure::new(FailureClass::Connect), Said { message, ..Said::default() })
}

/// The class of a status, or what the body says more precisely.
fn class(status: u16, said: &Said) -> FailureClass {
    let class = match status {
        // A redirect is not followed, and no answer.
        ..=399 => FailureClass::BadGateway,
        _ => FailureClass::of_status(status),
    };
    if class != FailureClass::BadRequest && status != 413 {
        return class;
    }
    let code = said.code.as_deref().unwrap_or_default();
    let message = said.message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if code == "context_length_exceeded"
        || says(&["maximum context length", "prompt is too long", "context window", "input token count", "exceed context limit"])
    {
        FailureClass::ContextWindow
    } else if ["content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation", "invalid_prompt"].contains(&code)
        || says(&["content management policy", "content filtering policy", "content policy", "safety system"])
    {
        FailureClass::ContentPolicy
    } else {
        class
    }
}

/// When the provider wants to be asked again: `retry-after-ms`, or `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Span> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(decimal) {
        return Some(Span(millis)).filter(is_believed);
    }
    let stated = text(RETRY_AFTER.as_str())?;
    if let Some(millionths) = decimal(stated) {
        return Some(Span(millionths.saturating_mul(1000))).filter(is_believed);
    }
    let at = jiff::fmt::rfc2822::parse(stated).ok()?.timestamp().as_second();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Some(Span(u64::try_from(at).ok()?.saturating_sub(now).saturating_mul(Span::SECOND.0))).filter(is_believed)
}

/// Limits are there again within a day, those of a day included. Whoever says more means something else, such as the time of day or milliseconds:
/// a deployment would be left alone for years.
fn is_believed(after: &Span) -> bool {
    *after <= Span::from_secs(86_400)
}

/// A decimal number in millionths, none if it is negative, no number, or absurd.
fn decimal(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !is_number {
        return None;
    }
    let whole = whole.parse::<u64>().ok().filter(|whole| *whole <= u64::MAX / 2_000_000)?;
    let fraction = format!("{fraction:0<6}")[..6].parse::<u64>().ok()?;
    Some(whole * 1_000_000 + fraction)
}

fn said(body: &[u8]) -> Said {
    let read = match serde_json::from_slice(body) {
        Ok(Bodies::One(read)) => Some(read),
        // Gemini's compatible endpoint wraps its error in a list.
        Ok(Bodies::List([read])) => Some(read),
        Err(_) => None,
    };
    let Some(read) = read else {
        let text = String::from_utf8_lossy(&body[..body.len().min(4 * MESSAGE_MAX)]);
        return Said { message: shortened(text.trim()), ..Said::default() };
    };
    match read.error {
        Some(Told::Object { message, kind, code, param }) => Said {
            message: shortened(message.as_deref().unwrap_or_default()),
            kind,
            code: code.and_then(|code| match code {
                Code::Text(code) => Some(code),
                Code::Number(code) => Some(code.to_string()),
                Code::Other(_) => None,
            }),
            param,
        },
        Some(Told::Text(message)) => Said { message: shortened(&message), ..Said::default() },
        None => Said { message: shortened(read.message.as_deref().unwrap_or_default()), ..Said::default() },
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_MAX).collect()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Bodies {
    One(ErrorBody),
    List([ErrorBody; 1]),
}

#[derive(Deserialize)]
struct ErrorBody {
    error: Option<Told>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Object {
        message: Option<String>,
        #[serde(rename = "type")]
        kind: Option<String>,
        code: Option<Code>,
        param: Option<String>,
    },
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Text(String),
    Number(i64),
    Other(serde::de::IgnoredAny),
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn class_of(status: u16, body: &str) -> FailureClass {
        refused(status, &HeaderMap::new(), body.as_bytes()).0.class
    }

    #[test]
    fn a_bad_request_is_told_from_one_that_is_too_long_or_not_allowed() {
        let openai = r#"{"error":{"message":"This model's maximum context length is 128000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
        let anthropic = r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#;
        let azure = r#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400}}"#;
        let plain = r#"{"error":{"message":"Unknown parameter: 'foo'.","type":"invalid_request_error","param":"foo","code":null}}"#;
        assert_eq!(class_of(400, openai), FailureClass::ContextWindow);
        assert_eq!(class_of(400, anthropic), FailureClass::ContextWindow);
        assert_eq!(class_of(400, azure), FailureClass::ContentPolicy);
        assert_eq!(class_of(400, plain), FailureClass::BadRequest);
        assert_eq!(class_of(429, plain), FailureClass::RateLimited);
        assert_eq!(class_of(302, "<a href=x>moved</a>"), FailureClass::BadGateway, "redirects are not followed");
    }

    #[test]
    fn what_was_said_survives_whatever_it_is_written_in() {
        let said = |body: &str| refused(400, &HeaderMap::new(), body.as_bytes()).1;
        let object = said(r#"{"error":{"message":"m","type":"t","param":"p","code":7}}"#);
        assert_eq!(
            (object.message.as_str(), object.kind.as_deref(), object.code.as_deref(), object.param.as_deref()),
            ("m", Some("t"), Some("7"), Some("p"))
        );
        assert_eq!(said(r#"{"error":"model overloaded"}"#).message, "model overloaded");
        assert_eq!(said(r#"{"message":"no"}"#).message, "no");
        assert_eq!(said(r#"[{"error":{"code":400,"message":"in a list","status":"INVALID_ARGUMENT"}}]"#).message, "in a list");
        assert_eq!(said("<html>502</html>").message, "<html>502</html>");
        assert_eq!(said(&"x".repeat(100_000)).message.len(), MESSAGE_MAX);
    }

    #[test]
    fn retry_after_is_read_in_seconds_milliseconds_and_as_a_date() {
        let read = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("retry-after", "20"), Some(Span::from_secs(20)));
        assert_eq!(read("retry-after", "0.25"), Some(Span::from_millis(250)));
        assert_eq!(read("retry-after-ms", "1500"), Some(Span::from_millis(1500)));
        assert_eq!(read("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(Span::ZERO), "long past");
        assert_eq!(read("retry-after", "86400"), Some(Span::from_secs(86_400)));
        for wrong in ["-3", "soon", "", "99999999999999999999", "86401", "1767225600", "Thu, 31 Dec 9998 23:59:59 GMT"] {
            assert_eq!(read("retry-after", wrong), None, "{wrong}");
        }
        assert_eq!(read("retry-after-ms", "1767225600000"), None);
    }
}
