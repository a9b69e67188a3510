//! A sweep at work: says beforehand what it will take, then runs its cells, as many side by side as there is memory for. Decides no value and no
//! result; a cell's scenario is made by `config`.

mod probe;

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::capacity::{self, Kept};
use super::feed::Feed;
use super::progress::Progress;
use super::simulate::{Job, failure};
use super::{Failure, Printer, run};
use crate::config::scenario::{Scenario, SweepSpec};
use crate::gateway::journal::{CallClosed, Fact, Outcome};
use crate::gateway::time::{Span, Time};
use crate::price::Reserved;
use crate::report::Report;
use crate::report::numbers::{count, counted, length};
use crate::report::sweep::{Cell, CellResult, Seeds, Sweep, Tally};
use crate::sim::driver::Variant;
use crate::sim::experiment::{self, Experiment};
use crate::sim::observe::{Bill, Context, Observer, UserEnd};

/// More runs than this, or a longer time, must be agreed to.
const RUNS_MAX: u64 = 10_000;
const TIME_MAX: Duration = Duration::from_secs(600);

/// A sweep that may be run.
pub struct Planned {
    spec: SweepSpec,
    seeds: Vec<u64>,
    threads: usize,
    /// Requests of the scenario's own traffic, if they could be counted.
    requests: Option<u64>,
}

/// One cell on its way to its runs.
struct Draft {
    /// Its place among all cells.
    index: usize,
    at: Vec<Option<usize>>,
}

impl Planned {
    /// Says what the sweep will take.
    ///
    /// # Errors
    /// If that is much, and nobody has agreed to it.
    pub fn of(spec: SweepSpec, job: &Job, printer: &Printer) -> Result<Self, Failure> {
        let experiment = &job.experiment;
        let (variants, seeds) = (experiment.variants.len() as u64, experiment.seeds.len() as u64);
        let runs = spec.count().saturating_mul(variants).saturating_mul(seeds);
        let probe = probe::probe(job)?;
        let threads = experiment.threads.max(1).min(usize::try_from(runs).unwrap_or(usize::MAX));
        let time = probe.a_round.mul_f64((runs as f64 / variants as f64 / threads as f64).min(1e9));
        let at_once = capacity::lanes_at_once(&experiment.variants, Kept::Tally, probe.requests) as u64;
        let of_one = experiment.variants.iter().map(|variant| capacity::bytes(variant, Kept::Tally, probe.requests)).sum::<u64>() / variants.max(1);
        let cells = counted(spec.count(), "cell");
        let what = format!("{cells} x {} x {} = {}", counted(variants, "variant"), counted(seeds, "seed"), counted(runs, "run"));
        let of = probe.requests.map(|requests| format!(" of {}", counted(requests, "request"))).unwrap_or_default();
        let takes = format!("about {}, {} MB", told(time), count((of_one * at_once.min(runs)).div_ceil(1_000_000)));
        if (runs > RUNS_MAX || time > TIME_MAX) && !job.is_agreed {
            return Err(Failure::usage(format!(
                "the sweep has {what}{of}: {takes}\nhint: --yes runs it; fewer values, seeds or requests (traffic.scale) take less"
            )));
        }
        printer.note(format!("sweep: {what}{of}, {takes}"));
        Ok(Self { spec, seeds: experiment.seeds.clone(), threads, requests: probe.requests })
    }

    /// Runs all cells. The one with the scenario's own values is taken from the report.
    ///
    /// # Errors
    /// If values are wrong together, or a cell can't take its traffic.
    pub fn run(self, report: &Report, printer: &Printer) -> Result<Sweep, Failure> {
        let mut cells: Vec<Cell> = self.spec.cells().into_iter().map(|at| Cell { at, variants: Vec::new() }).collect();
        let mut drafts = Vec::new();
        for (index, cell) in cells.iter_mut().enumerate() {
            if cell.at.iter().all(Option::is_none) {
                cell.variants = report.variants.iter().map(|variant| CellResult::of(&variant.runs[..self.seeds.len()])).collect();
            } else {
                drafts.push(Draft { index, at: cell.at.clone() });
            }
        }
        // Those that share their traffic stand together; in the order of the cells among themselves.
        drafts.sort_by_key(|draft| self.spec.traffic_of(&draft.at));
        let progress = Progress::new(printer.shows_progress);
        progress.length().store(self.requests.unwrap_or(0) * drafts.len() as u64, Ordering::Relaxed);
        let mut done = 0;
        for shared in drafts.chunk_by(|a, b| self.spec.traffic_of(&a.at) == self.spec.traffic_of(&b.at)) {
            let mut left = shared;
            while let Some(first) = left.first() {
                let scenario = self.scenario(first, printer)?;
                let variants = scenario.variants.len();
                let lanes = capacity::lanes_at_once(&configurations(&scenario, ""), Kept::Tally, self.requests);
                let (some, rest) = left.split_at((lanes / variants / self.seeds.len()).clamp(1, left.len()));
                let seeds_at_once = (lanes / variants / some.len()).max(1);
                let mut batch = Batch::of(self.scenarios(some, scenario, printer)?, &self);
                for seeds in self.seeds.chunks(seeds_at_once) {
                    let rows = batch.run(seeds, |rows| progress.at(done + rows * some.len() as u64))?;
                    done += rows * (some.len() * seeds.len()) as u64 / self.seeds.len() as u64;
                }
                for (draft, results) in some.iter().zip(batch.results()) {
                    cells[draft.index].variants = results;
                }
                left = rest;
            }
        }
        progress.finish();
        Ok(Sweep { axes: self.spec.axes, mode: self.spec.mode, cells, seeds: self.seeds })
    }

    fn scenario(&self, draft: &Draft, printer: &Printer) -> Result<Scenario, Failure> {
        self.spec.scenario(&draft.at).map_err(|diagnostics| {
            printer.note(diagnostics.render(printer.errors_in_color).trim_end());
            Failure::usage(format!("the sweep's values {} are wrong together", self.words(&draft.at)))
        })
    }

    /// The scenarios of some cells, of which the first was made already; each with the cell in words.
    fn scenarios(&self, drafts: &[Draft], first: Scenario, printer: &Printer) -> Result<Vec<(String, Scenario)>, Failure> {
        let mut all = vec![(self.words(&drafts[0].at), first)];
        for draft in &drafts[1..] {
            all.push((self.words(&draft.at), self.scenario(draft, printer)?));
        }
        Ok(all)
    }

    /// `cache.ttl = "1h", attempts.per_request = 2`.
    fn words(&self, at: &[Option<usize>]) -> String {
        let axes = self.spec.axes.iter().zip(at);
        let stated = axes.filter_map(|(axis, value)| Some(format!("{} = {}", axis.path, axis.values[(*value)?])));
        stated.collect::<Vec<_>>().join(", ")
    }
}

/// Cells that are run side by side over one traffic.
struct Batch<'a> {
    planned: &'a Planned,
    scenarios: Vec<(String, Scenario)>,
    configurations: Vec<Variant>,
    /// By configuration.
    reserved: Vec<Vec<Reserved>>,
    results: Vec<Seeds>,
}

impl<'a> Batch<'a> {
    fn of(scenarios: Vec<(String, Scenario)>, planned: &'a Planned) -> Self {
        let configurations: Vec<Variant> = scenarios.iter().flat_map(|(words, scenario)| configurations(scenario, words)).collect();
        let reserved = scenarios.iter().flat_map(|(_, scenario)| &scenario.variants).map(|variant| variant.gateway.reserved.clone()).collect();
        let results = configurations.iter().map(|_| Seeds::default()).collect();
        Self { planned, scenarios, configurations, reserved, results }
    }

    /// Runs all cells under these seeds, which follow those of the run before; gives the number of rows.
    fn run(&mut self, seeds: &[u64], mut progress: impl FnMut(u64)) -> Result<u64, Failure> {
        let (_, scenario) = &self.scenarios[0];
        let recorded_under = &self.configurations[scenario.baseline.variant];
        let mut feed = Feed::open(&scenario.traffic, recorded_under, self.planned.seeds[0])?;
        let experiment = Experiment { variants: self.configurations.clone(), seeds: seeds.to_vec(), threads: self.planned.threads };
        let runs = experiment::run(&experiment, || feed.next(), |_, _| Counter::default(), &mut progress);
        let runs = runs.map_err(|error| failure(&scenario.traffic, feed.trace(), &error))?;
        let seen = feed.finish()?.seen;
        let (first, last) = seen.span();
        for run in runs {
            let Counter(mut tally) = run.observer;
            assert_eq!(tally.bill(), run.totals.billed, "the sweep's bill is the run's");
            tally.not_sent(run.totals.not_sent);
            self.reserved[run.variant].iter().for_each(|capacity| tally.reserve(capacity.over(first, last)));
            self.results[run.variant].add(&tally);
        }
        Ok(seen.requests)
    }

    /// By cell, the result of each variant.
    fn results(self) -> impl Iterator<Item = Vec<CellResult>> {
        let mut results = self.results.into_iter().map(Seeds::result);
        let lengths: Vec<usize> = self.scenarios.iter().map(|(_, scenario)| scenario.variants.len()).collect();
        lengths.into_iter().map(move |length| results.by_ref().take(length).collect())
    }
}

/// The configurations of a scenario. Their names, in messages, say which cell it is.
fn configurations(scenario: &Scenario, cell: &str) -> Vec<Variant> {
    let named = |variant: Variant| Variant { name: format!("{} with {cell}", variant.name), ..variant };
    scenario.variants.iter().cloned().map(run::configuration).map(named).collect()
}

/// A time in words that nobody takes for exact.
fn told(time: Duration) -> String {
    match time.as_secs() {
        0 => "a second".to_owned(),
        seconds => length(Span::from_secs(seconds)),
    }
}

/// A tally as an observer of the simulator.
#[derive(Debug, Default)]
struct Counter(Tally);

impl Observer for Counter {
    #[inline]
    fn wants(fact: &Fact) -> bool {
        matches!(fact, Fact::Called(_) | Fact::Answered { .. })
    }

    #[inline]
    fn arrived(&mut self, _: Time, _: &Context) {
        self.0.arrived();
    }

    #[inline]
    fn fact(&mut self, now: Time, context: Option<&Context>, fact: &Fact) {
        match (fact, context) {
            (Fact::Called(_), _) => self.0.called(),
            (Fact::Answered { outcome }, Some(context)) => {
                let is_other_model = matches!(outcome, Outcome::Served { model } if *model != context.model);
                self.0.answered(outcome, is_other_model, now.since(context.arrived_at));
            }
            _ => {}
        }
    }

    #[inline]
    fn call(&mut self, _: Time, _: &Context, closed: &CallClosed, bill: &Bill) {
        self.0.closed(closed.ended, bill.cost);
    }

    #[inline]
    fn user(&mut self, now: Time, _: &Context, end: &UserEnd) {
        self.0.user(&end.outcome, end.retries, now.since(end.sent_at));
    }
}
