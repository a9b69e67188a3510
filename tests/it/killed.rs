//! `kill -9` under load: a gateway is killed again and again while clients ask it for everything that it can do, and goes on with its journal each
//! time. In the end the providers' bill and the recovered ledger are held against each other, call by call.

mod books;
mod crowd;

use std::fs;
use std::time::Duration;

use gwsim::gateway::Outstanding;
use gwsim::gateway::draw::{Purpose, below, bits};
use gwsim::journal;
use serde_json::Value;
use tempfile::TempDir;

use self::books::Books;
use self::crowd::Crowd;
use crate::serve::program::terminate;
use crate::twin::processes::{Running, listening, quick_gwsim};

/// Answers that fail, break off and never come; a provider whose bill runs on when a stream is closed; a fallback to another dialect; budgets in
/// reserve on every scope, one of them used up on the way; too few places, so that requests queue.
const SCENARIO: &str = r#"
seed = 5
[traffic]
model = "small"
[traffic.synthetic]
duration = "60s"
rate = "5/s"
output_tokens = { p50 = 60, p95 = 200 }

[world]
ttft = { p50 = "400ms", p95 = "1500ms" }
tokens_per_second = 60
chunk_tokens = 5
[world.models.small]
chances = [{ share = 0.06, status = 500 }, { share = 0.04, cut_after = 3 }, { share = 0.03, reset = true }]

[gateway.providers.lingering]
api = "openai"
cancel_stops_billing = false
[gateway.models.small]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }, { id = "mini-2", provider = "lingering", model = "gpt-4o-mini", priced_as = "openai/gpt-4o-mini" }]
fallbacks = ["haiku"]
[gateway.models.haiku]
deployments = [{ id = "haiku", provider = "anthropic", model = "claude-3-haiku" }]
[gateway.attempts]
per_request = 3
per_deployment = 1
[gateway.cooldown]
time = "1s"
[gateway.cache]
ttl = "10m"
[gateway.budget]
mode = "reserve"
global = { limit = "500 USD", every = "total" }
[gateway.teams.crew]
budget = { limit = "400 USD", every = "day" }
[gateway.keys.a]
team = "crew"
limits = { concurrency = 6, queue = { length = 20, wait = "10s" } }
[gateway.keys.b]
team = "crew"
[gateway.keys.poor]
budget = { limit = "0.01 USD", every = "total" }
[gateway.tags.night]
budget = { limit = "100 USD", every = "total" }
"#;

const SPEED: &str = "20";

/// How often the gateway is killed: at moments of the load, and every so often while it is still reading its journal.
fn kills() -> u32 {
    std::env::var("GWSIM_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(50)
}

fn seed() -> u64 {
    let seed = std::env::var("GWSIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| getrandom::u64().unwrap());
    println!("GWSIM_SEED={seed}");
    seed
}

/// A gateway on the journal, wherever it listens this time.
fn serve(folder: &TempDir) -> (Running, String) {
    listening(quick_gwsim(folder).args(SERVE).args(["--seed", "1"]).env("RUST_LOG", "error"))
}

const SERVE: [&str; 9] = ["serve", "--config", "live.toml", "--journal", "journal", "--listen", "127.0.0.1:0", "--speed", SPEED];

fn bill(folder: &TempDir) -> Vec<Value> {
    let text = fs::read_to_string(folder.path().join("bill.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_was_killed_at_any_moment_has_lost_nothing_and_counts_nothing_twice() {
    let seed = seed();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("scenario.toml"), SCENARIO).unwrap();
    let mock = ["mock", "scenario.toml", "--write-gateway", "live.toml", "--bill", "bill.jsonl", "--listen", "127.0.0.1:0", "--speed", SPEED];
    let (mut mock, _) = listening(quick_gwsim(&folder).args(mock));
    // Checkpoints while it goes on, not only at the start.
    let live = fs::read_to_string(folder.path().join("live.toml")).unwrap() + "\n[server]\njournal_segment = \"1 MiB\"\n";
    fs::write(folder.path().join("live.toml"), live).unwrap();

    let crowd = Crowd::gather(seed, 32);
    for kill in 0..kills() {
        let moment = bits(seed, u64::from(kill), Purpose::World, 0);
        if kill % 10 == 9 {
            let mut reading = Running(quick_gwsim(&folder).args(SERVE).stdout(std::process::Stdio::null()).spawn().unwrap());
            std::thread::sleep(Duration::from_micros(below(moment, 250_000)));
            reading.kill();
            continue;
        }
        let (mut served, address) = serve(&folder);
        crowd.turn_to(&address);
        std::thread::sleep(Duration::from_micros(50_000 + below(moment, 800_000)));
        served.kill();
    }
    let (mut last, address) = serve(&folder);
    crowd.turn_to(&address);
    std::thread::sleep(Duration::from_millis(300));
    let heard = crowd.go_home();
    terminate(&last.0);
    assert!(last.0.wait().unwrap().success(), "every request has its end");
    // Calls whose gateway was killed are closed with its connections: all of them are on the bill.
    terminate(&mock.0);
    assert!(mock.0.wait().unwrap().success());

    let verified = quick_gwsim(&folder).args(["verify", "journal", "--format", "json"]).output().unwrap();
    let verdict: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((verified.status.code(), &verdict["difference"]), (Some(0), &Value::Null), "{verdict:#}");
    let path = folder.path().join("journal");
    let recovered = journal::recover(&path, &mut ()).unwrap().unwrap().state;
    assert_eq!(recovered.gateway.outstanding(), Outstanding::default());
    assert_eq!(recovered.in_flight().count(), 0);
    let books = Books::read(&path);
    let found = books.hold_against(&bill(&folder), &recovered.gateway);
    books.know_of(&heard);
    println!("{verdict:#}\n{found:?}, {} answers were heard to their end", heard.len());
    assert!(found.confirmed > 100 && found.recovered > 20 && found.presumed > 10 && found.fallbacks > 10, "too little was at stake: {found:?}");
}
