//! Gateways from outside in place of a scenario's own: every one is a variant in the scenario's world, on its traffic. Decides what of the scenario
//! still means something then.

use std::path::{Path, PathBuf};

use super::Draft;
use crate::config::diagnostic::Diagnostics;
use crate::config::files;
use crate::config::tree::{self, Node, Value};

/// What a scenario says of its own gateway and of its variants, by their names.
const OWN: [&str; 6] = ["gateway", "litellm", "variant", "sweep", "expect", "baseline"];

/// Takes all of that out.
pub fn forget_own(root: &mut Node) {
    if let Value::Table(table) = &mut root.value {
        // That nothing is held against the log is said of the traffic, not of a variant.
        let stays = |entry: &tree::Entry| entry.key == "baseline" && matches!(entry.node.value, Value::Boolean(_));
        table.entries.retain(|entry| stays(entry) || !OWN.contains(&entry.key.as_str()));
    }
}

/// A variant for each gateway, with its tree and the directory that its paths are relative to. What can't be read is reported.
pub fn drafts(gateways: &[(String, PathBuf)], diagnostics: &mut Diagnostics) -> impl Iterator<Item = (Draft, Option<(Node, PathBuf)>)> {
    let draft = |(name, path): &(String, PathBuf)| (Draft { name: name.clone(), sets: Vec::new() }, read(path, diagnostics));
    gateways.iter().map(draft).collect::<Vec<_>>().into_iter()
}

fn read(path: &Path, diagnostics: &mut Diagnostics) -> Option<(Node, PathBuf)> {
    let (source, _) = files::read(path, None, diagnostics)?;
    let tree = tree::parse(diagnostics, source)?;
    Some((tree, path.parent().unwrap_or(Path::new("")).to_owned()))
}
