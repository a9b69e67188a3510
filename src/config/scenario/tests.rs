use std::fs;
use std::path::Path;

use proptest::prelude::ProptestConfig;
use proptest::{prop_assert, proptest};

use super::super::diagnostic::Diagnostics;
use super::super::{Checked, Loaded, Options, load_either, load_scenario};
use super::{Bound, Expectation, Scenario};
use crate::gateway::command::Command;
use crate::gateway::money::Money;
use crate::gateway::time::Span;
use crate::sim::client::UnknownKey;
use crate::sim::world::{Answer, Basis, Counted, Pace, Visible};

const GATEWAY: &str = r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
"#;

fn load(directory: &Path, sets: &[&str], gateway: &str, text: &str) -> Result<Loaded<Scenario>, Diagnostics> {
    fs::write(directory.join("gateway.toml"), gateway).expect("a file");
    fs::write(directory.join("trace.csv"), "").expect("a file");
    let path = directory.join("scenario.toml");
    fs::write(&path, text).expect("a file");
    load_scenario(&path, &Options { sets: sets.iter().map(|set| (*set).to_owned()).collect(), prices: None })
}

fn loaded(sets: &[&str], gateway: &str, text: &str) -> Scenario {
    let directory = tempfile::tempdir().expect("a directory");
    load(directory.path(), sets, gateway, text).unwrap_or_else(|diagnostics| panic!("{diagnostics}")).value
}

/// Everything that is said about a scenario.toml beside `gateway` and an empty trace.csv.
#[track_caller]
fn check(sets: &[&str], gateway: &str, text: &str, expected: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let said = match load(directory.path(), sets, gateway, text) {
        Ok(loaded) => loaded.warnings.render(false),
        Err(diagnostics) => diagnostics.render(false),
    };
    let said = said.replace(&format!("{}/", directory.path().display()), "");
    assert!(said == expected, "<<<{}\n{said}>>>END", std::thread::current().name().and_then(|name| name.rsplit(':').next()).unwrap_or_default());
}

#[test]
fn a_scenario_becomes_variants_with_their_worlds() {
    let scenario = loaded(
        &["cache.ttl=5m", "seed=7"],
        GATEWAY,
        r#"gateway = "gateway.toml"
seeds = 3
[traffic]
trace = "trace.csv"
model = "mini"
map = { "gpt-4o" = "mini" }
[world]
preset = "ledger"
[world.models.mini]
ttft = "300ms"
tokens_per_second = 80
[world.providers.openai]
ttft = "100ms"
limits = { rpm = 500, tpm = 200_000, window = "start" }
[world.deployments.mini-1]
limits = { rpm = 60, basis = "max_tokens" }
script = [{ status = 429, retry_after = "2s", times = 2 }, { hang = "5s" }, { reset = true }, { cut_after = 5 }]
outages = [{ from = "10m", for = "6h", status = 429 }]
prompt_cache = { kind = "anthropic", ttl = "10m", visible = "first_token" }
billing = { cancel_lag_tokens = 40 }
[[variant]]
name = "as configured"
[[variant]]
name = "capped"
set = { 'attempts.per_request' = 2, 'models."mini".max_tokens' = { cap = 100 }, attempts.backoff.max = "4s" }
[[expect]]
variant = "capped"
cost_usd = { at_most = 3.00 }
answered = { at_least = 0.995 }
"#,
    );
    assert_eq!(scenario.name, "scenario");
    assert_eq!(scenario.seeds, [7, 8, 9]);
    assert_eq!(scenario.traffic.models, [("gpt-4o".to_owned(), "mini".to_owned())]);
    let [configured, capped] = scenario.variants.as_slice() else { panic!("two variants") };
    let caps = |variant: &super::ScenarioVariant| {
        let model = &variant.gateway.plan.models[0];
        (model.attempts.per_request, model.max_tokens.cap, model.backoff.max, model.cache.map(|cache| cache.ttl))
    };
    assert_eq!(caps(configured), (4, None, Span::from_secs(8), Some(Span::from_secs(300))));
    assert_eq!(caps(capped), (2, Some(100), Span::from_secs(4), Some(Span::from_secs(300))));
    assert_eq!(configured.world, capped.world);
    let world = &configured.world.deployments[0];
    assert_eq!(world.pace, Pace::tokens_per_second(Span::from_millis(300), 80), "the model's comes after the provider's");
    let limiter = world.limiter.as_ref().expect("limits");
    let limits: Vec<_> = limiter.limits.iter().map(|limit| (limit.counts, limit.amount)).collect();
    assert_eq!(limits, [(Counted::TotalTokens, 200_000), (Counted::Requests, 60)], "the deployment's rpm replaces the provider's");
    assert_eq!((limiter.basis, limiter.rejects_count), (Basis::MaxTokens { unstated: 16 }, false));
    let answers: Vec<Answer> = world.steps.iter().map(|step| step.answer).collect();
    assert!(matches!(
        answers[..],
        [Answer::Status { status: 429, .. }, Answer::Status { .. }, Answer::Hang(_), Answer::Broken, Answer::Cut { chunks: 5 }]
    ));
    assert_eq!(world.outages[0].lasts, Span::from_secs(6 * 3600));
    assert_eq!(world.prompt_cache.map(|cache| (cache.ttl, cache.visible)), Some((Span::from_secs(600), Visible::FirstToken)));
    assert_eq!(world.billing.cancel_lag_tokens, 40);
    let expected = [Bound::CostAtMost(Money::usd(3)), Bound::AnsweredAtLeast { per_million: 995_000 }];
    assert_eq!(scenario.expectations, expected.map(|bound| Expectation { variant: Some("capped".into()), bound }));
}

#[test]
fn a_gateway_without_keys_gets_one_and_takes_those_of_the_traffic() {
    let scenario = loaded(&[], GATEWAY, "gateway = \"gateway.toml\"\ntraffic = { trace = \"trace.csv\" }\n");
    let [variant] = scenario.variants.as_slice() else { panic!("one variant") };
    assert_eq!(variant.name, "as configured");
    assert_eq!(variant.clients.default_key.as_deref(), Some("default"));
    assert_eq!(variant.clients.default_model.as_deref(), Some("mini"));
    assert!(matches!(variant.clients.unknown_key, UnknownKey::Add(_)));
    assert!(matches!(variant.gateway.commands.as_slice(), [Command::PutKey { name, .. }] if name == "default"));
}

#[test]
fn a_gateway_may_stand_in_the_scenario() {
    let text = format!("[traffic]\ntrace = \"trace.csv\"\n{}", GATEWAY.replace("[models", "[gateway.models"));
    assert_eq!(loaded(&[], "", &text).variants[0].gateway.plan.models[0].name, "mini");
}

#[test]
fn a_file_is_told_by_its_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    let scenario = load(directory.path(), &[], GATEWAY, "gateway = \"gateway.toml\"\ntraffic = { trace = \"trace.csv\" }\n");
    assert!(scenario.is_ok());
    let kind = |file: &str| load_either(&directory.path().join(file), &Options::default()).map(|loaded| loaded.value);
    assert!(matches!(kind("scenario.toml"), Ok(Checked::Scenario(_))));
    assert!(matches!(kind("gateway.toml"), Ok(Checked::Gateway(_))));
    assert!(kind("nothing.toml").is_err_and(|diagnostics| diagnostics.render(false).contains("no such file")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is cut out of or put into a scenario, it is loaded or refused with a rendered reason.
    #[test]
    fn no_scenario_panics(cut in 0_usize..600, length in 0_usize..40, put in "[\\[\\]{}=\"'.,a-z0-9 \n-]{0,12}") {
        let text = "gateway = \"gateway.toml\"\nseeds = 2\n[traffic]\ntrace = \"trace.csv\"\nstream = true\n[world]\npreset = \"ledger\"\n\
            [world.deployments.mini-1]\nscript = [{ status = 429, times = 3 }, { hang = true }]\nlimits = { rpm = 5, window = \"start\" }\n\
            outages = [{ from = \"1m\", for = \"2m\" }]\n[[variant]]\nname = \"a\"\nset = { 'attempts.per_request' = 2 }\n\
            [[expect]]\nvariant = \"a\"\ncost_usd = { at_most = 3.00 }\n";
        let start = cut.min(text.len());
        let end = (start + length).min(text.len());
        let directory = tempfile::tempdir().expect("a directory");
        let broken = format!("{}{put}{}", &text[..start], &text[end..]);
        if let Err(diagnostics) = load(directory.path(), &[], GATEWAY, &broken) {
            prop_assert!(diagnostics.has_errors(), "refused without a reason: {broken}");
            prop_assert!(!diagnostics.render(true).is_empty());
        }
    }
}

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

error: `per_request` must be at least 1
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
stream = 0.8
overlay = { keys = 40 }
[world]
outcomes = "recorded"
[world.models.mini]
ttft = { p50 = "150ms", p95 = "400ms" }
[[tokens]]
from = "gpt-4o*"
[sweep]
'cache.ttl' = ["0s", "1m"]
"#,
        r#"error: a LiteLLM config is not supported yet
 --> scenario.toml:2:1
  |
2 | litellm = "config.yaml"
  | ^^^^^^^
  |
  = help: write the gateway as gateway.toml: gateway = "gateway.toml"

error: a share of streams is not supported yet
 --> scenario.toml:5:10
  |
5 | stream = 0.8
  |          ^^^
  |
  = help: write stream = true or stream = false for rows that don't say

error: an overlay is not supported yet
 --> scenario.toml:6:1
  |
6 | overlay = { keys = 40 }
  | ^^^^^^^
  |
  = help: remove it, or write its columns into the trace

error: outcomes = "recorded" is not supported yet
 --> scenario.toml:8:12
  |
8 | outcomes = "recorded"
  |            ^^^^^^^^^^
  |
  = help: write outcomes = "model"

error: a distribution is not supported yet
  --> scenario.toml:10:8
   |
10 | ttft = { p50 = "150ms", p95 = "400ms" }
   |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: write a duration, which is then always the same: ttft = "300ms"

error: a ratio of token counts between models is not supported yet
  --> scenario.toml:11:3
   |
11 | [[tokens]]
   |   ^^^^^^
   |
   = help: remove it: every model counts alike

error: [sweep] is not supported yet
  --> scenario.toml:13:2
   |
13 | [sweep]
   |  ^^^^^
   |
   = help: write one [[variant]] with a `set` for each value

7 errors
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
   = help: known here: answered, cost_usd, variant

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
