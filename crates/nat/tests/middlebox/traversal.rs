//! What the techniques of connection establishment meet at a box.

use std::time::Duration;

use simopen_nat::{
    DropReason, InboundBareSyn, MiddleboxSpec, Side, TcpTracking, UnsolicitedSyn, Verdict,
};
use simopen_packet::Packet;

use crate::exchange::{ACK, Connection, Exchange, RST, RST_ACK, SYN, SYN_ACK, at};

fn syn_dropping() -> MiddleboxSpec {
    MiddleboxSpec::ei_mapping_apd_filtering().with_inbound_bare_syn(InboundBareSyn::Dropped)
}

#[test]
fn a_simultaneous_open_passes_where_bare_syns_are_admitted() {
    for spec in [
        MiddleboxSpec::ei_mapping_apd_filtering(),
        MiddleboxSpec::linux_masquerade_drop_input(),
        MiddleboxSpec::rfc5382_compliant(),
    ] {
        let link = Connection::kept();
        let mut exchange = Exchange::new(spec);

        exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
        exchange.inbound(link.back(SYN, 900, 0)).assert_forwarded();
        exchange.outbound(link.out(SYN_ACK, 100, 901)).assert_forwarded();
        exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_forwarded();
        exchange.outbound(link.out(ACK, 101, 901).payload(5)).assert_forwarded();
        exchange.inbound(link.back(ACK, 901, 106).payload(5)).assert_forwarded();
    }
}

#[test]
fn a_simultaneous_open_dies_in_silence_where_bare_syns_are_dropped() {
    let link = Connection::kept();
    let mut exchange = Exchange::new(syn_dropping().with_unsolicited(UnsolicitedSyn::Reset));
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();

    let inbound = exchange.inbound(link.back(SYN, 900, 0));

    inbound.assert_dropped(DropReason::BareSynDropped);
    exchange.assert_silent();
}

#[test]
fn a_forged_syn_ack_opens_a_box_that_drops_bare_syns() {
    let link = Connection::kept();
    let mut exchange = Exchange::new(syn_dropping());

    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::BareSynDropped);
    exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_forwarded();
    exchange.outbound(link.out(ACK, 101, 901).payload(100)).assert_forwarded();
    exchange.inbound(link.back(ACK, 901, 201).payload(100)).assert_forwarded();
}

#[test]
fn a_real_syn_that_follows_the_forged_syn_ack_is_answered_by_an_rst_box() {
    // K41: the entry has left SYN-SENT, so the SYN is the router's own business.
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_open_input());
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_forwarded();

    let late = exchange.inbound(link.back(SYN, 900, 0));

    late.assert_dropped(DropReason::InvalidInState);
    let answers = exchange.answers();
    let reset = Packet::parse(&answers[0].1).unwrap();
    let segment = reset.tcp().unwrap();
    assert_eq!((segment.sequence.0, segment.acknowledgment.0), (0, 901));
}

#[test]
fn a_syn_ack_before_its_syn_is_lost_on_a_silent_box() {
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());

    exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_dropped(DropReason::SynAckWithoutSyn);

    exchange.assert_silent();
    assert!(exchange.middlebox.is_idle());
}

#[test]
fn a_syn_ack_before_its_syn_draws_an_exact_rst_from_an_rst_box() {
    // The forged SYN-ACK carries the other side's endpoint: there the RST goes (K19).
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_open_input());

    exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_dropped(DropReason::SynAckWithoutSyn);

    let answers = exchange.answers();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0, Side::Outside);
    let reset = Packet::parse(&answers[0].1).unwrap();
    assert_eq!(reset.destination_endpoint(), Some(link.remote));
    assert_eq!(reset.source_endpoint(), Some(link.external));
    let segment = reset.tcp().unwrap();
    assert_eq!((segment.flags, segment.sequence.0), (RST, 101));
}

#[test]
fn an_ack_without_a_session_draws_an_exact_rst_from_an_rst_box() {
    // K17: data that arrives before the own SYN has left.
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_open_input());

    exchange.inbound(link.back(ACK, 901, 101).payload(10)).assert_dropped(DropReason::NoMapping);

    let answers = exchange.answers();
    let reset = Packet::parse(&answers[0].1).unwrap();
    assert_eq!(reset.tcp().unwrap().sequence.0, 101);
}

#[test]
fn an_rst_is_never_answered() {
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_open_input());

    exchange.inbound(link.back(RST, 901, 0)).assert_dropped(DropReason::NoMapping);

    exchange.assert_silent();
}

#[test]
fn an_rst_as_the_only_reply_deletes_the_entry_at_once() {
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();

    exchange.inbound(link.back(RST_ACK, 0, 101)).assert_forwarded();

    assert!(exchange.middlebox.is_idle());
}

#[test]
fn the_own_syn_ack_is_invalid_while_only_the_own_syn_was_seen() {
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();

    let own = exchange.outbound(link.out(SYN_ACK, 100, 901));

    assert_eq!(own.verdict, Verdict::Untranslated);
    assert_eq!(own.endpoints().0, link.inside);
}

#[test]
fn an_early_ack_passes_and_its_receiver_stays_mute() {
    // K18: the box lets the data in, but what answers it is invalid and leaves untranslated.
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();

    exchange.inbound(link.back(ACK, 901, 101).payload(10)).assert_forwarded();
    assert_eq!(exchange.outbound(link.out(ACK, 101, 911)).verdict, Verdict::Untranslated);

    // The SYN-ACK comes late: bytes that the box never counted are still acknowledged in vain,
    // until they are sent again.
    exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_forwarded();
    assert_eq!(exchange.outbound(link.out(ACK, 101, 911)).verdict, Verdict::Untranslated);
    exchange.inbound(link.back(ACK, 901, 101).payload(10)).assert_forwarded();
    exchange.outbound(link.out(ACK, 101, 911)).assert_forwarded();
}

#[test]
fn another_initial_number_is_invalid_once_the_other_syn_has_passed() {
    // The punch of `punch-and-listen` and the listener's SYN-ACK have different numbers.
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    exchange.inbound(link.back(SYN, 900, 0)).assert_forwarded();

    let listener = exchange.outbound(link.out(SYN_ACK, 70_000, 901));
    let second_try = exchange.outbound(link.out(SYN, 80_000, 0));

    assert_eq!(listener.verdict, Verdict::Untranslated);
    assert_eq!(second_try.verdict, Verdict::Untranslated);
}

#[test]
fn liberal_tracking_lets_another_initial_number_pass() {
    let link = Connection::kept();
    let spec = MiddleboxSpec::linux_masquerade_drop_input().with_tracking(TcpTracking::Liberal);
    let mut exchange = Exchange::new(spec);
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    exchange.inbound(link.back(SYN, 900, 0)).assert_forwarded();

    exchange.outbound(link.out(SYN_ACK, 70_000, 901)).assert_forwarded();
    exchange.inbound(link.back(ACK, 901, 70_001)).assert_forwarded();
}

#[test]
fn a_retry_after_an_rst_may_use_another_initial_number() {
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    exchange.inbound(link.back(RST_ACK, 0, 101)).assert_forwarded();

    exchange.outbound(link.out(SYN, 70_000, 0)).assert_forwarded();
    exchange.inbound(link.back(SYN_ACK, 900, 70_001)).assert_forwarded();
}

#[test]
fn after_an_rst_an_established_entry_lasts_ten_seconds_and_traffic_renews_them() {
    // K21: a shielded socket goes on for as long as it speaks.
    let link = Connection::kept();
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    link.establish(&mut exchange);
    exchange.inbound(link.back(RST, 901, 0)).assert_forwarded();

    exchange.advance(Duration::from_secs(9));
    exchange.outbound(link.out(ACK, 101, 901).payload(1)).assert_forwarded();
    exchange.advance(Duration::from_secs(9));
    exchange.inbound(link.back(ACK, 901, 102)).assert_forwarded();
    exchange.advance(Duration::from_secs(11));

    assert!(exchange.middlebox.is_idle());
}

#[test]
fn a_sweep_finds_the_port_of_a_random_mapping() {
    // A SYN-ACK passes on the one port that the swept side's SYN has opened.
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_fully_random());
    let link = Connection::kept();
    let opened = exchange.outbound(link.out(SYN, 100, 0)).source();

    let hits: Vec<u16> = (1024..=u16::MAX)
        .filter(|port| {
            let external = at(&format!("203.0.113.1:{port}"));
            let swept = Connection { external, ..Connection::kept() };
            let passed = exchange.inbound(swept.back(SYN_ACK, 900, 101));
            passed.verdict == Verdict::Forward
        })
        .collect();

    assert_eq!(hits, [opened.port()]);
}
