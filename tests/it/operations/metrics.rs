//! What a scrape says after requests whose every count is known, and whether the gateway may be sent more of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{scrape, secret};
use crate::serve::desk::{Desk, chat, config, streamed};
use crate::serve::upstream::{self, Upstream};

const PATH: &str = "/v1/chat/completions";

/// A gateway with a key `ci` of team `web`, a cache, and a dollar a million tokens in, two out: a completion of the test's provider, 10 tokens in and
/// 5 out, costs 20 microdollars.
async fn desk(folder: &tempfile::TempDir, upstream: &Upstream) -> Desk {
    let key = secret(folder, "key", "sk-ci");
    Desk::start(&format!(
        "version = 1\n[providers.openai]\nbase_url = \"{}/v1\"\n\
         [models.gpt-4o-mini]\ndeployments = [{{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }}]\n\
         [prices]\ndeployments.mini = {{ input = 1, output = 2 }}\n[cache]\nttl = \"1h\"\n\
         [teams.web]\nbudget = {{ limit = \"1 USD\", every = \"day\" }}\n[keys.ci]\nteam = \"web\"\nsecret = {key}\n",
        upstream.address
    ))
    .await
}

async fn provider() -> Upstream {
    Upstream::start(|n, seen| match n {
        _ if seen.body.contains("bad") => upstream::answer(400, &[], r#"{"error":{"message":"no","type":"invalid_request_error"}}"#),
        _ if seen.body.contains("\"stream\":true") => upstream::stream(&["one", " two", " three"]),
        0 => upstream::answer(503, &[("retry-after-ms", "10")], r#"{"error":{"message":"overloaded"}}"#),
        _ => upstream::completion("hello"),
    })
    .await
}

/// One served at the second attempt, one from the cache, one streamed, one that the provider refuses, one for a model that nobody has, one without a
/// key, one that is no request.
async fn seven_requests(desk: &Desk) {
    for (body, status) in [(chat("hi"), 200), (chat("hi"), 200), (streamed("tell"), 200), (chat("bad"), 400)] {
        assert_eq!(desk.post_as("sk-ci", PATH, &body).await.status, status);
    }
    assert_eq!(desk.post_as("sk-ci", PATH, &json!({ "model": "made-up-4711", "messages": [{ "role": "user", "content": "hi" }] })).await.status, 404);
    assert_eq!(desk.post_as("sk-no", PATH, &chat("hi")).await.status, 401);
    assert_eq!(desk.post_as("sk-ci", PATH, &json!([])).await.status, 400);
    desk.settled().await;
}

#[tokio::test]
async fn a_scrape_counts_what_has_happened() {
    let (folder, upstream) = (tempfile::tempdir().unwrap(), provider().await);
    let desk = desk(&folder, &upstream).await;
    seven_requests(&desk).await;
    let scrape = scrape(&desk).await;
    scrape.has(&[
        ("gwsim_requests_total{model=\"gpt-4o-mini\",outcome=\"served\"}", 2.0),
        ("gwsim_requests_total{model=\"gpt-4o-mini\",outcome=\"cached\"}", 1.0),
        ("gwsim_requests_total{model=\"gpt-4o-mini\",outcome=\"failed\"}", 1.0),
        ("gwsim_requests_total{model=\"unknown\",outcome=\"refused\"}", 1.0),
        ("gwsim_refusals_total{reason=\"unknown_model\",observed=\"false\"}", 1.0),
        ("gwsim_turned_away_total{status=\"401\"}", 1.0),
        ("gwsim_turned_away_total{status=\"400\"}", 1.0),
        ("gwsim_upstream_calls_total{deployment=\"mini\",ended=\"delivered\"}", 2.0),
        ("gwsim_upstream_calls_total{deployment=\"mini\",ended=\"unavailable\"}", 1.0),
        ("gwsim_upstream_calls_total{deployment=\"mini\",ended=\"bad_request\"}", 1.0),
        ("gwsim_tokens_total{deployment=\"mini\",class=\"input\"}", 20.0),
        ("gwsim_tokens_total{deployment=\"mini\",class=\"output\"}", 8.0),
        // 20 tokens in and 8 out.
        ("gwsim_spend_dollars_total{deployment=\"mini\",certainty=\"confirmed\"}", 0.000_036),
        ("gwsim_team_spend_dollars{team=\"web\"}", 0.000_036),
        ("gwsim_budget_used_ratio{account=\"the budget of team web, $1 every 1d\"}", 0.000_036),
        ("gwsim_cache_saved_dollars_total{model=\"gpt-4o-mini\"}", 0.000_020),
        ("gwsim_undelivered_tokens_total{deployment=\"mini\"}", 0.0),
        ("gwsim_request_duration_seconds_count{model=\"gpt-4o-mini\"}", 4.0),
        ("gwsim_request_duration_seconds_bucket{le=\"+Inf\",model=\"gpt-4o-mini\"}", 4.0),
        ("gwsim_first_token_seconds_count{model=\"gpt-4o-mini\"}", 1.0),
        ("gwsim_requests_in_flight", 0.0),
        ("gwsim_upstream_calls_in_flight", 0.0),
        ("gwsim_holds", 0.0),
        ("gwsim_deployment_cooling{deployment=\"mini\"}", 0.0),
        ("gwsim_cached_answers", 2.0),
    ]);
    assert!(!scrape.0.contains("made-up-4711"), "names that clients invent are no labels");
    assert!(scrape.0.ends_with("# EOF\n"));
    assert_eq!(scrape.series().map(|(series, _)| series).collect::<BTreeSet<_>>().len(), scrape.series().count(), "a series is there once");
}

#[tokio::test]
async fn end_users_are_no_labels_and_take_nobodys_place() {
    let upstream = provider().await;
    let more = "[budget]\nend_user = { limit = \"1 USD\", every = \"total\" }\n[models.later]\ndeployments = [\"mini\"]\n";
    let desk = Desk::start(&config(&upstream.address, more)).await;
    for number in 0..600 {
        // Each is seen, and has an account from then on.
        let mut body = chat("hi");
        body["user"] = format!("user-{number}").into();
        assert_eq!(desk.post(PATH, &body).await.status, 200);
    }
    let later = format!("{more}budget = {{ limit = \"1 USD\", every = \"total\" }}\n");
    let (_folder, loaded) = crate::serve::desk::load(&config(&upstream.address, &later));
    gwsim::serve::reload::adopt(&desk.app, loaded).unwrap();
    let scrape = scrape(&desk).await;
    scrape.has(&[("gwsim_budget_used_ratio{account=\"the budget of model later, $1 in all\"}", 0.0)]);
    assert_eq!(scrape.series().filter(|(series, _)| series.starts_with("gwsim_budget_used_ratio")).count(), 1);
    assert!(!scrape.0.contains("user-"));
}

/// What the page says: kind and labels by name.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `gwsim_"));
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let labels = cells[2].split(',').map(cell).filter(|label| !label.is_empty()).collect();
        (cell(cells[0]), (cell(cells[1]), labels))
    })
    .collect()
}

#[tokio::test]
async fn the_page_lists_what_there_is_and_nothing_else() {
    let (folder, upstream) = (tempfile::tempdir().unwrap(), provider().await);
    let desk = desk(&folder, &upstream).await;
    seven_requests(&desk).await;
    let scrape = scrape(&desk).await;
    let documented = documented();
    let types = scrape.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    // A counter's series end in `_total`, and that is the name to ask for.
    let there: BTreeMap<String, &str> =
        types.map(|(name, kind)| (if kind == "counter" { format!("{name}_total") } else { name.to_owned() }, kind)).collect();
    let listed: BTreeMap<String, &str> = documented.iter().map(|(name, (kind, _))| (name.clone(), kind.as_str())).collect();
    assert_eq!(there, listed);
    let mut seen = 0;
    for (series, _) in scrape.series() {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let base = ["_bucket", "_count", "_sum"].into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let of: BTreeSet<String> =
            labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned())).filter(|label| label != "le").collect();
        assert_eq!(of, documented[base].1, "{series}");
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

#[tokio::test]
async fn it_is_ready_until_it_goes_down_and_says_so_then() {
    let (folder, upstream) = (tempfile::tempdir().unwrap(), provider().await);
    let desk = desk(&folder, &upstream).await;
    for path in ["/health/live", "/health/ready", "/health/liveliness", "/health/readiness"] {
        assert_eq!(desk.get(path).await.status, 200, "{path}");
    }
    desk.app.shutdown.begin();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let ready = desk.get("/health/ready").await;
    assert_eq!((ready.status, ready.json()["status"].as_str()), (503, Some("going down")));
    assert_eq!(desk.get("/health/live").await.status, 200, "it is not to be killed");
    assert_eq!(desk.get("/metrics").await.status, 200);
    let refused = desk.post_as("sk-ci", PATH, &chat("hi")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert!(refused.message().contains("going down"), "{}", refused.body);
    assert!(upstream.seen().is_empty());
    assert!(desk.app.shutdown.drained(std::time::Duration::from_secs(5)).await, "who asks while it goes down holds nothing up");
}
