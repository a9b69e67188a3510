//! The response cache's key and index, and single flight. Knows sizes and identities of answers, never their text.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::id::{KeyId, RequestId, Slot, TeamId};
use super::in_flight::{CacheKey, Hit, Wake};
use super::plan::{CachePolicy, CacheScope};
use super::request::{Fingerprint, Request};
use super::time::{Span, Time};

/// Bytes that the index itself needs for an entry; counted against the capacity with the answer.
const ENTRY_BYTES: u64 = 96;
/// Bytes of an answer's JSON around its text, and for each output token (about four characters of text).
const ANSWER_BYTES: u64 = 400;
const TOKEN_BYTES: u64 = 4;

const NONE: u32 = u32::MAX;

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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Cache {
    bytes_max: u64,
    bytes: u64,
    table: HashTable<Place>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
}

/// Where the entry of a key is. The hash is kept beside it: neither a key that is not there nor a growing table reads entries.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u32,
    slot: u32,
}

/// One line of the processor's cache: a look-up costs one miss for the table and one for this.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[repr(align(64))]
struct Entry {
    key: CacheKey,
    hit: Hit,
    used: bool,
    expires: Time,
    newer: u32,
    older: u32,
}

impl Cache {
    /// An empty cache that holds answers of at most `bytes_max` bytes in all.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, table: HashTable::new(), entries: Vec::new(), free: Vec::new(), newest: NONE, oldest: NONE }
    }

    /// Changes the capacity; what does not fit any more goes.
    pub fn resize(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
        self.make_room(0);
    }

    /// The answer under `key`, if there is one that has not expired. With `sliding`, it lives on for so long from now.
    #[inline]
    pub fn get(&mut self, key: CacheKey, now: Time, sliding: Option<Span>) -> Option<Hit> {
        let slot = self.find(key)?;
        let entry = &mut self.entries[slot as usize];
        // Inclusive: an answer stored with a ttl of one hour is still good at one hour.
        if now > entry.expires {
            self.remove(slot);
            return None;
        }
        if let Some(ttl) = sliding {
            entry.expires = now + ttl;
        }
        entry.used = true;
        Some(entry.hit)
    }

    /// Reads what a [`Self::get`] of `key` will read, so that a driver that knows what comes can have several such reads under way at one time.
    #[inline]
    pub fn warm(&self, key: CacheKey) -> bool {
        self.find(key).is_some()
    }

    /// Keeps an answer. One that is larger than the whole cache is not kept; an older one under the same key is replaced.
    pub fn put(&mut self, key: CacheKey, now: Time, ttl: Span, hit: Hit) {
        let size = bytes_of(hit);
        if size > self.bytes_max || ttl == Span::ZERO {
            return;
        }
        if let Some(slot) = self.find(key) {
            self.remove(slot);
        }
        self.make_room(size);
        self.insert(Entry { key, hit, used: false, expires: now + ttl, newer: NONE, older: NONE });
    }

    /// Answers kept.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes kept, as the capacity counts them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    #[inline]
    fn find(&self, key: CacheKey) -> Option<u32> {
        let hash = short_hash(key);
        let is_it = |place: &Place| place.hash == hash && self.entries[place.slot as usize].key == key;
        self.table.find(spread(hash), is_it).map(|place| place.slot)
    }

    /// Lets the oldest go until `size` more bytes fit. Each entry gets its second chance once, so this ends.
    fn make_room(&mut self, size: u64) {
        while self.bytes + size > self.bytes_max {
            let slot = self.oldest;
            if core::mem::take(&mut self.entries[slot as usize].used) {
                self.unlink(slot);
                self.link_newest(slot);
            } else {
                self.remove(slot);
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        let slot = if let Some(slot) = self.free.pop() {
            self.entries[slot as usize] = entry;
            slot
        } else {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        };
        let place = Place { hash: short_hash(entry.key), slot };
        self.table.insert_unique(spread(place.hash), place, |place| spread(place.hash));
        self.bytes += bytes_of(entry.hit);
        self.link_newest(slot);
    }

    fn remove(&mut self, slot: u32) {
        let Entry { key, hit, .. } = self.entries[slot as usize];
        self.unlink(slot);
        let found = self.table.find_entry(spread(short_hash(key)), |place| place.slot == slot);
        found.expect("every entry is in the table").remove();
        self.bytes -= bytes_of(hit);
        self.free.push(slot);
    }

    fn unlink(&mut self, slot: u32) {
        let Entry { newer, older, .. } = self.entries[slot as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.entries[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.entries[older as usize].newer = newer,
        }
    }

    fn link_newest(&mut self, slot: u32) {
        let was = self.newest;
        let entry = &mut self.entries[slot as usize];
        (entry.newer, entry.older) = (NONE, was);
        match was {
            NONE => self.oldest = slot,
            was => self.entries[was as usize].newer = slot,
        }
        self.newest = slot;
    }
}

/// The cache as data: entries from the oldest to the newest. The table is made anew from them.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    bytes_max: u64,
    entries: Vec<Entry>,
}

impl From<Stored> for Cache {
    fn from(stored: Stored) -> Self {
        let mut cache = Self::new(stored.bytes_max);
        for entry in stored.entries {
            cache.insert(entry);
        }
        cache
    }
}

impl From<Cache> for Stored {
    fn from(cache: Cache) -> Self {
        let mut entries = Vec::with_capacity(cache.len());
        let mut slot = cache.oldest;
        while slot != NONE {
            entries.push(cache.entries[slot as usize]);
            slot = cache.entries[slot as usize].newer;
        }
        Self { bytes_max: cache.bytes_max, entries }
    }
}

/// A hash that fits beside a slot.
#[inline]
const fn short_hash(key: CacheKey) -> u32 {
    (hash(key) >> 32) as u32
}

/// The table takes its place from the low bits of a hash and its tag from the highest seven.
#[inline]
const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

/// Both words count: traffic without identities has one first word for all its requests.
#[inline]
const fn hash(key: CacheKey) -> u64 {
    let x = (key.0.0 ^ key.0.1.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^ (x >> 32)
}

const fn bytes_of(hit: Hit) -> u64 {
    ENTRY_BYTES + ANSWER_BYTES + TOKEN_BYTES * hit.usage.output as u64
}

/// Identical requests at one time: one leads, the others wait for its answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Option<Flight>>", into = "Vec<Option<Flight>>")]
pub struct Flights {
    flights: Vec<Option<Flight>>,
    free: Vec<u32>,
    table: HashTable<Place>,
}

/// The number of an open flight, known to everyone in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlightId(u32);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Flight {
    key: CacheKey,
    leader: RequestId,
    followers: VecDeque<(Slot, RequestId)>,
}

impl Flights {
    /// Joins the flight under `key`: leads it, or waits for the request named.
    pub fn join(&mut self, key: CacheKey, slot: Slot, request: RequestId) -> (FlightId, Option<RequestId>) {
        let hash = short_hash(key);
        let flights = &mut self.flights;
        let is_it = |place: &Place| place.hash == hash && flights[place.slot as usize].as_ref().is_some_and(|flight| flight.key == key);
        if let Some(slot_of) = self.table.find(spread(hash), is_it).map(|place| place.slot) {
            let flight = flights[slot_of as usize].as_mut().expect("a flight in the table is open");
            flight.followers.push_back((slot, request));
            return (FlightId(slot_of), Some(flight.leader));
        }
        let flight = Some(Flight { key, leader: request, followers: VecDeque::new() });
        let place = if let Some(place) = self.free.pop() {
            flights[place as usize] = flight;
            place
        } else {
            flights.push(flight);
            flights.len() as u32 - 1
        };
        self.index(place, hash);
        (FlightId(place), None)
    }

    /// Whether anybody waits for the leader of a flight.
    pub fn has_followers(&self, id: FlightId) -> bool {
        !self.flight(id).followers.is_empty()
    }

    /// A follower waits no more.
    pub fn leave(&mut self, id: FlightId, request: RequestId) {
        self.flight_mut(id).followers.retain(|(_, follower)| *follower != request);
    }

    /// The leader was answered: so is everybody who waited.
    #[inline]
    pub fn served(&mut self, id: FlightId, hit: Hit, ready: &mut VecDeque<(Slot, Wake)>) {
        let followers = self.land(id).followers;
        if !followers.is_empty() {
            ready.extend(followers.into_iter().map(|(slot, _)| (slot, Wake::Served(hit))));
        }
    }

    /// The leader was not answered: the first who waited leads now.
    pub fn failed(&mut self, id: FlightId, ready: &mut VecDeque<(Slot, Wake)>) {
        let flight = self.flight_mut(id);
        match flight.followers.pop_front() {
            Some((slot, request)) => {
                let after = core::mem::replace(&mut flight.leader, request);
                ready.push_back((slot, Wake::Leads { after }));
            }
            None => {
                self.land(id);
            }
        }
    }

    /// Flights that are open: zero when nothing is in flight.
    pub fn open(&self) -> usize {
        self.table.len()
    }

    /// Forgets all flights: after a crash nobody is there to end them.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Ends a flight.
    fn land(&mut self, id: FlightId) -> Flight {
        let flight = self.flights[id.0 as usize].take().expect("a flight is open until its leader ends it");
        let found = self.table.find_entry(spread(short_hash(flight.key)), |place| place.slot == id.0);
        found.expect("an open flight is in the table").remove();
        self.free.push(id.0);
        flight
    }

    fn index(&mut self, slot: u32, hash: u32) {
        self.table.insert_unique(spread(hash), Place { hash, slot }, |place| spread(place.hash));
    }

    fn flight(&self, id: FlightId) -> &Flight {
        self.flights[id.0 as usize].as_ref().expect("a flight is open until its leader ends it")
    }

    fn flight_mut(&mut self, id: FlightId) -> &mut Flight {
        self.flights[id.0 as usize].as_mut().expect("a flight is open until its leader ends it")
    }
}

impl From<Vec<Option<Flight>>> for Flights {
    fn from(flights: Vec<Option<Flight>>) -> Self {
        let mut restored = Self { flights, free: Vec::new(), table: HashTable::new() };
        for slot in 0..restored.flights.len() as u32 {
            match &restored.flights[slot as usize] {
                Some(flight) => restored.index(slot, short_hash(flight.key)),
                None => restored.free.push(slot),
            }
        }
        restored
    }
}

impl From<Flights> for Vec<Option<Flight>> {
    fn from(flights: Flights) -> Self {
        flights.flights
    }
}
