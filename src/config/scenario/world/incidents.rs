//! Outages, brownouts and bursts of errors: when they are, and what calls meet in them. Draws nothing.

use crate::gateway::time::Span;
use crate::sim::world::{ALL_CALLS, Answer, Incident, Kind, Step, When};

use super::super::super::distribution::{self, Unit};
use super::super::super::problem;
use super::super::super::read::{Item, Section};
use super::super::expect;
use super::steps;

/// Reads incidents in place of those of the same kind that were there.
pub(super) fn read(section: &Section<'_>, luck_of: &str, incidents: &mut Vec<Incident>) {
    for (key, kind) in [("outages", Kind::Outage), ("brownouts", Kind::Brownout), ("bursts", Kind::Burst)] {
        if let Some(items) = section.read(key, Item::one_or_more) {
            incidents.retain(|incident| incident.kind != kind);
            incidents.extend(items.into_iter().filter_map(|item| one(&item.section()?, kind, luck_of)));
        }
    }
}

fn one(section: &Section<'_>, kind: Kind, luck_of: &str) -> Option<Incident> {
    let when = if section.place_of("every").is_some() { drawn(section) } else { once(section) };
    let per_million = match kind {
        Kind::Outage => section.read("share", expect::share).or(Some(ALL_CALLS)),
        Kind::Brownout => section.read("share", expect::share).or(Some(0)),
        Kind::Burst => section.require("share", "0.5", expect::share),
    };
    let slower_per_mille = match kind {
        Kind::Brownout => section.require("slower", "3", slower),
        Kind::Outage | Kind::Burst => section.read("slower", slower).or(Some(1000)),
    };
    let step = steps::step_of(section)?;
    // An incident that says nothing else is a 503.
    let step = if step.answer == Answer::Whole { Step { pace: step.pace, ..Step::status(503) } } else { step };
    Some(Incident { kind, when: when?, per_million: per_million?, step, slower_per_mille: slower_per_mille?, luck_of: luck_of.into() })
}

fn once(section: &Section<'_>) -> Option<When> {
    let from = section.require("from", "\"10m\"", Item::span);
    let lasts = section.require("for", "\"6h\"", Item::span_above_zero);
    Some(When::Once { from: from?, lasts: lasts? })
}

fn drawn(section: &Section<'_>) -> Option<When> {
    let every = section.read("every", Item::span_above_zero);
    let lasts = section.require("for", "{ p50 = \"75m\", p95 = \"7h\" }", |item| Some((distribution::read(item, Unit::Duration)?, item.place())));
    if let Some(place) = section.place_of("from") {
        section.item("from");
        section.report(problem::needs_other(place, "from", "no `every`: drawn times begin when they begin"));
    }
    let (every, (lasts, place)) = (every?, lasts?);
    if lasts.mean() >= every.0 as f64 {
        let mean = Span(lasts.mean() as u64 / Span::SECOND.0 * Span::SECOND.0);
        section.report(problem::malformed(place, "for", "shorter than `every`", &format!("its mean is {mean}"), "\"10m\""));
        return None;
    }
    Some(When::Drawn { every, lasts })
}

/// How many times as long answers take, in thousandths.
fn slower(item: Item<'_>) -> Option<u32> {
    let per_mille = item.per_mille()?;
    if per_mille < 1000 {
        item.report(problem::malformed(item.place(), item.key, "at least 1", "that would be faster", "3"));
        return None;
    }
    Some(per_mille)
}
