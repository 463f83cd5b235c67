//! The machine itself: what comes in, what goes out, and the turning of what is due.

mod hold;
mod hop;
mod state;

use alloc::{collections::VecDeque, string::String, vec::Vec};

use simopen_nat::{Middlebox, Side};
use simopen_packet::{Entropy, Layout, Packet, Timestamp};

pub use self::hold::Held;
use self::hold::Waiting;
use crate::{
    buffer::{BufferCount, BufferPool, PacketBuffer},
    deadline::Deadlines,
    draw::DrawRoot,
    flight::{Flight, FlightId, Flights},
    graph::{End, Graph, LinkId, NodeId, NodeKind, PortId},
    journal::{
        DeliveryCounts, DropReason, FabricEvent, Happening, Journal, Origin, PacketKind,
        PacketSummary, Place, Stats,
    },
    link::{Lane, LaneId, LinkStats},
    router::Router,
};

/// The network as one machine: see the [crate's root](crate).
#[derive(Clone)]
pub struct Fabric {
    ports: Vec<Port>,
    nodes: Vec<Node>,
    lanes: Vec<Lane>,
    flights: Flights,
    link_names: Vec<String>,
    deadlines: Deadlines,
    deliveries: VecDeque<Delivery>,
    /// Packets that wait until they are told to go on.
    waiting: Vec<Waiting>,
    pool: BufferPool,
    journal: Journal,
    counts: DeliveryCounts,
    stats: Stats,
}

impl Fabric {
    /// Makes the network that `graph` plans. `entropy` keys what the links lose and delay;
    /// middleboxes brought their own.
    pub fn new(graph: Graph, entropy: Entropy, now: Timestamp) -> Self {
        let root = DrawRoot::new(entropy);
        let mut lanes = Vec::with_capacity(2 * graph.links.len());
        let mut link_names = Vec::with_capacity(graph.links.len());
        for (index, plan) in graph.links.into_iter().enumerate() {
            let link = LinkId(index as u16);
            let forth = LaneId::forth(link);
            let [one, other] = plan.ends;
            lanes.push(Lane::new(forth, link, other, &plan.forth, &root));
            lanes.push(Lane::new(forth.reverse(), link, one, &plan.back, &root));
            link_names.push(plan.name);
        }
        let ports: Vec<_> = graph.ports.into_iter().map(Port::new).collect();
        let nodes: Vec<_> = graph.nodes.into_iter().map(|plan| Node::new(plan, now)).collect();
        let mut fabric = Self {
            counts: DeliveryCounts::new(ports.len()),
            deadlines: Deadlines::new(nodes.len() + lanes.len()),
            pool: BufferPool::new(graph.packet_capacity),
            journal: Journal::new(graph.journal_capacity),
            deliveries: VecDeque::new(),
            waiting: Vec::new(),
            flights: Flights::default(),
            stats: Stats::default(),
            ports,
            nodes,
            lanes,
            link_names,
        };
        for node in 0..fabric.nodes.len() {
            fabric.settle_middlebox(NodeId(node as u16), now);
        }
        fabric
    }

    /// Lends a buffer for one packet. It comes back by [`handle_packet`](Self::handle_packet) or
    /// [`recycle`](Self::recycle).
    #[inline]
    pub fn buffer(&mut self) -> PacketBuffer {
        self.pool.take()
    }

    /// Takes back the buffer of a packet that the world has written, or of none.
    #[inline]
    pub fn recycle(&mut self, buffer: PacketBuffer) {
        self.pool.put(buffer);
    }

    /// Takes a packet that a host sent by `port` at `ingress`, which is also the time to which
    /// the fabric is turned: whatever is due until then happens before. A packet whose whole way
    /// takes no time is at [`poll_transmit`](Self::poll_transmit) when this returns.
    ///
    /// Nothing it may contain is an error: what cannot be read or forwarded is dropped, counted
    /// and journalled.
    ///
    /// # Panics
    ///
    /// If `port` is of another graph.
    pub fn handle_packet(&mut self, port: PortId, packet: PacketBuffer, ingress: Timestamp) {
        self.handle_timeout(ingress);
        self.enter(port, packet, ingress);
        self.handle_timeout(ingress);
    }

    /// Does everything that is due until `now`, in the order of the due times. Each packet moves
    /// on from when it was due and not from `now`, so a late call changes nothing but the time at
    /// which the world learns of it.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((due, source)) = self.deadlines.first()
            && due <= now
        {
            match self.source(source) {
                Source::Middlebox(node) => self.middlebox_timeout(node, due),
                Source::Lane(lane) => self.arrival(lane),
            }
        }
    }

    /// The next packet that comes out of the fabric; its buffer goes back with
    /// [`recycle`](Self::recycle).
    #[inline]
    pub fn poll_transmit(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }

    /// The next line of the journal.
    pub fn poll_event(&mut self) -> Option<FabricEvent> {
        self.journal.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due, and for what.
    #[inline]
    pub fn poll_timeout(&self) -> Option<(Timestamp, Timer)> {
        let (due, source) = self.deadlines.first()?;
        let timer = match self.source(source) {
            Source::Middlebox(node) => Timer::Middlebox(node),
            Source::Lane(lane) => Timer::Arrival(self.lanes[lane.index()].link),
        };
        Some((due, timer))
    }

    /// Cuts a port off from the network, or joins it again. Nothing enters by it and nothing comes
    /// out, packets under way included.
    ///
    /// # Panics
    ///
    /// If `port` is of another graph.
    pub fn set_port_enabled(&mut self, port: PortId, enabled: bool) {
        self.ports[port.index()].enabled = enabled;
    }

    /// Takes a link down, or up again. What is under way arrives; nothing else gets onto it.
    ///
    /// # Panics
    ///
    /// If `link` is of another graph.
    pub fn set_link_up(&mut self, link: LinkId, is_up: bool) {
        let forth = LaneId::forth(link);
        for lane in [forth, forth.reverse()] {
            self.lanes[lane.index()].is_up = is_up;
        }
    }

    /// Puts another machine in the place of the middlebox at `node`: one that has been replaced,
    /// or whose provider gave it another address. Nothing happens where `node` is a router.
    ///
    /// # Panics
    ///
    /// If `node` is of another graph.
    pub fn replace_middlebox(&mut self, node: NodeId, machine: Middlebox, now: Timestamp) {
        if let NodeState::Middlebox(hop) = &mut self.nodes[node.index()].state {
            hop.machine = machine;
            self.settle_middlebox(node, now);
        }
    }

    /// Restarts the middlebox at `node` at `now`: its tables are lost. The fabric is turned to
    /// `now` first. At a router nothing happens, since it keeps no state.
    ///
    /// # Panics
    ///
    /// If `node` is of another graph.
    pub fn reboot(&mut self, node: NodeId, now: Timestamp) {
        self.handle_timeout(now);
        self.reboot_middlebox(node, now);
    }

    /// The name of a port, router, middlebox or link; empty if it is of another graph.
    pub fn name(&self, place: impl Into<Place>) -> &str {
        match place.into() {
            Place::Port(port) => self.ports.get(port.index()).map(|port| &port.name),
            Place::Node(node) => self.nodes.get(node.index()).map(|node| &node.name),
            Place::Link(link) => self.link_names.get(link.index()),
        }
        .map_or("", String::as_str)
    }

    /// How many packets of `kind` came out at `port`.
    pub fn delivered(&self, port: PortId, kind: PacketKind) -> u64 {
        self.counts.delivered(port, kind)
    }

    /// How many packets of `kind` that came from `origin` came out at `port`. Only the kinds that
    /// are [journalled](PacketKind::is_journalled) are counted by origin; others give zero.
    pub fn delivered_from(&self, port: PortId, kind: PacketKind, origin: Origin) -> u64 {
        self.counts.delivered_from(port, kind, origin)
    }

    /// What the fabric as a whole did.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What a link did: first in the direction in which it was made, then back.
    ///
    /// # Panics
    ///
    /// If `link` is of another graph.
    pub fn link_stats(&self, link: LinkId) -> [LinkStats; 2] {
        let forth = LaneId::forth(link);
        [forth, forth.reverse()].map(|lane| self.lanes[lane.index()].stats)
    }

    /// The middlebox at `node`; `None` if that is a router.
    pub fn middlebox(&self, node: NodeId) -> Option<&Middlebox> {
        match &self.nodes.get(node.index())?.state {
            NodeState::Middlebox(middlebox) => Some(&middlebox.machine),
            NodeState::Router(_) => None,
        }
    }

    /// How many events were lost because nobody polled them in time.
    pub fn events_lost(&self) -> u64 {
        self.journal.lost()
    }

    /// Where the packet buffers are.
    pub fn buffers(&self) -> BufferCount {
        let under_way: usize = self.lanes.iter().map(Lane::len).sum();
        BufferCount {
            made: self.pool.made(),
            idle: self.pool.idle(),
            in_flight: under_way + self.waiting.len() + self.deliveries.len(),
        }
    }

    fn enter(&mut self, port: PortId, mut packet: PacketBuffer, ingress: Timestamp) {
        self.stats.entered += 1;
        let origin = Origin::Port(port);
        let Some(Reading { kind, layout, len, link_local }) = read(packet.as_slice()) else {
            return self.end_packet(port.into(), DropReason::Malformed, packet, origin, ingress);
        };
        packet.set_len(len);
        let id = self.flights.insert(Flight { ingress, origin, kind, layout, packet });
        let here = &self.ports[port.index()];
        let refusal = match here.out {
            _ if !here.enabled => DropReason::PortCutOff,
            _ if link_local => DropReason::LinkLocal,
            None => DropReason::Unlinked,
            Some(lane) => {
                self.note(port.into(), Happening::Entered, id, ingress);
                return self.launch(lane, id, ingress);
            }
        };
        self.end(port.into(), refusal, id, ingress);
    }

    /// Takes the first packet off `lane` to where the lane ends.
    #[inline]
    fn arrival(&mut self, lane: LaneId) {
        let road = &mut self.lanes[lane.index()];
        let Some((due, id)) = road.pop() else { return };
        let head = road.head();
        self.deadlines.set(self.lane_source(lane), head);
        self.reach(lane, id, due);
    }

    /// A packet is at the end of `lane` at `due`.
    #[inline]
    fn reach(&mut self, lane: LaneId, id: FlightId, due: Timestamp) {
        match self.lanes[lane.index()].target {
            End::Port(port) => self.deliver(port, id, due),
            End::Router(node) => self.route(node, lane, id, due),
            End::Inside(node) => self.pass(node, Side::Inside, id, due),
            End::Outside(node) => self.pass(node, Side::Outside, id, due),
        }
    }

    #[inline]
    fn deliver(&mut self, port: PortId, id: FlightId, due: Timestamp) {
        if !self.ports[port.index()].enabled {
            return self.end(port.into(), DropReason::PortCutOff, id, due);
        }
        self.note(port.into(), Happening::Delivered, id, due);
        let Flight { ingress, origin, kind, packet, .. } = self.flights.remove(id);
        self.counts.count(port, kind, origin);
        self.stats.delivered += 1;
        self.deliveries.push_back(Delivery { port, packet, due, entered_at: origin, ingress });
    }

    /// Puts a packet that is at the start of `lane` at `at` onto it.
    #[inline]
    fn launch(&mut self, lane: LaneId, id: FlightId, at: Timestamp) {
        let packet = &self.flights.get(id).packet;
        let road = &mut self.lanes[lane.index()];
        let flow = if road.has_chance() { hop::flow_of(packet.as_slice()) } else { None };
        let before = road.head();
        match road.admit(id, at, packet.len(), flow) {
            Ok(()) => {
                let head = road.head();
                if head != before {
                    self.deadlines.set(self.lane_source(lane), head);
                }
            }
            Err(refusal) => {
                let link = road.link;
                match refusal.reason() {
                    Some(reason) => self.end(link.into(), reason, id, at),
                    None => self.waiting.push(Waiting { lane, id }),
                }
            }
        }
    }

    /// Journals what happened to a packet of a kind that is journalled.
    #[inline]
    fn note(&mut self, place: Place, what: Happening, id: FlightId, at: Timestamp) {
        let flight = self.flights.get(id);
        if flight.kind.is_journalled() {
            let summary = summary(flight.packet.as_slice(), flight.origin);
            self.write(place, what, summary, at);
        }
    }

    #[cold]
    fn write(
        &mut self,
        place: Place,
        what: Happening,
        packet: Option<PacketSummary>,
        at: Timestamp,
    ) {
        self.journal.push(FabricEvent { at, place, what, packet });
    }

    /// Ends a packet's way: counts it, journals it and takes its buffer back.
    #[cold]
    fn end(&mut self, place: Place, reason: DropReason, id: FlightId, at: Timestamp) {
        let Flight { packet, origin, .. } = self.flights.remove(id);
        self.end_packet(place, reason, packet, origin, at);
    }

    #[cold]
    fn end_packet(
        &mut self,
        place: Place,
        reason: DropReason,
        packet: PacketBuffer,
        origin: Origin,
        at: Timestamp,
    ) {
        self.stats.count_drop(reason);
        if reason != DropReason::LinkLocal {
            let summary = summary(packet.as_slice(), origin);
            self.write(place, Happening::Dropped(reason), summary, at);
        }
        self.pool.put(packet);
    }

    /// Middleboxes come first among the sources of deadlines: a timer that is due together with a
    /// packet runs before it.
    #[inline]
    fn source(&self, number: u32) -> Source {
        let nodes = self.nodes.len() as u32;
        match number.checked_sub(nodes) {
            Some(lane) => Source::Lane(LaneId(lane)),
            None => Source::Middlebox(NodeId(number as u16)),
        }
    }

    #[inline]
    fn lane_source(&self, lane: LaneId) -> u32 {
        self.nodes.len() as u32 + lane.0
    }
}

/// A packet that comes out of the fabric.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The port by which it leaves.
    pub port: PortId,
    /// The packet.
    pub packet: PacketBuffer,
    /// When it should leave. The world's lateness is its own clock minus this.
    pub due: Timestamp,
    /// Where it entered, or which node made it.
    pub entered_at: Origin,
    /// When it entered or was made.
    pub ingress: Timestamp,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// A packet comes to the end of this link.
    Arrival(LinkId),
    /// A timer of this middlebox.
    Middlebox(NodeId),
}

enum Source {
    Middlebox(NodeId),
    Lane(LaneId),
}

#[derive(Clone)]
struct Port {
    name: String,
    out: Option<LaneId>,
    enabled: bool,
}

impl Port {
    fn new(plan: crate::graph::PortPlan) -> Self {
        Self { name: plan.name, out: plan.link, enabled: true }
    }
}

#[derive(Clone)]
struct Node {
    name: String,
    state: NodeState,
}

impl Node {
    fn new(plan: crate::graph::NodePlan, now: Timestamp) -> Self {
        let state = match plan.kind {
            NodeKind::Router(router) => NodeState::Router(router),
            NodeKind::Middlebox { machine, inside, outside } => {
                NodeState::Middlebox(hop::MiddleboxHop::new(machine, inside, outside, now))
            }
        };
        Self { name: plan.name, state }
    }
}

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "nodes are few and live in one vector")]
enum NodeState {
    Router(Router),
    Middlebox(hop::MiddleboxHop),
}

impl From<PortId> for Place {
    fn from(port: PortId) -> Self {
        Self::Port(port)
    }
}

impl From<NodeId> for Place {
    fn from(node: NodeId) -> Self {
        Self::Node(node)
    }
}

impl From<LinkId> for Place {
    fn from(link: LinkId) -> Self {
        Self::Link(link)
    }
}

/// What the fabric needs to know of a packet that comes into it.
struct Reading {
    kind: PacketKind,
    layout: Layout,
    /// Length of the packet; what the host wrote after it does not belong to it.
    len: usize,
    /// Whether it is for the local link only.
    link_local: bool,
}

#[inline]
fn read(bytes: &[u8]) -> Option<Reading> {
    let packet = Packet::parse(bytes).ok()?;
    Some(Reading {
        kind: PacketKind::of(&packet),
        layout: packet.layout(),
        len: packet.ip.total_len.into(),
        link_local: hop::is_link_local(packet.ip.source, packet.ip.destination),
    })
}

fn summary(bytes: &[u8], origin: Origin) -> Option<PacketSummary> {
    Packet::parse(bytes).ok().map(|packet| PacketSummary::of(&packet, origin))
}
