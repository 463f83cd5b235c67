//! What no probe can see: turns of an axis after which a box gives out the same packets.

use std::fmt;

use serde_json::Value;
use simopen_nat::{Preset, Role};

use super::axis::Axis;

/// A turn of an axis that no packet tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnseenTurn {
    /// The axes.
    pub axes: &'static [Axis],
    /// Of which presets.
    pub presets: Presets,
    /// To which values.
    pub to: Turned,
    /// Why.
    pub why: &'static str,
}

/// Some of the presets. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presets {
    /// Those that are this kind of box.
    Of(Role),
    /// These.
    Named(&'static [&'static str]),
}

/// Some of the other values of an axis. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turned {
    /// Every one.
    ToAnything,
    /// A longer time.
    Longer,
}

impl UnseenTurn {
    /// Whether this is said of a preset whose axis is turned to a value.
    #[must_use]
    pub fn covers(&self, preset: &Preset, axis: Axis, value: &Value) -> bool {
        let is_turned = match self.to {
            Turned::ToAnything => true,
            Turned::Longer => super::expectation::lasts_longer(value, &axis.of(&preset.spec)),
        };
        is_turned && self.axes.contains(&axis) && self.presets.contain(preset)
    }
}

impl fmt::Display for UnseenTurn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.axes == Axis::ALL_BUT_ROLE {
            formatter.write_str("everything but the role")?;
        } else {
            let axes: Vec<_> = self.axes.iter().map(|axis| axis.path()).collect();
            formatter.write_str(&axes.join(", "))?;
        }
        match self.to {
            Turned::ToAnything => {}
            Turned::Longer => formatter.write_str(" (longer)")?,
        }
        match self.presets {
            Presets::Of(Role::Transparent) => formatter.write_str(" of no-box")?,
            Presets::Of(Role::Firewall) => formatter.write_str(" of firewalls")?,
            Presets::Of(_) => formatter.write_str(" of NATs")?,
            Presets::Named(names) => write!(formatter, " of {}", names.join(", "))?,
        }
        write!(formatter, ": {}", self.why)
    }
}

impl Presets {
    fn contain(self, preset: &Preset) -> bool {
        match self {
            Self::Of(role) => preset.spec.role == role,
            Self::Named(names) => names.contains(&preset.name),
        }
    }
}

/// The Linux presets whose mappings share ports, and what is like them.
const BY_REMOTE: Presets = Presets::Named(&[
    "linux-masquerade-drop-input",
    "linux-masquerade-open-input",
    "linux-masquerade-fully-random",
    "cgn-port-block",
]);

/// All turns of the presets' axes that no packet tells. Tests hold it against the probe both ways:
/// what is missing here is seen, and what stands here is not.
pub const UNSEEN: &[UnseenTurn] = &[
    UnseenTurn {
        axes: Axis::ALL_BUT_ROLE,
        presets: Presets::Of(Role::Transparent),
        to: Turned::ToAnything,
        why: "a box that lets everything pass as it is keeps nothing and says nothing",
    },
    UnseenTurn {
        axes: &[
            Axis::Mapping,
            Axis::PortAllocation,
            Axis::PortOverloading,
            Axis::Hairpin,
            Axis::EarlyPacket,
            Axis::PoolAddresses,
            Axis::PoolPairing,
            Axis::UdpMapping,
            Axis::UdpPortParity,
        ],
        presets: Presets::Of(Role::Firewall),
        to: Turned::ToAnything,
        why: "without translation every endpoint is its own",
    },
    UnseenTurn {
        axes: &[Axis::Filtering, Axis::UdpFiltering],
        presets: BY_REMOTE,
        to: Turned::ToAnything,
        why: "a port that mappings share belongs to the remote endpoint whose packet comes: the \
              mapping filters by itself",
    },
    UnseenTurn {
        axes: &[Axis::Filtering],
        presets: Presets::Named(&["syn-ack-only-firewall"]),
        to: Turned::ToAnything,
        why: "no SYN comes in, and those that filtering keeps out meet the same silence",
    },
    UnseenTurn {
        axes: &[Axis::PortOverloading],
        presets: Presets::Named(&[
            "rfc5382-compliant",
            "rfc7857-compliant",
            "ei-mapping-apd-filtering",
            "isn-randomizing-asa",
        ]),
        to: Turned::ToAnything,
        why: "an endpoint-independent mapping has its port towards everybody",
    },
    UnseenTurn {
        axes: &[Axis::PortOverloading],
        presets: Presets::Named(&["apd-mapping-sequential"]),
        to: Turned::ToAnything,
        why: "a port comes round only after all others",
    },
    UnseenTurn {
        axes: &[Axis::EarlyPacket],
        presets: Presets::Named(&[
            "linux-masquerade-fully-random",
            "rfc7857-compliant",
            "apd-mapping-random",
            "isn-modulating-pf",
        ]),
        to: Turned::ToAnything,
        why: "nobody knows which port would have been given",
    },
    UnseenTurn {
        axes: &[Axis::EarlyPacket],
        presets: Presets::Named(&["linux-masquerade-open-input"]),
        to: Turned::ToAnything,
        why: "a packet that is answered with RST leaves nothing behind",
    },
    UnseenTurn {
        axes: &[Axis::Hairpin],
        presets: Presets::Named(&[
            "linux-masquerade-fully-random",
            "apd-mapping-sequential",
            "apd-mapping-random",
            "isn-modulating-pf",
        ]),
        to: Turned::ToAnything,
        why: "neither of two hosts inside knows from where the other one would come, so that both \
              are filtered",
    },
    UnseenTurn {
        axes: &[Axis::Hairpin],
        presets: Presets::Named(&["linux-masquerade-open-input"]),
        to: Turned::ToAnything,
        why: "the RST for the first of two hosts that dial each other ends its session",
    },
    UnseenTurn {
        axes: &[Axis::PoolPairing],
        presets: Presets::Of(Role::Nat),
        to: Turned::ToAnything,
        why: "there is one address",
    },
    UnseenTurn {
        axes: &[Axis::WhenFull],
        presets: Presets::Of(Role::Nat),
        to: Turned::ToAnything,
        why: "nothing is limited",
    },
    UnseenTurn {
        axes: &[Axis::WhenFull],
        presets: Presets::Of(Role::Firewall),
        to: Turned::ToAnything,
        why: "nothing is limited",
    },
    UnseenTurn {
        axes: &[Axis::Unacknowledged, Axis::Retransmitting],
        presets: Presets::Named(&[
            "rfc5382-compliant",
            "rfc7857-compliant",
            "isn-modulating-pf",
            "ipv6-stateful-rfc6092",
        ]),
        to: Turned::Longer,
        why: "the timer of established connections is over before",
    },
    UnseenTurn {
        axes: &[Axis::UdpFiltering, Axis::UdpLifetime],
        presets: Presets::Named(&["egress-http-proxy-only"]),
        to: Turned::ToAnything,
        why: "no datagram passes",
    },
    UnseenTurn {
        axes: &[Axis::IcmpEcho],
        presets: Presets::Named(&["egress-http-proxy-only"]),
        to: Turned::ToAnything,
        why: "an echo request has no port that the list could name",
    },
];
