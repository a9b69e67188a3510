//! Sweeps as a user runs them: closed forms at each cell, a cell against a run with that `--set`, threads, and what must be agreed to.

use std::fs;

use serde_json::Value;

use crate::cli::Home;

/// One prompt, asked every minute a hundred times: 1,000 tokens in and 100 out.
fn one_prompt() -> String {
    let mut text = "at_s,model,input_tokens,output_tokens,fingerprint\n".to_owned();
    for minute in 0..100 {
        text.push_str(&format!("{},gpt-4o-mini,1000,100,aa\n", minute * 60));
    }
    text
}

const CACHED: &str = "\
name = \"cached\"
gateway = \"gateway.toml\"
[traffic]
trace = \"prompt.csv\"
[world]
preset = \"ledger\"
[sweep]
'cache.ttl' = [\"30s\", \"1m\", \"5m\", \"1h\"]
";

fn json(home: &Home, name: &str) -> Value {
    serde_json::from_slice(&fs::read(home.path().join("reports").join(name).join("report.json")).unwrap()).unwrap()
}

/// An answer that is stored at a miss serves the requests of the next `ttl` (its end included), one a minute; the one after them misses again. Of n
/// requests, one in floor(ttl / 1 min) + 1 is a miss, rounded up, and each miss costs $0.00015 in and $0.00006 out.
#[test]
fn a_cache_swept_over_its_ttl_costs_what_its_misses_cost() {
    let home = Home::new();
    home.write("prompt.csv", one_prompt());
    home.write("cached.toml", CACHED);
    assert!(home.output(&["run", "cached.toml"]).status.success());
    let report = json(&home, "cached");
    let cells = report["sweep"]["cells"].as_array().unwrap();
    for (cell, ttl_minutes) in cells.iter().zip([0_u64, 1, 5, 60]) {
        let misses = 100_u64.div_ceil(ttl_minutes + 1);
        let result = &cell["variants"][0];
        assert_eq!(result["attempts"], misses, "{ttl_minutes} min");
        assert_eq!(result["bill"]["mean"], format!("0.{:012}", misses * 210_000_000), "{ttl_minutes} min");
        assert_eq!((&result["answered"], &result["requests"]), (&100.into(), &100.into()));
    }
    let csv = fs::read_to_string(home.path().join("reports/cached/sweep.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 4, "one row a cell and variant");
    assert!(csv.starts_with("cache.ttl,variant,seeds,bill_mean_usd,"), "{csv}");
    assert!(csv.contains("\n5m,as configured,1,0.003570000000,"), "{csv}");
}

/// Retries with drawn waits against a limit, so that seeds differ.
const LUCKY: &str = "\
name = \"lucky\"
gateway = \"gateway.toml\"
seeds = 2
[traffic]
trace = \"busy.csv\"
[world.models.gpt-4o-mini]
limits = { rpm = 30 }
outages = [{ share = 0.3, from = \"0s\", for = \"1h\" }]
ttft = { p50 = \"300ms\", p95 = \"3s\" }
[[variant]]
name = \"as configured\"
[[variant]]
name = \"falls back\"
set = { 'models.gpt-4o-mini.fallbacks' = [\"gpt-4o\"] }
";

fn busy() -> String {
    let mut text = "at_s,model,input_tokens,output_tokens\n".to_owned();
    for second in 0..300 {
        text.push_str(&format!("{second},gpt-4o-mini,{},{}\n", 500 + second % 7 * 100, 50 + second % 11 * 20));
    }
    text
}

fn lucky(sweep: &str) -> Home {
    let home = Home::new();
    home.write("busy.csv", busy());
    home.write("lucky.toml", format!("{LUCKY}{sweep}"));
    home
}

#[test]
fn a_cell_is_the_run_with_its_values_set() {
    let home = lucky("[sweep]\nattempts.per_group = [1, 2]\n'world.models.gpt-4o-mini.limits.rpm' = [20, 40]\n");
    assert!(home.output(&["run", "lucky.toml"]).status.success());
    let swept = json(&home, "lucky");
    assert_eq!(swept["sweep"]["cells"].as_array().unwrap().len(), 4);
    let cell = &swept["sweep"]["cells"][3];
    assert_eq!(cell["at"], serde_json::json!([1, 1]));
    let sets = ["--set", "attempts.per_group=2", "--set", "world.models.gpt-4o-mini.limits.rpm=40", "--set", "name=alone"];
    home.write("lucky.toml", LUCKY);
    assert!(home.output(&[&["run", "lucky.toml"], &sets[..]].concat()).status.success());
    let alone = json(&home, "alone");
    for (cell, variant) in cell["variants"].as_array().unwrap().iter().zip(alone["variants"].as_array().unwrap()) {
        let runs = variant["runs"].as_array().unwrap();
        let sum = |of: &str, what: &str| runs.iter().map(|run| run[of][what].as_u64().unwrap()).sum::<u64>();
        let bills: Vec<&Value> = runs.iter().map(|run| &run["bill"]).collect();
        assert_eq!(cell["bill_by_seed"].as_array().unwrap().iter().collect::<Vec<_>>(), bills);
        assert_eq!(cell["bill"], variant["bill"]);
        assert_eq!(cell["attempts"], sum("calls", "sent"));
        assert_eq!(cell["rate_limited"], sum("calls", "rate_limited"));
        assert_eq!(cell["answered"], sum("requests", "served") + sum("requests", "cached") + sum("requests", "shared"));
        assert_eq!(cell["other_model"], sum("requests", "other_model"));
    }
    assert_ne!(cell["variants"][0], swept["sweep"]["cells"][0]["variants"][0], "the values matter");
    // The variants have the scenario's own values, as without a sweep.
    assert!(home.output(&["run", "lucky.toml"]).status.success());
    assert_eq!(json(&home, "lucky")["variants"], swept["variants"]);
}

#[test]
fn one_at_a_time_begins_with_the_scenario_itself() {
    let sweep =
        "[sweep]\nmode = \"one-at-a-time\"\nattempts.per_group = [1, 2]\ntraffic.scale = [0.5]\n'world.models.gpt-4o-mini.limits.rpm' = [30]\n";
    let home = lucky(sweep);
    assert!(home.output(&["run", "lucky.toml"]).status.success());
    let report = json(&home, "lucky");
    let cells = report["sweep"]["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 1 + 2 + 1 + 1);
    for index in 0..2 {
        assert_eq!(cells[0]["variants"][index]["bill"], report["variants"][index]["bill"]);
    }
    assert_eq!(cells[0]["variants"], cells[4]["variants"], "a cell with the scenario's own value is run, and is the same as the scenario");
    let requests = |cell: &Value| cell["variants"][0]["requests"].as_u64().unwrap();
    assert!(requests(&cells[3]) < requests(&cells[0]), "half of the traffic");
}

#[test]
fn threads_change_no_byte() {
    let home = lucky("[sweep]\n'attempts.per_group' = [1, 2, 3]\n'traffic.scale' = [0.5, 1]\n");
    let files = |threads: &str| {
        assert!(home.output(&["run", "lucky.toml", "--threads", threads]).status.success());
        ["report.json", "series.csv", "sweep.csv"].map(|name| fs::read(home.path().join("reports/lucky").join(name)).unwrap())
    };
    assert!(files("1") == files("2"));
}

#[test]
fn a_sweep_on_the_command_line_takes_the_place_of_the_scenarios() {
    let home = lucky("[sweep]\n'cache.ttl' = [\"1m\"]\n");
    let argument = "attempts.per_group = { from = 1, to = 3, steps = 3 }";
    assert!(home.output(&["run", "lucky.toml", "--sweep", argument]).status.success());
    let axes = &json(&home, "lucky")["sweep"]["axes"];
    assert_eq!((axes[0]["path"].as_str(), axes[0]["values"].to_string()), (Some("attempts.per_group"), "[\"1\",\"2\",\"3\"]".to_owned()));
    assert!(axes[1].is_null());
    let wrong = home.output(&["run", "lucky.toml", "--sweep", "atempts.per_group=[1]"]);
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.status.code() == Some(2) && said.contains("--> --sweep:1:1") && said.contains("did you mean `attempts`?"), "{said}");
}

#[test]
fn a_long_sweep_says_so_before_it_starts() {
    let home = lucky("[sweep]\n'attempts.per_group' = [1, 2, 3]\n");
    let asked = home.output(&["run", "lucky.toml", "--seeds", "2000"]);
    let said = String::from_utf8(asked.stderr).unwrap();
    assert_eq!(asked.status.code(), Some(2), "{said}");
    assert!(said.contains("3 cells x 2 variants x 2,000 seeds = 12,000 runs of 300 requests: about ") && said.contains("--yes"), "{said}");
    assert!(!home.path().join("reports").exists(), "nothing is left");
}

#[test]
fn seeds_are_added_until_the_change_is_precise() {
    let home = lucky("");
    let precise = LUCKY.replace("seeds = 2", "precision = 0.06\nseeds_max = 40").replace("lucky", "precise");
    home.write("precise.toml", precise);
    assert!(home.output(&["run", "precise.toml"]).status.success());
    let report = json(&home, "precise");
    let seeds = report["seeds"].as_array().unwrap().len();
    assert!([20, 40].contains(&seeds), "more than the first look's ten were needed: {seeds}");
    assert!(home.output(&["run", "lucky.toml", "--seeds", &seeds.to_string()]).status.success());
    let runs = |report: &Value| report["variants"].as_array().unwrap().iter().map(|variant| variant["runs"].clone()).collect::<Vec<_>>();
    assert_eq!(runs(&json(&home, "lucky")), runs(&report), "in several steps as at once");
    // A number of seeds on the command line is a number of seeds.
    assert!(home.output(&["run", "precise.toml", "--seeds", "3"]).status.success());
    assert_eq!(json(&home, "precise")["seeds"], serde_json::json!([1, 2, 3]));
}
