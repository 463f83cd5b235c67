//! What a store has to keep before anything is acknowledged.

use alloc::vec::Vec;

use crate::directory::Change;

/// Tells one [`Persist`] from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistId(pub u64);

/// Changes to be kept together or not at all. There is one at a time: the next comes after
/// [`crate::Broker::handle_persisted`] or [`crate::Broker::handle_persist_failed`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Persist {
    /// What to answer with.
    pub id: PersistId,
    /// What to keep, in order.
    pub changes: Vec<Change>,
}
