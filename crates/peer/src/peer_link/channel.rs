//! One channel, as a stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use simopen_protocol::peer_frame::ChannelNumber;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::driver::Shared;

/// A channel that the other side wants to open. Dropping it refuses.
#[derive(Debug)]
pub struct Offered {
    service: String,
    channel: Channel,
}

impl Offered {
    pub(super) const fn new(service: String, channel: Channel) -> Self {
        Self { service, channel }
    }

    /// Which service the other side asks for.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Opens it.
    #[must_use]
    pub fn accept(self) -> Channel {
        self.channel.shared.accept(self.channel.number);
        self.channel
    }

    /// Refuses, with a word that says why; the other side gets it as
    /// [`super::OpenError::Refused`].
    pub fn refuse(self, why: &str) {
        self.channel.shared.refuse(self.channel.number, why);
    }
}

/// A stream of bytes in each direction, on a link. Shutting it down ends this side's direction and
/// leaves the other. Dropping it ends both, once what was written has been sent; where it was not
/// shut down, the other side reads an error behind that, of the kind
/// [`io::ErrorKind::ConnectionReset`], for then nobody has said that it was all.
#[derive(Debug)]
pub struct Channel {
    shared: Arc<Shared>,
    number: ChannelNumber,
}

impl Channel {
    pub(super) const fn new(shared: Arc<Shared>, number: ChannelNumber) -> Self {
        Self { shared, number }
    }

    /// Ends both directions as broken, also where this side's was shut down already.
    pub fn break_off(self) {
        self.shared.break_off(self.number);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.shared.abandon(self.number);
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let read = self.shared.poll_read(self.number, buffer.initialize_unfilled(), context);
        read.map_ok(|length| buffer.advance(length))
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.shared.poll_write(self.number, bytes, context)
    }

    /// The link sends by itself what was written.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Waits until everything that was written is on its way.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_finish(self.number, context)
    }
}
