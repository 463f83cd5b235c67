//! One encrypted link between two devices, and the channels on it (seed 001 ¶156-163).

mod channel;
mod driver;

use std::sync::Arc;
use std::time::Duration;

use simopen_protocol::control::PublicKey;
use simopen_protocol::identity::{DeviceName, PeerId, UserId};
use simopen_protocol::peer_frame::MAX_PART_B;
use simopen_protocol::peer_link::MAX_SERVICE_LEN;
use simopen_protocol::technique::Technique;
use simopen_traversal::Role;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

pub use self::channel::{Channel, Offered};
use self::driver::{Shared, drive};
use crate::peer::Route;

/// Instant messages that nobody has taken yet; beyond, new ones are thrown away.
const MESSAGES: usize = 64;

/// How long the other side's program may take to accept or refuse a channel.
const ANSWER: Duration = Duration::from_secs(10);

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
/// or not clones are left. Both sides ask each other whether they are there, so that a link whose
/// other end is gone closes within a minute.
#[derive(Debug, Clone)]
pub struct PeerLink {
    opened: Arc<Opened>,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
}

/// What the other side wants, until somebody takes it.
#[derive(Debug)]
struct Inbox {
    offers: Mutex<mpsc::UnboundedReceiver<Offered>>,
    messages: Mutex<mpsc::Receiver<Vec<u8>>>,
}

impl PeerLink {
    /// Turns a connection whose two ends have shown who they are.
    pub(crate) fn start<S>(stream: S, opened: Opened, route: Option<Route>) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        // The machine bounds how many channels are offered at a time.
        let (offered, offers) = mpsc::unbounded_channel();
        let (heard, messages) = mpsc::channel(MESSAGES);
        let shared = Arc::new(Shared::new(offered, heard));
        tokio::spawn(drive(stream, Arc::clone(&shared), route));
        let inbox = Inbox { offers: Mutex::new(offers), messages: Mutex::new(messages) };
        Self { opened: Arc::new(opened), shared, inbox: Arc::new(inbox) }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.opened.remote
    }

    /// How the connection under it was opened.
    #[must_use]
    pub fn technique(&self) -> Technique {
        self.opened.technique
    }

    /// Whether this side asked for the connection.
    #[must_use]
    pub fn role(&self) -> Role {
        self.opened.role
    }

    /// Opens a channel to a service of the other side, by a name that both know.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the other side refuses, does not answer within 10 s, or the link is gone.
    pub async fn open(&self, service: &str) -> Result<Channel, OpenError> {
        let limit = MAX_SERVICE_LEN;
        if service.is_empty() || service.len() > limit {
            return Err(OpenError::TooLong { limit });
        }
        let (number, answer) = self.shared.open(service)?;
        // Made before the answer is there, so that giving up gives the channel up.
        let channel = Channel::new(Arc::clone(&self.shared), number);
        match timeout(ANSWER, answer).await {
            Ok(Ok(Ok(()))) => Ok(channel),
            Ok(Ok(Err(name))) => Err(OpenError::Refused(name.0)),
            Ok(Err(_)) => Err(OpenError::LinkClosed),
            Err(_) => Err(OpenError::NoAnswer { within: ANSWER }),
        }
    }

    /// The next channel that the other side opens. `None` when the link has closed. Where several
    /// call it, each channel goes to one of them.
    pub async fn accept(&self) -> Option<Offered> {
        self.inbox.offers.lock().await.recv().await
    }

    /// Sends an instant message (seed 001 ¶163).
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it is too long or the link is gone.
    pub fn say(&self, message: &[u8]) -> Result<(), OpenError> {
        if message.len() > MAX_PART_B {
            return Err(OpenError::TooLong { limit: MAX_PART_B });
        }
        self.shared.say(message)
    }

    /// The next instant message of the other side. `None` when the link has closed.
    pub async fn heard(&self) -> Option<Vec<u8>> {
        self.inbox.messages.lock().await.recv().await
    }

    /// Waits until the other side has received everything that was written to channels which have
    /// been shut down. A process that ends sooner may lose it: what comes for a socket that nobody
    /// reads any more makes the kernel reset it, with all that it had not sent yet. That somebody
    /// there has read it, only an answer on the channel can tell.
    ///
    /// # Errors
    ///
    /// [`OpenError::LinkClosed`] where the link is gone.
    pub async fn settle(&self) -> Result<(), OpenError> {
        self.shared.settle()?.await.map_err(|_| OpenError::LinkClosed)
    }

    /// Closes the link at once, with all its channels.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether it has closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Waits until it has closed.
    pub async fn closed(&self) {
        self.shared.closed().await;
    }
}

/// What keeps a channel from being opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The other side refuses, with this word.
    #[error("the other side refuses: {0}")]
    Refused(String),
    /// The other side is there, and nobody takes what is opened to it.
    #[error(
        "the other side has not answered within {} s: its program takes nothing on this link",
        .within.as_secs()
    )]
    NoAnswer {
        /// How long was waited.
        within: Duration,
    },
    /// The link is gone.
    #[error("the link to the other side is gone")]
    LinkClosed,
    /// The link has as many channels as it takes.
    #[error("the link has as many channels as it takes")]
    TooMany,
    /// The other side does not read the messages that it was sent.
    #[error("the other side does not read the messages that it was sent")]
    Unread,
    /// It is empty, or longer than a frame takes.
    #[error("it is empty, or longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

#[cfg(test)]
mod tests;
