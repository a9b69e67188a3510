//! Another configuration while requests come in: taken up without one of them failing, or kept out whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gwsim::serve::reload;

use super::{scrape, secret};
use crate::serve::desk::{self, Desk, chat};
use crate::serve::program::{Served, command, started};
use crate::serve::upstream::{self, Upstream};

const PATH: &str = "/v1/chat/completions";

/// Models `a` and `b`, each on a deployment of its own, in this order or the other.
fn two_models(address: &str, swapped: bool, more: &str) -> String {
    let models =
        ["a", "b"].map(|name| format!("[models.{name}]\ndeployments = [{{ id = \"on-{name}\", provider = \"openai\", model = \"gpt-4o-mini\" }}]\n"));
    let [first, second] = if swapped { [1, 0] } else { [0, 1] };
    format!("version = 1\n[providers.openai]\nbase_url = \"{address}/v1\"\n{}{}{more}", models[first], models[second])
}

fn adopt(desk: &Desk, toml: &str) -> Result<(), Vec<String>> {
    let (_folder, config) = desk::load(toml);
    let in_force_but = reload::adopt(&desk.app, config)?;
    assert_eq!(in_force_but, Vec::<String>::new());
    Ok(())
}

fn ask(model: &str) -> serde_json::Value {
    let mut body = chat("hi");
    body["model"] = model.into();
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_notices_that_everything_was_reordered_under_it() {
    let upstream = Upstream::start(|_, _| {
        let mut pieces = upstream::completion("hello");
        pieces.insert(0, upstream::Piece::Wait(Duration::from_millis(2)));
        pieces
    })
    .await;
    let desk = Arc::new(Desk::start(&two_models(&upstream.address, false, "")).await);
    let asking: Vec<_> = ["a", "b", "a", "b"]
        .into_iter()
        .map(|model| {
            let desk = desk.clone();
            tokio::spawn(async move {
                for _ in 0..60 {
                    let answer = desk.post(PATH, &ask(model)).await;
                    assert_eq!((answer.status, answer.header("x-gwsim-deployment")), (200, format!("on-{model}").as_str()), "{}", answer.body);
                }
            })
        })
        .collect();
    for round in 0..10 {
        adopt(&desk, &two_models(&upstream.address, round % 2 == 0, "")).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for asking in asking {
        asking.await.unwrap();
    }
    desk.settled().await;
    scrape(&desk).await.has(&[
        ("gwsim_reloads_total{result=\"adopted\"}", 10.0),
        ("gwsim_reloads_total{result=\"refused\"}", 0.0),
        ("gwsim_requests_total{model=\"a\",outcome=\"served\"}", 120.0),
        ("gwsim_requests_total{model=\"b\",outcome=\"served\"}", 120.0),
        ("gwsim_upstream_calls_total{deployment=\"on-a\",ended=\"delivered\"}", 120.0),
    ]);
}

#[tokio::test]
async fn a_removed_key_is_refused_and_a_changed_budget_holds_from_the_next_request_on() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let (one, two) = (secret(&folder, "one", "sk-one"), secret(&folder, "two", "sk-two"));
    let prices = "[prices]\ndeployments.on-a = { input = 1, output = 2 }\n[budget]\nmode = \"after\"\n";
    let first = format!("{prices}[keys.one]\nsecret = {one}\nbudget = {{ limit = \"1 USD\", every = \"day\" }}\n[keys.two]\nsecret = {two}\n");
    let desk = Desk::start(&two_models(&upstream.address, false, &first)).await;
    for key in ["sk-one", "sk-two", "sk-one"] {
        assert_eq!(desk.post_as(key, PATH, &ask("a")).await.status, 200);
    }
    // Two completions of 20 microdollars are spent: what is spent stays spent, and 30 is less.
    let shrunk = format!("{prices}[keys.one]\nsecret = {one}\nbudget = {{ limit = \"0.00003 USD\", every = \"day\" }}\n");
    adopt(&desk, &two_models(&upstream.address, false, &shrunk)).unwrap();
    let calls = upstream.seen().len();
    let refused = desk.post_as("sk-one", PATH, &ask("a")).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (429, Some("budget_exceeded")), "{}", refused.body);
    assert_eq!(desk.post_as("sk-two", PATH, &ask("a")).await.status, 401);
    assert_eq!(upstream.seen().len(), calls);
    adopt(&desk, &two_models(&upstream.address, false, &first)).unwrap();
    for key in ["sk-one", "sk-two"] {
        assert_eq!(desk.post_as(key, PATH, &ask("a")).await.status, 200, "and back again: {key}");
    }
}

#[tokio::test]
async fn what_can_not_change_while_it_serves_keeps_the_rest_out_too() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let desk = Desk::start(&two_models(&upstream.address, false, "")).await;
    let faults = adopt(&desk, &two_models(&upstream.address, false, "[server]\nlisten = \"127.0.0.1:1\"\n[models.c]\ndeployments = [\"on-a\"]\n"));
    assert_eq!(faults.unwrap_err(), ["[server] listen can't change while it serves: restart it for that"]);
    for changed in [
        "journal = \"journal\"",
        "journal_segment = \"2 MiB\"",
        "journal_retention = \"1d\"",
        "durability = \"power\"",
        "store = \"keys.db\"",
        "cached_body_max = \"2 MiB\"",
        "ca_file = \"ca.pem\"",
        "connect = \"1s\"",
    ] {
        let faults = adopt(&desk, &two_models(&upstream.address, false, &format!("[server]\n{changed}\n"))).unwrap_err();
        let name = changed.split(' ').next().unwrap();
        assert_eq!(faults, [format!("[server] {name} can't change while it serves: restart it for that")]);
    }
    let missing = "[alerts]\nslack = \"env:GWSIM_TEST_NO_SUCH_HOOK\"\n";
    assert_eq!(
        adopt(&desk, &two_models(&upstream.address, false, missing)).unwrap_err(),
        ["[alerts] slack: the environment variable GWSIM_TEST_NO_SUCH_HOOK is not set"]
    );
    assert_eq!(desk.post(PATH, &ask("c")).await.status, 404);
    assert_eq!(desk.post(PATH, &ask("a")).await.status, 200);
    scrape(&desk).await.has(&[("gwsim_reloads_total{result=\"refused\"}", 10.0), ("gwsim_reloads_total{result=\"adopted\"}", 0.0)]);
    adopt(&desk, &two_models(&upstream.address, false, "[server]\ndrain = \"7s\"\nbody_max = \"1 MiB\"\n")).unwrap();
    assert_eq!(desk.app.settings().server.drain, gwsim::gateway::time::Span::from_secs(7));
}

#[tokio::test]
async fn who_is_blocked_in_the_file_is_free_again_when_the_file_says_so_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let key = secret(&folder, "key", "sk-one");
    let toml = |team: &str, own: &str| {
        two_models(&upstream.address, false, &format!("[teams.t]\n{team}\n[keys.one]\nteam = \"t\"\nsecret = {key}\n{own}\n"))
    };
    let desk = Desk::start(&toml("", "blocked = true")).await;
    let status = async || desk.post_as("sk-one", PATH, &ask("a")).await.status;
    assert_eq!(status().await, 401);
    for (team, own, expected) in
        [("", "", 200), ("blocked = true", "", 401), ("blocked = false", "", 200), ("", "blocked = true", 401), ("", "", 200)]
    {
        adopt(&desk, &toml(team, own)).unwrap();
        assert_eq!(status().await, expected, "{team} {own}");
    }
}

#[tokio::test]
async fn budgets_of_end_users_and_tags_go_with_the_file_that_gave_them() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let little = "budget = { limit = \"0.000001 USD\", every = \"day\" }\n";
    let toml = |more: &str| two_models(&upstream.address, false, more);
    let desk = Desk::start(&toml(&format!("[tags.web]\n{little}[end_users.ada]\n{little}"))).await;
    let status = async |user: &str, tag: &str| {
        let mut body = ask("a");
        (body["user"], body["metadata"]) = (user.into(), serde_json::json!({ "tags": [tag] }));
        desk.post(PATH, &body).await.status
    };
    assert_eq!((status("ada", "x").await, status("bob", "web").await, status("bob", "x").await), (429, 429, 200));
    adopt(&desk, &toml("")).unwrap();
    assert_eq!((status("ada", "x").await, status("bob", "web").await), (200, 200));
    // So does the budget that end users have who have none of their own.
    adopt(&desk, &toml("[budget]\nend_user = { limit = \"0.000001 USD\", every = \"day\" }\n")).unwrap();
    assert_eq!((status("ada", "x").await, status("bob", "x").await), (429, 429));
    adopt(&desk, &toml("[budget]\nend_user = { limit = \"1 USD\", every = \"day\" }\n")).unwrap();
    assert_eq!((status("ada", "x").await, status("bob", "x").await), (200, 200));
}

#[tokio::test]
async fn a_budget_may_move_and_what_does_not_fit_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let one = secret(&folder, "one", "sk-one");
    let budgets = |count: usize| format!("[{}]", vec!["{ limit = \"1 USD\", every = \"day\" }"; count].join(", "));
    let toml = |everyone: usize, team: usize, own: usize, more: &str| {
        let keys = format!("[teams.t]\nbudget = {}\n[keys.one]\nteam = \"t\"\nsecret = {one}\nbudget = {}\n", budgets(team), budgets(own));
        let more = format!("[budget]\nglobal = {}\n{keys}{more}", budgets(everyone));
        crate::serve::control::administered(&upstream.address, folder.path(), &format!("[models.a]\ndeployments = [\"mini\"]\n{more}"))
    };
    let desk = Desk::start(&toml(1, 0, 3, "")).await;
    for (everyone, team, own) in [(1, 3, 0), (0, 1, 3), (4, 0, 0), (1, 2, 1)] {
        adopt(&desk, &toml(everyone, team, own, "")).unwrap();
        assert_eq!(desk.post_as("sk-one", PATH, &ask("a")).await.status, 200);
    }
    // A key that was made while serving, which no reader of the file knows of.
    let settings = serde_json::json!({ "team_id": "t", "max_budget": 1 });
    let made = desk.post_as(crate::serve::control::MASTER, "/key/generate", &settings).await;
    let key = made.json()["key"].as_str().unwrap_or_else(|| panic!("{}", made.body)).to_owned();
    let faults = adopt(&desk, &toml(2, 2, 0, "[models.c]\ndeployments = [\"mini\"]\n")).unwrap_err();
    let name = made.json()["gwsim_key"].as_str().unwrap().to_owned();
    assert!(faults.len() == 1 && faults[0].starts_with(&format!("key `{name}`: 5 budgets would apply to one request")), "{faults:?}");
    assert_eq!(desk.post_as("sk-one", PATH, &ask("c")).await.status, 404, "the configuration before it is in force");
    assert_eq!(desk.post_as(&key, PATH, &ask("a")).await.status, 200);
    scrape(&desk).await.has(&[("gwsim_reloads_total{result=\"adopted\"}", 4.0), ("gwsim_reloads_total{result=\"refused\"}", 1.0)]);
}

#[tokio::test]
async fn an_open_gateway_is_not_closed_by_halves() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let desk = Desk::start(&two_models(&upstream.address, false, "")).await;
    let master = secret(&folder, "master", "sk-master");
    let words = "the gateway was started without keys, and answers everybody: restart it to have keys, or a master key";
    for more in [format!("[server]\nmaster_key = {master}\n"), format!("[keys.one]\nsecret = {master}\n")] {
        assert_eq!(adopt(&desk, &two_models(&upstream.address, false, &more)).unwrap_err(), [words]);
    }
}

#[tokio::test]
async fn notices_go_where_the_configuration_of_today_says() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let hook = Upstream::start(|_, _| upstream::answer(200, &[], "ok")).await;
    let webhook = secret(&folder, "webhook", &hook.address);
    let desk = Desk::start(&two_models(&upstream.address, false, "")).await;
    adopt(&desk, &two_models(&upstream.address, false, &format!("[alerts]\nwebhook = {webhook}\n"))).unwrap();
    desk.app.desk.put(gwsim::serve::alerts::Notice { subject: gwsim::serve::alerts::Subject::ReloadRefused, detail: "For a test.".into() });
    until(async || hook.seen().len() == 1).await;
    assert_eq!(hook.seen()[0].json()["kind"], "reload_refused");
}

/// Waits for something, for 20 s at most.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn hang_up(served: &Served) {
    assert!(std::process::Command::new("kill").args(["-HUP", &served.child.id().to_string()]).status().unwrap().success());
}

async fn get(address: &str, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

async fn post(address: &str, path: &str, body: &str) -> String {
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
    exchange(address, &format!("{head}\r\n\r\n{body}")).await
}

async fn exchange(address: &str, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_hangup_loads_the_file_again_a_bad_one_is_kept_out_and_a_good_one_is_seen_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let hook = Upstream::start(|_, _| upstream::answer(200, &[], "ok")).await;
    let webhook = secret(&folder, "webhook", &hook.address);
    let toml = |more: &str| two_models(&upstream.address, false, &format!("{more}[alerts]\nwebhook = {webhook}\n"));
    let mut served = started(command(folder.path(), &toml("")).args(["--listen", "127.0.0.1:0"]));
    let file = folder.path().join("gateway.toml");
    let has = async |what: &str| get(&served.address, "/metrics").await.contains(what);

    hang_up(&served);
    until(async || has("gwsim_reloads_total{result=\"adopted\"} 1").await).await;
    std::fs::write(&file, toml("[atempts]\nper_request = 2\n")).unwrap();
    until(async || has("gwsim_reloads_total{result=\"refused\"} 1").await).await;
    until(async || !hook.seen().is_empty()).await;
    assert_eq!(hook.seen()[0].json()["kind"], "reload_refused");
    assert!(get(&served.address, "/v1/models").await.contains("\"a\""), "the one before is in force");
    std::fs::write(&file, toml("[models.c]\ndeployments = [\"on-a\"]\n")).unwrap();
    until(async || get(&served.address, "/v1/models").await.contains("\"c\"")).await;
    assert!(has("gwsim_reloads_total{result=\"adopted\"} 2").await);

    crate::serve::program::terminate(&served.child);
    let mut log = String::new();
    std::io::Read::read_to_string(&mut served.child.stderr.take().unwrap(), &mut log).unwrap();
    assert!(log.contains("the configuration was not loaded again, the one before is in force:\nerror: unknown key `atempts`"), "{log}");
    assert_eq!(log.matches("the configuration was loaded again").count(), 2, "{log}");
}

/// Everything that a configuration was read from is looked at: a price list that it names, and the files of its secrets.
#[tokio::test]
async fn a_price_list_and_a_secret_are_seen_by_themselves_too() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let prices = |dollars: &str| format!("{{\"gpt-4o-mini\": {{\"litellm_provider\": \"openai\", \"mode\": \"chat\", {dollars}}}}}");
    std::fs::write(folder.path().join("prices.json"), prices("\"input_cost_per_token\": 1e-6, \"output_cost_per_token\": 2e-6")).unwrap();
    let key = secret(&folder, "key", "sk-before");
    let provider =
        format!("version = 1\n[prices]\nlist = \"prices.json\"\n[providers.openai]\nbase_url = \"{}/v1\"\nkey = {key}\n", upstream.address);
    let toml = format!("{provider}[models.m]\ndeployments = [{{ id = \"d\", provider = \"openai\", model = \"gpt-4o-mini\" }}]\n");
    let served = started(command(folder.path(), &toml).args(["--listen", "127.0.0.1:0"]));
    let has = async |what: &str| get(&served.address, "/metrics").await.contains(what);

    std::fs::write(folder.path().join("prices.json"), "{").unwrap();
    until(async || has("gwsim_reloads_total{result=\"refused\"} 1").await).await;
    std::fs::write(folder.path().join("prices.json"), prices("\"input_cost_per_token\": 1e-5, \"output_cost_per_token\": 2e-5")).unwrap();
    until(async || has("gwsim_reloads_total{result=\"adopted\"} 1").await).await;
    secret(&folder, "key", "sk-of-today");
    until(async || has("gwsim_reloads_total{result=\"adopted\"} 2").await).await;

    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let answer = post(&served.address, PATH, body).await;
    // 10 and 5 tokens.
    assert!(answer.to_ascii_lowercase().contains("x-gwsim-cost: 0.0002"), "at the prices of today: {answer}");
    assert_eq!(upstream.seen()[0].header("authorization"), Some("Bearer sk-of-today"));
}
