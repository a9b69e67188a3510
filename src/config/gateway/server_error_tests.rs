//! What users see when `[server]` or `[alerts]` of a gateway.toml are wrong. Each problem is shown in full.

use super::tests::check;

#[test]
fn a_server_that_can_not_be_started_so_and_alerts_that_go_nowhere_are_told_of_at_once() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[server]
listen = "4000"
durability = "fsync"
connect = "0s"
drain = "soon"
budget_status = 500
master_key = "sk-1234"
[alerts]
webhook = "https://example.com/in"
webhook_secret = "env:"
dedupe = 60
slak = "env:SLACK"
"#,
        r#"error: `listen` must be an address and a port
 --> gateway.toml:4:10
  |
4 | listen = "4000"
  |          ^^^^^^ it is none
  |
  = help: for example: listen = "127.0.0.1:4000"

error: unknown value `fsync` for `durability`
 --> gateway.toml:5:14
  |
5 | durability = "fsync"
  |              ^^^^^^^
  |
  = help: write one of: process, power, strict

error: `connect` must be a duration above zero
 --> gateway.toml:6:11
  |
6 | connect = "0s"
  |           ^^^^ it is zero
  |
  = help: for example: connect = "30s"

error: `drain` must be a duration with its unit
 --> gateway.toml:7:9
  |
7 | drain = "soon"
  |         ^^^^^^ `soon` is not a unit of time
  |
  = help: for example: drain = "30s"

error: `budget_status` must be from 400 to 499
 --> gateway.toml:8:17
  |
8 | budget_status = 500
  |                 ^^^
  |
  = help: for example: budget_status = 400

error: `master_key` must say where the secret is
 --> gateway.toml:9:14
  |
9 | master_key = "sk-1234"
  |              ^^^^^^^^^ secrets don't belong in this file
  |
  = help: name an environment variable or a file: master_key = "env:NAME" or "file:PATH"

error: `webhook` must say where the secret is
  --> gateway.toml:11:11
   |
11 | webhook = "https://example.com/in"
   |           ^^^^^^^^^^^^^^^^^^^^^^^^ secrets don't belong in this file
   |
   = help: name an environment variable or a file: webhook = "env:NAME" or "file:PATH"

error: `webhook_secret` must say where the secret is
  --> gateway.toml:12:18
   |
12 | webhook_secret = "env:"
   |                  ^^^^^^ secrets don't belong in this file
   |
   = help: name an environment variable or a file: webhook_secret = "env:NAME" or "file:PATH"

error: `dedupe` must be a duration with its unit
  --> gateway.toml:13:10
   |
13 | dedupe = 60
   |          ^^ this is a whole number
   |
   = help: for example: dedupe = "30s"

error: unknown key `slak` in `alerts`
  --> gateway.toml:14:1
   |
14 | slak = "env:SLACK"
   | ^^^^ it would have no effect
   |
   = help: did you mean `slack`?

10 errors
"#,
    );
}

#[test]
fn a_signature_that_nobody_gets_is_an_error() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[alerts]
slack = "env:SLACK"
webhook_secret = "env:SECRET"
"#,
        r#"error: `webhook_secret` needs webhook
 --> gateway.toml:5:18
  |
5 | webhook_secret = "env:SECRET"
  |                  ^^^^^^^^^^^^ it would have no effect

1 error
"#,
    );
}
