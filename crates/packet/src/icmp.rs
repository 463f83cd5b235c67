//! ICMP and ICMPv6: above all the errors, which quote the packet that they are about.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use etherparse::ip_number;

use crate::{
    checksum::Checksum,
    error::{Layer, ParseError},
    ip::{
        ICMP, ICMPV6, IPV4_HEADER_LEN, IPV6_HEADER_LEN, Packet, TCP, Transport, Ttl,
        fragment_field, ipv6_address, skip_extensions,
    },
    sequence::SeqNumber,
    tcp::emit_ip_header,
};

pub(crate) const ICMP_HEADER_LEN: usize = 8;

/// The longest ICMPv4 error in bytes (RFC 1812 §4.3.2.3), so that it passes everywhere.
const MAX_V4_ERROR_LEN: usize = 576;
/// The longest ICMPv6 error in bytes: the least MTU of IPv6 (RFC 4443 §2.4 c).
const MAX_V6_ERROR_LEN: usize = 1280;
/// Precedence "internetwork control" (RFC 1812 §4.3.2.5).
const ERROR_TYPE_OF_SERVICE: u8 = 0xc0;

/// The errors that decide about a connection attempt.
///
/// Closed: matching on it without a wildcard is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpError {
    /// The TTL or hop limit ran out on the way.
    TimeExceeded,
    /// Nobody listens there, said by the host.
    PortUnreachable,
    /// The host cannot be reached; "address unreachable" in IPv6.
    HostUnreachable,
    /// A firewall forbids it.
    AdminProhibited,
}

/// What an ICMP message says.
///
/// Closed: matching on it without a wildcard is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpKind {
    /// An error that decides about a connection attempt.
    Error(IcmpError),
    /// Another error, which quotes a packet all the same.
    OtherError {
        /// The type field.
        kind: u8,
        /// The code field.
        code: u8,
    },
    /// No error: echo, neighbour discovery and the like.
    Other {
        /// The type field.
        kind: u8,
        /// The code field.
        code: u8,
    },
}

/// An ICMP message as it lies in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpMessage<'a> {
    /// What it says.
    pub kind: IcmpKind,
    /// What it is about: only in errors that quote at least the first eight bytes of a transport
    /// header (RFC 792), and no later fragment.
    pub quoted: Option<Quoted<'a>>,
}

/// The start of a packet, quoted in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a> {
    /// Source of the quoted packet; port 0 unless it is TCP or UDP.
    pub source: SocketAddr,
    /// Destination of the quoted packet; port 0 unless it is TCP or UDP.
    pub destination: SocketAddr,
    /// Number of its transport protocol.
    pub protocol: u8,
    /// Its sequence number, if it is TCP.
    pub sequence: Option<SeqNumber>,
    /// TTL or hop limit that it had left when it was quoted.
    pub ttl: Ttl,
    /// All that is quoted, from its IP header on.
    pub bytes: &'a [u8],
    pub(crate) header_len: u16,
}

impl Quoted<'_> {
    /// Returns the identifier of the ICMP or ICMPv6 echo message that is quoted, if it is one.
    #[must_use]
    pub fn echo_identifier(&self) -> Option<u16> {
        let message = self.bytes.get(usize::from(self.header_len)..)?.first_chunk::<8>()?;
        let is_echo = match self.protocol {
            ICMP => matches!(message[0], 0 | 8),
            ICMPV6 => matches!(message[0], 128 | 129),
            _ => false,
        };
        is_echo.then(|| u16::from_be_bytes([message[4], message[5]]))
    }
}

impl IcmpError {
    /// Returns type and code in ICMPv4 (RFC 792, RFC 1812 §5.2.7.1).
    const fn type_and_code_v4(self) -> (u8, u8) {
        match self {
            Self::TimeExceeded => (11, 0),
            Self::PortUnreachable => (3, 3),
            Self::HostUnreachable => (3, 1),
            Self::AdminProhibited => (3, 13),
        }
    }

    /// Returns type and code in ICMPv6 (RFC 4443 §3).
    const fn type_and_code_v6(self) -> (u8, u8) {
        match self {
            Self::TimeExceeded => (3, 0),
            Self::PortUnreachable => (1, 4),
            Self::HostUnreachable => (1, 3),
            Self::AdminProhibited => (1, 1),
        }
    }
}

impl IcmpKind {
    /// Returns whether the message is an error, which must never be answered by an error.
    #[inline]
    #[must_use]
    pub const fn is_error(self) -> bool {
        match self {
            Self::Error(_) | Self::OtherError { .. } => true,
            Self::Other { .. } => false,
        }
    }

    /// Reads type and code of ICMPv4. Codes 9 and 10 are the older words for 13 (RFC 1812
    /// §5.2.7.1); errors are the types 3, 4, 5, 11 and 12 (RFC 1122 §3.2.2).
    const fn from_v4(kind: u8, code: u8) -> Self {
        match (kind, code) {
            (11, 0) => Self::Error(IcmpError::TimeExceeded),
            (3, 3) => Self::Error(IcmpError::PortUnreachable),
            (3, 1) => Self::Error(IcmpError::HostUnreachable),
            (3, 9 | 10 | 13) => Self::Error(IcmpError::AdminProhibited),
            (3 | 4 | 5 | 11 | 12, _) => Self::OtherError { kind, code },
            _ => Self::Other { kind, code },
        }
    }

    /// Reads type and code of ICMPv6. Codes 5 and 6 are subsets of 1, and errors are the types
    /// below 128 (RFC 4443 §2.1, §3.1).
    const fn from_v6(kind: u8, code: u8) -> Self {
        match (kind, code) {
            (3, 0) => Self::Error(IcmpError::TimeExceeded),
            (1, 4) => Self::Error(IcmpError::PortUnreachable),
            (1, 3) => Self::Error(IcmpError::HostUnreachable),
            (1, 1 | 5 | 6) => Self::Error(IcmpError::AdminProhibited),
            (0..128, _) => Self::OtherError { kind, code },
            _ => Self::Other { kind, code },
        }
    }
}

impl<'a> IcmpMessage<'a> {
    pub(crate) fn parse_v4(bytes: &'a [u8], offset: u16) -> Result<Self, ParseError> {
        let (header, quote) = split(bytes, offset)?;
        let kind = IcmpKind::from_v4(header[0], header[1]);
        let quoted = if kind.is_error() { Quoted::parse_v4(quote) } else { None };
        Ok(Self { kind, quoted })
    }

    pub(crate) fn parse_v6(bytes: &'a [u8], offset: u16) -> Result<Self, ParseError> {
        let (header, quote) = split(bytes, offset)?;
        let kind = IcmpKind::from_v6(header[0], header[1]);
        let quoted = if kind.is_error() { Quoted::parse_v6(quote) } else { None };
        Ok(Self { kind, quoted })
    }
}

fn split(bytes: &[u8], offset: u16) -> Result<(&[u8; ICMP_HEADER_LEN], &[u8]), ParseError> {
    bytes.split_first_chunk().ok_or(ParseError::Truncated {
        layer: Layer::Icmp,
        needed: ICMP_HEADER_LEN,
        given: bytes.len(),
        offset: offset.into(),
    })
}

impl<'a> Quoted<'a> {
    fn parse_v4(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<IPV4_HEADER_LEN>()?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let is_later_fragment = fragment_field(header) & 0x1fff != 0;
        if header[0] >> 4 != 4 || header_len < IPV4_HEADER_LEN || is_later_fragment {
            return None;
        }
        let source = Ipv4Addr::from([header[12], header[13], header[14], header[15]]);
        let destination = Ipv4Addr::from([header[16], header[17], header[18], header[19]]);
        let addresses = (source.into(), destination.into());
        Self::with_transport(bytes, header_len, header[9], addresses, Ttl(header[8]))
    }

    fn parse_v6(bytes: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = bytes.split_first_chunk::<IPV6_HEADER_LEN>()?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let mut protocol = header[6];
        if !matches!(protocol, TCP | ICMPV6) {
            let extensions = skip_extensions(protocol, rest)?;
            if extensions.fragment.is_some_and(|offset| offset != 0) {
                return None;
            }
            (protocol, rest) = (extensions.protocol, extensions.payload);
        }
        let header_len = bytes.len() - rest.len();
        let addresses = (ipv6_address(header, 8).into(), ipv6_address(header, 24).into());
        Self::with_transport(bytes, header_len, protocol, addresses, Ttl(header[7]))
    }

    fn with_transport(
        bytes: &'a [u8],
        header_len: usize,
        protocol: u8,
        (source, destination): (IpAddr, IpAddr),
        ttl: Ttl,
    ) -> Option<Self> {
        let start = bytes.get(header_len..)?.first_chunk::<8>()?;
        let (source_port, destination_port) = if has_ports(protocol) {
            (u16::from_be_bytes([start[0], start[1]]), u16::from_be_bytes([start[2], start[3]]))
        } else {
            (0, 0)
        };
        let sequence = (protocol == TCP)
            .then(|| SeqNumber(u32::from_be_bytes([start[4], start[5], start[6], start[7]])));
        Some(Self {
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
            protocol,
            sequence,
            ttl,
            bytes,
            header_len: u16::try_from(header_len).ok()?,
        })
    }
}

#[inline]
pub(crate) const fn has_ports(protocol: u8) -> bool {
    protocol == TCP || protocol == ip_number::UDP.0
}

/// Writes the ICMP error `kind` which the router or host `from` sends back to the source of
/// `offending`, and returns its length in bytes.
///
/// Quotes as much as fits into 576 bytes of ICMPv4, 1,280 bytes of ICMPv6. Returns `None` where
/// no error may be sent (RFC 1122 §3.2.2, RFC 4443 §2.4 e): about an ICMP error, about a later
/// fragment, about what went to many or came from nobody in particular; and if `offending` is
/// broken, `from` is of the other family, or `buffer` is too short.
#[must_use]
pub fn error_quoting(
    kind: IcmpError,
    from: IpAddr,
    offending: &[u8],
    buffer: &mut [u8],
) -> Option<usize> {
    let packet = Packet::parse(offending).ok()?;
    if !deserves_error(&packet, offending) {
        return None;
    }
    let to = packet.ip.source;
    let (ip_len, limit, protocol, (icmp_type, code)) = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            (IPV4_HEADER_LEN, MAX_V4_ERROR_LEN, ICMP, kind.type_and_code_v4())
        }
        (IpAddr::V6(_), IpAddr::V6(_)) => {
            (IPV6_HEADER_LEN, MAX_V6_ERROR_LEN, ICMPV6, kind.type_and_code_v6())
        }
        _ => return None,
    };
    let room = limit - ip_len - ICMP_HEADER_LEN;
    let quote = &offending[..usize::from(packet.ip.total_len).min(room)];
    let total = ip_len + ICMP_HEADER_LEN + quote.len();
    let (header, message) = buffer.get_mut(..total)?.split_at_mut(ip_len);

    emit_ip_header(from, to, Ttl::DEFAULT, protocol, message.len(), header);
    if from.is_ipv4() {
        mark_as_control(header);
    }
    let mut fields = [icmp_type, code, 0, 0, 0, 0, 0, 0];
    let sum = match from {
        IpAddr::V4(_) => Checksum::default(),
        IpAddr::V6(_) => Checksum::of_pseudo_header(from, to, protocol, message.len()),
    };
    let checksum = sum.with(&fields).with(quote).finish();
    fields[2..4].copy_from_slice(&checksum);
    let (into_fields, into_quote) = message.split_at_mut(ICMP_HEADER_LEN);
    into_fields.copy_from_slice(&fields);
    into_quote.copy_from_slice(quote);
    Some(total)
}

/// Sets the type of service of an IPv4 header and sums it anew.
fn mark_as_control(header: &mut [u8]) {
    header[1] = ERROR_TYPE_OF_SERVICE;
    header[10..12].fill(0);
    let checksum = Checksum::default().with(header).finish();
    header[10..12].copy_from_slice(&checksum);
}

fn deserves_error(packet: &Packet<'_>, bytes: &[u8]) -> bool {
    let from_one = match packet.ip.source {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast()),
    };
    let to_one = match packet.ip.destination {
        IpAddr::V4(v4) => !(v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => !v6.is_multicast(),
    };
    let allowed = match packet.transport {
        Transport::Tcp(_) | Transport::Other => true,
        Transport::Icmp(message) => !message.kind.is_error(),
        Transport::Fragment => is_first_fragment_but_no_icmp(packet, bytes),
    };
    from_one && to_one && allowed
}

/// Whether ICMP in a first fragment is an error need not be known: whole errors are short.
fn is_first_fragment_but_no_icmp(packet: &Packet<'_>, bytes: &[u8]) -> bool {
    match packet.ip.source {
        IpAddr::V4(_) => {
            let is_first =
                bytes.first_chunk().is_some_and(|header| fragment_field(header) & 0x1fff == 0);
            is_first && packet.ip.protocol != ICMP
        }
        IpAddr::V6(_) => {
            let is_first = bytes
                .split_first_chunk::<IPV6_HEADER_LEN>()
                .and_then(|(header, rest)| skip_extensions(header[6], rest))
                .is_some_and(|extensions| extensions.fragment == Some(0));
            is_first && packet.ip.protocol != ICMPV6
        }
    }
}

impl fmt::Display for IcmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimeExceeded => "time exceeded",
            Self::PortUnreachable => "port unreachable",
            Self::HostUnreachable => "host unreachable",
            Self::AdminProhibited => "administratively prohibited",
        })
    }
}

impl fmt::Display for IcmpMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            IcmpKind::Error(error) => error.fmt(f)?,
            IcmpKind::OtherError { kind, code } => write!(f, "error type {kind} code {code}")?,
            IcmpKind::Other { kind, code } => write!(f, "type {kind} code {code}")?,
        }
        let Some(Quoted { source, destination, protocol, sequence, .. }) = self.quoted else {
            return Ok(());
        };
        write!(f, " about {source} > {destination} ")?;
        match sequence {
            Some(sequence) => write!(f, "seq {sequence}"),
            None => write!(f, "protocol {protocol}"),
        }
    }
}
