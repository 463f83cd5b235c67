//! The journal: what the box did and why, on the clock of its world.
//!
//! Entries are small copies in a ring of fixed size; when nobody reads them, the oldest are lost
//! and counted. A packet of an established session leaves no entry.

use alloc::collections::VecDeque;
use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};
use simopen_packet::{IcmpError, TcpFlags, Timestamp};

use crate::endpoint::Side;
use crate::flow_protocol::FlowProtocol;
use crate::tcp_tracking::state::TcpState;

/// How many entries the ring holds.
pub const JOURNAL_CAPACITY: usize = 4096;

/// Why a packet was not passed, or not translated. May grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
#[repr(u8)]
pub enum DropReason {
    /// Its headers cannot be read.
    Malformed,
    /// It is a fragment.
    Fragment,
    /// It is neither TCP nor UDP nor ICMP echo nor an ICMP error that quotes one of them.
    UnsupportedProtocol,
    /// The box lets nothing of its protocol pass.
    ProtocolBlocked,
    /// It came from outside and is not addressed to an outside address of the box.
    NotAddressedHere,
    /// It came from inside and is addressed to an outside address of the box.
    Hairpin,
    /// No mapping has the outside endpoint that it is addressed to.
    NoMapping,
    /// The mapping exists, but no session with this remote endpoint.
    NoSession,
    /// Address-dependent filtering: the inside endpoint has no session with this address.
    FilteredByAddress,
    /// Address-and-port-dependent filtering: no session with this endpoint.
    FilteredByEndpoint,
    /// A bare SYN from outside, which this box never admits.
    BareSynDropped,
    /// A SYN-ACK before the SYN that it answers.
    SynAckWithoutSyn,
    /// No TCP sends this combination of flags.
    InvalidFlags,
    /// The segment has no place in the state of the connection.
    InvalidInState,
    /// The sequence number lies beyond the window.
    OutOfWindow,
    /// It acknowledges bytes that were never seen.
    AckOutOfWindow,
    /// An RST below the number that the other side has acknowledged.
    InvalidReset,
    /// No outside port is free.
    PortsExhausted,
    /// Another session has the same endpoints.
    FlowInUse,
    /// An ICMP error that quotes no packet of a session.
    IcmpWithoutSession,
    /// An ICMP error of a kind that does not pass.
    IcmpFiltered,
    /// No session may be opened to that destination.
    EgressDenied,
    /// There are as many sessions as there may be.
    SessionLimit,
    /// It belongs to a handshake that the box makes itself.
    SynProxied,
}

impl DropReason {
    /// How many reasons there are.
    pub(crate) const COUNT: usize = Self::SynProxied as usize + 1;
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Fragment => "fragment",
            Self::UnsupportedProtocol => "unsupported protocol",
            Self::ProtocolBlocked => "protocol blocked",
            Self::NotAddressedHere => "not addressed to the box",
            Self::Hairpin => "hairpin",
            Self::NoMapping => "no mapping",
            Self::NoSession => "no session",
            Self::FilteredByAddress => "filtered by address",
            Self::FilteredByEndpoint => "filtered by endpoint",
            Self::BareSynDropped => "bare SYN dropped",
            Self::SynAckWithoutSyn => "SYN-ACK without SYN",
            Self::InvalidFlags => "invalid flags",
            Self::InvalidInState => "invalid in this state",
            Self::OutOfWindow => "sequence number out of window",
            Self::AckOutOfWindow => "acknowledgement out of window",
            Self::InvalidReset => "invalid RST",
            Self::PortsExhausted => "ports exhausted",
            Self::FlowInUse => "endpoints in use by another session",
            Self::IcmpWithoutSession => "ICMP error without session",
            Self::IcmpFiltered => "ICMP error filtered",
            Self::EgressDenied => "egress denied",
            Self::SessionLimit => "session limit reached",
            Self::SynProxied => "handshake made by the box",
        })
    }
}

/// The three endpoints of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SessionEndpoints {
    /// The inside host's own endpoint.
    pub inside: SocketAddr,
    /// The endpoint that stands for it outside; the same where nothing is translated.
    pub external: SocketAddr,
    /// The endpoint beyond the box.
    pub remote: SocketAddr,
}

impl fmt::Display for SessionEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {} to {}", self.inside, self.external, self.remote)
    }
}

/// Why a session ended. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndCause {
    /// Its timer ran out.
    Expired,
    /// An RST.
    Reset,
    /// An ICMP error.
    IcmpError,
    /// A SYN opened a new session on the same endpoints.
    Reopened,
    /// The idle killer.
    IdleKilled,
    /// A newer session took its place.
    Evicted,
}

/// What the box itself answered. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum OwnAnswer {
    /// An RST.
    Reset,
    /// An ICMP error.
    Icmp(IcmpError),
}

/// One packet as a journal tells it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PacketSummary {
    /// The side it came from.
    pub from: Side,
    /// Its TCP source and destination as it came, where it has them.
    pub endpoints: Option<(SocketAddr, SocketAddr)>,
    /// Its TCP flags, where it has them.
    pub flags: Option<TcpFlags>,
}

/// One thing that the box did. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JournalEvent {
    /// A session was opened from this side.
    Created {
        /// Its endpoints.
        session: SessionEndpoints,
        /// Who opened it.
        by: Side,
    },
    /// A packet brought a session into another state, and with it under another timer.
    Refreshed {
        /// Its endpoints.
        session: SessionEndpoints,
        /// Where the packet came from.
        by: Side,
        /// The state before.
        old: TcpState,
        /// The state now.
        new: TcpState,
    },
    /// A session ended.
    Ended {
        /// Its endpoints.
        session: SessionEndpoints,
        /// Its last state.
        state: TcpState,
        /// Why.
        cause: EndCause,
    },
    /// A packet was dropped.
    Refused {
        /// The packet.
        packet: PacketSummary,
        /// Why.
        reason: DropReason,
    },
    /// A packet left on the outside as it came from the inside.
    LeftUntranslated {
        /// The packet.
        packet: PacketSummary,
        /// Why it was not translated.
        reason: DropReason,
    },
    /// A session of a protocol without connections was opened from this side.
    FlowCreated {
        /// Which protocol.
        protocol: FlowProtocol,
        /// Its endpoints.
        session: SessionEndpoints,
        /// Who opened it.
        by: Side,
    },
    /// A session of a protocol without connections ended.
    FlowEnded {
        /// Which protocol.
        protocol: FlowProtocol,
        /// Its endpoints.
        session: SessionEndpoints,
        /// Why.
        cause: EndCause,
    },
    /// The box started anew and lost its tables.
    Rebooted {
        /// How many sessions it lost.
        sessions: u64,
    },
    /// The box sent a packet of its own.
    Answered {
        /// To whom.
        to: SocketAddr,
        /// With what.
        answer: OwnAnswer,
    },
}

/// One line of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalEntry {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: JournalEvent,
}

impl fmt::Display for PacketSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.endpoints, self.flags) {
            (Some((source, destination)), Some(flags)) => {
                write!(f, "{source} > {destination} {flags}")
            }
            (Some((source, destination)), None) => write!(f, "{source} > {destination}"),
            (None, _) => f.write_str("packet"),
        }
    }
}

impl fmt::Display for JournalEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        match self.event {
            JournalEvent::Created { session, by } => {
                write!(f, "created {session} from {by:?}")
            }
            JournalEvent::Refreshed { session, by, old, new } => {
                write!(f, "refreshed {session}: {old:?} to {new:?} from {by:?}")
            }
            JournalEvent::Ended { session, state, cause } => {
                write!(f, "ended {session} in {state:?}: {cause:?}")
            }
            JournalEvent::Refused { packet, reason } => write!(f, "refused {packet}: {reason}"),
            JournalEvent::LeftUntranslated { packet, reason } => {
                write!(f, "left untranslated {packet}: {reason}")
            }
            JournalEvent::FlowCreated { protocol, session, by } => {
                write!(f, "created {protocol} {session} from {by:?}")
            }
            JournalEvent::FlowEnded { protocol, session, cause } => {
                write!(f, "ended {protocol} {session}: {cause:?}")
            }
            JournalEvent::Rebooted { sessions } => write!(f, "rebooted, lost {sessions} sessions"),
            JournalEvent::Answered { to, answer: OwnAnswer::Reset } => {
                write!(f, "answered RST to {to}")
            }
            JournalEvent::Answered { to, answer: OwnAnswer::Icmp(error) } => {
                write!(f, "answered ICMP {error} to {to}")
            }
        }
    }
}

/// The ring of entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<JournalEntry>,
    lost: u64,
}

impl Journal {
    /// Adds an entry; the oldest makes room.
    pub(crate) fn write(&mut self, at: Timestamp, event: JournalEvent) {
        if self.entries.len() == JOURNAL_CAPACITY {
            self.entries.pop_front();
            self.lost += 1;
        }
        self.entries.push_back(JournalEntry { at, event });
    }

    /// Takes the oldest entry.
    pub(crate) fn read(&mut self) -> Option<JournalEntry> {
        self.entries.pop_front()
    }

    /// How many entries were lost unread.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }
}
