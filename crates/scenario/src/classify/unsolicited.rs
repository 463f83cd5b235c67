//! What a stranger hears, whom the box lets in, and what a stranger leaves behind.

use std::net::SocketAddr;
use std::time::Duration;

use simopen_nat::spec::HOLD_TIME;
use simopen_nat::{
    EarlyPacket, Filtering, InboundBareSyn, PortAllocation, TcpTracking, UnsolicitedSyn,
};
use simopen_packet::{IcmpError, IcmpKind, TcpFlags, Transport};

use super::axis::Axis;
use super::bench::Vantage;
use super::classification::Classification;
use super::probe::{Arrival, Probe, Segment};
use super::reading::{NotSeen, Reading};

/// A port outside from which nothing is expected.
const STRANGER: u16 = 7777;
/// A port that nobody has opened.
const CLOSED: u16 = 4999;

/// What came of a stranger's SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knock {
    Passed,
    Reset,
    Icmp(IcmpError),
    /// Nothing, at once.
    Silence,
}

fn knock(probe: &mut Probe<'_>, segment: &Segment<'_>) -> Knock {
    let arrivals = probe.tell(segment);
    heard(&arrivals, segment)
}

fn heard(arrivals: &[Arrival], segment: &Segment<'_>) -> Knock {
    let of = |arrival: &Arrival| match (arrival.at, arrival.packet()?.transport) {
        (Vantage::Inside(_), Transport::Tcp(came)) => {
            (came.flags == segment.flags).then_some(Knock::Passed)
        }
        (Vantage::Outside(_), Transport::Tcp(came)) => {
            came.flags.contains(TcpFlags::RST).then_some(Knock::Reset)
        }
        (Vantage::Outside(_), Transport::Icmp(message)) => match message.kind {
            IcmpKind::Error(error) => Some(Knock::Icmp(error)),
            IcmpKind::OtherError { .. } | IcmpKind::Other { .. } => None,
        },
        (Vantage::Inside(_), _) | (_, Transport::Other | Transport::Fragment) => None,
    };
    arrivals.iter().find_map(of).unwrap_or(Knock::Silence)
}

/// Reads what the sender of a SYN to a port hears that nobody has opened.
pub(super) fn unsolicited(probe: &mut Probe<'_>) -> Reading {
    probe.restart();
    let Some(target) = closed_endpoint(probe) else {
        return Reading::NotSeen(NotSeen::LeavesNoTrace);
    };
    let syn = Segment::syn(probe.outside(1, STRANGER), target, 1);
    let answer = match knock(probe, &syn) {
        Knock::Reset => UnsolicitedSyn::Reset,
        Knock::Icmp(IcmpError::PortUnreachable) => UnsolicitedSyn::PortUnreachable,
        Knock::Icmp(IcmpError::AdminProhibited) => UnsolicitedSyn::AdminProhibited,
        Knock::Icmp(IcmpError::TimeExceeded | IcmpError::HostUnreachable) | Knock::Passed => {
            return Reading::NotSeen(NotSeen::LeavesNoTrace);
        }
        Knock::Silence if !probe.wait(HOLD_TIME + Duration::from_secs(1)) => {
            return Reading::one_of([
                UnsolicitedSyn::Dropped,
                UnsolicitedSyn::HeldThenPortUnreachable,
            ]);
        }
        Knock::Silence => match heard(&probe.arrivals(), &syn) {
            Knock::Silence => UnsolicitedSyn::Dropped,
            Knock::Passed | Knock::Reset | Knock::Icmp(_) => {
                UnsolicitedSyn::HeldThenPortUnreachable
            }
        },
    };
    Reading::is(answer)
}

/// An endpoint of the first inside host, as it is seen outside, that nobody has opened.
fn closed_endpoint(probe: &mut Probe<'_>) -> Option<SocketAddr> {
    let inside = probe.inside(0, 4000);
    let remote = probe.remote(0, 0)?;
    let connection = probe.open(inside, remote)?;
    let port = if connection.external.port() == CLOSED { CLOSED + 1 } else { CLOSED };
    Some(SocketAddr::new(connection.external.ip(), port))
}

/// Reads whether a SYN from the very endpoint that was dialled comes in.
pub(super) fn inbound_bare_syn(probe: &mut Probe<'_>) -> Reading {
    probe.restart();
    let inside = probe.inside(0, 4000);
    let opened = probe.remote(0, 0).and_then(|remote| probe.open(inside, remote));
    let Some(connection) = opened else { return Reading::NotSeen(NotSeen::LeavesNoTrace) };
    let admitted = probe.passes(&connection.syn_back());
    Reading::is(if admitted { InboundBareSyn::Admitted } else { InboundBareSyn::Dropped })
}

/// Reads from whom a SYN reaches an open mapping. Where none is admitted at all, those that the
/// filter would have let through are told by the silence they meet, if others are answered.
pub(super) fn filtering(probe: &mut Probe<'_>, found: &Classification) -> Reading {
    let answers = found.value::<UnsolicitedSyn>(Axis::Unsolicited);
    let without_states = found.value(Axis::Tracking) == Some(TcpTracking::None);
    let bare_syn = found.value(Axis::InboundBareSyn);
    let dropped = bare_syn == Some(InboundBareSyn::Dropped);
    let flags = if dropped && without_states { TcpFlags::ACK } else { TcpFlags::SYN };
    let told_by_silence = dropped && !without_states;
    if told_by_silence && answers.is_none_or(|answer| answer == UnsolicitedSyn::Dropped) {
        return Reading::NotSeen(NotSeen::MaskedBy(Axis::InboundBareSyn));
    }
    let strangers = [probe.outside(0, STRANGER), probe.outside(1, STRANGER)];
    let mut admits = |from: SocketAddr| {
        probe.restart();
        let inside = probe.inside(0, 4000);
        let connection = probe.remote(0, 0).and_then(|remote| probe.open(inside, remote))?;
        let syn = Segment { flags, ..Segment::syn(from, connection.external, 1) };
        match knock(probe, &syn) {
            Knock::Passed => Some(true),
            Knock::Silence if told_by_silence => {
                let held = answers == Some(UnsolicitedSyn::HeldThenPortUnreachable);
                if !held {
                    return Some(true);
                }
                let waited = probe.wait(HOLD_TIME + Duration::from_secs(1));
                waited.then(|| heard(&probe.arrivals(), &syn) == Knock::Silence)
            }
            Knock::Silence | Knock::Reset | Knock::Icmp(_) => Some(false),
        }
    };
    let [same_address, other_address] = strangers.map(&mut admits);
    match (same_address, other_address) {
        (Some(_), Some(true)) => Reading::is(Filtering::EndpointIndependent),
        (Some(true), Some(false)) => Reading::is(Filtering::AddressDependent),
        (Some(false), Some(false)) if bare_syn.is_none() => {
            Reading::NotSeen(NotSeen::MaskedBy(Axis::InboundBareSyn))
        }
        (Some(false), Some(false)) => Reading::is(Filtering::AddressAndPortDependent),
        (None, _) | (_, None) => Reading::NotSeen(NotSeen::TakesTooLong),
    }
}

/// Reads whether a SYN that came too early keeps its port from the mapping that is dialled to its
/// sender afterwards. Needs a port that can be foretold.
pub(super) fn early_packet(probe: &mut Probe<'_>, found: &Classification) -> Reading {
    if found.value(Axis::Unsolicited) == Some(UnsolicitedSyn::Reset) {
        return Reading::NotSeen(NotSeen::MaskedBy(Axis::Unsolicited));
    }
    let foretold = match found.value(Axis::PortAllocation) {
        Some(PortAllocation::Preserve | PortAllocation::PreserveElseNext) => Foretold::Kept,
        Some(PortAllocation::Sequential { step }) => Foretold::After(step),
        Some(PortAllocation::Block { .. }) => Foretold::BesideAnother,
        Some(_) | None => return Reading::NotSeen(NotSeen::MaskedBy(Axis::PortAllocation)),
    };
    let without = dial_after(probe, &foretold, Early::No);
    let with = dial_after(probe, &foretold, Early::Yes);
    if without != Some(Port::AsForetold) {
        return Reading::NotSeen(NotSeen::MaskedBy(Axis::PortAllocation));
    }
    with.map_or(Reading::NotSeen(NotSeen::LeavesNoTrace), |port| {
        Reading::is(match port {
            Port::AsForetold => EarlyPacket::Harmless,
            Port::Another => EarlyPacket::TakesPort,
        })
    })
}

/// How the next outside port is known beforehand.
enum Foretold {
    /// It is the inside port.
    Kept,
    /// It is so many above the last one.
    After(u16),
    /// It is the inside port, if that is next to one that the host has.
    BesideAnother,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Early {
    No,
    Yes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    AsForetold,
    Another,
}

fn dial_after(probe: &mut Probe<'_>, foretold: &Foretold, early: Early) -> Option<Port> {
    probe.restart();
    let (other, remote) = (probe.remote(1, 0)?, probe.remote(0, 0)?);
    let first = probe.inside(0, 4001);
    let before = probe.open(first, other)?.external;
    let neighbour = if before.port() % 2 == 0 { before.port() + 1 } else { before.port() - 1 };
    let (inside_port, outside_port) = match foretold {
        Foretold::Kept => (4000, 4000),
        Foretold::After(step) => (4000, before.port().wrapping_add(*step)),
        Foretold::BesideAnother => (neighbour, neighbour),
    };
    if early == Early::Yes {
        probe.tell(&Segment::syn(remote, SocketAddr::new(before.ip(), outside_port), 1));
    }
    let inside = probe.inside(0, inside_port);
    let external = probe.open(inside, remote)?.external;
    Some(if external.port() == outside_port { Port::AsForetold } else { Port::Another })
}
