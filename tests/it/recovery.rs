//! Self-recovery: a known world makes a log as LiteLLM would, the log is calibrated, and the calibrated scenario costs what the known world costs,
//! under the recorded configuration and under another.

use std::sync::atomic::{AtomicU64, Ordering};

use gwsim::gateway::draw::{Purpose, below, bits};
use gwsim::gateway::money::Money;

use super::cli::Home;
use super::known_world::truth;

/// Each world of this many is without fallbacks and makes one call a request: its clients' libraries do all the retrying.
const ONE_CALL_EACH: u64 = 5;

/// A world by its number: everything that a calibration has to find out is drawn. Six hours of it are enough for the bounds that it is held to: under
/// other seeds, the dollars of one world have a standard deviation of 0.1 % to 0.4 %, and the difference of two runs is bound to 2 %.
struct World {
    gateway: String,
    scenario: String,
    changed: String,
}

fn world(number: u64) -> World {
    let draw = |ordinal: u32, low: u64, high: u64| low + below(bits(number, 77, Purpose::World, ordinal), high - low + 1);
    let rate = draw(0, 26, 34);
    let (rpm, failures, large_failures) = (rate * draw(1, 55, 95) / 100, draw(2, 10, 60), draw(3, 5, 40));
    let (ttft, speed, abandon) = (draw(4, 200, 700), draw(5, 50, 120), draw(6, 0, 60));
    let (attempts, cooldown, spread) = (draw(7, 2, 3), draw(8, 0, 5), draw(9, 20, 35));
    let fallback = if draw(10, 0, 1) == 0 { "claude-3-haiku" } else { "gpt-4o" };
    let scenario = format!(
        "gateway = \"gateway.toml\"\nseed = {seed}\n\
         [traffic]\nseed = {seed}\nunknown_keys = \"add\"\nstream = 0.7\nstart = \"2026-11-20T00:00:00Z\"\n\
         [traffic.synthetic]\nduration = \"6h\"\nrate = \"{rate}/m\"\nkeys = 3\narrivals = \"gamma\"\ncv = 2\n\
         input_tokens = {{ p50 = 900, p95 = 4000 }}\noutput_tokens = {{ p50 = 150, p95 = 700 }}\nmodels = {{ \"gpt-4o-mini\" = 8, \"gpt-4o\" = 2 }}\n\
         bursts = [{{ from = \"40m\", for = \"6m\", factor = 3 }}, {{ from = \"220m\", for = \"5m\", factor = 3 }}, {{ from = \"310m\", for = \"6m\", factor = 3 }}]\n\
         [traffic.overlay]\nabandon = {abandon}\npatience = {{ p50 = \"4s\", p95 = \"20s\" }}\n\
         [clients]\nsdk = \"openai\"\n\
         [world]\nttft = {{ p50 = \"{ttft}ms\", p95 = \"{ttft_p95}ms\" }}\ntokens_per_second = {{ p50 = {speed}, p95 = {speed_p95} }}\n\
         [world.models.gpt-4o-mini]\nlimits = {{ rpm = {rpm} }}\nchances = [{{ share = {failures}, status = 500 }}]\n\
         [world.models.gpt-4o]\nchances = [{{ share = {large_failures}, status = 503 }}]\n\
         [[variant]]\nname = \"recorded\"\n",
        seed = number + 1,
        abandon = abandon as f64 / 1000.0,
        failures = failures as f64 / 1000.0,
        large_failures = large_failures as f64 / 1000.0,
        ttft_p95 = ttft * spread / 10,
        speed_p95 = speed * spread / 20 + speed / 2,
    );
    let without = number % ONE_CALL_EACH == ONE_CALL_EACH - 1;
    let (attempts, fallbacks) = if without { (1, "[]".to_owned()) } else { (attempts, format!("[\"{fallback}\"]")) };
    let other = if fallback == "gpt-4o" { "claude-3-haiku" } else { "gpt-4o" };
    let gateway = format!(
        "version = 1\n\
         [models.gpt-4o-mini]\ndeployments = [{{ id = \"gpt-4o-mini#mini\", provider = \"openai\", model = \"gpt-4o-mini\" }}]\nfallbacks = {fallbacks}\n\
         [models.gpt-4o]\ndeployments = [{{ id = \"gpt-4o#large\", provider = \"openai\", model = \"gpt-4o\" }}]\n\
         [models.claude-3-haiku]\ndeployments = [{{ id = \"claude-3-haiku#haiku\", provider = \"anthropic\", model = \"claude-3-haiku\" }}]\n\
         [attempts]\nper_request = {attempts}\nper_deployment = 2\n[fallback]\nmax_price_ratio = 100\n[cooldown]\ntime = \"{cooldown}s\"\n"
    );
    let changed = match draw(11, 0, 2) {
        _ if without => format!("set = {{ models.gpt-4o-mini.fallbacks = [\"{other}\"] }}"),
        0 => "set = { models.gpt-4o-mini.fallbacks = [] }".to_owned(),
        1 => format!("set = {{ models.gpt-4o-mini.fallbacks = [\"{other}\"] }}"),
        _ => "set = { attempts.per_request = 1, cooldown.time = \"30s\" }".to_owned(),
    };
    let changed = format!("[[variant]]\nname = \"changed\"\n{changed}\n");
    World { gateway, scenario, changed }
}

/// What a world costs and what its calibration says that it costs.
#[derive(Debug, Clone)]
struct Recovered {
    number: u64,
    /// Recorded share of requests answered 429.
    limited: f64,
    /// Simulated over true dollars, less 1.
    dollars: f64,
    /// Simulated less recorded share of requests answered 429.
    rate_limited: f64,
    /// True dollars under the changed configuration over those under the recorded one, less 1.
    change: f64,
    /// Forecast over true dollars under the changed configuration, less 1.
    changed: f64,
}

impl Recovered {
    fn holds(&self) -> bool {
        self.dollars.abs() <= 0.02 && self.rate_limited.abs() <= 0.01 && self.changed.abs() <= 0.05
    }
}

fn recover(number: u64, retries: &str) -> Recovered {
    let (home, world) = (Home::new(), world(number));
    home.write("gateway.toml", &world.gateway);
    home.write("truth.toml", world.scenario.clone() + &world.changed);
    let (log, recorded) = truth(&home.path().join("truth.toml"), 0);
    let (_, changed) = truth(&home.path().join("truth.toml"), 1);
    let rows = log.lines.len() as f64;
    let limited = log.lines.iter().filter(|line| line.status == 429).count() as f64 / rows;
    home.write("log.csv", log.csv());
    let output = home.output(&["calibrate", "log.csv", "--gateway", "gateway.toml", "-o", "fitted.toml", "--seed", "900", "--retries", retries]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let fitted = std::fs::read_to_string(home.path().join("fitted.toml")).unwrap();
    if std::env::var_os("GWSIM_SHOW").is_some() {
        println!("{}\n{}\n{fitted}\n{}", world.gateway, world.scenario, String::from_utf8_lossy(&output.stdout));
    }
    home.write("forecast.toml", fitted + &world.changed);
    let output = home.output(&["run", "forecast.toml", "--seed", "500", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let usd = |variant: usize| report["variants"][variant]["bill"]["mean"].as_str().unwrap().parse::<f64>().unwrap();
    let off = |variant: usize, truth: Money| usd(variant) / (truth.0 as f64 / 1e12) - 1.0;
    let simulated = &report["baseline"]["simulated"];
    let requests = report["variants"][0]["runs"][0]["requests"].as_object().unwrap();
    let arrived: f64 = ["served", "cached", "refused", "failed", "abandoned"].iter().map(|end| requests[*end].as_f64().unwrap()).sum();
    let share = simulated["requests_rate_limited"].as_f64().unwrap() / arrived;
    Recovered {
        number,
        limited,
        dollars: off(0, recorded.billed),
        rate_limited: share - limited,
        change: changed.billed.0 as f64 / recorded.billed.0 as f64 - 1.0,
        changed: off(1, changed.billed),
    }
}

/// The worlds of these numbers, two at a time.
fn recovered(numbers: std::ops::Range<u64>) -> Vec<Recovered> {
    let next = AtomicU64::new(numbers.start);
    let take = || {
        let own = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|number| *number < numbers.end);
        own.map(|number| recover(number, "link")).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| [scope.spawn(take), scope.spawn(take)].map(|half| half.join().unwrap()).concat())
}

/// Ten of ten, as they come. 20 s of two cores.
#[test]
fn known_worlds_are_recovered_from_their_logs() {
    let found = recovered(0..10);
    let missed: Vec<u64> = found.iter().filter(|found| !found.holds()).map(|found| found.number).collect();
    assert!(found.len() == 10 && missed.is_empty(), "{missed:?} of {found:#?}");
    // A change that changes nothing is no test.
    assert!(found.iter().filter(|found| found.change.abs() > 0.2).count() >= 3, "{found:#?}");
    assert!(found.iter().filter(|found| found.limited > 0.2).count() >= 2, "{found:#?}");
}

/// Without linking, every retry of a client's library is replayed as an arrival, which its client model then retries once more.
#[test]
fn a_world_is_not_recovered_from_a_log_whose_retries_are_left_unlinked() {
    let found = recover(ONE_CALL_EACH - 1, "keep");
    assert!(found.changed.abs() > 0.05, "unlinked retries cost nothing: {found:#?}");
}
