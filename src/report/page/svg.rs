//! A drawing as inline SVG: plotters draws it, and what it drew gets its colours, dashes and sizes from the page's style sheet, so that one drawing
//! is right in light, in dark and on paper. Knows shapes and inks, no figures.

use std::fmt::Write;

use plotters::prelude::{Circle, DrawingArea, IntoDrawingArea, PathElement, Polygon, RGBColor, Rectangle, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, TextStyle};

use super::html::escape;

/// What a shape is drawn with: a class of the style sheet. A number picks the colour and the dashes of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// A line behind everything.
    Grid,
    /// The line of nothing.
    Axis,
    /// A name or an amount.
    Text,
    /// The same, where it is the point.
    Strong,
    /// The number at a tick.
    Tick,
    /// A variant's line.
    Line(usize),
    /// A variant's line without dashes, where it has a name beside it.
    Whisker(usize),
    /// Between a variant's least and most.
    Band(usize),
    /// A variant's bar or point.
    Fill(usize),
    /// A variant's point that another beats.
    Ring(usize),
    /// A bar of a whole.
    Whole,
    /// A bar that adds.
    More,
    /// A bar that takes away.
    Less,
    /// A bar that takes away what is no saving.
    Apart,
    /// A limit.
    Limit,
}

/// How many colours the style sheet has for variants, and how many patterns of dashes. They have no common divisor: their pairs repeat late.
const COLOURS: usize = 8;
const DASHES: usize = 5;

/// Units of a drawing in one pixel of the screen: plotters draws in whole units.
const UNITS: f64 = 10.0;

impl Ink {
    const ALL: [fn(usize) -> Self; 15] = [
        |_| Self::Grid,
        |_| Self::Axis,
        |_| Self::Text,
        |_| Self::Strong,
        |_| Self::Tick,
        Self::Line,
        Self::Whisker,
        Self::Band,
        Self::Fill,
        Self::Ring,
        |_| Self::Whole,
        |_| Self::More,
        |_| Self::Less,
        |_| Self::Apart,
        |_| Self::Limit,
    ];

    /// The class in the style sheet.
    pub(super) fn class(self) -> String {
        let variant = |kind: &str, index: usize| format!("{kind} v{}", index % COLOURS);
        match self {
            Self::Grid => "grid".to_owned(),
            Self::Axis => "axis".to_owned(),
            Self::Text => "word".to_owned(),
            Self::Strong => "word strong".to_owned(),
            Self::Tick => "word tick".to_owned(),
            Self::Line(index) => format!("{} d{}", variant("line", index), index % DASHES),
            Self::Whisker(index) => variant("line", index),
            Self::Band(index) => variant("band", index),
            Self::Fill(index) => variant("fill", index),
            Self::Ring(index) => variant("ring", index),
            Self::Whole => "whole".to_owned(),
            Self::More => "more".to_owned(),
            Self::Less => "less".to_owned(),
            Self::Apart => "apart".to_owned(),
            Self::Limit => "limit".to_owned(),
        }
    }

    /// The colour that plotters writes in its place.
    fn colour(self) -> RGBColor {
        let index = match self {
            Self::Line(index) | Self::Whisker(index) | Self::Band(index) | Self::Fill(index) | Self::Ring(index) => index % (COLOURS * DASHES),
            _ => 0,
        };
        let index = u8::try_from(index).expect("fewer pairs of colours and dashes than 256");
        let kind =
            Self::ALL.iter().position(|ink| std::mem::discriminant(&ink(0)) == std::mem::discriminant(&self)).expect("every ink is in the list");
        RGBColor(u8::try_from(kind).expect("few inks"), index, 0)
    }

    /// The ink whose colour is `#RRGGBB`.
    fn of_colour(hex: &str) -> Option<Self> {
        let byte = |at: usize| usize::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        Some(Self::ALL.get(byte(1)?)?(byte(3)?))
    }
}

/// Where a text stands from its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It begins there.
    Right,
    /// It ends there.
    Left,
    /// Its middle is there.
    Middle,
}

/// A point of a drawing, in pixels from the upper left.
pub(super) type Point = (f64, f64);

/// A drawing that is being made.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
}

/// A drawing of `width` by `height` pixels, shown where the style sheet shows `class`, and called `title` by who can't see it.
pub(super) fn draw(class: &str, title: &str, (width, height): (f64, f64), paint: impl FnOnce(&Canvas)) -> String {
    let mut drawn = String::new();
    {
        let size = (units(width).unsigned_abs(), units(height).unsigned_abs());
        let canvas = Canvas { area: SVGBackend::with_string(&mut drawn, size).into_drawing_area() };
        paint(&canvas);
        kept(canvas.area.present());
    }
    let mut svg = String::with_capacity(drawn.len());
    let _ = write!(
        svg,
        "<svg class=\"{class}\" role=\"img\" viewBox=\"0 0 {} {}\" aria-label=\"{title}\"><title>{title}</title>",
        units(width),
        units(height),
        title = escape(title)
    );
    dress(&drawn, &mut svg);
    svg.push_str("</svg>\n");
    svg
}

impl Canvas<'_> {
    /// A line through points; nothing for fewer than two.
    pub(super) fn line(&self, points: &[Point], ink: Ink) {
        if points.len() > 1 {
            kept(self.area.draw(&PathElement::new(placed(points), ink.colour().stroke_width(1))));
        }
    }

    /// The area within points; nothing for fewer than three.
    pub(super) fn surface(&self, points: &[Point], ink: Ink) {
        if points.len() > 2 {
            kept(self.area.draw(&Polygon::new(placed(points), ink.colour().filled())));
        }
    }

    /// A bar between two corners, at least a third of a pixel thick.
    pub(super) fn bar(&self, from: Point, to: Point, ink: Ink) {
        let (left, right) = (units(from.0.min(to.0)), units(from.0.max(to.0)));
        let (top, bottom) = (units(from.1.min(to.1)), units(from.1.max(to.1)));
        kept(self.area.draw(&Rectangle::new([(left, top), (right.max(left + 3), bottom)], ink.colour().filled())));
    }

    /// A disc around a point.
    pub(super) fn dot(&self, at: Point, radius: f64, ink: Ink) {
        kept(self.area.draw(&Circle::new(place(at), units(radius), ink.colour().filled())));
    }

    /// A text with its middle at the height of a point.
    pub(super) fn text(&self, at: Point, side: Side, ink: Ink, text: &str) {
        let horizontal = match side {
            Side::Right => HPos::Left,
            Side::Left => HPos::Right,
            Side::Middle => HPos::Center,
        };
        let colour = ink.colour();
        let style = TextStyle::from(("sans-serif", 12).into_font()).color(&colour).pos(Pos::new(horizontal, VPos::Center));
        kept(self.area.draw_text(text, &style, place(at)));
    }
}

/// About how wide a text is in a drawing, in pixels, in the widest of the system's usual fonts: what has room then has room in all of them.
pub(super) fn width_of(text: &str) -> f64 {
    let width = |letter: char| match letter {
        'i' | 'l' | 'j' | 'f' | 't' | 'r' | '.' | ',' | ' ' | ':' | ';' | '|' | '-' | '\'' | '(' | ')' => 4.8,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 11.6,
        letter if letter.is_ascii_uppercase() => 9.0,
        _ => 7.7,
    };
    text.chars().map(width).sum()
}

/// `text`, cut to about `width` pixels.
pub(super) fn cut(text: &str, width: f64) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for letter in text.chars() {
        if width_of(&kept) + 12.0 > width {
            break;
        }
        kept.push(letter);
    }
    format!("{}…", kept.trim_end())
}

fn units(pixels: f64) -> i32 {
    // Saturates: a drawing is a few thousand units wide.
    (pixels * UNITS).round() as i32
}

fn place(at: Point) -> (i32, i32) {
    (units(at.0), units(at.1))
}

fn placed(points: &[Point]) -> Vec<(i32, i32)> {
    points.iter().copied().map(place).collect()
}

/// What drawing into a string gave. Nothing can fail there: it asks no font and writes no file.
fn kept<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.expect("drawing into a string needs nothing from outside")
}

/// Writes the shapes that plotters drew, with a class for every colour and without what the style sheet says.
fn dress(drawn: &str, to: &mut String) {
    let mut lines = drawn.lines();
    while let Some(line) = lines.next() {
        let Some(tag) = line.strip_prefix('<').filter(|tag| !tag.starts_with("svg") && !tag.starts_with('/')) else { continue };
        let name = tag.split(' ').next().unwrap_or_default();
        let attributes = attributes(tag);
        let get = |wanted: &str| attributes.iter().find(|(name, _)| *name == wanted).map_or("", |(_, value)| value);
        let ink = ["fill", "stroke"].iter().find_map(|paint| Ink::of_colour(get(paint))).expect("everything is drawn in an ink");
        let _ = write!(to, "<{name} class=\"{}\"", ink.class());
        for (name, value) in &attributes {
            match *name {
                "points" => {
                    let _ = write!(to, " points=\"{}\"", value.trim_end());
                }
                "x" | "y" | "x1" | "x2" | "y1" | "y2" | "width" | "height" | "cx" | "cy" | "r" => {
                    let _ = write!(to, " {name}=\"{value}\"");
                }
                "text-anchor" if *value != "start" => {
                    let _ = write!(to, " text-anchor=\"{value}\"");
                }
                _ => {}
            }
        }
        if name == "text" {
            // plotters breaks the line after the tag and after the text.
            let _ = write!(to, " dy=\".35em\">{}</text>", lines.next().unwrap_or_default());
        } else {
            to.push_str("/>");
        }
    }
    to.push('\n');
}

/// The attributes of a tag as plotters writes them: in double quotes, with every quote within escaped.
fn attributes(tag: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = tag.split_once(' ').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        found.push((name.trim_start(), value));
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_classes_and_no_colours_of_its_own() {
        let svg = draw("wide", "A < B", (10.0, 5.0), |canvas| {
            canvas.line(&[(0.0, 0.0), (1.0, 2.0), (3.0, 4.0)], Ink::Line(9));
            canvas.bar((1.0, 1.0), (1.0, 2.0), Ink::Less);
            canvas.text((1.0, 2.0), Side::Left, Ink::Tick, "a \"b\" & c");
        });
        let shapes = [
            "<polyline class=\"line v1 d4\" points=\"0,0 10,20 30,40\"/>",
            "<rect class=\"less\" x=\"10\" y=\"10\" width=\"3\" height=\"10\"/>",
            "<text class=\"word tick\" x=\"10\" y=\"20\" text-anchor=\"end\" dy=\".35em\">a &quot;b&quot; &amp; c</text>",
        ];
        let opening = "<svg class=\"wide\" role=\"img\" viewBox=\"0 0 100 50\" aria-label=\"A &lt; B\"><title>A &lt; B</title>";
        assert_eq!(svg, format!("{opening}{}\n</svg>\n", shapes.concat()));
    }

    #[test]
    fn every_ink_comes_back_from_its_colour() {
        for ink in Ink::ALL.map(|ink| ink(7)) {
            let RGBColor(red, green, blue) = ink.colour();
            assert_eq!(Ink::of_colour(&format!("#{red:02X}{green:02X}{blue:02X}")), Some(ink));
        }
    }

    #[test]
    fn variants_differ_in_colour_or_dashes() {
        let classes: std::collections::BTreeSet<String> = (0..40).map(|index| Ink::Line(index).class()).collect();
        assert_eq!(classes.len(), 40);
    }

    #[test]
    fn a_long_name_is_cut_to_its_room() {
        assert_eq!(cut("short", 100.0), "short");
        let cut = cut("a variant with a name that is longer than its room", 100.0);
        assert!(cut.ends_with('…') && width_of(&cut) <= 100.0, "{cut}");
    }
}
