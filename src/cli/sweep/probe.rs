//! How long a run of each variant takes, from a short one. Knows a clock, and nothing that a result depends on.

use std::time::{Duration, Instant};

use super::Counter;
use crate::cli::Failure;
use crate::cli::feed::{self, Feed};
use crate::cli::simulate::Job;
use crate::sim::driver::Driver;

/// No batch of rows is begun after this long.
const LONG_ENOUGH: Duration = Duration::from_millis(500);

/// What a short run has shown.
pub struct Probe {
    /// Requests of the traffic; `None` if they could not be counted.
    pub requests: Option<u64>,
    /// One run of every variant on one thread.
    pub a_round: Duration,
}

/// Runs every variant on the first rows of the job's traffic, under its first seed. A variant that can't take them is left to the run, which says so.
///
/// # Errors
/// If the traffic can't be read.
pub fn probe(job: &Job) -> Result<Probe, Failure> {
    let seed = job.experiment.seeds.first().copied().unwrap_or_default();
    let Some(recorded_under) = job.experiment.variants.get(job.baseline.variant) else {
        return Err(Failure::usage("a scenario without variants"));
    };
    let mut drivers: Vec<_> = job.experiment.variants.iter().filter_map(|variant| Driver::new(variant, seed, Counter::default()).ok()).collect();
    let mut feed = Feed::open(&job.traffic, recorded_under, seed)?;
    let (mut rows, began) = (0_u64, Instant::now());
    while began.elapsed() < LONG_ENOUGH
        && let Ok(Some(batch)) = feed.next()
    {
        rows += batch.rows.len() as u64;
        drivers.retain_mut(|driver| driver.feed(&batch).is_ok());
    }
    let took = began.elapsed();
    let requests = feed::count_rows(&job.traffic);
    let share = requests.unwrap_or(rows) as f64 / rows.max(1) as f64;
    Ok(Probe { requests, a_round: took.mul_f64(share) })
}
