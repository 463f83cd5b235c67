//! ICMP errors on their way through a box.

use simopen_nat::{DropReason, MiddleboxSpec, OnIcmpError, Side};
use simopen_packet::{IcmpError, Packet, Transport, error_quoting};

use crate::exchange::{Connection, Exchange, SYN, SYN_ACK, Segment, at};

fn error_about(offending: &[u8], from: &str) -> Vec<u8> {
    let mut buffer = vec![0; 1280];
    let length =
        error_quoting(IcmpError::TimeExceeded, from.parse().unwrap(), offending, &mut buffer)
            .unwrap();
    buffer.truncate(length);
    buffer
}

#[test]
fn an_error_about_an_outbound_segment_comes_back_to_the_inside_host() {
    let mut exchange = Exchange::new(MiddleboxSpec::apd_mapping_random());
    let link = Connection::kept();
    let syn = exchange.outbound(link.out(SYN, 100, 0));

    let error = exchange.pass(Side::Outside, error_about(&syn.bytes, "192.0.2.1"));

    error.assert_forwarded();
    let packet = Packet::parse(&error.bytes).unwrap();
    assert_eq!(packet.ip.destination, link.inside.ip());
    let Transport::Icmp(message) = packet.transport else { panic!("no ICMP: {packet}") };
    let quoted = message.quoted.unwrap();
    assert_eq!((quoted.source, quoted.destination), (link.inside, link.remote));
    assert_eq!(exchange.middlebox.session_count(), 1);
}

#[test]
fn an_error_about_an_inbound_segment_leaves_with_the_outside_endpoint() {
    let mut exchange = Exchange::new(MiddleboxSpec::apd_mapping_random());
    let link = Connection::kept();
    let external = exchange.outbound(link.out(SYN, 100, 0)).source();
    let answer = Segment::new(link.remote, external, SYN_ACK).numbered(900, 101);
    let inbound = exchange.inbound(answer);

    let error = exchange.pass(Side::Inside, error_about(&inbound.bytes, "10.0.0.2"));

    error.assert_forwarded();
    let packet = Packet::parse(&error.bytes).unwrap();
    assert_eq!(packet.ip.source, external.ip());
    let Transport::Icmp(message) = packet.transport else { panic!("no ICMP: {packet}") };
    assert_eq!(message.quoted.unwrap().destination, external);
}

#[test]
fn errors_over_ipv6_are_translated_too() {
    let external = at("[2001:db8:ffff::1]:4000");
    let spec = MiddleboxSpec::ei_mapping_apd_filtering();
    let mut exchange = Exchange::with_external(spec, external.ip());
    let syn = Segment::new(at("[fd00::2]:4000"), at("[2001:db8:9::9]:5000"), SYN);
    let syn = exchange.outbound(syn);

    let error = exchange.pass(Side::Outside, error_about(&syn.bytes, "2001:db8::7"));

    error.assert_forwarded();
    let packet = Packet::parse(&error.bytes).unwrap();
    assert_eq!(packet.ip.destination, at("[fd00::2]:4000").ip());
}

#[test]
fn an_error_about_no_session_stops_at_the_box() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_open_input());
    let never_sent = Segment::new(at("203.0.113.1:4000"), at("198.51.100.9:5000"), SYN).bytes();

    let error = exchange.pass(Side::Outside, error_about(&never_sent, "192.0.2.1"));

    error.assert_dropped(DropReason::IcmpWithoutSession);
    exchange.assert_silent();
}

#[test]
fn an_error_deletes_the_session_where_the_specification_says_so() {
    let spec = MiddleboxSpec::linux_masquerade_drop_input()
        .with_on_icmp_error(OnIcmpError::SessionDeleted);
    let mut exchange = Exchange::new(spec);
    let syn = exchange.outbound(Connection::kept().out(SYN, 100, 0));

    exchange.pass(Side::Outside, error_about(&syn.bytes, "192.0.2.1")).assert_forwarded();

    assert!(exchange.middlebox.is_idle());
}
