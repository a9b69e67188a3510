//! The body of a streamed answer: polls the exchange whenever the connection has room, and so the upstream no faster than the client reads.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use super::Exchange;
use super::life::Step;

/// A streamed answer, from its first byte on.
pub struct Live {
    exchange: Option<Exchange>,
}

impl Live {
    /// The body of an exchange whose answer has opened.
    pub fn new(exchange: Exchange) -> Self {
        Self { exchange: Some(exchange) }
    }
}

/// A stream that can't go on: the connection is closed where it is.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the exchange has panicked")
    }
}

impl std::error::Error for Broken {}

impl Body for Live {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        // A panic fails this stream only; what it leaves behind is dropped with the exchange.
        match std::panic::catch_unwind(AssertUnwindSafe(|| exchange.life().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Step::Chunk(bytes))) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Ok(Poll::Ready(Step::Opened | Step::End(_))) => {
                self.exchange = None;
                Poll::Ready(None)
            }
            Err(_) => {
                self.exchange = None;
                Poll::Ready(Some(Err(Broken)))
            }
        }
    }
}
