//! The ways to open a connection. Each has one name, used alike in code, flags and reports.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// One way to open a TCP connection between two peers.
///
/// May grow: a broker answers a request that names one which it does not know with `incomplete`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Technique {
    /// Both dial each other from known ports at an agreed moment (RFC 9293 §3.5).
    SimultaneousOpen,
    /// The broker answers each side's first SYN in the other side's name (seed 001 ¶164-174).
    ForgedSynAck(SynOwner),
}

/// Who makes the SYN that a forged SYN-ACK answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SynOwner {
    /// An ordinary kernel socket dials, and its SYN is captured.
    Kernel,
    /// The peer builds the SYN itself and installs the finished connection with TCP_REPAIR.
    Userspace,
}

impl Technique {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 3] = [
        Self::SimultaneousOpen,
        Self::ForgedSynAck(SynOwner::Kernel),
        Self::ForgedSynAck(SynOwner::Userspace),
    ];

    /// The one name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SimultaneousOpen => "simultaneous-open",
            Self::ForgedSynAck(SynOwner::Kernel) => "forged-syn-ack/kernel",
            Self::ForgedSynAck(SynOwner::Userspace) => "forged-syn-ack/userspace",
        }
    }

    /// Whether the broker has to send packets with a foreign source address.
    #[must_use]
    pub const fn needs_forging(self) -> bool {
        matches!(self, Self::ForgedSynAck(_))
    }
}

impl fmt::Display for Technique {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Technique {
    type Err = UnknownTechnique;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.name() == name).ok_or(UnknownTechnique)
    }
}

/// A name that is no technique's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "unknown technique; known are simultaneous-open, forged-syn-ack/kernel, forged-syn-ack/userspace"
)]
pub struct UnknownTechnique;
