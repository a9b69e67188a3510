//! A live gateway as a whole, put together from its configuration. Knows every part of the room and what they are started with; handles no request.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};

use super::admin::{Register, instant};
use super::adoption::{self, Turns};
use super::alerts::{self, Desk, Hook, Notice, Subject, Target};
use super::clock::{self, Clock};
use super::engine::{Engine, Parts};
use super::exchange::Counter;
use super::keyring::{self, KeyRing};
use super::metrics::Metrics;
use super::observe::{Observer, Recorder};
use super::reload::{Configured, Reloads};
use super::shutdown::Shutdown;
use super::spend::SpendBook;
use super::store;
use super::upstream::{self, Destination, NotServable};
use crate::config::gateway::providers::{HeaderText, Provider};
use crate::config::gateway::server::{Durability, Server};
use crate::config::gateway::{Alerts, GatewayConfig};
use crate::gateway::Gateway;
use crate::gateway::command::{Command, CommandError, KeySpec};
use crate::gateway::features::Features;
use crate::gateway::plan::{Plan, ServiceClass};
use crate::gateway::time::{Span, Time};
use crate::journal::{self, Buffer, Opened, Taken};
use crate::wire::features;

/// The one key of a gateway that has none.
pub const EVERYBODY: &str = "everybody";

/// A live gateway. One `Arc` of it is the state of every route.
pub struct App {
    /// The core.
    pub engine: Arc<Engine>,
    /// What of the configuration is not the plan; swapped when it is loaded again.
    settings: RwLock<Arc<Settings>>,
    /// Who a secret is.
    pub keys: KeyRing,
    /// The keys and teams that administrators have made. Who has it may wait for the disk: not to be taken where requests are handled.
    pub register: Mutex<Register>,
    /// What was spent, and by whom.
    pub spend: SpendBook,
    /// Calls providers.
    pub upstream: upstream::Client,
    /// Counts what requests come to, where it has to be known.
    pub counter: Counter,
    /// What has been counted since the start.
    pub metrics: Metrics,
    /// Takes notices for people.
    pub desk: Desk,
    /// What it was configured with.
    pub reloads: Reloads,
    /// Whether it is going down.
    pub shutdown: Shutdown,
    /// The first half of the trace ids that it makes.
    pub trace_seed: u64,
}

/// What of the configuration is not the plan.
#[derive(Debug)]
pub struct Settings {
    /// How it serves.
    pub server: Server,
    /// The SHA-256 of the master key, if there is one.
    pub master: Option<[u8; 32]>,
    /// Where deployments are, by number; those that can't be reached have none, and offer nothing.
    pub destinations: Vec<Result<Destination, NotServable>>,
}

/// What a gateway is started with beside its configuration.
pub struct Start {
    /// How fast its time goes, in thousandths of life.
    pub per_mille: u64,
    /// Keys its draws.
    pub seed: u64,
    /// The folder of its journal, if it keeps one.
    pub journal: Option<PathBuf>,
    /// Who is told of every fact.
    pub observers: Vec<Box<dyn Observer>>,
    /// Starts the process again after a panic in the core.
    pub broken: Box<dyn Fn() + Send + Sync>,
}

impl App {
    /// Puts a gateway together, within a runtime. Returns what its operator should know with it.
    ///
    /// # Errors
    /// Everything that keeps it from starting, in words: secrets that are not there, keys that nobody could use.
    pub fn new(config: GatewayConfig, mut start: Start) -> Result<(Self, Vec<String>), Vec<String>> {
        let GatewayConfig { mut plan, mut commands, key_secrets, providers, server, alerts, budget_defaults, .. } = config;
        let mut faults = Vec::new();
        let path = server.store.as_ref().map(PathBuf::from);
        let stored = store::open(path.as_deref()).and_then(|store| Register::open(store, budget_defaults)).map_err(|error| vec![error.to_string()]);
        let mut register = stored?;
        let mut spend = SpendBook::default();
        let taken = start.journal.as_deref().map(|folder| journal::take(folder, &mut spend)).transpose().map_err(|error| vec![error.to_string()])?;
        if let Some(old) = taken.as_ref().and_then(Taken::plan) {
            let (following, renumbering) = plan.following(old);
            plan = following;
            commands = commands.into_iter().map(|command| renumbering.command(command)).collect();
        }
        let tls = upstream::tls(server.ca_file.as_deref()).map_err(|fault| faults.push(format!("[server] ca_file: {fault}"))).ok();
        let settings = Settings::new(server, &plan, &providers).map_err(|found| faults.extend(found)).ok();
        register.configured = Configured::at_start(&commands, &key_secrets);
        let reloads = Reloads::new(register.configured.clone());
        let (keys, mut notes) = keys(&mut commands, &key_secrets, settings.as_ref().map(|settings| &settings.server), &register, &mut faults);
        let hooks = hooks(&alerts).map_err(|found| faults.extend(found)).unwrap_or_default();
        let (Some(settings), Some(tls), true) = (settings, tls, faults.is_empty()) else { return Err(faults) };
        settings.offer(&mut plan);
        notes.extend(settings.not_servable(&plan));
        let connect = settings.server.connect;
        let metrics = Metrics::default();
        start.observers.push(metrics.observer());
        let (desk, notices) = Desk::new();
        start.observers.push(desk.observer());
        start.observers.push(Box::new(spend.clone()));
        let last = taken.as_ref().and_then(Taken::last_turn_at).filter(|_| start.per_mille == clock::LIFE);
        let behind = last.and_then(|last| behind(clock::wall(), last));
        // The one key of an open gateway is nobody's.
        let unknown = |gateway: &Gateway| if keys.is_open() { Vec::new() } else { register.unknown(gateway, &register.configured) };
        let engine = engine((plan, commands), unknown, taken, &settings.server, start, &mut spend, &mut notes).map_err(|fault| vec![fault])?;
        notes.extend(register.restore(&engine, &keys));
        let engine = Arc::new(engine);
        let clock = engine.clock();
        let upstream = upstream::Client::new(clock.in_life(connect), tls);
        desk.directions.set(hooks, clock.in_life(alerts.dedupe));
        tokio::spawn(alerts::deliver(notices, desk.directions.clone(), engine.clone(), upstream.clone(), desk.deliveries.clone()));
        if let Some(notice) = behind {
            desk.put(notice);
        }
        let app = Self {
            engine,
            settings: RwLock::new(Arc::new(settings)),
            keys,
            register: Mutex::new(register),
            spend,
            upstream,
            counter: Counter::default(),
            metrics,
            desk,
            reloads,
            shutdown: Shutdown::new(),
            trace_seed: getrandom::u64().unwrap_or(1),
        };
        Ok((app, notes))
    }

    /// The settings of now. To be asked after a request has arrived: they are never older than its plan.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes over to other settings, before the plan that goes with them is adopted. They know the deployments of today's plan, too, retired or not.
    pub fn adopt_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}

impl Settings {
    /// The settings for a plan; reads the secrets.
    ///
    /// # Errors
    /// Every secret that is not there, in words.
    pub fn new(server: Server, plan: &Plan, providers: &[Provider]) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut credentials = Vec::new();
        for provider in providers.iter().filter(|provider| plan.deployments.iter().any(|deployment| deployment.provider == provider.name)) {
            match Credentials::read(provider) {
                Ok(read) => credentials.push((provider, read)),
                Err(fault) => faults.push(fault),
            }
        }
        let master = server.master_key.as_ref().map(|key| key.read().map(|key| keyring::hash(&key)));
        let master = master.transpose().map_err(|fault| faults.push(format!("the master key: {fault}"))).ok().flatten();
        if !faults.is_empty() {
            return Err(faults);
        }
        let destinations = plan.deployments.iter().map(|deployment| {
            let Some((provider, own)) = credentials.iter().find(|(provider, _)| provider.name == deployment.provider) else {
                return Err(NotServable { why: format!("provider `{}` is no longer configured", deployment.provider) });
            };
            Destination::new(deployment, provider, own.key.as_deref(), &own.headers)
        });
        Ok(Self { destinations: destinations.collect(), server, master })
    }

    /// Notes in a plan what its deployments can be asked for, which is what has words there, and a price; and where input can be counted.
    pub fn offer(&self, plan: &mut Plan) {
        for (deployment, destination) in plan.deployments.iter_mut().zip(&self.destinations) {
            deployment.offers = destination.as_ref().map_or(Features::NONE, |destination| {
                let unpriced = if destination.billed_tools { Features::NONE } else { features::BILLED_TOOLS };
                let dearer = features::of_service(ServiceClass::Premium).without(features::of_service(deployment.service));
                destination.service.offers().without(dearer).without(unpriced)
            });
            deployment.countable = destination.as_ref().is_ok_and(Destination::is_countable);
        }
    }

    /// The deployments that can be priced but not called, in words.
    pub fn not_servable(&self, plan: &Plan) -> Vec<String> {
        let found = plan.deployments.iter().zip(&self.destinations);
        found
            .filter_map(|(deployment, destination)| {
                Some(format!("`{}` is priced, not servable: {}", deployment.name, destination.as_ref().err()?.why))
            })
            .collect()
    }
}

/// Where notices go; reads the secrets.
///
/// # Errors
/// Every secret that is not there or not fit, in words.
pub fn hooks(alerts: &Alerts) -> Result<Vec<Hook>, Vec<String>> {
    let mut faults = Vec::new();
    let mut read = |name: &str, secret: &Option<crate::config::gateway::providers::Secret>| {
        let read = secret.as_ref()?.read().map_err(|fault| faults.push(format!("[alerts] {name}: {fault}")));
        read.ok()
    };
    let found = [("slack", Target::Slack, read("slack", &alerts.slack)), ("webhook", Target::Generic, read("webhook", &alerts.webhook))];
    let signs = read("webhook_secret", &alerts.webhook_secret);
    let mut hooks = Vec::new();
    for (name, target, address) in found {
        let Some(address) = address else { continue };
        // The address is a secret itself, so the message must not show it.
        match address.parse() {
            Ok(address) => hooks.push(Hook { address, target, secret: signs.clone().filter(|_| target == Target::Generic) }),
            Err(_) => faults.push(format!("[alerts] {name}: what is there is no address")),
        }
    }
    if faults.is_empty() { Ok(hooks) } else { Err(faults) }
}

/// What goes along with calls to a provider, read from where it is kept.
struct Credentials {
    key: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Credentials {
    fn read(provider: &Provider) -> Result<Self, String> {
        let of = |what: String| format!("provider `{}`: {what}", provider.name);
        let key = provider.key.as_ref().map(|key| key.read()).transpose().map_err(of)?;
        let mut headers = Vec::new();
        for (name, text) in &provider.headers {
            let text = match text {
                HeaderText::Plain(text) => text.clone(),
                HeaderText::Secret(secret) => secret.read().map_err(of)?,
            };
            let unfit = || of(format!("the header {name} can't be sent as it is"));
            let mut value = HeaderValue::from_str(&text).map_err(|_| unfit())?;
            value.set_sensitive(true);
            headers.push((name.parse().map_err(|_| unfit())?, value));
        }
        Ok(Self { key, headers })
    }
}

/// The key ring of the configuration. Without keys and without an administrator who could make some, everybody may come who is on this machine.
fn keys(
    commands: &mut Vec<Command>,
    secrets: &[(String, crate::config::gateway::providers::Secret)],
    server: Option<&Server>,
    register: &Register,
    faults: &mut Vec<String>,
) -> (KeyRing, Vec<String>) {
    let names: Vec<String> =
        commands.iter().filter_map(|command| if let Command::PutKey { name, .. } = command { Some(name.clone()) } else { None }).collect();
    let has_master = !register.is_empty() || server.is_some_and(|server| server.master_key.is_some());
    if names.is_empty() && !has_master {
        let is_local = server.is_some_and(|server| server.listen.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback()));
        if !is_local {
            faults.push(
                "there are no keys, so everybody who reaches this address could spend your money: add [keys] with secrets, or \
                         [server] master_key, or listen on 127.0.0.1"
                    .into(),
            );
        }
        commands.push(Command::PutKey { name: EVERYBODY.into(), spec: KeySpec::default() });
        commands.push(Command::BlockKey { name: EVERYBODY.into(), blocked: false });
        let note = format!("there are no keys: every request from this machine is answered, as key `{EVERYBODY}`");
        return (KeyRing::open_as(EVERYBODY), vec![note]);
    }
    let ring = KeyRing::new();
    let mut notes = Vec::new();
    for name in names {
        let Some((_, secret)) = secrets.iter().find(|(known, _)| *known == name) else {
            notes.push(format!("key `{name}` has no secret, so nobody can use it: add secret = \"env:NAME\" to [keys.{name}]"));
            continue;
        };
        match secret.read() {
            Ok(secret) => ring.put(&name, &secret),
            Err(fault) => faults.push(format!("key `{name}`: {fault}")),
        }
    }
    (ring, notes)
}

/// What is to be said where the journal's last turn is later than the machine's clock: time goes on from there, whichever of them was wrong.
fn behind(wall: Time, last: Time) -> Option<Notice> {
    if last.since(wall) <= clock::AHEAD {
        return None;
    }
    let detail = format!("The journal's last turn was at {}, and this machine's clock says {}.", instant(last), instant(wall));
    Some(Notice { subject: Subject::ClockBehind, detail })
}

/// The engine: with the gateway of its journal, if there is one, gone over to the plan and commands of its configuration.
fn engine(
    (plan, commands): (Plan, Vec<Command>),
    unknown: impl Fn(&Gateway) -> Vec<Command>,
    taken: Option<Taken>,
    server: &Server,
    start: Start,
    spend: &mut SpendBook,
    notes: &mut Vec<String>,
) -> Result<Engine, String> {
    let plan = Arc::new(plan);
    let first = || (Gateway::new(&plan, start.seed), plan.clone());
    let opened = match taken {
        None => Opened::kept_nowhere(first()),
        Some(taken) => taken.open(kept_as(server), clock::wall(), spend, first).map_err(|error| error.to_string())?,
    };
    let clock = Clock::start(opened.at, start.per_mille);
    let Opened { log, buffer, gateway, plan: old, next, found, .. } = opened;
    if let Some(found) = found {
        notes.push(found.to_string());
    }
    if spend.is_anew() {
        notes.push(
            "the journal's newest checkpoint does not say what was spent by whom, or says it as another version of gwsim: what it says in all is \
             right, and so are budgets, but spend by key, team, model, tag, end user and day begins anew there"
                .into(),
        );
    }
    let now = clock.now();
    let Start { observers, broken, .. } = start;
    let commands = [unknown(&gateway), adoption::forgotten_budgets(&gateway, &commands), commands].concat();
    let mut starting = Starting { gateway, plan: old, buffer, observers, now };
    let another = (*starting.plan != *plan).then_some(&plan);
    adoption::carry_out(&mut starting, another, &commands).map_err(|refused| format!("the configuration can't be carried out: {refused}"))?;
    let Starting { gateway, buffer, observers, .. } = starting;
    let cached_body_max = server.cached_body_max;
    Ok(Engine::new(Parts { gateway, plan, clock, log, buffer, next, cached_body_max, observers, broken }))
}

/// A gateway before its first request.
struct Starting {
    gateway: Gateway,
    plan: Arc<Plan>,
    buffer: Buffer,
    observers: Vec<Box<dyn Observer>>,
    now: Time,
}

impl Starting {
    fn change<T>(&mut self, make: impl FnOnce(&mut Gateway, &Plan, Time, &mut Recorder<'_>) -> T) -> T {
        let Self { gateway, plan, buffer, observers, now } = self;
        let done = make(gateway, plan, *now, &mut Recorder { plan, request: None, spent: None, buffer, observers });
        self.buffer.end_turn();
        done
    }
}

impl Turns for Starting {
    fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    fn adopt(&mut self, plan: &Arc<Plan>) {
        self.buffer.plan(self.now, plan);
        self.plan = Arc::clone(plan);
        self.change(|gateway, plan, now, recorder| gateway.adopt(plan, now, recorder));
    }

    fn command(&mut self, command: Command) -> Result<(), CommandError> {
        self.change(|gateway, plan, now, recorder| gateway.apply(plan, now, command, recorder))
    }
}

fn kept_as(server: &Server) -> journal::Settings {
    let durability = match server.durability {
        Durability::Process => journal::Durability::Process,
        Durability::Power => journal::Durability::Power,
        Durability::Strict => journal::Durability::Strict,
    };
    let retention = server.journal_retention.map(|Span(nanos)| Duration::from_nanos(nanos));
    journal::Settings { durability, segment_bytes: server.journal_segment, retention, ..journal::Settings::default() }
}
