//! The first packet of a session, from either side.

use simopen_packet::{Packet, TcpSegment, Timestamp};

use super::{Decision, Middlebox};
use crate::census::SessionKey;
use crate::endpoint::{Endpoint, Flow, Side};
use crate::flow_protocol::FlowProtocol;
use crate::journal::{DropReason, JournalEvent};
use crate::mapping::MappingId;
use crate::port_set::PortRange;
use crate::session::Session;
use crate::spec::{InboundBareSyn, MidStream, TcpTracking, UnsolicitedSyn};
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
        if !self.spec.egress.permits(flow.remote.port) {
            return Decision::Drop(DropReason::EgressDenied);
        }
        let tracking = match (self.spec.tracking, SegmentKind::of(segment.flags)) {
            (TcpTracking::None, _) => Tracking::untracked(segment),
            (_, Some(SegmentKind::Syn)) => Tracking::opened_by_syn(segment),
            (_, Some(SegmentKind::Ack)) if self.spec.mid_stream == MidStream::PickedUp => {
                Tracking::picked_up(segment)
            }
            (_, Some(SegmentKind::SynAck)) => {
                return self.invalid_outbound(packet, DropReason::SynAckWithoutSyn, now);
            }
            (_, Some(SegmentKind::Ack | SegmentKind::Fin | SegmentKind::Rst)) => {
                return self.invalid_outbound(packet, DropReason::NoSession, now);
            }
            (_, None) => return self.invalid_outbound(packet, DropReason::InvalidFlags, now),
        };
        if let Err(reason) = self.make_room(flow.near.address, now) {
            return Decision::Drop(reason);
        }
        let range = PortRange::alike(flow.near.port);
        let Self { tcp, outside, .. } = self;
        let Some(mapping) = tcp.outbound(flow.near, flow.remote, range, outside) else {
            return Decision::Drop(DropReason::PortsExhausted);
        };
        let id = self.create(mapping, flow.remote, Side::Inside, tracking, now);
        let (_, external) = self.tcp.endpoints(mapping);
        self.answers.forget(external, flow.remote);
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
        if self.spec.inbound_bare_syn == InboundBareSyn::Dropped && segment.flags.is_bare_syn() {
            return Decision::Drop(DropReason::BareSynDropped);
        }
        let (inside, _) = self.tcp.endpoints(mapping);
        let as_seen_inside = Flow { side: Side::Inside, near: inside, remote: flow.remote };
        // What ends meanwhile may be the last session of that very mapping.
        self.tcp.acquire(mapping, flow.remote);
        let decision = if self.find_live(&as_seen_inside, now).is_some() {
            // The inside endpoint speaks with this remote one under another outside port already.
            Decision::Drop(DropReason::FlowInUse)
        } else if let Err(reason) = self.make_room(inside.address, now) {
            Decision::Drop(reason)
        } else {
            let tracking = match self.spec.tracking {
                TcpTracking::None => Tracking::untracked(segment),
                TcpTracking::Strict | TcpTracking::Liberal => Tracking::opened_by_syn(segment),
            };
            let id = self.create(mapping, flow.remote, Side::Outside, tracking, now);
            self.translate(id, Side::Outside, packet)
        };
        self.tcp.release(mapping, flow.remote, &mut self.outside.ports);
        decision
    }

    /// The mapping that an inbound packet without a session may use.
    fn admitted_mapping(
        &self,
        flow: &Flow,
        segment: &TcpSegment<'_>,
    ) -> Result<MappingId, DropReason> {
        match SegmentKind::of(segment.flags) {
            _ if self.spec.tracking == TcpTracking::None => {}
            Some(SegmentKind::Syn) => {}
            Some(SegmentKind::SynAck) => return Err(DropReason::SynAckWithoutSyn),
            Some(SegmentKind::Ack | SegmentKind::Fin | SegmentKind::Rst) => {
                let has_mapping = self.tcp.has_mapping(flow.near, flow.remote);
                let reason =
                    if has_mapping { DropReason::NoSession } else { DropReason::NoMapping };
                return Err(reason);
            }
            None => return Err(DropReason::InvalidFlags),
        }
        self.tcp.admitted(flow.near, flow.remote)
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
            self.answer_stranger(Side::Outside, packet, bytes, now);
        } else if segment.flags.is_bare_syn() {
            self.answers.hold(flow.near, flow.remote, bytes, now);
        }
        if segment.flags.is_bare_syn() {
            self.reserve(FlowProtocol::Tcp, flow, now);
        }
    }

    fn create(
        &mut self,
        mapping: MappingId,
        remote: Endpoint,
        by: Side,
        tracking: Tracking,
        now: Timestamp,
    ) -> u32 {
        let (inside, external) = self.tcp.endpoints(mapping);
        self.tcp.acquire(mapping, remote);
        self.census.add(SessionKey { protocol: FlowProtocol::Tcp, inside, remote });
        let deadline = tracking.first_lifetime(&self.lifetimes).from(now);
        let place = self.outside.place_of(external.address).unwrap_or(0);
        let outside = (place, external.port);
        let session = Session::new(inside, outside, remote, by, mapping, tracking);
        let id = self.sessions.insert(session, deadline);
        self.stats.sessions_created += 1;
        let session = self.sessions.endpoints_of(id);
        self.journal.write(now, JournalEvent::Created { session, by });
        id
    }
}
