//! The gateway's own headers on an answer: which request it was, who answered, what it cost, and what is left of the caller's limits.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::gateway::allowance::Allowances;
use crate::gateway::id::RequestId;
use crate::gateway::journal::Outcome;
use crate::gateway::limits::Allowance;
use crate::gateway::money::Money;

/// What is said of a request.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Its identity in the journal.
    pub request: RequestId,
    /// The model that answers it; the one asked for where none does.
    pub model: &'a str,
    /// The deployment that was called last.
    pub deployment: Option<&'a str>,
    /// How many calls were made.
    pub attempts: u32,
    /// What they cost; not known while a stream goes on.
    pub cost: Option<Money>,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
    /// Whether its answer has a place in the response cache.
    pub has_cache: bool,
    /// What is left of the limits.
    pub allowances: Allowances,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-gwsim-request-id");
const MODEL: HeaderName = HeaderName::from_static("x-gwsim-model");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-gwsim-deployment");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-gwsim-attempts");
const COST: HeaderName = HeaderName::from_static("x-gwsim-cost");
const CACHE: HeaderName = HeaderName::from_static("x-gwsim-cache");
/// The limit, what remains, and when it is whole again.
const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];
/// All of these, and those that an answer has beside them.
const HEADERS_MAX: usize = 16;

/// Writes them.
pub fn write(headers: &mut HeaderMap, facts: &Facts<'_>) {
    headers.reserve(HEADERS_MAX);
    let mut put = |name: HeaderName, value: Result<HeaderValue, _>| {
        // Names may have characters that a header can't have.
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    };
    put(REQUEST_ID, Ok::<_, axum::http::header::InvalidHeaderValue>(HeaderValue::from(facts.request.0)));
    put(MODEL, HeaderValue::from_str(facts.model));
    if let Some(deployment) = facts.deployment {
        put(DEPLOYMENT, HeaderValue::from_str(deployment));
    }
    put(ATTEMPTS, Ok(HeaderValue::from(facts.attempts)));
    if let Some(cost) = facts.cost {
        put(COST, HeaderValue::from_str(&cost.decimal().to_string()));
    }
    let cache = match facts.outcome {
        Some(Outcome::Cached) => "hit",
        Some(Outcome::Shared) => "shared",
        _ if facts.has_cache => "miss",
        _ => "off",
    };
    put(CACHE, Ok(HeaderValue::from_static(cache)));
    for (allowance, [limit, remaining, reset]) in [(facts.allowances.requests, REQUESTS), (facts.allowances.tokens, TOKENS)] {
        if let Some(Allowance { amount, remaining: left, full_in, .. }) = allowance {
            put(limit, Ok(HeaderValue::from(amount)));
            put(remaining, Ok(HeaderValue::from(left)));
            put(reset, HeaderValue::from_str(&full_in.to_string()));
        }
    }
}
