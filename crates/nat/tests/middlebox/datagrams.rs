//! UDP and ICMP echo.

use std::time::Duration;

use simopen_nat::{
    DropReason, EarlyPacket, Filtering, IcmpEcho, Mapping, MiddleboxSpec, PortAllocation,
    PortParity, Refresh, Side, UdpPolicy, UnsolicitedSyn,
};
use simopen_packet::{IcmpError, Packet, Transport, error_quoting};

use crate::exchange::{Exchange, SYN, Segment, at, echo, ends_of_datagram, udp};

const INSIDE: &str = "10.0.0.2:4000";
const OUTSIDE: &str = "203.0.113.1:4000";
const REMOTE: &str = "198.51.100.9:5000";

fn ask(exchange: &mut Exchange, inside: &str, remote: &str) -> std::net::SocketAddr {
    let passed = exchange.pass(Side::Inside, udp(at(inside), at(remote)));
    passed.assert_forwarded();
    ends_of_datagram(&passed.bytes).0
}

#[test]
fn a_datagram_and_its_answer_are_translated_there_and_back() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    assert_eq!(ask(&mut exchange, INSIDE, REMOTE), at(OUTSIDE));

    let answer = exchange.pass(Side::Outside, udp(at(REMOTE), at(OUTSIDE)));

    answer.assert_forwarded();
    assert_eq!(ends_of_datagram(&answer.bytes), (at(REMOTE), at(INSIDE)));
}

#[test]
fn tcp_and_udp_have_ports_of_their_own() {
    let mut exchange = Exchange::new(MiddleboxSpec::ei_mapping_apd_filtering());
    let syn = exchange.outbound(Segment::new(at("10.0.0.3:4000"), at(REMOTE), SYN));
    assert_eq!(syn.source(), at(OUTSIDE));
    assert_eq!(ask(&mut exchange, INSIDE, REMOTE), at(OUTSIDE));
}

#[test]
fn mapping_and_filtering_of_udp_are_its_own() {
    let udp_policy = UdpPolicy {
        mapping: Mapping::EndpointIndependent,
        filtering: Filtering::AddressDependent,
        ..UdpPolicy::LINUX
    };
    let spec = MiddleboxSpec::apd_mapping_random().with_udp(udp_policy);
    let mut exchange = Exchange::new(spec);
    let outside = ask(&mut exchange, INSIDE, REMOTE);
    assert_eq!(ask(&mut exchange, INSIDE, "192.0.2.7:80"), outside);

    let other_port = exchange.pass(Side::Outside, udp(at("198.51.100.9:9"), outside));
    let stranger = exchange.pass(Side::Outside, udp(at("192.0.2.200:9"), outside));

    other_port.assert_forwarded();
    stranger.assert_dropped(DropReason::FilteredByAddress);
}

#[test]
fn a_box_that_blocks_udp_or_echo_lets_none_of_it_out() {
    let spec = MiddleboxSpec::linux_masquerade_drop_input()
        .with_udp(UdpPolicy::BLOCKED)
        .with_icmp_echo(IcmpEcho::Blocked);
    let mut exchange = Exchange::new(spec);
    let datagram = exchange.pass(Side::Inside, udp(at(INSIDE), at(REMOTE)));
    let ping = exchange.pass(Side::Inside, echo(8, at(INSIDE).ip(), at(REMOTE).ip(), 7));
    datagram.assert_dropped(DropReason::ProtocolBlocked);
    ping.assert_dropped(DropReason::ProtocolBlocked);
}

#[test]
fn parity_is_kept_where_the_specification_says_so() {
    let odd_and_even = |port_parity| {
        let udp_policy = UdpPolicy { port_parity, ..UdpPolicy::LINUX };
        let spec = MiddleboxSpec::apd_mapping_random()
            .with_port_allocation(PortAllocation::Random)
            .with_udp(udp_policy);
        let mut exchange = Exchange::new(spec);
        (1..40).all(|number| {
            let remote = format!("198.51.100.9:{number}");
            ask(&mut exchange, INSIDE, &remote).port().is_multiple_of(2)
                && !ask(&mut exchange, "10.0.0.2:4001", &remote).port().is_multiple_of(2)
        })
    };
    assert!(odd_and_even(PortParity::Kept));
    assert!(!odd_and_even(PortParity::Ignored));
}

#[test]
fn only_packets_of_the_named_direction_keep_a_session_alive() {
    let is_alive = |refresh, kept_by: Side| {
        let spec = MiddleboxSpec::linux_masquerade_drop_input().with_refresh(refresh);
        let mut exchange = Exchange::new(spec);
        ask(&mut exchange, INSIDE, REMOTE);
        for _ in 0..3 {
            exchange.advance(Duration::from_secs(20));
            let datagram = match kept_by {
                Side::Inside => udp(at(INSIDE), at(REMOTE)),
                Side::Outside => udp(at(REMOTE), at(OUTSIDE)),
            };
            exchange.pass(kept_by, datagram);
        }
        exchange.middlebox.stats().sessions_ended == 0
    };
    assert!(is_alive(Refresh::Both, Side::Inside) && is_alive(Refresh::Both, Side::Outside));
    assert!(is_alive(Refresh::Outbound, Side::Inside));
    assert!(!is_alive(Refresh::Outbound, Side::Outside));
    assert!(!is_alive(Refresh::Inbound, Side::Inside));
    assert!(is_alive(Refresh::Inbound, Side::Outside));
}

#[test]
fn an_echo_and_its_reply_are_translated_by_their_identifier() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    let (inside, outside, remote) = (at(INSIDE).ip(), at(OUTSIDE).ip(), at(REMOTE).ip());
    let first = exchange.pass(Side::Inside, echo(8, inside, remote, 7));
    let second = exchange.pass(Side::Inside, echo(8, at("10.0.0.3:0").ip(), remote, 7));
    let (first, second) = (ends_of_datagram(&first.bytes).0, ends_of_datagram(&second.bytes).0);
    assert_eq!(first, at("203.0.113.1:7"));
    assert_ne!(second, first);

    let reply = exchange.pass(Side::Outside, echo(0, remote, outside, second.port()));

    reply.assert_forwarded();
    assert_eq!(ends_of_datagram(&reply.bytes).1, at("10.0.0.3:7"));
    let asked = exchange.pass(Side::Outside, echo(8, remote, outside, 7));
    asked.assert_dropped(DropReason::NoSession);
}

#[test]
fn an_error_about_a_datagram_or_an_echo_comes_back_to_the_inside_host() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_fully_random());
    let (inside, remote) = (at(INSIDE), at(REMOTE));
    for sent in [udp(inside, remote), echo(8, inside.ip(), remote.ip(), 7)] {
        let left = exchange.pass(Side::Inside, sent.clone());
        let mut error = vec![0; 1280];
        let from = "192.0.2.1".parse().unwrap();
        let length = error_quoting(IcmpError::TimeExceeded, from, &left.bytes, &mut error).unwrap();
        error.truncate(length);

        let passed = exchange.pass(Side::Outside, error);

        passed.assert_forwarded();
        let packet = Packet::parse(&passed.bytes).unwrap();
        assert_eq!(packet.ip.destination, inside.ip());
        let Transport::Icmp(message) = packet.transport else { panic!("no ICMP: {packet}") };
        assert_eq!(message.quoted.unwrap().bytes[12..], sent[12..], "quoted as it was sent");
    }
}

#[test]
fn a_stranger_hears_of_the_closed_port_what_a_router_says() {
    let hears = |spec: MiddleboxSpec| {
        let mut exchange = Exchange::new(spec);
        let datagram = exchange.pass(Side::Outside, udp(at(REMOTE), at(OUTSIDE)));
        datagram.assert_dropped(DropReason::NoMapping);
        exchange.answers().len()
    };
    assert_eq!(hears(MiddleboxSpec::linux_masquerade_drop_input()), 0);
    assert_eq!(hears(MiddleboxSpec::linux_masquerade_open_input()), 1);
    assert_eq!(hears(MiddleboxSpec::icmp_answering()), 1);
    assert_eq!(hears(MiddleboxSpec::rst_answering()), 0);
}

#[test]
fn an_early_datagram_moves_the_mapping_where_the_specification_says_so() {
    let port = |early_packet| {
        let spec = MiddleboxSpec::linux_masquerade_drop_input()
            .with_early_packet(early_packet)
            .with_unsolicited(UnsolicitedSyn::Reset);
        let mut exchange = Exchange::new(spec);
        exchange.pass(Side::Outside, udp(at(REMOTE), at(OUTSIDE)));
        ask(&mut exchange, INSIDE, REMOTE).port()
    };
    assert_eq!(port(EarlyPacket::Harmless), 4000);
    assert_ne!(port(EarlyPacket::TakesPort), 4000);
}
