//! A stream, however it goes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

/// A stream, however it goes: straight or through CONNECT, or inside bodies of HTTP.
#[derive(Debug)]
pub struct Carried {
    /// What was read before the rest, and comes first.
    first: Bytes,
    stream: Stream,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Http(DuplexStream),
}

impl Carried {
    pub(super) const fn http(stream: DuplexStream) -> Self {
        Self { first: Bytes::new(), stream: Stream::Http(stream) }
    }

    pub(super) const fn tcp_after(first: Bytes, stream: TcpStream) -> Self {
        Self { first, stream: Stream::Tcp(stream) }
    }

    /// The socket, where bytes go straight through one; its other end may be a proxy.
    #[must_use]
    pub const fn tcp(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Tcp(stream) => Some(stream),
            Stream::Http(_) => None,
        }
    }
}

impl From<TcpStream> for Carried {
    fn from(stream: TcpStream) -> Self {
        Self::tcp_after(Bytes::new(), stream)
    }
}

impl AsyncRead for Carried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let length = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(length));
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Http(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Carried {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Http(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Http(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Http(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
