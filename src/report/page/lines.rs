//! A chart of lines: one for each variant, named at its end, with a band around it and limits across it. Knows no report.

use std::fmt::Write;

use super::axis::{Scale, Tick, Unit, rounded_up};
use super::html::escape;
use super::svg::{Canvas, Ink, Point, Side, cut, draw, width_of};

/// One line.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    /// Whose it is.
    pub(super) name: String,
    /// The variant's number: its colour, its dashes and its letter.
    pub(super) index: usize,
    /// Values by place; a gap where there is none.
    pub(super) points: Vec<(f64, Option<f64>)>,
    /// Least and most by place, if they differ from the line.
    pub(super) band: Vec<(f64, f64, f64)>,
}

/// A line that is not to be crossed.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    /// What it is.
    pub(super) name: String,
    /// Where it is.
    pub(super) points: Vec<Point>,
}

/// What the horizontal axis is.
pub(super) struct Across<'a> {
    /// The ends.
    pub(super) ends: (f64, f64),
    /// What is written at the axis.
    pub(super) title: String,
    /// About so many ticks.
    pub(super) ticks: &'a dyn Fn(usize) -> Vec<Tick>,
}

/// A chart.
pub(super) struct Chart<'a> {
    /// What it is called by who can't see it.
    pub(super) title: String,
    /// The numbers on the vertical axis.
    pub(super) unit: Unit,
    /// What they are of.
    pub(super) of: &'a str,
    /// The horizontal axis.
    pub(super) across: Across<'a>,
    /// The lines.
    pub(super) lines: Vec<Line>,
    /// The limits.
    pub(super) limits: Vec<Limit>,
}

/// How large a drawing is and what has room in it.
#[derive(Debug, Clone, Copy)]
struct Format {
    class: &'static str,
    size: (f64, f64),
    /// Right of the lines, for their names.
    names: f64,
    ticks: (usize, usize),
    has_letters: bool,
}

const WIDE: Format = Format { class: "wide", size: (920.0, 330.0), names: 226.0, ticks: (9, 6), has_letters: false };
const NARROW: Format = Format { class: "narrow", size: (350.0, 280.0), names: 22.0, ticks: (4, 5), has_letters: true };

/// Names stand at least so far apart, in pixels.
const APART: f64 = 16.0;

impl Chart<'_> {
    /// The drawings for wide and for narrow screens.
    pub(super) fn render(&self) -> String {
        [WIDE, NARROW].map(|format| draw(format.class, &self.title, format.size, |canvas| self.paint(canvas, format))).concat()
    }

    fn ceiling(&self, ticks: usize) -> f64 {
        let of_lines = self.lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, value)| *value));
        let of_bands = self.lines.iter().flat_map(|line| line.band.iter().map(|(_, _, most)| *most));
        let of_limits = self.limits.iter().flat_map(|limit| limit.points.iter().map(|(_, value)| *value));
        let highest = of_lines.chain(of_bands).chain(of_limits).fold(0.0, f64::max);
        if highest > 0.0 { rounded_up(0.0, highest, ticks) } else { 1.0 }
    }

    fn paint(&self, canvas: &Canvas, format: Format) {
        let (width, height) = format.size;
        let high = self.ceiling(format.ticks.1);
        let marks = self.unit.ticks(0.0, high, format.ticks.1);
        let left = marks.iter().map(|(_, label)| width_of(label)).fold(20.0, f64::max) + 10.0;
        let (right, top, bottom) = (width - format.names, 34.0, height - 42.0);
        let x = Scale::new(self.across.ends, (left, right));
        let y = Scale::new((0.0, high), (bottom, top));
        canvas.text((0.0, 12.0), Side::Right, Ink::Text, self.of);
        for (value, label) in &marks {
            canvas.line(&[(left, y.at(*value)), (right, y.at(*value))], if *value == 0.0 { Ink::Axis } else { Ink::Grid });
            canvas.text((left - 8.0, y.at(*value)), Side::Left, Ink::Tick, label);
        }
        for (value, label) in (self.across.ticks)(format.ticks.0) {
            let (at, half) = (x.at(value), width_of(&label) / 2.0);
            canvas.line(&[(at, bottom), (at, bottom + 5.0)], Ink::Axis);
            canvas.text((at.clamp(half, width - half), bottom + 16.0), Side::Middle, Ink::Tick, &label);
        }
        canvas.text((left, height - 8.0), Side::Right, Ink::Tick, &self.across.title);
        for line in &self.lines {
            let upper = line.band.iter().map(|(place, _, most)| (x.at(*place), y.at(*most)));
            let lower = line.band.iter().rev().map(|(place, least, _)| (x.at(*place), y.at(*least)));
            canvas.surface(&upper.chain(lower).collect::<Vec<_>>(), Ink::Band(line.index));
        }
        for limit in &self.limits {
            let points: Vec<Point> = limit.points.iter().map(|(place, value)| (x.at(*place), y.at(*value))).collect();
            canvas.line(&points, Ink::Limit);
        }
        for line in &self.lines {
            for part in line.points.split(|(_, value)| value.is_none()) {
                let points: Vec<Point> = part.iter().filter_map(|(place, value)| Some((x.at(*place), y.at((*value)?)))).collect();
                match points[..] {
                    [alone] => canvas.dot(alone, 2.0, Ink::Fill(line.index)),
                    _ => canvas.line(&points, Ink::Line(line.index)),
                }
            }
        }
        self.name(canvas, format, (x, y), (right, top, bottom));
    }

    /// Writes names at the ends of lines and limits, none upon another.
    fn name(&self, canvas: &Canvas, format: Format, (x, y): (Scale, Scale), (right, top, bottom): (f64, f64, f64)) {
        let last = |line: &Line| line.points.iter().rev().find_map(|(place, value)| Some((*place, (*value)?)));
        let short = |index: usize, name: &str| if format.has_letters { letter(index) } else { cut(name, format.names - 28.0) };
        let of_lines = self.lines.iter().filter_map(|line| Some((last(line)?, short(line.index, &line.name), Some(line.index))));
        let of_limits = self.limits.iter().filter(|_| !format.has_letters);
        let of_limits = of_limits.filter_map(|limit| Some((*limit.points.last()?, cut(&limit.name, format.names - 28.0), None)));
        let mut names: Vec<(Point, String, Option<usize>)> = of_lines.chain(of_limits).collect();
        names.sort_by(|(a, ..), (b, ..)| b.1.total_cmp(&a.1));
        let wanted: Vec<f64> = names.iter().map(|((_, value), ..)| y.at(*value)).collect();
        for (height, ((place, value), name, index)) in apart(&wanted, APART, (top, bottom)).into_iter().zip(names) {
            let from = (x.at(place).max(right - 1.0), y.at(value));
            let ink = index.map_or(Ink::Limit, Ink::Line);
            let indent = if format.has_letters { 7.0 } else { 24.0 };
            canvas.line(&[(from.0 + 2.0, from.1), (right + indent - 4.0, height)], ink);
            canvas.text((right + indent, height), Side::Right, Ink::Text, &name);
        }
    }
}

/// Heights near those wanted, which ascend, at least `distance` apart and within the ends as far as there is room.
pub(super) fn apart(wanted: &[f64], distance: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut heights = wanted.to_vec();
    // Each as low as those above push it, then as high as those below and the end do.
    for i in 0..heights.len() {
        let least = if i == 0 { top } else { heights[i - 1] + distance };
        heights[i] = heights[i].max(least);
    }
    for i in (0..heights.len()).rev() {
        let most = heights.get(i + 1).map_or(bottom.max(top + distance * (heights.len() - 1) as f64), |below| below - distance);
        heights[i] = heights[i].min(most);
    }
    heights
}

/// The letter that stands for a variant where its name has no room: A, B, .., Z, A2, ..
pub(super) fn letter(index: usize) -> String {
    let letter = char::from(b'A' + u8::try_from(index % 26).expect("a letter"));
    if index < 26 { letter.to_string() } else { format!("{letter}{}", index / 26 + 1) }
}

/// What the letters of a narrow drawing stand for.
pub(super) fn key<'a>(names: impl Iterator<Item = (usize, &'a str)>) -> String {
    let mut html = String::from("<ul class=\"key narrow\">");
    for (index, name) in names {
        let class = Ink::Line(index).class();
        let _ = write!(
            html,
            "<li><svg viewBox=\"0 0 240 100\" aria-hidden=\"true\"><polyline class=\"{class}\" points=\"0,50 240,50\"/></svg>{} {}</li>",
            letter(index),
            escape(name)
        );
    }
    html.push_str("</ul>\n");
    html
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_never_stand_upon_each_other(mut wanted in prop::collection::vec(0.0_f64..300.0, 0..30)) {
            wanted.sort_by(f64::total_cmp);
            let heights = apart(&wanted, 16.0, (0.0, 300.0));
            for pair in heights.windows(2) {
                prop_assert!(pair[1] - pair[0] >= 15.999, "{heights:?}");
            }
            if wanted.len() <= 18 {
                prop_assert!(heights.iter().all(|height| (-0.001..=300.001).contains(height)), "{heights:?}");
            }
        }

        #[test]
        fn names_with_room_stay_where_they_are(gaps in prop::collection::vec(16.0_f64..40.0, 0..7)) {
            let wanted: Vec<f64> = gaps.iter().scan(0.0, |at, gap| { *at += gap; Some(*at) }).collect();
            prop_assert_eq!(apart(&wanted, 16.0, (0.0, 300.0)), wanted);
        }
    }

    #[test]
    fn a_variant_has_a_letter() {
        assert_eq!([0, 25, 26].map(letter), ["A", "Z", "A2"]);
    }
}
