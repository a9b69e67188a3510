//! The world at work: decides the fate of every call from outages, limits, scripts, luck and the prompt cache. Knows nothing of why a call is made.

use std::fmt;

use super::fate::{Ending, Fate, times};
use super::prompt_cache::Blocks;
use super::world::{Answer, Basis, Counted, DeploymentWorld, Pace, Reason, RetryAfter, Step, World};
use crate::gateway::draw::{self, Purpose};
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::id::{DeploymentId, RequestId};
use crate::gateway::limits::Meter;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};
use crate::price::tokens::Ratio;

/// All providers of one variant while it runs. Indexed by the deployments of its plan.
#[derive(Debug)]
pub struct Upstream {
    deployments: Vec<Provider>,
    start: Time,
}

/// What the world needs to know of a request.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// Luck is keyed by it.
    pub request: RequestId,
    /// Input tokens.
    pub input_tokens: u32,
    /// Output tokens of the whole answer, if nothing limits it.
    pub output_tokens: u32,
    /// Answers asked for; at least 1. The limit on output holds for each.
    pub choices: u16,
    /// Whether it is answered as a stream.
    pub stream: bool,
    /// Chained ids of its blocks.
    pub blocks: &'a [u64],
    /// Tokens in a block, as recorded.
    pub block_size: u32,
    /// What these are here; `input_tokens` and `output_tokens` are counted as here already.
    pub block_ratio: Ratio,
    /// What the log says that this very call met, if that is to be reused.
    pub recorded: Option<Step>,
}

/// A plan and a world that don't fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldError {
    /// Deployments of the plan that the world lacks.
    pub missing: Vec<String>,
    /// Deployments that the world has twice.
    pub twice: Vec<String>,
}

#[derive(Debug)]
struct Provider {
    world: DeploymentWorld,
    luck: u64,
    calls: u64,
    meters: Vec<Meter>,
    cache: Option<Blocks>,
    /// The model's own maximum: a call that states no less states nothing.
    output_tokens_max: u32,
}

impl Upstream {
    /// The providers of `plan`'s deployments, as `world` has them. Nothing was called yet; `start` is the first arrival.
    ///
    /// # Errors
    /// If the world lacks a deployment of the plan or has one twice. One that the plan lacks is not called and changes nothing.
    pub fn new(plan: &Plan, world: &World, seed: u64) -> Result<Self, WorldError> {
        let mut error = WorldError { missing: Vec::new(), twice: Vec::new() };
        let mut deployments = Vec::with_capacity(plan.deployments.len());
        for deployment in &plan.deployments {
            let mut found = world.deployments.iter().filter(|each| each.name == deployment.name);
            match (found.next(), found.next()) {
                (Some(world), None) => deployments.push(Provider::new(world.clone(), seed, deployment.output_tokens_max)),
                (None, _) => error.missing.push(deployment.name.clone()),
                (Some(_), Some(_)) => error.twice.push(deployment.name.clone()),
            }
        }
        let fits = error.missing.is_empty() && error.twice.is_empty();
        if fits { Ok(Self { deployments, start: Time(0) }) } else { Err(error) }
    }

    /// Sets the instant that outages count from.
    pub fn begin(&mut self, start: Time) {
        self.start = start;
    }

    /// What one deployment is like.
    pub fn world(&self, deployment: DeploymentId) -> &DeploymentWorld {
        &self.deployments[deployment.index()].world
    }

    /// Makes a call at `now`, which never decreases: the `nth` of this request to this deployment, from 0.
    pub fn call(&mut self, now: Time, deployment: DeploymentId, nth: u32, max_tokens: u32, prompt: &Prompt<'_>) -> Fate {
        let since_start = now.since(self.start);
        self.deployments[deployment.index()].call(now, since_start, nth, max_tokens, prompt)
    }
}

impl Provider {
    fn new(world: DeploymentWorld, seed: u64, output_tokens_max: u32) -> Self {
        let limits = world.limiter.iter().flat_map(|limiter| &limiter.limits);
        Self {
            luck: draw::bits(seed, hash(&world.name), Purpose::World, 0),
            calls: 0,
            meters: limits.map(|limit| Meter::new(limit.refill, limit.amount, limit.period)).collect(),
            cache: world.prompt_cache.map(Blocks::new),
            output_tokens_max,
            world,
        }
    }

    fn call(&mut self, now: Time, since_start: Span, nth: u32, max_tokens: u32, prompt: &Prompt<'_>) -> Fate {
        let step = self.step(now, since_start, nth, max_tokens, prompt);
        let Pace { first, gap, chunk_tokens } = step.pace.unwrap_or(self.world.pace);
        let chunk_tokens = chunk_tokens.max(1);
        let first_at = now + first;
        let whole = output(step.output_tokens.unwrap_or(prompt.output_tokens), max_tokens, prompt.choices);
        let end_of = |output: u32| first_at + times(gap, u64::from(output.div_ceil(chunk_tokens).saturating_sub(1)));
        let (opens_at, ends_at, output, ending) = match step.answer {
            Answer::Whole => (first_at, end_of(whole), whole, Ending::Whole),
            Answer::Status { status, retry_after, reason } => {
                let failure = Failure { class: reason.class(status), status, retry_after };
                (Time::MAX, first_at, 0, if status >= 500 { Ending::Failed(failure) } else { Ending::Refused(failure) })
            }
            Answer::Hang(span) => (Time::MAX, now + span, whole, Ending::Silent(Failure::new(FailureClass::Connect))),
            Answer::Cut { chunks } if prompt.stream => {
                let cut = whole.min(chunks.saturating_mul(chunk_tokens));
                (first_at, first_at + times(gap, u64::from(chunks)), cut, Ending::Cut(Failure::new(FailureClass::Cut)))
            }
            Answer::Broken | Answer::Cut { .. } => (Time::MAX, first_at, 0, Ending::Failed(Failure::new(FailureClass::Connect))),
        };
        let usage = Usage { output, ..self.process(now, first_at, &step, ending, prompt) };
        Fate { opens_at, ends_at, gap, chunk_tokens, stream: prompt.stream, usage, ending }
    }

    /// What this call meets.
    fn step(&mut self, now: Time, since_start: Span, nth: u32, max_tokens: u32, prompt: &Prompt<'_>) -> Step {
        if let Some(step) = prompt.recorded {
            // It took its share of the limits, whatever a limiter of ours would have said.
            let _ = self.admit(now, max_tokens, prompt);
            return step;
        }
        let has_begun = |from: Span| since_start >= from;
        if let Some(outage) = self.world.outages.iter().find(|each| has_begun(each.from) && !has_begun(each.from + each.lasts)) {
            return outage.step;
        }
        if let Err(retry_after) = self.admit(now, max_tokens, prompt) {
            return Step::of(Answer::Status { status: 429, retry_after, reason: Reason::Plain });
        }
        let scripted = usize::try_from(self.calls).ok().and_then(|calls| self.world.steps.get(calls)).copied();
        self.calls += 1;
        scripted.or_else(|| self.chance(prompt.request, nth)).unwrap_or(self.world.then)
    }

    /// What luck has for this call in place of the usual.
    fn chance(&self, request: RequestId, nth: u32) -> Option<Step> {
        if self.world.chances.is_empty() {
            return None;
        }
        let mut drawn = draw::below(draw::bits(self.luck, request.0, Purpose::Failure, nth), 1_000_000);
        for chance in &self.world.chances {
            let Some(left) = drawn.checked_sub(u64::from(chance.per_million)) else { return Some(chance.step) };
            drawn = left;
        }
        None
    }

    /// Counts the call on all limits, or says what the 429's Retry-After is.
    fn admit(&mut self, now: Time, max_tokens: u32, prompt: &Prompt<'_>) -> Result<(), Option<Span>> {
        let Some(limiter) = &self.world.limiter else { return Ok(()) };
        let output = match limiter.basis {
            Basis::Actual => output(prompt.output_tokens, max_tokens, prompt.choices),
            Basis::MaxTokens { unstated } if max_tokens >= self.output_tokens_max => unstated,
            Basis::MaxTokens { .. } => max_tokens.saturating_mul(u32::from(prompt.choices)),
        };
        let cache = &self.cache;
        let uncached = || {
            let usage = cache.as_ref().map(|cache| cache.usage(now, prompt.blocks, prompt.block_size, prompt.block_ratio, prompt.input_tokens));
            prompt.input_tokens - usage.map_or(0, |usage| usage.cache_read)
        };
        let counted = |counts| match counts {
            Counted::Requests => 1,
            Counted::InputTokens => u64::from(uncached()),
            Counted::OutputTokens => u64::from(output),
            Counted::TotalTokens => u64::from(prompt.input_tokens) + u64::from(output),
        };
        let limits = || limiter.limits.iter();
        if limits().zip(&self.meters).all(|(limit, meter)| meter.fits(now, counted(limit.counts))) {
            for (limit, meter) in limits().zip(&mut self.meters) {
                meter.take(now, counted(limit.counts));
            }
            return Ok(());
        }
        let wait = limits().zip(&self.meters).map(|(limit, meter)| meter.wait(now, counted(limit.counts))).max().unwrap_or(Span::ZERO);
        for (limit, meter) in limits().zip(&mut self.meters) {
            if limiter.rejects_count && limit.counts == Counted::Requests && meter.fits(now, 1) {
                meter.take(now, 1);
            }
        }
        Err(match limiter.retry_after {
            RetryAfter::Absent => None,
            RetryAfter::Fixed(span) => Some(span),
            RetryAfter::UntilItFits if wait == Span::MAX => None,
            RetryAfter::UntilItFits => Some(Span::from_secs(wait.0.div_ceil(Span::SECOND.0))),
        })
    }

    /// The input as it will be billed. Calls whose prompt is processed use the prompt cache.
    fn process(&mut self, now: Time, first_at: Time, step: &Step, ending: Ending, prompt: &Prompt<'_>) -> Usage {
        let input = step.input_tokens.unwrap_or(prompt.input_tokens);
        let is_processed = match ending {
            Ending::Whole | Ending::Cut(_) | Ending::Silent(_) => true,
            Ending::Failed(_) => self.world.billing.failed_after_prefill,
            Ending::Refused(_) => false,
        };
        match &mut self.cache {
            Some(cache) if is_processed => {
                let usage = cache.usage(now, prompt.blocks, prompt.block_size, prompt.block_ratio, input);
                cache.touch(now, first_at, prompt.blocks);
                usage
            }
            _ => Usage::plain(input, 0),
        }
    }
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match (self.missing.as_slice(), self.twice.as_slice()) {
            ([], twice) => write!(f, "the world has two providers for {}", list(twice)),
            (missing, []) => write!(f, "the world has no provider for {}", list(missing)),
            (missing, twice) => write!(f, "the world has no provider for {} and two for {}", list(missing), list(twice)),
        }
    }
}

impl std::error::Error for WorldError {}

/// The output that a provider makes which honours max_tokens.
fn output(wanted: u32, max_tokens: u32, choices: u16) -> u32 {
    wanted.min(max_tokens.saturating_mul(u32::from(choices)))
}

/// A stable hash of a name (FNV-1a, 64 bits): luck must be the same in every build.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
