//! TTL: what expires where, and who hears of it.

use simopen_fabric::Origin;
use simopen_nat::{InboundBareSyn, UnsolicitedSyn};
use simopen_packet::{IcmpError, IcmpKind, Packet, Transport};

use super::*;

fn spec() -> MiddleboxSpec {
    MiddleboxSpec::ei_mapping_apd_filtering().with_unsolicited(UnsolicitedSyn::Dropped)
}

/// The time-exceeded error in a delivery: who sent it, and the quoted source and destination.
fn time_exceeded(delivery: &Delivery) -> (IpAddr, SocketAddr, SocketAddr) {
    let bytes = delivery.packet.as_slice();
    Packet::verify_checksums(bytes).unwrap();
    let packet = Packet::parse(bytes).unwrap();
    let Transport::Icmp(message) = packet.transport else { panic!("no ICMP: {packet}") };
    assert_eq!(message.kind, IcmpKind::Error(IcmpError::TimeExceeded));
    let quoted = message.quoted.unwrap();
    (packet.ip.source, quoted.source, quoted.destination)
}

#[test]
fn a_syn_that_expires_at_the_core_is_answered_and_translated_back_through_the_box() {
    let (mut fabric, star) = natted_star(SourceValidation::Strict, spec());
    let [a, ..] = star.ports;
    send(&mut fabric, a, Segment { ttl: 2, ..Segment::syn(A_INSIDE, B) }, ms(0.0));
    let out = run(&mut fabric, ms(100.0));
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].port, out[0].due), (a, ms(10.2)));
    assert_eq!(out[0].entered_at, Origin::Node(star.core));
    let expected = (CORE.parse().unwrap(), endpoint(A_INSIDE), endpoint(B));
    assert_eq!(time_exceeded(&out[0]), expected);
    let nat = fabric.middlebox(star.boxes[0].unwrap()).unwrap();
    assert_eq!(nat.session_count(), 1, "the SYN has opened the box");
}

#[test]
fn a_syn_that_expires_at_its_own_box_opens_nothing() {
    let (mut fabric, star) = natted_star(SourceValidation::Off, spec());
    let [a, ..] = star.ports;
    send(&mut fabric, a, Segment { ttl: 1, ..Segment::syn(A_INSIDE, B) }, ms(0.0));
    let out = run(&mut fabric, ms(100.0));
    assert_eq!(time_exceeded(&out[0]), (address(A), endpoint(A_INSIDE), endpoint(B)));
    assert!(fabric.middlebox(star.boxes[0].unwrap()).unwrap().is_idle());
}

#[test]
fn a_syn_that_would_pass_the_far_box_expires_there_and_quotes_what_came() {
    let spec = spec().with_inbound_bare_syn(InboundBareSyn::Admitted);
    let (mut fabric, star) = natted_star(SourceValidation::Off, spec);
    let [a, b, _] = star.ports;
    send(&mut fabric, a, Segment { ttl: 3, ..Segment::syn(A_INSIDE, B) }, ms(0.0));
    send(&mut fabric, b, Segment { ttl: 2, ..Segment::syn(B_INSIDE, A) }, ms(0.0));
    let out = run(&mut fabric, ms(100.0));
    let told: Vec<_> = out.iter().map(|out| (out.port, time_exceeded(out))).collect();
    let at_core = (b, (CORE.parse().unwrap(), endpoint(B_INSIDE), endpoint(A)));
    let at_far_box = (a, (address(B), endpoint(A_INSIDE), endpoint(B)));
    assert_eq!(told, [at_core, at_far_box]);
}

#[test]
fn an_unsolicited_syn_meets_the_box_itself_whatever_its_ttl() {
    let spec = spec().with_unsolicited(UnsolicitedSyn::Reset);
    let (mut fabric, star) = natted_star(SourceValidation::Off, spec);
    let [_, _, c] = star.ports;
    send(&mut fabric, c, Segment { ttl: 2, ..Segment::syn(C, A) }, ms(0.0));
    let out = run(&mut fabric, ms(100.0));
    let packet = Packet::parse(out[0].packet.as_slice()).unwrap();
    assert!(packet.tcp().is_some_and(|tcp| tcp.flags.contains(TcpFlags::RST)), "{packet}");
}

#[test]
fn ttl_shrinks_by_one_at_each_router_and_box() {
    let (mut fabric, [a, ..]) = open_star(SourceValidation::Off);
    send(&mut fabric, a, Segment { ttl: 2, ..Segment::syn(A, B) }, ms(0.0));
    let out = run(&mut fabric, ms(100.0));
    let bytes = out[0].packet.as_slice();
    Packet::verify_checksums(bytes).unwrap();
    assert_eq!(Packet::parse(bytes).unwrap().ip.ttl, Ttl(1));
}

#[test]
fn a_hop_limit_of_ipv6_is_answered_by_icmpv6() {
    let [v6_a, v6_b] = ["[2001:db8:a::1]:4000", "[2001:db8:b::1]:5000"];
    let core_address: IpAddr = "2001:db8::fe".parse().unwrap();
    let arms =
        [("a", v6_a), ("b", v6_b)].map(|(name, host)| Arm::new(name, &[address(host)], HALF_LEG));
    let mut spec = core(SourceValidation::Off);
    spec.addresses.push(core_address);
    let star = Star::new(spec, arms).unwrap();
    let mut fabric = Fabric::new(star.graph, Entropy::new([1; 32]), Timestamp::ZERO);
    send(&mut fabric, star.ports[0], Segment { ttl: 1, ..Segment::syn(v6_a, v6_b) }, ms(0.0));
    let out = run(&mut fabric, ms(100.0));
    assert_eq!(time_exceeded(&out[0]), (core_address, endpoint(v6_a), endpoint(v6_b)));
}

#[test]
fn a_router_without_an_address_of_the_family_expires_in_silence() {
    let arms = [("a", A), ("b", B)].map(|(name, host)| Arm::new(name, &[address(host)], HALF_LEG));
    let star = Star::new(RouterSpec::default(), arms).unwrap();
    let mut fabric = Fabric::new(star.graph, Entropy::new([1; 32]), Timestamp::ZERO);
    send(&mut fabric, star.ports[0], Segment { ttl: 1, ..Segment::syn(A, B) }, ms(0.0));
    assert!(run(&mut fabric, ms(100.0)).is_empty());
    assert_eq!(drops(&mut fabric), [DropReason::TtlExceeded]);
}
