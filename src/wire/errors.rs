//! Errors in both dialects: the gateway's own, written with the types that client libraries know, and the providers', read for what they mean.
//! Decides no status of the core's outcomes.

use bytes::{Bytes, BytesMut};
use serde_json::json;

use super::json::Value;
use super::{Dialect, Endpoint, sse};
use crate::gateway::failure::FailureClass;

/// Why the gateway says no, as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request can't be understood, or nothing can be done with it.
    BadRequest,
    /// No key, or one that is not known.
    Unauthorized,
    /// The key may not do that.
    Forbidden,
    /// No such model or address.
    NotFound,
    /// The body is too large.
    TooLarge,
    /// A limit on requests or tokens.
    RateLimited,
    /// A budget is used up.
    BudgetExceeded,
    /// Broken inside.
    Internal,
    /// What the provider answered makes no sense, or it broke off.
    BadGateway,
    /// No provider can be reached now.
    Unavailable,
    /// It took too long.
    Timeout,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::TooLarge,
        Self::RateLimited,
        Self::BudgetExceeded,
        Self::Internal,
        Self::BadGateway,
        Self::Unavailable,
        Self::Timeout,
    ];

    /// The status that it has unless a configuration says otherwise.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::RateLimited | Self::BudgetExceeded => 429,
            Self::Internal => 500,
            Self::BadGateway => 502,
            Self::Unavailable => 503,
            Self::Timeout => 504,
        }
    }

    /// What a failed call is to the client.
    pub const fn of(class: FailureClass) -> Self {
        match class {
            FailureClass::RateLimited | FailureClass::Saturated | FailureClass::NoDeployment => Self::RateLimited,
            FailureClass::Timeout => Self::Timeout,
            FailureClass::Connect | FailureClass::BadGateway | FailureClass::Cut => Self::BadGateway,
            FailureClass::Internal => Self::Internal,
            FailureClass::Unavailable => Self::Unavailable,
            FailureClass::BadRequest | FailureClass::ContextWindow | FailureClass::ContentPolicy | FailureClass::Conflict => Self::BadRequest,
            FailureClass::Unauthorized => Self::Unauthorized,
            FailureClass::Forbidden => Self::Forbidden,
            FailureClass::NotFound => Self::NotFound,
        }
    }

    /// `type` and `code` in `OpenAI`'s dialect. Its libraries choose the exception by the status; people read these.
    const fn openai(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::BadRequest => ("invalid_request_error", None),
            Self::Unauthorized => ("invalid_request_error", Some("invalid_api_key")),
            Self::Forbidden => ("invalid_request_error", Some("permission_denied")),
            Self::NotFound => ("invalid_request_error", Some("model_not_found")),
            Self::TooLarge => ("invalid_request_error", Some("request_too_large")),
            Self::RateLimited => ("requests", Some("rate_limit_exceeded")),
            Self::BudgetExceeded => ("insufficient_quota", Some("budget_exceeded")),
            Self::Internal => ("server_error", None),
            Self::BadGateway => ("server_error", Some("bad_gateway")),
            Self::Unavailable => ("server_error", Some("service_unavailable")),
            Self::Timeout => ("server_error", Some("timeout")),
        }
    }

    /// `type` in Anthropic's dialect (P, its page on errors).
    const fn anthropic(self) -> &'static str {
        match self {
            Self::BadRequest => "invalid_request_error",
            Self::Unauthorized => "authentication_error",
            Self::Forbidden => "permission_error",
            Self::NotFound => "not_found_error",
            Self::TooLarge => "request_too_large",
            Self::RateLimited => "rate_limit_error",
            Self::BudgetExceeded => "billing_error",
            Self::Internal | Self::BadGateway => "api_error",
            Self::Unavailable => "overloaded_error",
            Self::Timeout => "timeout_error",
        }
    }
}

/// An error of the gateway.
#[derive(Debug, Clone, Copy)]
pub struct ErrorBody<'a> {
    /// What kind of error.
    pub kind: ErrorKind,
    /// In words, for whoever wrote the request.
    pub message: &'a str,
    /// The field that it is about.
    pub param: Option<&'a str>,
    /// In place of the kind's own code; Anthropic's dialect has none.
    pub code: Option<&'a str>,
    /// The identity of the request, where it has one.
    pub request_id: Option<&'a str>,
}

impl<'a> ErrorBody<'a> {
    /// An error with nothing but words.
    pub const fn new(kind: ErrorKind, message: &'a str) -> Self {
        Self { kind, message, param: None, code: None, request_id: None }
    }

    /// The body of a response.
    pub fn body(&self, dialect: Dialect) -> Bytes {
        self.value(dialect).to_string().into()
    }

    /// The event that ends a stream which can't go on. Nothing follows it, so that no client takes the answer for whole.
    pub fn event(&self, endpoint: Endpoint) -> Bytes {
        let mut out = BytesMut::new();
        let mut value = self.value(endpoint.dialect());
        match endpoint {
            Endpoint::Messages | Endpoint::CountTokens => sse::write(&mut out, "error", value.to_string().as_bytes()),
            Endpoint::Responses => {
                // The dialect has the words at the top; client libraries raise an exception for an `error` within.
                let error = value["error"].clone();
                value["type"] = json!("error");
                for field in ["code", "message", "param"] {
                    value[field] = error[field].clone();
                }
                sse::write(&mut out, "error", value.to_string().as_bytes());
            }
            _ => sse::write(&mut out, "", value.to_string().as_bytes()),
        }
        out.freeze()
    }

    fn value(&self, dialect: Dialect) -> serde_json::Value {
        match dialect {
            Dialect::OpenAi => {
                let (kind, code) = self.kind.openai();
                json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": self.code.or(code) } })
            }
            Dialect::Anthropic => {
                let mut value = json!({ "type": "error", "error": { "type": self.kind.anthropic(), "message": self.message } });
                if let Some(id) = self.request_id {
                    value["request_id"] = json!(id);
                }
                value
            }
        }
    }
}

/// The class of an error that stands in an answer with a good status, and what it says.
pub(super) fn of_value(value: Value<'_>) -> (FailureClass, String) {
    let said = Said::read(value);
    let class = said.class();
    (class, said.message.unwrap_or_else(|| "the provider's answer is an error without a message".into()))
}

/// A provider's message is passed on up to so many bytes.
const MESSAGE_MAX: usize = 2048;

/// What a provider says.
struct Said {
    /// `type` and `code`.
    names: Vec<String>,
    message: Option<String>,
}

impl Said {
    fn read(value: Value<'_>) -> Self {
        // Gemini's compatible endpoint wraps its error in a list.
        let value = value.items().next().unwrap_or(value);
        let error = value.some("error").unwrap_or(value);
        let names = ["type", "code", "status"].into_iter().filter_map(|name| error.some(name)?.string()).map(std::borrow::Cow::into_owned);
        // Some copies have nothing but a text there.
        let message = error.some("message").unwrap_or(error).string().map(|message| {
            let mut end = message.len().min(MESSAGE_MAX);
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message[..end].to_owned()
        });
        Self { names: names.collect(), message }
    }

    fn is(&self, names: &[&str]) -> bool {
        self.names.iter().any(|name| names.contains(&name.as_str()))
    }

    fn says(&self, words: &[&str]) -> bool {
        self.message.as_ref().is_some_and(|message| words.iter().any(|word| message.contains(word)))
    }

    /// Whether the input or its content is what the provider does not take.
    fn refusal(&self) -> Option<FailureClass> {
        // Codes (P), and the words of those that have none (S: Anthropic, copies of OpenAI).
        let too_long = ["maximum context length", "prompt is too long", "exceed context limit", "context window"];
        let content = ["content management policy", "content policy", "content filtering policy", "usage policies"];
        if self.is(&["context_length_exceeded"]) || self.says(&too_long) {
            Some(FailureClass::ContextWindow)
        } else if self.is(&["content_filter", "content_policy_violation"]) || self.says(&content) {
            Some(FailureClass::ContentPolicy)
        } else {
            None
        }
    }

    fn class(&self) -> FailureClass {
        if self.is(&["overloaded_error", "service_unavailable"]) {
            FailureClass::Unavailable
        } else if self.is(&["rate_limit_error", "rate_limit_exceeded", "requests", "tokens", "insufficient_quota"]) {
            FailureClass::RateLimited
        } else if self.is(&["timeout_error"]) {
            FailureClass::Timeout
        } else if self.is(&["authentication_error", "invalid_api_key"]) {
            FailureClass::Unauthorized
        } else if self.is(&["permission_error"]) {
            FailureClass::Forbidden
        } else if self.is(&["not_found_error", "model_not_found"]) {
            FailureClass::NotFound
        } else if let Some(refusal) = self.refusal() {
            refusal
        } else if self.is(&["invalid_request_error", "invalid_prompt"]) {
            FailureClass::BadRequest
        } else {
            FailureClass::Internal
        }
    }
}

#[cfg(test)]
mod tests;
