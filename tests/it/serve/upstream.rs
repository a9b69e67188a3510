//! A provider that does what a test says, byte by byte: its answers are written by hand, so that they can be as wrong as a test needs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A piece of an answer.
#[derive(Debug, Clone)]
pub enum Piece {
    Bytes(Vec<u8>),
    Wait(Duration),
    /// Closes the connection where it is.
    Cut,
    /// Says nothing more, until the other side closes; how long that took is noted.
    Hang,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub target: String,
    pub head: String,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.split_once(':').filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

type Script = dyn Fn(usize, &Seen) -> Vec<Piece> + Send + Sync;

/// A provider on a port of its own.
pub struct Upstream {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// How long the other side took to close each connection that hung.
    closed: Arc<Mutex<Vec<Duration>>>,
    /// Bytes of answers that the other side's system has taken.
    written: Arc<AtomicUsize>,
}

impl Upstream {
    /// `script` says what the n-th request is answered with.
    pub async fn start(script: impl Fn(usize, &Seen) -> Vec<Piece> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (seen, closed, written) = (Arc::default(), Arc::default(), Arc::default());
        let upstream = Self { address, seen: Arc::clone(&seen), closed: Arc::clone(&closed), written: Arc::clone(&written) };
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, script.clone(), Arc::clone(&seen), Arc::clone(&closed), Arc::clone(&written)));
            }
        });
        upstream
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    pub fn closed(&self) -> Vec<Duration> {
        self.closed.lock().unwrap().clone()
    }
}

async fn converse(
    mut stream: TcpStream,
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Seen>>>,
    closed: Arc<Mutex<Vec<Duration>>>,
    written: Arc<AtomicUsize>,
) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        let pieces = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            script(seen.len() - 1, &request)
        };
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                    written.fetch_add(bytes.len(), Ordering::SeqCst);
                }
                Piece::Wait(span) => tokio::time::sleep(span).await,
                Piece::Cut => return,
                Piece::Hang => {
                    let since = std::time::Instant::now();
                    while stream.read(&mut [0; 64]).await.is_ok_and(|length| length > 0) {}
                    closed.lock().unwrap().push(since.elapsed());
                    return;
                }
            }
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let mut chunk = vec![0; 16 << 10];
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if buffer.len() >= whole {
                let body = String::from_utf8_lossy(&buffer[end + 4..whole]).into_owned();
                buffer.drain(..whole);
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                return Some(Seen { target, head, body });
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => buffer.extend_from_slice(&chunk[..length]),
        }
    }
}

/// A whole answer.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<Piece> {
    let mut text = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    vec![Piece::Bytes(format!("{text}\r\n{body}").into_bytes())]
}

/// A chat completion that says `words`, for 10 input tokens and 5 output tokens.
pub fn completion(words: &str) -> Vec<Piece> {
    answer(200, &[], &completion_body(words))
}

pub fn completion_body(words: &str) -> String {
    serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": words }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 },
    })
    .to_string()
}

/// The head of a stream.
pub fn stream_head() -> Piece {
    Piece::Bytes(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec())
}

/// A chunk of the connection.
pub fn chunk(text: &str) -> Piece {
    Piece::Bytes(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

/// The end of a stream's body.
pub fn stream_end() -> Piece {
    Piece::Bytes(b"0\r\n\r\n".to_vec())
}

/// An event with a word.
pub fn word(text: &str) -> String {
    event(&serde_json::json!({ "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] }))
}

/// The events after the last word: why it ends, what it is billed, that it is over.
pub fn finale(output: u32) -> String {
    let stop = serde_json::json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let usage = serde_json::json!({ "choices": [], "usage": { "prompt_tokens": 10, "completion_tokens": output, "total_tokens": 10 + output } });
    format!("{}{}data: [DONE]\n\n", event(&stop), event(&usage))
}

fn event(extra: &serde_json::Value) -> String {
    let mut whole = serde_json::json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini" });
    whole.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    format!("data: {whole}\n\n")
}

/// A stream of words, and its end.
pub fn stream(words: &[&str]) -> Vec<Piece> {
    let mut pieces = vec![stream_head()];
    pieces.extend(words.iter().map(|text| chunk(&word(text))));
    pieces.push(chunk(&finale(u32::try_from(words.len()).unwrap())));
    pieces.push(stream_end());
    pieces
}

/// A message of Anthropic's, for 9 input tokens and 4 output tokens.
pub fn message(text: &str) -> Vec<Piece> {
    let body = serde_json::json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [{ "type": "text", "text": text }],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": { "input_tokens": 9, "output_tokens": 4 },
    });
    answer(200, &[], &body.to_string())
}

/// The same as a stream.
pub fn message_stream(text: &str) -> Vec<Piece> {
    let events = [
        serde_json::json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 9, "output_tokens": 1 } } }),
        serde_json::json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        serde_json::json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }),
        serde_json::json!({ "type": "content_block_stop", "index": 0 }),
        serde_json::json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": 4 } }),
        serde_json::json!({ "type": "message_stop" }),
    ];
    let events = events.iter().map(|event| chunk(&format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())));
    std::iter::once(stream_head()).chain(events).chain([stream_end()]).collect()
}
