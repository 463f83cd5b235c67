//! What a box keeps from passing, or ends, by rule.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// To where sessions may be opened from inside. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Egress {
    /// To everywhere.
    #[default]
    Everything,
    /// To these destination ports only, 0 for an unused place; the rest is dropped in silence, and
    /// ICMP echo with it.
    DenyExcept([u16; 4]),
}

impl Egress {
    /// Whether a session may be opened to this destination port.
    #[must_use]
    pub fn permits(self, port: u16) -> bool {
        match self {
            Self::Everything => true,
            Self::DenyExcept(ports) => port != 0 && ports.contains(&port),
        }
    }
}

/// Ends established TCP connections that nobody uses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct IdleKiller {
    /// After how long without a packet.
    pub after: Duration,
    /// What the two ends hear.
    pub how: IdleKill,
}

/// What the two ends of an idle connection hear when the box ends it. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IdleKill {
    /// Each an RST in the other's name.
    Reset,
    /// Nothing.
    Silence,
}

/// Which ICMP errors that quote a packet of a session pass, either way. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IcmpErrors {
    /// All.
    #[default]
    Passed,
    /// All but time exceeded.
    TimeExceededFiltered,
    /// None.
    AllFiltered,
}
