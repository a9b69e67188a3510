//! Every request and every call of a run as rows: what `requests.parquet` and `calls.parquet` hold. Decides the columns; [`recorder`] fills them from
//! what a run observes, [`mod@file`] writes and reads them.
//!
//! They tell a run of the first seed. Columns that end in `_picousd` are exact: 10^-12 dollars as integers.

pub mod file;
pub mod journal;
pub mod recorder;

mod owners;

use super::fold::Directory;
use crate::gateway::money::Money;

/// A request as it is shown: its row in the traffic, from 1, and which retry of its client it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestName {
    /// The row of the traffic, from 1.
    pub row: u64,
    /// 0 is the first try.
    pub retry: u64,
}

impl RequestName {
    /// The name that was written as `17` or `17.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let (row, retry) = text.split_once('.').unwrap_or((text, "0"));
        let name = Self { row: row.parse().ok()?, retry: retry.parse().ok()? };
        (name.row > 0).then_some(name)
    }
}

impl std::fmt::Display for RequestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.retry == 0 { write!(f, "{}", self.row) } else { write!(f, "{}.{}", self.row, self.retry) }
    }
}

file::rows! {
    /// One request of one variant.
    RequestRow {
        /// The variant.
        variant: String,
        /// The row of the traffic, from 1.
        request: u64,
        /// Which retry of its client; 0 is the first try.
        retry: u64,
        /// Since the Unix epoch.
        arrived_ns: u64,
        /// The virtual key.
        key: String,
        /// The key's team; empty without one.
        team: String,
        /// The model asked for.
        model: String,
        /// Of the request, as counted by that model.
        input_tokens: u64,
        /// What it states.
        max_tokens: Option<u64>,
        /// Whether it asks for a stream.
        stream: bool,
        /// served, cached, shared, refused, failed or abandoned.
        outcome: String,
        /// Why it was refused or how it failed, in words; empty otherwise.
        why: String,
        /// What happened before or between its calls, one thing a line.
        notes: String,
        /// The model that answered; empty if none did.
        answered_by: String,
        /// Calls made.
        calls: u64,
        /// From arrival to the client's end.
        latency_ns: u64,
        /// From arrival to the first token of a stream.
        first_token_ns: Option<u64>,
        /// What the world billed for all its calls.
        cost_picousd: Money,
        /// What a cached answer had cost when it was made.
        cache_saved_picousd: Money,
    }

    /// One call of one request. Its parts by cause sum to its cost, and so do its parts by class of token.
    CallRow {
        /// The variant.
        variant: String,
        /// The row of the traffic, from 1.
        request: u64,
        /// Which retry of its client; 0 is the first try.
        retry: u64,
        /// Its number within the request, from 1.
        call: u64,
        /// first, retry same deployment, retry other deployment or fallback.
        position: String,
        /// Why there was this call: how the one before ended, or what was passed over; empty for a plain first call.
        why: String,
        /// The virtual key.
        key: String,
        /// The key's team; empty without one.
        team: String,
        /// Tags of team and key and its own, each once, separated by semicolons; a semicolon in one is a comma here.
        tags: String,
        /// The model asked for.
        model_asked: String,
        /// The model group called.
        model: String,
        /// The deployment called.
        deployment: String,
        /// Its provider.
        provider: String,
        /// The provider's name of the model.
        provider_model: String,
        /// Since the Unix epoch.
        start_ns: u64,
        /// Since the Unix epoch.
        end_ns: u64,
        /// From what came before (the arrival, or the end of the call before) to the start.
        waited_ns: u64,
        /// delivered, failed, timed out, cancelled or discarded.
        ended: String,
        /// The class of its failure; empty if it did not fail.
        failure: String,
        /// The limit on output that went with it.
        max_tokens: u64,
        /// As billed, cached ones included.
        input_tokens: u64,
        /// Of these, read from the provider's prompt cache.
        cache_read_tokens: u64,
        /// Of these, written to it for the short time.
        cache_write_tokens: u64,
        /// Of these, written to it for an hour.
        cache_write_1h_tokens: u64,
        /// As billed, reasoning included.
        output_tokens: u64,
        /// Of these, reasoning.
        reasoning_tokens: u64,
        /// Output that reached the client.
        delivered_tokens: u64,
        /// What the world billed.
        cost_picousd: Money,
        /// What was delivered, at the model asked for.
        base_picousd: Money,
        /// What answering elsewhere cost more (or less).
        premium_of_place_picousd: Money,
        /// What the prompt cache cost or saved.
        prompt_cache_picousd: Money,
        /// Billed beyond what reached the client.
        undelivered_picousd: Money,
        /// The whole, if it did not deliver the answer.
        wasted_picousd: Money,
        /// Of the cost, plain input.
        input_cost_picousd: Money,
        /// Of the cost, input read from the prompt cache.
        cache_read_cost_picousd: Money,
        /// Of the cost, input written to it for the short time.
        cache_write_cost_picousd: Money,
        /// Of the cost, input written to it for an hour.
        cache_write_1h_cost_picousd: Money,
        /// Of the cost, output without reasoning.
        output_cost_picousd: Money,
        /// Of the cost, reasoning.
        reasoning_cost_picousd: Money,
        /// Of the cost, the price of a request as such.
        request_cost_picousd: Money,
        /// What the gateway's ledger has for it.
        ledger_picousd: Money,
        /// Whether the ledger's amount was seen, not presumed.
        confirmed: bool,
        /// Whether it went on for others after its client had left.
        shared: bool,
    }
}

impl RequestRow {
    /// What it is called.
    pub fn name(&self) -> RequestName {
        RequestName { row: self.request, retry: self.retry }
    }
}

/// The name of the team of a key; empty without one.
fn team_of(directory: &Directory, key: &str) -> String {
    directory.team_of(key).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
