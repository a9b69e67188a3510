//! `gwsim run --requests`, and what is made of it: stories of requests, the dearest of them, and a bill in FOCUS.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use crate::cli::Home;

/// A key with a budget, a fallback, prompt caches, reserved capacity, clients that leave and clients that retry.
const RICH: &str = "\
name = \"rich\"
seeds = 2
[traffic]
trace = \"quickstart.csv.gz\"
synthetic = true
unknown_keys = \"add\"
window = { from = \"0s\", for = \"20m\" }
[traffic.overlay]
stream = 0.8
abandon = 0.2
[clients]
sdk = \"openai\"
[world]
ttft = \"300ms\"
tokens_per_second = 80
[world.providers.openai]
prompt_cache = { kind = \"openai\", ttl = \"5m\" }
[world.models.gpt-4o-mini]
limits = { rpm = 30, tpm = 100_000 }
[gateway.models.gpt-4o-mini]
deployments = [{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }]
fallbacks = [\"gpt-4o\"]
[gateway.models.gpt-4o]
deployments = [{ id = \"large\", provider = \"openai\", model = \"gpt-4o\" }]
[gateway.models.claude-3-haiku]
deployments = [{ id = \"haiku\", provider = \"anthropic\", model = \"claude-3-haiku\" }]
[gateway.models.claude-3-5-sonnet]
deployments = [{ id = \"sonnet\", provider = \"anthropic\", model = \"claude-3-5-sonnet\" }]
[gateway.cache]
ttl = \"1h\"
[gateway.prices]
deployments.large = { reserved = { per_hour = \"3 USD\" } }
[[variant]]
name = \"as configured\"
[[variant]]
name = \"patient\"
set = { 'models.gpt-4o-mini.fallbacks' = [], attempts.per_request = 6, attempts.per_deployment = 6 }
";

fn rich() -> Home {
    let home = Home::new();
    let trace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/quickstart.csv.gz");
    home.write("quickstart.csv.gz", std::fs::read(trace).unwrap());
    home.write("rich.toml", RICH);
    let text = home.gwsim(&["run", "rich.toml", "--requests"]);
    assert!(text.starts_with("exit 0\n"), "{text}");
    home
}

#[test]
fn a_request_is_explained_in_every_variant() {
    let home = Home::new();
    assert!(home.output(&["run", "scenario.toml", "--requests"]).status.success());
    assert_snapshot!(home.gwsim(&["explain", "reports/five-requests", "3"]), @r"
    exit 0
    ----- stdout
    Request 3 in `as configured`: key bob asks for gpt-4o with 2,000 input tokens, states no max_tokens.
            +0  arrives, 2026-11-20 09:01:00.000 UTC
            +0  call 1, first: large (gpt-4o at openai): delivered 50 tokens in 0
                2,000 in, 50 out: $0.00550
            +0  served by gpt-4o, as asked
    It cost $0.00550 in 1 call: what was delivered, at the price of the model asked for.

    Request 3 in `all on gpt-4o`: key bob asks for gpt-4o with 2,000 input tokens, states no max_tokens.
            +0  arrives, 2026-11-20 09:01:00.000 UTC
            +0  call 1, first: large (gpt-4o at openai): delivered 50 tokens in 0
                2,000 in, 50 out: $0.00550
            +0  served by gpt-4o, as asked
    It cost $0.00550 in 1 call: what was delivered, at the price of the model asked for.
    ");
    assert_snapshot!(home.gwsim(&["explain", "reports/five-requests", "--worst", "2"]), @r"
    exit 0
    ----- stdout
    The dearest requests in `as configured`:
    request          $  calls  outcome  answered by    asked for    key  latency
    3         $0.00550      1   served       gpt-4o       gpt-4o    bob        0
    5        $0.000612      1   served  gpt-4o-mini  gpt-4o-mini  alice        0
    ");
    let json = home.output(&["explain", "reports/five-requests", "3", "--variant", "as configured", "--format", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    // 2,000 x 2.50 + 50 x 10 micro-dollars.
    assert_eq!((&json[0]["request"]["cost_picousd"], &json[0]["calls"][0]["cost_picousd"]), (&5_500_000_000_u64.into(), &5_500_000_000_u64.into()));
    assert_snapshot!(home.gwsim(&["explain", "reports/five-requests", "6"]), @r"
    exit 2
    ----- stderr
    error: no request 6: the traffic has 5 requests
    hint: --worst 10 lists the dearest
    ");
    assert_snapshot!(home.gwsim(&["explain", "reports/five-requests", "first"]), @r"
    exit 2
    ----- stderr
    error: `first` is no request
    hint: its number in the traffic, from 1: 17, or 17.1 for its client's first retry
    ");
    assert_snapshot!(home.gwsim(&["explain", "reports/five-requests", "3", "--variant", "all on gpt4o"]), @r"
    exit 2
    ----- stderr
    error: no variant `all on gpt4o`
    hint: did you mean `all on gpt-4o`?
    ");
    // Another run of the same name, without its requests: those of the old one are gone.
    assert!(home.output(&["run", "scenario.toml"]).status.success());
    assert_snapshot!(home.gwsim(&["explain", "reports/five-requests", "3"]), @r"
    exit 2
    ----- stderr
    error: reports/five-requests has no requests.parquet and calls.parquet: it was made without its requests
    hint: run its scenario again with `gwsim run SCENARIO --requests`
    ");
}

#[test]
fn a_focus_export_sums_to_the_bill_of_the_variant() {
    let home = rich();
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(home.path().join("reports/rich/report.json")).unwrap()).unwrap();
    for (index, (variant, period)) in [("as configured", "hour"), ("patient", "day")].into_iter().enumerate() {
        let csv = home.output(&["export", "focus", "reports/rich", "--variant", variant, "--period", period]).stdout;
        let mut reader = csv::Reader::from_reader(csv.as_slice());
        let header = reader.headers().unwrap().clone();
        let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
        // Integers of 10^-12 dollars.
        let picodollars = |text: &str| text.replace('.', "").parse::<i128>().unwrap();
        let sum: i128 = rows.iter().map(|row| picodollars(&row["BilledCost"])).sum();
        let run = &report["variants"][index]["runs"][0];
        assert_eq!(sum, picodollars(run["bill"].as_str().unwrap()), "{variant}");
        let by_cause = |cause: &str| rows.iter().filter(|row| row["x_Cause"] == cause).map(|row| picodollars(&row["BilledCost"])).sum::<i128>();
        for (cause, part) in [("undelivered", "undelivered"), ("wasted", "wasted"), ("reserved", "reserved")] {
            assert_eq!(by_cause(cause), picodollars(run["cause"][part].as_str().unwrap()), "{variant}: {cause}");
        }
        assert!(by_cause("undelivered") > 0 && by_cause("reserved") > 0, "{variant}: a test of something");
        for column in MANDATORY {
            assert!(header.iter().any(|name| name == column), "{column} is mandatory");
            let may_be_null = column == "ChargeClass";
            assert!(may_be_null || rows.iter().all(|row| !row[column].is_empty()), "{column} is empty");
        }
        assert!(header.iter().skip_while(|name| !name.starts_with("x_")).all(|name| name.starts_with("x_")), "{header:?}");
    }
}

/// What FOCUS 1.2 wants every dataset to have.
const MANDATORY: [&str; 21] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
];

#[test]
fn every_shell_gets_its_completions() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = home.output(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("max-increase") && script.contains("completions"), "{shell}");
    }
}

#[test]
fn the_help_of_every_command_fits_and_has_an_example() {
    let home = Home::new();
    for command in [&["compare"][..], &["explain"], &["export", "focus"], &["completions"], &["run"]] {
        let output = home.output(&[command, &["--help"]].concat());
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && help.contains("Example"), "{command:?}: {help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}
