//! What users see when a gateway.toml is wrong: each kind of problem, whole.

use std::fs;

use super::super::{Options, load_gateway};

/// Everything that is said about a gateway.toml, changed by `sets`.
#[track_caller]
fn check(sets: &[&str], text: &str, expected: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("gateway.toml");
    fs::write(&path, text).expect("a file");
    let options = Options { sets: sets.iter().map(|set| (*set).to_owned()).collect(), prices: None };
    let said = match load_gateway(&path, &options) {
        Ok(loaded) => loaded.warnings.render(false),
        Err(diagnostics) => diagnostics.render(false),
    };
    let said = said.replace(&format!("{}/", directory.path().display()), "");
    assert!(said == expected, "<<<{}\n{said}>>>END", std::thread::current().name().and_then(|name| name.rsplit(':').next()).unwrap_or_default());
}

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
  |             ^ this is not TOML

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
  | ^^^^^^^^^^^ this is not TOML

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
  = help: known here: call, idle, request, stream

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
  = help: It is not in the built-in price list of 2026-11-22; state it:
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

error: broken TOML: key with no value, expected `=`
 --> --set:1:4
  |
1 | no equals sign
  |    ^ this is not TOML

8 errors
"#,
    );
}

#[test]
fn everything_wrong_in_a_file_is_told_at_once() {
    check(
        &[],
        r#"version = 2
[models.mini]
deployments = [{ id = "a", provider = "opneai", model = "gpt-4o-mini", weigth = 3 }, { id = "a", provider = "openai", model = "gpt-4o" }]
fallbacks = ["claude"]
timeouts = { call = 30, idle = "1 parsec" }
[models.empty]
deployments = []
[attempts]
per_request = 0
retry_on = ["ratelimited", "timeout"]
backoff = { base = "-1s", when = "sometimes" }
[cache]
scope = "tenant"
sliding = "yes"
[keys.intern]
team = "frontned"
models = ["mimi"]
expires = "tomorrow"
limits = { rpm = 0, queue = { length = 5, wait = "1s" } }
[teams.frontend]
blocked = false
"#,
        r#"error: unknown version of the format
 --> gateway.toml:1:11
  |
1 | version = 2
  |           ^ this gwsim reads version 1
  |
  = help: version = 1

error: unknown provider `opneai`
 --> gateway.toml:3:39
  |
3 | deployments = [{ id = "a", provider = "opneai", model = "gpt-4o-mini", weigth = 3 }, { id = "...
  |                                       ^^^^^^^^
  |
  = help: did you mean `openai`?

error: unknown key `weigth` in `models.mini.deployments`
 --> gateway.toml:3:72
  |
3 | ...neai", model = "gpt-4o-mini", weigth = 3 }, { id = "a", provider = "openai", model = "gpt-...
  |                                  ^^^^^^ it would have no effect
  |
  = help: did you mean `weight`?

error: deployment `a` is there twice
 --> gateway.toml:3:93
  |
3 | ... = "a", provider = "opneai", model = "gpt-4o-mini", weigth = 3 }, { id = "a", provider = "...
  |       --- the first                                                         ^^^ the second

error: unknown model `claude`
 --> gateway.toml:4:14
  |
4 | fallbacks = ["claude"]
  |              ^^^^^^^^
  |
  = help: there are: mini, empty

error: `call` must be a duration with its unit
 --> gateway.toml:5:21
  |
5 | timeouts = { call = 30, idle = "1 parsec" }
  |                     ^^ this is a whole number
  |
  = help: for example: call = "30s"

error: `idle` must be a duration with its unit
 --> gateway.toml:5:32
  |
5 | timeouts = { call = 30, idle = "1 parsec" }
  |                                ^^^^^^^^^^ `parsec` is not a unit of time
  |
  = help: for example: idle = "30s"

error: model `empty` has no deployments
 --> gateway.toml:7:15
  |
7 | deployments = []
  |               ^^ nothing could answer its requests
  |
  = help: for example: deployments = [{ id = "mini-1", provider = "openai", model =
          "gpt-4o-mini" }]

error: `per_request` must be at least 1
 --> gateway.toml:9:15
  |
9 | per_request = 0
  |               ^
  |
  = help: for example: per_request = 1

error: unknown value `ratelimited` for `retry_on`
  --> gateway.toml:10:13
   |
10 | retry_on = ["ratelimited", "timeout"]
   |             ^^^^^^^^^^^^^
   |
   = help: did you mean `rate_limited`? It is one of: rate_limited, timeout, connect, internal,
           bad_gateway, unavailable, bad_request, context_window, content_policy, unauthorized,
           forbidden, not_found, conflict, cut, saturated, no_deployment

error: `base` must be a duration with its unit
  --> gateway.toml:11:20
   |
11 | backoff = { base = "-1s", when = "sometimes" }
   |                    ^^^^^ it is negative
   |
   = help: for example: base = "30s"

error: unknown value `sometimes` for `when`
  --> gateway.toml:11:34
   |
11 | backoff = { base = "-1s", when = "sometimes" }
   |                                  ^^^^^^^^^^^
   |
   = help: write one of: always, no_healthy_deployment

error: unknown value `tenant` for `scope`
  --> gateway.toml:13:9
   |
13 | scope = "tenant"
   |         ^^^^^^^^
   |
   = help: write one of: shared, team, key

error: `sliding` must be true or false
  --> gateway.toml:14:11
   |
14 | sliding = "yes"
   |           ^^^^^ this is a string
   |
   = help: for example: sliding = true

error: unknown team `frontned`
  --> gateway.toml:16:8
   |
16 | team = "frontned"
   |        ^^^^^^^^^^
   |
   = help: did you mean `frontend`?

error: unknown model `mimi`
  --> gateway.toml:17:11
   |
17 | models = ["mimi"]
   |           ^^^^^^
   |
   = help: did you mean `mini`?

error: `expires` must be a date and time with its offset
  --> gateway.toml:18:11
   |
18 | expires = "tomorrow"
   |           ^^^^^^^^^^ it is none after 1970
   |
   = help: for example: expires = 2027-01-31T00:00:00Z

error: `rpm` must be above 0
  --> gateway.toml:19:18
   |
19 | limits = { rpm = 0, queue = { length = 5, wait = "1s" } }
   |                  ^ 0 would refuse everything
   |
   = help: remove it for no limit; to stop a key: blocked = true

error: `queue` needs `concurrency`
  --> gateway.toml:19:29
   |
19 | limits = { rpm = 0, queue = { length = 5, wait = "1s" } }
   |                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^ it would have no effect

19 errors
"#,
    );
}

#[test]
fn budgets_are_checked() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[budget]
timezone = "Europe/Berlim"
global = [
  { limit = "0 USD", every = "day" },
  { limit = 500, every = "day" },
  { limit = "5 EUR", every = "fortnight", alert_at = [1.0, 0.8] },
  { limit = "5 USD", every = "month", reset = "fixed" },
  { limit = "5 USD", every = "30m", reset = "calendar" },
  { limit = "5 USD", every = "day", alert_at = [0.8, 1.2], soft = "6 USD" },
  { limit = "5 USD", every = "week" },
  { limit = "5 USD", every = "day", reset = "fixed", slices = 4 },
  { every = "total", reset = "fixed" },
  { limit = "5 USD", every = "day", reset = "fixed", mode = { estimate = { quantile = 95 } }, on_short = "clamp" },
]
"#,
        r#"error: unknown time zone `Europe/Berlim`
 --> gateway.toml:4:12
  |
4 | timezone = "Europe/Berlim"
  |            ^^^^^^^^^^^^^^^
  |
  = help: IANA names, for example: timezone = "Europe/Berlin" or "UTC"

error: `limit` must be above 0
 --> gateway.toml:6:13
  |
6 |   { limit = "0 USD", every = "day" },
  |             ^^^^^^^ 0 would refuse everything
  |
  = help: remove it for no limit; to stop a key: blocked = true

error: `limit` must be an amount with its currency
 --> gateway.toml:7:13
  |
7 |   { limit = 500, every = "day" },
  |             ^^^ this is a whole number
  |
  = help: for example: limit = "50 USD"

error: `limit` must be an amount with its currency
 --> gateway.toml:8:13
  |
8 |   { limit = "5 EUR", every = "fortnight", alert_at = [1.0, 0.8] },
  |             ^^^^^^^ it does not say `USD`
  |
  = help: for example: limit = "50 USD"

error: `every` must be hour, day, week, month, total or a duration
 --> gateway.toml:8:30
  |
8 |   { limit = "5 EUR", every = "fortnight", alert_at = [1.0, 0.8] },
  |                              ^^^^^^^^^^^ `fortnight` is none of these
  |
  = help: for example: every = "day"

error: `alert_at` must be levels above 0 in ascending order
 --> gateway.toml:8:60
  |
8 |   { limit = "5 EUR", every = "fortnight", alert_at = [1.0, 0.8] },
  |                                                            ^^^ it is not above the one before
  |
  = help: for example: alert_at = [0.8, 1.0]

error: `reset` must be "calendar" for a month
 --> gateway.toml:9:47
  |
9 |   { limit = "5 USD", every = "month", reset = "fixed" },
  |                                               ^^^^^^^ months differ in length
  |
  = help: for example: reset = "calendar", or every = "30d"

error: `reset` must be "fixed", "first_use" or "rolling" for a duration
  --> gateway.toml:10:45
   |
10 |   { limit = "5 USD", every = "30m", reset = "calendar" },
   |                                             ^^^^^^^^^^ it is no calendar period
   |
   = help: for example: reset = "fixed"

error: `alert_at` must be levels up to 1
  --> gateway.toml:11:54
   |
11 |   { limit = "5 USD", every = "day", alert_at = [0.8, 1.2], soft = "6 USD" },
   |                                                      ^^^ nothing is admitted past the limit
   |
   = help: for example: alert_at = [0.8, 1.0]

error: `slices` needs reset = "rolling"
  --> gateway.toml:13:54
   |
13 |   { limit = "5 USD", every = "day", reset = "fixed", slices = 4 },
   |                                                      ^^^^^^ it would have no effect

error: `budget.global` needs `limit`
  --> gateway.toml:14:3
   |
14 |   { every = "total", reset = "fixed" },
   |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: for example: limit = "50 USD"

error: `reset` needs a window that ends, not every = "total"
  --> gateway.toml:14:22
   |
14 |   { every = "total", reset = "fixed" },
   |                      ^^^^^ it would have no effect

error: `quantile` must be a share from 0 to 1
  --> gateway.toml:15:87
   |
15 | ...", mode = { estimate = { quantile = 95 } }, on_short = "clamp" },
   |                                        ^^ it is above 1
   |
   = help: for example: quantile = 0.5

error: `on_short` must be a table to clamp
  --> gateway.toml:15:106
   |
15 | ...le = 95 } }, on_short = "clamp" },
   |                            ^^^^^^^ how few tokens are worth a call?
   |
   = help: for example: on_short = { clamp = 16 }

14 errors
"#,
    );
}

#[test]
fn more_budgets_than_a_hold_can_carry_are_an_error() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[budget]
global = [{ limit = "9 USD", every = "day" }, { limit = "99 USD", every = "month" }]
[teams.t]
budget = [{ limit = "9 USD", every = "day" }, { limit = "99 USD", every = "month" }]
[keys.k]
team = "t"
budget = { limit = "5 USD", every = "day" }
"#,
        "error: 5 budgets apply to one request of `k`; at most 8 may, 4 of them its own
 --> gateway.toml:7:7
  |
7 | [keys.k]
  |       ^ they are held together before each call
  |
  = help: its own are those over everything, of its team, itself and their tags; then come the
          model's, the deployment's and the end user's

1 error
",
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
fn ratios_are_exact_or_refused() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
[fallback]
max_price_ratio = 1.0005
alert_share = 1.5
[attempts]
retry_budget = { ratio = 1e-1 }
[prices]
list = "2020-01-01"
discount = { opnai = 0.1, anthropic = 1.2 }
"#,
        r#"error: `max_price_ratio` must be a ratio
 --> gateway.toml:4:19
  |
4 | max_price_ratio = 1.0005
  |                   ^^^^^^ it has more than three decimals
  |
  = help: for example: max_price_ratio = 1.5

error: `alert_share` must be a share from 0 to 1
 --> gateway.toml:5:15
  |
5 | alert_share = 1.5
  |               ^^^ it is above 1
  |
  = help: for example: alert_share = 0.5

error: `ratio` must be a ratio
 --> gateway.toml:7:26
  |
7 | retry_budget = { ratio = 1e-1 }
  |                          ^^^^ `1e-1` is not a plain decimal number
  |
  = help: for example: ratio = 1.5

error: `list` must be the date of the built-in list, or a .csv or .json file
 --> gateway.toml:9:8
  |
9 | list = "2020-01-01"
  |        ^^^^^^^^^^^^ the built-in list is of 2026-11-22
  |
  = help: for example: list = "2026-11-22"

error: unknown provider `opnai`
  --> gateway.toml:10:14
   |
10 | discount = { opnai = 0.1, anthropic = 1.2 }
   |              ^^^^^
   |
   = help: did you mean `openai`?

error: `anthropic` must be a discount from 0 to below 1
  --> gateway.toml:10:39
   |
10 | discount = { opnai = 0.1, anthropic = 1.2 }
   |                                       ^^^ a discount of `1.2` leaves nothing to pay; write a share below 1, such as `0.12` for 12 %
   |
   = help: for example: anthropic = 0.12

6 errors
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
fn settings_without_effect_are_errors() {
    check(
        &[],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
strategy = { name = "ordered", buffer = 0.1 }
[fallback]
depth_max = 3
[prices]
list = "nowhere.csv"
"#,
        r#"error: unknown key `buffer` in a strategy other than lowest-latency
 --> gateway.toml:3:32
  |
3 | strategy = { name = "ordered", buffer = 0.1 }
  |                                ^^^^^^ it would have no effect
  |
  = help: known here: name

error: `depth_max` needs walk = "depth-first"
 --> gateway.toml:5:13
  |
5 | depth_max = 3
  |             ^ it would have no effect

error: can't read `nowhere.csv`: no such file
 --> gateway.toml:7:8
  |
7 | list = "nowhere.csv"
  |        ^^^^^^^^^^^^^
  |
  = help: paths are relative to the file that they are written in

3 errors
"#,
    );
}
