//! Golden dollars: `gwsim run` on the scenarios of `tests/golden`, held to figures that were computed independently of gwsim, to the last picodollar.
//!
//! The traces are not part of the repository. Without them (`../shared/traces`, or under `GWSIM_SHARED`) those tests are skipped with a notice, and a
//! trace of seven rows, with dollars worked out by hand, goes through the same scenarios. Each scenario also runs with realistic defaults; both
//! totals are printed side by side: `cargo test dollars -- --nocapture`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

const AZURE: &str = "azure_llm_2023_code.csv";
const CONVERSATION: &str = "mooncake_conversation.jsonl.gz";
const AGENT: &str = "agent_miniswe.jsonl.gz";

/// Bucket limits of a provider by `--set`: requests and tokens in a minute.
type Limits = (u32, u32);
const MINI_TIER_1: Limits = (500, 200_000);
const LARGE_TIER_1: Limits = (500, 30_000);
const LARGE_TIER_2: Limits = (5_000, 450_000);
const LARGE_TIER_3: Limits = (5_000, 800_000);

/// A shared trace, or nothing and a notice.
fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("GWSIM_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join("traces").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not here; set GWSIM_SHARED to the folder that has it", path.display());
    None
}

/// A scenario of `tests/golden` on one trace.
struct Golden {
    scenario: &'static str,
    trace: PathBuf,
    reports: TempDir,
}

impl Golden {
    fn new(scenario: &'static str, trace: PathBuf) -> Self {
        Self { scenario, trace, reports: tempfile::tempdir().unwrap() }
    }

    /// The report of `gwsim run` with these settings. What holds of every run holds of this one.
    #[track_caller]
    fn run(&self, sets: &[&str]) -> Value {
        let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(self.scenario);
        // A literal string: a path may have backslashes.
        let trace = format!("traffic.trace='{}'", self.trace.display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_gwsim"));
        command.arg("run").arg(scenario).args(["--format", "json", "--set", &trace, "--out"]).arg(self.reports.path());
        for set in sets {
            command.args(["--set", set]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{} {sets:?}: {}", self.scenario, String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        check_sums(self.scenario, &report);
        report
    }

    /// The dollars of each variant with these settings.
    #[track_caller]
    fn check_bills(&self, sets: &[&str], expected: &[&str]) {
        assert_eq!(bills(&self.run(sets)), expected, "{} {sets:?}", self.scenario);
    }

    /// Runs the scenario with realistic defaults too and prints both totals. Nobody has computed the realistic ones independently.
    #[track_caller]
    fn print_beside_realistic(&self) {
        let [ledger, realistic] = [self.run(&[]), self.run(&["world.preset=realistic"])];
        let names = ledger["variants"].as_array().unwrap().iter().map(|variant| variant["name"].as_str().unwrap());
        for ((name, ledger), realistic) in names.zip(bills(&ledger)).zip(bills(&realistic)) {
            println!("{:<26} {name:<18} ledger {ledger:>18}   realistic {realistic:>18}", self.scenario);
        }
    }
}

/// Every variant's dollars, exact.
fn bills(report: &Value) -> Vec<&str> {
    report["variants"].as_array().unwrap().iter().map(|variant| variant["bill"]["mean"].as_str().unwrap()).collect()
}

/// The one run of a variant.
fn outcome(report: &Value, variant: usize) -> &Value {
    let runs = report["variants"][variant]["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    &runs[0]
}

/// `requests` of the first variant: how many were rejected by the provider, each of them failed and for this reason only.
#[track_caller]
fn rejected(report: &Value) -> u64 {
    let requests = &outcome(report, 0)["requests"];
    assert_eq!(requests["failed_by"]["rate_limited"], requests["failed"]);
    assert_eq!(count(&requests["served"]) + count(&requests["failed"]), count(&requests["arrived"]));
    count(&requests["failed"])
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a count: {value}"))
}

/// Dollars with twelve decimals as picodollars.
fn picodollars(value: &Value) -> i128 {
    let text = value.as_str().unwrap_or_else(|| panic!("dollars: {value}"));
    assert_eq!(text.split_once('.').map(|(_, decimals)| decimals.len()), Some(12), "{text}");
    text.replace('.', "").parse().unwrap()
}

/// Every request has one end, the causes and the positions add up to the bill, and the gateway's books are not below it.
#[track_caller]
fn check_sums(scenario: &str, report: &Value) {
    for variant in report["variants"].as_array().unwrap() {
        for run in variant["runs"].as_array().unwrap() {
            let requests = &run["requests"];
            let ends = ["served", "cached", "shared", "refused", "failed", "abandoned"].map(|end| count(&requests[end]));
            assert_eq!(ends.iter().sum::<u64>(), count(&requests["arrived"]), "{scenario}: {requests}");
            let bill = picodollars(&run["bill"]);
            let parts = ["base", "premium_of_place", "prompt_cache", "wasted", "undelivered"].map(|part| picodollars(&run["cause"][part]));
            assert_eq!(parts.iter().sum::<i128>(), bill, "{scenario}: {}", run["cause"]);
            let positions: i128 = run["by_position"].as_object().unwrap().values().map(picodollars).sum();
            assert_eq!(positions, bill, "{scenario}: {}", run["by_position"]);
            let ledger = picodollars(&run["ledger"]["confirmed"]) + picodollars(&run["ledger"]["presumed"]);
            assert!(ledger >= bill, "{scenario}: ledger {ledger}, bill {bill}");
        }
    }
}

/// `--set` for a provider's limits.
fn limited((requests, tokens): Limits, window: &str) -> [String; 3] {
    let set = |key: &str, value: &str| format!("world.deployments.limited.limits.{key}={value}");
    [set("rpm", &requests.to_string()), set("tpm", &tokens.to_string()), set("window", window)]
}

#[test]
fn no_policy() {
    let expected = [
        ("no_policy_azure.toml", AZURE, ["47.608895000000", "2.856533700000", "57.868362000000"]),
        ("no_policy_mooncake.toml", CONVERSATION, ["403.205037500000", "24.192302250000", "496.212189000000"]),
        ("no_policy_miniswe.toml", AGENT, ["6.612845000000", "0.396770700000", "8.067165000000"]),
    ];
    for (scenario, trace, bills) in expected {
        let Some(trace) = shared(trace) else { continue };
        let golden = Golden::new(scenario, trace);
        golden.check_bills(&[], &bills);
        golden.print_beside_realistic();
    }
}

/// A lifetime of both providers' prompt caches: dollars of gpt-4o, gpt-4o-mini and claude-3-5-sonnet, and the cached tokens of the first two
/// and how many calls read them.
#[track_caller]
fn check_prompt_cache(golden: &Golden, ttl: &str, dollars: [&str; 3], cached: (u64, u64)) {
    let [openai, anthropic] = ["openai", "anthropic"].map(|provider| format!("world.providers.{provider}.prompt_cache.ttl={ttl}"));
    let report = golden.run(&[&openai, &anthropic]);
    assert_eq!(bills(&report), dollars, "{} {ttl}", golden.scenario);
    for variant in [0, 1] {
        let run = outcome(&report, variant);
        assert_eq!((count(&run["tokens"]["cache_read"]), count(&run["calls"]["prompt_cache_hits"])), cached, "{} {ttl}", golden.scenario);
    }
}

#[test]
fn prompt_caches_on_chat() {
    let Some(trace) = shared(CONVERSATION) else { return };
    let golden = Golden::new("prompt_cache_mooncake.toml", trace);
    check_prompt_cache(&golden, "1h", ["340.340877500000", "20.420452650000", "430.347515700000"], (50_291_328, 4_630));
    check_prompt_cache(&golden, "5m", ["355.489997500000", "21.329399850000", "472.163813400000"], (38_172_032, 3_644));
    check_prompt_cache(&golden, "1m", ["391.205677500000", "23.472340650000", "570.747156300000"], (9_599_488, 996));
    golden.print_beside_realistic();
}

#[test]
fn prompt_caches_on_an_agent() {
    let Some(trace) = shared(AGENT) else { return };
    let golden = Golden::new("prompt_cache_miniswe.toml", trace);
    check_prompt_cache(&golden, "1h", ["3.755565000000", "0.225333900000", "2.032998750000"], (2_285_824, 383));
    check_prompt_cache(&golden, "5m", ["3.758125000000", "0.225487500000", "2.040240300000"], (2_283_776, 382));
    golden.print_beside_realistic();
}

/// Requests that the response cache answers with the lifetimes off, 1 h, 5 min sliding and 5 min from insertion.
#[track_caller]
fn check_cached(report: &Value, expected: [u64; 4]) {
    assert_eq!([0, 1, 2, 3].map(|variant| count(&outcome(report, variant)["requests"]["cached"])), expected);
}

#[test]
fn duplicates_through_the_response_cache() {
    let Some(trace) = shared(CONVERSATION) else { return };
    let golden = Golden::new("duplicates_mooncake.toml", trace);
    let report = golden.run(&[]);
    check_cached(&report, [0, 118, 95, 94]);
    let [off, hour] = [0, 1].map(|variant| picodollars(&outcome(&report, variant)["bill"]));
    assert_eq!(off - hour, 2_664_167_500_000, "what 118 duplicates cost at gpt-4o");
    golden.print_beside_realistic();
}

#[test]
fn admission() {
    let expected = [
        ("admission_azure.toml", AZURE, MINI_TIER_1, 3_280, 5_063),
        ("admission_azure.toml", AZURE, LARGE_TIER_1, 6_648, 7_942),
        ("admission_azure.toml", AZURE, LARGE_TIER_2, 811, 2_336),
        ("admission_azure.toml", AZURE, LARGE_TIER_3, 8, 558),
        ("admission_mooncake.toml", CONVERSATION, MINI_TIER_1, 8_495, 10_853),
    ];
    for (scenario, trace, limits, by_bucket, by_window) in expected {
        let Some(trace) = shared(trace) else { continue };
        let golden = Golden::new(scenario, trace);
        for (window, expected) in [("bucket", by_bucket), ("start", by_window)] {
            let report = golden.run(&limited(limits, window).each_ref().map(String::as_str));
            assert_eq!(rejected(&report), expected, "{scenario} {limits:?} {window}");
        }
        if limits == MINI_TIER_1 {
            golden.print_beside_realistic();
        }
    }
}

#[test]
fn fallbacks_to_the_large_model() {
    let expected = [
        ("fallback_azure.toml", AZURE, "26.918402250000", "29.065404550000"),
        ("fallback_mooncake.toml", CONVERSATION, "367.201810800000", "372.731562900000"),
    ];
    for (scenario, trace, by_bucket, by_window) in expected {
        let Some(trace) = shared(trace) else { continue };
        let golden = Golden::new(scenario, trace);
        for (window, expected) in [("bucket", by_bucket), ("start", by_window)] {
            golden.check_bills(&limited(MINI_TIER_1, window).each_ref().map(String::as_str), &[expected]);
        }
        golden.print_beside_realistic();
    }
}

/// Seven rows that tell every rule apart. Blocks are 512 tokens; 10,280 tokens in, 420 out.
///
/// | row | at | in, out | for the response cache | for the prompt cache |
/// |---|---|---|---|---|
/// | 1 | 0 s | 1,536, 100 | new | new |
/// | 2 | 0 s | 1,536, 50 | duplicate of 1, at once | 1,536 cached |
/// | 3 | 60 s | 2,000, 200 | new | 1,536 cached, just within a minute |
/// | 4 | 90 s | 600, 30 | new | too short to cache |
/// | 5 | 200 s | 1,536, 10 | duplicate within 5 min of row 1 | 1,536 cached at 5 min, not at 1 |
/// | 6 | 400 s | 1,536, 10 | duplicate within 5 min of row 5, not of row 1 | the same |
/// | 7 | 1,000 s | 1,536, 20 | duplicate within an hour only | 1,536 cached at 1 h only |
const SEVEN_ROWS: &str = r#"{"timestamp": 0, "input_length": 1536, "output_length": 100, "hash_ids": [1, 2, 3]}
{"timestamp": 0, "input_length": 1536, "output_length": 50, "hash_ids": [1, 2, 3]}
{"timestamp": 60000, "input_length": 2000, "output_length": 200, "hash_ids": [1, 2, 3, 4]}
{"timestamp": 90000, "input_length": 600, "output_length": 30, "hash_ids": [9, 10]}
{"timestamp": 200000, "input_length": 1536, "output_length": 10, "hash_ids": [1, 2, 3]}
{"timestamp": 400000, "input_length": 1536, "output_length": 10, "hash_ids": [1, 2, 3]}
{"timestamp": 1000000, "input_length": 1536, "output_length": 20, "hash_ids": [1, 2, 3]}
"#;

/// A scenario on the seven rows; the directory keeps them.
fn seven_rows(scenario: &'static str) -> Golden {
    let mut golden = Golden::new(scenario, PathBuf::new());
    golden.trace = golden.reports.path().join("seven.jsonl");
    std::fs::write(&golden.trace, SEVEN_ROWS).unwrap();
    golden
}

#[test]
fn seven_rows_without_policy() {
    // 10,280 x 2.50 + 420 x 10.00 micro-dollars; 10,280 x 0.15 + 420 x 0.60; 10,280 x 3.00 + 420 x 15.00.
    for scenario in ["no_policy_azure.toml", "no_policy_mooncake.toml", "no_policy_miniswe.toml"] {
        let golden = seven_rows(scenario);
        golden.check_bills(&[], &["0.029900000000", "0.001794000000", "0.037140000000"]);
        golden.print_beside_realistic();
    }
}

#[test]
fn seven_rows_with_prompt_caches() {
    for scenario in ["prompt_cache_mooncake.toml", "prompt_cache_miniswe.toml"] {
        let golden = seven_rows(scenario);
        // Each cached token saves 1.25 and 0.075 micro-dollars on the GPTs. Sonnet: row 4 costs 600 x 3.00; 464 tokens of row 3 are written at 3.75.
        // 1 h: 5 rows read 1,536. Sonnet in: 1,800 + 464 x 3.75 + 5 x 1,536 x 0.30 + row 1 written, 1,536 x 3.75 = 11,604; out 6,300.
        check_prompt_cache(&golden, "1h", ["0.020300000000", "0.001218000000", "0.017904000000"], (7_680, 5));
        // 5 min: 4 rows read; row 7 is written anew: 11,604 - 460.8 + 5,760 = 16,903.2; out 6,300.
        check_prompt_cache(&golden, "5m", ["0.022220000000", "0.001333200000", "0.023203200000"], (6_144, 4));
        // 1 min: rows 2 and 3 read; rows 5 and 6 are written anew as well: 16,903.2 + 2 x (5,760 - 460.8) = 27,501.6; out 6,300.
        check_prompt_cache(&golden, "1m", ["0.026060000000", "0.001563600000", "0.033801600000"], (3_072, 2));
        golden.print_beside_realistic();
    }
}

#[test]
fn seven_rows_through_the_response_cache() {
    let golden = seven_rows("duplicates_mooncake.toml");
    let report = golden.run(&[]);
    // Sliding keeps row 6, because row 5 renewed the answer of row 1; nothing but an hour keeps row 7.
    check_cached(&report, [0, 4, 3, 2]);
    // 1 h leaves rows 1, 3 and 4: 4,136 x 2.50 + 330 x 10.00. Row 7 costs 3,840 + 200 more, row 6 3,840 + 100.
    assert_eq!(bills(&report), ["0.029900000000", "0.013640000000", "0.017680000000", "0.021620000000"]);
    golden.print_beside_realistic();
}

/// 2,700 tokens a minute. Row 2 finds 2,700 - 1,636 left. Row 3 finds the bucket full and takes 2,200; 30 s later it has 500 + 1,350 for the 630 of
/// row 4, while the fixed minute from 60 s on has only 500.
const TIGHT: Limits = (500, 2_700);

#[test]
fn seven_rows_under_a_providers_limits() {
    for scenario in ["admission_azure.toml", "admission_mooncake.toml"] {
        let golden = seven_rows(scenario);
        for (window, expected) in [("bucket", 1), ("start", 2)] {
            assert_eq!(rejected(&golden.run(&limited(TIGHT, window).each_ref().map(String::as_str))), expected, "{scenario} {window}");
        }
        // One request a minute: row 2 alone is too many.
        assert_eq!(rejected(&golden.run(&limited((1, 200_000), "bucket").each_ref().map(String::as_str))), 2, "rows 2 and 4");
        golden.print_beside_realistic();
    }
}

#[test]
fn seven_rows_with_a_fallback() {
    for scenario in ["fallback_azure.toml", "fallback_mooncake.toml"] {
        let golden = seven_rows(scenario);
        // All on mini are 1,794 micro-dollars. Row 2 costs 4,340 on gpt-4o instead of 260.4, row 4 1,800 instead of 108.
        for (window, expected) in [("bucket", "0.005873600000"), ("start", "0.007565600000")] {
            golden.check_bills(&limited(TIGHT, window).each_ref().map(String::as_str), &[expected]);
        }
        golden.print_beside_realistic();
    }
}
