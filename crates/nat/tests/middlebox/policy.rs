//! Firewalls, answers to strangers, and what the box tells of itself.

use std::time::Duration;

use simopen_nat::{
    DropReason, Filtering, InboundBareSyn, InvalidOutbound, Mapping, MiddleboxSpec, OnReset,
    PRESETS, PortOverloading, Side, Timer, UnsolicitedSyn, Verdict,
};
use simopen_packet::{IcmpError, IcmpKind, Packet, Timestamp, Transport};

use crate::exchange::{ACK, Connection, Exchange, RST, RST_ACK, SYN, SYN_ACK, Segment, at};

#[test]
fn a_firewall_passes_both_families_unchanged_once_the_inside_has_asked() {
    let mut exchange = Exchange::new(MiddleboxSpec::silent_stateful_firewall());
    for (inside, remote) in
        [("192.0.2.2:4000", "198.51.100.9:5000"), ("[2001:db8::2]:4000", "[2001:db8:9::9]:5000")]
    {
        let (inside, remote) = (at(inside), at(remote));
        let link = Connection { inside, external: inside, remote };
        exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::NoMapping);

        let sent = link.out(SYN, 100, 0);
        let passed = exchange.outbound(sent);
        passed.assert_forwarded();
        assert_eq!(passed.bytes, sent.bytes());
        exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_forwarded();
        exchange.outbound(link.out(ACK, 101, 901)).assert_forwarded();
        exchange.inbound(link.back(ACK, 901, 101).payload(9)).assert_forwarded();
    }
}

#[test]
fn a_syn_ack_only_firewall_admits_the_syn_ack_and_not_the_syn() {
    let mut exchange = Exchange::new(MiddleboxSpec::syn_ack_only_firewall());
    let inside = at("192.0.2.2:4000");
    let link = Connection { inside, external: inside, remote: at("198.51.100.9:5000") };
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();

    exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::BareSynDropped);
    exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_forwarded();
}

#[test]
fn a_firewall_has_no_mapping_that_the_end_of_another_session_could_take_away() {
    for mapping in [Mapping::AddressDependent, Mapping::AddressAndPortDependent] {
        for overloading in [PortOverloading::Off, PortOverloading::ByRemote] {
            let spec = MiddleboxSpec::silent_stateful_firewall()
                .with_mapping(mapping)
                .with_port_overloading(overloading)
                .with_filtering(Filtering::AddressDependent)
                .with_on_reset(OnReset::Deletes);
            let mut exchange = Exchange::new(spec);
            let inside = at("192.0.2.2:4000");
            let to = |remote| Connection { inside, external: inside, remote: at(remote) };
            let (lasting, short) = (to("198.51.100.9:5000"), to("203.0.113.9:5000"));
            lasting.establish(&mut exchange);
            exchange.outbound(short.out(SYN, 100, 0)).assert_forwarded();
            exchange.inbound(short.back(RST_ACK, 0, 101)).assert_forwarded();
            assert_eq!(exchange.middlebox.session_count(), 1);

            let other_port = to("198.51.100.9:5001");

            exchange.inbound(other_port.back(SYN, 900, 0)).assert_forwarded();
        }
    }
}

#[test]
fn a_nat_over_ipv6_translates_with_valid_checksums() {
    let external = at("[2001:db8:ffff::1]:4000");
    let spec = MiddleboxSpec::ei_mapping_apd_filtering();
    let mut exchange = Exchange::with_external(spec, external.ip());
    let link =
        Connection { inside: at("[fd00::2]:4000"), external, remote: at("[2001:db8:9::9]:5000") };

    let syn = exchange.outbound(link.out(SYN, 100, 0));
    syn.assert_forwarded();
    assert_eq!(syn.source(), external);
    exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_forwarded();
}

#[test]
fn a_stranger_hears_what_the_specification_says() {
    let link = Connection::kept();
    let cases = [
        (UnsolicitedSyn::PortUnreachable, IcmpError::PortUnreachable),
        (UnsolicitedSyn::AdminProhibited, IcmpError::AdminProhibited),
    ];
    for (unsolicited, expected) in cases {
        let spec = MiddleboxSpec::ei_mapping_apd_filtering().with_unsolicited(unsolicited);
        let mut exchange = Exchange::new(spec);
        exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::NoMapping);

        let answers = exchange.answers();
        let packet = Packet::parse(&answers[0].1).unwrap();
        let Transport::Icmp(message) = packet.transport else { panic!("no ICMP: {packet}") };
        assert_eq!(message.kind, IcmpKind::Error(expected));
        assert_eq!(packet.ip.source, link.external.ip());
        assert_eq!(packet.ip.destination, link.remote.ip());
    }
}

#[test]
fn a_bare_syn_on_an_open_mapping_is_dropped_in_silence_even_by_an_rst_box() {
    let link = Connection::kept();
    let spec = MiddleboxSpec::rfc5382_compliant()
        .with_inbound_bare_syn(InboundBareSyn::Dropped)
        .with_unsolicited(UnsolicitedSyn::Reset);
    let mut exchange = Exchange::new(spec);
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();

    let stranger = Segment::new(at("192.0.2.200:6000"), link.external, SYN);
    exchange.inbound(stranger).assert_dropped(DropReason::BareSynDropped);

    exchange.assert_silent();
    assert_eq!(exchange.middlebox.session_count(), 1);
}

#[test]
fn invalid_outbound_segments_are_dropped_where_the_specification_says_so() {
    let spec = MiddleboxSpec::linux_masquerade_drop_input()
        .with_invalid_outbound(InvalidOutbound::Dropped);
    let mut exchange = Exchange::new(spec);
    let link = Connection::kept();

    let stray = exchange.outbound(link.out(SYN_ACK, 100, 901));

    stray.assert_dropped(DropReason::SynAckWithoutSyn);
}

#[test]
fn a_hairpin_and_a_foreign_destination_go_no_further() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_open_input());
    let inside = at("10.0.0.2:4000");

    let hairpin = exchange.outbound(Segment::new(inside, at("203.0.113.1:4000"), SYN));
    let foreign = exchange.inbound(Segment::new(at("198.51.100.9:5000"), inside, SYN));

    hairpin.assert_dropped(DropReason::Hairpin);
    foreign.assert_dropped(DropReason::NotAddressedHere);
}

#[test]
fn each_effect_of_an_rst_is_as_the_specification_says() {
    let link = Connection::kept();
    let sessions_after = |on_reset: OnReset, wait: u64| {
        let spec = MiddleboxSpec::linux_masquerade_drop_input().with_on_reset(on_reset);
        let mut exchange = Exchange::new(spec);
        link.establish(&mut exchange);
        exchange.inbound(link.back(RST, 901, 0)).assert_forwarded();
        exchange.advance(Duration::from_secs(wait));
        exchange.middlebox.session_count()
    };
    assert_eq!(sessions_after(OnReset::Deletes, 0), 0);
    assert_eq!(sessions_after(OnReset::StartsCloseTimer, 9), 1);
    assert_eq!(sessions_after(OnReset::StartsCloseTimer, 10), 0);
    assert_eq!(sessions_after(OnReset::Ignored, 1000), 1);
}

#[test]
fn a_picked_up_connection_is_believed_only_where_the_specification_says_so() {
    let link = Connection::kept();
    let mut loose = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    loose.outbound(link.out(ACK, 5000, 9000).payload(10)).assert_forwarded();
    loose.inbound(link.back(ACK, 9000, 5010).payload(10)).assert_forwarded();
    loose.outbound(link.out(ACK, 5010, 9010).payload(10)).assert_forwarded();

    let mut refusing = Exchange::new(MiddleboxSpec::rfc5382_compliant());
    refusing.outbound(link.out(ACK, 5000, 9000)).assert_dropped(DropReason::NoSession);
}

#[test]
fn the_timeout_of_a_fresh_session_has_a_name_and_a_time() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    assert_eq!(exchange.middlebox.poll_timeout(), None);
    exchange.outbound(Connection::kept().out(SYN, 100, 0)).assert_forwarded();

    let expected = Timestamp::ZERO + Duration::from_secs(120);

    assert_eq!(exchange.middlebox.poll_timeout(), Some((expected, Timer::Session)));
}

#[test]
fn a_session_whose_time_is_over_is_gone_even_if_nobody_called_the_timer() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    let link = Connection::kept();
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    exchange.now += Duration::from_secs(121);

    let late = exchange.inbound(link.back(SYN_ACK, 900, 101));

    late.assert_dropped(DropReason::SynAckWithoutSyn);
    assert!(exchange.middlebox.is_idle());
}

#[test]
fn the_journal_tells_a_connection_from_its_first_packet_to_its_end() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    let link = Connection::kept();
    exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::NoMapping);
    link.establish(&mut exchange);
    exchange.advance(Duration::from_secs(500_000));

    let told: Vec<String> = exchange.journal().iter().map(ToString::to_string).collect();
    let session = "10.0.0.2:4000 as 203.0.113.1:4000 to 198.51.100.9:5000";
    assert_eq!(
        told,
        [
            "0.000 ms refused 198.51.100.9:5000 > 203.0.113.1:4000 SYN: no mapping".to_owned(),
            format!("0.000 ms created {session} from Inside"),
            format!("0.000 ms refreshed {session}: SynSent to SynReceived from Outside"),
            format!("0.000 ms refreshed {session}: SynReceived to Established from Inside"),
            format!("432000000.000 ms ended {session} in Established: Expired"),
        ]
    );
}

#[test]
fn an_unread_journal_loses_its_oldest_entries_and_counts_them() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    for port in 1..=5000 {
        let stranger =
            Segment::new(at("198.51.100.9:5000"), at(&format!("203.0.113.1:{port}")), SYN);
        exchange.inbound(stranger).assert_dropped(DropReason::NoMapping);
    }

    assert_eq!(exchange.middlebox.journal_lost(), 904);
    assert_eq!(exchange.journal().len(), 4096);
}

#[test]
fn no_box_passes_whatever_comes() {
    let mut exchange = Exchange::new(MiddleboxSpec::no_box());
    assert_eq!(exchange.pass(Side::Outside, vec![1, 2, 3]).verdict, Verdict::Forward);
    exchange.inbound(Connection::kept().back(SYN, 1, 0)).assert_forwarded();
}

#[test]
fn a_specification_survives_the_way_through_json() {
    for preset in PRESETS {
        let text = serde_json::to_string(&preset.spec).unwrap();
        let read: MiddleboxSpec = serde_json::from_str(&text).unwrap();
        assert_eq!(read, preset.spec, "{}", preset.name);
    }
}
