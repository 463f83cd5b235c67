//! A store whose latency is told.

use std::time::Instant;

use metrics::Histogram;
use simopen_broker::directory::{Change, Directory};

use super::{Store, StoreError};

/// A store that records how many seconds each [`Store::append`] takes.
pub struct Timed<S> {
    store: S,
    latency: Histogram,
}

impl<S: Store> Timed<S> {
    /// Around a store.
    #[must_use]
    pub const fn new(store: S, latency: Histogram) -> Self {
        Self { store, latency }
    }
}

impl<S: Store> Store for Timed<S> {
    fn load(&mut self) -> Result<Directory, StoreError> {
        self.store.load()
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let began = Instant::now();
        let appended = self.store.append(changes);
        self.latency.record(began.elapsed().as_secs_f64());
        appended
    }
}
