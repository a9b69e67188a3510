//! Rows from Parquet, one slice of a row group at a time. Knows types and row numbers; what a value means is decided by `builder`.

use std::borrow::Cow;
use std::cell::Cell as Flag;
use std::fs::File;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::{Arc, Once};

use polars::datatypes::ArrowDataType;
use polars::prelude::{AnyValue, DataFrame, FileMetadataRef, ParallelStrategy, ParquetReader, PolarsResult, SerReader, Series};

use super::builder::Builder;
use super::column::{Cell, Column, Problem};
use super::dialect::Dialect;
use super::error::{Fault, TraceError, printable, quoted};
use super::row::BATCH_ROWS;
use super::source::Source;
use super::{Reader, pages};

/// Slices that a row group with lists is cut into at most. polars decodes all lists of a group for each slice of it, so that slices of a fixed
/// length would take time by the square of the group; gwsim's own groups, and groups of up to a million rows, are cut as any other.
const SLICES_OF_LISTS: usize = 16;

/// Reads one row of the slice at hand after the other.
pub(super) struct Parquet {
    source: Source,
    file: PathBuf,
    metadata: FileMetadataRef,
    columns: Vec<(String, Column)>,
    /// The row groups to come with their rows, the rows that are left in the group at hand, and the first of them.
    groups: std::iter::Enumerate<std::vec::IntoIter<usize>>,
    group_rows: usize,
    first: usize,
    slice: Vec<Series>,
    slice_rows: usize,
    slice_rows_max: usize,
    row_in_slice: usize,
    row: u64,
}

impl Parquet {
    /// The names of the columns.
    pub(super) fn names(source: &Source) -> Result<Vec<String>, TraceError> {
        Ok(schema(source)?.0.into_iter().map(|(name, _)| name).collect())
    }

    pub(super) fn open(source: &Source, dialect: &'static Dialect) -> Result<Self, TraceError> {
        let (schema, metadata) = schema(source)?;
        let file = source.name().to_owned();
        let refused = |what: String, hint: String| Err(TraceError::of_file(Fault::Format, &file, what, hint));
        let mut columns: Vec<(String, Column)> = Vec::new();
        for (name, data_type) in schema {
            let Some((_, column)) = dialect.column(&name) else {
                let (what, hint) = dialect.unknown(&name);
                return refused(what, hint);
            };
            if column == Column::Ignored {
                continue;
            }
            if !is_readable(&data_type) {
                let what = format!("column {} has the type {data_type:?}, which is not read", quoted(&name));
                let hint = "use 32 or 64 bit integers, floats, booleans, strings, or lists of integers or strings; times as integers in `at_ns`";
                return refused(what, hint.to_owned());
            }
            if let Some((other, _)) = columns.iter().find(|(_, other)| other.clashes(column)) {
                let what = format!("the columns {} and {} say the same thing", quoted(other), quoted(&name));
                return refused(what, "keep one of them, or start the other's name with `x_`".to_owned());
            }
            columns.push((name, column));
        }
        let groups: Vec<usize> = metadata.row_groups.iter().map(|group| group.num_rows()).collect();
        let groups = groups.into_iter().enumerate();
        let source = source.clone();
        Ok(Self {
            source,
            file,
            metadata,
            columns,
            groups,
            group_rows: 0,
            first: 0,
            slice: Vec::new(),
            slice_rows: 0,
            slice_rows_max: BATCH_ROWS,
            row_in_slice: 0,
            row: 0,
        })
    }

    /// Loads the next slice; false at the end.
    fn load(&mut self) -> Result<bool, TraceError> {
        while self.group_rows == 0 {
            let Some((group, rows)) = self.groups.next() else { return Ok(false) };
            self.check(group)?;
            self.group_rows = rows;
            self.slice_rows_max = if self.has_lists(group) { BATCH_ROWS.max(rows.div_ceil(SLICES_OF_LISTS)) } else { BATCH_ROWS };
        }
        // Slices end with their group, so that no group is decoded for another one's sake.
        let slice = (self.first, self.group_rows.min(self.slice_rows_max));
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let metadata = Arc::clone(&self.metadata);
        let frame = match bytes(&self.source)? {
            Bytes::File(file) => guarded(&self.source, || frame(ParquetReader::new(file), metadata, names, slice))?,
            Bytes::Memory(bytes) => guarded(&self.source, || frame(ParquetReader::new(bytes), metadata, names, slice))?,
        };
        self.slice.clear();
        for (name, _) in &self.columns {
            let column = frame.column(name).map_err(|error| damaged(&self.source, &error.to_string()))?;
            self.slice.push(column.as_materialized_series().rechunk());
        }
        if frame.height() != slice.1 {
            return Err(damaged(&self.source, "a row group holds another number of rows than the footer says"));
        }
        self.group_rows -= slice.1;
        self.first += slice.1;
        self.slice_rows = slice.1;
        self.row_in_slice = 0;
        Ok(true)
    }

    fn has_lists(&self, group: usize) -> bool {
        let group = &self.metadata.row_groups[group];
        let mut chunks = self.columns.iter().flat_map(|(name, _)| group.columns_under_root_iter(name).into_iter().flatten());
        chunks.any(|chunk| chunk.descriptor().descriptor.max_rep_level > 0)
    }

    /// Makes sure that the pages of a group can be decoded.
    fn check(&self, group: usize) -> Result<(), TraceError> {
        let names = self.columns.iter().map(|(name, _)| name.as_str());
        let checked = match bytes(&self.source)? {
            Bytes::File(mut file) => pages::check_group(&mut file, &self.metadata, group, names),
            Bytes::Memory(mut bytes) => pages::check_group(&mut bytes, &self.metadata, group, names),
        };
        checked.map_err(|reason| damaged(&self.source, reason))
    }

    fn refused(&self, problem: Problem) -> TraceError {
        TraceError::of_row(problem.fault, &self.file, self.row, problem.what, problem.hint)
    }
}

impl Reader for Parquet {
    fn row(&mut self, builder: &mut Builder) -> Result<bool, TraceError> {
        while self.row_in_slice == self.slice_rows {
            if !self.load()? {
                return Ok(false);
            }
        }
        self.row += 1;
        builder.begin(self.row);
        for ((name, column), series) in self.columns.iter().zip(&self.slice) {
            let value = series.get(self.row_in_slice).map_err(|error| damaged(&self.source, &error.to_string()))?;
            builder.set(name, *column, &cell(&value)).map_err(|problem| self.refused(problem))?;
        }
        builder.end().map_err(|problem| self.refused(problem))?;
        self.row_in_slice += 1;
        Ok(true)
    }
}

enum Bytes {
    File(File),
    Memory(Cursor<Arc<[u8]>>),
}

fn bytes(source: &Source) -> Result<Bytes, TraceError> {
    Ok(match source {
        Source::File(path) => Bytes::File(source.file(path)?),
        Source::Bytes(_, bytes) => Bytes::Memory(Cursor::new(Arc::clone(bytes))),
    })
}

/// Names and types of the columns, and where the row groups are.
fn schema(source: &Source) -> Result<(Vec<(String, ArrowDataType)>, FileMetadataRef), TraceError> {
    fn of<R: polars::io::mmap::MmapBytesReader>(mut reader: ParquetReader<R>) -> PolarsResult<(Vec<(String, ArrowDataType)>, FileMetadataRef)> {
        let schema = reader.schema()?;
        let columns = schema.iter_values().map(|field| (field.name.to_string(), field.dtype.clone())).collect();
        Ok((columns, reader.get_metadata()?.clone()))
    }
    let checked = match bytes(source)? {
        Bytes::File(mut file) => pages::check_footer(&mut file),
        Bytes::Memory(mut bytes) => pages::check_footer(&mut bytes),
    };
    checked.map_err(|reason| damaged(source, reason))?;
    match bytes(source)? {
        Bytes::File(file) => guarded(source, || of(ParquetReader::new(file))),
        Bytes::Memory(bytes) => guarded(source, || of(ParquetReader::new(bytes))),
    }
}

thread_local! {
    /// Whether a panic on this thread is caught and told as an error.
    static IS_GUARDED: Flag<bool> = const { Flag::new(false) };
}

/// Runs polars, which panics at some damaged files: for the user that is a bad file like any other, without a word about backtraces.
fn guarded<T>(source: &Source, read: impl FnOnce() -> PolarsResult<T>) -> Result<T, TraceError> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                told(panic);
            }
        }));
    });
    IS_GUARDED.set(true);
    // Nothing that `read` touches is used again after a panic.
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    IS_GUARDED.set(false);
    match read {
        Ok(result) => result.map_err(|error| damaged(source, &error.to_string())),
        Err(_) => Err(damaged(source, "its pages contradict each other")),
    }
}

fn frame<R: polars::io::mmap::MmapBytesReader>(
    mut reader: ParquetReader<R>,
    metadata: FileMetadataRef,
    columns: Vec<String>,
    slice: (usize, usize),
) -> PolarsResult<DataFrame> {
    reader.set_metadata(metadata);
    // One thread: variants run on the others.
    reader.with_columns(Some(columns)).with_slice(Some(slice)).read_parallel(ParallelStrategy::None).finish()
}

fn damaged(source: &Source, reason: &str) -> TraceError {
    let reason: String = printable(reason.lines().next().unwrap_or_default().as_bytes()).chars().take(200).collect();
    TraceError::of_file(Fault::File, source.name(), format!("can't read the Parquet file: {reason}"), "is the file whole? Copy or write it again")
}

/// The types that polars reads with the features that gwsim builds it with; it panics at others.
fn is_readable(data_type: &ArrowDataType) -> bool {
    use ArrowDataType as Type;
    match data_type {
        Type::List(inner) | Type::LargeList(inner) => !matches!(inner.dtype, Type::List(_) | Type::LargeList(_)) && is_readable(&inner.dtype),
        Type::Boolean | Type::Int32 | Type::Int64 | Type::UInt32 | Type::UInt64 => true,
        Type::Float32 | Type::Float64 | Type::Utf8 | Type::LargeUtf8 | Type::Utf8View | Type::Null => true,
        _ => false,
    }
}

fn cell<'v>(value: &'v AnyValue<'_>) -> Cell<'v> {
    match value {
        AnyValue::Null => Cell::Absent,
        AnyValue::Boolean(value) => Cell::Bool(*value),
        AnyValue::UInt32(value) => Cell::Whole(u64::from(*value)),
        AnyValue::UInt64(value) => Cell::Whole(*value),
        AnyValue::Int32(value) => signed(i64::from(*value)),
        AnyValue::Int64(value) => signed(*value),
        // Through its shortest decimal, which is what was meant: 0.1 is not 0.100000001490116.
        AnyValue::Float32(value) => Cell::Text(Cow::Owned(value.to_string())),
        AnyValue::Float64(value) => Cell::Real(*value),
        AnyValue::String(text) => Cell::Text(Cow::Borrowed(text)),
        AnyValue::StringOwned(text) => Cell::Text(Cow::Borrowed(text.as_str())),
        AnyValue::List(list) => cells(list),
        _ => Cell::Other("a value of another type"),
    }
}

fn signed(value: i64) -> Cell<'static> {
    u64::try_from(value).map_or(Cell::Negative(value), Cell::Whole)
}

fn cells(list: &Series) -> Cell<'static> {
    let (mut wholes, mut texts) = (Vec::new(), Vec::new());
    for value in list.iter() {
        match cell(&value) {
            Cell::Whole(value) => wholes.push(value),
            Cell::Text(text) if matches!(value, AnyValue::String(_)) => texts.push(Cow::Owned(text.into_owned())),
            _ => return Cell::Other("a list with something else than whole numbers or texts"),
        }
    }
    if texts.is_empty() { Cell::Wholes(Cow::Owned(wholes)) } else { Cell::Texts(texts) }
}
