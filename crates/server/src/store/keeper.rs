//! The thread that writes, so that the broker never waits for a disk.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use simopen_broker::directory::Change;
use simopen_broker::{Persist, PersistId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::error;

use super::{Store, StoreError};

/// The most requests that one transaction holds.
const GROUP: usize = 256;

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

/// What came in while the last transaction was written goes into the next one together.
fn write(
    mut store: Box<dyn Store>,
    requests: &Receiver<Persist>,
    answers: &UnboundedSender<(PersistId, bool)>,
) {
    while let Ok(first) = requests.recv() {
        let mut group = vec![first];
        group.extend(requests.try_iter().take(GROUP - 1));
        let changes: Vec<Change> =
            group.iter().flat_map(|persist| persist.changes.iter().cloned()).collect();
        let all = store.append(&changes);
        for persist in &group {
            // One that cannot be kept must not keep the others from it.
            let kept = match &all {
                Ok(()) => Ok(()),
                Err(_) => store.append(&persist.changes),
            };
            if let Err(error) = &kept {
                error!(%error, "a change was not kept");
            }
            // The broker may have ended.
            let _ = answers.send((persist.id, kept.is_ok()));
        }
    }
}
