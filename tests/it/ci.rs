//! docs/ci.md as its reader uses it: the workflow is YAML, and every command in it runs and says what the page says.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const PAGE: &str = include_str!("../../docs/ci.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut parts = PAGE.split("```");
    // Text, block, text, block, ...
    parts.next();
    let mut found = Vec::new();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        if let Some(text) = block.strip_prefix(&format!("{language}\n")) {
            found.push(text.to_owned());
        }
    }
    found
}

/// A checkout of the README's own gateway and scenario, and the gateway before a change.
fn checkout() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir(home.path().join("traces")).unwrap();
    fs::copy(root.join("traces/quickstart.csv.gz"), home.path().join("traces/quickstart.csv.gz")).unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for name in ["gateway.toml", "scenario.toml"] {
        let start = readme.find(&format!("# {name}\n")).unwrap();
        let text = readme[start..].split("```").next().unwrap();
        fs::write(home.path().join(name), text).unwrap();
    }
    let before = fs::read_to_string(home.path().join("gateway.toml")).unwrap().replace("alert_share = 0.05", "alert_share = 0.04");
    fs::write(home.path().join("before.toml"), before).unwrap();
    home
}

fn run(line: &str, home: &Path) -> std::process::Output {
    let arguments = line.strip_prefix("gwsim ").unwrap().split(" > ").next().unwrap();
    Command::new(env!("CARGO_BIN_EXE_gwsim")).args(arguments.split(' ')).current_dir(home).output().unwrap()
}

#[test]
fn every_command_of_the_page_runs() {
    let home = checkout();
    for command in blocks("console").iter().flat_map(|block| block.lines()) {
        let output = run(command, home.path());
        assert_eq!(output.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_workflow_is_yaml_and_finds_its_comment_again() {
    let [workflow] = blocks("yaml").try_into().unwrap();
    let parsed: Value = serde_saphyr::from_str(&workflow).unwrap();
    let steps = parsed["jobs"]["compare"]["steps"].as_array().unwrap();
    let scripts: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    let home = checkout();
    let command = scripts.iter().flat_map(|script| script.lines()).find(|line| line.starts_with("gwsim ")).unwrap();
    let comment = String::from_utf8(run(command, home.path()).stdout).unwrap();
    let first = comment.lines().next().unwrap();
    assert!(scripts.iter().filter(|script| script.contains(first)).count() == 2, "made and found again by {first}");
    // No part of a pull request becomes a part of a script.
    assert!(scripts.iter().all(|script| !script.contains("github.")), "{scripts:?}");
}
