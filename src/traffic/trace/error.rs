//! What is wrong with a trace, and how a person is told: `file:line:column: what`, the line with a caret, a hint. Decides wording only.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What sort of fault a [`TraceError`] is, for callers that branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The file could not be opened, read, decompressed or written.
    File,
    /// The format is not known, or the file lacks a column that it needs.
    Format,
    /// One value or one line is not what its column allows.
    Value,
    /// A row is earlier than the row before it.
    Order,
    /// Two rows can't come from one clock.
    Clock,
    /// There is no request in the file.
    Empty,
}

/// Why a trace could not be read or written. Prints as several lines of plain text, ready for a terminal.
#[derive(Debug, Clone)]
pub struct TraceError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    fault: Fault,
    file: PathBuf,
    place: Place,
    what: String,
    hint: String,
}

#[derive(Debug, Clone)]
enum Place {
    File,
    /// A row of a file without lines.
    Row(u64),
    Line {
        line: u64,
        column: u64,
        excerpt: String,
        marked: Range<usize>,
    },
}

impl TraceError {
    /// A fault of the file as a whole.
    pub(in crate::traffic) fn of_file(fault: Fault, file: &Path, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self(Box::new(Inner { fault, file: file.to_owned(), place: Place::File, what: what.into(), hint: hint.into() }))
    }

    /// A fault of the operating system: what was attempted, and its reason.
    pub(super) fn of_io(file: &Path, attempt: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{InvalidInput, IsADirectory, NotFound, PermissionDenied, UnexpectedEof};
        let hint = match error.kind() {
            NotFound => "check the path; it is relative to the directory that gwsim runs in",
            PermissionDenied => "make it readable for the user that gwsim runs as",
            IsADirectory => "name a file in that directory",
            UnexpectedEof | InvalidInput => "the file ends early: copy or download it again",
            _ => "",
        };
        // The same words on every platform for what users meet most.
        let reason = match error.kind() {
            NotFound => "no such file or directory".to_owned(),
            PermissionDenied => "permission denied".to_owned(),
            IsADirectory => "it is a directory".to_owned(),
            _ => error.to_string(),
        };
        Self::of_file(Fault::File, file, format!("can't {attempt}: {reason}"), hint)
    }

    /// The same, about `file` as the user calls it.
    pub(super) fn about(mut self, file: &Path) -> Self {
        file.clone_into(&mut self.0.file);
        self
    }

    /// A fault at a row of a file without lines, such as Parquet.
    pub(super) fn of_row(fault: Fault, file: &Path, row: u64, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self(Box::new(Inner { fault, file: file.to_owned(), place: Place::Row(row), what: what.into(), hint: hint.into() }))
    }

    /// A fault at `marked`, a range of bytes of the line `text` (not necessarily UTF-8).
    pub(super) fn of_line(fault: Fault, file: &Path, (line, text): (u64, &[u8]), marked: Range<usize>, problem: (String, String)) -> Self {
        let (column, excerpt, marked) = excerpt(text, marked);
        let place = Place::Line { line, column, excerpt, marked };
        Self(Box::new(Inner { fault, file: file.to_owned(), place, what: problem.0, hint: problem.1 }))
    }

    /// What sort of fault it is.
    pub fn fault(&self) -> Fault {
        self.0.fault
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.0.file
    }

    /// The 1-based line, or row of a file without lines.
    pub fn line(&self) -> Option<u64> {
        match self.0.place {
            Place::File => None,
            Place::Row(row) => Some(row),
            Place::Line { line, .. } => Some(line),
        }
    }

    /// The 1-based column, in characters.
    pub fn column(&self) -> Option<u64> {
        match self.0.place {
            Place::Line { column, .. } => Some(column),
            _ => None,
        }
    }

    /// The line, shortened if long, and the range of bytes in it that is at fault.
    pub fn excerpt(&self) -> Option<(&str, Range<usize>)> {
        match &self.0.place {
            Place::Line { excerpt, marked, .. } => Some((excerpt, marked.clone())),
            _ => None,
        }
    }

    /// What is wrong, without place and hint.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// What to do about it; may be empty.
    pub fn hint(&self) -> &str {
        &self.0.hint
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { file, place, what, hint, .. } = &*self.0;
        write!(f, "{}", file.display())?;
        match place {
            Place::File => write!(f, ": {what}")?,
            Place::Row(row) => write!(f, ": row {}: {what}", thousands(*row))?,
            Place::Line { line, column, excerpt, marked } => {
                write!(f, ":{line}:{column}: {what}")?;
                let margin = line.to_string().len();
                let before = excerpt[..marked.start].chars().count();
                let carets = excerpt[marked.clone()].chars().count().max(1);
                write!(f, "\n{:margin$} |\n{line} | {excerpt}\n{:margin$} | {:before$}{:^<carets$}", "", "", "", "")?;
            }
        }
        if !hint.is_empty() {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TraceError {}

/// The column of the mark in characters, the line around it as printable text, and the mark in that text.
fn excerpt(line: &[u8], marked: Range<usize>) -> (u64, String, Range<usize>) {
    const AROUND: usize = 48;
    let start = marked.start.min(line.len());
    let end = marked.end.clamp(start, line.len());
    let column = String::from_utf8_lossy(&line[..start]).chars().count() as u64 + 1;
    let first = start.saturating_sub(AROUND);
    let last = if end - start > AROUND { start + AROUND } else { end };
    let mut text = String::from(if first > 0 { "..." } else { "" });
    text.push_str(&printable(&line[first..start]));
    let from = text.len();
    text.push_str(&printable(&line[start..last]));
    let to = text.len();
    let rest = &line[last..line.len().min(last + AROUND)];
    text.push_str(&printable(rest));
    if last + rest.len() < line.len() {
        text.push_str("...");
    }
    (column, text, from..to)
}

/// Text that can't move the cursor of a terminal: control characters and broken UTF-8 become one replacement character each.
pub(super) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// A value from a file for a message: quoted, at most 40 characters.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = printable(text.as_bytes()).chars().take(40).collect();
    if short.chars().count() < text.chars().count() {
        short.push_str("...");
    }
    format!("`{short}`")
}

/// A number with thousands separators: `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_mark() {
        let problem = ("`input_tokens` is not a whole number: `12x`".to_owned(), "write digits only".to_owned());
        let error = TraceError::of_line(Fault::Value, Path::new("a.csv"), (4812, b"2026,12x,4"), 5..8, problem);
        assert_eq!(
            error.to_string(),
            "a.csv:4812:6: `input_tokens` is not a whole number: `12x`\n     |\n4812 | 2026,12x,4\n     |      ^^^\nhint: write digits only"
        );
    }

    #[test]
    fn a_long_or_binary_line_is_cut_and_made_printable() {
        let mut line = vec![b'a'; 1000];
        line[500] = 0xff;
        line[501] = 0x1b;
        let error = TraceError::of_line(Fault::Value, Path::new("a"), (1, &line), 500..502, (String::new(), String::new()));
        let (text, marked) = error.excerpt().unwrap();
        assert_eq!(error.column(), Some(501));
        assert_eq!(&text[marked], "\u{fffd}\u{fffd}");
        assert!(text.len() < 120 && text.starts_with("...a") && text.ends_with("a..."));
        for (start, end) in [(0, 0), (5, 3), (2000, 3000), (999, 1000)] {
            let _ = TraceError::of_line(Fault::Value, Path::new("a"), (1, &line), start..end, (String::new(), String::new())).to_string();
        }
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
