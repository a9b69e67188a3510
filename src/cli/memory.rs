//! How long what happens can matter to what happens later, and what a scenario makes happen at a time of its own choosing: what the report must know
//! to cut time into blocks. Knows no statistics.
//!
//! Only what a run made use of counts: a cooldown that never began remembers nothing. What has no length of its own (a smoothed latency, a queue, a
//! bucket of retries) is left to the statistics, which take neighbouring blocks to be alike.

use crate::gateway::calendar::Calendar;
use crate::gateway::command::Command;
use crate::gateway::id::{AccountId, LimitId};
use crate::gateway::journal::Denial;
use crate::gateway::plan::{BudgetSpec, BudgetWindow, LimitKind, LimitSpec, OnShort, Plan, Strategy};
use crate::gateway::time::{Span, Time};
use crate::report;
use crate::report::totals::{Supply, Totals, denial_index};
use crate::sim::client::UnknownKey;
use crate::sim::driver::Variant;
use crate::sim::world::{Counted, DeploymentWorld, Limiter, ProviderLimit, RetryAfter, When};

/// The longest time that anything in these variants remembers, of what their runs made use of.
pub fn longest(simulated: &[Variant], reported: &[report::Variant]) -> Span {
    let runs = simulated.iter().zip(reported).flat_map(|(variant, reported)| reported.runs.iter().map(move |run| (variant, &run.totals)));
    runs.map(|(variant, totals)| longest_of(variant, totals)).max().unwrap_or_default()
}

/// The times in which incidents happen that a scenario states, for traffic from `start` to `end`; in order, without overlaps. What lasts all the time
/// is no event of its own.
pub fn scripted(variants: &[Variant], start: Time, end: Time) -> Vec<(Time, Time)> {
    let incidents = variants.iter().flat_map(|variant| &variant.world.deployments).flat_map(|world| &world.incidents);
    let mut times: Vec<(Time, Time)> = incidents
        .filter_map(|incident| match incident.when {
            When::Once { from, lasts } => Some((start + from, start + from + lasts)),
            When::Drawn { .. } => None,
        })
        .filter(|(from, until)| start < *from || *until < end)
        .collect();
    times.sort_unstable();
    times.dedup_by(|next, earlier| {
        let overlaps = next.0 <= earlier.1;
        if overlaps {
            earlier.1 = earlier.1.max(next.1);
        }
        overlaps
    });
    times
}

fn longest_of(variant: &Variant, totals: &Totals) -> Span {
    let plan = &variant.plan;
    let gateway = [of_answers(plan, totals), of_health(plan, totals), of_limits(variant, totals), of_budgets(variant, totals)];
    let world = variant.world.deployments.iter().map(|world| of_provider(world, plan, totals));
    gateway.into_iter().chain(world).max().unwrap_or_default()
}

/// The response cache, and the loop detector.
fn of_answers(plan: &Plan, totals: &Totals) -> Span {
    let is_used = totals.outcomes.cached + totals.outcomes.shared > 0;
    let answers = plan.models.iter().filter_map(|model| model.cache).filter(|_| is_used).map(|cache| cache.ttl);
    let has_loops = totals.incidents.loop_alerts + totals.denials[denial_index(&Denial::Loop)] > 0;
    let loops = plan.loop_detector.filter(|_| has_loops).map(|detector| detector.window);
    answers.chain(loops).max().unwrap_or_default()
}

/// Cooldowns with what led to them, breakers, and the minute that the lowest usage is told by.
fn of_health(plan: &Plan, totals: &Totals) -> Span {
    let cools = |_: &Span| totals.incidents.cooldowns > 0;
    let opens = |_: &Span| totals.incidents.breakers_opened > 0;
    let of_group = plan.models.iter().flat_map(|model| {
        let cooldown = &model.cooldown;
        let counting = cooldown.allowed_fails.map(|_| cooldown.window);
        let share = cooldown.share.map(|share| share.window);
        let cooling = [Some(cooldown.time), counting, share].into_iter().flatten().filter(cools);
        let usage = matches!(model.strategy, Strategy::LowestUsage).then_some(Span::MINUTE);
        cooling.chain(model.breaker.map(|breaker| breaker.open_for).filter(opens)).chain(usage)
    });
    let of_deployment = plan.deployments.iter().filter_map(|deployment| deployment.cooldown_time).filter(cools);
    of_group.chain(of_deployment).max().unwrap_or_default()
}

/// The periods of the gateway's own limits, if one of them was ever full. A deployment's may have been full without a refusal, where another was
/// picked: it counts unless all calls together fit one period.
fn of_limits(variant: &Variant, totals: &Totals) -> Span {
    let plan = &variant.plan;
    let was_full = totals.denials[denial_index(&Denial::Limited(LimitId(0)))] > 0;
    let keys = specs(variant).flat_map(|(_, limits)| limits);
    let everywhere = plan.limits.iter().chain(plan.models.iter().flat_map(|model| &model.limits)).chain(keys).filter(|_| was_full);
    let deployments = plan.deployments.iter().zip(&totals.deployments).flat_map(|(deployment, supply)| {
        deployment.limits.iter().filter(|limit| match limit.kind {
            LimitKind::Requests => supply.calls > limit.amount,
            LimitKind::InputTokens | LimitKind::OutputTokens | LimitKind::TotalTokens => supply.calls > 0,
            LimitKind::Concurrency => false,
        })
    });
    let is_rate = |limit: &&LimitSpec| limit.kind != LimitKind::Concurrency;
    everywhere.chain(deployments).filter(is_rate).map(|limit| limit.period).max().unwrap_or_default()
}

/// The windows of budgets, if one of them ever stood in the way of a call.
fn of_budgets(variant: &Variant, totals: &Totals) -> Span {
    let plan = &variant.plan;
    let keys = specs(variant).flat_map(|(budgets, _)| budgets);
    let groups = plan.models.iter().flat_map(|model| &model.budgets).chain(plan.deployments.iter().flat_map(|deployment| &deployment.budgets));
    let budgets: Vec<&BudgetSpec> = plan.budgets.iter().chain(&plan.end_user_budget).chain(groups).chain(keys).collect();
    // A budget may also lead to another deployment, or shorten an answer, and nobody counts which budget it was.
    let passed_over = totals.denials[denial_index(&Denial::Budget(AccountId(0)))] + totals.incidents.skipped > 0;
    let shortens = |budget: &&&BudgetSpec| matches!(budget.on_short, OnShort::Clamp { .. });
    let used = budgets.iter().filter(|budget| passed_over || shortens(budget));
    used.map(|budget| window(&budget.window, totals.first, totals.last_arrival)).max().unwrap_or_default()
}

/// How long a budget's window is, at the longest between two instants.
fn window(window: &BudgetWindow, first: Time, last: Time) -> Span {
    match window {
        BudgetWindow::Total => Span::MAX,
        BudgetWindow::Fixed(length, _) | BudgetWindow::Rolling { length, .. } => *length,
        BudgetWindow::Calendar(calendar) => longest_window(calendar, first, last),
    }
}

fn longest_window(calendar: &Calendar, first: Time, last: Time) -> Span {
    let windows = calendar.window(first)..=calendar.window(last);
    // A window begins when the one before it ends; the first one of the table is taken to be as long as what is seen of it.
    let length = |window: u64| calendar.end(window).since(window.checked_sub(1).map_or(first, |before| calendar.end(before)));
    windows.map(length).max().unwrap_or_default()
}

/// The budgets and limits of teams, keys, end users and tags, and of keys that traffic adds.
fn specs(variant: &Variant) -> impl Iterator<Item = (&[BudgetSpec], &[LimitSpec])> {
    let added = match &variant.clients.unknown_key {
        UnknownKey::Add(spec) => Some((&spec.budgets[..], &spec.limits[..])),
        UnknownKey::Error | UnknownKey::Default => None,
    };
    variant.setup.iter().filter_map(specs_of).chain(added)
}

fn specs_of(command: &Command) -> Option<(&[BudgetSpec], &[LimitSpec])> {
    match command {
        Command::PutTeam { spec, .. } => Some((&spec.budgets, &spec.limits)),
        Command::PutKey { spec, .. } => Some((&spec.budgets, &spec.limits)),
        Command::PutEndUser { budgets, .. } | Command::PutTag { budgets, .. } => Some((budgets, &[])),
        _ => None,
    }
}

/// A provider's prompt cache, and its limits with the header of their 429s.
fn of_provider(world: &DeploymentWorld, plan: &Plan, totals: &Totals) -> Span {
    let prompts = world.prompt_cache.filter(|_| totals.prompt_cache_hits > 0).map(|cache| cache.ttl);
    let supply = plan.find_deployment(&world.name).and_then(|id| totals.deployments.get(id.index()));
    let limits =
        world.limiter.as_ref().zip(supply).filter(|(_, supply)| supply.rate_limited > 0).map(|(limiter, supply)| of_limiter(limiter, supply));
    prompts.into_iter().chain(limits).max().unwrap_or_default()
}

fn of_limiter(limiter: &Limiter, supply: &Supply) -> Span {
    let header = match limiter.retry_after {
        RetryAfter::Fixed(span) => span,
        // No later than the limit is empty again, which is within its period.
        RetryAfter::Absent | RetryAfter::UntilItFits => Span::ZERO,
    };
    // A day's limit that all calls together could not fill has rejected none of them.
    let may_be_full = |limit: &&ProviderLimit| match limit.counts {
        Counted::Requests => supply.calls > limit.amount,
        Counted::InputTokens | Counted::OutputTokens | Counted::TotalTokens => true,
    };
    limiter.limits.iter().filter(may_be_full).map(|limit| limit.period).chain([header]).max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
