use std::fs;
use std::path::Path;

use proptest::{prop_assert, proptest};

use super::super::diagnostic::Diagnostics;
use super::super::tree;
use super::super::{Options, load_gateway};
use super::GatewayConfig;
use super::providers::{Api, Secret};
use crate::gateway::Gateway;
use crate::gateway::command::Command;
use crate::gateway::failure::{FailureClass, FailureSet};
use crate::gateway::id::ModelId;
use crate::gateway::money::Money;
use crate::gateway::plan::{
    Anchor, BudgetMode, BudgetWindow, CacheScope, DepthBy, Enforce, Leave, LimitKind, MaxTokens, OnShort, Plan, Presume, Queue, RetryBudget,
    Strategy, Walk,
};
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};

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

fn resolve(text: &str) -> Result<GatewayConfig, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let source = diagnostics.add_source("gateway.toml", text);
    let config = tree::parse(&diagnostics, source).and_then(|root| super::resolve(root, Path::new(""), None, &mut diagnostics));
    match config {
        Some(config) => Ok(config),
        None => Err(diagnostics),
    }
}

pub(super) fn loaded(text: &str) -> GatewayConfig {
    resolve(text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// Everything that is said about a gateway.toml, changed by `sets`.
#[track_caller]
pub(super) fn check(sets: &[&str], text: &str, expected: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("gateway.toml");
    fs::write(&path, text).expect("a file");
    let options = Options { sets: sets.iter().map(|set| (*set).to_owned()).collect(), ..Options::default() };
    let said = match load_gateway(&path, &options) {
        Ok(loaded) => loaded.warnings.render(false),
        Err(diagnostics) => diagnostics.render(false),
    };
    let said = said.replace(&format!("{}/", directory.path().display()), "");
    assert!(said == expected, "<<<{}\n{said}>>>END", std::thread::current().name().and_then(|name| name.rsplit(':').next()).unwrap_or_default());
}

const MINI: &str = "[models.mini]\ndeployments = [{ id = \"mini-1\", provider = \"openai\", model = \"gpt-4o-mini\" }]\n";

#[test]
fn the_example_of_the_manual_loads_without_a_word() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("gateway.toml");
    fs::write(&path, EXAMPLE).expect("a file");
    let loaded = load_gateway(&path, &Options::default()).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let plan = &loaded.value.plan;
    let [mini, haiku] = plan.models.as_slice() else { panic!("two models") };
    assert_eq!(mini.strategy, Strategy::LowestLatency { buffer_per_mille: 0 });
    assert_eq!(mini.fallbacks.groups, [ModelId(1)]);
    assert_eq!(mini.fallbacks.price_ratio_max_per_mille, Some(1500));
    assert_eq!(mini.max_tokens, MaxTokens { default: Some(800), cap: Some(1000) });
    assert_eq!(haiku.max_tokens, MaxTokens { default: None, cap: None });
    assert_eq!((haiku.cooldown.allowed_fails, haiku.cooldown.time), (Some(3), Span::from_secs(60)));
    assert_eq!(plan.retry_budget, Some(RetryBudget { ratio_per_mille: 100, burst: 50 }));
    assert_eq!(plan.deployments[0].weight, 3);
    // gpt-4o-mini: 0.15 and 0.60 USD per million tokens; claude-3-haiku: 0.25 and 1.25, 12 % off.
    let million = Usage::plain(1_000_000, 1_000_000);
    assert_eq!(plan.deployments[0].rates.at(Time(0)).cost(million), Money(750_000_000_000));
    assert_eq!(plan.deployments[1].rates.at(Time(0)).cost(million), Money(1_320_000_000_000));
    let [global] = plan.budgets.as_slice() else { panic!("one budget") };
    assert_eq!((global.limit, &global.window), (Money::usd(500), &BudgetWindow::Fixed(Span::from_secs(86_400), Anchor::Clock)));
    let [Command::PutTeam { name: team, spec: team_spec }, Command::PutKey { name: key, spec: key_spec }, blocked @ ..] = &loaded.value.commands[..]
    else {
        panic!("a team and a key")
    };
    // It is said of everybody: who was blocked by an earlier file is not by this one.
    let free = [Command::BlockTeam { name: team.clone(), blocked: false }, Command::BlockKey { name: key.clone(), blocked: false }];
    assert_eq!(blocked, free);
    assert_eq!((team.as_str(), key.as_str(), key_spec.team.as_deref()), ("frontend", "intern", Some("frontend")));
    assert_eq!(team_spec.tags, ["cost_centre=4711"]);
    assert_eq!(team_spec.budgets[0].enforce, Enforce::Observe);
    assert_eq!(
        key_spec.limits.iter().map(|limit| (limit.kind, limit.amount)).collect::<Vec<_>>(),
        [(LimitKind::Requests, 100), (LimitKind::TotalTokens, 50_000)]
    );
    assert_eq!(loaded.value.providers[1].key, Some(Secret::Environment("ANTHROPIC_API_KEY".into())));
}

/// Every line of the table in `defaults`, written out.
const DEFAULTS: &str = r#"
version = 1
strategy = "weighted-shuffle"
pick = "admissible"
breaker = false
loop_detector = false
[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini", weight = 1, order = 0 }]
[attempts]
per_request = 4
per_group = 3
per_deployment = 2
retry_on = ["rate_limited", "timeout", "connect", "internal", "bad_gateway", "unavailable"]
retry_on_other = ["unauthorized", "forbidden"]
retries_by_class = {}
avoid_after = ["rate_limited", "timeout", "connect", "internal", "bad_gateway", "unavailable", "unauthorized", "forbidden"]
only_if_healthy = true
retry_budget = false
[attempts.backoff]
base = "500ms"
floor = "0s"
max = "8s"
jitter = "750ms"
retry_after_max = "60s"
when = "no_healthy_deployment"
after_last = false
[attempts.transport]
retries = 0
retry_on = ["rate_limited", "timeout", "connect", "internal", "bad_gateway", "unavailable"]
[fallback]
on = ["rate_limited", "timeout", "connect", "internal", "bad_gateway", "unavailable", "unauthorized", "forbidden", "not_found", "no_deployment", "saturated", "context_window"]
walk = "flat"
max_price_ratio = false
same_tier = false
alert_share = 0.05
[cooldown]
time = "5s"
retry_after = true
at_once = ["rate_limited", "unauthorized", "forbidden", "not_found"]
counted = ["timeout", "connect", "internal", "bad_gateway", "unavailable"]
allowed_fails = false
window = "60s"
share = { share = 0.5, calls_min = 10, window = "60s" }
counts = "every"
hops = "count"
single = "exempt_without_fallback"
single_exempt = "all"
[timeouts]
call = "120s"
stream = "600s"
idle = "60s"
request = "600s"
[stream]
on_disconnect = "auto"
drain_time_max = "60s"
drain_tokens_max = 4096
[budget]
mode = "reserve"
on_short = "refuse"
enforce = "hard"
alert_at = [0.8, 1.0]
timezone = "UTC"
late_usage_window = "10m"
"#;

#[test]
fn every_documented_default_is_the_default() {
    assert_eq!(loaded(DEFAULTS), loaded(MINI));
}

#[test]
fn what_is_switched_on_has_the_documented_defaults() {
    let short = r#"
loop_detector = {}
[attempts]
retry_budget = {}
[breaker]
[cache]
[keys.k]
limits = { rpm = 1 }
budget = [{ limit = "5 USD", every = "day" }, { limit = "5 USD", every = "1d", reset = "rolling" }, { limit = "5 USD", every = "1d" }]
"#;
    let long = r#"
loop_detector = { repeats = 20, window = "60s", enforce = "observe" }
[attempts]
retry_budget = { ratio = 0.2, burst = 100 }
[breaker]
failures = 5
counted = ["timeout", "connect", "internal", "bad_gateway", "unavailable"]
open_for = "30s"
probes = 1
successes = 2
[cache]
ttl = "1h"
scope = "team"
single_flight = true
separate_streams = true
sliding = false
hits_count = false
remote = false
size_max = "256 MiB"
namespace = ""
[keys.k]
limits = { rpm = 1, window = "bucket", count = "reserve" }
budget = [
    { limit = "5 USD", every = "day", reset = "calendar", timezone = "UTC", mode = "reserve", on_short = "refuse", enforce = "hard", alert_at = [0.8, 1.0] },
    { limit = "5 USD", every = "1d", reset = "rolling", slices = 24 },
    { limit = "5 USD", every = "24h", reset = "fixed" },
]
"#;
    assert_eq!(loaded(&format!("{short}{MINI}")), loaded(&format!("{long}{MINI}")));
}

#[test]
fn a_model_changes_single_settings_of_the_gateways_policies() {
    let config = loaded(
        r#"
[attempts]
per_request = 6
backoff = { base = "1s", max = "4s" }
[cache]
ttl = "1h"
scope = "key"
[timeouts]
call = "never"
[models.a]
deployments = ["shared", { id = "own", provider = "azure", model = "gpt-4o", priced_as = "gpt-4o", limits = { concurrency = 4, queue = { length = 9, wait = "2s" } } }]
attempts = { per_group = 1, backoff = { base = "2s" }, retries_by_class = { timeout = 0 } }
cache = { ttl = "5m" }
fallback = { walk = "depth-first", depth_max = 3, depth_by = "sibling" }
breaker = { failures = 2 }
strategy = { name = "lowest-latency", buffer = 0.1 }
context_window_fallbacks = ["b"]
content_policy_fallbacks = []
[models.b]
deployments = ["shared"]
cache = false
timeouts = { call = "5s" }
[deployments.shared]
provider = "openai"
model = "gpt-4o-mini"
max_output_tokens = 100
billing = { timed_out = "input" }
"#,
    );
    let [a, b] = config.plan.models.as_slice() else { panic!("two models") };
    assert_eq!((a.attempts.per_request, a.attempts.per_group, b.attempts.per_group), (6, 1, 3));
    assert_eq!((a.backoff.base, a.backoff.max), (Span::from_secs(2), Span::from_secs(4)));
    assert_eq!(b.backoff.base, Span::from_secs(1));
    assert_eq!(a.attempts.retries_by_class[FailureClass::Timeout as usize], Some(0));
    assert_eq!(a.cache.map(|cache| (cache.ttl, cache.scope)), Some((Span::from_secs(300), CacheScope::Key)));
    assert_eq!(b.cache, None);
    assert_eq!(a.fallbacks.walk, Walk::DepthFirst { depth_max: 3, depth_by: DepthBy::Sibling, resume_origin: false });
    assert_eq!((a.breaker.map(|breaker| breaker.failures), b.breaker), (Some(2), None));
    assert_eq!(a.strategy, Strategy::LowestLatency { buffer_per_mille: 100 });
    assert_eq!((a.timeouts.call, b.timeouts.call), (Span::MAX, Span::from_secs(5)));
    assert_eq!((a.fallbacks.context_window.clone(), a.fallbacks.content_policy.clone()), (Some(vec![ModelId(1)]), Some(Vec::new())));
    assert!(a.fallbacks.fallback_on.has(FailureClass::ContentPolicy), "a list of its own for the class makes the class lead to a fallback");
    assert!(!b.fallbacks.fallback_on.has(FailureClass::ContentPolicy));
    assert_eq!(a.deployments[0], b.deployments[0], "one deployment in two groups");
    let [shared, own] = config.plan.deployments.as_slice() else { panic!("two deployments") };
    assert_eq!((shared.output_tokens_max, shared.billing.timed_out), (100, Presume::Input));
    assert_eq!((a.output_tokens_max, b.output_tokens_max), (own.output_tokens_max.max(100), 100));
    assert_eq!(own.limits[0].queue, Some(Queue { length_max: 9, wait_max: Span::from_secs(2) }));
    assert_eq!(a.reference, shared.rates);
}

#[test]
fn budgets_say_what_a_plan_can() {
    let config = loaded(&format!(
        r#"{MINI}
[budget]
mode = {{ estimate = {{ quantile = 0.9, headroom = 0.2 }} }}
end_user = {{ limit = "0.05 USD", every = "total" }}
[tags."team=a"]
budget = {{ limit = "50 USD", every = "1h", reset = "first_use", soft = "40 USD", on_short = {{ clamp = 16 }}, mode = "after" }}
[end_users.alice]
budget = {{ limit = "1 USD", every = "week", reset = "start", alert_at = [] }}
"#
    ));
    let end_user = config.plan.end_user_budget.expect("a budget");
    assert_eq!((end_user.limit, end_user.window), (Money(50_000_000_000), BudgetWindow::Total));
    assert_eq!(end_user.mode, BudgetMode::Estimate { quantile_per_mille: 900, headroom_per_mille: 200 });
    let [Command::PutTag { budgets: tag, .. }, Command::PutEndUser { budgets: alice, .. }] = config.commands.as_slice() else { panic!("two") };
    assert_eq!(tag[0].window, BudgetWindow::Fixed(Span::from_secs(3600), Anchor::FirstUse));
    assert_eq!(
        (tag[0].on_short, tag[0].mode, tag[0].alert_at_per_mille.as_slice()),
        (OnShort::Clamp { min: 16 }, BudgetMode::After, [800, 1000].as_slice())
    );
    assert_eq!(alice[0].window, BudgetWindow::Fixed(Span::from_secs(604_800), Anchor::Start));
    assert!(alice[0].alert_at_per_mille.is_empty());
}

#[test]
fn keys_override_what_they_may() {
    let config = loaded(&format!(
        r#"{MINI}
[keys.k]
blocked = true
models = ["mini"]
expires = 2027-01-31T00:00:00Z
attempts = {{ per_request = 1 }}
fallback = false
cache = {{ scope = "shared" }}
max_tokens = {{ cap = 64 }}
stream = {{ on_disconnect = "ignore" }}
"#
    ));
    let [Command::PutKey { spec, .. }, Command::BlockKey { name, blocked: true }] = config.commands.as_slice() else { panic!("two") };
    assert_eq!((name.as_str(), spec.models.as_deref()), ("k", Some([ModelId(0)].as_slice())));
    let own = spec.overrides;
    assert_eq!(
        (own.attempts_per_request, own.fallbacks, own.cache_scope, own.max_tokens_cap),
        (Some(1), Some(false), Some(CacheScope::Shared), Some(64))
    );
    assert_eq!(own.on_disconnect.map(|leaving| (leaving.streaming, leaving.between_attempts)), Some((Leave::Ignore, Leave::Ignore)));
    assert_eq!(spec.expires.map(|time| time.0), Some(1_801_353_600_000_000_000));
}

#[test]
fn a_provider_whose_cancel_does_not_stop_the_bill_says_so_by_its_dialect() {
    let config = loaded("[providers.aws]\napi = \"bedrock\"\n[models.m]\ndeployments = [{ id = \"d\", provider = \"aws\", model = \"gpt-4o\" }]\n");
    assert_eq!(config.providers[0].api, Api::Bedrock);
    assert!(!config.plan.deployments[0].billing.cancel_stops_billing);
}

#[test]
fn overrides_and_tiers_make_a_price() {
    let config = loaded(
        "[models.m]\ndeployments = [{ id = \"d\", provider = \"openai\", model = \"own\" }]\n\
         [prices.models.own]\ninput = 1\noutput = 2.5\nper_request = \"0.01 USD\"\ntiers = [{ above = 1000, input = 3 }]\n",
    );
    let rates = config.plan.deployments[0].rates.at(Time(0));
    assert_eq!(rates.cost(Usage::plain(1000, 0)), Money(1_000_000_000 + 10_000_000_000));
    assert_eq!(rates.cost(Usage::plain(1001, 0)), Money(3_003_000_000 + 10_000_000_000));
}

#[test]
fn a_price_list_is_a_file_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("gateway.toml");
    let text = "[models.m]\ndeployments = [{ id = \"d\", provider = \"openai\", model = \"own\" }]\n[prices]\nlist = \"own.json\"\n";
    fs::write(&path, text).expect("a file");
    let json = directory.path().join("own.json");
    let entry = r#""litellm_provider": "openai", "mode": "chat", "output_cost_per_token": 2e-06, "max_output_tokens": 77"#;
    fs::write(&json, format!(r#"{{"own": {{"input_cost_per_token": 1e-06, {entry}}}}}"#)).expect("a file");
    let config = load_gateway(&path, &Options::default()).unwrap_or_else(|diagnostics| panic!("{diagnostics}")).value;
    assert_eq!(config.plan.deployments[0].rates.at(Time(0)).cost(Usage::plain(1, 1)), Money(3_000_000));
    assert_eq!(config.plan.deployments[0].output_tokens_max, 77);

    fs::write(&json, format!("{{\n\"own\": {{\"input_cost_per_token\": -1, {entry}}}}}")).expect("a file");
    let said = load_gateway(&path, &Options::default()).expect_err("a negative price").render(false);
    assert!(said.contains("own.json:2:"), "{said}");
    let options = Options { prices: Some(directory.path().join("nowhere.csv")), ..Options::default() };
    let said = load_gateway(&path, &options).expect_err("no such list").render(false);
    assert!(said.contains("nowhere.csv`: no such file"), "{said}");
}

/// Whether the core takes the commands.
fn is_accepted(config: &GatewayConfig) -> bool {
    let mut gateway = Gateway::new(&config.plan, 0);
    config.commands.iter().all(|command| gateway.apply(&config.plan, Time(0), command.clone(), &mut ()).is_ok())
}

#[test]
fn the_core_takes_the_commands_of_the_example() {
    assert!(is_accepted(&loaded(EXAMPLE)));
}

#[test]
fn what_a_configuration_becomes_survives_a_format_that_does_not_describe_itself() {
    let GatewayConfig { plan, commands, .. } = loaded(EXAMPLE);
    let written = postcard::to_allocvec(&(&plan, &commands)).expect("it can be written");
    assert_eq!(postcard::from_bytes::<(Plan, Vec<Command>)>(&written).expect("and read"), (plan, commands));
}

#[test]
fn as_many_budgets_are_accepted_as_the_core_accepts() {
    let budgets = |count: usize| vec!["{ limit = \"9 USD\", every = \"day\" }"; count].join(", ");
    for (global, team, key, tag) in (0..256).map(|i| (i % 4, i / 4 % 4, i / 16 % 4, i / 64)) {
        let config = resolve(&format!(
            "{MINI}[budget]\nglobal = [{}]\n[teams.t]\nbudget = [{}]\n[keys.k]\nteam = \"t\"\ntags = [\"a\"]\nbudget = [{}]\n[tags.a]\nbudget = [{}]\n",
            budgets(global),
            budgets(team),
            budgets(key),
            budgets(tag)
        ));
        match config {
            Ok(config) => assert!(is_accepted(&config), "loaded {global} + {team} + {key} + {tag}, which the core refuses"),
            Err(_) => assert!(tag > 1 || global + team + key + tag > 4, "refused {global} + {team} + {key} + {tag}"),
        }
    }
}

#[test]
fn all_failures_can_be_said_in_a_word() {
    let config = loaded(&format!("[attempts]\nretry_on = \"all\"\n{MINI}"));
    assert_eq!(config.plan.models[0].attempts.retry_on, FailureSet::ALL);
}

proptest! {
    /// Whatever is cut out of or put into a configuration, it is loaded or refused with a rendered reason.
    #[test]
    fn no_text_panics(cut in 0_usize..EXAMPLE.len(), length in 0_usize..60, put in "[\\[\\]{}=\"'.,#a-z0-9 \n\u{e9}-]{0,12}") {
        let end = (cut + length).min(EXAMPLE.len());
        let text = format!("{}{put}{}", &EXAMPLE[..cut], &EXAMPLE[end..]);
        if let Err(diagnostics) = resolve(&text) {
            prop_assert!(diagnostics.has_errors(), "refused without a reason: {text}");
            prop_assert!(!diagnostics.render(true).is_empty());
        }
    }

    /// Arbitrary text too.
    #[test]
    fn no_noise_panics(text in "\\PC{0,80}") {
        prop_assert!(resolve(&text).is_err_and(|diagnostics| !diagnostics.render(false).is_empty()));
    }
}
