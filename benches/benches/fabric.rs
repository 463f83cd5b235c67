//! One packet from host to host, in memory.
//!
//! 1,000 established connections send by turns in both directions, a packet every 4 µs of the
//! fabric's time, so that some 2,500 are in flight on legs of 10 ms. Middleboxes track strictly,
//! with timers and journal on. The hosts' part, writing a packet into its buffer, is not timed.
#![expect(clippy::unwrap_used, reason = "what a bench cannot do ends it")]

use std::{
    hint::black_box,
    net::SocketAddr,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simopen_fabric::{Arm, Fabric, LinkSpec, PacketBuffer, PortId, RouterSpec, Star};
use simopen_nat::{Middlebox, MiddleboxSpec};
use simopen_packet::{Entropy, SeqNumber, TcpBuilder, TcpFlags, Timestamp, Ttl};

const FLOWS: usize = 1000;
const BATCH: usize = 100;
const PAYLOAD: usize = 1000;
const SPACING: Duration = Duration::from_micros(4);
const HALF_LEG: Duration = Duration::from_millis(5);

/// Two hosts, `a` and `b`, and the connections between them.
struct Traffic {
    fabric: Fabric,
    ports: [PortId; 2],
    inside: [SocketAddr; 2],
    outside: [SocketAddr; 2],
    flows: Vec<Flow>,
    now: Timestamp,
    turn: usize,
}

/// What each side of a connection sends next.
#[derive(Clone, Copy)]
struct Flow {
    next: [SeqNumber; 2],
    acknowledged: [SeqNumber; 2],
}

impl Traffic {
    fn new(boxes: bool, link: LinkSpec) -> Self {
        let outside = ["192.0.2.1:10000", "198.51.100.1:20000"].map(|text| text.parse().unwrap());
        let inside = ["10.0.0.2:10000", "10.0.1.2:20000"].map(|text| text.parse().unwrap());
        let arms = [("a", outside[0]), ("b", outside[1])].map(|(name, host): (_, SocketAddr)| {
            let arm = Arm::new(name, &[host.ip()], HALF_LEG).with_links(link, link);
            let spec = MiddleboxSpec::ei_mapping_apd_filtering();
            let entropy = Entropy::new([1; 32]);
            let middlebox = Middlebox::new(spec, host.ip(), entropy, Timestamp::ZERO);
            if boxes { arm.behind(middlebox) } else { arm }
        });
        let star = Star::new(RouterSpec::default(), arms).unwrap();
        let isn = [SeqNumber(1), SeqNumber(5000)];
        let mut traffic = Self {
            fabric: Fabric::new(star.graph, Entropy::new([0; 32]), Timestamp::ZERO),
            ports: star.ports,
            inside: if boxes { inside } else { outside },
            outside,
            flows: vec![Flow { next: isn, acknowledged: isn }; FLOWS],
            now: Timestamp::ZERO,
            turn: 0,
        };
        traffic.open();
        traffic
    }

    /// Opens all connections simultaneously from both sides (RFC 9293 §3.5).
    fn open(&mut self) {
        let handshake = [
            (TcpFlags::SYN, [0, 0]),
            (TcpFlags::SYN | TcpFlags::ACK, [0, 1]),
            (TcpFlags::ACK, [1, 1]),
        ];
        for (flags, [sent, seen]) in handshake {
            for number in 0..FLOWS {
                for side in 0..2 {
                    let Flow { next, .. } = self.flows[number];
                    let buffer = self.segment(
                        number,
                        side,
                        flags,
                        next[side] + sent,
                        next[1 - side] + seen,
                        0,
                    );
                    self.hand_in(side, buffer);
                }
            }
            self.now += Duration::from_secs(1);
            self.drain();
        }
        for flow in &mut self.flows {
            flow.next = flow.next.map(|next| next + 1);
            flow.acknowledged = flow.next;
        }
        while self.fabric.poll_event().is_some() {}
    }

    /// The next packet of the traffic, and who sends it.
    fn next(&mut self) -> (usize, PacketBuffer) {
        let (number, side) = (self.turn / 2 % FLOWS, self.turn % 2);
        self.turn += 1;
        let Flow { next, acknowledged } = self.flows[number];
        let (sequence, acknowledgment) = (next[side], acknowledged[1 - side]);
        self.flows[number].next[side] = next[side] + PAYLOAD as u32;
        // A round takes 8 ms, so what was sent three rounds ago has come over by now.
        self.flows[number].acknowledged[side] =
            acknowledged[side].max(next[side] - 3 * PAYLOAD as u32);
        (side, self.segment(number, side, TcpFlags::ACK, sequence, acknowledgment, PAYLOAD))
    }

    fn segment(
        &mut self,
        number: usize,
        side: usize,
        flags: TcpFlags,
        sequence: SeqNumber,
        acknowledgment: SeqNumber,
        payload: usize,
    ) -> PacketBuffer {
        let at = |mut endpoint: SocketAddr| {
            endpoint.set_port(endpoint.port() + number as u16);
            endpoint
        };
        let builder = TcpBuilder {
            source: at(self.inside[side]),
            destination: at(self.outside[1 - side]),
            ttl: Ttl(64),
            sequence,
            acknowledgment,
            flags,
            window: 65_535,
        };
        let mut buffer = self.fabric.buffer();
        let len = builder.emit(&[], &[0; PAYLOAD][..payload], buffer.as_mut_slice()).unwrap();
        buffer.set_len(len);
        buffer
    }

    fn hand_in(&mut self, side: usize, buffer: PacketBuffer) {
        self.now += SPACING;
        self.fabric.handle_packet(self.ports[side], buffer, self.now);
    }

    fn drain(&mut self) -> u64 {
        self.fabric.handle_timeout(self.now);
        let mut delivered = 0;
        while let Some(delivery) = self.fabric.poll_transmit() {
            delivered += 1;
            self.fabric.recycle(black_box(delivery).packet);
        }
        delivered
    }

    /// The time that the fabric takes for `packets` packets, rounded up to whole batches.
    fn run(&mut self, packets: u64) -> Duration {
        let batches = packets.div_ceil(BATCH as u64);
        let mut spent = Duration::ZERO;
        for _ in 0..batches {
            let batch: Vec<_> = (0..BATCH).map(|_| self.next()).collect();
            let start = Instant::now();
            for (side, buffer) in batch {
                self.hand_in(side, buffer);
            }
            black_box(self.drain());
            while self.fabric.poll_event().is_some() {}
            spent += start.elapsed();
        }
        spent.mul_f64(packets as f64 / (batches * BATCH as u64) as f64)
    }
}

fn host_to_host(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fabric/host_to_host");
    group.throughput(Throughput::Elements(1));
    let plain = LinkSpec::with_delay(HALF_LEG);
    let rated = LinkSpec { rate: Some(10_000_000_000), queue: 1 << 22, ..plain };
    let jittery = LinkSpec { jitter: Duration::from_millis(1), ..rated };
    for (name, boxes, link) in [
        ("2_boxes_4_links", true, plain),
        ("0_boxes_2_links", false, plain),
        ("2_boxes_4_links_rated", true, rated),
        ("2_boxes_4_links_rated_with_jitter", true, jittery),
    ] {
        let mut traffic = Traffic::new(boxes, link);
        group.bench_function(name, |bencher| bencher.iter_custom(|packets| traffic.run(packets)));
        let stats = traffic.fabric.stats();
        assert_eq!(stats.dropped, 0, "{name}: every packet goes through: {stats:?}");
    }
    group.finish();
}

criterion_group!(benches, host_to_host);
criterion_main!(benches);
