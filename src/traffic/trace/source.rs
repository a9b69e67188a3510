//! The bytes of a trace, decompressed, line by line. Decides nothing about their meaning.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Fault, TraceError, thousands};

/// A line longer than this is not a trace: it would break the bound on memory.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Where a trace comes from. Opened more than once: to find out what it is, and to read it.
#[derive(Debug, Clone)]
pub(super) enum Source {
    File(PathBuf),
    /// Bytes in memory, with a name for messages.
    Bytes(PathBuf, Arc<[u8]>),
}

/// How the rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Csv,
    Jsonl,
    Parquet,
}

impl Container {
    /// What a message counts.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Csv | Self::Jsonl => "line",
            Self::Parquet => "row",
        }
    }
}

impl Source {
    pub(super) fn name(&self) -> &Path {
        match self {
            Self::File(path) | Self::Bytes(path, _) => path,
        }
    }

    /// The bytes as stored.
    pub(super) fn raw(&self) -> Result<Box<dyn Read + Send>, TraceError> {
        match self {
            Self::File(path) => Ok(Box::new(self.file(path)?)),
            Self::Bytes(_, bytes) => Ok(Box::new(Cursor::new(Arc::clone(bytes)))),
        }
    }

    /// The file itself, for readers that seek.
    pub(super) fn file(&self, path: &Path) -> Result<File, TraceError> {
        let file = File::open(path).map_err(|error| TraceError::of_io(path, "open the trace", &error))?;
        let meta = file.metadata().map_err(|error| TraceError::of_io(path, "open the trace", &error))?;
        if meta.is_dir() {
            return Err(TraceError::of_file(Fault::File, path, "is a directory, not a trace", "name a file in that directory"));
        }
        Ok(file)
    }

    /// Whether the bytes are a Parquet file.
    pub(super) fn is_parquet(&self) -> Result<bool, TraceError> {
        Ok(self.start()?.starts_with(b"PAR1"))
    }

    /// The lines, decompressed by what the first bytes say and not by the name.
    pub(super) fn lines(&self) -> Result<Lines, TraceError> {
        let start = self.start()?;
        let raw = self.raw()?;
        let input: Box<dyn BufRead + Send> = if start.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(1 << 16, flate2::read::MultiGzDecoder::new(raw)))
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let decoder = zstd::Decoder::new(raw).map_err(|error| TraceError::of_io(self.name(), "read the trace", &error))?;
            Box::new(BufReader::with_capacity(1 << 16, decoder))
        } else {
            Box::new(BufReader::with_capacity(1 << 16, raw))
        };
        Ok(Lines { file: self.name().to_owned(), input, bytes: Vec::new(), end: b"", first: 0, last: 0 })
    }

    fn start(&self) -> Result<Vec<u8>, TraceError> {
        let mut start = Vec::with_capacity(4);
        self.raw()?.take(4).read_to_end(&mut start).map_err(|error| TraceError::of_io(self.name(), "read the trace", &error))?;
        Ok(start)
    }
}

/// The lines of a text, without their ends (`\n` or `\r\n`) and without a byte order mark.
pub(super) struct Lines {
    file: PathBuf,
    input: Box<dyn BufRead + Send>,
    bytes: Vec<u8>,
    /// How the line ended in the file.
    end: &'static [u8],
    first: u64,
    last: u64,
}

impl Lines {
    /// Moves to the next line; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, TraceError> {
        self.bytes.clear();
        self.first = self.last + 1;
        self.read()
    }

    /// Moves to the next line that is not blank.
    pub(super) fn advance_to_text(&mut self) -> Result<bool, TraceError> {
        while self.advance()? {
            if !self.bytes.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Appends the next line to this one, for a quoted value that goes on.
    pub(super) fn extend(&mut self) -> Result<bool, TraceError> {
        self.bytes.extend_from_slice(self.end);
        self.read()
    }

    /// The line, without its end.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The 1-based number of the line, or of its first part.
    pub(super) fn number(&self) -> u64 {
        self.first
    }

    /// The file, for messages.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    fn read(&mut self) -> Result<bool, TraceError> {
        let room = LINE_BYTES_MAX.saturating_sub(self.bytes.len() as u64);
        let read = self.input.by_ref().take(room).read_until(b'\n', &mut self.bytes);
        let read = read.map_err(|error| {
            let attempt = format!("read on after line {}", thousands(self.last));
            TraceError::of_io(&self.file, &attempt, &error)
        })?;
        if read == 0 && room > 0 {
            return Ok(false);
        }
        self.last += 1;
        if self.bytes.ends_with(b"\n") {
            self.bytes.pop();
            self.end = b"\n";
            if self.bytes.ends_with(b"\r") {
                self.bytes.pop();
                self.end = b"\r\n";
            }
        } else if self.bytes.len() as u64 >= LINE_BYTES_MAX {
            let what = format!("line {} is longer than {} bytes", thousands(self.first), thousands(LINE_BYTES_MAX));
            return Err(TraceError::of_file(Fault::Format, &self.file, what, "a trace has one request a line; is this one?"));
        }
        if self.last == 1 && self.bytes.starts_with(b"\xef\xbb\xbf") {
            self.bytes.drain(..3);
        }
        Ok(true)
    }
}
