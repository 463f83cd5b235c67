//! What a peer learns without asking.

use std::sync::Arc;

use simopen_protocol::control::{Certificate, Notification};
use simopen_protocol::identity::PeerId;
use tokio::sync::broadcast;

/// News that a slow reader may leave unread; then it misses the oldest.
const UNREAD: usize = 1024;

/// Something that a peer learned without asking. May grow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// Logged in under this number. What was told of members, teams and shares before is void; it
    /// is told anew, until [`Notification::Listed`].
    Online(PeerId),
    /// The broker tells this. Never [`Notification::Several`]: each comes by itself.
    Told(Arc<Notification>),
    /// The broker gave this device another certificate for the key that it has; keep it.
    Renewed(Certificate),
    /// The link to the broker is gone.
    Offline,
}

/// Hands the same news to everybody who has asked for them. Clones are the same desk.
#[derive(Debug, Clone)]
pub struct NewsDesk {
    sender: broadcast::Sender<News>,
}

impl Default for NewsDesk {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(UNREAD) }
    }
}

impl NewsDesk {
    /// All news from now on. Subscribe before the login to miss none.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<News> {
        self.sender.subscribe()
    }

    pub(crate) fn tell(&self, news: News) {
        // Nobody may be listening.
        let _ = self.sender.send(news);
    }
}
