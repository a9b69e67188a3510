//! `[clients]`: what is read, and what users see when it is wrong.

use super::tests::{GATEWAY, check, loaded};
use crate::gateway::time::Span;
use crate::sim::client::{Habits, OnFailure};
use crate::traffic::distribution::Distribution;
use crate::traffic::sdk::{Beyond, Sdk};

fn habits(clients: &str) -> Habits {
    let text = format!(
        "gateway = \"gateway.toml\"\ntraffic = {{ trace = \"trace.csv\" }}\n[clients]\n{clients}[[variant]]\nname = \"a\"\n[[variant]]\nname = \"b\"\n"
    );
    let scenario = loaded(&[], GATEWAY, &text);
    let [a, b] = scenario.variants.as_slice() else { panic!("two variants") };
    assert_eq!(a.clients.habits, b.clients.habits, "variants are compared on the same clients");
    a.clients.habits.clone()
}

#[test]
fn clients_do_what_the_section_says_and_nothing_without_it() {
    let plain = loaded(&[], GATEWAY, "gateway = \"gateway.toml\"\ntraffic = { trace = \"trace.csv\" }\n");
    assert_eq!(plain.variants[0].clients.habits, Habits::default());
    assert_eq!(habits(""), Habits::default());
    assert_eq!(habits("sdk = false\nclosed_loop = false\n"), Habits::default());
    assert_eq!(habits("sdk = \"openai\"\n").sdk, Some(Sdk::OPENAI));
    let own = "sdk = { like = \"anthropic\", retries = 5, timeout = \"30s\", backoff = { base = \"1s\", jitter = 0.5 }, beyond_retry_after_max = \"give_up\" }\n";
    let expected =
        Sdk { retries: 5, timeout: Span::from_secs(30), base: Span::SECOND, jitter_per_mille: 500, beyond: Beyond::GivesUp, ..Sdk::ANTHROPIC };
    assert_eq!(habits(own).sdk, Some(expected));
    let rest = habits("patience = { p50 = \"20s\", p95 = \"2m\" }\nabandons = 0.025\nclosed_loop = true\nbudget_status = 429\n");
    let expected = Habits {
        sdk: None,
        patience: Some(Distribution::lognormal(20e9, 120e9)),
        abandons_per_million: 25_000,
        closed_loop: Some(OnFailure::Continue),
        budget_status: 429,
    };
    assert_eq!(rest, expected);
    assert_eq!(habits("closed_loop = true\non_failure = \"stop\"\n").closed_loop, Some(OnFailure::Stop));
}

#[test]
fn the_command_line_reaches_clients() {
    let text = "gateway = \"gateway.toml\"\ntraffic = { trace = \"trace.csv\" }\nclients = { sdk = \"openai\" }\n";
    let scenario = loaded(&["clients.sdk=anthropic", "clients.abandons=0.1"], GATEWAY, text);
    let habits = &scenario.variants[0].clients.habits;
    assert_eq!((habits.sdk, habits.abandons_per_million), (Some(Sdk::ANTHROPIC), 100_000));
}

#[test]
fn clients_are_checked() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
[clients]
sdk = { retries = 70_000, timeout = "0s" }
patience = { p50 = "20s" }
abandons = 5
budget_status = 200
on_failure = "stop"
pateince = "3s"
"#,
        r#"error: `clients.sdk` needs `like`
 --> scenario.toml:5:1
  |
5 | sdk = { retries = 70_000, timeout = "0s" }
  | ^^^
  |
  = help: for example: like = "openai"

error: `retries` must be from 0 to 65535
 --> scenario.toml:5:19
  |
5 | sdk = { retries = 70_000, timeout = "0s" }
  |                   ^^^^^^
  |
  = help: for example: retries = 1

error: `timeout` must be a duration above zero
 --> scenario.toml:5:37
  |
5 | sdk = { retries = 70_000, timeout = "0s" }
  |                                     ^^^^ it is zero
  |
  = help: for example: timeout = "30s"

error: `patience` must be lognormal, by p50 and p95, or p50 and p90, or mean and cv
 --> scenario.toml:6:12
  |
6 | patience = { p50 = "20s" }
  |            ^^^^^^^^^^^^^^^ it states p50
  |
  = help: for example: patience = { p50 = "150ms", p95 = "400ms" }

error: `abandons` must be a share from 0 to 1
 --> scenario.toml:7:12
  |
7 | abandons = 5
  |            ^ it is above 1
  |
  = help: for example: abandons = 0.01

error: `budget_status` must be from 400 to 599
 --> scenario.toml:8:17
  |
8 | budget_status = 200
  |                 ^^^
  |
  = help: for example: budget_status = 400

error: `on_failure` needs `closed_loop = true`
 --> scenario.toml:9:14
  |
9 | on_failure = "stop"
  |              ^^^^^^ it would have no effect

error: unknown key `pateince` in `clients`
  --> scenario.toml:10:1
   |
10 | pateince = "3s"
   | ^^^^^^^^ it would have no effect
   |
   = help: did you mean `patience`?

8 errors
"#,
    );
}

#[test]
fn a_library_is_one_that_is_known() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
[clients]
sdk = "opneai"
closed_loop = "sessions"
[[variant]]
name = "a"
set = { 'clients.sdk' = "openai" }
"#,
        r#"error: unknown value `opneai` for `sdk`
 --> scenario.toml:5:7
  |
5 | sdk = "opneai"
  |       ^^^^^^^^
  |
  = help: did you mean `openai`? It is one of: openai, anthropic

error: `closed_loop` must be true or false
 --> scenario.toml:6:15
  |
6 | closed_loop = "sessions"
  |               ^^^^^^^^^^ this is a string
  |
  = help: for example: closed_loop = true

error: unknown key `clients` in gateway.toml
 --> scenario.toml:9:10
  |
9 | set = { 'clients.sdk' = "openai" }
  |          ^^^^^^^ it would have no effect
  |
  = help: known here: alerts, attempts, breaker, budget, cache, cooldown, deployments,
          end_users, fallback, keys, limits, loop_detector, max_tokens, models, pick, prices,
          providers, server, strategy, stream, tags, teams, timeouts, version

3 errors
"#,
    );
}

#[test]
fn a_logs_retries_beside_a_librarys_own_are_warned_of() {
    let text = |retries: &str, clients: &str| {
        format!("gateway = \"gateway.toml\"\n[traffic]\ntrace = \"trace.csv\"\nretries = \"{retries}\"\n[clients]\n{clients}")
    };
    check(
        &[],
        GATEWAY,
        &text("keep", "sdk = \"openai\"\n"),
        r#"warning: retries count twice
 --> scenario.toml:4:11
  |
4 | retries = "keep"
  |           ^^^^^^ the log's are replayed, and `[clients] sdk` makes its own
  |
  = help: leave it at `retries = "link"`, or take `sdk` out of [clients]

1 warning
"#,
    );
    for (retries, clients) in [("link", "sdk = \"openai\"\n"), ("keep", ""), ("keep", "sdk = { like = \"openai\", retries = 0 }\n")] {
        check(&[], GATEWAY, &text(retries, clients), "");
    }
}
