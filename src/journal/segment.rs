//! The files of a journal's folder: segments of turns, one after the other, and the checkpoints beside them. Decides their names, how they begin,
//! and what a torn end is; knows no turn's meaning.
//!
//! `00000007.journal` has turns; `00000007.checkpoint` is the state in which the first of them found the gateway. A checkpoint is written while
//! turns go on, so it may be missing beside the newest segments: the turns since the one before it say the same. Closed ones end in `.zst`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::buffer::Reach;
use super::error::JournalError;
use super::frame::{self, Found, kind};
use super::turn::{self, Turn};

/// The first bytes of every file of a journal.
pub(super) const MAGIC: &[u8; 8] = b"gwsimjnl";
/// The format; raised when an older gwsim can't read what a newer one writes.
pub(super) const FORMAT: u32 = 3;
/// The version of gwsim that writes.
pub(super) const GWSIM: &str = env!("CARGO_PKG_VERSION");

/// How a segment is named after its number.
const TURNS: &str = "journal";
const CHECKPOINT: &str = "checkpoint";
const CLOSED: &str = "zst";

/// What every file of a journal begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: u32,
    pub(super) gwsim: String,
    /// The segment that it is, or is the checkpoint of.
    pub(super) number: u32,
    /// What came before it.
    pub(super) after: Reach,
}

/// The files of one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Its number.
    pub number: u32,
    /// Its turns; missing only if somebody has removed them.
    pub turns: Option<PathBuf>,
    /// The state before them.
    pub checkpoint: Option<PathBuf>,
}

/// A segment that is being read.
#[derive(Debug)]
pub(super) struct Segment {
    file: PathBuf,
    bytes: Vec<u8>,
    offset: usize,
    pub(super) head: Head,
}

/// The end of a journal that was being written when its process ended: bytes after the last whole turn. Nothing that they say has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: PathBuf,
    /// Where the last whole turn ends.
    pub offset: u64,
    /// How many bytes come after it.
    pub bytes: u64,
}

/// Whether a path is a journal's folder.
pub fn is_journal(path: &Path) -> bool {
    path.is_dir() && list(path).is_ok_and(|files| !files.is_empty())
}

/// The path of a segment's turns while they are written.
pub(super) fn turns_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.{TURNS}"))
}

/// The path of a segment's checkpoint.
pub(super) fn checkpoint_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.{CHECKPOINT}"))
}

/// The path of a file once it is closed.
pub(super) fn closed_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(CLOSED);
    name.into()
}

/// The segments in a folder, by number.
///
/// # Errors
/// If the folder can't be read.
pub fn list(folder: &Path) -> Result<Vec<Files>, JournalError> {
    let mut found = std::collections::BTreeMap::<u32, Files>::new();
    let unreadable = || JournalError::io(folder, "read the journal's folder");
    for entry in fs::read_dir(folder).map_err(unreadable())? {
        let path = entry.map_err(unreadable())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut parts = name.split('.');
        let number = parts.next().filter(|digits| digits.len() == 8).and_then(|digits| digits.parse().ok());
        let (Some(number), Some(what), closed, None) = (number, parts.next(), parts.next(), parts.next()) else { continue };
        if closed.is_some_and(|closed| closed != CLOSED) {
            continue;
        }
        let files = found.entry(number).or_insert_with(|| Files { number, ..Files::default() });
        let place = match what {
            TURNS => &mut files.turns,
            CHECKPOINT => &mut files.checkpoint,
            _ => continue,
        };
        // While one is being closed there are both; the open one is there until the other is whole.
        if place.is_none() || closed.is_none() {
            *place = Some(path);
        }
    }
    found.retain(|_, files| files.turns.is_some() || files.checkpoint.is_some());
    Ok(found.into_values().collect())
}

/// The bytes of a file, uncompressed.
pub(super) fn load(file: &Path) -> Result<Vec<u8>, JournalError> {
    let bytes = match fs::read(file) {
        // It was closed since the folder was looked at.
        Err(error) if error.kind() == io::ErrorKind::NotFound && closed_path(file).exists() => return load(&closed_path(file)),
        read => read.map_err(JournalError::io(file, "read the journal"))?,
    };
    if file.extension().is_none_or(|end| end != CLOSED) {
        return Ok(bytes);
    }
    zstd::decode_all(&bytes[..]).map_err(|error| JournalError::rot(file, 0, format!("it can't be decompressed: {error}")))
}

/// The beginning of a file.
pub(super) fn beginning(number: u32, after: Reach) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let start = frame::begin(&mut bytes, kind::HEAD);
    turn::put(&mut bytes, &Head { format: FORMAT, gwsim: GWSIM.to_owned(), number, after });
    frame::end(&mut bytes, start);
    bytes
}

/// Reads the beginning of a file, and where it ends. `None` if the file has no whole one.
pub(super) fn read_beginning(file: &Path, bytes: &[u8]) -> Result<Option<(Head, usize)>, JournalError> {
    let shown = bytes.len().min(MAGIC.len());
    if bytes[..shown] != MAGIC[..shown] && bytes.iter().any(|byte| *byte != 0) {
        return Err(JournalError::missing(file, "this is no file of a journal"));
    }
    let Found::Frame(kind::HEAD, payload, end) = frame::at(bytes, MAGIC.len()) else { return Ok(None) };
    // The format comes first, and whatever it is, it can be read.
    let format = postcard::take_from_bytes::<u32>(payload).map_or(0, |(format, _)| format);
    if format != FORMAT {
        let why = format!("its format is {format}, and this gwsim reads format {FORMAT}\nhint: use the gwsim that has written it");
        return Err(JournalError::missing(file, why));
    }
    match postcard::from_bytes(payload) {
        Ok(head) => Ok(Some((head, end))),
        Err(error) => Err(JournalError::rot(file, MAGIC.len(), format!("its first frame can't be read: {error}"))),
    }
}

impl Segment {
    /// Opens a segment. `None` if nothing whole is in it, not even its beginning.
    pub(super) fn open(file: &Path) -> Result<Option<Self>, JournalError> {
        let bytes = load(file)?;
        let Some((head, offset)) = read_beginning(file, &bytes)? else {
            if frame::is_followed(&bytes, 0) {
                return Err(JournalError::rot(file, MAGIC.len(), "its first frame is broken, and whole ones follow"));
            }
            return Ok(None);
        };
        Ok(Some(Self { file: file.to_owned(), bytes, offset, head }))
    }

    /// Reads the next turn into `turn`, which is the one before it. `false` after the last whole one.
    ///
    /// # Errors
    /// If bytes are broken and whole turns follow.
    pub(super) fn next(&mut self, turn: &mut Turn) -> Result<bool, JournalError> {
        let broken = |why| Err(JournalError::rot(&self.file, self.offset, why));
        match frame::at(&self.bytes, self.offset) {
            Found::Frame(kind::TURN, payload, end) => {
                if let Err(error) = turn.read_next(payload) {
                    return broken(format!("a turn can't be read: {error}"));
                }
                self.offset = end;
                Ok(true)
            }
            Found::Frame(kind, ..) => broken(format!("there is a frame of kind {kind} among the turns")),
            Found::Broken(why) if frame::is_followed(&self.bytes, self.offset) => broken(format!("{why}, and whole turns follow")),
            Found::Broken(_) | Found::End => Ok(false),
        }
    }

    /// What is left after the last whole turn, once [`Self::next`] has said that there is no other.
    pub(super) fn torn(&self) -> Option<Torn> {
        let bytes = (self.bytes.len() - self.offset) as u64;
        (bytes > 0).then(|| Torn { file: self.file.clone(), offset: self.offset as u64, bytes })
    }

    /// Its file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The offset of the next turn.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }
}

/// Makes a new name in a folder last.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}
