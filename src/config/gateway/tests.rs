use std::fs;

use super::super::{Options, diagnostic::Diagnostics, load_gateway};
use super::GatewayConfig;

/// The example of the manual.
const EXAMPLE: &str = r#"version = 1
[server]
listen = "127.0.0.1:4000"

[providers.openai]
api = "openai"
base_url = "https://api.openai.com/v1"
key = "env:OPENAI_API_KEY"
[providers.anthropic]
api = "anthropic"
key = "env:ANTHROPIC_API_KEY"

[models."gpt-4o-mini"]                         # the name clients ask for
deployments = [{ id = "openai-mini", provider = "openai", model = "gpt-4o-mini", weight = 3 }]
strategy  = "lowest-latency"
fallbacks = ["claude-3-haiku"]
max_tokens = { default = 800, cap = 1000 }
[models."claude-3-haiku"]
deployments = [{ id = "haiku", provider = "anthropic", model = "claude-3-haiku" }]

[attempts]                                     # trap 1
per_request = 4                                # ONE cap over retries and fallbacks
per_deployment = 2
backoff = { base = "500ms", max = "8s", jitter = "750ms", retry_after_max = "60s" }
retry_budget = { ratio = 0.1, burst = 50 }

[fallback]                                     # trap 2
max_price_ratio = 1.5                          # this request's worst case there against the model asked for
alert_share = 0.05

[cooldown]
allowed_fails = 3
time = "60s"

[cache]                                        # trap 3
ttl = "1h"
scope = "team"
single_flight = true

[budget]                                       # trap 4
mode = "reserve"                               # reserve | estimate | after
global = { limit = "500 USD", every = "day", reset = "calendar", timezone = "UTC", alert_at = [0.8, 1.0] }
[teams.frontend]
tags = { cost_centre = "4711" }
budget = { limit = "200 USD", every = "day", enforce = "observe" }   # observe: decide, journal, alert, admit; then enforce
[keys.intern]
team = "frontend"
budget = { limit = "50 USD", every = "day" }
limits = { rpm = 100, tpm = 50_000 }

[stream]                                       # trap 5
on_disconnect = "auto"                         # cancel where that stops the bill, else the provider's rule; or cancel | drain | ignore

[prices]                                       # as you pay them
list = "2026-11-22"
discount = { anthropic = 0.12 }

[alerts]
slack = "env:SLACK_WEBHOOK_URL"
dedupe = "1h"
"#;

#[test]
fn zz() {
    for t in [
        EXAMPLE,
        r#"
[models.a]
deploymets = [{ id = "x", provider = "openai", model = "gpt-4o-mnii" }]
deployments = [{ id = "x", provider = "openai", model = "gpt-4o-mnii" }]
[prices.models.q]
input = -3
output = 1
"#,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        fs::write(&path, t).unwrap();
        match load_gateway(&path, &Options::default()) {
            Ok(x) => println!("{}{:#?}", x.warnings, x.value),
            Err(e) => println!("{e}"),
        }
    }
}
