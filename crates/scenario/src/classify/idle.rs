//! Whether somebody ends connections that nobody uses, and says so.

use simopen_nat::IdleKill;
use simopen_packet::TcpFlags;

use super::axis::Axis;
use super::classification::Classification;
use super::lifetime::lifetime;
use super::probe::{Arrival, Probe};
use super::reading::{NotSeen, Reading};

/// Reads whether the ends of a connection hear an RST when its time is over, and when that is.
/// Without a word, an idle connection's end is that of its timer.
pub(super) fn idle_killer(probe: &mut Probe<'_>, found: &Classification) -> Reading {
    let Reading::Lasts { at_most: Some(end), .. } = *found.reading(Axis::Established) else {
        return Reading::NotSeen(NotSeen::TakesTooLong);
    };
    let establish = |probe: &mut Probe<'_>| {
        let (inside, remote) = (probe.inside(0, 4000), probe.remote(0, 0)?);
        probe.establish(inside, remote)
    };
    probe.restart();
    if establish(probe).is_none() || !probe.wait(end) {
        return Reading::NotSeen(NotSeen::TakesTooLong);
    }
    let is_reset = probe
        .arrivals()
        .iter()
        .filter_map(Arrival::segment)
        .any(|segment| segment.flags.contains(TcpFlags::RST));
    if !is_reset {
        return Reading::NotSeen(NotSeen::MaskedBy(Axis::Established));
    }
    let lasts = lifetime(probe, establish, |probe, connection| {
        probe.passes(&connection.back(TcpFlags::ACK, 1, 1))
    });
    let Reading::Lasts { longer_than, at_most: Some(at_most) } = lasts else { return lasts };
    Reading::EndsIdle { how: IdleKill::Reset, longer_than, at_most }
}
