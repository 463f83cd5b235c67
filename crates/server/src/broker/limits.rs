//! How much of the machine's memory and descriptors a broker's links may take.

use crate::front;

/// The limits of the service. What the broker itself holds has limits of its own
/// ([`simopen_broker::Limits`]).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceLimits {
    /// Links at a time.
    pub links: usize,
    /// Those who have not shown who they are, and carriers.
    pub front: front::Limits,
    /// Bytes that wait for one peer which does not read.
    pub waiting_of_link: usize,
    /// Bytes that wait for all peers together.
    pub waiting: usize,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            links: 100_000,
            front: front::Limits::default(),
            waiting_of_link: 2 << 20,
            waiting: 256 << 20,
        }
    }
}
