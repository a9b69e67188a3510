//! Typed reading of a parsed tree: each reader takes one kind of value or reports what is wrong with it. Knows no particular setting.
//!
//! The schema is the reading code: a [`Section`] remembers which keys were asked for and reports the others when it goes out of scope, so no reader
//! can forget to.

use std::cell::RefCell;

use crate::gateway::failure::{FailureClass, FailureSet};
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};

use super::diagnostic::{Diagnostics, Place, Problem};
use super::tree::{Entry, Node, Table, Value};
use super::{problem, quantity};

/// Among the known keys: every key is known.
const ANY: &str = "*";

/// A table being read.
#[derive(Debug)]
pub struct Section<'a> {
    table: &'a Table,
    name: String,
    place: Place,
    known: RefCell<Vec<&'static str>>,
    diagnostics: &'a Diagnostics,
}

/// A value being read, with the key that it is under.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The key, for messages.
    pub key: &'a str,
    /// Where the key is.
    pub key_place: Place,
    node: &'a Node,
    diagnostics: &'a Diagnostics,
}

impl<'a> Section<'a> {
    /// The table `table`, called `name` in messages. `place` is for what is missing in it.
    pub fn new(table: &'a Table, name: impl Into<String>, place: Place, diagnostics: &'a Diagnostics) -> Self {
        Self { table, name: name.into(), place, known: RefCell::default(), diagnostics }
    }

    /// Where the table is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where problems go.
    pub fn diagnostics(&self) -> &'a Diagnostics {
        self.diagnostics
    }

    /// Reports a problem.
    pub fn report(&self, problem: Problem) {
        self.diagnostics.report(problem);
    }

    /// The value of `key`, if there is one. From now on the key is known.
    pub fn item(&self, key: &'static str) -> Option<Item<'a>> {
        self.known.borrow_mut().push(key);
        self.table.find(key).map(|entry| self.of_entry(entry))
    }

    /// What `reader` makes of the value of `key`, if there is a value and it is right.
    pub fn read<T>(&self, key: &'static str, reader: impl FnOnce(Item<'a>) -> Option<T>) -> Option<T> {
        self.item(key).and_then(reader)
    }

    /// As `read`, into `target`, which keeps what it has where there is nothing to read.
    pub fn put<T>(&self, key: &'static str, reader: impl FnOnce(Item<'a>) -> Option<T>, target: &mut T) {
        if let Some(value) = self.read(key, reader) {
            *target = value;
        }
    }

    /// As `put`, for settings that may be absent.
    pub fn put_some<T>(&self, key: &'static str, reader: impl FnOnce(Item<'a>) -> Option<T>, target: &mut Option<T>) {
        if let Some(value) = self.read(key, reader) {
            *target = Some(value);
        }
    }

    /// As `read`, for keys that must be there. `example` is a right value.
    pub fn require<T>(&self, key: &'static str, example: &str, reader: impl FnOnce(Item<'a>) -> Option<T>) -> Option<T> {
        match self.item(key) {
            Some(item) => reader(item),
            None => {
                self.report(problem::missing_key(self.place, key, &self.name, example));
                None
            }
        }
    }

    /// The table under `key`, if there is one.
    pub fn section(&self, key: &'static str) -> Option<Section<'a>> {
        self.read(key, Item::section)
    }

    /// The table under `key` once more, where another reader has read, and checked, the rest of it.
    pub fn peek(&self, key: &str) -> Option<Section<'a>> {
        match &self.table.find(key)?.node.value {
            Value::Table(table) => {
                let section = Section::new(table, key, self.place, self.diagnostics);
                section.known.borrow_mut().push(ANY);
                Some(section)
            }
            _ => None,
        }
    }

    /// Where the value of `key` is, if there is one. Does not make the key known.
    pub fn place_of(&self, key: &str) -> Option<Place> {
        self.table.find(key).map(|entry| entry.node.place)
    }

    /// All entries, where users choose the keys. From now on every key is known.
    pub fn entries(&self) -> Vec<Item<'a>> {
        let mut items = Vec::new();
        for entry in &self.table.entries {
            if entry.implied {
                let known = self.table.entries.iter().filter(|other| !other.implied).map(|other| other.key.as_str());
                self.report(problem::set_through_nothing(entry.key_place, &self.table.path, &entry.key, known));
            } else {
                items.push(self.of_entry(entry));
            }
        }
        self.known.borrow_mut().push(ANY);
        items
    }

    fn of_entry(&self, entry: &'a Entry) -> Item<'a> {
        Item { key: &entry.key, key_place: entry.key_place, node: &entry.node, diagnostics: self.diagnostics }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let known = self.known.get_mut();
        if known.contains(&ANY) {
            return;
        }
        for entry in self.table.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.diagnostics.report(problem::unknown_key(entry.key_place, &entry.key, &self.name, known));
        }
    }
}

impl<'a> Item<'a> {
    /// A value that is not under a key of a table.
    pub fn new(node: &'a Node, key: &'a str, diagnostics: &'a Diagnostics) -> Self {
        Self { key, key_place: node.place, node, diagnostics }
    }

    /// Where the value is.
    pub fn place(&self) -> Place {
        self.node.place
    }

    /// The value itself.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Reports a problem.
    pub fn report(&self, problem: Problem) {
        self.diagnostics.report(problem);
    }

    fn wrong<T>(&self, expected: &str, example: &str) -> Option<T> {
        self.report(problem::wrong_kind(self.place(), self.key, self.node.value.kind(), expected, example));
        None
    }

    fn malformed<T>(&self, expected: &str, why: &str, example: &str) -> Option<T> {
        self.report(problem::malformed(self.place(), self.key, expected, why, example));
        None
    }

    /// A table.
    pub fn section(self) -> Option<Section<'a>> {
        match &self.node.value {
            Value::Table(table) => Some(Section::new(
                table,
                format!("`{}`", if table.path.is_empty() { self.key } else { &table.path }),
                self.key_place,
                self.diagnostics,
            )),
            _ => self.wrong("a table", "{ ... }"),
        }
    }

    /// A table, or `false` for "not at all", which is `None` within.
    pub fn section_or_off(self) -> Option<Option<Section<'a>>> {
        match self.node.value {
            Value::Boolean(false) => Some(None),
            Value::Table(_) => self.section().map(Some),
            _ => self.wrong("a table, or false to switch it off", "false"),
        }
    }

    /// Whether the value is a table.
    pub fn is_table(&self) -> bool {
        matches!(self.node.value, Value::Table(_))
    }

    /// Whether the value is a string.
    pub fn is_text(&self) -> bool {
        matches!(self.node.value, Value::Text(_))
    }

    /// Whether the value is `false`.
    pub fn is_false(&self) -> bool {
        self.node.value == Value::Boolean(false)
    }

    /// A list.
    pub fn list(self) -> Option<Vec<Item<'a>>> {
        match &self.node.value {
            Value::List(nodes) => Some(nodes.iter().map(|node| self.of_element(node)).collect()),
            _ => self.wrong("a list", "[...]"),
        }
    }

    /// One table or a list of tables.
    pub fn one_or_more(self) -> Option<Vec<Item<'a>>> {
        match &self.node.value {
            Value::Table(_) => Some(vec![self]),
            Value::List(nodes) => Some(nodes.iter().map(|node| self.of_element(node)).collect()),
            _ => self.wrong("a table or a list of tables", "{ ... }"),
        }
    }

    fn of_element(&self, node: &'a Node) -> Self {
        Self { node, key_place: node.place, ..*self }
    }

    /// A string.
    pub fn text(self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => self.wrong("a string", "\"...\""),
        }
    }

    /// A string that is not empty.
    pub fn name(self) -> Option<String> {
        let text = self.text()?;
        if text.is_empty() { self.malformed("a name", "it is empty", "\"name\"") } else { Some(text.to_owned()) }
    }

    /// A list of strings, each with its place.
    pub fn names(self) -> Option<Vec<Item<'a>>> {
        let items = self.list()?;
        let right = items.iter().filter(|item| item.text().is_some()).count();
        (right == items.len()).then_some(items)
    }

    /// True or false.
    pub fn boolean(self) -> Option<bool> {
        match self.node.value {
            Value::Boolean(truth) => Some(truth),
            _ => self.wrong("true or false", "true"),
        }
    }

    /// A whole number within a range.
    pub fn whole(self, least: u64, most: u64) -> Option<u64> {
        let Value::Whole(number) = self.node.value else {
            return self.wrong("a whole number", &least.max(1).to_string());
        };
        match number.and_then(|number| u64::try_from(number).ok()).filter(|number| (least..=most).contains(number)) {
            Some(number) => Some(number),
            None => {
                self.report(problem::out_of_range(self.place(), self.key, least.into(), most.into()));
                None
            }
        }
    }

    /// A whole number from 0.
    pub fn count(self) -> Option<u32> {
        self.whole(0, u32::MAX.into()).and_then(|number| u32::try_from(number).ok())
    }

    /// A whole number from 1.
    pub fn count_from_one(self) -> Option<u32> {
        self.whole(1, u32::MAX.into()).and_then(|number| u32::try_from(number).ok())
    }

    /// A whole number within a range that is not wider than it needs to be.
    pub fn count_within(self, least: u32, most: u32) -> Option<u32> {
        self.whole(least.into(), most.into()).and_then(|number| u32::try_from(number).ok())
    }

    /// A duration.
    pub fn span(self) -> Option<Span> {
        const EXPECTED: &str = "a duration with its unit";
        let Value::Text(text) = &self.node.value else {
            return self.wrong(EXPECTED, "\"30s\"");
        };
        quantity::span(text).map_or_else(|why| self.malformed(EXPECTED, &why, "\"30s\""), Some)
    }

    /// A duration above zero.
    pub fn span_above_zero(self) -> Option<Span> {
        let span = self.span()?;
        if span == Span::ZERO { self.malformed("a duration above zero", "it is zero", "\"30s\"") } else { Some(span) }
    }

    /// A duration above zero, or `"never"`, which is `Span::MAX`.
    pub fn span_or_never(self) -> Option<Span> {
        if self.node.value == Value::Text("never".into()) { Some(Span::MAX) } else { self.span_above_zero() }
    }

    /// A size in bytes.
    pub fn bytes(self) -> Option<u64> {
        const EXPECTED: &str = "a size with its unit";
        let Value::Text(text) = &self.node.value else {
            return self.wrong(EXPECTED, "\"256 MiB\"");
        };
        quantity::bytes(text).map_or_else(|why| self.malformed(EXPECTED, &why, "\"256 MiB\""), Some)
    }

    /// An amount of money.
    pub fn money(self) -> Option<Money> {
        const EXPECTED: &str = "an amount with its currency";
        let Value::Text(text) = &self.node.value else {
            return self.wrong(EXPECTED, "\"50 USD\"");
        };
        quantity::money(text).map_or_else(|why| self.malformed(EXPECTED, &why, "\"50 USD\""), Some)
    }

    /// The text of a number, whole or not.
    pub fn number(self) -> Option<String> {
        match &self.node.value {
            Value::Whole(Some(number)) => Some(number.to_string()),
            Value::Decimal(text) => Some(text.clone()),
            _ => self.wrong("a number", "0.5"),
        }
    }

    /// A ratio in thousandths.
    pub fn per_mille(self) -> Option<u32> {
        let text = self.number()?;
        quantity::per_mille(&text).map_or_else(|why| self.malformed("a ratio", &why, "1.5"), Some)
    }

    /// A share of a whole, in thousandths: from 0 to 1.
    pub fn share(self) -> Option<u32> {
        let per_mille = self.per_mille()?;
        if per_mille > 1000 { self.malformed("a share from 0 to 1", "it is above 1", "0.5") } else { Some(per_mille) }
    }

    /// One of several words.
    pub fn choice<T: Copy>(self, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let Value::Text(word) = &self.node.value else {
            return self.wrong(&format!("one of {}", names.join(", ")), &format!("\"{}\"", names[0]));
        };
        let found = words.iter().find(|(name, _)| name == word);
        if found.is_none() {
            self.report(problem::unknown_word(self.place(), self.key, word, &names));
        }
        found.map(|(_, value)| *value)
    }

    /// A failure class.
    pub fn failure(self) -> Option<FailureClass> {
        self.choice(&FailureClass::ALL.iter().map(|class| (class.name(), *class)).collect::<Vec<_>>())
    }

    /// A list of failure classes, or `"all"`.
    pub fn failures(self) -> Option<FailureSet> {
        if self.node.value == Value::Text("all".into()) {
            return Some(FailureSet::ALL);
        }
        let Value::List(_) = self.node.value else {
            return self.wrong("a list of failures, or \"all\"", "[\"rate_limited\", \"timeout\"]");
        };
        let mut classes = Vec::new();
        let items = self.list()?;
        for item in &items {
            classes.extend(item.failure());
        }
        (classes.len() == items.len()).then(|| FailureSet::of(&classes))
    }

    /// An instant: a TOML date-time with its offset, or the same as a string.
    pub fn instant(self) -> Option<Time> {
        const EXPECTED: &str = "a date and time with its offset";
        let (Value::Datetime(text) | Value::Text(text)) = &self.node.value else {
            return self.wrong(EXPECTED, "2027-01-31T00:00:00Z");
        };
        let instant = text.parse::<jiff::Timestamp>().ok().and_then(|instant| u64::try_from(instant.as_nanosecond()).ok());
        match instant {
            Some(nanos) => Some(Time(nanos)),
            None => self.malformed(EXPECTED, "it is none after 1970", "2027-01-31T00:00:00Z"),
        }
    }
}
