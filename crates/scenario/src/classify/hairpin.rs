//! What a packet from inside meets that is addressed to an outside endpoint of the box itself (RFC
//! 4787 §6).

use std::net::SocketAddr;

use simopen_nat::{
    Egress, Filtering, Hairpin, InboundBareSyn, Mapping, PortAllocation, PortOverloading,
    UnsolicitedSyn,
};

use super::axis::Axis;
use super::bench::Vantage;
use super::classification::Classification;
use super::probe::{Arrival, Probe, Segment};
use super::reading::{NotSeen, Reading, in_text};

/// Lets two hosts inside dial each other's outside endpoints, as both must for boxes that filter.
pub(super) fn hairpin(probe: &mut Probe<'_>, found: &Classification) -> Reading {
    probe.restart();
    let hosts = [probe.inside(0, 4000), probe.inside(1, 4100)];
    let mut dial = |inside: SocketAddr| {
        let remote = probe.remote(0, 0)?;
        probe.open(inside, remote).map(|connection| connection.external)
    };
    let [Some(one), Some(other)] = hosts.map(&mut dial) else {
        return Reading::NotSeen(NotSeen::LeavesNoTrace);
    };
    let attempts = [(hosts[0], other), (hosts[1], one), (hosts[0], other)];
    for (from, to) in attempts {
        let arrivals = probe.tell(&Segment::syn(from, to, 1));
        let came = arrivals.iter().filter_map(Arrival::segment).find(|segment| {
            matches!(segment.at, Vantage::Inside(_)) && segment.flags.is_bare_syn()
        });
        if let Some(came) = came {
            let internal = came.source == from;
            return Reading::is(if internal {
                Hairpin::InternalSource
            } else {
                Hairpin::ExternalSource
            });
        }
    }
    absent(found)
}

/// Nothing came back: either it never does, or something else is in its way.
fn absent(found: &Classification) -> Reading {
    let masked_by = |axis| Reading::NotSeen(NotSeen::MaskedBy(axis));
    if found.value(Axis::Egress) != Some(Egress::Everything) {
        return masked_by(Axis::Egress);
    }
    if found.value(Axis::InboundBareSyn) != Some(InboundBareSyn::Admitted) {
        return masked_by(Axis::InboundBareSyn);
    }
    if found.value(Axis::Filtering) == Some(Filtering::EndpointIndependent) {
        return Reading::is(Hairpin::Off);
    }
    // Both must dial, and the first one must not be refused.
    let unsolicited = found.reading(Axis::Unsolicited);
    let is_refused = ![UnsolicitedSyn::Dropped, UnsolicitedSyn::HeldThenPortUnreachable]
        .iter()
        .any(|silence| unsolicited.agrees(&in_text(silence)));
    if is_refused {
        return masked_by(Axis::Unsolicited);
    }
    let keeps_port = matches!(
        found.value(Axis::PortAllocation),
        Some(PortAllocation::Preserve | PortAllocation::PreserveElseNext)
    );
    let shares_port = found.value(Axis::PortOverloading) == Some(PortOverloading::ByRemote);
    let is_foreseen = found.value(Axis::Mapping) == Some(Mapping::EndpointIndependent)
        || (keeps_port && shares_port);
    if is_foreseen { Reading::is(Hairpin::Off) } else { masked_by(Axis::Filtering) }
}
