//! The costs of two variants over the same time, bucket by bucket, and which of it may be drawn anew. Knows no statistics.

use super::Unknown;
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};
use crate::report::statistics::blocks::{self, Blocks, DRAWS, NEEDED, Pair, TooFew};
use crate::report::{Report, Run, Variant};

/// Two variants' costs over time, in picodollars.
#[derive(Debug)]
pub(super) struct Timeline {
    width: Span,
    /// By seed, in order of time, without what is fixed.
    free: Vec<Vec<Pair>>,
    /// Scripted times with what they leave behind, and what is billed beside the calls: another day like this has the same. The mean over the seeds.
    fixed: Pair,
}

impl Timeline {
    pub(super) fn of(report: &Report, reference: &Variant, variant: &Variant) -> Self {
        let series = [reference, variant].into_iter().flat_map(|variant| variant.runs.iter().map(|run| run.series.width()));
        let width = series.max().unwrap_or(Span::SECOND);
        let place = |now: Time| now.0 / width.0;
        let first = place(report.traffic.first);
        let buckets = usize::try_from(place(report.traffic.first + report.traffic.span) - first).unwrap_or(usize::MAX - 1) + 1;
        let is_scripted = |bucket: usize| {
            let start = Time((first + bucket as u64).saturating_mul(width.0));
            report.scripted.iter().any(|(from, until)| start < *until + report.memory && *from < start + width)
        };
        let is_fixed: Vec<bool> = (0..buckets).map(is_scripted).collect();
        let (mut free, mut fixed) = (Vec::new(), Pair::default());
        for (before, after) in reference.runs.iter().zip(&variant.runs) {
            let [before_costs, after_costs] = [before, after].map(|run| costs(run, buckets, |now| place(now).saturating_sub(first)));
            let beside = |run: &Run, costs: &[Money]| run.totals.bill - costs.iter().copied().sum();
            let mut kept = pair(beside(before, &before_costs), beside(after, &after_costs));
            let mut drawn = Vec::with_capacity(buckets);
            for (is_fixed, (before, after)) in is_fixed.iter().zip(before_costs.into_iter().zip(after_costs)) {
                if *is_fixed { kept += pair(before, after) } else { drawn.push(pair(before, after)) }
            }
            free.push(drawn);
            fixed += kept;
        }
        let seeds = free.len() as f64;
        let fixed = Pair { reference: fixed.reference / seeds, difference: fixed.difference / seeds };
        Self { width, free, fixed }
    }

    /// Blocks of this time that hold what is remembered.
    pub(super) fn blocks(&self, memory: Span) -> Result<Blocks, Unknown> {
        let memory = usize::try_from(memory.0.div_ceil(self.width.0)).unwrap_or(usize::MAX);
        let length = blocks::length(self.free[0].len(), memory);
        Blocks::of(&self.free, self.fixed, length, DRAWS).map_err(|TooFew(blocks)| {
            let block = Span(self.width.0.saturating_mul(u64::try_from(length).unwrap_or(u64::MAX)));
            Unknown::TraceTooShort { blocks, needed: NEEDED, block }
        })
    }
}

fn pair(before: Money, after: Money) -> Pair {
    Pair { reference: before.0 as f64, difference: (after - before).0 as f64 }
}

/// What a run's calls cost in each bucket. What ends after the last arrival belongs to the last bucket.
fn costs(run: &Run, buckets: usize, place: impl Fn(Time) -> u64) -> Vec<Money> {
    let mut costs = vec![Money::ZERO; buckets];
    for (start, bucket) in run.series.buckets() {
        let index = usize::try_from(place(start)).unwrap_or(usize::MAX);
        costs[index.min(buckets - 1)] += bucket.cost;
    }
    costs
}
