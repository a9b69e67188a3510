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

/// Writes them.
pub fn write(headers: &mut HeaderMap, facts: &Facts<'_>) {
    let mut put = |name: &'static str, value: Result<HeaderValue, _>| {
        // Names may have characters that a header can't have.
        if let Ok(value) = value {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("x-gwsim-request-id", Ok::<_, axum::http::header::InvalidHeaderValue>(HeaderValue::from(facts.request.0)));
    put("x-gwsim-model", HeaderValue::from_str(facts.model));
    if let Some(deployment) = facts.deployment {
        put("x-gwsim-deployment", HeaderValue::from_str(deployment));
    }
    put("x-gwsim-attempts", Ok(HeaderValue::from(facts.attempts)));
    if let Some(cost) = facts.cost {
        put("x-gwsim-cost", HeaderValue::from_str(&cost.decimal().to_string()));
    }
    let cache = match facts.outcome {
        Some(Outcome::Cached) => "hit",
        Some(Outcome::Shared) => "shared",
        _ if facts.has_cache => "miss",
        _ => "off",
    };
    put("x-gwsim-cache", Ok(HeaderValue::from_static(cache)));
    let kinds = [
        (facts.allowances.requests, ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]),
        (facts.allowances.tokens, ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]),
    ];
    for (allowance, [limit, remaining, reset]) in kinds {
        if let Some(Allowance { amount, remaining: left, full_in, .. }) = allowance {
            put(limit, Ok(HeaderValue::from(amount)));
            put(remaining, Ok(HeaderValue::from(left)));
            put(reset, HeaderValue::from_str(&full_in.to_string()));
        }
    }
}
