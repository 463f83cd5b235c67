//! How closely TCP is followed, and what becomes of segments that do not fit.

use std::net::SocketAddr;

use simopen_nat::{InvalidOutbound, MidStream, Role, TcpTracking};
use simopen_packet::TcpFlags;

use super::axis::Axis;
use super::bench::Vantage;
use super::classification::Classification;
use super::probe::{Arrival, FIN_ACK, Probe, SYN_ACK, Segment};
use super::reading::{NotSeen, Reading};

/// A number that is in nobody's window.
const FAR_AWAY: u32 = 0x4000_0000;

/// Reads whether a FIN passes that answers a SYN, or a segment without any meaning, which no state
/// permits, and then whether data pass that are in no window.
pub(super) fn tracking(probe: &mut Probe<'_>) -> Reading {
    probe.restart();
    let inside = probe.inside(0, 4000);
    let opened = probe.remote(0, 0).and_then(|remote| probe.open(inside, remote));
    let Some(connection) = opened else { return Reading::NotSeen(NotSeen::LeavesNoTrace) };
    if !connection.is_proxied() && probe.passes(&connection.back(FIN_ACK, 1, 1)) {
        return Reading::is(TcpTracking::None);
    }
    probe.restart();
    let established = probe.remote(0, 0).and_then(|remote| probe.establish(inside, remote));
    let Some(connection) = established else { return Reading::NotSeen(NotSeen::LeavesNoTrace) };
    if connection.is_proxied() && probe.passes(&connection.back(TcpFlags::PSH, 1, 0)) {
        return Reading::is(TcpTracking::None);
    }
    let stray = connection.back(TcpFlags::ACK, FAR_AWAY, 1).with_payload(10);
    let passes = probe.passes(&stray);
    Reading::is(if passes { TcpTracking::Liberal } else { TcpTracking::Strict })
}

/// Reads whether an ACK out of nothing opens a session.
pub(super) fn mid_stream(probe: &mut Probe<'_>, found: &Classification) -> Reading {
    probe.restart();
    let inside = probe.inside(0, 4000);
    let Some(remote) = probe.remote(0, 0) else {
        return Reading::NotSeen(NotSeen::MaskedBy(Axis::Egress));
    };
    let ack = Segment { acknowledgment: 1, ..stranger(inside, remote, TcpFlags::ACK) };
    let Some(crossed) = probe.pass(&ack) else { return Reading::is(MidStream::Refused) };
    let picked_up = match found.value(Axis::Role) {
        Some(Role::Nat) => crossed.source != inside,
        _ => {
            let answer = Segment {
                sequence: 1,
                acknowledgment: ack.sequence,
                ..stranger(remote, crossed.source, TcpFlags::ACK)
            };
            probe.passes(&answer)
        }
    };
    Reading::is(if picked_up { MidStream::PickedUp } else { MidStream::Refused })
}

/// Reads what becomes of a SYN-ACK from inside that answers nothing.
pub(super) fn invalid_outbound(probe: &mut Probe<'_>) -> Reading {
    probe.restart();
    let inside = probe.inside(0, 4000);
    let Some(remote) = probe.remote(0, 0) else {
        return Reading::NotSeen(NotSeen::MaskedBy(Axis::Egress));
    };
    let answer = Segment { acknowledgment: 1, ..stranger(inside, remote, SYN_ACK) };
    let arrivals = probe.tell(&answer);
    let mut came = arrivals.iter().filter_map(Arrival::segment);
    let became = came.next_back().map(|segment| match segment.at {
        Vantage::Outside(_) => InvalidOutbound::LeavesUntranslated,
        Vantage::Inside(_) => InvalidOutbound::AnsweredByRouter,
    });
    Reading::is(became.unwrap_or(InvalidOutbound::Dropped))
}

/// A segment out of nothing.
fn stranger(source: SocketAddr, destination: SocketAddr, flags: TcpFlags) -> Segment<'static> {
    Segment { flags, options: &[], ..Segment::syn(source, destination, 0x1234) }
}
