//! Delay, order, rate, queue, loss and jitter.

use std::collections::BTreeMap;

use simopen_fabric::{End, Reordering};

use super::*;

#[test]
fn a_packet_is_due_exactly_one_delay_after_its_ingress() {
    let (mut fabric, [a, b]) = wire(LinkSpec::with_delay(Duration::from_nanos(1_234_567)), 0);
    send(&mut fabric, a, Segment::syn(A, B), Timestamp::from_nanos(11));
    fabric.handle_timeout(Timestamp::from_nanos(1_234_577));
    assert!(drain(&mut fabric).is_empty(), "one nanosecond early");
    fabric.handle_timeout(Timestamp::from_nanos(1_234_578));
    let out = drain(&mut fabric);
    assert_eq!((out[0].port, out[0].due.as_nanos()), (b, 1_234_578));
}

#[test]
fn a_way_that_takes_no_time_is_gone_when_handle_packet_returns() {
    let mut graph = Graph::new();
    let core = graph.router("core", RouterSpec::default());
    let [a, b] = [("a", A), ("b", B)].map(|(name, host)| {
        let port = graph.port(name);
        let link = graph.link(port, End::Router(core), LinkSpec::default()).unwrap();
        graph.route(core, address(host), link).unwrap();
        port
    });
    let mut fabric = Fabric::new(graph, Entropy::new([0; 32]), Timestamp::ZERO);
    send(&mut fabric, a, Segment::syn(A, B), ms(7.0));
    let out = drain(&mut fabric);
    assert_eq!((out[0].port, out[0].due), (b, ms(7.0)));
}

#[test]
fn hops_add_up_and_a_late_world_makes_nothing_later() {
    let (mut fabric, [a, b, _]) = open_star(SourceValidation::Off);
    send(&mut fabric, a, Segment::syn(A, B), ms(1.0));
    fabric.handle_timeout(ms(500.0));
    let out = drain(&mut fabric);
    assert_eq!((out[0].port, out[0].due, out[0].ingress), (b, ms(11.0), ms(1.0)));
}

#[test]
fn packets_handed_in_late_are_put_in_the_order_of_their_ingress() {
    let (mut fabric, [a, _]) = wire(LinkSpec::with_delay(HALF_LEG), 0);
    for (sequence, at) in [(2, 2.0), (1, 1.0), (3, 3.0)] {
        send(&mut fabric, a, Segment { sequence, ..Segment::syn(A, B) }, ms(at));
    }
    let dues: Vec<_> = run(&mut fabric, ms(100.0)).iter().map(|out| out.due).collect();
    assert_eq!(dues, [ms(6.0), ms(7.0), ms(8.0)]);
}

#[test]
fn each_direction_takes_its_own_delay() {
    let mut graph = Graph::new();
    let (a, b) = (graph.port("a"), graph.port("b"));
    let [forth, back] = [1, 10].map(|millis| LinkSpec::with_delay(Duration::from_millis(millis)));
    graph.link_each_way(a, b, forth, back).unwrap();
    let mut fabric = Fabric::new(graph, Entropy::new([0; 32]), Timestamp::ZERO);
    send(&mut fabric, a, Segment::syn(A, B), ms(0.0));
    send(&mut fabric, b, Segment::syn(B, A), ms(0.0));
    let out: Vec<_> = run(&mut fabric, ms(100.0)).iter().map(|out| (out.port, out.due)).collect();
    assert_eq!(out, [(b, ms(1.0)), (a, ms(10.0))]);
}

#[test]
fn a_rate_serializes_one_packet_after_the_other() {
    let spec = LinkSpec { rate: Some(8_000_000), ..LinkSpec::with_delay(HALF_LEG) };
    let (mut fabric, [a, _]) = wire(spec, 0);
    for _ in 0..3 {
        send(&mut fabric, a, Segment::data(A, B), ms(0.0));
    }
    // 140 bytes at a byte a microsecond.
    let dues: Vec<_> = run(&mut fabric, ms(100.0)).iter().map(|out| out.due.as_nanos()).collect();
    assert_eq!(dues, [5_140_000, 5_280_000, 5_420_000]);
}

#[test]
fn a_queue_takes_what_fits_and_drops_the_tail() {
    let spec = LinkSpec { rate: Some(8_000_000), queue: 420, ..LinkSpec::default() };
    let (mut fabric, [a, b]) = wire(spec, 0);
    for _ in 0..4 {
        send(&mut fabric, a, Segment::data(A, B), ms(0.0));
    }
    // 140 of 420 bytes have left after 140 microseconds: there is room for one more.
    send(&mut fabric, a, Segment::data(A, B), ms(0.14));
    assert_eq!(run(&mut fabric, ms(100.0)).iter().filter(|out| out.port == b).count(), 4);
    assert_eq!(drops(&mut fabric), [DropReason::QueueFull]);
}

#[test]
fn an_idle_link_takes_a_packet_that_exceeds_its_queue() {
    let spec = LinkSpec { rate: Some(8_000_000), queue: 0, ..LinkSpec::default() };
    let (mut fabric, [a, _]) = wire(spec, 0);
    send(&mut fabric, a, Segment::data(A, B), ms(0.0));
    assert_eq!(run(&mut fabric, ms(100.0)).len(), 1);
}

/// The arrivals of each flow, by its source port, when `flows` send 200 segments each in turns.
fn arrivals(spec: LinkSpec, flows: &[u16]) -> BTreeMap<u16, Vec<(u32, Timestamp)>> {
    let (mut fabric, [a, _]) = wire(spec, 9);
    for round in 0..200u32 {
        for port in flows {
            let mut segment = Segment::data(A, B);
            segment.source.set_port(*port);
            segment.sequence = round;
            send(&mut fabric, a, segment, ms(f64::from(round)));
        }
    }
    let mut arrivals = BTreeMap::<_, Vec<_>>::new();
    for out in run(&mut fabric, ms(1e6)) {
        let packet = simopen_packet::Packet::parse(out.packet.as_slice()).unwrap();
        let tcp = packet.tcp().unwrap();
        arrivals.entry(tcp.source_port).or_default().push((tcp.sequence.0, out.due));
    }
    arrivals
}

#[test]
fn what_befalls_a_flow_does_not_depend_on_other_flows() {
    for reordering in [Reordering::BetweenFlows, Reordering::Any] {
        let jitter = Duration::from_millis(30);
        let spec = LinkSpec { loss: 0.3, jitter, reordering, ..LinkSpec::with_delay(HALF_LEG) };
        let alone = arrivals(spec, &[7]);
        let among_others = arrivals(spec, &[1, 2, 7, 3]);
        assert_eq!(alone[&7], among_others[&7]);
        assert!((100..180).contains(&alone[&7].len()), "{} of 200", alone[&7].len());
    }
}

#[test]
fn jitter_keeps_the_order_within_a_flow_unless_it_is_told_otherwise() {
    let jitter = Duration::from_millis(30);
    let spec = LinkSpec { jitter, ..LinkSpec::with_delay(HALF_LEG) };
    let in_order = |flow: &[(u32, Timestamp)]| flow.is_sorted_by_key(|(sequence, _)| *sequence);
    assert!(in_order(&arrivals(spec, &[7])[&7]));
    assert!(!in_order(&arrivals(LinkSpec { reordering: Reordering::Any, ..spec }, &[7])[&7]));
}

#[test]
fn jitter_stays_between_nothing_and_its_bound() {
    let jitter = Duration::from_millis(1);
    let spec = LinkSpec { jitter, ..LinkSpec::with_delay(HALF_LEG) };
    for (round, due) in &arrivals(spec, &[7])[&7] {
        let taken = *due - ms(f64::from(*round));
        assert!(taken >= HALF_LEG && taken <= HALF_LEG + jitter, "{taken:?}");
    }
}

#[test]
fn a_loss_of_one_loses_everything_and_says_so() {
    let (mut fabric, [a, _]) = wire(LinkSpec { loss: 1.0, ..LinkSpec::default() }, 0);
    send(&mut fabric, a, Segment::data(A, B), ms(0.0));
    assert!(run(&mut fabric, ms(100.0)).is_empty());
    assert_eq!(drops(&mut fabric), [DropReason::Lost]);
}

#[test]
fn a_plan_with_an_impossible_link_is_refused() {
    let mut graph = Graph::new();
    let (a, b) = (graph.port("a"), graph.port("b"));
    for loss in [-0.1, 1.1, f64::NAN] {
        assert!(graph.link(a, b, LinkSpec { loss, ..LinkSpec::default() }).is_err());
    }
    assert!(graph.link(a, b, LinkSpec { rate: Some(0), ..LinkSpec::default() }).is_err());
    graph.link(a, b, LinkSpec::default()).unwrap();
    let other = graph.port("other");
    assert!(graph.link(a, other, LinkSpec::default()).is_err(), "a port has one link");
}
