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
use super::{adoption, keyring, logs};
use crate::config::gateway::GatewayConfig;
use crate::config::gateway::providers::Secret;
use crate::config::gateway::server::Server;
use crate::gateway::Gateway;
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

/// Goes over to another configuration. Returns what has gone wrong although it is in force, in words.
///
/// # Errors
/// Everything that is wrong with it, in words; nothing has changed then.
pub fn adopt(app: &App, config: GatewayConfig) -> Result<Vec<String>, Vec<String>> {
    let adopted = try_adopt(app, config);
    app.reloads.count(|counts| if adopted.is_ok() { counts.adopted += 1 } else { counts.refused += 1 });
    adopted
}

fn try_adopt(app: &App, config: GatewayConfig) -> Result<Vec<String>, Vec<String>> {
    let GatewayConfig { plan, commands, key_secrets, providers, server, alerts, budget_defaults, .. } = config;
    // One reload at a time: each is renumbered after the plan before it.
    let mut configured = app.reloads.configured.lock().unwrap_or_else(PoisonError::into_inner);
    check_fixed(&app.settings().server, &server)?;
    let before = app.engine.plan();
    let (mut plan, renumbering) = plan.following(&before);
    let settings = Settings::new(server, &plan, &providers)?;
    let secrets = read(&key_secrets)?;
    let hooks = app::hooks(&alerts)?;
    settings.offer(&mut plan);
    let commands: Vec<Command> = commands.into_iter().map(|command| renumbering.command(command)).collect();
    let next = Configured::of(&commands, &secrets);
    if app.keys.is_open() && (!next.keys.is_empty() || settings.master.is_some()) {
        return Err(vec!["the gateway was started without keys, and answers everybody: restart it to have keys, or a master key".into()]);
    }
    // Whoever makes keys waits meanwhile.
    let mut register = app.register.lock().unwrap_or_else(PoisonError::into_inner);
    let (snapshot, now, gone) = app.engine.read(|gateway, _, now| {
        let unknown = if app.keys.is_open() { Vec::new() } else { register.unknown(gateway, &next) };
        (gateway.snapshot(), now, [unknown, adoption::forgotten_budgets(gateway, &commands)].concat())
    });
    let (plan, commands) = (Arc::new(plan), [gone, commands].concat());
    adoption::rehearse(Gateway::restore(snapshot), before, now, &plan, &commands).map_err(|fault| vec![fault])?;
    app.engine.check_journal().map_err(|error| vec![format!("the journal can't be written: {error}")])?;

    app.desk.directions.set(hooks, app.engine.clock().in_life(alerts.dedupe));
    app.adopt_settings(settings);
    let mut faults = Vec::new();
    match app.engine.adopt(&plan, &commands) {
        Ok(Ok(())) => {}
        Ok(Err(refused)) => faults.push(refused.to_string()),
        Err(error) => faults.push(format!("the journal can't be written: {error}")),
    }
    for (name, secret) in &secrets {
        app.keys.put(name, secret);
    }
    for hash in configured.secrets.difference(&next.secrets) {
        app.keys.remove(hash);
    }
    // What administrators have made is told again: models and teams that it names may have come or gone.
    (register.defaults, register.configured) = (budget_defaults, next.clone());
    for note in register.restore(&app.engine, &app.keys) {
        tracing::warn!("{note}");
    }
    *configured = next;
    Ok(faults)
}

/// Refuses what can't change while it serves.
fn check_fixed(before: &Server, after: &Server) -> Result<(), Vec<String>> {
    let settings = [
        ("listen", before.listen == after.listen),
        ("journal", before.journal == after.journal),
        ("journal_segment", before.journal_segment == after.journal_segment),
        ("journal_retention", before.journal_retention == after.journal_retention),
        ("durability", before.durability == after.durability),
        ("store", before.store == after.store),
        ("cached_body_max", before.cached_body_max == after.cached_body_max),
        ("ca_file", before.ca_file == after.ca_file),
        ("connect", before.connect == after.connect),
    ];
    let changed: Vec<&str> = settings.iter().filter(|(_, is_same)| !is_same).map(|(name, _)| *name).collect();
    if changed.is_empty() { Ok(()) } else { Err(vec![format!("[server] {} can't change while it serves: restart it for that", changed.join(", "))]) }
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
            Ok(faults) => {
                logs::reloaded(Ok(()));
                for fault in faults {
                    tracing::error!(target: "gwsim::reload", "the configuration is in force, but {fault}");
                }
            }
            Err(faults) => {
                logs::reloaded(Err(&faults.trim_end()));
                app.desk.put(Notice { subject: Subject::ReloadRefused, detail: "The log says what is wrong with it.".into() });
            }
        }
    }
}
