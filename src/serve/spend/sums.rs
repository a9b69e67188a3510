//! What is added up for everybody alike. Knows nobody.

use serde::{Deserialize, Serialize};

use crate::gateway::money::Money;
use crate::gateway::rate_card::Usage;

/// What somebody's requests came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sums {
    /// What they cost in the ledger.
    pub spend: Money,
    /// Requests that are over.
    pub requests: u64,
    /// Those of them without an answer.
    pub failed: u64,
    /// Those of them whose answer was another's: from the cache, or of an identical request.
    pub cached: u64,
    /// Upstream calls whose money is settled.
    pub calls: u64,
    /// Their input tokens.
    pub input_tokens: u64,
    /// Those of them that were read from the provider's prompt cache.
    pub prompt_cache_tokens: u64,
    /// Their output tokens.
    pub output_tokens: u64,
}

impl Sums {
    pub(super) fn add_call(&mut self, usage: Usage) {
        self.calls += 1;
        self.input_tokens += u64::from(usage.input);
        self.prompt_cache_tokens += u64::from(usage.cache_read);
        self.output_tokens += u64::from(usage.output);
    }

    pub(super) fn add_request(&mut self, failed: bool, cached: bool) {
        self.requests += 1;
        self.failed += u64::from(failed);
        self.cached += u64::from(cached);
    }
}
