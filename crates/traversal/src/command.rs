//! What a world does for an attempt, and what it tells of the result.

use core::net::SocketAddr;

use simopen_packet::{Syn, SynAck, Ttl};
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::Carriage;

/// Something that the world shall do. Order matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Dials from `local` to `remote` with an ordinary socket, capturing the SYNs that it makes:
    /// each goes to [`crate::Attempt::handle_syn`], the end to
    /// [`crate::Attempt::handle_outcome`]. The capture is open before the dial begins. What was
    /// dialled before is given up.
    Dial {
        /// The proven local endpoint.
        local: SocketAddr,
        /// The other side, as the broker observed it or in its own network.
        remote: SocketAddr,
        /// TTL of the SYNs until [`Command::RaiseTtl`]; `None` leaves the system's, which an
        /// established connection has in any case.
        ttl: Option<Ttl>,
        /// Whose round trip the handshake will show to the congestion control.
        handshake: Handshake,
    },
    /// Gives the dialling socket's SYNs the system's TTL from the next one on.
    RaiseTtl,
    /// Sends a SYN from `local` with an ordinary socket, capturing it for
    /// [`crate::Attempt::handle_syn`] where that may be. Nobody waits for an answer.
    Punch {
        /// The proven local endpoint.
        local: SocketAddr,
        /// The other side, as the broker observed it.
        remote: SocketAddr,
        /// Enough hops for the own box, too few for the other side's.
        ttl: Ttl,
    },
    /// Gives up the socket of [`Command::Punch`], which sends nothing, and listens on `local`.
    /// Anybody may come: each connection is greeted, few at a time. The one with the greeting of
    /// this session goes to [`crate::Attempt::handle_accepted`], all others are closed.
    Listen {
        /// The proven local endpoint.
        local: SocketAddr,
    },
    /// Holds `local` so that the kernel swallows what arrives instead of answering RST, and hands
    /// arriving packets to [`crate::Attempt::handle_packet`].
    Swallow {
        /// The proven local endpoint.
        local: SocketAddr,
    },
    /// Sends this SYN raw, with its TTL.
    Emit(Syn),
    /// Installs the finished connection into the kernel (TCP_REPAIR).
    Install {
        /// The SYN that this side sent.
        own: Syn,
        /// The SYN-ACK that came for it.
        answer: SynAck,
    },
    /// Dials the relay of [`crate::Attempt::meeting`] from any port, and presents the value there:
    /// that it was sent is [`DialOutcome::Established`]. Its addresses are tried in their order,
    /// those that a name stands for only where
    /// [`crate::consent::TargetConsent::allow_relay`] allows them.
    Meet(Carriage),
    /// Gives up: closes sockets, captures and held ports.
    Abandon,
}

/// Where the round trip comes from that a kernel measures during a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handshake {
    /// The two ends answer each other.
    EndToEnd,
    /// The broker answers: the kernel takes the trip to the broker for the path's. A congestion
    /// control that trusts the minimum (BBR) would crawl for 10 s on a longer path.
    ThroughBroker,
}

/// How a dial or an installation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DialOutcome {
    /// The kernel says ESTABLISHED.
    Established,
    /// ECONNREFUSED.
    Refused,
    /// EHOSTUNREACH, ENETUNREACH.
    Unreachable,
    /// EACCES, EPERM from an ICMP administratively-prohibited.
    Prohibited,
    /// ETIMEDOUT: the kernel itself gave up.
    TimedOut,
    /// The relay of [`Command::Meet`] could not be reached.
    RelayUnreachable,
    /// An HTTP proxy on the way to the relay refused; the world has logged its words.
    ProxyRefused,
    /// Any other system call failed; the world has logged which.
    LocalError,
}

impl DialOutcome {
    /// The cause of the failure; `None` for [`DialOutcome::Established`].
    #[must_use]
    pub const fn cause(self) -> Option<Cause> {
        match self {
            Self::Established => None,
            Self::Refused => Some(Cause::Refused),
            Self::Unreachable => Some(Cause::Unreachable),
            Self::Prohibited => Some(Cause::Prohibited),
            Self::TimedOut => Some(Cause::NoAnswer),
            Self::RelayUnreachable => Some(Cause::RelayUnreachable),
            Self::ProxyRefused => Some(Cause::ProxyRefused),
            Self::LocalError => Some(Cause::LocalError),
        }
    }
}
