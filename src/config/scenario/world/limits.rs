//! A provider's limits: requests and tokens in a time, calls at one time, and who waits. Counts nothing.

use crate::gateway::plan::{Anchor, Refill};
use crate::gateway::time::Span;
use crate::sim::world::{Basis, Counted, DAY, DeploymentWorld, Limiter, Places, ProviderLimit, RetryAfter};
use crate::traffic::local_clock::LocalClock;

use super::super::super::problem;
use super::super::super::read::{Item, Section};
use super::super::super::tree::Value;
use super::super::synthetic::zone;
use super::Preset;

/// No provider sees more requests or tokens in a period.
const AMOUNT_MAX: u64 = 1_000_000_000_000;

/// Reads `limits`: on top of what there is, or none.
pub(super) fn read(section: &Section<'_>, preset: Preset, world: &mut DeploymentWorld) {
    let Some(limits) = section.read("limits", Item::section_or_off) else { return };
    let (limiter_before, places_before) = (world.limiter.take(), world.places.take());
    if let Some(limits) = limits {
        world.limiter = Some(limiter(&limits, preset, limiter_before));
        world.places = places(&limits, places_before);
    }
}

fn limiter(section: &Section<'_>, preset: Preset, start: Option<Limiter>) -> Limiter {
    let mut limiter = start.unwrap_or_else(|| match preset {
        Preset::Ledger => Limiter { limits: Vec::new(), ..Limiter::ledger(1, 1, Refill::Bucket) },
        Preset::Realistic => Limiter { limits: Vec::new(), ..Limiter::openai(1, 1) },
    });
    let windows = [("bucket", Refill::Bucket), ("fixed", Refill::Window(Anchor::Clock)), ("start", Limiter::WINDOWS_FROM_START)];
    let stated_window = section.read("window", |item| item.choice(&windows));
    let refill = stated_window.or(limiter.limits.first().map(|limit| limit.refill)).unwrap_or(Refill::Bucket);
    for limit in limiter.limits.iter_mut().filter(|_| stated_window.is_some()) {
        limit.refill = refill;
    }
    for (key, counts, period) in [
        ("rps", Counted::Requests, Span::SECOND),
        ("rpm", Counted::Requests, Span::MINUTE),
        ("rpd", Counted::Requests, DAY),
        ("tpm", Counted::TotalTokens, Span::MINUTE),
        ("tpd", Counted::TotalTokens, DAY),
        ("itpm", Counted::InputTokens, Span::MINUTE),
        ("otpm", Counted::OutputTokens, Span::MINUTE),
    ] {
        if let Some(amount) = section.read(key, |item| item.whole(1, AMOUNT_MAX)) {
            limiter.set(ProviderLimit { counts, amount, period, refill });
        }
    }
    let unstated = match limiter.basis {
        Basis::MaxTokens { unstated } => unstated,
        Basis::Actual => 16,
    };
    section.put("basis", |item| item.choice(&[("actual", Basis::Actual), ("max_tokens", Basis::MaxTokens { unstated })]), &mut limiter.basis);
    section.put("corrected_at_end", Item::boolean, &mut limiter.corrected_at_end);
    section.put("rejects_count", Item::boolean, &mut limiter.rejects_count);
    section.put("retry_after", retry_after, &mut limiter.retry_after);
    section.put_some("requests_within", Item::span_above_zero, &mut limiter.requests_within);
    section.put_some("day_starts", day_starts, &mut limiter.day_starts);
    limiter
}

/// At midnight in a named zone, or so long after midnight UTC.
fn day_starts(item: Item<'_>) -> Option<LocalClock> {
    let is_zone = matches!(&item.node().value, Value::Text(text) if text == "UTC" || text.contains('/'));
    if is_zone { zone(item) } else { item.span().map(LocalClock::behind_utc) }
}

fn retry_after(item: Item<'_>) -> Option<RetryAfter> {
    match item.text()? {
        "none" => Some(RetryAfter::Absent),
        "until_it_fits" => Some(RetryAfter::UntilItFits),
        _ => item.span_above_zero().map(RetryAfter::Fixed),
    }
}

/// Calls at one time. Without a queue who finds no place is turned away with a 429 (U).
fn places(section: &Section<'_>, start: Option<Places>) -> Option<Places> {
    let count = section.read("concurrency", Item::count_from_one).or(start.map(|places| places.count));
    let mut places = start.unwrap_or(Places { count: 1, queue: 0, wait_max: Span::MAX, status: 429 });
    if let Some(queue) = section.read("queue", Item::section) {
        places.queue = queue.require("length", "100", Item::count_from_one).unwrap_or(1);
        places.wait_max = queue.read("wait", Item::span_or_never).unwrap_or(Span::MAX);
    }
    section.put("busy_status", |item| Some(item.count_within(400, 599)? as u16), &mut places.status);
    let Some(count) = count else {
        for key in ["queue", "busy_status"] {
            if let Some(place) = section.place_of(key).filter(|_| section.place_of("concurrency").is_none()) {
                section.report(problem::needs_other(place, key, "`concurrency`"));
            }
        }
        return None;
    };
    Some(Places { count, ..places })
}
