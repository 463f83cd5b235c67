//! The standard star: hosts `a` and `b`, each behind a box or not, and the broker `c`, one leg
//! apart from each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use simopen_fabric::{
    End, Graph, GraphError, HOST_LINK_DELAY, LinkSpec, NodeId, PortId, RouterSpec, SourceValidation,
};
use simopen_nat::{Middlebox, MiddleboxSpec, Role};
use simopen_packet::{Entropy, Timestamp};

use crate::boxes::NamedBox;
use crate::cell::Cell;
use crate::conditions::Conditions;
use crate::network::{Executor, Host, Network, Place, PlacedBox};
use crate::proxies::{PROXY_NAMES, Proxies};

/// The names of the hosts, in the order of all arrays of three.
pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// Which version of IP a star speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpVersion {
    /// IPv4.
    #[default]
    V4,
    /// IPv6; boxes are firewalls then.
    V6,
}

/// The preset that is for IPv6.
const FOR_IPV6: &str = "ipv6-stateful-rfc6092";

impl IpVersion {
    /// What hosts behind these boxes speak: IPv6 where one of the boxes is for it and none
    /// translates.
    #[must_use]
    pub fn before(boxes: [&NamedBox; 2]) -> Self {
        let translates = boxes.iter().any(|placed| placed.spec.role == Role::Nat);
        if !translates && boxes.iter().any(|placed| placed.name == FOR_IPV6) {
            Self::V6
        } else {
            Self::V4
        }
    }
}

/// What a star is.
#[derive(Debug, Clone, PartialEq)]
pub struct Star {
    /// The boxes before `a` and `b`.
    pub boxes: [Option<MiddleboxSpec>; 2],
    /// The link of each of `a`, `b` and `c` to the core; its delay is half a leg.
    pub links: [LinkSpec; 3],
    /// Whether the core checks source addresses, as the broker's network may.
    pub source_validation: SourceValidation,
    /// Whether a host for an HTTP proxy stands outside of each box, half a leg away from it.
    pub has_proxies: bool,
    /// Which version of IP.
    pub ip: IpVersion,
    /// Who turns the boxes.
    pub executor: Executor,
}

impl Star {
    /// The star without boxes whose legs all take that long.
    #[must_use]
    pub fn with_leg(leg: Duration) -> Self {
        Self {
            boxes: [None, None],
            links: [LinkSpec::with_delay(leg / 2); 3],
            source_validation: SourceValidation::Off,
            has_proxies: false,
            ip: IpVersion::V4,
            executor: Executor::Model,
        }
    }

    /// The star of a cell.
    #[must_use]
    pub fn of_cell(cell: &Cell, executor: Executor) -> Self {
        let Conditions { leg, jitter, loss, rate, source_validation, .. } = cell.conditions;
        let link = LinkSpec { jitter, loss, rate, ..LinkSpec::with_delay(leg / 2) };
        let validation =
            if source_validation { SourceValidation::Strict } else { SourceValidation::Off };
        Self {
            boxes: cell.boxes.each_ref().map(|placed| Some(placed.spec)),
            links: [link; 3],
            source_validation: validation,
            has_proxies: Proxies::for_way(&cell.way) != Proxies::None,
            ip: IpVersion::before(cell.boxes.each_ref()),
            executor,
        }
    }

    /// One way from `a` to `b`, without what their boxes add and the links draw.
    #[must_use]
    pub fn leg(&self) -> Duration {
        self.links[0].delay + self.links[1].delay
    }

    /// Plans the network. Hosts are `a`, `b`, `c` in this order, then the proxies if there are any,
    /// boxes `box-a` and `box-b`, the
    /// router `core`. Each box that is a machine gets a stream of chance of its own from `entropy`.
    ///
    /// # Errors
    ///
    /// [`GraphError`] where a link has a loss or rate that no link can have.
    pub fn network(&self, entropy: &Entropy, now: Timestamp) -> Result<Network, GraphError> {
        let addresses = Addresses::of(self);
        let mut graph = Graph::new();
        let core = graph.router(
            "core",
            RouterSpec {
                addresses: vec![addresses.core],
                source_validation: self.source_validation,
                ..RouterSpec::default()
            },
        );
        let mut arms = Arms { star: self, addresses, graph, core, boxes: Vec::new() };
        let mut hosts = Vec::with_capacity(3);
        for (place, name) in NAMES.into_iter().enumerate() {
            let address = addresses.hosts[place];
            let port = arms.graph.port(name);
            arms.join(place, port, entropy, now)?;
            let addresses = vec![(address, prefix_length(address))];
            hosts.push(Host { name: name.to_owned(), port, addresses });
        }
        for (place, name) in PROXY_NAMES.into_iter().enumerate().filter(|_| self.has_proxies) {
            let address = addresses.proxies[place];
            let port = arms.graph.port(name);
            let link = self.links[place];
            let beside = LinkSpec {
                rate: link.rate,
                queue: link.queue,
                ..LinkSpec::with_delay(HOST_LINK_DELAY)
            };
            let link = arms.graph.link(port, End::Router(core), beside)?;
            arms.graph.route(core, address, link)?;
            let addresses = vec![(address, prefix_length(address))];
            hosts.push(Host { name: name.to_owned(), port, addresses });
        }
        Ok(Network { graph: arms.graph, hosts, boxes: arms.boxes, links: BTreeMap::new() })
    }
}

/// The plan while its arms are being added.
struct Arms<'star> {
    star: &'star Star,
    addresses: Addresses,
    graph: Graph,
    core: NodeId,
    boxes: Vec<PlacedBox>,
}

impl Arms<'_> {
    /// Joins a host to the core, behind its box if it has one.
    fn join(
        &mut self,
        place: usize,
        port: PortId,
        entropy: &Entropy,
        now: Timestamp,
    ) -> Result<(), GraphError> {
        let host = self.addresses.hosts[place];
        let Some(spec) = self.star.boxes.get(place).copied().flatten() else {
            return self.link_to_core(port.into(), place, &[host]);
        };
        let external = self.addresses.boxes[place];
        let routed = if spec.role == Role::Nat {
            spec.pool.members(external).collect()
        } else {
            vec![host, external]
        };
        let name = format!("box-{}", NAMES[place]);
        let (inside, outside, stands) = match self.star.executor {
            Executor::Model => {
                let machine = Middlebox::new(spec, external, derived(entropy, place), now);
                let node = self.graph.middlebox(name.clone(), machine);
                (End::Inside(node), End::Outside(node), Place::Machine(node))
            }
            Executor::Nft => {
                let inside = self.graph.port(format!("{name}-inside"));
                let outside = self.graph.port(format!("{name}-outside"));
                (inside.into(), outside.into(), Place::Kernel { inside, outside })
            }
        };
        self.graph.link(port, inside, LinkSpec::with_delay(HOST_LINK_DELAY))?;
        let inside = vec![(host, prefix_length(host))];
        self.boxes.push(PlacedBox { name, spec, external, inside, place: stands });
        self.link_to_core(outside, place, &routed)
    }

    fn link_to_core(
        &mut self,
        head: End,
        place: usize,
        routed: &[IpAddr],
    ) -> Result<(), GraphError> {
        let link = self.graph.link(head, End::Router(self.core), self.star.links[place])?;
        routed.iter().try_for_each(|address| self.graph.route(self.core, *address, link))
    }
}

/// The addresses of a star. Behind a NAT a host has a private one.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    hosts: [IpAddr; 3],
    boxes: [IpAddr; 2],
    proxies: [IpAddr; 2],
    core: IpAddr,
}

impl Addresses {
    fn of(star: &Star) -> Self {
        let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        // Networks that are set aside for documentation (RFC 5737, RFC 3849).
        let v6 = |net, host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, host));
        let behind_nat =
            |place: usize| star.boxes[place].is_some_and(|spec| spec.role == Role::Nat);
        match star.ip {
            IpVersion::V4 => Self {
                hosts: [
                    if behind_nat(0) { v4(10, 0, 1, 2) } else { v4(198, 51, 100, 2) },
                    if behind_nat(1) { v4(10, 0, 2, 2) } else { v4(203, 0, 113, 2) },
                    v4(192, 0, 2, 2),
                ],
                boxes: [v4(198, 51, 100, 1), v4(203, 0, 113, 1)],
                proxies: [v4(192, 0, 2, 101), v4(192, 0, 2, 102)],
                core: v4(192, 0, 2, 1),
            },
            IpVersion::V6 => Self {
                hosts: [v6(0xa, 2), v6(0xb, 2), v6(0xc, 2)],
                boxes: [v6(0xa, 1), v6(0xb, 1)],
                proxies: [v6(0xc, 0x101), v6(0xc, 0x102)],
                core: v6(0xc, 1),
            },
        }
    }
}

const fn prefix_length(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 64,
    }
}

/// Each box gets a stream of its own.
fn derived(entropy: &Entropy, place: usize) -> Entropy {
    let mut bytes = entropy.clone().into_bytes();
    bytes[0] ^= 1 + u8::try_from(place).unwrap_or(u8::MAX - 1);
    Entropy::new(bytes)
}
