//! The fabric from outside: packets in, packets and journal out.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod conservation;
mod hold;
mod links;
mod middleboxes;
mod routing;
mod time_exceeded;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use simopen_fabric::{
    Arm, Delivery, DropReason, Fabric, FabricEvent, Graph, Happening, LinkSpec, PortId, RouterSpec,
    SourceValidation, Star,
};
use simopen_nat::{Middlebox, MiddleboxSpec};
use simopen_packet::{Entropy, SeqNumber, TcpBuilder, TcpFlags, Timestamp, Ttl};

const A: &str = "192.0.2.1:4000";
const B: &str = "198.51.100.1:5000";
const A_INSIDE: &str = "10.0.0.2:4000";
const B_INSIDE: &str = "10.0.1.2:5000";
const C: &str = "203.0.113.1:443";
const CORE: &str = "203.0.113.254";
const HALF_LEG: Duration = Duration::from_millis(5);

fn endpoint(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    endpoint(text).ip()
}

fn ms(millis: f64) -> Timestamp {
    Timestamp::from_nanos((millis * 1e6) as u64)
}

/// A TCP segment as a test sends it.
#[derive(Clone, Copy)]
struct Segment {
    source: SocketAddr,
    destination: SocketAddr,
    flags: TcpFlags,
    sequence: u32,
    acknowledgment: u32,
    ttl: u8,
    payload: usize,
}

impl Segment {
    fn new(source: &str, destination: &str, flags: TcpFlags) -> Self {
        Self {
            source: endpoint(source),
            destination: endpoint(destination),
            flags,
            sequence: 1000,
            acknowledgment: 0,
            ttl: 64,
            payload: 0,
        }
    }

    fn syn(source: &str, destination: &str) -> Self {
        Self::new(source, destination, TcpFlags::SYN)
    }

    /// Data, which the journal does not follow.
    fn data(source: &str, destination: &str) -> Self {
        Self { payload: 100, ..Self::new(source, destination, TcpFlags::ACK) }
    }

    fn emit(&self, buffer: &mut [u8]) -> usize {
        let builder = TcpBuilder {
            source: self.source,
            destination: self.destination,
            ttl: Ttl(self.ttl),
            sequence: SeqNumber(self.sequence),
            acknowledgment: SeqNumber(self.acknowledgment),
            flags: self.flags,
            window: 65_535,
        };
        builder.emit(&[], &vec![0; self.payload], buffer).unwrap()
    }
}

/// Hands `segment` in at `port`.
fn send(fabric: &mut Fabric, port: PortId, segment: Segment, at: Timestamp) {
    let mut buffer = fabric.buffer();
    let len = segment.emit(buffer.as_mut_slice());
    buffer.set_len(len);
    fabric.handle_packet(port, buffer, at);
}

/// Takes out all that is ready.
fn drain(fabric: &mut Fabric) -> Vec<Delivery> {
    std::iter::from_fn(|| fabric.poll_transmit()).collect()
}

/// Turns the fabric until no packet is under way, or until `end`; gives what came out.
fn run(fabric: &mut Fabric, end: Timestamp) -> Vec<Delivery> {
    let mut out = drain(fabric);
    while let Some((due, _)) = fabric.poll_timeout()
        && due <= end
    {
        fabric.handle_timeout(due);
        out.append(&mut drain(fabric));
    }
    out
}

fn events(fabric: &mut Fabric) -> Vec<FabricEvent> {
    std::iter::from_fn(|| fabric.poll_event()).collect()
}

fn drops(fabric: &mut Fabric) -> Vec<DropReason> {
    let mut drops = Vec::new();
    for event in events(fabric) {
        if let Happening::Dropped(reason) = event.what {
            drops.push(reason);
        }
    }
    drops
}

/// A journal as lines, to compare two runs.
fn lines(fabric: &mut Fabric) -> Vec<String> {
    events(fabric).iter().map(|event| format!("{event:?}")).collect()
}

/// Two ports joined by one link.
fn wire(spec: LinkSpec, entropy: u8) -> (Fabric, [PortId; 2]) {
    let mut graph = Graph::new();
    let ports = [graph.port("a"), graph.port("b")];
    graph.link(ports[0], ports[1], spec).unwrap();
    (Fabric::new(graph, Entropy::new([entropy; 32]), Timestamp::ZERO), ports)
}

fn core(source_validation: SourceValidation) -> RouterSpec {
    RouterSpec {
        addresses: vec![CORE.parse().unwrap()],
        source_validation,
        ..RouterSpec::default()
    }
}

fn nat(spec: MiddleboxSpec, external: &str, entropy: u8) -> Middlebox {
    Middlebox::new(spec, address(external), Entropy::new([entropy; 32]), Timestamp::ZERO)
}

/// `a`, `b` and `c` on the core, without boxes.
fn open_star(validation: SourceValidation) -> (Fabric, [PortId; 3]) {
    let arms = [("a", A), ("b", B), ("c", C)]
        .map(|(name, host)| Arm::new(name, &[address(host)], HALF_LEG));
    let star = Star::new(core(validation), arms).unwrap();
    (Fabric::new(star.graph, Entropy::new([1; 32]), Timestamp::ZERO), star.ports)
}

/// The standard star: `a` and `b` behind a NAT each.
fn natted_star(validation: SourceValidation, spec: MiddleboxSpec) -> (Fabric, Star<3>) {
    let arms = [
        Arm::new("a", &[address(A)], HALF_LEG).behind(nat(spec, A, 2)),
        Arm::new("b", &[address(B)], HALF_LEG).behind(nat(spec, B, 3)),
        Arm::new("c", &[address(C)], HALF_LEG),
    ];
    let star = Star::new(core(validation), arms).unwrap();
    (Fabric::new(star.graph.clone(), Entropy::new([1; 32]), Timestamp::ZERO), star)
}
