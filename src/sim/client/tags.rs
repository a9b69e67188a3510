//! What requests of the traffic are tagged with, as numbers: equal lists of tags have one, so that a request in flight carries one number. Knows no
//! gateway and no report.

use crate::gateway::id::Map;
use crate::traffic::trace::{Batch, NameId, Row};

/// The lists of tags that rows have, in the order of their first appearance.
#[derive(Debug, Default)]
pub(super) struct TagLists {
    names: Vec<String>,
    numbers: Map<Vec<NameId>, NameId>,
    /// Of the batch that is being run: the number of a row's list, at the place where its tags begin.
    of_batch: Vec<Option<NameId>>,
}

impl TagLists {
    /// Learns the tags of a batch, which follows those of the batch before. Tells of each list that is new: its number, and its tags.
    pub(super) fn learn(&mut self, batch: &Batch, mut tell: impl FnMut(NameId, &[&str])) {
        self.names.extend(batch.first_seen.tags.iter().cloned());
        self.of_batch.clear();
        if !batch.has_tags() {
            return;
        }
        for row in batch.rows.iter().filter(|row| !row.tags.is_empty()) {
            let tags = batch.tags(row);
            let number = self.numbers.get(tags).copied().unwrap_or_else(|| {
                let number = NameId::new(u32::try_from(self.numbers.len()).expect("fewer than 2^32 lists of tags"));
                self.numbers.insert(tags.to_vec(), number);
                let names: Vec<&str> = tags.iter().map(|tag| self.names[tag.index()].as_str()).collect();
                tell(number, &names);
                number
            });
            let place = row.tags.start as usize;
            self.of_batch.resize(self.of_batch.len().max(place + 1), None);
            self.of_batch[place] = Some(number);
        }
    }

    /// The number of the tags of a row of the batch that was learnt last.
    #[inline]
    pub(super) fn of(&self, row: &Row) -> Option<NameId> {
        if row.tags.is_empty() { None } else { self.of_batch.get(row.tags.start as usize).copied().flatten() }
    }
}
