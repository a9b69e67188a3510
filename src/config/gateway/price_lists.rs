//! Which price lists a configuration asks for. Read before everything else, because files may have to be taken in; decides no price.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use crate::price::{BUILT_IN, PriceError, PriceList};

use super::super::diagnostic::{Diagnostics, Place, Problem};
use super::super::tree::{Node, Table, Value};
use super::super::{files, problem};

type List = Cow<'static, PriceList>;

/// The list that holds at first, and those that price changes bring.
#[derive(Debug)]
pub struct Lists {
    first: List,
    /// By the number of the change.
    changes: Vec<Option<List>>,
}

/// The lists of a tree. The first is the one of the command line, else the tree's own, else the built-in one.
pub fn read(root: &Node, directory: &Path, on_command_line: Option<&Path>, diagnostics: &mut Diagnostics) -> Lists {
    let built_in = || Cow::Borrowed(PriceList::built_in());
    let prices = table(Some(root)).and_then(|root| table(Some(&root.find("prices")?.node)));
    let first = match on_command_line {
        Some(path) if path == Path::new(BUILT_IN) => None,
        Some(path) => from_file(path, None, diagnostics),
        None => prices.and_then(|prices| stated(prices, directory, diagnostics)),
    };
    let changes = match prices.and_then(|prices| prices.find("changes")).map(|entry| &entry.node) {
        Some(Node { value: Value::List(changes), .. }) => changes.iter().collect(),
        other => Vec::from_iter(other),
    };
    let changes = changes.into_iter().map(|change| stated(table(Some(change))?, directory, diagnostics)).collect();
    Lists { first: first.unwrap_or_else(built_in), changes }
}

impl Lists {
    /// The list that holds at first.
    pub fn first(&self) -> &PriceList {
        &self.first
    }

    /// The list that the change of that number brings, if it brings one.
    pub fn of_change(&self, number: usize) -> Option<&PriceList> {
        self.changes.get(number)?.as_deref()
    }
}

impl fmt::Display for Lists {
    /// `the built-in price list of 2026-11-22, then december.csv of 2026-12-01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.changes.iter().flatten().try_for_each(|list| write!(f, ", then {list}"))
    }
}

fn table(node: Option<&Node>) -> Option<&Table> {
    match &node?.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// The list that a section names; reported if it can't be had.
fn stated(section: &Table, directory: &Path, diagnostics: &mut Diagnostics) -> Option<List> {
    let node = &section.find("list")?.node;
    // Anything but text is reported when the section is read.
    let Value::Text(name) = &node.value else { return None };
    let is_file = [".csv", ".json"].iter().any(|ending| name.ends_with(ending));
    if is_file {
        return from_file(&directory.join(name), Some(node.place), diagnostics);
    }
    let built_in = PriceList::built_in();
    if built_in.date() == Some(name) {
        return Some(Cow::Borrowed(built_in));
    }
    let there = built_in.date().unwrap_or("undated");
    diagnostics.report(problem::malformed(
        node.place,
        "list",
        "the date of the built-in list, or a .csv or .json file",
        &format!("the built-in list is of {there}"),
        &format!("\"{there}\""),
    ));
    None
}

fn from_file(path: &Path, place: Option<Place>, diagnostics: &mut Diagnostics) -> Option<List> {
    let (source, name) = files::read(path, place, diagnostics)?;
    let text = diagnostics.text(source);
    let list = if name.ends_with(".csv") { PriceList::from_csv(text, &name) } else { PriceList::from_litellm_json(text, &name) };
    let found = list.map_err(|PriceError { line, column, message, .. }| {
        let start = files::offset(diagnostics.text(source), line, column);
        diagnostics.report(Problem::error(Place::new(source, start..start + 1), message));
    });
    found.ok().map(Cow::Owned)
}
