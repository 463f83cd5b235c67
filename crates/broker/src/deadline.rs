//! What is due when, in order: asking for the next costs the same however much waits.

use alloc::collections::BTreeMap;

use simopen_packet::Timestamp;
use simopen_protocol::identity::{PeerId, SessionId};

use crate::link::LinkId;
use crate::session::Party;

/// One entry; the number keeps equal moments in order.
pub(crate) type Key = (Timestamp, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Due {
    /// A forged packet leaves towards that side.
    Departure(SessionId, Party),
    /// A session has lived for long enough.
    Expiry(SessionId),
    /// A peer may have been silent for too long.
    Silence(PeerId),
    /// What was held back on a link is not any longer.
    Held(LinkId),
    /// A relay has not answered.
    Pairing(SessionId),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Deadlines {
    due: BTreeMap<Key, Due>,
    counter: u64,
}

impl Deadlines {
    pub(crate) fn insert(&mut self, at: Timestamp, due: Due) -> Key {
        self.counter += 1;
        let key = (at, self.counter);
        self.due.insert(key, due);
        key
    }

    pub(crate) fn remove(&mut self, key: Key) {
        self.due.remove(&key);
    }

    /// The first one, if its moment has come.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<(Timestamp, Due)> {
        let first = self.due.first_entry().filter(|first| first.key().0 <= now)?;
        let (key, due) = first.remove_entry();
        Some((key.0, due))
    }

    pub(crate) fn first(&self) -> Option<(Timestamp, Due)> {
        self.due.first_key_value().map(|(key, due)| (key.0, *due))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}
