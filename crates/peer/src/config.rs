//! What a peer is told before it logs in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simopen_device::clock::Clock;
use simopen_packet::Ttl;
use simopen_protocol::identity::UserId;
use simopen_protocol::token::Token;
use tokio::sync::mpsc;

use crate::peer::Observation;

/// What a peer is told before it logs in.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Where the broker listens.
    pub broker: SocketAddr,
    /// Who logs in.
    pub user: UserId,
    /// What only the user and the broker know.
    pub secret: Token,
    /// The default gateway, which is never dialled; `None` asks the system.
    pub gateway: Option<IpAddr>,
    /// TTL of the SYNs that kernel sockets make; `None` leaves the system's.
    pub kernel_ttl: Option<Ttl>,
    /// TTL of the SYNs that the peer builds itself: it passes the own box and dies before the
    /// other side's.
    pub userspace_ttl: Ttl,
    /// How much later than agreed first SYNs leave: zero, but in experiments.
    pub start_skew: Duration,
    /// How the kernel's SYNs are captured.
    pub capture: SynCaptureWay,
    /// How many proven ports are kept ready.
    pub ports: usize,
    /// A clock that is shared with other parts of the program.
    pub clock: Clock,
    /// Who is told of everything that happens in attempts.
    pub observer: Option<mpsc::UnboundedSender<Observation>>,
}

/// How the kernel's SYNs are captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SynCaptureWay {
    /// A packet socket looks on.
    PacketSocket,
    /// A route leads the flow into a TUN device whose owner lowers the SYN's TTL and keeps ICMP
    /// errors away from the dialling socket.
    TunRoute {
        /// The interface that the packets leave by.
        interface: String,
        /// TTL of the SYN.
        syn_ttl: Ttl,
    },
}

impl PeerConfig {
    /// The usual: one port ready, the system's TTL for kernel sockets, 2 for own SYNs.
    #[must_use]
    pub fn new(broker: SocketAddr, user: UserId, secret: Token) -> Self {
        Self {
            broker,
            user,
            secret,
            gateway: None,
            kernel_ttl: None,
            userspace_ttl: Ttl(2),
            start_skew: Duration::ZERO,
            capture: SynCaptureWay::PacketSocket,
            ports: 1,
            clock: Clock::start(),
            observer: None,
        }
    }
}
