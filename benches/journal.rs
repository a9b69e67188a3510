//! How long a start takes from a long journal, and for how long a checkpoint holds the lock of the gateway.
//!
//! `cargo bench --bench journal [-- GIGABYTES [DIR]]`, a twentieth of one if not said. Writes a journal of so many gigabytes, as they are before they
//! are compressed, and then starts from it as `gwsim serve` does, three times. 1,000 keys in 100 teams, budgets on key, team and everything, 64
//! requests at a time with a call each, one in fifty left by its client; 10,000 requests of late are kept. The last segment is nearly full. A DIR that
//! has a journal is not written again; without DIR it is made where cargo has its own and removed.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gwsim::config::{self, gateway::GatewayConfig};
use gwsim::gateway::Gateway;
use gwsim::gateway::features::Features;
use gwsim::gateway::id::{KeyId, ModelId, RequestId, Slot};
use gwsim::gateway::in_flight::{Action, Event, InFlight};
use gwsim::gateway::journal::{Fact, Journal};
use gwsim::gateway::plan::Plan;
use gwsim::gateway::rate_card::Usage;
use gwsim::gateway::request::{Fingerprint, Request};
use gwsim::gateway::time::{Span, Time};
use gwsim::journal::{self, Buffer, Draft, Fold, Log, Opened, Reach, Settings};
use gwsim::serve::spend::SpendBook;

const KEYS: u32 = 1_000;
const TEAMS: u32 = 100;
const BUSY: usize = 64;
/// 5,000 requests a second.
const GAP: Span = Span(200_000);
const STARTS: u32 = 3;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let gigabytes: f64 = arguments.next().and_then(|argument| argument.parse().ok()).unwrap_or(0.05);
    let given = arguments.next().map(PathBuf::from);
    let own = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let folder = given.unwrap_or_else(|| own.path().join("journal"));
    let config = configured(own.path());
    let settings = Settings { segment_bytes: config.server.journal_segment, ..Settings::default() };
    if !journal::is_journal(&folder) {
        Filling::begin(&folder, &config, settings).fill((gigabytes * 1e9) as u64);
    }
    start(&folder, settings);
}

/// Starts, and says how long that took.
fn start(folder: &Path, settings: Settings) {
    let began = Instant::now();
    let segments = journal::list(folder).expect("the folder can be read").len();
    println!("listing {segments} segments: {:.2} ms", milliseconds(began.elapsed()));
    let files = std::fs::read_dir(folder).expect("the folder can be read").flatten();
    let bytes: u64 = files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum();
    println!("{:.3} GB on the disk", bytes as f64 / 1e9);
    for number in 1..=STARTS {
        let mut book = SpendBook::default();
        let began = Instant::now();
        let taken = journal::take(folder, &mut book).expect("it is a journal");
        let read = began.elapsed();
        let opened = taken.open(settings, Time(0), &mut book, || unreachable!("there is a journal")).expect("it can be written");
        let took = began.elapsed();
        let found = opened.found.expect("there is a journal");
        println!("start {number}: {:.3} s, of which {:.3} s to read {} turns", took.as_secs_f64(), read.as_secs_f64(), found.turns);
        let recent = book.recent(usize::MAX, |_| true).len();
        println!("  {} calls presumed, {} requests in all, the last {recent} of them one by one", found.calls, book.total().requests);
    }
}

/// A journal that is being filled.
struct Filling {
    plan: Arc<Plan>,
    gateway: Gateway,
    log: Log,
    recorder: Recorder,
    next: RequestId,
    now: Time,
    open: VecDeque<(Slot, InFlight)>,
    free: Vec<Slot>,
    segment_bytes: u64,
    written: u64,
    in_segment: u64,
    /// For how long each checkpoint has held the lock, and how much of that was for what was spent.
    held: Vec<(Duration, Duration)>,
}

/// What an engine has facts told to.
struct Recorder {
    buffer: Buffer,
    book: SpendBook,
}

impl Journal for Recorder {
    fn record(&mut self, now: Time, request: Option<RequestId>, fact: impl FnOnce() -> Fact) {
        let fact = fact();
        self.book.take(now, request, &fact);
        self.buffer.record(now, request, || fact);
    }
}

impl Filling {
    fn begin(folder: &Path, config: &GatewayConfig, settings: Settings) -> Self {
        let (plan, mut book) = (Arc::new(config.plan.clone()), SpendBook::default());
        let first = || (Gateway::new(&plan, 1), Arc::clone(&plan));
        let now = Time(1_700_000_000_000_000_000);
        // Segments are closed for their size only: nobody waits an hour here.
        let settings = Settings { segment_age: Duration::from_secs(86_400), ..settings };
        let opened = journal::take(folder, &mut book).and_then(|taken| taken.open(settings, now, &mut book, first));
        let Opened { log, buffer, mut gateway, next, .. } = opened.expect("a folder of its own");
        let mut recorder = Recorder { buffer, book };
        for command in &config.commands {
            gateway.apply(&plan, now, command.clone(), &mut recorder).expect("it is configured");
            recorder.buffer.end_turn();
        }
        let free = (0..=BUSY as u32).map(Slot).collect();
        let segment_bytes = settings.segment_bytes;
        let (open, written, in_segment, held) = (VecDeque::new(), 0, 0, Vec::new());
        Self { plan, gateway, log, recorder, next, now, open, free, segment_bytes, written, in_segment, held }
    }

    /// Writes so many bytes, and then up to where the last segment would be closed.
    fn fill(mut self, bytes: u64) {
        let began = Instant::now();
        while self.written < bytes || self.in_segment * 50 < self.segment_bytes * 49 {
            self.now = self.now + GAP;
            self.arrive();
            if self.open.len() > BUSY {
                self.end();
            }
            let turn = self.recorder.buffer.end_turn();
            let Self { log, recorder, written, in_segment, .. } = &mut self;
            let give = |bytes: &mut Vec<u8>| {
                let reach: Reach = recorder.buffer.give(bytes);
                (*written, *in_segment) = (*written + bytes.len() as u64, *in_segment + bytes.len() as u64);
                reach
            };
            log.commit(turn, give).expect("there is room");
            if self.in_segment >= self.segment_bytes {
                self.rotate();
            }
        }
        let turns = self.recorder.buffer.turn();
        println!("{turns} turns in {:.3} GB before compression, written in {:.0} s", self.written as f64 / 1e9, began.elapsed().as_secs_f64());
        self.held.sort_unstable();
        let Some((longest, _)) = self.held.last() else { return };
        let (middle, spend) = self.held[self.held.len() / 2];
        let section = Fold::section(&self.recorder.book).bytes().len();
        println!(
            "a checkpoint holds the lock for {:.3} ms, {:.3} ms of them for what was spent ({section} bytes), and {:.3} ms at the longest",
            milliseconds(middle),
            milliseconds(spend),
            milliseconds(*longest)
        );
    }

    fn arrive(&mut self) {
        let slot = self.free.pop().expect("as many as are busy, and one");
        let mut in_flight = InFlight::new();
        let arrived = Event::Arrived(request(self.next, slot));
        let action = in_flight.step(&self.plan, &mut self.gateway, self.now, arrived, &mut self.recorder);
        assert!(matches!(action, Action::Call(_)), "{action:?}");
        self.next = RequestId(self.next.0 + 1);
        self.recorder.buffer.end_turn();
        self.open.push_back((slot, in_flight));
    }

    /// The oldest request has its end.
    fn end(&mut self) {
        let (slot, mut in_flight) = self.open.pop_front().expect("many are open");
        let is_left = in_flight.request().id.0.is_multiple_of(50);
        let mut step = |event| {
            let action = in_flight.step(&self.plan, &mut self.gateway, self.now, event, &mut self.recorder);
            self.recorder.buffer.end_turn();
            action
        };
        step(Event::Opened { call: 1 });
        let finished = Event::Finished { call: 1, received: 80, usage: Some(Usage::plain(1200, 80)) };
        if !is_left {
            step(finished);
        } else if let Action::Drain { .. } = step(Event::ClientLeft { received: 40, delivered: 40 }) {
            step(finished);
        }
        assert!(in_flight.is_closed());
        self.free.push(slot);
    }

    /// As the engine does it: what is done within is done under the lock.
    fn rotate(&mut self) {
        self.in_segment = 0;
        let Self { plan, gateway, log, recorder, next, open, held, .. } = self;
        let freeze = |bytes: &mut Vec<u8>| {
            let began = Instant::now();
            let reach = recorder.buffer.give(bytes);
            let in_flight = open.iter().map(|(slot, request)| (*slot, request, &*plan));
            let draft = Draft::new(reach, gateway, plan, *next, in_flight);
            let core = began.elapsed();
            let draft = draft.with(Fold::section(&recorder.book));
            held.push((began.elapsed(), began.elapsed() - core));
            draft
        };
        log.rotate(self.now, freeze).expect("there is room");
    }
}

fn request(id: RequestId, slot: Slot) -> Request {
    let mixed = id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Request {
        id,
        slot,
        key: KeyId((mixed >> 32) as u32 % KEYS),
        model: ModelId(0),
        end_user: None,
        tag: None,
        input_tokens: 1200,
        input_tokens_max: 1400,
        input_tokens_counted: u32::MAX,
        max_tokens: NonZeroU32::new(100),
        choices: 1,
        stream: true,
        no_cache: false,
        no_store: false,
        countable: false,
        fingerprint: Fingerprint(mixed, !mixed),
        requires: Features::NONE,
        deadline: None,
    }
}

fn configured(folder: &Path) -> GatewayConfig {
    let mut text = String::from(
        r#"version = 1
[models."gpt-4o-mini"]
deployments = [{ id = "mini", provider = "openai", model = "gpt-4o-mini" }]
[budget]
mode = "reserve"
global = { limit = "50000000 USD", every = "day" }
"#,
    );
    for team in 0..TEAMS {
        writeln!(text, "[teams.t{team}]\ntags = [\"team {team}\"]\nbudget = {{ limit = \"5000000 USD\", every = \"day\" }}")
            .expect("a string takes it");
    }
    for key in 0..KEYS {
        let team = key % TEAMS;
        writeln!(text, "[keys.k{key}]\nteam = \"t{team}\"\nbudget = {{ limit = \"500000 USD\", every = \"day\" }}").expect("a string takes it");
    }
    let path = folder.join("gateway.toml");
    std::fs::write(&path, text).expect("a file in it");
    config::load_gateway(&path, &config::Options::default()).unwrap_or_else(|problems| panic!("{problems}")).value
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
