//! `[clients]`: what clients do on their own: their library's retries, their patience, and whether a session waits for its answers. Sends nothing.

use crate::sim::client::{Habits, OnFailure, RETRIES_MAX};
use crate::traffic::replay::link::Retries;
use crate::traffic::sdk::{Beyond, Sdk};

use super::super::distribution::{self, Unit};
use super::super::problem;
use super::super::read::{Item, Section};
use super::{TrafficSpec, expect};

/// The libraries whose behaviour is known.
const SDKS: [(&str, Sdk); 2] = [("openai", Sdk::OPENAI), ("anthropic", Sdk::ANTHROPIC)];

/// Reads `[clients]`; without it, clients do nothing on their own.
pub fn read(section: Option<&Section<'_>>) -> Habits {
    let mut habits = Habits::default();
    let Some(section) = section else { return habits };
    habits.sdk = section.read("sdk", sdk).flatten();
    habits.patience = section.read("patience", |item| distribution::read(item, Unit::Duration));
    section.put("abandons", expect::share, &mut habits.abandons_per_million);
    section.put("budget_status", |item| item.count_within(400, 599).and_then(|status| u16::try_from(status).ok()), &mut habits.budget_status);
    if section.read("closed_loop", Item::boolean) == Some(true) {
        habits.closed_loop = Some(OnFailure::Continue);
    }
    let on_failure = section.read("on_failure", |item| item.choice(&[("continue", OnFailure::Continue), ("stop", OnFailure::Stop)]));
    match (on_failure, &mut habits.closed_loop, section.place_of("on_failure")) {
        (Some(stated), Some(on_failure), _) => *on_failure = stated,
        (Some(_), None, Some(place)) => section.report(problem::needs_other(place, "on_failure", "`closed_loop = true`")),
        _ => {}
    }
    habits
}

/// Warns of a log's retries that are replayed beside those that its clients would make.
pub fn check_retries(habits: &Habits, traffic: &TrafficSpec, section: Option<&Section<'_>>) {
    let has_own = habits.sdk.is_some_and(|sdk| sdk.retries > 0);
    if let (true, Retries::Keep, Some(section)) = (has_own, traffic.retries, section)
        && let Some(place) = section.place_of("retries")
    {
        section.report(problem::retries_twice(place));
    }
}

/// A library by its name, a table on top of one, or `false` for none.
fn sdk(item: Item<'_>) -> Option<Option<Sdk>> {
    if item.is_text() {
        return item.choice(&SDKS).map(Some);
    }
    let Some(section) = item.section_or_off()? else { return Some(None) };
    let like = section.require("like", "\"openai\"", |item| item.choice(&SDKS));
    // What is wrong in the rest is shown even where nothing is known to put it on.
    let mut sdk = like.unwrap_or(Sdk::OPENAI);
    section.put("retries", |item| item.count_within(0, RETRIES_MAX), &mut sdk.retries);
    section.put("timeout", Item::span_or_never, &mut sdk.timeout);
    section.put("retry_after_max", Item::span, &mut sdk.retry_after_max);
    section.put("beyond_retry_after_max", |item| item.choice(&[("ignore", Beyond::Ignored), ("give_up", Beyond::GivesUp)]), &mut sdk.beyond);
    if let Some(backoff) = section.section("backoff") {
        backoff.put("base", Item::span, &mut sdk.base);
        backoff.put("max", Item::span, &mut sdk.max);
        backoff.put("jitter", Item::share, &mut sdk.jitter_per_mille);
    }
    like.map(|_| Some(sdk))
}
