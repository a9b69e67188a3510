//! What becomes of segments that are closed: they are compressed, and removed once they are older than somebody wants to keep them.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read};
use std::path::Path;
use std::time::Duration;

use super::segment::{self, Files};
use crate::gateway::time::{Span, Time};

/// The compression level: the fastest, as it runs beside requests. Turns shrink to less than half; level 3 takes 1.8 times as long for 2 % less.
const LEVEL: i32 = 1;

/// Compresses what is closed, and removes what is too old at `now`. `open` is the segment that is being written; it has its checkpoint.
pub(super) fn tidy(folder: &Path, open: u32, now: Time, retention: Option<Duration>) -> io::Result<()> {
    let files = segment::list(folder).map_err(|error| io::Error::other(error.to_string()))?;
    if let Some(retention) = retention {
        let oldest = Time(now.0.saturating_sub(Span(u64::try_from(retention.as_nanos()).unwrap_or(u64::MAX)).0));
        // A segment ends where the next one begins. What is kept begins with a checkpoint, or it could not be read.
        for pair in files.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            if after.number > open || after.checkpoint.is_none() || begins(after)?.is_none_or(|begins| begins >= oldest) {
                break;
            }
            for file in [&before.turns, &before.checkpoint].into_iter().flatten() {
                fs::remove_file(file)?;
            }
        }
    }
    for files in segment::list(folder).map_err(|error| io::Error::other(error.to_string()))?.iter().filter(|files| files.number < open) {
        for file in [&files.turns, &files.checkpoint].into_iter().flatten() {
            compress(file)?;
        }
    }
    Ok(())
}

/// When a segment begins.
fn begins(files: &Files) -> io::Result<Option<Time>> {
    let Some(file) = &files.turns else { return Ok(None) };
    // The beginning is short, whatever its version is called.
    let mut bytes = vec![0; 256];
    let mut read = 0;
    let mut source: Box<dyn Read> = Box::new(File::open(file)?);
    if file.extension().is_some_and(|end| end == "zst") {
        source = Box::new(zstd::Decoder::new(source)?);
    }
    while read < bytes.len() {
        match source.read(&mut bytes[read..])? {
            0 => break,
            more => read += more,
        }
    }
    let head = segment::read_beginning(file, &bytes[..read]).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(head.map(|(head, _)| head.after.at))
}

/// Puts a compressed file in the place of a file. There is one of them whole at any time.
fn compress(file: &Path) -> io::Result<()> {
    let closed = segment::closed_path(file);
    if *file == closed || file.extension().is_some_and(|end| end == "zst") {
        return Ok(());
    }
    let part = closed.with_extension("zst.part");
    let mut target = zstd::Encoder::new(BufWriter::new(File::create(&part)?), LEVEL)?;
    target.include_checksum(true)?;
    io::copy(&mut BufReader::with_capacity(1 << 20, File::open(file)?), &mut target)?;
    let target = target.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    target.sync_all()?;
    fs::rename(&part, &closed)?;
    fs::remove_file(file)
}
