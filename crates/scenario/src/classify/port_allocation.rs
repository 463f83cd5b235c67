//! How the outside port of a new mapping is chosen (RFC 4787 §4.2, RFC 6888 REQ-14).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use simopen_nat::PortAllocation;

use super::axis::Axis;
use super::mapping::{RIVALS, open_tcp};
use super::probe::Probe;
use super::reading::{NotSeen, Reading};

/// Inside ports of the first look, far from each other.
const LOOKS: u16 = 12;
/// Blocks that are larger than this are taken for no blocks at all.
const LARGEST_BLOCK: usize = 16_384;

/// Reads the allocation from the ports that one host gets, and from what happens where several
/// hosts want the same.
pub(super) fn port_allocation(probe: &mut Probe<'_>) -> Reading {
    probe.restart();
    let inside: Vec<u16> = (0..LOOKS).map(|nth| 2000 + nth * 4999).collect();
    let outside: Vec<u16> =
        inside.iter().filter_map(|port| outside_port(probe, 0, *port)).collect();
    if outside.len() != inside.len() {
        return Reading::NotSeen(NotSeen::MaskedBy(Axis::LimitPerHost));
    }
    if outside == inside {
        return kept(probe);
    }
    if let Some(step) = common_step(&outside) {
        return Reading::is(PortAllocation::Sequential { step });
    }
    let lowest = outside.iter().min().copied().unwrap_or_default();
    let spread = outside.iter().max().map_or(0, |highest| usize::from(highest - lowest));
    if spread >= LARGEST_BLOCK {
        return Reading::is(PortAllocation::Random);
    }
    in_block(probe)
}

fn outside_port(probe: &mut Probe<'_>, host: usize, port: u16) -> Option<u16> {
    open_host(probe, host, port).map(|external| external.port())
}

fn open_host(probe: &mut Probe<'_>, host: usize, port: u16) -> Option<SocketAddr> {
    let inside = probe.inside(host, port);
    let remote = probe.remote(0, 0)?;
    open_tcp(probe, inside, remote)
}

/// The step by which most ports follow each other; the end of the range may lie between two.
fn common_step(ports: &[u16]) -> Option<u16> {
    let mut counts = BTreeMap::new();
    for pair in ports.windows(2) {
        if let [before, after] = pair {
            *counts.entry(after.wrapping_sub(*before)).or_insert(0_usize) += 1;
        }
    }
    let (step, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    (step != 0 && count > usize::from(LOOKS / 2)).then_some(step)
}

/// Ports are kept: what comes of it if somebody has the port already?
fn kept(probe: &mut Probe<'_>) -> Reading {
    const WANTED: u16 = 4000;
    probe.restart();
    let mut given: BTreeMap<_, Vec<u16>> = BTreeMap::new();
    for host in 0..=RIVALS {
        if let Some(external) = open_host(probe, host, WANTED) {
            given.entry(external.ip()).or_default().push(external.port());
        }
    }
    let crowded = given.values().max_by_key(|ports| ports.len());
    let Some(ports) = crowded.filter(|ports| ports.len() > 1) else {
        return Reading::one_of([PortAllocation::Preserve, PortAllocation::PreserveElseNext]);
    };
    let follows = ports.iter().copied().eq((WANTED..).take(ports.len()));
    let allocation =
        if follows { PortAllocation::PreserveElseNext } else { PortAllocation::Preserve };
    Reading::is(allocation)
}

/// One host's ports lie close together: does it keep one that is among them, and how many are there?
fn in_block(probe: &mut Probe<'_>) -> Reading {
    probe.restart();
    let Some(member) = outside_port(probe, 0, 1024) else {
        return Reading::NotSeen(NotSeen::LeavesNoTrace);
    };
    let mut keeps = |port: u16| {
        probe.restart();
        outside_port(probe, 0, port) == Some(port)
    };
    if !keeps(member) || !(keeps(member.saturating_sub(1)) || keeps(member.saturating_add(1))) {
        return exhausted(probe);
    }
    let highest = last_kept(member, u16::MAX, &mut keeps);
    let lowest = last_kept(member, 1024, &mut keeps);
    Reading::is(PortAllocation::Block { size: highest - lowest + 1 })
}

/// The last port from one that is kept towards one that may be, found by bisection.
fn last_kept(from: u16, towards: u16, keeps: &mut impl FnMut(u16) -> bool) -> u16 {
    if keeps(towards) {
        return towards;
    }
    let (mut kept, mut other) = (from, towards);
    while kept.abs_diff(other) > 1 {
        let middle = kept.midpoint(other);
        if keeps(middle) { kept = middle } else { other = middle }
    }
    kept
}

/// Takes all ports that one host can have.
fn exhausted(probe: &mut Probe<'_>) -> Reading {
    probe.restart();
    let block: BTreeSet<u16> =
        (1024..).take(LARGEST_BLOCK).map_while(|port| outside_port(probe, 0, port)).collect();
    let (Some(lowest), Some(highest)) = (block.first(), block.last()) else {
        return Reading::NotSeen(NotSeen::LeavesNoTrace);
    };
    match u16::try_from(block.len()) {
        Ok(size) if highest - lowest + 1 == size => {
            Reading::is(PortAllocation::RandomInBlock { size })
        }
        Ok(_) | Err(_) => Reading::NotSeen(NotSeen::MaskedBy(Axis::LimitPerHost)),
    }
}
