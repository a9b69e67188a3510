//! The bodies of cached answers. The core's index says which there are; this only keeps the bytes, within bounds of their own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::gateway::in_flight::CacheKey;
use crate::wire::{Endpoint, Inbound, Relay, replay};

/// An answer as it is kept: in the caller's dialect, with its usage.
#[derive(Debug)]
pub struct Kept {
    /// The body, as it came.
    body: Bytes,
    /// It came as a stream.
    streamed: bool,
    /// It can be made into the other form, or nobody will ask for that.
    turns: bool,
}

impl Kept {
    /// An answer as it came, as a stream or whole, in memory of its own: what came over a connection is a piece of its buffer, several times as
    /// large, and would keep all of it. Where requests for either form may get it (`either`), it is tried whether they can.
    pub fn new(endpoint: Endpoint, body: Bytes, streamed: bool, either: bool) -> Self {
        let turned = || if streamed { replay::as_whole(endpoint, &body) } else { replay::as_stream(endpoint, &body, true) };
        let streams = !matches!(endpoint, Endpoint::Embeddings | Endpoint::CountTokens);
        let turns = !either || !streams || turned().is_some();
        Self { body: Bytes::copy_from_slice(&body), streamed, turns }
    }

    /// Whether [`Self::form`] has it for a request that wants a stream, or does not.
    pub fn has_form(&self, stream: bool) -> bool {
        self.turns || self.streamed == stream
    }

    /// The answer in the form that a request asked for: whole, or as a stream, with usage or without.
    pub fn form(&self, inbound: &Inbound) -> Option<Bytes> {
        match (self.streamed, inbound.stream) {
            (false, false) => Some(self.body.clone()),
            (false, true) => replay::as_stream(inbound.endpoint, &self.body, inbound.include_usage),
            (true, false) => replay::as_whole(inbound.endpoint, &self.body),
            (true, true) => {
                // As it came, but for what this client did not ask for.
                let mut relay = Relay::new(inbound, inbound.endpoint.dialect());
                relay.push(self.body.clone());
                relay.finish();
                let mut out = BytesMut::with_capacity(self.body.len());
                while let Some(bytes) = relay.take() {
                    out.extend_from_slice(&bytes);
                }
                Some(out.freeze())
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::request::Fingerprint;

    fn key(number: u64) -> CacheKey {
        CacheKey(Fingerprint(number, number))
    }

    fn body(length: usize) -> Arc<Kept> {
        Arc::new(Kept::new(Endpoint::ChatCompletions, Bytes::from(vec![b'x'; length]), false, false))
    }

    #[test]
    fn what_is_kept_stays_within_its_bounds_and_the_index_is_told() {
        let mut bodies = Bodies::new(10_000, 4_000);
        let mut forgotten = Vec::new();
        bodies.insert(key(0), body(4_001), |key| forgotten.push(key));
        assert_eq!(forgotten, [key(0)], "too large to be kept");
        for number in 1..=4 {
            bodies.insert(key(number), body(3_000), |key| forgotten.push(key));
            assert!(bodies.bytes() <= 10_000);
        }
        assert_eq!(forgotten, [key(0), key(1)], "the oldest goes");
        assert!(bodies.get(key(1)).is_none() && bodies.get(key(2)).is_some() && bodies.get(key(4)).is_some());
        bodies.remove(key(2));
        bodies.insert(key(2), body(3_000), |key| forgotten.push(key));
        bodies.insert(key(5), body(3_000), |key| forgotten.push(key));
        assert_eq!(forgotten, [key(0), key(1), key(3)], "what was put back is young again");
    }

    #[test]
    fn an_answer_does_not_keep_the_buffer_that_it_came_in() {
        let buffer = Bytes::from(vec![b'x'; 8192]);
        let kept = Kept::new(Endpoint::ChatCompletions, buffer.slice(..100), false, false);
        assert_eq!(kept.body, vec![b'x'; 100]);
        assert!(buffer.is_unique(), "no part of it is kept");
    }

    #[test]
    fn answers_that_come_and_go_leave_nothing_behind() {
        let mut bodies = Bodies::new(10_000, 4_000);
        for number in 0..10_000 {
            bodies.insert(key(number % 7), body(10), |_| panic!("there is room"));
            bodies.remove(key((number + 3) % 7));
        }
        assert!(bodies.order.len() < 200, "{}", bodies.order.len());
        (0..7).for_each(|number| bodies.remove(key(number)));
        assert_eq!(bodies.bytes(), 0);
    }
}
