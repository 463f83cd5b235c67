//! Whatever comes in: nothing panics, every buffer is somewhere, every packet is accounted for.

use proptest::prelude::*;
use simopen_fabric::Reordering;
use simopen_nat::UnsolicitedSyn;

use super::*;

/// What a test does to the fabric.
#[derive(Clone, Debug)]
enum Step {
    Bytes { port: usize, bytes: Vec<u8> },
    Tcp { port: usize, flags: u8, ttl: u8, to: usize, ports: [u16; 2], payload: usize },
    Turn { micros: u64 },
    Cut { port: usize, enabled: bool },
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..3usize, prop::collection::vec(any::<u8>(), 0..90))
            .prop_map(|(port, bytes)| Step::Bytes { port, bytes }),
        6 => (0..3usize, any::<u8>(), 0..5u8, 0..4usize, [1..6u16, 1..6u16], 0..1400usize)
            .prop_map(|(port, flags, ttl, to, ports, payload)| {
                Step::Tcp { port, flags, ttl, to, ports, payload }
            }),
        3 => (0..20_000u64).prop_map(|micros| Step::Turn { micros }),
        1 => (0..3usize, any::<bool>()).prop_map(|(port, enabled)| Step::Cut { port, enabled }),
        1 => Just(Step::Drain),
    ]
}

/// A star whose links do everything that links can do.
fn rough_star() -> (Fabric, [PortId; 3]) {
    let spec = MiddleboxSpec::ei_mapping_apd_filtering().with_unsolicited(UnsolicitedSyn::Reset);
    let rough = LinkSpec {
        jitter: Duration::from_millis(3),
        reordering: Reordering::Any,
        loss: 0.1,
        rate: Some(10_000_000),
        queue: 4000,
        ..LinkSpec::with_delay(HALF_LEG)
    };
    let arms = [
        Arm::new("a", &[address(A)], HALF_LEG).behind(nat(spec, A, 2)).with_links(rough, rough),
        Arm::new("b", &[address(B)], HALF_LEG).behind(nat(spec, B, 3)),
        Arm::new("c", &[address(C)], HALF_LEG).with_links(rough, LinkSpec::default()),
    ];
    let star = Star::new(core(SourceValidation::Strict), arms).unwrap();
    (Fabric::new(star.graph, Entropy::new([1; 32]), Timestamp::ZERO), star.ports)
}

/// Runs `steps` and gives everything that could be seen of it.
fn play(steps: &[Step]) -> (Fabric, Vec<String>) {
    let (mut fabric, ports) = rough_star();
    let mut now = Timestamp::ZERO;
    let mut trace = Vec::new();
    for step in steps {
        match step {
            Step::Bytes { port, bytes } => {
                let mut buffer = fabric.buffer();
                buffer.fill(bytes).unwrap();
                fabric.handle_packet(ports[*port], buffer, now);
            }
            Step::Tcp { port, flags, ttl, to, ports: [from_port, to_port], payload } => {
                let source = [A_INSIDE, B_INSIDE, C][*port];
                let destination = [A, B, C, "192.0.2.200:1"][*to];
                let mut segment = Segment::new(source, destination, TcpFlags(*flags));
                segment.source.set_port(*from_port);
                segment.destination.set_port(*to_port);
                segment.ttl = *ttl;
                segment.payload = *payload;
                send(&mut fabric, ports[*port], segment, now);
            }
            Step::Turn { micros } => {
                now += Duration::from_micros(*micros);
                fabric.handle_timeout(now);
            }
            Step::Cut { port, enabled } => fabric.set_port_enabled(ports[*port], *enabled),
            Step::Drain => empty(&mut fabric, &mut trace),
        }
    }
    fabric.handle_timeout(now + Duration::from_secs(60));
    empty(&mut fabric, &mut trace);
    trace.append(&mut lines(&mut fabric));
    (fabric, trace)
}

fn empty(fabric: &mut Fabric, trace: &mut Vec<String>) {
    while let Some(delivery) = fabric.poll_transmit() {
        trace.push(format!(
            "{:?} {} {:?}",
            delivery.port,
            delivery.due,
            delivery.packet.as_slice()
        ));
        fabric.recycle(delivery.packet);
    }
}

proptest! {
    #[test]
    fn no_buffer_and_no_packet_is_ever_missing(steps in prop::collection::vec(step(), 0..120)) {
        let (fabric, _) = play(&steps);
        let buffers = fabric.buffers();
        prop_assert_eq!((buffers.in_flight, buffers.idle), (0, buffers.made));
        let stats = fabric.stats();
        prop_assert_eq!(stats.entered + stats.emitted, stats.delivered + stats.dropped);
        let reasons = stats.malformed + stats.port_cut_off + stats.link_local + stats.unroutable
            + stats.source_invalid + stats.ttl_exceeded + stats.link_down + stats.lost + stats.queue_full
            + stats.middlebox;
        prop_assert_eq!(stats.dropped, reasons);
    }

    #[test]
    fn the_same_inputs_give_the_same_trace(steps in prop::collection::vec(step(), 0..60)) {
        prop_assert_eq!(play(&steps).1, play(&steps).1);
    }

    #[test]
    fn a_copy_goes_on_as_the_original_does(steps in prop::collection::vec(step(), 0..60)) {
        let (mut fabric, ports) = rough_star();
        send(&mut fabric, ports[0], Segment::syn(A_INSIDE, B), ms(0.0));
        let mut copy = fabric.clone();
        for fabric in [&mut fabric, &mut copy] {
            for step in &steps {
                if let Step::Turn { micros } = step {
                    fabric.handle_timeout(Timestamp::from_nanos(micros * 1000));
                }
            }
        }
        prop_assert_eq!(lines(&mut fabric), lines(&mut copy));
    }
}

#[test]
fn steady_traffic_makes_no_buffer_beyond_those_in_flight_together() {
    let (mut fabric, [a, ..]) = open_star(SourceValidation::Off);
    for round in 0..1000 {
        send(&mut fabric, a, Segment::data(A, B), ms(f64::from(round)));
        for delivery in drain(&mut fabric) {
            fabric.recycle(delivery.packet);
        }
    }
    // Ten milliseconds of way, one packet a millisecond, and the one that is handed in.
    assert!(fabric.buffers().made <= 11, "{:?}", fabric.buffers());
}
