//! Recorded logs as a user replays them: what a run says about the rows that it did and did not take for traffic.

use crate::cli::Home;

/// LiteLLM's log of a request that was refused and tried again after a second, between two others.
const LOG: &str = "\
startTime,endTime,model,model_group,api_key,prompt_tokens,completion_tokens,cache_key,status,metadata
2026-11-20 09:00:00,2026-11-20 09:00:02,gpt-4o-mini,gpt-4o-mini,alice,1000,100,a,success,{}
2026-11-20 09:00:10,2026-11-20 09:00:10.5,gpt-4o-mini,gpt-4o-mini,alice,1000,0,b,failure,\"{\"\"error_information\"\": {\"\"error_code\"\": \"\"429\"\"}}\"
2026-11-20 09:00:11,2026-11-20 09:00:12,gpt-4o,gpt-4o,bob,2000,50,c,success,{}
2026-11-20 09:00:11.5,2026-11-20 09:00:14,gpt-4o-mini,gpt-4o-mini,alice,1000,200,b,success,{}
";

fn home() -> Home {
    let home = Home::new();
    home.write("five.csv", LOG);
    home
}

#[track_caller]
fn stdout(home: &Home, code: i32, arguments: &[&str]) -> String {
    let output = home.output(arguments);
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_logs_client_retries_are_no_arrivals_and_the_report_says_so() {
    let home = home();
    let linked = stdout(&home, 0, &["run", "scenario.toml"]);
    assert!(linked.starts_with("five requests: five.csv, 3 requests in 11 s, recorded\n"), "{linked}");
    assert!(
        linked.contains("\nAssumed: client retries in the log 1 row taken for them, not for arrivals; clients make none here\n    [assumed]\n"),
        "{linked}"
    );
    // Replayed twice, it costs more than the log says.
    let kept = stdout(&home, 5, &["run", "scenario.toml", "--set", "traffic.retries=keep"]);
    assert!(kept.starts_with("five requests: five.csv, 4 requests in 11 s, recorded\n"), "{kept}");
    assert!(!kept.contains("client retries"), "{kept}");
}
