//! The command line as a user meets it: exit code, stdout, stderr, files. One temporary directory a test, all paths relative to it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;
use tempfile::TempDir;

/// Five requests: two equal ones, one on the dear model.
const TRACE: &str = "\
timestamp,model,key,input_tokens,output_tokens
2026-11-20T09:00:00Z,gpt-4o-mini,alice,1000,100
2026-11-20T09:00:30Z,gpt-4o-mini,alice,1000,100
2026-11-20T09:01:00Z,gpt-4o,bob,2000,50
2026-11-20T09:01:30Z,gpt-4o-mini,bob,500,300
2026-11-20T09:02:00Z,gpt-4o-mini,alice,4000,20
";

const GATEWAY: &str = "\
version = 1
[models.gpt-4o-mini]
deployments = [{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }]
[models.gpt-4o]
deployments = [{ id = \"large\", provider = \"openai\", model = \"gpt-4o\" }]
";

const SCENARIO: &str = "\
name = \"five requests\"
gateway = \"gateway.toml\"
[traffic]
trace = \"five.csv\"
[world]
preset = \"ledger\"
[[variant]]
name = \"as configured\"
[[variant]]
name = \"all on gpt-4o\"
set = { 'models.gpt-4o-mini.deployments' = [{ id = \"mini\", provider = \"openai\", model = \"gpt-4o\" }] }
";

/// A directory with the files above, and gwsim in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for (name, text) in [("five.csv", TRACE), ("gateway.toml", GATEWAY), ("scenario.toml", SCENARIO)] {
            home.write(name, text);
        }
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn output(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_gwsim")).args(arguments).current_dir(self.path()).env_remove("NO_COLOR").output().unwrap()
    }

    /// The whole run as text.
    fn gwsim(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.output(arguments);
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        let mut text = format!("exit {}\n", status.code().unwrap());
        for (name, stream) in [("stdout", stdout), ("stderr", stderr)] {
            if !stream.is_empty() {
                text.push_str(&format!("----- {name}\n{stream}"));
            }
        }
        text
    }
}

#[test]
fn run_prints_a_screen_and_keeps_a_report() {
    let home = Home::new();
    assert_snapshot!(home.gwsim(&["run", "scenario.toml"]), @"");
    let mut files: Vec<String> =
        fs::read_dir(home.path().join("reports/five-requests")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["report.json", "series.csv", "series.parquet"]);
}

#[test]
fn the_same_run_gives_the_same_bytes_wherever_it_is_started() {
    let read = |home: &Home, name: &str| fs::read(home.path().join("reports/five-requests").join(name)).unwrap();
    let (one, two) = (Home::new(), Home::new());
    for home in [&one, &two] {
        assert!(home.output(&["run", "scenario.toml", "--seeds", "2"]).status.success());
    }
    for name in ["report.json", "series.csv", "series.parquet"] {
        assert_eq!(read(&one, name), read(&two, name), "{name}");
    }
}

#[test]
fn json_on_stdout_is_the_report_that_is_kept() {
    let home = Home::new();
    let output = home.output(&["run", "scenario.toml", "--format", "json", "--seed", "7", "--seeds", "2"]);
    assert_eq!(output.stdout, fs::read(home.path().join("reports/five-requests/report.json")).unwrap());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["seeds"], serde_json::json!([7, 8]));
    // 6,500 x 0.15 + 520 x 0.60 + 2,000 x 2.50 + 50 x 10 micro-dollars, by hand.
    assert_eq!(json["variants"][0]["bill"]["mean"], "0.006787000000");
    assert_eq!(json["inputs"].as_array().unwrap().len(), 3, "{}", json["inputs"]);
}

#[test]
fn an_expectation_that_fails_is_exit_3() {
    let home = Home::new();
    home.write("strict.toml", format!("{SCENARIO}[[expect]]\nvariant = \"all on gpt-4o\"\ncost_usd = {{ at_most = 0.02 }}\n"));
    let output = home.gwsim(&["run", "strict.toml"]);
    assert!(output.starts_with("exit 3\n"), "{output}");
    assert_snapshot!(output.split("----- stderr\n").nth(1).unwrap(), @"");
}

#[test]
fn set_changes_all_variants() {
    let home = Home::new();
    let output =
        home.gwsim(&["run", "scenario.toml", "--set", "models.gpt-4o.deployments=[{ id = 'large', provider = 'openai', model = 'gpt-4o-mini' }]"]);
    assert!(output.starts_with("exit 0\n"), "{output}");
    assert_snapshot!(output.lines().skip(5).take(3).collect::<Vec<_>>().join("\n"), @"");
}

#[test]
fn check_says_one_line_or_all_errors() {
    let home = Home::new();
    assert_snapshot!(home.gwsim(&["check", "scenario.toml"]), @"");
    assert_snapshot!(home.gwsim(&["check", "gateway.toml"]), @"");
    home.write("bad.toml", GATEWAY.replace("gpt-4o\" }", "gpt-9\" }").replace("version", "verison"));
    assert_snapshot!(home.gwsim(&["check", "bad.toml"]), @"");
    home.write("broken.toml", "version = 1\n[models\n");
    assert_snapshot!(home.gwsim(&["check", "broken.toml"]), @"");
    assert_snapshot!(home.gwsim(&["check", "absent.toml"]), @"");
    assert_snapshot!(home.gwsim(&["check", "gateway.toml", "--set", "attempts.per_reqest=2"]), @"");
}

#[test]
fn a_fallback_cycle_and_a_negative_rate_are_found() {
    let home = Home::new();
    home.write("negative.toml", format!("{GATEWAY}[prices.models.gpt-4o]\ninput = -1\noutput = 10\n"));
    let output = home.gwsim(&["check", "negative.toml"]);
    assert!(output.starts_with("exit 2\n") && output.contains("negative.toml:"), "{output}");
    let cycle = "fallbacks = [\"gpt-4o\"]\n[models.gpt-4o]\nfallbacks = [\"gpt-4o-mini\"]\n";
    home.write("cycle.toml", GATEWAY.replace("[models.gpt-4o]\n", cycle));
    let output = home.gwsim(&["check", "cycle.toml"]);
    assert!(output.contains("cycle"), "{output}");
}

#[test]
fn bad_traffic_is_exit_2_with_its_line() {
    let home = Home::new();
    let run = |trace: &str| {
        home.write("five.csv", trace);
        let output = home.gwsim(&["run", "scenario.toml"]);
        assert!(!home.path().join("reports").exists(), "no report of a run that failed");
        output
    };
    assert_snapshot!(run(&TRACE.replace("500,300", "500,3O0")), @"");
    assert_snapshot!(run(&TRACE.replace("09:01:30", "09:00:10")), @"");
    assert_snapshot!(run(&TRACE.replace("2026-11-20T09:01:30Z", "1970-01-01T00:00:01Z")), @"");
    assert_snapshot!(run(TRACE.lines().next().unwrap()), @"");
    assert_snapshot!(run(""), @"");
    assert_snapshot!(run(&TRACE.replace("gpt-4o,bob", "gpt-7,bob")), @"");
    fs::remove_file(home.path().join("five.csv")).unwrap();
    assert_snapshot!(home.gwsim(&["run", "scenario.toml"]), @"");
}

#[test]
fn a_report_that_can_not_be_kept_is_exit_1() {
    let home = Home::new();
    let output = home.gwsim(&["run", "scenario.toml", "--out", "five.csv"]);
    assert!(output.starts_with("exit 1\n----- stderr\nerror: can't write five.csv/five-requests: "), "{output}");
}

#[test]
fn wrong_arguments_are_exit_2_and_help_is_0() {
    let home = Home::new();
    for arguments in [&["run"][..], &["rum", "scenario.toml"], &["run", "scenario.toml", "--seeds", "0"], &[]] {
        let output = home.output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    let help = home.output(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("gwsim run scenarios/quickstart.toml"), "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
}

#[test]
fn trace_info_and_convert() {
    let home = Home::new();
    assert_snapshot!(home.gwsim(&["trace", "convert", "five.csv", "five.parquet"]), @"");
    let [csv, parquet] = ["five.csv", "five.parquet"].map(|name| home.output(&["trace", "info", name, "--format", "json"]).stdout);
    let [mut csv, mut parquet]: [serde_json::Value; 2] = [csv, parquet].map(|json| serde_json::from_slice(&json).unwrap());
    for json in [&mut csv, &mut parquet] {
        json["file"].take();
    }
    assert_eq!(csv, parquet);
    assert_eq!((&csv["rows"], &csv["input"]["total"]), (&serde_json::json!(5), &serde_json::json!(8_500)));
    assert!(home.gwsim(&["trace", "info", "five.csv"]).starts_with("exit 0\n----- stdout\nfive.csv (gwsim): 5 requests over 2 min"));
}

#[test]
fn trace_convert_sorts_only_when_told_to() {
    let home = Home::new();
    home.write("mixed.csv", TRACE.replace("09:01:30", "09:00:10"));
    let refused = home.gwsim(&["trace", "convert", "mixed.csv", "out.csv"]);
    assert!(refused.starts_with("exit 2\n----- stderr\nerror: mixed.csv:5:"), "{refused}");
    assert!(!home.path().join("out.csv").exists());
    assert_snapshot!(home.gwsim(&["trace", "convert", "--sort", "mixed.csv", "out.csv"]), @"");
    assert_snapshot!(home.gwsim(&["trace", "info", "five.csv", "--input-format", "azur"]), @"");
    assert_snapshot!(home.gwsim(&["trace", "info", "five.csv", "--epoch", "yesterday"]), @"");
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::Stdio;
    let home = Home::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gwsim"))
        .args(["run", "scenario.toml", "--format", "json"])
        .current_dir(home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
