//! How long clients waited: for answers and for their first tokens. Decides which quantiles are shown; durations are on a logarithmic scale.

use super::axis::{Scale, Tick};
use super::html::{Figure, Table, paragraph};
use super::svg::{Ink, Side, cut, draw, width_of};
use super::{Entry, Page};
use crate::gateway::time::Span;
use crate::report::histogram::Histogram;
use crate::report::numbers::{count, latency};

struct Kind {
    id: &'static str,
    title: &'static str,
    reading: &'static str,
    histogram: for<'a> fn(&'a Entry) -> &'a Histogram,
}

const KINDS: [Kind; 2] = [
    Kind {
        id: "latency",
        title: "Time to the whole answer",
        reading: "Dot: half of the answers took no longer. Bar: up to the time that 95 in 100 kept within. Thin line: up to 99 in 100.",
        histogram: |entry| entry.totals.waited(),
    },
    Kind {
        id: "first-token",
        title: "Time to the first token",
        reading: "Of answers that were streamed; read as above.",
        histogram: |entry| &entry.totals.first_token,
    },
];

const QUANTILES: [u64; 3] = [500, 950, 990];

/// The charts of waiting times.
pub(super) fn figures(page: &Page) -> String {
    let mut html = String::new();
    for kind in KINDS {
        let seen: Vec<(&Entry, &Histogram)> = page.entries.iter().map(|entry| (entry, (kind.histogram)(entry))).collect();
        if seen.iter().all(|(_, histogram)| histogram.seen() == 0) {
            html.push_str(&paragraph(&format!("{}: no such answer in any variant.", kind.title)));
            continue;
        }
        let mut table = Table::new(kind.title, ["", "p50", "p95", "p99", "longest", "answers"]);
        for (entry, histogram) in &seen {
            let at = QUANTILES.map(|quantile| histogram.quantile(quantile).map_or_else(|| "-".to_owned(), latency));
            let longest = if histogram.seen() == 0 { "-".to_owned() } else { latency(histogram.longest()) };
            table.row(&entry.variant.name, at.into_iter().chain([longest, count(histogram.seen() / entry.variant.runs.len() as u64)]));
        }
        if seen.iter().all(|(_, histogram)| histogram.longest() == Span::ZERO) {
            html.push_str(&paragraph(&format!("{}: all at once, as this world's answers take no time.", kind.title)));
            html.push_str(&table.render());
            continue;
        }
        let drawings = [true, false].map(|is_wide| paint(kind.title, &seen, is_wide)).concat();
        let (id, title, reading) = (kind.id.to_owned(), kind.title.to_owned(), kind.reading.to_owned());
        html.push_str(&Figure { id, title, reading, drawings, key: String::new(), table, note: String::new() }.render());
    }
    html
}

/// Shorter times than this are drawn as this, in seconds.
const SHORTEST_S: f64 = 0.001;

/// A span on the scale: the logarithm of its seconds.
fn log(span: Span) -> f64 {
    (span.0 as f64 / 1e9).max(SHORTEST_S).log10()
}

/// Powers of ten from one to another, with 2 and 5 between them where there are few.
fn ticks(low: f64, high: f64) -> Vec<Tick> {
    let factors: &[f64] = if high - low < 1.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = low.floor() as i32..=high.ceil() as i32;
    let values = powers.flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
    let within = values.map(|seconds| (seconds.log10(), latency(Span((seconds * 1e9).round() as u64))));
    within.filter(|(at, _)| (low - 1e-9..=high + 1e-9).contains(at)).collect()
}

fn paint(title: &str, seen: &[(&Entry, &Histogram)], is_wide: bool) -> String {
    let row = if is_wide { 34.0 } else { 50.0 };
    let (width, top) = (if is_wide { 920.0 } else { 350.0 }, 28.0);
    let height = top + row * seen.len() as f64 + 8.0;
    let spans = || {
        seen.iter().filter(|(_, histogram)| histogram.seen() > 0).flat_map(|(_, histogram)| QUANTILES.map(|quantile| histogram.quantile(quantile)))
    };
    let (low, high) = spans().flatten().map(log).fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)));
    let (low, high) = ((low - 0.15).max(SHORTEST_S.log10()), high + 0.1);
    let left = if is_wide { seen.iter().map(|(entry, _)| width_of(&entry.variant.name)).fold(0.0, f64::max).min(260.0) + 14.0 } else { 2.0 };
    let x = Scale::new((low, high), (left, width - 150.0));
    draw(if is_wide { "wide" } else { "narrow" }, title, (width, height), |canvas| {
        for (value, label) in ticks(low, high) {
            canvas.line(&[(x.at(value), top - 6.0), (x.at(value), height - 4.0)], Ink::Grid);
            canvas.text((x.at(value).max(width_of(&label) / 2.0), 10.0), Side::Middle, Ink::Tick, &label);
        }
        for (number, (entry, histogram)) in seen.iter().enumerate() {
            let middle = top + row * number as f64 + if is_wide { row / 2.0 } else { row - 14.0 };
            if is_wide {
                canvas.text((left - 12.0, middle), Side::Left, Ink::Text, &cut(&entry.variant.name, 260.0));
            } else {
                canvas.text((left, middle - 20.0), Side::Right, Ink::Text, &cut(&entry.variant.name, 330.0));
            }
            let [Some(half), Some(most), Some(nearly_all)] = QUANTILES.map(|quantile| histogram.quantile(quantile)) else {
                canvas.text((left + 4.0, middle), Side::Right, Ink::Text, "no answer");
                continue;
            };
            let [from, until, end] = [half, most, nearly_all].map(|span| x.at(log(span)));
            canvas.bar((from, middle - 5.0), (until, middle + 5.0), Ink::Band(entry.index));
            canvas.line(&[(from, middle), (end, middle)], Ink::Whisker(entry.index));
            canvas.dot((from, middle), 5.0, Ink::Fill(entry.index));
            let label =
                if is_wide { format!("p50 {}, p95 {}", latency(half), latency(most)) } else { format!("{}, p95 {}", latency(half), latency(most)) };
            canvas.text((end + 8.0, middle), Side::Right, Ink::Text, &label);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_time_are_powers_of_ten_or_a_little_finer() {
        let labels = |low: f64, high: f64| ticks(low, high).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(-1.0, 1.5), ["100 ms", "1.0 s", "10.0 s"]);
        assert_eq!(labels(-0.5, 0.4), ["500 ms", "1.0 s", "2.0 s"]);
    }
}
