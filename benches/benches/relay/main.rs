//! The relay beside other forwarders, on loopback: bulk through one pair, processor time, memory,
//! pairings.
//!
//! `cargo bench -p simopen-benches --bench relay`; `scripts/bench-relay` installs the others first.
//!
//! Each forwarder is a process of its own. Ways take turns; in each turn one connection carries as
//! much as it can for a second, and the processor time of all processes on the way is read from
//! /proc. A forwarder that is not installed is left out and named.
#![expect(clippy::unwrap_used, reason = "what a bench cannot do ends it")]

mod forwarder;
mod own;
mod turn;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use self::forwarder::Forwarder;

/// How often each way has its turn.
const ROUNDS: usize = 8;
/// From the first byte until counting begins.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long bytes are counted.
const COUNTED: Duration = Duration::from_millis(1000);

/// Bytes a second, and bytes a second of processor time.
#[derive(Clone, Copy)]
struct Bulk {
    throughput: f64,
    by_cpu: f64,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("serve") {
        own::serve();
        return;
    }
    let forwarders: Vec<Forwarder> = [
        own::start(),
        forwarder::haproxy(),
        turn::coturn(),
        forwarder::bore(),
        forwarder::rathole(),
    ]
    .into_iter()
    .filter_map(|started| match started {
        Ok(forwarder) => Some(forwarder),
        Err(missing) => {
            println!("left out: {missing}");
            None
        }
    })
    .collect();
    let mut rounds: Vec<Vec<Bulk>> = vec![Vec::new(); forwarders.len()];
    for _ in 0..ROUNDS {
        for (forwarder, bulks) in forwarders.iter().zip(&mut rounds) {
            bulks.push(bulk(forwarder));
        }
    }
    println!("bulk through one pair, {ROUNDS} alternating rounds: median (least to greatest)");
    for (forwarder, bulks) in forwarders.iter().zip(&rounds) {
        let gigabytes = |of: fn(&Bulk) -> f64| spread(bulks.iter().map(|bulk| of(bulk) / 1e9));
        println!(
            "{:10} {} hop(s)  {} GB/s  {} GB per CPU-second",
            forwarder.name,
            forwarder.hops(),
            gigabytes(|bulk| bulk.throughput),
            gigabytes(|bulk| bulk.by_cpu),
        );
    }
    for (forwarder, bulks) in forwarders.iter().zip(&rounds).skip(1) {
        let ratio = |of: fn(&Bulk) -> f64| {
            spread(rounds[0].iter().zip(bulks).map(|(own, other)| of(own) / of(other)))
        };
        println!(
            "simopen / {:10} throughput {}  bytes per CPU-second {}",
            forwarder.name,
            ratio(|bulk| bulk.throughput),
            ratio(|bulk| bulk.by_cpu),
        );
    }
    drop(forwarders);
    own::memory();
    own::pairings();
}

/// Carries as much as one connection can.
fn bulk(forwarder: &Forwarder) -> Bulk {
    let (mut writer, mut reader) = forwarder.pair();
    let writing = thread::spawn(move || {
        let piece = vec![7; 1 << 20];
        while writer.write_all(&piece).is_ok() {}
    });
    let mut buffer = vec![0; 1 << 20];
    let mut carry = |until: Instant, buffer: &mut Vec<u8>| {
        let mut bytes = 0_u64;
        while Instant::now() < until {
            let length = reader.read(buffer).unwrap();
            assert!(length > 0, "the writer goes on for ever");
            bytes += length as u64;
        }
        bytes
    };
    carry(Instant::now() + WARM_UP, &mut buffer);
    let (began, cpu) = (Instant::now(), forwarder.cpu());
    let bytes = carry(began + COUNTED, &mut buffer) as f64;
    let (elapsed, used) = (began.elapsed(), forwarder.cpu() - cpu);
    let _ = reader.shutdown(Shutdown::Both);
    drop(reader);
    writing.join().unwrap();
    Bulk { throughput: bytes / elapsed.as_secs_f64(), by_cpu: bytes / used.as_secs_f64() }
}

/// Median, and the least and the greatest.
fn spread(values: impl Iterator<Item = f64>) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = (values[middle] + values[(values.len() - 1) / 2]) / 2.0;
    format!("{median:.2} ({:.2} to {:.2})", values[0], values[values.len() - 1])
}

/// Writes a byte at one end and reads it at the other: they are joined.
fn is_joined(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"!").unwrap();
    to.read_exact(&mut [0]).unwrap();
}
