//! Requests and tokens in a time, and requests at one time. Knows what is counted, not who asks or why.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::id::{LimitId, LimitListId, RequestId, Slot};
use super::in_flight::Wake;
use super::plan::{Anchor, LimitKind, LimitSpec, Refill, TokenCount};
use super::scope::Owner;
use super::shared::Shared;
use super::time::{Span, Time};

/// A count that comes down again with time: a token bucket or a fixed window. Exact: no rounding, no float.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    refill: Refill,
    amount: u64,
    period: Span,
    /// Bucket: the instant that `level` is of. Window: where the current one began.
    since: Time,
    /// Bucket: what is left, in units of 1/period. Window: what was used in the current one.
    level: i128,
    /// Bucket: the last instant at which it was known to be full.
    full_at: Time,
    used_ever: bool,
}

impl Meter {
    /// A meter of `amount` per `period`: a bucket that is full at its first use, or an unused window.
    pub fn new(refill: Refill, amount: u64, period: Span) -> Self {
        let level = match refill {
            Refill::Bucket => i128::from(amount) * i128::from(period.0),
            Refill::Window(_) => 0,
        };
        Self { refill, amount, period, since: Time(0), level, full_at: Time(0), used_ever: false }
    }

    /// Whether `n` more fit at `now`.
    #[inline]
    pub fn fits(&self, now: Time, n: u64) -> bool {
        let (_, level) = self.at(now);
        match self.refill {
            Refill::Bucket => level >= i128::from(n) * i128::from(self.period.0),
            Refill::Window(_) => level + i128::from(n) <= i128::from(self.amount),
        }
    }

    /// Counts `n`, whether they fit or not.
    #[inline]
    pub fn take(&mut self, now: Time, n: u64) {
        (self.since, self.level) = self.at(now);
        self.used_ever = true;
        match self.refill {
            Refill::Bucket => {
                if self.level == self.capacity() {
                    self.full_at = now;
                }
                self.level -= i128::from(n) * i128::from(self.period.0);
            }
            Refill::Window(_) => self.level += i128::from(n),
        }
    }

    /// Gives back `n` that were taken at `taken_at` and not used. A window that has ended since keeps what it counted, and what was taken before
    /// a bucket was full again has run in already.
    pub fn put_back(&mut self, now: Time, taken_at: Time, n: u64) {
        let over = match self.refill {
            Refill::Bucket => taken_at < self.full_at,
            Refill::Window(_) => now.since(self.since) >= self.period || taken_at < self.since,
        };
        if over {
            return;
        }
        (self.since, self.level) = self.at(now);
        match self.refill {
            Refill::Bucket => self.level = (self.level + i128::from(n) * i128::from(self.period.0)).min(self.capacity()),
            Refill::Window(_) => self.level = (self.level - i128::from(n)).max(0),
        }
    }

    /// How long from `now` until `n` fit, if nothing else is taken; [`Span::MAX`] if they never do.
    pub fn wait(&self, now: Time, n: u64) -> Span {
        if n > self.amount {
            return Span::MAX;
        }
        if self.fits(now, n) {
            return Span::ZERO;
        }
        let (since, level) = self.at(now);
        match self.refill {
            Refill::Bucket => {
                let missing = i128::from(n) * i128::from(self.period.0) - level;
                let amount = i128::from(self.amount);
                Span(saturated((missing + amount - 1) / amount))
            }
            Refill::Window(_) => (since + self.period).since(now),
        }
    }

    /// The tokens left at `now`, rounded down; zero in debt.
    pub fn left(&self, now: Time) -> u64 {
        let (_, level) = self.at(now);
        let left = match self.refill {
            Refill::Bucket => level / i128::from(self.period.0),
            Refill::Window(_) => i128::from(self.amount) - level,
        };
        u64::try_from(left.max(0)).unwrap_or(u64::MAX)
    }

    /// How long from `now` until nothing is used any more, if nothing else is taken; [`Span::MAX`] if that never comes.
    pub fn full_in(&self, now: Time) -> Span {
        let (since, level) = self.at(now);
        match self.refill {
            Refill::Bucket => {
                let (missing, amount) = (self.capacity() - level, i128::from(self.amount));
                if missing == 0 { Span::ZERO } else { Span((missing + amount - 1).checked_div(amount).map_or(u64::MAX, saturated)) }
            }
            Refill::Window(_) if level == 0 => Span::ZERO,
            Refill::Window(_) => (since + self.period).since(now),
        }
    }

    fn capacity(&self) -> i128 {
        i128::from(self.amount) * i128::from(self.period.0)
    }

    /// (`since`, `level`) as they are at `now`.
    #[inline]
    fn at(&self, now: Time) -> (Time, i128) {
        match self.refill {
            Refill::Bucket => {
                let filled = self.level + i128::from(now.since(self.since).0) * i128::from(self.amount);
                (now, filled.min(self.capacity()))
            }
            Refill::Window(_) if self.used_ever && now.since(self.since) < self.period => (self.since, self.level),
            Refill::Window(anchor) => (self.window_start(anchor, now), 0),
        }
    }

    fn window_start(&self, anchor: Anchor, now: Time) -> Time {
        let period = self.period.0.max(1);
        match anchor {
            Anchor::Clock => Time(now.0 / period * period),
            Anchor::Start if self.used_ever => self.since + Span(now.since(self.since).0 / period * period),
            Anchor::FirstUse | Anchor::Start => now,
        }
    }
}

fn saturated(n: i128) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// What one request or call asks of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Input tokens, as counted at admission.
    pub input: u64,
    /// Output tokens at most.
    pub output: u64,
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// All limits have room.
    Fits,
    /// This one has none.
    Full(LimitId),
    /// This concurrency limit has none, but a place in its queue.
    Queue(LimitId),
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The limit.
    pub limit: LimitId,
    /// What it admits in its period, or at one time.
    pub amount: u64,
    /// What of that is left.
    pub remaining: u64,
    /// How long until all of it is left again, if nothing else is taken; [`Span::MAX`] if that never comes, or cannot be known.
    pub full_in: Span,
}

/// All limits of a gateway.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Limits {
    limits: Vec<Limit>,
    /// Whose each limit is. Apart, as no request asks.
    owners: Vec<Owner>,
    /// Change with commands only.
    lists: Shared<Vec<Vec<LimitId>>>,
    /// How many requests have waited so far.
    waited: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Limit {
    spec: LimitSpec,
    meter: Meter,
    in_use: u64,
    waiters: VecDeque<Waiter>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Waiter {
    /// Who has the lower one has waited longer. Every queue is in this order.
    number: u64,
    slot: Slot,
    request: RequestId,
    /// All concurrency limits that it needs a place at.
    needs: Vec<LimitId>,
}

impl Limits {
    /// Adds a limit.
    pub fn add(&mut self, owner: Owner, spec: LimitSpec) -> LimitId {
        let id = LimitId(u32::try_from(self.limits.len()).expect("fewer than 2^32 limits"));
        self.limits.push(Limit { spec, meter: Self::meter(&spec), in_use: 0, waiters: VecDeque::new() });
        self.owners.push(owner);
        id
    }

    /// Changes a limit. What it has counted stays, unless its window has changed.
    ///
    /// # Panics
    /// If it counts something else from now on: that is another limit ([`Self::counts_alike`]), or places taken here would be returned there.
    pub fn change(&mut self, id: LimitId, spec: LimitSpec) {
        let limit = &mut self.limits[id.index()];
        if limit.spec == spec {
            return;
        }
        assert!((limit.spec.kind, limit.spec.count) == (spec.kind, spec.count), "another limit");
        let mut meter = Self::meter(&spec);
        if (limit.spec.refill, limit.spec.period) == (spec.refill, spec.period) {
            (meter.since, meter.full_at, meter.used_ever) = (limit.meter.since, limit.meter.full_at, limit.meter.used_ever);
            meter.level = match spec.refill {
                // What is missing stays missing.
                Refill::Bucket => limit.meter.level - limit.meter.capacity() + meter.capacity(),
                Refill::Window(_) => limit.meter.level,
            };
        }
        limit.meter = meter;
        limit.spec = spec;
    }

    /// Whether a limit can go on under `spec`.
    pub(super) fn counts_alike(&self, id: LimitId, spec: &LimitSpec) -> bool {
        let old = self.spec(id);
        (old.kind, old.count) == (spec.kind, spec.count)
    }

    /// Gives places to those who wait, after limits have changed.
    pub(super) fn assign_all(&mut self, ready: &mut VecDeque<(Slot, Wake)>) {
        let ids = (0..).zip(&self.limits).filter(|(_, limit)| !limit.waiters.is_empty()).map(|(id, _)| LimitId(id));
        let ids: Vec<LimitId> = ids.collect();
        self.assign(ready, |limits| limits.first_in_line(ids.iter()));
    }

    /// A list of limits that never changes: `old` if it is the same.
    pub fn list(&mut self, ids: &[LimitId], old: Option<LimitListId>) -> LimitListId {
        if let Some(old) = old.filter(|old| self.lists[old.index()] == ids) {
            return old;
        }
        self.lists.change().push(ids.to_vec());
        LimitListId(u32::try_from(self.lists.len() - 1).expect("fewer than 2^32 lists"))
    }

    /// The limits of a list.
    #[inline]
    pub fn ids(&self, list: LimitListId) -> &[LimitId] {
        &self.lists[list.index()]
    }

    /// Whose a limit is, if there is such a limit.
    pub fn owner(&self, id: LimitId) -> Option<Owner> {
        self.owners.get(id.index()).copied()
    }

    /// What is left of a limit.
    pub fn allowance(&self, id: LimitId, now: Time) -> Allowance {
        let Limit { spec, meter, in_use, .. } = &self.limits[id.index()];
        if spec.kind == LimitKind::Concurrency {
            let full_in = if *in_use == 0 { Span::ZERO } else { Span::MAX };
            return Allowance { limit: id, amount: spec.amount, remaining: spec.amount.saturating_sub(*in_use), full_in };
        }
        Allowance { limit: id, amount: spec.amount, remaining: meter.left(now), full_in: meter.full_in(now) }
    }

    /// A limit's rules.
    pub fn spec(&self, id: LimitId) -> &LimitSpec {
        &self.limits[id.index()].spec
    }

    /// Whether all limits on a list have room for `ask`.
    #[inline]
    pub fn fit(&self, list: LimitListId, now: Time, ask: Ask) -> Room {
        let mut room = Room::Fits;
        for id in self.ids(list) {
            let limit = &self.limits[id.index()];
            if limit.fits(now, ask) {
                continue;
            }
            if !limit.has_queue() {
                return Room::Full(*id);
            }
            // The first queue is the one to wait in, unless another limit refuses.
            if room == Room::Fits {
                room = Room::Queue(*id);
            }
        }
        room
    }

    /// Counts `ask` on the rate limits on a list and takes a place at its concurrency limits.
    #[inline]
    pub fn take(&mut self, list: LimitListId, now: Time, ask: Ask) {
        for id in &self.lists[list.index()] {
            let limit = &mut self.limits[id.index()];
            if limit.spec.kind == LimitKind::Concurrency {
                limit.in_use += 1;
            } else {
                limit.count(now, ask);
            }
        }
    }

    /// Which rate limit on a list has no room for `ask`, if one has not: for requests that have their places already.
    pub fn rates_short(&self, list: LimitListId, now: Time, ask: Ask) -> Option<LimitId> {
        let rates = self.ids(list).iter().copied().filter(|id| self.limits[id.index()].spec.kind != LimitKind::Concurrency);
        rates.into_iter().find(|id| !self.limits[id.index()].fits(now, ask))
    }

    /// Counts `ask` on the rate limits on a list only: for requests that have their places already.
    pub fn take_rates(&mut self, list: LimitListId, now: Time, ask: Ask) {
        for id in &self.lists[list.index()] {
            let limit = &mut self.limits[id.index()];
            if limit.spec.kind != LimitKind::Concurrency {
                limit.count(now, ask);
            }
        }
    }

    /// Undoes [`Self::take`]: puts right what was counted at `taken_at`, now that the usage is known, and returns the places, which whoever
    /// waits is given.
    #[inline]
    pub fn give_back(&mut self, lists: &[LimitListId], now: Time, taken_at: Time, ask: Ask, used: Ask, ready: &mut VecDeque<(Slot, Wake)>) {
        for id in lists.iter().flat_map(|list| &self.lists[list.index()]) {
            self.limits[id.index()].correct(now, taken_at, ask, used);
        }
        self.return_places(lists, ready);
    }

    /// Returns the places at the concurrency limits on lists, all of them before any is given to whoever waits.
    #[inline]
    pub fn return_places(&mut self, lists: &[LimitListId], ready: &mut VecDeque<(Slot, Wake)>) {
        let mut waited_for = false;
        for id in lists.iter().flat_map(|list| &self.lists[list.index()]) {
            let limit = &mut self.limits[id.index()];
            if limit.spec.kind == LimitKind::Concurrency {
                assert!(limit.in_use > 0, "a place is returned once");
                limit.in_use -= 1;
                waited_for |= !limit.waiters.is_empty();
            }
        }
        if waited_for {
            self.assign(ready, |limits| limits.first_in_line(lists.iter().flat_map(|list| limits.ids(*list))));
        }
    }

    /// Lets a request wait before limit `at` until all concurrency limits on `lists` have a place.
    pub fn wait(&mut self, at: LimitId, slot: Slot, request: RequestId, lists: [LimitListId; 2]) {
        let all = lists.iter().flat_map(|list| self.ids(*list)).copied();
        let needs = all.filter(|id| self.limits[id.index()].spec.kind == LimitKind::Concurrency).collect();
        self.waited += 1;
        self.limits[at.index()].waiters.push_back(Waiter { number: self.waited, slot, request, needs });
    }

    /// Takes a request out of the queue on `lists` that it waits in, and says before which limit that was.
    pub fn stop_waiting(&mut self, request: RequestId, lists: [LimitListId; 2]) -> Option<LimitId> {
        for id in lists.iter().flat_map(|list| &self.lists[list.index()]) {
            let waiters = &mut self.limits[id.index()].waiters;
            if let Some(place) = waiters.iter().position(|waiter| waiter.request == request) {
                waiters.remove(place);
                return Some(*id);
            }
        }
        None
    }

    /// Places in use and requests waiting, over all limits: both zero when nothing is in flight.
    pub fn outstanding(&self) -> (u64, usize) {
        (self.limits.iter().map(|limit| limit.in_use).sum(), self.limits.iter().map(|limit| limit.waiters.len()).sum())
    }

    /// Forgets places and waiters: after a crash nobody is there to return them.
    pub(super) fn forget_places(&mut self) {
        for limit in &mut self.limits {
            limit.in_use = 0;
            limit.waiters.clear();
        }
    }

    /// How long until the limit has room again.
    pub fn retry_after(&self, id: LimitId, now: Time) -> Span {
        let limit = &self.limits[id.index()];
        if limit.spec.kind == LimitKind::Concurrency { Span::SECOND } else { limit.meter.wait(now, 1) }
    }

    /// Gives places to those who wait, as long as `next` says at which limit: by how long they have waited, whichever queue they are in.
    fn assign(&mut self, ready: &mut VecDeque<(Slot, Wake)>, next: impl Fn(&Self) -> Option<LimitId>) {
        while let Some(id) = next(self) {
            let waiter = self.limits[id.index()].waiters.pop_front().expect("the front is there");
            let full = waiter.needs.iter().copied().find(|need| !self.limits[need.index()].has_place());
            match full {
                // It goes on waiting where it is held up now, or a place there would never reach it; before those who have come after it.
                Some(other) if self.limits[other.index()].has_queue() => {
                    let waiters = &mut self.limits[other.index()].waiters;
                    let place = waiters.partition_point(|earlier| earlier.number < waiter.number);
                    waiters.insert(place, waiter);
                }
                Some(other) => ready.push_back((waiter.slot, Wake::TurnedAway(other))),
                None => {
                    for need in &waiter.needs {
                        self.limits[need.index()].in_use += 1;
                    }
                    ready.push_back((waiter.slot, Wake::Admitted));
                }
            }
        }
    }

    /// Of these limits the one with a place that the request at the front of its queue has waited for the longest.
    fn first_in_line<'a>(&self, ids: impl Iterator<Item = &'a LimitId>) -> Option<LimitId> {
        let fronts = ids.filter_map(|id| {
            let limit = &self.limits[id.index()];
            limit.waiters.front().filter(|_| limit.has_place()).map(|waiter| (waiter.number, *id))
        });
        fronts.min().map(|(_, id)| id)
    }

    fn meter(spec: &LimitSpec) -> Meter {
        Meter::new(spec.refill, spec.amount, spec.period)
    }
}

impl Limit {
    #[inline]
    fn fits(&self, now: Time, ask: Ask) -> bool {
        if self.spec.kind == LimitKind::Concurrency {
            return self.has_place();
        }
        // A count that is taken afterwards admits while anything is left.
        self.meter.fits(now, self.counted_at_admission(ask).max(1))
    }

    #[inline]
    fn count(&mut self, now: Time, ask: Ask) {
        let n = self.counted_at_admission(ask);
        if n > 0 {
            self.meter.take(now, n);
        }
    }

    #[inline]
    fn correct(&mut self, now: Time, taken_at: Time, ask: Ask, used: Ask) {
        let Some(used) = self.spec.kind.tokens(used) else { return };
        let taken = self.counted_at_admission(ask);
        if used > taken {
            self.meter.take(now, used - taken);
        } else if used < taken {
            self.meter.put_back(now, taken_at, taken - used);
        }
    }

    fn has_place(&self) -> bool {
        self.in_use < self.spec.amount
    }

    /// Whether one more may wait for a place.
    fn has_queue(&self) -> bool {
        self.spec.kind == LimitKind::Concurrency && self.spec.queue.is_some_and(|queue| self.waiters.len() < queue.length_max as usize)
    }

    #[inline]
    fn counted_at_admission(&self, ask: Ask) -> u64 {
        match (self.spec.kind.tokens(ask), self.spec.count) {
            (None, _) => 1,
            (Some(tokens), TokenCount::Reserve) => tokens,
            (Some(_), TokenCount::After) => 0,
        }
    }
}

impl LimitKind {
    /// The tokens of `ask` that this kind counts, if it counts tokens.
    #[inline]
    const fn tokens(self, ask: Ask) -> Option<u64> {
        match self {
            Self::Requests | Self::Concurrency => None,
            Self::InputTokens => Some(ask.input),
            Self::OutputTokens => Some(ask.output),
            Self::TotalTokens => Some(ask.input + ask.output),
        }
    }
}
