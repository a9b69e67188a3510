//! What the gateway writes to stderr while it serves: a line a request, and what a person should look at. Decides what is in a line: never a secret,
//! nor what somebody said. Decides nothing else.
//!
//! A line is put together where it happens, after the lock is given back, and written by a thread of its own, with whatever has gathered: who reads
//! stderr slowly, or not at all, costs lines (they are counted) and no request its time.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use axum::http::StatusCode;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::gateway::journal::Outcome;
use crate::gateway::money::Money;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};

use super::metrics::tally;

/// What is written if `RUST_LOG` does not say.
pub const FILTER: &str = "warn,gwsim=info";

/// Lines that may wait to be written; what comes while so many wait is counted and dropped.
const WAITING_MAX: usize = 8192;
/// How much is written at once, in bytes.
const BATCH: usize = 64 << 10;
/// How long lines gather before the next batch. To wake a thread for every line costs its request more than the line.
const GATHERING: Duration = Duration::from_millis(10);

/// Lines that there was no room for, in the life of the process. There is one stderr, and one subscriber.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

/// The log of a process, from [`install`] on.
#[derive(Debug)]
pub struct Logs(SyncSender<Message>);

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// All before it is written; the other side waits for that.
    Flush(SyncSender<()>),
}

/// Has everything that the process says from now on written to stderr. `filter` is in the words of `RUST_LOG`.
///
/// # Errors
/// If the filter is none, or the process has a log already.
pub fn install(format: Format, filter: &str, in_color: bool) -> Result<Logs, String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("RUST_LOG: {error}"))?;
    let (sender, lines) = sync_channel(WAITING_MAX);
    std::thread::Builder::new().name("log".into()).spawn(move || write_out(&lines)).map_err(|error| format!("no thread for the log: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(in_color).with_writer(Writer(sender.clone()));
    let installed = match format {
        Format::Text => builder.with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    installed.map_err(|error| error.to_string())?;
    Ok(Logs(sender))
}

/// Lines that there was no room for, since the process began.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

impl Logs {
    /// Waits until what was said is written, but no longer than `most`.
    pub fn flush(&self, most: Duration) {
        let (written, wait) = sync_channel(1);
        if self.0.try_send(Message::Flush(written)).is_ok() {
            let _ = wait.recv_timeout(most);
        }
    }
}

/// Hands lines to the thread that writes them.
#[derive(Clone)]
struct Writer(SyncSender<Message>);

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.0.try_send(Message::Line(line.to_vec())) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_out(lines: &Receiver<Message>) {
    let mut batch = Vec::with_capacity(BATCH);
    // Nobody can be told that stderr is gone.
    let write = |batch: &mut Vec<u8>| {
        let _ = io::stderr().write_all(batch);
        batch.clear();
    };
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::Flush(written) => {
                    write(&mut batch);
                    let _ = written.send(());
                }
            }
            next = if batch.len() < BATCH { lines.try_recv().ok() } else { None };
        }
        let is_all = batch.len() < BATCH;
        write(&mut batch);
        if is_all {
            std::thread::sleep(GATHERING);
        }
    }
}

/// What is kept of a request for its line, while it is in flight.
#[derive(Debug)]
pub struct Line {
    /// The name of its key.
    pub key: Arc<str>,
    /// When it arrived.
    pub arrived: Time,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// What its client was told.
    pub status: Option<StatusCode>,
    /// What its provider said that it bills, all calls together.
    pub usage: Usage,
}

/// What is known of a request once all is over.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Its identity in the journal.
    pub request: u64,
    /// The model asked for, by the configuration's name; a name that a client made up is none.
    pub model: &'a str,
    /// The deployment that was called last.
    pub deployment: Option<&'a str>,
    /// How many calls were made.
    pub attempts: u32,
    /// What they cost.
    pub spent: Money,
    /// Its trace context, as it went on to the provider.
    pub traceparent: &'a str,
    /// Now.
    pub now: Time,
}

impl Line {
    /// Of a request that arrives.
    pub fn new(key: Arc<str>, arrived: Time) -> Self {
        Self { key, arrived, outcome: None, status: None, usage: Usage::default() }
    }

    /// What a call was billed.
    pub fn add(&mut self, usage: Usage) {
        self.usage.input = self.usage.input.saturating_add(usage.input);
        self.usage.output = self.usage.output.saturating_add(usage.output);
    }

    /// Writes it.
    pub fn write(&self, facts: &Facts<'_>) {
        let why = match self.outcome {
            Some(Outcome::Refused(denial)) => Some(tally::reason(denial)),
            Some(Outcome::Failed(failure)) => Some(failure.class.name()),
            _ => None,
        };
        tracing::info!(
            target: "gwsim::request",
            request = facts.request,
            key = &*self.key,
            model = facts.model,
            deployment = facts.deployment,
            attempts = facts.attempts,
            outcome = self.outcome.map_or("cut_off", tally::end),
            why,
            status = self.status.map(|status| status.as_u16()),
            milliseconds = milliseconds(facts.now.since(self.arrived)),
            input_tokens = self.usage.input,
            output_tokens = self.usage.output,
            dollars = %facts.spent.decimal(),
            trace = facts.traceparent.get(3..35),
            "request"
        );
    }
}

/// A request that the core has not seen: without a key that is known, or none at all.
pub fn turned_away(key: Option<&str>, status: StatusCode) {
    tracing::info!(target: "gwsim::request", key, outcome = "turned_away", status = status.as_u16(), "request");
}

/// Something that somebody should look at.
pub fn notice(kind: &'static str, text: &str) {
    tracing::warn!(target: "gwsim::notice", kind, "{text}");
}

/// The wall has gone ahead, and the gateway's time with it.
pub fn clock_went_on(by: Span) {
    let seconds = by.0 / Span::SECOND.0;
    tracing::warn!(target: "gwsim::clock", seconds, "the machine's clock has gone ahead, as after a suspension, and the gateway's time with it");
}

/// What has become of a changed configuration.
pub fn reloaded(result: Result<(), &dyn fmt::Display>) {
    match result {
        Ok(()) => tracing::info!(target: "gwsim::reload", "the configuration was loaded again"),
        Err(faults) => {
            tracing::warn!(target: "gwsim::reload", "the configuration was not loaded again, the one before is in force:\n{faults}");
        }
    }
}

fn milliseconds(span: Span) -> u64 {
    span.0 / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_read_the_log_costs_lines_and_nobody_any_time() {
        let (sender, unread) = sync_channel(2);
        let mut writer = Writer(sender);
        let before = dropped();
        for _ in 0..5 {
            writer.write_all(b"a line\n").unwrap();
        }
        assert_eq!(dropped() - before, 3);
        assert_eq!(unread.try_iter().count(), 2);
        drop(unread);
        writer.write_all(b"to nobody\n").unwrap();
    }
}
