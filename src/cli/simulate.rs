//! A resolved job: variants, seeds and a trace in, a report out. Brings simulator and report together; knows no arguments.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::progress::Progress;
use super::{Failure, Printer};
use crate::config::scenario::TrafficSpec;
use crate::gateway::id::ModelId;
use crate::gateway::journal::{CallClosed, Fact};
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::Time;
use crate::report::fold::{About, Billed, Fold};
use crate::report::numbers::count;
use crate::report::totals::Totals;
use crate::report::{Assumption, Input, Names, Origin, Report, RequestWorstCase, Run, Traffic, Variant};
use crate::sim::client::ClientError;
use crate::sim::experiment::{self, Experiment, RunError};
use crate::sim::observe::{Bill, Context, Observer, UserEnd};
use crate::traffic::trace::{Batch, Options, Order, Trace, TraceError};

/// What is to be simulated, and what is known about it.
pub struct Job {
    /// The scenario's name.
    pub name: String,
    /// Variants and seeds.
    pub experiment: Experiment,
    /// The trace, and how its rows are read.
    pub traffic: TrafficSpec,
    /// Whether it was recorded.
    pub origin: Origin,
    /// The files that went into the job.
    pub inputs: Vec<Input>,
    /// Whose prices, and of what date.
    pub prices: String,
    /// What was assumed.
    pub assumptions: Vec<Assumption>,
    /// The figures behind them.
    pub figures: Vec<Assumption>,
}

/// Runs a job to its end.
///
/// # Errors
/// If the trace is wrong, or a variant can't take it.
pub fn simulate(job: Job, printer: &Printer) -> Result<Report, Failure> {
    let progress = Progress::new(printer.shows_progress);
    if printer.shows_progress {
        count_rows(&job, progress.length());
    }
    let mut trace = Trace::open(&job.traffic.trace, job.traffic.options).map_err(Failure::usage)?;
    let mut seen = Seen::default();
    let next_batch = || {
        let mut batch = trace.next_batch()?;
        if let Some(batch) = &mut batch {
            seen.see(batch);
            adapt(batch, &job.traffic);
        }
        Ok::<_, TraceError>(batch.map(Arc::new))
    };
    let observer = |variant: usize, _: u64| Listener(Fold::new(Arc::clone(&job.experiment.variants[variant].plan)));
    let runs = experiment::run(&job.experiment, next_batch, observer, |rows| progress.at(rows));
    progress.finish();
    let runs = runs.map_err(|error| failure(&job, &error))?;
    for note in trace.notes() {
        printer.note(format!("note: {}: {note}", job.traffic.trace.display()));
    }
    Ok(report(job, runs, &seen))
}

/// Counts the rows of the trace beside the run, so that the bar learns where it ends. What is wrong with the trace, the run will say.
fn count_rows(job: &Job, length: Arc<AtomicU64>) {
    let (path, options) = (job.traffic.trace.clone(), Options { order: Order::Count, ..job.traffic.options });
    thread::spawn(move || {
        let Ok(trace) = Trace::open(&path, options) else { return };
        let rows = trace.map_while(Result::ok).map(|batch| batch.rows.len() as u64).sum();
        length.store(rows, Ordering::Relaxed);
    });
}

/// Carries out what the scenario says about the rows of its trace.
fn adapt(batch: &mut Batch, traffic: &TrafficSpec) {
    for name in &mut batch.first_seen.models {
        if let Some((_, here)) = traffic.models.iter().find(|(there, _)| there == name) {
            name.clone_from(here);
        }
    }
    if traffic.max_tokens.is_some() {
        batch.rows.iter_mut().for_each(|row| row.max_tokens = row.max_tokens.or(traffic.max_tokens));
    }
}

/// What the traffic was, learnt as it goes by.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    input_tokens: u64,
    first: Option<Time>,
    last: Time,
}

impl Seen {
    fn see(&mut self, batch: &Batch) {
        self.requests += batch.rows.len() as u64;
        self.input_tokens += batch.rows.iter().map(|row| u64::from(row.input_tokens)).sum::<u64>();
        self.first = self.first.or_else(|| batch.rows.first().map(|row| row.at));
        self.last = batch.rows.last().map_or(self.last, |row| self.last.max(row.at));
    }
}

fn failure(job: &Job, error: &RunError) -> Failure {
    match error {
        RunError::Trace(error) => Failure::usage(error),
        RunError::Client { variant, error } => {
            Failure::usage(format!("{}: variant `{variant}`: {error}\nhint: {}", job.traffic.trace.display(), hint(error)))
        }
        RunError::World { variant, error } => Failure::usage(format!("variant `{variant}`: {error}")),
    }
}

/// What to write in the scenario so that a variant can take the traffic.
fn hint(error: &ClientError) -> &'static str {
    match error {
        ClientError::UnknownModels(_) => "say what they ask for here, [traffic] map = { \"theirs\" = \"ours\" }, or set unknown_models = \"default\"",
        ClientError::UnknownKeys(_) => "add them to the gateway, or set [traffic] unknown_keys = \"add\" or \"default\"",
        ClientError::NoModel(_) => "state the model of such rows: [traffic] model = \"gpt-4o-mini\"",
        ClientError::NoKey(_) => "state the key of such rows: [traffic] key = \"everyone\"",
        ClientError::Refused(..) => "the gateway refuses keys like this one; look at its budgets",
    }
}

fn report(job: Job, runs: Vec<experiment::Run<Listener>>, seen: &Seen) -> Report {
    let first = seen.first.unwrap_or_default();
    let traffic = Traffic {
        name: job.traffic.trace.file_name().unwrap_or(job.traffic.trace.as_os_str()).to_string_lossy().into_owned(),
        origin: job.origin,
        requests: seen.requests,
        first,
        span: seen.last.since(first),
    };
    let mut variants: Vec<Variant> = Vec::with_capacity(job.experiment.variants.len());
    for variant in &job.experiment.variants {
        variants.push(Variant { name: variant.name.clone(), names: Names::of(&variant.plan, vec![], vec![]), worst_case: None, runs: Vec::new() });
    }
    let mut unrecorded = 0;
    for run in runs {
        let variant = &mut variants[run.variant];
        let Fold { mut totals, series, directory, .. } = run.observer.0;
        if run.totals.not_sent > 0 {
            totals.users.get_or_insert_default().not_sent = run.totals.not_sent;
        }
        let waits = run.totals.waits;
        totals.incidents.calls_queued = waits.calls;
        totals.incidents.calls_queued_ms = u64::try_from(waits.nanoseconds / 1_000_000).unwrap_or(u64::MAX);
        totals.incidents.calls_turned_away = waits.turned_away;
        assert_eq!(totals.outcomes.total(), run.totals.arrived, "the report has an end for every request of the run");
        assert_eq!(totals.bill, run.totals.billed, "the report's bill is the run's");
        assert_eq!(totals.causes.total(), totals.bill, "the bill is the sum of its causes");
        unrecorded = run.totals.outputs_unrecorded;
        variant.names.keys = directory.keys.names().to_vec();
        variant.names.teams = directory.teams.names().to_vec();
        let plan = &job.experiment.variants[run.variant].plan;
        variant.worst_case = worst_case(plan, &totals, seen);
        variant.runs.push(Run { seed: run.seed, totals, series });
    }
    let mut assumptions = job.assumptions;
    if unrecorded > 0 {
        let tokens = job.experiment.variants.first().map_or(0, |variant| variant.clients.output_tokens_unrecorded);
        let value = format!("{} requests don't record one; {} tokens each", count(unrecorded), count(tokens.into()));
        assumptions.insert(0, Assumption { what: "output length".to_owned(), value, source: "assumed".to_owned() });
    }
    Report { name: job.name, inputs: job.inputs, prices: job.prices, traffic, assumptions, figures: job.figures, variants, expectations: Vec::new() }
}

/// The most that a request of the traffic's mean size, for the model that most requests ask for, can cause.
fn worst_case(plan: &Plan, totals: &Totals, seen: &Seen) -> Option<RequestWorstCase> {
    // The first of the most frequent, so that a tie has one answer.
    let (index, _) = totals.asked.iter().enumerate().rev().max_by_key(|(_, row)| row.requests)?;
    let model = ModelId(u32::try_from(index).ok()?);
    let input_tokens = u32::try_from(seen.input_tokens.checked_div(seen.requests)?).ok()?;
    let most = plan.worst_case(model, Usage::plain(input_tokens, 0));
    Some(RequestWorstCase { model: plan.model(model).name.clone(), input_tokens, most })
}

/// The fold as an observer of the simulator.
#[derive(Debug)]
struct Listener(Fold);

impl Observer for Listener {
    #[inline]
    fn wants(fact: &Fact) -> bool {
        Fold::wants(fact)
    }

    #[inline]
    fn arrived(&mut self, now: Time, context: &Context) {
        self.0.arrived(now, &about(context));
    }

    #[inline]
    fn fact(&mut self, now: Time, context: Option<&Context>, fact: &Fact) {
        self.0.fact(now, context.map(about).as_ref(), fact);
    }

    #[inline]
    fn call(&mut self, now: Time, context: &Context, closed: &CallClosed, bill: &Bill) {
        self.0.call(now, &about(context), closed, Billed { usage: bill.usage, amount: bill.cost });
    }

    #[inline]
    fn user(&mut self, now: Time, _context: &Context, end: &UserEnd) {
        self.0.user(now, &end.outcome, end.retries, end.sent_at);
    }
}

#[inline]
fn about(context: &Context) -> About {
    About { arrived: context.arrived_at, key: context.key, model: context.model }
}
