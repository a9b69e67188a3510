//! What providers are like, as data: speed, outcomes, limits, prompt caches, outages and bills. Decides nothing while a run goes on (`upstream`
//! does).

mod incidents;
mod limits;
mod places;

pub use self::incidents::{ALL_CALLS, Incident, Kind, When};
pub use self::limits::{Basis, Counted, DAY, Limiter, ProviderLimit, RetryAfter};
pub use self::places::Places;

use super::presets::Used;
use crate::gateway::failure::FailureClass;
use crate::gateway::time::Span;
use crate::traffic::distribution::Distribution;

/// Everything outside the gateway that answers calls. One for each variant; the same value gives the same luck to every variant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct World {
    /// One for each deployment of the plan, found by name: the order doesn't matter.
    pub deployments: Vec<DeploymentWorld>,
}

impl World {
    /// From when until when something happens that is scripted, counted from the first arrival. What begins before the last has been over for
    /// [`APART`] times its own length is one with it; of several that stand apart, as one outage a week, it is the last.
    pub fn trigger(&self) -> Option<(Span, Span)> {
        let incidents = self.deployments.iter().flat_map(|deployment| &deployment.incidents);
        let mut scripted: Vec<(Span, Span)> =
            incidents.filter_map(|incident| incident.when.scripted()).filter(|(from, until)| from < until).collect();
        scripted.sort_unstable();
        scripted.into_iter().reduce(|(from, until), next| {
            let is_over = until + Span((until.0 - from.0).saturating_mul(APART));
            if next.0 < is_over { (from, until.max(next.1)) } else { next }
        })
    }

    /// The same world in which nothing that is scripted happens. What is drawn is drawn alike.
    #[must_use]
    pub fn without_trigger(&self) -> Self {
        let mut world = self.clone();
        for incident in world.deployments.iter_mut().flat_map(|deployment| &mut deployment.incidents) {
            if incident.when.scripted().is_some() {
                *incident = incident.that_never_comes();
            }
        }
        world
    }
}

/// How many of its own lengths after a trigger something else is a trigger of its own: as long as it takes to see whether the first is got over.
pub const APART: u64 = 3;

/// What one deployment is like.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentWorld {
    /// The deployment's name in the plan. Luck is keyed by it.
    pub name: String,
    /// Speed, where a step doesn't state one.
    pub pace: Pace,
    /// What of that differs from call to call; the rest is as `pace` says.
    pub varies: Option<Box<Varies>>,
    /// What every input token that is not read from the prompt cache adds to the time to the first token. Zero unless somebody says otherwise: that
    /// it grows with the prompt is plain, how fast is unverified (U).
    pub prefill: Span,
    /// What its first calls meet, in the order in which they are made, whoever makes them.
    pub steps: Vec<Step>,
    /// What all later calls meet.
    pub then: Step,
    /// What happens to some of the calls in place of `then`, by a draw for each.
    pub chances: Vec<Chance>,
    /// The provider's rate limiter.
    pub limiter: Option<Limiter>,
    /// How many calls it works on at one time; without, as many as come.
    pub places: Option<Places>,
    /// The provider's prompt cache.
    pub prompt_cache: Option<PromptCache>,
    /// When it is down, slow or flaky.
    pub incidents: Vec<Incident>,
    /// What is billed for calls that don't end well.
    pub billing: Billing,
    /// Calls that the log saw meet what it says, in place of all of the above.
    pub recorded_outcomes: bool,
    /// The presets that it was made by, for the report. Changes nothing.
    pub presets: Vec<Used>,
}

/// How fast an answer comes: the first chunk after `first`, then one every `gap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From sending to the status line and the first chunk.
    pub first: Span,
    /// Between two chunks.
    pub gap: Span,
    /// Output tokens in a chunk; at least 1.
    pub chunk_tokens: u32,
}

/// How an answer's speed differs from call to call. Keyed by seed, request, deployment and which call of the request to it this is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Varies {
    /// Nanoseconds to the first chunk.
    pub first: Option<Distribution>,
    /// Output tokens in a second. Nobody is slower than one in 100 s.
    pub tokens_per_second: Option<Distribution>,
}

/// What one call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How it is answered.
    pub answer: Answer,
    /// Speed in place of the deployment's.
    pub pace: Option<Pace>,
    /// Input tokens on the bill in place of the request's.
    pub input_tokens: Option<u32>,
    /// Output tokens in place of the request's.
    pub output_tokens: Option<u32>,
}

/// How one call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200 and the whole answer.
    Whole,
    /// An error status after the first-chunk time.
    Status {
        /// 400 to 599.
        status: u16,
        /// The Retry-After header, if there is a usable one.
        retry_after: Option<Span>,
        /// What a 400 is about.
        reason: Reason,
    },
    /// Nothing for this long, then the connection closes. `Span::MAX` never closes.
    Hang(Span),
    /// The connection breaks (reset or close) after the first-chunk time, before the status line.
    Broken,
    /// A stream breaks off when the chunk after this many would come: by reset, close or an error event, which are the same to a gateway.
    /// A plain answer breaks in its body, at the end of the first-chunk time.
    Cut {
        /// Chunks that came before.
        chunks: u32,
    },
}

/// What a 400 is about, as its body says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing that a policy looks at: the class follows from the status.
    Plain,
    /// The input doesn't fit the context window.
    ContextWindow,
    /// The provider's content policy.
    ContentPolicy,
}

/// Something that happens to a share of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance {
    /// Calls in a million. All chances of a deployment together: at most a million.
    pub per_million: u32,
    /// What they meet.
    pub step: Step,
}

/// A provider's prompt cache over chained blocks of the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptCache {
    /// How long a block lives after it was last used (inclusive).
    pub ttl: Span,
    /// Fewer cached tokens than this are none.
    pub tokens_min: u32,
    /// Cached tokens are rounded down to a multiple of this; at least 1. OpenAI: 128 (P).
    pub step: u32,
    /// What is billed for the part that was not read.
    pub write: CacheWrite,
    /// From when on a call's blocks can be read by others.
    pub visible: Visible,
}

/// How writes to a prompt cache are billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheWrite {
    /// Like plain input (OpenAI, Gemini, DeepSeek: P).
    Plain,
    /// Inputs of at least `tokens_min` write all that they don't read, at the short-lifetime rate (Anthropic, S).
    Short,
    /// The same at the one-hour rate (Anthropic, S).
    Hour,
}

/// From when on a call's blocks can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// When the call is made. What the recorded dollars are computed with.
    Arrival,
    /// When its first token comes: the prompt has been processed then.
    FirstToken,
}

/// What a provider bills for a call that doesn't end well. The world's truth; the gateway presumes by `plan::BillingRule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Billing {
    /// Closing a stream stops generation. OpenAI, Azure, Anthropic and most: yes; Bedrock, Google, Groq, Mistral: no (P, OpenRouter's
    /// streaming page). A plain call is generated and billed in full all the same.
    pub cancel_stops_billing: bool,
    /// Output tokens generated between the close and the stop.
    pub cancel_lag_tokens: u32,
    /// A call that the gateway's own time-out closed is billed like a cancelled one; else not at all.
    pub timed_out: bool,
    /// The input of a call that ended in a 5xx or broke before the answer is billed. 4xx are never.
    pub failed_after_prefill: bool,
}

impl Pace {
    /// Everything at once.
    pub const INSTANT: Self = Self { first: Span::ZERO, gap: Span::ZERO, chunk_tokens: 1 };

    /// A first token after `first`, then `tokens_per_second` (at least 1), rounded to whole nanoseconds for each token.
    pub const fn tokens_per_second(first: Span, tokens_per_second: u32) -> Self {
        Self { first, gap: Span((Span::SECOND.0 + tokens_per_second as u64 / 2) / tokens_per_second as u64), chunk_tokens: 1 }
    }

    /// 0.5 s to the first token, then 80 tokens a second: near gpt-4o's median of 390 ms and 81 tokens/s (S, artificialanalysis), with
    /// Azure's 770 ms in mind. A parameter, not a truth.
    pub const REALISTIC: Self = Self::tokens_per_second(Span::from_millis(500), 80);
}

impl Pace {
    /// The same at so many output tokens a second, rounded to whole nanoseconds for each chunk.
    #[must_use]
    pub fn at_speed(self, tokens_per_second: f64) -> Self {
        let nanoseconds = Span::SECOND.0 as f64 * f64::from(self.chunk_tokens) / tokens_per_second.max(SPEED_MIN);
        Self { gap: Span(nanoseconds.round() as u64), ..self }
    }

    /// The same speed in chunks of so many tokens, at least 1. Rounded down to whole nanoseconds.
    #[must_use]
    pub fn in_chunks_of(self, chunk_tokens: u32) -> Self {
        let gap = u128::from(self.gap.0) * u128::from(chunk_tokens) / u128::from(self.chunk_tokens.max(1));
        Self { gap: Span(u64::try_from(gap).unwrap_or(u64::MAX)), chunk_tokens, ..self }
    }

    /// The same, taking so many thousandths of the time, rounded down.
    #[must_use]
    pub fn slower(self, per_mille: u32) -> Self {
        if per_mille == 1000 {
            return self;
        }
        let stretched = |span: Span| Span(u64::try_from(u128::from(span.0) * u128::from(per_mille) / 1000).unwrap_or(u64::MAX));
        Self { first: stretched(self.first), gap: stretched(self.gap), ..self }
    }
}

/// Tokens a second: a draw near zero would never end.
const SPEED_MIN: f64 = 0.01;

impl Step {
    /// 200 and the whole answer at the deployment's pace.
    pub const OK: Self = Self::of(Answer::Whole);

    /// An answer at the deployment's pace with the request's tokens.
    pub const fn of(answer: Answer) -> Self {
        Self { answer, pace: None, input_tokens: None, output_tokens: None }
    }

    /// An error status without Retry-After.
    pub const fn status(status: u16) -> Self {
        Self::of(Answer::Status { status, retry_after: None, reason: Reason::Plain })
    }
}

impl Reason {
    /// The class that a gateway reads from the status and the body.
    pub const fn class(self, status: u16) -> FailureClass {
        match self {
            Self::Plain => FailureClass::of_status(status),
            Self::ContextWindow => FailureClass::ContextWindow,
            Self::ContentPolicy => FailureClass::ContentPolicy,
        }
    }
}

impl PromptCache {
    /// OpenAI's automatic cache: 1,024 tokens at least, steps of 128, writes like input (P); readable at once.
    pub const fn openai(ttl: Span) -> Self {
        Self { ttl, tokens_min: 1024, step: 128, write: CacheWrite::Plain, visible: Visible::Arrival }
    }

    /// Anthropic's cache when every request marks its whole prompt: 1,024 tokens at least, what isn't read is written (S); readable at once.
    pub const fn anthropic(ttl: Span) -> Self {
        Self { ttl, tokens_min: 1024, step: 1, write: CacheWrite::Short, visible: Visible::Arrival }
    }

    /// The same cache, but blocks can be read only from the first token on (U; no provider states it).
    #[must_use]
    pub const fn visible_at_first_token(self) -> Self {
        Self { visible: Visible::FirstToken, ..self }
    }
}

impl Billing {
    /// Closing stops the bill at once, time-outs are billed like it, failures aren't.
    pub const EXACT: Self = Self { cancel_stops_billing: true, cancel_lag_tokens: 0, timed_out: true, failed_after_prefill: false };

    /// Closing a stream stops the bill (P) after some tokens more (U: 16, 0.2 s at 80 tokens/s); time-outs are billed (S);
    /// failures are not (S for 429s and connections, U for a 5xx after the prompt was processed).
    pub const REALISTIC: Self = Self { cancel_stops_billing: true, cancel_lag_tokens: 16, timed_out: true, failed_after_prefill: false };
}

impl DeploymentWorld {
    /// The preset `ledger`: answers whole and at once, no limiter, no cache. What recorded dollars are computed with; a limiter and a prompt
    /// cache are added as [`Limiter::ledger`] and [`PromptCache::openai`] or [`PromptCache::anthropic`].
    pub fn ledger(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            pace: Pace::INSTANT,
            varies: None,
            prefill: Span::ZERO,
            steps: Vec::new(),
            then: Step::OK,
            chances: Vec::new(),
            limiter: None,
            places: None,
            prompt_cache: None,
            incidents: Vec::new(),
            billing: Billing::EXACT,
            recorded_outcomes: false,
            presets: Vec::new(),
        }
    }

    /// The default: [`Pace::REALISTIC`] and [`Billing::REALISTIC`], no limiter, no cache, no failures.
    pub fn realistic(name: impl Into<String>) -> Self {
        Self { pace: Pace::REALISTIC, billing: Billing::REALISTIC, ..Self::ledger(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is scripted at these hours, each on a deployment of its own.
    fn trigger(hours: &[(u64, u64)]) -> Option<(Span, Span)> {
        let hour = |hours: u64| Span::from_secs(3_600 * hours);
        let outage = |(from, lasts): &(u64, u64)| Incident::outage(hour(*from), hour(*lasts), Step::status(429));
        let deployment = |at| DeploymentWorld { incidents: vec![outage(at)], ..DeploymentWorld::ledger("a") };
        World { deployments: hours.iter().map(deployment).collect() }.trigger()
    }

    #[test]
    fn what_follows_closely_is_one_trigger_and_of_those_apart_the_last_counts() {
        let hours = |from: u64, until: u64| Some((Span::from_secs(3_600 * from), Span::from_secs(3_600 * until)));
        assert_eq!(trigger(&[]), None);
        assert_eq!(trigger(&[(10, 0)]), None, "what takes no time does not happen");
        assert_eq!(trigger(&[(10, 6)]), hours(10, 16));
        assert_eq!(trigger(&[(12, 6), (10, 6)]), hours(10, 18), "two at a time");
        assert_eq!(trigger(&[(10, 6), (11, 1)]), hours(10, 16), "one within the other");
        assert_eq!(trigger(&[(10, 6), (16 + 17, 1)]), hours(10, 34), "too soon to see what became of the first");
        assert_eq!(trigger(&[(16 + 18, 1), (10, 6)]), hours(34, 35));
        assert_eq!(trigger(&[(9, 6), (9 + 168, 6), (9 + 336, 6)]), hours(345, 351), "one a week");
    }
}
