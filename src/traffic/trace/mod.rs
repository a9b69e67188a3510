//! Recorded requests, read row by row from the formats that people have. Decides when a file is fit to be replayed: a row is never dropped,
//! guessed or reordered in silence. Knows nothing of gateways, prices or scenarios.
//!
//! A [`Trace`] yields [`Batch`]es of about 64 thousand rows in bounded memory, whatever the size of the file (names and [`Order::Sort`] apart).

mod builder;
mod column;
mod csv;
mod decimal;
mod dialect;
mod error;
mod fingerprint;
mod journal;
#[cfg(test)]
mod journal_tests;
mod jsonl;
mod litellm;
#[cfg(test)]
mod litellm_tests;
mod order;
mod pages;
mod parquet;
mod place;
#[cfg(test)]
mod quickstart;
mod row;
mod source;
mod summary;
#[cfg(test)]
mod tests;
mod thrift;
mod write;

use std::path::Path;

pub use dialect::Format;
pub use error::{Fault, TraceError};
pub use order::Order;
pub use place::Subject;
pub use row::{BATCH_ROWS, Batch, ClientAttempt, FirstSeen, LeftAfter, NameId, Names, Recorded, Row, Slice};
pub use summary::{Lengths, Summary, info, summarise};
pub use write::{Converted, convert, write};

use self::builder::{Builder, Inference};
use self::column::Column;
use self::csv::Csv;
use self::dialect::Dialect;
use self::error::thousands;
use self::journal::Journal;
use self::jsonl::Jsonl;
use self::parquet::Parquet;
use self::source::{Container, Source};
pub use crate::gateway::request::Fingerprint;
use crate::gateway::time::{Span, Time};
pub use crate::journal::is_journal;

/// How to read a trace. The default finds out what it can from the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The format, where the columns don't tell.
    pub format: Option<Format>,
    /// What to do about rows out of order.
    pub order: Order,
    /// The instant that relative times count from (Mooncake, BurstGPT, Bailian): 1970-01-01T00:00:00Z by default.
    pub epoch: Time,
    /// Tokens in a block of the prefix, where the file does not say and [`Trace`] should not infer it. At least 1.
    pub block_size: Option<u32>,
}

/// A trace being read.
pub struct Trace {
    source: Source,
    reader: Box<dyn Reader + Send>,
    builder: Builder,
    order: Order,
    rows: u64,
    is_over: bool,
    sorted: Option<std::vec::IntoIter<Batch>>,
    notes: Vec<String>,
}

impl Iterator for Trace {
    type Item = Result<Batch, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// One way to store rows.
trait Reader {
    /// Gives the next row to `builder`; false at the end of the file.
    fn row(&mut self, builder: &mut Builder) -> Result<bool, TraceError>;
}

impl Trace {
    /// Opens the trace at `path`: CSV, JSON Lines or Parquet, plain or compressed with gzip or Zstandard, told apart by content; or the folder of
    /// a gateway's journal.
    ///
    /// # Errors
    /// If the file can't be read, its format is not known, it has unknown columns, or its block size can't be inferred.
    pub fn open(path: &Path, options: Options) -> Result<Self, TraceError> {
        Self::of_source(Source::File(path.to_owned()), options)
    }

    /// Reads a trace from memory; `name` stands in messages.
    ///
    /// # Errors
    /// As [`Trace::open`].
    pub fn of_bytes(name: &Path, bytes: &[u8], options: Options) -> Result<Self, TraceError> {
        Self::of_source(Source::Bytes(name.to_owned(), bytes.into()), options)
    }

    /// The next rows, or `None` at the end. After an error, the trace is at an end.
    ///
    /// # Errors
    /// If a row is not valid, out of order ([`Order::Strict`]) or from another clock; if the file has no row at all.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, TraceError> {
        if self.order == Order::Sort {
            if self.sorted.is_none() {
                self.sorted = Some(self.sort()?.into_iter());
            }
            return Ok(self.sorted.as_mut().and_then(Iterator::next));
        }
        self.decode()
    }

    /// The names behind the ids of all rows so far.
    pub fn names(&self) -> &Names {
        &self.builder.names
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.builder.dialect.format
    }

    /// The file.
    pub fn file(&self) -> &Path {
        self.source.name()
    }

    /// Rows so far that were earlier than a row before them, and the furthest that one was behind. Zero in [`Order::Strict`].
    pub fn disorder(&self) -> (u64, Span) {
        (self.builder.watch.earlier_rows, self.builder.watch.furthest_back)
    }

    /// What was inferred about the file, in sentences for a report.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Requests of a gateway's journal are read as they are: nothing of them is to be found out.
    fn of_journal(source: Source, options: Options) -> Result<Self, TraceError> {
        let reader = Box::new(Journal::open(source.name())?);
        let builder = Builder::new(Dialect::of(Format::Journal, std::iter::empty()), Time(0), options.order, None, "request");
        Ok(Self { source, reader, builder, order: options.order, rows: 0, is_over: false, sorted: None, notes: Vec::new() })
    }

    fn of_source(source: Source, options: Options) -> Result<Self, TraceError> {
        if is_journal(source.name()) {
            return Self::of_journal(source, options);
        }
        if options.block_size == Some(0) {
            return Err(TraceError::of_file(Fault::Format, source.name(), "the option block_size is 0", "a block has at least 1 token"));
        }
        let container = container(&source)?;
        let names = match container {
            Container::Csv => Csv::header(&source)?,
            Container::Jsonl => Jsonl::keys(&source)?,
            Container::Parquet => Parquet::names(&source)?,
        };
        let dialect = match options.format {
            Some(format) => Dialect::of(format, names.iter().map(String::as_str)),
            None => Dialect::detect(names.iter().map(String::as_str)).ok_or_else(|| unknown_format(&source, &names))?,
        };
        let mut notes = Vec::new();
        if dialect.relative {
            notes.push(format!("times in the file are relative; they count from {}", order::date(options.epoch)));
        }
        let mut builder = Builder::new(dialect, options.epoch, options.order, options.block_size, container.unit());
        if dialect.infers_block_size && options.block_size.is_none() {
            let inferred = infer_block_size(&source, container, dialect)?;
            notes.extend(inferred.map(|(size, rows)| format!("blocks of {size} tokens, inferred from the first {} rows", thousands(rows))));
            builder.block_size = inferred.map(|(size, _)| size);
        }
        let reader = reader(&source, container, dialect)?;
        if container != Container::Jsonl {
            check_required(&source, dialect, &names)?;
        }
        Ok(Self { source, reader, builder, order: options.order, rows: 0, is_over: false, sorted: None, notes })
    }

    fn decode(&mut self) -> Result<Option<Batch>, TraceError> {
        while !self.is_over && !self.builder.is_full() {
            // Over unless the reader says otherwise, so that nothing follows an error.
            self.is_over = true;
            let more = self.reader.row(&mut self.builder);
            if more.is_err() {
                self.builder.take();
            }
            self.is_over = !more?;
            self.rows += u64::from(!self.is_over);
            if self.rows == 0 {
                return Err(empty(&self.source));
            }
        }
        Ok(self.builder.take())
    }

    /// All rows of the file in the order of their times, cut into batches.
    fn sort(&mut self) -> Result<Vec<Batch>, TraceError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.decode()? {
            batches.push(batch);
        }
        Ok(order::sorted(batches))
    }
}

fn container(source: &Source) -> Result<Container, TraceError> {
    if source.is_parquet()? {
        return Ok(Container::Parquet);
    }
    let mut lines = source.lines()?;
    if !lines.advance_to_text()? {
        return Err(empty(source));
    }
    Ok(if matches!(lines.bytes().trim_ascii_start().first(), Some(b'{' | b'[')) { Container::Jsonl } else { Container::Csv })
}

fn reader(source: &Source, container: Container, dialect: &'static Dialect) -> Result<Box<dyn Reader + Send>, TraceError> {
    Ok(match container {
        Container::Csv => Box::new(Csv::open(source, dialect)?),
        Container::Jsonl => Box::new(Jsonl::open(source, dialect)?),
        Container::Parquet => Box::new(Parquet::open(source, dialect)?),
    })
}

fn empty(source: &Source) -> TraceError {
    TraceError::of_file(Fault::Empty, source.name(), "no requests", "the file is empty or holds only a header; was the recording cut off?")
}

fn unknown_format(source: &Source, names: &[String]) -> TraceError {
    let shown: Vec<_> = names.iter().take(6).map(|name| error::quoted(name)).collect();
    let formats: Vec<_> = Format::ALL.iter().map(|format| format.name()).collect();
    let what = format!("no known format has the columns {}", shown.join(", "));
    let hint = format!("say which one it is (format = {}), or rename the columns as traces/README.md lists them", formats.join(" | "));
    TraceError::of_file(Fault::Format, source.name(), what, hint)
}

/// Refuses a table without a column for the time or the input tokens; its other columns are known to be right.
fn check_required(source: &Source, dialect: &Dialect, names: &[String]) -> Result<(), TraceError> {
    let columns = || names.iter().filter_map(|name| dialect.column(name));
    let has_time = columns().any(|(_, column)| matches!(column, Column::At(_)));
    let missing = match (has_time, columns().any(|(_, column)| column == Column::InputTokens)) {
        (true, true) => return Ok(()),
        (false, _) => "the time of arrival",
        (true, false) => "the input tokens",
    };
    let what = format!("the {} format needs {missing}, and no column holds it", dialect.format.name());
    Err(TraceError::of_file(Fault::Format, source.name(), what, "traces/README.md lists the columns; `at` and `input_tokens` are gwsim's own"))
}

/// The block size that the first rows allow, and their number; none if they have no blocks.
///
/// A row with `n` blocks and `t` input tokens says that `(n - 1) * size < t <= n * size`. The size is the only power of two in the range
/// that all rows leave, or the only number.
fn infer_block_size(source: &Source, container: Container, dialect: &'static Dialect) -> Result<Option<(u32, u64)>, TraceError> {
    const ROWS: u64 = 4096;
    let mut reader = reader(source, container, dialect)?;
    let mut builder = Builder::new(dialect, Time(0), Order::Count, None, container.unit());
    builder.inference = Some(Inference::new());
    let mut rows = 0;
    // A row that is not valid ends the search here and is reported, with its place, when the trace is read.
    while rows < ROWS && !builder.is_full() && reader.row(&mut builder).unwrap_or(false) {
        rows += 1;
    }
    let inference = builder.inference.expect("set above");
    if inference.rows == 0 {
        return Ok(None);
    }
    let ((least, least_line), (most, most_line)) = (inference.least, inference.most);
    let hint = "give the option block_size: it is a property of the data set, 512 for Mooncake's own traces, often 16, 64 or 128 elsewhere";
    if least > most {
        let unit = container.unit();
        let what =
            format!("the blocks have no one size: {unit} {least_line} needs at least {least} tokens in a block, {unit} {most_line} at most {most}");
        return Err(TraceError::of_file(Fault::Format, source.name(), what, hint));
    }
    let power = least.next_power_of_two();
    let only_power = power <= most && power * 2 > most;
    let size = if only_power { power } else { least };
    if !only_power && least != most {
        let what = format!("the tokens in a block can't be inferred: anything from {least} to {most} fits");
        return Err(TraceError::of_file(Fault::Format, source.name(), what, hint));
    }
    Ok(u32::try_from(size).ok().map(|size| (size, rows)))
}
