//! Handshakes that the box makes itself, as a SYN proxy.
//!
//! ```text
//!            SYN of the inside host      its ACK               SYN-ACK of the remote
//!   (none) ─────────────────────▶ Inside ───────▶ Outside ─────────────────▶ Joined
//!            answered by the box      the box dials      the box acknowledges
//! ```

use alloc::collections::{BTreeMap, VecDeque};

use simopen_packet::{SeqNumber, Timestamp};

use crate::endpoint::Endpoint;

/// How many inside hosts may be half-way at a time; further SYNs are dropped.
const MAX_INSIDE: usize = 1024;

/// The inside and the remote endpoint of a connection.
pub(crate) type Ends = (Endpoint, Endpoint);

/// How far the two handshakes of one connection have come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    /// The inside host's SYN was answered.
    Inside,
    /// The inside host has acknowledged that, and the remote endpoint was dialled.
    Outside,
    /// Both are complete; this is added to the sequence numbers of the remote endpoint.
    Joined(u32),
}

/// One connection.
#[derive(Clone, Copy, Hash, Debug)]
pub(crate) struct Handshake {
    pub(crate) phase: Phase,
    /// The inside host's initial sequence number, which the remote endpoint sees as well.
    pub(crate) inside_isn: SeqNumber,
    /// The number with which the box answered in the remote endpoint's name.
    pub(crate) own_isn: SeqNumber,
    /// The largest segment that the inside host takes, in bytes.
    pub(crate) mss: u16,
}

/// All of them.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Handshakes {
    by_ends: BTreeMap<Ends, Handshake>,
    /// When those that began inside end, in that order: all last equally long.
    ends: VecDeque<(Timestamp, Ends)>,
}

impl Handshakes {
    /// The handshake of a connection.
    pub(crate) fn get(&self, ends: Ends) -> Option<Handshake> {
        self.by_ends.get(&ends).copied()
    }

    /// Begins one that ends at `until` if nothing comes of it; false if there are too many.
    pub(crate) fn begin(&mut self, ends: Ends, handshake: Handshake, until: Timestamp) -> bool {
        if self.ends.len() == MAX_INSIDE {
            return false;
        }
        self.by_ends.insert(ends, handshake);
        self.ends.push_back((until, ends));
        true
    }

    /// Goes on to another phase.
    pub(crate) fn enter(&mut self, ends: Ends, phase: Phase) {
        if let Some(handshake) = self.by_ends.get_mut(&ends) {
            handshake.phase = phase;
        }
    }

    /// Forgets one.
    pub(crate) fn remove(&mut self, ends: Ends) {
        self.by_ends.remove(&ends);
    }

    /// Forgets those that did not get beyond the inside until `now`. What has got further ends
    /// with its session.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while let Some((until, ends)) = self.ends.front().copied()
            && until <= now
        {
            self.ends.pop_front();
            if self.get(ends).is_some_and(|handshake| handshake.phase == Phase::Inside) {
                self.remove(ends);
            }
        }
    }

    /// When the next one ends.
    pub(crate) fn next_end(&self) -> Option<Timestamp> {
        self.ends.front().map(|(until, _)| *until)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_ends.is_empty() && self.ends.is_empty()
    }
}
