//! What happens to a packet at a router and at a middlebox.

use core::{
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
};

use simopen_nat::{Middlebox, Side, Verdict};
use simopen_packet::{IcmpError, Layout, Packet, Timestamp, error_quoting};

use super::{DropReason, Fabric, Happening, NodeState, Origin, PacketBuffer};
use crate::{
    draw::FlowKey,
    flight::{Flight, FlightId},
    graph::NodeId,
    link::{LaneId, Refusal},
};

/// A middlebox between its two lanes.
#[derive(Clone)]
pub(super) struct MiddleboxHop {
    pub(super) machine: Middlebox,
    inside: Option<LaneId>,
    outside: Option<LaneId>,
    /// The latest time that the machine was told.
    clock: Timestamp,
}

impl Hash for MiddleboxHop {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.machine, self.clock).hash(state);
    }
}

impl MiddleboxHop {
    pub(super) fn new(
        machine: Middlebox,
        inside: Option<LaneId>,
        outside: Option<LaneId>,
        now: Timestamp,
    ) -> Self {
        Self { machine, inside, outside, clock: now }
    }

    fn lane(&self, side: Side) -> Option<LaneId> {
        match side {
            Side::Inside => self.inside,
            Side::Outside => self.outside,
        }
    }

    /// The machine's time at `at`: it never runs backwards, even if the world hands in packets in
    /// another order than that of their ingress times.
    #[inline]
    fn advance(&mut self, at: Timestamp) -> Timestamp {
        self.clock = self.clock.max(at);
        self.clock
    }
}

/// What a router does with a packet.
enum Route {
    Forward(LaneId),
    Expire,
    Drop(DropReason),
}

impl Fabric {
    /// A packet comes to the router `node` at the end of `arrived`. The order of the checks is
    /// that of Linux: source, own address, TTL, route.
    #[inline]
    pub(super) fn route(&mut self, node: NodeId, arrived: LaneId, id: FlightId, at: Timestamp) {
        let NodeState::Router(router) = &self.nodes[node.index()].state else { return };
        let flight = self.flights.get_mut(id);
        let bytes = flight.packet.packet_mut();
        let layout = flight.layout;
        let decision = match layout.destination_addr(bytes) {
            None => Route::Drop(DropReason::Malformed),
            Some(_) if !router.accepts_source(|| layout.source_addr(bytes), arrived.reverse()) => {
                Route::Drop(DropReason::SourceInvalid)
            }
            Some(destination) if router.owns(destination) => Route::Drop(DropReason::ForRouter),
            Some(_) if router.counts_hops() && expires(layout, bytes) => Route::Expire,
            Some(destination) => match router.route(destination) {
                Some(lane) => Route::Forward(lane),
                None => Route::Drop(DropReason::Unroutable),
            },
        };
        match decision {
            Route::Forward(lane) => {
                if router.counts_hops() {
                    layout.decrement_ttl(bytes);
                }
                self.launch(lane, id, at);
            }
            Route::Expire => {
                let back = layout.source_addr(bytes).and_then(|source| {
                    Some((router.address_towards(source)?, router.route(source)?))
                });
                self.expire(node, back, id, at);
            }
            Route::Drop(reason) => self.end(node.into(), reason, id, at),
        }
    }

    /// A packet comes to the middlebox `node` from side `from`.
    ///
    /// As on Linux the TTL is checked before the packet is forwarded but after it is known to be
    /// for the box itself: what is addressed to the box's outside address is shown to the machine
    /// whatever its TTL, and expires only if the machine would send it on.
    ///
    /// DEVIATION: Linux tracks a packet before it checks the TTL. Here an expiring packet that is
    /// not addressed to the box does not reach the machine.
    #[inline]
    pub(super) fn pass(&mut self, node: NodeId, from: Side, id: FlightId, at: Timestamp) {
        let NodeState::Middlebox(hop) = &mut self.nodes[node.index()].state else { return };
        let flight = self.flights.get_mut(id);
        let bytes = flight.packet.packet_mut();
        let layout = flight.layout;
        let back = hop.lane(from).map(|lane| (hop.machine.external(), lane));
        let expires = expires(layout, bytes);
        if expires && !layout.destination_addr(bytes).is_some_and(|to| hop.machine.owns(to)) {
            return self.expire(node, back, id, at);
        }
        // The machine rewrites in place; an ICMP error quotes what came.
        let original = expires.then(|| {
            let mut copy = self.pool.take();
            copy.fill(bytes).ok().map(|()| copy)
        });
        let time = hop.advance(at);
        let verdict = hop.machine.handle_packet(from, bytes, time);
        let onward = match verdict {
            Verdict::Hairpin => hop.lane(from),
            Verdict::Forward | Verdict::Untranslated | Verdict::Drop(_) => hop.lane(from.other()),
        };
        self.drain_journal(node, at);
        match (verdict, original) {
            (Verdict::Forward | Verdict::Untranslated | Verdict::Hairpin, None) => {
                let flight = self.flights.get_mut(id);
                layout.decrement_ttl(flight.packet.packet_mut());
                self.forward_from(node, onward, id, at);
            }
            (Verdict::Forward | Verdict::Untranslated | Verdict::Hairpin, Some(original)) => {
                self.restore(id, original);
                self.expire(node, back, id, at);
            }
            (Verdict::Drop(reason), original) => {
                if let Some(original) = original {
                    self.restore(id, original);
                }
                self.end(node.into(), DropReason::Middlebox(reason), id, at);
            }
        }
        self.settle_middlebox(node, at);
    }

    /// Puts `original`, the copy that was made before a machine rewrote the packet, in its place.
    #[cold]
    fn restore(&mut self, id: FlightId, original: Option<PacketBuffer>) {
        if let Some(original) = original {
            let rewritten = core::mem::replace(&mut self.flights.get_mut(id).packet, original);
            self.pool.put(rewritten);
        }
    }

    /// The timer of the middlebox `node` is due.
    pub(super) fn middlebox_timeout(&mut self, node: NodeId, due: Timestamp) {
        let NodeState::Middlebox(hop) = &mut self.nodes[node.index()].state else { return };
        let time = hop.advance(due);
        hop.machine.handle_timeout(time);
        self.drain_journal(node, due);
        self.settle_middlebox(node, due);
    }

    /// The middlebox `node`, if it is one, loses its tables.
    pub(super) fn reboot_middlebox(&mut self, node: NodeId, at: Timestamp) {
        let NodeState::Middlebox(hop) = &mut self.nodes[node.index()].state else { return };
        let time = hop.advance(at);
        hop.machine.reboot(time);
        self.drain_journal(node, at);
        self.settle_middlebox(node, at);
    }

    /// Sends what the middlebox wants to send and sets its deadline.
    #[inline]
    pub(super) fn settle_middlebox(&mut self, node: NodeId, at: Timestamp) {
        loop {
            let NodeState::Middlebox(hop) = &mut self.nodes[node.index()].state else { return };
            if !hop.machine.has_packets() {
                break;
            }
            let mut packet = self.pool.take();
            let Some((side, len)) = hop.machine.poll_transmit(packet.as_mut_slice()) else {
                self.pool.put(packet);
                break;
            };
            packet.set_len(len);
            let lane = hop.lane(side);
            self.emit(node, lane, packet, at);
        }
        let NodeState::Middlebox(hop) = &self.nodes[node.index()].state else { return };
        // A deadline that handle_timeout left standing moves on by a nanosecond, so that time
        // always advances.
        let next = Timestamp::from_nanos(hop.clock.as_nanos().saturating_add(1));
        let deadline = hop.machine.poll_timeout().map(|(due, _)| due.max(next));
        self.deadlines.set(u32::from(node.number()), deadline);
    }

    #[inline]
    fn drain_journal(&mut self, node: NodeId, at: Timestamp) {
        let NodeState::Middlebox(hop) = &mut self.nodes[node.index()].state else { return };
        while let Some(entry) = hop.machine.poll_journal() {
            self.journal.push(crate::FabricEvent {
                at,
                place: node.into(),
                what: Happening::Middlebox(entry),
                packet: None,
            });
        }
    }

    /// Sends a packet on from a middlebox.
    #[inline]
    fn forward_from(&mut self, node: NodeId, lane: Option<LaneId>, id: FlightId, at: Timestamp) {
        let Some(lane) = lane else {
            return self.end(node.into(), DropReason::Unlinked, id, at);
        };
        self.note(node.into(), Happening::Passed, id, at);
        self.launch(lane, id, at);
    }

    /// Ends a packet whose TTL is used up at `node` and answers it from the address and along the
    /// lane of `back`, where there are such.
    #[cold]
    fn expire(
        &mut self,
        node: NodeId,
        back: Option<(IpAddr, LaneId)>,
        id: FlightId,
        at: Timestamp,
    ) {
        let answer = back.and_then(|(own, lane)| {
            let mut answer = self.pool.take();
            let quoted = self.flights.get(id).packet.as_slice();
            match error_quoting(IcmpError::TimeExceeded, own, quoted, answer.as_mut_slice()) {
                Some(len) => {
                    answer.set_len(len);
                    Some((lane, answer))
                }
                None => {
                    self.pool.put(answer);
                    None
                }
            }
        });
        self.note(node.into(), Happening::TtlExceeded, id, at);
        self.end(node.into(), DropReason::TtlExceeded, id, at);
        if let Some((lane, answer)) = answer {
            self.emit(node, Some(lane), answer, at);
        }
    }

    /// Sends a packet that `node` made at `at`.
    fn emit(&mut self, node: NodeId, lane: Option<LaneId>, packet: PacketBuffer, at: Timestamp) {
        let origin = Origin::Node(node);
        self.stats.emitted += 1;
        let Some(super::Reading { kind, layout, .. }) = super::read(packet.as_slice()) else {
            return self.end_packet(node.into(), DropReason::Malformed, packet, origin, at);
        };
        let id = self.flights.insert(Flight { ingress: at, origin, kind, layout, packet });
        let Some(lane) = lane else {
            return self.end(node.into(), DropReason::Unlinked, id, at);
        };
        self.note(node.into(), Happening::Emitted, id, at);
        self.launch(lane, id, at);
    }
}

impl Refusal {
    /// Why the packet ends; `None` where it waits.
    pub(super) fn reason(self) -> Option<DropReason> {
        Some(match self {
            Self::Down => DropReason::LinkDown,
            Self::Lost => DropReason::Lost,
            Self::QueueFull => DropReason::QueueFull,
            Self::Held => return None,
        })
    }
}

/// Whether a router that forwards the packet would bring its TTL to zero (RFC 1812 §5.3.1, RFC
/// 8200 §3).
#[inline]
fn expires(layout: Layout, bytes: &[u8]) -> bool {
    layout.ttl(bytes).0 <= 1
}

/// The flow of a packet as it reads now; `None` if it cannot be read.
pub(super) fn flow_of(bytes: &[u8]) -> Option<FlowKey> {
    let packet = Packet::parse(bytes).ok()?;
    let (source, destination) =
        packet.tcp().map_or((0, 0), |tcp| (tcp.source_port, tcp.destination_port));
    Some(FlowKey {
        source: SocketAddr::new(packet.ip.source, source),
        destination: SocketAddr::new(packet.ip.destination, destination),
        protocol: packet.ip.protocol,
    })
}

/// Whether a packet is for the local link only, which no router forwards (RFC 1812 §5.3.7, RFC
/// 3927 §7, RFC 4291 §2.5.6): multicast, broadcast, link-local or unspecified.
#[inline]
pub(super) fn is_link_local(source: IpAddr, destination: IpAddr) -> bool {
    let multicast = destination.is_multicast() || source.is_unspecified();
    multicast
        || match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                source.is_link_local() || destination.is_link_local() || destination.is_broadcast()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                source.is_unicast_link_local() || destination.is_unicast_link_local()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => true,
        }
}
