//! Rate and concurrency limits, in the terms that providers use: rpm, tpm and their kin. Knows no counters.

use crate::gateway::plan::{Anchor, LimitKind, LimitSpec, Queue, Refill, TokenCount};
use crate::gateway::time::Span;

use super::super::problem;
use super::super::read::{Item, Section};

const DAY: Span = Span::from_secs(86_400);
const HOUR: Span = Span::from_secs(3600);

/// No provider and no gateway sees more requests or tokens in a period.
const AMOUNT_MAX: u64 = 1_000_000_000_000;

/// What each key limits, and per what.
const RATES: [(&str, LimitKind, Span); 15] = [
    ("rps", LimitKind::Requests, Span::SECOND),
    ("rpm", LimitKind::Requests, Span::MINUTE),
    ("rph", LimitKind::Requests, HOUR),
    ("rpd", LimitKind::Requests, DAY),
    ("tps", LimitKind::TotalTokens, Span::SECOND),
    ("tpm", LimitKind::TotalTokens, Span::MINUTE),
    ("tph", LimitKind::TotalTokens, HOUR),
    ("tpd", LimitKind::TotalTokens, DAY),
    ("itpm", LimitKind::InputTokens, Span::MINUTE),
    ("itph", LimitKind::InputTokens, HOUR),
    ("itpd", LimitKind::InputTokens, DAY),
    ("otpm", LimitKind::OutputTokens, Span::MINUTE),
    ("otph", LimitKind::OutputTokens, HOUR),
    ("otpd", LimitKind::OutputTokens, DAY),
    ("itps", LimitKind::InputTokens, Span::SECOND),
];

/// Reads one table of limits or a list of them, each with its own window.
pub fn read(item: Item<'_>) -> Option<Vec<LimitSpec>> {
    let mut limits = Vec::new();
    for item in item.one_or_more()? {
        limits.extend(table(&item.section()?));
    }
    Some(limits)
}

fn table(section: &Section<'_>) -> Vec<LimitSpec> {
    let windows = [
        ("bucket", Refill::Bucket),
        ("fixed", Refill::Window(Anchor::Clock)),
        ("first_use", Refill::Window(Anchor::FirstUse)),
        ("start", Refill::Window(Anchor::Start)),
    ];
    let (mut refill, mut count) = (Refill::Bucket, TokenCount::Reserve);
    section.put("window", |item| item.choice(&windows), &mut refill);
    section.put("count", |item| item.choice(&[("reserve", TokenCount::Reserve), ("after", TokenCount::After)]), &mut count);
    let mut limits = Vec::new();
    for (key, kind, period) in RATES {
        if let Some(amount) = section.read(key, amount) {
            limits.push(LimitSpec { kind, amount, refill, period, count, queue: None });
        }
    }
    let queue = section.read("queue", queue);
    match section.read("concurrency", amount) {
        Some(amount) => {
            let (kind, refill, period, count) = (LimitKind::Concurrency, Refill::Bucket, Span::ZERO, TokenCount::Reserve);
            limits.push(LimitSpec { kind, amount, refill, period, count, queue });
        }
        None => {
            if let Some(place) = section.place_of("queue") {
                section.report(problem::needs_other(place, "queue", "`concurrency`"));
            }
        }
    }
    limits
}

fn amount(item: Item<'_>) -> Option<u64> {
    let amount = item.whole(0, AMOUNT_MAX)?;
    if amount == 0 {
        item.report(problem::zero_limit(item.place(), item.key));
        return None;
    }
    Some(amount)
}

fn queue(item: Item<'_>) -> Option<Queue> {
    let section = item.section()?;
    let length = section.require("length", "100", Item::count_from_one);
    let wait = section.require("wait", "\"10s\"", Item::span_above_zero);
    Some(Queue { length_max: length?, wait_max: wait? })
}
