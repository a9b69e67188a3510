//! `gwsim serve`: the gateway itself. Starts it, says where it is, and lets it down gently.

use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::args::ServeArguments;
use super::check::loaded;
use super::{Exit, Failure, Printer};
use crate::config::diagnostic::Diagnostics;
use crate::config::{self, Loaded, gateway::GatewayConfig};
use crate::gateway::time::Span;
use crate::serve::app::{App, Start};
use crate::serve::reload::{self, Reread, Watched};
use crate::serve::{listener, logs, restart};

/// How many threads may wait for disks and count tokens beside those that serve.
const BLOCKED_MAX: usize = 64;

/// Serves until it is told to stop.
///
/// # Errors
/// If the configuration is wrong, a secret is missing, or the address is taken.
pub fn serve(arguments: &ServeArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let read = read(arguments);
    let watched = Watched::new(files(arguments, &read));
    let config = overridden(loaded(read, printer)?, arguments);
    let filter = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let in_color = printer.errors_in_color && arguments.log_format == logs::Format::Text;
    let logs = logs::install(arguments.log_format, filter.as_deref().unwrap_or(logs::FILTER), in_color).map_err(Failure::usage)?;
    let journal = config.server.journal.clone().map(Into::into);
    let address: SocketAddr = config.server.listen.parse().map_err(|_| Failure::usage(format!("{} is no address", config.server.listen)))?;
    let seed = arguments.seed.map_or_else(getrandom::u64, Ok).map_err(|error| Failure::internal(format!("no random seed: {error}")))?;
    let start = Start { per_mille: arguments.speed, seed, journal, observers: restart::planted(), broken: Box::new(restart::restart) };
    let mut builder = Builder::new_multi_thread();
    // Requests that wait for a disk take a thread each: more of them would make no disk faster, and each costs memory.
    builder.enable_all().max_blocking_threads(BLOCKED_MAX).thread_keep_alive(Duration::from_secs(2));
    let runtime = builder.build().map_err(|error| Failure::internal(format!("no threads: {error}")))?;
    let (app, notes) = runtime.block_on(async { App::new(*Box::new(config), start) }).map_err(|faults| Failure::usage(faults.join("\nerror: ")))?;
    for note in notes {
        match arguments.log_format {
            logs::Format::Text => printer.note(format!("note: {note}")),
            logs::Format::Json => tracing::warn!("{note}"),
        }
    }
    let listener = runtime.block_on(TcpListener::bind(address)).map_err(|error| Failure::usage(format!("can't listen on {address}: {error}")))?;
    let address = listener.local_addr().map_err(|error| Failure::internal(format!("no address: {error}")))?;
    let hangup = runtime.block_on(async { signal(SignalKind::hangup()) }).map_err(|error| Failure::internal(format!("no signals: {error}")))?;
    printer.result(&format!("listening on http://{address}\n"))?;
    let app = Arc::new(app);
    runtime.spawn(reloading(app.clone(), hangup, watched, arguments.clone()));
    let drained = run(&runtime, &app, listener)?;
    // Who is not done by now is dropped: the core presumes what it cost.
    runtime.shutdown_timeout(Duration::from_secs(1));
    logs.flush(Duration::from_secs(1));
    app.engine.close().map_err(|error| Failure::internal(format!("can't write the journal: {error}")))?;
    Ok(if drained { Exit::Pass } else { Exit::Incomplete })
}

fn read(arguments: &ServeArguments) -> Result<Loaded<GatewayConfig>, Diagnostics> {
    config::load_gateway(&arguments.config, &arguments.reading.options())
}

/// The files that a configuration was read from, and those that its secrets are in.
fn files(arguments: &ServeArguments, read: &Result<Loaded<GatewayConfig>, Diagnostics>) -> Vec<PathBuf> {
    let (texts, secrets) = match read {
        Ok(loaded) => (&loaded.warnings, loaded.value.secret_files()),
        Err(diagnostics) => (diagnostics, Vec::new()),
    };
    let named = texts.sources().map(|(name, _)| PathBuf::from(name));
    named.chain(secrets).chain([arguments.config.clone()]).collect()
}

/// The configuration, with what the command line says in its place.
fn overridden(mut config: GatewayConfig, arguments: &ServeArguments) -> GatewayConfig {
    if let Some(address) = arguments.listen {
        config.server.listen = address.to_string();
    }
    if let Some(folder) = &arguments.journal {
        config.server.journal = Some(folder.display().to_string());
    }
    config
}

/// Loads the configuration again whenever a file of it changes, or SIGHUP asks for it.
async fn reloading(app: Arc<App>, hangup: Signal, watched: Watched, arguments: ServeArguments) {
    let load = || {
        let read = read(&arguments);
        let files = files(&arguments, &read);
        let config = read.map(|loaded| overridden(loaded.value, &arguments)).map_err(|diagnostics| diagnostics.render(false));
        Reread { files, config }
    };
    reload::watch(app, hangup, watched, load).await;
}

/// Serves, and says whether every request had its end.
fn run(runtime: &Runtime, app: &Arc<App>, listener: TcpListener) -> Result<bool, Failure> {
    let clock = app.engine.clock();
    runtime.spawn(tick(app.clone(), clock.in_life(Span::SECOND)));
    let keeper = app.clone();
    thread::Builder::new()
        .name("journal".into())
        .spawn(move || keep_journal(&keeper))
        .map_err(|error| Failure::internal(format!("can't start the journal's thread: {error}")))?;
    runtime.block_on(async {
        let serving = tokio::spawn(listener::serve(app.clone(), listener));
        told_to_stop().await.map_err(|error| Failure::internal(format!("can't wait for signals: {error}")))?;
        app.shutdown.begin();
        let _ = serving.await;
        // As the configuration of today says.
        let drain = app.settings().server.drain;
        Ok(app.shutdown.drained(clock.in_life(drain)).await)
    })
}

async fn tick(app: Arc<App>, every: Duration) {
    let mut interval = tokio::time::interval(every.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        interval.tick().await;
        app.engine.tick();
    }
}

/// Sees to the journal once a second of life, for ever. On a thread of its own: it may have to wait for a disk, and what a checkpoint has needed of
/// memory is there for the next one.
fn keep_journal(app: &App) {
    loop {
        thread::sleep(Duration::from_secs(1));
        match panic::catch_unwind(AssertUnwindSafe(|| app.engine.keep_journal())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the journal can't be kept"),
            Err(_) => tracing::error!("keeping the journal has panicked; it is tried again"),
        }
    }
}

/// Ready when the process is asked to end: Ctrl-C, or SIGTERM.
pub(super) async fn told_to_stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}
