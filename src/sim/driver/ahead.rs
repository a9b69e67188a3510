//! Has the processor fetch what the next arrivals and events will need, before their turn. Decides nothing, and knows no more than where things are.
//!
//! A prefetch costs an instruction and does not wait; to read ahead would hold up what comes after it.

use std::slice;

use prefetch_index::prefetch_index;

use super::{Driver, Entry, What};
use crate::gateway::ahead::Fetch;
use crate::gateway::in_flight::CacheKey;
use crate::sim::client::Clients;
use crate::sim::observe::Observer;
use crate::traffic::trace::Row;

/// What has been fetched for the arrivals to come.
#[derive(Default)]
pub(super) struct Arrivals {
    /// The key of the next one's answer in the response cache.
    next: Option<CacheKey>,
}

/// A line of the processor's cache.
#[repr(align(64))]
pub(super) struct Line {
    _bytes: [u8; 64],
}

/// How many rows before its turn a row is fetched: far enough for memory that nothing else keeps near.
const ROWS_AHEAD: usize = 6;

struct Processor;

impl Fetch for Processor {
    #[inline(always)]
    fn fetch<T>(&self, place: &T) {
        prefetch_index(slice::from_ref(place), 0);
    }
}

impl<O: Observer> Driver<O> {
    /// Before the arrival that `rows` come after: the next one's answer may be fetched now, for that after it the line that says where its answer is,
    /// and a row before it is read for that.
    #[inline(always)]
    pub(super) fn fetch_for_arrivals(&self, clients: &Clients, rows: &[Row], arrivals: &mut Arrivals) {
        if let Some(key) = arrivals.next {
            self.gateway.fetch_answer(key, &Processor);
        }
        if let Some(row) = rows.get(ROWS_AHEAD) {
            Processor.fetch(&row.fingerprint);
            Processor.fetch(&row.stream);
        }
        let second = rows.get(1).and_then(|row| self.directory.ahead(clients, row));
        arrivals.next = second.and_then(|request| self.gateway.fetch_for_arrival(&self.variant.plan, &request, &Processor));
    }

    /// Before an event that has just been taken from the queue: what the end of a call will need that is the next event, and the request of that
    /// after it.
    #[inline]
    pub(super) fn fetch_for_events(&self) {
        let [next, second] = self.queue.next_slots();
        if let Some(slot) = second {
            self.entries[slot.index()].fetch();
        }
        if let Some(entry) = next.map(|slot| &self.entries[slot.index()])
            && entry.what == What::Ends
        {
            entry.flight.fetch_for_end(&self.gateway, &Processor);
        }
    }
}

impl Entry {
    #[inline(always)]
    fn fetch(&self) {
        for line in 0..size_of::<Self>() / size_of::<Line>() {
            prefetch_index(&self.lines, line);
        }
    }
}
