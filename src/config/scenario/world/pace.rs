//! How fast a deployment answers, and how much that varies. Draws nothing.

use crate::gateway::time::Span;
use crate::sim::world::{DeploymentWorld, Pace, Varies};
use crate::traffic::distribution::Distribution;

use super::super::super::distribution::{self, Unit};
use super::super::super::problem;
use super::super::super::read::{Item, Section};

/// Reads either `latency`, the whole answer at once, or `ttft` and `tokens_per_second`, each always the same or drawn for each call.
pub(super) fn read(section: &Section<'_>, world: &mut DeploymentWorld) {
    let latency = section.read("latency", Item::span);
    let ttft = section.read("ttft", |item| stated(item, Unit::Duration, Item::span));
    let chunk_tokens = section.read("chunk_tokens", Item::count_from_one);
    let speed = section.read("tokens_per_second", |item| stated(item, Unit::Number, Item::count_from_one));
    if let Some(per_second) = section.read("prefill_tokens_per_second", Item::count_from_one) {
        world.prefill = Pace::tokens_per_second(Span::ZERO, per_second).gap;
    }
    let mut varies = world.varies.take().map_or_else(Varies::default, |varies| *varies);
    if let Some(ttft) = ttft {
        (world.pace.first, varies.first) = match ttft {
            Stated::Always(first) => (first, None),
            // What is not drawn takes the usual time.
            Stated::Drawn(first) => (Span(first.quantile(0.5).round() as u64), Some(first)),
        };
    }
    if let Some(chunk_tokens) = chunk_tokens {
        world.pace = world.pace.in_chunks_of(chunk_tokens);
    }
    if let Some(speed) = speed {
        (world.pace, varies.tokens_per_second) = match speed {
            Stated::Always(speed) => (world.pace.at_speed(f64::from(speed)), None),
            Stated::Drawn(speed) => (world.pace.at_speed(speed.quantile(0.5)), Some(speed)),
        };
    }
    if let Some(latency) = latency {
        (world.pace, varies) = (Pace { first: latency, ..Pace::INSTANT }, Varies::default());
        for key in ["ttft", "tokens_per_second", "prefill_tokens_per_second"] {
            if let Some(place) = section.place_of(key) {
                section.report(problem::needs_other(place, key, "no `latency`: that is the time of the whole answer"));
            }
        }
        world.prefill = Span::ZERO;
    }
    world.varies = (varies != Varies::default()).then(|| Box::new(varies));
}

/// A value that is always the same, or one that is drawn.
enum Stated<T> {
    Always(T),
    Drawn(Distribution),
}

fn stated<'a, T>(item: Item<'a>, unit: Unit, always: impl FnOnce(Item<'a>) -> Option<T>) -> Option<Stated<T>> {
    if item.is_table() { distribution::read(item, unit).map(Stated::Drawn) } else { always(item).map(Stated::Always) }
}
