//! The way of a packet that may need more than translation.

use simopen_packet::{Layout, Packet, Timestamp, Transport};

use super::{Middlebox, Verdict, flow_of, icmp_errors};
use crate::endpoint::{Flow, Side};
use crate::flow_protocol::FlowProtocol;
use crate::handshakes::Phase;
use crate::rewriter::Shifts;
use crate::session::Session;

/// What there is to be rewritten in a packet beside its endpoints.
enum Rewritable {
    /// A segment of this flow.
    Segment(Flow, Layout),
    /// An ICMP error about a segment of this flow.
    Quote(Flow, Layout),
}

impl Middlebox {
    /// Out of line: most boxes have no detours.
    #[inline(never)]
    pub(super) fn handle_detour(
        &mut self,
        from: Side,
        packet: &mut [u8],
        now: Timestamp,
    ) -> Verdict {
        if from == Side::Inside && self.turns_back(packet) {
            return self.handle_hairpin(packet, now);
        }
        self.pass_rewriting(from, packet, now)
    }

    /// A packet goes to the other side, and may be rewritten.
    pub(super) fn pass_rewriting(
        &mut self,
        from: Side,
        packet: &mut [u8],
        now: Timestamp,
    ) -> Verdict {
        let rewritable = if self.rewriter.is_active() { rewritable(from, packet) } else { None };
        match rewritable {
            None => self.pass(from, packet, now),
            Some(Rewritable::Segment(flow, layout)) => {
                self.pass_segment(&flow, layout, packet, now)
            }
            Some(Rewritable::Quote(flow, layout)) => {
                let shifts = self.shifts_of(&flow).unwrap_or_default();
                let verdict = self.pass(from, packet, now);
                if verdict == Verdict::Forward {
                    let shift = shifts.sequence_of(from.other());
                    layout.shift_quoted_sequence(packet, shift.wrapping_neg());
                }
                verdict
            }
        }
    }

    fn pass_segment(
        &mut self,
        flow: &Flow,
        layout: Layout,
        packet: &mut [u8],
        now: Timestamp,
    ) -> Verdict {
        let from = flow.side;
        if let Some(verdict) = self.proxy(flow, packet, now) {
            return verdict;
        }
        let before = self.shifts_of(flow);
        self.rewriter.keep_as_came(packet.to_vec());
        if let Some(shifts) = before {
            self.rewriter.acknowledge(from, layout, packet, shifts);
        }
        let verdict = self.pass(from, packet, now);
        let as_came = self.rewriter.take_as_came().unwrap_or_default();
        if verdict != Verdict::Forward {
            packet.copy_from_slice(&as_came);
            return verdict;
        }
        // The segment may have opened the session, or ended it.
        let shifts = self.shifts_of(flow).or(before).unwrap_or_default();
        self.rewriter.finish(from, layout, packet, shifts, &as_came);
        verdict
    }

    fn shifts_of(&self, flow: &Flow) -> Option<Shifts> {
        let id = self.sessions.find(flow)?;
        Some(self.shifts_of_session(self.sessions.get(id)))
    }

    /// What is added to the numbers of each side of a session.
    pub(super) fn shifts_of_session(&self, session: &Session) -> Shifts {
        let handshake = self.handshakes.get((session.inside(), session.remote()));
        match handshake.map(|handshake| handshake.phase) {
            Some(Phase::Joined(shift)) => Shifts::of_joined(shift),
            Some(Phase::Inside | Phase::Outside) | None => self.rewriter.shifts(session),
        }
    }
}

fn rewritable(from: Side, bytes: &[u8]) -> Option<Rewritable> {
    let packet = Packet::parse(bytes).ok()?;
    match &packet.transport {
        Transport::Tcp(segment) => {
            Some(Rewritable::Segment(flow_of(from, &packet, segment)?, packet.layout()))
        }
        Transport::Icmp(message) => {
            match icmp_errors::quoted_flow(from, message.quoted.as_ref()?)? {
                (FlowProtocol::Tcp, flow) => Some(Rewritable::Quote(flow, packet.layout())),
                (FlowProtocol::Udp | FlowProtocol::IcmpEcho, _) => None,
            }
        }
        Transport::Other | Transport::Fragment => None,
    }
}
