//! What kind of box it is, and to where it lets sessions be opened.

use simopen_nat::{Egress, Role};

use super::axis::Axis;
use super::classification::Classification;
use super::probe::{Probe, Segment};
use super::reading::{NotSeen, Reading};

/// Distance of the ports of the first sample.
const STRIDE: usize = 1021;
/// As many ports as a list of exceptions has places.
const LISTED: usize = 4;

/// Finds ports outside to which sessions can be opened; everything else needs them.
pub(super) fn egress(probe: &mut Probe<'_>, found: &mut Classification) {
    probe.restart();
    let mut open = |port: u16| {
        let (inside, remote) = (probe.inside(0, 4000), probe.outside(0, port));
        let is_open = probe.open(inside, remote).is_some();
        if is_open {
            // So that no limit is reached.
            probe.restart();
        }
        is_open
    };
    let sample = (1..=u16::MAX).step_by(STRIDE).filter(|port| open(*port)).count();
    if sample > LISTED {
        found.is(Axis::Egress, Egress::Everything);
        return;
    }
    let mut listed: Vec<u16> = (1..=u16::MAX).filter(|port| open(*port)).collect();
    probe.remote_ports.clone_from(&listed);
    listed.resize(LISTED, 0);
    let listed = <[u16; LISTED]>::try_from(listed).map_or(Egress::Everything, Egress::DenyExcept);
    found.is(Axis::Egress, listed);
}

/// Tells a NAT by its translation, and a box that filters by what it keeps out.
pub(super) fn role(probe: &mut Probe<'_>, found: &mut Classification) {
    probe.restart();
    let inside = probe.inside(0, 4000);
    let opened = probe.remote(0, 0).and_then(|remote| probe.open(inside, remote));
    let Some(connection) = opened else {
        return found.note(Axis::Role, Reading::NotSeen(NotSeen::MaskedBy(Axis::Egress)));
    };
    let stranger = Segment::syn(probe.outside(1, 7777), probe.inside(0, 4999), 1);
    let role = if connection.external != inside {
        Role::Nat
    } else if probe.passes(&stranger) {
        Role::Transparent
    } else {
        Role::Firewall
    };
    found.is(Axis::Role, role);
}
