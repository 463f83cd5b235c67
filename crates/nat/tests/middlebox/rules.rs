//! What a box forbids, ends, limits or forgets.

use std::time::Duration;

use simopen_nat::{
    DropReason, Egress, EndCause, IcmpErrors, IdleKill, IdleKiller, InvalidOutbound, JournalEvent,
    Limits, MiddleboxSpec, Refresh, Side, TcpTracking, WhenFull,
};
use simopen_packet::{IcmpError, Packet, error_quoting};

use crate::exchange::{
    ACK, Connection, Exchange, FIN_ACK, RST, SYN, SYN_ACK, Segment, at, echo, udp,
};

#[test]
fn a_box_that_denies_egress_lets_out_the_listed_ports_only() {
    let mut exchange = Exchange::new(MiddleboxSpec::egress_http_proxy_only());
    let to =
        |port: u16| Segment::new(at("192.0.2.2:4000"), at(&format!("198.51.100.9:{port}")), SYN);
    for port in [80, 443, 3128, 8080] {
        exchange.outbound(to(port)).assert_forwarded();
    }
    for port in [5000, 0] {
        exchange.outbound(to(port)).assert_dropped(DropReason::EgressDenied);
    }
    let listed =
        MiddleboxSpec::linux_masquerade_drop_input().with_egress(Egress::DenyExcept([53, 0, 0, 0]));
    let mut exchange = Exchange::new(listed);
    let (inside, remote) = (at("10.0.0.2:4000"), at("198.51.100.9:53"));
    exchange.pass(Side::Inside, udp(inside, remote)).assert_forwarded();
    let ping = exchange.pass(Side::Inside, echo(8, inside.ip(), remote.ip(), 7));
    ping.assert_dropped(DropReason::EgressDenied);
}

#[test]
fn icmp_errors_are_filtered_as_the_specification_says() {
    let passes = |icmp_errors, error| {
        let spec = MiddleboxSpec::linux_masquerade_drop_input().with_icmp_errors(icmp_errors);
        let mut exchange = Exchange::new(spec);
        let syn = exchange.outbound(Connection::kept().out(SYN, 100, 0));
        let mut buffer = vec![0; 1280];
        let from = "192.0.2.1".parse().unwrap();
        let length = error_quoting(error, from, &syn.bytes, &mut buffer).unwrap();
        buffer.truncate(length);
        exchange.pass(Side::Outside, buffer);
        exchange.middlebox.stats().dropped(DropReason::IcmpFiltered) == 0
    };
    let (expired, closed) = (IcmpError::TimeExceeded, IcmpError::PortUnreachable);
    assert!(passes(IcmpErrors::Passed, expired) && passes(IcmpErrors::Passed, closed));
    assert!(!passes(IcmpErrors::TimeExceededFiltered, expired));
    assert!(passes(IcmpErrors::TimeExceededFiltered, closed));
    assert!(!passes(IcmpErrors::AllFiltered, expired) && !passes(IcmpErrors::AllFiltered, closed));
}

#[test]
fn an_untracked_connection_passes_whatever_its_numbers_and_flags() {
    let link = Connection::kept();
    let spec = MiddleboxSpec::ei_mapping_apd_filtering().with_tracking(TcpTracking::None);
    let mut exchange = Exchange::new(spec);
    exchange.inbound(link.back(SYN_ACK, 1, 1)).assert_dropped(DropReason::NoMapping);
    for segment in [link.out(SYN_ACK, 7, 7), link.out(FIN_ACK, 99_999, 5), link.out(RST, 3, 0)] {
        exchange.outbound(segment).assert_forwarded();
        exchange.inbound(link.back(ACK, 1 << 31, 4)).assert_forwarded();
    }
    assert_eq!(exchange.middlebox.session_count(), 1);
}

#[test]
fn an_invalid_segment_is_answered_by_the_router_where_the_specification_says_so() {
    let spec = MiddleboxSpec::linux_masquerade_drop_input()
        .with_invalid_outbound(InvalidOutbound::AnsweredByRouter);
    let mut exchange = Exchange::new(spec);
    let link = Connection::kept();

    exchange.outbound(link.out(SYN_ACK, 100, 901)).assert_dropped(DropReason::SynAckWithoutSyn);

    let answers = exchange.answers();
    let packet = Packet::parse(&answers[0].1).unwrap();
    assert_eq!(answers[0].0, Side::Inside);
    assert_eq!(packet.source_endpoint(), Some(link.remote));
    assert_eq!((packet.tcp().unwrap().flags, packet.tcp().unwrap().sequence.0), (RST, 901));
}

#[test]
fn an_idle_killer_resets_both_ends_or_keeps_silent() {
    for (how, expected) in [(IdleKill::Reset, 2), (IdleKill::Silence, 0)] {
        let killer = IdleKiller { after: Duration::from_secs(350), how };
        let spec = MiddleboxSpec::ei_mapping_apd_filtering().with_idle_killer(Some(killer));
        let mut exchange = Exchange::new(spec);
        let link = Connection::kept();
        link.establish(&mut exchange);
        exchange.advance(Duration::from_secs(349));
        assert_eq!(exchange.middlebox.session_count(), 1);
        exchange.advance(Duration::from_secs(1));

        assert_eq!(exchange.middlebox.session_count(), 0);
        let is_killed =
            |event| matches!(event, JournalEvent::Ended { cause: EndCause::IdleKilled, .. });
        assert!(exchange.journal().iter().any(|entry| is_killed(entry.event)));
        let mut heard: Vec<_> = exchange
            .answers()
            .iter()
            .map(|(side, bytes)| {
                let packet = Packet::parse(bytes).unwrap();
                (*side, packet.tcp().unwrap().sequence.0, packet.destination_endpoint().unwrap())
            })
            .collect();
        heard.sort();
        assert_eq!(heard.len(), expected);
        if let [inside, outside] = heard[..] {
            assert_eq!(inside, (Side::Inside, 901, link.inside));
            assert_eq!(outside, (Side::Outside, 101, link.remote));
        }
    }
}

#[test]
fn a_tcp_session_is_prolonged_by_the_named_direction_only() {
    let is_alive = |refresh| {
        let killer = IdleKiller { after: Duration::from_secs(60), how: IdleKill::Silence };
        let spec = MiddleboxSpec::ei_mapping_apd_filtering()
            .with_refresh(refresh)
            .with_idle_killer(Some(killer));
        let mut exchange = Exchange::new(spec);
        let link = Connection::kept();
        link.establish(&mut exchange);
        exchange.advance(Duration::from_secs(50));
        exchange.inbound(link.back(ACK, 901, 101)).assert_forwarded();
        exchange.advance(Duration::from_secs(50));
        exchange.middlebox.session_count() == 1
    };
    assert!(is_alive(Refresh::Both) && is_alive(Refresh::Inbound));
    assert!(!is_alive(Refresh::Outbound));
}

#[test]
fn a_full_box_refuses_or_forgets_the_oldest_of_the_same_host() {
    let second_of = |when_full| {
        let limits = Limits { per_host: Some(2), total: Some(3), when_full };
        let spec = MiddleboxSpec::linux_masquerade_drop_input().with_limits(limits);
        let mut exchange = Exchange::new(spec);
        let remote = at("198.51.100.9:5000");
        let syn = |inside: &str| Segment::new(at(inside), remote, SYN);
        exchange.outbound(syn("10.0.0.3:1")).assert_forwarded();
        exchange.outbound(syn("10.0.0.2:1")).assert_forwarded();
        exchange.pass(Side::Inside, udp(at("10.0.0.2:2"), remote)).assert_forwarded();
        let third = exchange.outbound(syn("10.0.0.2:3"));
        let ended: Vec<_> = exchange
            .journal()
            .iter()
            .filter_map(|entry| {
                let JournalEvent::Ended { session, cause, .. } = entry.event else { return None };
                (cause == EndCause::Evicted).then_some(session.inside)
            })
            .collect();
        assert_eq!(exchange.middlebox.session_count(), 3);
        (third, ended)
    };
    let (refused, ended) = second_of(WhenFull::Refused);
    refused.assert_dropped(DropReason::SessionLimit);
    assert_eq!(ended, []);
    let (opened, ended) = second_of(WhenFull::OldestEvicted);
    opened.assert_forwarded();
    assert_eq!(ended, [at("10.0.0.2:1")]);
}

#[test]
fn a_restart_loses_every_session_and_no_figure() {
    let mut exchange = Exchange::new(MiddleboxSpec::rfc5382_compliant());
    let link = Connection::kept();
    link.establish(&mut exchange);
    exchange.pass(Side::Inside, udp(link.inside, link.remote)).assert_forwarded();

    exchange.middlebox.reboot(exchange.now);

    assert!(exchange.middlebox.is_idle());
    let stats = *exchange.middlebox.stats();
    assert_eq!((stats.sessions_created, stats.sessions_ended, stats.forwarded), (2, 2, 4));
    exchange.inbound(link.back(ACK, 901, 101)).assert_dropped(DropReason::NoMapping);
    let told: Vec<String> = exchange.journal().iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|line| line.ends_with("rebooted, lost 2 sessions")));
}
