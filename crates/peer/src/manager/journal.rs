//! What happens is kept, and told to whoever watches.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tracing::warn;

use crate::home::{DeviceLog, Entry, Event};

/// The device's log, and somebody who watches. Clones are the same journal.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    log: DeviceLog,
    watcher: Option<mpsc::UnboundedSender<Entry>>,
}

impl Journal {
    pub(super) const fn new(log: DeviceLog, watcher: Option<mpsc::UnboundedSender<Entry>>) -> Self {
        Self { log, watcher }
    }

    /// Keeps what happened at a broker. It is in the log when this returns; the runtime's thread
    /// does not wait for the disk.
    pub(super) async fn add(&self, broker: &impl ToString, event: Event) {
        let (journal, broker) = (self.clone(), broker.to_string());
        let added = tokio::task::spawn_blocking(move || journal.add_here(&broker, event)).await;
        if let Err(error) = added {
            warn!(%error, "the device's log was not written");
        }
    }

    /// The same, where the thread may wait for the disk.
    pub(super) fn add_here(&self, broker: &impl ToString, event: Event) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let entry = Entry { at, broker: broker.to_string(), event };
        self.log.keep(&entry);
        if let Some(watcher) = &self.watcher {
            // It may have gone away.
            let _ = watcher.send(entry);
        }
    }
}
