//! What single calls meet: scripts, chances and the steps that they are made of. Knows no deployment.

use crate::gateway::time::Span;
use crate::sim::world::{Answer, Chance, Pace, Reason, Step};

use super::super::super::problem;
use super::super::super::read::{Item, Section};
use super::super::super::tree::Value;
use super::super::expect;

/// Calls that a script may spell out.
const STEPS_MAX: u64 = 100_000;

pub(super) fn script(item: Item<'_>) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for item in item.list()? {
        let Some(section) = item.section() else { continue };
        let times = section.read("times", |item| item.whole(1, STEPS_MAX)).unwrap_or(1);
        let step = step_of(&section);
        if steps.len() as u64 + times > STEPS_MAX {
            item.report(problem::malformed(item.place(), "times", &format!("at most {STEPS_MAX} calls in all"), "the script is longer", "3"));
            return None;
        }
        steps.extend((0..times).filter_map(|_| step));
    }
    Some(steps)
}

pub(super) fn step(item: Item<'_>) -> Option<Step> {
    step_of(&item.section()?)
}

/// What a call meets: one of `status`, `hang`, `reset`, `cut_after`; without any, a whole answer.
pub(super) fn step_of(section: &Section<'_>) -> Option<Step> {
    let kinds: Vec<&str> = ["status", "hang", "reset", "cut_after"].into_iter().filter(|key| section.place_of(key).is_some()).collect();
    if let [first, second, ..] = kinds.as_slice() {
        section.report(problem::needs_other(
            section.place_of(second).unwrap_or(section.place()),
            second,
            &format!("a step of its own: `{first}` is there"),
        ));
    }
    let status = section.read("status", |item| item.whole(400, 599)).and_then(|status| u16::try_from(status).ok());
    let retry_after = section.read("retry_after", Item::span);
    let reasons = [("plain", Reason::Plain), ("context_window", Reason::ContextWindow), ("content_policy", Reason::ContentPolicy)];
    let reason = section.read("reason", |item| item.choice(&reasons)).unwrap_or(Reason::Plain);
    if status.is_none() {
        for key in ["retry_after", "reason"] {
            if let Some(place) = section.place_of(key).filter(|_| section.place_of("status").is_none()) {
                section.report(problem::needs_other(place, key, "`status`"));
            }
        }
    }
    let hang = section.read("hang", hang);
    let reset = section.read("reset", Item::boolean);
    let cut = section.read("cut_after", Item::count);
    let pace = section.read("latency", Item::span).map(|first| Pace { first, ..Pace::INSTANT });
    let input_tokens = section.read("input_tokens", Item::count);
    let output_tokens = section.read("output_tokens", Item::count);
    let answer = match (status, hang, reset, cut) {
        (Some(status), ..) => Answer::Status { status, retry_after, reason },
        (_, Some(hang), ..) if hang > Span::ZERO => Answer::Hang(hang),
        (_, _, Some(true), _) => Answer::Broken,
        (.., Some(chunks)) => Answer::Cut { chunks },
        _ => Answer::Whole,
    };
    Some(Step { answer, pace, input_tokens, output_tokens })
}

/// `true` hangs for ever, a duration until the provider closes.
fn hang(item: Item<'_>) -> Option<Span> {
    match item.node().value {
        Value::Boolean(true) => Some(Span::MAX),
        Value::Boolean(false) => Some(Span::ZERO),
        _ => item.span_above_zero(),
    }
}

pub(super) fn chances(item: Item<'_>) -> Option<Vec<Chance>> {
    let (mut chances, mut sum) = (Vec::new(), 0_u32);
    for item in item.list()? {
        let Some(section) = item.section() else { continue };
        let per_million = section.require("share", "0.01", expect::share);
        let step = step_of(&section);
        let (Some(per_million), Some(step)) = (per_million, step) else { continue };
        sum = sum.saturating_add(per_million);
        chances.push(Chance { per_million, step });
    }
    if sum > 1_000_000 {
        item.report(problem::malformed(item.place(), "share", "at most 1 for all chances together", "they are more", "0.01"));
        return None;
    }
    Some(chances)
}
