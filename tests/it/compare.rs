//! `gwsim compare` as CI meets it: what is printed, what the verdict is, and what is refused. And what it reads: report.json as its schema says.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;

use crate::cli::{GATEWAY, Home, SCENARIO, TRACE};

/// A home with `new.toml`, where what asks for the small model is sent to the large one.
fn home() -> Home {
    let home = Home::new();
    home.write("new.toml", GATEWAY.replace("model = \"gpt-4o-mini\" }", "model = \"gpt-4o\" }"));
    home
}

/// Exit code and stderr.
fn verdict(home: &Home, arguments: &[&str]) -> String {
    let text = home.gwsim(arguments);
    let stderr = text.split_once("----- stderr\n").map_or("", |(_, stderr)| stderr);
    format!("{}\n{stderr}", text.lines().next().unwrap_or_default())
}

#[test]
fn gateway_configs_are_compared_on_the_same_traffic() {
    let home = home();
    assert_snapshot!(home.gwsim(&["compare", "gateway.toml", "new.toml", "--traffic", "scenario.toml", "--max-increase", "5%"]), @r"
    exit 3
    ----- stdout
    five.csv, 5 requests in 2 min, recorded; changes are against gateway.toml

                  $ trace  $/hour    change  answered  p95  other model  retries  429s
    gateway.toml   0.0068   0.204             100.0 %    0        0.0 %        0     0
    new.toml       0.0270   0.809  +297.1 %   100.0 %    0        0.0 %        0     0
    Nothing saves: gateway.toml is the cheapest of 2 variants.
    No interval: luck none, day to day unknown (trace too short: 4 blocks of 3 s, 20 needed)
    $/hour: the trace's dollars spread over its 2 min; too short to speak of days.
    change: token counts not compared between the models that answer (new.toml)

    $ by cause      base  premium of place  prompt cache  wasted  undelivered   total
    gateway.toml  0.0068                 0             0       0            0  0.0068
    new.toml      0.0270                 0             0       0            0  0.0270

    TRUST D: not checked against a bill. Compare the variants; don't budget with the dollars.
    ----- stderr
    error: above: new.toml: +297.1 %, at most +5 % asked for
    ");
    assert!(!home.path().join("reports").exists(), "nothing is kept");
}

#[test]
fn a_trace_alone_is_traffic_too() {
    let home = home();
    let text = home.gwsim(&["compare", "gateway.toml", "gateway.toml", "--trace", "five.csv", "--max-increase", "0%"]);
    assert!(text.starts_with("exit 0\n") && text.contains("pass: within: gateway.toml: identical"), "{text}");
    home.write("bare.csv", TRACE.replace(",model", ",end_user").replace(",gpt-4o-mini,", ",,").replace(",gpt-4o,", ",,"));
    let bare = ["compare", "gateway.toml", "new.toml", "--trace", "bare.csv", "--seeds", "2"];
    let text = home.gwsim(&bare);
    assert!(text.starts_with("exit 2\n") && text.contains("model"), "{text}");
    let text = home.gwsim(&[&bare[..], &["--model", "gpt-4o-mini"]].concat());
    assert!(text.starts_with("exit 0\n"), "{text}");
}

#[test]
fn reports_are_compared_from_their_files_and_scenarios_are_run() {
    let home = home();
    home.write("dear.toml", SCENARIO.replace("name = \"five requests\"", "name = \"dear\"").replace("gateway.toml", "new.toml"));
    for scenario in ["scenario.toml", "dear.toml"] {
        assert!(home.output(&["run", scenario, "--seeds", "10"]).status.success());
    }
    let from_files = home.output(&["compare", "reports/five-requests", "reports/dear/report.json", "--format", "json"]);
    let run = home.output(&["compare", "scenario.toml", "dear.toml", "--format", "json"]);
    let [mut from_files, mut run]: [Value; 2] = [from_files, run].map(|output| serde_json::from_slice(&output.stdout).unwrap());
    for (json, replaced) in [(&mut from_files, ["reports/five-requests", "reports/dear/report.json"]), (&mut run, ["scenario.toml", "dear.toml"])] {
        let text = json.to_string().replace(replaced[0], "A").replace(replaced[1], "B");
        *json = serde_json::from_str(&text).unwrap();
    }
    assert_eq!(from_files, run, "a report says what its run says");
    let names: Vec<&str> = run["comparisons"].as_array().unwrap().iter().map(|group| group["variants"][0]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["B#as configured", "B#all on gpt-4o"]);
    let changes: Vec<bool> = run["comparisons"].as_array().unwrap().iter().map(|group| group["variants"][0]["change"]["identical"] == true).collect();
    assert_eq!(changes, [false, true]);
    // 6,500 x 0.15 + 520 x 0.60 and 2,000 x 2.50 + 50 x 10 micro-dollars, and 8,500 x 2.50 + 570 x 10, by hand.
    let first = &run["comparisons"][0];
    assert_eq!((&first["reference"]["bill"], &first["variants"][0]["bill"]), (&"0.006787000000".into(), &"0.026950000000".into()));
}

#[test]
fn the_same_rows_in_another_format_are_the_same_traffic() {
    let home = home();
    assert!(home.output(&["trace", "convert", "five.csv", "five.parquet"]).status.success());
    home.write("parquet.toml", SCENARIO.replace("five requests", "parquet").replace("five.csv", "five.parquet"));
    let text = home.gwsim(&["compare", "scenario.toml", "parquet.toml", "--seeds", "2", "--max-increase", "0%"]);
    assert!(text.starts_with("exit 0\n") && text.matches("identical").count() >= 2, "{text}");
}

#[test]
fn thresholds_pass_fail_and_stay_open() {
    let home = home();
    let compare = |more: &[&str]| verdict(&home, &[&["compare", "gateway.toml", "new.toml", "--traffic", "scenario.toml"][..], more].concat());
    assert_snapshot!(compare(&["--max-increase", "400%", "--max-cost", "0.03"]), @r"
    exit 0
    pass: within: new.toml: +297.1 %, at most +400 % asked for
    pass: within: new.toml: $0.0270 on this traffic, at most $0.0300 on this traffic asked for
    ");
    assert_snapshot!(compare(&["--max-cost", "$0.02", "--warn-only"]), @r"
    exit 0
    warning: above: new.toml: $0.0270 on this traffic, at most $0.0200 on this traffic asked for
    ");
    assert_snapshot!(compare(&["--max-increase", "5%", "--seeds", "1"]), @r"
    exit 4
    error: inconclusive: new.toml: +297.1 %, at most +5 % asked for: one seed says nothing about luck; run it with --seeds 10
    ");
    assert_snapshot!(compare(&["--max-cost", "1", "--per", "day"]), @r"
    exit 2
    error: --per: the traffic is too short to speak of a day
    hint: state the most for the trace itself: --max-cost without --per
    ");
    assert_snapshot!(compare(&["--max-increase", "0.05"]), @r"
    exit 2
    error: --max-increase 0.05: not a percentage
    hint: write 5% or 2.5%
    ");
    assert_snapshot!(compare(&["--max-cost", "lots"]), @r"
    exit 2
    error: --max-cost lots: `lots` is not a number; write plain digits such as `2.50` or `1.5e-07`
    hint: write dollars: 500 or 0.25
    ");
    // What refuses half of the requests costs less, and passes nothing.
    home.write("new.toml", GATEWAY.replace("[models.gpt-4o]", "[keys.alice]\nlimits = { rpm = 1 }\n[keys.bob]\n[models.gpt-4o]"));
    assert_snapshot!(compare(&["--max-increase", "5%"]), @r"
    exit 4
    error: inconclusive: new.toml: -3.1 %, at most +5 % asked for: it answers less, or more by other models than asked: fewer dollars for less are no saving
    ");
}

#[test]
fn what_can_not_be_compared_is_refused_with_the_reason() {
    let home = home();
    home.write("four.csv", TRACE.lines().take(5).map(|line| format!("{line}\n")).collect::<String>());
    home.write("other.toml", SCENARIO.replace("five requests", "four").replace("five.csv", "four.csv"));
    for scenario in ["scenario.toml", "other.toml"] {
        assert!(home.output(&["run", scenario]).status.success());
    }
    assert!(home.output(&["run", "scenario.toml", "--seed", "7", "--out", "seventh"]).status.success());
    assert_snapshot!(verdict(&home, &["compare", "reports/five-requests", "reports/four"]), @r"
    exit 5
    error: not the same traffic, so a difference would say nothing: they have not even as many requests
      reports/five-requests: five.csv with 5 requests, digest e752615e6fcdbeeeec6a4105f2421fbd
      reports/four: four.csv with 4 requests, digest 3129539adaaf80e8bcbee405759c34c5
    ");
    assert_snapshot!(verdict(&home, &["compare", "reports/five-requests", "seventh/five-requests"]), @r"
    exit 5
    error: no seed in common: run them with the same --seed
    ");
    let path = home.path().join("reports/four/report.json");
    fs::write(&path, fs::read_to_string(&path).unwrap().replacen("\"version\": 2", "\"version\": 1", 1)).unwrap();
    assert_snapshot!(verdict(&home, &["compare", "reports/five-requests", "reports/four"]), @r"
    exit 5
    error: reports/four/report.json was written by gwsim 0.1.0 in version 1 of the report's format, this is version 2
    hint: make it anew with `gwsim run`
    ");
    assert_snapshot!(verdict(&home, &["compare", "reports/five-requests", "reports/fuor"]), @r"
    exit 2
    error: can't read reports/fuor: no such file or directory
    hint: did you mean `reports/four`?
    ");
    assert_snapshot!(verdict(&home, &["compare", "reports/five-requests#as configurd", "reports/five-requests"]), @r"
    exit 2
    error: no variant `as configurd`
    hint: did you mean `as configured`?
    ");
    assert_snapshot!(verdict(&home, &["compare", "gateway.toml", "new.toml"]), @r"
    exit 2
    error: gateway configs need traffic to be compared on
    hint: --traffic scenario.toml, or --trace log.csv
    ");
    assert_snapshot!(verdict(&home, &["compare", "gateway.toml", "reports/five-requests"]), @r"
    exit 2
    error: gateway configs are compared with gateway configs
    hint: to hold one against a report, run it in a scenario first
    ");
    assert_snapshot!(verdict(&home, &["compare", "scenario.toml"]), @r"
    exit 2
    error: 2 values required by '<A B> <A B>...'; only 1 was provided

    Usage: gwsim compare [OPTIONS] A B [C]...

    For more information, try '--help'.
    ");
}

#[test]
fn two_variants_of_one_report_go_by_their_names() {
    let home = home();
    assert!(home.output(&["run", "scenario.toml"]).status.success());
    let text = home.gwsim(&["compare", "reports/five-requests#as configured", "reports/five-requests#all on gpt-4o", "--format", "markdown"]);
    assert_snapshot!(text, @r"
    exit 0
    ----- stdout
    <!-- gwsim compare -->
    ### all on gpt-4o against as configured

    five.csv, 5 requests in 2 min, recorded  
    TRUST D: not checked against a bill. Compare the variants; don't budget with the dollars.

    | | $ trace | $/hour | change | answered | p95 | other model | retries | 429s |
    |---|--:|--:|--:|--:|--:|--:|--:|--:|
    | as configured | 0.0068 | 0.204 |  | 100.0 % | 0 | 0.0 % | 0 | 0 |
    | all on gpt-4o | 0.0270 | 0.809 | +297.1 % | 100.0 % | 0 | 0.0 % | 0 | 0 |

    **Nothing saves: as configured is the cheapest of 2 variants.**

    <details><summary>Dollars by cause</summary>

    | | base | premium of place | prompt cache | wasted | undelivered | reserved | total |
    |---|--:|--:|--:|--:|--:|--:|--:|
    | as configured | 0.0068 | 0.0000 | 0.0000 | 0.0000 | 0.0000 | 0.0000 | 0.0068 |
    | all on gpt-4o | 0.0270 | 0.0000 | 0.0000 | 0.0000 | 0.0000 | 0.0000 | 0.0270 |

    </details>

    <details><summary>How sure</summary>

    - all on gpt-4o: 95 % of the change, in points: luck unknown (one seed), day to day unknown (trace too short: 4 blocks of 3 s, 20 needed)
    - traffic digest e752615e6fcdbeeeec6a4105f2421fbd

    </details>
    ");
}

#[test]
fn a_log_that_was_not_reproduced_is_not_compared() {
    let home = home();
    // One request that a deployment answered which the wrong configuration calls something else.
    let log = "at,model,key,input_tokens,output_tokens,status,cost_usd,deployment\n2026-11-20T09:00:00Z,gpt-4o,ann,1000,100,200,0.0035,large\n";
    home.write("five.csv", log);
    assert!(verdict(&home, &["compare", "gateway.toml", "new.toml", "--traffic", "scenario.toml"]).starts_with("exit 0\n"));
    let wrong = GATEWAY.replace("id = \"large\", provider = \"openai\", model = \"gpt-4o\" }]", "id = \"other\", provider = \"openai\", model = \"gpt-4o-mini\" }]\n[models.spare]\ndeployments = [{ id = \"large\", provider = \"openai\", model = \"gpt-4o\" }]");
    home.write("wrong.toml", wrong);
    let text = verdict(&home, &["compare", "wrong.toml", "gateway.toml", "--traffic", "scenario.toml"]);
    assert!(text.starts_with("exit 5\n") && text.contains("Baseline not reproduced"), "{text}");
}

#[test]
fn real_reports_are_as_the_schema_says() {
    let schema = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let home = home();
    home.write("log.csv", "at,model,key,input_tokens,output_tokens,status,cost_usd\n2026-11-20T09:00:00Z,gpt-4o,ann,1000,,200,0.0035\n");
    let rich = "[[tokens]]\nfrom = \"gpt-4o-mini\"\nto = \"gpt-4o\"\ninput = [1.0, 1.2]\n[clients]\nsdk = \"openai\"\n[[expect]]\ncost_usd = { at_most = 1 }\n";
    home.write("rich.toml", format!("{}{rich}", SCENARIO.replace("five requests", "rich").replace("five.csv", "log.csv")));
    for scenario in ["scenario.toml", "rich.toml"] {
        let output = home.output(&["run", scenario, "--seeds", "2", "--format", "json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let faults: Vec<String> = validator.iter_errors(&report).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
