//! One encrypted link between two devices, and the channels on it (seed 001 ¶156-163).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use simopen_protocol::control::PublicKey;
use simopen_protocol::identity::{DeviceName, PeerId, UserId};
use simopen_protocol::technique::Technique;
use simopen_traversal::Role;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::watch;

use crate::peer::Route;

/// Who is at the other end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The device's number at the broker when the link was opened.
    pub peer: PeerId,
    /// Whose device it is.
    pub user: UserId,
    /// What that user calls it.
    pub device: DeviceName,
    /// The device's key, which is the pinned one.
    pub key: PublicKey,
}

/// How a link came to be.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) remote: Remote,
    pub(crate) technique: Technique,
    pub(crate) role: Role,
}

/// A link to another device. Clones are the same link; it stands until one side closes it, whether
/// or not clones are left.
#[derive(Debug, Clone)]
pub struct PeerLink {
    facts: Arc<Opened>,
    closing: watch::Sender<bool>,
}

impl PeerLink {
    /// Turns a connection whose two ends have shown who they are.
    pub(crate) fn start<S>(stream: S, opened: Opened, route: Option<Route>) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        drop((stream, route));
        Self { facts: Arc::new(opened), closing: watch::Sender::new(false) }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.facts.remote
    }

    /// How the connection under it was opened.
    #[must_use]
    pub fn technique(&self) -> Technique {
        self.facts.technique
    }

    /// Whether this side asked for the connection.
    #[must_use]
    pub fn role(&self) -> Role {
        self.facts.role
    }

    /// Opens a channel to a service of the other side, by a name that both know.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the other side refuses, or the link is gone.
    pub async fn open(&self, service: &str) -> Result<Channel, OpenError> {
        let _ = service;
        Err(OpenError::LinkClosed)
    }

    /// The next channel that the other side opens. `None` when the link has closed. Where several
    /// call it, each channel goes to one of them.
    pub async fn accept(&self) -> Option<Offered> {
        self.closed().await;
        None
    }

    /// Sends an instant message (seed 001 ¶163).
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it is too long or the link is gone.
    pub async fn say(&self, message: &[u8]) -> Result<(), OpenError> {
        let _ = message;
        Err(OpenError::LinkClosed)
    }

    /// The next instant message of the other side. `None` when the link has closed.
    pub async fn heard(&self) -> Option<Vec<u8>> {
        self.closed().await;
        None
    }

    /// Closes the link at once, with all its channels.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Whether it has closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until it has closed.
    pub async fn closed(&self) {
        // The sender lives as long as this link.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

/// A channel that the other side wants to open. Dropping it refuses.
#[derive(Debug)]
pub struct Offered {
    service: String,
}

impl Offered {
    /// Which service the other side asks for.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Opens it.
    #[must_use]
    pub fn accept(self) -> Channel {
        Channel { stream: tokio::io::duplex(1).0 }
    }

    /// Refuses, with a word that says why; the other side gets it as [`OpenError::Refused`].
    pub fn refuse(self, why: &str) {
        let _ = why;
    }
}

/// A stream of bytes in each direction, on a link. Shutting it down ends this side's direction and
/// leaves the other; dropping it ends both.
#[derive(Debug)]
pub struct Channel {
    stream: DuplexStream,
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What keeps a channel from being opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The other side refuses, with this word.
    #[error("the other side refuses: {0}")]
    Refused(String),
    /// The link is gone.
    #[error("the link to the other side is gone")]
    LinkClosed,
    /// It is longer than a frame takes.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}
