//! Another configuration while requests are in flight: checked whole before anything changes, and kept out if anything is wrong with it. Decides
//! nothing about requests: those that have arrived keep the plan that they were admitted under.

mod watched;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::Signal;

pub use self::watched::Watched;
use super::alerts::{Notice, Subject};
use super::app::{self, App, Settings};
use super::{keyring, logs};
use crate::config::gateway::GatewayConfig;
use crate::config::gateway::providers::Secret;
use crate::config::gateway::server::Server;
use crate::gateway::command::Command;

/// How often files are looked at for a change.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the configuration in force has made, so that the next one can take it away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configured {
    /// Teams, by name.
    pub teams: BTreeSet<String>,
    /// Keys, by name.
    pub keys: BTreeSet<String>,
    /// The SHA-256 of the secrets of those that have one.
    pub secrets: BTreeSet<[u8; 32]>,
}

/// What a gateway was configured with, and how often that has changed.
#[derive(Debug, Default)]
pub struct Reloads {
    configured: Mutex<Configured>,
    counts: Mutex<Counts>,
}

/// Reloads since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Configurations that were adopted.
    pub adopted: u64,
    /// Configurations that were refused: the one before is in force.
    pub refused: u64,
}

impl Configured {
    /// What the commands of a configuration make, with the secrets that it names. One that can't be read is told of by whoever needs it.
    pub fn at_start(commands: &[Command], secrets: &[(String, Secret)]) -> Self {
        Self::of(commands, &read(secrets).unwrap_or_default())
    }

    fn of(commands: &[Command], secrets: &[(String, String)]) -> Self {
        let mut made = Self { secrets: secrets.iter().map(|(_, secret)| keyring::hash(secret)).collect(), ..Self::default() };
        for command in commands {
            match command {
                Command::PutTeam { name, .. } => made.teams.insert(name.clone()),
                Command::PutKey { name, .. } => made.keys.insert(name.clone()),
                _ => false,
            };
        }
        made
    }

    /// What takes away what only `before` has.
    fn deletions(&self, before: &Self) -> Vec<Command> {
        let keys = before.keys.difference(&self.keys).map(|name| Command::DeleteKey { name: name.clone() });
        let teams = before.teams.difference(&self.teams).map(|name| Command::DeleteTeam { name: name.clone() });
        keys.chain(teams).collect()
    }
}

impl Reloads {
    /// Those of a gateway that was started with this.
    pub fn new(configured: Configured) -> Self {
        Self { configured: Mutex::new(configured), counts: Mutex::default() }
    }

    /// How many there were.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Goes over to another configuration.
///
/// # Errors
/// Everything that is wrong with it, in words; nothing has changed then.
pub fn adopt(app: &App, config: GatewayConfig) -> Result<(), Vec<String>> {
    let adopted = try_adopt(app, config);
    app.reloads.count(|counts| if adopted.is_ok() { counts.adopted += 1 } else { counts.refused += 1 });
    adopted
}

fn try_adopt(app: &App, config: GatewayConfig) -> Result<(), Vec<String>> {
    let GatewayConfig { plan, commands, key_secrets, providers, server, alerts, budget_defaults, .. } = config;
    // One reload at a time: each is renumbered after the plan before it.
    let mut configured = app.reloads.configured.lock().unwrap_or_else(PoisonError::into_inner);
    let before = app.settings();
    let fixed = |server: &Server| (server.listen.clone(), server.journal.clone(), server.store.clone(), server.ca_file.clone());
    if fixed(&server) != fixed(&before.server) {
        return Err(vec!["[server] listen, journal, store and ca_file can't change while it serves: restart it for that".into()]);
    }
    let (mut plan, renumbering) = plan.following(&app.engine.plan());
    let settings = Settings::new(server, &plan, &providers)?;
    let secrets = read(&key_secrets)?;
    let hooks = app::hooks(&alerts)?;
    settings.offer(&mut plan);
    let commands: Vec<Command> = commands.into_iter().map(|command| renumbering.command(command)).collect();
    let next = Configured::of(&commands, &secrets);
    if app.keys.is_open() && !next.keys.is_empty() {
        return Err(vec!["the gateway was started without keys, and answers everybody: restart it to have keys".into()]);
    }

    app.desk.directions.set(hooks, app.engine.clock().in_life(alerts.dedupe));
    app.adopt_settings(settings);
    app.engine.adopt(Arc::new(plan));
    let mut faults = Vec::new();
    for command in commands.into_iter().chain(next.deletions(&configured)) {
        match app.engine.command(command) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => faults.push(format!("a command was not carried out: {error:?}")),
            Err(error) => faults.push(format!("the journal can't be written: {error}")),
        }
    }
    for (name, secret) in &secrets {
        app.keys.put(name, secret);
    }
    for hash in configured.secrets.difference(&next.secrets) {
        app.keys.remove(hash);
    }
    // What administrators have made is told again: models and teams that it names may have come or gone.
    let mut register = app.register.lock().unwrap_or_else(PoisonError::into_inner);
    (register.defaults, register.configured) = (budget_defaults, next.clone());
    for note in register.restore(&app.engine, &app.keys) {
        tracing::warn!("{note}");
    }
    *configured = next;
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Reads secrets from where they are.
///
/// # Errors
/// Every one that is not there, in words.
fn read(secrets: &[(String, Secret)]) -> Result<Vec<(String, String)>, Vec<String>> {
    let (read, faults): (Vec<_>, Vec<_>) = secrets
        .iter()
        .map(|(name, secret)| secret.read().map(|read| (name.clone(), read)).map_err(|fault| format!("key `{name}`: {fault}")))
        .partition(Result::is_ok);
    if faults.is_empty() { Ok(read.into_iter().flatten().collect()) } else { Err(faults.into_iter().filter_map(Result::err).collect()) }
}

/// What came of loading a configuration: the files that were read for it, and the configuration.
pub struct Reread {
    /// The files; of one that was refused those that were read by then.
    pub files: Vec<PathBuf>,
    /// The configuration, or what is wrong with it in words.
    pub config: Result<GatewayConfig, String>,
}

/// Loads the configuration again with every `hangup`, and whenever one of the files that it was read from has changed. The log says what came of it.
pub async fn watch(app: Arc<App>, mut hangup: Signal, mut watched: Watched, load: impl Fn() -> Reread) {
    loop {
        let asked = tokio::time::timeout(LOOK_EVERY, hangup.recv()).await.is_ok();
        let have_changed = watched.have_changed();
        if !asked && !have_changed {
            continue;
        }
        let Reread { files, config } = load();
        match config {
            Ok(_) => watched.only(files),
            // What is in force was read from the others.
            Err(_) => watched.also(files),
        }
        let loaded = config.inspect_err(|_| app.reloads.count(|counts| counts.refused += 1));
        match loaded.and_then(|config| adopt(&app, config).map_err(|faults| faults.join("\n"))) {
            Ok(()) => logs::reloaded(Ok(())),
            Err(faults) => {
                logs::reloaded(Err(&faults.trim_end()));
                app.desk.put(Notice { subject: Subject::ReloadRefused, detail: "The log says what is wrong with it.".into() });
            }
        }
    }
}
