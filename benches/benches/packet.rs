//! What the bytes cost: parsing, forging, rewriting, summing.

use std::{hint::black_box, net::SocketAddr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simopen_packet::{
    MAX_SYN_LEN, Packet, SeqNumber, Syn, SynAck, SynOptions, TcpBuilder, TcpFlags, Timestamps, Ttl,
    checksum::Checksum,
};

fn v4(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], port))
}

fn v6(last: u16, port: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], port))
}

/// The SYN of Linux: segment size, SACK, timestamps, window scale.
fn syn(source: SocketAddr, destination: SocketAddr) -> Syn {
    Syn {
        source,
        destination,
        sequence: SeqNumber(1_000),
        window: 64_240,
        ttl: Ttl::DEFAULT,
        ecn_setup: false,
        options: SynOptions::new(
            Some(1460),
            Some(7),
            true,
            Some(Timestamps { value: 77, echo: 0 }),
        ),
    }
}

fn segment(source: SocketAddr, destination: SocketAddr, payload: usize) -> Vec<u8> {
    let header = TcpBuilder {
        source,
        destination,
        ttl: Ttl::DEFAULT,
        sequence: SeqNumber(1),
        acknowledgment: SeqNumber(2),
        flags: TcpFlags::ACK,
        window: 512,
    };
    let mut bytes = vec![0; 1500];
    let length = header.emit(&[], &vec![0x5a; payload], &mut bytes).expect("fits into the buffer");
    bytes.truncate(length);
    bytes
}

/// Verify and parse A's SYN, forge B's answer, write it with both checksums.
fn forge(c: &mut Criterion) {
    let mut group = c.benchmark_group("packet/forge");
    for (name, a, b) in [("v4", v4(1, 4000), v4(2, 5000)), ("v6", v6(1, 4000), v6(2, 5000))] {
        let own = syn(b, a);
        let mut wire = [0; MAX_SYN_LEN];
        let length = syn(a, b).emit(&mut wire).expect("fits into the buffer");
        let bytes = &wire[..length];
        let mut buffer = [0; MAX_SYN_LEN];
        group.bench_function(format!("parse-syn-forge-syn-ack/{name}"), |bencher| {
            bencher.iter(|| {
                let bytes = black_box(bytes);
                Packet::verify_checksums(bytes).expect("sums are right");
                let answered = Syn::parse(bytes).expect("is a SYN");
                let syn_ack = SynAck::forge(black_box(&own), &answered, b, a).expect("unsigned");
                let length = syn_ack.emit(&mut buffer).expect("fits into the buffer");
                black_box(&buffer[..length]);
            });
        });
    }
    group.finish();
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("packet/parse");
    for (name, bytes) in [
        ("v4", segment(v4(1, 4000), v4(2, 5000), 100)),
        ("v6", segment(v6(1, 4000), v6(2, 5000), 100)),
    ] {
        group.bench_function(format!("packet/{name}"), |bencher| {
            bencher.iter(|| {
                let packet = Packet::parse(black_box(&bytes)).expect("is a packet");
                black_box((packet.source_endpoint(), packet.destination_endpoint()));
                black_box((packet.tcp().map(|tcp| tcp.flags), packet.layout()));
            });
        });
        group.bench_function(format!("etherparse/{name}"), |bencher| {
            bencher.iter(|| {
                let sliced = etherparse::SlicedPacket::from_ip(black_box(&bytes));
                black_box(sliced.expect("is a packet"));
            });
        });
    }
    group.finish();
}

fn rewrite(c: &mut Criterion) {
    let mut group = c.benchmark_group("packet/rewrite");
    for (name, mut bytes, to) in [
        ("v4", segment(v4(1, 4000), v4(2, 5000), 100), v4(3, 6000)),
        ("v6", segment(v6(1, 4000), v6(2, 5000), 100), v6(3, 6000)),
    ] {
        group.bench_function(format!("parse-set-source-and-ttl/{name}"), |bencher| {
            bencher.iter(|| {
                let bytes = black_box(&mut bytes[..]);
                let layout = Packet::parse(bytes).expect("is a packet").layout();
                layout.set_source(bytes, black_box(to));
                layout.set_ttl(bytes, black_box(Ttl(9)))
            });
        });
    }
    group.finish();
}

fn sum(c: &mut Criterion) {
    let mut group = c.benchmark_group("packet/checksum");
    for length in [40, 1460] {
        let bytes = vec![0x5a; length];
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(format!("{length}"), |bencher| {
            bencher.iter(|| Checksum::default().with(black_box(&bytes)).finish());
        });
        group.bench_function(format!("etherparse/{length}"), |bencher| {
            bencher.iter(|| {
                etherparse::checksum::u64_16bit_word::ones_complement(
                    etherparse::checksum::u64_16bit_word::add_slice(0, black_box(&bytes)),
                )
            });
        });
    }
    group.finish();
}

criterion_group!(benches, forge, parse, rewrite, sum);
criterion_main!(benches);
