//! An answer on its way out: a stream whose chunks come when the call's fate has them, then its end, well or not. Knows no dialect.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::answer::Answer;
use super::providers::Open;
use super::socket::Breaker;
use crate::gateway::time::Time;
use crate::sim::fate::{Ending, Fate};

/// Bytes after which what is due is handed on in another frame.
const FRAME_BYTES: usize = 64 << 10;

/// The body of an answer.
pub enum Answering {
    /// All there at once.
    Whole(Option<Bytes>),
    /// A part of what was to be all, and then the connection breaks.
    Part(Option<Bytes>, Breaker),
    /// Chunk by chunk.
    Stream(Box<Streaming>),
}

/// A stream of one call.
pub struct Streaming {
    /// Until it has ended.
    open: Option<Open>,
    answer: Answer,
    fate: Fate,
    breaker: Breaker,
    has_opened: bool,
    has_paused: bool,
    sent: u32,
    sleep: Pin<Box<Sleep>>,
}

impl Streaming {
    /// The stream of a call that opens now.
    pub fn new(open: Open, answer: Answer, fate: Fate, breaker: Breaker) -> Self {
        let sleep = Box::pin(sleep_until(Instant::now()));
        Self { open: Some(open), answer, fate, breaker, has_opened: false, has_paused: false, sent: 0, sleep }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            let Some(open) = &mut self.open else { return Poll::Ready(None) };
            let (clock, now) = (open.clock(), open.clock().now());
            let mut out = String::new();
            if !self.has_opened {
                self.has_opened = true;
                self.answer.opening(&mut out);
            }
            let due = self.fate.made(now);
            while self.sent < due && out.len() < FRAME_BYTES {
                let chunk = self.answer.chunk_at(self.sent);
                self.answer.chunk(chunk, &mut out);
                self.sent = chunk.to;
            }
            if !out.is_empty() {
                open.generated_at = Some(self.fate.made_at(self.sent).min(now));
                return Poll::Ready(Some(Ok(out.into())));
            }
            let all = self.sent >= self.fate.usage.output;
            if all && now >= self.fate.ends_at {
                if self.fate.ending != Ending::Whole && !std::mem::replace(&mut self.has_paused, true) {
                    // What was handed on is written to the socket before the connection goes.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if let Some(open) = self.open.take() {
                    open.end();
                }
                if self.fate.ending != Ending::Whole {
                    self.breaker.reset();
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
                }
                self.answer.closing(&mut out);
                return Poll::Ready(Some(Ok(out.into())));
            }
            let next = if all { self.fate.ends_at } else { self.fate.made_at(self.sent + 1) };
            if next == Time::MAX {
                // A stream that hangs in the middle: only its caller ends it.
                return Poll::Pending;
            }
            self.sleep.as_mut().reset(Instant::from_std(clock.instant(next)));
            if self.sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Body for Answering {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Part(part, _) if part.as_ref().is_some_and(|part| !part.is_empty()) => {
                // What is handed on is written to the socket before the connection goes.
                let handed = part.replace(Bytes::new()).map(|part| Ok(Frame::data(part)));
                Poll::Ready(handed)
            }
            Self::Part(part @ Some(_), _) => {
                *part = None;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Part(None, breaker) => {
                breaker.reset();
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
            }
            Self::Stream(stream) => stream.poll(context).map(|frame| frame.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Part(..) => false,
            Self::Stream(stream) => stream.open.is_none(),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(bytes) => http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Part(..) | Self::Stream(_) => http_body::SizeHint::default(),
        }
    }
}
