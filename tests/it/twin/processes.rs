//! A mock and a gateway in front of it, as processes of their own that end with the test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// What is tried.
pub(super) struct World<'a> {
    pub(super) scenario: &'a str,
    pub(super) speed: u32,
    pub(super) seed: u64,
}

/// A process that ends when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) struct Twin {
    folder: TempDir,
    speed: String,
    seed: String,
    providers: String,
    gateway: String,
    _running: [Running; 2],
}

impl Twin {
    /// Starts both on free ports.
    pub(super) fn start(world: World<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("scenario.toml"), world.scenario).unwrap();
        let (speed, seed) = (world.speed.to_string(), world.seed.to_string());
        let free = ["--listen", "127.0.0.1:0", "--speed", &speed, "--seed", &seed];
        let (mock, providers) =
            start(&folder, &[&["mock", "scenario.toml", "--write-gateway", "live.toml", "--bill", "bill.jsonl"], &free[..]].concat());
        let (serve, gateway) = start(&folder, &[&["serve", "--config", "live.toml"], &free[..]].concat());
        Self { folder, speed, seed, providers, gateway, _running: [mock, serve] }
    }

    /// Sends the scenario's traffic, or its first requests, and gives the tally.
    pub(super) fn load(&self, requests: Option<u64>) -> Value {
        let target = format!("http://{}", self.gateway);
        let mut arguments = vec!["load", "scenario.toml", "--target", &target, "--speed", &self.speed, "--seed", &self.seed, "--format", "json"];
        arguments.extend(["--log", "users.jsonl"]);
        let count = requests.map(|requests| requests.to_string());
        if let Some(count) = &count {
            arguments.extend(["--requests", count]);
        }
        serde_json::from_str(&self.output(&arguments)).unwrap()
    }

    /// The sums of the providers' bill, once every call has ended.
    pub(super) fn bill(&self) -> Value {
        let mut last = self.sums();
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(100));
            let sums = self.sums();
            if sums == last {
                break;
            }
            last = sums;
        }
        last
    }

    /// What `gwsim run` says that the scenario costs under the same seed, in dollars.
    pub(super) fn forecast(&self) -> Value {
        self.forecast_of(None)
    }

    /// The same for the first requests of it.
    pub(super) fn forecast_of(&self, requests: Option<u64>) -> Value {
        let mut scenario = "scenario.toml";
        if let Some(requests) = requests {
            self.output(&["trace", "synth", "scenario.toml", "-o", "traffic.csv"]);
            let traffic = fs::read_to_string(self.folder.path().join("traffic.csv")).unwrap();
            let first: Vec<&str> = traffic.lines().take(requests as usize + 1).collect();
            fs::write(self.folder.path().join("first.csv"), first.join("\n")).unwrap();
            let whole = fs::read_to_string(self.folder.path().join("scenario.toml")).unwrap();
            let (before, after) = whole.split_once("[traffic]").unwrap();
            let from = after.find("[world]").unwrap();
            let text =
                format!("{before}[traffic]\ntrace = \"first.csv\"\nsynthetic = true\nmodel = \"small\"\nunknown_keys = \"add\"\n{}", &after[from..]);
            fs::write(self.folder.path().join("first.toml"), text).unwrap();
            scenario = "first.toml";
        }
        let report = self.output(&["run", scenario, "--seed", &self.seed, "--seeds", "1", "--format", "json"]);
        let report: Value = serde_json::from_str(&report).unwrap();
        report["variants"][0]["bill"]["mean"].clone()
    }

    /// The users of the last load.
    pub(super) fn users(&self) -> Vec<Value> {
        self.lines("users.jsonl")
    }

    /// The lines of the providers' bill.
    pub(super) fn calls(&self) -> Vec<Value> {
        self.lines("bill.jsonl")
    }

    fn lines(&self, file: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join(file)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn sums(&self) -> Value {
        let mut stream = TcpStream::connect(&self.providers).unwrap();
        stream.write_all(b"GET /__bill HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn output(&self, arguments: &[&str]) -> String {
        let output = gwsim(&self.folder).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Dollars as a decimal string, exactly.
pub(super) fn picodollars(usd: &Value) -> i128 {
    let text = usd.as_str().unwrap_or_else(|| panic!("no amount: {usd}"));
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{decimals:0<12}").parse().unwrap()
}

/// Starts a command that listens, and says where: address and port.
pub(crate) fn start(folder: &TempDir, arguments: &[&str]) -> (Running, String) {
    listening(gwsim(folder).args(arguments))
}

/// Starts a command of the program that listens, and says where: address and port.
pub(crate) fn listening(command: &mut Command) -> (Running, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let address = first.split("http://").nth(1).unwrap_or_else(|| panic!("{command:?} says where it is: {first}"));
    let address = address.split([',', '\n']).next().unwrap().to_owned();
    (Running(child), address)
}

/// The program, in a folder.
pub(crate) fn gwsim(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsim"));
    command.current_dir(folder.path());
    command
}

/// The program for what is heavy, in a folder: optimised, where there is one of this code.
pub(crate) fn quick_gwsim(folder: &TempDir) -> Command {
    let mut command = Command::new(std::env::var_os("GWSIM_RELEASE").unwrap_or_else(|| env!("CARGO_BIN_EXE_gwsim").into()));
    command.current_dir(folder.path());
    command
}
