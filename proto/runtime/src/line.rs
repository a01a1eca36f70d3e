//! Whether the connection below a channel is open, and when it was lost. A channel reconnects by itself when it is next
//! used; whoever must not come back in a herd wants to know before.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The state of one channel's connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Line(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    open: usize,
    lost: Option<Instant>,
}

impl Line {
    /// When the last connection was lost; `None` while one is open, and before the first.
    pub fn lost_at(&self) -> Option<Instant> {
        self.lock().lost
    }

    /// A connection over this stream is open from now on until it is dropped.
    pub fn open<S>(&self, stream: S) -> OnLine<S> {
        let mut state = self.lock();
        state.open += 1;
        state.lost = None;
        OnLine { stream, line: self.clone() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that tells when it is gone.
#[derive(Debug)]
pub struct OnLine<S> {
    stream: S,
    line: Line,
}

impl<S> Drop for OnLine<S> {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        state.open -= 1;
        if state.open == 0 {
            state.lost = Some(Instant::now());
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for OnLine<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for OnLine<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_lost_when_no_connection_is_open() {
        let line = Line::default();
        assert!(line.lost_at().is_none(), "never opened, so never lost");
        let first = line.open(());
        let second = line.open(());
        drop(first);
        assert!(line.lost_at().is_none());
        drop(second);
        assert!(line.lost_at().is_some());
        let _third = line.open(());
        assert!(line.lost_at().is_none());
    }
}
