//! Which packets of an inside endpoint share an outside endpoint (RFC 4787 §4.1), and whether two
//! mappings share one.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use simopen_nat::{Mapping, PortAllocation, PortOverloading, WhenFull};

use super::axis::Axis;
use super::classification::Classification;
use super::probe::Probe;
use super::reading::{NotSeen, Reading};

/// Opens a session and gives the outside endpoint of its inside end.
pub(super) type Opener = fn(&mut Probe<'_>, SocketAddr, SocketAddr) -> Option<SocketAddr>;

/// The inside port of every first session.
const PORT: u16 = 4000;
/// How many other hosts take a port before the one that is looked at wants it: more than a small
/// pool has addresses, so that somebody has it at the same one.
pub(super) const RIVALS: usize = 16;

/// Opens a TCP session.
pub(super) fn open_tcp(
    probe: &mut Probe<'_>,
    inside: SocketAddr,
    remote: SocketAddr,
) -> Option<SocketAddr> {
    probe.open(inside, remote).map(|connection| connection.external)
}

/// Reads the mapping from what one inside endpoint gets towards several remote ones.
///
/// A box that keeps ports, or gives a port again where it is free, looks endpoint-independent
/// until somebody else has that port towards the next remote endpoint: so others take it first.
pub(super) fn mapping(probe: &mut Probe<'_>, open: Opener) -> Reading {
    let other_port = shares(probe, open, (0, 1));
    let Some(shares_with_other_address) = shares(probe, open, (1, 0)) else {
        return Reading::NotSeen(NotSeen::LeavesNoTrace);
    };
    match (other_port, shares_with_other_address) {
        (Some(false), _) => Reading::is(Mapping::AddressAndPortDependent),
        (Some(true), false) => Reading::is(Mapping::AddressDependent),
        (None, false) => {
            Reading::one_of([Mapping::AddressDependent, Mapping::AddressAndPortDependent])
        }
        (_, true) => Reading::is(Mapping::EndpointIndependent),
    }
}

/// Whether one inside endpoint has the same outside endpoint towards the first remote endpoint and
/// towards another one, of which the host and the port are given; `None` if nobody can tell.
fn shares(probe: &mut Probe<'_>, open: Opener, other: (usize, usize)) -> Option<bool> {
    probe.restart();
    let (first, other) = (probe.remote(0, 0)?, probe.remote(other.0, other.1)?);
    let inside = probe.inside(0, PORT);
    let given = open(probe, inside, first)?;
    let (mut taken, mut moved, mut elsewhere) = (false, false, false);
    for rival in 0..=RIVALS {
        let rival = probe.inside(rival, given.port());
        if taken || rival == inside {
            continue;
        }
        let Some(got) = open(probe, rival, other) else { continue };
        taken = got == given;
        moved |= got.ip() == given.ip() && got != given;
        elsewhere |= got.ip() != given.ip() && got.port() == given.port();
    }
    let is_shared = open(probe, inside, other)? == given;
    // Of a pool of addresses, all rivals may have met others than the one that counts.
    let is_known = !is_shared || moved || !elsewhere;
    is_known.then_some(is_shared)
}

/// How many sessions to each of two remote endpoints are opened to see whether any two share a
/// random port: of 64,512 ports, 16 are then expected to be.
const THRONG: usize = 1024;
/// Expected coincidences from which on their absence says something (once in 3,000 it lies).
const TELLING: usize = 8;

/// Reads whether two mappings towards different remote hosts may share an outside endpoint.
pub(super) fn port_overloading(probe: &mut Probe<'_>, found: &Classification) -> Reading {
    let mapping: Option<Mapping> = found.value(Axis::Mapping);
    if mapping.is_none_or(|mapping| mapping == Mapping::EndpointIndependent) {
        return Reading::NotSeen(NotSeen::MaskedBy(Axis::Mapping));
    }
    match found.value(Axis::PortAllocation) {
        // Ports come round only when all have been given out.
        None | Some(PortAllocation::Sequential { .. }) => {
            Reading::NotSeen(NotSeen::MaskedBy(Axis::PortAllocation))
        }
        Some(PortAllocation::Preserve | PortAllocation::PreserveElseNext) => {
            overloads_kept_port(probe)
        }
        // Ports of sessions that made room come again.
        Some(_) if found.value(Axis::WhenFull) == Some(WhenFull::OldestEvicted) => {
            Reading::NotSeen(NotSeen::MaskedBy(Axis::WhenFull))
        }
        Some(_) => overloads_random_port(probe),
    }
}

/// Many hosts want the same port, each towards another remote host than those before.
fn overloads_kept_port(probe: &mut Probe<'_>) -> Reading {
    probe.restart();
    for rival in 1..=RIVALS {
        let inside = probe.inside(rival, PORT);
        probe.remote(0, 0).and_then(|remote| open_tcp(probe, inside, remote));
    }
    let inside = probe.inside(0, PORT);
    let external = probe.remote(1, 0).and_then(|remote| open_tcp(probe, inside, remote));
    external.map_or(Reading::NotSeen(NotSeen::LeavesNoTrace), |external| {
        let kept = external.port() == PORT;
        Reading::is(if kept { PortOverloading::ByRemote } else { PortOverloading::Off })
    })
}

/// One host opens sessions to two remote hosts until some must share a port, if they may.
fn overloads_random_port(probe: &mut Probe<'_>) -> Reading {
    probe.restart();
    let mut externals = [BTreeSet::new(), BTreeSet::new()];
    for (nth, port) in (PORT..).take(2 * THRONG).enumerate() {
        let inside = probe.inside(0, port);
        let opened = probe.remote(nth % 2, 0).and_then(|remote| open_tcp(probe, inside, remote));
        let Some(external) = opened else { break };
        externals[nth % 2].insert(external);
    }
    let [one, other] = &externals;
    if one.intersection(other).next().is_some() {
        return Reading::is(PortOverloading::ByRemote);
    }
    let ports = || one.union(other).map(SocketAddr::port);
    let (Some(lowest), Some(highest)) = (ports().min(), ports().max()) else {
        return Reading::NotSeen(NotSeen::LeavesNoTrace);
    };
    let universe = usize::from(highest - lowest) + 1;
    if one.len() * other.len() < TELLING * universe {
        return Reading::NotSeen(NotSeen::MaskedBy(Axis::LimitPerHost));
    }
    Reading::is(PortOverloading::Off)
}
