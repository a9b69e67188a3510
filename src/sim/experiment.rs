//! Several variants, each under several seeds, over traffic that is decoded once. Decides which thread runs what; the result doesn't depend on it.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::client::ClientError;
use super::driver::{Driver, Variant};
use super::observe::{Observer, Totals};
use super::upstream::WorldError;
use crate::traffic::trace::{Batch, TraceError};

/// What is to be compared.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// The configurations and their worlds.
    pub variants: Vec<Variant>,
    /// The seeds that each is run under.
    pub seeds: Vec<u64>,
    /// Threads to run on, beside the one that decodes; at least 1 is used, and no more than there are runs.
    pub threads: usize,
}

/// One variant under one seed, run to its end.
#[derive(Debug)]
pub struct Run<O> {
    /// The variant's index in [`Experiment::variants`].
    pub variant: usize,
    /// The seed.
    pub seed: u64,
    /// What was observed.
    pub observer: O,
    /// What the run counted about itself.
    pub totals: Totals,
}

/// Why an experiment could not be run to its end.
#[derive(Debug, Clone)]
pub enum RunError {
    /// A variant's world doesn't fit its plan.
    World {
        /// The variant.
        variant: String,
        /// How not.
        error: WorldError,
    },
    /// A variant can't take the traffic.
    Client {
        /// The variant.
        variant: String,
        /// Why not.
        error: ClientError,
    },
    /// The traffic can't be read.
    Trace(TraceError),
}

/// Runs every variant under every seed. `next_batch` gives the traffic, `observer` makes a listener for (variant, seed), and `progress` is told the
/// number of rows handed out so far, after each batch; no run is more than three batches behind.
///
/// The result is in the order of variants, then seeds, and the same for any number of threads.
///
/// # Errors
/// The first error in the order of the traffic, then of the variants. All threads have ended then.
pub fn run<O: Observer + Send>(
    experiment: &Experiment,
    mut next_batch: impl FnMut() -> Result<Option<Arc<Batch>>, TraceError>,
    mut observer: impl FnMut(usize, u64) -> O,
    mut progress: impl FnMut(u64),
) -> Result<Vec<Run<O>>, RunError> {
    let mut lanes = Vec::with_capacity(experiment.variants.len() * experiment.seeds.len());
    for (index, variant) in experiment.variants.iter().enumerate() {
        for seed in &experiment.seeds {
            let driver = Driver::new(variant, *seed, observer(index, *seed));
            let driver = driver.map_err(|error| RunError::World { variant: variant.name.clone(), error })?;
            lanes.push(Lane { order: lanes.len(), variant: index, seed: *seed, driver });
        }
    }
    let threads = experiment.threads.clamp(1, lanes.len().max(1));
    let mut shares: Vec<Vec<Lane<O>>> = (0..threads).map(|_| Vec::new()).collect();
    for lane in lanes {
        shares[lane.order % threads].push(lane);
    }
    thread::scope(|scope| {
        let workers: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let (sender, receiver) = sync_channel(BATCHES_AHEAD);
                (sender, scope.spawn(move || work(share, &receiver)))
            })
            .collect();
        let (senders, handles): (Vec<_>, Vec<_>) = workers.into_iter().unzip();
        let traffic = hand_out(&senders, &mut next_batch, &mut progress);
        drop(senders);
        let mut failures = Vec::new();
        let mut done = Vec::new();
        for handle in handles {
            match handle.join() {
                Ok(Ok(runs)) => done.extend(runs),
                Ok(Err(failure)) => failures.push(failure),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        if let Some((_, lane, error)) = failures.into_iter().min_by_key(|(batch, lane, _)| (*batch, *lane)) {
            let variant = experiment.variants[lane / experiment.seeds.len()].name.clone();
            return Err(RunError::Client { variant, error });
        }
        traffic.map_err(RunError::Trace)?;
        done.sort_by_key(|(order, _)| *order);
        Ok(done.into_iter().map(|(_, run)| run).collect())
    })
}

/// Batches that wait for a thread that is busy with the one before.
const BATCHES_AHEAD: usize = 2;

struct Lane<O> {
    order: usize,
    variant: usize,
    seed: u64,
    driver: Driver<O>,
}

enum Message {
    Rows(Arc<Batch>),
    /// All was handed out. A channel that closes without this word means: give up.
    End,
}

/// Where it happened (batch, lane), and what.
type Failure = (u64, usize, ClientError);

/// Gives each batch to all workers, before the next is decoded; stops when one of them has.
fn hand_out(
    senders: &[SyncSender<Message>],
    next_batch: &mut impl FnMut() -> Result<Option<Arc<Batch>>, TraceError>,
    progress: &mut impl FnMut(u64),
) -> Result<(), TraceError> {
    let mut rows = 0;
    while let Some(batch) = next_batch()? {
        // All get it, even if one has stopped: then the first error does not depend on who was faster.
        let taken = senders.iter().filter(|sender| sender.send(Message::Rows(Arc::clone(&batch))).is_ok()).count();
        if taken < senders.len() {
            return Ok(());
        }
        rows += batch.rows.len() as u64;
        progress(rows);
    }
    for sender in senders {
        // A worker that has stopped says why itself.
        let _ = sender.send(Message::End);
    }
    Ok(())
}

fn work<O: Observer>(mut share: Vec<Lane<O>>, receiver: &Receiver<Message>) -> Result<Vec<(usize, Run<O>)>, Failure> {
    let mut batches = 0;
    loop {
        match receiver.recv() {
            Ok(Message::Rows(batch)) => {
                for lane in &mut share {
                    lane.driver.feed(&batch).map_err(|error| (batches, lane.order, error))?;
                }
                batches += 1;
            }
            Ok(Message::End) => break,
            Err(_) => return Ok(Vec::new()),
        }
    }
    let finish = |Lane { order, variant, seed, driver }: Lane<O>| {
        let (observer, totals) = driver.finish();
        (order, Run { variant, seed, observer, totals })
    };
    Ok(share.into_iter().map(finish).collect())
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World { variant, error } => write!(f, "variant `{variant}`: {error}"),
            Self::Client { variant, error } => write!(f, "variant `{variant}`: {error}"),
            Self::Trace(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RunError {}
