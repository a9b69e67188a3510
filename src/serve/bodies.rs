//! The bodies of cached answers. The core's index says which there are; this only keeps the bytes, within bounds of their own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::gateway::in_flight::CacheKey;
use crate::wire::Inbound;

/// An answer as it is kept: in the caller's dialect, with its usage.
#[derive(Debug)]
pub struct Kept {
    /// The body, as it came.
    pub body: Bytes,
    /// It came as a stream.
    pub streamed: bool,
}

impl Kept {
    /// The answer in the form that a request asked for: whole, or as a stream.
    pub fn form(&self, inbound: &Inbound) -> Option<Bytes> {
        (inbound.stream == self.streamed).then(|| self.body.clone())
    }
}

/// The bodies of the answers in the index.
#[derive(Debug)]
pub struct Bodies {
    kept: HashMap<CacheKey, (u64, Arc<Kept>)>,
    /// Oldest first; one whose number is no longer in `kept` is gone.
    order: VecDeque<(CacheKey, u64)>,
    next: u64,
    bytes: u64,
    bytes_max: u64,
    body_max: u64,
}

/// What an entry costs beside its bytes: two places in tables and the allocation.
const ENTRY_BYTES: u64 = 200;

impl Bodies {
    /// No bodies yet; at most `bytes_max` in all, and `body_max` each.
    pub fn new(bytes_max: u64, body_max: u64) -> Self {
        Self { kept: HashMap::new(), order: VecDeque::new(), next: 0, bytes: 0, bytes_max, body_max }
    }

    /// Changes the capacity; the next answer that is kept makes room.
    pub fn resize(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    /// Keeps a body, and calls `forget` for each that it does not keep for it: older ones, or this one if it is too large.
    pub fn insert(&mut self, key: CacheKey, body: Arc<Kept>, mut forget: impl FnMut(CacheKey)) {
        self.remove(key);
        let size = size(&body);
        if body.body.len() as u64 > self.body_max || size > self.bytes_max {
            forget(key);
            return;
        }
        while self.bytes + size > self.bytes_max {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.kept.get(&oldest).is_some_and(|(own, _)| *own == number) {
                self.remove(oldest);
                forget(oldest);
            }
        }
        self.bytes += size;
        self.order.push_back((key, self.next));
        self.kept.insert(key, (self.next, body));
        self.next += 1;
        if self.order.len() > 2 * self.kept.len() + 64 {
            self.order.retain(|(key, number)| self.kept.get(key).is_some_and(|(own, _)| own == number));
        }
    }

    /// The body under a key.
    pub fn get(&self, key: CacheKey) -> Option<Arc<Kept>> {
        self.kept.get(&key).map(|(_, body)| body.clone())
    }

    /// Lets a body go.
    pub fn remove(&mut self, key: CacheKey) {
        if let Some((_, body)) = self.kept.remove(&key) {
            self.bytes -= size(&body);
        }
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn size(body: &Kept) -> u64 {
    body.body.len() as u64 + ENTRY_BYTES
}
