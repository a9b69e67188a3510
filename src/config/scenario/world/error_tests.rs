//! What users see when the incidents, places and presets of a world are wrong.

use super::super::tests::{GATEWAY, check};

#[test]
fn incidents_places_and_presets_are_checked() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
[world]
preset = "openai"
ttft = { p50 = "2s", p95 = "1s" }
prefill_tokens_per_second = 0
[world.providers.openai]
preset = "opnai"
outages = { every = "1h", for = { p50 = "30m", p95 = "5h" }, from = "1m" }
brownouts = [{ from = "10m", for = "1h" }, { from = "10m", for = "1h", slower = 0.5 }]
bursts = { every = "1h" }
limits = { queue = { wait = "1s" }, busy_status = 200, day_starts = "midnight" }
"#,
        r#"error: `preset` must be ledger or realistic here
 --> scenario.toml:5:10
  |
5 | preset = "openai"
  |          ^^^^^^^^ this is one of a provider
  |
  = help: for example: preset = "realistic", and the other in [world.providers.NAME]

error: `p95` must be above `p50`
 --> scenario.toml:6:28
  |
6 | ttft = { p50 = "2s", p95 = "1s" }
  |                            ^^^^ it is not; a value that never varies is written alone
  |
  = help: for example: p95 = "1s"

error: `prefill_tokens_per_second` must be at least 1
 --> scenario.toml:7:29
  |
7 | prefill_tokens_per_second = 0
  |                             ^
  |
  = help: for example: prefill_tokens_per_second = 1

error: unknown value `opnai` for `preset`
 --> scenario.toml:9:10
  |
9 | preset = "opnai"
  |          ^^^^^^^
  |
  = help: did you mean `openai`? It is one of: openai, openai-tier-1, openai-tier-2,
          openai-tier-3, openai-tier-4, openai-tier-5, azure, anthropic, anthropic-tier-1,
          anthropic-tier-2, anthropic-tier-3, anthropic-tier-4, bedrock, gemini, fireworks,
          deepseek, xai, cerebras, together, deepinfra, cohere, groq, mistral, perplexity

error: `for` must be shorter than `every`
  --> scenario.toml:10:33
   |
10 | outages = { every = "1h", for = { p50 = "30m", p95 = "5h" }, from = "1m" }
   |                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^ its mean is 4795s
   |
   = help: for example: for = "10m"

error: `from` needs no `every`: drawn times begin when they begin
  --> scenario.toml:10:69
   |
10 | outages = { every = "1h", for = { p50 = "30m", p95 = "5h" }, from = "1m" }
   |                                                                     ^^^^ it would have no effect

error: `world.providers.openai.brownouts` needs `slower`
  --> scenario.toml:11:14
   |
11 | brownouts = [{ from = "10m", for = "1h" }, { from = "10m", for = "1h", slower = 0.5 }]
   |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: for example: slower = 3

error: `slower` must be at least 1
  --> scenario.toml:11:81
   |
11 | brownouts = [{ from = "10m", for = "1h" }, { from = "10m", for = "1h", slower = 0.5 }]
   |                                                                                 ^^^ that would be faster
   |
   = help: for example: slower = 3

error: `world.providers.openai.bursts` needs `for`
  --> scenario.toml:12:1
   |
12 | bursts = { every = "1h" }
   | ^^^^^^
   |
   = help: for example: for = { p50 = "75m", p95 = "7h" }

error: `world.providers.openai.bursts` needs `share`
  --> scenario.toml:12:1
   |
12 | bursts = { every = "1h" }
   | ^^^^^^
   |
   = help: for example: share = 0.5

error: `world.providers.openai.limits.queue` needs `length`
  --> scenario.toml:13:12
   |
13 | limits = { queue = { wait = "1s" }, busy_status = 200, day_starts = "midnight" }
   |            ^^^^^
   |
   = help: for example: length = 100

error: `queue` needs `concurrency`
  --> scenario.toml:13:20
   |
13 | limits = { queue = { wait = "1s" }, busy_status = 200, day_starts = "midnight" }
   |                    ^^^^^^^^^^^^^^^ it would have no effect

error: `busy_status` must be from 400 to 599
  --> scenario.toml:13:51
   |
13 | limits = { queue = { wait = "1s" }, busy_status = 200, day_starts = "midnight" }
   |                                                   ^^^
   |
   = help: for example: busy_status = 400

error: `busy_status` needs `concurrency`
  --> scenario.toml:13:51
   |
13 | limits = { queue = { wait = "1s" }, busy_status = 200, day_starts = "midnight" }
   |                                                   ^^^ it would have no effect

error: `day_starts` must be a duration with its unit
  --> scenario.toml:13:69
   |
13 | limits = { queue = { wait = "1s" }, busy_status = 200, day_starts = "midnight" }
   |                                                                     ^^^^^^^^^^ `midnight` is not a unit of time
   |
   = help: for example: day_starts = "30s"

15 errors
"#,
    );
}

#[test]
fn a_zone_that_nobody_knows_is_named_where_it_stands() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic.synthetic]
duration = "1d"
rate = "2/s"
timezone = "Europe/Berlim"
[world.providers.openai]
limits = { rpd = 1000, day_starts = "America/Los_Angels" }
"#,
        r#"error: unknown time zone `Europe/Berlim`
 --> scenario.toml:5:12
  |
5 | timezone = "Europe/Berlim"
  |            ^^^^^^^^^^^^^^^
  |
  = help: IANA names, for example: timezone = "Europe/Berlin" or "UTC"

error: unknown time zone `America/Los_Angels`
 --> scenario.toml:7:37
  |
7 | limits = { rpd = 1000, day_starts = "America/Los_Angels" }
  |                                     ^^^^^^^^^^^^^^^^^^^^
  |
  = help: IANA names, for example: day_starts = "Europe/Berlin" or "UTC"

2 errors
"#,
    );
}
