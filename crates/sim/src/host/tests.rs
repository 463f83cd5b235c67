//! Two hosts back to back.

mod properties;
mod wire;

use std::collections::BTreeSet;

use simopen_packet::{IcmpError, SeqNumber, TcpBuilder, TcpFlags, error_quoting};
use simopen_traversal::DialOutcome;

use self::wire::{A, B, LEG, Wire, endpoint};
use super::*;

const LINUX: [Stack; 2] = [Stack::Linux; 2];
const A6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const B6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2));

#[test]
fn a_dial_to_a_listener_carries_bytes_both_ways_and_ends_with_both_closed() {
    for (stacks, addresses) in wire::PAIRS.into_iter().zip([[A, B], [A6, B6], [A, B], [A6, B6]]) {
        let mut wire = Wire::between(addresses, stacks);
        wire.hosts[1].listen(endpoint(addresses[1], 2000));
        let dialled = wire.dial(0, 1000, 2000);
        wire.run();

        assert_eq!(wire.established(0), [dialled]);
        let accepted = wire.accepted(1);
        assert_eq!(accepted.len(), 1);

        let sent: Vec<u8> = (0..65_536_u32).map(|byte| byte as u8).collect();
        wire.write(0, dialled, &sent);
        wire.write(1, accepted[0], &sent);
        wire.run();
        assert!(wire.received[&(1, accepted[0])] == sent && wire.received[&(0, dialled)] == sent);

        let now = wire.now;
        wire.hosts[0].close(dialled, now);
        wire.run();
        assert!(wire.events[1].contains(&HostEvent::Closed(accepted[0])));
        wire.hosts[1].close(accepted[0], now);
        wire.run();
        assert!(wire.events[0].contains(&HostEvent::Closed(dialled)));
    }
}

#[test]
fn two_dials_that_cross_become_one_connection() {
    for stacks in wire::PAIRS {
        let mut wire = Wire::new(stacks);
        let a = wire.dial(0, 1000, 2000);
        let b = wire.dial(1, 2000, 1000);
        wire.run();

        assert_eq!((wire.established(0), wire.established(1)), (vec![a], vec![b]), "{stacks:?}");
        let [of_a, of_b] =
            [0, 1].map(|side| wire.hosts[side].sequence_numbers([a, b][side]).unwrap());
        assert_eq!((of_a.own, of_a.peer), (of_b.peer, of_b.own));
        wire.write(0, a, b"from a");
        wire.write(1, b, b"from b");
        wire.run();
        assert_eq!(wire.received[&(0, a)], b"from b");
        assert_eq!(wire.received[&(1, b)], b"from a");
    }
}

#[test]
fn linux_completes_on_crossed_syn_acks_and_smoltcp_needs_one_crossing_more() {
    let crossings = [LINUX, [Stack::Smoltcp; 2]].map(|stacks| {
        let mut wire = Wire::new(stacks);
        wire.dial(0, 1000, 2000);
        wire.dial(1, 2000, 1000);
        (1..10).find(|crossings| {
            wire.run_until(Timestamp::ZERO + LEG * *crossings);
            wire.established(0).len() == 1
        })
    });

    assert_eq!(crossings, [Some(2), Some(3)]);
}

#[test]
fn a_dial_to_a_closed_port_is_refused() {
    for stacks in wire::PAIRS {
        let mut wire = Wire::new(stacks);
        let dialled = wire.dial(0, 1000, 2000);
        wire.run();

        assert_eq!(wire.events[0], [HostEvent::Failed(dialled, DialOutcome::Refused)]);
    }
}

#[test]
fn each_icmp_error_ends_a_dial_as_linux_ends_it_unless_a_shield_is_there() {
    use DialOutcome::{Prohibited, Refused, Unreachable};
    let table = [
        (IcmpError::TimeExceeded, [Unreachable, Unreachable]),
        (IcmpError::PortUnreachable, [Refused, Refused]),
        (IcmpError::HostUnreachable, [Unreachable, Unreachable]),
        (IcmpError::AdminProhibited, [Unreachable, Prohibited]),
    ];
    for (error, outcomes) in table {
        for (addresses, outcome) in [[A, B], [A6, B6]].into_iter().zip(outcomes) {
            for icmp_shield in [false, true] {
                let mut wire = Wire::between(addresses, LINUX);
                let options = DialOptions { icmp_shield, ..DialOptions::default() };
                let dialled = wire.dial_with(0, 1000, 2000, options);
                let mut syn = Vec::new();
                assert!(wire.hosts[0].poll_transmit(&mut syn));
                let mut packet = [0; 1280];
                let length = error_quoting(error, addresses[1], &syn, &mut packet).unwrap();
                wire.hosts[0].handle_packet(&packet[..length], wire.now);

                let expected = (!icmp_shield).then_some(HostEvent::Failed(dialled, outcome));
                assert_eq!(wire.hosts[0].poll_event(), expected, "{error:?}");
            }
        }
    }
}

#[test]
fn behind_a_shield_only_syns_have_the_low_ttl_and_without_one_the_answer_has_it_too() {
    for (icmp_shield, expected) in [(true, 64), (false, 2)] {
        let mut wire = Wire::new(LINUX);
        let options = DialOptions { icmp_shield, ttl: Some(Ttl(2)), ..DialOptions::default() };
        wire.dial_with(0, 1000, 2000, options);
        wire.dial_with(1, 2000, 1000, options);
        wire.run_until(Timestamp::ZERO + Duration::from_millis(500));

        let ttl_of = |wanted: fn(TcpFlags) -> bool| -> BTreeSet<u8> {
            let packets = wire.sent.iter().map(|(.., packet)| Packet::parse(packet).unwrap());
            let meant = packets.filter(|packet| packet.tcp().is_some_and(|tcp| wanted(tcp.flags)));
            meant.map(|packet| packet.ip.ttl.0).collect()
        };
        assert_eq!(ttl_of(TcpFlags::is_bare_syn), [2].into());
        assert_eq!(ttl_of(TcpFlags::is_syn_ack), [expected].into());
    }
}

#[test]
fn syns_leave_as_linux_sends_them_until_it_gives_up_and_a_watcher_sees_each() {
    let mut wire = Wire::new(LINUX);
    wire.fate = Box::new(|_| None);
    let options = DialOptions { watch: true, ttl: Some(Ttl(2)), ..DialOptions::default() };
    let dialled = wire.dial_with(0, 1000, 2000, options);
    wire.run_until(Timestamp::ZERO + Duration::from_millis(500));
    wire.hosts[0].set_ttl(dialled, None);
    wire.run_until(Timestamp::ZERO + Duration::from_secs(200));

    let times: Vec<u64> = wire.sent.iter().map(|(at, ..)| at.as_nanos() / 1_000_000).collect();
    let expected = [0, 1_024, 2_048, 3_072, 4_096, 5_120, 7_136, 11_232, 19_424, 35_552, 68_320];
    assert_eq!(times, expected);
    let ttls: Vec<u8> =
        wire.sent.iter().map(|(.., packet)| Packet::parse(packet).unwrap().ip.ttl.0).collect();
    assert_eq!((ttls[0], &ttls[1..]), (2, &[64; 10][..]));
    let seen = wire.events[0].iter().filter_map(|event| {
        if let HostEvent::SynSent { packet, .. } = event { Some(packet) } else { None }
    });
    assert!(seen.eq(wire.sent.iter().map(|(.., packet)| packet)));
    assert_eq!(wire.events[0].last(), Some(&HostEvent::Failed(dialled, DialOutcome::TimedOut)));
}

#[test]
fn an_answer_that_echoes_what_was_never_sent_is_reset_and_the_dial_goes_on() {
    let mut wire = Wire::new(LINUX);
    let dialled = wire.dial(0, 1000, 2000);
    let mut packet = Vec::new();
    assert!(wire.hosts[0].poll_transmit(&mut packet));
    let own = Syn::parse(&packet).unwrap();
    let theirs = Syn {
        source: own.destination,
        destination: own.source,
        sequence: SeqNumber(0x9000_0000),
        ..own
    };
    let right = SynAck::forge(&theirs, &own, theirs.source, theirs.destination).unwrap();
    let mut wrong = right;
    if let Some(timestamps) = &mut wrong.options.timestamps {
        timestamps.echo = timestamps.echo.wrapping_sub(1);
    }
    let mut buffer = [0; 100];
    let length = wrong.emit(&mut buffer).unwrap();
    wire.hosts[0].handle_packet(&buffer[..length], wire.now);
    assert!(wire.hosts[0].poll_transmit(&mut packet));
    assert!(Packet::parse(&packet).unwrap().tcp().unwrap().flags.contains(TcpFlags::RST));
    assert_eq!(wire.hosts[0].poll_event(), None);

    let length = right.emit(&mut buffer).unwrap();
    wire.hosts[0].handle_packet(&buffer[..length], wire.now);
    assert_eq!(wire.hosts[0].poll_event(), Some(HostEvent::Established(dialled)));
}

#[test]
fn an_open_connection_challenges_syns_and_inexact_resets_and_believes_exact_ones() {
    let mut wire = Wire::new(LINUX);
    wire.hosts[1].listen(endpoint(B, 2000));
    let dialled = wire.dial(0, 1000, 2000);
    wire.run();
    let numbers = wire.hosts[0].sequence_numbers(dialled).unwrap();
    let mut answer = |flags, ahead| {
        let forged = TcpBuilder {
            source: numbers.remote,
            destination: numbers.local,
            ttl: Ttl::DEFAULT,
            sequence: numbers.peer + ahead,
            acknowledgment: SeqNumber(0),
            flags,
            window: 0,
        };
        let mut buffer = [0; 60];
        let length = forged.emit(&[], &[], &mut buffer).unwrap();
        wire.now += Duration::from_secs(1);
        wire.hosts[0].handle_packet(&buffer[..length], wire.now);
        let mut packet = Vec::new();
        let answered = wire.hosts[0]
            .poll_transmit(&mut packet)
            .then(|| Packet::parse(&packet).unwrap().tcp().unwrap().flags);
        (answered, wire.hosts[0].poll_event())
    };

    assert_eq!(answer(TcpFlags::SYN, 0), (Some(TcpFlags::ACK), None));
    assert_eq!(answer(TcpFlags::RST, 100), (Some(TcpFlags::ACK), None));
    assert_eq!(answer(TcpFlags::RST, 0), (None, None));
    assert_eq!(answer(TcpFlags::RST, 1), (None, Some(HostEvent::Reset(dialled))));
}

#[test]
fn a_swallowing_port_says_what_came_and_leaves_other_sockets_of_its_port_alone() {
    let mut wire = Wire::new(LINUX);
    wire.hosts[1].listen(endpoint("0.0.0.0".parse().unwrap(), 2000));
    let control = wire.dial(0, 1000, 2000);
    wire.run();
    let accepted = wire.accepted(1)[0];
    let swallower = wire.hosts[1].swallow(endpoint(B, 2000));
    let probe = wire.dial(0, 1001, 2000);
    wire.write(0, control, b"still there");
    wire.run();

    assert_eq!(wire.received[&(1, accepted)], b"still there");
    let swallowed = wire.events[1].iter().filter_map(|event| {
        let HostEvent::Swallowed(packet) = event else {
            return None;
        };
        Some(Syn::parse(packet).unwrap().source)
    });
    assert!(swallowed.clone().count() > 5 && swallowed.clone().all(|from| from.port() == 1001));

    wire.hosts[1].drop_socket(swallower);
    wire.run();
    assert!(wire.established(0).contains(&probe));
}

#[test]
fn an_accepted_connection_keeps_its_syn_and_both_ends_measure_the_path() {
    let mut wire = Wire::new(LINUX);
    wire.hosts[1].listen(endpoint(B, 2000));
    let options = DialOptions { ttl: Some(Ttl(17)), ..DialOptions::default() };
    let dialled = wire.dial_with(0, 1000, 2000, options);
    wire.run();

    let accepted = wire.accepted(1)[0];
    let own = wire.hosts[0].sequence_numbers(dialled).unwrap().own;
    let Some(HostEvent::Accepted { syn: Some(syn), .. }) = wire.events[1].first() else {
        panic!("nothing was accepted: {:?}", wire.events[1]);
    };
    assert_eq!((syn.sequence, syn.ttl), (own, Ttl(17)));
    assert_eq!(wire.hosts[0].round_trip(dialled), Some(LEG * 2));
    assert_eq!(wire.hosts[1].round_trip(accepted), Some(LEG * 2));
}

#[test]
fn a_dropped_dial_says_nothing_and_a_dropped_connection_says_fin() {
    let mut wire = Wire::new(LINUX);
    wire.hosts[1].listen(endpoint(B, 2000));
    let dialled = wire.dial(0, 1000, 2000);
    wire.run();
    let given_up = wire.dial(0, 1001, 2001);
    wire.hosts[0].drop_socket(given_up);
    wire.hosts[0].drop_socket(dialled);
    wire.run();

    let accepted = wire.accepted(1)[0];
    assert!(wire.events[1].contains(&HostEvent::Closed(accepted)));
    assert_eq!(wire.events[0], [HostEvent::Established(dialled)]);
}

#[test]
fn the_same_entropy_gives_the_same_packets() {
    let run = || {
        let mut wire = Wire::new(LINUX);
        wire.dial(0, 1000, 2000);
        wire.dial(1, 2000, 1000);
        let port = wire.hosts[0].ephemeral_port();
        wire.run();
        (port, wire.sent)
    };

    assert_eq!(run(), run());
}
