//! The README's tour of the five traps, as its reader takes it: the same lab, the same shell, the same output.

use std::fs;
use std::process::Command;

use super::processes::start;
use crate::pages::Page;

/// A reader waits until it has happened; so does the test, on a machine that may be slower than he is patient.
const UNTIL_LOADED: &str =
    "loaded=$((loaded + 1)); until curl -s http://GATEWAY/metrics | grep -q \"^gwsim_reloads_total{.*adopted.*} $loaded\"; do sleep 0.1; done;";
const UNTIL_BILLED: &str = "\
    until tail -n 1 bill.jsonl | grep -q '\"stream\":true' && [ $(wc -l < bill.jsonl) != \"$billed\" ]; do sleep 0.1; done; \
    billed=$(wc -l < bill.jsonl);";

#[test]
fn the_five_traps_are_as_the_readme_shows_them() {
    let [lab, session, shown] = blocks();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lab.toml"), lab).unwrap();
    let free = ["--listen", "127.0.0.1:0", "--seed", "1"];
    let (_mock, _) = start(&folder, &[&["mock", "lab.toml", "--write-gateway", "live.toml", "--bill", "bill.jsonl"], &free[..]].concat());
    let (_serve, gateway) = start(&folder, &[&["serve", "--config", "live.toml", "--journal", "journal"], &free[..]].concat());
    let mut patient = session;
    for (word, instead) in [("127.0.0.1:4000", gateway.as_str()), ("sleep 3;", UNTIL_LOADED), ("sleep 4;", UNTIL_BILLED)] {
        assert!(patient.contains(word), "the session has no `{word}` any more");
        patient = patient.replace(word, &instead.replace("GATEWAY", &gateway));
    }
    let output = Command::new("bash").args(["-c", &patient]).current_dir(folder.path()).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(without_instants(&printed), without_instants(&shown), "the README's tour prints something else now:\n{printed}");
    // The shown stream was left: less than the whole is billed.
    for text in [&printed, &shown] {
        let closed = text.lines().find_map(|line| line.strip_prefix("\"ended\":\"closed\" \"output\":")).expect("the first stream is closed");
        assert!(closed.parse::<u32>().unwrap() < 120, "{closed}");
    }
}

/// How far a stream has come within a second is not always the same.
fn without_instants(text: &str) -> String {
    let lines = text.lines().map(|line| if line.contains("\"closed\"") { "closed" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// The lab, the session and its output.
fn blocks() -> [String; 3] {
    let blocks = Page::read("README.md").blocks();
    let mut tour = blocks.into_iter().skip_while(|block| !block.text.starts_with("# lab.toml"));
    let mut next = |language: &str| {
        let block = tour.next().unwrap();
        assert_eq!(block.language, language, "README.md:{}", block.line);
        block.text
    };
    let lab = next("toml");
    // The two commands that the test starts by itself.
    next("console");
    [lab, next("console"), next("text")]
}
