//! What steps will read and change first, for a driver that knows what comes next and can have the processor fetch it. Decides nothing: with it or
//! without, everything happens in the same way.
//!
//! With thousands of requests in flight and a million answers in the cache, what a step needs is seldom near the processor, and a step that waits for
//! one place after the other takes most of its time for that.

use super::Gateway;
use super::in_flight::{CacheKey, InFlight};
use super::plan::Plan;
use super::request::Request;

/// Has the processor fetch a place in memory, and does not wait for it.
pub trait Fetch {
    /// Fetches the line of the processor's cache that `place` begins in.
    fn fetch<T>(&self, place: &T);
}

impl Gateway {
    /// To be called about two arrivals before `request` arrives. Gives the key of its answer in the response cache, if it has one, for
    /// [`Self::fetch_answer`].
    #[inline]
    pub fn fetch_for_arrival(&self, plan: &Plan, request: &Request, fetch: &impl Fetch) -> Option<CacheKey> {
        if plan.loop_detector.is_some() {
            self.loops.fetch(request.key, request.fingerprint, fetch);
        }
        let key = self.cache_key(plan, request, self.directory.known_path(request.key)?)?;
        self.cache.fetch_bucket(key, fetch);
        Some(key)
    }

    /// To be called about one arrival before the request arrives that has `key`: what [`Self::fetch_for_arrival`] has fetched says where the answer
    /// is.
    #[inline]
    pub fn fetch_answer(&self, key: CacheKey, fetch: &impl Fetch) {
        self.cache.fetch_answer(key, fetch);
    }
}

impl InFlight {
    /// To be called about one event before its open call ends.
    #[inline]
    pub fn fetch_for_end(&self, gateway: &Gateway, fetch: &impl Fetch) {
        if let Some(key) = self.cache_key() {
            gateway.cache.fetch_bucket(key, fetch);
            gateway.cache.fetch_ends(fetch);
        }
        if let Some(hold) = self.hold() {
            gateway.budget.fetch(hold, fetch);
        }
        if let Some(flight) = self.flight() {
            gateway.flights.fetch(flight, fetch);
        }
    }
}
