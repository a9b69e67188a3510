//! What users see when a scenario.toml, or what it names, is wrong. Each problem is shown in full.

use super::tests::{GATEWAY, check};

#[test]
fn a_missing_file_is_shown_where_it_is_named() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gatway.toml"
[traffic]
trace = "nowhere.csv"
"#,
        r#"error: can't read `gatway.toml`: no such file
 --> scenario.toml:1:11
  |
1 | gateway = "gatway.toml"
  |           ^^^^^^^^^^^^^
  |
  = help: paths are relative to the file that they are written in

error: can't read `nowhere.csv`: no such file
 --> scenario.toml:3:9
  |
3 | trace = "nowhere.csv"
  |         ^^^^^^^^^^^^^
  |
  = help: paths are relative to the file that they are written in

2 errors
"#,
    );
}

#[test]
fn what_a_variant_sets_is_shown_in_the_variant() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
[[variant]]
name = "capped"
set = { 'atempts.per_request' = 2, 'models."mini".fallbakcs' = [], 'models.mimi.tier' = 1 }
[[variant]]
name = "odd"
set = { 'attempts.per_request' = 0, 'version.x' = 1, 'a b' = 1, attempts.per_group = "2" }
"#,
        r#"error: unknown key `atempts` in gateway.toml
 --> scenario.toml:6:10
  |
6 | set = { 'atempts.per_request' = 2, 'models."mini".fallbakcs' = [], 'models.mimi.tier' = 1 }
  |          ^^^^^^^ it would have no effect
  |
  = help: did you mean `attempts`?

error: unknown key `fallbakcs` in `models.mini`
 --> scenario.toml:6:51
  |
6 | set = { 'atempts.per_request' = 2, 'models."mini".fallbakcs' = [], 'models.mimi.tier' = 1 }
  |                                                   ^^^^^^^^^ it would have no effect
  |
  = help: did you mean `fallbacks`?

error: `mimi` does not exist in `models`
 --> scenario.toml:6:76
  |
6 | set = { 'atempts.per_request' = 2, 'models."mini".fallbakcs' = [], 'models.mimi.tier' = 1 }
  |                                                                            ^^^^ a path only changes what is there
  |
  = help: did you mean `mini`? To add it, set the whole table: 'models."mimi"' = { ... }

error: `per_request` must be from 1 to 1000
 --> scenario.toml:9:34
  |
9 | set = { 'attempts.per_request' = 0, 'version.x' = 1, 'a b' = 1, attempts.per_group = "2" }
  |                                  ^
  |
  = help: for example: per_request = 1

error: unknown version of the format
 --> scenario.toml:9:38
  |
9 | set = { 'attempts.per_request' = 0, 'version.x' = 1, 'a b' = 1, attempts.per_group = "2" }
  |                                      ^^^^^^^ this gwsim reads version 1
  |
  = help: version = 1

error: not a path: `a b`
 --> scenario.toml:9:54
  |
9 | set = { 'attempts.per_request' = 0, 'version.x' = 1, 'a b' = 1, attempts.per_group = "2" }
  |                                                      ^^^^^ a path is a dotted key
  |
  = help: quote names that have dots or spaces: 'models."gpt-4.1".fallbacks'

error: `per_group` must be a whole number
 --> scenario.toml:9:86
  |
9 | set = { 'attempts.per_request' = 0, 'version.x' = 1, 'a b' = 1, attempts.per_group = "2" }
  |                                                                                      ^^^ this is a string
  |
  = help: for example: per_group = 1

7 errors
"#,
    );
}

#[test]
fn problems_of_both_files_come_together_and_once() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
strategy = "random"
"#,
        r#"gateway = "gateway.toml"
seeds = 0
[traffic]
trace = "trace.csv"
model = "mimi"
[[variant]]
name = "a"
[[variant]]
name = "b"
[[variant]]
name = "a"
[[expect]]
variant = "c"
"#,
        r#"error: `seeds` must be from 1 to 1000
 --> scenario.toml:2:9
  |
2 | seeds = 0
  |         ^
  |
  = help: for example: seeds = 1

error: variant `a` is there twice
  --> scenario.toml:11:8
   |
 7 | name = "a"
   |        --- the first
...
11 | name = "a"
   |        ^^^ the second

error: an expectation needs `cost_usd`
  --> scenario.toml:12:1
   |
12 | [[expect]]
   | ^^^^^^^^^^
   |
   = help: for example: cost_usd = { at_most = 3.00 }

error: unknown value `random` for `strategy`
 --> gateway.toml:3:12
  |
3 | strategy = "random"
  |            ^^^^^^^^
  |
  = help: write one of: weighted-shuffle, ordered, least-busy, lowest-latency, lowest-cost,
          lowest-usage

4 errors
"#,
    );
}

#[test]
fn what_comes_later_is_refused_and_not_ignored() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
litellm = "config.yaml"
[traffic]
trace = "trace.csv"
"#,
        r#"error: a LiteLLM config is not supported yet
 --> scenario.toml:2:1
  |
2 | litellm = "config.yaml"
  | ^^^^^^^
  |
  = help: write the gateway as gateway.toml: gateway = "gateway.toml"

1 error
"#,
    );
}

#[test]
fn the_world_is_checked() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
model = "mimi"
key = "nobody"
[world]
preset = "real"
[world.deployments.mini1]
limits = { rpm = 0, basis = "max" }
[world.deployments.mini-1]
script = [{ status = 200 }, { hang = true, reset = true }, { retry_after = "1s" }, { cut_after = 5, times = 200_000 }]
outages = [{ from = "10m" }]
chances = [{ share = 0.7, status = 500 }, { share = 0.4, reset = true }]
latency = "1s"
ttft = "1s"
prompt_cache = { ttl = "5m" }
[[expect]]
cost_usd = { at_most = -3 }
[[expect]]
answered = { at_least = 1.5 }
[[expect]]
p95_ms = { at_most = 3 }
"#,
        r#"error: unknown model `mimi`
 --> scenario.toml:4:9
  |
4 | model = "mimi"
  |         ^^^^^^
  |
  = help: did you mean `mini`?

error: unknown value `real` for `preset`
 --> scenario.toml:7:10
  |
7 | preset = "real"
  |          ^^^^^^
  |
  = help: write one of: ledger, realistic

error: unknown deployment `mini1`
 --> scenario.toml:8:20
  |
8 | [world.deployments.mini1]
  |                    ^^^^^
  |
  = help: did you mean `mini-1`?

error: `rpm` must be at least 1
 --> scenario.toml:9:18
  |
9 | limits = { rpm = 0, basis = "max" }
  |                  ^
  |
  = help: for example: rpm = 1

error: unknown value `max` for `basis`
 --> scenario.toml:9:29
  |
9 | limits = { rpm = 0, basis = "max" }
  |                             ^^^^^
  |
  = help: write one of: actual, max_tokens

error: `status` must be from 400 to 599
  --> scenario.toml:11:22
   |
11 | script = [{ status = 200 }, { hang = true, reset = true }, { retry_after = "1s" }, { cut_aft...
   |                      ^^^
   |
   = help: for example: status = 400

error: `reset` needs a step of its own: `hang` is there
  --> scenario.toml:11:52
   |
11 | script = [{ status = 200 }, { hang = true, reset = true }, { retry_after = "1s" }, { cut_aft...
   |                                                    ^^^^ it would have no effect

error: `retry_after` needs `status`
  --> scenario.toml:11:76
   |
11 | ...set = true }, { retry_after = "1s" }, { cut_after = 5, times = 200_000 }]
   |                                  ^^^^ it would have no effect

error: `times` must be from 1 to 100000
  --> scenario.toml:11:109
   |
11 | ...after = "1s" }, { cut_after = 5, times = 200_000 }]
   |                                             ^^^^^^^
   |
   = help: for example: times = 1

error: `world.deployments.mini-1.outages` needs `for`
  --> scenario.toml:12:12
   |
12 | outages = [{ from = "10m" }]
   |            ^^^^^^^^^^^^^^^^
   |
   = help: for example: for = "6h"

error: `share` must be at most 1 for all chances together
  --> scenario.toml:13:11
   |
13 | chances = [{ share = 0.7, status = 500 }, { share = 0.4, reset = true }]
   |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ they are more
   |
   = help: for example: share = 0.01

error: `ttft` needs no `latency`: that is the time of the whole answer
  --> scenario.toml:15:8
   |
15 | ttft = "1s"
   |        ^^^^ it would have no effect

error: `prompt_cache` needs `kind`
  --> scenario.toml:16:1
   |
16 | prompt_cache = { ttl = "5m" }
   | ^^^^^^^^^^^^
   |
   = help: for example: kind = "openai"

error: `at_most` must be a number of dollars
  --> scenario.toml:18:24
   |
18 | cost_usd = { at_most = -3 }
   |                        ^^ it is negative
   |
   = help: for example: at_most = 3.00

error: `at_least` must be a share from 0 to 1
  --> scenario.toml:20:25
   |
20 | answered = { at_least = 1.5 }
   |                         ^^^ it is above 1
   |
   = help: for example: at_least = 0.01

error: an expectation needs `cost_usd`
  --> scenario.toml:21:1
   |
21 | [[expect]]
   | ^^^^^^^^^^
   |
   = help: for example: cost_usd = { at_most = 3.00 }

error: unknown key `p95_ms` in `expect`
  --> scenario.toml:22:1
   |
22 | p95_ms = { at_most = 3 }
   | ^^^^^^ it would have no effect
   |
   = help: known here: answered, calls_of_one_request, calls_per_request, change, cost_usd,
           metastable, other_model, overspend_usd, p95, rate_limited, retries, saturated,
           undelivered_usd, variant, wasted_usd

17 errors
"#,
    );
}

#[test]
fn a_scenario_needs_a_gateway_and_traffic() {
    check(
        &[],
        GATEWAY,
        r#"name = "empty"
"#,
        r#"error: a scenario needs `gateway`
 --> scenario.toml:1:1
  |
1 | name = "empty"
  | ^
  |
  = help: for example: gateway = "gateway.toml"

error: the scenario needs `traffic`
 --> scenario.toml:1:1
  |
1 | name = "empty"
  | ^
  |
  = help: for example: traffic = { trace = "trace.csv" }

2 errors
"#,
    );
}

#[test]
fn the_command_line_is_part_of_it() {
    check(
        &["attempts.per_requst=2", "traffic.modle=mini", "seeds=0"],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
"#,
        r#"error: unknown key `per_requst` in `attempts`
 --> --set:1:10
  |
1 | attempts.per_requst=2
  |          ^^^^^^^^^^ it would have no effect
  |
  = help: did you mean `per_request`?

error: unknown key `modle` in `traffic`
 --> --set:1:9
  |
1 | traffic.modle="mini"
  |         ^^^^^ it would have no effect
  |
  = help: did you mean `model`?

error: `seeds` must be from 1 to 1000
 --> --set:1:7
  |
1 | seeds=0
  |       ^
  |
  = help: for example: seeds = 1

3 errors
"#,
    );
}

#[test]
fn a_baseline_is_one_of_the_variants() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
[world]
outcomes = "recorder"
[baseline]
variant = "as recorded"
check = true
[[variant]]
name = "as configured"
"#,
        r#"error: unknown value `recorder` for `outcomes`
 --> scenario.toml:5:12
  |
5 | outcomes = "recorder"
  |            ^^^^^^^^^^
  |
  = help: did you mean `recorded`? It is one of: model, recorded

error: unknown variant `as recorded`
 --> scenario.toml:7:11
  |
7 | variant = "as recorded"
  |           ^^^^^^^^^^^^^
  |
  = help: there are: as configured

error: unknown key `check` in `baseline`
 --> scenario.toml:8:1
  |
8 | check = true
  | ^^^^^ it would have no effect
  |
  = help: known here: variant

3 errors
"#,
    );
    let expected = r#"error: `baseline` needs `variant`
 --> --set:1:1
  |
1 | baseline={}
  | ^^^^^^^^
  |
  = help: for example: variant = "as configured"

1 error
"#;
    check(&["baseline={}"], GATEWAY, "gateway = \"gateway.toml\"\ntraffic = { trace = \"trace.csv\" }\n", expected);
    check(&["baseline=false"], GATEWAY, "gateway = \"gateway.toml\"\ntraffic = { trace = \"trace.csv\" }\n", "");
}

#[test]
fn what_to_do_about_retries_in_a_log_is_one_of_two_words() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
retries = "unlink"
"#,
        r#"error: unknown value `unlink` for `retries`
 --> scenario.toml:4:11
  |
4 | retries = "unlink"
  |           ^^^^^^^^
  |
  = help: did you mean `link`? It is one of: link, keep

1 error
"#,
    );
}
