//! Where two peers meet at a relay (seed 001 ¶177-178).

use core::net::SocketAddr;

use crate::address::HostPort;
use crate::identity::SessionId;
use crate::token::Token;

/// The most addresses of a relay that are named.
pub const MAX_RELAY_ADDRESSES: usize = 4;

/// Where the other side is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// At its own endpoint, as the broker observed it.
    Endpoint(SocketAddr),
    /// At a relay, which both dial (`Scheme="PeerConnSchemeProxy"`, ¶178).
    Meeting(Meeting),
}

impl Destination {
    /// The other side's endpoint, where that is dialled.
    #[must_use]
    pub const fn endpoint(&self) -> Option<SocketAddr> {
        match self {
            Self::Endpoint(endpoint) => Some(*endpoint),
            Self::Meeting(_) => None,
        }
    }
}

/// One side of a pairing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Meeting {
    /// Where the relay listens, best first; at least one and at most [`MAX_RELAY_ADDRESSES`].
    pub relay: Vec<HostPort>,
    /// What this side presents there, once.
    pub value: Token,
}

/// Broker to relay: two peers will present these values (¶177).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// The broker's number for it, by which the pair can be ended.
    pub session: SessionId,
    /// The originator's value and the responder's.
    pub values: [Token; 2],
}
