//! The files that a configuration was read from, and whether one of them was written since. Reads none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files, each as it was when it was last looked at.
#[derive(Debug, Default)]
pub struct Watched(BTreeMap<PathBuf, Option<Stamp>>);

/// When a file was last written, and its bytes.
type Stamp = (SystemTime, u64);

impl Watched {
    /// These files, as they are now.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut watched = Self::default();
        watched.also(files);
        watched
    }

    /// Looks at these files, too, from now on.
    pub fn also(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        for file in files {
            self.0.entry(file).or_insert_with_key(|file| stamp(file));
        }
    }

    /// Looks at these files only. Those that it knew are as they were.
    pub fn only(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let mut before = std::mem::take(&mut self.0);
        self.0 =
            files.into_iter().map(|file| (before.remove(&file).unwrap_or_else(|| stamp(&file)), file)).map(|(seen, file)| (file, seen)).collect();
    }

    /// Whether one was written since it was last looked at. One that is gone is on its way back: editors write anew and rename.
    pub fn have_changed(&mut self) -> bool {
        let mut have_changed = false;
        for (file, seen) in &mut self.0 {
            let now = stamp(file);
            if now.is_some() && now != *seen {
                (*seen, have_changed) = (now, true);
            }
        }
        have_changed
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_written_has_changed_once_and_one_that_is_gone_has_not() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other, third] = ["one", "other", "third"].map(|name| folder.path().join(name));
        fs::write(&one, "1").unwrap();
        let mut watched = Watched::new([one.clone(), other.clone()]);
        assert!(!watched.have_changed());
        fs::write(&one, "22").unwrap();
        assert!(watched.have_changed() && !watched.have_changed());
        fs::remove_file(&one).unwrap();
        assert!(!watched.have_changed());
        fs::write(&other, "1").unwrap();
        assert!(watched.have_changed(), "it was not there before");
        fs::write(&one, "333").unwrap();
        assert!(watched.have_changed(), "it is back");

        fs::write(&other, "22").unwrap();
        watched.only([other.clone()]);
        assert!(watched.have_changed(), "what was written before nobody looked is seen");
        fs::write(&one, "4444").unwrap();
        assert!(!watched.have_changed(), "nobody asks for it any more");
        watched.also([third.clone()]);
        fs::write(&third, "1").unwrap();
        assert!(watched.have_changed());
    }
}
