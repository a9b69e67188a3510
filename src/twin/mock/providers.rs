//! The simulator's world behind one lock, at live instants: gives every call its fate, closes it, and has it billed. Knows no HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use slab::Slab;
use tokio::sync::Notify;

use super::bill::{Bills, Ended, Entry};
use crate::clock::Clock;
use crate::gateway::draw::Purpose;
use crate::gateway::id::{DeploymentId, RequestId, Slot};
use crate::gateway::plan::Plan;
use crate::gateway::time::{Span, Time};
use crate::price::tokens::Ratio;
use crate::sim::fate::{End, Ending, Fate};
use crate::sim::upstream::{Allowance, Prompt, Upstream};
use crate::traffic::distribution::{Distribution, Draws};

/// Requests whose calls are counted; of older ones the next call counts as the first again.
const REQUESTS_REMEMBERED: usize = 1 << 20;
/// Ids of requests that come without a trace: those that the simulator has for the last retry of all that a row may have.
const UNTRACED: u64 = 0xFFFF << 48;

/// All providers, live.
pub struct Providers {
    locked: Mutex<Locked>,
    plan: Arc<Plan>,
    clock: Clock,
    seed: u64,
    lengths: Distribution,
    /// What calls have cost.
    pub bills: Bills,
}

struct Locked {
    upstream: Upstream,
    now: Time,
    has_begun: bool,
    untraced: u64,
    calls: u64,
    /// Calls of each request to each deployment: those of late, and those before.
    nths: [HashMap<(RequestId, DeploymentId), u32>; 2],
    open: Slab<Arc<Place>>,
}

/// What a call that waits for a place is told when somebody before it leaves.
#[derive(Debug)]
struct Place {
    fate: Mutex<Fate>,
    moved: Notify,
}

/// Whose call it is, as its headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The trace that it belongs to.
    pub trace: Option<u128>,
    /// The span that made it.
    pub parent: u64,
}

/// What is wanted of a call.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Tokens of the prompt.
    pub input_tokens: u32,
    /// Output tokens of the whole answer if nothing limits it; drawn where the caller doesn't say.
    pub output_tokens: Option<u32>,
    /// The limit on output, if stated.
    pub max_tokens: Option<u32>,
    /// Answers.
    pub choices: u16,
    /// As a stream.
    pub stream: bool,
    /// The chained blocks of the prompt.
    pub blocks: &'a [u64],
    /// Tokens in one.
    pub block_size: u32,
    /// What these are here; all else is counted as here already.
    pub block_ratio: Ratio,
}

/// A call that is open. Dropped before it has ended, it is closed by its caller, now.
pub struct Open {
    providers: Arc<Providers>,
    place: Arc<Place>,
    slot: Slot,
    deployment: DeploymentId,
    origin: Origin,
    has_ended: bool,
    stream: bool,
    nth: u32,
    /// Its number at this twin.
    pub number: u64,
    /// When it was made.
    pub at: Time,
    /// When the latest token left, if one did: what is generated is what was handed on.
    pub generated_at: Option<Time>,
    /// Whether the limit on output ends it.
    pub is_limited: bool,
}

impl Providers {
    /// The providers of `plan`'s deployments. `lengths` is what outputs are drawn from that no caller states.
    pub fn new(plan: Arc<Plan>, upstream: Upstream, seed: u64, lengths: Distribution, clock: Clock, bills: Bills) -> Self {
        let locked = Locked { upstream, now: Time(0), has_begun: false, untraced: 0, calls: 0, nths: Default::default(), open: Slab::new() };
        Self { locked: Mutex::new(locked), plan, clock, seed, lengths, bills }
    }

    /// What they provide.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where their time comes from.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Makes a call.
    pub fn call(self: &Arc<Self>, deployment: DeploymentId, origin: Origin, wanted: &Wanted<'_>) -> Open {
        let mut locked = self.lock();
        let now = locked.read(&self.clock);
        if !locked.has_begun {
            locked.has_begun = true;
            locked.upstream.begin(now);
        }
        let request = locked.request(origin);
        let nth = locked.nth(request, deployment);
        locked.calls += 1;
        let number = locked.calls;
        let output_tokens = wanted.output_tokens.unwrap_or_else(|| self.drawn_length(request));
        let output_tokens_max = self.plan.deployment(deployment).output_tokens_max;
        let max_tokens = wanted.max_tokens.map_or(output_tokens_max, |stated| stated.min(output_tokens_max));
        let slot = Slot(u32::try_from(locked.open.vacant_key()).expect("fewer than 2^32 calls are open"));
        let prompt = Prompt {
            request,
            slot,
            input_tokens: wanted.input_tokens,
            output_tokens,
            choices: wanted.choices,
            stream: wanted.stream,
            blocks: wanted.blocks,
            block_size: wanted.block_size,
            block_ratio: wanted.block_ratio,
            recorded: None,
        };
        let fate = locked.upstream.call(now, deployment, nth, max_tokens, &prompt);
        let place = Arc::new(Place { fate: Mutex::new(fate), moved: Notify::new() });
        locked.open.insert(Arc::clone(&place));
        drop(locked);
        let is_limited = output_tokens > max_tokens.saturating_mul(u32::from(wanted.choices));
        Open {
            providers: Arc::clone(self),
            place,
            slot,
            deployment,
            origin,
            has_ended: false,
            stream: wanted.stream,
            nth,
            number,
            at: now,
            generated_at: None,
            is_limited,
        }
    }

    /// What is left of a deployment's limits.
    pub fn allowances(&self, deployment: DeploymentId) -> Vec<Allowance> {
        let mut locked = self.lock();
        let now = locked.read(&self.clock);
        locked.upstream.allowances(now, deployment)
    }

    /// One draw for a request, whichever deployment answers it.
    fn drawn_length(&self, request: RequestId) -> u32 {
        let drawn = self.lengths.draw_whole(&mut Draws::new(self.seed, request.0, Purpose::Output, 0));
        u32::try_from(drawn).unwrap_or(u32::MAX).max(1)
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        // What a panic has left behind is no world that anything can be tried in.
        self.locked.lock().expect("the world has not panicked")
    }
}

impl Locked {
    /// Reads the clock under the lock, so that calls have their times in their order.
    fn read(&mut self, clock: &Clock) -> Time {
        self.now = self.now.max(clock.now());
        self.now
    }

    /// Luck is keyed by the lower half of the trace id, which in a trace of `gwsim load` is the simulator's own id of the request.
    fn request(&mut self, origin: Origin) -> RequestId {
        match origin.trace {
            Some(trace) => RequestId(trace as u64),
            None => {
                self.untraced += 1;
                RequestId(UNTRACED | self.untraced)
            }
        }
    }

    fn nth(&mut self, request: RequestId, deployment: DeploymentId) -> u32 {
        let [recent, older] = &mut self.nths;
        let before = recent.get(&(request, deployment)).or_else(|| older.get(&(request, deployment))).copied().unwrap_or(0);
        recent.insert((request, deployment), before + 1);
        if recent.len() > REQUESTS_REMEMBERED {
            *older = std::mem::take(recent);
        }
        before
    }

    fn tell_moved(&mut self) {
        for (slot, fate) in self.upstream.take_moved() {
            if let Some(place) = self.open.get(slot.index()) {
                *place.fate.lock().expect("nobody panics with it") = fate;
                place.moved.notify_one();
            }
        }
    }
}

impl Open {
    /// What becomes of it, as things stand. Final once it has begun.
    pub fn fate(&self) -> Fate {
        *self.place.fate.lock().expect("nobody panics with it")
    }

    /// Waits until it has a status line for its caller: when its stream opens, or it ends. Never ready if it never does.
    pub async fn answered(&self) -> Fate {
        loop {
            let fate = self.fate();
            let at = if fate.stream && fate.opens_at != Time::MAX { fate.opens_at } else { fate.ends_at };
            let moved = self.place.moved.notified();
            if at == Time::MAX {
                moved.await;
                continue;
            }
            if self.providers.clock.now() >= at {
                return fate;
            }
            let instant = tokio::time::Instant::from_std(self.providers.clock.instant(at));
            tokio::select! {
                () = tokio::time::sleep_until(instant) => {}
                () = moved => {}
            }
        }
    }

    /// It has ended as its fate was.
    pub fn end(mut self) {
        self.bill(End::ByItself);
    }

    /// Where its time comes from.
    pub fn clock(&self) -> Clock {
        self.providers.clock.clone()
    }

    fn bill(&mut self, end: End) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let fate = self.fate();
        let mut locked = self.providers.lock();
        let now = locked.read(&self.providers.clock);
        let billing = locked.upstream.world(self.deployment).billing;
        if now < fate.ends_at && end != End::ByItself {
            locked.upstream.close(now, self.deployment, self.slot, &fate);
        }
        locked.open.remove(self.slot.index());
        locked.tell_moved();
        drop(locked);
        let deployment = self.providers.plan.deployment(self.deployment);
        let usage = fate.bill(end, &billing);
        let (status, ended) = told(&fate, end, self.generated_at.is_some());
        self.providers.bills.enter(Entry {
            number: self.number,
            trace: self.origin.trace,
            parent: self.origin.parent,
            nth: self.nth,
            deployment: &deployment.name,
            model: &deployment.model,
            at: self.at,
            ended_at: now,
            stream: self.stream,
            status,
            ended,
            usage,
            cost: usage.map(|usage| deployment.rates.at(self.at).cost(usage)).unwrap_or_default(),
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.has_ended || std::thread::panicking() {
            return;
        }
        let fate = self.fate();
        // What nobody was handed was not generated, however late the close is seen: time may run faster here than on the wire.
        let seen = self.providers.clock.now();
        let before_first = if fate.opens_at == Time::MAX { Time::MAX } else { Time(fate.opens_at.0.saturating_sub(1)) };
        let at = self.generated_at.unwrap_or_else(|| seen.min(before_first));
        self.bill(End::Closed(at.max(self.at + Span::ZERO)));
    }
}

/// The status that the caller has seen, and how the call ended.
fn told(fate: &Fate, end: End, has_opened: bool) -> (Option<u16>, Ended) {
    match (end, fate.ending) {
        (End::Closed(_) | End::TimedOut(_), _) => (has_opened.then_some(200), Ended::Closed),
        (_, Ending::Whole) => (Some(200), Ended::Whole),
        (_, Ending::Cut(_)) => (Some(200), Ended::Cut),
        (_, Ending::Silent(_)) => (None, Ended::Broken),
        (_, Ending::Failed(failure)) if super::is_broken(&failure) => (None, Ended::Broken),
        (_, Ending::Failed(failure) | Ending::Refused(failure)) => (Some(failure.status), Ended::Refused),
    }
}
