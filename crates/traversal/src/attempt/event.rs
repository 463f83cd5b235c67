//! What an attempt tells: what became true, and how it ended.

use core::net::SocketAddr;

use simopen_packet::{SeqNumber, Timestamp};
use simopen_protocol::cause::Cause;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// Authenticated bytes came from the other side.
    Confirmed,
    /// There is no connection.
    Failed(Failure),
}

/// The one cause of a failed attempt, and where it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Failure {
    /// The cause.
    pub cause: Cause,
    /// Which side saw it.
    pub seen_by: Side,
    /// How many SYNs this side had sent.
    pub syns: u8,
}

/// A side of the session, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// This one.
    Own,
    /// The other one.
    Peer,
}

/// Something that became true, for a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What became true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// This side asked the broker for a connection.
    Requested,
    /// The broker passed on the other side's request.
    Asked {
        /// The originator's observed endpoint; `None` where both meet at a relay.
        remote: Option<SocketAddr>,
    },
    /// The broker acknowledged the request.
    Acknowledged {
        /// The responder's observed endpoint; `None` where both meet at a relay.
        remote: Option<SocketAddr>,
    },
    /// A SYN of this side went out.
    SynSent {
        /// Its sequence number.
        sequence: SeqNumber,
        /// 1 for the first.
        number: u8,
    },
    /// The SYN-ACK for this side's own SYN came in.
    SynAckReceived,
    /// The kernel says ESTABLISHED.
    Established,
    /// The other side has shown who it is.
    Confirmed,
    /// This side's own verdict; the other side's report is awaited.
    GivenUp(Cause),
    /// It is over.
    Failed(Failure),
}
