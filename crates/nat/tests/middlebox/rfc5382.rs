//! RFC 5382, REQ-1 to REQ-5, on the preset that claims to comply.

use std::time::Duration;

use simopen_nat::{DropReason, Middlebox, MiddleboxSpec, TcpState, UnsolicitedSyn};
use simopen_packet::{IcmpError, IcmpKind, Packet, Transport};

use crate::exchange::{ACK, Connection, Exchange, FIN_ACK, SYN, SYN_ACK, Segment, at};

fn compliant() -> Exchange {
    Exchange::new(MiddleboxSpec::rfc5382_compliant())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn has_session(middlebox: &Middlebox) -> bool {
    middlebox.session_count() == 1
}

#[test]
fn req_1_the_mapping_is_endpoint_independent() {
    let mut exchange = compliant();
    let inside = at("10.0.0.2:4000");

    let first = exchange.outbound(Segment::new(inside, at("198.51.100.9:5000"), SYN)).source();
    let other_port = exchange.outbound(Segment::new(inside, at("198.51.100.9:5001"), SYN)).source();
    let other_host = exchange.outbound(Segment::new(inside, at("198.51.100.77:80"), SYN)).source();

    assert_eq!((first, first), (other_port, other_host));
    assert_eq!(exchange.middlebox.mapping_count(), 1);
}

#[test]
fn req_2_an_ordinary_handshake_and_both_orders_of_closing_pass() {
    for remote_closes_first in [false, true] {
        let mut exchange = compliant();
        let link = Connection::kept();
        link.establish(&mut exchange);
        if remote_closes_first {
            exchange.inbound(link.back(FIN_ACK, 901, 101)).assert_forwarded();
            exchange.outbound(link.out(ACK, 101, 902)).assert_forwarded();
            exchange.outbound(link.out(FIN_ACK, 101, 902)).assert_forwarded();
            exchange.inbound(link.back(ACK, 902, 102)).assert_forwarded();
        } else {
            exchange.outbound(link.out(FIN_ACK, 101, 901)).assert_forwarded();
            exchange.inbound(link.back(FIN_ACK, 901, 102)).assert_forwarded();
            exchange.outbound(link.out(ACK, 102, 902)).assert_forwarded();
        }
        let states: Vec<_> = exchange.journal();
        let last = states.last().unwrap().to_string();
        assert!(last.contains(&format!("to {:?}", TcpState::TimeWait)), "{last}");
    }
}

#[test]
fn req_2_a_simultaneous_open_passes_with_crossing_syns_and_syn_acks() {
    let mut exchange = compliant();
    let link = Connection::kept();

    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    exchange.inbound(link.back(SYN, 900, 0)).assert_forwarded();
    exchange.outbound(link.out(SYN_ACK, 100, 901)).assert_forwarded();
    exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_forwarded();
    exchange.outbound(link.out(ACK, 101, 901)).assert_forwarded();
    exchange.inbound(link.back(ACK, 901, 101)).assert_forwarded();
}

#[test]
fn req_3_filtering_is_endpoint_independent() {
    let mut exchange = compliant();
    let link = Connection::kept();
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();

    let stranger = Segment::new(at("192.0.2.200:6000"), link.external, SYN).numbered(7, 0);
    let passed = exchange.inbound(stranger);

    passed.assert_forwarded();
    assert_eq!(passed.endpoints().1, link.inside);
    assert_eq!(exchange.middlebox.session_count(), 2);
}

#[test]
fn req_4_an_unsolicited_syn_hears_nothing_for_six_seconds_then_port_unreachable() {
    let mut exchange = compliant();
    let link = Connection::kept();

    exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::NoMapping);
    exchange.advance(Duration::from_millis(5999));
    exchange.assert_silent();
    exchange.advance(Duration::from_millis(1));

    let answers = exchange.answers();
    assert_eq!(answers.len(), 1);
    let packet = Packet::parse(&answers[0].1).unwrap();
    let Transport::Icmp(message) = packet.transport else { panic!("no ICMP: {packet}") };
    assert_eq!(message.kind, IcmpKind::Error(IcmpError::PortUnreachable));
    let quoted = message.quoted.unwrap();
    assert_eq!((quoted.source, quoted.destination), (link.remote, link.external));
    assert!(exchange.middlebox.is_idle());
}

#[test]
fn req_4_an_outbound_syn_within_six_seconds_silences_the_answer() {
    let mut exchange = compliant();
    let link = Connection::kept();

    exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::NoMapping);
    exchange.advance(seconds(5));
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    exchange.advance(seconds(60));

    exchange.assert_silent();
}

#[test]
fn req_4_a_repeated_syn_is_answered_once() {
    let mut exchange = compliant();
    let link = Connection::kept();

    for _ in 0..3 {
        exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::NoMapping);
        exchange.advance(seconds(1));
    }
    exchange.advance(seconds(10));

    assert_eq!(exchange.answers().len(), 1);
}

#[test]
fn req_4_stock_linux_breaks_it() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_open_input());
    let link = Connection::kept();

    exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::NoMapping);

    assert_eq!(exchange.middlebox.spec().unsolicited, UnsolicitedSyn::Reset);
    assert_eq!(exchange.answers().len(), 1);
}

#[test]
fn req_5_an_established_session_lives_two_hours_four_minutes_without_traffic() {
    let mut exchange = compliant();
    let link = Connection::kept();
    link.establish(&mut exchange);

    exchange.advance(seconds(7440) - Duration::from_nanos(1));
    assert!(has_session(&exchange.middlebox));
    exchange.advance(Duration::from_nanos(1));

    assert!(exchange.middlebox.is_idle());
}

#[test]
fn req_5_a_transitory_session_lives_four_minutes_without_traffic() {
    let link = Connection::kept();
    let mut opening = compliant();
    opening.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    let mut closing = compliant();
    link.establish(&mut closing);
    closing.outbound(link.out(FIN_ACK, 101, 901)).assert_forwarded();

    for exchange in [&mut opening, &mut closing] {
        exchange.advance(seconds(240) - Duration::from_nanos(1));
        assert!(has_session(&exchange.middlebox));
        exchange.advance(Duration::from_nanos(1));
        assert!(exchange.middlebox.is_idle());
    }
}

#[test]
fn req_5_traffic_in_either_direction_starts_the_time_anew() {
    let mut exchange = compliant();
    let link = Connection::kept();
    link.establish(&mut exchange);

    exchange.advance(seconds(7000));
    exchange.inbound(link.back(ACK, 901, 101)).assert_forwarded();
    exchange.advance(seconds(7000));
    exchange.outbound(link.out(ACK, 101, 901)).assert_forwarded();
    exchange.advance(seconds(7000));

    assert!(has_session(&exchange.middlebox));
}
