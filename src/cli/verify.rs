//! `gwsim verify`: whether the core decides today what a journal says that it has decided. The comparison is [`crate::journal::verify`]'s.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::args::{Format, VerifyArguments};
use super::{Exit, Failure, Printer, reports};
use crate::gateway::journal::Record;
use crate::journal::{self, Books, Counts, JournalError, Unlike, Verdict, Words};
use crate::report::explain::instant;
use crate::report::numbers::counted;

/// Verifies a journal.
///
/// # Errors
/// If there is none, or no such checkpoint; if it can't be read to its end.
pub fn verify(arguments: &VerifyArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let folder = &arguments.journal;
    if !folder.exists() {
        return Err(reports::missing(folder));
    }
    if !journal::is_journal(folder) {
        return Err(Failure::usage(format!("{} is no journal: it has no segments such as 00000000.journal", folder.display())));
    }
    let verdict = journal::verify(folder, arguments.from).map_err(|error| match error {
        // Nothing is wrong with a journal that has no such checkpoint.
        JournalError::Missing { ref file, .. } if file == folder && arguments.from.is_some() => Failure::usage(error),
        error => Failure::incomplete(error),
    })?;
    let told = told(folder, &verdict);
    let text = match arguments.format {
        Format::Text => words(&told),
        Format::Json => serde_json::to_string_pretty(&told).map_err(Failure::internal)? + "\n",
    };
    printer.result(&text)?;
    Ok(if told.difference.is_some() { Exit::Failed } else { Exit::Pass })
}

/// What is told of a journal.
#[derive(Debug, Serialize)]
struct Told {
    journal: String,
    first_turn: u64,
    last_turn: u64,
    last_at: String,
    #[serde(flatten)]
    counts: Counts,
    /// Dollars in the ledger, over the life of the journal: by usage that was seen.
    confirmed_usd: String,
    /// By rule, as no usage was seen.
    presumed_usd: String,
    open_calls: u64,
    /// These, in words.
    #[serde(skip)]
    ledger: String,
    /// Bytes after the last whole turn.
    torn_bytes: u64,
    difference: Option<Difference>,
}

/// The first difference, in words.
#[derive(Debug, Serialize)]
struct Difference {
    turn: u64,
    at: String,
    /// What the turn began with, and what came before the difference.
    before: Vec<String>,
    recorded: String,
    decided: String,
}

fn told(folder: &Path, verdict: &Verdict) -> Told {
    let Verdict { counts, from, state, difference, torn } = verdict;
    let books = verdict.books();
    Told {
        journal: folder.display().to_string(),
        first_turn: from.turn + 1,
        last_turn: state.reach.turn,
        last_at: instant(state.reach.at.0),
        counts: *counts,
        confirmed_usd: books.confirmed.decimal().to_string(),
        presumed_usd: books.presumed.decimal().to_string(),
        open_calls: books.open,
        ledger: ledger(&books),
        torn_bytes: torn.as_ref().map_or(0, |torn| torn.bytes),
        difference: difference.as_ref().map(|unlike| difference_of(unlike, verdict)),
    }
}

fn difference_of(unlike: &Unlike, verdict: &Verdict) -> Difference {
    let words = Words { plan: &verdict.state.plan, gateway: &verdict.state.gateway };
    match unlike {
        Unlike::Decision(found) => {
            let tell = |record: &Option<Record>| record.as_ref().map_or_else(|| "nothing more".to_owned(), |record| words.of(record));
            Difference {
                turn: found.turn,
                at: instant(found.at.0),
                before: found.before.iter().map(|record| words.of(record)).collect(),
                recorded: tell(&found.recorded),
                decided: tell(&found.decided),
            }
        }
        Unlike::Books { turn, recorded, decided } => {
            let before = vec!["the checkpoint after this turn".to_owned()];
            Difference { turn: *turn, at: instant(verdict.state.reach.at.0), before, recorded: ledger(recorded), decided: ledger(decided) }
        }
    }
}

fn ledger(books: &Books) -> String {
    format!("{} confirmed, {} presumed, {}", books.confirmed, books.presumed, counted(books.open, "open call"))
}

fn words(told: &Told) -> String {
    let Told { counts, .. } = told;
    let mut text = format!("{}: ", told.journal);
    if counts.turns == 0 && told.difference.is_none() {
        return text + &format!("no turns after turn {}\n", told.first_turn - 1);
    }
    let _ = writeln!(
        text,
        "{}, {} ({} to {}), the last at {}",
        counted(counts.segments.into(), "segment"),
        counted(counts.turns, "turn"),
        told.first_turn,
        told.last_turn,
        told.last_at
    );
    let _ = write!(text, "{}, {}, {}", counted(counts.requests, "request"), counted(counts.calls, "call"), counted(counts.facts, "fact"));
    let recovered = if counts.recoveries == 1 { "recovery" } else { "recoveries" };
    let _ = writeln!(text, "; {} {recovered}, {} compared", counts.recoveries, counted(counts.checkpoints.into(), "checkpoint"));
    let _ = writeln!(text, "ledger: {}", told.ledger);
    if told.torn_bytes > 0 {
        let _ = writeln!(text, "{} after the last whole turn are of one that was not written to its end", counted(told.torn_bytes, "byte"));
    }
    let Some(difference) = &told.difference else { return text + "every decision is as recorded\n" };
    let _ = writeln!(text, "the first difference is in turn {}, at {}:", difference.turn, difference.at);
    for before in &difference.before {
        let _ = writeln!(text, "            {before}");
    }
    let _ = writeln!(text, "  recorded  {}\n  decided   {}", difference.recorded, difference.decided);
    text
}
