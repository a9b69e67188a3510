//! Which fields a log has, what stands in where it lacks them, and how many dollars hang on that. Data only: the traffic counts.

use std::borrow::Cow;

use crate::gateway::money::Money;

/// How well a log covers what a replay wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Rows of the log.
    pub rows: u64,
    /// The fields, in the order of reports.
    pub fields: Vec<Field>,
}

/// One field of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What it is called: `output tokens`.
    pub name: Cow<'static, str>,
    /// What is assumed for a row that lacks it.
    pub instead: String,
    /// Rows that have it.
    pub rows: u64,
    /// The dollars of the rows that lack it: recorded where the log has them, else re-priced.
    pub hanging: Money,
}
