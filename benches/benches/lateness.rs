//! How late the lab's thread delivers packets that come at a steady rate.
//!
//! `cargo bench -p simopen-benches --bench lateness`
//!
//! One host sends 10,000 datagrams a second, one every 100 µs, through a NAT box and a router with
//! two links of 5 ms each to another host, for five seconds. A packet is late by the time at which
//! it was written after the moment at which it was due, or by the longest stall of the fabric's
//! thread while it was inside, whichever is more. The machine should have nothing else to do.
#![expect(clippy::unwrap_used, reason = "what a bench cannot do ends it")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::ExitCode,
    sync::mpsc,
    time::Duration,
};

use simopen_device::{
    capability::Capabilities,
    clock::Clock,
    namespace::Namespace,
    tun::{Tun, TunConfig},
    wait::{ReadableSet, Urgency, run_before_others, sharpen_timers},
};
use simopen_fabric::{End, Fabric, Graph, LinkSpec, PortId, RouterSpec};
use simopen_lab::pump::{Load, Packets, Pump};
use simopen_nat::{Middlebox, MiddleboxSpec};
use simopen_packet::Entropy;

/// Between two datagrams.
const GAP: Duration = Duration::from_micros(100);
const DATAGRAMS: u32 = 50_000;
const LINK_DELAY: Duration = Duration::from_millis(5);
const PAYLOAD: [u8; 172] = [0x5a; 172];
const PORT: u16 = 5001;

/// Networks set aside for documentation (RFC 5737), and a private one.
const SENDER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
const BOX: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const RECEIVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

fn main() -> ExitCode {
    // As criterion has it: without this flag a test run merely wants to see that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let here = Capabilities::probe();
    if here.missing().next().is_some() {
        eprintln!("the lateness bench cannot run here; run it as root");
        here.missing().for_each(|requirement| eprintln!("  {requirement}"));
        return ExitCode::from(2);
    }
    let (told, tuns) = mpsc::channel();
    let also_told = told.clone();
    let (go, started) = mpsc::channel();
    let (done, held) = mpsc::channel::<()>();
    let sender = Namespace::spawn("sender", move || {
        told.send((0, open_port(SENDER))).unwrap();
        started.recv().unwrap();
        send();
    });
    let receiver = Namespace::spawn("receiver", move || {
        also_told.send((1, open_port(RECEIVER))).unwrap();
        // Bound, so that no ICMP error comes back; what it holds is nobody's business.
        let _socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        let _ = held.recv();
    });
    let mut ports = [tuns.recv().unwrap(), tuns.recv().unwrap()];
    ports.sort_by_key(|(place, _)| *place);

    let clock = Clock::start();
    let (graph, ids) = plan(&clock);
    let pump =
        Pump::start(ports.into_iter().map(|(_, tun)| tun).collect(), clock, Load::Sparse).unwrap();
    let fabric = Fabric::new(graph, Entropy::new([7; 32]), clock.now());
    pump.load(fabric, ids.into(), Packets::Forgotten).unwrap();
    go.send(()).unwrap();
    sender.unwrap().join().unwrap();
    let mut nothing = ReadableSet::new([]);
    // Until the last datagram has crossed both links.
    nothing.wait_until(clock.instant(clock.now() + 4 * LINK_DELAY)).unwrap();
    let report = pump.unload().unwrap();
    drop(done);
    receiver.unwrap().join().unwrap();

    let lateness = report.lateness.summary();
    println!("packets {}", lateness.packets);
    println!("tun_drops {}", report.tun_drops);
    for (name, value) in [
        ("p50", lateness.p50),
        ("p99", lateness.p99),
        ("p999", lateness.p999),
        ("max_stall", lateness.max_stall),
    ] {
        println!("lateness_{name}_us {}", value.as_micros());
    }
    ExitCode::SUCCESS
}

fn open_port(address: Ipv4Addr) -> Tun {
    let tun = Tun::open(&TunConfig::named("port0")).unwrap();
    let interface = tun.interface();
    interface.add_address(IpAddr::V4(address), 24).unwrap();
    interface.set_up().unwrap();
    interface.add_default_route_v4().unwrap();
    tun
}

/// Sends at the steady rate; what a late wake-up missed is made up for at once.
fn send() {
    sharpen_timers().unwrap();
    // Without the right to it the sender is as late as others.
    let _ = run_before_others(Urgency::Worker);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    let clock = Clock::start();
    let start = clock.now();
    let mut nothing = ReadableSet::new([]);
    for nth in 0..DATAGRAMS {
        nothing.wait_until(clock.instant(start + GAP * nth)).unwrap();
        socket.send_to(&PAYLOAD, SocketAddr::from((RECEIVER, PORT))).unwrap();
    }
}

fn plan(clock: &Clock) -> (Graph, [PortId; 2]) {
    let mut graph = Graph::new();
    let core = graph.router("core", RouterSpec::default());
    let [a, b] = ["a", "b"].map(|name| graph.port(name));
    let spec = MiddleboxSpec::ei_mapping_apd_filtering();
    let machine = Middlebox::new(spec, IpAddr::V4(BOX), Entropy::new([1; 32]), clock.now());
    let node = graph.middlebox("box", machine);
    let delay = LinkSpec::with_delay(LINK_DELAY);
    graph.link(a, End::Inside(node), LinkSpec::default()).unwrap();
    let left = graph.link(End::Outside(node), End::Router(core), delay).unwrap();
    let right = graph.link(b, End::Router(core), delay).unwrap();
    graph.route(core, IpAddr::V4(BOX), left).unwrap();
    graph.route(core, IpAddr::V4(RECEIVER), right).unwrap();
    (graph, [a, b])
}
