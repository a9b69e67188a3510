//! The journal from outside: a gateway that keeps one and is killed, the one that goes on, and what is read from it afterwards.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::twin::processes::{gwsim, start};

/// Some answers fail, some clients leave: whatever a journal can tell of.
const SCENARIO: &str = r#"
seed = 3
[traffic]
model = "small"
unknown_keys = "add"
[traffic.synthetic]
duration = "60s"
rate = "5/s"
input_tokens = { p50 = 300, p95 = 1200 }
output_tokens = { p50 = 60, p95 = 200 }
duplicates = { share = 0.1, within = "1m" }
[traffic.overlay]
stream = 0.5
abandon = 0.05
patience = { p50 = "3s", p95 = "20s" }
max_tokens = 400

[world]
ttft = { p50 = "400ms", p95 = "900ms" }
tokens_per_second = 100
[world.models.small]
chances = [{ share = 0.05, status = 500 }]

[gateway.models.small]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }, { id = "mini-2", provider = "openai", model = "gpt-4o-mini" }]
attempts = { per_request = 2 }
"#;

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_gateway_that_is_killed_goes_on_and_its_journal_is_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("scenario.toml"), SCENARIO).unwrap();
    let free = ["--listen", "127.0.0.1:0", "--speed", "20", "--seed", "1"];
    let (_mock, _) = start(&folder, &[&["mock", "scenario.toml", "--write-gateway", "live.toml"], &free[..]].concat());
    let serve = [&["serve", "--config", "live.toml", "--journal", "journal"], &free[..]].concat();
    let (mut first, address) = start(&folder, &serve);
    let target = format!("http://{address}");
    let load = ["load", "scenario.toml", "--target", &target, "--speed", "20", "--seed", "1", "--format", "json"];
    let mut loading = gwsim(&folder).args(load).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    loading.kill().unwrap();
    loading.wait().unwrap();
    let before = json(&gwsim(&folder).args(["verify", "journal", "--format", "json"]).output().unwrap());
    assert!(before["requests"].as_u64().unwrap() > 0, "{before}");

    let (second, address) = start(&folder, &serve);
    let target = format!("http://{address}");
    let load = ["load", "scenario.toml", "--target", &target, "--speed", "20", "--seed", "1", "--requests", "40", "--format", "json"];
    assert!(gwsim(&folder).args(load).output().unwrap().status.success());
    assert!(Command::new("kill").args(["-TERM", &second.0.id().to_string()]).status().unwrap().success());
    let mut second = second;
    second.0.wait().unwrap();

    let verified = gwsim(&folder).args(["verify", "journal", "--format", "json"]).output().unwrap();
    let after = json(&verified);
    assert_eq!((verified.status.code(), &after["difference"]), (Some(0), &Value::Null), "{after}");
    assert_eq!(after["recoveries"], 1, "{after}");
    assert!(after["requests"].as_u64() > before["requests"].as_u64());

    let info = json(&gwsim(&folder).args(["trace", "info", "journal", "--format", "json"]).output().unwrap());
    assert_eq!(info["format"], "journal", "{info}");
    assert_eq!(info["rows"], after["requests"], "{info}");
    let story = gwsim(&folder).args(["explain", "journal", "1"]).output().unwrap();
    let story = String::from_utf8(story.stdout).unwrap();
    assert!(story.starts_with("Request 1 in `journal`: key ") && story.contains("call 1, first: mini-"), "{story}");
    let worst = json(&gwsim(&folder).args(["explain", "journal", "--worst", "3", "--format", "json"]).output().unwrap());
    assert_eq!(worst.as_array().unwrap().len(), 3);

    // The same requests in a simulation, against what the journal says of them.
    let text = SCENARIO.split_once("[world]").unwrap().1;
    fs::write(folder.path().join("replay.toml"), format!("[traffic]\ntrace = \"journal\"\nunknown_keys = \"add\"\n[world]{text}")).unwrap();
    let run = gwsim(&folder).args(["run", "replay.toml", "--format", "json"]).output().unwrap();
    assert_eq!(json(&run)["traffic"]["requests"], after["requests"], "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn what_can_not_be_verified_is_said_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let verify = |journal: &str| {
        let output = gwsim(&folder).args(["verify", journal]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(verify("nowhere").0, Some(2));
    fs::create_dir(folder.path().join("empty")).unwrap();
    let (code, said) = verify("empty");
    assert_eq!(code, Some(2));
    assert!(said.contains("empty is no journal"), "{said}");
    // A journal of nothing but a segment: what it changes is not known.
    fs::create_dir(folder.path().join("torn")).unwrap();
    fs::write(folder.path().join("torn/00000000.journal"), "gwsimjnl").unwrap();
    let (code, said) = verify("torn");
    assert_eq!(code, Some(5));
    assert!(said.contains("no checkpoint"), "{said}");
}
