//! What is in a trace, at a glance. Decides which facts a person needs before replaying it; prices nothing itself.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::error::thousands;
use super::order::{apart, date};
use super::row::{Batch, Row};
use super::{Options, Order, Trace, TraceError};
use crate::gateway::id::Map;
use crate::gateway::money::Money;
use crate::gateway::request::Fingerprint;
use crate::gateway::time::{Span, Time};
use crate::traffic::replay::coverage::Coverage;

/// A trace in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The file.
    pub file: String,
    /// The format, by name.
    pub format: &'static str,
    /// Requests.
    pub rows: u64,
    /// Arrival of the first and last request, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// See `first_ns`.
    pub last_ns: u64,
    /// Input tokens.
    pub input: Lengths,
    /// Output tokens of the requests that state them.
    pub output: Lengths,
    /// Requests for each model, in order of first appearance.
    pub models: Vec<(String, u64)>,
    /// Different keys.
    pub keys: u64,
    /// Different teams.
    pub teams: u64,
    /// Different sessions.
    pub sessions: u64,
    /// Requests whose exact duplicate came at most an hour before: what a response cache could answer.
    pub duplicates_within_1h: u64,
    /// Most requests that arrived in any 60 seconds.
    pub busiest_minute: u64,
    /// Standard deviation of the time between arrivals over its mean: 1 for random arrivals, more for bursts. None for fewer than 3 requests.
    pub gap_variation: Option<f64>,
    /// Requests that arrived at the same instant as the one before.
    pub same_instant: u64,
    /// Requests that are earlier than one before them.
    pub earlier_rows: u64,
    /// The furthest that one is behind, nanoseconds.
    pub furthest_back_ns: u64,
    /// What the rows say, and what they don't.
    pub coverage: Coverage,
    /// What was inferred about the file.
    pub notes: Vec<String>,
}

/// Lengths in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Lengths {
    /// Requests that state a length.
    pub stated: u64,
    /// All tokens together.
    pub total: u64,
    /// The length that half of the requests do not exceed (nearest rank).
    pub p50: u32,
    /// The length that 95 % do not exceed.
    pub p95: u32,
    /// The length that 99 % do not exceed.
    pub p99: u32,
    /// The longest.
    pub max: u32,
}

/// Reads the trace at `path` once and sums it up. `price` says what a request costs that names this model, where the log does not. Rows out of
/// order are counted, not refused, unless the options ask for [`Order::Sort`].
///
/// # Errors
/// As [`Trace::open`] and [`Trace::next_batch`].
pub fn info(path: &Path, options: Options, price: impl FnMut(Option<&str>, &Batch, &Row) -> Option<Money>) -> Result<Summary, TraceError> {
    let order = if options.order == Order::Sort { Order::Sort } else { Order::Count };
    summarise(Trace::open(path, Options { order, ..options })?, price)
}

/// Reads a trace to its end and sums it up. `price` as in [`info`].
///
/// # Errors
/// As [`Trace::next_batch`].
pub fn summarise(mut trace: Trace, mut price: impl FnMut(Option<&str>, &Batch, &Row) -> Option<Money>) -> Result<Summary, TraceError> {
    let mut tally = Tally::default();
    while let Some(batch) = trace.next_batch()? {
        for row in &batch.rows {
            tally.see(row);
            let recorded = batch.recorded(row).and_then(|recorded| recorded.cost);
            let model = row.model.map(|model| trace.names().models.name(model.number()));
            tally.coverage.see(&batch, row, recorded.or_else(|| price(model, &batch, row)));
        }
    }
    let names = trace.names();
    let (earlier_rows, furthest_back) = trace.disorder();
    Ok(Summary {
        file: trace.file().display().to_string(),
        format: trace.format().name(),
        rows: tally.rows,
        first_ns: tally.first.map_or(0, |at| at.0),
        last_ns: tally.last.0,
        input: tally.input.lengths(),
        output: tally.output.lengths(),
        models: names.models.names().iter().cloned().zip(tally.models.iter().copied()).collect(),
        keys: names.keys.names().len() as u64,
        teams: names.teams.names().len() as u64,
        sessions: names.sessions.names().len() as u64,
        duplicates_within_1h: tally.recent.duplicates,
        busiest_minute: tally.busiest_minute,
        gap_variation: tally.gaps.variation(),
        same_instant: tally.same_instant,
        earlier_rows,
        furthest_back_ns: furthest_back.0,
        coverage: tally.coverage,
        notes: trace.notes().to_vec(),
    })
}

/// What has been seen so far. Memory: the different lengths, the fingerprints of an hour and the arrivals of a minute.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    first: Option<Time>,
    last: Time,
    input: Histogram,
    output: Histogram,
    models: Vec<u64>,
    recent: Recent,
    minute: VecDeque<Time>,
    busiest_minute: u64,
    gaps: Gaps,
    same_instant: u64,
    coverage: Coverage,
}

impl Tally {
    fn see(&mut self, row: &Row) {
        self.rows += 1;
        if self.first.is_some() {
            self.gaps.see(row.at.since(self.last));
            self.same_instant += u64::from(row.at == self.last);
        }
        // A row out of order counts as if it had come with the latest one: the summary says how many those are.
        self.last = self.last.max(row.at);
        self.first = Some(self.first.map_or(row.at, |first| first.min(row.at)));
        self.input.see(row.input_tokens);
        row.output_tokens.iter().for_each(|tokens| self.output.see(*tokens));
        if let Some(model) = row.model {
            self.models.resize(self.models.len().max(model.index() + 1), 0);
            self.models[model.index()] += 1;
        }
        self.recent.see(row.fingerprint, self.last);
        self.minute.push_back(self.last);
        while self.minute.front().is_some_and(|at| self.last.since(*at) >= Span::MINUTE) {
            self.minute.pop_front();
        }
        self.busiest_minute = self.busiest_minute.max(self.minute.len() as u64);
    }
}

/// Fingerprints of the last hour, each counted from when it was last seen.
#[derive(Debug, Default)]
struct Recent {
    last_seen: Map<Fingerprint, Time>,
    sightings: VecDeque<(Time, Fingerprint)>,
    duplicates: u64,
}

impl Recent {
    const HOUR: Span = Span::from_secs(3600);

    fn see(&mut self, fingerprint: Fingerprint, now: Time) {
        if fingerprint.is_unique() {
            return;
        }
        while let Some((at, old)) = self.sightings.front().copied().filter(|(at, _)| now.since(*at) > Self::HOUR) {
            self.sightings.pop_front();
            if self.last_seen.get(&old) == Some(&at) {
                self.last_seen.remove(&old);
            }
        }
        self.duplicates += u64::from(self.last_seen.insert(fingerprint, now).is_some());
        self.sightings.push_back((now, fingerprint));
    }
}

/// How often each length occurs: exact percentiles in memory of the different lengths.
#[derive(Debug, Default)]
struct Histogram(BTreeMap<u32, u64>);

impl Histogram {
    fn see(&mut self, length: u32) {
        *self.0.entry(length).or_default() += 1;
    }

    fn lengths(&self) -> Lengths {
        let stated = self.0.values().sum();
        let total = self.0.iter().map(|(length, count)| u64::from(*length) * count).sum();
        let max = self.0.last_key_value().map_or(0, |(length, _)| *length);
        Lengths { stated, total, p50: self.rank(stated, 50), p95: self.rank(stated, 95), p99: self.rank(stated, 99), max }
    }

    fn rank(&self, stated: u64, percent: u64) -> u32 {
        let rank = (stated * percent).div_ceil(100);
        let mut passed = 0;
        let found = self.0.iter().find(|(_, count)| {
            passed += **count;
            passed >= rank
        });
        found.map_or(0, |(length, _)| *length)
    }
}

/// Mean and variance of the gaps between arrivals (Welford).
#[derive(Debug, Default)]
struct Gaps {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Gaps {
    fn see(&mut self, gap: Span) {
        self.count += 1;
        let gap = gap.0 as f64;
        let difference = gap - self.mean;
        self.mean += difference / self.count as f64;
        self.squares += difference * (gap - self.mean);
    }

    fn variation(&self) -> Option<f64> {
        (self.count >= 2 && self.mean > 0.0).then(|| (self.squares / self.count as f64).sqrt() / self.mean)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = Time(self.last_ns).since(Time(self.first_ns));
        writeln!(f, "{} ({}): {} over {}", self.file, self.format, counted(self.rows, "request"), apart(span))?;
        writeln!(f, "  {} to {}", date(Time(self.first_ns)), date(Time(self.last_ns)))?;
        lengths(f, "input", self.input)?;
        lengths(f, "output", self.output)?;
        let per_second = if span > Span::ZERO { self.rows as f64 / (span.0 as f64 / 1e9) } else { self.rows as f64 };
        write!(f, "  arrivals: {per_second:.2} a second, {} in the busiest minute", thousands(self.busiest_minute))?;
        if let Some(variation) = self.gap_variation {
            write!(f, ", gaps vary by {variation:.1} (1 = random)")?;
        }
        writeln!(f, "\n  at the same instant as the one before: {}", self.share(self.same_instant))?;
        for (model, requests) in self.models.iter().take(10) {
            writeln!(f, "  model {model}: {} ({})", counted(*requests, "request"), self.share(*requests))?;
        }
        if self.models.len() > 10 {
            writeln!(f, "  and {} more models", thousands(self.models.len() as u64 - 10))?;
        }
        writeln!(f, "  {}, {}, {}", counted(self.keys, "key"), counted(self.teams, "team"), counted(self.sessions, "session"))?;
        writeln!(f, "  exact duplicates within 1 h: {} ({})", thousands(self.duplicates_within_1h), self.share(self.duplicates_within_1h))?;
        write!(f, "{}", self.coverage)?;
        if self.earlier_rows > 0 {
            let back = apart(Span(self.furthest_back_ns));
            let rows = counted(self.earlier_rows, "row");
            writeln!(f, "  OUT OF ORDER: {rows}, up to {back} back; sort with `gwsim trace convert --sort IN OUT`")?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        Ok(())
    }
}

impl Summary {
    /// A part of the requests in per cent, by integers: `37.1 %`.
    fn share(&self, part: u64) -> String {
        let per_mille = (part * 1000 + self.rows / 2).checked_div(self.rows).unwrap_or(0);
        if per_mille == 0 && part > 0 {
            return "less than 0.1 %".to_owned();
        }
        format!("{}.{} %", per_mille / 10, per_mille % 10)
    }
}

/// `1 request`, `2,000 requests`.
fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", thousands(number), if number == 1 { "" } else { "s" })
}

fn lengths(f: &mut fmt::Formatter<'_>, what: &str, lengths: Lengths) -> fmt::Result {
    if lengths.stated == 0 {
        return writeln!(f, "  {what}: not recorded");
    }
    let [p50, p95, p99, max] = [lengths.p50, lengths.p95, lengths.p99, lengths.max].map(|tokens| thousands(tokens.into()));
    writeln!(f, "  {what}: {} tokens; p50 {p50}, p95 {p95}, p99 {p99}, longest {max}", thousands(lengths.total))
}
