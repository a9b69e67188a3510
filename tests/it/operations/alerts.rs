//! Who is woken, how often, and whether they can tell that it is true.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gwsim::clock;
use gwsim::gateway::Gateway;
use gwsim::gateway::time::{Span, Time};
use gwsim::journal::Settings;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use sha2::Sha256;

use super::{scrape, secret};
use crate::serve::desk::{Desk, chat, load, streamed};
use crate::serve::upstream::{self, Piece, Seen, Upstream};

const PATH: &str = "/v1/chat/completions";

/// Waits until a hook has seen so many notices; then, whether there are more than that.
async fn notices(hook: &Upstream, count: usize) -> Vec<Seen> {
    let begun = Instant::now();
    while hook.seen().len() < count && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    hook.seen()
}

fn taken() -> Vec<Piece> {
    upstream::answer(200, &[], "ok")
}

/// As a receiver would check it, from the headers and the body alone.
fn is_signed(seen: &Seen, secret: &str) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(seen.header("x-gwsim-timestamp").unwrap().as_bytes());
    mac.update(b".");
    mac.update(seen.body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    seen.header("x-gwsim-signature") == Some(&format!("sha256={hex}"))
}

#[tokio::test]
async fn three_hundred_failures_are_one_page_signed_and_sent_again_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, _| upstream::answer(429, &[], r#"{"error":{"message":"slow down"}}"#)).await;
    let hook = Upstream::start(|n, _| if n == 0 { upstream::answer(500, &[], "") } else { taken() }).await;
    let webhook = secret(&folder, "webhook", &format!("{}/in?of=gwsim", hook.address));
    let signs = secret(&folder, "signs", "swordfish");
    // Each failure has the deployment left alone anew; the spare one is never reached, as there is one attempt.
    let desk = Desk::start(&format!(
        "version = 1\n[providers.openai]\nbase_url = \"{}/v1\"\n\
         [models.gpt-4o-mini]\nstrategy = \"ordered\"\ndeployments = [{{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }}, \
         {{ id = \"spare\", provider = \"openai\", model = \"gpt-4o-mini\", order = 1 }}]\n\
         [attempts]\nper_request = 1\n[cooldown]\ntime = \"1ms\"\n\
         [alerts]\nwebhook = {webhook}\nwebhook_secret = {signs}\n",
        upstream.address
    ))
    .await;
    for _ in 0..300 {
        assert_eq!(desk.chat("hi").await.status, 429);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seen = notices(&hook, 2).await;
    assert_eq!(seen.len(), 2, "a try that failed and one that did not, and no more: {seen:?}");
    for seen in &seen {
        assert_eq!(seen.target, "/in?of=gwsim");
        assert!(is_signed(seen, "swordfish"), "{seen:?}");
        assert!(!is_signed(seen, "other"));
    }
    let notice = seen[1].json();
    assert_eq!(notice["kind"], "cooling");
    assert_eq!(notice["text"], "Deployment mini is left alone for a while after failures (rate_limited).");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let scrape = scrape(&desk).await;
    let cooled = scrape.get("gwsim_cooldowns_total{deployment=\"mini\"}").unwrap();
    assert!(cooled > 100.0, "{cooled}");
    scrape.has(&[("gwsim_alert_deliveries_total{result=\"sent\"}", 1.0), ("gwsim_alert_deliveries_total{result=\"failed\"}", 0.0)]);
}

#[tokio::test]
async fn a_budget_is_told_of_at_four_fifths_and_when_it_is_used_up_and_a_hook_that_hangs_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let hook = Upstream::start(|_, _| taken()).await;
    let slack = Upstream::start(|n, _| if n == 0 { vec![Piece::Hang] } else { taken() }).await;
    let key = secret(&folder, "key", "sk-ci");
    let (webhook, slack_address) = (secret(&folder, "webhook", &hook.address), secret(&folder, "slack", &slack.address));
    // Five completions of 20 microdollars each.
    let desk = Desk::start(&format!(
        "version = 1\n[providers.openai]\nbase_url = \"{}/v1\"\n\
         [models.gpt-4o-mini]\ndeployments = [{{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }}]\n\
         [prices]\ndeployments.mini = {{ input = 1, output = 2 }}\n[budget]\nmode = \"after\"\n\
         [keys.ci]\nsecret = {key}\nbudget = {{ limit = \"0.0001 USD\", every = \"day\" }}\n\
         [alerts]\nwebhook = {webhook}\nslack = {slack_address}\n",
        upstream.address
    ))
    .await;
    for n in 0..10 {
        let status = desk.post_as("sk-ci", PATH, &chat(&format!("{n}"))).await.status;
        assert_eq!(status, if n < 5 { 200 } else { 429 });
        if n == 3 {
            let told = notices(&hook, 1).await;
            assert_eq!(told[0].json()["kind"], "budget_level");
            assert!(told[0].json()["text"].as_str().unwrap().ends_with("has reached 80 %."), "{told:?}");
            assert!(told[0].header("x-gwsim-signature").is_none(), "there is nothing to sign with");
            assert_eq!(notices(&slack, 1).await.len(), 1);
        }
    }
    let told = notices(&slack, 2).await;
    let text = told[1].json()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("gwsim: the budget of key ci, ") && text.contains("is used up (100 %)"), "the first still hangs: {text}");
    assert_eq!(told[1].json().as_object().unwrap().len(), 1, "Slack takes a text and nothing else");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(hook.seen().len(), 2, "one at each level, not one a request");
    scrape(&desk).await.has(&[("gwsim_alerts_total{kind=\"budget_level\"}", 2.0), ("gwsim_alert_deliveries_total{result=\"sent\"}", 3.0)]);
}

/// A gateway whose notices go to a webhook.
async fn told_by(hook: &Upstream, upstream: &Upstream, folder: &tempfile::TempDir, deployment: &str, more: &str) -> Desk {
    let webhook = secret(folder, "webhook", &hook.address);
    Desk::start(&format!(
        "version = 1\n[providers.openai]\nbase_url = \"{}/v1\"\n{deployment}\
         [models.gpt-4o-mini]\ndeployments = [{{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }}]\n\
         {more}\n[alerts]\nwebhook = {webhook}\n",
        upstream.address
    ))
    .await
}

/// The one notice of a kind that a hook gets, and that there is no second.
async fn the_one(hook: &Upstream, kind: &str) -> String {
    let told = notices(hook, 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((told.len(), hook.seen().len()), (1, 1), "{told:?}");
    assert_eq!(told[0].json()["kind"], kind);
    told[0].json()["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_provider_that_bills_more_than_can_be_is_a_breach() {
    let folder = tempfile::tempdir().unwrap();
    let body = upstream::completion_body("hello").replace(":10,", ":10000000,").replace(":15}", ":10000005}");
    let upstream = Upstream::start(move |_, _| upstream::answer(200, &[], &body)).await;
    let hook = Upstream::start(|_, _| taken()).await;
    let budget = "[budget]\nalert_at = []\nglobal = { limit = \"1 USD\", every = \"day\" }";
    let desk = told_by(&hook, &upstream, &folder, "", budget).await;
    assert_eq!(desk.chat("hi").await.status, 200, "it is the provider's word, and the client's answer");
    assert_eq!(desk.chat("again").await.status, 429, "what it has billed is spent");
    let text = the_one(&hook, "breach").await;
    assert!(text.contains("was overspent by $0.500003"), "{text}");
    scrape(&desk).await.has(&[("gwsim_breaches_total", 1.0)]);
}

#[tokio::test]
async fn a_key_that_repeats_itself_is_a_loop() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let hook = Upstream::start(|_, _| taken()).await;
    let desk = told_by(&hook, &upstream, &folder, "", "[loop_detector]\nrepeats = 5\nwindow = \"60s\"\nenforce = \"observe\"").await;
    for n in 0..20 {
        assert_eq!(desk.chat(&format!("question {n}")).await.status, 200);
    }
    assert!(hook.seen().is_empty(), "those were different ones");
    for _ in 0..20 {
        assert_eq!(desk.chat("hi").await.status, 200, "it is only observed");
    }
    let text = the_one(&hook, "loop").await;
    assert!(text.starts_with("Key everybody repeats one and the same request"), "{text}");
}

#[tokio::test]
async fn answers_from_fallbacks_are_told_of_by_their_share() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, seen| match seen.json()["model"].as_str() {
        Some("gpt-4o-mini") => upstream::answer(400, &[], r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#),
        _ => upstream::completion("hello"),
    })
    .await;
    let hook = Upstream::start(|_, _| taken()).await;
    let fallback = "fallbacks = [\"large\"]\n[models.large]\ndeployments = [{ id = \"large\", provider = \"openai\", model = \"gpt-4o\" }]";
    let desk = told_by(&hook, &upstream, &folder, "", fallback).await;
    for n in 0..40 {
        let answer = desk.chat(&format!("{n}")).await;
        assert_eq!((answer.status, answer.header("x-gwsim-model")), (200, "large"));
    }
    let text = the_one(&hook, "fallback_share").await;
    assert!(text.starts_with("100.0 % of the answers for gpt-4o-mini come from its fallbacks"), "{text}");
}

#[tokio::test]
async fn tokens_that_reach_nobody_are_told_of_by_their_share() {
    let folder = tempfile::tempdir().unwrap();
    // One word comes; what is billed at the end is more than a hundred thousand tokens.
    let upstream = Upstream::start(|_, _| {
        let last = upstream::finale(120_000);
        vec![
            upstream::stream_head(),
            upstream::chunk(&upstream::word("one")),
            Piece::Wait(Duration::from_millis(300)),
            upstream::chunk(&last),
            upstream::stream_end(),
        ]
    })
    .await;
    let hook = Upstream::start(|_, _| taken()).await;
    let desk = told_by(&hook, &upstream, &folder, "cancel_stops_billing = false\n", "").await;
    let mut body = desk.client.request(desk.request(PATH, streamed("hi").to_string())).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let text = the_one(&hook, "undelivered").await;
    assert!(text.contains("% of the output tokens billed of late reached no client"), "{text}");
}

#[tokio::test]
async fn a_journal_that_is_ahead_of_the_clock_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Upstream::start(|_, _| taken()).await;
    let toml = format!("{GATEWAY}[alerts]\nwebhook = {}\n", secret(&folder, "webhook", &hook.address));
    for (ahead, is_told) in [(50, false), (86_400, true)] {
        let journal = folder.path().join(ahead.to_string());
        let now = clock::wall();
        begin_journal(&journal, &toml, now + Span::from_secs(ahead));
        let desk = Desk::start_with(&toml, |start| start.journal = Some(journal)).await;
        if !is_told {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(hook.seen().len(), 0);
            continue;
        }
        let text = the_one(&hook, "clock_behind").await;
        let day = |time: Time| jiff::Timestamp::from_nanosecond(time.0.into()).unwrap().to_string()[..10].to_owned();
        assert!(text.starts_with(&format!("The journal's last turn was at {}T", day(now + Span::from_secs(86_400)))), "{text}");
        assert!(text.contains(&format!("this machine's clock says {}T", day(now))), "{text}");
        assert!(desk.app.engine.read(|_, _, at| at) >= now + Span::from_secs(86_400), "and time goes on from there");
    }
}

const GATEWAY: &str = "version = 1\n[providers.openai]\nbase_url = \"http://127.0.0.1:9/v1\"\n[models.gpt-4o-mini]\ndeployments = [{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }]\n";

/// Begins a journal at a time.
fn begin_journal(folder: &Path, toml: &str, at: Time) {
    let (_file, config) = load(toml);
    let plan = Arc::new(config.plan);
    let first = || (Gateway::new(&plan, 1), Arc::clone(&plan));
    gwsim::journal::take(folder, &mut ()).unwrap().open(Settings::default(), at, &mut (), first).unwrap();
}

#[tokio::test]
async fn an_answer_that_has_no_price_is_told_of_and_presumed() {
    let folder = tempfile::tempdir().unwrap();
    let body = upstream::completion_body("hello").replacen('{', "{\"service_tier\":\"priority\",", 1);
    let upstream = Upstream::start(move |_, _| upstream::answer(200, &[], &body)).await;
    let hook = Upstream::start(|_, _| taken()).await;
    let desk = told_by(&hook, &upstream, &folder, "", "").await;
    for _ in 0..3 {
        assert_eq!(desk.chat("hi").await.status, 200);
    }
    let text = the_one(&hook, "price_missing").await;
    assert!(text.starts_with("Deployment mini was served at a dearer service_tier than it is priced at"), "{text}");
    let (confirmed, presumed) = desk.spent();
    assert!(confirmed.0 == 0 && presumed.0 > 3 * 15 * 600_000, "{presumed:?}");
}
