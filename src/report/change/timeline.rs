//! The costs of two variants over the same time, bucket by bucket, and which of it may be drawn anew. Knows no statistics.

use super::Unknown;
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};
use crate::report::statistics::blocks::{self, Blocks, DRAWS, NEEDED, Pair, TooFew};
use crate::report::{Report, Variant};

/// Two variants' costs over time: the means over the seeds, in picodollars.
#[derive(Debug)]
pub(super) struct Timeline {
    width: Span,
    /// In order of time, without what is fixed.
    free: Vec<Pair>,
    /// Scripted times with what they leave behind, and what is billed beside the calls: another day like this has the same.
    fixed: Pair,
}

impl Timeline {
    pub(super) fn of(report: &Report, reference: &Variant, variant: &Variant) -> Self {
        let series = [reference, variant].into_iter().flat_map(|variant| variant.runs.iter().map(|run| run.series.width()));
        let width = series.max().unwrap_or(Span::SECOND);
        let place = |now: Time| now.0 / width.0;
        let first = place(report.traffic.first);
        let buckets = usize::try_from(place(report.traffic.first + report.traffic.span) - first).unwrap_or(usize::MAX - 1) + 1;
        let costs = [reference, variant].map(|variant| costs(variant, buckets, |now| place(now).saturating_sub(first)));
        let bills = [reference, variant].map(|variant| variant.runs.iter().map(|run| run.totals.bill).sum::<Money>());
        let beside = [0, 1].map(|which| bills[which] - costs[which].iter().copied().sum());
        let seeds = reference.runs.len() as f64;
        let pair = |a: Money, b: Money| Pair { reference: a.0 as f64 / seeds, difference: (b - a).0 as f64 / seeds };
        let (mut free, mut fixed) = (Vec::with_capacity(buckets), pair(beside[0], beside[1]));
        for (index, (a, b)) in (first..).zip(costs[0].iter().zip(&costs[1])) {
            let start = Time(index.saturating_mul(width.0));
            let is_scripted = |(from, until): &(Time, Time)| start < *until + report.memory && *from < start + width;
            if report.scripted.iter().any(is_scripted) { fixed += pair(*a, *b) } else { free.push(pair(*a, *b)) }
        }
        Self { width, free, fixed }
    }

    /// Blocks of this time that hold what is remembered.
    pub(super) fn blocks(&self, memory: Span) -> Result<Blocks, Unknown> {
        let memory = usize::try_from(memory.0.div_ceil(self.width.0)).unwrap_or(usize::MAX);
        let length = blocks::length(self.free.len(), memory);
        Blocks::of(&self.free, self.fixed, length, DRAWS).map_err(|TooFew(blocks)| {
            let block = Span(self.width.0.saturating_mul(u64::try_from(length).unwrap_or(u64::MAX)));
            Unknown::TraceTooShort { blocks, needed: NEEDED, block }
        })
    }
}

/// What a variant's calls cost in each bucket, over all seeds. What ends after the last arrival belongs to the last bucket.
fn costs(variant: &Variant, buckets: usize, place: impl Fn(Time) -> u64) -> Vec<Money> {
    let mut costs = vec![Money::ZERO; buckets];
    for (start, bucket) in variant.runs.iter().flat_map(|run| run.series.buckets()) {
        let index = usize::try_from(place(start)).unwrap_or(usize::MAX);
        costs[index.min(buckets - 1)] += bucket.cost;
    }
    costs
}
