//! Clients that send what is no request, too much of it, too slowly, or do not read: each gets a clear end, costs nobody anything, and leaves
//! nothing behind.

use std::time::{Duration, Instant};

use gwsim::gateway::Outstanding;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::desk::{Desk, chat, config, streamed};
use super::line::Line;
use super::upstream::{self, Upstream};

const PATH: &str = "/v1/chat/completions";

/// Sends bytes as they are, and gives the whole answer.
async fn raw(desk: &Desk, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(desk.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_can_not_be_in_a_header_is_refused_and_what_comes_back_has_none_of_it() {
    let upstream = Upstream::start(|_, _| upstream::completion("no")).await;
    let desk = Desk::start(&config(&upstream.address, "")).await;
    let body = chat("hi").to_string();
    for header in
        ["x-a: b\x01c", "x-a: b\0c", "x-a: b\rc: d", "x-a: b\x7f", "x a: b", "x-a\x01: b", ": b", "content-length: -1", "content-length: 1e3"]
    {
        let request = format!(
            "POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw(&desk, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{header:?}: {answer}");
    }
    // Two lengths: where one request ends and the next begins must not be a matter of opinion.
    let two = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    assert!(raw(&desk, two.as_bytes()).await.starts_with("HTTP/1.1 400"));
    let mut injects = chat("hi");
    injects["model"] = "m\r\nx-evil: 1".into();
    let answer = desk.post(PATH, &injects).await;
    assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some("model")), "{}", answer.body);
    assert!(answer.headers.get("x-evil").is_none(), "{answer:?}");
    assert!(upstream.seen().is_empty());
    assert_eq!(desk.settled().await, Outstanding::default());
}

#[tokio::test]
async fn a_gateway_without_keys_is_not_open_to_the_pages_of_others() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let keys = "[keys.ci]\nsecret = \"env:PATH\"\n";
    let secret = std::env::var("PATH").unwrap();
    for (more, expected) in [("", [200, 200, 403, 403]), (keys, [200; 4])] {
        let desk = Desk::start(&config(&upstream.address, more)).await;
        let mut statuses = Vec::new();
        for origin in [None, Some("http://localhost:3000"), Some("https://example.com"), Some("null")] {
            // As a page can send it without being asked for leave first.
            let mut request = desk.request(PATH, chat("hi").to_string());
            request.headers_mut().remove("content-type");
            if let Some(origin) = origin {
                request.headers_mut().insert("origin", origin.parse().unwrap());
            }
            if !more.is_empty() {
                request.headers_mut().insert("authorization", format!("Bearer {secret}").parse().unwrap());
            }
            statuses.push(desk.send(request).await.status);
        }
        assert_eq!(statuses, expected, "{more}");
    }
}

#[tokio::test]
async fn a_body_of_a_hundred_megabytes_is_refused_in_words_and_not_kept() {
    let upstream = Upstream::start(|_, _| upstream::completion("no")).await;
    let desk = Desk::start(&config(&upstream.address, "")).await;
    let piece = vec![b'x'; 1 << 20];
    for is_stated in [true, false] {
        let mut stream = TcpStream::connect(desk.address).await.unwrap();
        let length = if is_stated { format!("content-length: {}", 100 << 20) } else { "transfer-encoding: chunked".into() };
        stream.write_all(format!("POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}\r\n\r\n").as_bytes()).await.unwrap();
        for _ in 0..100 {
            if !is_stated {
                stream.write_all(b"100000\r\n").await.unwrap();
            }
            stream.write_all(&piece).await.unwrap();
            if !is_stated {
                stream.write_all(b"\r\n").await.unwrap();
            }
        }
        if !is_stated {
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("the body is larger than the 33554432 bytes"), "{answer}");
    }
    assert_eq!(desk.settled().await, Outstanding::default());
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_not_waited_for_however_it_trickles() {
    let upstream = Upstream::start(|_, _| upstream::completion("no")).await;
    let desk = Desk::start(&config(&upstream.address, "[server]\nbody_timeout = \"300ms\"\n")).await;
    let request = Line::request(PATH, "", &chat("hi"));
    for trickles in [false, true] {
        let mut stream = TcpStream::connect(desk.address).await.unwrap();
        let (head, rest) = request.split_at(request.len() - 60);
        stream.write_all(head).await.unwrap();
        let begun = Instant::now();
        let (mut reading, mut writing) = stream.split();
        let trickle = async {
            for byte in rest {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if !trickles || writing.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut answer = vec![0; 4096];
        let length = tokio::select! {
            length = reading.read(&mut answer) => length.unwrap(),
            () = trickle => unreachable!(),
        };
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("the body of the request took too long to come"), "{answer}");
        assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
    }
    assert!(upstream.seen().is_empty());
    // Whoever is not slow is served.
    assert_eq!(desk.chat("hi").await.status, 200);
    assert_eq!(desk.settled().await, Outstanding::default());
}

#[tokio::test]
async fn a_client_that_reads_slowly_slows_down_its_provider_and_nothing_piles_up() {
    const WORD_BYTES: usize = 32 << 10;
    const WORDS: usize = 2000;
    let upstream = Upstream::start(|_, _| {
        let word = upstream::chunk(&upstream::word(&"x".repeat(WORD_BYTES)));
        let mut pieces = vec![upstream::stream_head()];
        pieces.extend(std::iter::repeat_n(word, WORDS));
        pieces.extend([upstream::chunk(&upstream::finale(10)), upstream::stream_end()]);
        pieces
    })
    .await;
    let desk = Desk::start(&config(&upstream.address, "")).await;
    let mut body = desk.client.request(desk.request(PATH, streamed("hi").to_string())).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    // Until it stands still: what the systems between here and there keep is theirs.
    let mut written = 0;
    while upstream.written() > written {
        written = upstream.written();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(written < WORDS * WORD_BYTES / 2, "{written} bytes were taken from the provider for a client that reads nothing");
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(rest.len() > (WORDS - 2) * WORD_BYTES && rest.ends_with(b"data: [DONE]\n\n"), "{} bytes", rest.len());
    assert_eq!(desk.settled().await, Outstanding::default());
}

#[tokio::test]
async fn where_a_call_goes_is_not_for_the_client_to_say() {
    let (upstream, evil) = (Upstream::start(|_, _| upstream::completion("hello")).await, Upstream::start(|_, _| upstream::completion("no")).await);
    let desk = Desk::start(&config(&upstream.address, "")).await;
    let mut body = chat("hi");
    for field in ["base_url", "api_base", "url", "endpoint", "custom_llm_provider"] {
        body[field] = json!(evil.address);
    }
    let (host, body) = (evil.address.trim_start_matches("http://"), body.to_string());
    let request = format!(
        "POST {}{PATH} HTTP/1.1\r\nhost: {host}\r\nx-forwarded-host: {host}\r\nx-base-url: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        evil.address,
        evil.address,
        body.len()
    );
    assert!(raw(&desk, request.as_bytes()).await.starts_with("HTTP/1.1 200"));
    assert_eq!((upstream.seen().len(), evil.seen().len()), (1, 0));
    assert_eq!(upstream.seen()[0].header("host"), Some(upstream.address.trim_start_matches("http://")));
}
