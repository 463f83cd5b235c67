//! Two hosts behind boxes and the broker, as a star or with three distances of their own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use simopen_fabric::{End, Graph, HOST_LINK_DELAY, LinkSpec, NodeId, RouterSpec};
use simopen_nat::{InboundBareSyn, Middlebox, MiddleboxSpec, TcpTracking, UnsolicitedSyn};
use simopen_packet::{Entropy, Timestamp};
use simopen_scenario::network::{Host, Network, Place, PlacedBox};

const NAMES: [&str; 3] = ["a", "b", "c"];
const HOSTS: [&str; 3] = ["10.0.1.2", "10.0.2.2", "192.0.2.2"];
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

    /// The network. Routers that have no address answer nothing.
    pub(crate) fn network(self, boxes: [Nat; 2], time_exceeded: bool) -> Network {
        match self {
            Self::Star(half_legs) => {
                let mut plan = Plan::new(boxes);
                let own: &[&str] = if time_exceeded { &["192.0.2.1"] } else { &[] };
                let core = plan.router("core", own);
                for (place, half) in half_legs.into_iter().enumerate() {
                    plan.join(place, core, half);
                }
                plan.network
            }
            Self::Triangle { a_b, a_c, b_c } => triangle([a_b, a_c, b_c], boxes),
        }
    }
}

/// Three routers, each with its host, and a link between any two of them.
fn triangle([a_b, a_c, b_c]: [Duration; 3], boxes: [Nat; 2]) -> Network {
    let mut plan = Plan::new(boxes);
    let routers = [("ra", "192.0.2.11"), ("rb", "192.0.2.12"), ("rc", "192.0.2.13")]
        .map(|(name, own)| plan.router(name, &[own]));
    for (place, router) in routers.into_iter().enumerate() {
        plan.join(place, router, Duration::ZERO);
    }
    for (one, other, delay) in [(0, 1, a_b), (0, 2, a_c), (1, 2, b_c)] {
        let graph = &mut plan.network.graph;
        let ends = [one, other].map(|place: usize| End::Router(routers[place]));
        let link = graph.link(ends[0], ends[1], LinkSpec::with_delay(delay)).unwrap();
        graph.route(routers[one], public(other), link).unwrap();
        graph.route(routers[other], public(one), link).unwrap();
    }
    plan.network
}

/// The network while hosts are being joined to it.
struct Plan {
    boxes: [Nat; 2],
    network: Network,
}

impl Plan {
    fn new(boxes: [Nat; 2]) -> Self {
        let graph = Graph::new();
        let links = BTreeMap::new();
        Self { boxes, network: Network { graph, hosts: Vec::new(), boxes: Vec::new(), links } }
    }

    fn router(&mut self, name: &str, own: &[&str]) -> NodeId {
        let addresses = own.iter().map(|own| address(own)).collect();
        self.network.graph.router(name, RouterSpec { addresses, ..RouterSpec::default() })
    }

    /// Joins a host to a router, behind its box if it is `a` or `b`.
    fn join(&mut self, place: usize, router: NodeId, delay: Duration) {
        let Network { graph, hosts, boxes, .. } = &mut self.network;
        let port = graph.port(NAMES[place]);
        let own = vec![(address(HOSTS[place]), 24)];
        let mut head = End::Port(port);
        if let Some(nat) = self.boxes.get(place) {
            let (spec, external) = (nat.spec(), public(place));
            let entropy = Entropy::new([place as u8 + 1; 32]);
            let machine = Middlebox::new(spec, external, entropy, Timestamp::ZERO);
            let name = format!("box-{}", NAMES[place]);
            let node = graph.middlebox(name.clone(), machine);
            let near = LinkSpec::with_delay(HOST_LINK_DELAY);
            graph.link(port, End::Inside(node), near).unwrap();
            head = End::Outside(node);
            let (inside, stands) = (own.clone(), Place::Machine(node));
            boxes.push(PlacedBox { name, spec, external, inside, place: stands });
        }
        let link = graph.link(head, End::Router(router), LinkSpec::with_delay(delay)).unwrap();
        graph.route(router, public(place), link).unwrap();
        hosts.push(Host { name: NAMES[place].to_owned(), port, addresses: own });
    }
}

/// The address by which a host is known outside.
fn public(place: usize) -> IpAddr {
    address(BOXES.get(place).unwrap_or(&HOSTS[place]))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
