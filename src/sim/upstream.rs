//! The world at work: decides the fate of every call from outages, limits, scripts, luck and the prompt cache. Knows nothing of why a call is made.

use std::fmt;

use super::fate::{Ending, Fate, times};
pub use super::limiter::Allowance;
use super::limiter::{Counts, Limits};
use super::places::{Door, Queue, Waits};
use super::prompt_cache::Blocks;
use super::weather::{Conditions, Weather, hash};
use super::world::{Answer, Basis, DeploymentWorld, Pace, Reason, Step, Varies, World};
use crate::gateway::draw::{self, Purpose};
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::id::{DeploymentId, RequestId, Slot};
use crate::gateway::plan::{Deployment, Plan};
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};
use crate::price::tokens::Ratio;
use crate::traffic::distribution::Draws;

/// All providers of one variant while it runs. Indexed by the deployments of its plan.
#[derive(Debug)]
pub struct Upstream {
    deployments: Vec<Provider>,
    start: Time,
    /// Calls that have waited less than they were told to, because somebody left.
    pub(super) moved: Vec<(Slot, Fate)>,
}

/// What the world needs to know of a request.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// Luck is keyed by it.
    pub request: RequestId,
    /// Where the driver has it, for when its fate changes.
    pub slot: Slot,
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
    seed: u64,
    luck: u64,
    calls: u64,
    limits: Option<Limits>,
    places: Option<Queue>,
    weather: Option<Weather>,
    cache: Option<Blocks>,
    /// The model's own maximum: a call that states no less states nothing.
    output_tokens_max: u32,
    /// The context window. A gateway counts by the model asked for, and may not know that an input is too long here.
    input_tokens_max: u32,
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
                (Some(world), None) => deployments.push(Provider::new(world.clone(), seed, deployment)),
                (None, _) => error.missing.push(deployment.name.clone()),
                (Some(_), Some(_)) => error.twice.push(deployment.name.clone()),
            }
        }
        let fits = error.missing.is_empty() && error.twice.is_empty();
        if fits { Ok(Self { deployments, start: Time(0), moved: Vec::new() }) } else { Err(error) }
    }

    /// Sets the instant that incidents count from.
    pub fn begin(&mut self, start: Time) {
        self.start = start;
        for provider in &mut self.deployments {
            provider.begin(start);
        }
    }

    /// What one deployment is like.
    pub fn world(&self, deployment: DeploymentId) -> &DeploymentWorld {
        &self.deployments[deployment.index()].world
    }

    /// How much calls have waited for a place at all deployments together.
    pub fn waits(&self) -> Waits {
        self.deployments.iter().filter_map(|provider| provider.places.as_ref()).map(Queue::waits).fold(Waits::default(), Waits::plus)
    }

    /// Makes a call at `now`, which never decreases: the `nth` of this request to this deployment, from 0.
    pub fn call(&mut self, now: Time, deployment: DeploymentId, nth: u32, max_tokens: u32, prompt: &Prompt<'_>) -> Fate {
        self.deployments[deployment.index()].call(now, nth, max_tokens, prompt)
    }

    /// What is left of the limits of a deployment, in the order of its configuration.
    pub fn allowances(&self, now: Time, deployment: DeploymentId) -> Vec<Allowance> {
        self.deployments[deployment.index()].limits.as_ref().map(|limits| limits.allowances(now)).unwrap_or_default()
    }

    /// Takes out whoever has been given an earlier place since, because somebody left, with their new fates.
    pub fn take_moved(&mut self) -> Vec<(Slot, Fate)> {
        std::mem::take(&mut self.moved)
    }

    /// Closes a call before its end. If others begin earlier for it, [`Self::take_moved`] has them.
    #[inline]
    pub fn close(&mut self, now: Time, deployment: DeploymentId, slot: Slot, fate: &Fate) {
        let Provider { places, world, .. } = &mut self.deployments[deployment.index()];
        if let Some(places) = places {
            places.close(now, slot, fate, &world.billing, &mut self.moved);
        }
    }
}

impl Provider {
    fn new(world: DeploymentWorld, seed: u64, deployment: &Deployment) -> Self {
        let mut provider = Self {
            luck: draw::bits(seed, hash(&world.name), Purpose::World, 0),
            seed,
            calls: 0,
            limits: world.limiter.as_ref().map(Limits::new),
            places: world.places.map(Queue::new),
            weather: None,
            cache: world.prompt_cache.map(Blocks::new),
            output_tokens_max: deployment.output_tokens_max,
            input_tokens_max: deployment.input_tokens_max,
            world,
        };
        provider.begin(Time(0));
        provider
    }

    fn begin(&mut self, start: Time) {
        let incidents = &self.world.incidents;
        self.weather = (!incidents.is_empty()).then(|| Weather::new(incidents, self.seed, start));
    }

    fn call(&mut self, now: Time, nth: u32, max_tokens: u32, prompt: &Prompt<'_>) -> Fate {
        if let Some(step) = prompt.recorded {
            return self.recorded(now, nth, max_tokens, step, prompt);
        }
        let conditions = self.conditions(now, nth, prompt.request);
        let answered = |step: Step| Answered { step, nth, slower_per_mille: conditions.slower_per_mille, wait: Span::ZERO };
        if let Some(step) = conditions.all {
            return self.fate(now, max_tokens, answered(step), prompt);
        }
        if prompt.input_tokens > self.input_tokens_max {
            // Before any limit counts it (U).
            let refused = Step::of(Answer::Status { status: 400, retry_after: None, reason: Reason::ContextWindow });
            return self.fate(now, max_tokens, answered(refused), prompt);
        }
        let counts = self.counts(now, max_tokens, prompt);
        if let Some(limits) = &mut self.limits
            && let Err(retry_after) = limits.admit(now, counts)
        {
            let refused = Step::of(Answer::Status { status: 429, retry_after, reason: Reason::Plain });
            return Fate { is_turned_away: true, ..self.fate(now, max_tokens, answered(refused), prompt) };
        }
        let begins_at = match self.places.as_mut().map(|places| places.door(now)) {
            None => now,
            Some(Door::Begins(at)) => at,
            Some(Door::TurnedAway(at)) => return self.turn_away(now, at, counts, prompt),
        };
        let scripted = usize::try_from(self.calls).ok().and_then(|calls| self.world.steps.get(calls)).copied();
        self.calls += 1;
        let step = scripted.or(conditions.this).or_else(|| self.chance(conditions.drawn)).unwrap_or(self.world.then);
        let mut fate = self.fate(now, max_tokens, Answered { wait: begins_at.since(now), ..answered(step) }, prompt);
        if let Some(places) = &mut self.places {
            fate = places.enter(now, prompt.slot, begins_at, fate);
        }
        if let Some(limits) = &mut self.limits {
            limits.will_end(now, counts, fate.ends_at, fate.usage.output);
        }
        fate
    }

    /// What the log saw of this very call. It takes its share of the limits, whatever ours would have said, but no place: what it waited for one is
    /// in the recorded times.
    fn recorded(&mut self, now: Time, nth: u32, max_tokens: u32, step: Step, prompt: &Prompt<'_>) -> Fate {
        let counts = self.counts(now, max_tokens, prompt);
        let is_counted = self.limits.as_mut().is_some_and(|limits| limits.admit(now, counts).is_ok());
        let answered = Answered { step, nth, slower_per_mille: Conditions::FINE.slower_per_mille, wait: Span::ZERO };
        let fate = self.fate(now, max_tokens, answered, prompt);
        if let Some(limits) = self.limits.as_mut().filter(|_| is_counted) {
            limits.will_end(now, counts, fate.ends_at, fate.usage.output);
        }
        fate
    }

    /// The weather that a call meets, and its luck.
    fn conditions(&mut self, now: Time, nth: u32, request: RequestId) -> Conditions {
        if self.weather.is_none() && self.world.chances.is_empty() {
            return Conditions::FINE;
        }
        let drawn = draw::below(draw::bits(self.luck, request.0, Purpose::Failure, nth), 1_000_000);
        self.weather.as_mut().map_or(Conditions { drawn, ..Conditions::FINE }, |weather| weather.meets(now, drawn))
    }

    /// What luck has for a call in place of the usual.
    fn chance(&self, mut drawn: u64) -> Option<Step> {
        for chance in &self.world.chances {
            let Some(left) = drawn.checked_sub(u64::from(chance.per_million)) else { return Some(chance.step) };
            drawn = left;
        }
        None
    }

    /// What a call counts at the limiter.
    fn counts(&self, now: Time, max_tokens: u32, prompt: &Prompt<'_>) -> Counts {
        let input = prompt.input_tokens;
        let Some(limits) = &self.limits else { return Counts { input, uncached: input, output: 0 } };
        let output = match limits.rules().basis {
            Basis::Actual => output(prompt.output_tokens, max_tokens, prompt.choices),
            Basis::MaxTokens { unstated } if max_tokens >= self.output_tokens_max => unstated,
            Basis::MaxTokens { .. } => max_tokens.saturating_mul(u32::from(prompt.choices)),
        };
        let cached = if limits.tell_cached_input() { self.input(now, input, prompt).cache_read } else { 0 };
        Counts { input, uncached: input - cached, output }
    }

    /// The answer of a deployment that has no place: once a call has waited for too long, or like any other error. Nobody works on it, whatever
    /// the status says.
    fn turn_away(&mut self, now: Time, at: Option<Time>, counts: Counts, prompt: &Prompt<'_>) -> Fate {
        let status = self.world.places.map_or(429, |places| places.status);
        let failure = Failure { class: FailureClass::of_status(status), status, retry_after: None };
        let ends_at = at.unwrap_or(now + self.world.pace.first);
        if let Some(limits) = &mut self.limits {
            limits.will_end(now, counts, ends_at, 0);
        }
        let (usage, ending) = (Usage::plain(prompt.input_tokens, 0), Ending::Refused(failure));
        Fate {
            begins_at: now,
            opens_at: Time::MAX,
            ends_at,
            gap: Span::ZERO,
            chunk_tokens: 1,
            has_place: false,
            is_turned_away: true,
            stream: prompt.stream,
            usage,
            ending,
        }
    }

    /// What becomes of a call if it begins at once. What the prompt cache has of it is what it has now, also if the call waits.
    fn fate(&mut self, now: Time, max_tokens: u32, answered: Answered, prompt: &Prompt<'_>) -> Fate {
        let Answered { step, .. } = answered;
        let Pace { first, gap, chunk_tokens } = self.pace(now, &answered, prompt);
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
                // What its client has seen nothing of is no broken answer, but none.
                let (opens_at, class) = if chunks == 0 { (Time::MAX, FailureClass::Connect) } else { (first_at, FailureClass::Cut) };
                (opens_at, first_at + times(gap, u64::from(chunks)), cut, Ending::Cut(Failure::new(class)))
            }
            // A plain answer is made, and billed, before its body is sent.
            Answer::Cut { .. } => (Time::MAX, first_at, whole, Ending::Cut(Failure::new(FailureClass::Connect))),
            Answer::Broken => (Time::MAX, first_at, 0, Ending::Failed(Failure::new(FailureClass::Connect))),
        };
        let usage = Usage { output, ..self.process(now, first_at + answered.wait, &step, ending, prompt) };
        Fate { begins_at: now, opens_at, ends_at, gap, chunk_tokens, has_place: false, is_turned_away: false, stream: prompt.stream, usage, ending }
    }

    /// How fast this call is.
    fn pace(&self, now: Time, answered: &Answered, prompt: &Prompt<'_>) -> Pace {
        let Some(stated) = answered.step.pace else {
            let usual = self.world.varies.as_ref().map_or(self.world.pace, |varies| self.drawn_pace(varies, answered.nth, prompt.request));
            let usual = if self.world.prefill == Span::ZERO { usual } else { self.with_prefill(now, usual, prompt) };
            return usual.slower(answered.slower_per_mille);
        };
        stated.slower(answered.slower_per_mille)
    }

    fn drawn_pace(&self, varies: &Varies, nth: u32, request: RequestId) -> Pace {
        let mut pace = self.world.pace;
        let draws = |purpose| Draws::new(self.luck, request.0, purpose, nth);
        if let Some(first) = &varies.first {
            pace.first = Span(first.draw_whole(&mut draws(Purpose::FirstToken)));
        }
        if let Some(speed) = &varies.tokens_per_second {
            pace = pace.at_speed(speed.draw(&mut draws(Purpose::Speed)));
        }
        pace
    }

    /// The time to the first token, with that for reading what the prompt cache does not have.
    fn with_prefill(&self, now: Time, pace: Pace, prompt: &Prompt<'_>) -> Pace {
        let uncached = prompt.input_tokens - self.input(now, prompt.input_tokens, prompt).cache_read;
        Pace { first: pace.first + times(self.world.prefill, uncached.into()), ..pace }
    }

    /// The input as it will be billed. Calls whose prompt is processed use the prompt cache.
    fn process(&mut self, now: Time, first_at: Time, step: &Step, ending: Ending, prompt: &Prompt<'_>) -> Usage {
        let input = step.input_tokens.unwrap_or(prompt.input_tokens);
        let is_processed = match ending {
            Ending::Whole | Ending::Cut(_) | Ending::Silent(_) => true,
            Ending::Failed(_) => self.world.billing.failed_after_prefill,
            Ending::Refused(_) => false,
        };
        if !is_processed {
            return Usage::plain(input, 0);
        }
        let usage = self.input(now, input, prompt);
        if let Some(cache) = &mut self.cache {
            cache.touch(now, first_at, prompt.blocks);
        }
        usage
    }

    /// So many input tokens as they are billed at `now`: plain, or what the prompt cache has of them and what it takes.
    fn input(&self, now: Time, tokens: u32, prompt: &Prompt<'_>) -> Usage {
        let usage = |cache: &Blocks| cache.usage(now, prompt.blocks, prompt.block_size, prompt.block_ratio, tokens);
        self.cache.as_ref().map_or_else(|| Usage::plain(tokens, 0), usage)
    }
}

/// What a call meets, and how fast.
#[derive(Debug, Clone, Copy)]
struct Answered {
    step: Step,
    /// Which call of its request to this deployment it is.
    nth: u32,
    slower_per_mille: u32,
    /// How long it waits for a place before that.
    wait: Span,
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
