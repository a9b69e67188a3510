//! What the log says of requests, and what neither it nor anything else that is kept may ever say.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::secret;
use crate::serve::desk::chat;
use crate::serve::program::{command, started, terminate};
use crate::serve::upstream::{self, Upstream};

const KEY: &str = "sk-MARKED-KEY";
const PROMPT: &str = "MARKED-PROMPT";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Serves four requests: one served, one failed whose provider quotes the gateway's key, one with another key, one that is none. What is left of it:
/// the log, and a scrape.
async fn logged(folder: &Path, change: impl FnOnce(&mut Command)) -> (String, String) {
    let upstream = Upstream::start(|n, _| match n {
        0 => upstream::completion("MARKED-ANSWER"),
        _ => upstream::answer(401, &[], r#"{"error":{"message":"Incorrect API key provided: sk-MARKED-PROVIDER"}}"#),
    })
    .await;
    let (key, provider) = (folder.join("key"), folder.join("provider"));
    fs::write(&key, KEY).unwrap();
    fs::write(&provider, "sk-MARKED-PROVIDER").unwrap();
    let toml = format!(
        "version = 1\n[server]\njournal = \"journal\"\n[providers.openai]\nbase_url = \"{}/v1\"\nkey = \"file:{}\"\n\
         [models.gpt-4o-mini]\ndeployments = [{{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }}, \
         {{ id = \"spare\", provider = \"openai\", model = \"gpt-4o-mini\", order = 1 }}]\n\
         [prices]\ndeployments.mini = {{ input = 1, output = 2 }}\n[attempts]\nper_request = 1\n[keys.ci]\nsecret = \"file:{}\"\n",
        upstream.address,
        provider.display(),
        key.display()
    );
    let mut command = command(folder, &toml);
    change(command.args(["--listen", "127.0.0.1:0"]));
    let mut served = started(&mut command);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let send = async |method: &str, path: &str, key: &str, body: String| {
        let request = hyper::Request::builder().method(method).uri(format!("{}{path}", served.address));
        let request = request.header("authorization", format!("Bearer {key}")).header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
        let response = client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    };
    let path = "/v1/chat/completions";
    for (key, body, status) in
        [(KEY, chat(PROMPT).to_string(), 200), (KEY, chat(PROMPT).to_string(), 502), ("sk-MARKED-OTHER", "{}".into(), 401), (KEY, PROMPT.into(), 400)]
    {
        assert_eq!(send("POST", path, key, body).await.0, status);
    }
    let scrape = send("GET", "/metrics", KEY, String::new()).await.1;
    terminate(&served.child);
    let mut log = String::new();
    served.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(served.child.wait().unwrap().success());
    (log, scrape)
}

#[tokio::test]
async fn a_request_is_a_line_and_nobodys_words_or_secrets_are_in_it_or_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (log, scrape) = logged(folder.path(), |command| {
        command.args(["--log-format", "json"]).env_remove("RUST_LOG");
    })
    .await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let requests: Vec<&Value> = lines.iter().filter(|line| line["target"] == "gwsim::request").collect();
    assert_eq!(requests.len(), 4, "{log}");
    let of = |line: &Value, names: &[&str]| names.iter().map(|name| line[*name].to_string()).collect::<Vec<_>>().join(" ");
    let names = ["level", "key", "model", "deployment", "attempts", "outcome", "why", "status", "input_tokens", "output_tokens", "dollars"];
    assert_eq!(of(requests[0], &names), "\"INFO\" \"ci\" \"gpt-4o-mini\" \"mini\" 1 \"served\" null 200 10 5 \"0.000020000000\"");
    assert_eq!(of(requests[1], &names), "\"INFO\" \"ci\" \"gpt-4o-mini\" \"mini\" 1 \"failed\" \"unauthorized\" 502 0 0 \"0.000000000000\"");
    assert_eq!(of(requests[2], &["key", "outcome", "status"]), "null \"turned_away\" 401");
    assert_eq!(of(requests[3], &["key", "outcome", "status"]), "\"ci\" \"turned_away\" 400");
    assert_eq!(requests[0]["trace"], TRACE);
    assert!(requests[0]["request"].is_u64() && requests[0]["milliseconds"].is_u64());
    let cooled = lines.iter().find(|line| line["kind"] == "cooling").unwrap_or_else(|| panic!("{log}"));
    assert_eq!((cooled["level"].as_str(), cooled["target"].as_str()), (Some("WARN"), Some("gwsim::notice")));
    assert_eq!(cooled["message"], "Deployment mini is left alone for a while after failures (unauthorized).");

    let mut kept = log.into_bytes();
    kept.extend_from_slice(scrape.as_bytes());
    let mut files = 0;
    for entry in fs::read_dir(folder.path().join("journal")).unwrap() {
        kept.extend(fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0 && kept.len() > 1000, "there is a journal to look into");
    assert!(!kept.windows(6).any(|bytes| bytes == b"MARKED"), "{}", String::from_utf8_lossy(&kept));
}

#[tokio::test]
async fn the_log_is_for_people_unless_asked_otherwise_and_requests_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = logged(folder.path(), |command| {
        command.env_remove("RUST_LOG");
    })
    .await;
    let line = log.lines().find(|line| line.contains("outcome=\"served\"")).unwrap_or_else(|| panic!("{log}"));
    for part in ["INFO", "request=", "key=\"ci\"", "deployment=\"mini\"", "status=200", "dollars=0.000020000000", TRACE] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains("why"), "what there is not is not said: {line}");
    assert!(!log.contains("MARKED") && !log.contains('\u{1b}'), "{log}");
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = logged(folder.path(), |command| {
        command.env("RUST_LOG", "gwsim=info,gwsim::request=off");
    })
    .await;
    assert!(!log.contains("outcome") && log.contains("Deployment mini is left alone"), "{log}");
}

#[test]
fn a_filter_that_is_none_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let key = secret(&folder, "key", KEY);
    let toml = format!(
        "version = 1\n[models.m]\ndeployments = [{{ id = \"d\", provider = \"openai\", model = \"gpt-4o-mini\" }}]\n[keys.ci]\nsecret = {key}\n"
    );
    let output = command(folder.path(), &toml).env("RUST_LOG", "gwsim=loud").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: RUST_LOG: "), "{output:?}");
}
