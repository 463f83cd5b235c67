//! Segments that are written together arrive together, and every byte arrives.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use simopen_device::namespace::{Namespace, NamespaceThread};
use simopen_device::tun::{Receive, Tun, TunConfig};
use simopen_device::wait::ReadableSet;

use crate::support::{TWO_HOSTS, requires};

const BYTES: usize = 8 << 20;

/// A host that opens its port and then does its job.
fn host<T: Send + 'static>(
    address: IpAddr,
    job: impl FnOnce() -> T + Send + 'static,
) -> (NamespaceThread<T>, Tun) {
    let (give, port) = mpsc::channel();
    let thread = Namespace::spawn("host", move || {
        let config = TunConfig { receive: Receive::Coalesced, ..TunConfig::named("tun0") };
        let tun = Tun::open(&config).unwrap();
        let interface = tun.interface();
        interface.add_address(address, if address.is_ipv4() { 32 } else { 128 }).unwrap();
        interface.set_up().unwrap();
        if address.is_ipv4() {
            interface.add_default_route_v4().unwrap();
        } else {
            interface.add_default_route_v6().unwrap();
        }
        give.send(tun).unwrap();
        job()
    });
    (thread.unwrap(), port.recv().unwrap())
}

/// Carries packets between two ports, up to 64 at a time; gives how many there were, and how often
/// a stack ran for them.
fn forward(tuns: [Tun; 2], stop: &AtomicBool) -> [usize; 2] {
    let mut readable = ReadableSet::new(tuns.iter().map(AsFd::as_fd));
    let mut packets = vec![(0, [0; 2048]); 64];
    let mut counts = [0; 2];
    while !stop.load(Ordering::Relaxed) {
        readable.wait_until(Instant::now() + Duration::from_millis(1)).unwrap();
        for (place, tun) in
            tuns.iter().enumerate().filter(|(place, _)| readable.is_readable(*place))
        {
            let mut count = 0;
            for (length, packet) in &mut packets {
                let Ok(read) = tun.read(packet) else { break };
                *length = read;
                count += 1;
            }
            let read = packets[..count].iter().map(|(length, packet)| &packet[..*length]);
            counts[0] += count;
            counts[1] += tuns[1 - place].write_all(read).unwrap();
        }
    }
    counts
}

fn pattern(at: usize) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 13) as u8
}

fn carry(addresses: [IpAddr; 2]) -> [usize; 2] {
    let (listening, listens) = mpsc::channel();
    let (receiver, receiver_tun) = host(addresses[1], move || {
        let listener = TcpListener::bind((addresses[1], 5000)).unwrap();
        listening.send(()).unwrap();
        let mut received = Vec::with_capacity(BYTES);
        listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
        received
    });
    let (sender, sender_tun) = host(addresses[0], move || {
        listens.recv().unwrap();
        let mut stream = TcpStream::connect(SocketAddr::new(addresses[1], 5000)).unwrap();
        let sent: Vec<u8> = (0..BYTES).map(pattern).collect();
        stream.write_all(&sent).unwrap();
    });
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let wire = thread::spawn(move || forward([sender_tun, receiver_tun], &stopped));
    sender.join().unwrap();
    let received = receiver.join().unwrap();
    stop.store(true, Ordering::Relaxed);
    assert_eq!(received.len(), BYTES);
    assert!(received.iter().enumerate().all(|(at, byte)| *byte == pattern(at)), "a byte differs");
    wire.join().unwrap()
}

#[test]
fn segments_written_together_arrive_as_one_and_every_byte_arrives() {
    if !requires(TWO_HOSTS) {
        return;
    }
    for addresses in [["10.0.0.1", "10.0.0.2"], ["fd00::1", "fd00::2"]] {
        let [packets, runs] = carry(addresses.map(|address| address.parse().unwrap()));
        assert!(runs < packets * 3 / 4, "{packets} packets in {runs} runs");
    }
}
