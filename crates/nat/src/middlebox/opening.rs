//! The first packet of a session, from either side.

use simopen_packet::{Packet, TcpSegment, Timestamp};

use super::{Decision, Middlebox};
use crate::endpoint::{Address, Endpoint, Flow, Side};
use crate::filtering::Filtering;
use crate::journal::{DropReason, JournalEvent};
use crate::mapping::MappingId;
use crate::session::Session;
use crate::spec::{InboundBareSyn, MidStream, Role, UnsolicitedSyn};
use crate::tcp_tracking::Tracking;
use crate::tcp_tracking::state::SegmentKind;

impl Middlebox {
    /// A packet from inside that belongs to no session: a SYN opens one.
    #[cold]
    pub(super) fn open_outbound(
        &mut self,
        flow: &Flow,
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        now: Timestamp,
    ) -> Decision {
        let tracking = match SegmentKind::of(segment.flags) {
            Some(SegmentKind::Syn) => Tracking::opened_by_syn(segment),
            Some(SegmentKind::Ack) if self.spec.mid_stream == MidStream::PickedUp => {
                Tracking::picked_up(segment)
            }
            Some(SegmentKind::SynAck) => {
                return self.invalid_outbound(packet, DropReason::SynAckWithoutSyn, now);
            }
            Some(SegmentKind::Ack | SegmentKind::Fin | SegmentKind::Rst) => {
                return self.invalid_outbound(packet, DropReason::NoSession, now);
            }
            None => return self.invalid_outbound(packet, DropReason::InvalidFlags, now),
        };
        let Some(mapping) = self.outbound_mapping(flow) else {
            return Decision::Drop(DropReason::PortsExhausted);
        };
        let id = self.create(mapping, flow.remote, Side::Inside, tracking, now);
        self.answers.forget(self.mappings.get(mapping).external, flow.remote);
        self.translate(id, Side::Inside, packet)
    }

    /// A packet from outside that belongs to no session: a SYN to an open mapping may open one,
    /// anything else meets the box itself.
    #[cold]
    pub(super) fn open_inbound(
        &mut self,
        flow: &Flow,
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        bytes: &[u8],
        now: Timestamp,
    ) -> Decision {
        let mapping = match self.admitted_mapping(flow, segment) {
            Ok(mapping) => mapping,
            Err(reason) => {
                self.turn_away(flow, packet, segment, bytes, now);
                return Decision::Drop(reason);
            }
        };
        if self.spec.inbound_bare_syn == InboundBareSyn::Dropped {
            return Decision::Drop(DropReason::BareSynDropped);
        }
        let inside = self.mappings.get(mapping).inside;
        let as_seen_inside = Flow { side: Side::Inside, near: inside, remote: flow.remote };
        if self.find_live(&as_seen_inside, now).is_some() {
            // The inside endpoint speaks with this remote one under another outside port already.
            return Decision::Drop(DropReason::FlowInUse);
        }
        let tracking = Tracking::opened_by_syn(segment);
        let id = self.create(mapping, flow.remote, Side::Outside, tracking, now);
        self.translate(id, Side::Outside, packet)
    }

    /// The mapping that an inbound packet without a session may use.
    fn admitted_mapping(
        &self,
        flow: &Flow,
        segment: &TcpSegment<'_>,
    ) -> Result<MappingId, DropReason> {
        let mapping = self.mappings.inbound(flow.near, flow.remote);
        match SegmentKind::of(segment.flags) {
            Some(SegmentKind::Syn) => {}
            Some(SegmentKind::SynAck) => return Err(DropReason::SynAckWithoutSyn),
            Some(SegmentKind::Ack | SegmentKind::Fin | SegmentKind::Rst) => {
                return Err(mapping.map_or(DropReason::NoMapping, |_| DropReason::NoSession));
            }
            None => return Err(DropReason::InvalidFlags),
        }
        let mapping = mapping.ok_or(DropReason::NoMapping)?;
        match self.spec.filtering {
            Filtering::EndpointIndependent => Ok(mapping),
            Filtering::AddressDependent => {
                let known = self.contacts.contains(mapping, flow.remote.address);
                known.then_some(mapping).ok_or(DropReason::FilteredByAddress)
            }
            // With a session it would not be here.
            Filtering::AddressAndPortDependent => Err(DropReason::FilteredByEndpoint),
        }
    }

    /// Answers a stranger, or holds its SYN for later.
    fn turn_away(
        &mut self,
        flow: &Flow,
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        bytes: &[u8],
        now: Timestamp,
    ) {
        if self.spec.unsolicited != UnsolicitedSyn::HeldThenPortUnreachable {
            self.answer_stranger(packet, bytes, now);
        } else if segment.flags.is_bare_syn() {
            self.answers.hold(flow.near, flow.remote, bytes, now);
        }
    }

    /// The mapping of an outbound flow, opened if need be; none if no port is free.
    fn outbound_mapping(&mut self, flow: &Flow) -> Option<MappingId> {
        let (inside, remote) = (flow.near, flow.remote);
        if let Some(mapping) = self.mappings.outbound(inside, remote) {
            return Some(mapping);
        }
        let external = match self.spec.role {
            Role::Nat => self.free_endpoint(inside, remote)?,
            Role::Firewall | Role::Transparent => inside,
        };
        Some(self.mappings.open(inside, external, remote))
    }

    fn free_endpoint(&mut self, inside: Endpoint, remote: Endpoint) -> Option<Endpoint> {
        let address = Address::new(self.external);
        let mappings = &self.mappings;
        let next_free = |start| mappings.next_free_port(address, start, remote);
        let port = self.spec.port_allocation.choose(inside.port, &mut self.generator, next_free)?;
        Some(Endpoint { address, port })
    }

    fn create(
        &mut self,
        mapping: MappingId,
        remote: Endpoint,
        by: Side,
        tracking: Tracking,
        now: Timestamp,
    ) -> u32 {
        let open = self.mappings.get(mapping);
        self.mappings.acquire(mapping);
        if self.spec.filtering == Filtering::AddressDependent {
            self.contacts.add(mapping, remote.address);
        }
        let deadline = tracking.first_lifetime(&self.lifetimes).from(now);
        let session = Session::new(open.inside, open.external.port, remote, by, mapping, tracking);
        let id = self.sessions.insert(session, deadline);
        self.stats.sessions_created += 1;
        let session = self.sessions.endpoints_of(id);
        self.journal.write(now, JournalEvent::Created { session, by });
        id
    }
}
