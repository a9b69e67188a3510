//! What the control plane says of spend is the journal's: a process that was killed and started again says the same.

use std::path::Path;

use gwsim::gateway::command::Command;
use gwsim::gateway::id::RequestId;
use gwsim::gateway::journal::Fact;
use gwsim::journal;
use serde_json::{Value, json};

use super::control::{MASTER, administered};
use super::desk::{chat, config, streamed};
use super::keeping::{ask, files};
use super::program::{Served, serve, terminate};
use super::upstream::{self, Piece, Upstream};

/// All that the control plane says of spend.
async fn told(served: &Served, keys: &[String]) -> Vec<Value> {
    let mut paths: Vec<String> = [
        "/global/spend",
        "/spend/logs?limit=10000",
        "/spend/logs?start_date=2020-01-01&end_date=2200-01-01",
        "/spend/logs?start_date=2020-01-01&end_date=2200-01-01&summarize=false&limit=10000",
        "/spend/logs?user_id=ada",
        "/key/list?return_full_object=true",
        "/team/info?team_id=ops",
        "/team/list",
    ]
    .map(str::to_owned)
    .into();
    paths.extend(keys.iter().flat_map(|key| [format!("/key/info?key={key}"), format!("/spend/logs?api_key={key}")]));
    let mut told = Vec::new();
    for path in paths {
        let (status, answer) = ask(served, MASTER, &path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        told.push(answer);
    }
    told
}

/// A dozen requests of every kind of end: served, from the cache, failed upstream, refused; by keys with and without a team, for tags and end users.
async fn traffic(served: &Served, keys: &[String], round: usize) {
    for number in 0..12 {
        let mut body = chat(&format!("{round} {}", number % 9));
        body["user"] = format!("end user {}", number % 4).into();
        body["metadata"] = json!({ "tags": [format!("tag {}", number % 3)] });
        let (status, answer) = ask(served, &keys[number % keys.len()], "/v1/chat/completions", &body).await;
        assert!([200, 429, 500, 502, 503].contains(&status), "{status}: {answer}");
    }
}

/// Whether the journal has so many requests to their ends: those that no call was made for are written within a second.
fn is_written(folder: &Path, requests: u64) -> bool {
    let state = journal::recover(&folder.join("journal"), &mut ()).unwrap().unwrap().state;
    state.next == RequestId(requests + 1) && state.in_flight().count() == 0
}

/// What the journal has of commands that block, unblock or delete, or take budgets away.
fn taken_away(folder: &Path) -> Vec<String> {
    let (_, mut reader) = journal::Reader::open(&folder.join("journal"), None).unwrap();
    let mut found = Vec::new();
    while let Some(turn) = reader.next_turn().unwrap() {
        found.extend(turn.records.iter().filter_map(|record| match &record.fact {
            Fact::Commanded(Command::BlockKey { name, blocked } | Command::BlockTeam { name, blocked }) => Some(format!("block {name}: {blocked}")),
            Fact::Commanded(Command::DeleteKey { name } | Command::DeleteTeam { name }) => Some(format!("delete {name}")),
            Fact::Commanded(Command::PutTag { name, budgets } | Command::PutEndUser { name, budgets }) if budgets.is_empty() => {
                Some(format!("no budget for {name}"))
            }
            _ => None,
        }));
    }
    found
}

fn kill(mut served: Served) {
    served.child.kill().unwrap();
    served.child.wait().unwrap();
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "it never came");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn keys(served: &Served) -> Vec<String> {
    ask(served, MASTER, "/team/new", &json!({ "team_id": "ops", "max_budget": 1, "tags": ["of the team"] })).await;
    let mut keys = Vec::new();
    for settings in [json!({ "team_id": "ops", "tags": ["a", "b"] }), json!({ "user_id": "ada" }), json!({ "max_budget": 0.000_01 })] {
        let (status, made) = ask(served, MASTER, "/key/generate", &settings).await;
        assert_eq!(status, 200, "{made}");
        keys.push(made["key"].as_str().unwrap().to_owned());
    }
    keys
}

#[tokio::test]
async fn what_is_said_of_spend_is_the_same_after_kill_9() {
    let upstream = Upstream::start(|number, _| if number % 5 == 3 { upstream::answer(500, &[], "{}") } else { upstream::completion("hello") }).await;
    let (secrets, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let more = "store = \"keys.db\"\njournal = \"journal\"\n[cache]\nttl = \"1h\"\n";
    let toml = administered(&upstream.address, secrets.path(), more);
    let mut served = serve(folder.path(), &toml);
    let keys = keys(&served).await;
    // The first start is told all turns, the later ones what a checkpoint has and the turns since.
    for round in 0..3 {
        traffic(&served, &keys, round).await;
        until(async || is_written(folder.path(), 12 * (round as u64 + 1))).await;
        let before = told(&served, &keys).await;
        assert_eq!(before[1].as_array().unwrap().len(), 12 * (round + 1), "every request is there");
        kill(served);
        served = serve(folder.path(), &toml);
        let after = told(&served, &keys).await;
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before, after, "round {round}");
        }
        // A process goes on in a segment of its own, and closes it at once, as it has no checkpoint.
        let checkpoint = format!("{:08}.checkpoint", 2 * (round + 1));
        until(async || files(folder.path()).iter().any(|(path, _)| path.ends_with(&checkpoint))).await;
    }
    served.child.kill().unwrap();
    let mut errors = String::new();
    std::io::Read::read_to_string(served.child.stderr.as_mut().unwrap(), &mut errors).unwrap();
    assert!(errors.contains("the journal goes on") && !errors.contains("begins anew"), "{errors}");
}

#[tokio::test]
async fn a_call_that_was_open_is_presumed_and_has_its_row() {
    let upstream = Upstream::start(|number, _| match number {
        0 => upstream::completion("hello"),
        _ => vec![upstream::stream_head(), upstream::chunk(&upstream::word("one")), Piece::Hang],
    })
    .await;
    let (secrets, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let toml = administered(&upstream.address, secrets.path(), "store = \"keys.db\"\njournal = \"journal\"\n");
    let served = serve(folder.path(), &toml);
    let keys = keys(&served).await;
    assert_eq!(ask(&served, &keys[0], "/v1/chat/completions", &chat("hi")).await.0, 200);
    let spend = |value: &Value| value["spend"].as_f64().unwrap();
    let info = async |served: &Served| ask(served, MASTER, &format!("/key/info?key={}", keys[0]), &Value::Null).await.1["info"].clone();
    let before = spend(&info(&served).await);
    let mut body = streamed("hi");
    body["max_tokens"] = 1000.into();
    let leaving = served.address.clone();
    let key = keys[0].clone();
    let open = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(leaving.strip_prefix("http://").unwrap()).await.unwrap();
        let body = body.to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    until(async || upstream.seen().len() == 2).await;
    kill(served);
    open.await.unwrap();

    let again = serve(folder.path(), &toml);
    let after = spend(&info(&again).await);
    // 1,000 output tokens at $0.60 a million, and the input's bound: all that was held.
    assert!(after - before >= 0.0006 && after - before < 0.0007, "{before} {after}");
    let (_, rows) = ask(&again, MASTER, "/spend/logs", &Value::Null).await;
    let row = &rows[0];
    assert_eq!((&row["status"], &row["metadata"]["presumed"], &row["model"]), (&json!("failure"), &json!(true), &json!("gpt-4o-mini")), "{row}");
    assert!((spend(row) - (after - before)).abs() < 1e-12, "{row}");
    let (_, global) = ask(&again, MASTER, "/global/spend", &Value::Null).await;
    assert!((spend(&global) - after).abs() < 1e-12 && global["requests"] == 2, "{global}");
}

#[tokio::test]
async fn what_the_file_says_no_more_is_over_with_the_next_start_and_is_told_once() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "sk-one").unwrap();
    let toml = |team: &str, own: &str, more: &str| {
        let keys = format!("[teams.t]\n{team}\n[keys.one]\nteam = \"t\"\nsecret = \"file:{}\"\n{own}\n{more}", key.display());
        config(&upstream.address, &format!("[server]\njournal = \"journal\"\n{keys}"))
    };
    let little = "budget = { limit = \"0.000001 USD\", every = \"day\" }\n";
    let default = "[budget]\nend_user = { limit = \"0.000001 USD\", every = \"day\" }\n";
    let four = format!("budget = [{}]", ["{ limit = \"1 USD\", every = \"day\" }"; 4].join(", "));
    let starts = [
        (toml("", "blocked = true", ""), 401),
        (toml("", "blocked = true", ""), 401),
        (toml("blocked = true", "", ""), 401),
        (toml("", "", &format!("[tags.web]\n{little}")), 429),
        (toml("", "", &format!("[end_users.ada]\n{little}")), 429),
        (toml("", "", default), 429),
        (toml("", "", ""), 200),
        // And budgets move to where there is no room before they have left.
        (toml("", &four, "[keys.two]\nteam = \"t\"\n"), 200),
        (toml(&four, "", ""), 200),
        (toml("", &four, ""), 200),
    ];
    for (number, (toml, expected)) in starts.iter().enumerate() {
        let mut served = serve(folder.path(), toml);
        let mut body = chat("hi");
        (body["user"], body["metadata"]) = ("ada".into(), json!({ "tags": ["web"] }));
        let (status, answer) = ask(&served, "sk-one", "/v1/chat/completions", &body).await;
        assert_eq!(status, *expected, "start {number}: {answer}");
        terminate(&served.child);
        assert!(served.child.wait().unwrap().success(), "it has written all that it knows");
    }
    let expected = ["block one: true", "block t: true", "block one: false", "block t: false", "no budget for web", "no budget for ada", "delete two"];
    assert_eq!(taken_away(folder.path()), expected);
}
