//! TCP segments: the view, the builder, and the reset that a closed port answers.

use core::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::BitOr,
};

use crate::{
    checksum::Checksum,
    error::{EmitError, Layer, ParseError},
    ip::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, Packet, TCP, Ttl},
    sequence::SeqNumber,
    tcp_options::{MAX_OPTIONS_LEN, SynOptions},
};

pub(crate) const TCP_HEADER_LEN: usize = 20;

/// The control bits of a TCP header (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo (RFC 3168 §6.1).
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168 §6.1).
    pub const CWR: Self = Self(0x80);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::SYN, "SYN"),
        (Self::FIN, "FIN"),
        (Self::RST, "RST"),
        (Self::PSH, "PSH"),
        (Self::ACK, "ACK"),
        (Self::URG, "URG"),
        (Self::ECE, "ECE"),
        (Self::CWR, "CWR"),
    ];

    /// Returns whether all bits of `other` are set.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether this opens a connection: SYN with neither ACK nor RST.
    #[inline]
    #[must_use]
    pub const fn is_bare_syn(self) -> bool {
        self.0 & (Self::SYN.0 | Self::ACK.0 | Self::RST.0) == Self::SYN.0
    }

    /// Returns whether this accepts a connection: SYN and ACK without RST.
    #[inline]
    #[must_use]
    pub const fn is_syn_ack(self) -> bool {
        self.0 & (Self::SYN.0 | Self::ACK.0 | Self::RST.0) == Self::SYN.0 | Self::ACK.0
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for TcpFlags {
    /// Prints the names with bars between, as in `SYN|ACK`, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = Self::NAMES.iter().filter(|(flag, _)| self.contains(*flag));
        let Some((_, first)) = set.next() else {
            return f.write_str("none");
        };
        f.write_str(first)?;
        set.try_for_each(|(_, name)| write!(f, "|{name}"))
    }
}

/// A TCP segment as it lies in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSegment<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number of the first octet, or the initial one if SYN is set.
    pub sequence: SeqNumber,
    /// Next sequence number that the sender awaits, if ACK is set.
    pub acknowledgment: SeqNumber,
    /// Control bits.
    pub flags: TcpFlags,
    /// Receive window as it stands in the header, unscaled.
    pub window: u16,
    /// Options as they stand in the header, padding included.
    pub options: &'a [u8],
    /// Data.
    pub payload: &'a [u8],
}

impl<'a> TcpSegment<'a> {
    /// Reads a segment that fills `bytes`; `offset` is where they start in the packet.
    #[inline(always)]
    pub(crate) fn parse(bytes: &'a [u8], offset: u16) -> Result<Self, ParseError> {
        let Some((header, rest)) = bytes.split_first_chunk::<TCP_HEADER_LEN>() else {
            return Err(truncated(TCP_HEADER_LEN, bytes.len(), offset));
        };
        let header_len = usize::from(header[12] >> 4) * 4;
        let Some(options_len) = header_len.checked_sub(TCP_HEADER_LEN) else {
            return Err(ParseError::Length { layer: Layer::Tcp, claimed: header_len });
        };
        let Some((options, payload)) = rest.split_at_checked(options_len) else {
            return Err(truncated(header_len, bytes.len(), offset));
        };
        Ok(Self {
            source_port: u16::from_be_bytes([header[0], header[1]]),
            destination_port: u16::from_be_bytes([header[2], header[3]]),
            sequence: SeqNumber(u32::from_be_bytes([header[4], header[5], header[6], header[7]])),
            acknowledgment: SeqNumber(u32::from_be_bytes([
                header[8], header[9], header[10], header[11],
            ])),
            flags: TcpFlags(header[13]),
            window: u16::from_be_bytes([header[14], header[15]]),
            options,
            payload,
        })
    }

    /// Returns how much sequence space the segment takes: its payload, and one each for SYN and
    /// FIN (RFC 9293 §3.4, SEG.LEN).
    #[inline]
    #[must_use]
    pub fn segment_len(&self) -> u32 {
        self.payload.len() as u32
            + u32::from(self.flags.contains(TcpFlags::SYN))
            + u32::from(self.flags.contains(TcpFlags::FIN))
    }
}

#[cold]
fn truncated(needed: usize, given: usize, offset: u16) -> ParseError {
    ParseError::Truncated { layer: Layer::Tcp, needed, given, offset: offset.into() }
}

impl fmt::Display for TcpSegment<'_> {
    /// Prints flags, numbers, and what a SYN offers; addresses belong to the packet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} seq {}", self.flags, self.sequence)?;
        if self.flags.contains(TcpFlags::ACK) {
            write!(f, " ack {}", self.acknowledgment)?;
        }
        write!(f, " win {}", self.window)?;
        if self.flags.contains(TcpFlags::SYN) {
            match SynOptions::parse(self.options) {
                Ok(options) => write!(f, "{options}")?,
                Err(_) => f.write_str(" options broken")?,
            }
        }
        if !self.payload.is_empty() {
            write!(f, " len {}", self.payload.len())?;
        }
        Ok(())
    }
}

/// What stands in the headers of a TCP packet to be written.
///
/// Everything that is not here is fixed: no traffic class, no flow label, identification 0 with
/// "don't fragment" (RFC 6864 §4.1), no urgent pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpBuilder {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port, of the same family.
    pub destination: SocketAddr,
    /// Time to live or hop limit.
    pub ttl: Ttl,
    /// Sequence number.
    pub sequence: SeqNumber,
    /// Acknowledgment number; written even where ACK is not set, so make it zero there.
    pub acknowledgment: SeqNumber,
    /// Control bits.
    pub flags: TcpFlags,
    /// Receive window, unscaled.
    pub window: u16,
}

impl TcpBuilder {
    /// Writes the whole IP packet with its checksums and returns its length in bytes.
    ///
    /// `options` stand in the header as they are.
    ///
    /// # Errors
    ///
    /// Fails if the families differ, if `options` are over 40 bytes or no multiple of four, if
    /// the packet would be over 65,535 bytes, or if `buffer` is too short. Then `buffer` is as it
    /// was.
    #[inline]
    pub fn emit(
        &self,
        options: &[u8],
        payload: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, EmitError> {
        if options.len() > MAX_OPTIONS_LEN || !options.len().is_multiple_of(4) {
            return Err(EmitError::Options { length: options.len() });
        }
        let ip_len = match (self.source, self.destination) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => IPV4_HEADER_LEN,
            (SocketAddr::V6(_), SocketAddr::V6(_)) => IPV6_HEADER_LEN,
            _ => return Err(EmitError::MixedFamilies),
        };
        let total = ip_len + TCP_HEADER_LEN + options.len() + payload.len();
        if total > usize::from(u16::MAX) {
            return Err(EmitError::TooLong { length: total });
        }
        let given = buffer.len();
        let Some(packet) = buffer.get_mut(..total) else {
            return Err(EmitError::Buffer { needed: total, given });
        };
        let (source, destination) = (self.source.ip(), self.destination.ip());
        let (header, segment) = packet.split_at_mut(ip_len);
        emit_ip_header(source, destination, self.ttl, TCP, segment.len(), header);
        self.emit_segment(options, payload, segment);
        Ok(total)
    }

    /// Writes the segment into `segment`, which is exactly as long as it.
    #[inline]
    fn emit_segment(&self, options: &[u8], payload: &[u8], segment: &mut [u8]) {
        let header = self.header(options.len());
        let sum =
            Checksum::of_pseudo_header(self.source.ip(), self.destination.ip(), TCP, segment.len());
        let checksum = sum.with(&header).with(options).with(payload).finish();

        let (head, rest) = segment.split_at_mut(TCP_HEADER_LEN);
        head.copy_from_slice(&header);
        head[16..18].copy_from_slice(&checksum);
        let (into_options, into_payload) = rest.split_at_mut(options.len());
        into_options.copy_from_slice(options);
        into_payload.copy_from_slice(payload);
    }

    /// The twenty fixed bytes, checksum zero.
    #[inline]
    fn header(&self, options_len: usize) -> [u8; TCP_HEADER_LEN] {
        let [s0, s1] = self.source.port().to_be_bytes();
        let [d0, d1] = self.destination.port().to_be_bytes();
        let [q0, q1, q2, q3] = self.sequence.0.to_be_bytes();
        let [a0, a1, a2, a3] = self.acknowledgment.0.to_be_bytes();
        let data_offset = ((TCP_HEADER_LEN + options_len) / 4) as u8;
        let [w0, w1] = self.window.to_be_bytes();
        let flags = self.flags.0;
        #[rustfmt::skip]
        let header = [
            s0, s1, d0, d1,
            q0, q1, q2, q3,
            a0, a1, a2, a3,
            data_offset << 4, flags, w0, w1,
            0, 0, 0, 0,
        ];
        header
    }
}

/// Writes an IP header for `payload_len` bytes into `header`, which is 20 or 40 bytes long as the
/// family of both addresses demands.
#[inline]
pub(crate) fn emit_ip_header(
    source: IpAddr,
    destination: IpAddr,
    ttl: Ttl,
    protocol: u8,
    payload_len: usize,
    header: &mut [u8],
) {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let [l0, l1] = ((IPV4_HEADER_LEN + payload_len) as u16).to_be_bytes();
            let [s0, s1, s2, s3] = source.octets();
            let [d0, d1, d2, d3] = destination.octets();
            #[rustfmt::skip]
            let mut fields: [u8; IPV4_HEADER_LEN] = [
                0x45, 0, l0, l1,
                0, 0, 0x40, 0,
                ttl.0, protocol, 0, 0,
                s0, s1, s2, s3,
                d0, d1, d2, d3,
            ];
            let checksum = Checksum::default().with(&fields).finish();
            fields[10..12].copy_from_slice(&checksum);
            header.copy_from_slice(&fields);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let [l0, l1] = (payload_len as u16).to_be_bytes();
            header[..8].copy_from_slice(&[0x60, 0, 0, 0, l0, l1, protocol, ttl.0]);
            header[8..24].copy_from_slice(&source.octets());
            header[24..].copy_from_slice(&destination.octets());
        }
        _ => debug_assert!(false, "callers have compared the families"),
    }
}

/// Writes the reset with which a closed port answers `packet` (RFC 9293 §3.10.7.1), and returns
/// its length in bytes.
///
/// Returns `None` if `packet` is no TCP segment or a reset itself, or if `buffer` is too short.
#[must_use]
pub fn reset_answering(packet: &Packet<'_>, buffer: &mut [u8]) -> Option<usize> {
    let segment = packet.tcp()?;
    if segment.flags.contains(TcpFlags::RST) {
        return None;
    }
    let (sequence, acknowledgment, flags) = if segment.flags.contains(TcpFlags::ACK) {
        (segment.acknowledgment, SeqNumber(0), TcpFlags::RST)
    } else {
        let next = segment.sequence + segment.segment_len();
        (SeqNumber(0), next, TcpFlags::RST | TcpFlags::ACK)
    };
    let reset = TcpBuilder {
        source: packet.destination_endpoint()?,
        destination: packet.source_endpoint()?,
        ttl: Ttl::DEFAULT,
        sequence,
        acknowledgment,
        flags,
        window: 0,
    };
    reset.emit(&[], &[], buffer).ok()
}
