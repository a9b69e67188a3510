//! Files that a configuration is or names: read whole, with an error at the place that names them. Knows no format.

use std::fs;
use std::path::Path;

use super::diagnostic::{Diagnostics, Place, SourceId};
use super::problem;

/// Takes in the file at `path` under the name that it has there. Reported, at `place` if the path is written somewhere, if it cannot be read.
/// A file that was taken in before is not read again, so that all variants see the same text and its problems are told once.
pub fn read(path: &Path, place: Option<Place>, diagnostics: &mut Diagnostics) -> Option<(SourceId, String)> {
    let name = path.display().to_string();
    if let Some(source) = diagnostics.find_source(&name) {
        return Some((source, name));
    }
    let reason = match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Some((diagnostics.add_source(name.clone(), text), name)),
            Err(error) => {
                not_text(&name, &error, diagnostics);
                return None;
            }
        },
        Err(error) => reason(&error),
    };
    diagnostics.report(problem::unreadable_file(place, &name, &reason));
    None
}

/// Reports bytes that are no text, at their place unless the whole file is something else.
fn not_text(name: &str, error: &std::string::FromUtf8Error, diagnostics: &mut Diagnostics) {
    let bytes = error.as_bytes();
    if bytes.contains(&0) {
        diagnostics.report(problem::unreadable_file(None, name, "it is not text"));
        return;
    }
    // The text up to there is the same; what follows is only shown.
    let source = diagnostics.add_source(name, String::from_utf8_lossy(bytes));
    let start = error.utf8_error().valid_up_to();
    diagnostics.report(problem::not_utf8(Place::new(source, start..start + char::REPLACEMENT_CHARACTER.len_utf8()), bytes[start]));
}

/// Whether there is a file at `path`. Reported at `place` if not.
pub fn exists(path: &Path, place: Place, diagnostics: &Diagnostics) -> bool {
    let error = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => "it is a directory".to_owned(),
        Ok(_) => return true,
        Err(error) => reason(&error),
    };
    diagnostics.report(problem::unreadable_file(Some(place), &path.display().to_string(), &error));
    false
}

/// The same words on every platform for what users meet most.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    }
}

/// The byte at a line and column, both from 1, the column in characters; the end of the text if there is none.
pub fn offset(text: &str, line: u64, column: u64) -> usize {
    let skipped = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(row) = text.split_inclusive('\n').nth(skipped) else { return text.len() };
    let start = row.as_ptr() as usize - text.as_ptr() as usize;
    let letters = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    start + row.char_indices().nth(letters).map_or(row.len(), |(at, _)| at)
}
