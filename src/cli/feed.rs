//! The rows of a scenario's traffic on their way to its runs: opened, filled in, adapted, and what was learnt of them. Knows no run.

use std::sync::Arc;

use super::Failure;
use super::replay::{Replay, Replayed};
use crate::config::scenario::TrafficSpec;
use crate::gateway::time::Time;
use crate::sim::driver::Variant;
use crate::traffic::digest::Digest;
use crate::traffic::replay::link::Links;
use crate::traffic::stream::{self, Source};
use crate::traffic::trace::{Batch, Trace, TraceError};

/// A scenario's traffic, from its start.
pub struct Feed<'a> {
    traffic: &'a TrafficSpec,
    requests: Box<dyn Source>,
    seen: Seen,
    replay: Replay<'a>,
}

/// What was learnt of the traffic while it went by.
pub struct Learnt {
    /// What it was.
    pub seen: Seen,
    /// What a log says.
    pub replay: Replayed,
    /// What was made of client retries.
    pub links: Links,
}

/// What the traffic was, learnt as it goes by.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What identifies it.
    pub digest: Digest,
    /// Rows.
    pub requests: u64,
    /// Of all rows.
    pub input_tokens: u64,
    /// The first arrival.
    pub first: Option<Time>,
    /// The last arrival.
    pub last: Time,
}

impl<'a> Feed<'a> {
    /// Opens the traffic. A log is held against `variant`; what it lacks is drawn from `seed`.
    ///
    /// # Errors
    /// If the trace can't be read.
    pub fn open(traffic: &'a TrafficSpec, variant: &Variant, seed: u64) -> Result<Self, Failure> {
        let requests = stream::open(&traffic.base(), &traffic.changes).map_err(Failure::usage)?;
        Ok(Self { traffic, requests, seen: Seen::default(), replay: Replay::new(traffic, variant, seed) })
    }

    /// The next rows as every run is to see them.
    ///
    /// # Errors
    /// If the trace is wrong.
    pub fn next(&mut self) -> Result<Option<Arc<Batch>>, TraceError> {
        let mut batch = self.requests.next_batch()?;
        if let Some(batch) = &mut batch {
            self.seen.see(batch);
            self.replay.see(batch)?;
            adapt(batch, self.traffic);
            self.seen.digest.add(batch);
        }
        Ok(batch.map(Arc::new))
    }

    /// The trace behind it, for what is known about the file.
    pub fn trace(&self) -> Option<&Trace> {
        self.requests.trace()
    }

    /// What was learnt of the traffic.
    ///
    /// # Errors
    /// If a log that is read once more, without what is laid over it, is wrong.
    pub fn finish(self) -> Result<Learnt, Failure> {
        Ok(Learnt { links: self.requests.links(), seen: self.seen, replay: self.replay.finish().map_err(Failure::usage)? })
    }
}

/// How many requests there are, read as a run reads them, or another number of them would be a client's retries. What is wrong with them, the run
/// will say: `None` then.
pub fn count_rows(traffic: &TrafficSpec) -> Option<u64> {
    let mut requests = stream::open(&traffic.base(), &traffic.changes).ok()?;
    let mut rows = 0;
    while let Some(batch) = requests.next_batch().ok()? {
        rows += batch.rows.len() as u64;
    }
    Some(rows)
}

/// Carries out what the scenario says about the rows of its trace.
pub(super) fn adapt(batch: &mut Batch, traffic: &TrafficSpec) {
    for name in &mut batch.first_seen.models {
        if let Some((_, here)) = traffic.models.iter().find(|(there, _)| there == name) {
            name.clone_from(here);
        }
    }
    if traffic.max_tokens.is_some() {
        batch.rows.iter_mut().for_each(|row| row.max_tokens = row.max_tokens.or(traffic.max_tokens));
    }
}

impl Seen {
    /// The first arrival and the last.
    pub fn span(&self) -> (Time, Time) {
        (self.first.unwrap_or_default(), self.last)
    }

    fn see(&mut self, batch: &Batch) {
        self.requests += batch.rows.len() as u64;
        self.input_tokens += batch.rows.iter().map(|row| u64::from(row.input_tokens)).sum::<u64>();
        self.first = self.first.or_else(|| batch.rows.first().map(|row| row.at));
        self.last = batch.rows.last().map_or(self.last, |row| self.last.max(row.at));
    }
}
