//! `gwsim load`: a scenario's traffic, or a trace, against a live gateway, and what its users met.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hyper::Uri;
use tokio::runtime::Runtime;

use super::args::{Format, LoadArguments};
use super::check::loaded;
use super::feed::Feed;
use super::mock::{factor, variant};
use super::run::configuration;
use super::{Exit, Failure, Printer};
use crate::config;
use crate::gateway::time::Span;
use crate::report::numbers::{count, counted, latency, length, share, usd};
use crate::sim::client::Clients;
use crate::traffic::replay::link::Retries;
use crate::traffic::stream::{self, Base, Changes, Source};
use crate::traffic::trace::{Batch, Options};
use crate::twin::load::counts::Counts;
use crate::twin::load::tally::{Tally, Waits};
use crate::twin::load::{self, Load, Refused};
use crate::twin::mock::path_of;

/// Requests sent later than this (99 of 100 are earlier) were not sent as the traffic has them.
const LATE: Span = Span::from_millis(20);

/// Sends the traffic and prints what came of it.
///
/// # Errors
/// If the traffic, the target or the keys can't be read.
pub fn load(arguments: &LoadArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let keys = arguments.keys.as_deref().map(keys).transpose()?.unwrap_or_default();
    let made = |clients, counts, seed| -> Result<Load, Failure> {
        Ok(Load {
            target: target(&arguments.target)?,
            keys,
            key: arguments.key.clone(),
            clients,
            counts,
            seed: arguments.seed.unwrap_or(seed),
            connections: arguments.connections as usize,
            per_mille: arguments.speed,
            requests_max: arguments.requests.unwrap_or(u64::MAX),
            log: arguments.log.as_deref().map(log).transpose()?,
        })
    };
    let begun = Instant::now();
    let tally = if is_scenario(arguments, printer)? {
        let scenario = loaded(config::load_scenario(&arguments.traffic, &arguments.reading.options()), printer)?;
        let (traffic, seed) = (scenario.traffic.clone(), scenario.seeds.first().copied().unwrap_or(1));
        let variant = configuration(variant(scenario, arguments.variant.as_deref())?);
        let counts = Counts::new(&variant.plan, &variant.clients.tokens);
        let load = made((*variant.clients).clone(), counts, seed)?;
        let mut feed = Feed::open(&traffic, &variant, load.seed)?;
        send(load, || feed.next().map_err(|error| refused(&error)))?
    } else {
        let clients = Clients { default_model: arguments.model.clone(), ..Clients::default() };
        let base = Base::Trace { path: arguments.traffic.clone(), options: Options::default(), retries: Retries::default() };
        let mut trace = stream::open(&base, &Changes::default()).map_err(Failure::usage)?;
        send(made(clients, None, 1)?, || next(trace.as_mut()))?
    };
    let took = Span(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    match arguments.format {
        Format::Text => printer.result(&table(&tally, took, arguments.speed))?,
        Format::Json => printer.result(&format!("{:#}\n", tally.json()))?,
    }
    Ok(Exit::Pass)
}

fn log(path: &Path) -> Result<Mutex<BufWriter<File>>, Failure> {
    let file = File::create(path).map_err(|error| Failure::usage(format!("can't write {}: {error}", path.display())))?;
    Ok(Mutex::new(BufWriter::new(file)))
}

fn send(load: Load, next: impl FnMut() -> Result<Option<Arc<Batch>>, Refused>) -> Result<Tally, Failure> {
    let runtime = Runtime::new().map_err(Failure::internal)?;
    runtime.block_on(load::run(load, next)).map_err(|refused| Failure::usage(refused.message))
}

fn next(source: &mut dyn Source) -> Result<Option<Arc<Batch>>, Refused> {
    source.next_batch().map(|batch| batch.map(Arc::new)).map_err(|error| refused(&error))
}

fn refused(error: &impl std::fmt::Display) -> Refused {
    Refused { message: error.to_string() }
}

fn is_scenario(arguments: &LoadArguments, printer: &Printer) -> Result<bool, Failure> {
    if arguments.traffic.extension().is_none_or(|extension| extension != "toml") {
        return Ok(false);
    }
    config::is_scenario_file(&arguments.traffic).map_err(|diagnostics| {
        printer.note(diagnostics.render(printer.errors_in_color).trim_end());
        Failure::told(Exit::Usage)
    })
}

/// The address; without a path, the version is added.
fn target(text: &str) -> Result<Uri, Failure> {
    let wrong = |why: &str| Failure::usage(format!("--target {text}: {why}\nhint: such as http://127.0.0.1:4000"));
    let uri: Uri = text.parse().map_err(|_| wrong("it is no address"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(wrong("it is no address of a web server"));
    }
    if uri.path().trim_matches('/').is_empty() {
        return format!("{}/v1", text.trim_end_matches('/')).parse().map_err(|_| wrong("it is no address"));
    }
    Ok(uri)
}

/// `NAME=SECRET` line by line, or a folder with a file for each key.
fn keys(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let unreadable = |error: std::io::Error| Failure::usage(format!("{}: can't read it: {error}", path.display()));
    if !path.is_dir() {
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let pair = |line: &str| line.split_once('=').map(|(name, secret)| (name.trim().to_owned(), secret.trim().to_owned()));
        // The line is not shown: it may be a secret.
        let bad = |number: u32| Failure::usage(format!("{}:{number}: no NAME=SECRET", path.display()));
        return lines.map(|(number, line)| pair(line).ok_or_else(|| bad(number))).collect();
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let escaped = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let secret = fs::read_to_string(&file).map_err(unreadable)?;
        if let Some(name) = crate::twin::mock::unescaped(&escaped).filter(|name| path_of(name)[1..] == escaped) {
            found.insert(name, secret.trim().to_owned());
        }
    }
    Ok(found)
}

/// For people.
fn table(tally: &Tally, took: Span, per_mille: u64) -> String {
    let mut text =
        format!("{} sent for {} in {}, speed {}\n", counted(tally.sent, "request"), counted(tally.users, "user"), length(took), factor(per_mille));
    let mut line =
        |what: &str, users: u64, more: &str| text += &format!("  {what:<12}{:>10}  {:>7}{more}\n", count(users), share(users, tally.users));
    let mut parts = Vec::new();
    if tally.cached > 0 {
        parts.push(format!("{} from a cache", count(tally.cached)));
    }
    if tally.other_model > 0 {
        parts.push(format!("{} by another model", count(tally.other_model)));
    }
    let more = if parts.is_empty() { String::new() } else { format!("  {}", parts.join(", ")) };
    line("served", tally.served, &more);
    if tally.left > 0 {
        line("left", tally.left, "");
    }
    for (status, users) in &tally.failed {
        line(&format!("status {status}"), *users, "");
    }
    if tally.not_sent > 0 {
        text += &format!("  {} never sent: their sessions ended at a failure\n", counted(tally.not_sent, "request"));
    }
    text += &format!("{:<14}{:>10}{:>10}{:>10}\n", "", "p50", "p95", "p99");
    text += &waits("latency", &tally.latencies);
    text += &waits("first token", &tally.first_tokens);
    text += &waits("sent late", &tally.lates);
    text += &spend(tally);
    let late = tally.lates.quantile(990).unwrap_or_default();
    if late > LATE {
        text += &format!(
            "Not as the traffic has it: one request in a hundred was sent {} late or more{}.\n\
             Send fewer at a time (--speed), or from a machine with more to spare (--connections).\n",
            latency(late),
            if per_mille == 1000 { String::new() } else { format!(", which is {} of the traffic's time", latency(Span(late.0 / 1000 * per_mille))) },
        );
    }
    if per_mille > 1000 {
        text += &format!("Latencies are in the traffic's time: 1 ms of this machine counts as {}.\n", latency(Span(1000 * per_mille)));
    }
    text
}

fn waits(what: &str, waits: &Waits) -> String {
    let at = |per_mille| waits.quantile(per_mille).map_or_else(|| "-".to_owned(), latency);
    format!("  {what:<12}{:>10}{:>10}{:>10}\n", at(500), at(950), at(990))
}

fn spend(tally: &Tally) -> String {
    let tokens = format!("{} input and {} output tokens by the answers' own count", count(tally.input), count(tally.output));
    if tally.priced == 0 {
        return format!("Spend: no answer says what it has cost; {tokens}.\n");
    }
    let unpriced = tally.served.saturating_sub(tally.priced);
    let part = if unpriced > 0 { format!(" of {} ({} don't say it)", counted(tally.priced, "answer"), count(unpriced)) } else { String::new() };
    format!("Spend: {} by the headers{part}; {tokens}.\n", usd(tally.cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_a_path_gets_the_version() {
        let read = |text| target(text).map(|uri| uri.to_string()).ok();
        assert_eq!(read("http://127.0.0.1:4000").as_deref(), Some("http://127.0.0.1:4000/v1"));
        assert_eq!(read("http://127.0.0.1:4000/").as_deref(), Some("http://127.0.0.1:4000/v1"));
        assert_eq!(read("https://gateway.example/openai/v1").as_deref(), Some("https://gateway.example/openai/v1"));
        assert_eq!((read("127.0.0.1:4000"), read("ftp://x"), read("")), (None, None, None));
    }

    #[test]
    fn secrets_come_from_lines_or_from_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a%20b"), "sk-1\n").unwrap();
        assert_eq!(keys(folder.path()).unwrap(), BTreeMap::from([("a b".into(), "sk-1".into())]));
        let file = folder.path().join("keys");
        fs::write(&file, "# of today\nintern = sk-2\n\nbot=sk=3\n").unwrap();
        assert_eq!(keys(&file).unwrap(), BTreeMap::from([("intern".into(), "sk-2".into()), ("bot".into(), "sk=3".into())]));
        fs::write(&file, "sk-secret-alone").unwrap();
        assert!(keys(&file).is_err());
    }
}
