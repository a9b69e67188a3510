//! The only place that decides between another attempt, a back-off, a fallback and giving up. A question about the gateway's state; changes none
//! of it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Gateway;
use super::draw::{self, Purpose};
use super::failure::{Failure, FailureClass};
use super::id::{DeploymentId, ModelId};
use super::journal::{Denial, Fact, Journal, Skip};
use super::pick::{Blocked, Needs, Picked, expressing, on_level, pick, tell_of_others};
use super::plan::{Backoff, DepthBy, Fallbacks, Model, Plan, Shown, Walk};
use super::time::{Span, Time};

/// How far a request has come: its group, its counters, and, once something has failed, its trail.
#[derive(Debug, Serialize, Deserialize)]
pub struct Progress {
    /// The group that it is in.
    pub group: ModelId,
    /// The priority level within the group.
    pub level: u32,
    /// Attempts in the group at this level.
    pub attempts: u16,
    /// Calls of the request, transport retries included.
    pub calls: u16,
    /// Transport retries of the current attempt.
    pub resends: u16,
    picks: u16,
    trail: Option<Box<Trail>>,
}

/// What is only needed once something has failed; most requests never do.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Trail {
    visited: Vec<ModelId>,
    frames: Vec<Frame>,
    depth: u32,
    tries: Vec<Try>,
    /// The last end that was met in this request's way.
    last: Option<End>,
    /// How the group asked for has ended, once another was entered.
    asked: Option<End>,
    failures: u32,
    resent: Option<Failure>,
    hop_failures: Vec<(ModelId, DeploymentId, Failure)>,
}

/// A list of fallbacks that is being walked.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Frame {
    owner: ModelId,
    list: List,
    next: u32,
    depth: u32,
    tried: u32,
}

/// Which of a group's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum List {
    General,
    ContextWindow,
    ContentPolicy,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Try {
    deployment: DeploymentId,
    attempts: u32,
    calls: u32,
    avoid: bool,
}

/// What led to the question.
#[derive(Debug, Clone, Copy)]
pub enum Last {
    /// Nothing yet: the request has just been admitted.
    Nothing,
    /// The attempt has failed.
    Failed(Failure),
    /// The back-off is over.
    Slept(Then),
}

/// What follows a back-off, or a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// Another attempt in the group.
    Retry,
    /// The group is left.
    Leave,
    /// The same call again, below the attempt.
    Resend(DeploymentId),
    /// The pick that the input was counted for, as if it had not been asked before.
    Pick,
}

/// What the request does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This call.
    Call(Picked),
    /// Nothing until then.
    Sleep {
        /// The end of the back-off.
        until: Time,
        /// What follows.
        then: Then,
    },
    /// Nothing until the input has been counted; then [`Then::Pick`].
    Count,
    /// No more.
    GiveUp(End),
}

/// How a request ends that no call has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// With the last failure.
    Failed(Failure),
    /// Refused: nothing was called.
    Refused(Denial),
}

/// Decides what a request does next.
#[inline]
pub fn next<J: Journal>(plan: &Plan, gateway: &Gateway, needs: &Needs<'_>, progress: &mut Progress, last: Last, now: Time, journal: &mut J) -> Next {
    let mut verdict = match last {
        // Late wakes, queues and flights: nobody is there any more to be answered.
        Last::Nothing | Last::Slept(_) if now >= needs.deadline => {
            if progress.calls == 0 {
                progress.trail().last = Some(End::Refused(Denial::DeadlinePassed));
            }
            Verdict::GiveUp
        }
        Last::Slept(Then::Retry | Then::Pick) if progress.calls > 0 && !gateway.may_retry(plan, needs.request.model) => Verdict::Leave,
        Last::Nothing | Last::Slept(Then::Retry | Then::Resend(..) | Then::Pick) => Verdict::Try,
        Last::Slept(Then::Leave) => Verdict::Leave,
        Last::Failed(failure) => {
            progress.trail().last = Some(End::Failed(failure));
            judge(plan, gateway, needs, progress, failure, now)
        }
    };
    let mut told = matches!(last, Last::Slept(Then::Pick));
    loop {
        match verdict {
            Verdict::Sleep { until, then } => return Next::Sleep { until, then },
            Verdict::GiveUp => return Next::GiveUp(shown(plan, needs, progress)),
            Verdict::Leave if move_on(plan, gateway, needs, progress, now, journal) => verdict = Verdict::Try,
            Verdict::Leave => return Next::GiveUp(shown(plan, needs, progress)),
            Verdict::Try => {
                if !core::mem::take(&mut told) {
                    tell_of_others(plan, needs, progress, now, journal);
                }
                match pick(plan, gateway, needs, progress, now, journal) {
                    Ok(picked) => return Next::Call(picked),
                    Err(Blocked::Uncounted) => return Next::Count,
                    Err(blocked) => verdict = blocked_by(plan, gateway, needs, progress, blocked, now, journal),
                }
            }
        }
    }
}

enum Verdict {
    Try,
    Sleep { until: Time, then: Then },
    Leave,
    GiveUp,
}

/// After a failed attempt: again here, or elsewhere, and after what wait.
fn judge(plan: &Plan, gateway: &Gateway, needs: &Needs<'_>, progress: &Progress, failure: Failure, now: Time) -> Verdict {
    if failure.class == FailureClass::Cut || now >= needs.deadline {
        return Verdict::GiveUp;
    }
    let model = plan.model(progress.group);
    if u32::from(progress.calls) >= per_request(plan, needs) {
        return Verdict::GiveUp;
    }
    let special = match failure.class {
        FailureClass::ContextWindow => model.fallbacks.context_window.is_some(),
        FailureClass::ContentPolicy => model.fallbacks.content_policy.is_some(),
        _ => false,
    };
    let in_use = || model.deployments.iter().filter(|id| !plan.deployment(**id).retired && offers(plan, needs, **id));
    let siblings = in_use().count() > 1;
    let allowed = model.attempts.allowed(failure.class, siblings);
    if special || allowed <= 1 {
        return Verdict::Leave;
    }
    let healthy = in_use().any(|id| gateway.health.may_call(model, *id, now));
    if model.attempts.only_if_healthy && !healthy {
        return Verdict::Leave;
    }
    let retried = u32::from(progress.attempts) < allowed && gateway.may_retry(plan, needs.request.model);
    if !retried && !model.backoff.after_last {
        return Verdict::Leave;
    }
    let wait = if model.backoff.only_without_healthy && siblings && healthy {
        Span::ZERO
    } else {
        let step = u32::from(progress.attempts) - 1;
        wait(gateway, needs, &model.backoff, step, failure.retry_after, progress.picks())
    };
    let until = now + wait;
    match (wait, retried) {
        (Span::ZERO, true) => Verdict::Try,
        (Span::ZERO, false) => Verdict::Leave,
        // A back-off that ends after the client has gone is money and quota for nobody.
        (_, _) if until >= needs.deadline => Verdict::Leave,
        (_, true) => Verdict::Sleep { until, then: Then::Retry },
        (_, false) => Verdict::Sleep { until, then: Then::Leave },
    }
}

/// Whether a deployment offers all that the request requires.
fn offers(plan: &Plan, needs: &Needs<'_>, id: DeploymentId) -> bool {
    plan.deployment(id).offers.have(needs.request.requires)
}

/// The wait of a back-off.
pub fn wait(gateway: &Gateway, needs: &Needs<'_>, policy: &Backoff, step: u32, retry_after: Option<Span>, ordinal: u32) -> Span {
    let jitter = Span(draw::below(draw::bits(gateway.seed, needs.request.id.0, Purpose::Jitter, ordinal), policy.jitter.0.saturating_add(1)));
    let asked = retry_after.filter(|asked| *asked > Span::ZERO && *asked <= policy.retry_after_max);
    let base = asked.unwrap_or_else(|| policy.base.doubled(step).max(policy.floor).min(policy.max));
    base + jitter
}

/// The cap on calls that applies to a request.
pub fn per_request(plan: &Plan, needs: &Needs<'_>) -> u32 {
    needs.path.overrides.attempts_per_request.unwrap_or(plan.model(needs.request.model).attempts.per_request)
}

/// Nothing in this group can be called: what the client would see of that, and where to go.
fn blocked_by<J: Journal>(
    plan: &Plan,
    gateway: &Gateway,
    needs: &Needs<'_>,
    progress: &mut Progress,
    blocked: Blocked,
    now: Time,
    journal: &mut J,
) -> Verdict {
    if let Some(reason) = blocked.skip() {
        let skipped = Fact::Skipped { model: progress.group, deployment: None, reason };
        journal.record(now, Some(needs.request.id), || skipped);
    }
    let model = plan.model(progress.group);
    let called = progress.calls > 0;
    let end = match blocked {
        // Deployments that had their attempts leave the failure that they had.
        Blocked::Exhausted => None,
        Blocked::Short(account) => (!called).then_some(End::Refused(Denial::Budget(account))),
        Blocked::TooLong => (!called).then_some(End::Refused(Denial::TooLong)),
        Blocked::PriceRatio | Blocked::Uncounted => None,
        // A group that can express it may have room again: that is worth more to the client than what this one is not able to do.
        Blocked::CannotExpress => progress.trail().last.is_none().then_some(End::Refused(Denial::CannotExpress)),
        Blocked::Unhealthy | Blocked::Saturated => {
            let class = blocked.class().expect("these two have a class");
            let level = expressing(plan, model, on_level(plan, model, progress.level), needs.request);
            let used = model.deployments.iter().enumerate().filter(|(i, _)| level & (1 << i) != 0).map(|(_, id)| *id);
            let back = gateway.health.back_at(used).filter(|_| blocked == Blocked::Unhealthy).map(|at| at.since(now));
            Some(End::Failed(Failure { retry_after: back, ..Failure::new(class) }))
        }
    };
    if let Some(end) = end {
        progress.trail().last = Some(end);
    }
    if blocked != Blocked::Saturated {
        return Verdict::Leave;
    }
    progress.attempts += 1;
    progress.picks += 1;
    judge(plan, gateway, needs, progress, Failure::new(FailureClass::Saturated), now)
}

/// Goes to the next priority level of the group, or to the next group. Says whether there was one.
fn move_on<J: Journal>(plan: &Plan, gateway: &Gateway, needs: &Needs<'_>, progress: &mut Progress, now: Time, journal: &mut J) -> bool {
    if progress.calls > 0 && !gateway.may_retry(plan, needs.request.model) {
        let skipped = Fact::Skipped { model: progress.group, deployment: None, reason: Skip::RetryBudget };
        journal.record(now, Some(needs.request.id), || skipped);
        return false;
    }
    let model = plan.model(progress.group);
    if let Some(level) = next_level(plan, model, Some(progress.level)) {
        (progress.level, progress.attempts) = (level, 0);
        return true;
    }
    let asked = plan.model(needs.request.model);
    if needs.path.overrides.fallbacks == Some(false) {
        return false;
    }
    let class = match progress.end() {
        End::Failed(failure) if !asked.fallbacks.fallback_on.has(failure.class) => return false,
        End::Failed(failure) => Some(failure.class),
        End::Refused(Denial::TooLong) => Some(FailureClass::ContextWindow),
        End::Refused(_) => None,
    };
    let walk = asked.fallbacks.walk;
    progress.descend(plan, needs.request.model, walk, class);
    while let Some(group) = progress.next_group(plan, walk) {
        match skip(plan, gateway, needs, group) {
            None => {
                progress.enter(plan, needs.request.model, group);
                return true;
            }
            Some(reason) => journal.record(now, Some(needs.request.id), || Fact::Skipped { model: group, deployment: None, reason }),
        }
    }
    false
}

/// What the client sees of a request that nothing has answered.
fn shown(plan: &Plan, needs: &Needs<'_>, progress: &Progress) -> End {
    let last = progress.end();
    let nobody = matches!(last, End::Failed(failure) if failure.class == FailureClass::NoDeployment);
    let asked = progress.trail.as_ref().and_then(|trail| trail.asked);
    match plan.model(needs.request.model).fallbacks.shown {
        Shown::Asked if !nobody => asked.unwrap_or(last),
        Shown::Asked | Shown::Last => last,
    }
}

/// Why a fallback group is not entered, if it is not.
fn skip(plan: &Plan, gateway: &Gateway, needs: &Needs<'_>, group: ModelId) -> Option<Skip> {
    let (asked, model) = (plan.model(needs.request.model), plan.model(group));
    if model.retired {
        return Some(Skip::Retired);
    }
    if asked.fallbacks.same_tier && model.tier != asked.tier {
        return Some(Skip::Tier);
    }
    (!gateway.directory.may_use(needs.request.key, group)).then_some(Skip::ModelNotAllowed)
}

/// The lowest priority level of a group above `after`.
fn next_level(plan: &Plan, model: &Model, after: Option<u32>) -> Option<u32> {
    let levels = model.deployments.iter().map(|id| plan.deployment(*id)).filter(|deployment| !deployment.retired);
    levels.map(|deployment| deployment.order).filter(|order| after.is_none_or(|after| *order > after)).min()
}

impl Progress {
    /// At the group asked for, before anything was tried.
    #[inline]
    pub fn new(plan: &Plan, group: ModelId) -> Self {
        let level = next_level(plan, plan.model(group), None).unwrap_or(0);
        Self { group, level, attempts: 0, calls: 0, resends: 0, picks: 0, trail: None }
    }

    /// Before the request has arrived.
    pub const fn nowhere() -> Self {
        Self { group: ModelId(0), level: 0, attempts: 0, calls: 0, resends: 0, picks: 0, trail: None }
    }

    /// How often this request has picked or waited: the ordinal of its draws.
    #[inline]
    pub fn picks(&self) -> u32 {
        u32::from(self.picks)
    }

    /// A call leaves; `attempt` unless it is a transport retry. Returns how often the deployment was called before.
    #[inline]
    pub fn called(&mut self, deployment: DeploymentId, attempt: bool) -> u32 {
        self.calls += 1;
        self.picks += 1;
        if attempt {
            self.attempts += 1;
            self.resends = 0;
        } else {
            self.resends += 1;
        }
        // A first call needs no trail: `failed` notes it when it has failed.
        let Some(trail) = &mut self.trail else { return 0 };
        let entry = trail.entry(deployment);
        entry.attempts += u32::from(attempt);
        entry.calls += 1;
        entry.calls - 1
    }

    /// The call to `deployment` has failed.
    pub fn failed(&mut self, deployment: DeploymentId, avoid: bool) {
        let first = self.trail.is_none();
        let entry = self.trail().entry(deployment);
        if first {
            (entry.attempts, entry.calls) = (1, 1);
        }
        entry.avoid |= avoid;
        self.trail().failures += 1;
    }

    /// The call to `deployment` will be sent again, below the attempt.
    pub fn resent(&mut self, deployment: DeploymentId, failure: Failure) {
        let first = self.trail.is_none();
        self.trail().resent = Some(failure);
        let entry = self.trail().entry(deployment);
        if first {
            (entry.attempts, entry.calls) = (1, 1);
        }
    }

    /// The failure after which the call is sent again.
    pub fn resent_after(&self) -> Option<Failure> {
        self.trail.as_ref().and_then(|trail| trail.resent)
    }

    /// Failures so far.
    pub fn failures(&self) -> u32 {
        self.trail.as_ref().map_or(0, |trail| trail.failures)
    }

    /// Keeps a failure on a fallback hop until it is known how the request ends.
    pub fn defer(&mut self, deployment: DeploymentId, failure: Failure) {
        let group = self.group;
        self.trail().hop_failures.push((group, deployment, failure));
    }

    /// The failures that were kept.
    pub fn deferred(&mut self) -> Vec<(ModelId, DeploymentId, Failure)> {
        self.trail.as_mut().map_or_else(Vec::new, |trail| core::mem::take(&mut trail.hop_failures))
    }

    /// Attempts of this request on a deployment.
    #[inline]
    pub fn attempts_on(&self, deployment: DeploymentId) -> u32 {
        let Some(trail) = &self.trail else { return 0 };
        trail.tries.iter().find(|entry| entry.deployment == deployment).map_or(0, |entry| entry.attempts)
    }

    /// The deployments of the group that are not picked while others may be, as bits.
    #[inline]
    pub fn avoided(&self, model: &Model) -> u64 {
        let Some(trail) = &self.trail else { return 0 };
        let avoided = |id: DeploymentId| trail.tries.iter().any(|entry| entry.deployment == id && entry.avoid);
        model.deployments.iter().enumerate().fold(0, |bits, (i, id)| bits | u64::from(avoided(*id)) << i)
    }

    /// The last end that was met.
    fn end(&self) -> End {
        let last = self.trail.as_ref().and_then(|trail| trail.last);
        last.unwrap_or(End::Failed(Failure::new(FailureClass::NoDeployment)))
    }

    fn trail(&mut self) -> &mut Trail {
        self.trail.get_or_insert_with(Box::default)
    }

    fn enter(&mut self, plan: &Plan, asked: ModelId, group: ModelId) {
        if self.group == asked {
            let trail = self.trail();
            trail.asked = trail.last;
        }
        self.group = group;
        self.level = next_level(plan, plan.model(group), None).unwrap_or(0);
        self.attempts = 0;
    }

    /// The group has failed: its own fallbacks come next, if the walk goes so deep.
    fn descend(&mut self, plan: &Plan, asked: ModelId, walk: Walk, class: Option<FailureClass>) {
        let group = self.group;
        let trail = self.trail();
        let depth = trail.depth;
        let list = match class {
            Some(FailureClass::ContextWindow) if plan.model(group).fallbacks.context_window.is_some() => List::ContextWindow,
            Some(FailureClass::ContentPolicy) if plan.model(group).fallbacks.content_policy.is_some() => List::ContentPolicy,
            _ => List::General,
        };
        let (depth_max, resume_origin) = match walk {
            Walk::Flat => (1, false),
            Walk::DepthFirst { depth_max, resume_origin, .. } => (depth_max, resume_origin),
        };
        if trail.visited.is_empty() {
            trail.visited.push(asked);
        } else if walk == Walk::Flat {
            return;
        }
        if depth >= depth_max {
            return;
        }
        let own = !of(&plan.model(group).fallbacks, list).is_empty();
        if own || (resume_origin && group != asked) {
            let owner = if own { group } else { asked };
            trail.frames.push(Frame { owner, list, next: 0, depth, tried: 0 });
        }
    }

    /// The next group that was not visited yet.
    fn next_group(&mut self, plan: &Plan, walk: Walk) -> Option<ModelId> {
        let trail = self.trail();
        while let Some(frame) = trail.frames.last_mut() {
            let Some(group) = of(&plan.model(frame.owner).fallbacks, frame.list).get(frame.next as usize).copied() else {
                trail.frames.pop();
                continue;
            };
            frame.next += 1;
            if trail.visited.contains(&group) {
                continue;
            }
            trail.depth = frame.depth + 1;
            if let Walk::DepthFirst { depth_by: DepthBy::Sibling, .. } = walk {
                trail.depth += frame.tried;
            }
            frame.tried += 1;
            trail.visited.push(group);
            return Some(group);
        }
        None
    }
}

impl Trail {
    fn entry(&mut self, deployment: DeploymentId) -> &mut Try {
        if let Some(place) = self.tries.iter().position(|entry| entry.deployment == deployment) {
            return &mut self.tries[place];
        }
        self.tries.push(Try { deployment, attempts: 0, calls: 0, avoid: false });
        self.tries.last_mut().expect("just pushed")
    }
}

fn of(fallbacks: &Fallbacks, list: List) -> &[ModelId] {
    match list {
        List::General => &fallbacks.groups,
        List::ContextWindow => fallbacks.context_window.as_deref().unwrap_or_default(),
        List::ContentPolicy => fallbacks.content_policy.as_deref().unwrap_or_default(),
    }
}
