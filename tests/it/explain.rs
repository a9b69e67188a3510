//! `gwsim run --requests`, and what is told from it: stories of requests, the dearest of them; and what helps at the command line.

use insta::assert_snapshot;

use crate::cli::Home;

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
