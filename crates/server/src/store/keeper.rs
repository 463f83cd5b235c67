//! The thread that writes, so that the broker never waits for a disk.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use simopen_broker::{Persist, PersistId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::error;

use super::{Store, StoreError};

/// Hands changes to the thread. When it is dropped, the thread writes what it has and ends.
pub(crate) struct Keeper {
    requests: Option<Sender<Persist>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Whether each request was kept comes out of the receiver.
    pub(crate) fn start(
        store: Box<dyn Store>,
    ) -> Result<(Self, UnboundedReceiver<(PersistId, bool)>), StoreError> {
        let (requests, received) = channel();
        let (answers, answered) = unbounded_channel();
        let thread = Builder::new()
            .name("store".into())
            .spawn(move || write(store, &received, &answers))
            .map_err(StoreError::Thread)?;
        Ok((Self { requests: Some(requests), thread: Some(thread) }, answered))
    }

    /// Begins to keep changes.
    pub(crate) fn keep(&self, persist: Persist) {
        if let Some(requests) = &self.requests {
            // The thread ends only after this sender is gone.
            let _ = requests.send(persist);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// One after the other: the broker sends the next when it has heard of the last.
fn write(
    mut store: Box<dyn Store>,
    requests: &Receiver<Persist>,
    answers: &UnboundedSender<(PersistId, bool)>,
) {
    for persist in requests {
        let kept = store.append(&persist.changes);
        if let Err(error) = &kept {
            error!(%error, "a change was not kept");
        }
        // The broker may have ended.
        let _ = answers.send((persist.id, kept.is_ok()));
    }
}
