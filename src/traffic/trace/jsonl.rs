//! Rows from JSON, one object a line. Knows where each value stands in its line; what the value means is decided by `builder`.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Reader;
use super::builder::Builder;
use super::column::{Cell, Column, Problem};
use super::dialect::Dialect;
use super::error::{Fault, TraceError, quoted};
use super::place::Subject;
use super::source::{Lines, Source};

/// Reads one row a line.
pub(super) struct Jsonl {
    lines: Lines,
    dialect: &'static Dialect,
}

impl Jsonl {
    /// The keys of the first object.
    pub(super) fn keys(source: &Source) -> Result<Vec<String>, TraceError> {
        let mut lines = source.lines()?;
        lines.advance_to_text()?;
        let mut keys = Vec::new();
        parse(lines.bytes(), Keys(&mut keys)).map_err(|error| broken(&lines, &error))?;
        Ok(keys)
    }

    pub(super) fn open(source: &Source, dialect: &'static Dialect) -> Result<Self, TraceError> {
        Ok(Self { lines: source.lines()?, dialect })
    }

    /// A line, and where in it the subject stands; none if the line is not there any more.
    pub(super) fn places_at(source: &Source, dialect: &'static Dialect, line: u64, subject: Subject) -> Option<(Lines, Vec<Range<usize>>)> {
        let mut lines = source.lines().ok()?;
        while lines.number() < line {
            lines.advance_to_text().ok().filter(|more| *more)?;
        }
        let columns = dialect.columns.iter().filter(|(_, column)| subject.is_in(*column));
        let places = columns.filter_map(|(column, _)| locate(lines.bytes(), column)).collect();
        Some((lines, places))
    }

    fn refused(&self, problem: Problem) -> TraceError {
        let line = self.lines.bytes();
        let is_time = matches!(problem.fault, Fault::Order | Fault::Clock);
        let times = self.dialect.columns.iter().filter(|(_, column)| matches!(column, Column::At(_)));
        let marked = match problem.column {
            Some(name) => locate(line, &name),
            None => times.filter(|_| is_time).find_map(|(name, _)| locate(line, name)),
        };
        let problem_text = (problem.what, problem.hint);
        TraceError::of_line(problem.fault, self.lines.file(), (self.lines.number(), line), marked.unwrap_or(0..0), problem_text)
    }
}

impl Reader for Jsonl {
    fn row(&mut self, builder: &mut Builder) -> Result<bool, TraceError> {
        if !self.lines.advance_to_text()? {
            return Ok(false);
        }
        let mut found = Found { dialect: self.dialect, cells: Vec::new(), problem: None };
        parse(self.lines.bytes(), &mut found).map_err(|error| broken(&self.lines, &error))?;
        if let Some(problem) = found.problem {
            return Err(self.refused(problem));
        }
        builder.begin(self.lines.number());
        for (name, column, cell) in &found.cells {
            builder.set(name, *column, cell).map_err(|problem| self.refused(problem))?;
        }
        builder.end().map_err(|problem| self.refused(problem))?;
        Ok(true)
    }
}

fn parse<'de, S: DeserializeSeed<'de>>(line: &'de [u8], seed: S) -> serde_json::Result<S::Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

fn broken(lines: &Lines, error: &serde_json::Error) -> TraceError {
    let at = error.column().saturating_sub(1);
    let reason = error.to_string();
    let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
    let (what, hint) = if lines.bytes().trim_ascii_start().starts_with(b"[") {
        (
            "the line is a JSON list, not an object".to_owned(),
            "write one object a line (JSON Lines), without brackets around them and commas between them",
        )
    } else {
        (format!("the line is not a JSON object: {reason}"), "each line is one whole object; is the line cut off?")
    };
    TraceError::of_line(Fault::Format, lines.file(), (lines.number(), lines.bytes()), at..at + 1, (what, hint.to_owned()))
}

/// The place of the value of `name` in an object; only asked for messages.
fn locate(line: &[u8], name: &str) -> Option<Range<usize>> {
    let key = serde_json::to_string(name).ok()?;
    let mut from = 0;
    while let Some(found) = line[from..].windows(key.len()).position(|window| window == key.as_bytes()) {
        from += found + key.len();
        let rest = line[from..].trim_ascii_start();
        if let Some(value) = rest.strip_prefix(b":") {
            let start = line.len() - value.trim_ascii_start().len();
            let mut values = serde_json::Deserializer::from_slice(&line[start..]).into_iter::<IgnoredAny>();
            values.next()?.ok()?;
            return Some(start..start + values.byte_offset());
        }
    }
    None
}

struct Keys<'k>(&'k mut Vec<String>);

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            self.0.push(key);
        }
        Ok(())
    }
}

/// The cells of one line. An unknown or repeated column becomes a problem, so that the line is still parsed to its end.
struct Found<'de> {
    dialect: &'static Dialect,
    cells: Vec<(&'static str, Column, Cell<'de>)>,
    problem: Option<Problem>,
}

impl<'de> DeserializeSeed<'de> for &mut Found<'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Found<'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(KeyOf(self.dialect))? {
            let problem = match key {
                Ok((_, Column::Ignored)) => None,
                Ok((name, column)) => {
                    let clash = self.cells.iter().find(|(_, other, _)| other.clashes(column)).map(|(other, ..)| *other);
                    if clash.is_none() {
                        let cell = if column.is_json() { json_text(map.next_value()?) } else { map.next_value_seed(CellOf)? };
                        self.cells.push((name, column, cell));
                        continue;
                    }
                    clash.map(|other| {
                        let what = format!("{} and {} say the same thing", quoted(other), quoted(name));
                        Problem::value(name, what, "keep one of them, or start the other's name with `x_`")
                    })
                }
                Err(name) => {
                    let (what, hint) = self.dialect.unknown(&name);
                    Some(Problem { fault: Fault::Format, column: Some(name), what, hint })
                }
            };
            self.problem = self.problem.take().or(problem);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// The text of a JSON value, also where the file holds it as a text already.
fn json_text(value: &serde_json::value::RawValue) -> Cell<'_> {
    match serde_json::from_str(value.get()) {
        Ok(text) => Cell::Text(Cow::Owned(text)),
        Err(_) => Cell::Text(Cow::Borrowed(value.get())),
    }
}

struct KeyOf(&'static Dialect);

impl<'de> DeserializeSeed<'de> for KeyOf {
    type Value = Result<(&'static str, Column), String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOf {
    type Value = Result<(&'static str, Column), String>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.column(name).ok_or_else(|| name.to_owned()))
    }
}

struct CellOf;

impl<'de> DeserializeSeed<'de> for CellOf {
    type Value = Cell<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellOf {
    type Value = Cell<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
        Ok(Cell::Absent)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Cell<'de>, E> {
        Ok(Cell::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Cell<'de>, E> {
        Ok(Cell::Whole(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Negative(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Cell<'de>, E> {
        Ok(Cell::Real(value))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Borrowed(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Owned(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell<'de>, A::Error> {
        let (mut wholes, mut texts, mut others) = (Vec::new(), Vec::new(), false);
        while let Some(cell) = list.next_element_seed(Self)? {
            match cell {
                Cell::Whole(value) => wholes.push(value),
                Cell::Text(text) => texts.push(text),
                _ => others = true,
            }
        }
        Ok(match (wholes.is_empty(), texts.is_empty(), others) {
            (_, true, false) => Cell::Wholes(Cow::Owned(wholes)),
            (true, false, false) => Cell::Texts(texts),
            _ => Cell::Other("a list of different things"),
        })
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Other("an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_behind_its_key_and_not_inside_a_text() {
        let line = br#"{"a":"b", "b" : [1, 2], "c":3}"#;
        assert_eq!(locate(line, "b").map(|range| &line[range]), Some(&b"[1, 2]"[..]));
        assert_eq!(locate(line, "c").map(|range| &line[range]), Some(&b"3"[..]));
        assert_eq!(locate(line, "d"), None);
    }
}
