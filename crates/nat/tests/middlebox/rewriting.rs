//! Sequence numbers, timestamps and options on their way through a box that changes them.

use proptest::prelude::*;
use simopen_nat::{
    IsnRewriting, MiddleboxSpec, OptionRewriting, Rewriting, Side, SynProxy, TimestampRewriting,
    Verdict,
};
use simopen_packet::{IcmpError, Packet, SynOptions, Timestamps, Transport, error_quoting};

use crate::axes::{AXES, turned};
use crate::exchange::{ACK, Connection, Exchange, Passed, RST, SYN, SYN_ACK, at};

/// MSS 1460, SACK permitted, timestamps 9 and 7, an unknown option, window scale 8.
const ALL: &[u8] = &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7, 200, 3, 5, 3, 3, 8, 1, 0];

/// Sequence and acknowledgement number of a packet.
fn numbers(bytes: &[u8]) -> (u32, u32) {
    let packet = Packet::parse(bytes).unwrap();
    let tcp = packet.tcp().unwrap();
    (tcp.sequence.0, tcp.acknowledgment.0)
}

fn options(passed: &Passed) -> SynOptions {
    passed.assert_forwarded();
    SynOptions::parse(Packet::parse(&passed.bytes).unwrap().tcp().unwrap().options).unwrap()
}

fn spec(rewriting: Rewriting) -> MiddleboxSpec {
    MiddleboxSpec::ei_mapping_apd_filtering().with_rewriting(rewriting)
}

/// Opens a connection from 100 and 900, each side answering what it sees, and gives back what the
/// remote side saw of 100 and the inside of 900.
fn opened(exchange: &mut Exchange, link: &Connection) -> (u32, u32) {
    let syn = exchange.outbound(link.out(SYN, 100, 0));
    let seen_outside = numbers(&syn.bytes).0;
    let answer = exchange.inbound(link.back(SYN_ACK, 900, seen_outside.wrapping_add(1)));
    answer.assert_forwarded();
    let (seen_inside, acknowledged) = numbers(&answer.bytes);
    assert_eq!(acknowledged, 101);
    let last = exchange.outbound(link.out(ACK, 101, seen_inside.wrapping_add(1)));
    last.assert_forwarded();
    assert_eq!(numbers(&last.bytes).1, 901);
    (seen_outside, seen_inside)
}

#[test]
fn a_modulating_box_shifts_both_sides_and_takes_the_shift_off_their_acknowledgements() {
    for (spec, is_shifted) in [
        (
            MiddleboxSpec::isn_modulating_pf()
                .with_port_allocation(simopen_nat::PortAllocation::Preserve),
            true,
        ),
        (MiddleboxSpec::isn_randomizing_asa(), true),
        (MiddleboxSpec::ei_mapping_apd_filtering(), false),
    ] {
        let seen = opened(&mut Exchange::new(spec), &Connection::kept());
        assert_eq!((seen.0 != 100, seen.1 != 900), (is_shifted, is_shifted));
    }
}

#[test]
fn sack_blocks_are_repaired_or_broken_as_the_specification_says() {
    // One block from 950 to 960 of the remote side's numbers, as the inside host sees them.
    let block = |shift: u32| {
        let edges = [950_u32, 960].map(|edge| edge.wrapping_add(shift).to_be_bytes());
        let option = [&[1, 1, 5, 10][..], &edges.concat()].concat();
        &*Box::leak(option.into_boxed_slice())
    };
    for (isn, is_repaired) in
        [(IsnRewriting::ModulatedSackRepaired, true), (IsnRewriting::ModulatedSackBroken, false)]
    {
        let mut exchange = Exchange::new(spec(Rewriting { isn, ..Rewriting::NONE }));
        let link = Connection::kept();
        let (seen_outside, seen_inside) = opened(&mut exchange, &link);
        let shift = seen_inside.wrapping_sub(900);
        let data = link.back(ACK, 950, seen_outside.wrapping_add(1)).payload(10);
        exchange.inbound(data).assert_forwarded();

        let selective = link.out(ACK, 101, seen_inside.wrapping_add(1)).options(block(shift));
        let passed = exchange.outbound(selective);

        passed.assert_forwarded();
        let packet = Packet::parse(&passed.bytes).unwrap();
        let expected = if is_repaired { block(0) } else { block(shift) };
        assert_eq!(packet.tcp().unwrap().options, expected);
    }
}

#[test]
fn an_icmp_error_quotes_the_number_that_its_receiver_has_sent() {
    let mut exchange = Exchange::new(MiddleboxSpec::isn_randomizing_asa());
    let syn = exchange.outbound(Connection::kept().out(SYN, 100, 0));
    let mut error = vec![0; 1280];
    let from = "192.0.2.1".parse().unwrap();
    let length = error_quoting(IcmpError::TimeExceeded, from, &syn.bytes, &mut error).unwrap();
    error.truncate(length);

    let passed = exchange.pass(Side::Outside, error);

    passed.assert_forwarded();
    let packet = Packet::parse(&passed.bytes).unwrap();
    let Transport::Icmp(message) = packet.transport else { panic!("no ICMP: {packet}") };
    assert_eq!(message.quoted.unwrap().sequence.unwrap().0, 100);
}

#[test]
fn a_connection_that_is_picked_up_keeps_its_numbers() {
    let isn = IsnRewriting::ModulatedSackRepaired;
    let mut exchange = Exchange::new(spec(Rewriting { isn, ..Rewriting::NONE }));
    let passed = exchange.outbound(Connection::kept().out(ACK, 5000, 9000).payload(10));
    assert_eq!(numbers(&passed.bytes), (5000, 9000));
}

#[test]
fn rewritten_timestamps_come_back_as_they_were_sent() {
    let timestamps = TimestampRewriting::Rewritten;
    let mut exchange = Exchange::new(spec(Rewriting { timestamps, ..Rewriting::NONE }));
    let link = Connection::kept();
    let syn = exchange.outbound(link.out(SYN, 100, 0).options(ALL));
    let Some(Timestamps { value, echo }) = options(&syn).timestamps else { panic!("stripped") };
    assert_ne!(value, 9);
    assert_eq!(echo, 7, "there is nothing to echo yet");

    let [a, b, c, d] = value.to_be_bytes();
    let echoing = Box::leak(Box::new([8, 10, 0, 0, 0, 33, a, b, c, d, 1, 0]));
    let answer = exchange.inbound(link.back(SYN_ACK, 900, 101).options(echoing));

    assert_eq!(options(&answer).timestamps.unwrap().echo, 9);
}

#[test]
fn options_are_stripped_and_the_mss_is_lowered_as_the_specification_says() {
    let through = |rewriting| {
        let mut exchange = Exchange::new(spec(rewriting));
        let passed = exchange.outbound(Connection::kept().out(SYN, 100, 0).options(ALL));
        let left = options(&passed);
        let bytes = Packet::parse(&passed.bytes).unwrap().tcp().unwrap().options;
        (left.mss, left.window_scale, left.timestamps.is_some(), bytes.contains(&200))
    };
    let none = Rewriting::NONE;
    assert_eq!(through(none), (Some(1460), Some(8), true, true));
    let timestamps = TimestampRewriting::Stripped;
    assert_eq!(through(Rewriting { timestamps, ..none }), (Some(1460), Some(8), false, true));
    let options = OptionRewriting::UnknownStripped;
    assert_eq!(through(Rewriting { options, ..none }), (Some(1460), Some(8), true, false));
    let options = OptionRewriting::AllButMssStripped;
    assert_eq!(through(Rewriting { options, ..none }), (Some(1460), None, false, false));
    assert_eq!(through(Rewriting { mss: Some(1380), ..none }).0, Some(1380));
    assert_eq!(through(Rewriting { mss: Some(9000), ..none }).0, Some(1460));
}

#[test]
fn a_syn_proxy_answers_the_inside_host_and_dials_only_then() {
    let rewriting = Rewriting { syn_proxy: SynProxy::On, ..Rewriting::NONE };
    let mut exchange = Exchange::new(spec(rewriting));
    let link = Connection::kept();
    let dropped = Verdict::Drop(simopen_nat::DropReason::SynProxied);

    assert_eq!(exchange.outbound(link.out(SYN, 100, 0)).verdict, dropped);
    let heard = exchange.answers();
    assert_eq!((heard.len(), heard[0].0), (1, Side::Inside));
    let (own_isn, acknowledged) = numbers(&heard[0].1);
    assert_eq!(acknowledged, 101);

    let completing = link.out(ACK, 101, own_isn.wrapping_add(1));
    assert_eq!(exchange.outbound(completing).verdict, dropped);
    let dialled = exchange.answers();
    let packet = Packet::parse(&dialled[0].1).unwrap();
    assert_eq!((dialled[0].0, packet.tcp().unwrap().flags), (Side::Outside, SYN));
    assert_eq!(packet.source_endpoint(), Some(link.external));

    assert_eq!(exchange.inbound(link.back(SYN_ACK, 900, 101)).verdict, dropped);
    let joined: Vec<_> =
        exchange.answers().iter().map(|(side, bytes)| (*side, numbers(bytes))).collect();
    let own_next = own_isn.wrapping_add(1);
    assert_eq!(joined, [(Side::Outside, (101, 901)), (Side::Inside, (own_next, 101))]);

    let data = exchange.inbound(link.back(ACK, 901, 101).payload(9));
    data.assert_forwarded();
    assert_eq!(numbers(&data.bytes).0, own_next);
    let reply = exchange.outbound(link.out(ACK, 101, own_next.wrapping_add(9)).payload(3));
    reply.assert_forwarded();
    assert_eq!(numbers(&reply.bytes), (101, 910));
}

#[test]
fn a_syn_proxy_passes_the_refusal_of_the_remote_host_and_forgets_who_never_answered() {
    let rewriting = Rewriting { syn_proxy: SynProxy::On, ..Rewriting::NONE };
    let mut exchange = Exchange::new(spec(rewriting));
    let link = Connection::kept();
    exchange.outbound(link.out(SYN, 100, 0));
    let own_isn = numbers(&exchange.answers()[0].1).0;
    exchange.outbound(link.out(ACK, 101, own_isn.wrapping_add(1)));
    exchange.answers();

    let refusal = exchange.inbound(link.back(crate::exchange::RST_ACK, 0, 101));

    refusal.assert_forwarded();
    assert_eq!(numbers(&refusal.bytes).0, own_isn.wrapping_add(1));
    exchange.outbound(Connection { inside: at("10.0.0.3:1"), ..link }.out(SYN, 1, 0));
    exchange.outbound(Connection::kept().out(RST, 1, 0));
    exchange.advance(std::time::Duration::from_secs(500));
    exchange.answers();
    assert!(exchange.middlebox.is_idle());
}

proptest! {
    /// Each side numbers as it likes and acknowledges what it sees: whatever the box rewrites, all
    /// of it fits together on both sides.
    #[test]
    fn translation_is_inverse_both_ways(axes in any::<[u8; AXES]>(), isns in any::<[u32; 2]>()) {
        let plain = turned(MiddleboxSpec::ei_mapping_apd_filtering(), axes);
        let rewriting = Rewriting { syn_proxy: SynProxy::Off, ..plain.rewriting };
        let spec = plain.with_rewriting(rewriting).with_egress(Default::default());
        let spec = spec.with_limits(Default::default()).with_idle_killer(None);
        let mut exchange = Exchange::new(spec);
        let (inside, remote) = (at("10.0.0.2:4000"), at("198.51.100.9:5000"));
        let link = Connection { inside, external: inside, remote };
        let syn = exchange.outbound(link.out(SYN, isns[0], 0).options(ALL));
        let link = Connection { external: syn.source(), ..link };
        let outside = numbers(&syn.bytes).0;
        let answer = exchange.inbound(link.back(SYN_ACK, isns[1], outside.wrapping_add(1)).options(ALL));
        answer.assert_forwarded();
        prop_assert_eq!(answer.endpoints(), (remote, inside));
        prop_assert_eq!(numbers(&answer.bytes).1, isns[0].wrapping_add(1));
        let seen = numbers(&answer.bytes).0;
        let mut sent = [1_u32, 1];
        for (is_inside, length) in [(true, 0), (true, 7), (false, 9), (false, 0), (true, 3)] {
            let [own, other] = sent;
            let passed = if is_inside {
                let data = link.out(ACK, isns[0].wrapping_add(own), seen.wrapping_add(other));
                sent[0] += length as u32;
                exchange.outbound(data.payload(length))
            } else {
                let data = link.back(ACK, isns[1].wrapping_add(other), outside.wrapping_add(own));
                sent[1] += length as u32;
                exchange.inbound(data.payload(length))
            };
            passed.assert_forwarded();
            let expected = if is_inside {
                (outside.wrapping_add(own), isns[1].wrapping_add(other))
            } else {
                (seen.wrapping_add(other), isns[0].wrapping_add(own))
            };
            prop_assert_eq!(numbers(&passed.bytes), expected);
        }
    }
}
