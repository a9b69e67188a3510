//! What a client library does on its own, under the program that uses it: which answers it asks for again, and when. Knows no gateway.
//!
//! The clients of a simulation go by it, and so does whoever looks for their retries in a log.

use crate::gateway::draw::below;
use crate::gateway::time::Span;

/// The retries and the time-out of a client library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sdk {
    /// Tries after the first.
    pub retries: u32,
    /// The wait before the first retry; it doubles with each.
    pub base: Span,
    /// The longest wait of that kind, before jitter.
    pub max: Span,
    /// A uniform share of the wait from zero up to this, in thousandths, is left out.
    pub jitter_per_mille: u32,
    /// A Retry-After above zero and up to this takes the place of the wait.
    pub retry_after_max: Span,
    /// What a Retry-After above `retry_after_max` means.
    pub beyond: Beyond,
    /// A try is given up, and counts as failed, after so long without a byte: before the answer of a plain request, before the first token of a
    /// stream. The gaps within a stream are never so long.
    pub timeout: Span,
}

/// What a Retry-After means that is longer than the library waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// It is not read: the wait is the library's own.
    Ignored,
    /// There is no retry.
    GivesUp,
}

impl Sdk {
    /// The OpenAI Python library: 2 retries, 0.5 s doubling to 8 s, less up to a quarter; 600 s without a byte (P: `_constants.py`,
    /// `_calculate_retry_timeout` in openai-python at 000f030). A Retry-After up to 120 s is kept (P that there is such a bound, `_should_retry`;
    /// S that it is two minutes), a longer one ends the retries (P). Versions before mid-2026 ignored what was above 60 s (P), and those of
    /// 2024 doubled once before the first wait (P).
    pub const OPENAI: Self = Self {
        retries: 2,
        base: Span::from_millis(500),
        max: Span::from_secs(8),
        jitter_per_mille: 250,
        retry_after_max: Span::from_secs(120),
        beyond: Beyond::GivesUp,
        timeout: Span::from_secs(600),
    };

    /// The Anthropic Python library: as [`Self::OPENAI`], but a Retry-After above 60 s is not read (P: `_constants.py` and
    /// `_calculate_retry_timeout` in anthropic-sdk-python at ec4cfec).
    pub const ANTHROPIC: Self = Self { retry_after_max: Span::from_secs(60), beyond: Beyond::Ignored, ..Self::OPENAI };

    /// The libraries whose retries are looked for in logs.
    pub const KNOWN: [Self; 2] = [Self::OPENAI, Self::ANTHROPIC];

    /// The longest wait before retry `nth`, from 0, and the shortest, both without Retry-After.
    pub fn back_off(&self, nth: u32) -> (Span, Span) {
        let longest = self.base.doubled(nth).min(self.max);
        let jitter = u128::from(longest.0) * u128::from(self.jitter_per_mille) / 1000;
        (longest, Span(longest.0 - jitter as u64))
    }

    /// How long it waits before retry `nth`, from 0, of an answer that came with `status`; `None` if it doesn't try again. `bits` are uniform.
    pub fn wait(&self, nth: u32, status: u16, retry_after: Option<Span>, bits: u64) -> Option<Span> {
        let asked = retry_after.filter(|asked| *asked > Span::ZERO);
        let is_beyond = asked.is_some_and(|asked| asked > self.retry_after_max);
        if nth >= self.retries || !is_retried(status) || (is_beyond && self.beyond == Beyond::GivesUp) {
            return None;
        }
        if let Some(asked) = asked.filter(|_| !is_beyond) {
            return Some(asked);
        }
        let (longest, shortest) = self.back_off(nth);
        Some(Span(longest.0 - below(bits, longest.0 - shortest.0)))
    }
}

/// Whether both libraries ask again after such a status (P: `_should_retry`). What has no status, a time-out or a broken connection, is asked again
/// too and stands here as 408.
pub const fn is_retried(status: u16) -> bool {
    matches!(status, 408 | 409 | 429 | 500..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_half_a_second_to_eight_less_up_to_a_quarter() {
        let sdk = Sdk { retries: 8, ..Sdk::OPENAI };
        for (nth, longest) in (0..).zip([500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000, 8_000]) {
            let wait = |bits| sdk.wait(nth, 500, None, bits).unwrap();
            assert_eq!(wait(0), Span::from_millis(longest), "1 - 0.25 * 0");
            // random() is below 1, so the shortest wait is just above three quarters.
            assert_eq!(wait(u64::MAX), Span(longest * 750_000) + Span(1));
            assert_eq!(wait(1 << 63), Span(longest * 875_000), "1 - 0.25 * 0.5");
        }
        assert_eq!(sdk.wait(8, 500, None, 0), None, "eight retries are all");
    }

    #[test]
    fn what_may_pass_is_asked_again_and_what_is_wrong_is_not() {
        let retried = |status| Sdk::OPENAI.wait(0, status, None, 0).is_some();
        assert!([408, 409, 429, 500, 502, 503, 504, 529].into_iter().all(retried));
        assert!(![400, 401, 402, 403, 404, 422].into_iter().any(retried));
    }

    #[test]
    fn a_retry_after_is_kept_exactly_and_one_that_is_too_long_as_the_library_has_it() {
        let wait = |sdk: Sdk, seconds| sdk.wait(1, 429, Some(Span::from_secs(seconds)), 0).map(|span| span.0 / Span::SECOND.0);
        let own = Some(1);
        assert_eq!([0, 7, 60, 61, 121].map(|seconds| wait(Sdk::ANTHROPIC, seconds)), [own, Some(7), Some(60), own, own]);
        assert_eq!([0, 7, 60, 120, 121].map(|seconds| wait(Sdk::OPENAI, seconds)), [own, Some(7), Some(60), Some(120), None]);
    }
}
