//! Where in a trace a row stands that is right by itself, but not for who reads it. Decides what to point at; what is wrong, the caller says.

use super::column::Column;
use super::csv::Csv;
use super::dialect::Dialect;
use super::error::{Fault, TraceError};
use super::jsonl::Jsonl;
use super::litellm::Field;
use super::source::Container;
use super::{Trace, container};

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The model that a row asks for.
    Model,
    /// The key that it comes with.
    Key,
}

impl Subject {
    /// Whether a column can hold it.
    pub(super) const fn is_in(self, column: Column) -> bool {
        match self {
            Self::Model => matches!(column, Column::Model | Column::Log(Field::ModelGroup | Field::Model | Field::Metadata)),
            Self::Key => matches!(column, Column::Key | Column::Log(Field::ApiKey | Field::Metadata)),
        }
    }
}

impl Trace {
    /// An error about `name`, which the row at `line` has as its model or key, or about the want of one. Reads the file anew up to that line;
    /// without a place in the line if that can't be done any more.
    pub fn error_at(&self, line: u64, (subject, name): (Subject, &str), what: String, hint: &str) -> TraceError {
        let dialect: &'static Dialect = self.builder.dialect;
        let found = match container(&self.source) {
            Ok(Container::Csv) => Csv::places_at(&self.source, dialect, line, subject),
            Ok(Container::Jsonl) => Jsonl::places_at(&self.source, dialect, line, subject),
            Ok(Container::Parquet) => return TraceError::of_row(Fault::Value, self.source.name(), line, what, hint),
            Err(_) => None,
        };
        let Some((lines, places)) = found else { return TraceError::of_file(Fault::Value, self.source.name(), what, hint) };
        let marked = mark(lines.bytes(), &places, name);
        TraceError::of_line(Fault::Value, lines.file(), (lines.number(), lines.bytes()), marked, (what, hint.to_owned()))
    }
}

/// The part of a line to mark: where the name stands in one of the places that can hold it, or the first of these, or the start.
fn mark(line: &[u8], places: &[std::ops::Range<usize>], name: &str) -> std::ops::Range<usize> {
    let inside = |place: &std::ops::Range<usize>| {
        let at = line[place.clone()].windows(name.len().max(1)).position(|window| window == name.as_bytes())?;
        Some(place.start + at..place.start + at + name.len())
    };
    places.iter().find_map(inside).or_else(|| places.first().cloned()).unwrap_or(0..0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Options, convert};
    use super::*;

    fn marked(trace: &Trace, line: u64, about: (Subject, &str)) -> (Option<u64>, String) {
        let error = trace.error_at(line, about, "what".to_owned(), "hint");
        let (text, marked) = error.excerpt().unwrap_or(("", 0..0));
        (error.column(), text[marked].to_owned())
    }

    #[test]
    fn a_name_is_marked_where_the_row_has_it() {
        let of = |text: &str| Trace::of_bytes(Path::new("t"), text.as_bytes(), Options::default()).unwrap();
        let csv = of("at_s,key,input_tokens,model\n1,,5,m\n2,\"gpt\",5,gpt\n");
        assert_eq!(marked(&csv, 3, (Subject::Model, "gpt")), (Some(11), "gpt".into()));
        assert_eq!(marked(&csv, 3, (Subject::Key, "gpt")), (Some(4), "gpt".into()));
        assert_eq!(marked(&csv, 2, (Subject::Key, "")), (Some(3), String::new()), "what a row lacks is marked where it would be");
        let jsonl = of("{\"at_s\":1,\"input_tokens\":5}\n\n{\"at_s\":1,\"input_tokens\":5,\"key\":\"m\",\"model\":\"m\"}\n");
        assert_eq!(marked(&jsonl, 3, (Subject::Model, "m")), (Some(47), "m".into()));
        assert_eq!(marked(&jsonl, 1, (Subject::Model, "")), (Some(1), String::new()));
        let log = of("startTime,prompt_tokens,api_key,metadata\n2026-11-20 14:00:00,5,ab,\"{\"\"user_api_key_alias\"\": \"\"web\"\"}\"\n");
        assert_eq!(marked(&log, 2, (Subject::Key, "web")).1, "web");
        assert_eq!(marked(&csv, 9, (Subject::Key, "a")), (None, String::new()), "the file has changed since");
    }

    #[test]
    fn a_row_of_parquet_is_named_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let (csv, parquet) = (dir.path().join("t.csv"), dir.path().join("t.parquet"));
        std::fs::write(&csv, "at_s,input_tokens,model\n1,5,m\n2,5,gpt\n").unwrap();
        convert(&csv, &parquet, Options::default()).unwrap();
        let trace = Trace::open(&parquet, Options::default()).unwrap();
        let error = trace.error_at(2, (Subject::Model, "gpt"), "what".to_owned(), "hint");
        assert!(error.to_string().ends_with("t.parquet: row 2: what\nhint: hint"), "{error}");
    }
}
