//! Single flight: identical requests at one time have one call. Decides who leads; knows nothing of answers but that there is one.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::ahead::Fetch;
use super::cache::hash;
use super::id::{RequestId, Slot};
use super::in_flight::{CacheKey, Hit, Wake};

/// The table of flights takes its place from the low bits of a hash and its tag from the highest seven.
#[inline]
const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

/// Identical requests at one time: one leads, the others wait for its answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Option<Flight>>", into = "Vec<Option<Flight>>")]
pub struct Flights {
    flights: Vec<Option<Flight>>,
    free: Vec<u32>,
    table: HashTable<(u32, u32)>,
}

/// The number of an open flight, known to everyone in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlightId(u32);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[repr(align(64))]
struct Flight {
    key: CacheKey,
    leader: RequestId,
    followers: VecDeque<(Slot, RequestId)>,
}

impl Flights {
    /// Joins the flight under `key`: leads it, or waits for the request named.
    pub fn join(&mut self, key: CacheKey, slot: Slot, request: RequestId) -> (FlightId, Option<RequestId>) {
        let hash = hash(key);
        let flights = &mut self.flights;
        let is_it = |(other, place): &(u32, u32)| *other == hash && flights[*place as usize].as_ref().is_some_and(|flight| flight.key == key);
        if let Some(place) = self.table.find(spread(hash), is_it).map(|(_, place)| *place) {
            let flight = flights[place as usize].as_mut().expect("a flight in the table is open");
            flight.followers.push_back((slot, request));
            return (FlightId(place), Some(flight.leader));
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
    pub fn served(&mut self, id: FlightId, hit: &Hit, ready: &mut VecDeque<(Slot, Wake)>) {
        let followers = self.land(id).followers;
        if !followers.is_empty() {
            ready.extend(followers.into_iter().map(|(slot, _)| (slot, Wake::Served(*hit))));
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

    /// Fetches a flight that is about to end.
    #[inline]
    pub(super) fn fetch(&self, id: FlightId, fetch: &impl Fetch) {
        fetch.fetch(&self.flights[id.0 as usize]);
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
        let found = self.table.find_entry(spread(hash(flight.key)), |(_, place)| *place == id.0);
        found.expect("an open flight is in the table").remove();
        self.free.push(id.0);
        flight
    }

    fn index(&mut self, place: u32, hash: u32) {
        self.table.insert_unique(spread(hash), (hash, place), |(hash, _)| spread(*hash));
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
                Some(flight) => restored.index(slot, hash(flight.key)),
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
