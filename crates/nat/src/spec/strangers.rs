//! What packets meet that nobody inside has asked for.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// What the box answers to an inbound packet that belongs to no session. May grow.
///
/// `Reset` and the two immediate ICMP answers are what a router's own stack, or a rejecting
/// firewall rule, gives to any segment but an RST: also to a SYN-ACK or an ACK that came before
/// the SYN it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UnsolicitedSyn {
    /// Nothing.
    Dropped,
    /// An RST as RFC 9293 §3.10.7.1 makes it for a closed port.
    Reset,
    /// ICMP destination unreachable, port unreachable.
    PortUnreachable,
    /// ICMP destination unreachable, communication administratively prohibited.
    AdminProhibited,
    /// A bare SYN is held for [`HOLD_TIME`]; then ICMP port unreachable, unless an outbound SYN of
    /// the same connection came meanwhile (RFC 5382 §4.3, REQ-4). Anything else: nothing.
    HeldThenPortUnreachable,
}

/// How long a box under [`UnsolicitedSyn::HeldThenPortUnreachable`] stays silent: 6 seconds,
/// RFC 5382 §4.3, REQ-4.
pub const HOLD_TIME: Duration = Duration::from_secs(6);

/// What happens to a bare SYN (SYN without ACK) from outside that mapping, filtering and tracking
/// would let in. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InboundBareSyn {
    /// It passes: simultaneous open works.
    Admitted,
    /// It is dropped in silence: only a SYN-ACK opens the way in.
    Dropped,
}

/// Whether an inbound packet without a session leaves something behind. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EarlyPacket {
    /// Nothing.
    #[default]
    Harmless,
    /// A SYN or datagram that the box takes for its own keeps its destination port from new
    /// mappings towards its sender, for as long as a session lives that was opened so: they get
    /// another port (Linux, where the input chain accepts and something listens). One that the box
    /// answers with RST leaves nothing.
    TakesPort,
}
