//! What becomes of one call, in closed form: when it opens and ends, what has arrived by any instant, and what it is billed however it is ended.
//! Knows nothing of limits, caches or luck: `upstream` has asked them when it made the fate.

use super::world::Billing;
use crate::gateway::failure::Failure;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};

/// The fate of one call, computed when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// When the provider begins to work on it: when it is made, or when it has waited for a place.
    pub begins_at: Time,
    /// When the first chunk comes; [`Time::MAX`] if it never does.
    pub opens_at: Time,
    /// When it ends if nobody closes it before; [`Time::MAX`] if never.
    pub ends_at: Time,
    /// Between two chunks.
    pub gap: Span,
    /// Output tokens in a chunk.
    pub chunk_tokens: u32,
    /// Whether it has, or waits for, one of the deployment's places.
    pub has_place: bool,
    /// Refused for want of capacity: by the limiter, or because no place came free.
    pub is_turned_away: bool,
    /// A stream: its tokens arrive one chunk after the other.
    pub stream: bool,
    /// What it uses in all. The output of a cut stream is what came before the cut; of a plain answer that broke off it is all.
    pub usage: Usage,
    /// How it ends if nobody closes it before.
    pub ending: Ending,
}

/// How a call ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With the whole answer.
    Whole,
    /// After the head of an answer and some chunks of a stream, or in the body of a plain answer.
    Cut(Failure),
    /// Without an answer, after the prompt may have been processed: 5xx, or a connection that broke.
    Failed(Failure),
    /// Without an answer and before any work: 4xx.
    Refused(Failure),
    /// By breaking the connection after a long silence; the provider works as if it answered.
    Silent(Failure),
}

/// How a call was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As its fate was.
    ByItself,
    /// The gateway closed it, because nobody wanted it any more.
    Closed(Time),
    /// One of the gateway's time-outs closed it.
    TimedOut(Time),
}

impl Ending {
    /// The failure, unless it ends well.
    pub const fn failure(self) -> Option<Failure> {
        match self {
            Self::Whole => None,
            Self::Cut(failure) | Self::Failed(failure) | Self::Refused(failure) | Self::Silent(failure) => Some(failure),
        }
    }
}

impl Fate {
    /// The same, begun at another time. What never happens still never happens.
    pub(super) fn begun_at(&self, begins_at: Time) -> Self {
        let moved = |at: Time| if at == Time::MAX { at } else { begins_at + at.since(self.begins_at) };
        Self { begins_at, opens_at: moved(self.opens_at), ends_at: moved(self.ends_at), ..*self }
    }

    /// Output tokens that the provider has made by `at` and that a stream has brought. At most all.
    pub fn made(&self, at: Time) -> u32 {
        if at < self.opens_at || !matches!(self.ending, Ending::Whole | Ending::Cut(_)) {
            return 0;
        }
        let since = at.since(self.opens_at).0;
        let Some(gaps) = since.checked_div(self.gap.0) else { return self.usage.output };
        let tokens = (gaps + 1).saturating_mul(u64::from(self.chunk_tokens));
        u32::try_from(tokens).unwrap_or(u32::MAX).min(self.usage.output)
    }

    /// Output tokens that the gateway has by `at`: a plain answer comes in one piece at its end.
    pub fn received(&self, at: Time) -> u32 {
        let has = self.stream || (at >= self.ends_at && self.ending == Ending::Whole);
        if has { self.made(at) } else { 0 }
    }

    /// When the provider has made at least `tokens` output tokens; [`Time::MAX`] if that is more than all, or never.
    pub fn made_at(&self, tokens: u32) -> Time {
        if tokens > self.usage.output || !matches!(self.ending, Ending::Whole | Ending::Cut(_)) {
            return Time::MAX;
        }
        self.opens_at + times(self.gap, u64::from(tokens.div_ceil(self.chunk_tokens).saturating_sub(1)))
    }

    /// When a driver that waits `idle` for the next chunk of a stream loses patience; [`Time::MAX`] if it doesn't.
    pub fn idle_at(&self, idle: Span) -> Time {
        let lasts_longer = self.ends_at > self.opens_at + self.gap.min(idle);
        let breaks = self.stream && self.gap > idle && self.opens_at != Time::MAX && lasts_longer;
        if breaks { self.opens_at + idle } else { Time::MAX }
    }

    /// What the provider bills for it, if anything.
    pub fn bill(&self, end: End, billing: &Billing) -> Option<Usage> {
        match (self.ending, end) {
            (Ending::Refused(_), _) => None,
            (_, End::Closed(at) | End::TimedOut(at)) if at < self.begins_at => None,
            (Ending::Failed(_), _) | (Ending::Silent(_), End::ByItself) => {
                billing.failed_after_prefill.then_some(Usage { output: 0, reasoning: 0, ..self.usage })
            }
            (_, End::TimedOut(_)) if !billing.timed_out => None,
            (_, End::ByItself) => Some(self.usage),
            (_, End::Closed(at) | End::TimedOut(at)) if self.stream && billing.cancel_stops_billing => {
                let output = self.made(at).saturating_add(billing.cancel_lag_tokens).min(self.usage.output);
                Some(Usage { output, reasoning: self.usage.reasoning.min(output), ..self.usage })
            }
            (_, End::Closed(_) | End::TimedOut(_)) => Some(self.usage),
        }
    }
}

/// `count` spans one after the other, saturating.
pub(super) const fn times(span: Span, count: u64) -> Span {
    Span(span.0.saturating_mul(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::failure::FailureClass;

    const BILLED: Billing = Billing { cancel_stops_billing: true, cancel_lag_tokens: 3, timed_out: true, failed_after_prefill: false };

    /// 20 tokens in chunks of 2, from 1,000 ns on, one chunk every 100 ns: ends at 1,900.
    fn stream() -> Fate {
        Fate {
            begins_at: Time(0),
            has_place: false,
            is_turned_away: false,
            opens_at: Time(1_000),
            ends_at: Time(1_900),
            gap: Span(100),
            chunk_tokens: 2,
            stream: true,
            usage: Usage::plain(50, 20),
            ending: Ending::Whole,
        }
    }

    fn output(fate: Fate, end: End, billing: Billing) -> Option<u32> {
        fate.bill(end, &billing).map(|usage| {
            assert_eq!(usage.input, 50, "a bill that is sent has the input");
            usage.output
        })
    }

    #[test]
    fn tokens_come_in_chunks_and_no_event_is_needed_to_count_them() {
        let at = [0, 999, 1_000, 1_099, 1_100, 1_899, 1_900, 9_999].map(|at| stream().received(Time(at)));
        assert_eq!(at, [0, 0, 2, 2, 4, 18, 20, 20]);
        let when = [0, 1, 2, 3, 20, 21].map(|tokens| stream().made_at(tokens).0);
        assert_eq!(when, [1_000, 1_000, 1_000, 1_100, 1_900, u64::MAX]);
        for tokens in 1..=20 {
            let at = stream().made_at(tokens);
            assert!(stream().made(at) >= tokens && stream().made(Time(at.0 - 1)) < tokens);
        }
    }

    #[test]
    fn a_plain_answer_comes_in_one_piece_at_its_end() {
        let plain = Fate { stream: false, ..stream() };
        assert_eq!([1_000, 1_899, 1_900].map(|at| plain.received(Time(at))), [0, 0, 20]);
    }

    #[test]
    fn closing_a_stream_is_billed_up_to_the_lag_where_that_stops_the_bill() {
        let closed = |at| output(stream(), End::Closed(Time(at)), BILLED);
        assert_eq!([0, 1_000, 1_100, 1_850, 5_000].map(closed), [Some(3), Some(5), Some(7), Some(20), Some(20)]);
        let runs_on = Billing { cancel_stops_billing: false, ..BILLED };
        assert_eq!(output(stream(), End::Closed(Time(1_000)), runs_on), Some(20));
        assert_eq!(output(Fate { stream: false, ..stream() }, End::Closed(Time(1_000)), BILLED), Some(20), "plain calls are billed in full");
    }

    #[test]
    fn time_outs_are_billed_like_closing_or_not_at_all() {
        let out = End::TimedOut(Time(1_100));
        assert_eq!(output(stream(), out, BILLED), Some(7));
        assert_eq!(output(stream(), out, Billing { timed_out: false, ..BILLED }), None);
        let silent = Fate { opens_at: Time::MAX, ending: Ending::Silent(Failure::new(FailureClass::Connect)), ..stream() };
        assert_eq!(output(silent, out, BILLED), Some(3), "nothing had come, the lag is billed");
        assert_eq!(output(Fate { stream: false, ..silent }, out, BILLED), Some(20));
        assert_eq!(output(silent, End::ByItself, BILLED), None);
    }

    #[test]
    fn refusals_are_free_and_failures_cost_their_input_where_the_provider_says_so() {
        let failure = Failure::new(FailureClass::Internal);
        let failed = Fate { ending: Ending::Failed(failure), ..stream() };
        let refused = Fate { ending: Ending::Refused(failure), ..stream() };
        let charged = Billing { failed_after_prefill: true, ..BILLED };
        for end in [End::ByItself, End::Closed(Time(1_000)), End::TimedOut(Time(1_000))] {
            assert_eq!((output(failed, end, BILLED), output(failed, end, charged)), (None, Some(0)));
            assert_eq!((output(refused, end, BILLED), output(refused, end, charged)), (None, None));
        }
        let waits = Fate { begins_at: Time(500), ..stream() };
        assert_eq!([499, 500].map(|at| output(waits, End::Closed(Time(at)), BILLED)), [None, Some(3)], "nobody has worked on it before it begins");
        let cut = Fate { ending: Ending::Cut(failure), usage: Usage::plain(50, 6), ends_at: Time(1_300), ..stream() };
        assert_eq!(output(cut, End::ByItself, BILLED), Some(6));
    }

    #[test]
    fn a_gap_longer_than_the_idle_time_out_ends_a_stream_after_its_first_chunk() {
        assert_eq!(stream().idle_at(Span(100)), Time::MAX, "just in time");
        assert_eq!(stream().idle_at(Span(99)), Time(1_099));
        assert_eq!(Fate { stream: false, ..stream() }.idle_at(Span(99)), Time::MAX);
        assert_eq!(Fate { ends_at: Time(1_000), ..stream() }.idle_at(Span(99)), Time::MAX, "one chunk has no gap");
    }
}
