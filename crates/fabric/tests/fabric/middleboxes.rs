//! Boxes inside the fabric: translation, timers, answers, and what the journal proves.

use simopen_fabric::{Origin, PacketKind};
use simopen_nat::{EndCause, InboundBareSyn, JournalEvent, UnsolicitedSyn};
use simopen_packet::Packet;

use super::*;

/// EI mapping, APD filtering, silent, and no bare SYN comes in.
fn closed() -> MiddleboxSpec {
    MiddleboxSpec::ei_mapping_apd_filtering()
        .with_unsolicited(UnsolicitedSyn::Dropped)
        .with_inbound_bare_syn(InboundBareSyn::Dropped)
}

/// Both hosts dial, `c` forges both answers: what comes out at whichever port.
fn forged_open(fabric: &mut Fabric, [a, b, c]: [PortId; 3]) -> Vec<Delivery> {
    send(fabric, a, Segment { sequence: 100, ..Segment::syn(A_INSIDE, B) }, ms(0.0));
    send(fabric, b, Segment { sequence: 200, ..Segment::syn(B_INSIDE, A) }, ms(1.0));
    let mut out = run(fabric, ms(30.0));
    let syn_ack = |source, destination, sequence, acknowledgment| Segment {
        sequence,
        acknowledgment,
        ..Segment::new(source, destination, TcpFlags::SYN | TcpFlags::ACK)
    };
    send(fabric, c, syn_ack(B, A, 200, 101), ms(30.0));
    send(fabric, c, syn_ack(A, B, 100, 201), ms(30.0));
    out.append(&mut run(fabric, ms(60.0)));
    out
}

#[test]
fn forged_syn_acks_from_c_are_all_that_comes_in_and_the_journal_proves_it() {
    let (mut fabric, star) = natted_star(SourceValidation::Off, closed());
    let [a, b, c] = star.ports;
    let out = forged_open(&mut fabric, star.ports);
    let arrived: Vec<_> = out.iter().map(|out| (out.port, out.entered_at, out.due)).collect();
    assert_eq!(arrived, [(a, Origin::Port(c), ms(40.1)), (b, Origin::Port(c), ms(40.1))]);
    for port in [a, b] {
        assert_eq!(fabric.delivered(port, PacketKind::BareSyn), 0);
        assert_eq!(fabric.delivered(port, PacketKind::SynAck), 1);
        assert_eq!(fabric.delivered_from(port, PacketKind::SynAck, Origin::Port(c)), 1);
    }
    let refused = drops(&mut fabric);
    assert_eq!(refused, [DropReason::Middlebox(simopen_nat::DropReason::BareSynDropped); 2]);
}

#[test]
fn a_forged_syn_ack_arrives_translated_to_the_inside_with_its_checksums_right() {
    let (mut fabric, star) = natted_star(SourceValidation::Off, closed());
    let out = forged_open(&mut fabric, star.ports);
    let bytes = out[0].packet.as_slice();
    Packet::verify_checksums(bytes).unwrap();
    let packet = Packet::parse(bytes).unwrap();
    assert_eq!(packet.destination_endpoint(), Some(endpoint(A_INSIDE)));
    assert_eq!(packet.source_endpoint(), Some(endpoint(B)));
    assert_eq!(packet.ip.ttl, Ttl(62), "the core and the box took one each");
}

#[test]
fn source_validation_at_the_core_stops_the_forged_syn_acks() {
    let (mut fabric, star) = natted_star(SourceValidation::Strict, closed());
    assert!(forged_open(&mut fabric, star.ports).is_empty());
    assert_eq!(fabric.stats().source_invalid, 2);
}

#[test]
fn what_follows_a_forged_open_goes_straight_from_host_to_host() {
    let (mut fabric, star) = natted_star(SourceValidation::Off, closed());
    let [a, b, c] = star.ports;
    forged_open(&mut fabric, star.ports);
    fabric.set_port_enabled(c, false);
    let mut data = Segment { sequence: 101, acknowledgment: 201, ..Segment::data(A_INSIDE, B) };
    send(&mut fabric, a, data, ms(100.0));
    data = Segment { sequence: 201, acknowledgment: 101, ..Segment::data(B_INSIDE, A) };
    send(&mut fabric, b, data, ms(100.0));
    let arrived: Vec<_> =
        run(&mut fabric, ms(200.0)).iter().map(|out| (out.port, out.due)).collect();
    assert_eq!(arrived, [(a, ms(110.2)), (b, ms(110.2))]);
}

#[test]
fn a_box_answers_an_unsolicited_syn_by_itself_at_the_packets_own_time() {
    let spec = closed().with_unsolicited(UnsolicitedSyn::Reset);
    let (mut fabric, star) = natted_star(SourceValidation::Strict, spec);
    let [_, _, c] = star.ports;
    send(&mut fabric, c, Segment::syn(C, A), ms(0.0));
    fabric.handle_timeout(ms(999.0));
    let out = drain(&mut fabric);
    let origin = Origin::Node(star.boxes[0].unwrap());
    let arrived: Vec<_> = out.iter().map(|out| (out.port, out.entered_at, out.due)).collect();
    assert_eq!(arrived, [(c, origin, ms(20.0))]);
    assert_eq!(fabric.delivered_from(c, PacketKind::Rst, origin), 1);
}

#[test]
fn a_session_ends_at_its_own_time_however_late_the_world_is() {
    let (mut fabric, star) = natted_star(SourceValidation::Off, closed());
    send(&mut fabric, star.ports[0], Segment::syn(A_INSIDE, B), ms(0.0));
    let lived = closed().timers.syn_sent;
    fabric.handle_timeout(ms(0.1) + lived * 3);
    let ended = events(&mut fabric).into_iter().find_map(|event| {
        let Happening::Middlebox(entry) = event.what else { return None };
        let expired = matches!(entry.event, JournalEvent::Ended { cause: EndCause::Expired, .. });
        expired.then_some((event.at, entry.at))
    });
    let (at, told) = ended.expect("the session has ended");
    assert_eq!(at, told);
    assert!(at >= ms(0.1) + lived && at - ms(0.1) < lived + Duration::from_secs(2), "{at}");
    assert!(fabric.middlebox(star.boxes[0].unwrap()).unwrap().is_idle());
}

#[test]
fn the_same_entropy_and_packets_give_the_same_journal_however_the_thread_was_scheduled() {
    let journal = |stride: u64| {
        let (mut fabric, star) = natted_star(SourceValidation::Off, closed());
        let [a, b, c] = star.ports;
        for round in 0..20u16 {
            let at = ms(f64::from(round) * 3.0);
            for (port, source, destination) in [(a, A_INSIDE, B), (b, B_INSIDE, A), (c, C, A)] {
                let mut segment = Segment::syn(source, destination);
                segment.source.set_port(4000 + round);
                send(&mut fabric, port, segment, at);
            }
        }
        let mut now = ms(60.0);
        while fabric.poll_timeout().is_some_and(|(due, _)| due < ms(500.0)) {
            now += Duration::from_micros(stride);
            fabric.handle_timeout(now);
        }
        let dues: Vec<_> = drain(&mut fabric).iter().map(|out| (out.port, out.due)).collect();
        (lines(&mut fabric), dues)
    };
    let prompt = journal(10);
    assert!(prompt.0.len() > 100);
    assert_eq!(prompt, journal(10));
    assert_eq!(prompt, journal(7_000));
}

#[test]
fn a_box_that_hairpins_sends_a_packet_back_on_the_side_that_it_came_from() {
    let (mut fabric, star) = natted_star(SourceValidation::Off, MiddleboxSpec::rfc5382_compliant());
    let a = star.ports[0];
    send(&mut fabric, a, Segment::syn(A_INSIDE, B), ms(0.0));
    send(&mut fabric, a, Segment::syn("10.0.1.2:1", A), ms(1.0));

    let out = run(&mut fabric, ms(2.0));

    let turned = Packet::parse(out[0].packet.as_slice()).unwrap();
    assert_eq!((out[0].port, out[0].due), (a, ms(1.2)));
    assert_eq!(turned.destination_endpoint(), Some(endpoint(A_INSIDE)));
    assert_eq!(turned.source_endpoint().map(|source| source.ip()), Some(endpoint(A).ip()));
}

#[test]
fn a_box_that_starts_anew_has_forgotten_its_sessions() {
    let (mut fabric, star) = natted_star(SourceValidation::Off, closed());
    let [a, b, _] = star.ports;
    forged_open(&mut fabric, star.ports);
    let node = star.boxes[0].expect("A stands behind a box");

    fabric.reboot(node, ms(80.0));

    assert!(fabric.middlebox(node).is_some_and(Middlebox::is_idle));
    let data = Segment { sequence: 201, acknowledgment: 101, ..Segment::data(B_INSIDE, A) };
    send(&mut fabric, b, data, ms(100.0));
    assert!(run(&mut fabric, ms(200.0)).iter().all(|out| out.port != a));
}
