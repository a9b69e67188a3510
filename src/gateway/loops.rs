//! The loop detector's memory: how often a key has sent the same fingerprint lately. Bounded: old repetitions make room for new ones.

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::ahead::Fetch;
use super::id::KeyId;
use super::request::Fingerprint;
use super::time::{Span, Time};

/// Cells of the table. Two loops share one with probability 1/4096; the older one is then forgotten, so the detector
/// can miss a loop for a while but never reports one that is not there.
const CELLS: usize = 4096;

/// Counts of repeated requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Loops {
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cell {
    key: KeyId,
    fingerprint: Fingerprint,
    since: Time,
    count: u32,
}

impl Loops {
    /// Counts one more such request; returns how many there were within `window` of the first of them.
    pub fn count(&mut self, key: KeyId, fingerprint: Fingerprint, now: Time, window: Span) -> u32 {
        if self.cells.is_empty() {
            self.cells = vec![Cell { key: KeyId(0), fingerprint: Fingerprint(0, 0), since: Time(0), count: 0 }; CELLS];
        }
        let cell = &mut self.cells[place(key, fingerprint)];
        let same = cell.count > 0 && cell.key == key && cell.fingerprint == fingerprint && now.since(cell.since) < window;
        if !same {
            *cell = Cell { key, fingerprint, since: now, count: 0 };
        }
        cell.count = cell.count.saturating_add(1);
        cell.count
    }

    /// Fetches the cell that [`Self::count`] will change.
    #[inline]
    pub(super) fn fetch(&self, key: KeyId, fingerprint: Fingerprint, fetch: &impl Fetch) {
        if let Some(cell) = self.cells.get(place(key, fingerprint)) {
            fetch.fetch(cell);
        }
    }
}

#[inline]
const fn place(key: KeyId, fingerprint: Fingerprint) -> usize {
    (fingerprint.0 ^ (key.0 as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)) as usize % CELLS
}
