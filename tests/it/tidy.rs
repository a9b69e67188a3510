//! The rules of the house as tests: who may use whom, what the core may not contain, how long files and functions get.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may use whom. A module that is not listed may use nothing.
const ARROWS: &[(&str, &[&str])] = &[
    ("gateway", &[]),
    ("price", &["gateway"]),
    ("clock", &["gateway"]),
    ("journal", &["gateway"]),
    ("wire", &["gateway"]),
    ("traffic", &["gateway", "journal"]),
    ("sim", &["traffic", "price", "gateway"]),
    ("config/gateway", &["gateway", "price"]),
    ("config/scenario", &["config/gateway", "traffic", "sim", "report", "gateway", "price"]),
    ("serve", &["config/gateway", "wire", "journal", "price", "clock", "gateway"]),
    ("report", &["journal", "price", "gateway"]),
    ("twin", &["sim", "traffic", "wire", "price", "clock", "gateway"]),
    ("advise", &["config", "report", "sim", "journal", "traffic", "gateway"]),
    ("cli", &["advise", "clock", "config", "gateway", "journal", "price", "report", "serve", "sim", "traffic", "twin", "wire"]),
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 150;

struct Source {
    /// Relative to `src`, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The room that the file is in: its first directory, two for `config`.
    fn room(&self) -> &str {
        let path = self.path.trim_end_matches(".rs");
        for config in ["config/gateway", "config/scenario"] {
            if path.starts_with(config) {
                return config;
            }
        }
        path.split('/').next().unwrap_or_default()
    }

    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs") || part == "sample.rs")
    }

    /// How many lines come before the tests at the bottom. A test module in a file of its own ends nothing.
    fn lines_before_tests(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let opens_tests = |at: usize| lines[at].trim() == "#[cfg(test)]" && lines.get(at + 1).is_some_and(|next| next.ends_with('{'));
        (0..lines.len()).find(|at| opens_tests(*at)).unwrap_or(lines.len())
    }

    /// The lines before the tests at the bottom, numbered from 1, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = (1..).zip(self.text.lines()).take(self.lines_before_tests());
        let code = lines.map(|(number, line)| (number, line.split("//").next().unwrap_or_default()));
        code.filter(|(_, line)| !line.trim().is_empty())
    }
}

fn sources() -> Vec<Source> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    let relative = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    paths.into_iter().map(|path| Source { path: relative(&path), text: fs::read_to_string(&path).unwrap() }).collect()
}

/// Fails with every fault at once.
#[track_caller]
fn check(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The rooms named after `crate::` in a line of code.
fn used(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in line.match_indices("crate::") {
        let rest = &line[start + "crate::".len()..];
        let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let heads: Vec<&str> = if let Some(list) = rest.strip_prefix('{') { list.split(',').map(str::trim).collect() } else { vec![rest] };
        for head in heads {
            let (first, rest) = (name(head), head.get(name(head).len()..).unwrap_or_default());
            match (first.as_str(), rest.strip_prefix("::").map(name)) {
                ("config", Some(second)) if second == "gateway" || second == "scenario" => found.push(format!("config/{second}")),
                ("", _) => {}
                _ => found.push(first),
            }
        }
    }
    found
}

fn may_use(room: &str, other: &str) -> bool {
    // The root of `config` serves both halves and shares its reader with them.
    let is_config = |room: &str| room == "config" || room.starts_with("config/");
    if room == other || room == "main" || room == "lib" || (is_config(room) && other == "config") || (room == "config" && is_config(other)) {
        return true;
    }
    let room = if room == "config" { "config/scenario" } else { room };
    let allowed = ARROWS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, allowed)| allowed);
    allowed.iter().any(|allowed| other == *allowed || (*allowed == "config" && is_config(other)) || (room == "cli" && is_config(other)))
}

#[test]
fn nobody_uses_whom_they_may_not() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            for other in used(line).into_iter().filter(|other| !may_use(source.room(), other)) {
                faults.push(format!("src/{}:{number}: {} may not use {other}", source.path, source.room()));
            }
        }
    }
    check(faults);
}

#[test]
fn the_arrows_are_read_as_they_are_written() {
    assert_eq!(used("use crate::gateway::money::Money;"), ["gateway"]);
    assert_eq!(used("use crate::{price, sim::driver};"), ["price", "sim"]);
    assert_eq!(used("fn f(x: crate::config::gateway::Plan) -> crate::config::Loaded<()>"), ["config/gateway", "config"]);
    assert!(may_use("report", "gateway") && may_use("cli", "config/scenario") && may_use("config/scenario", "config/gateway"));
    assert!(!may_use("report", "sim") && !may_use("sim", "serve") && !may_use("serve", "sim") && !may_use("gateway", "price"));
    assert!(!may_use("config/gateway", "sim") && !may_use("serve", "config/scenario") && !may_use("somewhere", "gateway"));
}

#[test]
fn the_core_is_pure() {
    const FORBIDDEN: &[(&str, &str)] = &[
        ("f32", "a float"),
        ("f64", "a float"),
        ("std::", "std; the core is core and alloc"),
        ("RandomState", "a random hasher"),
        ("Instant", "a clock"),
        ("SystemTime", "a clock"),
    ];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.room() == "gateway" && !source.is_test()) {
        let maps: Vec<String> = source.code().filter_map(|(_, line)| map_name(line)).collect();
        for (number, line) in source.code() {
            let words = |word: &&(&str, &str)| line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').any(|part| part.contains(word.0));
            faults.extend(FORBIDDEN.iter().filter(words).map(|(_, what)| format!("src/gateway: {}:{number}: {what}", source.path)));
            for map in &maps {
                let iterates = ["iter()", "iter_mut()", "keys()", "values()", "values_mut()", "drain()", "into_iter()", "retain("];
                if iterates.iter().any(|call| line.contains(&format!("{map}.{call}"))) || line.contains(&format!("in &self.{map} ")) {
                    faults.push(format!("src/{}:{number}: iterates the map `{map}`: its order is no part of any result", source.path));
                }
            }
        }
    }
    check(faults);
}

/// The field or variable that a line declares to be a hash map.
fn map_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once(':')?;
    let is_map = ["Map<", "HashMap<", "HashSet<"].iter().any(|map| after.trim_start().starts_with(map));
    if is_map { before.split_whitespace().last().map(str::to_owned) } else { None }
}

#[test]
fn nothing_is_left_undone_or_said_twice() {
    let mut faults = Vec::new();
    for source in sources() {
        let undone = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("dbg", "!("), "allow(dead_code)"];
        for (number, line) in (1..).zip(source.text.lines()) {
            faults.extend(undone.iter().filter(|word| line.contains(**word)).map(|word| format!("src/{}:{number}: {word}", source.path)));
        }
        if !source.text.starts_with("//!") && !source.is_test() {
            faults.push(format!("src/{}:1: a file opens with what it decides", source.path));
        }
    }
    check(faults);
}

#[test]
fn files_and_functions_can_be_read_in_one_go() {
    let mut faults = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("src/{}: {lines} lines, {FILE_LINES_MAX} at most", source.path));
        }
        for (number, name, length) in functions(&source.text) {
            // Tests may spell out a whole plan.
            if length > FUNCTION_LINES_MAX && !source.is_test() {
                faults.push(format!("src/{}:{number}: `{name}` has {length} lines, {FUNCTION_LINES_MAX} at most", source.path));
            }
        }
    }
    check(faults);
}

#[test]
fn lines_fit_the_width() {
    let mut faults = Vec::new();
    for source in sources() {
        // Tests may have rows of a log and whole messages in a line; what they say in words may not be longer than others say it.
        let tests_from = if source.is_test() { 0 } else { source.lines_before_tests() };
        for (number, line) in (1..).zip(source.text.lines()).filter(|(_, line)| line.chars().count() > COLUMNS_MAX) {
            if number <= tests_from || line.trim_start().starts_with("//") {
                faults.push(format!("src/{}:{number}: wider than {COLUMNS_MAX}", source.path));
            }
        }
    }
    check(faults);
}

/// Line, name and length of every function, by indentation: rustfmt closes a function where it began.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some(at) = trimmed.find("fn ").filter(|at| trimmed[..*at].split_whitespace().all(|word| word.starts_with("pub") || word == "const"))
        else {
            continue;
        };
        if trimmed.ends_with(';') || trimmed.ends_with('}') {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - trimmed.len()]);
        let Some(length) = lines[start..].iter().position(|line| **line == close) else { continue };
        let name = trimmed[at + 3..].split(['(', '<']).next().unwrap_or_default();
        found.push((start + 1, name.to_owned(), length + 1));
    }
    found
}
