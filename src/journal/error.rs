//! What can be wrong with a journal, in words that say which file and where in it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::redrive::Difference;

/// Why a journal can't be read or gone on with.
#[derive(Debug)]
pub enum JournalError {
    /// The machine refused.
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What was tried.
        attempt: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// Bytes are not what was written, and it is no torn end.
    Rot {
        /// The file.
        file: PathBuf,
        /// Where in it, uncompressed.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// A file is missing, or not of a journal, or there is no checkpoint to begin at.
    Missing {
        /// The file or folder.
        file: PathBuf,
        /// What is missing.
        why: String,
    },
    /// Another process has the journal open.
    Taken(PathBuf),
    /// The core decides otherwise than is recorded.
    Differs(Box<Difference>),
}

impl JournalError {
    pub(super) fn io(file: &Path, attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |error| Self::Io { file, attempt, error }
    }

    pub(super) fn rot(file: &Path, offset: usize, why: impl Into<String>) -> Self {
        Self::Rot { file: file.to_owned(), offset: offset as u64, why: why.into() }
    }

    pub(super) fn missing(file: &Path, why: impl Into<String>) -> Self {
        Self::Missing { file: file.to_owned(), why: why.into() }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { file, attempt, error } => write!(f, "{}: can't {attempt}: {error}", file.display()),
            Self::Rot { file, offset, why } => {
                write!(f, "{}, byte {offset}: {why}, and this is not the torn end of a journal whose process was stopped", file.display())?;
                write!(f, "\nhint: the file was changed or its disk is failing; restore it from a copy")
            }
            Self::Missing { file, why } => write!(f, "{}: {why}", file.display()),
            Self::Taken(folder) => {
                write!(f, "{}: another process writes this journal\nhint: one gwsim serve a journal", folder.display())
            }
            Self::Differs(difference) => {
                write!(f, "the core decides otherwise than the journal says: {difference}")?;
                write!(f, "\nhint: was it written by another version of gwsim? recover it with that one, or begin another journal")
            }
        }
    }
}

impl std::error::Error for JournalError {}
