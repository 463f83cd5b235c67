//! What was measured of the techniques on Linux's own boxes, repeated with the same kernels on the
//! `nat` machine: who gets through which box, why not, and a control that must fail beside what
//! works.

use std::time::Duration;

use simopen_fabric::{LinkSpec, SourceValidation};
use simopen_nat::{InboundBareSyn, MiddleboxSpec};
use simopen_netns_tests::{Cell, Expected, leg, requires, run_all, told};
use simopen_packet::Ttl;
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::star::IpVersion;

const KERNEL: Technique = Technique::ForgedSynAck(SynOwner::Kernel);
const USERSPACE: Technique = Technique::ForgedSynAck(SynOwner::Userspace);
const SIMULTANEOUS: Technique = Technique::SimultaneousOpen;
const SILENCE: Expected = Expected::Fails(Cause::NoAnswer);

/// A NAT router that drops unsolicited packets, and every bare SYN from outside.
const fn syn_dropping_nat() -> MiddleboxSpec {
    MiddleboxSpec::linux_masquerade_drop_input().with_inbound_bare_syn(InboundBareSyn::Dropped)
}

/// A NAT router whose own stack answers unsolicited SYNs with RST.
const fn rst_nat() -> MiddleboxSpec {
    MiddleboxSpec::linux_masquerade_open_input()
}

#[test]
fn silent_boxes_are_passed_by_every_technique() {
    if !requires() {
        return;
    }
    let mut cells = Vec::new();
    for (row, middlebox) in [
        ("stateful firewall, silent", MiddleboxSpec::silent_stateful_firewall()),
        ("NAT, router drops unsolicited", MiddleboxSpec::linux_masquerade_drop_input()),
    ] {
        cells.push(Cell::new(row, middlebox, SIMULTANEOUS, Expected::Connects));
        cells.push(Cell::new(row, middlebox, KERNEL, Expected::Connects));
        let userspace = Cell::new(row, middlebox, USERSPACE, Expected::ConnectsByForgery);
        cells.push(userspace.clone());
        // Its SYN dies before the other box, so nothing opens the connection but the broker.
        cells.push(userspace.without_forging());
    }
    drop(run_all(cells));
}

#[test]
fn boxes_that_drop_inbound_syns_are_passed_by_forged_syn_acks_alone() {
    if !requires() {
        return;
    }
    let mut cells = Vec::new();
    for (row, middlebox) in [
        ("stateful firewall, SYN dropped", MiddleboxSpec::syn_ack_only_firewall()),
        ("NAT, SYN dropped", syn_dropping_nat()),
    ] {
        cells.push(Cell::new(row, middlebox, SIMULTANEOUS, SILENCE));
        for technique in [KERNEL, USERSPACE] {
            let forged = Cell::new(row, middlebox, technique, Expected::ConnectsByForgery);
            cells.push(forged.clone());
            cells.push(forged.without_forging());
        }
    }
    drop(run_all(cells));
}

#[test]
fn boxes_that_answer_rst_are_passed_by_a_userspace_syn() {
    if !requires() {
        return;
    }
    let row = "NAT, router answers RST";
    let refused = Expected::Fails(Cause::Refused);
    let userspace = Cell::new(row, rst_nat(), USERSPACE, Expected::ConnectsByForgery);
    drop(run_all(vec![
        userspace.clone(),
        userspace.without_forging(),
        // The responder's SYN is at the originator's box before the originator dials.
        Cell::new(row, rst_nat(), KERNEL, refused),
    ]));
}

/// The first SYN is at the other box one leg after it left. Whether that box has seen a SYN go out
/// by then is all that decides, so the skew is set: half a leg, and one and a half.
#[test]
fn a_simultaneous_open_through_rst_boxes_bears_a_skew_of_less_than_one_leg() {
    if !requires() {
        return;
    }
    let skewed = |place: usize, skew: Duration, expected| {
        Cell::new("NAT, router answers RST", rst_nat(), SIMULTANEOUS, expected).but(
            &format!("{} late by {skew:?}", ["a", "b"][place]),
            |attempt| attempt.trial.start_skew[place] = skew,
            expected,
        )
    };
    let refused = Expected::Fails(Cause::Refused);
    drop(run_all(vec![
        Cell::new("NAT, router answers RST", rst_nat(), SIMULTANEOUS, Expected::Connects),
        skewed(0, leg() / 2, Expected::Connects),
        skewed(1, leg() / 2, Expected::Connects),
        skewed(0, leg() * 3 / 2, refused),
        skewed(1, leg() * 3 / 2, refused),
    ]));
}

#[test]
fn a_low_ttl_serves_a_kernel_socket_only_below_the_socket() {
    if !requires() {
        return;
    }
    let row = "NAT, RST, low TTL";
    let by_route = Cell::new(row, rst_nat(), KERNEL, Expected::ConnectsByForgery).but(
        "by a TUN route whose owner sets TTL 2",
        |attempt| attempt.trial.tun_route_ttl = Some(Ttl(2)),
        Expected::ConnectsByForgery,
    );
    let by_socket = Cell::new(row, rst_nat(), KERNEL, SILENCE).but(
        "by a socket with TTL 2",
        |attempt| attempt.trial.kernel_ttl = Some(Ttl(2)),
        // EHOSTUNREACH: the time-exceeded message reaches the socket.
        Expected::Fails(Cause::Unreachable),
    );
    drop(run_all(vec![by_route.clone(), by_route.without_forging(), by_socket]));
}

#[test]
fn legs_of_one_to_ten_either_way_change_no_outcome() {
    if !requires() {
        return;
    }
    let legs = [("b far", [10, 100, 10]), ("a far", [100, 10, 10]), ("c far", [10, 10, 100])];
    let mut cells = Vec::new();
    for (far, half_legs) in legs {
        for (row, middlebox, technique) in [
            ("NAT, SYN dropped", syn_dropping_nat(), KERNEL),
            ("NAT, SYN dropped", syn_dropping_nat(), USERSPACE),
            ("NAT, router answers RST", rst_nat(), USERSPACE),
        ] {
            cells.push(Cell::new(row, middlebox, technique, Expected::ConnectsByForgery).but(
                far,
                |attempt| {
                    attempt.star.links =
                        half_legs.map(Duration::from_millis).map(LinkSpec::with_delay);
                },
                Expected::ConnectsByForgery,
            ));
        }
    }
    drop(run_all(cells));
}

#[test]
fn silence_is_called_a_failure_only_after_two_syns_of_each_side() {
    if !requires() {
        return;
    }
    let cell = |technique| Cell::new("NAT, SYN dropped", syn_dropping_nat(), technique, SILENCE);
    for ran in run_all(vec![cell(SIMULTANEOUS), cell(USERSPACE).without_forging()]) {
        let timeline = &ran.result.record.timeline;
        let verdict = timeline.iter().position(|entry| {
            entry.event.starts_with("gives up") || entry.event.starts_with("failed")
        });
        let before = &timeline[..verdict.expect("the timeline tells of the failure")];
        for host in ["a", "b"] {
            let syns = before.iter().filter(|entry| entry.host == host && entry.event == "sends");
            assert!(syns.count() >= 2, "{host} in {}:\n{}", ran.line(), told(&ran.result));
        }
    }
}

/// Where the originator is slower than the broker allows for, its SYN leaves two legs after the
/// acknowledgement, and the forged SYN-ACK is at its box long before.
fn with_a_late_by_two_legs(row: &str, middlebox: MiddleboxSpec, expected: Expected) -> Cell {
    let cell = Cell::new(row, middlebox, USERSPACE, expected);
    cell.but("a late by two legs", |attempt| attempt.trial.start_skew[0] = leg() * 2, expected)
}

#[test]
fn a_packet_that_is_forged_too_early_is_named_as_the_cause() {
    if !requires() {
        return;
    }
    let expected = Expected::FailsSaying("forged too early");
    for ran in
        run_all(vec![with_a_late_by_two_legs("NAT, router answers RST", rst_nat(), expected)])
    {
        assert_eq!(ran.result.record.delivered[0].syn_acks, 0, "{}", told(&ran.result));
    }
}

#[test]
fn a_silent_box_loses_a_packet_forged_too_early_and_the_next_one_connects() {
    if !requires() {
        return;
    }
    let expected = Expected::ConnectsByForgery;
    drop(run_all(vec![
        with_a_late_by_two_legs("NAT, SYN dropped", syn_dropping_nat(), expected),
        // The broker waits for the responder, which can be as late as it likes.
        Cell::new("NAT, router answers RST", rst_nat(), USERSPACE, expected).but(
            "b late by two legs",
            |attempt| attempt.trial.start_skew[1] = leg() * 2,
            expected,
        ),
    ]));
}

#[test]
fn source_validation_at_the_core_stops_forged_packets_and_is_named_as_the_cause() {
    if !requires() {
        return;
    }
    let expected = Expected::FailsSaying("dropped a SYN-ACK for its source address");
    let cells = [KERNEL, USERSPACE].map(|technique| {
        Cell::new("NAT, SYN dropped", syn_dropping_nat(), technique, expected).but(
            "sources validated",
            |attempt| attempt.star.source_validation = SourceValidation::Strict,
            expected,
        )
    });
    for ran in run_all(cells.into()) {
        let causes = ran.result.failures.map(|failure| failure.map(|failure| failure.cause));
        assert_eq!(causes, [Some(Cause::NoAnswer); 2], "{}", ran.line());
        assert!(
            ran.result.record.delivered.iter().all(|host| host.syn_acks == 0),
            "{}",
            ran.line()
        );
    }
}

#[test]
fn ipv6_firewalls_behave_as_those_of_ipv4() {
    if !requires() {
        return;
    }
    let over_ipv6 = |row, middlebox, technique, expected| {
        Cell::new(row, middlebox, technique, expected).but(
            "IPv6",
            |attempt| attempt.star.ip = IpVersion::V6,
            expected,
        )
    };
    let silent = MiddleboxSpec::silent_stateful_firewall();
    let dropping = MiddleboxSpec::syn_ack_only_firewall();
    let forged = Expected::ConnectsByForgery;
    drop(run_all(vec![
        over_ipv6("firewall, silent", silent, SIMULTANEOUS, Expected::Connects),
        over_ipv6("firewall, silent", silent, KERNEL, Expected::Connects),
        over_ipv6("firewall, silent", silent, USERSPACE, forged),
        over_ipv6("firewall, SYN dropped", dropping, SIMULTANEOUS, SILENCE),
        over_ipv6("firewall, SYN dropped", dropping, KERNEL, forged),
        over_ipv6("firewall, SYN dropped", dropping, USERSPACE, forged),
        over_ipv6("firewall, SYN dropped", dropping, KERNEL, forged).without_forging(),
        over_ipv6("firewall, SYN dropped", dropping, USERSPACE, forged).without_forging(),
    ]));
}
