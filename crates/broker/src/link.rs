//! The connections that peers hold to the broker, and what their arrival proves.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::SocketAddr;
use core::time::Duration;

use simopen_packet::{Syn, Timestamp};
use simopen_protocol::control::{ErrorName, Head, KeyFingerprint, Reachable, Request, ShareId};
use simopen_protocol::identity::{DeviceName, PeerId, SessionId, UserId};
use simopen_protocol::token::Token;

use crate::deadline::Key;
use crate::listing::Listing;

/// One accepted connection, as the server counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Where a connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkOrigin {
    /// The source endpoint (`getpeername`).
    pub remote: SocketAddr,
    /// The SYN as it arrived (`TCP_SAVED_SYN`), where the listener saves them.
    pub syn: Option<Syn>,
    /// The key with which the other end showed who it is, where the link is encrypted and it did
    /// (the SHA-256 of the client certificate's SubjectPublicKeyInfo).
    pub key: Option<KeyFingerprint>,
}

impl LinkOrigin {
    /// The same endpoint written in the one way that comparisons rely on: a listener for both
    /// families shows IPv4 peers as IPv4-mapped IPv6, and an IPv6 endpoint may carry flow and scope numbers.
    pub(crate) fn canonical(self) -> Self {
        let remote = SocketAddr::new(self.remote.ip().to_canonical(), self.remote.port());
        Self { remote, ..self }
    }
}

/// The measured way between a peer and the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PathEstimate {
    /// The shortest round trip seen; halves of it are taken for one-way delays. The minimum, because
    /// a delayed acknowledgement makes the average too long.
    pub round_trip: Duration,
}

impl PathEstimate {
    /// One way.
    #[must_use]
    pub fn one_way(self) -> Duration {
        self.round_trip / 2
    }
}

/// A link and what it turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Link {
    pub(crate) origin: LinkOrigin,
    pub(crate) path: PathEstimate,
    pub(crate) kind: LinkKind,
    /// What is held back because somebody at its source guesses.
    pub(crate) held: Option<Held>,
    /// How many of its requests wait for the store.
    pub(crate) waiting: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LinkKind {
    Fresh,
    Control(PeerId),
    Probe,
    /// It is about to be closed, and nothing on it counts any more.
    Ended,
}

/// Held back on a link until its moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) due: Key,
    pub(crate) what: HeldBack,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum HeldBack {
    /// It is judged then.
    Request(Request),
    /// It was judged, and the answer is sent then.
    Refusal(Head, ErrorName),
}

/// One logged-in device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) user: UserId,
    /// What its user calls it, where it joined.
    pub(crate) device: Option<DeviceName>,
    pub(crate) reachable: Reachable,
    pub(crate) link: LinkId,
    pub(crate) probe_secret: Token,
    pub(crate) since: Timestamp,
    /// When anything came from it last.
    pub(crate) heard: Timestamp,
    pub(crate) watch: Watch,
    /// When its silence is looked at next.
    pub(crate) silence: Option<Key>,
    /// The open sessions with it on either side.
    pub(crate) sessions: BTreeSet<SessionId>,
    /// How many of them it asked for.
    pub(crate) asked_for: usize,
    pub(crate) shares: BTreeSet<ShareId>,
    /// How far it has been told what there was at its login.
    pub(crate) listing: Option<Listing>,
    /// Counts logins: the newest device of a user is the one that is asked.
    pub(crate) login: u64,
    /// Proven endpoints by the peer's local port.
    pub(crate) proofs: BTreeMap<u16, Proof>,
}

/// What the broker thinks of a peer's silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Watch {
    /// Nothing.
    Listening,
    /// It was asked whether it is there.
    Verifying,
    /// It has said something since, although nothing that is understood.
    Spoke,
}

/// The most endpoints that one peer has proven at a time.
const MAX_PROOFS: usize = 16;

impl Peer {
    /// Remembers a proof; the oldest goes where there are too many.
    pub(crate) fn remember(&mut self, port: u16, proof: Proof) {
        self.proofs.insert(port, proof);
        if self.proofs.len() > MAX_PROOFS
            && let Some(oldest) =
                self.proofs.iter().min_by_key(|(_, proof)| proof.at).map(|(port, _)| *port)
        {
            self.proofs.remove(&oldest);
        }
    }
}

/// An endpoint that a peer has shown to be its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Proof {
    /// The connection that proved it.
    pub(crate) link: LinkId,
    /// As the broker saw it.
    pub(crate) endpoint: SocketAddr,
    /// What is known of the way there.
    pub(crate) way: ProbedWay,
    pub(crate) at: Timestamp,
}

/// Whether the SYN that left a peer is the SYN that arrived at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ProbedWay {
    /// It is: nothing on the way rewrites sequence numbers.
    Verified,
    /// The peer did not say what left.
    Unknown,
    /// It is not, or nobody saw what arrived: a proxy, or a box that rewrites sequence numbers.
    ProxiedOrRewritten,
}
