//! The scenario library: every file runs, holds what it expects, and would not if its cure were switched off; `scenarios/README.md` says what came out.

mod claims;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value as Json;
use toml::{Table, Value};

/// The directory of the library.
fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// The names of all scenarios, in order.
fn names() -> Vec<String> {
    let files = fs::read_dir(scenarios()).unwrap().map(|entry| entry.unwrap().path());
    let tomls = files.filter(|file| file.extension().is_some_and(|extension| extension == "toml"));
    let mut names: Vec<String> = tomls.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.retain(|name| name != "gateway");
    names.sort();
    names
}

fn gwsim(scenario: &Path, arguments: &[&str]) -> Output {
    let reports = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsim"));
    command.arg("run").arg(scenario).args(["--format", "json", "--out"]).arg(reports.path()).args(arguments);
    command.output().unwrap()
}

/// What a scenario of the library says about itself.
fn read(name: &str) -> Table {
    fs::read_to_string(scenarios().join(name).with_extension("toml")).unwrap().parse().unwrap()
}

fn named<'a>(tables: &'a mut [Value], key: &str, name: &str) -> Option<&'a mut Table> {
    tables.iter_mut().filter_map(Value::as_table_mut).find(|table| table.get(key).and_then(Value::as_str) == Some(name))
}

#[test]
fn every_scenario_holds_what_it_expects() {
    let mut reports = BTreeMap::new();
    for name in names() {
        let output = gwsim(&scenarios().join(&name).with_extension("toml"), &[]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let report: Json = serde_json::from_slice(&output.stdout).unwrap();
        let verdicts = report["expectations"].as_array().unwrap();
        let expects = |variant: &str| verdicts.iter().any(|verdict| verdict["variant"] == variant);
        let variants = report["variants"].as_array().unwrap();
        let forgotten: Vec<&Json> = variants.iter().map(|variant| &variant["name"]).filter(|name| !expects(name.as_str().unwrap())).collect();
        assert!(forgotten.len() <= 1, "{name}: nothing is expected of {forgotten:?}");
        reports.insert(name, report);
    }
    claims::check(&reports);
}

/// A cure switched off, or a world in which it would not be needed, and the expectation that must fail then.
struct Mutation {
    scenario: &'static str,
    variant: &'static str,
    change: Change,
    fails: &'static str,
}

enum Change {
    /// The variant's own setting at this path is left out.
    Without(&'static [&'static str]),
    /// It is another.
    With(&'static [&'static str], &'static str),
    /// Something else in the scenario is.
    Set(&'static str),
}
use Change::{Set, With, Without};

const MUTATIONS: &[Mutation] = &[
    mutation("retry_multiplication", "3 retries, 3 models", Without(&["models.\"gpt-4o\".fallbacks"]), "at most 12 calls for one request"),
    mutation("retry_multiplication", "one cap of 4", Without(&["attempts", "per_request"]), "at most 4 calls for one request"),
    mutation("retry_multiplication", "retry budget", Without(&["attempts", "retry_budget"]), "at most 1.107 calls a request"),
    mutation("retry_multiplication", "time-outs are final", Without(&["attempts", "retry_on"]), "at most 1 calls for one request"),
    mutation("retry_multiplication", "time-outs are final", Without(&["fallback", "on"]), "at most $18.26 wasted"),
    mutation("retry_multiplication", "a time-out that fits", Without(&["timeouts", "call"]), "at least 100 % answered"),
    mutation("fallback_escalation", "one dearer hop", Without(&["models.\"gpt-4o-mini\".fallbacks"]), "a cost of at most $68"),
    mutation("fallback_escalation", "a price ceiling", Without(&["fallback", "max_price_ratio"]), "a cost of at most $43.52"),
    mutation("fallback_escalation", "no fallback", Without(&["models.\"gpt-4o-mini\".fallbacks"]), "at most 0 % of answers by another model"),
    mutation("fallback_ledger", "429s fall back at once", Without(&["attempts", "retry_on"]), "a cost of at least $26.91840225"),
    mutation("fallback_realistic", "as configured", Set("world.models={'gpt-4o'={limits=false}}"), "a cost of at most $9.9"),
    mutation("quickstart", "same-tier fallback", Without(&["models.\"gpt-4o-mini\".fallbacks"]), "a cost of at most $4.83"),
    mutation("quickstart", "price ceiling", Without(&["fallback", "max_price_ratio"]), "at most 0 % of answers by another model"),
    mutation("cache_off", "1 h", Without(&["cache"]), "a change of at most -32.8 %"),
    mutation("cache_off", "5 min", With(&["cache", "ttl"], "'1h'"), "a change of at least -20.6 %"),
    mutation("prompt_cache", "cached for 1 h", Set("world.deployments.'1 h'.prompt_cache.ttl='5m'"), "a change of at most -23.8 %"),
    mutation("prompt_cache", "cached for 5 min", Set("traffic.synthetic.sessions.think='4m'"), "a change of at least +15.3 %"),
    mutation("runaway_loop", "$50 a day, counted after", With(&["keys", "agent", "budget", "mode"], "'reserve'"), "at least $11.74 above budgets"),
    mutation("runaway_loop", "$50 a day, estimated", With(&["keys", "agent", "budget", "mode"], "'after'"), "at most $0 above budgets"),
    mutation("runaway_loop", "$50 a day, reserved", With(&["keys", "agent", "budget", "mode"], "'after'"), "at most $0 above budgets"),
    mutation("runaway_loop", "$50 a day, reserved", With(&["keys", "agent", "budget", "enforce"], "'observe'"), "a cost of at most $56.83"),
    mutation("runaway_loop", "100 requests a minute", Without(&["keys", "agent", "limits"]), "a cost of at most $29.78"),
    mutation("runaway_loop", "loop detector", With(&["loop_detector", "enforce"], "'observe'"), "a cost of at most $11.42"),
    mutation("runaway_loop", "response cache", Without(&["cache", "ttl"]), "a cost of at most $6.85"),
    mutation("abandoned_streams", "drain, Anthropic", With(&["stream", "on_disconnect"], "'cancel'"), "a change of at least 0 %"),
    mutation("abandoned_streams", "cancel, Anthropic", With(&["stream", "on_disconnect"], "'ignore'"), "at most $0.51 undelivered"),
    mutation(
        "abandoned_streams",
        "cancel, Bedrock",
        Set("world.deployments={bedrock={billing={cancel_stops_billing=true}}}"),
        "a change of at least 0 %",
    ),
    mutation("outage_day", "fallback", Without(&["models.\"gpt-4o\".fallbacks"]), "at least 100 % answered"),
    mutation("outage_day", "fallback and breaker", Without(&["breaker"]), "at most 1.0037 calls a request"),
    mutation(
        "outage_day",
        "fallback to the same provider",
        With(&["models.\"gpt-4o\".fallbacks"], "['claude-3-5-sonnet']"),
        "at most 95.5 % answered",
    ),
    mutation("retry_storm", "retry budget", Without(&["attempts", "retry_budget"]), "recovers"),
    mutation("retry_storm", "retry budget", With(&["attempts", "retry_budget", "ratio"], "1.5"), "at most 1.103 calls a request"),
    mutation("five_traps", "1: two attempts", Without(&["attempts", "per_request"]), "at most 2 calls for one request"),
    mutation("five_traps", "2: price ceiling", Without(&["fallback", "max_price_ratio"]), "a change of at most -25 %"),
    mutation("five_traps", "3: response cache", Without(&["cache", "ttl"]), "a change of at most -27 %"),
    mutation("five_traps", "4: budget", Without(&["keys", "agent", "budget"]), "a change of at most -15.5 %"),
    mutation("five_traps", "5: cancel streams", Without(&["stream", "on_disconnect"]), "at most $0.54 undelivered"),
    mutation("five_traps", "all five", Without(&["attempts"]), "a change of at most -67 %"),
    mutation("five_traps", "all five", Without(&["fallback", "max_price_ratio"]), "at most $26 wasted"),
    mutation("five_traps", "all five", Without(&["cache", "ttl"]), "a change of at most -67 %"),
    mutation("five_traps", "all five", Without(&["stream", "on_disconnect"]), "at most $0.54 undelivered"),
];

const fn mutation(scenario: &'static str, variant: &'static str, change: Change, fails: &'static str) -> Mutation {
    Mutation { scenario, variant, change, fails }
}

/// The scenario with the mutated variant and the one it is compared with, and what is expected of the first.
fn mutated(mutation: &Mutation) -> Table {
    let mut scenario = read(mutation.scenario);
    for (key, file) in [("gateway", scenarios()), ("trace", scenarios())] {
        let table = if key == "trace" { scenario["traffic"].as_table_mut().unwrap() } else { &mut scenario };
        if let Some(Value::String(path)) = table.get_mut(key) {
            *path = file.join(&path).to_str().unwrap().to_owned();
        }
    }
    let variants = scenario["variant"].as_array_mut().unwrap();
    let first = variants[0]["name"].as_str().unwrap().to_owned();
    // What changes the world may name what only other variants have.
    let is_kept = |name: &str| matches!(mutation.change, Set(_)) || name == first || name == mutation.variant;
    variants.retain(|variant| is_kept(variant["name"].as_str().unwrap()));
    let variant = named(variants, "name", mutation.variant).unwrap_or_else(|| panic!("{}: no variant {}", mutation.scenario, mutation.variant));
    if let Without(path) | With(path, _) = mutation.change {
        let (last, tables) = path.split_last().unwrap();
        let table = tables.iter().fold(variant["set"].as_table_mut().unwrap(), |table, key| table[*key].as_table_mut().unwrap());
        let before = table.remove(*last);
        assert!(before.is_some() || matches!(mutation.change, With(..)), "{}: {} does not set {path:?}", mutation.scenario, mutation.variant);
        if let With(_, value) = mutation.change {
            let value: Table = format!("value = {value}").parse().unwrap();
            table.insert((*last).to_owned(), value["value"].clone());
        }
    }
    let meant = |expect: &Value| expect.get("variant").is_none_or(|variant| variant.as_str() == Some(mutation.variant));
    scenario["expect"].as_array_mut().unwrap().retain(meant);
    scenario
}

#[test]
fn a_cure_that_is_switched_off_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mutated.toml");
    let mut faults = Vec::new();
    for mutation in MUTATIONS {
        fs::write(&file, toml::to_string(&mutated(mutation)).unwrap()).unwrap();
        let sets: &[&str] = if let Set(assignment) = mutation.change { &["--set", assignment] } else { &[] };
        let output = gwsim(&file, sets);
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = format!("expectation failed: variant `{}`: expected {}", mutation.variant, mutation.fails);
        if output.status.code() != Some(3) || !said.contains(&expected) {
            faults.push(format!("{}: {:?}: not `{expected}`, but:\n{said}", mutation.scenario, output.status.code()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_scenario_has_a_mutation() {
    let without: Vec<String> = names().into_iter().filter(|name| !MUTATIONS.iter().any(|mutation| mutation.scenario == name)).collect();
    assert_eq!(without, Vec::<String>::new());
}
