//! HTTP proxies beside the boxes of a star, and the way that peers take to broker and relay.

use simopen_protocol::technique::{Carriage, Technique};

use crate::cell::Way;

/// The port of every proxy.
pub const PROXY_PORT: u16 = 3128;

/// The names of the hosts of the proxies for `a` and `b`.
pub const PROXY_NAMES: [&str; 2] = ["proxy-a", "proxy-b"];

/// Which HTTP proxies peers are set up to use. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Proxies {
    /// None.
    #[default]
    None,
    /// Proxies that open tunnels (CONNECT, RFC 9110 §9.3.6).
    WithConnect,
    /// Proxies that forward requests, and refuse CONNECT.
    WithoutConnect,
}

/// How a peer comes to broker and relay. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// By TCP from its own host.
    Straight,
    /// Through a tunnel that its proxy opens.
    Connect,
    /// By two HTTP exchanges with endless bodies, one up, one down.
    Http,
}

impl Proxies {
    /// Those that a way is tried with: for what goes through a proxy one that lets just that
    /// through.
    #[must_use]
    pub const fn for_way(way: &Way) -> Self {
        match way {
            Way::Own(technique) => Self::for_technique(*technique),
            Way::Program(_) => Self::None,
        }
    }

    /// As [`Self::for_way`].
    #[must_use]
    pub const fn for_technique(technique: Technique) -> Self {
        match technique {
            Technique::Relay(Carriage::Connect) => Self::WithConnect,
            Technique::Relay(Carriage::Http) => Self::WithoutConnect,
            Technique::Direct
            | Technique::SimultaneousOpen
            | Technique::SimultaneousOpenLowTtl
            | Technique::PunchAndListen
            | Technique::ForgedSynAck(_)
            | Technique::Relay(Carriage::Any)
            | _ => Self::None,
        }
    }

    /// The way of a peer's control link.
    #[must_use]
    pub const fn link_path(self) -> Path {
        match self {
            Self::None => Path::Straight,
            Self::WithConnect => Path::Connect,
            Self::WithoutConnect => Path::Http,
        }
    }

    /// The way to the relay that a technique takes. What is set up decides where the technique does
    /// not.
    #[must_use]
    pub const fn path(self, technique: Technique) -> Path {
        match technique {
            Technique::Relay(Carriage::Connect) => Path::Connect,
            Technique::Relay(Carriage::Http) => Path::Http,
            Technique::Direct
            | Technique::SimultaneousOpen
            | Technique::SimultaneousOpenLowTtl
            | Technique::PunchAndListen
            | Technique::ForgedSynAck(_)
            | Technique::Relay(Carriage::Any)
            | _ => self.link_path(),
        }
    }
}
