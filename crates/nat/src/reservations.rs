//! Outside endpoints that early packets took: what came before anybody inside asked for it.

use alloc::collections::{BTreeSet, VecDeque};

use simopen_packet::Timestamp;

use crate::endpoint::Endpoint;

/// How many are kept at most; further early packets leave nothing.
const MAX_RESERVATIONS: usize = 1024;

/// Pairs of an outside endpoint and a remote one, each with an end.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Reservations {
    pairs: BTreeSet<(Endpoint, Endpoint)>,
    /// In the order of their ends: all last equally long.
    ends: VecDeque<(Timestamp, Endpoint, Endpoint)>,
}

impl Reservations {
    /// Keeps an outside endpoint for `remote` until a time, which is never before that of an
    /// earlier call.
    pub(crate) fn add(&mut self, external: Endpoint, remote: Endpoint, until: Timestamp) {
        if self.ends.len() < MAX_RESERVATIONS && self.pairs.insert((external, remote)) {
            self.ends.push_back((until, external, remote));
        }
    }

    /// Ends what has lasted until `now`.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while let Some((until, external, remote)) = self.ends.front().copied()
            && until <= now
        {
            self.ends.pop_front();
            self.pairs.remove(&(external, remote));
        }
    }

    /// When the next one ends.
    pub(crate) fn next_end(&self) -> Option<Timestamp> {
        self.ends.front().map(|(until, _, _)| *until)
    }

    /// Whether an outside endpoint is kept for this remote one.
    pub(crate) fn has(&self, external: Endpoint, remote: Endpoint) -> bool {
        self.pairs.contains(&(external, remote))
    }

    /// Whether an outside endpoint is kept for anybody.
    pub(crate) fn has_port(&self, external: Endpoint) -> bool {
        self.pairs
            .range((external, Endpoint::LOWEST)..)
            .next()
            .is_some_and(|(kept, _)| *kept == external)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}
