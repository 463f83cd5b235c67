//! How many addresses a NAT has outside, and whether one inside host has one of them (RFC 4787
//! §4.1, REQ-2).

use std::collections::BTreeSet;

use simopen_nat::Pairing;

use super::axis::Axis;
use super::classification::Classification;
use super::probe::Probe;
use super::reading::Reading;

/// Sessions of each host: one may land on the same address by chance, not all.
const SESSIONS: u16 = 6;
/// With more addresses than this, some may not have been met.
const SURE: usize = 12;

/// Counts the addresses from which sessions of many hosts come.
pub(super) fn pool(probe: &mut Probe<'_>, found: &mut Classification) {
    probe.restart();
    let mut met = BTreeSet::new();
    let mut pairing = Pairing::Paired;
    let mut refused = false;
    for host in 0..probe.inside_hosts() {
        let mut own = BTreeSet::new();
        for port in 4000..4000 + SESSIONS {
            let inside = probe.inside(host, port);
            let opened = probe.remote(0, 0).and_then(|remote| probe.open(inside, remote));
            refused |= opened.is_none();
            own.extend(opened.map(|connection| connection.external.ip()));
        }
        if own.len() > 1 {
            pairing = Pairing::Arbitrary;
        }
        met.extend(own);
    }
    if met.len() > SURE || refused {
        found.note(Axis::PoolAddresses, Reading::Above(met.len().saturating_sub(1) as u64));
    } else {
        found.is(Axis::PoolAddresses, met.len());
    }
    if met.len() > 1 {
        found.is(Axis::PoolPairing, pairing);
    } else {
        found.masked(Axis::PoolPairing, Axis::PoolAddresses);
    }
}
