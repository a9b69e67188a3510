//! An answer that came whole: what of it goes to the client, what it cost, and whether it is one at all. Decides nothing about calls.

use bytes::Bytes;

use super::json::{DEPTH_MAX, Document, Kind, Value};
use super::usage::{self, UsageFault};
use super::{Dialect, Endpoint, Inbound, errors, features, translate};
use crate::gateway::failure::FailureClass;
use crate::gateway::plan::ServiceClass;
use crate::gateway::rate_card::Usage;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What the client gets.
    pub body: Bytes,
    /// What the provider says it bills; `None` if it does not say, or can't be believed.
    pub usage: Option<Usage>,
    /// Why it is not believed.
    pub usage_fault: Option<UsageFault>,
    /// The class of service that it was made in, if the provider says so.
    pub service: Option<ServiceClass>,
}

/// Why what came is no answer, although its status was good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The class that it would have had as a status.
    pub class: FailureClass,
    /// In words; the provider's, if it was the provider that said so.
    pub message: String,
}

impl Answer {
    /// Reads the answer to `inbound` of an upstream that speaks `dialect`.
    ///
    /// # Errors
    /// If it is not JSON, or is an error.
    pub fn read(inbound: &Inbound, dialect: Dialect, body: Bytes) -> Result<Self, Broken> {
        let garbled =
            |what: &str| Broken { class: FailureClass::BadGateway, message: format!("the provider's answer is not what it should be: {what}") };
        // Millions of numbers, which go on as they are.
        let depth = if inbound.endpoint == Endpoint::Embeddings { 2 } else { DEPTH_MAX };
        let document = Document::parse_to(depth, &body).map_err(|fault| garbled(fault.what))?;
        let root = document.root(&body);
        if root.kind() != Kind::Object {
            return Err(garbled(&format!("it is {}", root.kind().name())));
        }
        if root.some("error").is_some() || root.get("type").is_some_and(|kind| kind.is("error")) {
            let (class, message) = errors::of_value(root);
            return Err(Broken { class, message });
        }
        let usage = read_usage(inbound.endpoint, dialect, root);
        let same = dialect == inbound.endpoint.dialect();
        let for_client = if same { body.clone() } else { translate::answer(inbound, &body)? };
        let usage_fault = usage.err();
        let service = match dialect {
            Dialect::OpenAi => root.some("service_tier").and_then(Value::string).map(|tier| features::service_of(tier.as_bytes())),
            Dialect::Anthropic => root.some("usage").and_then(dearer_service),
        };
        Ok(Self { body: for_client, usage: usage.unwrap_or(None), usage_fault, service })
    }
}

/// The class of service that a usage in Anthropic's dialect tells of, where its price is another: a faster model, or one in a certain place.
pub(super) fn dearer_service(usage: Value<'_>) -> Option<ServiceClass> {
    let other_than = |field, usual: &[&str]| usage.some(field).is_some_and(|value| !usual.iter().any(|usual| value.is(usual)));
    (other_than("speed", &["standard"]) || other_than("inference_geo", &["global", "not_available"])).then_some(ServiceClass::Premium)
}

fn read_usage(endpoint: Endpoint, dialect: Dialect, root: Value<'_>) -> Result<Option<Usage>, UsageFault> {
    // Counting is free (P, Anthropic's page on it).
    if endpoint == Endpoint::CountTokens {
        return Ok(Some(Usage::default()));
    }
    root.some("usage").map(|value| usage::read(dialect, value)).transpose()
}

#[cfg(test)]
mod tests;
