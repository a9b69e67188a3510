//! From the first call to the end: holds, calls, back-offs, answers, and the client leaving. Carries out what `router` and `stream` decide.

use super::{Action, Call, Hit, InFlight, Open, State, Turn};
use crate::gateway::budget::HeldCall;
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::health::Report;
use crate::gateway::journal::{CallClosed, Called, Certainty, Denial, Ended, Fact, Journal, Outcome, Position, Skip};
use crate::gateway::limits::Ask;
use crate::gateway::money::Money;
use crate::gateway::pick::{self, Needs, Picked, Short};
use crate::gateway::plan::{Counts, Hops, Model, OnDisconnect};
use crate::gateway::rate_card::Usage;
use crate::gateway::router::{self, End, Last, Next, Then};
use crate::gateway::stream::{self, Broken, Phase, Reaction};
use crate::gateway::time::{Span, Time};

/// How the money of a call ends: what the ledger books, and what is said of it.
struct Closing {
    ended: Ended,
    /// What is known of its tokens.
    usage: Usage,
    /// The output tokens that may be billed: more than are known of, where the bill is presumed. Limits give back no more than the others.
    output_max: u32,
    amount: Option<Money>,
    certainty: Certainty,
    delivered: u32,
    report: Report,
}

/// How long counting may take before the request goes on with the bound that is known.
const COUNT_MAX: Span = Span::from_secs(10);

impl InFlight {
    /// Asks the router, and does what it says.
    #[inline]
    pub(super) fn route<J: Journal>(&mut self, turn: &mut Turn<'_, J>, last: Last) -> Action {
        if self.is_for_nobody(turn) {
            return self.finish(turn, Outcome::Abandoned, None, None);
        }
        if let Err(denial) = turn.gateway.directory.standing(self.request.key) {
            return self.refused(turn, denial);
        }
        let Turn { plan, gateway, now, journal } = turn;
        let path = gateway.directory.path(self.path);
        let needs = Needs { request: &self.request, path, deadline: self.deadline };
        match router::next(plan, gateway, &needs, &mut self.progress, last, *now, *journal) {
            Next::Call(picked) => self.call(turn, picked, true),
            Next::Sleep { until, then } => self.sleep(until, then),
            Next::Count => self.count(turn.now, Then::Pick),
            Next::GiveUp(End::Failed(failure)) => self.finish(turn, Outcome::Failed(failure), None, None),
            Next::GiveUp(End::Refused(denial)) => self.refused(turn, denial),
        }
    }

    fn sleep(&mut self, until: Time, then: Then) -> Action {
        (self.state, self.wake, self.then) = (State::Sleeping, until, then);
        Action::Sleep { until }
    }

    /// What follows is asked again once the input has been counted.
    fn count(&mut self, now: Time, then: Then) -> Action {
        (self.state, self.wake, self.then) = (State::Counting, (now + COUNT_MAX).min(self.deadline), then);
        Action::Count
    }

    /// The input has been counted, or that was given up. It is not asked for again.
    pub(super) fn counted<J: Journal>(&mut self, turn: &mut Turn<'_, J>, input_tokens_max: u32) -> Action {
        self.request.countable = false;
        self.request.input_tokens_counted = self.request.input_tokens_counted.min(input_tokens_max);
        self.slept(turn)
    }

    pub(super) fn slept<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        let Then::Resend(deployment) = self.then else { return self.route(turn, Last::Slept(self.then)) };
        if self.is_for_nobody(turn) {
            return self.finish(turn, Outcome::Abandoned, None, None);
        }
        if let Err(denial) = turn.gateway.directory.standing(self.request.key) {
            return self.refused(turn, denial);
        }
        let Turn { plan, gateway, now, journal } = turn;
        let path = gateway.directory.path(self.path);
        let needs = Needs { request: &self.request, path, deadline: self.deadline };
        let may = *now < self.deadline && gateway.may_retry(plan, self.request.model) && !gateway.health.is_retired(deployment);
        if may {
            match pick::again(plan, gateway, &needs, self.progress.group, deployment, *now) {
                Ok(picked) => return self.call(turn, picked, false),
                Err(Short::Uncounted) => return self.count(*now, self.then),
                Err(Short::Account(account)) => {
                    let skipped = Fact::Skipped { model: self.progress.group, deployment: Some(deployment), reason: Skip::Budget(account) };
                    journal.record(*now, Some(self.request.id), || skipped);
                }
            }
        }
        // What cannot be sent again is a failed attempt like any other.
        let failure = self.progress.resent_after().expect("a call is sent again after a failure");
        let avoid = plan.model(self.progress.group).attempts.avoid_after.has(failure.class);
        self.progress.failed(deployment, avoid);
        self.route(turn, Last::Failed(failure))
    }

    /// A call leaves: its worst case is held, its places are taken.
    #[inline]
    fn call<J: Journal>(&mut self, turn: &mut Turn<'_, J>, picked: Picked, attempt: bool) -> Action {
        let Turn { plan, gateway, now, journal } = turn;
        let (model, now) = (plan.model(picked.model), *now);
        let id = Some(self.request.id);
        if let Some(account) = gateway.budget.observed_short(picked.accounts.as_slice(), now, &picked.want) {
            journal.record(now, id, || Fact::Refused { denial: Denial::Budget(account), observed: true });
        }
        let limits = gateway.deployments[picked.deployment.index()].list();
        gateway.limits.take(limits, now, pick::ask(&self.request, picked.max_tokens));
        let probe = gateway.health.call(model, picked.deployment, now, *journal);
        let position = match self.last_called {
            _ if picked.model != self.request.model => Position::Fallback,
            None => Position::First,
            Some(last) if last == picked.deployment => Position::RetrySame,
            Some(_) => Position::RetryOther,
        };
        if self.last_called.is_some() && plan.retry_budget.is_some() {
            gateway.models[self.request.model.index()].retry();
        }
        let nth = self.progress.called(picked.deployment, attempt);
        let call = u32::from(self.progress.calls);
        self.last_called = Some(picked.deployment);
        let Picked { deployment, max_tokens, .. } = picked;
        let held = HeldCall { request: self.request.id, call, deployment, since: now };
        let hold = gateway.budget.hold(picked.accounts.as_slice(), held, &picked.want, picked.shrink);
        self.open = Some(Open { hold, deployment, model: picked.model, position, max_tokens, limits, since: now, opened: false, probe });
        self.state = State::Calling;
        self.wake = (now + self.patience(model, false)).min(self.deadline);
        let worst_case = picked.want.worst_case;
        journal.record(now, id, || Fact::Called(Called { call, model: picked.model, deployment, position, worst_case, max_tokens }));
        Action::Call(Call { call, model: picked.model, deployment, nth, max_tokens })
    }

    #[inline]
    pub(super) fn opened<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        let open = self.open.as_mut().expect("a call is open while calling");
        open.opened = true;
        self.state = State::Relaying;
        self.wake = (open.since + turn.plan.model(open.model).timeouts.stream).min(self.deadline);
        let call = u32::from(self.progress.calls);
        turn.journal.record(turn.now, Some(self.request.id), || Fact::Opened { call });
        Action::Relay
    }

    /// The answer has begun and nobody sees it: from now on the call breaks as a stream does.
    pub(super) fn opened_unseen(&mut self) -> Action {
        self.open.as_mut().expect("a call is open while draining").opened = true;
        Action::Wait
    }

    /// The call has ended well: its usage is the bill. Where the provider does not say it, it is presumed, and no length is
    /// learnt from it.
    #[inline]
    pub(super) fn finished<J: Journal>(&mut self, turn: &mut Turn<'_, J>, received: u32, said: Option<Usage>) -> Action {
        let open = self.open.as_ref().expect("the event is of the open call");
        let (deployment, group, since, max_tokens) = (open.deployment, open.model, open.since, open.max_tokens);
        let (usage, output_max, amount, certainty) = match said {
            Some(usage) => (usage, usage.output, Some(turn.plan.deployment(deployment).rates.at(since).cost(usage)), Certainty::Confirmed),
            None => self.unsaid(turn, Broken::Unsaid { received }, received),
        };
        // What was cut short for this key alone is neither kept nor shared: others may have the whole of it.
        let key = self.key.filter(|_| output_max < max_tokens || !self.is_clamped(turn));
        let shared = self.gone && key.is_some() && self.is_followed(turn);
        let delivered = if self.gone && !shared { self.delivered } else { usage.output };
        let lost = self.gone && !shared && delivered == 0;
        let closing = Closing {
            ended: if lost { Ended::Discarded } else { Ended::Delivered },
            usage,
            output_max,
            amount,
            certainty,
            delivered,
            report: Report::Success { output: usage.output, took: turn.now.since(since) },
        };
        self.close(turn, closing);
        let hit = Hit { usage, deployment };
        if let Some(usage) = said {
            turn.gateway.models[group.index()].outputs.add(usage.output);
        }
        let store = key.filter(|_| !self.request.no_store);
        if let (Some(key), Some(policy)) = (store, turn.plan.model(self.request.model).cache) {
            turn.gateway.cache.put(key, turn.now, policy.ttl, hit);
        }
        let asked = self.request.model;
        let level = turn.plan.model(asked).fallbacks.alert_share_per_mille;
        turn.gateway.models[asked.index()].answered(asked, group != asked, level, turn.now, turn.journal);
        self.finish(turn, Outcome::Served { model: group }, key.map(|_| &hit), store)
    }

    /// The call has failed, before it opened or after.
    pub(super) fn failed<J: Journal>(
        &mut self,
        turn: &mut Turn<'_, J>,
        failure: Failure,
        accepted: bool,
        received: u32,
        usage: Option<Usage>,
    ) -> Action {
        let opened = self.open.as_ref().is_some_and(|open| open.opened);
        let given_up = self.state == State::Draining && failure.class == FailureClass::Cut;
        let broken = match (self.state, failure.class) {
            // The driver has given up a drain at its caps, or a stream at the time between its chunks: to the provider a client that leaves.
            _ if given_up => Broken::Cancelled { stream: self.request.stream, received },
            (State::Relaying, FailureClass::Timeout) => Broken::Cancelled { stream: self.request.stream, received },
            _ if opened || accepted => Broken::Cut { stream: self.request.stream, received },
            _ => Broken::Failed(failure.class),
        };
        let delivered = match self.state {
            State::Relaying if !self.gone => received,
            _ => self.delivered,
        };
        match self.state {
            State::Calling => self.failed_before_opening(turn, failure, Ended::Failed(failure.class), broken, received, usage),
            _ => {
                let ended = match given_up {
                    _ if self.gone && delivered > 0 => Ended::Delivered,
                    true => Ended::Cancelled,
                    false => Ended::Failed(failure.class),
                };
                let report = if given_up { self.given_up(turn) } else { self.judged(turn, failure) };
                self.close_broken(turn, ended, broken, received, delivered, usage, report);
                self.finish(turn, Outcome::Failed(failure), None, None)
            }
        }
    }

    fn failed_before_opening<J: Journal>(
        &mut self,
        turn: &mut Turn<'_, J>,
        failure: Failure,
        ended: Ended,
        broken: Broken,
        received: u32,
        usage: Option<Usage>,
    ) -> Action {
        let open = self.open.as_ref().expect("the event is of the open call");
        let (deployment, model) = (open.deployment, turn.plan.model(open.model));
        let transport = model.transport;
        let path = turn.gateway.directory.path(self.path);
        let needs = Needs { request: &self.request, path, deadline: self.deadline };
        let again = u32::from(self.progress.resends) < transport.retries
            && transport.retry_on.has(failure.class)
            && u32::from(self.progress.calls) < router::per_request(turn.plan, &needs)
            && turn.gateway.may_retry(turn.plan, self.request.model)
            && !self.is_for_nobody(turn);
        if again {
            let step = u32::from(self.progress.resends);
            let ordinal = self.progress.picks();
            let until = turn.now + router::wait(turn.gateway, &needs, &transport.backoff, step, failure.retry_after, ordinal);
            if until < self.deadline {
                self.close_broken(turn, ended, broken, received, 0, usage, Report::Neither);
                self.progress.resent(deployment, failure);
                return self.sleep(until, Then::Resend(deployment));
            }
        }
        let report = self.judged(turn, failure);
        self.close_broken(turn, ended, broken, received, 0, usage, report);
        self.progress.failed(deployment, model.attempts.avoid_after.has(failure.class));
        self.route(turn, Last::Failed(failure))
    }

    /// A call, a stream or a drain took too long, or the client's deadline has come.
    pub(super) fn timed_out<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        let failure = Failure::new(FailureClass::Timeout);
        match self.state {
            State::Calling => self.failed_before_opening(turn, failure, Ended::TimedOut, Broken::TimedOut, 0, None),
            _ => {
                // How much had come is the driver's to say, with `Failed`; without it, all that was held may be billed.
                let given_up = self.state == State::Draining;
                let ended = match given_up {
                    _ if self.gone && self.delivered > 0 => Ended::Delivered,
                    true => Ended::Cancelled,
                    false => Ended::TimedOut,
                };
                let report = if given_up { self.given_up(turn) } else { self.judged(turn, failure) };
                let broken = Broken::Cut { stream: self.request.stream, received: u32::MAX };
                self.close_broken(turn, ended, broken, 0, self.delivered, None, report);
                self.finish(turn, Outcome::Failed(failure), None, None)
            }
        }
    }

    /// The client has gone.
    pub(super) fn client_left<J: Journal>(&mut self, turn: &mut Turn<'_, J>, received: u32, delivered: u32) -> Action {
        debug_assert!(delivered <= received, "nothing is passed on before it comes");
        (self.gone, self.delivered) = (true, delivered);
        turn.journal.record(turn.now, Some(self.request.id), || Fact::Answered { outcome: Outcome::Abandoned });
        let phase = match self.state {
            State::Queued => {
                turn.gateway.limits.stop_waiting(self.request.id, self.limit_lists);
                return self.finish(turn, Outcome::Abandoned, None, None);
            }
            State::Following => {
                self.stop_following(turn);
                return self.finish(turn, Outcome::Abandoned, None, None);
            }
            State::Sleeping | State::Looking | State::Counting => Phase::BetweenAttempts,
            State::Calling if self.request.stream => Phase::BeforeFirstByte,
            State::Calling => Phase::NonStream,
            State::Relaying => Phase::Streaming,
            State::New | State::Draining | State::Over => unreachable!("the table gives these no `client_left`"),
        };
        let followed = self.is_followed(turn);
        let policy = self.on_disconnect(turn);
        let billing = self.open.as_ref().map(|open| turn.plan.deployment(open.deployment).billing);
        match stream::on_leave(&policy, billing, phase) {
            Reaction::GoOn => Action::Wait,
            // Others wait for this answer: the call goes on, at the expense of the one who asked first.
            _ if followed => {
                self.for_others = true;
                Action::Wait
            }
            Reaction::Drain => {
                self.state = State::Draining;
                self.wake = turn.now + policy.drain_time_max;
                Action::Drain { until: self.wake, tokens_max: policy.drain_tokens_max }
            }
            Reaction::Cancel => {
                if self.open.is_some() {
                    let ended = if delivered > 0 { Ended::Delivered } else { Ended::Cancelled };
                    let broken = Broken::Cancelled { stream: self.request.stream, received };
                    self.close_broken(turn, ended, broken, received, delivered, None, Report::Neither);
                }
                self.finish(turn, Outcome::Abandoned, None, None)
            }
        }
    }

    /// Nobody carries the request on: a call that is open may be billed in full, and whoever waits goes on without it.
    pub(super) fn dropped<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        match self.state {
            State::Queued => {
                turn.gateway.limits.stop_waiting(self.request.id, self.limit_lists);
            }
            State::Following => self.stop_following(turn),
            _ => {}
        }
        if self.open.is_some() {
            let ended = if self.delivered > 0 { Ended::Delivered } else { Ended::Cancelled };
            self.close_broken(turn, ended, Broken::Dropped, 0, self.delivered, None, Report::Neither);
        }
        self.finish(turn, Outcome::Failed(Failure::new(FailureClass::Internal)), None, None)
    }

    /// Whether the open call may make less than the request and its model want: a budget has lowered its max_tokens, or its key has a cap.
    fn is_clamped<J: Journal>(&self, turn: &Turn<'_, J>) -> bool {
        let open = self.open.as_ref().expect("a call is open");
        open.max_tokens < pick::max_tokens_of_anyone(turn.plan, &self.request, open.model, open.deployment)
    }

    /// Whether others wait for the answer that this request leads to.
    fn is_followed<J: Journal>(&self, turn: &Turn<'_, J>) -> bool {
        self.flight.is_some_and(|flight| turn.gateway.flights.has_followers(flight))
    }

    /// Whether it went on without its client only because others waited, and does so no longer: nobody waits any more, and its group would
    /// not have tried anything else.
    #[inline]
    fn is_for_nobody<J: Journal>(&self, turn: &Turn<'_, J>) -> bool {
        if !self.for_others || self.is_followed(turn) {
            return false;
        }
        stream::on_leave(&self.on_disconnect(turn), None, Phase::BetweenAttempts) != Reaction::GoOn
    }

    /// What its key or its group wants once the client has left.
    fn on_disconnect<J: Journal>(&self, turn: &Turn<'_, J>) -> OnDisconnect {
        let path = turn.gateway.directory.path(self.path);
        path.overrides.on_disconnect.unwrap_or(turn.plan.model(self.progress.group).on_disconnect)
    }

    /// Closes a call that did not end well: by its usage if that is known, else by the provider's rule.
    #[allow(clippy::too_many_arguments, reason = "each is a different fact about the end of a call")]
    fn close_broken<J: Journal>(
        &mut self,
        turn: &mut Turn<'_, J>,
        ended: Ended,
        broken: Broken,
        received: u32,
        delivered: u32,
        usage: Option<Usage>,
        report: Report,
    ) {
        let open = self.open.as_ref().expect("a call is open");
        let deployment = turn.plan.deployment(open.deployment);
        let closing = if let Some(usage) = usage {
            let amount = Some(deployment.rates.at(open.since).cost(usage));
            Closing { ended, usage, output_max: usage.output, amount, certainty: Certainty::Confirmed, delivered, report }
        } else {
            let (usage, output_max, amount, certainty) = self.unsaid(turn, broken, received);
            Closing { ended, usage, output_max, amount, certainty, delivered, report }
        };
        self.close(turn, closing);
    }

    /// What is booked for the open call, whose usage nobody said, by its provider's rule; before that what is known of its tokens, and how many
    /// of output it may be billed.
    fn unsaid<J: Journal>(&self, turn: &Turn<'_, J>, broken: Broken, received: u32) -> (Usage, u32, Option<Money>, Certainty) {
        let open = self.open.as_ref().expect("a call is open");
        let deployment = turn.plan.deployment(open.deployment);
        let worst_case = turn.gateway.budget.worst_case(&open.hold);
        let max_tokens = u64::from(open.max_tokens) * u64::from(self.request.choices);
        let rates = deployment.rates.at(open.since);
        let input_max = self.request.input_tokens_max_on(deployment);
        match stream::presumed(deployment.billing, rates, worst_case, input_max, max_tokens, broken) {
            None => (Usage::default(), 0, None, Certainty::Confirmed),
            Some(presumed) => {
                let tokens = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
                let usage = Usage::plain(self.request.input_tokens.min(input_max), tokens(max_tokens).min(received));
                (usage, tokens(presumed.output).max(usage.output), Some(presumed.amount), Certainty::Presumed)
            }
        }
    }

    /// Settles the hold, returns the places, and judges the deployment.
    #[inline]
    fn close<J: Journal>(&mut self, turn: &mut Turn<'_, J>, closing: Closing) {
        let Turn { plan, gateway, now, journal } = turn;
        let open = self.open.take().expect("a call is open");
        let Closing { ended, usage, output_max, amount, certainty, delivered, report } = closing;
        let (now, amount) = (*now, amount.unwrap_or(Money::ZERO));
        let call = u32::from(self.progress.calls);
        let settlement = gateway.budget.settle(open.hold, now, amount, certainty, *journal);
        if certainty == Certainty::Presumed {
            gateway.budget.remember(settlement, now, plan.late_usage_window);
        }
        let used = Ask { input: u64::from(usage.input), output: u64::from(output_max) };
        gateway.limits.give_back(&[open.limits], now, open.since, pick::ask(&self.request, open.max_tokens), used, &mut gateway.ready);
        gateway.health.ended(plan, plan.model(open.model), open.deployment, now, (report, open.probe), usage.total(), *journal);
        self.used_input = self.used_input.saturating_add(usage.input);
        self.used_output = self.used_output.saturating_add(output_max);
        let Open { deployment, model, position, since, .. } = open;
        journal.record(now, Some(self.request.id), || {
            Fact::CallClosed(CallClosed { call, model, deployment, position, since, ended, usage, delivered, amount, certainty })
        });
    }

    /// How long a call may take by the group's rules.
    fn patience(&self, model: &Model, opened: bool) -> Span {
        match (self.request.stream, opened) {
            (true, true) => model.timeouts.stream,
            (true, false) => model.timeouts.first_byte,
            (false, _) => model.timeouts.call,
        }
    }

    /// Whether the open call has taken longer than its group allows.
    fn is_too_slow<J: Journal>(&self, turn: &Turn<'_, J>) -> bool {
        let open = self.open.as_ref().expect("a call is open");
        turn.now >= open.since + self.patience(turn.plan.model(open.model), open.opened)
    }

    /// What a drain that was given up says about the deployment. Its caps are the gateway's own: nothing, unless the call was too slow as well.
    fn given_up<J: Journal>(&mut self, turn: &Turn<'_, J>) -> Report {
        if self.is_too_slow(turn) { self.judged(turn, Failure::new(FailureClass::Timeout)) } else { Report::Neither }
    }

    /// What a failure says about the deployment, by the group's rules on which failures count.
    fn judged<J: Journal>(&mut self, turn: &Turn<'_, J>, failure: Failure) -> Report {
        let open = self.open.as_ref().expect("a call is open");
        let (deployment, policy) = (open.deployment, &turn.plan.model(open.model).cooldown);
        if failure.class == FailureClass::Timeout && turn.now >= self.deadline && !self.is_too_slow(turn) {
            // It was the client that had no more time, not the deployment that took too much.
            return Report::Neither;
        }
        let hop = open.model != self.request.model;
        let first = if hop { self.progress.attempts <= 1 } else { self.progress.failures() == 0 };
        let mut counted = policy.counts == Counts::Every || first;
        if hop && counted && policy.hops != Hops::Count {
            counted = false;
            if policy.hops == Hops::IfRequestFails {
                self.progress.defer(deployment, failure);
            }
        }
        Report::Failure { class: failure.class, retry_after: failure.retry_after, counted }
    }
}
