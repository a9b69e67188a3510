//! Made-up, overlaid and scaled traffic through the whole command.

use crate::cli::Home;

const MADE: &str = r#"name = "made up"
gateway = "gateway.toml"
[traffic]
unknown_keys = "add"
scale = 1.5
[traffic.synthetic]
duration = "10m"
rate = "40/m"
tenants = "servegen"
teams = 3
models = { "gpt-4o-mini" = 8, "gpt-4o" = 2 }
stream = 0.7
max_tokens = { p50 = 500, p95 = 2000 }
duplicates = { share = 0.2, within = "1h" }
sessions = { share = 0.4, turns = { p50 = 3, p95 = 12 }, think = { p50 = "5s", p95 = "30s" } }
loops = [{ key = "key-7", from = "5m", for = "1m", every = "500ms" }]
[traffic.overlay]
abandon = 0.1
[world]
preset = "ledger"
[world.providers.openai]
prompt_cache = { kind = "openai" }
"#;

const CACHE: &str = "[cache]\nttl = \"1h\"\n";

fn home() -> Home {
    let home = Home::new();
    home.write("gateway.toml", format!("{}{CACHE}", crate::cli::GATEWAY));
    home.write("made.toml", MADE);
    home
}

/// What a run prints and writes; it must succeed.
#[track_caller]
fn run(home: &Home, scenario: &str) -> (String, serde_json::Value) {
    let output = home.output(&["run", scenario, "--out", scenario.trim_end_matches(".toml")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let directory = std::fs::read_dir(home.path().join(scenario.trim_end_matches(".toml"))).unwrap().next().unwrap().unwrap().path();
    let report = std::fs::read(directory.join("report.json")).unwrap();
    (String::from_utf8(output.stdout).unwrap(), serde_json::from_slice(&report).unwrap())
}

#[test]
fn made_up_traffic_is_marked_and_says_what_it_rests_on() {
    let home = home();
    let (screen, report) = run(&home, "made.toml");
    assert!(screen.contains(": synthetic, ") && screen.contains("\nSynthetic traffic has no grade.") && !screen.contains("TRUST"), "{screen}");
    for line in [
        "Assumed: arrivals gamma, CV 1.2 (p50) to 7.02 (p95) by key [ServeGen, M]",
        "Assumed: senders 100 keys, the first 32.3 % of requests, 3 teams [scenario]",
        "Assumed: input tokens 210 (p50) to 692 (p95), at most 128,000 [ServeGen, M]",
        "Assumed: clients that leave 10 %, after 10 s (p50) to 60 s (p95) [assumed, U]",
        "Assumed: duplicates 20 % of requests repeat one of the same key within 1 h [scenario]",
        "Assumed: models asked for gpt-4o-mini 80 %, gpt-4o 20 % [scenario]",
    ] {
        assert!(screen.contains(line), "{line} is not in\n{screen}");
    }
    let saved = &report["variants"][0]["runs"][0]["cause"]["prompt_cache"];
    assert!(saved.as_str().is_some_and(|amount| amount.starts_with('-')), "prompt caches see the turns of a session: {saved}");
    assert_eq!(report, run(&home, "made.toml").1, "the same seed gives the same run");
    let inputs = report["inputs"].as_array().unwrap();
    assert!(inputs.iter().all(|input| input["role"] != "trace"), "no file was read: {inputs:?}");
}

#[test]
fn a_written_trace_runs_like_the_traffic_that_it_was_written_from() {
    let home = home();
    let (_, made) = run(&home, "made.toml");
    for file in ["made.csv.gz", "made.parquet"] {
        let written = home.output(&["trace", "synth", "made.toml", "-o", file]);
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        let tables = MADE.split_once("[world]").unwrap().1;
        home.write("read.toml", format!("gateway = \"gateway.toml\"\n[traffic]\ntrace = \"{file}\"\nunknown_keys = \"add\"\n[world]{tables}"));
        let (screen, read) = run(&home, "read.toml");
        assert!(screen.contains("TRUST D"), "a file is taken as recorded unless the scenario says otherwise");
        assert_eq!(read["variants"], made["variants"], "{file}");
        std::fs::remove_dir_all(home.path().join("read")).unwrap();
    }
}

#[test]
fn copies_need_keys_or_share_them() {
    let home = Home::new();
    home.write("gateway.toml", format!("{}[keys.alice]\n[keys.bob]\n", crate::cli::GATEWAY));
    let scaled = |scale: &str| {
        home.write("scaled.toml", format!("gateway = \"gateway.toml\"\n[traffic]\ntrace = \"five.csv\"\nscale = {scale}\n"));
        let output = home.output(&["run", "scaled.toml"]);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = scaled("2");
    assert!(code == 2 && said.contains("`alice+2` (first in line 2)") && said.contains("keys = \"same\""), "{said}");
    let (code, said) = scaled("{ times = 2, keys = \"same\" }");
    assert!(code == 0 && said.contains("five.csv, 10 requests") && said.contains("Assumed: scale 2 times the traffic"), "{said}");
    home.write("five.toml", "gateway = \"gateway.toml\"\n[traffic]\ntrace = \"five.csv\"\nwindow = { from = \"1h\", for = \"1h\" }\n");
    let output = home.output(&["run", "five.toml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.starts_with("error: five.csv: no requests in the window\nhint: "), "{said}");
}
