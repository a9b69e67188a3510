//! What users see when values of a gateway.toml are wrong. Each problem is shown in full.

use super::tests::check;

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

error: `per_request` must be from 1 to 1000
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
        "error: 5 budgets apply to every request of `k`; at most 4 may
 --> gateway.toml:7:7
  |
7 | [keys.k]
  |       ^ all are held together before each call
  |
  = help: those over everything, of the team, of the key and of their tags are counted: remove
          some

1 error
",
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

#[test]
fn how_a_journal_is_kept_is_checked() {
    check(
        &[],
        r#"version = 1
[models.mini]
deployments = [{ id = "a", provider = "openai", model = "gpt-4o-mini" }]
[server]
journal = "journal"
journal_segment = "64 KiB"
journal_retention = "0s"
durability = "eventual"
"#,
        r#"error: `journal_segment` must be at least 1 MiB
 --> gateway.toml:6:19
  |
6 | journal_segment = "64 KiB"
  |                   ^^^^^^^^ it is less
  |
  = help: for example: journal_segment = "16 MiB"

error: `journal_retention` must be a duration above zero
 --> gateway.toml:7:21
  |
7 | journal_retention = "0s"
  |                     ^^^^ it is zero
  |
  = help: for example: journal_retention = "30s"

error: unknown value `eventual` for `durability`
 --> gateway.toml:8:14
  |
8 | durability = "eventual"
  |              ^^^^^^^^^^
  |
  = help: write one of: process, power, strict

3 errors
"#,
    );
}
