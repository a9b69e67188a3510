//! The second look at a run that `gwsim run --requests` takes: every variant under the first seed once more, every request and call taken down. The
//! same inputs give the same run, which is held against the report.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::feed::Feed;
use super::simulate::Job;
use super::{Failure, Printer, tokens};
use crate::gateway::journal::{CallClosed, Fact};
use crate::gateway::money::Money;
use crate::gateway::time::Time;
use crate::report::Report;
use crate::report::fold::Billed;
use crate::report::requests::file::{CALLS, Files, REQUESTS};
use crate::report::requests::recorder::{Recorder, is_first_try};
use crate::sim::experiment::{self, Experiment};
use crate::sim::observe::{Bill, Context, Observer};
use crate::traffic::trace::NameId;

/// First tries that are taken down between two looks at the files.
const STRETCH: u64 = 1 << 15;

/// Writes `requests.parquet` and `calls.parquet` into a report's directory.
///
/// # Errors
/// If they can't be written.
pub fn write(job: &Job, report: &Report, directory: &Path, printer: &Printer) -> Result<(), Failure> {
    let variants = job.experiment.variants.clone();
    let seed = job.experiment.seeds.first().copied().unwrap_or_default();
    let recorded_under = variants.get(job.baseline.variant).ok_or_else(|| Failure::usage("a scenario without variants"))?;
    let mut feed = Feed::open(&job.traffic, recorded_under, seed)?;
    let files = Files::make(directory, variants.len()).map_err(Failure::internal)?;
    let experiment = Experiment { variants: variants.clone(), seeds: vec![seed], threads: job.experiment.threads };
    let observer = |index: usize, _: u64| {
        let variant = &experiment.variants[index];
        let recorder = Recorder::new(&variant.name, Arc::clone(&variant.plan), tokens::table(variant));
        Scribe { index, recorder, files: &files, first_tries: 0 }
    };
    let runs = experiment::run(&experiment, || feed.next(), observer, |_| {}).map_err(|error| Failure::usage(error.to_string()))?;
    for run in runs {
        let mut scribe = run.observer;
        files.push(scribe.index, scribe.recorder.take());
        let reported = report.variants.get(run.variant).and_then(|variant| variant.runs.first());
        let billed = reported.map_or(Money::ZERO, |run| run.totals.billed_by_call());
        assert_eq!(run.totals.billed, billed, "the second look is at the same run");
    }
    files.finish().map_err(Failure::internal)?;
    printer.note(format!("requests: {} and {CALLS}", directory.join(REQUESTS).display()));
    Ok(())
}

/// Removes the files of an earlier run: they would tell of another one than the report.
///
/// # Errors
/// If they are there and can't be removed.
pub fn forget(directory: &Path) -> Result<(), String> {
    for name in [REQUESTS, CALLS] {
        match fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(format!("can't remove {}: {error}", directory.join(name).display())),
            _ => {}
        }
    }
    Ok(())
}

struct Scribe<'a> {
    index: usize,
    recorder: Recorder,
    files: &'a Files,
    first_tries: u64,
}

impl Observer for Scribe<'_> {
    #[inline]
    fn wants(fact: &Fact) -> bool {
        Recorder::wants(fact)
    }

    fn tagged(&mut self, list: NameId, tags: &[&str]) {
        self.recorder.tagged(list.number(), tags);
    }

    fn arrived(&mut self, _: Time, context: &Context) {
        // By the traffic's own requests, so that all variants are at the same stretch of it.
        if is_first_try(context.id) {
            self.first_tries += 1;
            if self.first_tries.is_multiple_of(STRETCH) {
                self.files.push(self.index, self.recorder.take());
            }
        }
    }

    fn fact(&mut self, now: Time, context: Option<&Context>, fact: &Fact) {
        self.recorder.fact(now, context.map(|context| context.id), fact);
    }

    fn call(&mut self, now: Time, context: &Context, closed: &CallClosed, bill: &Bill) {
        let billed = Billed { usage: bill.usage, amount: bill.cost, shared: bill.shared };
        self.recorder.call(now, (context.id, context.tags.map(NameId::number)), closed, billed);
    }
}
