//! The stream under a control link or a probe: plain, or TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use simopen_protocol::address::HostPort;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::carriage::{Carriage, CarriageError, Carried, Errand, Way};
use crate::tls::dns;

/// A stream to the broker.
#[derive(Debug)]
pub(crate) struct ControlStream {
    layer: Layer,
    course: Course,
}

#[derive(Debug)]
enum Layer {
    Plain(Carried),
    Tls(Box<TlsStream<Carried>>),
}

/// What stands between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Nothing,
    Proxy,
}

/// The two ends of a connection that no proxy stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StraightEnds {
    pub(crate) local: SocketAddr,
    pub(crate) broker: SocketAddr,
}

/// Opens a connection to the broker, straight or as this peer is set up to.
pub(crate) async fn dial(
    broker: &HostPort,
    carriage: &Carriage,
) -> Result<ControlStream, CarriageError> {
    let course = match &carriage.proxy {
        Some(_) if !carriage.no_proxy.covers(broker.host()) => Course::Proxy,
        Some(_) | None => Course::Nothing,
    };
    // The broker is the user's own choice.
    let stream = carriage.dial(broker, &Errand::Link, Way::Configured, |_| true).await?;
    Ok(ControlStream { layer: Layer::Plain(stream), course })
}

impl From<TcpStream> for ControlStream {
    /// A connection that was dialled straight.
    fn from(stream: TcpStream) -> Self {
        Self { layer: Layer::Plain(stream.into()), course: Course::Nothing }
    }
}

impl ControlStream {
    /// The same stream with TLS, to who shows that name.
    pub(crate) async fn secure(self, config: Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let Self { layer, course } = self;
        let layer = match layer {
            Layer::Plain(stream) => {
                let name = dns(name).map_err(io::Error::other)?;
                let stream = TlsConnector::from(config).connect(name, stream).await?;
                Layer::Tls(Box::new(stream))
            }
            Layer::Tls(_) => layer,
        };
        Ok(Self { layer, course })
    }

    /// The socket, where it leads to the broker itself.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        let carried = match &self.layer {
            Layer::Plain(stream) => stream,
            Layer::Tls(stream) => stream.get_ref().0,
        };
        match self.course {
            Course::Nothing => carried.tcp(),
            Course::Proxy => None,
        }
    }

    /// Its ends, where it leads to the broker itself.
    pub(crate) fn straight_ends(&self) -> Option<StraightEnds> {
        let socket = self.socket()?;
        Some(StraightEnds { local: socket.local_addr().ok()?, broker: socket.peer_addr().ok()? })
    }
}

impl AsyncRead for ControlStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().layer {
            Layer::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Layer::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for ControlStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().layer {
            Layer::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Layer::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().layer {
            Layer::Plain(stream) => Pin::new(stream).poll_flush(context),
            Layer::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().layer {
            Layer::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Layer::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
