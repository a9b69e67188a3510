//! The README as its reader uses it: every TOML block is checked, every command runs, and what is shown as output is the output.

use crate::pages::{Page, checkout};

#[test]
fn every_block_is_true() {
    let (configurations, outputs) = Page::read("README.md").check(checkout().path());
    let names =
        ["gateway.toml", "scenario.toml", "clients.toml", "contract.toml", "providers.toml", "serve.toml", "made-up.toml", "sweep.toml", "lab.toml"];
    let expected = names.map(str::to_owned).to_vec();
    assert_eq!((configurations, outputs), (expected, 2));
}

#[test]
fn what_is_shown_fits_a_terminal() {
    for block in Page::read("README.md").blocks().iter().filter(|block| block.language == "text") {
        for (number, line) in (block.line + 1..).zip(block.text.lines()) {
            assert!(line.chars().count() <= 100, "README.md:{number}: {} columns", line.chars().count());
        }
    }
}
