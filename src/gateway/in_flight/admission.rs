//! From arrival to the first call: keys, limits, cache, single flight. Decides whether a request gets as far as routing.

use super::{Action, Hit, InFlight, State, Turn};
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::id::LimitId;
use crate::gateway::journal::{Alert, Denial, Fact, Journal, Outcome};
use crate::gateway::limits::Room;
use crate::gateway::money::Money;
use crate::gateway::plan::Enforce;
use crate::gateway::router::{Last, Progress};
use crate::gateway::time::{Span, Time};

/// How long a remote cache may take before the request goes on without it.
const LOOK_UP_MAX: Span = Span::from_millis(250);

impl InFlight {
    pub(super) fn arrived<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        let request = self.request;
        debug_assert!(request.input_tokens <= request.input_tokens_max && request.choices > 0, "the driver's bounds hold");
        self.began = turn.now;
        let known = turn.plan.models.get(request.model.index()).filter(|model| !model.retired);
        let Some(model) = known else { return self.refused_unknown(turn, Denial::UnknownModel) };
        self.path = match turn.gateway.directory.admit(request.key, request.model, turn.now) {
            Ok(path) => path,
            Err(denial) => return self.refused_unknown(turn, denial),
        };
        self.limit_lists = [turn.gateway.directory.path(self.path).list, turn.gateway.models[request.model.index()].scope.list()];
        self.key = turn.gateway.cache_key(turn.plan, &request, self.path);
        self.progress = Progress::new(turn.plan, request.model);
        let own = turn.now + model.timeouts.request;
        self.deadline = request.deadline.map_or(own, |deadline| deadline.min(own));
        if let Some(policy) = turn.plan.retry_budget {
            turn.gateway.models[request.model.index()].earn(policy);
        }
        if turn.now >= self.deadline {
            return self.refused(turn, Denial::DeadlinePassed);
        }
        if let Some(end_user) = request.end_user {
            turn.gateway.directory.meet_end_user(end_user, &mut turn.gateway.budget);
        }
        if model.cache.is_some_and(|policy| !policy.hits_count)
            && let Some(hit) = self.cached(turn)
        {
            return self.hit(turn, hit);
        }
        self.enter_limits(turn)
    }

    /// Asks the limits of everyone, team, key and model; takes what it needs there, or waits, or is refused.
    fn enter_limits<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        let ask = self.ask(turn.plan, &turn.gateway.directory.path(self.path).overrides);
        let limits = &mut turn.gateway.limits;
        let rooms = self.limit_lists.map(|list| limits.fit(list, turn.now, ask));
        match (rooms[0], rooms[1]) {
            (Room::Fits, Room::Fits) => {}
            (Room::Full(limit), _) | (_, Room::Full(limit)) => return self.refused_by(turn, limit),
            (Room::Queue(limit), _) | (_, Room::Queue(limit)) => {
                limits.wait(limit, self.request.slot, self.request.id, self.limit_lists);
                let longest = limits.spec(limit).queue.map_or(Span::ZERO, |queue| queue.wait_max);
                self.state = State::Queued;
                self.wake = (turn.now + longest).min(self.deadline);
                turn.journal.record(turn.now, Some(self.request.id), || Fact::Queued { limit });
                return Action::Wait;
            }
        }
        for list in self.limit_lists {
            limits.take(list, turn.now, ask);
        }
        (self.placed, self.taken, self.began) = (true, true, turn.now);
        self.admitted(turn)
    }

    /// The places at the concurrency limits were given to it while it waited.
    pub(super) fn placed<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        self.placed = true;
        let ask = self.ask(turn.plan, &turn.gateway.directory.path(self.path).overrides);
        let limits = &mut turn.gateway.limits;
        if let Some(limit) = self.limit_lists.iter().find_map(|list| limits.rates_short(*list, turn.now, ask)) {
            return self.refused(turn, Denial::Limited(limit));
        }
        for list in self.limit_lists {
            limits.take_rates(list, turn.now, ask);
        }
        (self.taken, self.began) = (true, turn.now);
        self.admitted(turn)
    }

    /// Past the limits: the cache if hits count there, the loop detector, the flight of identical requests, and then a call.
    fn admitted<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        let policy = turn.plan.model(self.request.model).cache;
        if policy.is_some_and(|policy| policy.hits_count)
            && let Some(hit) = self.cached(turn)
        {
            return self.hit(turn, hit);
        }
        if self.loops(turn) {
            return self.refused(turn, Denial::Loop);
        }
        let Some(policy) = policy.filter(|_| !self.request.no_cache) else { return self.route(turn, Last::Nothing) };
        let Some(key) = self.key else { return self.route(turn, Last::Nothing) };
        if policy.single_flight && !self.request.no_store {
            let (flight, leader) = turn.gateway.flights.join(key, self.request.slot, self.request.id);
            self.flight = Some(flight);
            if let Some(leader) = leader {
                self.state = State::Following;
                self.wake = self.deadline;
                turn.journal.record(turn.now, Some(self.request.id), || Fact::Followed { leader });
                return Action::Wait;
            }
        }
        if policy.remote {
            self.state = State::Looking;
            self.wake = (turn.now + LOOK_UP_MAX).min(self.deadline);
            return Action::LookUp(key);
        }
        self.route(turn, Last::Nothing)
    }

    /// The remote cache has answered, or was given up.
    pub(super) fn looked<J: Journal>(&mut self, turn: &mut Turn<'_, J>, hit: Option<Hit>) -> Action {
        match hit {
            Some(hit) => self.hit(turn, hit),
            None => self.route(turn, Last::Nothing),
        }
    }

    /// The identical request that it waited for was answered.
    pub(super) fn shared<J: Journal>(&mut self, turn: &mut Turn<'_, J>, hit: Hit) -> Action {
        self.flight = None;
        self.record_hit(turn, hit);
        self.finish(turn, Outcome::Shared, None, None)
    }

    /// The identical request that it waited for was not answered: it goes itself.
    pub(super) fn leads<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        self.route(turn, Last::Nothing)
    }

    pub(super) fn waited_too_long<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        let denial = match turn.gateway.limits.stop_waiting(self.request.id, self.limit_lists) {
            Some(limit) if turn.now < self.deadline => Denial::QueueFull(limit),
            _ => Denial::DeadlinePassed,
        };
        self.refused(turn, denial)
    }

    pub(super) fn gave_up_following<J: Journal>(&mut self, turn: &mut Turn<'_, J>) -> Action {
        self.stop_following(turn);
        self.finish(turn, Outcome::Failed(Failure::new(FailureClass::Timeout)), None, None)
    }

    pub(super) fn stop_following<J: Journal>(&mut self, turn: &mut Turn<'_, J>) {
        if let Some(flight) = self.flight.take() {
            turn.gateway.flights.leave(flight, self.request.id);
        }
    }

    #[inline]
    fn cached<J: Journal>(&self, turn: &mut Turn<'_, J>) -> Option<Hit> {
        if self.request.no_cache {
            return None;
        }
        let key = self.key?;
        let sliding = turn.plan.model(self.request.model).cache.filter(|policy| policy.sliding).map(|policy| policy.ttl);
        turn.gateway.cache.get(key, turn.now, sliding)
    }

    #[inline]
    fn hit<J: Journal>(&mut self, turn: &mut Turn<'_, J>, hit: Hit) -> Action {
        self.record_hit(turn, hit);
        self.finish(turn, Outcome::Cached, Some(&hit), None)
    }

    fn record_hit<J: Journal>(&self, turn: &mut Turn<'_, J>, hit: Hit) {
        let plan = turn.plan;
        let saved = || plan.deployments.get(hit.deployment.index()).map_or(Money::ZERO, |deployment| deployment.rates.at(turn.now).cost(hit.usage));
        turn.journal.record(turn.now, Some(self.request.id), || Fact::CacheHit { saved: saved() });
    }

    /// Whether the loop detector stops the request.
    fn loops<J: Journal>(&self, turn: &mut Turn<'_, J>) -> bool {
        let Some(policy) = turn.plan.loop_detector else { return false };
        let count = turn.gateway.loops.count(self.request.key, self.request.fingerprint, turn.now, policy.window);
        if count <= policy.repeats {
            return false;
        }
        let (now, key) = (turn.now, self.request.key);
        if count == policy.repeats + 1 {
            turn.journal.record(now, None, || Fact::Alerted(Alert::Loop { key }));
        }
        if policy.enforce == Enforce::Hard {
            return true;
        }
        turn.journal.record(now, Some(self.request.id), || Fact::Refused { denial: Denial::Loop, observed: true });
        false
    }

    /// Refused by a limit that has no room, and no place in a queue.
    pub(super) fn refused_by<J: Journal>(&mut self, turn: &mut Turn<'_, J>, limit: LimitId) -> Action {
        let queues = turn.gateway.limits.spec(limit).queue.is_some();
        self.refused(turn, if queues { Denial::QueueFull(limit) } else { Denial::Limited(limit) })
    }

    /// Refused by the gateway; nothing was called.
    pub(super) fn refused<J: Journal>(&mut self, turn: &mut Turn<'_, J>, denial: Denial) -> Action {
        turn.journal.record(turn.now, Some(self.request.id), || Fact::Refused { denial, observed: false });
        self.finish(turn, Outcome::Refused(denial), None, None)
    }

    /// Refused before there was a path or a model to speak of.
    fn refused_unknown<J: Journal>(&mut self, turn: &mut Turn<'_, J>, denial: Denial) -> Action {
        let outcome = Outcome::Refused(denial);
        turn.journal.record(turn.now, Some(self.request.id), || Fact::Refused { denial, observed: false });
        turn.journal.record(turn.now, Some(self.request.id), || Fact::Answered { outcome });
        turn.journal.record(turn.now, Some(self.request.id), || Fact::Closed);
        (self.state, self.wake) = (State::Over, Time::MAX);
        Action::Finish(super::Finish { outcome, store: None })
    }
}
