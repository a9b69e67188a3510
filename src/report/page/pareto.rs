//! Cost against success: which variants no other beats. Decides who beats whom; a variant that answers fewer requests for less money beats nobody.

use super::axis::{Scale, Unit, rounded_up};
use super::html::{Figure, Table};
use super::lines::{key, letter};
use super::svg::{Ink, Point, Side, cut, draw, width_of};
use super::{Page, picture_of};
use crate::gateway::money::Money;
use crate::report::numbers::{decimals, dollars, latency, rounded, share};

/// One variant.
struct Spot {
    index: usize,
    name: String,
    cost: Money,
    /// Of all that was asked for, the percentage that was answered.
    answered: f64,
    p95: String,
    is_beaten: bool,
}

/// Where each variant is; nothing for a single one.
pub(super) fn figure(page: &Page) -> String {
    if page.entries.len() < 2 {
        return String::new();
    }
    let (title, costs) = page.costs();
    let shares: Vec<(u64, u64)> = page.entries.iter().map(|entry| entry.totals.answered_of()).collect();
    let spots: Vec<Spot> = page
        .entries
        .iter()
        .enumerate()
        .map(|(i, entry)| {
            let (answered, asked) = shares[i];
            let beats = |j: usize| beats((costs[j], shares[j]), (costs[i], shares[i]));
            Spot {
                index: entry.index,
                name: entry.variant.name.clone(),
                cost: costs[i],
                answered: 100.0 * answered as f64 / asked.max(1) as f64,
                p95: entry.totals.waited().quantile(950).map_or_else(|| "-".to_owned(), latency),
                is_beaten: (0..costs.len()).any(beats),
            }
        })
        .collect();
    let name = "Cost against success".to_owned();
    let mut table = Table::new(&name, ["", title, "answered", "p95", "cheaper and as good"]).texts(&[4]);
    let decimals = decimals(costs.iter().copied().max().unwrap_or_default());
    for (spot, (answered, asked)) in spots.iter().zip(&shares) {
        let beaten = if spot.is_beaten { "another variant" } else { "none" };
        table.row(&spot.name, [dollars(rounded(spot.cost, decimals), decimals), share(*answered, *asked), spot.p95.clone(), beaten.to_owned()]);
    }
    Figure {
        id: "pareto".to_owned(),
        title: name.clone(),
        reading:
            "Up and to the left is better. A ring is a variant that another one beats: it answers as many requests for less, or more for as much."
                .to_owned(),
        drawings: [true, false].map(|is_wide| paint(&name, title, &spots, is_wide)).concat(),
        key: key(page.names()),
        table,
        note: String::new(),
    }
    .render()
}

/// Whether one (cost, answered of asked) is at least as good as another in both, and better in one.
fn beats(one: (Money, (u64, u64)), other: (Money, (u64, u64))) -> bool {
    let success = |(answered, _): (u64, u64), (_, asked): (u64, u64)| u128::from(answered) * u128::from(asked);
    let (mine, theirs) = (success(one.1, other.1), success(other.1, one.1));
    one.0 <= other.0 && mine >= theirs && (one.0 < other.0 || mine > theirs)
}

fn paint(title: &str, money: &str, spots: &[Spot], is_wide: bool) -> String {
    let (width, height, most) = if is_wide { (920.0, 360.0, (8, 5)) } else { (350.0, 300.0, (4, 5)) };
    let highest = spots.iter().map(|spot| picture_of(spot.cost)).fold(0.0, f64::max).max(1e-12);
    let high = rounded_up(0.0, highest * 1.02, most.0);
    let worst = spots.iter().map(|spot| spot.answered).fold(100.0, f64::min);
    // All at the top would have no scale at all.
    let low = (100.0 - (100.0 - worst).max(0.5) * 1.15).max(0.0);
    let marks = Unit::Percent.ticks(low, 100.0, most.1);
    let left = marks.iter().map(|(_, label)| width_of(label)).fold(20.0, f64::max) + 10.0;
    let (right, top, bottom) = (width - if is_wide { 30.0 } else { 14.0 }, 36.0, height - 42.0);
    let (x, y) = (Scale::new((0.0, high), (left, right)), Scale::new((low, 100.0), (bottom, top)));
    draw(if is_wide { "wide" } else { "narrow" }, title, (width, height), |canvas| {
        canvas.text((0.0, 12.0), Side::Right, Ink::Text, "% answered");
        for (value, label) in marks {
            canvas.line(&[(left, y.at(value)), (right, y.at(value))], Ink::Grid);
            canvas.text((left - 8.0, y.at(value)), Side::Left, Ink::Tick, &label);
        }
        canvas.line(&[(left, bottom), (right, bottom)], Ink::Axis);
        for (value, label) in Unit::Dollars.ticks(0.0, high, most.0) {
            canvas.line(&[(x.at(value), bottom), (x.at(value), bottom + 5.0)], Ink::Axis);
            let half = width_of(&label) / 2.0;
            canvas.text((x.at(value).clamp(half, width - half), bottom + 16.0), Side::Middle, Ink::Tick, &label);
        }
        canvas.text((left, height - 8.0), Side::Right, Ink::Tick, money);
        for spot in spots {
            let ink = if spot.is_beaten { Ink::Ring(spot.index) } else { Ink::Fill(spot.index) };
            canvas.dot((x.at(picture_of(spot.cost)), y.at(spot.answered)), 6.0, ink);
        }
        let dots: Vec<Point> = spots.iter().map(|spot| (x.at(picture_of(spot.cost)), y.at(spot.answered))).collect();
        let says = |spot: &Spot| {
            let who = if is_wide { cut(&spot.name, 250.0) } else { letter(spot.index) };
            format!("{who}, p95 {}", spot.p95)
        };
        let texts: Vec<String> = spots.iter().map(says).collect();
        let widths: Vec<f64> = texts.iter().map(|text| width_of(text)).collect();
        for ((place, dot), text) in labels(&dots, &widths, (left, right, top - 14.0, bottom - 4.0)).into_iter().zip(&dots).zip(&texts) {
            if place.is_far {
                let away = if place.side == Side::Right { 1.0 } else { -1.0 };
                canvas.line(&[(dot.0 + away * 7.0, dot.1), (place.at.0 - away * 3.0, place.at.1)], Ink::Axis);
            }
            canvas.text(place.at, place.side, Ink::Text, text);
        }
    })
}

/// Where the name of a dot stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: Point,
    side: Side,
    /// So far off that a line has to lead there.
    is_far: bool,
}

/// Left, top, right, bottom.
type Rectangle = (f64, f64, f64, f64);

/// Places for names of such widths beside their dots, one after the other, each the nearest that is upon no dot and no name before it.
fn labels(dots: &[Point], widths: &[f64], (left, right, top, bottom): (f64, f64, f64, f64)) -> Vec<Place> {
    let mut taken: Vec<Rectangle> = dots.iter().map(|dot| (dot.0 - 8.0, dot.1 - 8.0, dot.0 + 8.0, dot.1 + 8.0)).collect();
    let mut places = Vec::new();
    for (dot, width) in dots.iter().zip(widths) {
        let candidates = (0_u32..24).flat_map(|number| {
            let off = f64::from(number.div_ceil(2)) * if number % 2 == 0 { -9.0 } else { 9.0 };
            [Side::Right, Side::Left].map(|side| {
                let is_far = off != 0.0;
                let gap = if is_far { 22.0 } else { 11.0 };
                let at = (if side == Side::Right { dot.0 + gap } else { dot.0 - gap }, dot.1 + off);
                let from = if side == Side::Right { at.0 } else { at.0 - width };
                (Place { at, side, is_far }, (from, at.1 - 8.0, from + width, at.1 + 8.0))
            })
        });
        let fits = |(_, name): &(Place, Rectangle)| {
            let is_apart = |other: &Rectangle| name.2 <= other.0 || other.2 <= name.0 || name.3 <= other.1 || other.3 <= name.1;
            name.0 >= left && name.2 <= right && name.1 >= top - 8.0 && name.3 <= bottom && taken.iter().all(is_apart)
        };
        let candidates: Vec<(Place, Rectangle)> = candidates.collect();
        // With no room anywhere it stands where it would like to.
        let (place, name) = candidates.iter().copied().find(fits).unwrap_or(candidates[0]);
        taken.push(name);
        places.push(place);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_answers_for_less_money_beat_nobody() {
        let (cheap, dear) = (Money::usd(1), Money::usd(30));
        assert!(beats((cheap, (100, 100)), (dear, (100, 100))));
        assert!(!beats((cheap, (39, 100)), (dear, (100, 100))) && !beats((dear, (100, 100)), (cheap, (39, 100))));
        assert!(beats((cheap, (57, 100)), (cheap, (390, 1_000))));
        assert!(!beats((cheap, (57, 100)), (cheap, (57, 100))), "a twin does not beat");
    }

    #[test]
    fn the_names_of_dots_that_are_close_keep_apart() {
        let dots: Vec<Point> = (0..8).map(|number| (300.0 + f64::from(number) * 9.0, 100.0 + f64::from(number % 2))).collect();
        let places = labels(&dots, &[120.0; 8], (0.0, 900.0, 0.0, 300.0));
        let boxes: Vec<(f64, f64)> =
            places.iter().map(|place| (if place.side == Side::Right { place.at.0 } else { place.at.0 - 120.0 }, place.at.1)).collect();
        for (number, one) in boxes.iter().enumerate() {
            for other in &boxes[number + 1..] {
                assert!((one.0 - other.0).abs() >= 120.0 || (one.1 - other.1).abs() >= 16.0, "{boxes:?}");
            }
        }
    }
}
