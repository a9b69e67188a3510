//! Panics: one in a handler fails its own request, one in the core ends everything and starts it again.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gwsim::gateway::Outstanding;
use gwsim::gateway::journal::Fact;
use gwsim::journal;
use gwsim::serve::exchange;
use gwsim::serve::observe::{Context, Observer};
use gwsim::wire::Endpoint;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::desk::{Desk, chat, config, streamed};
use super::line::Line;
use super::program::{command, started, terminate};
use super::upstream::{self, Piece, Upstream};

const PATH: &str = "/v1/chat/completions";

/// Breaks the core when it is told to: an observer runs under the core's lock.
struct Breaks(Arc<AtomicBool>);

impl Observer for Breaks {
    fn observe(&mut self, _: &Context<'_>, fact: &Fact) {
        assert!(!(self.0.load(Ordering::SeqCst) && matches!(fact, Fact::Called(_))), "planted");
    }
}

#[tokio::test]
async fn a_panic_in_the_core_starts_the_process_again() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let (breaks, restarts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let desk = Desk::start_with(&config(&upstream.address, ""), |start| {
        let counted = restarts.clone();
        start.observers = vec![Box::new(Breaks(breaks.clone()))];
        start.journal = Some(journal.clone());
        start.broken = Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
    })
    .await;
    assert_eq!(desk.chat("hi").await.status, 200);
    assert_eq!(restarts.load(Ordering::SeqCst), 0);
    breaks.store(true, Ordering::SeqCst);
    assert_eq!(desk.chat("hi").await.status, 500);
    // In life, the process is another one now. Here, nothing is decided any more, and whoever asks starts it again.
    assert_eq!(desk.chat("hi").await.status, 500);
    assert!(restarts.load(Ordering::SeqCst) >= 1);
    assert_eq!(upstream.seen().len(), 1, "no call leaves a gateway that is broken");
    let written: u64 = std::fs::read_dir(&journal).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(written > 0, "what was decided before is written");
}

/// A request that is polled so often and then panics where it stands. `true` if it was over before.
async fn panics_after(desk: &Desk, body: &serde_json::Value, polls: usize) -> bool {
    let request = Request::post(PATH).body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let app = desk.app.clone();
    let handler = tokio::spawn(async move {
        let mut left = polls;
        let mut whole = pin!(async { exchange::answer(app, Endpoint::ChatCompletions, request).await.into_body().collect().await.unwrap() });
        std::future::poll_fn(|context| {
            assert!(left > 0, "planted");
            left -= 1;
            whole.as_mut().poll(context)
        })
        .await;
    });
    handler.await.is_ok()
}

#[tokio::test]
async fn a_panic_outside_the_core_fails_its_own_request_only() {
    let upstream = Upstream::start(|_, seen| {
        let mut pieces = if seen.body.contains("\"stream\":true") { upstream::stream(&["one", " two"]) } else { upstream::completion("one two") };
        for at in (0..pieces.len()).rev() {
            pieces.insert(at, Piece::Wait(Duration::from_millis(2)));
        }
        pieces
    })
    .await;
    let restarts = Arc::new(AtomicU32::new(0));
    let counted = restarts.clone();
    let desk = Desk::start_with(&config(&upstream.address, "[limits]\nconcurrency = 1\n"), |start| {
        start.broken = Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
    })
    .await;
    for body in [chat("hi"), streamed("hi")] {
        let mut polls = 0;
        while !panics_after(&desk, &body, polls).await {
            assert_eq!(desk.settled().await, Outstanding::default(), "after {polls} polls: {body}");
            polls += 1;
        }
        assert!(polls > 1, "it was over after {polls} polls");
        assert_eq!(desk.chat("next").await.status, 200, "its place is free again");
    }
    assert_eq!(restarts.load(Ordering::SeqCst), 0);
}

/// An address that nobody has, and that no connection is given by chance: below the ports that systems hand out.
fn free_address() -> SocketAddr {
    let first = 20_000 + std::process::id() % 10_000;
    let address = (first..first + 2000).map(|port| SocketAddr::from(([127, 0, 0, 1], port as u16)));
    address.into_iter().find(|address| TcpListener::bind(address).is_ok()).unwrap()
}

/// Asks a gateway that may be away for a moment.
async fn asked_until_it_is_there(address: SocketAddr, words: &str) -> String {
    let begun = Instant::now();
    loop {
        let asked = async {
            let mut stream = TcpStream::connect(address).await.ok()?;
            stream.write_all(&Line::request(PATH, "", &chat(words))).await.ok()?;
            let mut answer = vec![0; 4096];
            let length = stream.read(&mut answer).await.ok().filter(|length| *length > 0)?;
            Some(String::from_utf8_lossy(&answer[..length]).into_owned())
        };
        if let Some(answer) = asked.await {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_process_whose_core_panics_becomes_a_new_one_that_knows_what_was_open() {
    let upstream = Upstream::start(|_, seen| {
        if seen.body.contains("hangs") {
            return vec![upstream::stream_head(), upstream::chunk(&upstream::word("one")), Piece::Hang];
        }
        upstream::completion("hello")
    })
    .await;
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let says = std::fs::File::create(folder.path().join("stderr")).unwrap();
    let toml =
        config(&upstream.address, "[server]\njournal = \"journal\"\n[budget]\nmode = \"reserve\"\nglobal = { limit = \"9 USD\", every = \"day\" }\n");
    let mut served = started(
        command(folder.path(), &toml)
            .args(["--listen", &address.to_string()])
            .env("GWSIM_PANIC_AT", "name: \"who breaks it\"")
            .stderr(Stdio::from(says)),
    );
    assert!(asked_until_it_is_there(address, "hi").await.starts_with("HTTP/1.1 200"));
    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(&Line::request(PATH, "", &streamed("hangs"))).await.unwrap();
    let mut heard = vec![0; 4096];
    let length = open.read(&mut heard).await.unwrap();
    heard.truncate(length);

    let mut breaks = chat("hi");
    breaks["user"] = "who breaks it".into();
    let mut breaking = TcpStream::connect(address).await.unwrap();
    breaking.write_all(&Line::request(PATH, "", &breaks)).await.unwrap();
    let mut failed = Vec::new();
    let _ = breaking.read_to_end(&mut failed).await;
    let failed = String::from_utf8(failed).unwrap();
    assert!(failed.is_empty() || failed.starts_with("HTTP/1.1 500"), "{failed}");
    // Who was being served sees its connection end, and nothing that looks like the end of an answer.
    let _ = open.read_to_end(&mut heard).await;
    let heard = String::from_utf8(heard).unwrap();
    assert!(heard.contains("one") && !heard.contains("[DONE]") && !heard.ends_with("\r\n0\r\n\r\n"), "{heard}");
    let next = asked_until_it_is_there(address, "again").await;
    assert!(next.starts_with("HTTP/1.1 200"), "at the same address: {next}");

    terminate(&served.child);
    let status = served.child.wait().unwrap();
    let says = std::fs::read_to_string(folder.path().join("stderr")).unwrap();
    assert!(status.success(), "{status}: {says}");
    assert!(says.contains("the core has panicked; starting again from the journal"), "{says}");
    assert!(says.contains("1 calls were open, and are presumed to have cost all that was held for them"), "{says}");
    let path = folder.path().join("journal");
    let verdict = journal::verify(&path, None).unwrap();
    assert_eq!((verdict.difference, verdict.counts.recoveries, verdict.counts.calls), (None, 1, 3));
    let gateway = journal::recover(&path, &mut ()).unwrap().unwrap().state.gateway;
    assert_eq!(gateway.outstanding(), Outstanding::default());
    let settled = gateway.budget().settled();
    assert!(settled.confirmed.0 == 2 * (10 * 150_000 + 5 * 600_000) && settled.presumed.0 > 0, "{settled:?}");
}

#[tokio::test]
async fn a_core_that_panics_after_every_start_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let toml = config("http://127.0.0.1:1", "[server]\njournal = \"journal\"\n");
    let mut broken = command(folder.path(), &toml);
    broken.args(["--listen", "127.0.0.1:0"]).env("GWSIM_PANIC_AT", "Ticked");
    let output = tokio::task::spawn_blocking(move || broken.output().unwrap()).await.unwrap();
    let (out, says) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{says}");
    assert_eq!(out.matches("listening on http://127.0.0.1:").count(), 6, "each says where it is: {out}");
    assert!(says.contains("the core has panicked 6 times within 60 s; giving up"), "{says}");
    assert_eq!(journal::verify(&folder.path().join("journal"), None).unwrap().difference, None);
}

/// What a test breaks the core with is not in what is released.
#[test]
fn an_optimised_program_can_not_be_broken_on_purpose() {
    let Some(release) = std::env::var_os("GWSIM_RELEASE") else {
        eprintln!("skipped: GWSIM_RELEASE does not name an optimised program of this code");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.toml"), config("http://127.0.0.1:1", "")).unwrap();
    let mut command = Command::new(release);
    command.current_dir(folder.path()).args(["serve", "--listen", "127.0.0.1:0"]).env("GWSIM_PANIC_AT", "Ticked");
    let mut served = started(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    std::thread::sleep(Duration::from_millis(1500));
    terminate(&served.child);
    assert!(served.child.wait().unwrap().success());
}
