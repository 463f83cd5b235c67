//! Several segments of one TCP stream written into a TUN device at once, as generic receive offload
//! would have handed them up.

use std::io::{self, IoSlice, Write};
use std::net::IpAddr;

use simopen_packet::checksum::Checksum;
use simopen_packet::{Packet, TcpFlags, Transport};

/// `struct virtio_net_hdr`, which precedes each packet of a device with IFF_VNET_HDR.
pub(super) const HEADER_LEN: usize = 10;

/// The longest packet that a run may become: the length field of IPv4 has 16 bits.
const LONGEST: usize = 65_535;

/// Most segments in a run: the kernel allots a page fragment for each.
const MOST: usize = 44;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum field holds that of the pseudo-header.
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV4` and `_TCPV6`.
const SEGMENTS_V4: u8 = 1;
const SEGMENTS_V6: u8 = 4;

/// Where the fields of a TCP header lie.
const SEQUENCE: usize = 4;
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;

/// Packets that are written as one.
pub(super) struct Run<'p> {
    first: &'p [u8],
    shape: Option<Shape>,
    payloads: Vec<&'p [u8]>,
    /// Bytes of all of them.
    length: usize,
    /// Whether a segment shorter than the first, or with PSH, was taken: nothing follows it.
    is_over: bool,
    flags: u8,
}

/// What is known of a segment that may stand in a run.
#[derive(Clone, Copy)]
struct Shape {
    ip_len: usize,
    headers_len: usize,
    payload_len: usize,
    sequence: u32,
    source: IpAddr,
    destination: IpAddr,
    pushes: bool,
}

impl Shape {
    /// `None` for what no run takes: no TCP, no payload, any flag but ACK and PSH.
    fn of(bytes: &[u8]) -> Option<Self> {
        let packet = Packet::parse(bytes).ok()?;
        let Transport::Tcp(segment) = &packet.transport else { return None };
        let plain = segment.flags == TcpFlags::ACK;
        let pushes = segment.flags == TcpFlags::ACK | TcpFlags::PSH;
        let ip_len = usize::from(packet.ip.header_len);
        let headers_len = ip_len + 20 + segment.options.len();
        // An IPv4 header with options is nobody's bulk transfer.
        let is_usual = ip_len == if packet.ip.source.is_ipv4() { 20 } else { 40 };
        ((plain || pushes) && !segment.payload.is_empty() && is_usual).then_some(Self {
            ip_len,
            headers_len,
            payload_len: segment.payload.len(),
            sequence: segment.sequence.0,
            source: packet.ip.source,
            destination: packet.ip.destination,
            pushes,
        })
    }
}

impl<'p> Run<'p> {
    /// A run of one.
    pub(super) fn of(first: &'p [u8]) -> Self {
        let shape = Shape::of(first);
        Self {
            first,
            payloads: Vec::new(),
            length: first.len(),
            is_over: shape.is_none_or(|shape| shape.pushes),
            flags: first.get(shape.map_or(0, |shape| shape.ip_len) + FLAGS).copied().unwrap_or(0),
            shape,
        }
    }

    /// Takes the packet if it is the next segment of the same stream with the same headers.
    pub(super) fn takes(&mut self, packet: &'p [u8]) -> bool {
        let (Some(own), false) = (self.shape, self.is_over) else { return false };
        let Some(next) = Shape::of(packet) else { return false };
        let expected = own.sequence.wrapping_add((self.length - own.headers_len) as u32);
        let fits = next.sequence == expected
            && next.headers_len == own.headers_len
            && next.payload_len <= own.payload_len
            && self.payloads.len() + 1 < MOST
            && self.length + next.payload_len <= LONGEST
            && same_headers(self.first, packet, own);
        let Some(payload) = packet.get(own.headers_len..).filter(|_| fits) else { return false };
        self.payloads.push(payload);
        self.length += next.payload_len;
        self.is_over = next.pushes || next.payload_len < own.payload_len;
        self.flags |= packet.get(own.ip_len + FLAGS).copied().unwrap_or(0);
        true
    }

    /// Writes it.
    pub(super) fn write(self, mut to: impl Write) -> io::Result<()> {
        let Some(shape) = self.shape.filter(|_| !self.payloads.is_empty()) else {
            let parts = &[IoSlice::new(&[0; HEADER_LEN]), IoSlice::new(self.first)];
            return to.write_vectored(parts).map(drop);
        };
        let (header, headers) = self.headers(shape);
        let mut parts = Vec::with_capacity(3 + self.payloads.len());
        parts.push(IoSlice::new(&header));
        parts.push(IoSlice::new(&headers));
        parts.push(IoSlice::new(self.first.get(shape.headers_len..).unwrap_or_default()));
        parts.extend(self.payloads.iter().map(|payload| IoSlice::new(payload)));
        to.write_vectored(&parts).map(drop)
    }

    /// What tells the kernel how to cut the run, and the headers of the whole.
    fn headers(&self, shape: Shape) -> ([u8; HEADER_LEN], Vec<u8>) {
        let mut headers = self.first.get(..shape.headers_len).unwrap_or_default().to_vec();
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(place) = headers.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(shape.ip_len + FLAGS, &[self.flags]);
        let transport_len = self.length - shape.ip_len;
        if shape.source.is_ipv4() {
            put(2, &(self.length as u16).to_be_bytes());
            put(10, &[0; 2]);
            let sum = Checksum::default().with(headers.get(..shape.ip_len).unwrap_or_default());
            let sum = sum.finish();
            headers.splice(10..12, sum);
        } else {
            put(4, &(transport_len as u16).to_be_bytes());
        }
        // Of the pseudo-header alone, and not inverted: the kernel completes it.
        let pseudo = Checksum::of_pseudo_header(
            shape.source,
            shape.destination,
            libc::IPPROTO_TCP as u8,
            transport_len,
        );
        let pseudo = pseudo.finish().map(|byte| !byte);
        let at = shape.ip_len + CHECKSUM;
        headers.splice(at..at + 2, pseudo);
        let mut header = [0; HEADER_LEN];
        header[0] = NEEDS_CHECKSUM;
        header[1] = if shape.source.is_ipv4() { SEGMENTS_V4 } else { SEGMENTS_V6 };
        header[2..4].copy_from_slice(&(shape.headers_len as u16).to_ne_bytes());
        header[4..6].copy_from_slice(&(shape.payload_len as u16).to_ne_bytes());
        header[6..8].copy_from_slice(&(shape.ip_len as u16).to_ne_bytes());
        header[8..10].copy_from_slice(&(CHECKSUM as u16).to_ne_bytes());
        (header, headers)
    }
}

/// Whether two segments differ in nothing but what differs from segment to segment: lengths,
/// identification, checksums, sequence number, PSH.
fn same_headers(one: &[u8], other: &[u8], shape: Shape) -> bool {
    let ip: &[std::ops::Range<usize>] =
        if shape.source.is_ipv4() { &[0..2, 6..10, 12..20] } else { &[0..4, 6..40] };
    let tcp = [0..SEQUENCE, 8..FLAGS, 14..CHECKSUM, 18..shape.headers_len - shape.ip_len];
    let tcp = tcp.map(|range| range.start + shape.ip_len..range.end + shape.ip_len);
    ip.iter().cloned().chain(tcp).all(|range| one.get(range.clone()) == other.get(range))
}
