//! Connections that the kernels open by themselves, on real kernels through the `nat` machine: a
//! listener, a hole punched for a listener, and SYNs that die between the boxes.

use simopen_lab::host::PORT;
use simopen_nat::{IcmpErrors, InboundBareSyn, MiddleboxSpec, TcpTracking};
use simopen_netns_tests::{Cell, Expected, leg, requires, run_all};
use simopen_peer::IcmpShield;
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::Technique;
use simopen_scenario::star::IpVersion;

const DIRECT: Technique = Technique::Direct;
const PUNCH: Technique = Technique::PunchAndListen;
const LOW_TTL: Technique = Technique::SimultaneousOpenLowTtl;
const SILENCE: Expected = Expected::Fails(Cause::NoAnswer);

/// A NAT router that looks at no sequence numbers.
const fn liberal_nat() -> MiddleboxSpec {
    MiddleboxSpec::linux_masquerade_drop_input().with_tracking(TcpTracking::Liberal)
}

/// A NAT router whose own stack answers unsolicited SYNs with RST.
const fn rst_nat() -> MiddleboxSpec {
    MiddleboxSpec::linux_masquerade_open_input()
}

/// What keeps ICMP errors away from a dial in one of the lab's hosts.
fn shield() -> IcmpShield {
    IcmpShield::TunRoute { interface: PORT.into() }
}

#[test]
fn a_listener_is_reached_where_filtering_is_endpoint_independent() {
    if !requires() {
        return;
    }
    let ipv6 = MiddleboxSpec::ipv6_stateful_rfc6092();
    let unprivileged = |cell: Cell| {
        cell.but(
            "without any capability",
            |attempt| attempt.privileges = Some(Vec::new()),
            Expected::Connects,
        )
    };
    drop(run_all(vec![
        Cell::new("no box", MiddleboxSpec::no_box(), DIRECT, Expected::Connects),
        Cell::new("RFC 5382", MiddleboxSpec::rfc5382_compliant(), DIRECT, Expected::Connects),
        unprivileged(Cell::new(
            "RFC 5382",
            MiddleboxSpec::rfc5382_compliant(),
            DIRECT,
            Expected::Connects,
        )),
        Cell::new("RFC 6092", ipv6, DIRECT, Expected::Connects).but(
            "IPv6",
            |attempt| attempt.star.ip = IpVersion::V6,
            Expected::Connects,
        ),
    ]));
}

#[test]
fn a_listener_is_out_of_reach_behind_a_box_that_filters() {
    if !requires() {
        return;
    }
    let filtering = MiddleboxSpec::ei_mapping_apd_filtering();
    let dropping = MiddleboxSpec::linux_masquerade_drop_input();
    drop(run_all(vec![
        Cell::new("AD and port filtering", filtering, DIRECT, SILENCE),
        Cell::new("NAT, router drops unsolicited", dropping, DIRECT, SILENCE),
        Cell::new("NAT, router answers RST", rst_nat(), DIRECT, Expected::Fails(Cause::Refused)),
    ]));
}

#[test]
fn a_punched_hole_serves_a_listener_only_where_sequence_numbers_are_not_looked_at() {
    if !requires() {
        return;
    }
    let strict = MiddleboxSpec::linux_masquerade_drop_input();
    let liberal_rst = rst_nat().with_tracking(TcpTracking::Liberal);
    let dropping = liberal_nat().with_inbound_bare_syn(InboundBareSyn::Dropped);
    drop(run_all(vec![
        Cell::new("NAT, liberal", liberal_nat(), PUNCH, Expected::Connects),
        Cell::new("NAT, liberal, router answers RST", liberal_rst, PUNCH, Expected::Connects),
        Cell::new("NAT, strict", strict, PUNCH, SILENCE),
        Cell::new("NAT, liberal, SYN dropped", dropping, PUNCH, SILENCE),
    ]));
}

/// With the usual TTL a skew of one and a half legs is refused by these boxes.
#[test]
fn first_syns_that_die_between_the_boxes_bear_any_skew() {
    if !requires() {
        return;
    }
    let shielded = |skew: [u32; 2]| {
        let cell = Cell::new("NAT, router answers RST", rst_nat(), LOW_TTL, Expected::Connects);
        cell.but(
            &format!("by a TUN route, a late by {} half legs and b by {}", skew[0], skew[1]),
            |attempt| {
                attempt.trial.icmp_shield = shield();
                attempt.trial.start_skew = skew.map(|half_legs| leg() * half_legs / 2);
            },
            Expected::Connects,
        )
    };
    drop(run_all(vec![shielded([0, 0]), shielded([3, 0]), shielded([0, 3])]));
}

#[test]
fn a_low_ttl_socket_dies_of_time_exceeded_unless_it_is_shielded() {
    if !requires() {
        return;
    }
    let row = "NAT, router drops unsolicited";
    let dropping = MiddleboxSpec::linux_masquerade_drop_input();
    let hushing = dropping.with_icmp_errors(IcmpErrors::TimeExceededFiltered);
    let unreachable = Expected::Fails(Cause::Unreachable);
    let shielded = |cell: Cell, expected| {
        cell.but("by a TUN route", |attempt| attempt.trial.icmp_shield = shield(), expected)
    };
    let firewall = MiddleboxSpec::silent_stateful_firewall();
    let over_ipv6 = |expected| {
        Cell::new("firewall, silent", firewall, LOW_TTL, expected).but(
            "IPv6",
            |attempt| attempt.star.ip = IpVersion::V6,
            expected,
        )
    };
    let syn_dropped = dropping.with_inbound_bare_syn(InboundBareSyn::Dropped);
    drop(run_all(vec![
        Cell::new(row, dropping, LOW_TTL, unreachable),
        Cell::new(row, hushing, LOW_TTL, Expected::Connects).but(
            "time-exceeded kept out",
            |attempt| attempt.privileges = Some(Vec::new()),
            Expected::Connects,
        ),
        shielded(Cell::new(row, dropping, LOW_TTL, SILENCE), Expected::Connects),
        over_ipv6(unreachable),
        shielded(over_ipv6(SILENCE), Expected::Connects),
        shielded(Cell::new("NAT, SYN dropped", syn_dropped, LOW_TTL, SILENCE), SILENCE),
    ]));
}
