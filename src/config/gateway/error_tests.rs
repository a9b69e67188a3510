//! What users see when a gateway.toml is wrong as a whole: syntax, names, prices, paths. Each problem is shown in full.

use super::tests::check;

#[test]
fn broken_toml_is_shown_where_it_breaks() {
    check(
        &[],
        r#"version = 1
[models.mini
strategy = "ordered
"#,
        "error: broken TOML: unclosed table, expected `]`
 --> gateway.toml:2:13
  |
2 | [models.mini
  |             ^ TOML does not allow this

1 error
",
    );
}

#[test]
fn a_key_written_twice_is_an_error() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[attempts]
per_request = 4
per_request = 5
"#,
        "error: broken TOML: duplicate key
 --> gateway.toml:5:1
  |
5 | per_request = 5
  | ^^^^^^^^^^^ TOML does not allow this

1 error
",
    );
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
falbacks = ["other"]
"#,
        r#"error: unknown key `falbacks` in `models.mini`
 --> gateway.toml:3:1
  |
3 | falbacks = ["other"]
  | ^^^^^^^^ it would have no effect
  |
  = help: did you mean `fallbacks`?

1 error
"#,
    );
}

#[test]
fn a_key_that_resembles_nothing_lists_what_is_known() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[retry_rules]
[timeouts]
banana = "1s"
"#,
        r#"error: unknown key `retry_rules` in gateway.toml
 --> gateway.toml:3:2
  |
3 | [retry_rules]
  |  ^^^^^^^^^^^ it would have no effect
  |
  = help: known here: alerts, attempts, breaker, budget, cache, cooldown, deployments,
          end_users, fallback, keys, limits, loop_detector, max_tokens, models, pick, prices,
          providers, server, strategy, stream, tags, teams, timeouts, version

error: unknown key `banana` in `timeouts`
 --> gateway.toml:5:1
  |
5 | banana = "1s"
  | ^^^^^^ it would have no effect
  |
  = help: known here: call, first_byte, idle, request, stream

2 errors
"#,
    );
}

#[test]
fn a_model_without_a_price_is_never_free() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "a", provider = "openai", model = "gpt-4o-mnii" }]
[models.own]
deployments = [{ id = "b", provider = "openai", model = "in-house-llm-v7" }]
"#,
        r#"error: no price for `gpt-4o-mnii`
 --> gateway.toml:2:57
  |
2 | deployments = [{ id = "a", provider = "openai", model = "gpt-4o-mnii" }]
  |                                                         ^^^^^^^^^^^^^ it will not be taken as free
  |
  = help: did you mean `gpt-4o-mini` or `gpt-4o` or `azure/gpt-4o-mini`?
          It is not in the built-in price list of 2026-11-22; state it:
          [prices.models."gpt-4o-mnii"] with input and output, in USD per million tokens

error: no price for `in-house-llm-v7`
 --> gateway.toml:4:57
  |
4 | deployments = [{ id = "b", provider = "openai", model = "in-house-llm-v7" }]
  |                                                         ^^^^^^^^^^^^^^^^^ it will not be taken as free
  |
  = help: it is not in the built-in price list of 2026-11-22; state it:
          [prices.models."in-house-llm-v7"] with input and output, in USD per million tokens

2 errors
"#,
    );
}

#[test]
fn a_negative_rate_is_an_error() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[prices.models.own]
input = -2.50
output = 10.00
"#,
        "error: `input` is not a price: `-2.50` is negative; a price or an amount is zero or more
 --> gateway.toml:4:9
  |
4 | input = -2.50
  |         ^^^^^
  |
  = help: USD per million tokens, for example: input = 2.50

1 error
",
    );
}

#[test]
fn a_fallback_cycle_is_named_with_its_fix() {
    check(
        &[],
        r#"[models.a]
deployments = [{ id = "a-1", provider = "openai", model = "gpt-4o-mini" }]
fallbacks = ["b"]
[models.b]
deployments = [{ id = "b-1", provider = "openai", model = "gpt-4o" }]
fallbacks = ["c"]
[models.c]
deployments = [{ id = "c-1", provider = "anthropic", model = "claude-3-haiku" }]
fallbacks = ["a", "c"]
"#,
        r#"error: fallback cycle: a -> b -> c -> a
 --> gateway.toml:9:14
  |
9 | fallbacks = ["a", "c"]
  |              ^^^ a request can't be helped by what has just failed
  |
  = help: remove `a` from the fallbacks of `c`

error: fallback cycle: c -> c
 --> gateway.toml:9:19
  |
9 | fallbacks = ["a", "c"]
  |                   ^^^ a request can't be helped by what has just failed
  |
  = help: remove `c` from the fallbacks of `c`

2 errors
"#,
    );
}

#[test]
fn a_set_of_an_unknown_path_names_the_nearest_one() {
    check(
        &[
            "atempts.per_request=2",
            "attempts.per_requests=2",
            "models.mimi.fallbacks=[]",
            "models.mini.strategy.x=1",
            "models.mini.deployments.9.weight=1",
            "attempts.per_request=many",
            "no equals sign",
        ],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
"#,
        r#"error: unknown key `atempts` in gateway.toml
 --> --set:1:1
  |
1 | atempts.per_request=2
  | ^^^^^^^ it would have no effect
  |
  = help: did you mean `attempts`?

error: unknown key `per_requests` in `attempts`
 --> --set:1:10
  |
1 | attempts.per_requests=2
  |          ^^^^^^^^^^^^ it would have no effect
  |
  = help: did you mean `per_request`?

error: `mimi` does not exist in `models`
 --> --set:1:8
  |
1 | models.mimi.fallbacks=[]
  |        ^^^^ a path only changes what is there
  |
  = help: did you mean `mini`? To add it, set the whole table: 'models."mimi"' = { ... }

error: `models.mini.strategy` needs `name`
 --> --set:1:13
  |
1 | models.mini.strategy.x=1
  |             ^^^^^^^^
  |
  = help: for example: name = "lowest-latency"

error: unknown key `x` in `models.mini.strategy`
 --> --set:1:22
  |
1 | models.mini.strategy.x=1
  |                      ^ it would have no effect
  |
  = help: known here: buffer, name

error: no such setting: the list has no element `9`
 --> --set:1:25
  |
1 | models.mini.deployments.9.weight=1
  |                         ^
  |
  = help: elements are named by their id or counted from 0; the list has 1

error: `per_request` must be a whole number
 --> --set:1:22
  |
1 | attempts.per_request="many"
  |                      ^^^^^^ this is a string
  |
  = help: for example: per_request = 1

error: `--set` needs PATH=VALUE
 --> --set:1:1
  |
1 | no equals sign
  | ^^^^^^^^^^^^^^ the value is missing
  |
  = help: for example: --set cache.ttl=5m

8 errors
"#,
    );
}

#[test]
fn a_call_has_room_for_two_budgets_of_its_model_and_deployment() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
budget = [{ limit = "9 USD", every = "day" }, { limit = "99 USD", every = "month" }]
[models.b]
deployments = [{ id = "b-1", provider = "openai", model = "gpt-4o", budget = { limit = "9 USD", every = "day" } }]
budget = [{ limit = "9 USD", every = "day" }, { limit = "99 USD", every = "month" }]
[tags.a]
budget = [{ limit = "9 USD", every = "day" }, { limit = "99 USD", every = "month" }]
"#,
        r#"error: 3 budgets of `b` and one of its deployments; at most 2 may apply to one call
 --> gateway.toml:6:10
  |
6 | budget = [{ limit = "9 USD", every = "day" }, { limit = "99 USD", every = "month" }]
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ all are held together before each call
  |
  = help: remove some, or put one over everything: [budget] global = [...]

error: 2 budgets of one tag or end user; at most 1 may apply to one call
 --> gateway.toml:8:10
  |
8 | budget = [{ limit = "9 USD", every = "day" }, { limit = "99 USD", every = "month" }]
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ all are held together before each call
  |
  = help: remove some, or put one over everything: [budget] global = [...]

2 errors
"#,
    );
}

#[test]
fn secrets_do_not_belong_in_the_file() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[providers.mine]
key = "sk-1234"
base_url = "localhost"
[alerts]
slack = "hook"
"#,
        r#"error: provider `mine` needs `api`
 --> gateway.toml:3:12
  |
3 | [providers.mine]
  |            ^^^^
  |
  = help: for example: api = "openai"

error: `key` must say where the secret is
 --> gateway.toml:4:7
  |
4 | key = "sk-1234"
  |       ^^^^^^^^^ secrets don't belong in this file
  |
  = help: name an environment variable or a file: key = "env:NAME" or "file:PATH"

error: `base_url` must be an address
 --> gateway.toml:5:12
  |
5 | base_url = "localhost"
  |            ^^^^^^^^^^^ it does not start with https://
  |
  = help: for example: base_url = "https://api.openai.com/v1"

error: `slack` must say where the secret is
 --> gateway.toml:7:9
  |
7 | slack = "hook"
  |         ^^^^^^ secrets don't belong in this file
  |
  = help: name an environment variable or a file: slack = "env:NAME" or "file:PATH"

4 errors
"#,
    );
}

#[test]
fn odd_but_usable_settings_are_warnings() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[deployments.spare]
provider = "openai"
model = "gpt-4o"
[attempts]
per_request = 2
per_group = 5
[providers.openai]
key = "plain"
"#,
        r#"warning: deployment `spare` is not used by any model
 --> gateway.toml:3:14
  |
3 | [deployments.spare]
  |              ^^^^^

warning: `per_group` is above `per_request`
 --> gateway.toml:8:13
  |
8 | per_group = 5
  |             ^ `per_request` ends the request first

error: `key` must say where the secret is
  --> gateway.toml:10:7
   |
10 | key = "plain"
   |       ^^^^^^^ secrets don't belong in this file
   |
   = help: name an environment variable or a file: key = "env:NAME" or "file:PATH"

1 error, 2 warnings
"#,
    );
}

#[test]
fn headers_are_checked_before_they_are_sent_and_key_secrets_stay_outside() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[providers.openai]
api_version = ""
headers = { host = "elsewhere", "x y" = "1", "OpenAI-Organization" = "org\u0007", "x-right" = "env:RIGHT" }
[keys.ci]
secret = "sk-1234"
"#,
        r#"error: `api_version` must be a name
 --> gateway.toml:4:15
  |
4 | api_version = ""
  |               ^^ it is empty
  |
  = help: for example: api_version = "name"

error: `host` must be the name of a header
 --> gateway.toml:5:13
  |
5 | headers = { host = "elsewhere", "x y" = "1", "OpenAI-Organization" = "org\u0007", "x-right" =...
  |             ^^^^ gwsim sets it itself
  |
  = help: for example: host = "..."

error: `x y` must be the name of a header
 --> gateway.toml:5:33
  |
5 | headers = { host = "elsewhere", "x y" = "1", "OpenAI-Organization" = "org\u0007", "x-right" =...
  |                                 ^^^^^ it has characters that a header's name can't have
  |
  = help: for example: x y = "..."

error: `OpenAI-Organization` must be the text of a header
 --> gateway.toml:5:70
  |
5 | ...nAI-Organization" = "org\u0007", "x-right" = "env:RIGHT" }
  |                        ^^^^^^^^^^^ it is empty or has control characters
  |
  = help: for example: OpenAI-Organization = "org-4711"

error: `secret` must say where the secret is
 --> gateway.toml:7:10
  |
7 | secret = "sk-1234"
  |          ^^^^^^^^^ secrets don't belong in this file
  |
  = help: name an environment variable or a file: secret = "env:NAME" or "file:PATH"

5 errors
"#,
    );
}
