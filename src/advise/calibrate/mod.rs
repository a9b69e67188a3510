//! A log made into a scenario: what its providers and clients are like, fitted to the first three quarters of it and judged on the last.
//!
//! Speed is read off the log. What a gateway hides (calls that failed before the one that is logged, and which limit they ran into) is found by
//! running the recorded configuration through the simulator until its log looks like the recorded one. Prints nothing and writes no file.

mod judge;
mod log;
mod measure;
mod outages;
mod pace;
mod render;
mod search;
mod simulate;
mod trouble;

use std::fmt;
use std::path::PathBuf;

pub use self::judge::{Judgement, Measured};

use self::log::Part;
use self::measure::Facts;
use self::search::Hidden;
use crate::config::diagnostic::Diagnostics;
use crate::config::{self, Options};
use crate::gateway::time::Span;
use crate::sim::experiment::RunError;
use crate::traffic::replay::link::Retries;
use crate::traffic::stream::{Base, Changes, Window};
use crate::traffic::trace::{self, TraceError};

/// The share of a log's time that a fit is made on, in hundredths; it is judged on the rest.
const FIT_PER_CENT: u64 = 75;

/// What is to be calibrated.
#[derive(Debug, Clone)]
pub struct Question {
    /// The log.
    pub trace: PathBuf,
    /// The configuration that it was recorded under. Without it, nothing can be found out by simulation, and nothing is judged.
    pub gateway: Option<PathBuf>,
    /// What is made of client retries in the log.
    pub retries: Retries,
    /// Where the scenario will stand: paths in it are relative to the directory.
    pub scenario: PathBuf,
    /// What the trace and the gateway are called in the scenario.
    pub names: (String, String),
    /// For all draws.
    pub seed: u64,
}

/// A log's scenario.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// The text of a scenario.toml, with where each figure is from.
    pub scenario: String,
    /// How it does on the part of the log that it was not made from; `None` without a gateway.
    pub judgement: Option<Judgement>,
}

/// Why a log can't be calibrated.
#[derive(Debug)]
pub enum Error {
    /// The log can't be read.
    Trace(TraceError),
    /// The gateway's configuration is wrong, or the log and it don't fit: all that is.
    Configuration(Box<Diagnostics>),
    /// The configuration can't take the traffic.
    Run(RunError),
    /// The file is no log, or too short.
    NoLog(String),
}

/// Calibrates a log. Holds the log in memory.
///
/// # Errors
/// If it can't be read, says nothing of how requests ended, or does not fit the gateway.
pub fn calibrate(question: &Question) -> Result<Calibrated, Error> {
    let base = Base::Trace { path: question.trace.clone(), options: trace::Options::default(), retries: question.retries };
    let whole = Part::read(&base, &Changes::default(), question.seed)?;
    if whole.is_silent() {
        let what = "it does not say how requests ended: a log has a status, and for speeds duration_ms and ttft_ms";
        return Err(Error::NoLog(format!("{}: {what}", question.trace.display())));
    }
    let span = whole.span().0.max(1);
    drop(whole);
    let until = Span((u128::from(span) * u128::from(FIT_PER_CENT) / 100).try_into().unwrap_or(u64::MAX));
    let window = |from: Span, lasts: Span| Changes { window: Some(Window { from, lasts }), ..Changes::default() };
    let fit = Part::read(&base, &window(Span::ZERO, until), question.seed)?;
    let mut facts = Facts::of(&fit);
    let Some(gateway) = &question.gateway else {
        let scenario = render::scenario(question, &facts, &Hidden::default(), None);
        return Ok(Calibrated { scenario, judgement: None });
    };
    let plan = config::load_gateway(gateway, &Options::default()).map_err(|problems| Error::Configuration(Box::new(problems)))?.value.plan;
    let behind_fallbacks = outages::behind_fallbacks(&fit, &facts, &plan);
    facts.models.iter_mut().zip(behind_fallbacks).for_each(|(model, outages)| model.outages = outages);
    let hidden = search::search(question, &facts, &fit, &plan)?;
    let scenario = render::scenario(question, &facts, &hidden, Some(&plan));
    let rest = Part::read(&base, &window(until, Span(span - until.0 + 1)), question.seed)?;
    let judgement = judge::judge(question, &facts, &hidden, &plan, &rest)?;
    Ok(Calibrated { scenario, judgement: Some(judgement) })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trace(error) => write!(f, "{error}"),
            Self::Configuration(problems) => write!(f, "{}", problems.render(false)),
            Self::Run(error) => write!(f, "{error}"),
            Self::NoLog(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<TraceError> for Error {
    fn from(error: TraceError) -> Self {
        Self::Trace(error)
    }
}
