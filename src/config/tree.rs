//! A TOML text as an owned tree in which every key and value knows its place. Decides nothing about what the keys mean.

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostics, Place, SourceId};
use super::problem;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it is written.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// A TOML value. Numbers keep their text, so that decimals stay exact.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number; `None` if it has more than 128 bits.
    Whole(Option<i128>),
    /// A number with decimals, as written.
    Decimal(String),
    /// True or false.
    Boolean(bool),
    /// A date or time, as written.
    Datetime(String),
    /// Values in order.
    List(Vec<Node>),
    /// Keys and values.
    Table(Table),
}

/// Keys and values in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Its path from the root, as messages and `set` have it; empty for the root, and before [`name_tables`].
    pub path: String,
    /// The entries; keys are unique.
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is written.
    pub key_place: Place,
    /// The value.
    pub node: Node,
    /// Made only because a `set` names a path through it. Where users choose the names, it stands for something that does not exist.
    pub implied: bool,
}

impl Table {
    /// The entry of a key.
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The entry of a key, to change it.
    pub fn find_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }
}

impl Value {
    /// What a message calls this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Whole(_) => "a whole number",
            Self::Decimal(_) => "a number with decimals",
            Self::Boolean(_) => "true or false",
            Self::Datetime(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Parses the text of a source. Everything that the parser finds wrong is reported; `None` then.
pub fn parse(diagnostics: &Diagnostics, source: SourceId) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(diagnostics.text(source));
    if errors.is_empty() {
        let place = Place::new(source, table.span());
        return Some(Node { place, value: Value::Table(owned_table(table.get_ref(), source)) });
    }
    for error in errors {
        let at = error.span().unwrap_or_default();
        diagnostics.report(problem::broken_toml(Place::new(source, at), error.message()));
    }
    None
}

/// The tables of a tree without places and comments, to be written out again.
pub fn plain_table(node: &Node) -> toml::Table {
    match plain(node) {
        toml::Value::Table(table) => table,
        _ => toml::Table::new(),
    }
}

fn plain(node: &Node) -> toml::Value {
    match &node.value {
        Value::Text(text) => toml::Value::String(text.clone()),
        // What has more bits than TOML's numbers was refused when the tree was read.
        Value::Whole(number) => toml::Value::Integer(number.and_then(|number| i64::try_from(number).ok()).unwrap_or(i64::MAX)),
        Value::Decimal(text) => toml::Value::Float(text.replace('_', "").parse().unwrap_or(f64::NAN)),
        Value::Boolean(value) => toml::Value::Boolean(*value),
        Value::Datetime(text) => text.parse().map_or_else(|_| toml::Value::String(text.clone()), toml::Value::Datetime),
        Value::List(nodes) => toml::Value::Array(nodes.iter().map(plain).collect()),
        Value::Table(table) => toml::Value::Table(table.entries.iter().map(|entry| (entry.key.clone(), plain(&entry.node))).collect()),
    }
}

/// Tells every table within `node` its path. Done last, as changes by `set` put tables into other places.
pub fn name_tables(node: &mut Node, path: &str) {
    match &mut node.value {
        Value::Table(table) => {
            path.clone_into(&mut table.path);
            for entry in &mut table.entries {
                let key = quoted(&entry.key);
                let inner = if path.is_empty() { key } else { format!("{path}.{key}") };
                name_tables(&mut entry.node, &inner);
            }
        }
        Value::List(nodes) => nodes.iter_mut().for_each(|node| name_tables(node, path)),
        _ => {}
    }
}

/// Keys as a path, as messages and `set` have it.
pub fn path_of<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    keys.map(quoted).collect::<Vec<_>>().join(".")
}

/// A key as a part of a path: quoted unless TOML lets it stand bare.
fn quoted(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare { key.to_owned() } else { format!("\"{key}\"") }
}

fn owned_table(table: &DeTable<'_>, source: SourceId) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_place: Place::new(source, key.span()),
            node: Node { place: Place::new(source, value.span()), value: owned_value(value.get_ref(), source) },
            implied: false,
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_place.start);
    Table { path: String::new(), entries }
}

fn owned_value(value: &DeValue<'_>, source: SourceId) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => Value::Whole(i128::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()),
        DeValue::Float(number) => Value::Decimal(number.as_str().replace('_', "")),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(items) => Value::List(
            items.iter().map(|item| Node { place: Place::new(source, item.span()), value: owned_value(item.get_ref(), source) }).collect(),
        ),
        DeValue::Table(table) => Value::Table(owned_table(table, source)),
    }
}
