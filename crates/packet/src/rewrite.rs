//! Rewriting a packet in place, as a NAT does: addresses, ports, TTL.
//!
//! Checksums follow incrementally (RFC 1624), so a checksum that was wrong stays wrong, and what
//! was not complete before does not look complete afterwards.

use core::net::{IpAddr, SocketAddr};

use crate::{
    checksum::ChecksumChange,
    icmp::{ICMP_HEADER_LEN, has_ports},
    ip::{ICMP, ICMPV6, Packet, TCP, Transport, Ttl, UDP},
    sequence::SeqNumber,
    tcp_options::{MAX_OPTIONS_LEN, option_kind},
};

/// Where the identifier of an ICMP echo message lies in it.
const IDENTIFIER_OFFSET: usize = 4;

/// Where the headers of a packet lie.
///
/// It comes from [`Packet::layout`] and serves to rewrite the same bytes any number of times,
/// since rewriting moves nothing. Each method returns whether it did its work; where the packet
/// is of another kind or family, or shorter than the one that was parsed, it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    family: Family,
    carried: Carried,
    /// Where the transport header starts.
    transport: u16,
    quoted: Option<QuotedLayout>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Family {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Carried {
    Tcp,
    Udp,
    IcmpV4,
    IcmpV6,
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct QuotedLayout {
    protocol: u8,
    /// Where the transport header starts within the quote.
    transport: u16,
    /// Bytes of the quote; what a buffer holds behind them is under no checksum.
    length: u16,
}

/// Which of the two ends of a packet is meant.
#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

impl Layout {
    #[inline]
    pub(crate) fn of(packet: &Packet<'_>) -> Self {
        let family = if packet.ip.source.is_ipv4() { Family::V4 } else { Family::V6 };
        let (carried, quoted) = match &packet.transport {
            Transport::Tcp(_) => (Carried::Tcp, None),
            Transport::Icmp(message) => {
                let carried = match family {
                    Family::V4 => Carried::IcmpV4,
                    Family::V6 => Carried::IcmpV6,
                };
                let quoted = message.quoted.map(|quoted| QuotedLayout {
                    protocol: quoted.protocol,
                    transport: quoted.header_len,
                    // A quote is shorter than the packet around it.
                    length: quoted.bytes.len() as u16,
                });
                (carried, quoted)
            }
            Transport::Other if packet.ip.protocol == UDP => (Carried::Udp, None),
            Transport::Other | Transport::Fragment => (Carried::Opaque, None),
        };
        Self { family, carried, transport: packet.ip.header_len, quoted }
    }

    /// Reads the source address of the IP header, as it is now.
    #[inline]
    #[must_use]
    pub fn source_addr(&self, bytes: &[u8]) -> Option<IpAddr> {
        self.addr(bytes, End::Source)
    }

    /// Reads the destination address of the IP header, as it is now.
    #[inline]
    #[must_use]
    pub fn destination_addr(&self, bytes: &[u8]) -> Option<IpAddr> {
        self.addr(bytes, End::Destination)
    }

    /// Reads the TTL or hop limit, as it is now; zero where the packet is shorter.
    #[inline]
    #[must_use]
    pub fn ttl(&self, bytes: &[u8]) -> Ttl {
        Ttl(bytes.get(self.ttl_offset()).copied().unwrap_or(0))
    }

    /// Writes another source address and port into a TCP packet.
    #[inline(always)]
    pub fn set_source(&self, bytes: &mut [u8], to: SocketAddr) -> bool {
        self.set_endpoint(bytes, End::Source, to)
    }

    /// Writes another destination address and port into a TCP packet.
    #[inline(always)]
    pub fn set_destination(&self, bytes: &mut [u8], to: SocketAddr) -> bool {
        self.set_endpoint(bytes, End::Destination, to)
    }

    /// Writes another source address and port into a UDP datagram, or another source address and
    /// identifier into an ICMP echo message.
    #[cold]
    pub fn set_datagram_source(&self, bytes: &mut [u8], to: SocketAddr) -> bool {
        self.set_datagram_endpoint(bytes, End::Source, to)
    }

    /// Writes another destination address and port into a UDP datagram, or another destination
    /// address and identifier into an ICMP echo message.
    #[cold]
    pub fn set_datagram_destination(&self, bytes: &mut [u8], to: SocketAddr) -> bool {
        self.set_datagram_endpoint(bytes, End::Destination, to)
    }

    /// Lets `edit` change numbers and options of a TCP segment; none of them can change its length.
    pub fn edit_segment(&self, bytes: &mut [u8], edit: impl FnOnce(&mut SegmentEdit<'_>)) -> bool {
        if self.carried != Carried::Tcp {
            return false;
        }
        let Some(segment) = bytes.get_mut(usize::from(self.transport)..) else {
            return false;
        };
        let header_len = segment.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
        let Some((fixed, options)) =
            segment.get_mut(..header_len).and_then(|header| header.split_first_chunk_mut::<20>())
        else {
            return false;
        };
        let mut old = [0; MAX_OPTIONS_LEN];
        let old = &mut old[..options.len()];
        old.copy_from_slice(options);
        let [.., s0, s1, s2, s3, a0, a1, a2, a3, _, _, _, _, _, _, _, _] = *fixed;
        let mut edited = SegmentEdit {
            sequence: SeqNumber(u32::from_be_bytes([s0, s1, s2, s3])),
            acknowledgment: SeqNumber(u32::from_be_bytes([a0, a1, a2, a3])),
            options,
        };
        edit(&mut edited);
        let (sequence, acknowledgment) = (edited.sequence.0, edited.acknowledgment.0);
        let mut change = ChecksumChange::default();
        change.replace(old, options);
        for (at, number) in [(4, sequence), (8, acknowledgment)] {
            let number = number.to_be_bytes();
            change.replace(&fixed[at..at + 4], &number);
            fixed[at..at + 4].copy_from_slice(&number);
        }
        [fixed[16], fixed[17]] = change.apply([fixed[16], fixed[17]]);
        true
    }

    /// Writes another source address and port into the packet that an ICMP error quotes.
    ///
    /// Brings its checksums up to date as far as they are quoted, then that of the error.
    #[inline]
    pub fn set_quoted_source(&self, bytes: &mut [u8], to: SocketAddr) -> bool {
        self.set_quoted_endpoint(bytes, End::Source, to)
    }

    /// Writes another destination address and port into the packet that an ICMP error quotes.
    ///
    /// Brings its checksums up to date as far as they are quoted, then that of the error.
    #[inline]
    pub fn set_quoted_destination(&self, bytes: &mut [u8], to: SocketAddr) -> bool {
        self.set_quoted_endpoint(bytes, End::Destination, to)
    }

    /// Adds a number to the sequence number of the TCP segment that an ICMP error quotes.
    #[cold]
    pub fn shift_quoted_sequence(&self, bytes: &mut [u8], by: u32) -> bool {
        let Some(quoted) = self.quoted.filter(|quoted| quoted.protocol == TCP) else {
            return false;
        };
        let start = usize::from(self.transport);
        let Some((icmp, quote)) = bytes
            .get_mut(start..start + ICMP_HEADER_LEN + usize::from(quoted.length))
            .and_then(|message| message.split_at_mut_checked(ICMP_HEADER_LEN))
        else {
            return false;
        };
        let Some(segment) = quote.get_mut(usize::from(quoted.transport)..) else {
            return false;
        };
        let Some(number) = segment.get_mut(4..).and_then(|rest| rest.first_chunk_mut::<4>()) else {
            return false;
        };
        let shifted = u32::from_be_bytes(*number).wrapping_add(by).to_be_bytes();
        let mut change = ChecksumChange::default();
        change.replace(number, &shifted);
        *number = shifted;
        let mut message = change;
        if let Some(checksum) = field(segment, 16) {
            let new = change.apply(*checksum);
            message.replace(checksum, &new);
            *checksum = new;
        }
        if let Some(checksum) = field(icmp, 2) {
            *checksum = message.apply(*checksum);
        }
        true
    }

    /// Writes another source address into the IP header of a TCP or ICMP packet.
    #[inline]
    pub fn set_outer_source_addr(&self, bytes: &mut [u8], to: IpAddr) -> bool {
        self.set_outer_addr(bytes, End::Source, to)
    }

    /// Writes another destination address into the IP header of a TCP or ICMP packet.
    #[inline]
    pub fn set_outer_destination_addr(&self, bytes: &mut [u8], to: IpAddr) -> bool {
        self.set_outer_addr(bytes, End::Destination, to)
    }

    /// Takes one off the TTL or hop limit and returns what remains; at zero it stays zero.
    #[inline]
    pub fn decrement_ttl(&self, bytes: &mut [u8]) -> Ttl {
        let at = self.ttl_offset();
        let remaining = Ttl(bytes.get(at).map_or(0, |ttl| ttl.saturating_sub(1)));
        self.set_ttl(bytes, remaining);
        remaining
    }

    /// Writes another TTL or hop limit.
    #[inline]
    pub fn set_ttl(&self, bytes: &mut [u8], to: Ttl) -> bool {
        match self.family {
            Family::V4 => {
                let Some(header) = bytes.first_chunk_mut::<20>() else {
                    return false;
                };
                let mut change = ChecksumChange::default();
                change.replace(&header[8..10], &[to.0, header[9]]);
                header[8] = to.0;
                [header[10], header[11]] = change.apply([header[10], header[11]]);
            }
            Family::V6 => {
                let Some(hop_limit) = bytes.get_mut(self.ttl_offset()) else {
                    return false;
                };
                *hop_limit = to.0;
            }
        }
        true
    }

    #[inline]
    fn addr(&self, bytes: &[u8], end: End) -> Option<IpAddr> {
        let at = end.address_offset(self.family);
        Some(match self.family {
            Family::V4 => IpAddr::from(*bytes.get(at..)?.first_chunk::<4>()?),
            Family::V6 => IpAddr::from(*bytes.get(at..)?.first_chunk::<16>()?),
        })
    }

    #[inline]
    const fn ttl_offset(&self) -> usize {
        match self.family {
            Family::V4 => 8,
            Family::V6 => 7,
        }
    }

    // By force, as what it calls: the endpoint then stays in registers on its way here.
    #[inline(always)]
    fn set_endpoint(&self, bytes: &mut [u8], end: End, to: SocketAddr) -> bool {
        if self.carried != Carried::Tcp {
            return false;
        }
        let Some((ip, tcp)) = bytes.split_at_mut_checked(usize::from(self.transport)) else {
            return false;
        };
        let Some(tcp) = tcp.first_chunk_mut::<20>() else {
            return false;
        };
        let Some(mut change) = set_address(self.family, ip, end, to.ip()) else {
            return false;
        };
        let at = end.port_offset();
        let port = to.port().to_be_bytes();
        change.replace(&tcp[at..at + 2], &port);
        tcp[at..at + 2].copy_from_slice(&port);
        [tcp[16], tcp[17]] = change.apply([tcp[16], tcp[17]]);
        true
    }

    #[inline]
    fn set_outer_addr(&self, bytes: &mut [u8], end: End, to: IpAddr) -> bool {
        let checksum_offset = match self.carried {
            Carried::Tcp => 16,
            Carried::IcmpV4 | Carried::IcmpV6 => 2,
            Carried::Udp | Carried::Opaque => return false,
        };
        let Some((ip, transport)) = bytes.split_at_mut_checked(usize::from(self.transport)) else {
            return false;
        };
        let Some(checksum) = field(transport, checksum_offset) else {
            return false;
        };
        let Some(change) = set_address(self.family, ip, end, to) else {
            return false;
        };
        self.carried.update(checksum, change, ChecksumChange::default());
        true
    }

    fn set_datagram_endpoint(&self, bytes: &mut [u8], end: End, to: SocketAddr) -> bool {
        let (port_at, checksum_at) = match self.carried {
            Carried::Udp => (end.port_offset(), 6),
            Carried::IcmpV4 | Carried::IcmpV6 => (IDENTIFIER_OFFSET, 2),
            Carried::Tcp | Carried::Opaque => return false,
        };
        let Some((ip, transport)) = bytes.split_at_mut_checked(usize::from(self.transport)) else {
            return false;
        };
        let Some(header) = transport.first_chunk_mut::<8>() else {
            return false;
        };
        let Some(pseudo_header) = set_address(self.family, ip, end, to.ip()) else {
            return false;
        };
        let mut message = ChecksumChange::default();
        let port = to.port().to_be_bytes();
        message.replace(&header[port_at..port_at + 2], &port);
        header[port_at..port_at + 2].copy_from_slice(&port);
        if let Some(checksum) = field(header, checksum_at) {
            self.carried.update(checksum, pseudo_header, message);
        }
        true
    }

    /// Out of line: errors are rare beside segments.
    #[cold]
    fn set_quoted_endpoint(&self, bytes: &mut [u8], end: End, to: SocketAddr) -> bool {
        let Some(quoted) = self.quoted else {
            return false;
        };
        let Some((icmp, quote)) = bytes
            .get_mut(usize::from(self.transport)..)
            .and_then(|message| message.split_at_mut_checked(ICMP_HEADER_LEN))
        else {
            return false;
        };
        let Some((ip, transport)) = quote
            .get_mut(..usize::from(quoted.length))
            .and_then(|quote| quote.split_at_mut_checked(usize::from(quoted.transport)))
        else {
            return false;
        };
        let Some(message_change) = quoted.rewrite(self.family, ip, transport, end, to) else {
            return false;
        };
        if let Some(checksum) = field(icmp, 2) {
            *checksum = message_change.apply(*checksum);
        }
        true
    }
}

impl Carried {
    /// Brings a checksum up to date after changes of the pseudo-header and of the message.
    fn update(self, checksum: &mut [u8; 2], pseudo: ChecksumChange, message: ChecksumChange) {
        match self {
            // ICMP over IPv4 is the one that has no pseudo-header (RFC 792).
            Self::IcmpV4 | Self::Opaque => *checksum = message.apply(*checksum),
            Self::Tcp | Self::IcmpV6 => *checksum = message.and(pseudo).apply(*checksum),
            // Zero says that there is none, so one that comes to zero is written as its other form
            // (RFC 768).
            Self::Udp if *checksum == [0, 0] => {}
            Self::Udp => {
                *checksum = match message.and(pseudo).apply(*checksum) {
                    [0, 0] => [0xff, 0xff],
                    sum => sum,
                };
            }
        }
    }
}

/// What may be changed in a TCP segment without moving anything: see [`Layout::edit_segment`].
///
/// Checksums follow as in all of this module.
#[derive(Debug)]
pub struct SegmentEdit<'a> {
    /// The sequence number.
    pub sequence: SeqNumber,
    /// The acknowledgement number, whether the ACK flag is set or not.
    pub acknowledgment: SeqNumber,
    /// The options with their padding, as in the header.
    pub options: &'a mut [u8],
}

impl SegmentEdit<'_> {
    /// Shows each option, whole with its kind and length, to `edit`, in their order. It ends at
    /// the end-of-options option, or where the options cannot be read.
    pub fn for_each_option(&mut self, mut edit: impl FnMut(&mut [u8])) {
        let mut rest = &mut *self.options;
        loop {
            let length = match *rest {
                [] | [option_kind::END, ..] | [_] => return,
                [option_kind::NO_OPERATION, ..] => 1,
                [_, length, ..] if length < 2 => return,
                [_, length, ..] => usize::from(length),
            };
            let Some((option, tail)) = rest.split_at_mut_checked(length) else { return };
            if length > 1 {
                edit(option);
            }
            rest = tail;
        }
    }
}

impl QuotedLayout {
    /// Rewrites the quote and returns what that changes for the checksum of the error around it.
    fn rewrite(
        self,
        family: Family,
        ip: &mut [u8],
        transport: &mut [u8],
        end: End,
        to: SocketAddr,
    ) -> Option<ChecksumChange> {
        let pseudo_header = set_address(family, ip, end, to.ip())?;
        // An IPv4 header and its own checksum together always sum to the same, so the error
        // around it sees no change; the addresses of IPv6 have nothing that makes up for them.
        let mut message = match family {
            Family::V4 => ChecksumChange::default(),
            Family::V6 => pseudo_header,
        };
        let mut segment = pseudo_header;
        if self.protocol == ICMP {
            segment = ChecksumChange::default();
        }
        let port_at = match self.protocol {
            // Of what ICMP is quoted, only echo has a port of its own to be rewritten.
            ICMP | ICMPV6 => Some(IDENTIFIER_OFFSET),
            protocol => has_ports(protocol).then(|| end.port_offset()),
        };
        if let Some(port) = port_at.and_then(|at| field(transport, at)) {
            let new = to.port().to_be_bytes();
            segment.replace(port, &new);
            message.replace(port, &new);
            *port = new;
        }
        if let Some(checksum) = self.checksum_offset().and_then(|at| field(transport, at)) {
            // A UDP checksum of zero says that there is none, so one that comes to zero is written
            // as its other form (RFC 768).
            if self.protocol != UDP || *checksum != [0, 0] {
                let new = match segment.apply(*checksum) {
                    [0, 0] if self.protocol == UDP => [0xff, 0xff],
                    new => new,
                };
                message.replace(checksum, &new);
                *checksum = new;
            }
        }
        Some(message)
    }

    const fn checksum_offset(self) -> Option<usize> {
        match self.protocol {
            TCP => Some(16),
            UDP => Some(6),
            ICMP | ICMPV6 => Some(2),
            _ => None,
        }
    }
}

impl End {
    #[inline(always)]
    const fn address_offset(self, family: Family) -> usize {
        match (family, self) {
            (Family::V4, Self::Source) => 12,
            (Family::V4, Self::Destination) => 16,
            (Family::V6, Self::Source) => 8,
            (Family::V6, Self::Destination) => 24,
        }
    }

    #[inline(always)]
    const fn port_offset(self) -> usize {
        match self {
            Self::Source => 0,
            Self::Destination => 2,
        }
    }
}

/// The two bytes at `at`, if they are there.
#[inline]
fn field(bytes: &mut [u8], at: usize) -> Option<&mut [u8; 2]> {
    bytes.get_mut(at..)?.first_chunk_mut()
}

/// Writes an address into an IP header, brings the checksum of an IPv4 header up to date, and
/// returns the change for checksums over the pseudo-header.
#[inline(always)]
fn set_address(family: Family, ip: &mut [u8], end: End, to: IpAddr) -> Option<ChecksumChange> {
    let mut change = ChecksumChange::default();
    match (family, to) {
        (Family::V4, IpAddr::V4(to)) => {
            let header = ip.first_chunk_mut::<20>()?;
            let at = end.address_offset(family);
            let new = to.octets();
            change.replace(&header[at..at + 4], &new);
            header[at..at + 4].copy_from_slice(&new);
            [header[10], header[11]] = change.apply([header[10], header[11]]);
        }
        (Family::V6, IpAddr::V6(to)) => {
            let header = ip.first_chunk_mut::<40>()?;
            let at = end.address_offset(family);
            let new = to.octets();
            change.replace(&header[at..at + 16], &new);
            header[at..at + 16].copy_from_slice(&new);
        }
        (Family::V4, IpAddr::V6(_)) | (Family::V6, IpAddr::V4(_)) => return None,
    }
    Some(change)
}
