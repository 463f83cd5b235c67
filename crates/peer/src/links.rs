//! The links to other peers: one for each device, used for everything (seed 001 ¶107).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use simopen_protocol::identity::{DeviceName, UserId};
use tokio::sync::{OwnedMutexGuard, mpsc};

use crate::peer_link::PeerLink;
use crate::pins::Pins;

/// Links to one device that stand at a time: its programs may each have one. When one more comes
/// the oldest is closed, so that nobody fills this side with links.
const OF_ONE_DEVICE: usize = 16;

/// Links that nobody has taken yet.
const BACKLOG: usize = 64;

/// The links of one device to other peers, whoever opened them. Clones are the same book.
#[derive(Clone)]
pub struct Links {
    book: Arc<Book>,
}

struct Book {
    pins: Arc<dyn Pins>,
    links: Mutex<Vec<PeerLink>>,
    /// Whoever opens a link to a user does so alone, so that the next finds it.
    turns: Mutex<BTreeMap<UserId, Weak<tokio::sync::Mutex<()>>>>,
    new: mpsc::Sender<PeerLink>,
}

/// Gives each new link once, whoever opened it.
#[derive(Debug)]
pub struct NewLinks {
    links: mpsc::Receiver<PeerLink>,
}

impl NewLinks {
    /// The next link that came to be. `None` when the last clone of its [`Links`] is gone.
    pub async fn next(&mut self) -> Option<PeerLink> {
        self.links.recv().await
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Links").field(&self.all()).finish()
    }
}

impl Links {
    /// No links yet. Who is at their other ends is held against these pins.
    #[must_use]
    pub fn new(pins: Arc<dyn Pins>) -> (Self, NewLinks) {
        let (new, links) = mpsc::channel(BACKLOG);
        let book = Book { pins, links: Mutex::default(), turns: Mutex::default(), new };
        (Self { book: Arc::new(book) }, NewLinks { links })
    }

    /// The link to a user's device, or to any device of the user's.
    #[must_use]
    pub fn to(&self, user: &UserId, device: Option<&DeviceName>) -> Option<PeerLink> {
        let is_meant = |link: &PeerLink| {
            let remote = link.remote();
            remote.user == *user && device.is_none_or(|device| remote.device == *device)
        };
        self.all().into_iter().rev().find(is_meant)
    }

    /// All links that stand, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<PeerLink> {
        let mut links = self.book.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| !link.is_closed());
        links.clone()
    }

    /// Waits until nobody else opens a link to this user.
    pub(crate) async fn turn_to(&self, user: &UserId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.book.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let kept = turns.get(user).and_then(Weak::upgrade);
            kept.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(user.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }

    pub(crate) fn pins(&self) -> &Arc<dyn Pins> {
        &self.book.pins
    }

    /// Keeps a link, and forgets it when it has closed.
    pub(crate) fn add(&self, link: &PeerLink) {
        let remote = link.remote();
        let mut same = self.all();
        same.retain(|other| {
            other.remote().user == remote.user && other.remote().device == remote.device
        });
        if let Some(oldest) = same.first().filter(|_| same.len() >= OF_ONE_DEVICE) {
            oldest.close();
        }
        self.book.links.lock().unwrap_or_else(PoisonError::into_inner).push(link.clone());
        // Nobody may be taking links.
        let _ = self.book.new.try_send(link.clone());
        let (book, link) = (Arc::downgrade(&self.book), link.clone());
        tokio::spawn(async move {
            link.closed().await;
            if let Some(book) = Weak::upgrade(&book) {
                let mut links = book.links.lock().unwrap_or_else(PoisonError::into_inner);
                links.retain(|link| !link.is_closed());
            }
        });
    }

    /// Closes the links to a device that may no longer be talked to; without one, to all of the
    /// user's.
    pub(crate) fn revoke(&self, user: &UserId, device: Option<&DeviceName>) {
        for link in self.all() {
            let remote = link.remote();
            if remote.user == *user && device.is_none_or(|device| remote.device == *device) {
                link.close();
            }
        }
    }
}
