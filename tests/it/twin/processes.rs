//! A mock and a gateway in front of it, as processes of their own that end with the test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// What is tried, and with which program.
pub(super) struct World<'a> {
    pub(super) program: &'a Path,
    pub(super) scenario: &'a str,
    /// What the scenario finds as `traffic.csv`.
    pub(super) trace: &'a str,
    pub(super) speed: u32,
    pub(super) seed: u64,
}

/// The program that was built for the tests.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_gwsim");

/// Where the gateway keeps its journal, in the twin's folder.
const JOURNAL: &str = "journal";
/// Where the mock writes the secrets of a scenario's keys.
const SECRETS: &str = "live.toml.keys";

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
    program: PathBuf,
    speed: String,
    seed: String,
    providers: String,
    gateway: String,
    serve: Running,
    _mock: Running,
}

impl Twin {
    /// Starts both on free ports.
    pub(super) fn start(world: World<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("scenario.toml"), world.scenario).unwrap();
        fs::write(folder.path().join("traffic.csv"), world.trace).unwrap();
        let (speed, seed) = (world.speed.to_string(), world.seed.to_string());
        let free = ["--listen", "127.0.0.1:0", "--speed", &speed, "--seed", &seed];
        let start = |arguments: &[&str]| listening(command(world.program, &folder).args(arguments).args(free));
        let (mock, providers) = start(&["mock", "scenario.toml", "--write-gateway", "live.toml", "--bill", "bill.jsonl"]);
        let (serve, gateway) = start(&["serve", "--config", "live.toml", "--journal", JOURNAL]);
        Self { folder, program: world.program.to_owned(), speed, seed, providers, gateway, serve, _mock: mock }
    }

    /// Stops the gateway as its operator does, waits until it has gone down, and has its journal verified.
    pub(super) fn stop(&mut self) -> Value {
        assert!(Command::new("kill").args(["-TERM", &self.serve.0.id().to_string()]).status().unwrap().success());
        let status = self.serve.0.wait().unwrap();
        assert!(status.success(), "the gateway goes down: {status}");
        self.verified()
    }

    /// Stops the gateway as a power cut does.
    pub(super) fn kill(&mut self) {
        self.serve.0.kill().unwrap();
        self.serve.0.wait().unwrap();
    }

    /// What `gwsim verify` says of the gateway's journal, which is that every decision is as recorded.
    pub(super) fn verified(&self) -> Value {
        let output = command(&self.program, &self.folder).args(["verify", JOURNAL, "--format", "json"]).output().unwrap();
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!((output.status.code(), &verdict["difference"]), (Some(0), &Value::Null), "{verdict:#}");
        verdict
    }

    /// The folder of the gateway's journal.
    pub(super) fn journal(&self) -> PathBuf {
        self.folder.path().join(JOURNAL)
    }

    /// Sends the scenario's traffic, or its first requests, and gives the tally.
    pub(super) fn load(&self, requests: Option<u64>) -> Value {
        let output = self.loading(requests).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Sends the scenario's traffic until what it gives is dropped.
    pub(super) fn load_meanwhile(&self) -> Running {
        Running(self.loading(None).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn loading(&self, requests: Option<u64>) -> Command {
        let mut load = command(&self.program, &self.folder);
        load.args(["load", "scenario.toml", "--target", &format!("http://{}", self.gateway), "--speed", &self.speed, "--seed", &self.seed]);
        load.args(["--format", "json", "--log", "users.jsonl"]);
        if self.folder.path().join(SECRETS).exists() {
            load.args(["--keys", SECRETS]);
        }
        if let Some(requests) = requests {
            load.args(["--requests", &requests.to_string()]);
        }
        load
    }

    /// Waits until the providers have answered so many calls.
    pub(super) fn wait_for_calls(&self, calls: u64) {
        for _ in 0..600 {
            if self.sums()["calls"].as_u64().unwrap() >= calls {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{calls} calls have not ended: {}", self.sums());
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

    /// What `gwsim run` says of the scenario under the same luck.
    pub(super) fn forecast(&self) -> Value {
        self.forecast_of("scenario.toml")
    }

    /// What it says of the scenario's first requests under the same luck.
    pub(super) fn forecast_of_first(&self, requests: u64) -> Value {
        output(&self.program, &self.folder, &["trace", "synth", "scenario.toml", "-o", "all.csv"]);
        let traffic = fs::read_to_string(self.folder.path().join("all.csv")).unwrap();
        let first: Vec<&str> = traffic.lines().take(requests as usize + 1).collect();
        fs::write(self.folder.path().join("first.csv"), first.join("\n")).unwrap();
        let whole = fs::read_to_string(self.folder.path().join("scenario.toml")).unwrap();
        let (before, after) = whole.split_once("[traffic]").unwrap();
        let from = after.find("[world]").unwrap();
        let text = format!("{before}[traffic]\ntrace = \"first.csv\"\nsynthetic = true\nmodel = \"small\"\n{}", &after[from..]);
        fs::write(self.folder.path().join("first.toml"), text).unwrap();
        self.forecast_of("first.toml")
    }

    fn forecast_of(&self, scenario: &str) -> Value {
        forecast_in(&self.program, &self.folder, scenario, [&self.seed, "1"])
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
}

/// What `gwsim run` says of a scenario under so many seeds from the first on.
pub(super) fn forecast(program: &Path, scenario: &str, seeds: [&str; 2]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("scenario.toml"), scenario).unwrap();
    forecast_in(program, &folder, "scenario.toml", seeds)
}

fn forecast_in(program: &Path, folder: &TempDir, scenario: &str, [first, count]: [&str; 2]) -> Value {
    let report = output(program, folder, &["run", scenario, "--seed", first, "--seeds", count, "--format", "json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    report["variants"][0].clone()
}

fn output(program: &Path, folder: &TempDir, arguments: &[&str]) -> String {
    let output = command(program, folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
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
    command(Path::new(PROGRAM), folder)
}

fn command(program: &Path, folder: &TempDir) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder.path());
    command
}

/// The program for what is heavy, in a folder: optimised, where there is one of this code.
pub(crate) fn quick_gwsim(folder: &TempDir) -> Command {
    command(Path::new(&std::env::var_os("GWSIM_RELEASE").unwrap_or_else(|| PROGRAM.into())), folder)
}
