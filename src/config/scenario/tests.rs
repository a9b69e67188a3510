use std::fs;
use std::path::Path;

use proptest::prelude::ProptestConfig;
use proptest::{prop_assert, proptest};

use super::super::diagnostic::Diagnostics;
use super::super::{Checked, Loaded, Options, load_either, load_scenario};
use super::Scenario;
use crate::gateway::command::Command;
use crate::gateway::money::Money;
use crate::gateway::time::Span;
use crate::report::expect::{Bound, Expectation, Quantity, Side};
use crate::sim::client::UnknownKey;
use crate::sim::world::{Answer, Basis, Counted, DeploymentWorld, Kind, Pace, Places, Varies, Visible, When};
use crate::traffic::distribution::Distribution;
use crate::traffic::local_clock::LocalClock;

pub(super) const GATEWAY: &str = r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
"#;

pub(super) fn load(directory: &Path, sets: &[&str], gateway: &str, text: &str) -> Result<Loaded<Scenario>, Diagnostics> {
    fs::write(directory.join("gateway.toml"), gateway).expect("a file");
    fs::write(directory.join("trace.csv"), "").expect("a file");
    let path = directory.join("scenario.toml");
    fs::write(&path, text).expect("a file");
    load_scenario(&path, &Options { sets: sets.iter().map(|set| (*set).to_owned()).collect(), ..Options::default() })
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
outcomes = "recorded"
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
[baseline]
variant = "capped"
[[expect]]
variant = "capped"
cost_usd = { at_most = 3.00 }
answered = { at_least = 0.995 }
"#,
    );
    assert_eq!(scenario.name, "scenario");
    assert_eq!(scenario.seeds, [7, 8, 9]);
    assert_eq!((scenario.baseline.variant, scenario.baseline.is_checked), (1, true));
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
    assert_eq!((world.billing.cancel_lag_tokens, world.recorded_outcomes), (40, true));
    let expected = [
        Bound::Quantity { quantity: Quantity::Cost, side: Side::AtMost, value: Money::usd(3).0 },
        Bound::Quantity { quantity: Quantity::Answered, side: Side::AtLeast, value: 995_000 },
    ];
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

/// The world of the one deployment under what `text` says in `[world]`.
fn world(text: &str) -> DeploymentWorld {
    let text = format!("gateway = \"gateway.toml\"\n[traffic]\ntrace = \"trace.csv\"\n[world]\n{text}");
    loaded(&[], GATEWAY, &text).variants[0].world.deployments[0].clone()
}

#[test]
fn what_varies_is_drawn_and_what_does_not_is_not() {
    let fixed = world("ttft = \"300ms\"\ntokens_per_second = 100\n");
    assert_eq!((fixed.pace, fixed.varies), (Pace::tokens_per_second(Span::from_millis(300), 100), None));
    let drawn = world("ttft = { p50 = \"150ms\", p95 = \"400ms\" }\ntokens_per_second = { distribution = \"gamma\", mean = 80, cv = 0.5 }\n");
    let expected = Varies { first: Some(Distribution::lognormal(1.5e8, 4e8)), tokens_per_second: Some(Distribution::gamma_of_mean(80.0, 0.5)) };
    assert_eq!((drawn.varies, drawn.pace.first), (Some(Box::new(expected)), Span::from_millis(150)), "what is not drawn takes the usual time");
    let stated_later = world("ttft = { p50 = \"150ms\", p95 = \"400ms\" }\n[world.models.mini]\nttft = \"1s\"\n");
    assert_eq!((stated_later.varies, stated_later.pace.first), (None, Span::SECOND));
    let chunks = world("tokens_per_second = 100\nchunk_tokens = 5\nprefill_tokens_per_second = 4000\n");
    assert_eq!((chunks.pace.gap, chunks.prefill), (Span::from_millis(50), Span(250_000)), "5 tokens in a chunk, 20 chunks a second");
    let chunks_first = world("chunk_tokens = 5\n[world.models.mini]\ntokens_per_second = 100\n");
    assert_eq!(chunks_first.pace.gap, chunks.pace.gap);
}

#[test]
fn incidents_are_written_or_drawn_and_shared_by_a_provider() {
    let world = world(
        r#"[world.providers.openai]
outages = { every = "5.5d", for = { p50 = "75m", p95 = "446m" }, share = 0.25 }
brownouts = [{ from = "1h", for = "30m", slower = 2.5 }]
[world.deployments.mini-1]
bursts = { every = "2h", for = "90s", share = 0.6, status = 429 }
brownouts = [{ from = "2h", for = "30m", slower = 3, share = 0.1, reset = true }]
"#,
    );
    let shown: Vec<_> = world.incidents.iter().map(|each| (each.kind, each.per_million, each.slower_per_mille, &*each.luck_of)).collect();
    let expected = [(Kind::Outage, 250_000, 1000, "openai"), (Kind::Brownout, 100_000, 3000, "mini-1"), (Kind::Burst, 600_000, 1000, "mini-1")];
    assert_eq!(shown, expected, "the deployment's brownouts replace the provider's");
    assert_eq!(world.incidents[0].when, When::Drawn { every: Span::from_secs(475_200), lasts: Distribution::lognormal(4.5e12, 2.676e13) });
    assert_eq!(world.incidents[1].step.answer, Answer::Broken);
}

#[test]
fn presets_come_before_what_is_stated_beside_them() {
    let world = world(
        "[world.providers.openai]\npreset = \"openai-tier-1\"\nlimits = { rpm = 100, concurrency = 8, queue = { length = 20, wait = \"5s\" } }\n",
    );
    let limiter = world.limiter.expect("the preset has limits");
    let limits: Vec<_> = limiter.limits.iter().map(|limit| (limit.counts, limit.amount)).collect();
    assert_eq!(limits, [(Counted::TotalTokens, 200_000), (Counted::Requests, 10_000), (Counted::Requests, 100)]);
    assert_eq!(world.places, Some(Places { count: 8, queue: 20, wait_max: Span::from_secs(5), status: 429 }));
    let incident = &world.incidents[0];
    assert_eq!((&*incident.luck_of, incident.per_million, world.presets.len()), ("openai", 250_000, 1));
}

/// `docs/world.toml` is right, and all that it says has an effect: a key that is left out changes the world.
#[test]
fn the_documented_world_can_be_had() {
    const TEXT: &str = include_str!("../../../docs/world.toml");
    const GATEWAY: &str = r#"models.mini.deployments = [
        { id = "mini-1", provider = "openai", model = "gpt-4o-mini" }, { id = "mini-2", provider = "openai", model = "gpt-4o-mini" }]
"#;
    let worlds = |text: &str| loaded(&[], GATEWAY, text).variants[0].world.clone();
    let all = worlds(TEXT);
    let lines: Vec<&str> = TEXT.lines().collect();
    let world_from = lines.iter().position(|line| line.starts_with("[world]")).expect("it has one");
    for (index, line) in lines.iter().enumerate().skip(world_from).filter(|(_, line)| line.contains(" = ") && !line.starts_with(['#', '['])) {
        let without: Vec<&str> = lines.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, line)| *line).collect();
        // A queue needs places.
        let without = without.join("\n") + "\n";
        let without = if line.starts_with("concurrency") { without.replace("queue =", "# ").replace("busy_status =", "# ") } else { without };
        // All that the preset of the world says is said again below it.
        assert!(worlds(&without) != all || line.starts_with("preset = \"ledger\""), "{line}");
    }
}

#[test]
fn limits_are_enforced_as_stated() {
    let text = "limits = { rpm = 60, rpd = 1000, requests_within = \"1s\", day_starts = \"8h\", corrected_at_end = true, basis = \"max_tokens\" }\n";
    let limiter = world(text).limiter.expect("there are limits");
    let clock = LocalClock::behind_utc(Span::from_secs(8 * 3600));
    assert_eq!((limiter.requests_within, limiter.day_starts), (Some(Span::SECOND), Some(clock)));
    let zoned = world("limits = { rpd = 1000, day_starts = \"America/Los_Angeles\" }\n").limiter.expect("there are limits");
    assert_eq!(zoned.day_starts, LocalClock::of_zone("America/Los_Angeles"));
    assert!(limiter.corrected_at_end);
    assert_eq!(world("limits = { concurrency = 5 }\n[world.models.mini]\nlimits = false\n").places, None);
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
    fn no_scenario_panics(cut in 0_usize..720, length in 0_usize..40, put in "[\\[\\]{}=\"'.,a-z0-9 \n-]{0,12}") {
        let text = "gateway = \"gateway.toml\"\nseeds = 2\n[traffic]\ntrace = \"trace.csv\"\nstream = true\nscale = 2\n\
            overlay = { keys = 3, teams = [\"a\"], key_skew = 1, abandon = 0.1, patience = { p50 = \"1s\", p95 = \"9s\" } }\n[world]\npreset = \"ledger\"\n\
            [world.deployments.mini-1]\nscript = [{ status = 429, times = 3 }, { hang = true }]\nlimits = { rpm = 5, window = \"start\" }\n\
            outages = [{ from = \"1m\", for = \"2m\" }]\nbursts = { every = \"1h\", for = { p50 = \"1m\", p95 = \"9m\" }, share = 0.5 }\npreset = \"openai\"\n[[variant]]\nname = \"a\"\nset = { 'attempts.per_request' = 2 }\n\
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
