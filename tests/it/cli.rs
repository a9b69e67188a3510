//! The command line as a user meets it: exit code, stdout, stderr, files. One temporary directory a test, all paths relative to it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;
use tempfile::TempDir;

/// Five requests: two equal ones, one on the dear model.
pub(crate) const TRACE: &str = "\
at,model,key,input_tokens,output_tokens
2026-11-20T09:00:00Z,gpt-4o-mini,alice,1000,100
2026-11-20T09:00:30Z,gpt-4o-mini,alice,1000,100
2026-11-20T09:01:00Z,gpt-4o,bob,2000,50
2026-11-20T09:01:30Z,gpt-4o-mini,bob,500,300
2026-11-20T09:02:00Z,gpt-4o-mini,alice,4000,20
";

pub(crate) const GATEWAY: &str = "\
version = 1
[models.gpt-4o-mini]
deployments = [{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }]
[models.gpt-4o]
deployments = [{ id = \"large\", provider = \"openai\", model = \"gpt-4o\" }]
";

pub(crate) const SCENARIO: &str = "\
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
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for (name, text) in [("five.csv", TRACE), ("gateway.toml", GATEWAY), ("scenario.toml", SCENARIO)] {
            home.write(name, text);
        }
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_gwsim")).args(arguments).current_dir(self.path()).env_remove("NO_COLOR").output().unwrap()
    }

    /// The whole run as text.
    pub(crate) fn gwsim(&self, arguments: &[&str]) -> String {
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
    assert_snapshot!(home.gwsim(&["run", "scenario.toml"]), @r"
    exit 0
    ----- stdout
    five requests: five.csv, 5 requests in 2 min, recorded
    TRUST D: not checked against a bill. Compare the variants; don't budget with the dollars.

                   $ trace  $/hour    change  answered  p95  other model  retries  429s
    as configured   0.0068   0.204             100.0 %    0        0.0 %        0     0
    all on gpt-4o   0.0270   0.809  +297.1 %   100.0 %    0        0.0 %        0     0
    Nothing saves: as configured is the cheapest of 2 variants.
    No interval: luck unknown (one seed), day to day unknown (trace too short: 4 blocks of 3 s, 20
        needed)
    $/hour: the trace's dollars spread over its 2 min; too short to speak of days.
    change: token counts not compared between the models that answer (all on gpt-4o)

    $ by cause       base  premium of place  prompt cache  wasted  undelivered   total
    as configured  0.0068                 0             0       0            0  0.0068
    all on gpt-4o  0.0270                 0             0       0            0  0.0270

    as configured: in 5 = served 5 + cached 0 + refused 0 + failed 0 + abandoned 0
    all on gpt-4o: in 5 = served 5 + cached 0 + refused 0 + failed 0 + abandoned 0
    Ledger: the gateway's own books equal the bill in every variant, all of it confirmed
    as configured: one request for gpt-4o-mini with 1,700 input tokens causes at most 2 calls, $0.0202
    all on gpt-4o: one request for gpt-4o-mini with 1,700 input tokens causes at most 2 calls, $0.336
    Prices: the built-in price list of 2026-11-22
    Assumed: latency none: every answer comes at once [world]
    Assumed: provider limits none: no provider answers 429 [world]
    Assumed: prompt cache none: all input at the plain rate [world]
    Assumed: provider failures none [world]
    Assumed: token counts the same on gpt-4o-mini -> gpt-4o (up to $0.0215 of a bill) [assumed]
    Assumed: answer quality not measured [assumed]
    ----- stderr
    report: reports/five-requests
    ");
    let mut files: Vec<String> =
        fs::read_dir(home.path().join("reports/five-requests")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["index.html", "report.json", "report.md", "series.csv", "series.parquet"]);
}

#[test]
fn the_same_run_gives_the_same_bytes_wherever_it_is_started() {
    let read = |home: &Home, name: &str| fs::read(home.path().join("reports/five-requests").join(name)).unwrap();
    let (one, two) = (Home::new(), Home::new());
    for home in [&one, &two] {
        assert!(home.output(&["run", "scenario.toml", "--seeds", "2"]).status.success());
    }
    for name in ["index.html", "report.json", "report.md", "series.csv", "series.parquet"] {
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
    assert_snapshot!(output.split("----- stderr\n").nth(1).unwrap(), @r#"
    report: reports/five-requests
    error: expectation failed: variant `all on gpt-4o`: expected a cost of at most $0.02, found $0.02695
    "#);
}

#[test]
fn set_changes_all_variants() {
    let home = Home::new();
    let output =
        home.gwsim(&["run", "scenario.toml", "--set", "models.gpt-4o.deployments=[{ id = 'large', provider = 'openai', model = 'gpt-4o-mini' }]"]);
    assert!(output.starts_with("exit 0\n"), "{output}");
    assert_snapshot!(output.lines().skip(5).take(3).collect::<Vec<_>>().join("\n"), @r#"
                   $ trace  $/hour    change  answered  p95  other model  retries  429s
    as configured   0.0016   0.049             100.0 %    0        0.0 %        0     0
    all on gpt-4o   0.0218   0.653  +1,247 %   100.0 %    0        0.0 %        0     0
    "#);
}

#[test]
fn check_says_one_line_or_all_errors() {
    let home = Home::new();
    assert_snapshot!(home.gwsim(&["check", "scenario.toml"]), @r#"
    exit 0
    ----- stdout
    scenario.toml: valid, a scenario of 2 variants under 1 seed
    "#);
    assert_snapshot!(home.gwsim(&["check", "gateway.toml"]), @r#"
    exit 0
    ----- stdout
    gateway.toml: valid, a gateway of 2 models on 2 deployments
    priced, not servable: `mini`, `large`: provider `openai` has no key: add key = "env:NAME", or the base_url of a server that needs none
    "#);
    home.write("bad.toml", GATEWAY.replace("gpt-4o\" }", "gpt-9\" }").replace("version", "verison"));
    assert_snapshot!(home.gwsim(&["check", "bad.toml"]), @r#"
    exit 2
    ----- stderr
    error: unknown key `verison` in gateway.toml
     --> bad.toml:1:1
      |
    1 | verison = 1
      | ^^^^^^^ it would have no effect
      |
      = help: did you mean `version`?

    error: no price for `gpt-9`
     --> bad.toml:5:61
      |
    5 | deployments = [{ id = "large", provider = "openai", model = "gpt-9" }]
      |                                                             ^^^^^^^ it will not be taken as free
      |
      = help: did you mean `gpt-4` or `gpt-5` or `perplexity/openai/gpt-5`?
              It is not in the built-in price list of 2026-11-22; state it: [prices.models."gpt-9"]
              with input and output, in USD per million tokens

    2 errors
    "#);
    home.write("broken.toml", "version = 1\n[models\n");
    assert_snapshot!(home.gwsim(&["check", "broken.toml"]), @r#"
    exit 2
    ----- stderr
    error: broken TOML: unclosed table, expected `]`
     --> broken.toml:2:8
      |
    2 | [models
      |        ^ TOML does not allow this

    1 error
    "#);
    assert_snapshot!(home.gwsim(&["check", "absent.toml"]), @r#"
    exit 2
    ----- stderr
    error: can't read `absent.toml`: no such file
     |
     = help: check the path: it is relative to the directory that gwsim runs in

    1 error
    "#);
    assert_snapshot!(home.gwsim(&["check", "gateway.toml", "--set", "attempts.per_reqest=2"]), @r#"
    exit 2
    ----- stderr
    error: unknown key `per_reqest` in `attempts`
     --> --set:1:10
      |
    1 | attempts.per_reqest=2
      |          ^^^^^^^^^^ it would have no effect
      |
      = help: did you mean `per_request`?

    1 error
    "#);
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
    assert_snapshot!(run(&TRACE.replace("500,300", "500,3O0")), @r#"
    exit 2
    ----- stderr
    error: five.csv:5:42: `output_tokens` is not a whole number of tokens: `3O0`
      |
    5 | 2026-11-20T09:01:30Z,gpt-4o-mini,bob,500,3O0
      |                                          ^^^
    hint: write digits only, without separators or units
    "#);
    assert_snapshot!(run(&TRACE.replace("09:01:30", "09:00:10")), @r#"
    exit 2
    ----- stderr
    error: five.csv:5:1: the row is 50 s earlier than line 4
      |
    5 | 2026-11-20T09:00:10Z,gpt-4o-mini,bob,500,300
      | ^^^^^^^^^^^^^^^^^^^^
    hint: a replay goes forward in time: sort the trace once with `gwsim trace convert --sort IN OUT`
    "#);
    assert_snapshot!(run(&TRACE.replace("2026-11-20T09:01:30Z", "1970-01-01T00:00:01Z")), @r#"
    exit 2
    ----- stderr
    error: five.csv:5:1: the time is 20,777 days earlier than on line 4: 2026-11-20T09:01:00Z there, 1970-01-01T00:00:01Z here
      |
    5 | 1970-01-01T00:00:01Z,gpt-4o-mini,bob,500,300
      | ^^^^^^^^^^^^^^^^^^^^
    hint: two clocks or two units are mixed (seconds with milliseconds?): write all times in one unit from one epoch
    "#);
    assert_snapshot!(run(TRACE.lines().next().unwrap()), @r#"
    exit 2
    ----- stderr
    error: five.csv: no requests
    hint: the file is empty or holds only a header; was the recording cut off?
    "#);
    assert_snapshot!(run(""), @r#"
    exit 2
    ----- stderr
    error: five.csv: no requests
    hint: the file is empty or holds only a header; was the recording cut off?
    "#);
    assert_snapshot!(run(&TRACE.replace("gpt-4o,bob", "gpt-7,bob")), @r#"
    exit 2
    ----- stderr
    error: five.csv:4:22: variant `as configured`: the traffic asks for models that the configuration doesn't have: `gpt-7` (first in line 4)
      |
    4 | 2026-11-20T09:01:00Z,gpt-7,bob,2000,50
      |                      ^^^^^
    hint: say what they ask for here, [traffic] map = { "theirs" = "ours" }, or set unknown_models = "default"
    "#);
    fs::remove_file(home.path().join("five.csv")).unwrap();
    assert_snapshot!(home.gwsim(&["run", "scenario.toml"]), @r#"
    exit 2
    ----- stderr
    error: can't read `five.csv`: no such file
     --> scenario.toml:4:9
      |
    4 | trace = "five.csv"
      |         ^^^^^^^^^^
      |
      = help: paths are relative to the file that they are written in

    1 error
    "#);
}

#[test]
fn a_report_that_can_not_be_kept_is_known_before_the_run() {
    let home = Home::new();
    // The trace is wrong as well, but was not looked at.
    home.write("five.csv", "nothing");
    assert_snapshot!(home.gwsim(&["run", "scenario.toml", "--out", "five.csv"]), @r#"
    exit 2
    ----- stderr
    error: can't write five.csv/five-requests: there is a file of that name
    hint: choose another directory with --out
    "#);
    let output = home.output(&["run", "scenario.toml", "--out", "a/b"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!home.path().join("a").exists(), "no report of a run that failed");
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
    assert_snapshot!(home.gwsim(&["trace", "convert", "five.csv", "five.parquet"]), @r#"
    exit 0
    ----- stdout
    five.parquet: 5 requests
    "#);
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
    assert_snapshot!(home.gwsim(&["trace", "convert", "--sort", "mixed.csv", "out.csv"]), @r#"
    exit 0
    ----- stdout
    out.csv: 5 requests, 1 out of order before
    "#);
    assert_snapshot!(home.gwsim(&["trace", "info", "five.csv", "--input-format", "azur"]), @r#"
    exit 2
    ----- stderr
    error: --input-format azur: no such format; it is one of gwsim, azure, mooncake, burstgpt, bailian, litellm
    "#);
    assert_snapshot!(home.gwsim(&["trace", "info", "five.csv", "--epoch", "yesterday"]), @r#"
    exit 2
    ----- stderr
    error: --epoch yesterday: failed to parse four digit integer as year: invalid digit, expected 0-9 but got y; write an instant with its zone, such as 2026-11-20T00:00:00Z
    "#);
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
