//! A provider's rate limiter at work: which calls it admits. Knows what is counted, not what becomes of a call.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::world::{Counted, DAY, Limiter, ProviderLimit, RetryAfter};
use crate::gateway::limits::Meter;
use crate::gateway::plan::{Anchor, Refill};
use crate::gateway::time::{Span, Time};
use crate::traffic::local_clock::LocalClock;

/// The limits of one deployment while it runs.
#[derive(Debug)]
pub(super) struct Limits {
    rules: Limiter,
    meters: Vec<Metered>,
    /// Calls whose count will be put right, the first to end first.
    corrections: BinaryHeap<Reverse<Correction>>,
}

/// One limit as a provider tells of it in its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// What is counted.
    pub counts: Counted,
    /// How many in its period.
    pub amount: u64,
    /// How many more fit now.
    pub left: u64,
    /// How long until all of them fit again, if nobody calls.
    pub full_after: Span,
}

/// What a call counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    /// All input tokens.
    pub input: u32,
    /// Those that are not read from the prompt cache.
    pub uncached: u32,
    /// Output tokens, as the limiter takes them to be.
    pub output: u32,
}

#[derive(Debug)]
struct Metered {
    limit: ProviderLimit,
    meter: Meter,
    /// Whose midnights its windows begin at; `None` is UTC.
    clock: Option<LocalClock>,
}

/// When a call ends, when it was admitted, and how many output tokens it counted and should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Correction {
    ends_at: Time,
    admitted_at: Time,
    counted: u32,
    made: u32,
}

impl Limits {
    pub(super) fn new(rules: &Limiter) -> Self {
        let metered = |limit: &ProviderLimit| {
            let mut limit = match rules.requests_within {
                Some(time) if limit.counts == Counted::Requests => limit.within(time),
                _ => *limit,
            };
            let clock = rules.day_starts.clone().filter(|_| limit.period == DAY);
            if clock.is_some() {
                limit.refill = Refill::Window(Anchor::Clock);
            }
            Metered { limit, meter: Meter::new(limit.refill, limit.amount, limit.period), clock }
        };
        Self { rules: rules.clone(), meters: rules.limits.iter().map(metered).collect(), corrections: BinaryHeap::new() }
    }

    /// The rules.
    pub(super) fn rules(&self) -> &Limiter {
        &self.rules
    }

    /// Whether input that is read from the prompt cache counts less.
    pub(super) fn tell_cached_input(&self) -> bool {
        self.meters.iter().any(|metered| metered.limit.counts == Counted::InputTokens)
    }

    /// Counts a call on all limits, or says what the 429's Retry-After is.
    pub(super) fn admit(&mut self, now: Time, counts: Counts) -> Result<(), Option<Span>> {
        self.correct(now);
        if self.meters.iter().all(|metered| metered.meter.fits(metered.at(now), metered.counted(counts))) {
            for metered in &mut self.meters {
                metered.meter.take(metered.at(now), metered.counted(counts));
            }
            return Ok(());
        }
        let waits = self.meters.iter().map(|metered| metered.meter.wait(metered.at(now), metered.counted(counts)));
        let wait = waits.max().unwrap_or(Span::ZERO);
        for metered in &mut self.meters {
            let counts_rejects = self.rules.rejects_count && metered.limit.counts == Counted::Requests;
            if counts_rejects && metered.meter.fits(metered.at(now), 1) {
                metered.meter.take(metered.at(now), 1);
            }
        }
        Err(match self.rules.retry_after {
            RetryAfter::Absent => None,
            RetryAfter::Fixed(span) => Some(span),
            RetryAfter::UntilItFits if wait == Span::MAX => None,
            RetryAfter::UntilItFits => Some(Span::from_secs(wait.0.div_ceil(Span::SECOND.0))),
        })
    }

    /// What is left of each limit at `now`.
    pub(super) fn allowances(&self, now: Time) -> Vec<Allowance> {
        let allowance = |Metered { limit, meter, clock }: &Metered| {
            let at = clock.as_ref().map_or(now, |clock| clock.at(now).0);
            Allowance { counts: limit.counts, amount: limit.amount, left: meter.left(at), full_after: meter.wait(at, limit.amount) }
        };
        self.meters.iter().map(allowance).collect()
    }

    /// Says how many output tokens a call that was admitted at `now` will really have made when it ends.
    pub(super) fn will_end(&mut self, now: Time, counts: Counts, ends_at: Time, made: u32) {
        if self.rules.corrected_at_end && counts.output != made && ends_at != Time::MAX {
            self.corrections.push(Reverse(Correction { ends_at, admitted_at: now, counted: counts.output, made }));
        }
    }

    /// Puts right what calls counted that have ended by now.
    fn correct(&mut self, now: Time) {
        while let Some(Reverse(correction)) = self.corrections.peek().copied().filter(|Reverse(correction)| correction.ends_at <= now) {
            self.corrections.pop();
            let Correction { ends_at, admitted_at, counted, made } = correction;
            for metered in self.meters.iter_mut().filter(|metered| metered.counts_output()) {
                let (ends_at, admitted_at) = (metered.at(ends_at), metered.at(admitted_at));
                match counted.checked_sub(made) {
                    Some(over) => metered.meter.put_back(ends_at, admitted_at, u64::from(over)),
                    None => metered.meter.take(ends_at, u64::from(made - counted)),
                }
            }
        }
    }
}

impl Metered {
    /// An instant as its windows count it.
    #[inline]
    fn at(&self, now: Time) -> Time {
        self.clock.as_ref().map_or(now, |clock| clock.at(now).0)
    }

    fn counts_output(&self) -> bool {
        matches!(self.limit.counts, Counted::OutputTokens | Counted::TotalTokens)
    }

    fn counted(&self, counts: Counts) -> u64 {
        match self.limit.counts {
            Counted::Requests => 1,
            Counted::InputTokens => u64::from(counts.uncached),
            Counted::OutputTokens => u64::from(counts.output),
            Counted::TotalTokens => u64::from(counts.input) + u64::from(counts.output),
        }
    }
}
