//! A box with a clock, and segments to send through it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simopen_nat::{
    DropReason, JournalEntry, MAX_ANSWER_LEN, Middlebox, MiddleboxSpec, Side, Verdict,
};
use simopen_packet::checksum::Checksum;
use simopen_packet::{Datagram, Entropy, Packet, SeqNumber, TcpBuilder, TcpFlags, Timestamp, Ttl};

pub(crate) const SYN: TcpFlags = TcpFlags::SYN;
pub(crate) const ACK: TcpFlags = TcpFlags::ACK;
pub(crate) const RST: TcpFlags = TcpFlags::RST;
pub(crate) const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
pub(crate) const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
pub(crate) const RST_ACK: TcpFlags = TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0);

/// MSS 1460 and window scale 8.
pub(crate) const SCALED: &[u8] = &[2, 4, 5, 180, 1, 3, 3, 8];

/// An endpoint from its text.
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One segment to be sent.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) flags: TcpFlags,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) window: u16,
    pub(crate) options: &'static [u8],
    pub(crate) payload: usize,
}

impl Segment {
    pub(crate) fn new(source: SocketAddr, destination: SocketAddr, flags: TcpFlags) -> Self {
        Self {
            source,
            destination,
            flags,
            sequence: 0,
            acknowledgment: 0,
            window: 65_535,
            options: &[],
            payload: 0,
        }
    }

    pub(crate) fn numbered(self, sequence: u32, acknowledgment: u32) -> Self {
        Self { sequence, acknowledgment, ..self }
    }

    pub(crate) fn window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    pub(crate) fn options(self, options: &'static [u8]) -> Self {
        Self { options, ..self }
    }

    pub(crate) fn payload(self, payload: usize) -> Self {
        Self { payload, ..self }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let builder = TcpBuilder {
            source: self.source,
            destination: self.destination,
            ttl: Ttl(64),
            sequence: SeqNumber(self.sequence),
            acknowledgment: SeqNumber(self.acknowledgment),
            flags: self.flags,
            window: self.window,
        };
        let mut buffer = vec![0; 2048];
        let length = builder.emit(self.options, &vec![0x5a; self.payload], &mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }
}

/// A UDP datagram over IPv4.
pub(crate) fn udp(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut message = [source.port(), destination.port(), 12, 0].map(u16::to_be_bytes).concat();
    message.extend(b"data");
    over_ipv4(17, source.ip(), destination.ip(), message, 6)
}

/// An ICMP echo request (8) or reply (0) over IPv4.
pub(crate) fn echo(kind: u8, source: IpAddr, destination: IpAddr, identifier: u16) -> Vec<u8> {
    let [high, low] = identifier.to_be_bytes();
    over_ipv4(1, source, destination, vec![kind, 0, 0, 0, high, low, 0, 1, b'x', b'y'], 2)
}

fn over_ipv4(
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    mut message: Vec<u8>,
    checksum_at: usize,
) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (source, destination) else { panic!("not IPv4") };
    let sum = match protocol {
        1 => Checksum::default(),
        _ => Checksum::of_pseudo_header(source, destination, protocol, message.len()),
    };
    let sum = sum.with(&message).finish();
    message[checksum_at..checksum_at + 2].copy_from_slice(&sum);
    let mut header = vec![0x45, 0, 0, 20 + message.len() as u8, 0, 0, 0, 0, 64, protocol, 0, 0];
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = Checksum::default().with(&header).finish();
    header[10..12].copy_from_slice(&sum);
    [header, message].concat()
}

/// Addresses, and ports or identifiers, of a datagram whose checksum is right.
pub(crate) fn ends_of_datagram(bytes: &[u8]) -> (SocketAddr, SocketAddr) {
    let packet = Packet::parse(bytes).unwrap();
    Packet::verify_checksums(bytes).unwrap();
    let (ip, message) = (packet.ip, &bytes[20..]);
    if ip.protocol == 17 {
        let sum = Checksum::of_pseudo_header(ip.source, ip.destination, 17, message.len());
        assert!(sum.with(message).is_intact());
    }
    let datagram = Datagram::of(&packet, bytes).unwrap();
    let source = SocketAddr::new(ip.source, datagram.source_port);
    (source, SocketAddr::new(ip.destination, datagram.destination_port))
}

/// A packet that left the box on the other side, or why it did not.
pub(crate) struct Passed {
    pub(crate) verdict: Verdict,
    pub(crate) bytes: Vec<u8>,
}

impl Passed {
    /// Source and destination as the packet left.
    pub(crate) fn endpoints(&self) -> (SocketAddr, SocketAddr) {
        let packet = Packet::parse(&self.bytes).unwrap();
        (packet.source_endpoint().unwrap(), packet.destination_endpoint().unwrap())
    }

    /// The outside endpoint that the packet left from.
    pub(crate) fn source(&self) -> SocketAddr {
        assert_eq!(self.verdict, Verdict::Forward);
        self.endpoints().0
    }

    pub(crate) fn assert_forwarded(&self) {
        assert_eq!(self.verdict, Verdict::Forward);
        Packet::verify_checksums(&self.bytes).unwrap();
    }

    pub(crate) fn assert_dropped(&self, reason: DropReason) {
        assert_eq!(self.verdict, Verdict::Drop(reason));
    }
}

/// A box, the time, and what goes through it.
pub(crate) struct Exchange {
    pub(crate) middlebox: Middlebox,
    pub(crate) now: Timestamp,
}

impl Exchange {
    /// A box at 203.0.113.1.
    pub(crate) fn new(spec: MiddleboxSpec) -> Self {
        Self::with_external(spec, "203.0.113.1".parse().unwrap())
    }

    pub(crate) fn with_external(spec: MiddleboxSpec, external: IpAddr) -> Self {
        let now = Timestamp::ZERO;
        Self { middlebox: Middlebox::new(spec, external, Entropy::new([3; 32]), now), now }
    }

    pub(crate) fn pass(&mut self, from: Side, mut bytes: Vec<u8>) -> Passed {
        let verdict = self.middlebox.handle_packet(from, &mut bytes, self.now);
        Passed { verdict, bytes }
    }

    pub(crate) fn outbound(&mut self, segment: Segment) -> Passed {
        self.pass(Side::Inside, segment.bytes())
    }

    pub(crate) fn inbound(&mut self, segment: Segment) -> Passed {
        self.pass(Side::Outside, segment.bytes())
    }

    /// Lets time pass, with every timer on its time.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some((at, _)) = self.middlebox.poll_timeout().filter(|(at, _)| *at <= end) {
            self.middlebox.handle_timeout(at);
        }
        self.now = end;
    }

    /// The box's own packets so far.
    pub(crate) fn answers(&mut self) -> Vec<(Side, Vec<u8>)> {
        let mut answers = Vec::new();
        let mut buffer = [0; MAX_ANSWER_LEN];
        while let Some((side, length)) = self.middlebox.poll_transmit(&mut buffer) {
            Packet::verify_checksums(&buffer[..length]).unwrap();
            answers.push((side, buffer[..length].to_vec()));
        }
        answers
    }

    pub(crate) fn assert_silent(&mut self) {
        assert!(self.answers().is_empty());
    }

    pub(crate) fn journal(&mut self) -> Vec<JournalEntry> {
        std::iter::from_fn(|| self.middlebox.poll_journal()).collect()
    }
}

/// An inside host's connection through a box, each side named once.
pub(crate) struct Connection {
    pub(crate) inside: SocketAddr,
    pub(crate) external: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Connection {
    /// A connection whose port the box keeps.
    pub(crate) fn kept() -> Self {
        Self {
            inside: at("10.0.0.2:4000"),
            external: at("203.0.113.1:4000"),
            remote: at("198.51.100.9:5000"),
        }
    }

    /// A segment as the inside host sends it.
    pub(crate) fn out(&self, flags: TcpFlags, sequence: u32, acknowledgment: u32) -> Segment {
        Segment::new(self.inside, self.remote, flags).numbered(sequence, acknowledgment)
    }

    /// A segment as the remote host sends it.
    pub(crate) fn back(&self, flags: TcpFlags, sequence: u32, acknowledgment: u32) -> Segment {
        Segment::new(self.remote, self.external, flags).numbered(sequence, acknowledgment)
    }

    /// Sends the three segments of an ordinary handshake, numbered from 100 and 900.
    pub(crate) fn establish(&self, exchange: &mut Exchange) {
        exchange.outbound(self.out(SYN, 100, 0)).assert_forwarded();
        exchange.inbound(self.back(SYN_ACK, 900, 101)).assert_forwarded();
        exchange.outbound(self.out(ACK, 101, 901)).assert_forwarded();
    }
}
