//! What keeps a service from starting.

use std::io;

use simopen_device::DeviceError;
use thiserror::Error;

use crate::forger::ForgerError;

use crate::store::StoreError;
use crate::tls::TlsError;

/// What keeps a service from starting.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A socket could not be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The forger could not be started.
    #[error(transparent)]
    Forger(#[from] ForgerError),
    /// The listener could not be handed to the runtime.
    #[error("the listener cannot be used: {0}")]
    Listener(#[source] io::Error),
    /// No listener was given.
    #[error("no listener was given: call listen() before start()")]
    NoListener,
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Entropy(#[source] io::Error),
    /// The directory cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
