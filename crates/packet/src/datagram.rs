//! What has ports, or something like them, and no connection: UDP and ICMP echo.

use crate::{
    icmp::IcmpKind,
    ip::{ICMPV6, Packet, Transport, UDP},
};

/// What a datagram is.
///
/// Closed: matching on it without a wildcard is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatagramKind {
    /// UDP (RFC 768).
    Udp,
    /// An ICMP or ICMPv6 echo request.
    EchoRequest,
    /// The reply to one.
    EchoReply,
}

/// The ports of a UDP datagram; the identifier of an ICMP echo message stands for both of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Datagram {
    /// What it is.
    pub kind: DatagramKind,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

impl Datagram {
    /// Reads the datagram in `bytes`, of which `packet` is the view; `None` if it is something
    /// else, a fragment, or shorter than the header of its protocol.
    #[must_use]
    pub fn of(packet: &Packet<'_>, bytes: &[u8]) -> Option<Self> {
        let whole = bytes.get(..usize::from(packet.ip.total_len))?;
        let header = whole.get(usize::from(packet.ip.header_len)..)?.first_chunk::<8>()?;
        let [a, b, c, d, e, f, ..] = *header;
        match &packet.transport {
            Transport::Other if packet.ip.protocol == UDP => Some(Self {
                kind: DatagramKind::Udp,
                source_port: u16::from_be_bytes([a, b]),
                destination_port: u16::from_be_bytes([c, d]),
            }),
            Transport::Icmp(message) => {
                let kind = echo_kind(message.kind, packet.ip.protocol == ICMPV6)?;
                let identifier = u16::from_be_bytes([e, f]);
                Some(Self { kind, source_port: identifier, destination_port: identifier })
            }
            Transport::Tcp(_) | Transport::Other | Transport::Fragment => None,
        }
    }
}

fn echo_kind(kind: IcmpKind, is_v6: bool) -> Option<DatagramKind> {
    match (kind, is_v6) {
        (IcmpKind::Other { kind: 8, code: 0 }, false)
        | (IcmpKind::Other { kind: 128, code: 0 }, true) => Some(DatagramKind::EchoRequest),
        (IcmpKind::Other { kind: 0, code: 0 }, false)
        | (IcmpKind::Other { kind: 129, code: 0 }, true) => Some(DatagramKind::EchoReply),
        (IcmpKind::Other { .. } | IcmpKind::Error(_) | IcmpKind::OtherError { .. }, _) => None,
    }
}
