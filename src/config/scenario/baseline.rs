//! `[baseline]`: which variant is the configuration that the log was recorded under. Compares nothing.

use super::super::problem;
use super::super::read::{Item, Section};

/// What the log is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaselineSpec {
    /// The variant that the others are compared with, and that is as the log was recorded; an index.
    pub variant: usize,
    /// Whether a log is held against it. Without, no result is ever trusted beyond grade D.
    pub is_checked: bool,
}

impl Default for BaselineSpec {
    /// The first variant, checked.
    fn default() -> Self {
        Self { variant: 0, is_checked: true }
    }
}

/// Reads `[baseline]` or `baseline = false`. `complete` says whether `variants` are all that there are.
pub fn read(item: Item<'_>, variants: &[&str], complete: bool) -> Option<BaselineSpec> {
    match item.section_or_off()? {
        None => Some(BaselineSpec { is_checked: false, ..BaselineSpec::default() }),
        Some(section) => one(&section, variants, complete),
    }
}

fn one(section: &Section<'_>, variants: &[&str], complete: bool) -> Option<BaselineSpec> {
    let variant = section.require("variant", "\"as configured\"", |item| {
        let name = item.text()?;
        let found = variants.iter().position(|variant| *variant == name);
        if found.is_none() && complete {
            item.report(problem::unknown_name(item.place(), "variant", name, variants.iter().copied()));
        }
        found
    })?;
    Some(BaselineSpec { variant, is_checked: true })
}
