//! Names of rows that are passed on, numbered anew. Decides that a name which only a removed row had does not exist; knows no rows.
//!
//! `weave` names rows of several streams anew, and must look every name up by its text. Here there is one stream, whose ids tell its names apart:
//! a log of ten million sessions is not hashed and kept a second time.

use crate::traffic::trace::{FirstSeen, NameId};

const KINDS: usize = 7;

/// From the ids of a trace to those of what is left of it: dense, in the order of first appearance there.
#[derive(Debug, Default)]
pub(super) struct Renaming {
    kinds: [Kind; KINDS],
    /// Names given out since the last batch.
    new: FirstSeen,
    has_moved: bool,
}

#[derive(Debug, Default)]
struct Kind {
    names: Vec<String>,
    given: Vec<Option<NameId>>,
    count: u32,
}

impl Renaming {
    /// Learns the names of a batch of the trace.
    pub(super) fn learn(&mut self, seen: &FirstSeen) {
        for (kind, names) in self.kinds.iter_mut().zip(seen.kinds()) {
            kind.names.extend_from_slice(names);
            kind.given.resize(kind.names.len(), None);
        }
    }

    /// Whether every name so far kept its id.
    pub(super) fn is_identity(&self) -> bool {
        !self.has_moved && self.kinds.iter().all(|kind| kind.count as usize == kind.names.len())
    }

    /// Keeps the names of a batch that is passed on as it is.
    pub(super) fn keep(&mut self, seen: &FirstSeen) {
        for (kind, names) in self.kinds.iter_mut().zip(seen.kinds()) {
            for name in names {
                kind.names.push(name.clone());
                kind.given.push(Some(NameId::new(kind.count)));
                kind.count += 1;
            }
        }
    }

    /// The id of a name in what is passed on.
    pub(super) fn rename(&mut self, kind: usize, id: NameId) -> NameId {
        let Kind { names, given, count } = &mut self.kinds[kind];
        if let Some(known) = given[id.index()] {
            return known;
        }
        let new = NameId::new(*count);
        *count += 1;
        given[id.index()] = Some(new);
        self.has_moved |= new != id;
        self.new.kinds_mut()[kind].push(names[id.index()].clone());
        new
    }

    /// The names given out since the last call.
    pub(super) fn take_new(&mut self) -> FirstSeen {
        std::mem::take(&mut self.new)
    }
}
