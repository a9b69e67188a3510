//! The response cache's key and index. Knows sizes and identities of answers, never their text.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::ahead::Fetch;
use super::id::{DeploymentId, KeyId, TeamId};
use super::in_flight::{CacheKey, Hit};
use super::plan::{CachePolicy, CacheScope};
use super::rate_card::Usage;
use super::request::{Fingerprint, Request};
use super::time::{Span, Time};

/// Bytes that the index itself needs for an entry; counted against the capacity with the answer.
const ENTRY_BYTES: u64 = 96;
/// Bytes of an answer's JSON around its text, and for each output token (about four characters of text).
const ANSWER_BYTES: u64 = 400;
const TOKEN_BYTES: u64 = 4;

/// The key of a request's answer: content, model asked for, namespace, and whoever may share it.
pub fn key(request: &Request, policy: &CachePolicy, scope: CacheScope, team: Option<TeamId>) -> CacheKey {
    let tenant = match (scope, team) {
        (CacheScope::Shared, _) => 0,
        (CacheScope::Team, Some(team)) => u64::from(team.0) << 2 | 1,
        // A key without a team shares with nobody.
        (CacheScope::Team, None) | (CacheScope::Key, _) => key_number(request.key) << 2 | 2,
    };
    let stream = u64::from(policy.separate_streams && request.stream);
    let Fingerprint(a, b) = request.fingerprint;
    // Two different salts differ in both words, so equal keys mean equal content for equal tenants.
    let salt = mix(mix(policy.namespace, tenant), u64::from(request.model.0) << 1 | stream);
    CacheKey(Fingerprint(a ^ salt, b ^ salt.rotate_left(32)))
}

const fn key_number(key: KeyId) -> u64 {
    key.0 as u64
}

/// A strong mixer of two words (the finaliser of MurmurHash3 over their combination); for a fixed `b` it is a bijection of `a`.
const fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x = (x ^ (x >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x = (x ^ (x >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    x ^ (x >> 33)
}

/// The index of stored answers. The oldest goes first, but one that was used since it was last looked at gets a second chance: close to least
/// recently used, and a hit writes nothing but its own entry.
///
/// Answers stand in a queue in the order in which they came. A look-up reads one bucket, which is one line of the processor's cache; so does
/// storing; and what leaves the queue is not taken out of its bucket: a place whose number is no longer in the queue is free. With a million
/// answers, each line more would be felt in the time of every simulated request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Cache {
    bytes_max: u64,
    bytes: u64,
    len: usize,
    /// So many as `table` says: a power of two of them, or none. A frozen copy has none.
    buckets: Vec<Bucket>,
    table: usize,
    /// The queue, page by page: the first has the front; what has left it becomes the last. So the queue grows without being copied, and a snapshot
    /// shares the pages that do not change after it.
    pages: VecDeque<Page>,
    /// The number of the front of the queue; those behind it count up.
    front: u32,
    /// How many stand in the queue.
    queued: u32,
    /// The keys of answers that went, since somebody asked for them, and last took them.
    dropped: Option<Vec<CacheKey>>,
}

/// A part of the queue.
#[derive(Debug, Clone)]
struct Page {
    answers: Arc<[Entry]>,
    /// Which of them were used since they were last looked at, as bits: a hit writes nothing else, and needs no page of its own for it.
    used: [u64; (PAGE / 64) as usize],
}

/// An answer that is kept.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[repr(align(64))]
struct Entry {
    key: CacheKey,
    hit: Hit,
    /// Its place was taken, or it has expired: it only waits to leave the queue, and counts no bytes.
    gone: bool,
    expires: Time,
}

/// Where the answers with a hash stand: eight to a line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket {
    places: [Place; PLACES],
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    hash: u32,
    number: u32,
}

const PLACES: usize = 8;

/// Answers in a page of the queue; a power of two, so that pages go on evenly where the numbers start over.
const PAGE: u32 = 512;

/// Answers for each bucket on average at most. When all eight places of a bucket are taken, the oldest answer there goes before its time:
/// with two on average, that is one bucket in four thousand (Poisson).
const ANSWERS_PER_BUCKET: usize = 2;

impl Cache {
    /// An empty cache that holds answers of at most `bytes_max` bytes in all.
    pub fn new(bytes_max: u64) -> Self {
        // Number 0 is never in the queue of a young cache, so that an empty place is a free one.
        Self { bytes_max, bytes: 0, len: 0, buckets: Vec::new(), table: 0, pages: VecDeque::new(), front: 1, queued: 0, dropped: None }
    }

    /// Whether the keys of answers that go are noted from now on.
    pub(super) fn watch(&mut self, on: bool) {
        self.dropped = on.then(Vec::new);
    }

    /// The keys of answers that have gone since they were last taken: made room for others, expired, or not kept at all. Those that
    /// another under the same key has replaced are not among them.
    pub(super) fn take_dropped(&mut self) -> impl Iterator<Item = CacheKey> {
        self.dropped.iter_mut().flat_map(|dropped| dropped.drain(..))
    }

    /// Forgets the answer under `key`. Says whether there was one.
    pub(super) fn forget(&mut self, key: CacheKey) -> bool {
        let found = self.find(key);
        if let Some(number) = found {
            self.give_up(number);
        }
        found.is_some()
    }

    /// Forgets all answers.
    pub(super) fn clear(&mut self) {
        *self = Self { dropped: self.dropped.take(), ..Self::new(self.bytes_max) };
    }

    /// A copy for a snapshot: it shares the answers, and is not to be asked before it is thawed.
    pub(super) fn frozen(&self) -> Self {
        Self { buckets: Vec::new(), pages: self.pages.clone(), dropped: None, ..*self }
    }

    /// Makes anew what a frozen copy has not. What is decided from then on is the same: what has been put out of a full bucket is gone, and older
    /// than all that is left there, so that it is put out again before anything else.
    pub(super) fn thaw(&mut self) {
        if self.buckets.len() != self.table {
            self.buckets = vec![Bucket::default(); self.table];
            for number in self.numbers() {
                self.put_down(Place { hash: hash(self.entry(number).key), number });
            }
        }
    }

    /// Changes the capacity; what does not fit any more goes.
    pub fn resize(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
        self.make_room(0);
    }

    /// The answer under `key`, if there is one that has not expired. With `sliding`, it lives on for so long from now.
    #[inline]
    pub fn get(&mut self, key: CacheKey, now: Time, sliding: Option<Span>) -> Option<Hit> {
        let number = self.find(key)?;
        let Entry { hit, expires, .. } = *self.entry(number);
        // Inclusive: an answer stored with a ttl of one hour is still good at one hour.
        if now > expires {
            self.give_up(number);
            self.note_dropped(key);
            return None;
        }
        if let Some(ttl) = sliding {
            self.entry_mut(number).expires = now + ttl;
        }
        self.set_used(number, true);
        Some(hit)
    }

    /// Keeps an answer. One that is larger than the whole cache is not kept; an older one under the same key is replaced.
    pub fn put(&mut self, key: CacheKey, now: Time, ttl: Span, hit: Hit) {
        let size = bytes_of(hit);
        if size > self.bytes_max || ttl == Span::ZERO {
            if self.dropped.is_some() && self.find(key).is_none() {
                self.note_dropped(key);
            }
            return;
        }
        if let Some(number) = self.find(key) {
            self.give_up(number);
        }
        while self.oldest().is_some_and(|entry| entry.gone || now > entry.expires) {
            if let Some((entry, _)) = self.leave() {
                self.note_dropped(entry.key);
            }
        }
        self.make_room(size);
        self.enter(Entry { key, hit, gone: false, expires: now + ttl });
    }

    /// Fetches what a look-up of `key` reads first.
    #[inline]
    pub(super) fn fetch_bucket(&self, key: CacheKey, fetch: &impl Fetch) {
        if let Some(index) = self.bucket(hash(key)) {
            fetch.fetch(&self.buckets[index]);
        }
    }

    /// Fetches what a look-up of `key` reads then.
    #[inline]
    pub(super) fn fetch_answer(&self, key: CacheKey, fetch: &impl Fetch) {
        let hash = hash(key);
        let Some(bucket) = self.bucket(hash).map(|index| &self.buckets[index]) else { return };
        if let Some(place) = bucket.places.iter().find(|place| place.hash == hash && self.is_queued(place.number)) {
            fetch.fetch(self.entry(place.number));
        }
    }

    /// Fetches the two ends of the queue, which the next answer that is stored changes.
    #[inline]
    pub(super) fn fetch_ends(&self, fetch: &impl Fetch) {
        for number in [self.front, self.front.wrapping_add(self.queued)] {
            if let Some(page) = self.pages.get(self.page(number)) {
                fetch.fetch(&page.answers[(number % PAGE) as usize]);
            }
        }
    }

    /// The numbers of all that is in the queue, from the oldest to the newest.
    fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        let front = self.front;
        (0..self.queued).map(move |place| front.wrapping_add(place))
    }

    /// Answers kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes kept, as the capacity counts them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of the answer under `key`.
    #[inline]
    fn find(&self, key: CacheKey) -> Option<u32> {
        let hash = hash(key);
        let bucket = &self.buckets[self.bucket(hash)?];
        let is_it = |number: &u32| {
            self.is_queued(*number) && {
                let entry = self.entry(*number);
                entry.key == key && !entry.gone
            }
        };
        bucket.places.iter().filter(|place| place.hash == hash).map(|place| place.number).find(is_it)
    }

    /// Lets the oldest go until `size` more bytes fit. Each entry gets its second chance once, so this ends.
    fn make_room(&mut self, size: u64) {
        while self.bytes + size > self.bytes_max {
            match self.leave() {
                Some((entry, true)) => self.enter(entry),
                Some((entry, false)) => self.note_dropped(entry.key),
                None => {}
            }
        }
    }

    /// The answer at the front of the queue, be it gone or not.
    #[inline]
    fn oldest(&self) -> Option<&Entry> {
        (self.queued > 0).then(|| self.entry(self.front))
    }

    /// The answer at the front leaves the queue; returned if it was still good, and whether it was used.
    fn leave(&mut self) -> Option<(Entry, bool)> {
        let entry = *self.oldest()?;
        let was_used = self.is_used(self.front);
        self.front = self.front.wrapping_add(1);
        self.queued -= 1;
        if self.front.is_multiple_of(PAGE) {
            self.pages.rotate_left(1);
        }
        if entry.gone {
            return None;
        }
        self.bytes -= bytes_of(entry.hit);
        self.len -= 1;
        Some((entry, was_used))
    }

    /// An answer enters the queue at its back, and the table.
    fn enter(&mut self, entry: Entry) {
        if self.queued as usize >= self.buckets.len() * ANSWERS_PER_BUCKET {
            self.grow();
        }
        let number = self.line_up(entry);
        self.put_down(Place { hash: hash(entry.key), number });
    }

    /// An answer, be it gone or not, is the last in the queue from now on, under the number returned.
    fn line_up(&mut self, entry: Entry) -> u32 {
        let number = self.front.wrapping_add(self.queued);
        if self.page(number) == self.pages.len() {
            self.pages.push_back(Page { answers: vec![Entry::NONE; PAGE as usize].into(), used: Default::default() });
        }
        if !entry.gone {
            self.bytes += bytes_of(entry.hit);
            self.len += 1;
        }
        self.queued += 1;
        *self.entry_mut(number) = entry;
        self.set_used(number, false);
        number
    }

    /// Puts an answer that is in the queue into the table.
    fn put_down(&mut self, place: Place) {
        let index = self.bucket(place.hash).expect("there is a table");
        let free = self.free_place(index);
        self.buckets[index].places[free] = place;
    }

    /// A place of the bucket that nothing stands in; the oldest answer there goes if it must.
    fn free_place(&mut self, index: usize) -> usize {
        let mut oldest = (u32::MAX, 0);
        for place in 0..PLACES {
            let number = self.buckets[index].places[place].number;
            if !self.is_queued(number) {
                return place;
            }
            oldest = oldest.min((number.wrapping_sub(self.front), place));
        }
        let number = self.front.wrapping_add(oldest.0);
        if !self.entry(number).gone {
            self.note_dropped(self.entry(number).key);
            self.give_up(number);
        }
        oldest.1
    }

    #[inline]
    fn note_dropped(&mut self, key: CacheKey) {
        if let Some(dropped) = &mut self.dropped {
            dropped.push(key);
        }
    }

    /// An answer is no longer kept, though it still stands in the queue.
    fn give_up(&mut self, number: u32) {
        let entry = self.entry_mut(number);
        entry.gone = true;
        let bytes = bytes_of(entry.hit);
        self.bytes -= bytes;
        self.len -= 1;
    }

    #[inline]
    fn is_queued(&self, number: u32) -> bool {
        number.wrapping_sub(self.front) < self.queued
    }

    #[inline]
    fn entry(&self, number: u32) -> &Entry {
        &self.pages[self.page(number)].answers[(number % PAGE) as usize]
    }

    #[inline]
    fn entry_mut(&mut self, number: u32) -> &mut Entry {
        let page = self.page(number);
        &mut Arc::make_mut(&mut self.pages[page].answers)[(number % PAGE) as usize]
    }

    #[inline]
    fn is_used(&self, number: u32) -> bool {
        let place = number % PAGE;
        self.pages[self.page(number)].used[(place / 64) as usize] >> (place % 64) & 1 == 1
    }

    #[inline]
    fn set_used(&mut self, number: u32, is_used: bool) {
        let (page, place) = (self.page(number), number % PAGE);
        let bits = &mut self.pages[page].used[(place / 64) as usize];
        *bits = *bits & !(1 << (place % 64)) | u64::from(is_used) << (place % 64);
    }

    /// Which of the pages `number` is on.
    #[inline]
    fn page(&self, number: u32) -> usize {
        (number.wrapping_sub(self.front - self.front % PAGE) / PAGE) as usize
    }

    #[inline]
    fn bucket(&self, hash: u32) -> Option<usize> {
        self.buckets.len().checked_sub(1).map(|mask| hash as usize & mask)
    }

    /// Makes the table twice as long.
    fn grow(&mut self) {
        self.table = (self.table * 2).max(16);
        for bucket in core::mem::replace(&mut self.buckets, vec![Bucket::default(); self.table]) {
            for place in bucket.places {
                if self.is_queued(place.number) {
                    self.put_down(place);
                }
            }
        }
    }
}

impl Entry {
    /// Stands where no answer does.
    const NONE: Self =
        Self { key: CacheKey(Fingerprint(0, 0)), hit: Hit { usage: Usage::plain(0, 0), deployment: DeploymentId(0) }, gone: true, expires: Time(0) };
}

/// The cache as data: the queue, and how long the table is that is made anew from it.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    bytes_max: u64,
    buckets: u32,
    front: u32,
    /// Each with whether it was used. Those that are gone too: they are counted where the table grows, and where a bucket is full.
    entries: Vec<(Entry, bool)>,
}

impl From<Stored> for Cache {
    fn from(Stored { bytes_max, buckets, front, entries }: Stored) -> Self {
        let mut cache = Self { table: buckets as usize, front, ..Self::new(bytes_max) };
        for (entry, is_used) in entries {
            let number = cache.line_up(entry);
            cache.set_used(number, is_used);
        }
        cache.thaw();
        cache
    }
}

impl From<Cache> for Stored {
    fn from(cache: Cache) -> Self {
        let entries = cache.numbers().map(|number| (*cache.entry(number), cache.is_used(number))).collect();
        Self { bytes_max: cache.bytes_max, buckets: cache.table as u32, front: cache.front, entries }
    }
}

/// Both words count: traffic without identities has one first word for all its requests.
#[inline]
pub(super) const fn hash(key: CacheKey) -> u32 {
    ((key.0.0 ^ key.0.1.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

const fn bytes_of(hit: Hit) -> u64 {
    ENTRY_BYTES + ANSWER_BYTES + TOKEN_BYTES * hit.usage.output as u64
}

#[cfg(test)]
mod tests;
