//! The control plane over HTTP: the whole life of keys and teams, who may do what, races, and what is never shown or kept.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gwsim::gateway::Outstanding;
use gwsim::gateway::money::Money;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::desk::{Answer, Desk, chat, config};
use super::upstream::{self, Upstream};

pub const MASTER: &str = "sk-master-2fd8a1c06b7e4935";
/// 10 input tokens and 5 output tokens of gpt-4o-mini: $0.15 and $0.60 a million (built-in price list).
const ONE_ANSWER: Money = Money(10 * 150_000 + 5 * 600_000);

/// A gateway with a master key, and with whatever `more` says of its server and beyond.
pub fn administered(upstream: &str, folder: &Path, more: &str) -> String {
    let master = folder.join("master");
    std::fs::write(&master, MASTER).unwrap();
    config(upstream, &format!("[server]\nmaster_key = \"file:{}\"\n{more}", master.display()))
}

async fn start(more: &str) -> (Upstream, TempDir, Desk) {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::start(&administered(&upstream.address, folder.path(), more)).await;
    (upstream, folder, desk)
}

async fn ask(desk: &Desk, path: &str, body: Value) -> Value {
    let answer = desk.post_as(MASTER, path, &body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

async fn look_as(desk: &Desk, key: &str, path: &str) -> Answer {
    let mut request = desk.request(path, "");
    *request.method_mut() = Method::GET;
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    desk.send(request).await
}

async fn look(desk: &Desk, path: &str) -> Value {
    let answer = look_as(desk, MASTER, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

/// The status of a request with a key, and the code of its error.
async fn talk(desk: &Desk, key: &str) -> (u16, String) {
    let answer = desk.post_as(key, "/v1/chat/completions", &chat("hi")).await;
    let code = if answer.status == 200 { String::new() } else { answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned() };
    (answer.status, code)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[tokio::test]
async fn a_key_has_a_life() {
    let (upstream, _folder, desk) = start("").await;
    // What the field report sends, and a field more that changes nothing.
    let made = ask(
        &desk,
        "/key/generate",
        json!({
            "key_alias": "intern", "models": ["gpt-4o-mini"], "max_budget": 50.0, "budget_duration": "1d", "rpm_limit": 100, "tpm_limit": 100_000,
            "max_parallel_requests": 5, "duration": "30d", "metadata": { "team": "growth" }, "tags": ["growth"], "send_invite_email": true,
        }),
    )
    .await;
    let key = text(&made["key"]).to_owned();
    assert!(key.starts_with("sk-") && key.len() == 67, "32 bytes in hexadecimal digits");
    assert_eq!(made["key_name"], format!("sk-...{}", &key[63..]));
    assert_eq!((&made["max_budget"], &made["rpm_limit"], &made["send_invite_email"]), (&json!(50.0), &json!(100), &json!(true)));
    assert_eq!(made["token"], made["token_id"]);
    assert!(text(&made["expires"]).ends_with('Z') && text(&made["budget_reset_at"]).ends_with("T00:00:00Z"));

    assert_eq!(talk(&desk, &key).await.0, 200);
    let own = look_as(&desk, &key, "/key/info").await.json();
    assert_eq!((&own["info"]["spend"], &own["info"]["total_spend"], &own["key"]), (&json!(0.000_004_5), &json!(0.000_004_5), &made["token"]));
    assert_eq!(own["info"]["metadata"], json!({ "team": "growth" }));
    assert_eq!(own["info"], look(&desk, &format!("/key/info?key={key}")).await["info"], "by its secret");
    assert_eq!(own["info"], look(&desk, &format!("/key/info?key={}", text(&made["token"]))).await["info"], "by its token");

    ask(&desk, "/key/block", json!({ "key": key })).await;
    assert_eq!(talk(&desk, &key).await, (401, "key_blocked".into()));
    ask(&desk, "/key/unblock", json!({ "key": made["token"] })).await;
    assert_eq!(talk(&desk, &key).await.0, 200);

    // Two answers are spent: a third does not fit what is left.
    ask(&desk, "/key/update", json!({ "key": key, "max_budget": 0.000_01 })).await;
    assert_eq!(talk(&desk, &key).await, (429, "budget_exceeded".into()));
    ask(&desk, "/key/update", json!({ "key": key, "max_budget": null, "budget_duration": null, "rpm_limit": 4 })).await;
    let (third, fourth) = (talk(&desk, &key).await, talk(&desk, &key).await);
    assert_eq!((third.0, fourth), (200, (429, "rate_limit_exceeded".into())), "three were counted before, the one that the budget refused too");
    ask(&desk, "/key/update", json!({ "key": key, "rpm_limit": null })).await;

    let again = ask(&desk, &format!("/key/{}/regenerate", text(&made["token"])), json!({})).await;
    let second = text(&again["key"]).to_owned();
    assert_eq!((&again["key_alias"], &again["total_spend"]), (&json!("intern"), &json!(0.000_013_5)), "it is the same key");
    assert_eq!(talk(&desk, &key).await, (401, "invalid_api_key".into()));
    assert_eq!(talk(&desk, &second).await.0, 200);

    assert_eq!(look(&desk, "/key/list").await["keys"], json!([again["token"]]));
    assert_eq!(ask(&desk, "/key/delete", json!({ "keys": [second] })).await["deleted_keys"], json!([again["token"]]));
    assert_eq!(talk(&desk, &second).await, (401, "invalid_api_key".into()));
    assert_eq!(look(&desk, "/key/list").await["total_count"], 0);
    assert_eq!(upstream.seen().len(), 4, "one call for each 200");
    assert_eq!(desk.settled().await, Outstanding::default());

    // A new key of the same name has not spent what the deleted one has.
    let new = ask(&desk, "/key/generate", json!({ "key_alias": "intern", "max_budget": 0.01 })).await;
    assert_eq!((&new["key_alias"], &new["spend"], &new["total_spend"]), (&json!("intern"), &json!(0.0), &json!(0.0)));
}

#[tokio::test]
async fn a_team_bounds_its_keys_and_takes_them_along() {
    let (_upstream, _folder, desk) = start("[models.other]\ndeployments = [\"mini\"]\n").await;
    let team =
        ask(&desk, "/team/new", json!({ "team_alias": "growth", "models": ["gpt-4o-mini"], "max_budget": 0.01, "members_with_roles": [] })).await;
    let id = text(&team["team_id"]).to_owned();
    let first = ask(&desk, "/key/generate", json!({ "team_id": id })).await;
    let second = ask(&desk, "/key/generate", json!({ "team_id": id, "models": ["other"] })).await;
    let keys = [text(&first["key"]), text(&second["key"])];
    assert_eq!(talk(&desk, keys[0]).await.0, 200);
    assert_eq!(talk(&desk, keys[1]).await, (403, "model_not_allowed".into()), "the team may not, so its keys may not");
    let shown = look(&desk, &format!("/team/info?team_id={id}")).await;
    assert_eq!((&shown["team_info"]["spend"], shown["keys"].as_array().map(Vec::len)), (&json!(0.000_004_5), Some(2)));
    assert_eq!(look_as(&desk, keys[0], &format!("/team/info?team_id={id}")).await.json()["keys"], json!([]), "others are no key's business");
    ask(&desk, "/team/update", json!({ "team_id": id, "max_budget": 0.000_005 })).await;
    assert_eq!(talk(&desk, keys[0]).await, (429, "budget_exceeded".into()));
    ask(&desk, "/team/update", json!({ "team_id": id, "max_budget": null })).await;
    ask(&desk, "/team/block", json!({ "team_id": id })).await;
    assert_eq!(talk(&desk, keys[0]).await, (401, "key_blocked".into()));
    ask(&desk, "/team/unblock", json!({ "team_id": id })).await;
    assert_eq!(talk(&desk, keys[0]).await.0, 200);
    ask(&desk, "/team/delete", json!({ "team_ids": [id] })).await;
    assert_eq!(talk(&desk, keys[0]).await, (401, "invalid_api_key".into()));
    assert_eq!((look(&desk, "/team/list").await, &look(&desk, "/key/list").await["total_count"]), (json!([]), &json!(0)));
    let again = desk.post_as(MASTER, "/team/new", &json!({ "team_id": id })).await;
    assert_eq!((again.status, again.json()["error"]["code"].as_str()), (400, Some("team_taken")));
}

#[tokio::test]
async fn only_the_master_key_administers() {
    let (_upstream, _folder, desk) = start("").await;
    let made = ask(&desk, "/key/generate", json!({})).await;
    let key = text(&made["key"]);
    for path in ["/key/generate", "/key/update", "/key/delete", "/key/block", "/team/new", "/team/delete", "/key/regenerate"] {
        assert_eq!(desk.post_as(key, path, &json!({ "key": key })).await.status, 403, "{path}");
        assert_eq!(desk.post_as("sk-of-nobody-at-all", path, &json!({})).await.status, 401, "{path}");
        assert_eq!(desk.post(path, &json!({})).await.status, 401, "{path}");
        assert_eq!(look_as(&desk, MASTER, path).await.status, 405, "{path}");
    }
    for path in ["/key/list", "/team/list", "/spend/logs", "/global/spend"] {
        assert_eq!(look_as(&desk, key, path).await.status, 403, "{path}");
    }
    let other = ask(&desk, "/key/generate", json!({})).await;
    assert_eq!(look_as(&desk, key, &format!("/key/info?key={}", text(&other["key"]))).await.status, 403);
    assert_eq!(look_as(&desk, key, "/model/info").await.json()["data"][0]["model_name"], "gpt-4o-mini");
    let info = &look(&desk, "/v1/model/info").await["data"][0]["model_info"];
    assert_eq!((&info["input_cost_per_token"], &info["output_cost_per_token"]), (&json!(0.000_000_15), &json!(0.000_000_6)));
    // The master key itself calls no models: nobody's budget would hold it.
    assert_eq!(talk(&desk, MASTER).await.0, 401);

    let closed = Desk::start(&config("http://127.0.0.1:9", "")).await;
    let answer = closed.post_as(MASTER, "/key/generate", &json!({})).await;
    assert_eq!(answer.status, 403);
    assert!(answer.message().contains("master_key = \"env:"), "{}", answer.message());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let (_upstream, _folder, desk) = start("").await;
    let wrong = [
        (json!({ "max_budget": "50" }), "max_budget"),
        (json!({ "max_budget": -1 }), "max_budget"),
        (json!({ "max_budget": 0 }), "max_budget"),
        (json!({ "budget_duration": "1d" }), "budget_duration"),
        (json!({ "max_budget": 1, "budget_duration": "yearly" }), "budget_duration"),
        (json!({ "max_budget": 1, "soft_budget": 2 }), "soft_budget"),
        (json!({ "duration": "soon" }), "duration"),
        (json!({ "models": ["gpt-9"] }), "models"),
        (json!({ "models": "gpt-4o-mini" }), "models"),
        (json!({ "rpm_limit": 1.5 }), "rpm_limit"),
        (json!({ "rpm": 10 }), "rpm"),
        (json!({ "model_max_budget": { "gpt-4o-mini": 1 } }), "model_max_budget"),
        (json!({ "team_id": "nobody" }), "team_id"),
        (json!({ "key": "sk-short" }), "key"),
        (json!({ "key": MASTER }), "key"),
        (json!({ "key_alias": "a\u{0}b" }), "key_alias"),
        (json!({ "key_alias": "x".repeat(300) }), "key_alias"),
        (json!({ "metadata": { "x": "y".repeat(20_000) } }), "metadata"),
    ];
    for (body, field) in wrong {
        let answer = desk.post_as(MASTER, "/key/generate", &body).await;
        let error = &answer.json()["error"];
        assert!(answer.status == 400 || answer.status == 404, "{body}: {}", answer.body);
        assert_eq!(error["param"].as_str(), Some(field), "{body}: {}", answer.body);
        assert!(!answer.body.contains(MASTER) && text(&error["message"]).len() > 20, "{}", answer.body);
    }
    for body in ["[1]", "{", "\"x\"", "{\"a\":\u{1}}"] {
        let mut request = desk.request("/key/generate", body);
        request.headers_mut().insert("authorization", format!("Bearer {MASTER}").parse().unwrap());
        assert_eq!(desk.send(request).await.status, 400, "{body}");
    }
    let mut huge = desk.request("/key/generate", format!("{{\"metadata\": {{\"x\": \"{}\"}}}}", "y".repeat(3 << 20)));
    huge.headers_mut().insert("authorization", format!("Bearer {MASTER}").parse().unwrap());
    assert_eq!(desk.send(huge).await.status, 413);
    for path in ["/key/update", "/key/block", "/key/regenerate"] {
        assert_eq!(desk.post_as(MASTER, path, &json!({ "key": "sk-of-nobody-at-all" })).await.status, 404, "{path}");
        assert_eq!(desk.post_as(MASTER, path, &json!({})).await.status, 400, "{path}");
    }
    assert_eq!(look(&desk, "/key/list").await["total_count"], 0);

    // Names that would be statements are names.
    let alias = "Robert'); DROP TABLE keys;--";
    ask(&desk, "/key/generate", json!({ "key_alias": alias, "tags": ["\"; DELETE FROM teams; --"] })).await;
    let twice = desk.post_as(MASTER, "/key/generate", &json!({ "key_alias": alias })).await;
    assert_eq!((twice.status, twice.json()["error"]["code"].as_str()), (400, Some("alias_taken")));
    let page = look(&desk, "/key/list?return_full_object=true&size=1").await;
    assert_eq!((&page["keys"][0]["key_alias"], &page["total_pages"]), (&json!(alias), &json!(1)));
    // All or none.
    assert_eq!(desk.post_as(MASTER, "/key/delete", &json!({ "keys": ["nobody"], "key_aliases": [alias] })).await.status, 404);
    assert_eq!(look(&desk, "/key/list").await["total_count"], 1);
}

#[tokio::test]
async fn what_was_spent_is_not_set_to_nothing_as_clients_of_litellm_may_ask() {
    let (_upstream, _folder, desk) = start("").await;
    ask(&desk, "/team/new", json!({ "team_id": "ops", "max_budget": 1 })).await;
    // What a client sends of a new key is so.
    let made = ask(&desk, "/key/generate", json!({ "key_alias": "ci", "max_budget": 1, "spend": 0 })).await;
    assert_eq!(talk(&desk, text(&made["key"])).await.0, 200);
    for (path, body) in [
        ("/key/update", json!({ "key": "ci", "spend": 0 })),
        ("/key/regenerate", json!({ "key": "ci", "spend": 0.0 })),
        ("/team/update", json!({ "team_id": "ops", "spend": 0 })),
    ] {
        let refused = desk.post_as(MASTER, path, &body).await;
        let error = &refused.json()["error"];
        assert_eq!(
            (refused.status, &error["code"], &error["param"]),
            (400, &json!("unsupported_field"), &json!("spend")),
            "{path}: {}",
            refused.body
        );
        assert!(text(&error["message"]).contains("`spend` can't be set"), "{}", refused.body);
    }
    assert_eq!(ask(&desk, "/key/update", json!({ "key": "ci", "spend": null })).await["spend"], json!(0.000_004_5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_admitted_after_the_answer_to_a_block() {
    let (_upstream, _folder, desk) = start("").await;
    let desk = Arc::new(desk);
    let made = ask(&desk, "/key/generate", json!({})).await;
    let key: Arc<str> = text(&made["key"]).into();
    let is_blocked = Arc::new(AtomicBool::new(false));
    let users = (0..64).map(|_| {
        let (desk, key, is_blocked) = (desk.clone(), key.clone(), is_blocked.clone());
        tokio::spawn(async move {
            let mut admitted = 0;
            for _ in 0..12 {
                // What is seen before the request leaves was answered before it came.
                let after = is_blocked.load(Ordering::SeqCst);
                let (status, _) = talk(&desk, &key).await;
                assert!(status == 401 || (status == 200 && !after), "{status} after the block: {after}");
                admitted += u32::from(status == 200);
            }
            admitted
        })
    });
    let users: Vec<_> = users.collect();
    let blockers = (0..64).map(|_| {
        let (desk, key, is_blocked) = (desk.clone(), key.clone(), is_blocked.clone());
        tokio::spawn(async move {
            let answer = desk.post_as(MASTER, "/key/block", &json!({ "key": &*key })).await;
            is_blocked.store(true, Ordering::SeqCst);
            assert_eq!(answer.status, 200, "{}", answer.body);
        })
    });
    for blocker in blockers.collect::<Vec<_>>() {
        blocker.await.unwrap();
    }
    let mut admitted = 0;
    for user in users {
        admitted += user.await.unwrap();
    }
    assert_eq!(talk(&desk, &key).await, (401, "key_blocked".into()));
    assert_eq!(desk.settled().await, Outstanding::default());
    assert_eq!(desk.spent().0, Money(i128::from(admitted) * ONE_ANSWER.0));
}

#[tokio::test]
async fn what_was_spent_is_told_by_request_by_day_and_in_all() {
    let (_upstream, _folder, desk) = start("").await;
    let made = ask(&desk, "/key/generate", json!({ "key_alias": "ci", "user_id": "ada" })).await;
    let other = ask(&desk, "/key/generate", json!({})).await;
    let mut body = chat("hi");
    body["user"] = "grace".into();
    let answer = desk.post_as(text(&made["key"]), "/v1/chat/completions", &body).await;
    talk(&desk, text(&other["key"])).await;
    let mut unknown = chat("hi");
    unknown["model"] = "gpt-9".into();
    desk.post_as(text(&made["key"]), "/v1/chat/completions", &unknown).await;
    desk.settled().await;

    let rows = look(&desk, "/spend/logs").await;
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.iter().map(|row| text(&row["status"])).collect::<Vec<_>>(), ["failure", "success", "success"], "newest first");
    let found = look(&desk, &format!("/spend/logs?request_id={}", answer.header("x-gwsim-request-id"))).await;
    assert_eq!(found[0], rows[2]);
    let row = &rows[2];
    assert_eq!((&row["api_key"], &row["end_user"], &row["spend"]), (&made["token"], &json!("grace"), &json!(0.000_004_5)));
    assert_eq!((&row["prompt_tokens"], &row["completion_tokens"], &row["model_id"]), (&json!(10), &json!(5), &json!("mini")));
    let of = |query: String| {
        let desk = &desk;
        async move { look(desk, &format!("/spend/logs?{query}")).await.as_array().map(Vec::len) }
    };
    assert_eq!(of(format!("api_key={}", text(&made["key"]))).await, Some(2));
    assert_eq!(of("user_id=ada".into()).await, Some(2));
    assert_eq!(of("limit=1".into()).await, Some(1));
    assert_eq!(of("api_key=sk-of-nobody-at-all".into()).await, Some(0), "nobody's are none");
    assert_eq!(look_as(&desk, MASTER, "/spend/logs?start_date=yesterday").await.status, 400);
    let days = look(&desk, "/spend/logs?start_date=2020-01-01&end_date=2100-01-01").await;
    let sum = |field: &str| days.as_array().unwrap().iter().map(|day| day[field].as_f64().unwrap()).sum::<f64>();
    // Two amounts of a few microdollars, as floats: far apart from the next picodollar.
    assert!((sum("spend") - 0.000_009).abs() < 1e-13 && sum("api_requests") == 3.0, "{days}");
    let total = look(&desk, "/global/spend").await;
    // A long list, which is put together in pieces, has everything once and in its order.
    for _ in 0..120 {
        talk(&desk, text(&other["key"])).await;
    }
    desk.settled().await;
    let long = look(&desk, "/spend/logs?limit=10000").await;
    let ids: Vec<u64> = long.as_array().unwrap().iter().map(|row| text(&row["request_id"]).parse().unwrap()).collect();
    assert_eq!(ids, (1..=123).rev().collect::<Vec<_>>());
    assert_eq!((&total["spend"], &total["requests"], &total["failed_requests"]), (&json!(0.000_009), &json!(3), &json!(1)));
}

#[tokio::test]
async fn keys_of_the_configuration_are_shown_but_changed_there() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("ci");
    std::fs::write(&secret, "sk-ci-of-the-configuration").unwrap();
    let more = format!(
        "[teams.ops]\n[keys.ci]\nteam = \"ops\"\nsecret = \"file:{}\"\nbudget = {{ limit = \"1 USD\", every = \"day\" }}\n",
        secret.display()
    );
    let desk = Desk::start(&administered("http://127.0.0.1:9", folder.path(), &more)).await;
    let own = look_as(&desk, "sk-ci-of-the-configuration", "/key/info").await.json();
    assert_eq!(
        (&own["info"]["max_budget"], &own["info"]["team_id"], &own["info"]["of_the_configuration"]),
        (&json!(1.0), &json!("ops"), &json!(true))
    );
    for (path, body) in
        [("/key/update", json!({ "key": "ci" })), ("/key/delete", json!({ "keys": ["ci"] })), ("/team/update", json!({ "team_id": "ops" }))]
    {
        let answer = desk.post_as(MASTER, path, &body).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("of_the_configuration")), "{path}");
    }
    let taken = desk.post_as(MASTER, "/key/generate", &json!({ "key_alias": "ci" })).await;
    assert_eq!(taken.json()["error"]["code"], "alias_taken");
    let member = ask(&desk, "/key/generate", json!({ "team_id": "ops" })).await;
    assert_eq!(member["team_id"], "ops", "keys may join a team of the configuration");
}
