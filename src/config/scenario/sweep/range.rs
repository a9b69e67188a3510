//! The values of `{ from = .., to = .., steps = .. }`: numbers, durations or amounts, evenly apart or in equal ratios, as short texts. Knows no
//! setting.
//!
//! Ends are as written. Between them a value has as few digits as leave it within a fiftieth of a step of its place; whole ends a step of at
//! least 1 apart have whole numbers between them.

use crate::gateway::money::Money;
use crate::gateway::time::Span;

use super::super::super::diagnostic::Place;
use super::super::super::read::{Item, Section};
use super::super::super::tree::{Node, Value};
use super::super::super::{problem, quantity};

/// Values of one range.
const STEPS_MAX: u32 = 1000;

const RANGE: &str = "{ from = 0, to = 1, steps = 11 }";

/// Units of time, the longest first.
const UNITS: [(&str, u64); 7] =
    [("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

/// What the ends of a range are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Quantity {
    Whole(i128),
    /// In millionths.
    Decimal(i128),
    Duration(Span),
    Amount(Money),
}

/// The values with their texts, and whether they are in equal ratios.
pub(super) fn read(section: &Section<'_>, (key, place): (&str, Place)) -> Option<(Vec<(Node, String)>, bool)> {
    let from = section.require("from", "0", |item| Some((quantity(item)?, item)));
    let to = section.require("to", "1", |item| Some((quantity(item)?, item)));
    let steps = section.require("steps", "11", |item| item.count_within(2, STEPS_MAX));
    let is_log = section.read("scale", |item| item.choice(&[("linear", false), ("log", true)])).unwrap_or(false);
    let ((from, first), (to, last), steps) = (from?, to?, steps?);
    let wrong = |why: &str| {
        section.report(problem::malformed(place, key, "a range", why, RANGE));
        None
    };
    let Some((low, high, unit)) = on_one_scale(from, to) else {
        return wrong("its ends are of different kinds");
    };
    if low == high {
        return wrong("its ends are equal");
    }
    if is_log && low.min(high) <= 0 {
        return wrong("equal ratios need ends above zero");
    }
    let between = |step: u32| {
        let exact = place_of(low, high, (step, steps - 1), is_log);
        let step_to = |other: u32| (place_of(low, high, (other, steps - 1), is_log) - exact).abs();
        let tolerance = step_to(step + 1).min(step_to(step - 1)) / 50;
        unit.value(exact, tolerance, (high - low).abs() / i128::from(steps - 1))
    };
    let node = |value| Node { place, value };
    let text_of = |item: Item<'_>| section.diagnostics().text_at(item.place()).to_owned();
    let mut values = vec![(first.node().clone(), text_of(first))];
    for value in (1..steps - 1).map(between) {
        let text = shown(&value);
        if values.last().is_some_and(|(_, before)| *before != text) {
            values.push((node(value), text));
        }
    }
    let end = text_of(last);
    values.retain(|(_, text)| *text != end);
    values.push((last.node().clone(), end));
    Some((values, is_log))
}

fn quantity(item: Item<'_>) -> Option<Quantity> {
    let read = match &item.node().value {
        Value::Whole(Some(number)) if number.abs() < 1 << 60 => return Some(Quantity::Whole(*number)),
        Value::Whole(_) => Err("it is too large".to_owned()),
        Value::Decimal(text) => quantity::millionths(text).map(Quantity::Decimal),
        Value::Text(text) if text.trim_end().ends_with("USD") => quantity::money(text).map(Quantity::Amount),
        Value::Text(text) => quantity::span(text).map(Quantity::Duration),
        other => Err(format!("this is {}", other.kind())),
    };
    match read {
        Ok(quantity) => Some(quantity),
        Err(why) => {
            item.report(problem::malformed(item.place(), item.key, "a number, a duration or an amount", &why, "\"30s\""));
            None
        }
    }
}

/// What the integers of a scale count.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    /// Millionths; the ends are whole numbers.
    Whole,
    Millionths,
    Nanoseconds,
    Picodollars,
}

const MILLION: i128 = 1_000_000;

fn on_one_scale(from: Quantity, to: Quantity) -> Option<(i128, i128, Unit)> {
    let number = |quantity| match quantity {
        Quantity::Whole(number) => Some(number * MILLION),
        Quantity::Decimal(millionths) => Some(millionths),
        Quantity::Duration(_) | Quantity::Amount(_) => None,
    };
    Some(match (from, to) {
        (Quantity::Whole(from), Quantity::Whole(to)) => (from * MILLION, to * MILLION, Unit::Whole),
        (Quantity::Duration(from), Quantity::Duration(to)) => (from.0.into(), to.0.into(), Unit::Nanoseconds),
        (Quantity::Amount(from), Quantity::Amount(to)) => (from.0, to.0, Unit::Picodollars),
        (from, to) => (number(from)?, number(to)?, Unit::Millionths),
    })
}

/// Where step `step` of `last` is.
fn place_of(low: i128, high: i128, (step, last): (u32, u32), is_log: bool) -> i128 {
    if !is_log {
        return low + (high - low) * i128::from(step) / i128::from(last);
    }
    let share = f64::from(step) / f64::from(last);
    // A place on a scale that is rounded at once: no token is paid with it.
    (low as f64 * (high as f64 / low as f64).powf(share)).round() as i128
}

impl Unit {
    /// The value at `exact`, at most `tolerance` off, where the mean step is so large.
    fn value(self, exact: i128, tolerance: i128, step: i128) -> Value {
        match self {
            Self::Whole if step >= MILLION => Value::Whole(Some((exact + MILLION / 2).div_euclid(MILLION))),
            Self::Whole | Self::Millionths => Value::Decimal(decimal(rounded(exact, tolerance), 6)),
            Self::Nanoseconds => Value::Text(duration(rounded_time(exact, tolerance))),
            Self::Picodollars => Value::Text(format!("{} USD", decimal(rounded(exact, tolerance), 12))),
        }
    }
}

/// The roundest integer, in powers of ten, within `tolerance`.
fn rounded(exact: i128, tolerance: i128) -> i128 {
    let to = |unit: i128| (exact + unit / 2).div_euclid(unit) * unit;
    let units = (0..=12).rev().map(|digits| 10_i128.pow(digits));
    units.map(to).find(|round| (round - exact).abs() <= tolerance).unwrap_or(exact)
}

/// The same for nanoseconds: whole units of time, their tenths or hundredths.
fn rounded_time(exact: i128, tolerance: i128) -> i128 {
    let to = |unit: i128| (exact + unit / 2).div_euclid(unit) * unit;
    let units = UNITS.iter().flat_map(|(_, size)| [1, 2, 4, 10, 20, 100].map(|part| i128::from(*size) / part)).filter(|unit| *unit > 0);
    units.map(to).find(|round| (round - exact).abs() <= tolerance).unwrap_or(exact)
}

/// An integer with so many decimals, without zeros at the end.
fn decimal(number: i128, decimals: u32) -> String {
    let one = 10_i128.pow(decimals);
    let (sign, number) = (if number < 0 { "-" } else { "" }, number.abs());
    let fraction = format!("{:0width$}", number % one, width = decimals as usize);
    let fraction = fraction.trim_end_matches('0');
    format!("{sign}{}.{}", number / one, if fraction.is_empty() { "0" } else { fraction })
}

/// Nanoseconds in the longest unit in which they have no more than two decimals.
fn duration(nanoseconds: i128) -> String {
    let fits = |(_, size): &&(&str, u64)| nanoseconds >= i128::from(*size) && nanoseconds * 100 % i128::from(*size) == 0;
    let Some((name, size)) = UNITS.iter().find(fits) else { return format!("{nanoseconds}ns") };
    let hundredths = nanoseconds * 100 / i128::from(*size);
    let text = decimal(hundredths, 2);
    format!("{}{name}", text.strip_suffix(".0").unwrap_or(&text))
}

/// A value as TOML has it.
fn shown(value: &Value) -> String {
    match value {
        Value::Whole(Some(number)) => number.to_string(),
        Value::Text(text) => format!("\"{text}\""),
        Value::Decimal(text) => text.clone(),
        _ => unreachable!("a range has numbers, durations and amounts"),
    }
}
