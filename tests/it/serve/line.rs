//! A client's connection, written by hand: cheap enough for a hundred thousand requests, and left wherever a test wants to.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that is kept.
pub(crate) struct Line {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Line {
    pub(crate) async fn open(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// A request as it goes over the connection.
    pub(crate) fn request(path: &str, key: &str, body: &serde_json::Value) -> Vec<u8> {
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n");
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// Asks, and reads the whole answer: its status, and its body as it came, chunks and all.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> (u16, String) {
        self.stream.write_all(request).await.unwrap();
        loop {
            if let Some((head, body)) = parts(&self.read) {
                let status = head[9..12].parse().unwrap();
                let body = String::from_utf8(body.to_vec()).unwrap();
                self.read.clear();
                return (status, body);
            }
            let length = self.stream.read_buf(&mut self.read).await.unwrap();
            assert!(length > 0, "the answer breaks off: {}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Asks, reads so many bytes of the answer at least, and is gone. `false` if the answer was shorter.
    pub(crate) async fn leave_after(mut self, request: &[u8], bytes: usize) -> bool {
        self.stream.write_all(request).await.unwrap();
        while self.read.len() < bytes {
            if parts(&self.read).is_some() || self.stream.read_buf(&mut self.read).await.unwrap() == 0 {
                return false;
            }
        }
        true
    }
}

/// Head and body of an answer, once it is whole.
fn parts(read: &[u8]) -> Option<(&str, &[u8])> {
    let end = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let (head, body) = (std::str::from_utf8(&read[..end]).unwrap(), &read[end..]);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|length| length.parse::<usize>().unwrap());
    let is_whole = length.map_or(body.ends_with(b"\r\n0\r\n\r\n"), |length| body.len() >= length);
    is_whole.then_some((head, body))
}
