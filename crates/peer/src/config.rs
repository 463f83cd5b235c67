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
    /// TTL of SYNs that shall pass the own box and die before the other side's: those that the peer
    /// builds itself, and the first ones of the techniques that open the own box first.
    pub low_ttl: Ttl,
    /// How much later than agreed first SYNs leave: zero, but in experiments.
    pub start_skew: Duration,
    /// How the kernel's SYNs are captured.
    pub capture: SynCaptureWay,
    /// What keeps ICMP time-exceeded away from a socket that dials with a low TTL.
    pub icmp_shield: IcmpShield,
    /// How long the broker may take to be reached and to answer the login.
    pub login_timeout: Duration,
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

/// What keeps ICMP time-exceeded away from a kernel socket that dials with a low TTL: it kills a
/// socket in SYN-SENT (EHOSTUNREACH).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IcmpShield {
    /// Nothing: the attempt fails as `unreachable` where a router on the way sends one. Needs no
    /// privilege.
    #[default]
    Off,
    /// A route leads the flow into a TUN device whose owner sets the TTL below the socket. Needs
    /// CAP_NET_ADMIN and CAP_NET_RAW, and the peer forwards the flow for the connection's life.
    TunRoute {
        /// The interface that the packets leave by.
        interface: String,
    },
}

/// Three SYNs of a kernel (RFC 6298 §2.1, §5.5: at 0, 1 and 3 s), and the way there and back.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

impl PeerConfig {
    /// The usual: one port ready, the system's TTL for kernel sockets, 2 for SYNs that shall die on
    /// the way, no shield, 10 s for the login.
    #[must_use]
    pub fn new(broker: SocketAddr, user: UserId, secret: Token) -> Self {
        Self {
            broker,
            user,
            secret,
            gateway: None,
            kernel_ttl: None,
            low_ttl: Ttl(2),
            start_skew: Duration::ZERO,
            capture: SynCaptureWay::PacketSocket,
            icmp_shield: IcmpShield::Off,
            login_timeout: LOGIN_TIMEOUT,
            ports: 1,
            clock: Clock::start(),
            observer: None,
        }
    }
}
