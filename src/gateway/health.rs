//! What is known of each deployment: failures, cooldown, breaker, load and speed. Decides who may be called; `router` decides who is.

use alloc::vec::Vec;
use core::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::failure::FailureClass;
use super::id::DeploymentId;
use super::journal::{Alert, BreakerState, Fact, Journal};
use super::plan::{Breaker, Cooldown, Model, Plan, Single};
use super::time::{Span, Time};

/// The state of all deployments.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Health {
    deployments: Vec<State>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    in_flight: u32,
    cooling_until: Time,
    recovery_untold: bool,
    retired: bool,
    fails: Counter,
    calls: Counter,
    failed: u32,
    breaker: BreakerCell,
    /// Smoothed nanoseconds for each output token; 0 while unknown.
    pace: u64,
    minute: Counter64,
}

/// A count over a window that begins with its first item.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Counter {
    since: Time,
    count: u32,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Counter64 {
    since: Time,
    count: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct BreakerCell {
    open_until: Time,
    consecutive: u32,
    tripped: bool,
    /// How often it has opened, from 1 again after the largest number: a probe belongs to the half-open time that follows.
    round: u16,
    probes_out: u32,
    successes: u32,
}

/// How a call ended, for the health of its deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Well: so many output tokens in so long.
    Success {
        /// Output tokens.
        output: u32,
        /// From sending to the end.
        took: Span,
    },
    /// Badly.
    Failure {
        /// How.
        class: FailureClass,
        /// The provider's Retry-After.
        retry_after: Option<Span>,
        /// Whether the group's policy counts this failure towards a cooldown now.
        counted: bool,
    },
    /// It says nothing about the deployment: cancelled, or the client's own fault.
    Neither,
}

impl Health {
    /// Makes room for the deployments of a plan.
    pub fn fit(&mut self, plan: &Plan) {
        if self.deployments.len() < plan.deployments.len() {
            self.deployments.resize(plan.deployments.len(), State::default());
        }
        for (state, deployment) in self.deployments.iter_mut().zip(&plan.deployments) {
            state.retired = deployment.retired;
        }
    }

    /// Whether the deployment may be called: not retired (by a later plan than the request's, it may be), not cooling, and its breaker lets a call
    /// or a probe through.
    #[inline]
    pub fn may_call(&self, model: &Model, id: DeploymentId, now: Time) -> bool {
        let state = &self.deployments[id.index()];
        !state.retired && now >= state.cooling_until && model.breaker.is_none_or(|policy| state.breaker.lets_through(policy, now))
    }

    /// When the first of these deployments may be called again, if it is a cooldown or a breaker that holds them back.
    pub fn back_at(&self, ids: impl Iterator<Item = DeploymentId>) -> Option<Time> {
        let states = ids.map(|id| &self.deployments[id.index()]).filter(|state| !state.retired);
        states.map(|state| if state.breaker.tripped { state.cooling_until.max(state.breaker.open_until) } else { state.cooling_until }).min()
    }

    /// Whether the plan in force has taken the deployment out.
    pub fn is_retired(&self, id: DeploymentId) -> bool {
        self.deployments[id.index()].retired
    }

    /// Calls in flight on the deployment.
    #[inline]
    pub fn in_flight(&self, id: DeploymentId) -> u32 {
        self.deployments[id.index()].in_flight
    }

    /// Calls in flight on all deployments: zero when nothing is in flight.
    pub fn in_flight_in_all(&self) -> u64 {
        self.deployments.iter().map(|state| u64::from(state.in_flight)).sum()
    }

    /// Smoothed nanoseconds for each output token; 0 while unknown.
    #[inline]
    pub fn pace(&self, id: DeploymentId) -> u64 {
        self.deployments[id.index()].pace
    }

    /// Tokens in the current clock minute.
    #[inline]
    pub fn tokens_this_minute(&self, id: DeploymentId, now: Time) -> u64 {
        let minute = &self.deployments[id.index()].minute;
        if minute.since == minute_of(now) { minute.count } else { 0 }
    }

    /// A call leaves. While the breaker is half-open it is a probe: says of which of its half-open times, by number.
    #[inline]
    pub fn call<J: Journal>(&mut self, model: &Model, id: DeploymentId, now: Time, journal: &mut J) -> Option<NonZeroU16> {
        let state = &mut self.deployments[id.index()];
        state.in_flight += 1;
        state.recovery_untold = false;
        if model.breaker.is_none() || !state.breaker.tripped || now < state.breaker.open_until {
            return None;
        }
        if state.breaker.probes_out == 0 && state.breaker.successes == 0 {
            journal.record(now, None, || Fact::BreakerTurned { deployment: id, to: BreakerState::HalfOpen });
        }
        state.breaker.probes_out += 1;
        NonZeroU16::new(state.breaker.round)
    }

    /// A call has ended: its place in flight is free, and the deployment is judged by it.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "the end of a call is described by all of these, and a struct for one call site hides that")]
    pub fn ended<J: Journal>(
        &mut self,
        plan: &Plan,
        model: &Model,
        id: DeploymentId,
        now: Time,
        (report, probe): (Report, Option<NonZeroU16>),
        tokens: u64,
        journal: &mut J,
    ) {
        let state = &mut self.deployments[id.index()];
        assert!(state.in_flight > 0, "a call ends once");
        state.in_flight -= 1;
        if tokens > 0 {
            let minute = minute_of(now);
            if state.minute.since != minute {
                state.minute = Counter64 { since: minute, count: 0 };
            }
            state.minute.count += tokens;
        }
        match report {
            Report::Success { output, took } => state.learn_pace(took.0 / u64::from(output.max(1))),
            Report::Failure { class: FailureClass::Timeout, .. } => state.learn_pace(model.timeouts.call.0.min(Span::from_secs(1000).0)),
            Report::Failure { .. } | Report::Neither => {}
        }
        if let Some(policy) = model.breaker {
            state.breaker.judge(policy, id, now, (report, probe), journal);
        }
        match report {
            Report::Success { .. } => state.count_call(&model.cooldown, now, false),
            Report::Failure { class, retry_after, counted: true } => self.count_failure(plan, model, id, now, class, retry_after, journal),
            Report::Failure { .. } | Report::Neither => {}
        }
    }

    /// Counts a failure towards the deployment's cooldown. Also called later, for failures whose counting had to wait for the request's end.
    #[allow(clippy::too_many_arguments, reason = "a failure is described by all of these, and a struct for one call site hides that")]
    pub fn count_failure<J: Journal>(
        &mut self,
        plan: &Plan,
        model: &Model,
        id: DeploymentId,
        now: Time,
        class: FailureClass,
        retry_after: Option<Span>,
        journal: &mut J,
    ) {
        let policy = &model.cooldown;
        let own_time = plan.deployment(id).cooldown_time;
        // A Retry-After of zero says nothing about how long.
        let asked = retry_after.filter(|asked| policy.retry_after && *asked > Span::ZERO);
        let time = own_time.or(asked).unwrap_or(policy.time);
        let state = &mut self.deployments[id.index()];
        let counted = policy.counted.has(class);
        if counted {
            state.count_call(policy, now, true);
        }
        if time == Span::ZERO || Self::is_exempt(plan, model, class) {
            return;
        }
        let cools = policy.at_once.has(class) || (counted && state.too_many(policy, class, now));
        if cools && now + time > state.cooling_until {
            state.cooling_until = now + time;
            state.recovery_untold = true;
            state.fails = Counter::default();
            journal.record(now, None, || Fact::Cooled { deployment: id, until: now + time, class });
        }
    }

    /// Tells of deployments that are back and have not been called since.
    pub fn tick<J: Journal>(&mut self, now: Time, journal: &mut J) {
        for (state, number) in self.deployments.iter_mut().zip(0..) {
            if state.recovery_untold && now >= state.cooling_until {
                state.recovery_untold = false;
                journal.record(now, None, || Fact::Alerted(Alert::Recovered { deployment: DeploymentId(number) }));
            }
        }
    }

    /// Forgets calls in flight and probes: after a crash nobody is there to end them.
    pub(super) fn forget_places(&mut self) {
        for state in &mut self.deployments {
            state.in_flight = 0;
            state.breaker.probes_out = 0;
        }
    }

    fn is_exempt(plan: &Plan, model: &Model, class: FailureClass) -> bool {
        let policy = &model.cooldown;
        let siblings = model.deployments.iter().filter(|id| !plan.deployment(**id).retired).count() > 1;
        if siblings || !policy.single_exempt.has(class) {
            return false;
        }
        match policy.single {
            Single::Cooled => false,
            Single::Exempt => true,
            Single::ExemptWithoutFallback => model.fallbacks.groups.is_empty(),
        }
    }
}

impl State {
    fn learn_pace(&mut self, sample: u64) {
        // Exponential smoothing with weight 1/8: the last ten or so calls decide.
        self.pace = if self.pace == 0 { sample.max(1) } else { (self.pace - self.pace / 8 + sample / 8).max(1) };
    }

    #[inline]
    fn count_call(&mut self, policy: &Cooldown, now: Time, failed: bool) {
        let Some(share) = policy.share else { return };
        if self.calls.add(now, share.window) == 1 {
            self.failed = 0;
        }
        self.failed += u32::from(failed);
    }

    fn too_many(&mut self, policy: &Cooldown, class: FailureClass, now: Time) -> bool {
        let allowed = policy.allowed_by_class[class as usize].or(policy.allowed_fails);
        let by_count = allowed.is_some_and(|allowed| self.fails.add(now, policy.window) > allowed);
        let by_share = policy.share.is_some_and(|share| {
            self.calls.count >= share.calls_min && u64::from(self.failed) * 1000 > u64::from(share.per_mille) * u64::from(self.calls.count)
        });
        by_count || by_share
    }
}

impl Counter {
    /// Counts one more; a window that is over begins anew.
    fn add(&mut self, now: Time, window: Span) -> u32 {
        if self.count == 0 || now.since(self.since) >= window {
            *self = Self { since: now, count: 0 };
        }
        self.count += 1;
        self.count
    }
}

impl BreakerCell {
    fn lets_through(&self, policy: Breaker, now: Time) -> bool {
        !self.tripped || (now >= self.open_until && self.probes_out < policy.probes)
    }

    fn judge<J: Journal>(&mut self, policy: Breaker, id: DeploymentId, now: Time, (report, probe): (Report, Option<NonZeroU16>), journal: &mut J) {
        // A probe that outlived its half-open time says no more than any other call, and has no place in a later one.
        let was_probe = self.tripped && probe.is_some_and(|round| round.get() == self.round);
        if was_probe {
            self.probes_out = self.probes_out.saturating_sub(1);
        }
        match report {
            Report::Success { .. } if was_probe => {
                self.successes += 1;
                if self.successes >= policy.successes {
                    *self = Self { round: self.round, ..Self::default() };
                    journal.record(now, None, || Fact::BreakerTurned { deployment: id, to: BreakerState::Closed });
                }
            }
            Report::Success { .. } => self.consecutive = 0,
            Report::Failure { class, .. } if policy.counted.has(class) => {
                self.consecutive += 1;
                if was_probe || (!self.tripped && self.consecutive >= policy.failures) {
                    self.tripped = true;
                    self.round = self.round % u16::MAX + 1;
                    (self.probes_out, self.successes) = (0, 0);
                    self.open_until = now + policy.open_for;
                    journal.record(now, None, || Fact::BreakerTurned { deployment: id, to: BreakerState::Open });
                }
            }
            Report::Failure { .. } | Report::Neither => {}
        }
    }
}

const fn minute_of(now: Time) -> Time {
    Time(now.0 / Span::MINUTE.0 * Span::MINUTE.0)
}
