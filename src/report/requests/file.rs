//! Rows as columns in Parquet files: written in groups as a run goes on, so that memory stays flat, and read back in pieces. Knows no column by name.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{Column, DataFrame, NamedFrom, ParquetReader, ParquetWriter, PolarsResult, SerReader, Series as Values};

use super::{CallRow, RequestRow};
use crate::gateway::money::Money;

/// Rows that are read at a time.
const PIECE: usize = 1 << 17;

/// A value of a column.
pub trait Cell: Sized {
    /// The column of these values.
    fn column(name: &str, values: Vec<Self>) -> Column;

    /// The values of a column.
    ///
    /// # Errors
    /// If it is of another type.
    fn values(column: &Column) -> PolarsResult<Vec<Self>>;
}

/// A kind of rows.
pub trait Rows: Sized {
    /// The rows as a table.
    ///
    /// # Errors
    /// If the columns differ in length, which they don't.
    fn frame(rows: Vec<Self>) -> PolarsResult<DataFrame>;

    /// The rows of a table.
    ///
    /// # Errors
    /// If it is another table.
    fn rows(frame: &DataFrame) -> PolarsResult<Vec<Self>>;
}

/// Makes structs whose fields are the columns of a table.
macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl file::Rows for $name {
            fn frame(rows: Vec<Self>) -> polars::prelude::PolarsResult<polars::prelude::DataFrame> {
                let height = rows.len();
                $(let mut $field: Vec<$type> = Vec::with_capacity(height);)*
                for row in rows {
                    $($field.push(row.$field);)*
                }
                let columns = vec![$(<$type as file::Cell>::column(stringify!($field), $field)),*];
                polars::prelude::DataFrame::new(height, columns)
            }

            fn rows(frame: &polars::prelude::DataFrame) -> polars::prelude::PolarsResult<Vec<Self>> {
                let mut rows = vec![Self::default(); frame.height()];
                $(
                    let values = <$type as file::Cell>::values(frame.column(stringify!($field))?)?;
                    rows.iter_mut().zip(values).for_each(|(row, value)| row.$field = value);
                )*
                Ok(rows)
            }
        }
    )*};
}
pub(super) use rows;

impl Cell for String {
    fn column(name: &str, values: Vec<Self>) -> Column {
        Values::new(name.into(), values).into()
    }

    fn values(column: &Column) -> PolarsResult<Vec<Self>> {
        Ok(column.str()?.iter().map(|value| value.unwrap_or_default().to_owned()).collect())
    }
}

impl Cell for u64 {
    fn column(name: &str, values: Vec<Self>) -> Column {
        Values::new(name.into(), values).into()
    }

    fn values(column: &Column) -> PolarsResult<Vec<Self>> {
        Ok(column.u64()?.iter().map(Option::unwrap_or_default).collect())
    }
}

impl Cell for Option<u64> {
    fn column(name: &str, values: Vec<Self>) -> Column {
        Values::new(name.into(), values).into()
    }

    fn values(column: &Column) -> PolarsResult<Vec<Self>> {
        Ok(column.u64()?.iter().collect())
    }
}

impl Cell for bool {
    fn column(name: &str, values: Vec<Self>) -> Column {
        Values::new(name.into(), values).into()
    }

    fn values(column: &Column) -> PolarsResult<Vec<Self>> {
        Ok(column.bool()?.iter().map(Option::unwrap_or_default).collect())
    }
}

impl Cell for Money {
    /// # Panics
    /// If an amount is beyond nine million dollars: no request is.
    fn column(name: &str, values: Vec<Self>) -> Column {
        let exact: Vec<i64> =
            values.into_iter().map(|amount| i64::try_from(amount.0).expect("a request costs less than nine million dollars")).collect();
        Values::new(name.into(), exact).into()
    }

    fn values(column: &Column) -> PolarsResult<Vec<Self>> {
        Ok(column.i64()?.iter().map(|amount| Self(amount.unwrap_or_default().into())).collect())
    }
}

/// What a variant did in one stretch of the traffic.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Requests that were closed in it.
    pub requests: Vec<RequestRow>,
    /// Their calls.
    pub calls: Vec<CallRow>,
}

/// The two files, written to by several variants at once. Their chunks take turns, so that the bytes don't depend on who was faster; a chunk waits
/// only for those of the others of the same stretch.
pub struct Files {
    inner: Mutex<Inner>,
}

struct Inner {
    requests: BatchedWriter<BufWriter<File>>,
    calls: BatchedWriter<BufWriter<File>>,
    waiting: Vec<VecDeque<Chunk>>,
    turn: usize,
    failed: Option<String>,
}

impl Files {
    /// Makes `requests.parquet` and `calls.parquet` in a directory, for so many variants.
    ///
    /// # Errors
    /// If they can't be made.
    pub fn make(directory: &Path, variants: usize) -> Result<Self, String> {
        let requests = writer::<RequestRow>(&directory.join(REQUESTS))?;
        let calls = writer::<CallRow>(&directory.join(CALLS))?;
        let waiting = (0..variants).map(|_| VecDeque::new()).collect();
        Ok(Self { inner: Mutex::new(Inner { requests, calls, waiting, turn: 0, failed: None }) })
    }

    /// Takes the next chunk of a variant. What goes wrong is told by [`Files::finish`].
    pub fn push(&self, variant: usize, chunk: Chunk) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.waiting[variant].push_back(chunk);
        while let Some(chunk) = {
            let turn = inner.turn;
            inner.waiting[turn].pop_front()
        } {
            inner.write(chunk);
            inner.turn = (inner.turn + 1) % inner.waiting.len();
        }
    }

    /// Writes what waits, whoever's turn it is, and closes the files.
    ///
    /// # Errors
    /// If anything could not be written.
    pub fn finish(self) -> Result<(), String> {
        let mut inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        while inner.waiting.iter().any(|waiting| !waiting.is_empty()) {
            let turn = inner.turn;
            if let Some(chunk) = inner.waiting[turn].pop_front() {
                inner.write(chunk);
            }
            inner.turn = (turn + 1) % inner.waiting.len();
        }
        if let Some(failed) = inner.failed {
            return Err(failed);
        }
        inner.requests.finish().and_then(|_| inner.calls.finish()).map(drop).map_err(|error| error.to_string())
    }
}

impl Inner {
    fn write(&mut self, Chunk { requests, calls }: Chunk) {
        let written = write(&mut self.requests, requests).and_then(|()| write(&mut self.calls, calls));
        if let Err(error) = written {
            self.failed.get_or_insert(error.to_string());
        }
    }
}

/// The name of the file of requests in a report's directory.
pub const REQUESTS: &str = "requests.parquet";
/// The name of the file of calls.
pub const CALLS: &str = "calls.parquet";

fn writer<R: Rows>(path: &Path) -> Result<BatchedWriter<BufWriter<File>>, String> {
    let told = |error: &dyn std::fmt::Display| format!("can't write {}: {error}", path.display());
    let file = File::create(path).map_err(|error| told(&error))?;
    let empty = R::frame(Vec::new()).map_err(|error| told(&error))?;
    ParquetWriter::new(BufWriter::new(file)).batched(empty.schema()).map_err(|error| told(&error))
}

fn write<R: Rows>(to: &mut BatchedWriter<BufWriter<File>>, rows: Vec<R>) -> PolarsResult<()> {
    if rows.is_empty() { Ok(()) } else { to.write_batch(&R::frame(rows)?) }
}

/// Calls `see` with the rows of a file, piece by piece, until it says that it has seen enough.
///
/// # Errors
/// If the file can't be read or is another table.
pub fn read<R: Rows>(path: &Path, mut see: impl FnMut(Vec<R>) -> bool) -> PolarsResult<()> {
    let height = ParquetReader::new(File::open(path)?).num_rows()?;
    let mut start = 0;
    while start < height {
        let frame = ParquetReader::new(File::open(path)?).with_slice(Some((start, PIECE))).finish()?;
        if frame.height() == 0 || !see(R::rows(&frame)?) {
            break;
        }
        start += frame.height();
    }
    Ok(())
}
