//! The file: who needs a turn written waits for it here, and finds most of the time that somebody else has written it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A journal that is open for writing.
#[derive(Debug)]
pub struct Log {
    file: Mutex<Option<File>>,
    written: AtomicU64,
}

impl Log {
    /// No journal: nothing is kept, and nobody waits.
    pub fn none() -> Self {
        Self { file: Mutex::new(None), written: AtomicU64::new(u64::MAX) }
    }

    /// Opens a journal in `folder`.
    ///
    /// # Errors
    /// If the folder or the file can't be made.
    pub fn create(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let file = File::create_new(folder.join("00000000.journal"))?;
        Ok(Self { file: Mutex::new(Some(file)), written: AtomicU64::new(0) })
    }

    /// Makes sure that `turn` is written. `take` locks the gateway briefly and takes what its buffer has.
    ///
    /// # Errors
    /// If it can't be written; the call that waits for it must not leave then.
    pub fn commit(&self, turn: u64, take: impl FnOnce() -> (Vec<u8>, u64)) -> io::Result<()> {
        if self.written.load(Ordering::Acquire) >= turn {
            return Ok(());
        }
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.written.load(Ordering::Acquire) >= turn {
            return Ok(());
        }
        let (bytes, last) = take();
        if let Some(file) = &mut *file {
            file.write_all(&bytes)?;
        }
        self.written.store(last, Ordering::Release);
        Ok(())
    }
}
