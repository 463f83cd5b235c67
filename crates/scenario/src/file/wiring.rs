//! From the plan of a file to a network that can be built: links, and the routes between them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use simopen_fabric::{
    End, Forwarding, Graph, GraphError, HOST_LINK_DELAY, LinkId, LinkSpec, NodeId, RouterSpec,
};
use simopen_nat::{Middlebox, Role};
use simopen_packet::{Entropy, Timestamp};

use super::plan::{BoxPlan, Plan, addresses_of};
use crate::network::{Executor, Host, Network, Place, PlacedBox};

/// What a world adds to a plan.
#[derive(Clone)]
pub struct World {
    /// Who turns the boxes.
    pub executor: Executor,
    /// Rate and queue of links that have no rate of their own.
    pub link: LinkSpec,
    /// What the boxes' chance follows from.
    pub entropy: Entropy,
    /// What time it is.
    pub now: Timestamp,
}

/// A second address that something has in the course of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Later {
    OfHost(usize, IpAddr),
    OfBox(usize, IpAddr),
}

impl Plan {
    /// Plans the network. All that is attached to a segment is joined to it by a link of its own;
    /// each segment and router gets a route to every address that can be reached from it, by the
    /// way that crosses fewest boxes and routers. Nothing inside a NAT can be reached from outside.
    pub(super) fn wire(&self, later: &[Later], world: &World) -> Result<Network, GraphError> {
        let mut wiring = Wiring::lay(self, world)?;
        for (number, host) in self.hosts.iter().enumerate() {
            let link = wiring.host_links[number];
            for (address, _) in &host.addresses {
                wiring.reach(*address, host.network, link)?;
            }
        }
        for (number, placed) in self.boxes.iter().enumerate() {
            let link = wiring.box_links[number].outside;
            for address in placed.addresses() {
                wiring.reach(address, placed.outside, link)?;
            }
        }
        for extra in later {
            match *extra {
                Later::OfHost(host, address) => {
                    let link = wiring.host_links[host];
                    wiring.reach(address, self.hosts[host].network, link)?;
                }
                Later::OfBox(number, first) => {
                    let link = wiring.box_links[number].outside;
                    let placed = &self.boxes[number];
                    for address in addresses_of(first, &placed.spec) {
                        wiring.reach(address, placed.outside, link)?;
                    }
                }
            }
        }
        Ok(wiring.network)
    }

    /// The segments that lie between a network and the others: how far each is, which box or
    /// router is crossed next on the way from `to`, and by which side. Whoever is further from `to`
    /// comes later in the list.
    fn ways_to(&self, to: usize, is_ipv4: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut seen = vec![false; self.networks.len()];
        seen[to] = true;
        let mut next = vec![to];
        while !next.is_empty() {
            let mut beyond = Vec::new();
            for towards in next {
                for (from, by) in self.neighbours(towards, is_ipv4) {
                    if !seen[from] {
                        seen[from] = true;
                        beyond.push(from);
                        steps.push(Step { from, by, towards });
                    }
                }
            }
            next = beyond;
        }
        steps
    }

    /// From which segments, and through what, a packet can come to a segment.
    fn neighbours(&self, towards: usize, is_ipv4: bool) -> Vec<(usize, By)> {
        let mut found = Vec::new();
        for (number, placed) in self.boxes.iter().enumerate() {
            if placed.address.is_ipv4() != is_ipv4 {
                continue;
            }
            if placed.outside == towards {
                found.push((placed.inside, By::Box(number)));
            }
            if placed.inside == towards && placed.spec.role != Role::Nat {
                found.push((placed.outside, By::Box(number)));
            }
        }
        for (number, router) in self.routers.iter().enumerate() {
            if router.networks.contains(&towards) {
                let others = router.networks.iter().filter(|other| **other != towards);
                found.extend(others.map(|other| (*other, By::Router(number))));
            }
        }
        found
    }

    /// The boxes that a packet from a host to another crosses from inside, in this order, and the
    /// delay of all links on the way. `None` where there is no way.
    pub(super) fn way(&self, from: usize, to: usize) -> Option<(Vec<usize>, std::time::Duration)> {
        let (from, to) = (&self.hosts[from], &self.hosts[to]);
        let is_ipv4 = [true, false]
            .into_iter()
            .find(|is_ipv4| from.address(*is_ipv4).is_some() && to.address(*is_ipv4).is_some())?;
        let steps = self.ways_to(to.network, is_ipv4);
        let mut delay = from.link.delay + to.link.delay;
        let (mut at, mut boxes) = (from.network, Vec::new());
        while at != to.network {
            let step = steps.iter().find(|step| step.from == at)?;
            match step.by {
                By::Box(number) => {
                    let placed = &self.boxes[number];
                    delay += HOST_LINK_DELAY + placed.link.delay;
                    if placed.inside == at {
                        boxes.push(number);
                    }
                }
                By::Router(number) => delay += self.routers[number].link.delay * 2,
            }
            at = step.towards;
        }
        Some((boxes, delay))
    }

    /// The prefixes from which packets come to the inside of a box.
    fn inside_of(&self, placed: &BoxPlan) -> Vec<(IpAddr, u8)> {
        let is_ipv4 = placed.address.is_ipv4();
        let mut networks = vec![placed.inside];
        let outward = |network: &usize| *network == placed.outside;
        for step in self.ways_to(placed.inside, is_ipv4) {
            if !outward(&step.from) && networks.contains(&step.towards) {
                networks.push(step.from);
            }
        }
        let prefixes = networks.iter().flat_map(|network| &self.networks[*network].prefixes);
        prefixes.filter(|(first, _)| first.is_ipv4() == is_ipv4).copied().collect()
    }
}

/// One step on the way to an address: from this segment through this to that one.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: usize,
    by: By,
    towards: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Box(usize),
    Router(usize),
}

/// The two links of a box.
#[derive(Debug, Clone, Copy)]
struct BoxLinks {
    inside: LinkId,
    outside: LinkId,
}

/// The network while routes are being added.
struct Wiring<'plan> {
    plan: &'plan Plan,
    network: Network,
    segments: Vec<NodeId>,
    routers: Vec<NodeId>,
    host_links: Vec<LinkId>,
    box_links: Vec<BoxLinks>,
    /// By router and network.
    router_links: BTreeMap<(usize, usize), LinkId>,
}

impl<'plan> Wiring<'plan> {
    fn lay(plan: &'plan Plan, world: &World) -> Result<Self, GraphError> {
        let network = Network {
            graph: Graph::new(),
            hosts: Vec::new(),
            boxes: Vec::new(),
            links: BTreeMap::new(),
        };
        let mut wiring = Self {
            plan,
            network,
            segments: Vec::new(),
            routers: Vec::new(),
            host_links: Vec::new(),
            box_links: Vec::new(),
            router_links: BTreeMap::new(),
        };
        wiring.lay_segments();
        wiring.lay_hosts(world)?;
        for number in 0..plan.boxes.len() {
            wiring.lay_box(number, world)?;
        }
        wiring.lay_routers(world)?;
        Ok(wiring)
    }

    fn lay_segments(&mut self) {
        for segment in &self.plan.networks {
            let spec = RouterSpec {
                addresses: segment.addresses.clone(),
                source_validation: segment.source_validation,
                forwarding: segment.forwarding,
            };
            self.segments.push(self.network.graph.router(segment.name.clone(), spec));
        }
    }

    fn lay_hosts(&mut self, world: &World) -> Result<(), GraphError> {
        for host in &self.plan.hosts {
            let graph = &mut self.network.graph;
            let port = graph.port(host.name.clone());
            let segment = End::Router(self.segments[host.network]);
            let link = graph.link(port, segment, host.link.spec(world.link))?;
            self.host_links.push(link);
            self.network.links.insert(host.name.clone(), link);
            let (name, addresses) = (host.name.clone(), host.addresses.clone());
            self.network.hosts.push(Host { name, port, addresses });
        }
        Ok(())
    }

    fn lay_box(&mut self, number: usize, world: &World) -> Result<(), GraphError> {
        let placed = &self.plan.boxes[number];
        let graph = &mut self.network.graph;
        let (inside, outside, place) = match world.executor {
            Executor::Model => {
                let entropy = derived(&world.entropy, number);
                let machine = Middlebox::new(placed.spec, placed.address, entropy, world.now);
                let node = graph.middlebox(placed.name.clone(), machine);
                (End::Inside(node), End::Outside(node), Place::Machine(node))
            }
            Executor::Nft => {
                let inside = graph.port(format!("{}-inside", placed.name));
                let outside = graph.port(format!("{}-outside", placed.name));
                (inside.into(), outside.into(), Place::Kernel { inside, outside })
            }
        };
        let near = LinkSpec { delay: HOST_LINK_DELAY, ..world.link };
        let links = BoxLinks {
            inside: graph.link(inside, End::Router(self.segments[placed.inside]), near)?,
            outside: graph.link(
                outside,
                End::Router(self.segments[placed.outside]),
                placed.link.spec(world.link),
            )?,
        };
        self.box_links.push(links);
        self.network.links.insert(placed.name.clone(), links.outside);
        self.network.boxes.push(PlacedBox {
            name: placed.name.clone(),
            spec: placed.spec,
            external: placed.address,
            inside: self.plan.inside_of(placed),
            place,
        });
        Ok(())
    }

    fn lay_routers(&mut self, world: &World) -> Result<(), GraphError> {
        for (number, router) in self.plan.routers.iter().enumerate() {
            let graph = &mut self.network.graph;
            let spec = RouterSpec {
                addresses: router.addresses.clone(),
                source_validation: router.source_validation,
                forwarding: Forwarding::Router,
            };
            let node = graph.router(router.name.clone(), spec);
            for network in &router.networks {
                let segment = End::Router(self.segments[*network]);
                let link = graph.link(End::Router(node), segment, router.link.spec(world.link))?;
                self.router_links.insert((number, *network), link);
            }
            self.routers.push(node);
        }
        Ok(())
    }

    /// Routes an address, which is at the end of a link of a segment, from everywhere.
    fn reach(&mut self, address: IpAddr, home: usize, link: LinkId) -> Result<(), GraphError> {
        let plan = self.plan;
        let graph = &mut self.network.graph;
        graph.route(self.segments[home], address, link)?;
        for number in plan.routers_at(home) {
            graph.route(self.routers[number], address, self.router_links[&(number, home)])?;
        }
        let mut routed: Vec<usize> = plan.routers_at(home).collect();
        for step in plan.ways_to(home, address.is_ipv4()) {
            let leaves_by = match step.by {
                By::Box(number) if plan.boxes[number].inside == step.from => {
                    self.box_links[number].inside
                }
                By::Box(number) => self.box_links[number].outside,
                By::Router(number) => self.router_links[&(number, step.from)],
            };
            // A segment that has the address itself, or is nearer to another owner of it, such as
            // a private network inside a private network, keeps what it has.
            if plan.owns(step.from, address) {
                continue;
            }
            graph.route(self.segments[step.from], address, leaves_by)?;
            for number in plan.routers_at(step.from) {
                if !routed.contains(&number) {
                    routed.push(number);
                    let link = self.router_links[&(number, step.from)];
                    graph.route(self.routers[number], address, link)?;
                }
            }
        }
        Ok(())
    }
}

impl Plan {
    fn routers_at(&self, network: usize) -> impl Iterator<Item = usize> {
        let at = move |(_, router): &(usize, &super::plan::RouterPlan)| {
            router.networks.contains(&network)
        };
        self.routers.iter().enumerate().filter(at).map(|(number, _)| number)
    }

    /// Whether an address belongs to a network itself.
    fn owns(&self, network: usize, address: IpAddr) -> bool {
        self.networks[network].prefix_of(address).is_some()
    }
}

/// Each box gets a stream of its own.
fn derived(entropy: &Entropy, number: usize) -> Entropy {
    let mut bytes = entropy.clone().into_bytes();
    bytes[0] ^= 1 + u8::try_from(number).unwrap_or(u8::MAX - 1);
    Entropy::new(bytes)
}
