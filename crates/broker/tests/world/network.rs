//! Two hosts behind boxes and the broker, as a star or with three distances of their own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simopen_fabric::{
    Arm, End, Fabric, Graph, HOST_LINK_DELAY, LinkSpec, NodeId, PortId, RouterSpec, Star,
};
use simopen_nat::{InboundBareSyn, Middlebox, MiddleboxSpec, TcpTracking, UnsolicitedSyn};
use simopen_packet::{Entropy, Timestamp};

pub(crate) const BROKER: &str = "192.0.2.2:443";
const LOCAL: [&str; 2] = ["10.0.1.2:40000", "10.0.2.2:50000"];
const BOXES: [&str; 2] = ["198.51.100.1", "203.0.113.1"];

/// A NAT that keeps ports, and how it treats what comes from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Nat {
    /// Says nothing to strangers and never lets a bare SYN in.
    Silent,
    /// The same, but the router's own stack answers RST.
    Resetting,
    /// Says nothing to strangers and lets a bare SYN in where one went out.
    Admitting,
    /// The same, but the router's own stack answers strangers with RST.
    AdmittingResetting,
    /// Admits too, and looks at no sequence numbers.
    Liberal,
    /// Lets anybody in to an endpoint that it maps (RFC 5382).
    EndpointIndependent,
    /// Maps for all, and lets in whom the host has addressed.
    AddressDependent,
}

impl Nat {
    fn spec(self) -> MiddleboxSpec {
        let admitting = MiddleboxSpec::linux_masquerade_drop_input();
        let silent = admitting.with_inbound_bare_syn(InboundBareSyn::Dropped);
        match self {
            Self::Silent => silent,
            Self::Resetting => silent.with_unsolicited(UnsolicitedSyn::Reset),
            Self::Admitting => admitting,
            Self::AdmittingResetting => admitting.with_unsolicited(UnsolicitedSyn::Reset),
            Self::Liberal => admitting.with_tracking(TcpTracking::Liberal),
            Self::EndpointIndependent => MiddleboxSpec::rfc5382_compliant(),
            Self::AddressDependent => MiddleboxSpec::ei_mapping_apd_filtering(),
        }
    }
}

pub(crate) fn local(host: usize) -> SocketAddr {
    LOCAL[host].parse().unwrap()
}

/// How a host's port looks from outside.
pub(crate) fn public(host: usize) -> SocketAddr {
    SocketAddr::new(BOXES[host].parse().unwrap(), local(host).port())
}

/// How far the three are from each other, one way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Distances {
    /// `a`, `b` and `c` hang on one core, each by half a leg of its own.
    Star([Duration; 3]),
    /// Any three distances, also such as no star has.
    Triangle { a_b: Duration, a_c: Duration, b_c: Duration },
}

impl Distances {
    /// From host `a` or `b` to the broker, the link to the own box included.
    pub(crate) fn to_broker(self, host: usize) -> Duration {
        let between = match self {
            Self::Star(half) => half[host] + half[2],
            Self::Triangle { a_c, b_c, .. } => [a_c, b_c][host],
        };
        between + HOST_LINK_DELAY
    }

    /// From host to host.
    pub(crate) fn between_hosts(self) -> Duration {
        let between = match self {
            Self::Star(half) => half[0] + half[1],
            Self::Triangle { a_b, .. } => a_b,
        };
        between + 2 * HOST_LINK_DELAY
    }
}

/// The fabric and the ports of `a`, `b` and `c`.
pub(crate) struct Network {
    pub(crate) fabric: Fabric,
    pub(crate) ports: [PortId; 3],
    pub(crate) boxes: [NodeId; 2],
}

impl Network {
    pub(crate) fn new(distances: Distances, boxes: [Nat; 2], time_exceeded: bool) -> Self {
        let machines = [0, 1].map(|host| {
            let entropy = Entropy::new([host as u8 + 1; 32]);
            Middlebox::new(boxes[host].spec(), public(host).ip(), entropy, Timestamp::ZERO)
        });
        match distances {
            Distances::Star(half_legs) => star(half_legs, machines, time_exceeded),
            Distances::Triangle { a_b, a_c, b_c } => triangle([a_b, a_c, b_c], machines),
        }
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn broker() -> IpAddr {
    BROKER.parse::<SocketAddr>().unwrap().ip()
}

fn router(own: &str) -> RouterSpec {
    RouterSpec { addresses: vec![address(own)], ..RouterSpec::default() }
}

/// A router without an address answers nothing.
fn star(half_legs: [Duration; 3], [box_a, box_b]: [Middlebox; 2], time_exceeded: bool) -> Network {
    let core = if time_exceeded { router("192.0.2.1") } else { RouterSpec::default() };
    let arms = [
        Arm::new("a", &[address(BOXES[0])], half_legs[0]).behind(box_a),
        Arm::new("b", &[address(BOXES[1])], half_legs[1]).behind(box_b),
        Arm::new("c", &[broker()], half_legs[2]),
    ];
    let star = Star::new(core, arms).unwrap();
    let boxes = [0, 1].map(|host: usize| star.boxes[host].unwrap());
    let fabric = Fabric::new(star.graph, Entropy::new([7; 32]), Timestamp::ZERO);
    Network { fabric, ports: star.ports, boxes }
}

/// Three routers, each with its host, and a link between any two of them.
fn triangle([a_b, a_c, b_c]: [Duration; 3], machines: [Middlebox; 2]) -> Network {
    let mut graph = Graph::new();
    let addresses = [address(BOXES[0]), address(BOXES[1]), broker()];
    let routers = [("ra", "192.0.2.11"), ("rb", "192.0.2.12"), ("rc", "192.0.2.13")]
        .map(|(name, own)| graph.router(name, router(own)));
    let ports = ["a", "b", "c"].map(|name| graph.port(name));
    let near = LinkSpec::with_delay(HOST_LINK_DELAY);
    let at_once = LinkSpec::default();
    let mut heads = ports.map(End::Port);
    let mut boxes = Vec::new();
    for (host, machine) in machines.into_iter().enumerate() {
        let node = graph.middlebox(format!("box-{host}"), machine);
        graph.link(ports[host], End::Inside(node), near).unwrap();
        heads[host] = End::Outside(node);
        boxes.push(node);
    }
    for place in 0..3 {
        let link = graph.link(heads[place], End::Router(routers[place]), at_once).unwrap();
        graph.route(routers[place], addresses[place], link).unwrap();
    }
    for (one, other, delay) in [(0, 1, a_b), (0, 2, a_c), (1, 2, b_c)] {
        let spec = LinkSpec::with_delay(delay);
        let ends = [one, other].map(|place: usize| End::Router(routers[place]));
        let link = graph.link(ends[0], ends[1], spec).unwrap();
        graph.route(routers[one], addresses[other], link).unwrap();
        graph.route(routers[other], addresses[one], link).unwrap();
    }
    let fabric = Fabric::new(graph, Entropy::new([7; 32]), Timestamp::ZERO);
    Network { fabric, ports, boxes: [boxes[0], boxes[1]] }
}
