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

#[test]
fn a_log_that_is_scaled_is_not_held_against_its_record() {
    let home = home();
    let scaled = stdout(&home, 0, &["run", "scenario.toml", "--set", "traffic.scale=2", "--set", "traffic.unknown_keys=add"]);
    let mut lines = scaled.lines();
    assert!(lines.next().is_some_and(|line| line.starts_with("five requests: five.csv, 6 requests in")), "{scaled}");
    assert!(lines.next().is_some_and(|line| line.starts_with("TRUST D")), "{scaled}");
    assert!(!scaled.contains("baseline: as configured"), "{scaled}");
    assert!(scaled.contains("\nAssumed: client retries in the log 1 row taken for them"), "{scaled}");
}

#[test]
fn what_a_log_covers_is_asked_of_the_log_and_not_of_what_is_laid_over_it() {
    let home = home();
    let overlay = "traffic.overlay={ stream = 1.0, models = { \"gpt-4o\" = 1 } }";
    let laid_over = stdout(&home, 0, &["run", "scenario.toml", "--set", overlay]);
    let line = |name: &str| laid_over.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {laid_over}")).to_owned();
    assert_eq!(line("stream ").split_whitespace().collect::<Vec<_>>()[1..3], ["0.0", "%"], "{laid_over}");
    assert!(line("stream ").contains("the scenario's overlay"), "{laid_over}");
    // What the log has, an overlay that replaces nothing leaves alone.
    assert!(line("Every request has: ").contains("model, key"), "{laid_over}");
}

#[test]
fn missing_lengths_are_learnt_under_the_names_of_the_run() {
    // The name `elsewhere` is only on retries: no arrival has it, and the models after it are numbered as if there were none.
    let mut log = "at_s,model,key,input_tokens,output_tokens,fingerprint,status,duration_ms\n".to_owned();
    for row in 0..60 {
        let at = 20 * row;
        log += &format!("{at},gpt-4o-mini,ann,100,,f{row},500,0\n{},elsewhere,ann,100,4000,f{row},200,0\n", at + 1);
        let output = if row == 50 { "" } else { "10" };
        log += &format!("{},gpt-4o,ann,100,{output},g{row},200,0\n", at + 2);
    }
    let home = home();
    home.write("five.csv", log);
    let report = stdout(&home, 0, &["run", "scenario.toml", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let imputed = &report["imputed"];
    assert_eq!((imputed["requests"].as_u64(), imputed["output_tokens"].as_u64()), (Some(1), Some(10)), "{imputed}");
}

/// A request that failed has no tokens in LiteLLM's log. What it would cost elsewhere hangs on its input, which is that of another request: here all have
/// 100 or 300, at $2.50 a million.
#[test]
fn the_inputs_of_failed_requests_are_drawn_and_stated_with_their_dollars() {
    let mut log = String::from("at_s,model,key,input_tokens,output_tokens,fingerprint,status,duration_ms\n");
    for row in 0..1_000 {
        let (input, output, status) = if row % 10 == 9 { (0, "", 500) } else { (if row % 2 == 0 { 100 } else { 300 }, "10", 200) };
        log += &format!("{row},gpt-4o,ann,{input},{output},g{row},{status},0\n");
    }
    let home = home();
    home.write("five.csv", log);
    let arguments = ["run", "scenario.toml", "--set", "traffic.retries=keep", "--set", "baseline=false"];
    let report: serde_json::Value = serde_json::from_str(&stdout(&home, 0, &[&arguments[..], &["--format", "json"]].concat())).unwrap();
    let imputed = &report["imputed_inputs"];
    let tokens = imputed["input_tokens"].as_u64().unwrap();
    assert_eq!(imputed["requests"], 100, "{imputed}");
    // 500 of the 900 others have 100: of a hundred draws 55.6 with a standard deviation of 5.
    let large = (tokens - 100 * 100) / 200;
    assert!(tokens.is_multiple_of(200) && (25..=64).contains(&large), "{tokens}");
    assert_eq!(imputed["of_input_tokens"].as_u64().unwrap(), 500 * 100 + 400 * 300 + tokens);
    let usd = |field: &str| imputed[field].as_str().unwrap().parse::<f64>().unwrap();
    let price = 2.5e-6;
    assert!((usd("dollars") - tokens as f64 * price).abs() < 1e-9, "{imputed}");
    assert!(
        (usd("dollars_if_all_are_short") - 100.0 * 100.0 * price).abs() < 1e-9
            && (usd("dollars_if_all_are_long") - 100.0 * 300.0 * price).abs() < 1e-9
    );
    let text = stdout(&home, 0, &arguments).replace("\n    ", " ");
    let line = text.lines().find(|line| line.starts_with("Assumed: input of failed requests")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("drawn from other requests for 100 of 1,000 requests (10.0 %)") && line.contains("$0.0250 to $0.0750 if all"), "{line}");
}
