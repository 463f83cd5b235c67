//! One packet through a NAT box over uniformly random flows, timers and journal on; beside it, on
//! the same machine at the same time, one read of memory that nothing foresees: with a million
//! flows that is nearly all that a packet costs.
//!
//! `cargo bench -p simopen-benches --bench nat`

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use simopen_nat::{Middlebox, MiddleboxSpec, Side, Verdict};
use simopen_packet::{Entropy, SeqNumber, TcpBuilder, TcpFlags, Timestamp, Ttl};

const EXTERNAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// A packet every 10 microseconds of the box's time: at a million flows each session's timer comes
/// up, and is put back, while the bench runs.
const STEP: Duration = Duration::from_micros(10);

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The next of a row of random numbers (xorshift).
#[inline]
const fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The endpoints of flow `number`, by arithmetic: reading them from a table would cost the cache
/// misses that are to be measured.
#[derive(Clone, Copy)]
struct Flow {
    inside: (Ipv4Addr, u16),
    remote: (Ipv4Addr, u16),
}

impl Flow {
    fn new(number: u32) -> Self {
        let host = number / 50_000;
        let port = 1024 + (number % 50_000) as u16;
        let inside = Ipv4Addr::from(0x0a00_0002 + host);
        // Each inside host speaks with servers of its own, so that all keep their ports.
        let remote = Ipv4Addr::from(0xc612_0000 + host * 1024 + number % 1024);
        Self { inside: (inside, port), remote: (remote, 443) }
    }

    fn emit(&self, side: Side, flags: TcpFlags, numbers: (u32, u32), buffer: &mut [u8]) -> usize {
        let inside = SocketAddr::from(self.inside);
        let remote = SocketAddr::from(self.remote);
        let external = SocketAddr::from((EXTERNAL, self.inside.1));
        let (source, destination) = match side {
            Side::Inside => (inside, remote),
            Side::Outside => (remote, external),
        };
        let builder = TcpBuilder {
            source,
            destination,
            ttl: Ttl(64),
            sequence: SeqNumber(numbers.0),
            acknowledgment: SeqNumber(numbers.1),
            flags,
            window: 65_535,
        };
        builder.emit(&[], &[], buffer).expect("the buffer holds the headers")
    }

    /// Turns a template of this direction into this flow's packet; the checksums stay behind, and
    /// the box, which updates them incrementally, does not notice.
    #[inline]
    fn patch(&self, side: Side, template: &[u8; 40]) -> [u8; 40] {
        let mut packet = *template;
        let (inside, port) = self.inside;
        let (remote, remote_port) = self.remote;
        match side {
            Side::Inside => {
                packet[12..16].copy_from_slice(&inside.octets());
                packet[16..20].copy_from_slice(&remote.octets());
                packet[20..22].copy_from_slice(&port.to_be_bytes());
                packet[22..24].copy_from_slice(&remote_port.to_be_bytes());
            }
            Side::Outside => {
                packet[12..16].copy_from_slice(&remote.octets());
                packet[20..22].copy_from_slice(&remote_port.to_be_bytes());
                packet[22..24].copy_from_slice(&port.to_be_bytes());
            }
        }
        packet
    }
}

/// A box with `count` established sessions, each with a mapping of its own.
fn established(count: u32) -> (Middlebox, Timestamp) {
    let mut now = Timestamp::ZERO;
    let spec = MiddleboxSpec::linux_masquerade_drop_input();
    let entropy = Entropy::new([9; 32]);
    let mut middlebox = Middlebox::new(spec, IpAddr::V4(EXTERNAL), entropy, now);
    let syn_ack = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
    let mut buffer = [0; 40];
    for number in 0..count {
        let flow = Flow::new(number);
        for (side, flags, numbers) in [
            (Side::Inside, TcpFlags::SYN, (100, 0)),
            (Side::Outside, syn_ack, (900, 101)),
            (Side::Inside, TcpFlags::ACK, (101, 901)),
        ] {
            let length = flow.emit(side, flags, numbers, &mut buffer);
            let verdict = middlebox.handle_packet(side, &mut buffer[..length], now);
            assert_eq!(verdict, Verdict::Forward);
        }
        while middlebox.poll_journal().is_some() {}
        now += Duration::from_micros(1);
    }
    assert_eq!(middlebox.mapping_count(), count as usize);
    (middlebox, now)
}

fn template(side: Side, numbers: (u32, u32)) -> [u8; 40] {
    let mut template = [0; 40];
    Flow::new(0).emit(side, TcpFlags::ACK, numbers, &mut template);
    template
}

fn one_packet(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nat_packet");
    for count in [10_000, 1_000_000] {
        // Made when the bench runs, not when it is filtered out.
        let mut world = None;
        let outbound = template(Side::Inside, (101, 901));
        let inbound = template(Side::Outside, (901, 101));
        let mut state = SEED;
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let (middlebox, now) = world.get_or_insert_with(|| established(count));
            bencher.iter(|| {
                random(&mut state);
                let number = (((state >> 32) * u64::from(count)) >> 32) as u32;
                let (side, template) = if state & 1 == 0 {
                    (Side::Inside, &outbound)
                } else {
                    (Side::Outside, &inbound)
                };
                let mut packet = Flow::new(number).patch(side, template);
                *now += STEP;
                if middlebox.poll_timeout().is_some_and(|(deadline, _)| deadline <= *now) {
                    middlebox.handle_timeout(*now);
                }
                let verdict = middlebox.handle_packet(side, &mut packet, *now);
                assert_eq!(verdict, Verdict::Forward);
                black_box(&packet);
            });
        });
        if let Some((middlebox, _)) = world {
            assert_eq!(middlebox.mapping_count(), count as usize);
        }
    }
    group.finish();
}

/// As much as a box keeps of an open connection, two lines of the cache.
#[derive(Clone)]
#[repr(align(128))]
struct Record {
    next: u32,
    second_line: [u32; 31],
}

/// Records that lead to each other in one random circle.
fn circle(count: usize, state: &mut u64) -> Vec<Record> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    // Sattolo's shuffle: the permutation is one cycle.
    for last in (1..count).rev() {
        order.swap(last, (random(state) >> 32) as usize % last);
    }
    let record = |next| Record { next, second_line: [0; 31] };
    order.into_iter().map(record).collect()
}

/// What is left of a packet if the box computes nothing and the next one waits for it: the read of
/// its session.
fn one_read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memory_read");
    for count in [10_000, 1_000_000] {
        let mut records = None;
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let records = records.get_or_insert_with(|| circle(count, &mut { SEED }));
            let mut at = 0;
            bencher.iter(|| {
                let record = &records[at as usize];
                at = record.next + record.second_line[30];
                at
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_packet, one_read);
criterion_main!(benches);
