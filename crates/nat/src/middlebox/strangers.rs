//! What packets hear that belong to no session.

use simopen_packet::{IcmpError, Packet, Timestamp};

use super::Middlebox;
use crate::endpoint::{Endpoint, Flow, Side};
use crate::flow_protocol::FlowProtocol;
use crate::journal::{JournalEvent, OwnAnswer};
use crate::spec::{EarlyPacket, Role, UnsolicitedSyn};

impl Middlebox {
    /// Answers a packet that belongs to no session to its sender, as the specification has it.
    pub(super) fn answer_stranger(
        &mut self,
        from: Side,
        packet: &Packet<'_>,
        bytes: &[u8],
        now: Timestamp,
    ) {
        // What came may have been changed on its way here; the sender knows only what it sent.
        if let Some(as_came) = self.rewriter.take_as_came() {
            if let Ok(packet) = &Packet::parse(&as_came) {
                self.answer(from, packet, &as_came, now);
            }
            return self.rewriter.keep_as_came(as_came);
        }
        self.answer(from, packet, bytes, now);
    }

    fn answer(&mut self, from: Side, packet: &Packet<'_>, bytes: &[u8], now: Timestamp) {
        let Some(sender) = packet.source_endpoint() else { return };
        let sender = Endpoint::new(sender.ip(), sender.port());
        let error = match self.spec.unsolicited {
            UnsolicitedSyn::Dropped | UnsolicitedSyn::HeldThenPortUnreachable => return,
            UnsolicitedSyn::Reset => {
                if self.answers.reset(from, packet) {
                    self.note_answer(sender, OwnAnswer::Reset, now);
                    self.follow_own_reset(from, packet, now);
                }
                return;
            }
            UnsolicitedSyn::PortUnreachable => IcmpError::PortUnreachable,
            UnsolicitedSyn::AdminProhibited => IcmpError::AdminProhibited,
        };
        if self.answers.icmp(from, error, self.external, bytes) {
            self.note_answer(sender, OwnAnswer::Icmp(error), now);
        }
    }

    /// Answers an invalid segment from inside with an RST in the remote endpoint's name.
    pub(super) fn reset_inside(&mut self, packet: &Packet<'_>, now: Timestamp) {
        let Some(sender) = packet.source_endpoint() else { return };
        if self.answers.reset(Side::Inside, packet) {
            let sender = Endpoint::new(sender.ip(), sender.port());
            self.note_answer(sender, OwnAnswer::Reset, now);
            self.follow_own_reset(Side::Inside, packet, now);
        }
    }

    /// Answers the held SYNs whose time has come.
    pub(super) fn answer_held(&mut self, now: Timestamp) {
        let waiting = self.answers.waiting();
        while let Some(remote) = self.answers.answer_held(self.external, now) {
            self.note_answer(remote, OwnAnswer::Icmp(IcmpError::PortUnreachable), now);
        }
        self.turn_answers_back(waiting, now);
    }

    pub(super) fn note_answer(&mut self, remote: Endpoint, answer: OwnAnswer, now: Timestamp) {
        let to = remote.to_socket_addr();
        self.stats.answered += 1;
        self.journal.write(now, JournalEvent::Answered { to, answer });
    }

    /// An inbound packet that opens nothing may take the outside endpoint that it is addressed to.
    pub(super) fn reserve(&mut self, protocol: FlowProtocol, flow: &Flow, now: Timestamp) {
        let leaves_nothing = match protocol {
            FlowProtocol::Tcp => self.spec.unsolicited == UnsolicitedSyn::Reset,
            FlowProtocol::Udp | FlowProtocol::IcmpEcho => false,
        };
        if self.spec.early_packet == EarlyPacket::Harmless
            || self.spec.role != Role::Nat
            || leaves_nothing
        {
            return;
        }
        let (bindings, lifetime) = match protocol {
            FlowProtocol::Tcp => (&mut self.tcp, self.spec.timers.syn_received),
            FlowProtocol::Udp | FlowProtocol::IcmpEcho => (&mut self.udp, self.spec.udp.lifetime),
        };
        bindings.reservations_mut().add(flow.near, flow.remote, now + lifetime);
    }
}
