//! What happened at the broker, for logs and timelines, and how often.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;

use simopen_packet::Timestamp;
use simopen_protocol::cause::Cause;
use simopen_protocol::identity::{PeerId, SessionId, UserId};
use simopen_protocol::technique::Technique;

use crate::consent::Violation;
use crate::forge::ConsentRecord;
use crate::session::Party;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// A device logged in.
    LoggedIn {
        /// Its number.
        peer: PeerId,
        /// Whose it is.
        user: UserId,
    },
    /// A device's control link is gone.
    LoggedOut {
        /// Its number.
        peer: PeerId,
    },
    /// A peer proved an endpoint.
    Proven {
        /// Whose.
        peer: PeerId,
        /// As seen here.
        endpoint: SocketAddr,
    },
    /// A connection was asked for.
    Asked {
        /// The new session.
        session: SessionId,
        /// How.
        technique: Technique,
    },
    /// The responder accepted.
    Accepted {
        /// Which session.
        session: SessionId,
    },
    /// A side reported its initial SYN.
    SynReported {
        /// Which session.
        session: SessionId,
        /// Who.
        by: Party,
        /// 1 for the first report.
        observation: u8,
    },
    /// A forged packet left.
    Forged(ConsentRecord),
    /// A forged packet would have left, but forging is withheld.
    Withheld(ConsentRecord),
    /// A rule forbade a forged packet.
    Refused {
        /// Which session.
        session: SessionId,
        /// Towards whom it would have gone.
        towards: Party,
        /// The rule.
        violation: Violation,
    },
    /// A session ended.
    Ended {
        /// Which session.
        session: SessionId,
    },
}

/// Figures since the start.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Stats {
    /// Forged packets sent.
    pub forged: u64,
    /// Forged packets withheld.
    pub withheld: u64,
    /// Forged packets that a rule forbade, by rule.
    pub violations: BTreeMap<Violation, u64>,
    /// Requests answered with an error, by its word.
    pub refused: BTreeMap<Cause, u64>,
}
