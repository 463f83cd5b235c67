//! What one middlebox does: a specification of independent axes, readable by serde.
//!
//! Each axis is an enum of its own, so that an axis can be turned one value at a time. Axes that
//! are still without a place in the machine (hairpinning, UDP, rewriting of sequence numbers,
//! limits, pools of addresses) come as further fields and variants: every enum here may grow.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::filtering::Filtering;
use crate::mapping::Mapping;
use crate::port_allocation::{PortAllocation, PortOverloading};

/// Describes one middlebox, axis by axis.
///
/// Start from a preset of [`crate::preset`] and turn axes with the `with_` methods.
///
/// ```
/// use simopen_nat::{InboundBareSyn, MiddleboxSpec, UnsolicitedSyn};
///
/// let spec = MiddleboxSpec::ei_mapping_apd_filtering()
///     .with_inbound_bare_syn(InboundBareSyn::Dropped)
///     .with_unsolicited(UnsolicitedSyn::Reset);
/// assert_eq!(spec.unsolicited, UnsolicitedSyn::Reset);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MiddleboxSpec {
    /// Whether packets are passed as they are, filtered, or filtered and translated.
    pub role: Role,
    /// Which outbound packets of one inside endpoint share one outside endpoint.
    pub mapping: Mapping,
    /// From whom inbound packets reach an open mapping.
    pub filtering: Filtering,
    /// How the outside port of a new mapping is chosen.
    pub port_allocation: PortAllocation,
    /// Whether two mappings may share one outside port.
    pub port_overloading: PortOverloading,
    /// What the sender of an inbound packet without a session hears.
    pub unsolicited: UnsolicitedSyn,
    /// Whether a bare SYN from outside passes where mapping and filtering would let it.
    pub inbound_bare_syn: InboundBareSyn,
    /// How closely sequence numbers are followed.
    pub tracking: TcpTracking,
    /// What an outbound segment in the middle of an unknown connection does.
    pub mid_stream: MidStream,
    /// What becomes of an outbound segment which tracking calls invalid.
    pub invalid_outbound: InvalidOutbound,
    /// What a valid RST does to the session.
    pub on_reset: OnReset,
    /// What an ICMP error does to the session whose packet it quotes.
    pub on_icmp_error: OnIcmpError,
    /// How long a session lives in each state without traffic.
    pub timers: TcpTimers,
}

impl MiddleboxSpec {
    /// Turns the mapping axis.
    #[must_use]
    pub const fn with_mapping(mut self, mapping: Mapping) -> Self {
        self.mapping = mapping;
        self
    }

    /// Turns the filtering axis.
    #[must_use]
    pub const fn with_filtering(mut self, filtering: Filtering) -> Self {
        self.filtering = filtering;
        self
    }

    /// Turns the port allocation axis.
    #[must_use]
    pub const fn with_port_allocation(mut self, allocation: PortAllocation) -> Self {
        self.port_allocation = allocation;
        self
    }

    /// Turns the port overloading axis.
    #[must_use]
    pub const fn with_port_overloading(mut self, overloading: PortOverloading) -> Self {
        self.port_overloading = overloading;
        self
    }

    /// Turns the answer to unsolicited packets.
    #[must_use]
    pub const fn with_unsolicited(mut self, unsolicited: UnsolicitedSyn) -> Self {
        self.unsolicited = unsolicited;
        self
    }

    /// Turns the fate of a bare SYN that reaches an open mapping.
    #[must_use]
    pub const fn with_inbound_bare_syn(mut self, inbound_bare_syn: InboundBareSyn) -> Self {
        self.inbound_bare_syn = inbound_bare_syn;
        self
    }

    /// Turns the tracking axis.
    #[must_use]
    pub const fn with_tracking(mut self, tracking: TcpTracking) -> Self {
        self.tracking = tracking;
        self
    }

    /// Turns the pick-up of connections in their middle.
    #[must_use]
    pub const fn with_mid_stream(mut self, mid_stream: MidStream) -> Self {
        self.mid_stream = mid_stream;
        self
    }

    /// Turns the fate of invalid outbound segments.
    #[must_use]
    pub const fn with_invalid_outbound(mut self, invalid_outbound: InvalidOutbound) -> Self {
        self.invalid_outbound = invalid_outbound;
        self
    }

    /// Turns the effect of an RST.
    #[must_use]
    pub const fn with_on_reset(mut self, on_reset: OnReset) -> Self {
        self.on_reset = on_reset;
        self
    }

    /// Turns the effect of an ICMP error.
    #[must_use]
    pub const fn with_on_icmp_error(mut self, on_icmp_error: OnIcmpError) -> Self {
        self.on_icmp_error = on_icmp_error;
        self
    }

    /// Replaces the timers.
    #[must_use]
    pub const fn with_timers(mut self, timers: TcpTimers) -> Self {
        self.timers = timers;
        self
    }
}

/// What kind of box it is. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// Passes every packet as it is and keeps no state.
    Transparent,
    /// Filters by state and leaves addresses and ports alone (IPv4 and IPv6).
    Firewall,
    /// Filters by state and translates the inside endpoint to the box's outside address.
    Nat,
}

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

/// How closely sequence numbers are followed. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TcpTracking {
    /// States and windows, as Linux does by default.
    Strict,
    /// States only; of the sequence numbers just those of an RST matter
    /// (`nf_conntrack_tcp_be_liberal`).
    Liberal,
}

/// What an outbound ACK without a session does. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MidStream {
    /// It opens a session that is taken for established (`nf_conntrack_tcp_loose`).
    PickedUp,
    /// It is invalid.
    Refused,
}

/// What becomes of an outbound segment which tracking calls invalid. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InvalidOutbound {
    /// It leaves as it came, with the inside source (Linux without a rule against it).
    LeavesUntranslated,
    /// It is dropped.
    Dropped,
}

/// What a valid RST does to the session that it passes through. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnReset {
    /// Deletes it at once while nothing but the RST came back, else starts the close timer (Linux).
    DeletesUnanswered,
    /// Deletes it at once in every state.
    Deletes,
    /// Starts the close timer in every state (RFC 7857 §2.2 with four minutes).
    StartsCloseTimer,
    /// Does nothing to it.
    Ignored,
}

/// What an ICMP error does to the session whose packet it quotes. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnIcmpError {
    /// Nothing (RFC 5382 §7.2, REQ-10).
    SessionKept,
    /// Deletes it after the error was passed on.
    SessionDeleted,
}

/// How long a session lives in each state after its last packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TcpTimers {
    /// After the first SYN, and after a second SYN from the other side.
    pub syn_sent: Duration,
    /// After the SYN-ACK.
    pub syn_received: Duration,
    /// Once the handshake is complete.
    pub established: Duration,
    /// After the first FIN.
    pub fin_wait: Duration,
    /// After the first FIN was acknowledged.
    pub close_wait: Duration,
    /// After FINs both ways.
    pub last_ack: Duration,
    /// After the last acknowledgement.
    pub time_wait: Duration,
    /// After an RST.
    pub close: Duration,
    /// Upper bound of any of them while sent bytes wait for their acknowledgement.
    pub unacknowledged: Duration,
    /// Upper bound of any of them after the same segment was seen four times.
    pub retransmitting: Duration,
}

impl TcpTimers {
    /// Linux: the defaults of `nf_conntrack_tcp_timeout_*`.
    pub const LINUX: Self = Self {
        syn_sent: Duration::from_secs(120),
        syn_received: Duration::from_secs(60),
        established: Duration::from_secs(432_000),
        fin_wait: Duration::from_secs(120),
        close_wait: Duration::from_secs(60),
        last_ack: Duration::from_secs(30),
        time_wait: Duration::from_secs(120),
        close: Duration::from_secs(10),
        unacknowledged: Duration::from_secs(300),
        retransmitting: Duration::from_secs(300),
    };

    /// RFC 5382 §5, REQ-5: established 2 hours 4 minutes, transitory 4 minutes, both at their
    /// permitted minimum.
    pub const RFC5382: Self =
        Self::uniform(Duration::from_secs(2 * 3600 + 4 * 60), Duration::from_secs(240));

    /// The same time in every transitory state, and no shorter ones for unacknowledged bytes.
    #[must_use]
    pub const fn uniform(established: Duration, transitory: Duration) -> Self {
        Self {
            syn_sent: transitory,
            syn_received: transitory,
            established,
            fin_wait: transitory,
            close_wait: transitory,
            last_ack: transitory,
            time_wait: transitory,
            close: transitory,
            unacknowledged: established,
            retransmitting: established,
        }
    }
}
