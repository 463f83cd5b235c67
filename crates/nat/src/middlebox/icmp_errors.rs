//! ICMP errors that quote a packet of a session (RFC 5382 §7.2, RFC 5508 §4).

use core::net::SocketAddr;

use simopen_packet::{IcmpMessage, Packet, Timestamp};

use super::{Decision, Middlebox};
use crate::endpoint::{Endpoint, Flow, Side};
use crate::journal::{DropReason, EndCause};
use crate::spec::{OnIcmpError, Role};

/// IANA's number of TCP.
const TCP: u8 = 6;

impl Middlebox {
    /// An ICMP error passes if the packet that it quotes belongs to a session, and both are
    /// translated back; everything else of ICMP stops here.
    #[cold]
    pub(super) fn handle_icmp(
        &mut self,
        from: Side,
        packet: &Packet<'_>,
        message: &IcmpMessage<'_>,
        now: Timestamp,
    ) -> Decision {
        let Some(quoted) = &message.quoted else {
            return Decision::Drop(DropReason::UnsupportedProtocol);
        };
        if quoted.protocol != TCP {
            return Decision::Drop(DropReason::UnsupportedProtocol);
        }
        // The quoted packet went the other way: its source is near for an error from outside.
        let (near, remote) = match from {
            Side::Outside => (quoted.source, quoted.destination),
            Side::Inside => (quoted.destination, quoted.source),
        };
        if from == Side::Outside && packet.ip.destination != near.ip() {
            return Decision::Drop(DropReason::NotAddressedHere);
        }
        let flow = Flow { side: from, near: endpoint(near), remote: endpoint(remote) };
        let Some(id) = self.find_live(&flow, now) else {
            return Decision::Drop(DropReason::IcmpWithoutSession);
        };
        let decision = self.translate_quoted(id, from, packet);
        match self.spec.on_icmp_error {
            OnIcmpError::SessionKept => {}
            OnIcmpError::SessionDeleted => self.end_session(id, EndCause::IcmpError, now),
        }
        decision
    }

    fn translate_quoted(&self, id: u32, from: Side, packet: &Packet<'_>) -> Decision {
        if self.spec.role != Role::Nat {
            return Decision::AsItIs;
        }
        Decision::Quote(packet.layout(), self.sessions.translated(id, from))
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::new(address.ip(), address.port())
}
