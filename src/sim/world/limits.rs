//! What a provider's rate limiter is like, as data. Decides nothing while a run goes on (`sim::limiter` does).

use crate::gateway::plan::{Anchor, Refill};
use crate::gateway::time::Span;
use crate::traffic::local_clock::LocalClock;

/// The time that daily limits are about.
pub const DAY: Span = Span::from_secs(86_400);

/// A provider's rate limiter. A call that doesn't fit all limits is answered 429 and bills nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Limiter {
    /// All must have room.
    pub limits: Vec<ProviderLimit>,
    /// How many tokens a call counts when it is admitted.
    pub basis: Basis,
    /// Whether what was counted for a call's output is put right when the call ends (Anthropic, P). A call that is closed early is put right when
    /// it would have ended.
    pub corrected_at_end: bool,
    /// Whether a rejected call uses up request limits. OpenAI: yes (P, help article 5955604, of a minute; U of a day).
    pub rejects_count: bool,
    /// The header on a 429.
    pub retry_after: RetryAfter,
    /// Requests are counted over a shorter time at the same rate: 60 a minute within a second is 1 a second (OpenAI, P).
    pub requests_within: Option<Span>,
    /// Limits on a day are windows from midnight to midnight by this clock, whatever they say (Gemini's RPD: Pacific time, P).
    pub day_starts: Option<LocalClock>,
}

/// One limit of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderLimit {
    /// What is counted.
    pub counts: Counted,
    /// How many in `period`.
    pub amount: u64,
    /// Usually a minute.
    pub period: Span,
    /// Token bucket (full at first) or windows.
    pub refill: Refill,
}

/// What a provider's limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Calls.
    Requests,
    /// Input tokens that are not read from the prompt cache (Anthropic's ITPM, P).
    InputTokens,
    /// Output tokens, by the limiter's [`Basis`].
    OutputTokens,
    /// Input, cached or not, and output by the limiter's [`Basis`] (OpenAI's TPM, S).
    TotalTokens,
}

/// How many output tokens a call counts at admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// As many as it will have. No provider can know it; what the recorded counts are computed with.
    Actual,
    /// The max_tokens sent (S).
    MaxTokens {
        /// What a call without a max_tokens of its own counts: one whose max_tokens is the model's own maximum.
        unstated: u32,
    },
}

/// The Retry-After header of a limiter's 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// None.
    Absent,
    /// Always the same.
    Fixed(Span),
    /// How long until the call would fit, rounded up to whole seconds.
    UntilItFits,
}

impl Limiter {
    /// Requests and tokens per minute as the recorded counts have them: actual tokens, rejects are free, no header.
    pub fn ledger(requests_per_minute: u64, tokens_per_minute: u64, refill: Refill) -> Self {
        Self {
            limits: Self::per_minute(requests_per_minute, tokens_per_minute, refill),
            basis: Basis::Actual,
            corrected_at_end: false,
            rejects_count: false,
            retry_after: RetryAfter::Absent,
            requests_within: None,
            day_starts: None,
        }
    }

    /// Requests and tokens per minute as OpenAI enforces them: input and max_tokens (S), rejects count (P), in a token bucket (S; a bucket
    /// or windows alone changes the rejects by 1.3-3x). A call without a max_tokens counts 16 output tokens (U). Retry-After: none (S).
    pub fn openai(requests_per_minute: u64, tokens_per_minute: u64) -> Self {
        Self {
            limits: Self::per_minute(requests_per_minute, tokens_per_minute, Refill::Bucket),
            basis: Basis::MaxTokens { unstated: 16 },
            corrected_at_end: false,
            rejects_count: true,
            retry_after: RetryAfter::Absent,
            requests_within: None,
            day_starts: None,
        }
    }

    /// Adds a limit, in place of one that counts the same over the same time.
    pub fn set(&mut self, limit: ProviderLimit) {
        self.limits.retain(|other| (other.counts, other.period) != (limit.counts, limit.period));
        self.limits.push(limit);
    }

    /// Windows that follow each other from the first call on.
    pub const WINDOWS_FROM_START: Refill = Refill::Window(Anchor::Start);

    fn per_minute(requests: u64, tokens: u64, refill: Refill) -> Vec<ProviderLimit> {
        let limit = |counts, amount| ProviderLimit { counts, amount, period: Span::MINUTE, refill };
        vec![limit(Counted::Requests, requests), limit(Counted::TotalTokens, tokens)]
    }
}

impl ProviderLimit {
    /// The same rate over a shorter time. At least 1 fits, so that what is below one in that time comes one by one. Times are rounded to whole
    /// nanoseconds.
    #[must_use]
    pub fn within(self, time: Span) -> Self {
        let amount = (u128::from(self.amount) * u128::from(time.0) / u128::from(self.period.0.max(1))).max(1);
        let period = u128::from(self.period.0) * amount / u128::from(self.amount.max(1));
        let (Ok(amount), Ok(period)) = (u64::try_from(amount), u64::try_from(period)) else { return self };
        if time < self.period { Self { amount, period: Span(period.max(1)), ..self } } else { self }
    }
}
