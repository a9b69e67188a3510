//! `gwsim calibrate` as a user meets it: what it prints, what it refuses, and what it finds of worlds that are known.

use serde_json::Value;

use super::cli::Home;
use super::known_world::truth;

const GATEWAY: &str = "\
version = 1
[models.gpt-4o-mini]
deployments = [{ id = \"gpt-4o-mini#mini\", provider = \"openai\", model = \"gpt-4o-mini\" }]
fallbacks = [\"claude-3-haiku\"]
[models.claude-3-haiku]
deployments = [{ id = \"claude-3-haiku#haiku\", provider = \"anthropic\", model = \"claude-3-haiku\" }]
[attempts]
per_request = 3
per_deployment = 1
[fallback]
max_price_ratio = 100
[cooldown]
time = \"2s\"
";

const NO_FALLBACKS: &str = "\
version = 1
[models.gpt-4o-mini]
deployments = [{ id = \"gpt-4o-mini#mini\", provider = \"openai\", model = \"gpt-4o-mini\" }]
[attempts]
per_request = 1
";

/// A scenario of so many hours of 20 requests a minute, with bursts, in this world.
fn scenario(hours: u32, world: &str) -> String {
    let bursts: Vec<String> = (0..hours).map(|hour| format!("{{ from = \"{}m\", for = \"5m\", factor = 3 }}", 60 * hour + 25)).collect();
    format!(
        "gateway = \"gateway.toml\"\nseed = 3\n\
         [traffic]\nseed = 3\nunknown_keys = \"add\"\nstream = 0.8\nstart = \"2026-11-20T00:00:00Z\"\n\
         [traffic.synthetic]\nduration = \"{hours}h\"\nrate = \"20/m\"\nkeys = 3\narrivals = \"gamma\"\ncv = 1.5\n\
         input_tokens = {{ p50 = 900, p95 = 4000 }}\noutput_tokens = {{ p50 = 150, p95 = 700 }}\nmodels = {{ \"gpt-4o-mini\" = 1 }}\nbursts = [{}]\n\
         [clients]\nsdk = \"openai\"\n[world]\n{world}\n[[variant]]\nname = \"recorded\"\n",
        bursts.join(", ")
    )
}

/// A directory with the log of a known world, as `log.csv`.
fn recorded(gateway: &str, hours: u32, world: &str) -> Home {
    let home = Home::new();
    home.write("gateway.toml", gateway);
    home.write("truth.toml", scenario(hours, world));
    let (log, _) = truth(&home.path().join("truth.toml"), 0);
    home.write("log.csv", log.csv());
    home
}

fn text(home: &Home, arguments: &[&str]) -> (i32, String, String) {
    let output = home.output(arguments);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap(), stdout, stderr)
}

/// The calibrated scenario, as its text and as its values.
#[track_caller]
fn calibrated(home: &Home) -> (String, toml::Table) {
    let (code, stdout, stderr) = text(home, &["calibrate", "log.csv", "--gateway", "gateway.toml", "--format", "json"]);
    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let text = report["scenario"].as_str().unwrap().to_owned();
    let table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    (text, table)
}

fn world_of<'t>(table: &'t toml::Table, deployment: &str) -> &'t toml::Table {
    table["world"]["deployments"][deployment].as_table().unwrap()
}

fn number(value: &toml::Value) -> f64 {
    value.as_float().or(value.as_integer().map(|whole| whole as f64)).unwrap()
}

fn seconds(text: &toml::Value) -> f64 {
    text.as_str().and_then(|text| text.strip_suffix("ms")).unwrap().parse::<f64>().unwrap() / 1e3
}

#[test]
fn a_log_becomes_a_scenario_that_runs_and_a_forecast_of_its_last_quarter() {
    let home = recorded(NO_FALLBACKS, 1, "ttft = \"300ms\"\ntokens_per_second = 100\nchances = [{ share = 0.05, status = 500 }]");
    let (code, stdout, stderr) = text(&home, &["calibrate", "log.csv", "--gateway", "gateway.toml", "-o", "fitted.toml"]);
    assert_eq!(code, 0, "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "fitted.toml: written");
    assert!(lines[1].starts_with("Fitted to the first 75 % of the log, judged on the rest: ") && lines[1].contains(" in 14 min"), "{stdout}");
    assert_eq!(lines[3].split_whitespace().collect::<Vec<_>>(), ["recorded", "forecast", "difference"]);
    let names: Vec<&str> = lines[4..].iter().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(names, ["$/hour gpt-4o-mini", "answered 429", "p95 TTFT"]);
    // Without a place for it, the scenario is the output and the forecast is beside it.
    let (code, scenario, beside) = text(&home, &["calibrate", "log.csv", "--gateway", "gateway.toml"]);
    assert_eq!((code, &scenario), (0, &std::fs::read_to_string(home.path().join("fitted.toml")).unwrap()));
    assert!(beside.contains(lines[4]), "{beside}");
    // JSON has both, dollars as decimals.
    let (_, json, _) = text(&home, &["calibrate", "log.csv", "--gateway", "gateway.toml", "--format", "json"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["scenario"], scenario);
    let forecast = &report["forecast"];
    assert!(forecast["requests"].as_u64().unwrap() > 100 && forecast["simulations"].as_u64().unwrap() > 1, "{forecast}");
    assert_eq!(forecast["dollars_per_hour"][0]["model"], "gpt-4o-mini");
    let usd = |of: &str| forecast["dollars_per_hour"][0][of].as_str().unwrap().trim_start_matches('$').parse::<f64>().unwrap();
    assert!(usd("recorded") > 0.0 && usd("forecast") > 0.0, "{forecast}");
    assert_eq!((&forecast["rate_limited"]["recorded"], &forecast["rate_limited"]["forecast"]), (&0.0.into(), &0.0.into()));
    assert!(forecast["ttft_p95_us"]["recorded"].as_u64().unwrap().abs_diff(300_000) <= 1, "always 300 ms: {forecast}");
    let (code, run, stderr) = text(&home, &["run", "fitted.toml"]);
    assert!(code == 0 && run.contains("baseline reproduced"), "{stderr}{run}");
}

#[test]
fn without_its_gateway_a_log_tells_speeds_and_no_forecast() {
    let home = recorded(NO_FALLBACKS, 1, "ttft = \"300ms\"\ntokens_per_second = 100");
    let (code, stdout, stderr) = text(&home, &["calibrate", "log.csv", "-o", "fitted.toml"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(stdout, "fitted.toml: written\nNot judged: that takes the gateway it was recorded under, --gateway.\n");
    let fitted = std::fs::read_to_string(home.path().join("fitted.toml")).unwrap();
    assert!(fitted.contains("# Failures that the gateway hid and limits are found by simulating it: give --gateway.\n"), "{fitted}");
    assert!(fitted.contains("ttft = \"300000us\" # n = ") && fitted.contains("gateway = \"gateway.toml\"\n"), "{fitted}");
    let (_, json, _) = text(&home, &["calibrate", "log.csv", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["forecast"], Value::Null);
}

#[test]
fn what_is_no_log_or_no_gateway_is_refused_with_the_reason() {
    let home = Home::new();
    home.write("log.csv", "at_s,model,key,input_tokens,output_tokens,status,duration_ms\n0,gpt-4o,ann,100,10,200,900\n9,gpt-4o,ann,100,10,200,900\n");
    home.write("empty.csv", "at_s,model,key,input_tokens,output_tokens,status,duration_ms\n");
    home.write("nothing.csv", "");
    home.write("broken.toml", "version = 1\n[models.gpt-4o]\n");
    home.write("other.toml", NO_FALLBACKS);
    let refused = |arguments: &[&str], reason: &str| {
        let (code, stdout, stderr) = text(&home, &[&["calibrate"], arguments].concat());
        assert!(code == 2 && stdout.is_empty() && stderr.contains(reason), "{arguments:?}: {code}\n{stdout}\n{stderr}");
        assert!(!home.path().join("fitted.toml").exists(), "{arguments:?} wrote a scenario");
    };
    refused(&["five.csv", "-o", "fitted.toml"], "five.csv: it does not say how requests ended: a log has a status");
    refused(&["empty.csv", "-o", "fitted.toml"], "empty.csv: no requests");
    refused(&["nothing.csv", "-o", "fitted.toml"], "nothing.csv: ");
    refused(&["absent.csv", "-o", "fitted.toml"], "absent.csv");
    refused(&["log.csv", "--gateway", "absent.toml", "-o", "fitted.toml"], "absent.toml");
    refused(&["log.csv", "--gateway", "broken.toml", "-o", "fitted.toml"], "broken.toml:2");
    refused(&["log.csv", "--gateway", "scenario.toml", "-o", "fitted.toml"], "scenario.toml");
    refused(&["log.csv", "--gateway", "other.toml", "-o", "fitted.toml"], "gpt-4o");
    refused(&["log.csv", "-o", "nowhere/fitted.toml"], "nowhere/fitted.toml: can't write it");
}

/// Found from the first failure to the last: of 20 requests a minute, with a coefficient of variation of 1.5, gaps are below 30 s.
#[test]
fn an_outage_is_found_where_its_failures_are_logged() {
    let home = recorded(NO_FALLBACKS, 2, "outages = [{ from = \"50m\", for = \"6m\" }]");
    let (text, table) = calibrated(&home);
    let world = world_of(&table, "gpt-4o-mini#mini");
    let [outage] = world["outages"].as_array().unwrap().as_slice() else { panic!("{text}") };
    assert_between(seconds(&outage["from"]), 3_000.0, 3_030.0);
    assert_between(seconds(&outage["from"]) + seconds(&outage["for"]), 3_330.0, 3_360.1);
    assert_eq!(outage["status"].as_integer(), Some(503));
    assert!(text.contains(" failed\n") && world.get("limits").is_none() && world.get("chances").is_none_or(|_| share(world) < 0.002), "{text}");
}

/// The log has only the fallback's answers. That they come one after the other under a load at which there had been no limit before tells.
#[test]
fn an_outage_is_found_behind_fallbacks() {
    let home = recorded(GATEWAY, 2, "outages = [{ from = \"50m\", for = \"6m\" }]\n[world.providers.anthropic]\noutages = []");
    let (text, table) = calibrated(&home);
    let world = world_of(&table, "gpt-4o-mini#mini");
    let [outage] = world["outages"].as_array().unwrap_or_else(|| panic!("{text}")).as_slice() else { panic!("{text}") };
    assert_between(seconds(&outage["from"]), 3_000.0, 3_030.0);
    assert_between(seconds(&outage["from"]) + seconds(&outage["for"]), 3_330.0, 3_360.1);
    assert!(text.contains(" answered elsewhere\n") && world.get("limits").is_none(), "{text}");
    assert!(text.contains("outages that others hid"), "what can't be seen is said: {text}");
}

/// A limit that sends all requests of a burst elsewhere is no outage.
#[test]
fn a_limit_behind_fallbacks_is_no_outage() {
    let home = recorded(GATEWAY, 2, "[world.models.gpt-4o-mini]\nlimits = { rpm = 12 }");
    let (text, table) = calibrated(&home);
    let world = world_of(&table, "gpt-4o-mini#mini");
    assert!(world.get("outages").is_none(), "{text}");
    assert_eq!(world["limits"]["rpm"].as_integer(), Some(12), "{text}");
}

/// After a refusal all requests go elsewhere for a minute: as long as an outage, but as often as there are refusals.
#[test]
fn a_cooldown_behind_fallbacks_is_no_outage() {
    let gateway = GATEWAY.replace("time = \"2s\"", "time = \"60s\"");
    let home = recorded(&gateway, 2, "[world.models.gpt-4o-mini]\nchances = [{ share = 0.03, status = 429 }]");
    let log = std::fs::read_to_string(home.path().join("log.csv")).unwrap();
    let elsewhere: Vec<bool> = log.lines().skip(1).map(|line| line.contains("claude-3-haiku")).collect();
    assert!(elsewhere.windows(6).any(|run| run.iter().all(|is_elsewhere| *is_elsewhere)), "no cooldown is as long as the shortest outage");
    let (text, table) = calibrated(&home);
    assert!(world_of(&table, "gpt-4o-mini#mini").get("outages").is_none(), "{text}");
}

/// A limit of tokens lets a few long prompts through or many short ones; as it counts max_tokens, of which the log knows nothing, it is found within 10 %.
#[test]
fn a_limit_of_tokens_is_told_from_one_of_requests() {
    let home = recorded(NO_FALLBACKS, 4, "[world.models.gpt-4o-mini]\nlimits = { tpm = 30000 }");
    let (text, table) = calibrated(&home);
    let limits = &world_of(&table, "gpt-4o-mini#mini")["limits"];
    let found = limits.get("tpm").unwrap_or_else(|| panic!("{text}")).as_integer().unwrap();
    assert_between(found as f64, 27_000.0, 33_000.0);
}

/// Each deployment has its own pace, and the limit of all is shared out.
#[test]
fn several_deployments_of_a_group_have_their_own_pace() {
    let group = "deployments = [{ id = \"gpt-4o-mini#one\", provider = \"openai\", model = \"gpt-4o-mini\" }, \
                 { id = \"gpt-4o-mini#two\", provider = \"openai\", model = \"gpt-4o-mini\" }]";
    let gateway = format!("version = 1\n[models.gpt-4o-mini]\n{group}\n[attempts]\nper_request = 1\n[cooldown]\ntime = \"0s\"\n");
    let world = "chances = [{ share = 0.03, status = 500 }]\n[world.deployments.\"gpt-4o-mini#one\"]\nttft = \"200ms\"\nlimits = { rpm = 12 }\n\
                 [world.deployments.\"gpt-4o-mini#two\"]\nttft = \"900ms\"\nlimits = { rpm = 12 }";
    let (text, table) = calibrated(&recorded(&gateway, 4, world));
    let of = |name: &str| world_of(&table, name);
    assert_eq!(["gpt-4o-mini#one", "gpt-4o-mini#two"].map(|name| of(name)["ttft"].as_str().unwrap()), ["200000us", "900000us"], "{text}");
    for name in ["gpt-4o-mini#one", "gpt-4o-mini#two"] {
        // Failures of 4,800 calls, of which a part is refused: a standard error of a tenth, of which there are two in the log and the simulation.
        assert_between(share(of(name)), 0.03 * 0.6, 0.03 * 1.4);
        assert_between(of(name)["limits"]["rpm"].as_integer().unwrap() as f64, 11.0, 13.0);
    }
}

/// Speeds of two kinds, one time in four slow, are no lognormal. A quantile q of n draws lies, with 4 standard errors of its share, between the quantiles
/// at q +- 4 sqrt(q (1 - q) / n); here these are on either side of the steps.
#[test]
fn speeds_of_no_law_are_found_again_by_their_quantiles() {
    let quantiles = "[[0, \"100ms\"], [0.75, \"140ms\"], [0.76, \"2000ms\"], [1, \"2400ms\"]]";
    let home = recorded(NO_FALLBACKS, 2, &format!("ttft = {{ quantiles = {quantiles} }}\ntokens_per_second = 100"));
    let (text, table) = calibrated(&home);
    let found = world_of(&table, "gpt-4o-mini#mini")["ttft"]["quantiles"].as_array().unwrap_or_else(|| panic!("{text}"));
    let truth = |share: f64| match share {
        ..0.75 => 0.1 + 0.04 * share / 0.75,
        ..0.76 => 0.14 + 1.86 * (share - 0.75) / 0.01,
        _ => 2.0 + 0.4 * (share - 0.76) / 0.24,
    };
    // Of 2 hours at 20 a minute and bursts, three quarters are fitted, of which 80 % are streams.
    let n = 1_400.0;
    assert_eq!(found.len(), 10, "{text}");
    for point in found {
        let (share, value) = (number(&point[0]), point[1].as_str().unwrap().strip_suffix("us").unwrap().parse::<f64>().unwrap() / 1e6);
        let error = 4.0 * f64::sqrt(share * (1.0 - share) / n);
        let near = if share == 0.0 || share == 1.0 { 8.0 / n } else { error };
        assert!(value >= truth((share - near).max(0.0)) - 1e-6 && value <= truth((share + near).min(1.0)) + 1e-6, "{share}: {value}\n{text}");
    }
}

fn share(world: &toml::Table) -> f64 {
    world["chances"][0]["share"].as_float().unwrap()
}

#[track_caller]
fn assert_between(value: f64, low: f64, high: f64) {
    assert!((low..=high).contains(&value), "{value} is not between {low} and {high}");
}
