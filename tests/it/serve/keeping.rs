//! What of the control plane outlives the process, and what is nowhere to be found in what it leaves.

use std::path::Path;

use serde_json::{Value, json};

use super::control::{MASTER, administered};
use super::desk::{Desk, chat};
use super::program::{Served, serve};
use super::upstream::{self, Upstream};

/// Asks a gateway in another process.
pub async fn ask(served: &Served, key: &str, path: &str, body: &Value) -> (u16, Value) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(served.address.strip_prefix("http://").unwrap()).await.unwrap();
    let (method, body) = if body.is_null() { ("GET", String::new()) } else { ("POST", body.to_string()) };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

async fn talk(served: &Served, key: &str) -> (u16, Option<String>) {
    let (status, answer) = ask(served, key, "/v1/chat/completions", &chat("a prompt of 4711 marks")).await;
    (status, answer["error"]["code"].as_str().map(str::to_owned))
}

/// Every file below a folder with its bytes.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn keys_survive_kill_9_and_no_secret_is_left_anywhere() {
    let upstream = Upstream::start(|_, _| upstream::completion("an answer of 4711 marks")).await;
    let (secrets, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let toml = administered(&upstream.address, secrets.path(), "store = \"keys.db\"\n");
    let mut served = serve(folder.path(), &toml.replace("store =", "journal = \"journal\"\nstore ="));
    let mut told = Vec::new();
    let mut keys = Vec::new();
    let (_, team) = ask(&served, MASTER, "/team/new", &json!({ "team_id": "ops", "max_budget": 1 })).await;
    told.push(team);
    for settings in [json!({ "team_id": "ops" }), json!({ "max_budget": 0.000_001 }), json!({ "blocked": true }), json!({}), json!({})] {
        let (status, made) = ask(&served, MASTER, "/key/generate", &settings).await;
        assert_eq!(status, 200, "{made}");
        keys.push(made["key"].as_str().unwrap().to_owned());
    }
    assert_eq!(talk(&served, &keys[0]).await, (200, None));
    told.push(ask(&served, MASTER, "/key/delete", &json!({ "keys": [keys[3]] })).await.1);
    let regenerated = ask(&served, MASTER, "/key/regenerate", &json!({ "key": keys[4] })).await.1;
    let old = std::mem::replace(&mut keys[4], regenerated["key"].as_str().unwrap().to_owned());
    told.push(ask(&served, MASTER, "/key/list?return_full_object=true", &Value::Null).await.1);
    told.push(ask(&served, MASTER, "/spend/logs", &Value::Null).await.1);
    told.push(ask(&served, &keys[0], "/key/info", &Value::Null).await.1);
    served.child.kill().unwrap();
    let _ = served.child.wait();
    let mut log = String::new();
    std::io::Read::read_to_string(served.child.stderr.as_mut().unwrap(), &mut log).unwrap();

    let again = serve(folder.path(), &toml);
    assert_eq!(talk(&again, &keys[0]).await, (200, None));
    assert_eq!(talk(&again, &keys[1]).await, (429, Some("budget_exceeded".into())));
    assert_eq!(talk(&again, &keys[2]).await, (401, Some("key_blocked".into())));
    assert_eq!(talk(&again, &keys[3]).await, (401, Some("invalid_api_key".into())), "it was deleted");
    assert_eq!(talk(&again, &keys[4]).await, (200, None));
    assert_eq!(talk(&again, &old).await, (401, Some("invalid_api_key".into())), "another took its place");
    assert_eq!(ask(&again, MASTER, "/key/list", &Value::Null).await.1["total_count"], 4);

    let kept = files(folder.path());
    for name in ["keys.db", "journal"] {
        assert!(kept.iter().any(|(path, bytes)| path.contains(name) && !bytes.is_empty()), "{name} was looked into");
    }
    for secret in keys.iter().chain([&old]).map(String::as_str).chain([MASTER, "4711 marks"]) {
        // Without its first letters, too: nothing of it is kept under another.
        let core = secret.strip_prefix("sk-").unwrap_or(secret);
        for (path, bytes) in &kept {
            assert!(!has(bytes, core), "{path} has {secret}");
        }
        assert!(!log.contains(core), "the log has {secret}");
        assert!(told.iter().all(|answer| !answer.to_string().contains(core)), "an answer has {secret}");
    }
}

#[tokio::test]
async fn keys_of_the_store_are_left_out_where_they_no_longer_fit_the_configuration() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let store = format!("store = \"{}\"\n", folder.path().join("keys.db").display());
    let more = "[teams.ops]\n[models.other]\ndeployments = [\"mini\"]\n";
    let first = Desk::start(&administered(&upstream.address, folder.path(), &format!("{store}{more}"))).await;
    let mut keys = Vec::new();
    for settings in [json!({ "team_id": "ops" }), json!({ "models": ["other"] }), json!({ "key_alias": "late" })] {
        let made = first.post_as(MASTER, "/key/generate", &settings).await;
        keys.push(made.json()["key"].as_str().unwrap_or_else(|| panic!("{}", made.body)).to_owned());
    }
    drop(first);
    // The team and the model are gone, and the name is another key's.
    let second = Desk::start(&administered(&upstream.address, folder.path(), &format!("{store}[keys.late]\n"))).await;
    let status = |key: String| {
        let desk = &second;
        async move { desk.post_as(&key, "/v1/chat/completions", &chat("hi")).await.status }
    };
    assert_eq!(status(keys[0].clone()).await, 401);
    assert_eq!(status(keys[1].clone()).await, 403, "a list of models that are gone is not a list of all");
    assert_eq!(status(keys[2].clone()).await, 401);
    let notes = second.notes.join("\n");
    assert!(notes.contains("there is no team `ops`") && notes.contains("key `late` of the store is passed over"), "{notes}");
}

#[tokio::test]
async fn a_store_with_keys_closes_a_gateway_that_would_be_open() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let store = format!("store = \"{}\"\n", folder.path().join("keys.db").display());
    let first = Desk::start(&administered(&upstream.address, folder.path(), &store)).await;
    let key = first.post_as(MASTER, "/key/generate", &json!({})).await.json()["key"].as_str().unwrap().to_owned();
    drop(first);
    let second = Desk::start(&super::desk::config(&upstream.address, &format!("[server]\n{store}"))).await;
    assert_eq!(second.chat("hi").await.status, 401, "without the master key, too");
    assert_eq!(second.post_as(&key, "/v1/chat/completions", &chat("hi")).await.status, 200);
}

#[tokio::test]
async fn what_the_store_can_not_keep_is_taken_back_or_said() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let desk = Desk::start(&administered(&upstream.address, folder.path(), &format!("store = \"{}\"\n", path.display()))).await;
    let made = desk.post_as(MASTER, "/key/generate", &json!({ "key_alias": "ci", "max_budget": 0.000_001 })).await.json();
    let key = made["key"].as_str().unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TRIGGER full BEFORE INSERT ON keys BEGIN SELECT RAISE(ABORT, 'no room'); END;").unwrap();
    other.execute_batch("CREATE TRIGGER stuck BEFORE DELETE ON keys BEGIN SELECT RAISE(ABORT, 'no room'); END;").unwrap();
    let status = || async { desk.post_as(key, "/v1/chat/completions", &chat("hi")).await.status };

    let raised = desk.post_as(MASTER, "/key/update", &json!({ "key": "ci", "max_budget": 10 })).await;
    assert_eq!((raised.status, raised.message().contains("no room; nothing has changed")), (500, true), "{}", raised.body);
    assert_eq!(status().await, 429, "the larger budget was taken back");
    let new = desk.post_as(MASTER, "/key/generate", &json!({ "key": "sk-chosen-0123456789abcdef" })).await;
    assert_eq!(new.status, 500);
    assert_eq!(desk.post_as("sk-chosen-0123456789abcdef", "/v1/chat/completions", &chat("hi")).await.status, 401);
    let blocked = desk.post_as(MASTER, "/key/block", &json!({ "key": "ci" })).await;
    assert!(blocked.status == 500 && blocked.message().contains("the key is blocked now, but"), "{}", blocked.body);
    assert_eq!(status().await, 401, "what stops a key stays");
    other.execute_batch("DROP TRIGGER full;").unwrap();
    assert_eq!(desk.post_as(MASTER, "/key/update", &json!({ "key": "ci", "user_id": "ada" })).await.status, 200);
    assert_eq!(status().await, 401, "and another change does not let it go again");
    let deleted = desk.post_as(MASTER, "/key/delete", &json!({ "keys": ["ci"] })).await;
    assert!(deleted.status == 500 && deleted.message().contains("ask again"), "{}", deleted.body);
    assert_eq!(status().await, 401);
    assert_eq!(desk.post_as(MASTER, "/key/update", &json!({ "key": "ci", "user_id": "bob" })).await.status, 400);
    assert_eq!(status().await, 401, "nobody comes back by a change of something else");
    other.execute_batch("DROP TRIGGER stuck;").unwrap();
    assert_eq!(desk.post_as(MASTER, "/key/delete", &json!({ "keys": [key] })).await.status, 200, "asked again, by its secret");
    assert_eq!(desk.post_as(MASTER, "/key/delete", &json!({ "keys": [made["token"]] })).await.status, 404, "it is gone");
}

#[tokio::test]
async fn a_change_that_the_store_can_not_keep_leaves_what_a_budget_has_counted() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let desk = Desk::start(&administered(&upstream.address, folder.path(), &format!("store = \"{}\"\n", path.display()))).await;
    let team = desk.post_as(MASTER, "/team/new", &json!({ "team_id": "ops", "max_budget": 1, "budget_duration": "1d" })).await;
    assert_eq!(team.status, 200, "{}", team.body);
    let settings = json!({ "key_alias": "ci", "team_id": "ops", "max_budget": 1, "budget_duration": "1d" });
    let made = desk.post_as(MASTER, "/key/generate", &settings).await.json();
    let key = made["key"].as_str().unwrap();
    assert_eq!(desk.post_as(key, "/v1/chat/completions", &chat("hi")).await.status, 200);
    let other = rusqlite::Connection::open(&path).unwrap();
    for table in ["keys", "teams"] {
        let full = format!("CREATE TRIGGER full_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no room'); END;");
        other.execute_batch(&full).unwrap();
    }
    for (path, body) in
        [("/key/update", json!({ "key": "ci", "budget_duration": "1h" })), ("/team/update", json!({ "team_id": "ops", "budget_duration": "1h" }))]
    {
        let refused = desk.post_as(MASTER, path, &body).await;
        assert_eq!((refused.status, refused.message().contains("no room; nothing has changed")), (500, true), "{}", refused.body);
    }
    let spent = desk.read(|gateway| {
        let (budget, now) = (gateway.budget(), desk.app.engine.clock().now());
        budget.accounts().map(|account| budget.used(account, now).0).collect::<Vec<_>>()
    });
    assert!(spent.len() == 2 && spent.iter().all(|amount| amount.0 == 4_500_000), "{spent:?}");
}

#[tokio::test]
async fn keys_that_were_made_here_outlive_a_reload() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let toml = |more: &str| administered(&upstream.address, folder.path(), more);
    let other = "[models.other]\ndeployments = [\"mini\"]\n";
    let desk = Desk::start(&toml(other)).await;
    let mut keys = Vec::new();
    for settings in [json!({}), json!({ "models": ["other"] }), json!({ "key_alias": "late" })] {
        let made = desk.post_as(MASTER, "/key/generate", &settings).await;
        keys.push(made.json()["key"].as_str().unwrap_or_else(|| panic!("{}", made.body)).to_owned());
    }
    let adopt = |more: &str| gwsim::serve::reload::adopt(&desk.app, super::desk::load(&toml(more)).1).unwrap();
    let status = async |key: &str, model: &str| {
        let mut body = chat("hi");
        body["model"] = model.into();
        desk.post_as(key, "/v1/chat/completions", &body).await.status
    };
    let recorded = || desk.read(|gateway| gateway.directory().key_names().len());
    let before = recorded();
    // The model goes, and the configuration takes a name.
    adopt("[keys.late]\n");
    assert_eq!((status(&keys[0], "gpt-4o-mini").await, status(&keys[1], "other").await), (200, 404));
    // A key that lists it can be changed all the same, in what has nothing to do with it.
    let changed = desk.post_as(MASTER, "/key/update", &json!({ "key": keys[1], "user_id": "ada" })).await;
    assert_eq!((changed.status, &changed.json()["models"]), (200, &json!(["other"])), "{}", changed.body);
    let again = desk.post_as(MASTER, "/key/regenerate", &json!({ "key": keys[1] })).await;
    keys[1] = again.json()["key"].as_str().unwrap_or_else(|| panic!("{}", again.body)).to_owned();
    let named = desk.post_as(MASTER, "/key/update", &json!({ "key": keys[1], "models": ["other"] })).await;
    assert_eq!((named.status, named.json()["error"]["code"].as_str()), (400, Some("model_not_found")));
    assert_eq!(status(&keys[2], "gpt-4o-mini").await, 401, "its name is another key's");
    // And back.
    adopt(other);
    assert_eq!((status(&keys[0], "other").await, status(&keys[1], "other").await), (200, 200));
    assert_eq!((status(&keys[1], "gpt-4o-mini").await, status(&keys[2], "gpt-4o-mini").await), (403, 200));
    assert_eq!(recorded(), before);
}
