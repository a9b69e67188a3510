//! The verdicts on a variant's stability, on worlds in which the right verdict follows from a few numbers.

use std::fs;

use serde_json::Value;

use crate::cli::Home;

const GATEWAY: &str = "\
version = 1
[models.gpt-4o-mini]
deployments = [{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }]
[attempts]
per_request = 3
per_group = 3
per_deployment = 3
only_if_healthy = false
backoff = { base = \"1s\", max = \"1s\", jitter = \"0s\" }
[cooldown]
time = \"0s\"
[timeouts]
call = \"15s\"
";

/// Ten places, 10 s a call: one call a second is the capacity. 0.7 requests a second are asked for. For five minutes every call takes 40 s. A plain
/// answer is worked on to its end, whether anybody waits for it or not.
const STORM: &str = "\
name = \"storm\"
gateway = \"storm-gateway.toml\"
[traffic]
trace = \"even.csv\"
[world.models.gpt-4o-mini]
ttft = \"10s\"
limits = { concurrency = 10, queue = { length = 1000, wait = \"never\" } }
brownouts = [{ from = \"20m\", for = \"5m\", slower = 4 }]
[[variant]]
name = \"three attempts\"
[[variant]]
name = \"retry budget\"
set = { attempts.retry_budget = { ratio = 0.1, burst = 10 } }
";

fn even(seconds: u64, milliseconds_apart: u64) -> String {
    let mut text = "at_ms,model,input_tokens,output_tokens\n".to_owned();
    for number in 0..seconds * 1000 / milliseconds_apart {
        text.push_str(&format!("{},gpt-4o-mini,1000,1\n", number * milliseconds_apart));
    }
    text
}

fn variants(scenario: &str, trace: String) -> Vec<Value> {
    let home = Home::new();
    home.write("storm-gateway.toml", GATEWAY);
    home.write("even.csv", trace);
    home.write("storm.toml", scenario);
    let run = home.output(&["run", "storm.toml"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_slice(&fs::read(home.path().join("reports/storm/report.json")).unwrap()).unwrap();
    report["variants"].as_array().unwrap().clone()
}

/// Three attempts for each request are 2.1 calls a second at a capacity of 1: the queue is as long as anybody waits, 15 s, and who gets a place after
/// nearly 15 s is gone before the 10 s of work are done. So nothing is answered and all three attempts are made, for ever: +200 %. With a budget of
/// one retry for ten requests there are 0.77 calls a second, and the queue empties.
#[test]
fn a_retry_storm_outlives_its_trigger_and_a_retry_budget_ends_it() {
    let variants = variants(STORM, even(3600, 1429));
    let [storm, budget] = [0, 1].map(|index| &variants[index]["stability"]);
    assert_eq!(storm["after_trigger"], "metastable", "{storm}");
    let more = storm["against_twin"]["more_attempts"].as_f64().unwrap();
    assert!((more - 2.0).abs() < 0.02, "three attempts in place of one: {storm}");
    assert!(storm["against_twin"]["more_answers"].as_f64().unwrap() < -0.98, "{storm}");
    assert_eq!(storm["against_twin"]["trigger_ended_ns"], 25 * 60 * 1_000_000_000_u64);
    let tail = storm["against_twin"]["tail"].as_str().unwrap();
    assert_eq!(budget["after_trigger"], "recovers", "{budget}");
    assert!(budget["against_twin"]["more_attempts"].as_f64().unwrap().abs() < 0.01, "{budget}");
    // Calls that time out are paid for: 35 minutes with more calls than without.
    assert!(!tail.starts_with('-') && tail != "0.000000000000", "{tail}");
    assert!(budget.get("saturated").is_none_or(|saturated| saturated["lasts_ns"].as_u64() < Some(15 * 60 * 1_000_000_000)), "{budget}");
    let saturated = &storm["saturated"];
    assert!(saturated["lasts_ns"].as_u64().unwrap() >= 35 * 60 * 1_000_000_000, "as long as it lasts: {saturated}");
}

#[test]
fn a_run_that_ends_too_early_decides_nothing() {
    let variants = variants(STORM, even(39 * 60, 1429));
    assert_eq!(variants[0]["stability"]["after_trigger"], "not_decided_too_short", "14 of 15 minutes after the trigger");
}

#[test]
fn a_world_without_a_script_has_no_trigger() {
    let scenario = STORM.replace("brownouts = [{ from = \"20m\", for = \"5m\", slower = 4 }]\n", "");
    let variants = variants(&scenario, even(1200, 1429));
    assert_eq!(variants[0]["stability"], serde_json::json!({ "after_trigger": "no_trigger" }));
}

/// 120 requests a minute at a limit of 60: after the bucket's first minute, half of all calls are turned away, and one a second is admitted.
#[test]
fn twice_the_limit_is_saturation_and_half_of_it_is_not() {
    let limited = "limits = { rpm = 60 }\n";
    let scenario = STORM.lines().filter(|line| !line.starts_with("limits") && !line.starts_with("brownouts")).collect::<Vec<_>>().join("\n");
    let scenario = scenario.replace("ttft = \"10s\"", &format!("ttft = \"1s\"\n{limited}"));
    let scenario = scenario.replace("set = { attempts.retry_budget = { ratio = 0.1, burst = 10 } }", "set = { attempts.per_request = 1 }");
    let twice = variants(&scenario, even(1800, 500));
    let saturated = &twice[1]["stability"]["saturated"];
    let share = saturated["turned_away"].as_f64().unwrap() / saturated["calls"].as_f64().unwrap();
    assert!((share - 0.5).abs() < 0.01, "{saturated}");
    assert!((saturated["admitted_per_second"].as_f64().unwrap() - 1.0).abs() < 0.02, "{saturated}");
    let half = variants(&scenario, even(1800, 2000));
    assert!(half.iter().all(|variant| variant["stability"].get("saturated").is_none()), "{half:?}");
}
