//! What a run is reported as. Folds over what a driver observes, and writes the result; knows neither the drivers nor the configuration's text.
//!
//! Reading order: [`cause`] splits one call's bill; [`fold`] counts calls and requests into [`totals`] and a [`series`];
//! [`Report`] gathers the runs of all variants; [`change`] says how they differ and how sure that is; [`recorded`] folds what a log says, and
//! [`baseline`] holds the run against it; [`table`] shows it, [`mod@write`] keeps it.

pub mod baseline;
pub mod budget_line;
pub mod cause;
pub mod change;
pub mod compare;
pub mod coverage;
pub mod crossing;
pub mod expect;
pub mod explain;
pub mod focus;
pub mod fold;
pub mod headline;
pub mod histogram;
pub mod markdown;
pub mod numbers;
pub mod page;
pub mod period;
pub mod read;
pub mod recorded;
pub mod requests;
pub mod reserved;
pub mod series;
pub mod stability;
pub mod statistics;
pub mod sweep;
pub mod table;
pub mod tags;
pub mod threshold;
pub mod totals;
pub mod trust;
pub mod unserved;
pub mod write;

mod frame;
mod json;

use std::borrow::Cow;

use crate::gateway::money::Money;
use crate::gateway::plan::{Plan, WorstCase};
use crate::gateway::time::{Span, Time};
use fold::Directory;
use series::Series;
use statistics::luck::Paired;
use totals::Totals;

/// Everything that a run of a scenario has to say.
#[derive(Debug, Clone)]
pub struct Report {
    /// The scenario's name.
    pub name: String,
    /// What was read, in the order of reading.
    pub inputs: Vec<Input>,
    /// Whose prices, and of what date: `built-in list of 2026-11-22`.
    pub prices: String,
    /// What was replayed.
    pub traffic: Traffic,
    /// What the numbers rest on beside the inputs.
    pub assumptions: Vec<Assumption>,
    /// Every single figure behind them that has a source of its own. Only in report.json: they are many.
    pub figures: Vec<Assumption>,
    /// The variants, in the order of the scenario. Never empty.
    pub variants: Vec<Variant>,
    /// The variant that the others are compared with; an index.
    pub reference: usize,
    /// The longest time that anything in a variant's gateway or world remembers, of what the runs made use of.
    pub memory: Span,
    /// The times, from and until, in which the scenario itself makes something happen, such as an outage: conditions, not luck. In order of time.
    pub scripted: Vec<(Time, Time)>,
    /// The precision at which no more seeds were run; `None` where their number was given.
    pub precision: Option<f64>,
    /// The log held against that variant, where the traffic is a log that says how requests ended.
    pub baseline: Option<baseline::Baseline>,
    /// What the log covers, if it is one.
    pub coverage: Option<coverage::Coverage>,
    /// Output lengths that were drawn because the traffic lacks them.
    pub imputed: Option<Imputed>,
    /// What its sweep found, if it has one.
    pub sweep: Option<sweep::Sweep>,
    /// Inputs that were drawn for failed requests because the log has none.
    pub imputed_inputs: Option<Imputed>,
    /// How the scenario's expectations came out.
    pub expectations: Vec<expect::Verdict>,
}

/// A file that went into the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// What it is: `scenario`, `gateway`, `trace`, `prices`.
    pub role: Cow<'static, str>,
    /// Its name, without directories.
    pub file: String,
    /// SHA-256 of its bytes, in hexadecimal: what `sha256sum` prints.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

/// The traffic of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// What it is called: the name of the trace's file.
    pub name: String,
    /// Recorded, or made up.
    pub origin: Origin,
    /// Of the requests as the variants had them: equal digests are the same traffic. 32 hexadecimal digits.
    pub digest: String,
    /// How many requests.
    pub requests: u64,
    /// The first arrival.
    pub first: Time,
    /// From the first arrival to the last.
    pub span: Span,
}

/// Where traffic comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Somebody's log.
    Recorded,
    /// A generator.
    Synthetic,
}

/// Something that was assumed, not measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumption {
    /// What: `prompt cache`.
    pub what: String,
    /// What was taken for it: `visible at arrival`.
    pub value: String,
    /// Where that comes from: `preset ledger`, `default`, `scenario`.
    pub source: String,
}

/// Token counts that the traffic lacks or saw broken off, drawn from those that it has whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imputed {
    /// Requests whose tokens were drawn.
    pub requests: u64,
    /// Those that were drawn: of output, beyond what the traffic has seen of it, within the requests' max_tokens.
    pub tokens: u64,
    /// Tokens of the traffic in all, with those that were drawn.
    pub of_tokens: u64,
    /// What they cost at the first deployment of the model asked for, if no client leaves.
    pub dollars: Money,
    /// The same if every drawn one were so short that one in ten is shorter. All at once is never so short: an end, not an interval.
    pub low: Money,
    /// The same if every drawn one were so long that one in ten is longer.
    pub high: Money,
}

impl Imputed {
    /// Counts a request for which so many tokens were drawn, and what they cost, as drawn, if short and if long.
    pub fn add(&mut self, tokens: u32, [dollars, low, high]: [Money; 3]) {
        self.requests += 1;
        self.tokens += u64::from(tokens);
        self.dollars += dollars;
        self.low += low;
        self.high += high;
    }
}

/// One configuration and how it did.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// The names behind the ids in its runs.
    pub names: Names,
    /// The most that its plan lets one request cause, whatever happens in the runs.
    pub worst_case: Option<RequestWorstCase>,
    /// What other models than those asked for have answered, as far as calls were billed or made.
    pub crossings: Vec<crossing::Crossing>,
    /// The bills at the ends of token ratios, if calls may go by one that is a range.
    pub token_ends: Option<crossing::TokenEnds>,
    /// What the reference answered and this one did not; `None` at the reference, and where the traffic has too many rows to tell.
    pub unserved: Option<unserved::Unserved>,
    /// Its budgets over everything.
    pub budgets: Vec<budget_line::BudgetLine>,
    /// The capacity that it pays for by the hour.
    pub reserved: Vec<reserved::ReservedCapacity>,
    /// Whether it stands its load, where that was looked at.
    pub stability: Option<stability::Stability>,
    /// One run for each seed, in the order of seeds. Never empty.
    pub runs: Vec<Run>,
}

/// The most that one request of a typical size can cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestWorstCase {
    /// The model it asks for: the one that most requests ask for.
    pub model: String,
    /// Its input: the mean of the traffic. It states no max_tokens.
    pub input_tokens: u32,
    /// The most calls and dollars.
    pub most: WorstCase,
}

/// One run of one variant.
#[derive(Debug, Clone)]
pub struct Run {
    /// What its luck was drawn from.
    pub seed: u64,
    /// What was counted.
    pub totals: Totals,
    /// When it happened.
    pub series: Series,
}

/// The names behind dense ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Model groups.
    pub models: Vec<String>,
    /// Deployments.
    pub deployments: Vec<String>,
    /// Virtual keys.
    pub keys: Vec<String>,
    /// Teams.
    pub teams: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
}

impl Names {
    /// The names of a plan's models and deployments. Keys, teams and tags are the directory's.
    pub fn of(plan: &Plan, directory: &Directory) -> Self {
        let models = plan.models.iter().map(|model| model.name.clone()).collect();
        let deployments = plan.deployments.iter().map(|deployment| deployment.name.clone()).collect();
        let [keys, teams, tags] = [directory.keys.names(), directory.teams.names(), directory.tags.names()].map(<[String]>::to_vec);
        Self { models, deployments, keys, teams, tags }
    }
}

impl Variant {
    /// The totals of all seeds together.
    ///
    /// # Panics
    /// If there is no run: a variant is made with its runs.
    pub fn merged(&self) -> Totals {
        let (first, others) = self.runs.split_first().expect("a variant has at least one run");
        let mut merged = first.totals.clone();
        others.iter().for_each(|run| merged.merge(&run.totals));
        merged
    }

    /// The bill over the seeds: mean (rounded towards zero by less than a picodollar), least, most.
    pub fn bill(&self) -> Spread {
        Spread::of(self.runs.iter().map(|run| run.totals.bill))
    }

    /// Where the bill of one run with other luck lies, 95 times in 100; `None` after one seed.
    pub fn bill_of_one_run(&self) -> Option<[Money; 2]> {
        let bills: Vec<Money> = self.runs.iter().map(|run| run.totals.bill).collect();
        Paired::one_more(&bills, statistics::ALPHA)
    }

    /// Whether nothing that was counted differs from `other`, seed by seed.
    pub fn is_identical(&self, other: &Self) -> bool {
        self.runs.len() == other.runs.len()
            && self.runs.iter().zip(&other.runs).all(|(mine, theirs)| mine.seed == theirs.seed && same_counts(&mine.totals, &theirs.totals))
    }
}

/// An amount over several seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// The mean.
    pub mean: Money,
    /// The least.
    pub min: Money,
    /// The most.
    pub max: Money,
}

impl Spread {
    pub(crate) fn of(amounts: impl Iterator<Item = Money> + Clone) -> Self {
        let count = i128::try_from(amounts.clone().count()).expect("few seeds").max(1);
        let sum: Money = amounts.clone().sum();
        let min = amounts.clone().min().unwrap_or_default();
        Self { mean: Money(sum.0 / count), min, max: amounts.max().unwrap_or_default() }
    }
}

/// Equal but for rows of things that only one of the two has, and that nothing happened to.
fn same_counts(a: &Totals, b: &Totals) -> bool {
    let (mut a, mut b) = (a.clone(), b.clone());
    for totals in [&mut a, &mut b] {
        // Told by what was called already; and each plan numbers its pairs of models itself.
        totals.crossed.clear();
        for rows in [&mut totals.asked, &mut totals.keys, &mut totals.teams, &mut totals.tags] {
            while rows.pop_if(|row| *row == totals::Demand::default()).is_some() {}
        }
        for rows in [&mut totals.called, &mut totals.deployments] {
            while rows.pop_if(|row| *row == totals::Supply::default()).is_some() {}
        }
    }
    a == b
}

#[cfg(test)]
pub(crate) mod sample;
