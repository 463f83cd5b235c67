//! The protocols whose flows a box follows.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A protocol whose flows a box follows. May grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FlowProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo; its identifier stands for the inside port, the remote port is 0.
    IcmpEcho,
}

impl fmt::Display for FlowProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::IcmpEcho => "ICMP echo",
        })
    }
}
