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
        "",
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
        "",
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
        "",
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
        "",
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
        "",
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
        "",
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
        "",
    );
}

#[test]
fn a_set_of_an_unknown_path_names_the_nearest_one() {
    check(
        &["atempts.per_request=2", "attempts.per_requests=2", "models.mimi.fallbacks=[]", "models.mini.strategy.x=1", "models.mini.deployments.9.weight=1", "attempts.per_request=many", "no equals sign"],
        r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
"#,
        "",
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
        "",
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
        "",
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
        "",
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
        "",
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
        "",
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
        "",
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
        "",
    );
}
