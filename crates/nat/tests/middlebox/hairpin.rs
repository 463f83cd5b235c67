//! Two hosts behind one box.

use std::net::SocketAddr;

use simopen_nat::{DropReason, Hairpin, MiddleboxSpec, Side, TcpTracking, UnsolicitedSyn, Verdict};
use simopen_packet::Packet;

use crate::exchange::{
    ACK, Exchange, Passed, RST_ACK, SYN, SYN_ACK, Segment, at, echo, ends_of_datagram, udp,
};

/// Hosts 2 and 3 behind one box, both known outside as port 4002 and 4003.
struct Neighbours {
    exchange: Exchange,
    insides: [SocketAddr; 2],
    externals: [SocketAddr; 2],
}

impl Neighbours {
    fn new(spec: MiddleboxSpec) -> Self {
        let mut exchange = Exchange::new(spec);
        let insides = [at("10.0.0.2:4002"), at("10.0.0.3:4003")];
        let externals = insides.map(|inside| {
            exchange.outbound(Segment::new(inside, at("198.51.100.1:443"), SYN)).source()
        });
        Self { exchange, insides, externals }
    }

    /// What host `from` sends to the outside endpoint of the other.
    fn send(
        &mut self,
        from: usize,
        flags: simopen_packet::TcpFlags,
        numbers: (u32, u32),
    ) -> Passed {
        let (source, destination) = (self.insides[from], self.externals[1 - from]);
        let segment = Segment::new(source, destination, flags).numbered(numbers.0, numbers.1);
        self.exchange.outbound(segment)
    }
}

fn assert_turned(passed: &Passed, source: SocketAddr, destination: SocketAddr) {
    assert_eq!(passed.verdict, Verdict::Hairpin);
    Packet::verify_checksums(&passed.bytes).unwrap();
    assert_eq!(passed.endpoints(), (source, destination));
}

/// What the receiver of a SYN acknowledges.
fn after(syn: &Passed) -> u32 {
    Packet::parse(&syn.bytes).unwrap().tcp().unwrap().sequence.0.wrapping_add(1)
}

#[test]
fn hosts_behind_one_box_connect_by_its_outside_endpoints() {
    for spec in [
        MiddleboxSpec::rfc5382_compliant(),
        MiddleboxSpec::rfc7857_compliant(),
        MiddleboxSpec::isn_modulating_pf()
            .with_mapping(simopen_nat::Mapping::EndpointIndependent)
            .with_filtering(simopen_nat::Filtering::EndpointIndependent)
            .with_hairpin(Hairpin::ExternalSource),
    ] {
        let mut pair = Neighbours::new(spec);
        let ([first, second], [first_outside, second_outside]) = (pair.insides, pair.externals);
        let acknowledged =
            |passed: &Passed| Packet::parse(&passed.bytes).unwrap().tcp().unwrap().acknowledgment.0;

        let syn = pair.send(0, SYN, (100, 0));
        assert_turned(&syn, first_outside, second);
        let answer = pair.send(1, SYN_ACK, (900, after(&syn)));
        assert_turned(&answer, second_outside, first);
        assert_eq!(acknowledged(&answer), 101);
        let last = pair.send(0, ACK, (101, after(&answer)));
        assert_turned(&last, first_outside, second);
        assert_eq!(acknowledged(&last), 901);
    }
}

#[test]
fn the_dropped_first_of_two_crossing_syns_has_opened_the_way_for_the_second() {
    for spec in [
        MiddleboxSpec::ei_mapping_apd_filtering(),
        MiddleboxSpec::ei_mapping_apd_filtering().with_tracking(TcpTracking::None),
        MiddleboxSpec::linux_masquerade_drop_input(),
        MiddleboxSpec::isn_randomizing_asa(),
    ] {
        let spec = spec.with_hairpin(Hairpin::ExternalSource);
        let mut pair = Neighbours::new(spec);
        let ([first, second], [first_outside, second_outside]) = (pair.insides, pair.externals);

        let dropped = pair.send(0, SYN, (100, 0));

        assert!(matches!(dropped.verdict, Verdict::Drop(_)), "{spec:?}");
        let syn = pair.send(1, SYN, (900, 0));
        assert_turned(&syn, second_outside, first);
        let answer = pair.send(0, SYN_ACK, (100, after(&syn)));
        assert_turned(&answer, first_outside, second);
        let last = pair.send(1, ACK, (901, after(&answer)));
        assert_turned(&last, second_outside, first);
        assert_turned(&pair.send(0, ACK, (101, after(&syn))), first_outside, second);
    }
}

#[test]
fn an_internal_source_is_what_the_other_host_sees_where_the_specification_says_so() {
    let spec = MiddleboxSpec::rfc5382_compliant().with_hairpin(Hairpin::InternalSource);
    let mut pair = Neighbours::new(spec);
    let (first, second) = (pair.insides[0], pair.insides[1]);
    let syn = pair.send(0, SYN, (100, 0));
    assert_turned(&syn, first, second);
}

#[test]
fn without_hairpinning_the_box_itself_is_met() {
    let spec = MiddleboxSpec::rfc5382_compliant().with_hairpin(Hairpin::Off);
    for (unsolicited, answers) in [(UnsolicitedSyn::Dropped, 0), (UnsolicitedSyn::Reset, 1)] {
        let mut pair = Neighbours::new(spec.with_unsolicited(unsolicited));
        let before = pair.exchange.middlebox.session_count();
        pair.send(0, SYN, (100, 0)).assert_dropped(DropReason::Hairpin);
        let heard = pair.exchange.answers();
        assert_eq!(heard.len(), answers);
        assert!(heard.iter().all(|(side, _)| *side == Side::Inside));
        assert_eq!(pair.exchange.middlebox.session_count(), before);
    }
}

#[test]
fn what_the_box_answers_to_a_neighbour_comes_back_inside() {
    let spec = MiddleboxSpec::ei_mapping_apd_filtering()
        .with_hairpin(Hairpin::ExternalSource)
        .with_unsolicited(UnsolicitedSyn::Reset);
    let mut pair = Neighbours::new(spec);

    pair.send(0, SYN, (100, 0)).assert_dropped(DropReason::FilteredByEndpoint);

    let heard = pair.exchange.answers();
    assert_eq!(heard.len(), 1);
    let (side, bytes) = &heard[0];
    let packet = Packet::parse(bytes).unwrap();
    assert_eq!(*side, Side::Inside);
    assert_eq!(packet.destination_endpoint(), Some(pair.insides[0]));
    assert_eq!(packet.tcp().unwrap().flags, RST_ACK);
}

#[test]
fn datagrams_turn_as_well_and_echo_requests_do_not() {
    let mut exchange = Exchange::new(MiddleboxSpec::rfc5382_compliant());
    let (first, second) = (at("10.0.0.2:4002"), at("10.0.0.3:4003"));
    let stranger = at("198.51.100.1:53");
    let outside = ends_of_datagram(&exchange.pass(Side::Inside, udp(second, stranger)).bytes).0;

    let turned = exchange.pass(Side::Inside, udp(first, outside));

    assert_eq!(turned.verdict, Verdict::Hairpin);
    assert_eq!(ends_of_datagram(&turned.bytes), (at("203.0.113.1:4002"), second));
    let ping = exchange.pass(Side::Inside, echo(8, first.ip(), outside.ip(), 7));
    ping.assert_dropped(DropReason::NoSession);
}
