//! A box where it stands: in a whole network, in virtual time.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use simopen_fabric::{End, Fabric, GraphError, LinkSpec, NodeId, Origin, PortId, Prefix};
use simopen_nat::Role;
use simopen_packet::{Entropy, Timestamp};
use thiserror::Error;

use super::bench::{Bench, Hosts, Vantage};
use super::probe::Segment;
use crate::network::{Network, Place, PlacedBox};

/// Addresses of the observers, from the networks that are set aside for benchmarks (RFC 2544,
/// RFC 5180), which no other host has.
const OBSERVERS_V4: [[u8; 4]; 2] = [[198, 18, 0, 2], [198, 19, 0, 2]];
const OBSERVERS_V6: [[u16; 8]; 2] = [[0x2001, 2, 0, 1, 0, 0, 0, 2], [0x2001, 2, 0, 2, 0, 0, 0, 2]];
/// How many hosts a NAT is shown.
const INSIDE_HOSTS: u8 = 64;

/// A copy of a network, turned by the bench itself, with two observers outside of the box.
///
/// Packets enter at the port of a host inside and at those of the observers, and travel as the
/// packets of an experiment do.
#[derive(Clone)]
pub struct NetworkBench {
    fresh: Fabric,
    fabric: Fabric,
    node: NodeId,
    hosts: Hosts,
    inside: PortId,
    observers: [PortId; 2],
    /// The other hosts of the network.
    others: Vec<(PortId, IpAddr)>,
    now: Timestamp,
    arrived: VecDeque<(Vantage, Vec<u8>)>,
    bypassed: u64,
}

/// Why a box cannot be looked at in its network. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoBench {
    /// There is no box of that name.
    #[error("the network has no box '{0}'")]
    NoSuchBox(String),
    /// No host has an address in the prefixes inside.
    #[error("box '{0}' has no host inside")]
    NobodyInside(String),
    /// No router is linked to the outside of the box.
    #[error("box '{0}' has no router outside, where observers could be joined to the network")]
    NoRouterOutside(String),
    /// A kernel turns the box: it has a bench of its own.
    #[error("box '{0}' is a kernel's, which this network knows by its ports only")]
    Kernel(String),
    /// The observers cannot be joined to the network.
    #[error("the observers have no place in the network: {0}")]
    Graph(#[from] GraphError),
}

impl NetworkBench {
    /// A bench for the box of that name, in a copy of its network.
    ///
    /// # Errors
    ///
    /// [`NoBench`] where the network has no place for it.
    pub fn new(network: &Network, name: &str, entropy: Entropy) -> Result<Self, NoBench> {
        let no_box = || NoBench::NoSuchBox(name.to_owned());
        let placed = network.boxes.iter().find(|placed| placed.name == name).ok_or_else(no_box)?;
        let Place::Machine(node) = placed.place else {
            return Err(NoBench::Kernel(name.to_owned()));
        };
        let mut graph = network.graph.clone();
        let Some(End::Router(router)) = graph.other_end(End::Outside(node)) else {
            return Err(NoBench::NoRouterOutside(name.to_owned()));
        };
        let (inside, address) =
            host_inside(network, placed).ok_or_else(|| NoBench::NobodyInside(name.to_owned()))?;
        let outside = observers(address);
        let mut observers = [inside; 2];
        for ((nth, port), address) in observers.iter_mut().enumerate().zip(&outside) {
            *port = graph.port(format!("observer-{nth}"));
            let link =
                graph.link(*port, End::Router(router), LinkSpec::with_delay(Duration::ZERO))?;
            graph.route(router, *address, link)?;
        }
        let others = network.hosts.iter().filter(|host| host.port != inside);
        let others = others.filter_map(|host| Some((host.port, host.addresses.first()?.0)));
        let fresh = Fabric::new(graph, entropy, Timestamp::ZERO);
        Ok(Self {
            fabric: fresh.clone(),
            fresh,
            node,
            hosts: Hosts { inside: neighbours(placed, address), outside },
            inside,
            observers,
            others: others.collect(),
            now: Timestamp::ZERO,
            arrived: VecDeque::new(),
            bypassed: 0,
        })
    }

    /// Sends a SYN to the host inside from every other host of the network, and gives how many
    /// packets came past the box, then and since the bench was made. More than none means that the
    /// network has a way round it, and whatever the box is, it does not count.
    pub fn bypassed(&mut self) -> u64 {
        let Some(target) = self.hosts.inside.first().copied() else { return 0 };
        for (port, address) in self.others.clone() {
            let syn = Segment::syn((address, 7777).into(), (target, 4000).into(), 1);
            self.enter(port, &syn.bytes());
        }
        self.arrived.clear();
        self.bypassed
    }

    fn enter(&mut self, port: PortId, packet: &[u8]) {
        let passed_before = self.passed();
        let mut buffer = self.fabric.buffer();
        if buffer.fill(packet).is_err() {
            return self.fabric.recycle(buffer);
        }
        self.fabric.handle_packet(port, buffer, self.now);
        let mut crossed = self.collect();
        // Nothing is waited for: a box may hold a packet for seconds.
        while self.fabric.buffers().in_flight > 0
            && let Some((due, _)) = self.fabric.poll_timeout()
        {
            self.turn(due);
            crossed += self.collect();
        }
        self.bypassed += crossed.saturating_sub(self.passed() - passed_before);
    }

    fn turn(&mut self, until: Timestamp) {
        self.fabric.handle_timeout(until);
        self.now = self.now.max(until);
    }

    /// Takes what came out of the network, and counts the packets of others that came to the host
    /// inside, or from it.
    fn collect(&mut self) -> u64 {
        let mut crossed = 0;
        while let Some(delivery) = self.fabric.poll_transmit() {
            let from_inside = delivery.entered_at == Origin::Port(self.inside);
            let from_a_host = matches!(delivery.entered_at, Origin::Port(_));
            let is_inside = delivery.port == self.inside;
            crossed += u64::from(from_a_host && from_inside != is_inside);
            if is_inside || self.observers.contains(&delivery.port) {
                let packet = delivery.packet.as_slice().to_vec();
                if let Some(at) = destination(&packet).and_then(|to| self.hosts.vantage(to)) {
                    self.arrived.push_back((at, packet));
                }
            }
            self.fabric.recycle(delivery.packet);
        }
        while self.fabric.poll_event().is_some() {}
        crossed
    }

    /// How many packets the box let pass so far.
    fn passed(&self) -> u64 {
        self.fabric
            .middlebox(self.node)
            .map_or(0, |machine| machine.stats().forwarded + machine.stats().untranslated)
    }
}

impl Bench for NetworkBench {
    fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    fn restart(&mut self) {
        self.fabric = self.fresh.clone();
        self.now = Timestamp::ZERO;
        self.arrived.clear();
    }

    fn send(&mut self, from: Vantage, packet: &[u8]) {
        let port = match from {
            Vantage::Inside(_) => self.inside,
            Vantage::Outside(nth) => self.observers[nth],
        };
        self.enter(port, packet);
    }

    fn receive(&mut self) -> Option<(Vantage, Vec<u8>)> {
        self.arrived.pop_front()
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn wait(&mut self, time: Duration) -> bool {
        self.turn(self.now + time);
        self.collect();
        true
    }
}

/// The first host that has an address inside.
fn host_inside(network: &Network, placed: &PlacedBox) -> Option<(PortId, IpAddr)> {
    network.hosts.iter().find_map(|host| {
        let is_inside = |address: &IpAddr| {
            placed.inside.iter().any(|(prefix, length)| {
                *address != placed.external
                    && Prefix::new(*address, *length) == Prefix::new(*prefix, *length)
            })
        };
        let address = host.addresses.iter().map(|(address, _)| *address).find(is_inside)?;
        Some((host.port, address))
    })
}

/// Behind a NAT every address will do. Without translation answers find their way to the host's
/// own address only.
fn neighbours(placed: &PlacedBox, host: IpAddr) -> Vec<IpAddr> {
    if placed.spec.role != Role::Nat {
        return vec![host];
    }
    let next = |nth: u8| match host {
        IpAddr::V4(host) => IpAddr::V4((host.to_bits().wrapping_add(u32::from(nth))).into()),
        IpAddr::V6(host) => IpAddr::V6((host.to_bits().wrapping_add(u128::from(nth))).into()),
    };
    (0..INSIDE_HOSTS).map(next).collect()
}

fn observers(like: IpAddr) -> Vec<IpAddr> {
    match like {
        IpAddr::V4(_) => OBSERVERS_V4.map(IpAddr::from).to_vec(),
        IpAddr::V6(_) => OBSERVERS_V6.map(IpAddr::from).to_vec(),
    }
}

fn destination(packet: &[u8]) -> Option<IpAddr> {
    simopen_packet::Packet::parse(packet).ok().map(|packet| packet.ip.destination)
}
