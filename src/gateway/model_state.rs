//! What is remembered of each model group between requests: its retry budget, the share of fallbacks, and the lengths of its outputs.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::id::ModelId;
use super::journal::{Alert, Fact, Journal};
use super::plan::RetryBudget;
use super::scope::Scope;
use super::time::{Span, Time};

/// Fewer answers than this in a minute say nothing about a share.
const ANSWERS_MIN: u32 = 20;
/// Fewer observed outputs than this say nothing about a quantile.
const OUTPUTS_MIN: u64 = 100;

/// The state of a model group.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ModelState {
    /// Its budgets and limits.
    pub scope: Scope,
    /// Output lengths seen.
    pub outputs: Outputs,
    /// Retries taken and not yet earned back, in thousandths.
    retries_spent: u32,
    minute: Time,
    answers: u32,
    fallbacks: u32,
    alerted: bool,
}

impl ModelState {
    /// A request has come: it earns its part of a retry.
    #[inline]
    pub fn earn(&mut self, policy: RetryBudget) {
        self.retries_spent = self.retries_spent.saturating_sub(policy.ratio_per_mille);
    }

    /// Whether the retry budget has a retry left.
    #[inline]
    pub fn may_retry(&self, policy: RetryBudget) -> bool {
        u64::from(self.retries_spent) + 1000 <= u64::from(policy.burst) * 1000
    }

    /// A retry or fallback leaves.
    pub fn retry(&mut self) {
        self.retries_spent = self.retries_spent.saturating_add(1000);
    }

    /// A request for this model was answered; `by_fallback` if another group did it.
    #[inline]
    pub fn answered<J: Journal>(&mut self, model: ModelId, by_fallback: bool, level_per_mille: u32, now: Time, journal: &mut J) {
        if now.since(self.minute) >= Span::MINUTE {
            (self.minute, self.answers, self.fallbacks) = (now, 0, 0);
            self.alerted = false;
        }
        self.answers += 1;
        self.fallbacks += u32::from(by_fallback);
        if !by_fallback || self.alerted || self.answers < ANSWERS_MIN {
            return;
        }
        let per_mille = u64::from(self.fallbacks) * 1000 / u64::from(self.answers);
        if per_mille > u64::from(level_per_mille) {
            self.alerted = true;
            journal.record(now, None, || Fact::Alerted(Alert::FallbackShare { model, per_mille: per_mille as u32 }));
        }
    }
}

/// A sketch of output lengths: exact up to 15 tokens, then eight buckets an octave (at most 12.5 % too high).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outputs {
    counts: Vec<u64>,
    total: u64,
}

impl Outputs {
    /// Adds a length.
    #[inline]
    pub fn add(&mut self, tokens: u32) {
        let bucket = Self::bucket(tokens);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// A length that `per_mille` of those seen do not pass; `None` while fewer than 100 were seen.
    pub fn quantile(&self, per_mille: u32) -> Option<u32> {
        if self.total < OUTPUTS_MIN {
            return None;
        }
        let rank = (self.total * u64::from(per_mille)).div_ceil(1000);
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        Some(Self::upper_bound(bucket))
    }

    const fn bucket(tokens: u32) -> usize {
        if tokens < 16 {
            return tokens as usize;
        }
        let octave = 31 - tokens.leading_zeros();
        (16 + (octave - 4) * 8 + (tokens >> (octave - 3)) - 8) as usize
    }

    const fn upper_bound(bucket: usize) -> u32 {
        if bucket < 16 {
            return bucket as u32;
        }
        let (octave, eighth) = ((bucket - 16) / 8 + 4, (bucket - 16) % 8);
        let end = ((8 + eighth + 1) as u64) << (octave - 3);
        if end > u32::MAX as u64 { u32::MAX } else { end as u32 - 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_never_below_the_lengths_that_it_covers() {
        for tokens in (0..5000).chain([u32::MAX - 1, u32::MAX]) {
            let bucket = Outputs::bucket(tokens);
            let bound = Outputs::upper_bound(bucket);
            assert!(bound >= tokens, "{tokens} is in a bucket that ends at {bound}");
            assert!(u64::from(bound) <= u64::from(tokens) + u64::from(tokens) / 8 + 1, "{tokens}: {bound} is too far above");
        }
    }
}
