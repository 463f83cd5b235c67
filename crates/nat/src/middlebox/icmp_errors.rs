//! ICMP errors that quote a packet of a session (RFC 5382 §7.2, RFC 5508 §4).

use simopen_packet::{IcmpError, IcmpKind, IcmpMessage, Packet, Quoted, Timestamp};

use super::{Decision, Middlebox};
use crate::endpoint::{Endpoint, Flow, Side};
use crate::flow_protocol::FlowProtocol;
use crate::journal::{DropReason, EndCause};
use crate::spec::{IcmpErrors, OnIcmpError, Role};

/// IANA's number of TCP.
const TCP: u8 = 6;
/// IANA's number of UDP.
const UDP: u8 = 17;

impl Middlebox {
    /// An ICMP error passes if the packet that it quotes belongs to a session, and both are
    /// translated back; everything else of ICMP stops here.
    #[cold]
    pub(super) fn handle_icmp_error(
        &mut self,
        from: Side,
        packet: &Packet<'_>,
        message: &IcmpMessage<'_>,
        now: Timestamp,
    ) -> Decision {
        let Some(quoted) = &message.quoted else {
            return Decision::Drop(DropReason::UnsupportedProtocol);
        };
        let is_filtered = match self.spec.icmp_errors {
            IcmpErrors::Passed => false,
            IcmpErrors::TimeExceededFiltered => {
                message.kind == IcmpKind::Error(IcmpError::TimeExceeded)
            }
            IcmpErrors::AllFiltered => true,
        };
        if is_filtered {
            return Decision::Drop(DropReason::IcmpFiltered);
        }
        let Some((protocol, flow)) = quoted_flow(from, quoted) else {
            return Decision::Drop(DropReason::UnsupportedProtocol);
        };
        if from == Side::Outside && packet.ip.destination != flow.near.address.to_ip() {
            return Decision::Drop(DropReason::NotAddressedHere);
        }
        let ends = self.spec.on_icmp_error == OnIcmpError::SessionDeleted;
        if protocol != FlowProtocol::Tcp {
            let Some(key) = self.find_live_datagrams(protocol, &flow, now) else {
                return Decision::Drop(DropReason::IcmpWithoutSession);
            };
            let to = self.datagrams.get(key).map(|session| session.translated(key, from));
            if ends {
                self.end_datagrams(key, EndCause::IcmpError, now);
            }
            return self.quote(packet, to);
        }
        let Some(id) = self.find_live(&flow, now) else {
            return Decision::Drop(DropReason::IcmpWithoutSession);
        };
        let to = self.sessions.translated(id, from);
        if ends {
            self.end_session(id, EndCause::IcmpError, now);
        }
        self.quote(packet, Some(to))
    }

    fn quote(&self, packet: &Packet<'_>, to: Option<Endpoint>) -> Decision {
        match (self.spec.role, to) {
            (Role::Nat, Some(to)) => Decision::Quote(packet.layout(), to),
            (Role::Nat | Role::Firewall | Role::Transparent, _) => Decision::AsItIs,
        }
    }
}

/// Protocol and flow of what an error from this side quotes; none if the box follows no such flows.
pub(super) fn quoted_flow(side: Side, quoted: &Quoted<'_>) -> Option<(FlowProtocol, Flow)> {
    let protocol = match quoted.protocol {
        TCP => FlowProtocol::Tcp,
        UDP => FlowProtocol::Udp,
        _ => FlowProtocol::IcmpEcho,
    };
    // The quoted packet went the other way: its source is near for an error from outside.
    let (near, remote) = match side {
        Side::Outside => (quoted.source, quoted.destination),
        Side::Inside => (quoted.destination, quoted.source),
    };
    let (near_port, remote_port) = match protocol {
        FlowProtocol::Tcp | FlowProtocol::Udp => (near.port(), remote.port()),
        FlowProtocol::IcmpEcho => (quoted.echo_identifier()?, 0),
    };
    let near = Endpoint::new(near.ip(), near_port);
    Some((protocol, Flow { side, near, remote: Endpoint::new(remote.ip(), remote_port) }))
}
