//! Pipes that wait to be used.

use std::io;
use std::sync::{Mutex, PoisonError};

use simopen_device::splice::Pipe;

/// How large pipes are made, in bytes. Measured by `cargo bench --bench relay`.
const CAPACITY: usize = 256 * 1024;

/// Empty pipes that are kept; more are closed when they come back.
const KEPT: usize = 64;

/// A pool. A direction of a pair holds a pipe only while there is something in it.
#[derive(Debug, Default)]
pub(super) struct Pipes(Mutex<Vec<Pipe>>);

impl Pipes {
    pub(super) fn take(&self) -> io::Result<Pipe> {
        let kept = self.kept().pop();
        kept.map_or_else(|| Pipe::open(CAPACITY), Ok)
    }

    /// Gives back an empty pipe; one that is not empty is closed.
    pub(super) fn put(&self, pipe: Pipe) {
        let mut kept = self.kept();
        if pipe.held() == 0 && kept.len() < KEPT {
            kept.push(pipe);
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Pipe>> {
        // No holder of the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
