//! Traces in gwsim's own columns, as CSV, JSON Lines or Parquet. Decides how a row is spelt, so that reading it back gives the same row.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{BooleanChunked, ParquetWriter, PolarsResult, Schema, StringChunked, UInt64Chunked, UInt64Type};
use polars::prelude::{DataFrame, DataType, Field, IntoColumn, ListBuilderTrait, ListPrimitiveChunkedBuilder, NewChunkedArray};
use serde::Serialize;

use super::column::{Clock, Column};
use super::decimal;
use super::dialect::GWSIM;
use super::error::{Fault, TraceError};
use super::row::{Batch, LeftAfter, Names, Row};
use super::source::Container;
use super::{Options, Order, Trace, order};

/// What [`convert`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Converted {
    /// Rows read and written.
    pub rows: u64,
    /// Rows that were earlier than a row before them, and now are not ([`Order::Sort`]) or still are ([`Order::Count`]).
    pub earlier_rows: u64,
}

/// Writes the trace at `input` to `output` in gwsim's own columns. The end of the output's name decides how: `.csv`, `.jsonl` or `.parquet`,
/// for the first two also with `.gz` or `.zst`. Only columns that hold a value are written.
///
/// Reads the input twice: to see which columns it fills, and to convert it. The output appears under its name when it is whole.
///
/// # Errors
/// As [`Trace::open`] and [`Trace::next_batch`]; if the name of the output does not say what to write, or it can't be written.
pub fn convert(input: &Path, output: &Path, options: Options) -> Result<Converted, TraceError> {
    // A name that says nothing is told before a trace is read.
    shape(output)?;
    let first_order = if options.order == Order::Strict { Order::Strict } else { Order::Count };
    let (mut first, mut second) = (Trace::open(input, Options { order: first_order, ..options })?, Trace::open(input, options)?);
    let rows = write(output, || first.next_batch(), || second.next_batch())?;
    Ok(Converted { rows, earlier_rows: second.disorder().0 })
}

/// Writes rows to `output` as [`convert`] does, and counts them. `first` and `second` give the same batches: from one it learns which columns are
/// filled, from the other what to write.
///
/// # Errors
/// As [`convert`]; the first error of either.
pub fn write(
    output: &Path,
    mut first: impl FnMut() -> Result<Option<Batch>, TraceError>,
    mut second: impl FnMut() -> Result<Option<Batch>, TraceError>,
) -> Result<u64, TraceError> {
    let shape = shape(output)?;
    let mut used = vec![false; GWSIM.columns.len()];
    let mut names = Names::default();
    while let Some(batch) = first()? {
        names.learn(&batch.first_seen);
        for row in &batch.rows {
            for ((_, column), used) in GWSIM.columns.iter().zip(&mut used) {
                *used = *used || !matches!(value(*column, shape.0, &batch, row, &names), Value::Nothing);
            }
        }
    }
    let columns = GWSIM.columns.iter().zip(used).filter(|(_, used)| *used).map(|(column, _)| *column).collect();
    let part = PathBuf::from(format!("{}.part", output.display()));
    let as_asked = |error: TraceError| if error.file() == part { error.about(output) } else { error };
    let written = Writer::create(&part, shape, columns).and_then(|writer| write_all(&mut second, writer)).map_err(as_asked);
    let finished = written.and_then(|rows| {
        std::fs::rename(&part, output).map_err(|error| TraceError::of_io(output, "write the trace", &error))?;
        Ok(rows)
    });
    if finished.is_err() {
        // The first error is the one to report; a leftover part is named so that nobody takes it for the trace.
        let _ = std::fs::remove_file(&part);
    }
    finished
}

fn write_all(next_batch: &mut impl FnMut() -> Result<Option<Batch>, TraceError>, mut writer: Writer) -> Result<u64, TraceError> {
    let (mut rows, mut names) = (0, Names::default());
    while let Some(batch) = next_batch()? {
        rows += batch.rows.len() as u64;
        names.learn(&batch.first_seen);
        writer.write(&batch, &names)?;
    }
    writer.finish()?;
    Ok(rows)
}

/// How a text is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstandard,
}

fn shape(output: &Path) -> Result<(Container, Compression), TraceError> {
    let name = output.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let (name, compression) = match name.rsplit_once('.') {
        Some((name, "gz")) => (name, Compression::Gzip),
        Some((name, "zst")) => (name, Compression::Zstandard),
        _ => (name.as_str(), Compression::None),
    };
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("csv") => Ok((Container::Csv, compression)),
        Some("jsonl" | "ndjson") => Ok((Container::Jsonl, compression)),
        Some("parquet") if compression == Compression::None => Ok((Container::Parquet, compression)),
        Some("parquet") => Err(TraceError::of_file(
            Fault::Format,
            output,
            "a Parquet file is compressed inside",
            "name the output `.parquet`, without `.gz` or `.zst`",
        )),
        _ => Err(TraceError::of_file(
            Fault::Format,
            output,
            "the name does not say what to write",
            "end it in .csv, .jsonl or .parquet; .csv and .jsonl also with .gz or .zst",
        )),
    }
}

/// One value of a row, ready to be spelt.
enum Value<'a> {
    Nothing,
    Text(String),
    Name(&'a str),
    Whole(u64),
    Flag(bool),
    /// An exact decimal.
    Decimal(String),
    Blocks(&'a [u64]),
    Tags(Vec<&'a str>),
}

fn value<'a>(column: Column, container: Container, batch: &'a Batch, row: &Row, names: &'a Names) -> Value<'a> {
    let whole = |value: Option<u32>| value.map_or(Value::Nothing, |value| Value::Whole(value.into()));
    let flag = |value: Option<bool>| value.map_or(Value::Nothing, Value::Flag);
    let text = |registry: &'a crate::gateway::id::Registry, id: Option<super::NameId>| {
        id.map_or(Value::Nothing, |id| Value::Name(registry.name(id.number())))
    };
    let millis = |span: Option<super::Span>| span.map_or(Value::Nothing, |span| Value::Decimal(decimal::text(span.0.into(), 6)));
    let recorded = batch.recorded(row).copied().unwrap_or_default();
    match column {
        Column::At(Clock::Date) if container != Container::Parquet => Value::Text(order::date(row.at)),
        Column::At(Clock::Nanos) if container == Container::Parquet => Value::Whole(row.at.0),
        Column::Model => text(&names.models, row.model),
        Column::Key => text(&names.keys, row.key),
        Column::Team => text(&names.teams, row.team),
        Column::EndUser => text(&names.end_users, row.end_user),
        Column::Session => text(&names.sessions, row.session),
        Column::Tags if row.tags.is_empty() => Value::Nothing,
        Column::Tags => Value::Tags(batch.tags(row).iter().map(|tag| names.tags.name(tag.number())).collect()),
        Column::InputTokens => whole(Some(row.input_tokens)),
        Column::OutputTokens => whole(row.output_tokens),
        Column::MaxTokens => whole(row.max_tokens),
        Column::Stream => flag(row.stream),
        Column::Fingerprint if row.fingerprint.is_unique() => Value::Nothing,
        Column::Fingerprint => Value::Text(format!("{:016x}{:016x}", row.fingerprint.0, row.fingerprint.1)),
        Column::BlockSize => whole(Some(row.block_size).filter(|size| *size > 0)),
        Column::PrefixBlocks if row.prefix.is_empty() => Value::Nothing,
        Column::PrefixBlocks => Value::Blocks(batch.blocks(row)),
        Column::LeftAfterTokens => match row.left_after {
            Some(LeftAfter::Tokens(tokens)) => whole(Some(tokens)),
            _ => Value::Nothing,
        },
        Column::LeftAfterMs => match row.left_after {
            Some(LeftAfter::Waited(span)) => millis(Some(span)),
            _ => Value::Nothing,
        },
        Column::Status => whole(recorded.status.map(u32::from)),
        Column::TtftMs => millis(recorded.ttft),
        Column::DurationMs => millis(recorded.duration),
        Column::CostUsd => recorded.cost.map_or(Value::Nothing, |cost| Value::Decimal(decimal::text(cost.0.unsigned_abs(), 12))),
        Column::CachedTokens => whole(recorded.cached_tokens),
        Column::CacheWriteTokens => whole(recorded.cache_write_tokens),
        Column::ReasoningTokens => whole(recorded.reasoning_tokens),
        Column::Deployment => text(&names.deployments, recorded.deployment),
        Column::CacheHit => flag(recorded.cache_hit),
        Column::Retry => flag(recorded.retry),
        Column::Attempts => whole(recorded.attempts),
        Column::Fallbacks => whole(recorded.fallbacks),
        Column::Request => recorded.request.map_or(Value::Nothing, |request| Value::Text(format!("{:032x}", request))),
        Column::At(_) | Column::Log(_) | Column::Chat | Column::ParentChat | Column::DurationSeconds | Column::CacheHitOrNone | Column::Ignored => {
            Value::Nothing
        }
    }
}

impl Value<'_> {
    /// The value as CSV and Parquet's text columns spell it.
    fn text(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Text(text) | Self::Decimal(text) => text.clone(),
            Self::Name(name) => (*name).to_owned(),
            Self::Whole(value) => value.to_string(),
            Self::Flag(value) => value.to_string(),
            Self::Blocks(ids) => ids.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
            Self::Tags(tags) => tags.join(";"),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Nothing => serde_json::Value::Null,
            Self::Text(text) => text.as_str().into(),
            Self::Name(name) => (*name).into(),
            Self::Whole(value) => (*value).into(),
            Self::Flag(value) => (*value).into(),
            // A number where every reader's float gives the same digits back, which is up to 15 of them; a text where one may not.
            Self::Decimal(text) => match text.parse::<f64>() {
                Ok(number) if text.len() <= 16 && number.to_string() == *text => number.into(),
                _ => text.as_str().into(),
            },
            Self::Blocks(ids) => (*ids).into(),
            Self::Tags(tags) => tags.as_slice().into(),
        }
    }
}

/// A trace being written.
pub(super) struct Writer {
    path: PathBuf,
    columns: Vec<(&'static str, Column)>,
    container: Container,
    sink: Sink,
}

enum Sink {
    Csv(Box<::csv::Writer<Output>>),
    Jsonl(Box<Output>),
    Parquet(Box<BatchedWriter<File>>),
}

enum Output {
    Plain(BufWriter<File>),
    Gzip(flate2::write::GzEncoder<BufWriter<File>>),
    Zstandard(zstd::Encoder<'static, BufWriter<File>>),
}

impl Writer {
    fn create(path: &Path, (container, compression): (Container, Compression), columns: Vec<(&'static str, Column)>) -> Result<Self, TraceError> {
        let failed = |error: std::io::Error| TraceError::of_io(path, "write the trace", &error);
        let file = File::create(path).map_err(failed)?;
        let sink = if container == Container::Parquet {
            let schema: Schema = columns.iter().map(|(name, column)| Field::new((*name).into(), data_type(*column))).collect();
            let writer = ParquetWriter::new(file).set_parallel(false).batched(&schema);
            Sink::Parquet(Box::new(writer.map_err(|error| not_written(path, &error.to_string()))?))
        } else {
            let file = BufWriter::new(file);
            let output = match compression {
                Compression::None => Output::Plain(file),
                Compression::Gzip => Output::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::best())),
                Compression::Zstandard => Output::Zstandard(zstd::Encoder::new(file, 9).map_err(failed)?),
            };
            if container == Container::Csv {
                let mut writer = ::csv::Writer::from_writer(output);
                writer.write_record(columns.iter().map(|(name, _)| *name)).map_err(|error| failed(error.into()))?;
                Sink::Csv(Box::new(writer))
            } else {
                Sink::Jsonl(Box::new(output))
            }
        };
        Ok(Self { path: path.to_owned(), columns, container, sink })
    }

    fn write(&mut self, batch: &Batch, names: &Names) -> Result<(), TraceError> {
        let failed = |error: std::io::Error| TraceError::of_io(&self.path, "write the trace", &error);
        let value = |column, row| value(column, self.container, batch, row, names);
        match &mut self.sink {
            Sink::Csv(writer) => {
                for row in &batch.rows {
                    let record = self.columns.iter().map(|(_, column)| value(*column, row).text());
                    writer.write_record(record).map_err(|error| failed(error.into()))?;
                }
            }
            Sink::Jsonl(output) => {
                for row in &batch.rows {
                    let values = self.columns.iter().map(|(name, column)| (*name, value(*column, row)));
                    let fields =
                        values.filter(|(_, value)| !matches!(value, Value::Nothing)).map(|(name, value)| format!("\"{name}\":{}", value.json()));
                    writeln!(output, "{{{}}}", fields.collect::<Vec<_>>().join(",")).map_err(failed)?;
                }
            }
            Sink::Parquet(writer) => {
                let columns = self.columns.iter().map(|(name, column)| {
                    let values = batch.rows.iter().map(|row| value(*column, row));
                    series(name, &data_type(*column), values, batch.rows.len())
                });
                let written: PolarsResult<()> = DataFrame::new(batch.rows.len(), columns.collect()).and_then(|frame| writer.write_batch(&frame));
                written.map_err(|error| not_written(&self.path, &error.to_string()))?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), TraceError> {
        let failed = |error: std::io::Error| TraceError::of_io(&self.path, "write the trace", &error);
        let output = match self.sink {
            Sink::Parquet(writer) => {
                writer.finish().map_err(|error| not_written(&self.path, &error.to_string()))?;
                return Ok(());
            }
            Sink::Csv(writer) => writer.into_inner().map_err(|error| failed(std::io::Error::other(error.to_string())))?,
            Sink::Jsonl(output) => *output,
        };
        let mut file = match output {
            Output::Plain(file) => file,
            Output::Gzip(encoder) => encoder.finish().map_err(failed)?,
            Output::Zstandard(encoder) => encoder.finish().map_err(failed)?,
        };
        file.flush().map_err(failed)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Gzip(output) => output.write(bytes),
            Self::Zstandard(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Gzip(output) => output.flush(),
            Self::Zstandard(output) => output.flush(),
        }
    }
}

fn data_type(column: Column) -> DataType {
    match column {
        Column::PrefixBlocks => DataType::List(Box::new(DataType::UInt64)),
        Column::Stream | Column::CacheHit | Column::Retry => DataType::Boolean,
        Column::Model | Column::Key | Column::Team | Column::EndUser | Column::Session | Column::Tags => DataType::String,
        // Decimals are exact only as text.
        Column::Fingerprint | Column::Request | Column::Deployment | Column::LeftAfterMs | Column::TtftMs | Column::DurationMs | Column::CostUsd => {
            DataType::String
        }
        _ => DataType::UInt64,
    }
}

fn series<'a>(name: &str, data_type: &DataType, values: impl Iterator<Item = Value<'a>>, rows: usize) -> polars::prelude::Column {
    match data_type {
        DataType::Boolean => {
            let flags = values.map(|value| if let Value::Flag(flag) = value { Some(flag) } else { None });
            BooleanChunked::from_iter_options(name.into(), flags).into_column()
        }
        DataType::UInt64 => {
            let wholes = values.map(|value| if let Value::Whole(whole) = value { Some(whole) } else { None });
            UInt64Chunked::from_iter_options(name.into(), wholes).into_column()
        }
        DataType::List(_) => {
            let mut lists = ListPrimitiveChunkedBuilder::<UInt64Type>::new(name.into(), rows, rows, DataType::UInt64);
            for value in values {
                lists.append_opt_slice(if let Value::Blocks(ids) = value { Some(ids) } else { None });
            }
            lists.finish().into_column()
        }
        _ => {
            let texts = values.map(|value| if matches!(value, Value::Nothing) { None } else { Some(value.text()) });
            StringChunked::from_iter_options(name.into(), texts).into_column()
        }
    }
}

fn not_written(path: &Path, reason: &str) -> TraceError {
    TraceError::of_file(Fault::File, path, format!("can't write the trace: {reason}"), "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{read, shared};
    use super::*;

    #[test]
    fn sorting_on_the_way_makes_a_trace_that_replays() {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("t.csv"), dir.path().join("t.jsonl"));
        std::fs::write(&input, "at_s,input_tokens,model\n10,1,a\n12,2,b\n11,3,c\n11,4,d\n").unwrap();
        let refused = convert(&input, &output, Options::default()).unwrap_err();
        assert_eq!(refused.fault(), Fault::Order);
        assert!(!output.exists());
        let converted = convert(&input, &output, Options { order: Order::Sort, ..Options::default() }).unwrap();
        assert_eq!(converted, Converted { rows: 4, earlier_rows: 2 });
        let batch = read(Trace::open(&output, Options::default()).unwrap()).unwrap();
        assert_eq!(batch.rows.iter().map(|row| row.input_tokens).collect::<Vec<_>>(), [1, 3, 4, 2]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no part is left behind");
        for name in ["t.txt", "t", "t.parquet.gz"] {
            assert_eq!(convert(&input, &dir.path().join(name), Options::default()).unwrap_err().fault(), Fault::Format);
        }
    }

    /// A row of everything, from a few choices a field.
    fn any_line() -> impl Strategy<Value = serde_json::Value> {
        let name = || prop::option::of("[a-z\"; ,'\r\né\\\\]{1,4}".prop_filter("blank", |name| !name.trim().is_empty()));
        let tokens = || prop::option::of(0u32..=u32::MAX);
        let who = (name(), name(), name(), name(), name());
        let sizes = (any::<u32>(), tokens(), tokens(), prop::option::of(any::<bool>()), prop::option::of(any::<[u64; 2]>()));
        let lists = (prop::collection::vec(any::<u64>(), 0..4), prop::collection::vec("[a-z, \"]{1,3}", 0..3), 1u32..5);
        let left =
            prop_oneof![Just((None, None)), any::<u32>().prop_map(|tokens| (Some(tokens), None)), any::<u64>().prop_map(|wait| (None, Some(wait)))];
        let outcome =
            (prop::option::of(100u16..600), prop::option::of(any::<u64>()), prop::option::of(any::<u64>()), name(), prop::option::of(any::<bool>()));
        (0u64..1_000_000_000_000, who, sizes, lists, left, outcome).prop_map(|(gap, who, sizes, lists, left, outcome)| {
            let millis = |nanos: u64| decimal::text(nanos.into(), 6);
            let blocks = if u64::from(sizes.0) > 4 * 5 { lists.0 } else { Vec::new() };
            serde_json::json!({
                "at_ns": gap,
                "model": who.0, "key": who.1, "team": who.2, "end_user": who.3, "session": who.4,
                "input_tokens": sizes.0, "output_tokens": sizes.1, "max_tokens": sizes.2, "stream": sizes.3,
                "fingerprint": sizes.4.map(|[high, low]| format!("{:016x}{low:016x}", high >> 1)),
                "block_size": lists.2, "prefix_blocks": blocks, "tags": lists.1,
                "left_after_tokens": left.0, "left_after_ms": left.1.map(millis),
                "status": outcome.0, "ttft_ms": outcome.1.map(millis), "duration_ms": outcome.2.map(millis),
                "cost_usd": outcome.1.map(|cost| decimal::text(cost.into(), 12)), "deployment": outcome.3, "cache_hit": outcome.4, "retry": outcome.4,
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_converted_reads_back_the_same(lines in prop::collection::vec(any_line(), 1..20), end in 0usize..7) {
            let mut at = 0;
            let mut text = String::new();
            for mut line in lines {
                at += line["at_ns"].as_u64().unwrap();
                line["at_ns"] = at.into();
                text += &format!("{}\n", line.to_string().replace(";", ","));
            }
            let dir = tempfile::tempdir().unwrap();
            let (input, output) = (dir.path().join("in"), dir.path().join(["o.csv", "o.csv.gz", "o.csv.zst", "o.jsonl", "o.jsonl.gz", "o.ndjson.zst", "o.parquet"][end]));
            std::fs::write(&input, &text).unwrap();
            let before = read(Trace::open(&input, Options::default()).unwrap()).unwrap();
            convert(&input, &output, Options::default()).unwrap();
            let mut after = read(Trace::open(&output, Options::default()).unwrap()).unwrap();
            for (after, before) in after.rows.iter_mut().zip(&before.rows) {
                // Only the place in the file differs: a header, or a name with a line break before it.
                after.line = before.line;
            }
            prop_assert_eq!(after, before);
        }
    }

    #[test]
    fn published_traces_survive_every_container() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["azure_llm_2023_code.csv", "mooncake_conversation.jsonl.gz", "agent_miniswe.jsonl.gz"] {
            let Some(path) = shared(name) else { return };
            let mut before = read(Trace::open(&path, Options::default()).unwrap()).unwrap();
            before.rows.iter_mut().for_each(|row| row.line = 0);
            let mut input = path;
            for end in ["csv.gz", "parquet", "jsonl.zst"] {
                let output = dir.path().join(format!("{name}.{end}"));
                assert_eq!(convert(&input, &output, Options::default()).unwrap().rows, before.rows.len() as u64);
                let mut after = read(Trace::open(&output, Options::default()).unwrap()).unwrap();
                after.rows.iter_mut().for_each(|row| row.line = 0);
                assert_eq!(after, before);
                input = output;
            }
        }
    }
}
