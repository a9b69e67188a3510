//! The README as its reader uses it: every TOML block is checked, every command runs, and what is shown as output is the output.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::cli::checkout;

const README: &str = include_str!("../../README.md");

/// A fenced block: its language, its lines, and where it begins in the README.
struct Block {
    language: &'static str,
    text: String,
    line: usize,
}

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (line, text) in (1..).zip(README.lines()) {
        match (text.strip_prefix("```"), is_open) {
            (Some(""), true) => is_open = false,
            (Some(language), false) => {
                is_open = true;
                blocks.push(Block { language, text: String::new(), line });
            }
            (None, true) => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(text);
                block.text.push('\n');
            }
            (None, false) => {}
            (Some(_), true) => panic!("README.md:{line}: a block opens within a block"),
        }
    }
    assert!(!is_open, "a block without an end");
    blocks
}

/// What a command line of the README does; nothing if it is not gwsim's. `cargo run --release --` is gwsim.
fn run(line: &str, home: &Path) -> Option<Output> {
    let arguments = line.strip_prefix("gwsim ").or_else(|| line.strip_prefix("cargo run --release -- "))?;
    assert!(!arguments.contains(['\'', '"', '|', '\\']), "this test splits at spaces only: {line}");
    Some(Command::new(env!("CARGO_BIN_EXE_gwsim")).args(arguments.split(' ')).current_dir(home).output().unwrap())
}

#[test]
fn every_block_is_true() {
    let home = checkout();
    let mut shown = String::new();
    let (mut configurations, mut outputs) = (Vec::new(), 0);
    for Block { language, text, line } in blocks() {
        match language {
            "toml" => {
                let name = text.lines().next().and_then(|first| first.strip_prefix("# ")).unwrap_or_else(|| panic!("README.md:{line}: whose block?"));
                fs::write(home.path().join(name), &text).unwrap();
                let checked = run(&format!("gwsim check {name}"), home.path()).unwrap();
                assert!(checked.status.success() && checked.stderr.is_empty(), "README.md:{line}: {}", String::from_utf8_lossy(&checked.stderr));
                configurations.push(name.to_owned());
            }
            "csv" => {
                fs::write(home.path().join("block.csv"), &text).unwrap();
                let read = run("gwsim trace info block.csv", home.path()).unwrap();
                assert!(read.status.success(), "README.md:{line}: {}", String::from_utf8_lossy(&read.stderr));
            }
            "console" => {
                for command in text.lines() {
                    let Some(output) = run(command, home.path()) else {
                        assert_eq!(command, "cargo test", "README.md:{line}: nobody runs this");
                        continue;
                    };
                    assert!(output.status.success(), "README.md:{line}: {command}: {}", String::from_utf8_lossy(&output.stderr));
                    shown = String::from_utf8(output.stdout).unwrap();
                }
            }
            "text" => {
                let begins: String = shown.split_inclusive('\n').take(text.lines().count()).collect();
                assert_eq!(text, begins, "README.md:{line}: the command prints something else now: paste it anew");
                assert!(outputs > 0 || text == shown, "README.md:{line}: the first output is shown whole");
                outputs += 1;
            }
            other => panic!("README.md:{line}: a block of `{other}` that nobody checks"),
        }
    }
    let names = ["gateway.toml", "scenario.toml", "clients.toml", "contract.toml", "providers.toml", "made-up.toml", "sweep.toml"];
    let expected = names.map(str::to_owned).to_vec();
    assert_eq!((configurations, outputs), (expected, 2));
}

#[test]
fn what_is_shown_fits_a_terminal() {
    for block in blocks().iter().filter(|block| block.language == "text") {
        for (number, line) in (block.line + 1..).zip(block.text.lines()) {
            assert!(line.chars().count() <= 100, "README.md:{number}: {} columns", line.chars().count());
        }
    }
}

#[test]
fn files_that_are_linked_are_there() {
    for (at, _) in README.match_indices("](") {
        let target = README[at + 2..].split(')').next().unwrap();
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(), "README.md links to {target}");
    }
}
