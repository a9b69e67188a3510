//! Changes to a configuration by path: `set` of a variant, `--set` on the command line. Works on the parsed tree; whether a path means anything is
//! seen when the tree is read, at the place of the path.
//!
//! A path is a dotted key in TOML's own grammar, quoted where a name has a dot: `models."gpt-4.1".fallbacks`. It may stand within quotes as a whole
//! (`'cache.ttl'`), as no setting at the outermost level has a dot in its name. An element of a list is named by its
//! `id` or `name`, or counted from 0. The value replaces what is there.

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostics, Place};
use super::problem;
use super::tree::{self, Entry, Node, Table, Value};

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The keys from the outermost to the one that is set, each with its place.
    pub path: Vec<(String, Place)>,
    /// The new value.
    pub node: Node,
}

/// The changes that a `set` table states. Its keys are paths; tables that are written out as dotted keys or headers are read as parts of the path,
/// inline tables as values.
pub fn assignments(table: &Table, diagnostics: &Diagnostics) -> Vec<Assignment> {
    let mut found = Vec::new();
    for entry in &table.entries {
        match path_of_key(&entry.key, entry.key_place, diagnostics) {
            Some(path) => gather(path, &entry.node, diagnostics, &mut found),
            None => diagnostics.report(problem::broken_path(entry.key_place, &entry.key)),
        }
    }
    found
}

/// The changes that one `--set PATH=VALUE` states, or whatever `option` it is that is written so. The value is TOML; plain words need no quotes.
pub fn command_line(option: &str, argument: &str, diagnostics: &mut Diagnostics) -> Vec<Assignment> {
    let quoted = quoted_value(argument).filter(|quoted| DeTable::parse(argument).is_err() && DeTable::parse(quoted).is_ok());
    let source = diagnostics.add_source(option, quoted.unwrap_or_else(|| argument.to_owned()));
    if argument.split_once('=').is_none_or(|(_, value)| value.trim().is_empty()) {
        diagnostics.report(problem::set_without_value(Place::new(source, 0..argument.len()), option));
        return Vec::new();
    }
    let Some(Node { value: Value::Table(table), .. }) = tree::parse(diagnostics, source) else {
        return Vec::new();
    };
    assignments(&table, diagnostics)
}

/// Carries out one change. Tables that a path leads through are made where they are absent.
pub fn apply(root: &mut Node, assignment: &Assignment, diagnostics: &Diagnostics) {
    let Some(((last, last_place), through)) = assignment.path.split_last() else { return };
    let mut node = root;
    let mut outer = "";
    for (key, place) in through {
        let Some(next) = descend(node, outer, key, *place, diagnostics) else { return };
        node = next;
        outer = key;
    }
    if let Value::Table(table) = &mut node.value
        && table.find(last).is_none()
    {
        table.entries.push(Entry { key: last.clone(), key_place: *last_place, node: assignment.node.clone(), implied: false });
        return;
    }
    if let Some(target) = descend(node, outer, last, *last_place, diagnostics) {
        *target = assignment.node.clone();
    }
}

/// The value of `key` within `node`, made if it is absent.
fn descend<'n>(node: &'n mut Node, outer: &str, key: &str, place: Place, diagnostics: &Diagnostics) -> Option<&'n mut Node> {
    if node.value == Value::Boolean(false) {
        // A feature that is switched off: setting a part of it switches it on.
        *node = Node { place, value: Value::Table(Table::default()) };
    }
    match &mut node.value {
        Value::Table(table) => {
            if table.find(key).is_none() {
                let empty = Node { place, value: Value::Table(Table::default()) };
                table.entries.push(Entry { key: key.into(), key_place: place, node: empty, implied: true });
            }
            table.find_mut(key).map(|entry| {
                entry.key_place = place;
                &mut entry.node
            })
        }
        Value::List(nodes) => {
            let length = nodes.len();
            let found = nodes.iter().position(|node| is_called(node, key)).or_else(|| key.parse().ok().filter(|index| *index < length));
            if found.is_none() {
                diagnostics.report(problem::set_beyond_list(place, key, length));
            }
            found.map(|index| &mut nodes[index])
        }
        other => {
            diagnostics.report(problem::set_through_value(place, outer, other.kind()));
            None
        }
    }
}

fn is_called(node: &Node, name: &str) -> bool {
    let Value::Table(table) = &node.value else {
        return node.value == Value::Text(name.into());
    };
    ["id", "name"].iter().any(|key| table.find(key).is_some_and(|entry| entry.node.value == Value::Text(name.into())))
}

fn gather(path: Vec<(String, Place)>, node: &Node, diagnostics: &Diagnostics, found: &mut Vec<Assignment>) {
    match &node.value {
        // An inline table is a value; one made by a header or a dotted key has the place of that header or key.
        Value::Table(table) if !diagnostics.text_at(node.place).starts_with('{') => {
            for entry in &table.entries {
                let mut longer = path.clone();
                longer.push((entry.key.clone(), entry.key_place));
                gather(longer, &entry.node, diagnostics, found);
            }
        }
        _ => found.push(Assignment { path, node: node.clone() }),
    }
}

/// The parts of a key that is itself a dotted key, as in `set = { 'a.b' = 1 }`.
fn path_of_key(key: &str, place: Place, diagnostics: &Diagnostics) -> Option<Vec<(String, Place)>> {
    let text = format!("{key} = 0");
    let parsed = DeTable::parse(&text).ok()?;
    // Within simple quotes each part can be pointed at; behind escapes only the whole key can.
    let quoted = diagnostics.text_at(place).get(1..).is_some_and(|written| written.starts_with(key));
    let mut path = Vec::new();
    let mut table = parsed.get_ref();
    loop {
        let mut entries = table.iter();
        let (Some((part, value)), None) = (entries.next(), entries.next()) else {
            return None;
        };
        let span = part.span();
        let part_place = if quoted { Place { start: place.start + 1 + span.start, end: place.start + 1 + span.end, ..place } } else { place };
        path.push((part.get_ref().to_string(), part_place));
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::Integer(_) => return Some(path),
            _ => return None,
        }
    }
}

/// `a.b=plain words` as `a.b="plain words"`.
fn quoted_value(argument: &str) -> Option<String> {
    let (key, value) = argument.split_once('=')?;
    let value = value.trim();
    let is_plain = |letter: char| letter.is_alphanumeric() || " -_.:/".contains(letter);
    (!value.is_empty() && value.chars().all(is_plain)).then(|| format!("{key}=\"{value}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(option: &str, argument: &str) -> Vec<String> {
        let mut diagnostics = Diagnostics::default();
        let found = command_line(option, argument, &mut diagnostics);
        assert!(!diagnostics.has_errors() && found.len() == 1, "{argument}");
        found[0].path.iter().map(|(key, _)| key.clone()).collect()
    }

    #[test]
    fn a_path_within_quotes_is_the_path() {
        for (option, value) in [("--set", "2"), ("--sweep", "[1, 2]")] {
            for written in ["attempts.per_request", "'attempts.per_request'", "\"attempts.per_request\"", "'attempts'.\"per_request\""] {
                assert_eq!(path(option, &format!("{written} = {value}")), ["attempts", "per_request"], "{option} {written}");
            }
            let dotted = ["models", "gpt-4.1", "fallbacks"];
            assert_eq!(path(option, &format!("models.'gpt-4.1'.fallbacks = {value}")), dotted);
            assert_eq!(path(option, &format!("'models.\"gpt-4.1\".fallbacks' = {value}")), dotted);
        }
        assert_eq!(path("--set", "'cache.ttl'=5m"), ["cache", "ttl"], "a plain word needs no quotes");
    }
}
