//! Finding out what a box is, from its inside and its outside.
//!
//! [`classify`] sends crafted packets from hosts on both sides of a box and looks at what comes
//! out, as RFC 5780 does for UDP, and likewise for TCP. It knows nothing of the box's
//! specification; [`compare`] holds what was found against one. So a box that is not what an
//! experiment takes it for is found out before its results count.
//!
//! Where packets come from and go to is a [`bench::Bench`]: a bare machine
//! ([`middlebox_bench::MiddleboxBench`]), or a whole network ([`network_bench::NetworkBench`]),
//! both in virtual time, so that timers of days are measured by bisection.
//!
//! ```
//! use simopen_nat::MiddleboxSpec;
//! use simopen_packet::Entropy;
//! use simopen_scenario::classify::{self, axis::Axis, middlebox_bench::MiddleboxBench};
//! use simopen_scenario::star::IpVersion;
//!
//! let spec = MiddleboxSpec::rst_answering();
//! let mut bench = MiddleboxBench::new(spec, IpVersion::V4, Entropy::new([7; 32]));
//! let found = classify::classify(&mut bench);
//! assert_eq!(found.reading(Axis::Unsolicited).to_string(), "reset");
//!
//! let differences = classify::compare(&found, &MiddleboxSpec::icmp_answering());
//! assert_eq!(differences.len(), 1);
//! assert_eq!(differences[0].axis, "unsolicited");
//! ```
//!
//! Not everything can be seen: an axis may be masked by another one ([`reading::NotSeen`]), and
//! [`unseen::UNSEEN`] lists what no packet tells.

pub mod axis;
pub mod bench;
mod classification;
mod connection;
mod datagrams;
mod endings;
mod expectation;
mod hairpin;
mod idle;
mod lifetime;
mod limits;
mod mapping;
pub mod middlebox_bench;
pub mod network_bench;
mod pool;
mod port_allocation;
mod probe;
pub mod reading;
mod rewriting;
mod role;
pub mod self_check;
mod timers;
mod tracking;
pub mod unseen;
mod unsolicited;

use simopen_nat::{IcmpErrors, OnReset, Role, SynProxy, TcpTracking};

use axis::Axis;
use bench::Bench;
use probe::Probe;

pub use classification::{Classification, compare};

/// Finds out what the box on a bench is. The box is restarted many times.
pub fn classify(bench: &mut dyn Bench) -> Classification {
    let mut found = Classification::default();
    let probe = &mut Probe::new(bench);
    role::egress(probe, &mut found);
    role::role(probe, &mut found);
    match found.value(Axis::Role) {
        Some(Role::Nat | Role::Firewall) => {}
        Some(_) => {
            // Whatever is permitted passes, and everything is permitted.
            found.masked(Axis::Egress, Axis::Role);
            hide_all(&mut found, Axis::Role);
            return found;
        }
        None => {
            hide_all(&mut found, Axis::Egress);
            return found;
        }
    }
    rewriting::rewriting(probe, &mut found);
    translation(probe, &mut found);
    strangers(probe, &mut found);
    segments(probe, &mut found);
    times(probe, &mut found);
    datagrams::udp(probe, &mut found);
    let echo = datagrams::icmp_echo(probe, &found);
    found.note(Axis::IcmpEcho, echo);
    found
}

/// Notes that one axis hides all others that were not read.
fn hide_all(found: &mut Classification, by: Axis) {
    for axis in Axis::ALL {
        if !found.has(*axis) {
            found.masked(*axis, by);
        }
    }
}

/// What a NAT does to endpoints, and how many sessions there may be.
fn translation(probe: &mut Probe<'_>, found: &mut Classification) {
    if !found.translates() {
        for axis in [
            Axis::Mapping,
            Axis::PortAllocation,
            Axis::PortOverloading,
            Axis::PoolAddresses,
            Axis::PoolPairing,
        ] {
            found.masked(axis, Axis::Role);
        }
        limits::limits(probe, found);
        return;
    }
    found.note(Axis::Mapping, mapping::mapping(probe, mapping::open_tcp));
    found.note(Axis::PortAllocation, port_allocation::port_allocation(probe));
    limits::limits(probe, found);
    let overloading = mapping::port_overloading(probe, found);
    found.note(Axis::PortOverloading, overloading);
    pool::pool(probe, found);
}

/// Whom the box lets in, and what the others hear.
fn strangers(probe: &mut Probe<'_>, found: &mut Classification) {
    found.note(Axis::Tracking, tracking::tracking(probe));
    found.note(Axis::Unsolicited, unsolicited::unsolicited(probe));
    if found.value(Axis::SynProxy) == Some(SynProxy::On) {
        found.masked(Axis::InboundBareSyn, Axis::SynProxy);
    } else {
        found.note(Axis::InboundBareSyn, unsolicited::inbound_bare_syn(probe));
    }
    let filtering = unsolicited::filtering(probe, found);
    found.note(Axis::Filtering, filtering);
    if found.translates() {
        let early_packet = unsolicited::early_packet(probe, found);
        found.note(Axis::EarlyPacket, early_packet);
        let hairpin = hairpin::hairpin(probe, found);
        found.note(Axis::Hairpin, hairpin);
    } else {
        found.masked(Axis::EarlyPacket, Axis::Role);
        found.masked(Axis::Hairpin, Axis::Role);
    }
}

/// What becomes of segments in and out of their order.
fn segments(probe: &mut Probe<'_>, found: &mut Classification) {
    if found.value(Axis::Tracking) == Some(TcpTracking::None) {
        for axis in [Axis::MidStream, Axis::InvalidOutbound, Axis::OnReset] {
            found.masked(axis, Axis::Tracking);
        }
    } else {
        let mid_stream = tracking::mid_stream(probe, found);
        found.note(Axis::MidStream, mid_stream);
        found.note(Axis::InvalidOutbound, tracking::invalid_outbound(probe));
        found.note(Axis::OnReset, endings::on_reset(probe));
    }
    found.note(Axis::IcmpErrors, endings::icmp_errors(probe));
    if found.value(Axis::IcmpErrors) == Some(IcmpErrors::AllFiltered) {
        found.masked(Axis::OnIcmpError, Axis::IcmpErrors);
    } else {
        found.note(Axis::OnIcmpError, endings::on_icmp_error(probe));
    }
}

/// How long sessions live.
fn times(probe: &mut Probe<'_>, found: &mut Classification) {
    timers::timers(probe, found);
    let on_reset = found.value(Axis::OnReset);
    if !matches!(on_reset, Some(OnReset::DeletesUnanswered | OnReset::StartsCloseTimer)) {
        found.masked(Axis::Close, Axis::OnReset);
    }
    let refresh = timers::refresh(probe, found);
    found.note(Axis::Refresh, refresh);
    let idle_killer = idle::idle_killer(probe, found);
    found.note(Axis::IdleKiller, idle_killer);
}
