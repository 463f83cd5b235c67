//! UDP datagrams and ICMP echo on their way through the box.
//!
//! A box does not answer echo requests itself, and admits none from outside: an echo request from
//! outside has an identifier of its sender's choice, which stands for no mapping.

use core::time::Duration;

use simopen_packet::{Datagram, DatagramKind, IcmpError, Packet, Timestamp};

use super::{Decision, Middlebox};
use crate::bindings::{Bindings, Outside};
use crate::census::SessionKey;
use crate::datagram_sessions::DatagramSession;
use crate::endpoint::{Endpoint, Flow, Side, addresses};
use crate::flow_protocol::FlowProtocol;
use crate::journal::{DropReason, EndCause, JournalEvent, OwnAnswer};
use crate::mapping::MappingId;
use crate::port_set::PortRange;
use crate::spec::{IcmpEcho, InvalidOutbound, PortParity, Role, UdpHandling, UnsolicitedSyn};

/// How long a session of ICMP echo lives: RFC 5508 §3.2, REQ-2, sets 60 seconds as the least.
const ECHO_LIFETIME: Duration = Duration::from_secs(60);

impl Middlebox {
    /// Takes what may be a datagram.
    #[cold]
    pub(super) fn handle_datagram(
        &mut self,
        from: Side,
        packet: &Packet<'_>,
        bytes: &[u8],
        now: Timestamp,
    ) -> Decision {
        let Some(datagram) = Datagram::of(packet, bytes) else {
            return Decision::Drop(DropReason::UnsupportedProtocol);
        };
        if !self.lets_in(datagram.kind) {
            return Decision::Drop(DropReason::ProtocolBlocked);
        }
        let Some(flow) = datagram_flow(from, packet, datagram) else {
            return Decision::Drop(DropReason::Malformed);
        };
        let protocol = protocol_of(datagram.kind);
        // A request from outside and a reply from inside belong to no flow that is followed.
        let is_backward = match datagram.kind {
            DatagramKind::Udp => false,
            DatagramKind::EchoRequest => from == Side::Outside,
            DatagramKind::EchoReply => from == Side::Inside,
        };
        let met = if is_backward { None } else { self.find_live_datagrams(protocol, &flow, now) };
        let opened = match met {
            Some(key) => Ok(key),
            None => self.open_datagrams(datagram.kind, &flow, packet, bytes, now),
        };
        match opened {
            Ok(key) => {
                if self.refreshed_by[from as usize] {
                    self.datagrams.refresh(key, now + self.datagram_lifetime(protocol));
                }
                self.translate_datagram(key, from, packet)
            }
            Err(decision) => decision,
        }
    }

    /// The session of a flow, unless its time is over.
    pub(super) fn find_live_datagrams(
        &mut self,
        protocol: FlowProtocol,
        flow: &Flow,
        now: Timestamp,
    ) -> Option<SessionKey> {
        let key = self.datagrams.find(protocol, flow)?;
        if self.datagrams.get(key)?.deadline > now {
            return Some(key);
        }
        self.end_datagrams(key, EndCause::Expired, now);
        None
    }

    /// Ends a session, and its mapping with the last one.
    pub(super) fn end_datagrams(&mut self, key: SessionKey, cause: EndCause, now: Timestamp) {
        let Some(session) = self.datagrams.remove(key) else { return };
        let (bindings, outside) = self.datagram_bindings(key.protocol);
        bindings.release(session.mapping, key.remote, &mut outside.ports);
        self.census.remove(key);
        self.stats.sessions_ended += 1;
        let event = JournalEvent::FlowEnded {
            protocol: key.protocol,
            session: session.endpoints(key),
            cause,
        };
        self.journal.write(now, event);
    }

    /// A datagram of no session: from inside it opens one, from outside if mapping and filtering
    /// agree.
    fn open_datagrams(
        &mut self,
        kind: DatagramKind,
        flow: &Flow,
        packet: &Packet<'_>,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<SessionKey, Decision> {
        if let Some(reason) = self.misaddressed(flow) {
            if reason == DropReason::Hairpin {
                self.turn_datagram_away(kind, Side::Inside, packet, bytes, now);
            }
            return Err(Decision::Drop(reason));
        }
        match (flow.side, kind) {
            (Side::Inside, DatagramKind::EchoReply) => Err(match self.spec.invalid_outbound {
                InvalidOutbound::LeavesUntranslated => {
                    Decision::Untranslated(DropReason::NoSession)
                }
                InvalidOutbound::Dropped | InvalidOutbound::AnsweredByRouter => {
                    Decision::Drop(DropReason::NoSession)
                }
            }),
            (Side::Inside, DatagramKind::Udp | DatagramKind::EchoRequest) => {
                self.open_datagrams_outbound(kind, flow, now)
            }
            (Side::Outside, DatagramKind::EchoRequest | DatagramKind::EchoReply) => {
                Err(Decision::Drop(DropReason::NoSession))
            }
            (Side::Outside, DatagramKind::Udp) => {
                self.open_datagrams_inbound(flow, now).map_err(|reason| {
                    self.turn_datagram_away(kind, Side::Outside, packet, bytes, now);
                    self.reserve(FlowProtocol::Udp, flow, now);
                    Decision::Drop(reason)
                })
            }
        }
    }

    fn open_datagrams_outbound(
        &mut self,
        kind: DatagramKind,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<SessionKey, Decision> {
        if !self.spec.egress.permits(flow.remote.port) {
            return Err(Decision::Drop(DropReason::EgressDenied));
        }
        let protocol = protocol_of(kind);
        let key = SessionKey { protocol, inside: flow.near, remote: flow.remote };
        self.make_room(flow.near.address, now).map_err(Decision::Drop)?;
        let port = flow.near.port;
        let range = match protocol {
            FlowProtocol::IcmpEcho => PortRange::ALL,
            FlowProtocol::Tcp | FlowProtocol::Udp => PortRange::alike(port),
        };
        let range = match (protocol, self.spec.udp.port_parity) {
            (FlowProtocol::Udp, PortParity::Kept) => range.even_or_odd_as(port),
            (FlowProtocol::Tcp | FlowProtocol::Udp | FlowProtocol::IcmpEcho, _) => range,
        };
        let (bindings, outside) = self.datagram_bindings(protocol);
        let mapping = bindings
            .outbound(flow.near, flow.remote, range, outside)
            .ok_or(Decision::Drop(DropReason::PortsExhausted))?;
        self.create_datagrams(key, mapping, Side::Inside, now);
        Ok(key)
    }

    fn open_datagrams_inbound(
        &mut self,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<SessionKey, DropReason> {
        let protocol = FlowProtocol::Udp;
        let mapping = self.udp.admitted(flow.near, flow.remote)?;
        let (inside, _) = self.udp.endpoints(mapping);
        let key = SessionKey { protocol, inside, remote: flow.remote };
        if self.datagrams.get(key).is_some() {
            return Err(DropReason::FlowInUse);
        }
        // What makes room may be the last session of that very mapping.
        self.udp.acquire(mapping, flow.remote);
        let room = self.make_room(inside.address, now);
        let Self { udp, outside, .. } = self;
        if let Err(reason) = room {
            udp.release(mapping, flow.remote, &mut outside.ports);
            return Err(reason);
        }
        self.create_datagrams(key, mapping, Side::Outside, now);
        let Self { udp, outside, .. } = self;
        udp.release(mapping, flow.remote, &mut outside.ports);
        Ok(key)
    }

    fn create_datagrams(&mut self, key: SessionKey, mapping: MappingId, by: Side, now: Timestamp) {
        let deadline = now + self.datagram_lifetime(key.protocol);
        let (bindings, _) = self.datagram_bindings(key.protocol);
        bindings.acquire(mapping, key.remote);
        let (_, external) = bindings.endpoints(mapping);
        let session = DatagramSession { external, mapping, deadline };
        self.datagrams.insert(key, session);
        self.census.add(key);
        self.stats.sessions_created += 1;
        let event = JournalEvent::FlowCreated {
            protocol: key.protocol,
            session: session.endpoints(key),
            by,
        };
        self.journal.write(now, event);
    }

    /// Answers a datagram that belongs to no session. Nobody answers UDP with RST: the stack of a
    /// NAT that would says by ICMP that the port is closed, a firewall says nothing.
    fn turn_datagram_away(
        &mut self,
        kind: DatagramKind,
        side: Side,
        packet: &Packet<'_>,
        bytes: &[u8],
        now: Timestamp,
    ) {
        let error = match (self.spec.unsolicited, self.spec.role) {
            (UnsolicitedSyn::PortUnreachable, _) | (UnsolicitedSyn::Reset, Role::Nat) => {
                IcmpError::PortUnreachable
            }
            (UnsolicitedSyn::AdminProhibited, _) => IcmpError::AdminProhibited,
            (
                UnsolicitedSyn::Dropped
                | UnsolicitedSyn::HeldThenPortUnreachable
                | UnsolicitedSyn::Reset,
                _,
            ) => return,
        };
        let sender = Endpoint::new(packet.ip.source, 0);
        if kind == DatagramKind::Udp && self.answers.icmp(side, error, packet.ip.destination, bytes)
        {
            self.note_answer(sender, OwnAnswer::Icmp(error), now);
        }
    }

    pub(super) fn translate_datagram(
        &self,
        key: SessionKey,
        from: Side,
        packet: &Packet<'_>,
    ) -> Decision {
        match (self.datagrams.get(key), self.spec.role) {
            (Some(session), Role::Nat) => {
                Decision::Datagram(packet.layout(), session.translated(key, from))
            }
            (Some(_), Role::Firewall | Role::Transparent) | (None, _) => Decision::AsItIs,
        }
    }

    fn lets_in(&self, kind: DatagramKind) -> bool {
        match kind {
            DatagramKind::Udp => self.spec.udp.policy == UdpHandling::Translated,
            DatagramKind::EchoRequest | DatagramKind::EchoReply => {
                self.spec.icmp_echo == IcmpEcho::Translated
            }
        }
    }

    fn datagram_lifetime(&self, protocol: FlowProtocol) -> Duration {
        match protocol {
            FlowProtocol::IcmpEcho => ECHO_LIFETIME,
            FlowProtocol::Tcp | FlowProtocol::Udp => self.spec.udp.lifetime,
        }
    }

    const fn datagram_bindings(&mut self, protocol: FlowProtocol) -> (&mut Bindings, &mut Outside) {
        let bindings = match protocol {
            FlowProtocol::IcmpEcho => &mut self.echo,
            FlowProtocol::Tcp | FlowProtocol::Udp => &mut self.udp,
        };
        (bindings, &mut self.outside)
    }
}

const fn protocol_of(kind: DatagramKind) -> FlowProtocol {
    match kind {
        DatagramKind::Udp => FlowProtocol::Udp,
        DatagramKind::EchoRequest | DatagramKind::EchoReply => FlowProtocol::IcmpEcho,
    }
}

/// The flow of a datagram; none if its addresses are malformed. The identifier of an echo stands
/// for the port of the near endpoint, the remote one has port 0.
fn datagram_flow(from: Side, packet: &Packet<'_>, datagram: Datagram) -> Option<Flow> {
    let (source, destination) = addresses(&packet.ip)?;
    let Datagram { kind, source_port, destination_port } = datagram;
    let (near, remote) = match from {
        Side::Inside => ((source, source_port), (destination, destination_port)),
        Side::Outside => ((destination, destination_port), (source, source_port)),
    };
    let remote_port = match kind {
        DatagramKind::Udp => remote.1,
        DatagramKind::EchoRequest | DatagramKind::EchoReply => 0,
    };
    Some(Flow {
        side: from,
        near: Endpoint { address: near.0, port: near.1 },
        remote: Endpoint { address: remote.0, port: remote_port },
    })
}
