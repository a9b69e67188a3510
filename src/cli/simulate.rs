//! A resolved job: variants, seeds and a trace in, a report out. Brings simulator and report together; knows no arguments.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::capacity;
use super::feed::{self, Feed, Learnt, Seen};
use super::lanes::{Lanes, Role};
use super::progress::Progress;
use super::sweep::Planned;
use super::{Failure, Printer, assumptions, memory, tokens};
use crate::config::scenario::{BaselineSpec, Precision, SweepSpec, TrafficSpec};
use crate::gateway::id::ModelId;
use crate::gateway::journal::{CallClosed, Fact};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};
use crate::price::Reserved;
use crate::price::tokens::TokenTable;
use crate::report::budget_line::BudgetLine;
use crate::report::crossing::TokenEnds;
use crate::report::fold::{About, Billed, Directory, Fold};
use crate::report::numbers::count;
use crate::report::reserved::ReservedCapacity;
use crate::report::series::Series;
use crate::report::stability::{self, Metastable, Stability};
use crate::report::statistics::stopping::{self, Decision};
use crate::report::totals::Totals;
use crate::report::unserved::{Rows, Unserved};
use crate::report::{Assumption, Input, Names, Origin, Report, RequestWorstCase, Run, Traffic, Variant};
use crate::sim::client::ClientError;
use crate::sim::driver;
use crate::sim::experiment::{self, Experiment, RunError};
use crate::sim::observe::{self, Bill, Context, Observer, UserEnd};
use crate::traffic::scale::WHOLE;
use crate::traffic::trace::{NameId, Trace};

/// What is to be simulated, and what is known about it.
#[derive(Clone)]
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
    /// How precise the changes are to be, if seeds are to be added until they are.
    pub precision: Option<Precision>,
    /// What is varied beside the variants.
    pub sweep: Option<SweepSpec>,
    /// Whether a long sweep was agreed to.
    pub is_agreed: bool,
}

/// Runs a job to its end: its variants and what belongs to them, more seeds if they are asked for, then its sweep.
///
/// # Errors
/// If the trace is wrong, a variant can't take it, or a sweep is so long that it must be agreed to.
pub fn simulate(job: Job, printer: &Printer) -> Result<Report, Failure> {
    let planned = job.sweep.clone().map(|sweep| Planned::of(sweep, &job, printer)).transpose()?;
    let lanes = Lanes::of(job.experiment.variants.clone());
    let (mut done, learnt) = Pass { job: &job, lanes: lanes.clone().with_twins() }.run(&job.experiment.seeds, printer)?;
    if let Some(precision) = job.precision {
        let (pass, mut seeds) = (Pass { job: &job, lanes }, job.experiment.seeds.clone());
        while let Decision::More(until) = look(&done, &job, precision) {
            let first = seeds.first().copied().unwrap_or_default();
            let more: Vec<u64> = (seeds.len() as u64..until as u64).map(|number| first.saturating_add(number)).collect();
            done.extend(pass.run(&more, printer)?.0);
            seeds.extend(more);
        }
    }
    let mut report = report(job, done, learnt);
    report.sweep = planned.map(|planned| planned.run(&report, printer)).transpose()?;
    Ok(report)
}

/// Whether the seeds so far say enough.
fn look(done: &[Done], job: &Job, precision: Precision) -> Decision {
    let bills = |variant: usize| done.iter().filter(move |run| (run.variant, run.role) == (variant, Role::AsIs)).map(|run| run.fold.totals.bill);
    let bills: Vec<Vec<Money>> = (0..job.experiment.variants.len()).map(|variant| bills(variant).collect()).collect();
    stopping::enough(&bills, job.baseline.variant, precision.half_width, precision.seeds_max as usize)
}

/// Runs of some configurations over a job's traffic.
struct Pass<'a> {
    job: &'a Job,
    lanes: Lanes,
}

/// One run, folded.
struct Done {
    variant: usize,
    role: Role,
    seed: u64,
    fold: Fold,
    unserved: Option<Unserved>,
    outputs_unrecorded: u64,
}

impl Pass<'_> {
    /// The runs under `seeds`, as many at one time as there is memory for, and what was learnt of the traffic.
    fn run(&self, seeds: &[u64], printer: &Printer) -> Result<(Vec<Done>, Learnt), Failure> {
        let lanes = &self.lanes.configurations;
        let compared = if self.job.experiment.variants.len() > 1 { self.job.experiment.variants.len() } else { 0 };
        let rows_max = capacity::rows_max(seeds.len());
        let at_once = capacity::seeds_at_once(lanes, compared, rows_max);
        let (mut done, mut learnt) = (Vec::new(), None);
        for seeds in seeds.chunks(at_once) {
            let (runs, of_traffic) = self.at_once(seeds, usize::try_from(rows_max).unwrap_or(usize::MAX), printer)?;
            done.extend(runs);
            learnt.get_or_insert(of_traffic);
        }
        learnt.map(|learnt| (done, learnt)).ok_or_else(|| Failure::usage("a scenario without seeds"))
    }

    fn at_once(&self, seeds: &[u64], rows_max: usize, printer: &Printer) -> Result<(Vec<Done>, Learnt), Failure> {
        let (job, first_seed) = (self.job, self.job.experiment.seeds.first().copied().unwrap_or_default());
        let progress = Progress::new(printer.shows_progress);
        if printer.shows_progress {
            count_rows(job, progress.length());
        }
        let recorded_under = job.experiment.variants.get(job.baseline.variant).ok_or_else(|| Failure::usage("a scenario without variants"))?;
        let mut feed = Feed::open(&job.traffic, recorded_under, first_seed)?;
        let experiment = Experiment { variants: self.lanes.configurations.clone(), seeds: seeds.to_vec(), threads: job.experiment.threads };
        let observer = |lane: usize, _: u64| {
            let configuration = &experiment.variants[lane];
            let fold = Fold::with_tokens(Arc::clone(&configuration.plan), tokens::table(configuration));
            let (variant, role) = self.lanes.roles[lane];
            let is_compared = role == Role::AsIs && job.experiment.variants.len() > 1;
            let rows = is_compared.then(|| Rows::new(variant == job.baseline.variant, rows_max));
            Listener { fold, rows }
        };
        let runs = experiment::run(&experiment, || feed.next(), observer, |rows| progress.at(rows));
        progress.finish();
        let runs = runs.map_err(|error| failure(&job.traffic, feed.trace(), &error))?;
        if seeds.first() == Some(&first_seed) {
            for note in feed.trace().map(Trace::notes).unwrap_or_default() {
                printer.note(format!("note: {}: {note}", job.traffic.trace.display()));
            }
        }
        let learnt = feed.finish()?;
        let unserved = self.unserved(&runs);
        let done = runs.into_iter().zip(unserved).map(|(run, unserved)| {
            let (variant, role) = self.lanes.roles[run.variant];
            let fold = checked(run.observer.fold, &run.totals, &job.reserved[variant], learnt.seen.span());
            Done { variant, role, seed: run.seed, fold, unserved, outputs_unrecorded: run.totals.outputs_unrecorded }
        });
        Ok((done.collect(), learnt))
    }

    /// For each run what the reference answered under the same seed and it did not.
    fn unserved(&self, runs: &[experiment::Run<Listener>]) -> Vec<Option<Unserved>> {
        let rows = |run: &experiment::Run<Listener>| (run.seed, self.lanes.roles[run.variant]);
        let reference = (self.job.baseline.variant, Role::AsIs);
        let told = |run: &experiment::Run<Listener>| {
            let of_reference = runs.iter().find(|other| rows(other) == (run.seed, reference))?;
            if self.lanes.roles[run.variant] == reference {
                return None;
            }
            of_reference.observer.rows.as_ref()?.unserved_by(run.observer.rows.as_ref()?)
        };
        runs.iter().map(told).collect()
    }
}

/// Counts the requests beside the run, so that the bar learns where it ends.
fn count_rows(job: &Job, length: Arc<AtomicU64>) {
    let traffic = job.traffic.clone();
    thread::spawn(move || {
        if let Some(rows) = feed::count_rows(&traffic) {
            length.store(rows, Ordering::Relaxed);
        }
    });
}

pub(super) fn failure(traffic: &TrafficSpec, trace: Option<&Trace>, error: &RunError) -> Failure {
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

fn report(job: Job, done: Vec<Done>, learnt: Learnt) -> Report {
    let Learnt { seen, replay, links } = learnt;
    let first = seen.first.unwrap_or_default();
    let traffic = Traffic {
        name: job.traffic.trace.file_name().unwrap_or(job.traffic.trace.as_os_str()).to_string_lossy().into_owned(),
        origin: job.origin,
        digest: seen.digest.finish(),
        requests: seen.requests,
        first,
        span: seen.last.since(first),
    };
    let unrecorded = done.last().map_or(0, |run| run.outputs_unrecorded);
    let (variants, who) = variants(&job, done, &seen);
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
    let memory = memory::longest(&job.experiment.variants, &variants);
    Report {
        name: job.name,
        inputs: job.inputs,
        prices: job.prices,
        traffic,
        assumptions,
        figures: job.figures,
        variants,
        reference: job.baseline.variant,
        memory,
        scripted: memory::scripted(&job.experiment.variants, first, seen.last),
        precision: job.precision.map(|precision| precision.half_width),
        baseline,
        coverage: replay.covered,
        imputed: replay.drawn,
        sweep: None,
        imputed_inputs: replay.drawn_inputs,
        expectations: Vec::new(),
    }
}

/// The variants with their runs, and who may ask in the one that a log is held against.
fn variants(job: &Job, done: Vec<Done>, seen: &Seen) -> (Vec<Variant>, Option<Directory>) {
    let configurations = &job.experiment.variants;
    let mut variants: Vec<Variant> = configurations.iter().map(empty).collect();
    let mut twins: Vec<Vec<Series>> = vec![Vec::new(); variants.len()];
    let mut unserved = vec![Some(Unserved::default()); variants.len()];
    let mut who = None;
    for Done { variant: index, role, seed, fold, unserved: under_seed, .. } in done {
        let Fold { totals, series, directory, .. } = fold;
        let variant = &mut variants[index];
        let ends = || TokenEnds { low: Vec::new(), high: Vec::new() };
        match role {
            Role::TokensLow => variant.token_ends.get_or_insert_with(ends).low.push(totals.bill),
            Role::TokensHigh => variant.token_ends.get_or_insert_with(ends).high.push(totals.bill),
            Role::WithoutTrigger => twins[index].push(series),
            Role::AsIs => {
                variant.names = Names::of(&configurations[index].plan, &directory);
                variant.worst_case = worst_case(&configurations[index].plan, &tokens::table(&configurations[index]), &totals, seen);
                variant.runs.push(Run { seed, totals, series });
                unserved[index] = unserved[index].zip(under_seed).map(|(all, one)| all + one);
                who = who.or_else(|| (index == job.baseline.variant).then_some(directory));
            }
        }
    }
    for ((variant, unserved), (reserved, simulated)) in variants.iter_mut().zip(unserved).zip(job.reserved.iter().zip(configurations)) {
        variant.unserved = unserved;
        variant.reserved = reserved.iter().map(|reserved| ReservedCapacity::of(reserved, &simulated.plan)).collect();
    }
    for ((variant, simulated), twins) in variants.iter_mut().zip(configurations).zip(&twins) {
        variant.crossings = tokens::crossings(&tokens::table(simulated), &variant.merged(), variant.runs.len());
        variant.stability = Some(stability(variant, simulated, twins, seen));
    }
    (variants, who)
}

/// Whether a variant stands its load. Its `twins` were run under the first of its seeds.
fn stability(variant: &Variant, simulated: &driver::Variant, twins: &[Series], seen: &Seen) -> Stability {
    let series = || variant.runs.iter().map(|run| &run.series);
    let with: Vec<&Series> = series().take(twins.len()).collect();
    let metastable = match simulated.world.trigger() {
        Some(trigger) if !twins.is_empty() => stability::metastable(&with, &Vec::from_iter(twins), trigger, seen.span()),
        _ => Metastable::NoTrigger,
    };
    Stability { saturated: stability::saturated(series(), seen.span()), metastable }
}

/// A variant that has not been run yet.
fn empty(variant: &driver::Variant) -> Variant {
    let names = Names::of(&variant.plan, &Directory::default());
    let budgets = variant.plan.budgets.iter().map(BudgetLine::of).collect();
    Variant {
        name: variant.name.clone(),
        names,
        worst_case: None,
        crossings: Vec::new(),
        token_ends: None,
        unserved: None,
        budgets,
        reserved: Vec::new(),
        stability: None,
        runs: Vec::new(),
    }
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
struct Listener {
    fold: Fold,
    /// What became of each row, where variants are compared by it.
    rows: Option<Rows>,
}

impl Observer for Listener {
    #[inline]
    fn wants(fact: &Fact) -> bool {
        Fold::wants(fact)
    }

    fn tagged(&mut self, list: NameId, tags: &[&str]) {
        self.fold.tagged(list.number(), tags);
    }

    #[inline]
    fn arrived(&mut self, now: Time, context: &Context) {
        self.fold.arrived(now, &about(context));
    }

    #[inline]
    fn fact(&mut self, now: Time, context: Option<&Context>, fact: &Fact) {
        self.fold.fact(now, context.map(about).as_ref(), fact);
        if let (Some(rows), Some(context), Fact::Answered { outcome }) = (&mut self.rows, context, fact) {
            rows.ended(context.row(), outcome);
        }
    }

    #[inline]
    fn call(&mut self, now: Time, context: &Context, closed: &CallClosed, bill: &Bill) {
        let parts = self.fold.call(now, &about(context), closed, Billed { usage: bill.usage, amount: bill.cost, shared: bill.shared });
        if let Some(rows) = &mut self.rows {
            rows.call(context.row(), parts);
        }
    }

    #[inline]
    fn short_of_capacity(&mut self, now: Time, is_turned_away: bool, wait: Span) {
        self.fold.short_of_capacity(now, is_turned_away, wait);
    }

    #[inline]
    fn user(&mut self, now: Time, context: &Context, end: &UserEnd) {
        if let Some(rows) = &mut self.rows {
            rows.ended(context.row(), &end.outcome);
        }
        self.fold.user(now, &end.outcome, end.retries, end.sent_at);
    }
}

#[inline]
fn about(context: &Context) -> About {
    About { arrived: context.arrived_at, key: context.key, model: context.model, tags: context.tags.map(NameId::number) }
}
