//! One IP packet, seen as it lies in memory.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv6FragmentHeaderSlice, Ipv6RawExtHeaderSlice, ip_number,
};

use crate::{
    checksum::Checksum,
    error::{Layer, ParseError},
    icmp::IcmpMessage,
    rewrite::Layout,
    tcp::TcpSegment,
};

pub(crate) const IPV4_HEADER_LEN: usize = 20;
pub(crate) const IPV6_HEADER_LEN: usize = 40;
pub(crate) const TCP: u8 = ip_number::TCP.0;
pub(crate) const UDP: u8 = ip_number::UDP.0;
pub(crate) const ICMP: u8 = ip_number::ICMP.0;
pub(crate) const ICMPV6: u8 = ip_number::IPV6_ICMP.0;

/// How many more routers may pass a packet on; the hop limit in IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(pub u8);

impl Ttl {
    /// What hosts start with (RFC 1700, "IP time to live parameter").
    pub const DEFAULT: Self = Self(64);
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the IP header says, of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpHeader {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Time to live or hop limit.
    pub ttl: Ttl,
    /// Number of the transport protocol; in IPv6 the one after all extension headers.
    pub protocol: u8,
    /// The two bits of explicit congestion notification (RFC 3168 §5), 0 to 3.
    pub ecn: u8,
    /// Bytes of the header with its options or extension headers.
    pub header_len: u16,
    /// Bytes of the whole packet.
    pub total_len: u16,
}

/// What an IP packet carries.
///
/// Closed: matching on it without a wildcard is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// A whole TCP segment.
    Tcp(TcpSegment<'a>),
    /// A whole ICMP or ICMPv6 message.
    Icmp(IcmpMessage<'a>),
    /// Another protocol.
    Other,
    /// A fragment, the first one included, whatever it is a fragment of.
    Fragment,
}

/// An IP packet whose lengths have been checked; its checksums have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The IP header.
    pub ip: IpHeader,
    /// What it carries.
    pub transport: Transport<'a>,
}

impl<'a> Packet<'a> {
    /// Reads the IP packet that `bytes` begin with; bytes after its total length are ignored.
    ///
    /// Checks versions and lengths only: see [`Packet::verify_checksums`].
    ///
    /// # Errors
    ///
    /// Says which layer is cut off or contradicts itself.
    // Inlined by force, with the functions below it: what a caller does not look at is then never
    // read, and no packet view is copied around. That is 4 ns in place of 16.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        match bytes.first().map_or(0, |first| first >> 4) {
            4 => parse_ipv4(bytes),
            6 => parse_ipv6(bytes),
            version => Err(ParseError::Version(version)),
        }
    }

    /// Verifies the checksums of the IPv4 header and of TCP, ICMP or ICMPv6.
    ///
    /// Fragments and other protocols are verified up to the IP header.
    ///
    /// # Errors
    ///
    /// Names the layer whose checksum is wrong, or fails as [`Packet::parse`] does.
    #[inline]
    pub fn verify_checksums(bytes: &[u8]) -> Result<(), ParseError> {
        let IpHeader { source, destination, protocol, header_len, total_len, .. } =
            match Packet::parse(bytes)? {
                Packet { ip, transport: Transport::Tcp(_) | Transport::Icmp(_) } => ip,
                Packet { ip, transport: Transport::Other | Transport::Fragment } => {
                    return verify_header(ip.source, &bytes[..usize::from(ip.header_len)]);
                }
            };
        let (header, message) = bytes[..usize::from(total_len)].split_at(usize::from(header_len));
        verify_header(source, header)?;

        // ICMP over IPv4 is the one that has no pseudo-header (RFC 792).
        let (layer, sum) = match protocol {
            ICMP => (Layer::Icmp, Checksum::default()),
            _ => (
                if protocol == TCP { Layer::Tcp } else { Layer::Icmp },
                Checksum::of_pseudo_header(source, destination, protocol, message.len()),
            ),
        };
        if sum.with(message).is_intact() { Ok(()) } else { Err(ParseError::Checksum(layer)) }
    }

    /// Returns where the headers lie, for rewriting the same bytes in place.
    #[inline]
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout::of(self)
    }

    /// Returns the TCP segment, if there is a whole one.
    #[inline]
    #[must_use]
    pub const fn tcp(&self) -> Option<&TcpSegment<'a>> {
        match &self.transport {
            Transport::Tcp(segment) => Some(segment),
            Transport::Icmp(_) | Transport::Other | Transport::Fragment => None,
        }
    }

    /// Returns the source address and port of a TCP segment.
    #[inline]
    #[must_use]
    pub fn source_endpoint(&self) -> Option<SocketAddr> {
        self.tcp().map(|tcp| SocketAddr::new(self.ip.source, tcp.source_port))
    }

    /// Returns the destination address and port of a TCP segment.
    #[inline]
    #[must_use]
    pub fn destination_endpoint(&self) -> Option<SocketAddr> {
        self.tcp().map(|tcp| SocketAddr::new(self.ip.destination, tcp.destination_port))
    }
}

#[inline]
fn verify_header(source: IpAddr, header: &[u8]) -> Result<(), ParseError> {
    if source.is_ipv6() || Checksum::default().with(header).is_intact() {
        return Ok(());
    }
    Err(ParseError::Checksum(Layer::Ipv4))
}

#[inline(always)]
fn parse_ipv4(bytes: &[u8]) -> Result<Packet<'_>, ParseError> {
    let Some(header) = bytes.first_chunk::<IPV4_HEADER_LEN>() else {
        return Err(truncated(Layer::Ipv4, IPV4_HEADER_LEN, bytes.len()));
    };
    let header_len = u16::from(header[0] & 0x0f) * 4;
    let total_len = u16::from_be_bytes([header[2], header[3]]);
    if usize::from(header_len) < IPV4_HEADER_LEN {
        return Err(ParseError::Length { layer: Layer::Ipv4, claimed: header_len.into() });
    }
    if total_len < header_len {
        return Err(ParseError::Length { layer: Layer::Ipv4, claimed: total_len.into() });
    }
    let Some(payload) = bytes.get(usize::from(header_len)..usize::from(total_len)) else {
        return Err(truncated(Layer::Ipv4, total_len.into(), bytes.len()));
    };
    let ip = IpHeader {
        source: IpAddr::V4(Ipv4Addr::from([header[12], header[13], header[14], header[15]])),
        destination: IpAddr::V4(Ipv4Addr::from([header[16], header[17], header[18], header[19]])),
        ttl: Ttl(header[8]),
        protocol: header[9],
        ecn: header[1] & 0b11,
        header_len,
        total_len,
    };
    let transport = if fragment_field(header) & 0x3fff != 0 {
        Transport::Fragment
    } else {
        match ip.protocol {
            TCP => Transport::Tcp(TcpSegment::parse(payload, ip.header_len)?),
            ICMP => Transport::Icmp(IcmpMessage::parse_v4(payload, ip.header_len)?),
            _ => Transport::Other,
        }
    };
    Ok(Packet { ip, transport })
}

/// The flags and the offset of fragmentation (RFC 791 §3.1): more fragments is bit 13, the offset
/// the bits below it.
#[inline]
pub(crate) const fn fragment_field(header: &[u8; IPV4_HEADER_LEN]) -> u16 {
    u16::from_be_bytes([header[6], header[7]])
}

#[inline(always)]
fn parse_ipv6(bytes: &[u8]) -> Result<Packet<'_>, ParseError> {
    let Some((header, rest)) = bytes.split_first_chunk::<IPV6_HEADER_LEN>() else {
        return Err(truncated(Layer::Ipv6, IPV6_HEADER_LEN, bytes.len()));
    };
    let payload_len = u16::from_be_bytes([header[4], header[5]]);
    let Some(total_len) = payload_len.checked_add(IPV6_HEADER_LEN as u16) else {
        return Err(ParseError::Length { layer: Layer::Ipv6, claimed: payload_len.into() });
    };
    let Some(payload) = rest.get(..usize::from(payload_len)) else {
        return Err(truncated(Layer::Ipv6, total_len.into(), bytes.len()));
    };
    let mut ip = IpHeader {
        source: IpAddr::V6(ipv6_address(header, 8)),
        destination: IpAddr::V6(ipv6_address(header, 24)),
        ttl: Ttl(header[7]),
        protocol: header[6],
        ecn: (header[1] >> 4) & 0b11,
        header_len: IPV6_HEADER_LEN as u16,
        total_len,
    };
    let mut payload = payload;
    if !matches!(ip.protocol, TCP | ICMPV6) {
        let Some(extensions) = skip_extensions(ip.protocol, payload) else {
            return Err(ParseError::Extensions);
        };
        ip.protocol = extensions.protocol;
        ip.header_len += (payload.len() - extensions.payload.len()) as u16;
        payload = extensions.payload;
        if extensions.fragment.is_some() {
            return Ok(Packet { ip, transport: Transport::Fragment });
        }
    }
    let transport = match ip.protocol {
        TCP => Transport::Tcp(TcpSegment::parse(payload, ip.header_len)?),
        ICMPV6 => Transport::Icmp(IcmpMessage::parse_v6(payload, ip.header_len)?),
        _ => Transport::Other,
    };
    Ok(Packet { ip, transport })
}

#[inline]
pub(crate) fn ipv6_address(header: &[u8; IPV6_HEADER_LEN], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[at..at + 16]);
    Ipv6Addr::from(octets)
}

/// What follows the IPv6 header once its extension headers are skipped.
pub(crate) struct Extensions<'a> {
    pub(crate) protocol: u8,
    pub(crate) payload: &'a [u8],
    /// The fragment offset in bytes, if the packet is a fragment.
    pub(crate) fragment: Option<u16>,
}

/// Walks the extension headers (RFC 8200 §4.1); rare, so it stays out of the hot path.
///
/// It stops behind the header of a fragment, since what follows may be the middle of anything.
#[cold]
pub(crate) fn skip_extensions(first: u8, bytes: &[u8]) -> Option<Extensions<'_>> {
    let mut next = IpNumber(first);
    let mut rest = bytes;
    loop {
        let skipped = match next {
            // Hop-by-hop options come first or not at all.
            ip_number::IPV6_HOP_BY_HOP if rest.len() < bytes.len() => return None,
            ip_number::IPV6_HOP_BY_HOP | ip_number::IPV6_ROUTE | ip_number::IPV6_DEST_OPTIONS => {
                let header = Ipv6RawExtHeaderSlice::from_slice(rest).ok()?;
                next = header.next_header();
                header.slice().len()
            }
            ip_number::AUTH => {
                let header = IpAuthHeaderSlice::from_slice(rest).ok()?;
                next = header.next_header();
                header.slice().len()
            }
            ip_number::IPV6_FRAG => {
                let header = Ipv6FragmentHeaderSlice::from_slice(rest).ok()?;
                next = header.next_header();
                if header.is_fragmenting_payload() {
                    let payload = rest.get(header.slice().len()..)?;
                    let offset = header.fragment_offset().value().saturating_mul(8);
                    return Some(Extensions { protocol: next.0, payload, fragment: Some(offset) });
                }
                header.slice().len()
            }
            _ => return Some(Extensions { protocol: next.0, payload: rest, fragment: None }),
        };
        rest = rest.get(skipped..)?;
    }
}

#[cold]
const fn truncated(layer: Layer, needed: usize, given: usize) -> ParseError {
    ParseError::Truncated { layer, needed, given, offset: 0 }
}

impl fmt::Display for Packet<'_> {
    /// Prints one line much as tcpdump would, without a clock in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IpHeader { source, destination, ttl, protocol, .. } = self.ip;
        match &self.transport {
            Transport::Tcp(segment) => {
                let from = SocketAddr::new(source, segment.source_port);
                let to = SocketAddr::new(destination, segment.destination_port);
                write!(f, "{from} > {to} {segment}")?;
            }
            Transport::Icmp(message) => write!(f, "{source} > {destination} icmp {message}")?,
            Transport::Other => write!(f, "{source} > {destination} protocol {protocol}")?,
            Transport::Fragment => {
                write!(f, "{source} > {destination} fragment of protocol {protocol}")?;
            }
        }
        write!(f, " ttl {ttl}")
    }
}
