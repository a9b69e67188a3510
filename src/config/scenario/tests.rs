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
use crate::sim::world::{Answer, Basis, Counted, Pace, Visible, When};

pub(super) const GATEWAY: &str = r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
"#;

fn load(directory: &Path, sets: &[&str], gateway: &str, text: &str) -> Result<Loaded<Scenario>, Diagnostics> {
    fs::write(directory.join("gateway.toml"), gateway).expect("a file");
    fs::write(directory.join("trace.csv"), "").expect("a file");
    let path = directory.join("scenario.toml");
    fs::write(&path, text).expect("a file");
    load_scenario(&path, &Options { sets: sets.iter().map(|set| (*set).to_owned()).collect(), prices: None })
}

pub(super) fn loaded(sets: &[&str], gateway: &str, text: &str) -> Scenario {
    let directory = tempfile::tempdir().expect("a directory");
    load(directory.path(), sets, gateway, text).unwrap_or_else(|diagnostics| panic!("{diagnostics}")).value
}

/// Everything that is said about a scenario.toml beside `gateway` and an empty trace.csv.
#[track_caller]
pub(super) fn check(sets: &[&str], gateway: &str, text: &str, expected: &str) {
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
    assert_eq!(world.incidents[0].when, When::Once { from: Span::from_secs(600), lasts: Span::from_secs(6 * 3600) });
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
