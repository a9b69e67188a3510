//! `gwsim serve` as its operator meets it: what it says when it starts, what keeps it from starting, and how it goes down.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::desk::{chat, config, streamed};
use super::upstream::{self, Piece, Upstream};

/// A gateway in a process of its own.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(folder: &std::path::Path, toml: &str) -> Command {
    std::fs::write(folder.join("gateway.toml"), toml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsim"));
    command.current_dir(folder).arg("serve").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn serve(folder: &std::path::Path, toml: &str) -> Served {
    started(command(folder, toml).args(["--listen", "127.0.0.1:0"]))
}

pub(crate) fn started(command: &mut Command) -> Served {
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let Some(address) = line.trim().strip_prefix("listening on ") else {
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        panic!("{line}{errors}");
    };
    Served { address: address.to_owned(), child }
}

/// A request with the system's own HTTP client left out: one line in, everything out.
async fn ask(address: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

/// Waits until a configuration was loaded again with this result, for 20 s at most.
async fn reloaded(served: &Served, result: &str) {
    for _ in 0..400 {
        let count = format!("gwsim_reloads_total{{result=\"{result}\"}} 1");
        if get(&served.address, "/metrics").await.contains(&count) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it was never {result}");
}

async fn get(address: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

pub(crate) fn terminate(child: &Child) {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn it_says_where_it_is_and_goes_down_once_everybody_is_done() {
    let upstream = Upstream::start(|_, _| {
        let mut pieces = upstream::stream(&["one", " two"]);
        pieces.insert(2, Piece::Wait(Duration::from_millis(400)));
        pieces
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let mut served = serve(folder.path(), &config(&upstream.address, ""));
    let address = served.address.clone();
    let streaming = tokio::spawn(async move { ask(&address, &streamed("hi").to_string()).await });
    while upstream.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    terminate(&served.child);
    let answer = streaming.await.unwrap();
    assert!(answer.contains("two") && answer.contains("[DONE]"), "it was served to its end: {answer}");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn who_is_not_done_in_time_is_cut_off() {
    let upstream = Upstream::start(|_, _| vec![upstream::stream_head(), upstream::chunk(&upstream::word("one")), Piece::Hang]).await;
    let folder = tempfile::tempdir().unwrap();
    let mut served = serve(folder.path(), &config(&upstream.address, "[server]\ndrain = \"200ms\"\njournal = \"journal\"\n"));
    let address = served.address.clone();
    let streaming = tokio::spawn(async move { ask(&address, &streamed("hi").to_string()).await });
    while upstream.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    terminate(&served.child);
    let begun = std::time::Instant::now();
    let answer = streaming.await.unwrap();
    assert!(answer.contains("one") && !answer.contains("[DONE]"), "{answer}");
    let status = tokio::task::spawn_blocking(move || served.child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(5), "not every request had its end");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_shutdown_waits_as_long_as_the_file_of_today_says() {
    let upstream = Upstream::start(|_, _| vec![upstream::stream_head(), upstream::chunk(&upstream::word("one")), Piece::Hang]).await;
    let folder = tempfile::tempdir().unwrap();
    let toml = |drain: &str| config(&upstream.address, &format!("[server]\ndrain = \"{drain}\"\n"));
    let mut served = serve(folder.path(), &toml("1h"));
    std::fs::write(folder.path().join("gateway.toml"), toml("200ms")).unwrap();
    reloaded(&served, "adopted").await;
    let address = served.address.clone();
    let streaming = tokio::spawn(async move { ask(&address, &streamed("hi").to_string()).await });
    while upstream.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    terminate(&served.child);
    let status = tokio::task::spawn_blocking(move || served.child.wait().unwrap());
    let status = tokio::time::timeout(Duration::from_secs(60), status).await.expect("it waits no hour").unwrap();
    assert_eq!(status.code(), Some(5), "not every request had its end");
    streaming.await.unwrap();
}

#[test]
fn what_keeps_it_from_starting_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "version = 1\n[server]\nlisten = \"0.0.0.0:0\"\n[providers.openai]\nkey = \"env:GWSIM_TEST_NO_SUCH_KEY\"\n\
                [models.m]\ndeployments = [{ id = \"d\", provider = \"openai\", model = \"gpt-4o-mini\" }]\n";
    let output = command(folder.path(), toml).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("provider `openai`: the environment variable GWSIM_TEST_NO_SUCH_KEY is not set"), "{errors}");
    assert!(errors.contains("there are no keys, so everybody who reaches this address could spend your money"), "{errors}");
}

#[tokio::test]
async fn what_can_not_be_called_is_said_and_not_called() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "version = 1\n[models.gpt-4o-mini]\ndeployments = [{ id = \"mini\", provider = \"azure\", model = \"gpt-4o-mini\" }]\n";
    let mut served = serve(folder.path(), toml);
    let answer = ask(&served.address, &chat("hi").to_string()).await;
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    terminate(&served.child);
    let mut notes = String::new();
    served.child.stderr.take().unwrap().read_to_string(&mut notes).unwrap();
    assert!(notes.contains("`mini` is priced, not servable: provider `azure` has no base_url"), "{notes}");
    assert!(notes.contains("there are no keys: every request from this machine is answered, as key `everybody`"), "{notes}");
}

#[tokio::test]
async fn a_journal_that_can_not_be_written_stops_calls_and_says_so() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.toml"), config(&upstream.address, "")).unwrap();
    let mut limited = Command::new("sh");
    // The disk is full after 32 blocks, and writing more is an error, not the end of the process.
    let script = format!("trap '' XFSZ; ulimit -f 32; exec '{}' serve --listen 127.0.0.1:0 --journal journal", env!("CARGO_BIN_EXE_gwsim"));
    limited.current_dir(folder.path()).args(["-c", &script]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let served = started(&mut limited);
    let mut refused = 0;
    for _ in 0..2000 {
        let calls = upstream.seen().len();
        let answer = ask(&served.address, &chat("hi").to_string()).await;
        if answer.starts_with("HTTP/1.1 503") {
            assert!(answer.contains("can't write its journal"), "{answer}");
            assert_eq!(upstream.seen().len(), calls, "no call leaves that nobody would know of");
            refused += 1;
        } else {
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        if refused == 3 {
            // The first of them may have arrived and found it out; the others make no turns that could not be written.
            let metrics = get(&served.address, "/metrics").await;
            let away = metrics.lines().find_map(|line| line.strip_prefix("gwsim_turned_away_total{status=\"503\"} "));
            assert!(["2.0", "3.0"].contains(&away.unwrap_or_default()), "{metrics}");
            // Nor does a configuration, which would be half in the journal.
            let kill = Command::new("kill").args(["-HUP", &served.child.id().to_string()]).status();
            assert!(kill.unwrap().success());
            reloaded(&served, "refused").await;
            return;
        }
    }
    panic!("the journal never filled up");
}
