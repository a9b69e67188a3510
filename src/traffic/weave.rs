//! Batches woven from rows of other batches, with names of their own. Decides nothing about a row but which id its names have.

use super::trace::{Batch, NameId, Names, Row, Slice};
use crate::gateway::id::Registry;

/// A kind of name: its place among the registries of [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    Key,
    Team,
    EndUser,
    Session,
    Tag,
    Deployment,
}

impl Kind {
    /// In the order of the kinds of [`super::trace::FirstSeen`].
    const ALL: [Self; 7] = [Self::Model, Self::Key, Self::Team, Self::EndUser, Self::Session, Self::Tag, Self::Deployment];
}

/// The batch being made, and the names in all batches so far: only those that a row has.
#[derive(Debug, Default)]
pub(super) struct Weaver {
    names: Names,
    known: [usize; 7],
    batch: Batch,
}

/// The names of one stream that rows are taken from, and what they are called where they go.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    names: Names,
    lanes: Vec<Lane>,
}

/// One way to rename a stream's names; several where its rows go out several times.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Put behind the names of these kinds.
    suffixes: [String; 7],
    ids: [Vec<Option<NameId>>; 7],
}

/// The ids of a list of names, each looked up once, and only when a row has it.
#[derive(Debug, Default)]
pub(super) struct Interned(Vec<Option<NameId>>);

impl Interned {
    /// The id of `names[index]`; always to be asked with the same names.
    #[inline]
    pub(super) fn id(&mut self, weaver: &mut Weaver, kind: Kind, names: &[String], index: usize) -> NameId {
        if self.0.is_empty() {
            self.0.resize(names.len(), None);
        }
        *self.0[index].get_or_insert_with(|| weaver.intern(kind, &names[index]))
    }
}

impl Lane {
    /// Puts `suffix` behind all names of a kind.
    pub(super) fn add_suffix(&mut self, kind: Kind, suffix: &str) {
        self.suffixes[kind as usize].push_str(suffix);
    }
}

impl Incoming {
    /// A stream whose rows go out in these ways.
    pub(super) fn new(lanes: Vec<Lane>) -> Self {
        Self { names: Names::default(), lanes }
    }

    /// A stream that keeps its names.
    pub(super) fn unchanged() -> Self {
        Self::new(vec![Lane::default()])
    }

    /// Takes in the names of the stream's next batch.
    pub(super) fn learn(&mut self, batch: &Batch) {
        self.names.learn(&batch.first_seen);
    }

    /// A name of a row that was learnt.
    pub(super) fn name(&self, kind: Kind, id: NameId) -> &str {
        registry(&self.names, kind).name(id.number())
    }
}

impl Weaver {
    /// Adds a row of `from`, a batch that `incoming` has learnt, under the names of lane `lane`; gives it, to be changed.
    pub(super) fn push(&mut self, incoming: &mut Incoming, lane: usize, from: &Batch, row: &Row) -> &mut Row {
        self.batch.push(from, row);
        let Incoming { names, lanes } = incoming;
        let lane = &mut lanes[lane];
        let registries = &mut self.names;
        self.batch.rename_last(|kind, id| {
            let kind = Kind::ALL[kind];
            let ids = &mut lane.ids[kind as usize];
            if ids.len() <= id.index() {
                ids.resize(id.index() + 1, None);
            }
            *ids[id.index()].get_or_insert_with(|| {
                let (name, suffix) = (registry(names, kind).name(id.number()), lane.suffixes[kind as usize].as_str());
                let registry = registry_mut(registries, kind);
                NameId::new(if suffix.is_empty() { registry.intern(name) } else { registry.intern(&format!("{name}{suffix}")) })
            })
        });
        self.last_row()
    }

    /// Adds a row that was made here, with its blocks.
    pub(super) fn add(&mut self, mut row: Row, blocks: impl Iterator<Item = u64>) {
        row.prefix = self.blocks(blocks);
        self.batch.rows.push(row);
    }

    /// Gives the last row other blocks.
    pub(super) fn replace_blocks(&mut self, blocks: impl Iterator<Item = u64>) {
        let prefix = self.blocks(blocks);
        self.last_row().prefix = prefix;
    }

    /// Changes the blocks of the last row one by one.
    pub(super) fn change_blocks(&mut self, change: impl Fn(u64) -> u64) {
        let Slice { start, end } = self.last_row().prefix;
        self.batch.blocks[start as usize..end as usize].iter_mut().for_each(|block| *block = change(*block));
    }

    /// The row that was added last.
    ///
    /// # Panics
    /// If there is none in the batch being made.
    pub(super) fn last_row(&mut self) -> &mut Row {
        self.batch.rows.last_mut().expect("a row was added")
    }

    /// The blocks of a row of the batch being made.
    pub(super) fn blocks_of(&self, row: &Row) -> &[u64] {
        self.batch.blocks(row)
    }

    /// The id of a name in the batches that are made, which is new if no row has had it.
    pub(super) fn intern(&mut self, kind: Kind, name: &str) -> NameId {
        NameId::new(registry_mut(&mut self.names, kind).intern(name))
    }

    /// Whether the next row belongs in another batch.
    pub(super) fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// The rows so far as a batch, if there are any.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.batch.rows.is_empty() {
            return None;
        }
        self.batch.first_seen = self.names.since(&mut self.known);
        Some(std::mem::take(&mut self.batch))
    }

    fn blocks(&mut self, blocks: impl Iterator<Item = u64>) -> Slice {
        let place = |batch: &Batch| u32::try_from(batch.blocks.len()).expect("a batch is cut before 2^32 blocks");
        let start = place(&self.batch);
        self.batch.blocks.extend(blocks);
        Slice { start, end: place(&self.batch) }
    }
}

fn registry(names: &Names, kind: Kind) -> &Registry {
    match kind {
        Kind::Model => &names.models,
        Kind::Key => &names.keys,
        Kind::Team => &names.teams,
        Kind::EndUser => &names.end_users,
        Kind::Session => &names.sessions,
        Kind::Tag => &names.tags,
        Kind::Deployment => &names.deployments,
    }
}

fn registry_mut(names: &mut Names, kind: Kind) -> &mut Registry {
    match kind {
        Kind::Model => &mut names.models,
        Kind::Key => &mut names.keys,
        Kind::Team => &mut names.teams,
        Kind::EndUser => &mut names.end_users,
        Kind::Session => &mut names.sessions,
        Kind::Tag => &mut names.tags,
        Kind::Deployment => &mut names.deployments,
    }
}
