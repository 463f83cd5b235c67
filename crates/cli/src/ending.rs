//! How a service is told to end.

use std::io;
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::interrupt::INTERRUPTED;

/// Waits to be told to end.
pub(crate) struct Ending {
    interrupt: Signal,
    terminate: Signal,
}

impl Ending {
    /// From now on Ctrl-C and SIGTERM are waited for, and do not end the process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when the service is told to end.
    pub(crate) async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Does what belongs to a tidy end; whoever is told once more ends at once.
    pub(crate) async fn tidy(&mut self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = work => {}
            () = self.told() => process::exit(INTERRUPTED.into()),
        }
    }
}
