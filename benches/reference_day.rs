//! The speed of the whole loop: a synthetic day through the full core, in requests per second on one thread. Also says how memory grows.
//!
//! `cargo bench --bench reference_day [-- REQUESTS]`, 10,000,000 if not said. 200 keys in 20 teams, budgets on key, team and everything, limits on
//! keys, a response cache of about a million answers, six deployments in three groups with fallbacks, failures, streams, 2,000 requests a second.
//! The traffic is made outside the time that is measured.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gwsim::config;
use gwsim::gateway::draw::{Purpose, below, bits};
use gwsim::gateway::time::{Span, Time};
use gwsim::sim::client::Clients;
use gwsim::sim::driver::{Driver, Variant};
use gwsim::sim::world::{Answer, Billing, Chance, DeploymentWorld, Limiter, Pace, Step, World};
use gwsim::traffic::trace::{Batch, Fingerprint, FirstSeen, LeftAfter, NameId, Row};

const KEYS: u32 = 200;
const TEAMS: u32 = 20;
const ROWS: u64 = 65_536;
/// 2,000 requests a second.
const GAP: Span = Span(500_000);
const SEED: u64 = 20_261_122;
const MODELS: [&str; 3] = ["gpt-4o-mini", "gpt-4o", "claude-3-5-sonnet"];

fn main() {
    let requests: u64 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000_000);
    for (name, storm) in [("reference day", false), ("429 storm", true)] {
        let variant = variant(storm);
        let mut driver = Driver::new(&variant, SEED, ()).expect("the world has every deployment");
        let (mut spent, mut processor) = (Duration::ZERO, Duration::ZERO);
        let mut early = None;
        let mut made = 0;
        while made < requests {
            let batch = Arc::new(batch(made, ROWS.min(requests - made)));
            made += batch.rows.len() as u64;
            let (start, start_processor) = (Instant::now(), processor_time());
            driver.feed(&batch).expect("the traffic has known keys and models");
            (spent, processor) = (spent + start.elapsed(), processor + processor_time() - start_processor);
            if made * 4 >= requests {
                early.get_or_insert_with(resident_mib);
            }
        }
        let late = resident_mib();
        let (start, start_processor) = (Instant::now(), processor_time());
        let ((), totals) = driver.finish();
        (spent, processor) = (spent + start.elapsed(), processor + processor_time() - start_processor);
        println!("{name}: {requests} requests, {} calls in {:.2} s", totals.calls, spent.as_secs_f64());
        for (clock, spent) in [("of the wall", spent), ("of the processor", processor)] {
            println!("  {:.0} requests/s {clock}, {:.0} ns each", requests as f64 / spent.as_secs_f64(), spent.as_nanos() as f64 / requests as f64);
        }
        println!(
            "  served {} cached {} shared {} refused {} failed {} abandoned {}",
            totals.served, totals.cached, totals.shared, totals.refused, totals.failed, totals.abandoned
        );
        println!("  resident: {} MiB after a quarter, {late} MiB at the end", early.unwrap_or_default());
    }
}

fn variant(storm: bool) -> Variant {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, gateway()).expect("a file in it");
    let loaded = config::load_gateway(&path, &config::Options::default());
    let config = loaded.unwrap_or_else(|problems| panic!("{problems}")).value;
    Variant {
        name: "reference".into(),
        plan: Arc::new(config.plan),
        setup: config.commands.into(),
        world: Arc::new(world(storm)),
        clients: Arc::new(Clients::default()),
    }
}

fn gateway() -> String {
    let mut text = String::from(
        r#"version = 1
[providers.openai]
api = "openai"
[providers.anthropic]
api = "anthropic"
[models."gpt-4o-mini"]
deployments = [{ id = "mini-a", provider = "openai", model = "gpt-4o-mini", weight = 3 }, { id = "mini-b", provider = "openai", model = "gpt-4o-mini" }]
fallbacks = ["gpt-4o"]
max_tokens = { default = 800, cap = 2000 }
[models."gpt-4o"]
deployments = [{ id = "4o-a", provider = "openai", model = "gpt-4o" }, { id = "4o-b", provider = "openai", model = "gpt-4o" }]
strategy = "lowest-latency"
fallbacks = ["claude-3-5-sonnet"]
max_tokens = { default = 800, cap = 2000 }
[models."claude-3-5-sonnet"]
deployments = [{ id = "sonnet-a", provider = "anthropic", model = "claude-3-5-sonnet" }, { id = "sonnet-b", provider = "anthropic", model = "claude-3-5-sonnet" }]
strategy = "least-busy"
max_tokens = { default = 800, cap = 2000 }
[attempts]
retry_budget = { ratio = 0.2, burst = 1000 }
[cache]
ttl = "1h"
scope = "shared"
single_flight = true
size_max = "1200 MiB"
[loop_detector]
repeats = 500
[budget]
mode = "reserve"
global = { limit = "5000000 USD", every = "day" }
"#,
    );
    for team in 0..TEAMS {
        writeln!(text, "[teams.t{team}]\nbudget = {{ limit = \"500000 USD\", every = \"day\" }}").expect("a string takes it");
    }
    for key in 0..KEYS {
        let limits = "limits = { rpm = 5_000, tpm = 20_000_000, concurrency = 2_000 }";
        let team = key % TEAMS;
        writeln!(text, "[keys.k{key}]\nteam = \"t{team}\"\nbudget = {{ limit = \"50000 USD\", every = \"day\" }}\n{limits}")
            .expect("a string takes it");
    }
    text
}

fn world(storm: bool) -> World {
    let deployment = |name: &str| DeploymentWorld {
        pace: Pace::tokens_per_second(Span::from_millis(400), 80),
        chances: vec![
            Chance { per_million: 10_000, step: Step::status(500) },
            Chance { per_million: 2_000, step: Step::of(Answer::Broken) },
            Chance { per_million: 1_000, step: Step::of(Answer::Cut { chunks: 20 }) },
        ],
        billing: Billing::REALISTIC,
        ..DeploymentWorld::realistic(name)
    };
    let names = ["mini-a", "mini-b", "4o-a", "4o-b", "sonnet-a", "sonnet-b"];
    let mut deployments: Vec<_> = names.map(deployment).into();
    if storm {
        for (place, world) in deployments.iter_mut().enumerate() {
            world.limiter = Some(Limiter::openai(if place < 2 { 15_000 } else { 9_000 }, 60_000_000));
        }
    }
    World { deployments }
}

fn batch(from: u64, rows: u64) -> Batch {
    let mut first_seen = FirstSeen::default();
    if from == 0 {
        first_seen.models = MODELS.map(String::from).into();
        first_seen.keys = (0..KEYS).map(|key| format!("k{key}")).collect();
    }
    Batch::of((from..from + rows).map(row).collect(), first_seen)
}

/// One request: a third repeat one of the last million fingerprints, a tenth of the streams are left early, lengths have a long tail.
fn row(number: u64) -> Row {
    let draw = |ordinal| bits(SEED, number, Purpose::Overlay, ordinal);
    let recent = below(draw(0), 1_000_000).min(number);
    let repeats = below(draw(1), 100) < 34;
    let content = if repeats { number - recent } else { number };
    let tail = |ordinal: u32, middle: u64| {
        let octave = (draw(ordinal) | 1 << 5).leading_zeros().min(5);
        (middle << octave) / 2 + below(draw(ordinal + 1), middle << octave)
    };
    let mut row = Row::new(Time(GAP.0 * number), number + 1, Fingerprint(content.wrapping_mul(0x9E37_79B9_7F4A_7C15), content), tail(2, 400) as u32);
    let squared = below(draw(5), u64::from(KEYS)) * below(draw(6), u64::from(KEYS)) / u64::from(KEYS);
    row.key = Some(NameId::new(squared as u32));
    row.model = Some(NameId::new([0, 0, 0, 0, 0, 0, 1, 1, 1, 2][below(draw(7), 10) as usize]));
    row.output_tokens = Some(tail(8, 60) as u32);
    row.max_tokens = Some(1_000);
    row.stream = Some(below(draw(10), 10) < 7);
    if row.stream == Some(true) && below(draw(11), 10) == 0 {
        row.left_after = Some(LeftAfter::Tokens(1 + below(draw(12), 100) as u32));
    }
    row
}

/// Time that this thread has had the processor, which other processes on the machine do not change; zero where the system does not say.
fn processor_time() -> Duration {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(status.split_whitespace().next().and_then(|time| time.parse().ok()).unwrap_or_default())
}

/// Memory that the process has resident, in MiB; 0 where the system does not say.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| (pages * 4096) >> 20)
}
