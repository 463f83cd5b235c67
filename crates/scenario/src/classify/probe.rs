//! Sending packets past the box and looking at what comes out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simopen_packet::{Packet, SeqNumber, TcpBuilder, TcpFlags, Timestamp, Ttl};

use super::bench::{Bench, Hosts, Vantage};

/// SYN and ACK.
pub(super) const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
/// FIN and ACK.
pub(super) const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
/// MSS 1460, which every SYN carries unless a measurement wants others.
const SYN_OPTIONS: &[u8] = &[2, 4, 5, 180];
/// The longest packet that a probe sends.
const ROOM: usize = 256;
/// The port outside to which sessions are opened where the box has no opinion about ports.
const REMOTE_PORT: u16 = 5000;

/// A bench, and what has been found out about how to use it.
pub(super) struct Probe<'bench> {
    bench: &'bench mut dyn Bench,
    hosts: Hosts,
    /// Ports outside to which sessions can be opened.
    pub(super) remote_ports: Vec<u16>,
    /// When the last packet was sent.
    sent_at: Timestamp,
}

impl<'bench> Probe<'bench> {
    pub(super) fn new(bench: &'bench mut dyn Bench) -> Self {
        let hosts = bench.hosts().clone();
        let remote_ports = (REMOTE_PORT..REMOTE_PORT + 3).collect();
        Self { bench, hosts, remote_ports, sent_at: Timestamp::ZERO }
    }

    /// Begins again with a box that knows nothing.
    pub(super) fn restart(&mut self) {
        self.bench.restart();
        while self.bench.receive().is_some() {}
    }

    /// An endpoint of the n-th host inside.
    pub(super) fn inside(&self, host: usize, port: u16) -> SocketAddr {
        SocketAddr::new(self.hosts.inside[host % self.hosts.inside.len()], port)
    }

    /// How many hosts are inside.
    pub(super) fn inside_hosts(&self) -> usize {
        self.hosts.inside.len()
    }

    /// An endpoint of the n-th host outside.
    pub(super) fn outside(&self, host: usize, port: u16) -> SocketAddr {
        SocketAddr::new(self.hosts.outside[host], port)
    }

    /// An endpoint of the n-th host outside to which sessions can be opened: the first, second or
    /// third such port.
    pub(super) fn remote(&self, host: usize, nth_port: usize) -> Option<SocketAddr> {
        Some(self.outside(host, *self.remote_ports.get(nth_port)?))
    }

    /// The host that has an address.
    pub(super) fn vantage(&self, address: IpAddr) -> Option<Vantage> {
        self.hosts.vantage(address)
    }

    /// Sends a packet from a host, and gives what came of it.
    pub(super) fn send(&mut self, from: Vantage, packet: &[u8]) -> Vec<Arrival> {
        self.sent_at = self.bench.now();
        self.bench.send(from, packet);
        self.arrivals()
    }

    /// What has come to the hosts meanwhile.
    pub(super) fn arrivals(&mut self) -> Vec<Arrival> {
        std::iter::from_fn(|| self.bench.receive())
            .map(|(at, bytes)| Arrival { at, bytes })
            .collect()
    }

    /// Sends a segment from the host that its source address belongs to.
    pub(super) fn tell(&mut self, segment: &Segment<'_>) -> Vec<Arrival> {
        let Some(from) = self.hosts.vantage(segment.source.ip()) else { return Vec::new() };
        self.send(from, &segment.bytes())
    }

    /// Sends a segment and gives it as it came out on the other side, if it did.
    pub(super) fn pass(&mut self, segment: &Segment<'_>) -> Option<Crossed> {
        let from_inside = self.hosts.inside.contains(&segment.source.ip());
        self.tell(segment).iter().filter_map(Arrival::segment).find(|crossed| {
            crossed.flags == segment.flags
                && from_inside == matches!(crossed.at, Vantage::Outside(_))
        })
    }

    /// Whether a segment comes out on the other side.
    pub(super) fn passes(&mut self, segment: &Segment<'_>) -> bool {
        self.pass(segment).is_some()
    }

    /// Lets time pass; false where the bench cannot wait that long.
    #[must_use]
    pub(super) fn wait(&mut self, time: Duration) -> bool {
        self.bench.wait(time)
    }

    /// The time on the bench's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.bench.now()
    }

    /// When the last packet was sent.
    pub(super) const fn sent_at(&self) -> Timestamp {
        self.sent_at
    }
}

/// A packet that came to a host.
pub(super) struct Arrival {
    pub(super) at: Vantage,
    pub(super) bytes: Vec<u8>,
}

impl Arrival {
    /// The packet, read.
    pub(super) fn packet(&self) -> Option<Packet<'_>> {
        Packet::parse(&self.bytes).ok()
    }

    /// The segment that it carries, if it is one.
    pub(super) fn segment(&self) -> Option<Crossed> {
        let packet = self.packet()?;
        let segment = packet.tcp()?;
        Some(Crossed {
            at: self.at,
            source: packet.source_endpoint()?,
            destination: packet.destination_endpoint()?,
            flags: segment.flags,
            sequence: segment.sequence.0,
            options: segment.options.to_vec(),
        })
    }
}

/// A segment that came to a host.
#[derive(Debug)]
pub(super) struct Crossed {
    pub(super) at: Vantage,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) flags: TcpFlags,
    pub(super) sequence: u32,
    pub(super) options: Vec<u8>,
}

/// A segment to be sent.
#[derive(Debug, Clone)]
pub(super) struct Segment<'options> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) flags: TcpFlags,
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    pub(super) options: &'options [u8],
    /// Bytes of data.
    pub(super) payload: usize,
}

impl<'options> Segment<'options> {
    /// A bare SYN.
    pub(super) const fn syn(source: SocketAddr, destination: SocketAddr, sequence: u32) -> Self {
        let flags = TcpFlags::SYN;
        let options = SYN_OPTIONS;
        Self { source, destination, flags, sequence, acknowledgment: 0, options, payload: 0 }
    }

    pub(super) const fn with_options(mut self, options: &'options [u8]) -> Self {
        self.options = options;
        self
    }

    pub(super) const fn with_payload(mut self, payload: usize) -> Self {
        self.payload = payload;
        self
    }

    /// The whole packet; empty if it cannot be written.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let builder = TcpBuilder {
            source: self.source,
            destination: self.destination,
            ttl: Ttl::DEFAULT,
            sequence: SeqNumber(self.sequence),
            acknowledgment: SeqNumber(self.acknowledgment),
            flags: self.flags,
            window: 65_535,
        };
        let mut packet = vec![0; ROOM];
        let length = builder.emit(self.options, &[0x5a; ROOM][..self.payload], &mut packet);
        packet.truncate(length.unwrap_or(0));
        packet
    }
}
