//! What one middlebox does: a specification of independent axes, readable by serde.
//!
//! Each axis is an enum of its own, so that an axis can be turned one value at a time. Every enum
//! here may grow. A field that a text leaves out has the value that changes nothing.

mod capacity;
mod datagrams;
mod firewall;
mod rewriting;
mod strangers;
mod timers;

use serde::{Deserialize, Serialize};

use crate::filtering::Filtering;
use crate::mapping::Mapping;
use crate::port_allocation::{PortAllocation, PortOverloading};

pub use capacity::{AddressPool, Limits, Pairing, WhenFull};
pub use datagrams::{IcmpEcho, PortParity, UdpHandling, UdpPolicy};
pub use firewall::{Egress, IcmpErrors, IdleKill, IdleKiller};
pub use rewriting::{IsnRewriting, OptionRewriting, Rewriting, SynProxy, TimestampRewriting};
pub use strangers::{EarlyPacket, HOLD_TIME, InboundBareSyn, UnsolicitedSyn};
pub use timers::TcpTimers;

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
    /// Which outbound packets of one inside endpoint share one outside endpoint: all of them where
    /// nothing is translated.
    pub mapping: Mapping,
    /// From whom inbound packets reach an open mapping.
    pub filtering: Filtering,
    /// How the outside port of a new mapping is chosen.
    pub port_allocation: PortAllocation,
    /// Whether two mappings may share one outside port.
    pub port_overloading: PortOverloading,
    /// What a packet from inside to an outside endpoint of the box itself meets.
    #[serde(default)]
    pub hairpin: Hairpin,
    /// Packets of which direction prolong a session.
    #[serde(default)]
    pub refresh: Refresh,
    /// What the sender of an inbound packet without a session hears.
    pub unsolicited: UnsolicitedSyn,
    /// Whether an inbound packet without a session leaves something behind.
    #[serde(default)]
    pub early_packet: EarlyPacket,
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
    /// Which ICMP errors pass.
    #[serde(default)]
    pub icmp_errors: IcmpErrors,
    /// What happens to ICMP echo.
    #[serde(default)]
    pub icmp_echo: IcmpEcho,
    /// To where sessions may be opened from inside.
    #[serde(default)]
    pub egress: Egress,
    /// What ends idle connections, if anything does.
    #[serde(default)]
    pub idle_killer: Option<IdleKiller>,
    /// The outside addresses.
    #[serde(default)]
    pub pool: AddressPool,
    /// What is changed in segments beside their endpoints.
    #[serde(default)]
    pub rewriting: Rewriting,
    /// What happens to UDP.
    #[serde(default)]
    pub udp: UdpPolicy,
    /// How many sessions there may be.
    #[serde(default)]
    pub limits: Limits,
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

    /// Turns the hairpin axis.
    #[must_use]
    pub const fn with_hairpin(mut self, hairpin: Hairpin) -> Self {
        self.hairpin = hairpin;
        self
    }

    /// Turns the refresh axis.
    #[must_use]
    pub const fn with_refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }

    /// Turns what an early packet leaves behind.
    #[must_use]
    pub const fn with_early_packet(mut self, early_packet: EarlyPacket) -> Self {
        self.early_packet = early_packet;
        self
    }

    /// Turns the filtering of ICMP errors.
    #[must_use]
    pub const fn with_icmp_errors(mut self, icmp_errors: IcmpErrors) -> Self {
        self.icmp_errors = icmp_errors;
        self
    }

    /// Turns the fate of ICMP echo.
    #[must_use]
    pub const fn with_icmp_echo(mut self, icmp_echo: IcmpEcho) -> Self {
        self.icmp_echo = icmp_echo;
        self
    }

    /// Turns the egress axis.
    #[must_use]
    pub const fn with_egress(mut self, egress: Egress) -> Self {
        self.egress = egress;
        self
    }

    /// Sets or takes away the idle killer.
    #[must_use]
    pub const fn with_idle_killer(mut self, idle_killer: Option<IdleKiller>) -> Self {
        self.idle_killer = idle_killer;
        self
    }

    /// Replaces the pool of outside addresses.
    #[must_use]
    pub const fn with_pool(mut self, pool: AddressPool) -> Self {
        self.pool = pool;
        self
    }

    /// Replaces what is rewritten.
    #[must_use]
    pub const fn with_rewriting(mut self, rewriting: Rewriting) -> Self {
        self.rewriting = rewriting;
        self
    }

    /// Replaces what happens to UDP.
    #[must_use]
    pub const fn with_udp(mut self, udp: UdpPolicy) -> Self {
        self.udp = udp;
        self
    }

    /// Replaces the limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
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

/// What a packet from inside meets that is addressed to an outside endpoint of the box itself
/// (RFC 4787 §6, RFC 5382 §7.1, REQ-8). May grow.
///
/// Without hairpinning it meets the box itself, as a stranger from outside does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Hairpin {
    /// It does not come to the host behind that endpoint.
    #[default]
    Off,
    /// It comes there as if from outside, but with its sender's inside endpoint as its source.
    InternalSource,
    /// It comes there as if from outside, with its sender's outside endpoint as its source.
    ExternalSource,
}

/// Packets of which direction prolong a session (RFC 4787 §4.3, REQ-6). May grow.
///
/// A packet that brings a TCP session into another state starts that state's timer always.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refresh {
    /// Those from inside.
    Outbound,
    /// Those from outside.
    Inbound,
    /// Both.
    #[default]
    Both,
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
    /// Nothing: mapping and filtering alone decide, flags and numbers mean nothing, and a session
    /// lives as long as the timer of established connections says.
    None,
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
    /// It is dropped, and its sender hears an RST in the remote endpoint's name.
    AnsweredByRouter,
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
