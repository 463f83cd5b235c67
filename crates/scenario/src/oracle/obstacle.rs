//! What stands in the way of an attempt, in words.

use super::segment::{Kind, Party, Segment};

/// Why a packet goes no further, or ends an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It belongs to no session, and filtering lets no stranger in.
    Stranger,
    /// It is a bare SYN, which the box never lets in.
    BareSyn,
    /// Tracking does not believe it.
    Invalid,
    /// The inside endpoint speaks with this remote one under another outside endpoint.
    OtherEndpoint,
    /// The destination port is none to which sessions may be opened.
    Egress,
    /// No session more may be opened.
    Limit,
    /// ICMP errors do not pass, or this one belongs to no session.
    Icmp,
}

/// Where the first packet that mattered was stopped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// At the box of a side.
    Box { of: Party, packet: Segment, obstacle: Obstacle, answered: bool },
    /// At the host of a side, where nobody expected it.
    Host { of: Party, packet: Segment },
    /// The core drops what has a foreign source.
    SourceValidation,
    /// The broker withholds what it would forge.
    Withheld,
}

impl Stop {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Box { of, packet, obstacle, answered } => {
                let what = name(packet);
                let of = of.name();
                let stopped = match obstacle {
                    Obstacle::Stranger => format!("the box of {of} lets no stranger in: {what}"),
                    Obstacle::BareSyn => format!("the box of {of} drops every bare SYN: {what}"),
                    Obstacle::Invalid => format!("the box of {of} calls {what} invalid"),
                    Obstacle::OtherEndpoint => {
                        format!("the box of {of} has another endpoint for this flow: {what}")
                    }
                    Obstacle::Egress => {
                        format!("the box of {of} opens no session to the other side's port")
                    }
                    Obstacle::Limit => format!("the box of {of} opens no further session: {what}"),
                    Obstacle::Icmp => format!("the box of {of} drops {what}"),
                };
                let answer = if *answered { " is answered, which ends the attempt" } else { "" };
                format!("{stopped}{answer}")
            }
            Self::Host { of, packet } => {
                format!("the host of {} answers {} with RST", of.name(), name(packet))
            }
            Self::SourceValidation => {
                "the core drops the forged packets for their source".to_owned()
            }
            Self::Withheld => "the broker withholds the forged packets".to_owned(),
        }
    }
}

/// A packet in words.
fn name(packet: &Segment) -> String {
    let whose = packet.from.name();
    let kind = match packet.kind {
        Kind::Syn => "SYN",
        Kind::SynAck if packet.forged => return format!("the SYN-ACK forged in {whose}'s name"),
        Kind::SynAck => "SYN-ACK",
        Kind::Ack => "ACK",
        Kind::Data => "data",
        Kind::Rst { .. } => "RST",
        Kind::Icmp(_) => "ICMP error",
    };
    format!("{whose}'s {kind}")
}
