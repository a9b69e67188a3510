//! A journal read from one of its checkpoints on, turn by turn, over its segments. Decides what is missing and what is merely torn.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::buffer::Reach;
use super::checkpoint::{self, Checkpoint};
use super::error::JournalError;
use super::segment::{self, Files, Segment, Torn};
use super::turn::Turn;

/// Reads turns.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    rest: VecDeque<Files>,
    segment: Option<Segment>,
    /// The checkpoint of the segment that was entered last, until somebody asks.
    checkpoint: Option<PathBuf>,
    turn: Turn,
    torn: Option<Torn>,
    /// The segment that was entered last.
    last: Option<PathBuf>,
    /// The number that the next segment has.
    next_number: u32,
    segments: u32,
}

impl Reader {
    /// Begins at the checkpoint of segment `from`, or at the oldest one.
    ///
    /// # Errors
    /// If there is no such checkpoint, or it can't be read.
    pub fn open(folder: &Path, from: Option<u32>) -> Result<(Checkpoint, Self), JournalError> {
        let files = segment::list(folder)?;
        let wanted = |files: &Files| files.checkpoint.is_some() && from.is_none_or(|from| files.number == from);
        let Some(place) = files.iter().position(wanted) else {
            let known: Vec<_> = files.iter().filter(|files| files.checkpoint.is_some()).map(|files| files.number.to_string()).collect();
            let what = from.map_or("no checkpoint".to_owned(), |from| format!("no checkpoint {from}"));
            return Err(JournalError::missing(folder, format!("the journal has {what}; there are: {}", known.join(", "))));
        };
        let checkpoint = checkpoint::read(files[place].checkpoint.as_ref().expect("it has one"))?;
        let reader = Self::after(folder, checkpoint.reach, files.into_iter().skip(place).collect());
        Ok((checkpoint, reader))
    }

    /// Begins at the newest checkpoint that is good. `passed_over` is told of those that are not. `None` if the folder has no journal.
    ///
    /// # Errors
    /// If there is a journal, and no good checkpoint in it.
    pub fn newest(folder: &Path, mut passed_over: impl FnMut(JournalError)) -> Result<Option<(Checkpoint, Self)>, JournalError> {
        let mut files = segment::list(folder)?;
        if files.is_empty() {
            return Ok(None);
        }
        for place in (0..files.len()).rev() {
            let Some(file) = &files[place].checkpoint else { continue };
            match checkpoint::read(file) {
                Ok(checkpoint) => {
                    let reader = Self::after(folder, checkpoint.reach, files.drain(place..).collect());
                    return Ok(Some((checkpoint, reader)));
                }
                Err(error) => passed_over(error),
            }
        }
        Err(JournalError::missing(folder, "the journal has no good checkpoint, so the state that its turns change is not known"))
    }

    fn after(folder: &Path, reach: Reach, rest: VecDeque<Files>) -> Self {
        let next_number = rest.front().map_or(0, |files| files.number);
        let turn = Turn { number: reach.turn, at: reach.at, ..Turn::default() };
        Self { folder: folder.to_owned(), rest, segment: None, checkpoint: None, turn, torn: None, last: None, next_number, segments: 0 }
    }

    /// The next turn, or `None` after the last whole one.
    ///
    /// # Errors
    /// If a segment or turns are missing, or bytes are not what was written.
    pub fn next_turn(&mut self) -> Result<Option<&Turn>, JournalError> {
        loop {
            if self.segment.is_none() {
                let Some(files) = self.rest.pop_front() else { return Ok(None) };
                self.segment = self.enter(&files)?;
            }
            let Some(segment) = &mut self.segment else { continue };
            if segment.next(&mut self.turn)? {
                return Ok(Some(&self.turn));
            }
            if let Some(torn) = segment.torn() {
                if !self.rest.is_empty() {
                    return Err(JournalError::rot(segment.file(), segment.offset(), "it ends within a turn, and another segment follows"));
                }
                self.torn = Some(torn);
            }
            self.segment = None;
        }
    }

    /// The turn that [`Self::next_turn`] has read last.
    pub fn turn(&self) -> &Turn {
        &self.turn
    }

    /// The checkpoint of the segment that the last turn is the first of, asked for once: the state before that turn.
    pub(super) fn checkpoint(&mut self) -> Option<PathBuf> {
        self.checkpoint.take()
    }

    /// What comes after the last whole turn, once [`Self::next_turn`] has said that there is no other.
    pub fn torn(&self) -> Option<&Torn> {
        self.torn.as_ref()
    }

    /// Segments that turns were read from.
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// The file of the last segment that turns were read from.
    pub(super) fn last(&self) -> Option<&Path> {
        self.last.as_deref()
    }

    /// The number that the next segment of the journal has, once all was read.
    pub(super) fn next_number(&self) -> u32 {
        self.next_number
    }

    /// Opens a segment. `None` if it is the last one and nothing whole is in it.
    fn enter(&mut self, files: &Files) -> Result<Option<Segment>, JournalError> {
        let number = files.number;
        if number != self.next_number {
            let missing = format!("{:08}", self.next_number);
            return Err(JournalError::missing(&self.folder, format!("segment {missing} is missing: {number:08} comes after {}", self.turn.number)));
        }
        let is_last = self.rest.is_empty();
        let Some(file) = &files.turns else {
            let why = format!("the turns of segment {number:08} are missing");
            return if is_last { Ok(None) } else { Err(JournalError::missing(&self.folder, why)) };
        };
        let Some(segment) = Segment::open(file)? else {
            if !is_last {
                return Err(JournalError::rot(file, 0, "its beginning is broken, and another segment follows"));
            }
            let bytes = std::fs::metadata(file).map_or(0, |meta| meta.len());
            self.torn = Some(Torn { file: file.clone(), offset: 0, bytes });
            return Ok(None);
        };
        let reach = Reach { turn: self.turn.number, at: self.turn.at };
        if segment.head.after != reach || segment.head.number != number {
            let why = format!("turns are missing: it goes on after turn {}, and before it there are {}", segment.head.after.turn, reach.turn);
            return Err(JournalError::missing(file, why));
        }
        self.last = Some(segment.file().to_owned());
        self.next_number = number + 1;
        self.segments += 1;
        self.checkpoint.clone_from(&files.checkpoint);
        Ok(Some(segment))
    }
}
