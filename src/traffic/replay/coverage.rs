//! What a log says of its requests and what it does not: for each field the share of rows that have it, what a replay assumes instead, and the
//! dollars that hang on it. Decides when a field counts as known; what a request costs, the caller says.

use std::fmt;

use serde::Serialize;

use crate::gateway::money::Money;
use crate::traffic::trace::{Batch, Recorded, Row};

/// Counts over the rows of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Coverage {
    /// Rows seen.
    pub rows: u64,
    /// Rows whose cost is known: recorded, or priced by the caller.
    pub priced: u64,
    /// What these cost together.
    #[serde(serialize_with = "decimal")]
    pub dollars: Money,
    /// The fields, from what was asked for to how it was answered. Empty before the first row.
    pub fields: Vec<Covered>,
}

/// One field over all rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// Its name.
    pub field: &'static str,
    /// What a replay assumes where it is missing.
    pub instead: &'static str,
    /// Rows that have it.
    pub rows: u64,
    /// What the rows without it cost, as far as that is known.
    #[serde(serialize_with = "decimal")]
    pub dollars_without: Money,
}

/// A field's name, what is assumed where a row does not have it, and whether a row does.
type Field = (&'static str, &'static str, fn(&Row, &Recorded) -> bool);

/// The fields that matter to a replay.
const FIELDS: [Field; 21] = [
    ("arrival", "nothing: a row without one is refused", |_, _| true),
    ("model", "the scenario's model", |row, _| row.model.is_some()),
    ("key", "the scenario's key", |row, _| row.key.is_some()),
    ("team", "the team of the key, if it has one", |row, _| row.team.is_some()),
    ("end_user", "no end user", |row, _| row.end_user.is_some()),
    ("session", "each request stands alone", |row, _| row.session.is_some()),
    ("tags", "no tags", |row, _| !row.tags.is_empty()),
    // What logs write of a request that failed before anybody counted.
    ("input_tokens", "0 tokens", |row, recorded| row.input_tokens > 0 || recorded.status.is_none_or(|status| status < 400)),
    ("output_tokens", "the scenario's output_tokens_unrecorded", |row, _| row.output_tokens.is_some()),
    ("max_tokens", "the scenario's max_tokens, or none", |row, _| row.max_tokens.is_some()),
    ("stream", "the scenario's stream", |row, _| row.stream.is_some()),
    ("fingerprint", "nobody's duplicate: never answered from a cache", |row, _| !row.fingerprint.is_unique()),
    ("prefix_blocks", "no prefix in common: nothing from prompt caches", |row, _| !row.prefix.is_empty()),
    ("left_after", "the client waits to the end", |row, _| row.left_after.is_some()),
    ("status", "answered: no failures and no client retries known", |_, recorded| recorded.status.is_some()),
    ("ttft_ms", "the world's", |_, recorded| recorded.ttft.is_some()),
    ("duration_ms", "the world's", |_, recorded| recorded.duration.is_some()),
    ("cost_usd", "the price list", |_, recorded| recorded.cost.is_some()),
    ("cached_tokens", "the world's prompt cache", |_, recorded| recorded.cached_tokens.is_some()),
    ("deployment", "the gateway picks", |_, recorded| recorded.deployment.is_some()),
    ("attempts", "one call", |_, recorded| recorded.attempts.is_some()),
];

impl Coverage {
    /// Takes note of a row of `batch`, which cost `dollars` if that is known.
    pub fn see(&mut self, batch: &Batch, row: &Row, dollars: Option<Money>) {
        if self.fields.is_empty() {
            self.fields = FIELDS.map(|(field, instead, _)| Covered { field, instead, rows: 0, dollars_without: Money::ZERO }).to_vec();
        }
        self.rows += 1;
        self.priced += u64::from(dollars.is_some());
        let dollars = dollars.unwrap_or_default();
        self.dollars += dollars;
        let recorded = batch.recorded(row).copied().unwrap_or_default();
        for ((_, _, has), covered) in FIELDS.iter().zip(&mut self.fields) {
            if has(row, &recorded) {
                covered.rows += 1;
            } else {
                covered.dollars_without += dollars;
            }
        }
    }
}

impl fmt::Display for Coverage {
    /// Lines of at most 100 columns, indented by two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole: Vec<&str> = self.fields.iter().filter(|covered| covered.rows == self.rows).map(|covered| covered.field).collect();
        listed(f, "every request has", &whole)?;
        if whole.len() == self.fields.len() {
            return Ok(());
        }
        writeln!(f, "  {:<14} {:>7}   {:<50} {:>16}", "field", "rows", "assumed instead", "$ of the rest")?;
        for covered in self.fields.iter().filter(|covered| covered.rows < self.rows) {
            let dollars = if self.priced == 0 { "-".to_owned() } else { covered.dollars_without.to_string() };
            writeln!(f, "  {:<14} {:>7}   {:<50} {:>16}", covered.field, self.share(covered.rows), covered.instead, dollars)?;
        }
        if self.priced > 0 && self.priced < self.rows {
            writeln!(f, "  $: of the {} of requests whose cost is recorded or follows from the price list", self.share(self.priced))?;
        }
        Ok(())
    }
}

impl Coverage {
    /// A part of the rows in per cent, by integers: `37.1 %`. Neither none nor all unless it is.
    fn share(&self, part: u64) -> String {
        let per_mille = (u128::from(part) * 1000 + u128::from(self.rows) / 2) / u128::from(self.rows.max(1));
        match per_mille {
            0 if part > 0 => "<0.1 %".to_owned(),
            1000 if part < self.rows => ">99.9 %".to_owned(),
            _ => format!("{}.{} %", per_mille / 10, per_mille % 10),
        }
    }
}

/// A list of names in lines of at most 100 columns; no line for an empty list.
fn listed(f: &mut fmt::Formatter<'_>, what: &str, names: &[&str]) -> fmt::Result {
    let mut line = format!("  {what}:");
    for (i, name) in names.iter().enumerate() {
        if line.len() + name.len() + 2 > 100 {
            writeln!(f, "{line}")?;
            line = "   ".to_owned();
        }
        line.push(' ');
        line.push_str(name);
        line.push_str(if i + 1 < names.len() { "," } else { "" });
    }
    if names.is_empty() { Ok(()) } else { writeln!(f, "{line}") }
}

fn decimal<S: serde::Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&money.decimal())
}
