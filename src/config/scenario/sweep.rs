//! `[sweep]`: settings that are varied beside the variants, and the scenario of each combination of their values. Runs nothing.
//!
//! A cell is the scenario with `--set PATH=VALUE` for each axis: the same resolver, the same order of changes, the same errors at the place where the
//! value is written.

mod range;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::report::sweep::{Axis, Mode};

use super::super::diagnostic::{Diagnostics, Place};
use super::super::read::{Item, Section};
use super::super::set::{self, Assignment};
use super::super::tree::{self, Node, Value};
use super::super::{Options, problem, quantity};
use super::{Draft, Scenario};

/// Axes of a grid: what can be drawn.
const GRID_AXES_MAX: usize = 2;

/// Keys of a scenario that change what is asked, not what happens.
const NOT_SWEPT: [&str; 10] = ["name", "description", "seed", "seeds", "seeds_max", "precision", "sweep", "expect", "baseline", "litellm"];

/// Settings and the values that they take in turn.
#[derive(Debug, Clone)]
pub struct SweepSpec {
    /// What is varied.
    pub axes: Vec<Axis>,
    /// How the axes are put together.
    pub mode: Mode,
    settings: Vec<Setting>,
    base: Rc<Base>,
}

/// What one axis changes.
#[derive(Debug, Clone)]
struct Setting {
    path: Vec<(String, Place)>,
    values: Vec<Node>,
}

/// The scenario before any cell's changes.
#[derive(Debug)]
struct Base {
    root: Node,
    path: PathBuf,
    options: Options,
    sets: Vec<Assignment>,
    /// The texts, without problems.
    texts: Diagnostics,
}

/// A sweep as it is written.
#[derive(Debug)]
pub(super) struct SweepDraft {
    mode: Mode,
    settings: Vec<Setting>,
    axes: Vec<Axis>,
}

impl SweepSpec {
    /// For each cell, which value each axis takes; `None` is the scenario's own. In a grid the last axis changes fastest; one at a time, the cell
    /// with the scenario's own values is the first.
    pub fn cells(&self) -> Vec<Vec<Option<usize>>> {
        let own = vec![None; self.axes.len()];
        match self.mode {
            Mode::OneAtATime => {
                let one = |axis: usize, value: usize| {
                    let mut at = own.clone();
                    at[axis] = Some(value);
                    at
                };
                let varied = self.axes.iter().enumerate().flat_map(|(axis, values)| (0..values.values.len()).map(move |value| (axis, value)));
                std::iter::once(own.clone()).chain(varied.map(|(axis, value)| one(axis, value))).collect()
            }
            Mode::Grid => self.axes.iter().fold(vec![Vec::new()], |cells, axis| {
                let longer = |cell: &Vec<Option<usize>>, value| cell.iter().copied().chain([Some(value)]).collect();
                cells.iter().flat_map(|cell| (0..axis.values.len()).map(move |value| longer(cell, value))).collect()
            }),
        }
    }

    /// How many cells there are.
    pub fn count(&self) -> u64 {
        let lengths = self.axes.iter().map(|axis| axis.values.len() as u64);
        match self.mode {
            Mode::OneAtATime => 1 + lengths.sum::<u64>(),
            Mode::Grid => lengths.product(),
        }
    }

    /// The scenario of one cell.
    ///
    /// # Errors
    /// If values that are right one by one are wrong together.
    pub fn scenario(&self, at: &[Option<usize>]) -> Result<Scenario, Diagnostics> {
        let mut diagnostics = self.base.texts.clone();
        let changes = self.settings.iter().zip(at).filter_map(|(setting, value)| Some(setting.change((*value)?)));
        let scenario = self.base.with(changes, &mut diagnostics);
        match scenario {
            Some(scenario) if !diagnostics.has_errors() => Ok(scenario),
            _ => Err(diagnostics),
        }
    }

    /// What of a cell changes the traffic: cells that agree in it are sent the same requests.
    pub fn traffic_of(&self, at: &[Option<usize>]) -> Vec<Option<usize>> {
        let changes_traffic = |setting: &Setting| setting.path.first().is_some_and(|(key, _)| key == "traffic");
        self.settings.iter().zip(at).filter(|(setting, _)| changes_traffic(setting)).map(|(_, value)| *value).collect()
    }
}

impl Setting {
    fn change(&self, value: usize) -> Assignment {
        Assignment { path: self.path.clone(), node: self.values[value].clone() }
    }
}

impl Base {
    fn with(&self, changes: impl Iterator<Item = Assignment>, diagnostics: &mut Diagnostics) -> Option<Scenario> {
        let mut root = self.root.clone();
        let mut for_gateway = self.sets.clone();
        for change in changes {
            if super::is_own(&change) { set::apply(&mut root, &change, diagnostics) } else { for_gateway.push(change) }
        }
        super::resolve_one(root, &self.path, &self.options, &for_gateway, diagnostics)
    }
}

/// Takes `[sweep]` out of a scenario's tree. `stated` are the changes of `--sweep`, which stand in its place if there are any.
pub(super) fn take(root: &mut Node, stated: Vec<Assignment>, diagnostics: &Diagnostics) -> Option<SweepDraft> {
    let Value::Table(table) = &mut root.value else { return None };
    let entry = table.entries.iter().position(|entry| entry.key == "sweep").map(|at| table.entries.remove(at));
    let (place, changes) = if let Some(first) = stated.first().and_then(|change| change.path.first()) {
        (first.1, stated)
    } else {
        let entry = entry?;
        let Value::Table(table) = &entry.node.value else {
            diagnostics.report(problem::wrong_kind(
                entry.node.place,
                "sweep",
                entry.node.value.kind(),
                "a table",
                "{ 'cache.ttl' = [\"0s\", \"1h\"] }",
            ));
            return None;
        };
        (entry.key_place, set::assignments(table, diagnostics))
    };
    read(place, changes, diagnostics)
}

fn read(place: Place, changes: Vec<Assignment>, diagnostics: &Diagnostics) -> Option<SweepDraft> {
    let before = diagnostics.error_count();
    let (modes, changes): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| matches!(change.path.as_slice(), [(key, _)] if key == "mode"));
    let words = [("grid", Mode::Grid), ("one-at-a-time", Mode::OneAtATime)];
    let mode = modes.last().and_then(|change| Item::new(&change.node, "mode", diagnostics).choice(&words)).unwrap_or(Mode::Grid);
    let (mut settings, mut axes): (Vec<Setting>, Vec<Axis>) = (Vec::new(), Vec::new());
    for change in changes {
        let path = tree::path_of(change.path.iter().map(|(key, _)| key.as_str()));
        let (first_key, first_place) = change.path.first()?;
        if NOT_SWEPT.contains(&first_key.as_str()) {
            diagnostics.report(problem::not_swept(*first_place, first_key));
            continue;
        }
        if let Some(first) = axes.iter().position(|axis| axis.path == path) {
            diagnostics.report(problem::duplicate(*first_place, "path", &path, settings[first].path[0].1));
            continue;
        }
        let Some((values, is_log)) = values(&change, diagnostics) else { continue };
        let texts: Vec<String> = values.iter().map(|(_, text)| text.clone()).collect();
        let values: Vec<Node> = values.into_iter().map(|(node, _)| node).collect();
        let numbers = values.iter().map(number).collect();
        axes.push(Axis { path, values: texts, numbers, is_log });
        settings.push(Setting { path: change.path, values });
    }
    if axes.is_empty() && diagnostics.error_count() == before {
        diagnostics.report(problem::missing_key(
            place,
            "PATH",
            "a sweep",
            "[\"0s\", \"1m\", \"1h\"], with PATH the setting that is varied, as in `set`",
        ));
    }
    if mode == Mode::Grid && axes.len() > GRID_AXES_MAX {
        diagnostics.report(problem::too_many_axes(settings[GRID_AXES_MAX].path[0].1, axes.len()));
    }
    // With an error, the scenario is not loaded; what is right is tried all the same, for the errors of its values.
    Some(SweepDraft { mode, settings, axes })
}

impl SweepDraft {
    /// The sweep over the scenario in `root`. Each value is tried alone, so that whatever is wrong with one is known before anything runs.
    pub(super) fn resolve(self, root: Node, (path, options): (&Path, &Options), sets: &[Assignment], diagnostics: &mut Diagnostics) -> SweepSpec {
        self.warn_of_variants(&super::drafts(&root, &diagnostics.without_problems()), diagnostics);
        let base = Base { root, path: path.to_owned(), options: options.clone(), sets: sets.to_vec(), texts: Diagnostics::new() };
        for setting in &self.settings {
            for value in 0..setting.values.len() {
                base.with(std::iter::once(setting.change(value)), diagnostics);
            }
        }
        let base = Base { texts: diagnostics.without_problems(), ..base };
        SweepSpec { axes: self.axes, mode: self.mode, settings: self.settings, base: Rc::new(base) }
    }

    /// A variant that sets what is swept is like the others in every cell.
    fn warn_of_variants(&self, drafts: &[Draft], diagnostics: &Diagnostics) {
        for (draft, set) in drafts.iter().flat_map(|draft| draft.sets.iter().map(move |set| (draft, set))) {
            for (setting, axis) in self.settings.iter().zip(&self.axes) {
                let mut both = setting.path.iter().zip(&set.path);
                if both.all(|((swept, _), (own, _))| swept == own) {
                    diagnostics.report(problem::swept_over(set.path[0].1, &draft.name, &axis.path));
                }
            }
        }
    }
}

/// The values of an axis, each with its text, and whether it has a logarithmic scale.
fn values(change: &Assignment, diagnostics: &Diagnostics) -> Option<(Vec<(Node, String)>, bool)> {
    let key = change.path.last().map_or("", |(key, _)| key.as_str());
    let item = Item::new(&change.node, key, diagnostics);
    match &change.node.value {
        Value::List(nodes) if nodes.is_empty() => {
            item.report(problem::malformed(item.place(), key, "a list of values", "it is empty", "[\"0s\", \"1m\", \"1h\"]"));
            None
        }
        Value::List(nodes) => {
            let texts: Vec<String> = nodes.iter().map(|node| diagnostics.text_at(node.place).to_owned()).collect();
            for (at, text) in texts.iter().enumerate() {
                if let Some(first) = texts[..at].iter().position(|other| other == text) {
                    diagnostics.report(problem::duplicate(nodes[at].place, "value", text, nodes[first].place));
                }
            }
            Some((nodes.iter().cloned().zip(texts).collect(), false))
        }
        Value::Table(table) => {
            let section = Section::new(table, format!("the range of `{key}`"), item.place(), diagnostics);
            range::read(&section, (key, item.place()))
        }
        other => {
            let expected = "a list of values, or a range";
            diagnostics.report(problem::wrong_kind(item.place(), key, other.kind(), expected, "[...], or { from = 0, to = 1, steps = 11 }"));
            None
        }
    }
}

/// A value on a numeric scale: durations in seconds, amounts in dollars.
fn number(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Whole(number) => number.map(|number| number as f64),
        Value::Decimal(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Text(text) => {
            let seconds = quantity::span(text).map(|span| span.0 as f64 / 1e9);
            seconds.or_else(|_| quantity::money(text).map(|money| money.0 as f64 / 1e12)).ok()
        }
        Value::Boolean(_) | Value::Datetime(_) | Value::List(_) | Value::Table(_) => None,
    }
}
