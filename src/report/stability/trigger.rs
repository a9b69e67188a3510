//! Whether a variant comes back after a scripted trigger: the same traffic and luck with it and without it, over the time after its end.
//!
//! That time is cut in thirds. Metastable is a variant with over 5 % more attempts than its twin in the last third, the 95 % interval of that (batch
//! means of the paired difference, ten batches) above 0, not falling from the second third to the last, and a twin that is not short of capacity.

use super::saturation::is_overloaded;
use super::{Aftermath, Metastable, Undecided, Windows};
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};
use crate::report::series::{Bucket, Series};
use crate::report::statistics::{ALPHA, t_quantile};

/// More attempts than this share are a difference.
const MORE: f64 = 0.05;

/// How many times its own length the run must go on after a trigger. After as long `sim::world` takes the next for a trigger of its own.
const TRIGGERS_AFTER: u64 = 3;

/// Batches of the last third; and the least of them, where buckets are wide.
const BATCHES: usize = 10;
const BATCHES_MIN: usize = 4;

/// Less than this of the difference in the third before is a fall, if the interval agrees.
const FALLING: f64 = 0.9;

/// The verdict on runs `with` a trigger and the same runs `without` it, by seed. `trigger` is from when until when, counted from the first arrival.
///
/// # Panics
/// If there are not as many of one as of the other, or none.
pub fn metastable(with: &[&Series], without: &[&Series], trigger: (Span, Span), (first, last): (Time, Time)) -> Metastable {
    assert!(!with.is_empty() && with.len() == without.len(), "each run has its twin");
    let seeds = with.len() as i128;
    let (begins, ends) = (first + trigger.0, first + trigger.1);
    let after = last.since(ends);
    let needed = Span(ends.since(begins).0.saturating_mul(TRIGGERS_AFTER));
    let width = Windows::of(with.iter().chain(without).copied(), Span::ZERO).width;
    let (with, without) = (Windows::of(with.iter().copied(), width), Windows::of(without.iter().copied(), width));
    let third = Span(after.0 / 3);
    let needed = needed.max(Span(width.0 * 3 * BATCHES_MIN as u64));
    if after < needed {
        return Metastable::NotDecided(Undecided::TooShort { after, needed });
    }
    let (second_begins, last_begins) = (last - Span(2 * third.0), last - third);
    let Some((more_attempts, interval)) = more(&with, &without, last_begins, last) else {
        return Metastable::NotDecided(Undecided::NoCalls);
    };
    let (more_attempts_before, _) = more(&with, &without, second_begins, last_begins).unwrap_or_default();
    let answers = |windows: &Windows| answers(&windows.sum(last_begins, last));
    let after = Aftermath {
        trigger_ended: trigger.1,
        window: third,
        more_attempts,
        interval,
        more_attempts_before,
        more_answers: answers(&with) / answers(&without).max(1.0) - 1.0,
        tail: Money((cost_from(&with, ends) - cost_from(&without, ends)).0 / seeds),
    };
    if more_attempts <= MORE || interval.0 <= 0.0 {
        return Metastable::Recovers(after);
    }
    let alone: Vec<Bucket> = without.within(last_begins, last).copied().collect();
    if is_overloaded(&alone, width) {
        return Metastable::NotDecided(Undecided::Overloaded(after));
    }
    if more_attempts < FALLING * more_attempts_before && interval.1 < more_attempts_before {
        return Metastable::NotDecided(Undecided::StillFalling(after));
    }
    Metastable::Metastable(after)
}

/// The attempts that the runs have more, as a fraction, with its interval: a ratio estimate over batches. `None` without calls to compare with.
fn more(with: &Windows, without: &Windows, from: Time, until: Time) -> Option<(f64, (f64, f64))> {
    let calls = |windows: &Windows| windows.within(from, until).map(|bucket| bucket.calls as f64).collect::<Vec<_>>();
    let (with, without) = (batches(&calls(with)), batches(&calls(without)));
    let base: f64 = without.iter().sum();
    if base == 0.0 {
        return None;
    }
    let count = without.len() as f64;
    let differences: Vec<f64> = (0..without.len()).map(|batch| with.get(batch).unwrap_or(&0.0) - without[batch]).collect();
    let more = differences.iter().sum::<f64>() / base;
    let squares: f64 = differences.iter().zip(&without).map(|(difference, base)| (difference - more * base).powi(2)).sum();
    let half_width = t_quantile(ALPHA, count - 1.0) * (squares * count / (count - 1.0)).sqrt() / base;
    Some((more, (more - half_width, more + half_width)))
}

/// Sums over as many buckets each, as nearly as may be.
fn batches(values: &[f64]) -> Vec<f64> {
    let count = values.len().clamp(1, BATCHES);
    (0..count).map(|batch| values[values.len() * batch / count..values.len() * (batch + 1) / count].iter().sum()).collect()
}

fn answers(bucket: &Bucket) -> f64 {
    (bucket.served + bucket.cached) as f64
}

/// What was billed from an instant on, to the width of a bucket.
fn cost_from(windows: &Windows, from: Time) -> Money {
    windows.sum(from, Time::MAX).cost
}
