//! A stream that reports to its connection's life what passes through it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::registry::Life;

/// A stream with bytes that were read ahead in front of it.
pub(super) struct Watched<T> {
    io: T,
    ahead: Bytes,
    life: Arc<Life>,
    /// Whether bytes mean that a request has begun. Not on HTTP/2: there they may be a ping.
    bytes_are_requests: bool,
}

impl<T> Watched<T> {
    /// For HTTP/1.1.
    pub(super) fn requests(io: T, ahead: Bytes, life: Arc<Life>) -> Self {
        Self {
            io,
            ahead,
            life,
            bytes_are_requests: true,
        }
    }

    /// For HTTP/2.
    pub(super) fn frames(io: T, ahead: Bytes, life: Arc<Life>) -> Self {
        Self {
            io,
            ahead,
            life,
            bytes_are_requests: false,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let fits = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(fits));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if self.bytes_are_requests && buf.filled().len() > before {
            self.life.bytes_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes when its own buffer is empty: everything asked for so far was written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.life.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
