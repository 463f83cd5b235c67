//! What keeps a peer from logging in or connecting.

use std::io;
use std::time::Duration;

use simopen_device::DeviceError;
use simopen_protocol::address::HostPort;
use simopen_protocol::control::ErrorName;
use simopen_traversal::{Failure, Side};
use thiserror::Error;

use crate::broker_words::InWords;
use crate::carriage::{CarriageError, ProxyWords};
use crate::tls::CredentialsError;

/// What keeps a peer from logging in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The broker cannot be reached, straight or through the proxy.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(#[from] CarriageError),
    /// The other end is not the broker whose authority this device knows, or it does not take this
    /// device's certificate.
    #[error(
        "the broker at {broker} and this device have not shown each other who they are: {source}"
    )]
    NotAuthentic {
        /// Where it was sought.
        broker: HostPort,
        /// What TLS says.
        source: io::Error,
    },
    /// The broker said nothing in time.
    #[error("the broker at {broker} did not answer within {} s", waited.as_secs_f64())]
    TimedOut {
        /// Where it was sought.
        broker: HostPort,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The broker refused.
    #[error("the broker refused the login: {}", InWords(.0))]
    Refused(String),
    /// The link broke before the answer.
    #[error("the link to the broker broke before it answered")]
    LinkLost,
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Entropy(#[source] io::Error),
    /// The broker has no address.
    #[error("no address of the broker is known")]
    NoAddress,
    /// TLS cannot be set up.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// What keeps a request from being answered with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The broker refuses, with this word.
    #[error("the broker refuses: {}", InWords(&.0.0))]
    Refused(ErrorName),
    /// The broker did not answer in time.
    #[error("the broker did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The control link is gone.
    #[error("the control link to the broker is gone")]
    LinkLost,
}

/// What keeps a peer from connecting to another.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The attempt was made and failed.
    #[error("{}", in_words(.0))]
    Failed(Failure),
    /// The same, where the proxy on this side's way to the relay refused.
    #[error("the HTTP proxy {words}")]
    ProxyRefused {
        /// The attempt's failure.
        failure: Failure,
        /// What the proxy said.
        words: ProxyWords,
    },
    /// A system call failed on this side.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The control link is gone; log in again.
    #[error("the control link to the broker is gone: log in again")]
    LinkLost,
    /// No local port can be proven, which this technique needs.
    #[error("the broker is reached through a proxy, so no local port can be proven to it")]
    BehindProxy,
}

impl ConnectError {
    /// The attempt's failure, where one was made.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) | Self::ProxyRefused { failure, .. } => Some(failure),
            Self::Device(_) | Self::LinkLost | Self::BehindProxy => None,
        }
    }
}

fn in_words(failure: &Failure) -> String {
    let side = match failure.seen_by {
        Side::Own => "",
        Side::Peer => "on the other side: ",
    };
    let syns = match failure.syns {
        0 => String::new(),
        1 => " (after 1 SYN)".to_owned(),
        many => format!(" (after {many} SYNs)"),
    };
    format!("{side}{}{syns}", failure.cause.sentence())
}
