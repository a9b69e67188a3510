//! Client libraries as their makers publish them, against `gwsim serve` in front of `gwsim mock`: each asks models of both dialects, so that half of
//! what it sees was translated. `.ci/sdk` installs them into `target/sdk`; without it these tests are skipped with a notice.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gwsim::wire::{Dialect, Endpoint, Inbound, Target};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where the libraries are, if this one is there.
fn installed(library: &str) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let folder = std::env::var_os("GWSIM_SDK").map_or_else(|| target.join("sdk"), PathBuf::from);
    let is_there = folder.join(library).exists();
    if !is_there {
        eprintln!("skipped: {} is not here; `.ci/sdk` installs it", folder.join(library).display());
    }
    is_there.then_some(folder)
}

/// A process that ends with the test, and the address that it says it listens on.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(folder: &TempDir, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gwsim"));
        command.current_dir(folder.path()).args(arguments).args(["--listen", "127.0.0.1:0", "--seed", "7"]);
        for secret in ["app", "narrow", "slow", "poor"] {
            command.env(format!("GWSIM_SDK_{}", secret.to_uppercase()), secret);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let address = first.split("http://").nth(1).unwrap_or_else(|| panic!("{arguments:?} says where it is: {first}"));
        Self { address: address.split([',', '\n']).next().unwrap().to_owned(), child }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a script of a library against a gateway of its own.
fn run(program: &Path, script: &str, libraries: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sdk");
    let folder = tempfile::tempdir().unwrap();
    fs::copy(sources.join("scenario.toml"), folder.path().join("scenario.toml")).unwrap();
    let mock = Running::start(&folder, &["mock", "scenario.toml"]);
    let gateway = fs::read_to_string(sources.join("gateway.toml")).unwrap().replace("ADDRESS", &mock.address);
    fs::write(folder.path().join("gateway.toml"), gateway).unwrap();
    let serve = Running::start(&folder, &["serve", "--config", "gateway.toml"]);
    let mut command = Command::new(program);
    command.arg(sources.join(script)).env("GATEWAY", format!("http://{}", serve.address)).env("GWSIM_SDK", libraries);
    let output = command.env("no_proxy", "127.0.0.1").output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("all is well\n"), "{script}\n{said}{errors}");
}

fn run_python(script: &str) {
    if let Some(libraries) = installed("bin/python") {
        run(&libraries.join("bin/python"), script, &libraries);
    }
}

#[test]
fn openai_for_python() {
    run_python("with_openai.py");
}

#[test]
fn anthropic_for_python() {
    run_python("with_anthropic.py");
}

#[test]
fn langchain() {
    run_python("with_langchain.py");
}

#[test]
fn openai_for_node() {
    if let Some(libraries) = installed("node_modules/openai") {
        run(Path::new("node"), "with_openai.mjs", &libraries);
    }
}

/// A request that says as much as can be translated.
fn rich_chat() -> Value {
    let tool = json!({ "type": "function", "function": { "name": "f", "description": "d", "strict": true, "parameters": {} } });
    json!({
        "model": "m", "max_completion_tokens": 4000, "stop": "END", "user": "ann", "temperature": 0.5, "parallel_tool_calls": false, "seed": 1,
        "tools": [tool], "tool_choice": "auto", "reasoning_effort": "medium",
        "messages": [
            { "role": "system", "content": "Be kind." },
            { "role": "developer", "content": [{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } }] },
            { "role": "user", "name": "ann", "content": [
                { "type": "text", "text": "Look" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,aGk=", "detail": "low" } },
                { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
            ] },
            { "role": "assistant", "content": null, "refusal": null, "tool_calls": [
                { "id": "functions.f:0", "type": "function", "function": { "name": "f", "arguments": "{\"a\": 1}" } },
            ] },
            { "role": "tool", "tool_call_id": "functions.f:0", "content": [{ "type": "text", "text": "one" }] },
            { "role": "assistant", "content": "", "refusal": "I can't." },
            { "role": "user", "content": "Go on" },
        ],
    })
}

/// The same the other way.
fn rich_message() -> Value {
    let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "aGk=" } });
    json!({
        "model": "m", "max_tokens": 4000, "stop_sequences": ["END"], "metadata": { "user_id": "ann" }, "temperature": 0.5, "top_p": 0.9,
        "thinking": { "type": "enabled", "budget_tokens": 2000 }, "system": [{ "type": "text", "text": "Be kind." }],
        "tools": [{ "name": "f", "description": "d", "input_schema": { "type": "object" }, "cache_control": { "type": "ephemeral" } }],
        "tool_choice": { "type": "any", "disable_parallel_tool_use": true },
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "Look" }, image, { "type": "image", "source": { "type": "url", "url": "https://a.b/c.png" } }] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "Hm", "signature": "c2ln" },
                { "type": "text", "text": "I look." }, { "type": "text", "text": "I do." },
                { "type": "tool_use", "id": "toolu_1", "name": "f", "input": { "a": 1 } },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [{ "type": "text", "text": "one" }, image] },
                { "type": "text", "text": "Go on" },
            ] },
        ],
    })
}

#[test]
fn what_is_sent_in_the_other_dialect_is_what_its_library_would_send() {
    let Some(libraries) = installed("bin/python") else { return };
    let mut sent = Vec::new();
    let mut send = |endpoint: Endpoint, model: &str, body: &Value| {
        let dialect = if endpoint == Endpoint::Messages { Dialect::OpenAi } else { Dialect::Anthropic };
        for stream in [false, true] {
            let mut body = body.clone();
            body["stream"] = stream.into();
            let inbound = Inbound::read(endpoint, body.to_string().into()).unwrap();
            let target = Target { dialect, model, max_tokens: 4000, output_tokens_max: 8000, stream_options: true };
            let body: Value = serde_json::from_slice(&inbound.outbound(&target).unwrap()).unwrap();
            sent.push(json!([if dialect == Dialect::OpenAi { "openai" } else { "anthropic" }, body]));
        }
    };
    for model in ["claude-3-5-sonnet", "claude-sonnet-4-5", "claude-sonnet-4-6", "claude-opus-4-7"] {
        let mut body = rich_chat();
        send(Endpoint::ChatCompletions, model, &body);
        body["tool_choice"] = json!({ "type": "function", "function": { "name": "f" } });
        send(Endpoint::ChatCompletions, model, &body);
        body["tool_choice"] = json!("none");
        send(Endpoint::ChatCompletions, model, &body);
        body.as_object_mut().unwrap().retain(|key, _| key != "tools" && key != "tool_choice");
        send(Endpoint::ChatCompletions, model, &body);
    }
    for model in ["gpt-4o", "gpt-5", "gemini-2.5-pro"] {
        let mut body = rich_message();
        send(Endpoint::Messages, model, &body);
        body["tool_choice"] = json!({ "type": "tool", "name": "f" });
        send(Endpoint::Messages, model, &body);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sent.json");
    fs::write(&file, Value::from(sent).to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sdk/typed_requests.py");
    let output = Command::new(libraries.join("bin/python")).args([script.as_os_str(), file.as_os_str()]).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("all is well\n"), "{said}{errors}");
}
