//! Routers, source validation, ports that are cut off, and the journal's proofs.

use simopen_fabric::{Origin, PacketKind, Place};

use super::*;

#[test]
fn a_packet_without_a_route_is_dropped_and_journalled_with_its_summary() {
    let (mut fabric, [a, ..]) = open_star(SourceValidation::Off);
    send(&mut fabric, a, Segment::data(A, "8.8.8.8:53"), ms(0.0));
    assert!(run(&mut fabric, ms(100.0)).is_empty());
    let events = events(&mut fabric);
    assert!(matches!(events[0].what, Happening::Dropped(DropReason::Unroutable)));
    let packet = events[0].packet.unwrap();
    assert_eq!((packet.source, packet.origin), (endpoint(A), Origin::Port(a)));
    assert_eq!(fabric.name(events[0].place), "core");
}

#[test]
fn a_forged_syn_ack_passes_without_source_validation_and_enters_at_c() {
    let (mut fabric, [a, _, c]) = open_star(SourceValidation::Off);
    let forged = Segment::new(B, A, TcpFlags::SYN | TcpFlags::ACK);
    send(&mut fabric, c, forged, ms(0.0));
    let out = run(&mut fabric, ms(100.0));
    assert_eq!((out[0].port, out[0].entered_at), (a, Origin::Port(c)));
    assert_eq!(fabric.delivered(a, PacketKind::SynAck), 1);
    assert_eq!(fabric.delivered_from(a, PacketKind::SynAck, Origin::Port(c)), 1);
    assert_eq!(fabric.delivered(a, PacketKind::BareSyn), 0);
    let told: Vec<_> = events(&mut fabric)
        .into_iter()
        .map(|event| (event.at, event.place, event.what.to_string()))
        .collect();
    let expected = [
        (ms(0.0), Place::Port(c), "entered".to_owned()),
        (ms(10.0), Place::Port(a), "delivered".to_owned()),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_forged_syn_ack_fails_strict_source_validation() {
    let (mut fabric, [_, _, c]) = open_star(SourceValidation::Strict);
    send(&mut fabric, c, Segment::new(B, A, TcpFlags::SYN | TcpFlags::ACK), ms(0.0));
    assert!(run(&mut fabric, ms(100.0)).is_empty());
    assert_eq!(drops(&mut fabric), [DropReason::SourceInvalid]);
}

#[test]
fn an_honest_source_passes_strict_source_validation() {
    let (mut fabric, [a, b, _]) = open_star(SourceValidation::Strict);
    send(&mut fabric, a, Segment::syn(A, B), ms(0.0));
    assert_eq!(run(&mut fabric, ms(100.0))[0].port, b);
}

#[test]
fn loose_source_validation_asks_only_whether_the_source_exists() {
    let (mut fabric, [a, _, c]) = open_star(SourceValidation::Loose);
    send(&mut fabric, c, Segment::syn(B, A), ms(0.0));
    send(&mut fabric, c, Segment::syn("8.8.8.8:53", A), ms(0.0));
    let out = run(&mut fabric, ms(100.0));
    assert_eq!(out.iter().map(|out| out.port).collect::<Vec<_>>(), [a]);
    assert_eq!(drops(&mut fabric), [DropReason::SourceInvalid]);
}

#[test]
fn a_port_that_is_cut_off_neither_sends_nor_receives_until_it_is_joined_again() {
    let (mut fabric, [a, b, _]) = open_star(SourceValidation::Off);
    send(&mut fabric, a, Segment::syn(A, B), ms(0.0));
    fabric.set_port_enabled(b, false);
    send(&mut fabric, b, Segment::syn(B, A), ms(1.0));
    assert!(run(&mut fabric, ms(50.0)).is_empty());
    assert_eq!(drops(&mut fabric), [DropReason::PortCutOff; 2]);
    fabric.set_port_enabled(b, true);
    send(&mut fabric, a, Segment::syn(A, B), ms(60.0));
    assert_eq!(run(&mut fabric, ms(100.0))[0].port, b);
}

#[test]
fn chatter_for_the_local_link_is_counted_but_not_journalled() {
    let (mut fabric, [a, ..]) = open_star(SourceValidation::Off);
    for (source, destination) in [
        ("[fe80::1]:0", "[ff02::2]:0"),
        ("[::]:0", "[ff02::16]:0"),
        ("192.0.2.1:0", "224.0.0.22:0"),
        ("169.254.0.1:0", "192.0.2.9:0"),
        ("192.0.2.1:0", "255.255.255.255:0"),
    ] {
        send(&mut fabric, a, Segment::syn(source, destination), ms(0.0));
    }
    assert!(run(&mut fabric, ms(100.0)).is_empty());
    assert_eq!((fabric.stats().link_local, events(&mut fabric).len()), (5, 0));
}

#[test]
fn ipv6_is_routed_as_ipv4_is() {
    let [v6_a, v6_b] = ["[2001:db8:a::1]:4000", "[2001:db8:b::1]:5000"];
    let arms =
        [("a", v6_a), ("b", v6_b)].map(|(name, host)| Arm::new(name, &[address(host)], HALF_LEG));
    let star = Star::new(core(SourceValidation::Strict), arms).unwrap();
    let mut fabric = Fabric::new(star.graph, Entropy::new([1; 32]), Timestamp::ZERO);
    send(&mut fabric, star.ports[0], Segment::syn(v6_a, v6_b), ms(0.0));
    let out = run(&mut fabric, ms(100.0));
    let packet = simopen_packet::Packet::parse(out[0].packet.as_slice()).unwrap();
    assert_eq!((out[0].port, packet.ip.ttl), (star.ports[1], Ttl(63)));
}

#[test]
fn the_journal_is_bounded_and_counts_what_it_lost() {
    let mut graph = Graph::new();
    let (a, b) = (graph.port("a"), graph.port("b"));
    graph.link(a, b, LinkSpec::default()).unwrap();
    graph.set_journal_capacity(3);
    let mut fabric = Fabric::new(graph, Entropy::new([0; 32]), Timestamp::ZERO);
    for at in 0..4 {
        send(&mut fabric, a, Segment::syn(A, B), ms(f64::from(at)));
    }
    let kept = events(&mut fabric);
    assert_eq!((kept.len(), fabric.events_lost()), (3, 5));
    assert_eq!(kept[2].at, ms(3.0), "the newest stay");
}

#[test]
fn a_switch_leaves_the_ttl_alone_and_lets_nothing_expire() {
    let mut graph = Graph::new();
    let ports = [(graph.port("a"), A), (graph.port("b"), B)];
    let spec = RouterSpec {
        forwarding: simopen_fabric::Forwarding::Switch,
        ..core(SourceValidation::Off)
    };
    let switch = graph.router("lan", spec);
    for (port, host) in ports {
        let end = simopen_fabric::End::Router(switch);
        let link = graph.link(port, end, LinkSpec::with_delay(HALF_LEG)).unwrap();
        graph.route(switch, address(host), link).unwrap();
    }
    let mut fabric = Fabric::new(graph, Entropy::new([1; 32]), Timestamp::ZERO);
    send(&mut fabric, ports[0].0, Segment { ttl: 1, ..Segment::syn(A, B) }, ms(0.0));
    let out = run(&mut fabric, ms(100.0));
    assert_eq!(out[0].port, ports[1].0);
    let packet = simopen_packet::Packet::parse(out[0].packet.as_slice()).unwrap();
    assert_eq!(packet.ip.ttl.0, 1);
}

#[test]
fn a_link_that_is_down_takes_nothing_and_lets_what_is_under_way_arrive() {
    let mut graph = Graph::new();
    let (a, b) = (graph.port("a"), graph.port("b"));
    let link = graph.link(a, b, LinkSpec::with_delay(HALF_LEG)).unwrap();
    let mut fabric = Fabric::new(graph, Entropy::new([1; 32]), Timestamp::ZERO);
    send(&mut fabric, a, Segment::syn(A, B), ms(0.0));
    fabric.set_link_up(link, false);
    send(&mut fabric, b, Segment::syn(B, A), ms(1.0));
    assert_eq!(run(&mut fabric, ms(50.0)).len(), 1);
    assert_eq!(drops(&mut fabric), [DropReason::LinkDown]);

    fabric.set_link_up(link, true);
    send(&mut fabric, b, Segment::syn(B, A), ms(50.0));
    assert_eq!(run(&mut fabric, ms(100.0)).len(), 1);
}
