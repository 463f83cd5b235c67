//! What a peer is told before it logs in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simopen_device::clock::Clock;
use simopen_packet::Ttl;
use simopen_protocol::address::HostPort;
use simopen_protocol::control::Reachable;
use simopen_protocol::identity::UserId;
use simopen_protocol::technique::{self, SynOwner, Technique};
use simopen_protocol::token::Token;
use tokio::sync::mpsc;

use crate::carriage::Carriage;
use crate::credentials::{Credentials, CurrentCredentials};
use crate::links::Links;
use crate::news::NewsDesk;
use crate::peer::Observation;

/// What a peer is told before it logs in.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Where the broker listens, best first.
    pub brokers: Vec<HostPort>,
    /// How servers are reached: the broker, and relays.
    pub carriage: Carriage,
    /// Who logs in.
    pub user: UserId,
    /// By what the broker knows this peer.
    pub identity: Identity,
    /// Whether other peers may ask this one for connections.
    pub reachable: Reachable,
    /// Where links to other peers are kept; they outlive a login. Without it connections of other
    /// peers come as they are, in plain text, through [`crate::Incoming`].
    pub links: Option<Links>,
    /// In which order [`crate::Peer::link_to`] tries to open a connection.
    pub techniques: Vec<Technique>,
    /// Where it is told what the broker tells.
    pub news: NewsDesk,
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

/// By what the broker knows a peer.
#[derive(Debug, Clone)]
pub enum Identity {
    /// What only the user and the broker know; links are plain text.
    Secret(Token),
    /// What the device got when it joined; links are TLS.
    Device(CurrentCredentials),
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

/// What is tried first opens a direct connection; what comes last always works. Where nobody stands
/// between two peers, each answers the other's SYN with an RST until it dials itself: then a plain
/// dial leads there.
const TECHNIQUES: [Technique; 5] = [
    Technique::ForgedSynAck(SynOwner::Kernel),
    Technique::ForgedSynAck(SynOwner::Userspace),
    Technique::SimultaneousOpen,
    Technique::Direct,
    Technique::Relay(technique::Carriage::Any),
];

impl PeerConfig {
    /// The usual, in plain text: one port ready, the system's TTL for kernel sockets, 2 for SYNs
    /// that shall die on the way, no shield, 10 s for the login.
    #[must_use]
    pub fn new(broker: SocketAddr, user: UserId, secret: Token) -> Self {
        Self::of(vec![broker.into()], user, Identity::Secret(secret))
    }

    /// The usual for a device that has joined: links are TLS, and other peers' connections become
    /// links.
    #[must_use]
    pub fn joined(brokers: Vec<HostPort>, credentials: Credentials, links: Links) -> Self {
        let user = credentials.user.clone();
        let identity = Identity::Device(CurrentCredentials::new(credentials));
        Self { links: Some(links), ..Self::of(brokers, user, identity) }
    }

    fn of(brokers: Vec<HostPort>, user: UserId, identity: Identity) -> Self {
        Self {
            brokers,
            carriage: Carriage::default(),
            user,
            identity,
            reachable: Reachable::Yes,
            links: None,
            techniques: TECHNIQUES.to_vec(),
            news: NewsDesk::default(),
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
