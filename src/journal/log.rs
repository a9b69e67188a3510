//! The file that is written: who needs a turn written waits for it here, and finds most of the time that somebody else has written it. Decides
//! when a segment is full, and what is on the disk when; knows no fact.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{self, Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::buffer::Reach;
use super::checkpoint::{self, Draft};
use super::error::JournalError;
use super::{keep, segment};
use crate::gateway::time::{Span, Time};

/// When a turn counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once the machine has it: it outlives the process.
    #[default]
    Process,
    /// The same, and the disk has it within a second or so.
    Power,
    /// Once the disk has it.
    Strict,
}

/// How a journal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// When a turn counts as written.
    pub durability: Durability,
    /// A segment that has so many bytes is closed, and a checkpoint taken. What a start has to read is as long at most.
    pub segment_bytes: u64,
    /// A segment that is so old is closed.
    pub segment_age: Duration,
    /// Segments whose last turn is older than this are removed; `None` keeps all.
    pub retention: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { durability: Durability::Process, segment_bytes: 16 << 20, segment_age: Duration::from_secs(3600), retention: None }
    }
}

/// A journal that is open for writing, or none.
#[derive(Debug)]
pub struct Log {
    settings: Settings,
    written: AtomicU64,
    fails: AtomicBool,
    /// Why nothing is written any more: the disk has failed to keep what was.
    lost: OnceLock<String>,
    /// A segment is being closed, so who commits may have to wait for the disk.
    closes: AtomicBool,
    open: Option<Open>,
    /// Held by a test that has the disk take its time.
    #[cfg(test)]
    pub(crate) disk: Mutex<()>,
}

#[derive(Debug)]
struct Open {
    folder: PathBuf,
    /// Held, so that no other process writes here.
    _lock: File,
    writing: Mutex<Writing>,
    /// Whether something was written that the disk may not have.
    unsynced: AtomicBool,
    /// When the last turn before this process was, and when the process went on from there.
    went_on: (Time, Instant),
}

/// The segment that is being written.
#[derive(Debug)]
struct Writing {
    file: Arc<File>,
    number: u32,
    /// Bytes in it that are sure.
    length: u64,
    since: Instant,
    /// Whether the state before it is on the disk.
    has_checkpoint: bool,
    /// What could not be written when it was to be, and what was taken since.
    pending: Vec<u8>,
    /// How far the journal reaches with what is pending.
    reach: Reach,
    /// Empty; given for what the gateway's buffer has.
    spare: Vec<u8>,
}

impl Log {
    /// No journal: nothing is kept, and nobody waits.
    pub fn none() -> Self {
        Self::of(Settings::default(), u64::MAX, None)
    }

    fn of(settings: Settings, written: u64, open: Option<Open>) -> Self {
        let (fails, lost, closes) = (AtomicBool::new(false), OnceLock::new(), AtomicBool::new(false));
        Self {
            settings,
            written: AtomicU64::new(written),
            fails,
            lost,
            closes,
            open,
            #[cfg(test)]
            disk: Mutex::new(()),
        }
    }

    /// Begins a segment in `folder`, which must be one that `lock` was taken for.
    pub(super) fn begin(folder: &Path, lock: File, settings: Settings, number: u32, after: Reach, has_checkpoint: bool) -> io::Result<Self> {
        let (file, length) = create(folder, number, after)?;
        let writing = Writing { file, number, length, since: Instant::now(), has_checkpoint, pending: Vec::new(), reach: after, spare: Vec::new() };
        let went_on = (after.at, Instant::now());
        let open = Open { folder: folder.to_owned(), _lock: lock, writing: Mutex::new(writing), unsynced: AtomicBool::new(true), went_on };
        Ok(Self::of(settings, after.turn, Some(open)))
    }

    /// Makes sure that `turn` is written, as safely as the durability asks. `give` locks the gateway briefly and has its buffer give what it has
    /// ([`super::Buffer::give`]). Blocks for as long as a write takes.
    ///
    /// # Errors
    /// If it can't be written; the call that waits for it must not leave then. The next commit tries again, with what was taken; but once the disk
    /// has failed to keep what it had taken, every commit fails: see [`Self::lost`].
    #[inline]
    pub fn commit(&self, turn: u64, give: impl FnOnce(&mut Vec<u8>) -> Reach) -> io::Result<()> {
        if self.has(turn) {
            return Ok(());
        }
        let Some(open) = &self.open else { return Ok(()) };
        let writing = open.writing();
        self.commit_to(open, writing, turn, give)
    }

    /// As [`Self::commit`], where that does not wait for anybody else: `None` if another has the file, and may have it for as long as a disk takes.
    pub fn try_commit(&self, turn: u64, give: impl FnOnce(&mut Vec<u8>) -> Reach) -> Option<io::Result<()>> {
        if self.has(turn) {
            return Some(Ok(()));
        }
        let Some(open) = &self.open else { return Some(Ok(())) };
        let writing = match open.writing.try_lock() {
            Ok(writing) => writing,
            Err(sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(sync::TryLockError::WouldBlock) => return None,
        };
        Some(self.commit_to(open, writing, turn, give))
    }

    fn commit_to(&self, open: &Open, mut writing: MutexGuard<'_, Writing>, turn: u64, give: impl FnOnce(&mut Vec<u8>) -> Reach) -> io::Result<()> {
        if self.has(turn) {
            return Ok(());
        }
        writing.take(give);
        self.flush(open, &mut writing)
    }

    /// Whether a turn is written, as safely as the durability asks.
    #[inline]
    pub fn has(&self, turn: u64) -> bool {
        self.written.load(Ordering::Acquire) >= turn
    }

    /// Whether every commit takes as long as a disk does.
    pub fn waits_for_disk(&self) -> bool {
        self.settings.durability == Durability::Strict
    }

    /// Whether a segment is being closed: who has the file then may have it for as long as a disk takes.
    pub fn is_closing(&self) -> bool {
        self.closes.load(Ordering::Relaxed)
    }

    /// Why nothing is written any more, if it is so: a disk has failed to keep what it had taken. What of it is there is known once another process
    /// reads it: the system may have forgotten the rest, and say that all is well when it is asked again.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Whether the last write failed: nobody should be sent here until one goes well.
    pub fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }

    /// Whether the segment is to be closed.
    pub fn is_due(&self) -> bool {
        let Some(open) = &self.open else { return false };
        let writing = open.writing();
        let is_old = writing.since.elapsed() >= self.settings.segment_age && writing.reach.turn > 0;
        !writing.has_checkpoint || writing.length >= self.settings.segment_bytes || is_old
    }

    /// Sees to it that the disk has what was written, where the durability promises that; to be called once a second.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&self) -> io::Result<()> {
        if self.settings.durability == Durability::Power { self.sync_now() } else { Ok(()) }
    }

    /// Closes the segment and begins the next one with a checkpoint. `freeze` locks the gateway, has its buffer give what it has, and drafts the
    /// state. Everything that takes long happens while turns go on: encoding the checkpoint, compressing what is closed, removing what is old. What
    /// is old is told by `wall` or by the journal, whichever is earlier: a clock that is ahead must not delete what was written a moment ago.
    ///
    /// # Errors
    /// If anything can't be written. The journal is good all the same: what has no checkpoint is read from the one before.
    pub fn rotate(&self, wall: Time, freeze: impl FnOnce(&mut Vec<u8>) -> Draft) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        self.closes.store(true, Ordering::Relaxed);
        let next = self.begin_next(open, freeze);
        self.closes.store(false, Ordering::Relaxed);
        let (number, draft) = next?;
        checkpoint::write(&open.folder, number, &draft)?;
        open.writing().has_checkpoint = true;
        keep::tidy(&open.folder, number, open.journal_time().min(wall), self.settings.retention)
    }

    /// Closes the segment and begins the next one, whose number comes back with the state before it.
    fn begin_next(&self, open: &Open, freeze: impl FnOnce(&mut Vec<u8>) -> Draft) -> io::Result<(u32, Draft)> {
        // Most of it now, so that little is left to be waited for below.
        self.sync_now()?;
        let mut writing = open.writing();
        let mut draft = None;
        writing.take(|bytes| {
            let frozen = freeze(bytes);
            let reach = frozen.reach();
            draft = Some(frozen);
            reach
        });
        let draft = draft.expect("it was drafted above");
        self.flush(open, &mut writing)?;
        // No segment begins before the one before is on the disk: whatever is torn is at the end.
        self.sync_file(&writing.file)?;
        let number = writing.number + 1;
        let (file, length) = create(&open.folder, number, writing.reach)?;
        (writing.file, writing.number, writing.length) = (file, number, length);
        (writing.since, writing.has_checkpoint) = (Instant::now(), false);
        Ok((number, draft))
    }

    /// Writes whatever there is, for an end in good order.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn close(&self, give: impl FnOnce(&mut Vec<u8>) -> Reach) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let mut writing = open.writing();
        writing.take(give);
        self.flush(open, &mut writing)?;
        self.sync_file(&writing.file)
    }

    /// Has it look as while a segment is closed and nobody has the file yet.
    #[cfg(test)]
    pub(crate) fn while_closing<T>(&self, work: impl FnOnce() -> T) -> T {
        self.closes.store(true, Ordering::Relaxed);
        let done = work();
        self.closes.store(false, Ordering::Relaxed);
        done
    }

    /// Puts another file in the place of the one that is written.
    #[cfg(test)]
    pub(crate) fn exchange_file(&self, file: File) -> File {
        let mut writing = self.open.as_ref().expect("it is open").writing();
        let before = std::mem::replace(&mut writing.file, Arc::new(file));
        Arc::into_inner(before).expect("nobody syncs")
    }

    fn flush(&self, open: &Open, writing: &mut Writing) -> io::Result<()> {
        if self.lost().is_some() {
            // It is never written; what is decided from here on can't leave, so it need not be.
            writing.pending.clear();
        }
        let done = self.flush_pending(writing);
        self.fails.store(done.is_err(), Ordering::Relaxed);
        done?;
        open.unsynced.store(true, Ordering::Relaxed);
        self.written.store(writing.reach.turn, Ordering::Release);
        Ok(())
    }

    /// Writes what is pending. After a failure the same bytes go to the same place again, over whatever part of them is there.
    fn flush_pending(&self, writing: &mut Writing) -> io::Result<()> {
        self.check()?;
        if writing.pending.is_empty() {
            return Ok(());
        }
        writing.file.write_all_at(&writing.pending, writing.length)?;
        if self.settings.durability == Durability::Strict {
            self.sync_file(&writing.file)?;
        }
        writing.length += writing.pending.len() as u64;
        writing.pending.clear();
        Ok(())
    }

    /// # Errors
    /// If a disk has failed to keep what was written.
    fn check(&self) -> io::Result<()> {
        self.lost().map_or(Ok(()), |why| Err(io::Error::other(why.to_owned())))
    }

    /// Has the disk keep a file; whoever asks has the lock of writing, so that nobody goes on past a failure.
    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.check()?;
        #[cfg(test)]
        drop(self.disk.lock());
        file.sync_data().or_else(|error| self.lose(&error))
    }

    fn lose(&self, error: &io::Error) -> io::Result<()> {
        let why = || {
            format!(
                "the disk has failed to keep what was written ({error}); what is there is known once gwsim has been started again and has read it"
            )
        };
        self.lost.get_or_init(why);
        self.fails.store(true, Ordering::Relaxed);
        // Nobody is told any more that a turn is written.
        self.written.store(0, Ordering::Release);
        self.check()
    }

    fn sync_now(&self) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        if open.unsynced.swap(false, Ordering::Relaxed) {
            let file = Arc::clone(&open.writing().file);
            // Without the lock: turns are written meanwhile.
            if let Err(error) = file.sync_data() {
                let _writing = open.writing();
                return self.lose(&error);
            }
        }
        self.check()
    }
}

impl Open {
    /// The time by the journal alone: its last turn before this process, and what has passed since, whatever the clock said at the start.
    fn journal_time(&self) -> Time {
        let (last, since) = self.went_on;
        last + Span(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        // What a panic can leave behind here is bytes that are pending, and they still are.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    fn take(&mut self, give: impl FnOnce(&mut Vec<u8>) -> Reach) {
        self.reach = give(&mut self.spare);
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, &mut self.spare);
        } else {
            self.pending.append(&mut self.spare);
        }
    }
}

/// Takes a folder for this process alone.
///
/// # Errors
/// If another process has it, or it can't be made.
pub(super) fn lock(folder: &Path) -> Result<File, JournalError> {
    fs::create_dir_all(folder).map_err(JournalError::io(folder, "make the journal's folder"))?;
    let path = folder.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(JournalError::io(&path, "open it"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Taken(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(JournalError::io(&path, "lock it")(error)),
    }
}

/// Begins a segment: under another name until its beginning is on the disk, so that one that can't be begun is none.
fn create(folder: &Path, number: u32, after: Reach) -> io::Result<(Arc<File>, u64)> {
    let path = segment::turns_path(folder, number);
    let part = path.with_extension("journal.part");
    let begin = || {
        let beginning = segment::beginning(number, after);
        let file = File::create(&part)?;
        file.write_all_at(&beginning, 0)?;
        segment::sync(&file, &path)?;
        fs::rename(&part, &path)?;
        segment::sync_folder(folder)?;
        Ok((Arc::new(file), beginning.len() as u64))
    };
    begin().inspect_err(|_| {
        // Turns go on in the segment before; what is half there would say that they are missing.
        let _ = fs::remove_file(&part);
        let _ = fs::remove_file(&path);
    })
}
