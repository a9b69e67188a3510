//! The workflow of docs/ci.md: its command runs, says what the page says, and the comment that it leaves is found again.

use serde_json::Value;

use crate::pages::{Page, checkout_with_a_gateway, run};

#[test]
fn the_workflow_finds_its_comment_again() {
    let mut blocks = Page::read("docs/ci.md").blocks();
    blocks.retain(|block| block.language == "yaml");
    let [workflow] = &blocks[..] else { panic!("one workflow") };
    let parsed: Value = serde_saphyr::from_str(&workflow.text).unwrap();
    let steps = parsed["jobs"]["compare"]["steps"].as_array().unwrap();
    let scripts: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    let home = checkout_with_a_gateway();
    let command = scripts.iter().flat_map(|script| script.lines()).find(|line| line.starts_with("gwsim ")).unwrap();
    let comment = String::from_utf8(run(command, home.path()).stdout).unwrap();
    let first = comment.lines().next().unwrap();
    assert!(scripts.iter().filter(|script| script.contains(first)).count() == 2, "made and found again by {first}");
    // No part of a pull request becomes a part of a script.
    assert!(scripts.iter().all(|script| !script.contains("github.")), "{scripts:?}");
}
