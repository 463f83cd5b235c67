//! How much of the machine's memory and descriptors a broker's links may take.

use std::time::Duration;

/// The limits of the service. What the broker itself holds has limits of its own
/// ([`simopen_broker::Limits`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceLimits {
    /// Links at a time.
    pub links: usize,
    /// Connections that have not shown who they are; beyond, the oldest is closed.
    pub newcomers: usize,
    /// How long a connection may take to show who it is.
    pub newcomer_deadline: Duration,
    /// Bytes that wait for one peer which does not read.
    pub waiting_of_link: usize,
    /// Bytes that wait for all peers together.
    pub waiting: usize,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            links: 100_000,
            newcomers: 2_000,
            newcomer_deadline: Duration::from_secs(10),
            waiting_of_link: 2 << 20,
            waiting: 256 << 20,
        }
    }
}
