//! A connection that can be reset, as a provider's that breaks: its caller sees neither a status nor an end. Knows no HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket that is reset when it is dropped, if its breaker says so.
pub struct Socket {
    stream: TcpStream,
    is_broken: Arc<AtomicBool>,
}

/// What resets a socket.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<AtomicBool>);

impl Socket {
    /// A socket that is whole, and what breaks it.
    pub fn new(stream: TcpStream) -> (Self, Breaker) {
        let is_broken = Arc::new(AtomicBool::new(false));
        (Self { stream, is_broken: Arc::clone(&is_broken) }, Breaker(is_broken))
    }
}

impl Breaker {
    /// Has the connection reset, instead of closed, when whoever holds it lets go.
    pub fn reset(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_broken.load(Ordering::Relaxed) {
            // Without it the caller sees an end of the stream instead of a reset: as broken, less rude.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffers: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
