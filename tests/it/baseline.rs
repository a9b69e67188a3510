//! Logs with a known truth, replayed: the recorded configuration comes out as recorded, or the run says that it doesn't.

use std::fmt::Write;

use super::cli::Home;

const GATEWAY: &str = "\
version = 1
[models.gpt-4o-mini]
deployments = [{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }]
[models.gpt-4o]
deployments = [{ id = \"large\", provider = \"openai\", model = \"gpt-4o\" }]
[teams.red]
[teams.blue]
[keys.ann]
team = \"red\"
[keys.ben]
team = \"blue\"
";

const SCENARIO: &str = "\
name = \"a log\"
gateway = \"gateway.toml\"
[traffic]
trace = \"log.csv\"
[world]
preset = \"ledger\"
[[variant]]
name = \"as recorded\"
[[variant]]
name = \"all on mini\"
set = { 'models.gpt-4o.deployments' = [{ id = \"large\", provider = \"openai\", model = \"gpt-4o-mini\" }] }
";

/// 900 requests in three hours. Ten in a hundred answers met their max_tokens, and of one in a hundred the length is missing.
fn log() -> String {
    let mut text = String::from("at_s,model,key,input_tokens,output_tokens,max_tokens,status,duration_ms,cost_usd,deployment\n");
    for row in 0_u64..900 {
        let (model, deployment, key, input_rate, output_rate) = match row % 3 {
            0 => ("gpt-4o", "large", "ann", 2_500_000, 10_000_000),
            1 => ("gpt-4o-mini", "mini", "ann", 150_000, 600_000),
            _ => ("gpt-4o-mini", "mini", "ben", 150_000, 600_000),
        };
        let (input, mut output) = (500 + row * 37 % 1_000, 20 + row * row % 480);
        let limit = if row % 10 == 3 { output / 2 + 1 } else { 4_000 };
        output = output.min(limit);
        let picodollars = input * input_rate + output * output_rate;
        let tokens = if row % 100 == 57 { String::new() } else { output.to_string() };
        let cost = format!("0.{picodollars:012}");
        let _ = writeln!(text, "{},{model},{key},{input},{tokens},{limit},200,1500,{cost},{deployment}", 1_795_176_000 + row * 12);
    }
    text
}

fn home(log: &str) -> Home {
    let home = Home::new();
    for (name, text) in [("gateway.toml", GATEWAY), ("scenario.toml", SCENARIO), ("log.csv", log)] {
        home.write(name, text);
    }
    home
}

/// Exit code, stdout and stderr.
fn run(home: &Home, arguments: &[&str]) -> (i32, String, String) {
    let output = home.output(arguments);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap(), stdout, stderr)
}

fn json(home: &Home, arguments: &[&str]) -> serde_json::Value {
    let (_, stdout, stderr) = run(home, &[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"))
}

fn usd(value: &serde_json::Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_log_of_a_known_world_is_reproduced() {
    let home = home(&log());
    let (code, stdout, stderr) = run(&home, &["run", "scenario.toml"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    insta::assert_snapshot!(stdout, @r"
    a log: log.csv, 900 requests in 2 h 59 min, recorded
    TRUST C: baseline reproduced (+0.0 %), not checked against a bill.

    baseline: as recorded  recorded  re-priced  simulated
    $ trace                    1.65       1.65       1.65
    calls                       900          -        900
    requests answered 429         0          -          0
    p95                       1.5 s          -          0
    Re-priced is -0.1 % from recorded: other prices or discounts then, no part of the verdict.

                 $ trace  $/hour   change  answered  p95  other model  retries  429s
    as recorded     1.65   0.550            100.0 %    0        0.0 %        0     0
    all on mini     0.24   0.081  -85.2 %   100.0 %    0        0.0 %        0     0
    Save about $0.4692 an hour (likely $0.4656 to $0.4730) with all on mini, at equal success: the
        models asked for are cheaper here ($1.41).
    Could be wrong: token counts are taken to be the same in every model ($0.0898 hangs on it); output
        lengths of 11.0 % of requests are drawn, $0.00177 to $0.0146; luck is not known (one seed;
        --seeds 10 tells).
    all on mini: -85.2 % (-84.6 to -85.9): luck unknown (one seed), day to day 0.2, assumptions 0.5
    $/hour: the trace's dollars spread over its 2 h 59 min; too short to speak of days.
    change: token counts not compared between the models that answer (all on mini)

    $ by cause   base  premium of place  prompt cache  wasted  undelivered  total
    as recorded  1.65                 0             0       0            0   1.65
    all on mini  0.24                 0             0       0            0   0.24

    as recorded: in 900 = served 900 + cached 0 + refused 0 + failed 0 + abandoned 0
    all on mini: in 900 = served 900 + cached 0 + refused 0 + failed 0 + abandoned 0
    Ledger: the gateway's own books equal the bill in every variant, all of it confirmed
    as recorded: one request for gpt-4o-mini with 998 input tokens causes at most 2 calls, $0.0200
    all on mini: one request for gpt-4o-mini with 998 input tokens causes at most 2 calls, $0.0200

    log covers       rows                                  assumed instead  $ on it
    team            0.0 %               the team of the key, if it has one     1.65
    end_user        0.0 %                                      no end user     1.65
    session         0.0 %                        each request stands alone     1.65
    tags            0.0 %                                          no tags     1.65
    output_tokens  99.0 %                         drawn from whole answers     0.02
    stream          0.0 %                            the scenario's stream     1.65
    fingerprint     0.0 %  nobody's duplicate: never answered from a cache     1.65
    prefix_blocks   0.0 %  no prefix in common: nothing from prompt caches     1.65
    left_after      0.0 %                      the client waits to the end     1.65
    ttft_ms         0.0 %                                      the world's     1.65
    cached_tokens   0.0 %                         the world's prompt cache     1.65
    attempts        0.0 %                                         one call     1.65
    Every request has: arrival, model, key, input_tokens, max_tokens, status, duration_ms, cost_usd,
        deployment

    Prices: the built-in price list of 2026-11-22
    Assumed: output length drawn from whole answers for 99 of 900 requests (11.0 %): 1,938 output tokens
        (1.0 %), $0.00677 (0.4 %; $0.00177 to $0.0146 if all were short or long) [log]
    Assumed: latency none: every answer comes at once [world]
    Assumed: provider limits none: no provider answers 429 [world]
    Assumed: prompt cache none: all input at the plain rate [world]
    Assumed: provider failures none [world]
    Assumed: token counts the same on gpt-4o -> gpt-4o-mini (up to $0.0898 of a bill) [assumed]
    Assumed: answer quality not measured [assumed]
    ");
    let json = json(&home, &["run", "scenario.toml"]);
    let baseline = &json["baseline"];
    let (repriced, simulated) = (usd(&baseline["repriced"]), usd(&baseline["simulated"]["cost"]));
    assert!((simulated / repriced - 1.0).abs() <= 0.001, "{simulated} {repriced}");
    assert_eq!(baseline["simulated"]["cost"], json["variants"][0]["bill"]["mean"]);
}

#[test]
fn another_configuration_than_the_recorded_one_is_not_reproduced() {
    let home = home(&log());
    // What asks for the large model is sent elsewhere; the deployment that the log names is still there.
    let wrong = "[[variant]]\nname = \"moved\"\nset = { 'models.gpt-4o.deployments' = [{ id = \"other\", provider = \"openai\", model = \"gpt-4o-mini\" }], \
        'models.spare' = { deployments = [{ id = \"large\", provider = \"openai\", model = \"gpt-4o\" }] } }\n[baseline]\nvariant = \"moved\"\n";
    home.write("wrong.toml", format!("{SCENARIO}{wrong}"));
    let (code, stdout, stderr) = run(&home, &["run", "wrong.toml"]);
    assert_eq!(code, 5, "{stdout}{stderr}");
    insta::assert_snapshot!(stdout.split("\n\n").take(3).collect::<Vec<_>>().join("\n\n"), @r"
    a log: log.csv, 900 requests in 2 h 59 min, recorded
    Baseline not reproduced (-85.2 %): don't decide on this run
       off by model: gpt-4o -94.0 % ($0.0898 simulated, $1.50 re-priced)
       off by team: red -89.5 % ($0.166 simulated, $1.57 re-priced)
       off by hour: 2026-11-20 13:00 UTC -85.3 % ($0.0817 simulated, $0.555 re-priced), 2026-11-20
        14:00 UTC -85.3 % ($0.0808 simulated, $0.550 re-priced), 2026-11-20 12:00 UTC -85.2 % ($0.0808
        simulated, $0.544 re-priced)

    baseline: moved        recorded  re-priced  simulated
    $ trace                    1.65       1.65       0.24
    calls                       900          -        900
    requests answered 429         0          -          0
    p95                       1.5 s          -          0
    Re-priced is -0.1 % from recorded: other prices or discounts then, no part of the verdict.

                 $ trace  $/hour     change  answered  p95  other model  retries  429s
    as recorded     1.65   0.550   +577.7 %   100.0 %    0        0.0 %        0     0
    all on mini     0.24   0.081  identical   100.0 %    0        0.0 %        0     0
    moved           0.24   0.081              100.0 %    0        0.0 %        0     0
    Baseline not reproduced (-85.2 %): don't decide on this run.
    as recorded: +577.7 % (+566 to +590): luck unknown (one seed), day to day 9.3, assumptions 2.8
    $/hour: the trace's dollars spread over its 2 h 59 min; too short to speak of days.
    change: token counts not compared between the models that answer (as recorded)
    ");
    insta::assert_snapshot!(stderr, @r#"
    report: reports/a-log
    error: Baseline not reproduced (-85.2 %): don't decide on this run
    hint: the first variant, or the one that [baseline] names, must be what the log was recorded under
    "#);
    // Expectations that fail say nothing about such a run.
    home.write("both.toml", format!("{SCENARIO}{wrong}[[expect]]\ncost_usd = {{ at_most = 0 }}\n"));
    assert_eq!(run(&home, &["run", "both.toml"]).0, 5);
    let unchecked = format!("{SCENARIO}{}", wrong.split("[baseline]").next().unwrap());
    home.write("unchecked.toml", unchecked.replacen("[traffic]", "baseline = false\n[traffic]", 1));
    let (code, stdout, _) = run(&home, &["run", "unchecked.toml"]);
    assert!(code == 0 && stdout.contains("TRUST D"), "{code} {stdout}");
}

#[test]
fn failures_in_a_log_are_arrivals_and_not_copied() {
    // Every twentieth request failed and cost nothing; nothing fails in this world.
    let log = log();
    let failing = (1..).zip(log.lines()).map(|(rows, line)| {
        let cells: Vec<&str> = line.split(',').collect();
        let [at, model, key, input, .., deployment] = cells[..] else { panic!("{line}") };
        match rows % 20 {
            5 if rows % 40 == 5 => format!("{at},{model},{key},{input},,4000,429,20,0,{deployment}\n"),
            5 => format!("{at},{model},{key},{input},0,4000,503,20,0,{deployment}\n"),
            _ => format!("{line}\n"),
        }
    });
    let home = home(&failing.collect::<String>());
    let found = json(&home, &["run", "scenario.toml"]);
    let (baseline, requests) = (&found["baseline"], &found["variants"][0]["runs"][0]["requests"]);
    assert_eq!((&requests["served"], &requests["failed"]), (&900.into(), &0.into()));
    assert_eq!((&baseline["recorded"]["requests_rate_limited"], &baseline["simulated"]["requests_rate_limited"]), (&23.into(), &0.into()));
    // So the simulation costs about a twentieth more than the log, and says that it is not to be trusted.
    let off = usd(&baseline["simulated"]["cost"]) / usd(&baseline["repriced"]) - 1.0;
    assert!((0.03..0.08).contains(&off), "{off}");
    assert_eq!(run(&home, &["run", "scenario.toml"]).0, 5);
}

#[test]
fn recorded_outcomes_are_met_where_a_variant_makes_the_recorded_call() {
    let home = home(&log());
    let found = json(&home, &["run", "scenario.toml", "--set", "world.outcomes=recorded"]);
    // Every answer took 1.5 s, and the histogram keeps one part in 128.
    let p95 = found["baseline"]["simulated"]["p95_us"].as_f64().unwrap();
    assert!((p95 / 1_500_000.0 - 1.0).abs() < 0.01, "{p95}");
    assert!(found["assumptions"].to_string().contains("optimistic"), "{}", found["assumptions"]);
    // Elsewhere the world decides, and this one answers at once.
    let moved = "models.gpt-4o-mini.deployments=[{ id = 'other', provider = 'openai', model = 'gpt-4o-mini' }]";
    let found = json(&home, &["run", "scenario.toml", "--set", "world.outcomes=recorded", "--set", moved]);
    let latency = &found["variants"][0]["runs"][0]["latency"];
    assert_eq!((&latency["p50_us"], &latency["seen"]), (&0.into(), &900.into()), "two thirds ask for the small model");
}

#[test]
fn the_price_list_is_no_part_of_the_verdict_but_shown() {
    let home = home(&log());
    home.write("dear.toml", GATEWAY.to_owned() + "[prices.models.gpt-4o]\ninput = 5\noutput = 20\n");
    home.write("scenario.toml", SCENARIO.replace("gateway.toml", "dear.toml"));
    let (code, stdout, _) = run(&home, &["run", "scenario.toml"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("TRUST C: baseline reproduced (+0.0 %)") && stdout.contains("Re-priced is +"), "{stdout}");
}

#[test]
fn lengths_are_drawn_once_for_all_variants() {
    let home = home(&log());
    let report = json(&home, &["run", "scenario.toml", "--seeds", "2"]);
    let tokens = |variant: usize, run: usize| &report["variants"][variant]["runs"][run]["tokens"]["output"];
    for other in [tokens(0, 1), tokens(1, 0), tokens(1, 1)] {
        assert_eq!(tokens(0, 0), other);
    }
    assert!(report["imputed"]["requests"].as_u64().unwrap() >= 99, "{}", report["imputed"]);
    // Another seed draws other lengths.
    let drawn = |seed: &str| json(&home, &["run", "scenario.toml", "--seed", seed])["imputed"]["output_tokens"].clone();
    assert_ne!(drawn("1"), drawn("2"));
}

#[test]
fn a_clients_retries_are_one_arrival_and_all_of_them_are_recorded() {
    // Every tenth request was refused at first and came again a second later.
    let mut text = String::new();
    for (number, line) in (0..).zip(log().lines()) {
        if number % 10 == 5 {
            let cells: Vec<&str> = line.split(',').collect();
            let [at, model, key, input, .., deployment] = cells[..] else { panic!("{line}") };
            let at: u64 = at.parse().unwrap();
            let _ = writeln!(text, "{},{model},{key},{input},,4000,429,20,0,{deployment}", at - 1);
        }
        let _ = writeln!(text, "{line}");
    }
    let home = home(&text);
    let found = json(&home, &["run", "scenario.toml"]);
    let recorded = &found["baseline"]["recorded"];
    assert_eq!((&found["traffic"]["requests"], &recorded["calls"], &recorded["requests_rate_limited"]), (&900.into(), &990.into(), &90.into()));
    assert_eq!(found["baseline"]["reproduced"], true, "{}", found["baseline"]);
    // Replayed twice, they cost too much.
    let (code, _, stderr) = run(&home, &["run", "scenario.toml", "--set", "traffic.retries=keep"]);
    assert!(code == 5 && stderr.contains("Baseline not reproduced (+"), "{stderr}");
}

#[test]
fn a_log_is_repriced_at_the_rates_of_its_days_without_what_is_paid_by_the_hour() {
    let home = home("");
    let prices = "[prices]\ndeployments.mini = { reserved = { per_hour = \"3 USD\" } }\n[[prices.changes]]\nfrom = 2026-12-01\nmodels.gpt-4o = { input = 1, output = 4 }\n";
    home.write("gateway.toml", format!("{GATEWAY}{prices}"));
    let rows = "2026-11-30T23:59:59Z,gpt-4o,ann,1000,100,200,2000,large\n2026-12-01T00:00:00Z,gpt-4o,ann,1000,100,200,2000,large\n";
    home.write("log.csv", format!("at,model,key,input_tokens,output_tokens,status,duration_ms,deployment\n{rows}"));
    let report = json(&home, &["run", "scenario.toml"]);
    let baseline = &report["baseline"];
    // $2.50 and $10 a million before midnight, $1 and $4 after it: a call costs what holds when it is made.
    assert_eq!(baseline["repriced"], "0.004900000000", "{baseline}");
    assert_eq!(baseline["simulated"]["cost"], baseline["repriced"]);
}
