//! What a relay is asked to do (seed 001 ¶177), and which pairs may stand there.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use simopen_protocol::control::{KeyFingerprint, Proxy};
use simopen_protocol::identity::{DeviceName, SessionId, UserId};

/// Something for the relay. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PairingOrder {
    /// Two values will be presented. Answered by [`crate::Broker::handle_pairing_opened`] or
    /// [`crate::Broker::handle_pairing_failed`].
    Open(Proxy),
    /// The pair is to end, whether its two sides have come or not. Not answered.
    End(SessionId),
    /// A relay was revoked: whoever shows this key is to be left, and its pairs end with it. Answered
    /// by [`crate::Broker::handle_relay_left`] where it was the one that has them.
    Leave {
        /// What it shows.
        relay: KeyFingerprint,
        /// All pairs that may stand, which it may be told to end before.
        pairs: Vec<SessionId>,
    },
}

/// One side of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Side {
    pub(crate) user: UserId,
    pub(crate) device: Option<DeviceName>,
}

/// The pairs that may stand at the relay. They outlive their sessions and links, so that they can
/// be ended when a side is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Pairings {
    pairs: BTreeMap<SessionId, Pair>,
    by_user: BTreeMap<UserId, BTreeSet<SessionId>>,
    /// Oldest first.
    order: BTreeMap<u64, SessionId>,
    counter: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pair {
    number: u64,
    sides: [Side; 2],
}

impl Pairings {
    /// Remembers a pair; the oldest one is forgotten where there are too many.
    pub(crate) fn insert(&mut self, session: SessionId, sides: [Side; 2], limit: usize) {
        self.remove(session);
        while self.pairs.len() >= limit.max(1)
            && let Some(oldest) = self.order.values().next().copied()
        {
            self.remove(oldest);
        }
        self.counter += 1;
        for side in &sides {
            self.by_user.entry(side.user.clone()).or_default().insert(session);
        }
        self.order.insert(self.counter, session);
        self.pairs.insert(session, Pair { number: self.counter, sides });
    }

    /// Forgets a pair; whether it was known.
    pub(crate) fn remove(&mut self, session: SessionId) -> bool {
        let Some(pair) = self.pairs.remove(&session) else {
            return false;
        };
        self.order.remove(&pair.number);
        for side in &pair.sides {
            if let Some(sessions) = self.by_user.get_mut(&side.user) {
                sessions.remove(&session);
                if sessions.is_empty() {
                    self.by_user.remove(&side.user);
                }
            }
        }
        true
    }

    /// The pairs with that user on a side, and the other side of each; with a device's name only
    /// those of that device.
    pub(crate) fn of(
        &self,
        user: &UserId,
        device: Option<&DeviceName>,
    ) -> Vec<(SessionId, UserId)> {
        let is_meant = |side: &Side| {
            side.user == *user && device.is_none_or(|device| side.device.as_ref() == Some(device))
        };
        let sessions = self.by_user.get(user).into_iter().flatten();
        let pairs = sessions.filter_map(|session| Some((*session, self.pairs.get(session)?)));
        let other = |[one, other]: &[Side; 2]| {
            if is_meant(one) {
                Some(other.user.clone())
            } else {
                is_meant(other).then(|| one.user.clone())
            }
        };
        pairs.filter_map(|(session, pair)| Some((session, other(&pair.sides)?))).collect()
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.pairs.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }
}
