//! A stream, however it goes.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

/// A stream, however it goes: through a socket, straight or by CONNECT, or inside bodies of HTTP.
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

impl From<TcpStream> for Carried {
    fn from(stream: TcpStream) -> Self {
        Self::tcp_after(Bytes::new(), stream)
    }
}

impl From<DuplexStream> for Carried {
    /// The near end of what goes inside bodies of HTTP.
    fn from(stream: DuplexStream) -> Self {
        Self::http_after(Bytes::new(), stream)
    }
}

impl Carried {
    /// A socket, and what was read from it before.
    #[must_use]
    pub const fn tcp_after(first: Bytes, stream: TcpStream) -> Self {
        Self { first, stream: Stream::Tcp(stream) }
    }

    /// The near end of what goes inside bodies of HTTP, and what was read from it before.
    #[must_use]
    pub const fn http_after(first: Bytes, stream: DuplexStream) -> Self {
        Self { first, stream: Stream::Http(stream) }
    }

    /// The socket, where bytes go straight through one; its other end may be a proxy.
    #[must_use]
    pub const fn tcp(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Tcp(stream) => Some(stream),
            Stream::Http(_) => None,
        }
    }

    /// The socket's descriptor, where bytes go straight through one: for whoever has to be shown
    /// that the connection stands.
    #[must_use]
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.tcp().map(AsFd::as_fd)
    }

    /// The socket and what was read from it before, or the stream again.
    ///
    /// # Errors
    ///
    /// The stream, where it goes inside bodies of HTTP.
    pub fn into_tcp(self) -> Result<(Bytes, TcpStream), Self> {
        match self.stream {
            Stream::Tcp(stream) => Ok((self.first, stream)),
            Stream::Http(_) => Err(self),
        }
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

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Http(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Http(stream) => stream.is_write_vectored(),
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::net::TcpListener;
    use tokio::runtime::Builder;

    use super::*;

    /// Room for all that a test leaves unread.
    const ROOM: usize = 64;

    fn run<T>(future: impl Future<Output = T>) -> T {
        Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
    }

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
        let endpoint = listener.local_addr().expect("its endpoint");
        let dialled = TcpStream::connect(endpoint).await.expect("a connection");
        let (accepted, _) = listener.accept().await.expect("its other end");
        (dialled, accepted)
    }

    /// What comes out of the stream, read in parts that are smaller than what was read before.
    async fn all_of(mut stream: Carried) -> Vec<u8> {
        let mut read = vec![];
        let mut part = [0; 3];
        loop {
            match stream.read(&mut part).await.expect("it stands") {
                0 => return read,
                length => read.extend_from_slice(&part[..length]),
            }
        }
    }

    /// What the other end gets of two parts that are given at once.
    async fn vectored(mut stream: Carried, mut other: impl AsyncRead + Unpin) -> Vec<u8> {
        let parts = [IoSlice::new(b"two "), IoSlice::new(b"parts")];
        let written = stream.write_vectored(&parts).await.expect("it stands");
        drop(stream);
        let mut got = vec![];
        other.read_to_end(&mut got).await.expect("it stood");
        assert_eq!(got.len(), written, "what was said to be written");
        got
    }

    #[test]
    fn what_was_read_before_comes_first_whichever_way_the_stream_goes() {
        run(async {
            let first = Bytes::from_static(b"read before, ");
            let (stream, mut other) = sockets().await;
            other.write_all(b"then a socket's").await.expect("it stands");
            drop(other);
            let tcp = all_of(Carried::tcp_after(first.clone(), stream)).await;
            assert_eq!(tcp, b"read before, then a socket's");

            let (stream, mut other) = duplex(ROOM);
            other.write_all(b"then a carrier's").await.expect("it stands");
            drop(other);
            let http = all_of(Carried::http_after(first, stream)).await;
            assert_eq!(http, b"read before, then a carrier's");
        });
    }

    #[test]
    fn parts_that_are_written_at_once_go_out_at_once() {
        run(async {
            let (stream, other) = sockets().await;
            let stream = Carried::from(stream);
            assert!(stream.is_write_vectored(), "a socket takes parts");
            assert_eq!(vectored(stream, other).await, b"two parts");

            let (stream, other) = duplex(ROOM);
            let stream = Carried::from(stream);
            assert!(stream.is_write_vectored(), "so does a carrier");
            assert_eq!(vectored(stream, other).await, b"two parts");
        });
    }

    #[test]
    fn only_a_stream_through_a_socket_gives_the_socket_out() {
        run(async {
            let (stream, _other) = sockets().await;
            let local = stream.local_addr().expect("its endpoint");
            let tcp = Carried::tcp_after(Bytes::from_static(b"before"), stream);
            assert!(tcp.socket().is_some());
            let (first, stream) = tcp.into_tcp().expect("a socket");
            assert_eq!(
                (&first[..], stream.local_addr().expect("the same")),
                (&b"before"[..], local)
            );

            let (stream, _other) = duplex(ROOM);
            let http = Carried::from(stream);
            assert!(http.tcp().is_none());
            assert!(http.into_tcp().is_err());
        });
    }
}
