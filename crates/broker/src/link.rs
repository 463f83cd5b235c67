//! The connections that peers hold to the broker, and what their arrival proves.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;

use simopen_packet::{Syn, Timestamp};
use simopen_protocol::control::KeyFingerprint;
use simopen_protocol::identity::{PeerId, UserId};
use simopen_protocol::token::Token;

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LinkKind {
    Fresh,
    Control(PeerId),
    Probe,
}

/// One logged-in device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) user: UserId,
    pub(crate) link: LinkId,
    pub(crate) probe_secret: Token,
    /// Counts logins: the newest device of a user is the one that is asked.
    pub(crate) login: u64,
    /// Proven endpoints by the peer's local port.
    pub(crate) proofs: BTreeMap<u16, Proof>,
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
