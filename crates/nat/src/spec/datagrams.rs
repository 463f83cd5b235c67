//! What a box does with UDP and with ICMP echo.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::filtering::Filtering;
use crate::mapping::Mapping;

/// What the box does with UDP. By default it is blocked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct UdpPolicy {
    /// Whether UDP passes at all.
    pub policy: UdpHandling,
    /// Which outbound datagrams of one inside endpoint share one outside endpoint.
    pub mapping: Mapping,
    /// From whom datagrams reach an open mapping.
    pub filtering: Filtering,
    /// How long a session lives after its last datagram.
    pub lifetime: Duration,
    /// Whether an even port stays even and an odd one odd.
    pub port_parity: PortParity,
}

impl UdpPolicy {
    /// No datagram passes.
    pub const BLOCKED: Self = Self {
        policy: UdpHandling::Blocked,
        mapping: Mapping::AddressAndPortDependent,
        filtering: Filtering::AddressAndPortDependent,
        lifetime: Duration::from_secs(30),
        port_parity: PortParity::Ignored,
    };

    /// Linux: 30 s as long as nothing is known of an answer (`nf_conntrack_udp_timeout`); the
    /// longer time of a flow that was answered is not told apart.
    pub const LINUX: Self = Self { policy: UdpHandling::Translated, ..Self::BLOCKED };

    /// RFC 4787: endpoint-independent mapping (REQ-1) and filtering (REQ-8), five minutes (REQ-5
    /// as recommended), parity kept (REQ-4).
    pub const RFC4787: Self = Self {
        policy: UdpHandling::Translated,
        mapping: Mapping::EndpointIndependent,
        filtering: Filtering::EndpointIndependent,
        lifetime: Duration::from_secs(300),
        port_parity: PortParity::Kept,
    };
}

impl Default for UdpPolicy {
    fn default() -> Self {
        Self::BLOCKED
    }
}

/// Whether UDP passes. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UdpHandling {
    /// It is filtered and, by a NAT, translated.
    Translated,
    /// It is dropped.
    #[default]
    Blocked,
}

/// Whether a mapping's outside port has the parity of its inside port (RFC 4787 §4.2.2). May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PortParity {
    /// It has.
    Kept,
    /// It has it by chance only.
    #[default]
    Ignored,
}

/// What the box does with ICMP echo, whose identifier stands for a port (RFC 5508 §3). May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IcmpEcho {
    /// Requests from inside pass, and so do their replies; mapping and filtering are those of UDP.
    Translated,
    /// It is dropped.
    #[default]
    Blocked,
}
