//! How many sessions the box keeps, and what happens beyond that.

use std::net::SocketAddr;

use simopen_nat::{PortAllocation, WhenFull};

use super::axis::Axis;
use super::classification::Classification;
use super::connection::Connection;
use super::probe::Probe;
use super::reading::{NotSeen, Reading};

/// More sessions are not tried.
const MOST: usize = 600;

/// What filling the box came to.
struct Filled {
    /// How many sessions lived beside each other.
    sessions: usize,
    /// What became of one more; none if there was room for as many as were tried.
    then: Option<WhenFull>,
}

/// Opens sessions from one host, then from all, until one is refused or the first one is gone.
pub(super) fn limits(probe: &mut Probe<'_>, found: &mut Classification) {
    let mut one_host = fill(probe, |_| 0);
    let ports = match found.value(Axis::PortAllocation) {
        Some(PortAllocation::Block { size } | PortAllocation::RandomInBlock { size }) => {
            size.into()
        }
        Some(_) | None => usize::MAX,
    };
    if one_host.sessions == ports {
        // It has no ports left.
        one_host.then = None;
    }
    let hosts = probe.inside_hosts();
    let all_hosts = fill(probe, |nth| nth % hosts);
    let (one, all) = (one_host.sessions, all_hosts.sessions);
    let when_full = one_host.then.or(all_hosts.then);
    found.note(
        Axis::WhenFull,
        when_full.map_or(Reading::NotSeen(NotSeen::MaskedBy(Axis::LimitTotal)), Reading::is),
    );
    // What is reached by one host and by all alike is the limit of all.
    let is_total = all_hosts.then.is_some() && all < one.saturating_mul(hosts);
    let of_all = if is_total { Reading::is(all) } else { above(all) };
    let is_own = one_host.then.is_some() && !(is_total && one == all);
    let of_one = if is_own { Reading::is(one) } else { above(one) };
    found.note(Axis::LimitTotal, of_all);
    found.note(Axis::LimitPerHost, of_one);
}

/// There was room for so many; the limit may be reached by that.
fn above(sessions: usize) -> Reading {
    Reading::Above(sessions.saturating_sub(1) as u64)
}

fn fill(probe: &mut Probe<'_>, host_of: impl Fn(usize) -> usize) -> Filled {
    probe.restart();
    let remotes: Vec<SocketAddr> = (0..probe.remote_ports.len().min(3))
        .flat_map(|port| [probe.remote(0, port), probe.remote(1, port)])
        .flatten()
        .collect();
    let mut first: Option<Connection> = None;
    for nth in 0..MOST {
        let Some(remote) = remotes.get(nth % remotes.len().max(1)) else { break };
        let inside = probe.inside(host_of(nth), 2000 + (nth / remotes.len()) as u16);
        let Some(opened) = probe.open(inside, *remote) else {
            return Filled { sessions: nth, then: Some(WhenFull::Refused) };
        };
        let first = first.get_or_insert(opened);
        if !probe.is_answered(first) {
            return Filled { sessions: nth, then: Some(WhenFull::OldestEvicted) };
        }
    }
    Filled { sessions: MOST, then: None }
}
