//! Rows from comma-separated text: a header of column names, then one request a line. Knows where each value stands in its line;
//! what the value means is decided by `builder`.

use std::borrow::Cow;
use std::ops::Range;

use super::Reader;
use super::builder::Builder;
use super::column::{Cell, Column, Problem};
use super::dialect::Dialect;
use super::error::{Fault, TraceError, quoted};
use super::place::Subject;
use super::source::{Lines, Source};

/// Reads one row a record.
pub(super) struct Csv {
    lines: Lines,
    columns: Vec<(String, Column)>,
    fields: Vec<Field>,
}

/// The place of a value in its line, quotes not included.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    range: Range<usize>,
    has_doubled_quotes: bool,
}

/// Why a line is not a record.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    /// The quote at this byte has no end on this line.
    Open(usize),
    /// There is text between a closing quote and the next comma.
    AfterQuote(usize),
}

impl Csv {
    /// The names in the header.
    pub(super) fn header(source: &Source) -> Result<Vec<String>, TraceError> {
        let mut csv = Self { lines: source.lines()?, columns: Vec::new(), fields: Vec::new() };
        csv.lines.advance_to_text()?;
        csv.split()?;
        csv.fields.iter().map(|field| csv.text(field).map(|name| name.trim().to_owned())).collect()
    }

    /// A reader that has passed the header.
    pub(super) fn open(source: &Source, dialect: &'static Dialect) -> Result<Self, TraceError> {
        let mut csv = Self { lines: source.lines()?, columns: Vec::new(), fields: Vec::new() };
        csv.lines.advance_to_text()?;
        csv.split()?;
        for i in 0..csv.fields.len() {
            let field = csv.fields[i].clone();
            let name = csv.text(&field)?.trim().to_owned();
            let Some((_, column)) = dialect.column(&name) else {
                return Err(csv.fault(Fault::Format, field.range, dialect.unknown(&name)));
            };
            if let Some((other, _)) = csv.columns.iter().find(|(_, other)| other.clashes(column)) {
                let what = format!("the columns {} and {} say the same thing", quoted(other), quoted(&name));
                return Err(csv.fault(Fault::Format, field.range, (what, "keep one of them, or start the other's name with `x_`".to_owned())));
            }
            csv.columns.push((name, column));
        }
        Ok(csv)
    }

    /// A line, and where in it the subject stands; none if the line is not there any more.
    pub(super) fn places_at(source: &Source, dialect: &'static Dialect, line: u64, subject: Subject) -> Option<(Lines, Vec<Range<usize>>)> {
        let mut csv = Self::open(source, dialect).ok()?;
        while csv.lines.number() < line {
            csv.lines.advance_to_text().ok().filter(|more| *more)?;
            csv.split().ok()?;
        }
        let places = csv.columns.iter().zip(&csv.fields).filter(|((_, column), _)| subject.is_in(*column));
        let places = places.map(|(_, field)| field.range.clone()).collect();
        Some((csv.lines, places))
    }

    /// Splits the line at hand, reading on while a quote is open.
    fn split(&mut self) -> Result<(), TraceError> {
        loop {
            let (at, problem) = match split(self.lines.bytes(), &mut self.fields) {
                Ok(()) => return Ok(()),
                Err(Broken::Open(at)) => {
                    if self.lines.extend()? {
                        continue;
                    }
                    (at, ("a quote is opened and never closed", "close it; inside a quoted value, a quote is written twice"))
                }
                Err(Broken::AfterQuote(at)) => {
                    (at, ("there is text after a closing quote", "quote the whole value; inside a quoted value, a quote is written twice"))
                }
            };
            return Err(self.fault(Fault::Format, at..at + 1, (problem.0.to_owned(), problem.1.to_owned())));
        }
    }

    fn text(&self, field: &Field) -> Result<Cow<'_, str>, TraceError> {
        let bytes = &self.lines.bytes()[field.range.clone()];
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let at = field.range.start + error.valid_up_to();
            let hint = "write the file in UTF-8".to_owned();
            self.fault(Fault::Value, at..at + 1, ("the bytes here are not UTF-8 text".to_owned(), hint))
        })?;
        Ok(if field.has_doubled_quotes { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(text) })
    }

    fn fault(&self, fault: Fault, marked: Range<usize>, problem: (String, String)) -> TraceError {
        TraceError::of_line(fault, self.lines.file(), (self.lines.number(), self.lines.bytes()), marked, problem)
    }

    fn refused(&self, problem: Problem) -> TraceError {
        let place = problem.column.and_then(|name| self.columns.iter().position(|(column, _)| *column == name));
        let time = || self.columns.iter().position(|(_, column)| matches!(column, Column::At(_)));
        let place = place.or_else(|| matches!(problem.fault, Fault::Order | Fault::Clock).then(time).flatten());
        let marked = place.and_then(|place| self.fields.get(place)).map_or(0..0, |field| field.range.clone());
        self.fault(problem.fault, marked, (problem.what, problem.hint))
    }
}

impl Reader for Csv {
    fn row(&mut self, builder: &mut Builder) -> Result<bool, TraceError> {
        if !self.lines.advance_to_text()? {
            return Ok(false);
        }
        self.split()?;
        if self.fields.len() != self.columns.len() {
            let what = format!("the row has {} values, but the header names {} columns", self.fields.len(), self.columns.len());
            let last = self.fields.last().map_or(0..0, |field| field.range.clone());
            let hint = "write one value a column, nothing between two commas where it is not known, and quote values with commas";
            return Err(self.fault(Fault::Value, last, (what, hint.to_owned())));
        }
        builder.begin(self.lines.number());
        for ((name, column), field) in self.columns.iter().zip(&self.fields) {
            if *column != Column::Ignored {
                let cell = Cell::Text(self.text(field)?);
                builder.set(name, *column, &cell).map_err(|problem| self.refused(problem))?;
            }
        }
        builder.end().map_err(|problem| self.refused(problem))?;
        Ok(true)
    }
}

/// Splits a record at its commas (RFC 4180; a quote inside an unquoted value is a quote).
fn split(line: &[u8], fields: &mut Vec<Field>) -> Result<(), Broken> {
    fields.clear();
    let mut start = 0;
    loop {
        let end = if line.get(start) == Some(&b'"') {
            let (field, end) = quoted_field(line, start)?;
            fields.push(field);
            end
        } else {
            let end = line[start..].iter().position(|byte| *byte == b',').map_or(line.len(), |length| start + length);
            fields.push(Field { range: start..end, has_doubled_quotes: false });
            end
        };
        if end == line.len() {
            return Ok(());
        }
        start = end + 1;
    }
}

/// The quoted value whose quote stands at `open`, and where it ends with its closing quote.
fn quoted_field(line: &[u8], open: usize) -> Result<(Field, usize), Broken> {
    let mut at = open + 1;
    let mut has_doubled_quotes = false;
    loop {
        let quote = line[at..].iter().position(|byte| *byte == b'"').ok_or(Broken::Open(open))? + at;
        match line.get(quote + 1) {
            Some(b'"') => {
                has_doubled_quotes = true;
                at = quote + 2;
            }
            None | Some(b',') => return Ok((Field { range: open + 1..quote, has_doubled_quotes }, quote + 1)),
            Some(_) => return Err(Broken::AfterQuote(quote + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(line: &str) -> Result<Vec<String>, Broken> {
        let mut fields = Vec::new();
        split(line.as_bytes(), &mut fields)?;
        Ok(fields.iter().map(|field| line[field.range.clone()].replace(if field.has_doubled_quotes { "\"\"" } else { "\0" }, "\"")).collect())
    }

    #[test]
    fn quotes_hold_commas_and_quotes() {
        assert_eq!(values(r#"a,"b,c","d""e",,f"g"#).unwrap(), ["a", "b,c", "d\"e", "", "f\"g"]);
        assert_eq!(values(r#"a,"b"#), Err(Broken::Open(2)));
        assert_eq!(values(r#"a,"b"c,d"#), Err(Broken::AfterQuote(5)));
    }

    proptest! {
        /// The csv crate writes, this reads.
        #[test]
        fn what_the_csv_crate_writes_is_split_as_meant(record in prop::collection::vec("[a\",\n é]{0,6}", 2..6)) {
            let mut writer = ::csv::Writer::from_writer(Vec::new());
            writer.write_record(&record).unwrap();
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(values(text.strip_suffix('\n').unwrap()).unwrap(), record);
        }
    }
}
