//! A resolved job: variants, seeds and a trace in, a report out. Brings simulator and report together; knows no arguments.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::progress::Progress;
use super::replay::{Replay, Replayed};
use super::{Failure, Printer, assumptions, tokens};
use crate::config::scenario::{BaselineSpec, TrafficSpec};
use crate::gateway::id::ModelId;
use crate::gateway::journal::{CallClosed, Fact};
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::Time;
use crate::price::Reserved;
use crate::price::tokens::{End, TokenTable};
use crate::report::crossing::TokenEnds;
use crate::report::fold::{About, Billed, Fold};
use crate::report::numbers::count;
use crate::report::totals::Totals;
use crate::report::{Assumption, Input, Names, Origin, Report, RequestWorstCase, Run, Traffic, Variant};
use crate::sim::client::ClientError;
use crate::sim::driver;
use crate::sim::experiment::{self, Experiment, RunError};
use crate::sim::observe::{self, Bill, Context, Observer, UserEnd};
use crate::traffic::replay::link::Links;
use crate::traffic::scale::WHOLE;
use crate::traffic::stream;
use crate::traffic::trace::{Batch, Order, Trace, TraceError};

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
    /// Which variant is as the traffic was recorded.
    pub baseline: BaselineSpec,
    /// The files that went into the job.
    pub inputs: Vec<Input>,
    /// Whose prices, and of what date.
    pub prices: String,
    /// What was assumed.
    pub assumptions: Vec<Assumption>,
    /// The figures behind them.
    pub figures: Vec<Assumption>,
    /// The capacity that each variant pays for by the hour.
    pub reserved: Vec<Vec<Reserved>>,
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
    let mut requests = stream::open(&job.traffic.base(job.traffic.options.order), &job.traffic.changes).map_err(Failure::usage)?;
    let mut seen = Seen::default();
    let recorded_under = job.experiment.variants.get(job.baseline.variant).ok_or_else(|| Failure::usage("a scenario without variants"))?;
    let mut replay = Replay::new(&job.traffic, recorded_under, job.experiment.seeds.first().copied().unwrap_or_default());
    let next_batch = || {
        let mut batch = requests.next_batch()?;
        if let Some(batch) = &mut batch {
            seen.see(batch);
            replay.see(batch)?;
            adapt(batch, &job.traffic);
        }
        Ok::<_, TraceError>(batch.map(Arc::new))
    };
    let (variants, roles) = tokens::with_ends(job.experiment.variants.clone());
    let experiment = Experiment { variants, ..job.experiment.clone() };
    let observer = |variant: usize, _: u64| {
        let variant = &experiment.variants[variant];
        Listener(Fold::with_tokens(Arc::clone(&variant.plan), tokens::table(variant)))
    };
    let runs = experiment::run(&experiment, next_batch, observer, |rows| progress.at(rows));
    progress.finish();
    let runs = runs.map_err(|error| failure(&job.traffic, requests.trace(), &error))?;
    for note in requests.trace().map(Trace::notes).unwrap_or_default() {
        printer.note(format!("note: {}: {note}", job.traffic.trace.display()));
    }
    let learnt = Learnt { seen, replay: replay.finish(), links: requests.links() };
    Ok(report(job, runs, &roles, learnt))
}

/// Counts the rows of the trace beside the run, so that the bar learns where it ends. What is wrong with the trace, the run will say.
fn count_rows(job: &Job, length: Arc<AtomicU64>) {
    let (base, changes) = (job.traffic.base(Order::Count), job.traffic.changes.clone());
    thread::spawn(move || {
        let Ok(mut requests) = stream::open(&base, &changes) else { return };
        let mut rows = 0;
        while let Ok(Some(batch)) = requests.next_batch() {
            rows += batch.rows.len() as u64;
        }
        length.store(rows, Ordering::Relaxed);
    });
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

/// What was learnt of the traffic while it went by.
struct Learnt {
    seen: Seen,
    replay: Replayed,
    links: Links,
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

fn failure(traffic: &TrafficSpec, trace: Option<&Trace>, error: &RunError) -> Failure {
    match error {
        RunError::Trace(error) => Failure::usage(error),
        RunError::Client { variant, error } => {
            let what = format!("variant `{variant}`: {error}");
            let hint = hint(error, traffic);
            match (trace, error.first()) {
                (Some(trace), Some((line, subject, name))) => Failure::usage(trace.error_at(line, (subject, name), what, hint)),
                _ => Failure::usage(format!("{}: {what}\nhint: {hint}", traffic.trace.display())),
            }
        }
        RunError::World { variant, error } => Failure::usage(format!("variant `{variant}`: {error}")),
    }
}

/// What to write in the scenario so that a variant can take the traffic.
fn hint(error: &ClientError, traffic: &TrafficSpec) -> &'static str {
    match error {
        ClientError::UnknownKeys(_) if traffic.changes.scale.per_million > WHOLE && !traffic.changes.scale.same_keys => {
            "copies of the traffic have keys of their own: set [traffic] unknown_keys = \"add\", or scale = { times = .., keys = \"same\" }"
        }
        ClientError::UnknownModels(_) => "say what they ask for here, [traffic] map = { \"theirs\" = \"ours\" }, or set unknown_models = \"default\"",
        ClientError::UnknownKeys(_) => "add them to the gateway, or set [traffic] unknown_keys = \"add\" or \"default\"",
        ClientError::NoModel(_) => "state the model of such rows: [traffic] model = \"gpt-4o-mini\"",
        ClientError::NoKey(_) => "state the key of such rows: [traffic] key = \"everyone\"",
        ClientError::Refused(..) => "the gateway refuses keys like this one; look at its budgets",
    }
}

fn report(job: Job, runs: Vec<experiment::Run<Listener>>, roles: &[(usize, End)], learnt: Learnt) -> Report {
    let Learnt { seen, replay, links } = learnt;
    let first = seen.first.unwrap_or_default();
    let traffic = Traffic {
        name: job.traffic.trace.file_name().unwrap_or(job.traffic.trace.as_os_str()).to_string_lossy().into_owned(),
        origin: job.origin,
        requests: seen.requests,
        first,
        span: seen.last.since(first),
    };
    let mut variants: Vec<Variant> = job.experiment.variants.iter().map(empty).collect();
    let (mut unrecorded, mut who) = (0, None);
    for run in runs {
        let (index, end) = roles[run.variant];
        let (variant, plan) = (&mut variants[index], &job.experiment.variants[index].plan);
        unrecorded = run.totals.outputs_unrecorded;
        let Fold { totals, series, directory, .. } = checked(run.observer.0, &run.totals, &job.reserved[index], (first, seen.last));
        let ends = || TokenEnds { low: Vec::new(), high: Vec::new() };
        match end {
            End::Low => variant.token_ends.get_or_insert_with(ends).low.push(totals.bill),
            End::High => variant.token_ends.get_or_insert_with(ends).high.push(totals.bill),
            End::Middle => {
                variant.names.keys = directory.keys.names().to_vec();
                variant.names.teams = directory.teams.names().to_vec();
                variant.worst_case = worst_case(plan, &tokens::table(&job.experiment.variants[index]), &totals, &seen);
                variant.runs.push(Run { seed: run.seed, totals, series });
                who = who.or_else(|| (index == job.baseline.variant).then_some(directory));
            }
        }
    }
    for (variant, simulated) in variants.iter_mut().zip(&job.experiment.variants) {
        variant.crossings = tokens::crossings(&tokens::table(simulated), &variant.merged(), variant.runs.len());
    }
    let mut assumptions = job.assumptions;
    let place = assumptions.iter().position(|assumption| assumption.what == "answer quality").unwrap_or(assumptions.len());
    assumptions.splice(place..place, tokens::assumptions(&variants));
    if unrecorded > 0 {
        let tokens = job.experiment.variants.first().map_or(0, |variant| variant.clients.output_tokens_unrecorded);
        let value = format!("{} requests don't record one; {} tokens each", count(unrecorded), count(tokens.into()));
        assumptions.insert(0, Assumption { what: "output length".to_owned(), value, source: "assumed".to_owned() });
    }
    // One scenario has the same clients in all variants.
    assumptions.extend(job.experiment.variants.first().and_then(|variant| assumptions::of_links(links, &variant.clients.habits)));
    let is_a_log = traffic.origin == Origin::Recorded && job.traffic.changes.keep_the_log() && replay.log.can_be_checked();
    let baseline = who.filter(|_| job.baseline.is_checked && is_a_log).map(|who| replay.held_against(&variants[job.baseline.variant], &who));
    Report {
        name: job.name,
        inputs: job.inputs,
        prices: job.prices,
        traffic,
        assumptions,
        figures: job.figures,
        variants,
        reference: job.baseline.variant,
        baseline,
        coverage: replay.covered,
        imputed: replay.drawn,
        imputed_inputs: replay.drawn_inputs,
        expectations: Vec::new(),
    }
}

/// A variant that has not been run yet.
fn empty(variant: &driver::Variant) -> Variant {
    let names = Names::of(&variant.plan, vec![], vec![]);
    Variant { name: variant.name.clone(), names, worst_case: None, crossings: Vec::new(), token_ends: None, runs: Vec::new() }
}

/// What a run was folded into, held against what the run counted itself, with what its time costs beside its calls.
fn checked(mut fold: Fold, counted: &observe::Totals, reserved: &[Reserved], (first, last): (Time, Time)) -> Fold {
    let totals = &mut fold.totals;
    if counted.not_sent > 0 {
        totals.users.get_or_insert_default().not_sent = counted.not_sent;
    }
    let waits = counted.waits;
    totals.incidents.calls_queued = waits.calls;
    totals.incidents.calls_queued_ms = u64::try_from(waits.nanoseconds / 1_000_000).unwrap_or(u64::MAX);
    totals.incidents.calls_turned_away = waits.turned_away;
    assert_eq!(totals.outcomes.total(), counted.arrived, "the report has an end for every request of the run");
    assert_eq!(totals.bill, counted.billed, "the report's bill is the run's");
    for capacity in reserved {
        totals.reserve(capacity.deployment, capacity.over(first, last));
    }
    assert_eq!(totals.causes.total(), totals.bill, "the bill is the sum of its causes");
    fold
}

/// The most that a request of the traffic's mean size, for the model that most requests ask for, can cause.
fn worst_case(plan: &Plan, tokens: &TokenTable, totals: &Totals, seen: &Seen) -> Option<RequestWorstCase> {
    // The first of the most frequent, so that a tie has one answer.
    let (index, _) = totals.asked.iter().enumerate().rev().max_by_key(|(_, row)| row.requests)?;
    let model = ModelId(u32::try_from(index).ok()?);
    let input_tokens = u32::try_from(seen.input_tokens.checked_div(seen.requests)?).ok()?;
    let most = plan.worst_case(model, Usage::plain(tokens.input_most(model, input_tokens), 0));
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
        self.0.call(now, &about(context), closed, Billed { usage: bill.usage, amount: bill.cost, shared: bill.shared });
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
