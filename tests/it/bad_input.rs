//! Bad input as a user meets it: whole messages on stderr, exit code 2, nothing on stdout, no report left behind, and never a panic.

use insta::assert_snapshot;

use super::cli::{GATEWAY, Home, SCENARIO, TRACE};

/// What is said about input that must be refused.
#[track_caller]
fn refused(home: &Home, arguments: &[&str]) -> String {
    let output = home.output(arguments);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
    assert!(!home.path().join("reports").exists(), "no report of a run that failed");
    stderr
}

/// 5,000 rows after a header, a second apart; one line of the file is something else.
fn long_with(line: usize, text: &str) -> String {
    let rows = (0..5_000).map(|i| format!("{i},gpt-4o,{},20", 100 + i % 7));
    let mut lines: Vec<String> = ["at_s,model,input_tokens,output_tokens".to_owned()].into_iter().chain(rows).collect();
    text.clone_into(&mut lines[line - 1]);
    lines.join("\n") + "\n"
}

/// Every byte there is, again and again, in no order that means anything.
fn garbage() -> Vec<u8> {
    (0..5_000_u32).map(|i| (i * 7_919 + 13).to_le_bytes()[0]).collect()
}

/// A download that broke off in the middle.
fn truncated_gzip() -> Vec<u8> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(long_with(1, "at_s,model,input_tokens,output_tokens").as_bytes()).unwrap();
    let mut bytes = gzip.finish().unwrap();
    bytes.truncate(bytes.len() / 2);
    bytes
}

#[test]
fn broken_toml() {
    let home = Home::new();
    home.write("gateway.toml", GATEWAY.replace("version = 1", "version = = 1"));
    assert_snapshot!(refused(&home, &["check", "gateway.toml"]), @r#"
    error: broken TOML: extra `=`, expected nothing
     --> gateway.toml:1:11
      |
    1 | version = = 1
      |           ^ TOML does not allow this

    error: broken TOML: unexpected key or value, expected newline, `#`
     --> gateway.toml:1:13
      |
    1 | version = = 1
      |             ^ TOML does not allow this

    2 errors
    "#);
}

#[test]
fn unknown_keys_and_several_errors_at_once_in_both_files() {
    let home = Home::new();
    home.write("gateway.toml", GATEWAY.replace("version", "verison").replace("gpt-4o\" }", "gpt-9\" }"));
    home.write(
        "scenario.toml",
        SCENARIO.replace("preset = \"ledger\"", "preset = \"leger\"\nlimits = { rpm = -5 }").replace("trace = \"five.csv\"", "trace = \"six.csv\""),
    );
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: can't read `six.csv`: no such file
     --> scenario.toml:4:9
      |
    4 | trace = "six.csv"
      |         ^^^^^^^^^
      |
      = help: paths are relative to the file that they are written in

    error: unknown value `leger` for `preset`
     --> scenario.toml:6:10
      |
    6 | preset = "leger"
      |          ^^^^^^^
      |
      = help: did you mean `ledger`? It is one of: ledger, realistic

    error: `rpm` must be at least 1
     --> scenario.toml:7:18
      |
    7 | limits = { rpm = -5 }
      |                  ^^
      |
      = help: for example: rpm = 1

    error: unknown key `verison` in gateway.toml
     --> gateway.toml:1:1
      |
    1 | verison = 1
      | ^^^^^^^ it would have no effect
      |
      = help: did you mean `version`?

    error: no price for `gpt-9`
     --> gateway.toml:5:61
      |
    5 | deployments = [{ id = "large", provider = "openai", model = "gpt-9" }]
      |                                                             ^^^^^^^ it will not be taken as free
      |
      = help: did you mean `gpt-4` or `gpt-5` or `perplexity/openai/gpt-5`?
              It is not in the built-in price list of 2026-11-22; state it: [prices.models."gpt-9"]
              with input and output, in USD per million tokens

    5 errors
    "#);
}

#[test]
fn a_model_without_a_price() {
    let home = Home::new();
    home.write("gateway.toml", GATEWAY.replace("gpt-4o\" }", "our-finetune\" }"));
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: no price for `our-finetune`
     --> gateway.toml:5:61
      |
    5 | deployments = [{ id = "large", provider = "openai", model = "our-finetune" }]
      |                                                             ^^^^^^^^^^^^^^ it will not be taken as free
      |
      = help: it is not in the built-in price list of 2026-11-22; state it:
              [prices.models."our-finetune"] with input and output, in USD per million tokens

    1 error
    "#);
}

#[test]
fn negative_rate() {
    let home = Home::new();
    home.write("gateway.toml", format!("{GATEWAY}[prices.models.gpt-4o]\ninput = -2.50\noutput = 10\n"));
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: `input` is not a price: `-2.50` is negative; a price or an amount is zero or more
     --> gateway.toml:7:9
      |
    7 | input = -2.50
      |         ^^^^^
      |
      = help: USD per million tokens, for example: input = 2.50

    1 error
    "#);
}

#[test]
fn a_fallback_cycle() {
    let home = Home::new();
    let cycle = "fallbacks = [\"gpt-4o\"]\n[models.gpt-4o]\nfallbacks = [\"gpt-4o-mini\"]\n";
    home.write("gateway.toml", GATEWAY.replace("[models.gpt-4o]\n", cycle));
    assert_snapshot!(refused(&home, &["check", "gateway.toml"]), @r#"
    error: fallback cycle: gpt-4o-mini -> gpt-4o -> gpt-4o-mini
     --> gateway.toml:6:14
      |
    6 | fallbacks = ["gpt-4o-mini"]
      |              ^^^^^^^^^^^^^ a request can't be helped by what has just failed
      |
      = help: remove `gpt-4o-mini` from the fallbacks of `gpt-4o`

    1 error
    "#);
}

#[test]
fn toml_that_is_not_utf8() {
    let home = Home::new();
    home.write("gateway.toml", b"version = 1\nname = \"caf\xE9\"\n");
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: the byte 0xE9 is not UTF-8 text
     --> gateway.toml:2:12
      |
    2 | name = "caf�"
      |            ^ TOML is UTF-8
      |
      = help: save the file as UTF-8

    1 error
    "#);
}

#[test]
fn a_binary_as_configuration() {
    let home = Home::new();
    home.write("gateway.toml", garbage());
    assert_snapshot!(refused(&home, &["check", "gateway.toml"]), @r#"
    error: can't read `gateway.toml`: it is not text

    1 error
    "#);
}

#[test]
fn a_gateway_as_scenario() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["run", "gateway.toml"]), @r#"
    error: this is a gateway, not a scenario
     --> gateway.toml:1:1
      |
    1 | version = 1
      | ^ a run needs traffic too
      |
      = help: write a scenario that names both: gateway = "gateway.toml" and [traffic] trace =
              "trace.csv"

    1 error
    "#);
}

#[test]
fn a_trace_as_scenario() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["run", "five.csv"]), @r#"
    error: `five.csv` is named like a trace, not like a scenario or a gateway
     |
     = help: a scenario names its trace: [traffic] trace = "five.csv"; `gwsim trace info five.csv`
             shows what is in it

    1 error
    "#);
}

#[test]
fn an_absent_scenario() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["run", "quikstart.toml"]), @r#"
    error: can't read `quikstart.toml`: no such file
     |
     = help: check the path: it is relative to the directory that gwsim runs in

    1 error
    "#);
}

#[test]
fn a_set_path_that_does_not_exist() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["run", "scenario.toml", "--set", "cache.tll=5m"]), @r#"
    error: unknown key `tll` in `cache`
     --> --set:1:7
      |
    1 | cache.tll="5m"
      |       ^^^ it would have no effect
      |
      = help: did you mean `ttl`?

    1 error
    "#);
}

#[test]
fn a_set_path_into_a_model_that_does_not_exist() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["run", "scenario.toml", "--set", "models.gpt-5x.strategy=ordered"]), @r#"
    error: `gpt-5x` does not exist in `models`
     --> --set:1:8
      |
    1 | models.gpt-5x.strategy="ordered"
      |        ^^^^^^ a path only changes what is there
      |
      = help: did you mean `gpt-4o`? To add it, set the whole table: 'models."gpt-5x"' = { ... }

    1 error
    "#);
}

#[test]
fn a_set_path_that_is_no_setting_at_all() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["run", "scenario.toml", "--set", "nonsense=1"]), @r#"
    error: unknown key `nonsense` in gateway.toml
     --> --set:1:1
      |
    1 | nonsense=1
      | ^^^^^^^^ it would have no effect
      |
      = help: known here: alerts, attempts, breaker, budget, cache, cooldown, deployments,
              end_users, fallback, keys, limits, loop_detector, max_tokens, models, pick, prices,
              providers, server, strategy, stream, tags, teams, timeouts, version

    1 error
    "#);
}

#[test]
fn a_set_without_a_value() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["run", "scenario.toml", "--set", "cache.ttl"]), @r#"
    error: `--set` needs PATH=VALUE
     --> --set:1:1
      |
    1 | cache.ttl
      | ^^^^^^^^^ the value is missing
      |
      = help: for example: --set cache.ttl=5m

    1 error
    "#);
}

#[test]
fn row_4812_is_malformed() {
    let home = Home::new();
    home.write("five.csv", long_with(4_812, "4810,gpt-4o,1 01,20"));
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: five.csv:4812:13: `input_tokens` is not a whole number of tokens: `1 01`
         |
    4812 | 4810,gpt-4o,1 01,20
         |             ^^^^
    hint: write digits only, without separators or units
    "#);
}

#[test]
fn row_4812_lacks_a_value() {
    let home = Home::new();
    home.write("five.csv", long_with(4_812, "4810,gpt-4o,101"));
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: five.csv:4812:13: the row has 3 values, but the header names 4 columns
         |
    4812 | 4810,gpt-4o,101
         |             ^^^
    hint: write one value a column, nothing between two commas where it is not known, and quote values with commas
    "#);
}

#[test]
fn row_4812_is_out_of_order() {
    let home = Home::new();
    home.write("five.csv", long_with(4_812, "4710.5,gpt-4o,101,20"));
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: five.csv:4812:1: the row is 1 min 38 s earlier than line 4,811
         |
    4812 | 4710.5,gpt-4o,101,20
         | ^^^^^^
    hint: a replay goes forward in time: sort the trace once with `gwsim trace convert --sort IN OUT`
    "#);
}

#[test]
fn row_4812_is_by_another_clock() {
    let home = Home::new();
    home.write("five.csv", long_with(4_812, "1763632800000,gpt-4o,101,20"));
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: five.csv:4812:1: `at_s` is too large: `1763632800000`
         |
    4812 | 1763632800000,gpt-4o,101,20
         | ^^^^^^^^^^^^^
    hint: that is after the year 2554 in seconds; if the unit is another one, name the column at_s, at_ms, at_us or at_ns
    "#);
}

#[test]
fn an_absent_trace() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["run", "scenario.toml", "--set", "traffic.trace=six.csv"]), @r#"
    error: can't read `six.csv`: no such file
     --> --set:1:15
      |
    1 | traffic.trace="six.csv"
      |               ^^^^^^^^^
      |
      = help: paths are relative to the file that they are written in

    1 error
    "#);
}

#[test]
fn a_directory_as_trace() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("traces")).unwrap();
    assert_snapshot!(refused(&home, &["run", "scenario.toml", "--set", "traffic.trace=traces"]), @r#"
    error: can't read `traces`: it is a directory
     --> --set:1:15
      |
    1 | traffic.trace="traces"
      |               ^^^^^^^^
      |
      = help: paths are relative to the file that they are written in

    1 error
    "#);
}

#[test]
fn zero_traffic() {
    let home = Home::new();
    home.write("five.csv", "at,model,input_tokens,output_tokens\n");
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: five.csv: no requests
    hint: the file is empty or holds only a header; was the recording cut off?
    "#);
}

#[test]
fn a_truncated_gzip() {
    let home = Home::new();
    home.write("five.csv", truncated_gzip());
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: five.csv: can't read on after line 2,529: incomplete deflate stream
    hint: the file ends early: copy or download it again
    "#);
}

#[test]
fn binary_garbage_as_trace() {
    let home = Home::new();
    home.write("five.csv", garbage());
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: five.csv:1:2: the bytes here are not UTF-8 text
      |
    1 | ����ɸ���tcRA0�����ʹ���udSB1 ����˺���veTC2!�����...
      |  ^
    hint: write the file in UTF-8
    "#);
}

#[test]
fn an_unknown_column() {
    let home = Home::new();
    home.write("five.csv", TRACE.replace("output_tokens", "max_token"));
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: five.csv:1:27: unknown column `max_token`
      |
    1 | at,model,key,input_tokens,max_token
      |                           ^^^^^^^^^
    hint: did you mean `max_tokens`? A column that gwsim should skip starts with `x_`
    "#);
}

#[test]
fn models_that_the_gateway_lacks() {
    let home = Home::new();
    home.write("five.csv", TRACE.replace("gpt-4o,bob", "gpt-7,bob"));
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: five.csv:4:22: variant `as configured`: the traffic asks for models that the configuration doesn't have: `gpt-7` (first in line 4)
      |
    4 | 2026-11-20T09:01:00Z,gpt-7,bob,2000,50
      |                      ^^^^^
    hint: say what they ask for here, [traffic] map = { "theirs" = "ours" }, or set unknown_models = "default"
    "#);
}

#[test]
fn keys_that_the_gateway_lacks() {
    let home = Home::new();
    home.write("gateway.toml", format!("{GATEWAY}[keys.alice]\n"));
    assert_snapshot!(refused(&home, &["run", "scenario.toml"]), @r#"
    error: five.csv:4:29: variant `as configured`: the traffic has keys that the configuration doesn't have: `bob` (first in line 4)
      |
    4 | 2026-11-20T09:01:00Z,gpt-4o,bob,2000,50
      |                             ^^^
    hint: add them to the gateway, or set [traffic] unknown_keys = "add" or "default"
    "#);
}

#[test]
fn an_output_that_is_a_file() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["run", "scenario.toml", "--out", "five.csv"]), @r#"
    error: can't write five.csv/five-requests: there is a file of that name
    hint: choose another directory with --out
    "#);
}

#[test]
fn an_unwritable_converted_trace() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["trace", "convert", "five.csv", "absent/out.csv"]), @r#"
    error: absent/out.csv: can't write the trace: no such file or directory
    hint: check the path; it is relative to the directory that gwsim runs in
    "#);
}

#[test]
fn an_absent_trace_to_look_at() {
    let home = Home::new();
    assert_snapshot!(refused(&home, &["trace", "info", "six.csv"]), @r#"
    error: six.csv: can't open the trace: no such file or directory
    hint: check the path; it is relative to the directory that gwsim runs in
    "#);
}

#[test]
fn a_damaged_parquet_file() {
    let home = Home::new();
    home.write("t.csv", "at_s,input_tokens,model,block_size,prefix_blocks\n1,500,a,16,1 2 3\n2,5,b,,\n3,500,a,16,1 2\n");
    assert!(home.output(&["trace", "convert", "t.csv", "t.parquet"]).status.success());
    let whole = std::fs::read(home.path().join("t.parquet")).unwrap();
    // Bytes that the decoder panics at when they are damaged like this.
    for (place, value) in [(377, 159), (1_115, 184), (1_158, 40), (1_277, 94), (58, 94)] {
        let mut bytes = whole.clone();
        bytes[place] = value;
        home.write("t.parquet", bytes);
        let said = refused(&home, &["trace", "info", "t.parquet"]);
        assert!(said.starts_with("error: t.parquet: can't read the Parquet file: "), "{said}");
        assert!(said.ends_with("hint: is the file whole? Copy or write it again\n"), "{said}");
    }
}
