//! What is written for readers, as its readers use it: in the README and on every page beside it, each block is checked or run, or says that it is
//! not and why.
//!
//! A block that can't run stands below a line that begins with [`NOT_RUN`]. Commands are split as a shell does it for spaces and simple quotes;
//! `# what it does` behind one is a comment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// How the line above a block begins that nobody runs; a reason follows.
const NOT_RUN: &str = "Not run in CI: ";

/// What a reader has from elsewhere: an export of LiteLLM's table.
const SPEND: &str = "\
request_id,startTime,endTime,model,prompt_tokens,completion_tokens,spend
a,2026-11-20 14:00:00.000,2026-11-20 14:00:02.000,gpt-4o-mini,1200,150,0.00027
b,2026-11-20 14:00:01.500,2026-11-20 14:00:03.000,gpt-4o-mini,900,80,0.000183
";

/// A fenced block: its language, its lines, and where it begins on its page.
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
    pub(crate) line: usize,
    /// Why nobody runs it.
    not_run: Option<String>,
}

/// A page of the repository, by its path.
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap();
        Self { path: path.to_owned(), text }
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let (mut is_open, mut above) = (false, "");
        for (line, text) in (1..).zip(self.text.lines()) {
            match (text.strip_prefix("```"), is_open) {
                (Some(""), true) => is_open = false,
                (Some(language), false) => {
                    is_open = true;
                    let not_run = above.strip_prefix(NOT_RUN).map(str::to_owned);
                    blocks.push(Block { language: language.to_owned(), text: String::new(), line, not_run });
                }
                (None, true) => {
                    let block = blocks.last_mut().unwrap();
                    block.text.push_str(text);
                    block.text.push('\n');
                }
                (None, false) => {
                    let hides = ["```", "~~~"].iter().any(|fence| text.trim_start().starts_with(fence));
                    assert!(!hides && !text.starts_with("    gwsim "), "{}:{line}: a block that nobody sees: fence it, from the margin", self.path);
                }
                (Some(_), true) => panic!("{}:{line}: a block opens within a block", self.path),
            }
            if !text.trim().is_empty() {
                above = text;
            }
        }
        assert!(!is_open, "{}: a block without an end", self.path);
        blocks
    }

    /// Checks every block, in order. Returns the names of the configurations and how many outputs were compared.
    #[track_caller]
    pub(crate) fn check(&self, home: &Path) -> (Vec<String>, usize) {
        let mut shown = String::new();
        let (mut configurations, mut outputs) = (Vec::new(), 0);
        for Block { language, text, line, not_run } in self.blocks() {
            let at = format!("{}:{line}", self.path);
            if let Some(reason) = not_run {
                assert!(reason.len() > 10, "{at}: why does nobody run this?");
                continue;
            }
            match language.as_str() {
                "toml" => configurations.push(self.configuration(&text, home, &at)),
                "csv" => {
                    fs::write(home.join("block.csv"), &text).unwrap();
                    succeeds(run("gwsim trace info block.csv", home), &at);
                }
                "yaml" => drop(serde_saphyr::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{at}: {error}"))),
                "console" => {
                    for command in text.lines() {
                        let at = format!("{at}: {command}");
                        match command.strip_prefix("cargo test") {
                            Some(arguments) => is_a_test(arguments, &at),
                            None => shown = succeeds(run(command, home), &at),
                        }
                    }
                }
                "text" => {
                    let begins: String = shown.split_inclusive('\n').take(text.lines().count()).collect();
                    assert_eq!(text, begins, "{at}: the command prints something else now: paste it anew");
                    assert!(outputs > 0 || text == shown, "{at}: the first output is shown whole");
                    outputs += 1;
                }
                other => panic!("{at}: a block of `{other}` that nobody checks"),
            }
        }
        (configurations, outputs)
    }

    /// Puts a block where its first line says that it belongs, and checks it.
    fn configuration(&self, text: &str, home: &Path, at: &str) -> String {
        let name = text.lines().next().and_then(|first| first.strip_prefix("# ")).unwrap_or_else(|| panic!("{at}: whose block?"));
        fs::write(home.join(name), text).unwrap();
        let checked = run(&format!("gwsim check {name}"), home);
        assert!(checked.status.success() && checked.stderr.is_empty(), "{at}: {}", String::from_utf8_lossy(&checked.stderr));
        name.to_owned()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A checkout without sources, what the README has its reader write, and what readers have of their own.
pub(crate) fn checkout() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for directory in ["scenarios", "traces"] {
        fs::create_dir(home.path().join(directory)).unwrap();
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), home.path().join(directory).join(entry.file_name())).unwrap();
        }
    }
    fs::write(home.path().join("spend.csv"), SPEND).unwrap();
    home
}

/// The same with the README's gateway and scenario, and the gateway before a change.
pub(crate) fn checkout_with_a_gateway() -> TempDir {
    let home = checkout();
    for Block { language, text, .. } in Page::read("README.md").blocks() {
        for name in ["gateway.toml", "scenario.toml"] {
            if language == "toml" && text.starts_with(&format!("# {name}\n")) {
                fs::write(home.path().join(name), &text).unwrap();
            }
        }
    }
    let before = fs::read_to_string(home.path().join("gateway.toml")).unwrap().replace("alert_share = 0.05", "alert_share = 0.04");
    fs::write(home.path().join("before.toml"), before).unwrap();
    home
}

/// What a command line does. `cargo run --release --` is gwsim; where its output goes to a file, the file is written.
#[track_caller]
pub(crate) fn run(line: &str, home: &Path) -> Output {
    let arguments = line.strip_prefix("gwsim ").or_else(|| line.strip_prefix("cargo run --release -- "));
    let words = words(arguments.unwrap_or_else(|| panic!("nobody runs this: {line}")));
    let is_redirected = |word: &String| word == ">" || word == "2>";
    let end = words.iter().position(is_redirected).unwrap_or(words.len());
    let output = Command::new(env!("CARGO_BIN_EXE_gwsim")).args(&words[..end]).current_dir(home).output().unwrap();
    for redirected in words[end..].chunks(2) {
        let stream = if redirected[0] == ">" { &output.stdout } else { &output.stderr };
        fs::write(home.join(&redirected[1]), stream).unwrap();
    }
    output
}

/// The words of a command, up to a comment.
#[track_caller]
fn words(line: &str) -> Vec<String> {
    let line = line.split_once(" # ").map_or(line, |(command, _)| command);
    assert!(!line.contains(['"', '|', '\\', '$', '&', ';']), "this test knows spaces and simple quotes only: {line}");
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[track_caller]
fn succeeds(output: Output, at: &str) -> String {
    assert!(output.status.success(), "{at}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Tests run with this one, not within it; but what a page picks of them must be there to be picked.
#[track_caller]
fn is_a_test(arguments: &str, at: &str) {
    let picked = arguments.split_whitespace().filter(|word| !word.starts_with("--"));
    for path in picked {
        let file = format!("{}.rs", path.replace("::", "/"));
        let is_there = sources(&root().join("src")).iter().any(|source| source.ends_with(&file));
        assert!(is_there, "{at}: there is no {file} in src");
    }
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// All pages beside the README, in order.
fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    for directory in ["docs", "scenarios", "traces"] {
        let files = fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        paths.extend(files.filter(|name| name.ends_with(".md")).map(|name| format!("{directory}/{name}")));
    }
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}

#[test]
fn every_block_of_every_page_is_true() {
    let pages = pages();
    assert!(pages.len() >= 6, "{}", pages.len());
    for page in pages {
        page.check(checkout_with_a_gateway().path());
    }
}

/// docs/speed.md has its figures from it.
#[test]
fn the_gateway_that_was_measured_is_valid() {
    succeeds(run("gwsim check benches/gateway.toml", &root()), "benches/gateway.toml");
}

#[test]
fn files_that_pages_link_to_are_there() {
    for page in pages().into_iter().chain([Page::read("README.md")]) {
        let directory = root().join(&page.path).parent().unwrap().to_owned();
        for (at, _) in page.text.match_indices("](") {
            let target = page.text[at + 2..].split([')', '#']).next().unwrap();
            let is_elsewhere = target.is_empty() || target.starts_with("https://");
            assert!(is_elsewhere || directory.join(target).exists(), "{} links to {target}", page.path);
        }
    }
}

/// The rule is worth nothing if what breaks it passes.
#[test]
fn a_block_that_nobody_runs_is_found() {
    let home = checkout_with_a_gateway();
    let passes = |text: &str| {
        let page = Page { path: "page.md".to_owned(), text: text.to_owned() };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| page.check(home.path()))).is_ok()
    };
    let block = |above: &str, language: &str, text: &str| format!("{above}\n\n```{language}\n{text}\n```\n");
    assert!(passes(&block("Do this.", "console", "gwsim check gateway.toml   # all errors at once")));
    assert!(passes(&block("Not run in CI: it takes a database.", "console", "psql -c x")));
    assert!(!passes(&block("Not run in CI: no", "console", "psql -c x")), "a reason is a sentence");
    assert!(!passes(&block("Do this.", "console", "psql -c x")));
    assert!(!passes(&block("Do this.", "", "gwsim check gateway.toml")), "a block without a language");
    assert!(!passes(&block("Do this.", "sh", "gwsim check gateway.toml")));
    assert!(!passes(&block("Do this.", "console", "gwsim check nothing.toml")));
    assert!(!passes(&block("Do this.", "console", "cargo test --lib -- statistics::tests::nothing")));
    assert!(!passes(&block("Do this.", "toml", "# gateway.toml\nversion = 1\nnonsense = 2")));
    assert!(!passes("- do this\n\n  ```console\n  psql -c x\n  ```\n"), "within a list");
    assert!(!passes("Do this:\n\n    gwsim nonsense\n"), "by its margin alone");
}
