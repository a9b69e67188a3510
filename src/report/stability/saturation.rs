//! When more is asked of the deployments than they can do, from counts over time.
//!
//! A window is short of capacity if more than 5 % of its calls were turned away for want of capacity (or given up while they waited for a place), or
//! if its calls waited longer for a place than those of the window before by more than 5 % of the time between: then a queue grows by as much. At
//! least three such windows in a row are saturation, unless most of what some of them were asked beyond the others was admitted after all.

use super::{Saturated, Windows};
use crate::gateway::time::{Span, Time};
use crate::report::series::{Bucket, Series};

/// The share of calls, or of the time, beyond which capacity is short.
pub(super) const SHORT: f64 = 0.05;

/// Windows in a row that are more than a burst.
const IN_A_ROW: usize = 3;

/// No window is shorter: the shortest that providers limit by.
const WINDOW_MIN: Span = Span::MINUTE;

/// Windows of a run at most: 7 minutes of a day.
const WINDOWS_MAX: u64 = 200;

/// When a variant's runs (of several seeds, added up) were saturated, between the first arrival and the last.
pub fn saturated<'a>(series: impl Iterator<Item = &'a Series> + Clone, (first, last): (Time, Time)) -> Option<Saturated> {
    let seeds = series.clone().count().max(1);
    let windows = Windows::of(series, Span(last.since(first).0 / WINDOWS_MAX).max(WINDOW_MIN));
    let within: Vec<(Time, Bucket)> = windows.buckets.iter().copied().filter(|(at, _)| *at <= last).collect();
    let is_short = short(&within, windows.width);
    let mut found: Vec<&[(Time, Bucket)]> = Vec::new();
    let mut from = 0;
    while from < within.len() {
        let length = is_short[from..].iter().take_while(|is_short| **is_short).count();
        let stretch = &within[from..from + length];
        if length >= IN_A_ROW && admitted_of_more(stretch) < 0.5 {
            found.push(stretch);
        }
        from += length.max(1);
    }
    let (begins, _) = found.first()?.first()?;
    let all = || found.iter().flat_map(|stretch| stretch.iter()).map(|(_, bucket)| bucket);
    let lasts = Span(windows.width.0 * all().count() as u64);
    let (calls, turned_away) = (all().map(|bucket| bucket.calls).sum(), all().map(|bucket| bucket.turned_away).sum());
    let admitted: f64 = found.iter().map(|stretch| admitted(stretch, windows.width)).sum();
    Some(Saturated {
        from: begins.since(first),
        lasts,
        calls,
        turned_away,
        admitted_per_second: admitted / seeds as f64 / (lasts.0 as f64 / Span::SECOND.0 as f64),
    })
}

/// Whether one stretch of time was short of capacity: turned away too much, or let the calls of its second half wait longer than those of its first.
pub(super) fn is_overloaded(buckets: &[Bucket], width: Span) -> bool {
    let (early, late) = buckets.split_at(buckets.len() / 2);
    let sum = |buckets: &[Bucket]| {
        buckets.iter().fold(Bucket::default(), |mut sum, bucket| {
            sum += *bucket;
            sum
        })
    };
    let (all, between) = (sum(buckets), width.0 as f64 * buckets.len() as f64 / 2.0);
    turned_away(&all) > SHORT || (wait(&sum(late)) - wait(&sum(early))) / between > SHORT
}

fn short(windows: &[(Time, Bucket)], width: Span) -> Vec<bool> {
    let waits_more = |index: usize| index > 0 && (wait(&windows[index].1) - wait(&windows[index - 1].1)) / width.0 as f64 > SHORT;
    windows.iter().enumerate().map(|(index, (_, bucket))| turned_away(bucket) > SHORT || waits_more(index)).collect()
}

/// The share of calls that were turned away.
fn turned_away(bucket: &Bucket) -> f64 {
    bucket.turned_away as f64 / bucket.calls.max(1) as f64
}

/// How long a call was told to wait, in the mean, in nanoseconds.
fn wait(bucket: &Bucket) -> f64 {
    bucket.waits_ms as f64 * 1e6 / bucket.calls.max(1) as f64
}

/// Of the calls that some windows have more than others, the share that was admitted: the slope of a line through both counts. 1 if nothing is ever
/// turned away, 0 if as much is admitted whatever is asked for. Calls that wait are admitted, so a queue that grows has no say here.
fn admitted_of_more(windows: &[(Time, Bucket)]) -> f64 {
    if windows.iter().all(|(_, bucket)| bucket.turned_away == 0) {
        return 0.0;
    }
    let count = windows.len() as f64;
    let points: Vec<(f64, f64)> = windows.iter().map(|(_, bucket)| (bucket.calls as f64, bucket.calls as f64 - bucket.turned_away as f64)).collect();
    let (mean_calls, mean_admitted) =
        (points.iter().map(|point| point.0).sum::<f64>() / count, points.iter().map(|point| point.1).sum::<f64>() / count);
    let together: f64 = points.iter().map(|(calls, admitted)| (calls - mean_calls) * (admitted - mean_admitted)).sum();
    let calls: f64 = points.iter().map(|(calls, _)| (calls - mean_calls).powi(2)).sum();
    if calls == 0.0 { 0.0 } else { together / calls }
}

/// Calls that were let in, or, of a queue that grows, those that left it: arrivals by how much faster they come than they leave.
fn admitted(windows: &[(Time, Bucket)], width: Span) -> f64 {
    let calls: f64 = windows.iter().map(|(_, bucket)| bucket.calls as f64 - bucket.turned_away as f64).sum();
    let ([(_, first), .., (_, last)], between) = (windows, width.0 as f64 * (windows.len() - 1) as f64) else { return calls };
    let growth = ((wait(last) - wait(first)) / between).max(0.0);
    calls / (1.0 + growth)
}
