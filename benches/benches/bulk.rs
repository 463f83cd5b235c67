//! Bulk TCP between two kernels: through the fabric, beside the least that any forwarder does.
//!
//! `cargo bench -p simopen-benches --bench bulk`
//!
//! Each of two network namespaces has one TUN port (queue of 10,000 packets, MTU 1500). One
//! connection carries as much as it can from the first to the second, by ways that take turns: a
//! bare forwarder, which is one thread that polls, reads up to 64 packets from one port and writes
//! them to the other; the fabric with one router and two links without delay; with one NAT box; and
//! with two. Each way has two forms: ports that take packet by packet, and ports that take the
//! segments of a stream together, as a network card with generic receive offload does. Each run has
//! namespaces, ports and a forwarder of its own. A dropped packet ends the bench: a run that lost
//! some measured TCP's recovery.
#![expect(clippy::unwrap_used, reason = "what a bench cannot do ends it")]

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use simopen_device::{
    DeviceError,
    capability::Capabilities,
    clock::Clock,
    namespace::{Namespace, NamespaceThread},
    tun::{Receive, Tun, TunConfig},
    wait::ReadableSet,
};
use simopen_fabric::{End, Fabric, Graph, LinkSpec, PortId, RouterSpec};
use simopen_lab::pump::{Load, Packets, Pump};
use simopen_nat::{Middlebox, MiddleboxSpec};
use simopen_packet::Entropy;
use socket2::{Domain, Socket, Type};

/// How often each way has its turn.
const ROUNDS: usize = 7;
/// From the first byte until counting begins: slow start is over, the buffers have grown.
const WARM_UP: Duration = Duration::from_millis(250);
/// How long bytes are counted.
const COUNTED: Duration = Duration::from_millis(1400);
/// Packets that are read from one port before the other has its turn.
const BATCH: usize = 64;
const MTU: u32 = 1500;
const PORT: u16 = 5001;

/// What carries packets from one port to the other.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    carrier: Carrier,
    receive: Receive,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Bare,
    Fabric { boxes: usize },
}

impl Way {
    const ALL: [Self; 8] = {
        const fn ways(receive: Receive) -> [Way; 4] {
            [
                Way { carrier: Carrier::Bare, receive },
                Way { carrier: Carrier::Fabric { boxes: 0 }, receive },
                Way { carrier: Carrier::Fabric { boxes: 1 }, receive },
                Way { carrier: Carrier::Fabric { boxes: 2 }, receive },
            ]
        }
        let ([a, b, c, d], [e, f, g, h]) = (ways(Receive::Single), ways(Receive::Coalesced));
        [a, b, c, d, e, f, g, h]
    };

    fn title(self) -> &'static str {
        match (self.receive, self.carrier) {
            (Receive::Single, Carrier::Bare) => "bare forwarder",
            (Receive::Single, Carrier::Fabric { boxes: 0 }) => "fabric: router",
            (Receive::Single, Carrier::Fabric { boxes: 1 }) => "fabric: router, 1 NAT box",
            (Receive::Single, Carrier::Fabric { .. }) => "fabric: router, 2 NAT boxes",
            (Receive::Coalesced, Carrier::Bare) => "coalesced: bare forwarder",
            (Receive::Coalesced, Carrier::Fabric { boxes: 0 }) => "coalesced: fabric, router",
            (Receive::Coalesced, Carrier::Fabric { boxes: 1 }) => {
                "coalesced: fabric, router, 1 NAT box"
            }
            (Receive::Coalesced, Carrier::Fabric { .. }) => {
                "coalesced: fabric, router, 2 NAT boxes"
            }
        }
    }

    /// Whether the sender, and whether the receiver, is behind a box.
    fn boxes(self) -> [bool; 2] {
        match self.carrier {
            Carrier::Bare => [false, false],
            Carrier::Fabric { boxes } => [boxes > 0, boxes > 1],
        }
    }

    /// The hosts' own addresses.
    fn hosts(self) -> [Ipv4Addr; 2] {
        let [one, other] = self.boxes();
        [if one { INSIDE[0] } else { OUTSIDE[0] }, if other { INSIDE[1] } else { OUTSIDE[1] }]
    }
}

/// Networks set aside for documentation (RFC 5737).
const OUTSIDE: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 2), Ipv4Addr::new(203, 0, 113, 2)];
const INSIDE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 1, 2), Ipv4Addr::new(10, 0, 2, 2)];

fn main() -> ExitCode {
    // As criterion has it: without this flag a test run merely wants to see that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let here = Capabilities::probe();
    if here.missing().next().is_some() {
        eprintln!("the bulk bench cannot run here; run it as root");
        here.missing().for_each(|requirement| eprintln!("  {requirement}"));
        return ExitCode::from(2);
    }
    let mut figures = Figures::default();
    for round in 0..ROUNDS {
        for turn in 0..Way::ALL.len() {
            // No way always follows the same other one's leftovers.
            let place = (turn + round) % Way::ALL.len();
            let run = run(Way::ALL[place]);
            if run.dropped > 0 {
                eprintln!("{}: the ports dropped {} packets", Way::ALL[place].title(), run.dropped);
                return ExitCode::FAILURE;
            }
            figures.gigabits[place].push(run.gigabits);
        }
    }
    figures.print();
    ExitCode::SUCCESS
}

/// Gigabits per second of payload for each way, round by round.
#[derive(Default)]
struct Figures {
    gigabits: [Vec<f64>; 8],
}

impl Figures {
    fn print(&self) {
        println!(
            "bulk TCP, MTU {MTU}, {ROUNDS} rounds of {:.1} s, ports dropped 0 packets",
            COUNTED.as_secs_f64()
        );
        println!("{:<40} {:>22} {:>26}", "", "Gbit/s (median, range)", "of bare (median, range)");
        let mut fields = Vec::new();
        for (place, way) in Way::ALL.into_iter().enumerate() {
            let (median, [least, most]) = spread(&self.gigabits[place]);
            // Each run against the bare forwarder's of the same round and form: what the machine
            // does besides changes from round to round more than within one.
            let bare = place / 4 * 4;
            let pairs = self.gigabits[place].iter().zip(&self.gigabits[bare]);
            let ratios: Vec<_> = pairs.map(|(own, bare)| own / bare).collect();
            let (ratio, [lower, upper]) = spread(&ratios);
            println!(
                "{:<40} {median:>6.2}  ({least:.2} - {most:.2}) {ratio:>10.2}  ({lower:.2} - {upper:.2})",
                way.title()
            );
            fields.push(format!(
                r#"{{"way":"{}","gbit_s":{median:.3},"range":[{least:.3},{most:.3}],"of_bare":{ratio:.3},"of_bare_range":[{lower:.3},{upper:.3}]}}"#,
                way.title()
            ));
        }
        println!("The range of 7 rounds holds the true median with a probability of 98 %.");
        println!(
            r#"{{"bench":"bulk","rounds":{ROUNDS},"tun_drops":0,"ways":[{}]}}"#,
            fields.join(",")
        );
    }
}

/// The median, and the least and greatest value. The chance that the true median lies outside is
/// that of as many coins falling on one side: 2 / 2^n.
fn spread(values: &[f64]) -> (f64, [f64; 2]) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], [sorted[0], sorted[sorted.len() - 1]])
}

struct Run {
    gigabits: f64,
    dropped: u64,
}

/// Lets one connection carry what it can.
fn run(way: Way) -> Run {
    let [one, other] = way.hosts();
    let (sender, sender_tun) = host("sender", one, way.receive, move |go| send(way, &go));
    let (receiver, receiver_tun) =
        host("receiver", other, way.receive, move |go| receive(way, &go));
    let forwarder = Forwarder::start(way, [sender_tun, receiver_tun]);
    receiver.go.send(SocketAddr::from((OUTSIDE[0], PORT))).unwrap();
    receiver.ready.recv().unwrap();
    sender.go.send(SocketAddr::from((OUTSIDE[1], PORT))).unwrap();
    let gigabits = receiver.thread.join().unwrap();
    sender.thread.join().unwrap();
    Run { gigabits, dropped: forwarder.stop() }
}

/// A namespace's thread, which begins when it is told of its other side.
struct Host<T> {
    thread: NamespaceThread<T>,
    go: Sender<SocketAddr>,
    ready: Receiver<()>,
}

/// What a host's job hears and says.
struct Line {
    go: Receiver<SocketAddr>,
    ready: Sender<()>,
}

fn host<T: Send + 'static>(
    name: &str,
    address: Ipv4Addr,
    taking: Receive,
    job: impl FnOnce(Line) -> T + Send + 'static,
) -> (Host<T>, Tun) {
    let (go, told) = mpsc::channel();
    let (say, ready) = mpsc::channel();
    let (give, port) = mpsc::channel();
    let thread = Namespace::spawn(name, move || {
        give.send(open_port(address, taking).unwrap()).unwrap();
        job(Line { go: told, ready: say })
    });
    (Host { thread: thread.unwrap(), go, ready }, port.recv().unwrap())
}

fn open_port(address: Ipv4Addr, receive: Receive) -> Result<Tun, DeviceError> {
    let tun = Tun::open(&TunConfig { mtu: MTU, receive, ..TunConfig::named("port0") })?;
    let interface = tun.interface();
    interface.add_address(IpAddr::V4(address), 24)?;
    interface.set_up()?;
    interface.add_default_route_v4()?;
    Ok(tun)
}

fn send(way: Way, line: &Line) {
    let to = line.go.recv().unwrap();
    let stream = TcpStream::connect(to);
    let mut stream = stream.unwrap_or_else(|error| panic!("{}: {error}", way.title()));
    let block = vec![0x5a; 256 * 1024];
    // Until the receiver has had enough.
    while stream.write_all(&block).is_ok() {}
}

/// Takes bytes and gives gigabits per second.
fn receive(way: Way, line: &Line) -> f64 {
    let remote = line.go.recv().unwrap();
    if way.boxes()[1] {
        open_box_towards(remote);
    }
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    line.ready.send(()).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut block = vec![0; 256 * 1024];
    take(&mut stream, &mut block, WARM_UP);
    let start = Instant::now();
    let bytes = take(&mut stream, &mut block, COUNTED);
    let spent = start.elapsed();
    stream.shutdown(Shutdown::Both).unwrap();
    bytes as f64 * 8.0 / spent.as_secs_f64() / 1e9
}

fn take(stream: &mut TcpStream, block: &mut [u8], time: Duration) -> u64 {
    let start = Instant::now();
    let mut bytes = 0;
    while start.elapsed() < time {
        let length = stream.read(block).unwrap();
        assert!(length > 0, "the sender goes on until it is stopped");
        bytes += length as u64;
    }
    bytes
}

/// Sends one SYN from the port that will listen, so that the own box has a mapping for it.
fn open_box_towards(remote: SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into()).unwrap();
    // It is under way, and its answer is not waited for.
    let _ = socket.connect(&remote.into());
}

enum Forwarder {
    Bare { stop: Arc<AtomicBool>, thread: JoinHandle<u64> },
    Fabric(Pump),
}

impl Forwarder {
    fn start(way: Way, tuns: [Tun; 2]) -> Self {
        let clock = Clock::start();
        if way.carrier == Carrier::Bare {
            return Self::bare(tuns);
        }
        let (graph, ids) = plan(way.boxes(), &clock);
        let fabric = Fabric::new(graph, Entropy::new([7; 32]), clock.now());
        let pump = Pump::start(tuns.into(), clock, Load::Bulk).unwrap();
        pump.load(fabric, ids.into(), Packets::Forgotten).unwrap();
        Self::Fabric(pump)
    }

    fn bare(tuns: [Tun; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || forward(&tuns, &stopped));
        Self::Bare { stop, thread }
    }

    /// Ends it, and gives how many packets the ports dropped.
    fn stop(self) -> u64 {
        match self {
            Self::Bare { stop, thread } => {
                stop.store(true, Ordering::Relaxed);
                thread.join().unwrap()
            }
            Self::Fabric(pump) => pump.unload().unwrap().tun_drops,
        }
    }
}

/// The bare forwarder.
fn forward(tuns: &[Tun; 2], stop: &AtomicBool) -> u64 {
    let mut readable = ReadableSet::new(tuns.iter().map(std::os::fd::AsFd::as_fd));
    let mut packets = vec![(0, [0; 2048]); BATCH];
    while !stop.load(Ordering::Relaxed) {
        readable.wait_until(Instant::now() + Duration::from_millis(1)).unwrap();
        for (place, tun) in tuns.iter().enumerate() {
            if !readable.is_readable(place) {
                continue;
            }
            let mut count = 0;
            for (length, packet) in &mut packets {
                let Ok(read) = tun.read(packet) else { break };
                *length = read;
                count += 1;
            }
            let read = packets[..count].iter().map(|(length, packet)| &packet[..*length]);
            tuns[1 - place].write_all(read).unwrap();
        }
    }
    tuns.iter().map(|tun| tun.dropped().unwrap()).sum()
}

/// Two hosts, each behind a NAT box or not, at a router.
fn plan(boxes: [bool; 2], clock: &Clock) -> (Graph, [PortId; 2]) {
    let mut graph = Graph::new();
    let core = graph.router("core", RouterSpec::default());
    let arms = [("a", OUTSIDE[0], boxes[0]), ("b", OUTSIDE[1], boxes[1])];
    let ports = arms.map(|(name, address, has_box)| {
        let port = graph.port(name);
        let mut head = End::Port(port);
        if has_box {
            let spec = MiddleboxSpec::rfc5382_compliant();
            let entropy = Entropy::new([1; 32]);
            let machine = Middlebox::new(spec, IpAddr::V4(address), entropy, clock.now());
            let node = graph.middlebox(format!("box-{name}"), machine);
            graph.link(port, End::Inside(node), LinkSpec::default()).unwrap();
            head = End::Outside(node);
        }
        let link = graph.link(head, End::Router(core), LinkSpec::default()).unwrap();
        graph.route(core, IpAddr::V4(address), link).unwrap();
        port
    });
    (graph, ports)
}
