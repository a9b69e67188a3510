//! Reads gwsim's own price table, a CSV with a dated comment on top. Knows the columns; what a missing rate means is for `entry` to say.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::PriceError;
use super::decimal;
use super::entry::{Entry, Quantity, ServiceTier};

/// What a list's text holds.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) date: String,
    pub(super) entries: Vec<Entry>,
    pub(super) rounded: usize,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Model,
    Provider,
    Mode,
    MaxInput,
    MaxOutput,
    DeprecationDate,
    PerRequest,
    Source,
    Rate(Quantity, ServiceTier, u32),
}

pub(super) fn read(text: &str, file: &str) -> Result<Table, PriceError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let date = dated(text, file)?;
    let mut reader = ReaderBuilder::new().comment(Some(b'#')).trim(Trim::All).from_reader(text.as_bytes());
    let malformed = |error: csv::Error| {
        let record_at = error.position().map_or(0, csv::Position::byte);
        at(text, file, record_at, 0, error.to_string())
    };
    let header = reader.headers().map_err(malformed)?.clone();
    let header_at = header.position().map_or(0, csv::Position::byte);
    let columns = columns(&header, &|index, message| at(text, file, header_at, index, message))?;
    let mut table = Table { date, entries: Vec::new(), rounded: 0 };
    let mut records_at = Vec::new();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(malformed)? {
        let record_at = record.position().map_or(0, csv::Position::byte);
        let (entry, rounded) = row(&header, &columns, &record, &|index, message| at(text, file, record_at, index, message))?;
        table.entries.push(entry);
        table.rounded += rounded;
        records_at.push(record_at);
    }
    let Some((first, again)) = super::duplicate(&table.entries) else { return Ok(table) };
    let entry = &table.entries[again];
    let first_line = at(text, file, records_at[first], 0, String::new()).line;
    let message = format!("`{}` of {} is on line {first_line} already; keep one", entry.model, entry.provider);
    Err(at(text, file, records_at[again], 0, message))
}

/// The day that the comment lines on top state as `# date: YYYY-MM-DD`.
fn dated(text: &str, file: &str) -> Result<String, PriceError> {
    let error = |line, message| Err(PriceError { file: file.to_owned(), line, column: 1, message });
    for (line, comment) in (1..).zip(text.lines().map_while(|line| line.strip_prefix('#'))) {
        let Some(date) = comment.trim().strip_prefix("date:") else { continue };
        let date = date.trim();
        return if is_date(date) { Ok(date.to_owned()) } else { error(line, format!("`{date}` is not a date; write it as `# date: 2026-11-22`")) };
    }
    error(1, "a price list must say of which day it is; put `# date: 2026-11-22` on top".to_owned())
}

/// `YYYY-MM-DD` with a month and a day that can exist.
fn is_date(text: &str) -> bool {
    let number =
        |part: &str, width: usize| if part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None };
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next().and_then(|part| number(part, 4)), parts.next().and_then(|part| number(part, 2)), parts.next());
    let day: Option<u32> = day.and_then(|part| number(part, 2));
    parts.next().is_none()
        && year.is_some_and(|year: u32| year > 0)
        && month.is_some_and(|month| (1..=12).contains(&month))
        && day.is_some_and(|day| (1..=31).contains(&day))
}

type At<'a> = dyn Fn(usize, String) -> PriceError + 'a;

fn columns(header: &StringRecord, error: &At<'_>) -> Result<Vec<Column>, PriceError> {
    let mut columns = Vec::with_capacity(header.len());
    for (index, name) in header.iter().enumerate() {
        let Some(column) = column(name) else {
            let message = format!("unknown column `{name}`; a rate is called like `input_usd_per_mtok` or `batch_output_above_200k_usd_per_mtok`");
            return Err(error(index, message));
        };
        if columns.contains(&column) {
            return Err(error(index, format!("column `{name}` is there twice")));
        }
        columns.push(column);
    }
    for (required, name) in [(Column::Model, "model"), (Column::Provider, "provider")] {
        if !columns.contains(&required) {
            return Err(error(0, format!("no column `{name}`; every row needs one")));
        }
    }
    Ok(columns)
}

fn column(name: &str) -> Option<Column> {
    Some(match name {
        "model" => Column::Model,
        "provider" => Column::Provider,
        "mode" => Column::Mode,
        "max_input_tokens" => Column::MaxInput,
        "max_output_tokens" => Column::MaxOutput,
        "deprecation_date" => Column::DeprecationDate,
        "per_request_usd" => Column::PerRequest,
        "source" => Column::Source,
        _ => {
            let name = name.strip_suffix("_usd_per_mtok")?;
            let prefixed = ServiceTier::ALL.into_iter().find_map(|tier| Some((tier, name.strip_prefix(tier.name())?.strip_prefix('_')?)));
            let (service, name) = prefixed.unwrap_or((ServiceTier::Standard, name));
            let (quantity, above) = match name.split_once("_above_") {
                None => (name, 0),
                Some((quantity, above)) => {
                    let thousands: u32 = above.strip_suffix('k')?.parse().ok().filter(|thousands| *thousands > 0)?;
                    (quantity, thousands.checked_mul(1000)?)
                }
            };
            Column::Rate(quantity_of(quantity)?, service, above)
        }
    })
}

fn quantity_of(name: &str) -> Option<Quantity> {
    Some(match name {
        "input" => Quantity::Input,
        "output" => Quantity::Output,
        "cache_read" => Quantity::CacheRead,
        "cache_write" => Quantity::CacheWrite,
        "cache_write_1h" => Quantity::CacheWrite1h,
        "reasoning" => Quantity::Reasoning,
        _ => return None,
    })
}

/// The entry of a row, and how many of its prices were rounded.
fn row(header: &StringRecord, columns: &[Column], record: &StringRecord, error: &At<'_>) -> Result<(Entry, usize), PriceError> {
    let mut entry = Entry::new("", "", "");
    let mut rounded = 0;
    for (index, (column, cell)) in columns.iter().zip(record).enumerate() {
        let wrong = |reason: decimal::DecimalError| error(index, format!("{}: {reason}", &header[index]));
        match column {
            Column::Model | Column::Provider if cell.is_empty() => return Err(error(index, format!("the row has no {}", &header[index]))),
            _ if cell.is_empty() => {}
            Column::Model => cell.clone_into(&mut entry.model),
            Column::Provider => cell.clone_into(&mut entry.provider),
            Column::Mode => cell.clone_into(&mut entry.mode),
            Column::Source => cell.clone_into(&mut entry.source),
            Column::MaxInput => entry.max_input = Some(decimal::whole(cell).map_err(wrong)?),
            Column::MaxOutput => entry.max_output = Some(decimal::whole(cell).map_err(wrong)?),
            Column::DeprecationDate if is_date(cell) => entry.deprecation_date = Some(cell.to_owned()),
            Column::DeprecationDate => return Err(error(index, format!("`{cell}` is not a date; write it as `2026-11-22`"))),
            Column::PerRequest => {
                let (fee, inexact) = decimal::money(cell).map_err(wrong)?;
                entry.charge_per_request(fee);
                rounded += usize::from(inexact);
            }
            Column::Rate(quantity, service, above) => {
                let (rate, inexact) = decimal::rate_per_mtok(cell).map_err(wrong)?;
                entry.state(*quantity, *service, *above, rate);
                rounded += usize::from(inexact);
            }
        }
    }
    if !entry.is_priced() {
        return Err(error(0, format!("`{}` has no price; state its input or output rate (0 if free), or leave the row out", entry.model)));
    }
    Ok((entry, rounded))
}

/// An error at field `index` of the record that starts at byte `record_at`.
fn at(text: &str, file: &str, record_at: u64, index: usize, message: String) -> PriceError {
    let start = usize::try_from(record_at).unwrap_or(0).min(text.len());
    // The reader may place a record before the line ends and comments that precede it.
    let mut begin = start;
    while let Some(line) = text[begin..].split_inclusive('\n').next()
        && (line.trim().is_empty() || line.starts_with('#'))
    {
        begin += line.len();
    }
    let (mut quoted, mut seen, mut offset) = (false, 0, begin);
    for (position, byte) in text.bytes().enumerate().skip(begin) {
        if seen == index {
            break;
        }
        quoted ^= byte == b'"';
        if byte == b',' && !quoted {
            seen += 1;
            offset = position + 1;
        }
    }
    PriceError::at_offset(text, file, offset, message)
}
