//! What happened to the packets that matter: the ones that open and close connections, ICMP, and
//! everything that was dropped.

use alloc::collections::{BTreeMap, VecDeque};
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use simopen_nat::JournalEntry;
use simopen_packet::{Packet, SeqNumber, TcpFlags, Timestamp, Transport};

use crate::graph::{LinkId, NodeId, PortId};

/// One line of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FabricEvent {
    /// When it happened by the packet's own due time, however late the world turned the fabric.
    pub at: Timestamp,
    /// Where it happened.
    pub place: Place,
    /// What happened.
    pub what: Happening,
    /// The packet, as it read there; `None` where there is none or none that can be read.
    pub packet: Option<PacketSummary>,
}

impl fmt::Display for FabricEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Happening::Middlebox(entry) = &self.what {
            return write!(f, "{} {entry}", self.place);
        }
        write!(f, "{} {} {}", self.at, self.place, self.what)?;
        match &self.packet {
            Some(packet) => write!(f, ": {packet}"),
            None => Ok(()),
        }
    }
}

/// A part of the fabric; [`Fabric::name`](crate::Fabric::name) tells its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A port.
    Port(PortId),
    /// A router or middlebox.
    Node(NodeId),
    /// A link.
    Link(LinkId),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {}", port.number()),
            Self::Node(node) => write!(f, "node {}", node.number()),
            Self::Link(link) => write!(f, "link {}", link.number()),
        }
    }
}

/// Where a packet came into being as far as the fabric can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// It entered by this port.
    Port(PortId),
    /// This router or middlebox made it.
    Node(NodeId),
}

impl From<Origin> for Place {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Port(port) => Self::Port(port),
            Origin::Node(node) => Self::Node(node),
        }
    }
}

/// What happened. It may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// The packet entered the fabric by this port.
    Entered,
    /// The middlebox let the packet through, perhaps rewritten; the summary shows it afterwards.
    Passed,
    /// The packet came out at this port.
    Delivered,
    /// The packet's TTL was used up here. The answer, if one is owed, is an event of its own.
    TtlExceeded,
    /// This router or middlebox made the packet.
    Emitted,
    /// The packet ended here.
    Dropped(DropReason),
    /// A line of the middlebox's own journal.
    Middlebox(JournalEntry),
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entered => f.write_str("entered"),
            Self::Passed => f.write_str("passed"),
            Self::Delivered => f.write_str("delivered"),
            Self::TtlExceeded => f.write_str("TTL exceeded"),
            Self::Emitted => f.write_str("emitted"),
            Self::Dropped(reason) => write!(f, "dropped ({reason})"),
            Self::Middlebox(entry) => entry.fmt(f),
        }
    }
}

/// Why a packet ended inside the fabric. It may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// It cannot be read as an IP packet.
    Malformed,
    /// It entered by, or came to, a port that is cut off.
    PortCutOff,
    /// It came to an end from which no link leads on.
    Unlinked,
    /// It is for the local link only: multicast, broadcast or link-local, such as a kernel's
    /// router solicitations. Counted, not journalled.
    LinkLocal,
    /// No route leads to its destination.
    Unroutable,
    /// Its source address did not pass the router's source validation.
    SourceInvalid,
    /// It is for the router itself, which runs no services.
    ForRouter,
    /// Its TTL was used up.
    TtlExceeded,
    /// The link was down.
    LinkDown,
    /// The link lost it by chance.
    Lost,
    /// The queue before the link was full.
    QueueFull,
    /// The middlebox dropped it; its own journal says so too.
    Middlebox(simopen_nat::DropReason),
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::PortCutOff => "port cut off",
            Self::Unlinked => "no link",
            Self::LinkLocal => "link-local",
            Self::Unroutable => "no route",
            Self::SourceInvalid => "source invalid",
            Self::ForRouter => "for the router itself",
            Self::TtlExceeded => "TTL exceeded",
            Self::LinkDown => "link down",
            Self::Lost => "lost",
            Self::QueueFull => "queue full",
            Self::Middlebox(reason) => return write!(f, "{reason}"),
        })
    }
}

/// What a packet is, as far as traversal cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketKind {
    /// TCP with SYN and neither ACK nor RST.
    BareSyn,
    /// TCP with SYN and ACK, without RST.
    SynAck,
    /// TCP with RST.
    Rst,
    /// TCP with FIN, without SYN and RST.
    Fin,
    /// Any other TCP segment.
    Segment,
    /// ICMP or ICMPv6.
    Icmp,
    /// Another protocol, or a fragment.
    Other,
}

impl PacketKind {
    /// How many kinds there are.
    const COUNT: usize = 7;

    /// The kind of `packet`.
    #[inline]
    pub fn of(packet: &Packet<'_>) -> Self {
        match &packet.transport {
            Transport::Tcp(segment) => Self::of_flags(segment.flags),
            Transport::Icmp(_) => Self::Icmp,
            Transport::Other | Transport::Fragment => Self::Other,
        }
    }

    #[inline]
    fn of_flags(flags: TcpFlags) -> Self {
        if flags.contains(TcpFlags::RST) {
            Self::Rst
        } else if flags.contains(TcpFlags::SYN) {
            if flags.contains(TcpFlags::ACK) { Self::SynAck } else { Self::BareSyn }
        } else if flags.contains(TcpFlags::FIN) {
            Self::Fin
        } else {
            Self::Segment
        }
    }

    /// Whether the journal follows such packets even where nothing goes wrong.
    #[inline]
    pub const fn is_journalled(self) -> bool {
        match self {
            Self::BareSyn | Self::SynAck | Self::Rst | Self::Fin | Self::Icmp => true,
            Self::Segment | Self::Other => false,
        }
    }
}

/// A packet in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketSummary {
    /// What it is.
    pub kind: PacketKind,
    /// Where it came into being.
    pub origin: Origin,
    /// Source; the port is 0 unless it is TCP.
    pub source: SocketAddr,
    /// Destination; the port is 0 unless it is TCP.
    pub destination: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// TTL or hop limit at this place.
    pub ttl: u8,
    /// Length of the IP packet in bytes.
    pub len: u16,
    /// TCP's own part.
    pub tcp: Option<TcpSummary>,
}

/// The fields of a TCP header that tell what a segment means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpSummary {
    /// Flags.
    pub flags: TcpFlags,
    /// Sequence number.
    pub sequence: SeqNumber,
    /// Acknowledgment number; without meaning unless ACK is set.
    pub acknowledgment: SeqNumber,
    /// Payload bytes.
    pub payload: u16,
}

impl PacketSummary {
    /// Sums up `packet`, which came from `origin`.
    pub fn of(packet: &Packet<'_>, origin: Origin) -> Self {
        let tcp = packet.tcp();
        let ports = tcp.map_or((0, 0), |tcp| (tcp.source_port, tcp.destination_port));
        Self {
            kind: PacketKind::of(packet),
            origin,
            source: SocketAddr::new(packet.ip.source, ports.0),
            destination: SocketAddr::new(packet.ip.destination, ports.1),
            protocol: packet.ip.protocol,
            ttl: packet.ip.ttl.0,
            len: packet.ip.total_len,
            tcp: tcp.map(|tcp| TcpSummary {
                flags: tcp.flags,
                sequence: tcp.sequence,
                acknowledgment: tcp.acknowledgment,
                payload: tcp.payload.len() as u16,
            }),
        }
    }
}

impl fmt::Display for PacketSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(tcp) = &self.tcp else {
            let (from, to): (IpAddr, IpAddr) = (self.source.ip(), self.destination.ip());
            return write!(f, "{from} > {to} protocol {} {} bytes", self.protocol, self.len);
        };
        write!(f, "{} > {} {} seq {}", self.source, self.destination, tcp.flags, tcp.sequence)?;
        if tcp.flags.contains(TcpFlags::ACK) {
            write!(f, " ack {}", tcp.acknowledgment)?;
        }
        Ok(())
    }
}

/// What the fabric as a whole did so far, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stats {
    /// Handed in by the world.
    pub entered: u64,
    /// Put out to the world.
    pub delivered: u64,
    /// Made by routers and middleboxes.
    pub emitted: u64,
    /// Dropped for any reason.
    pub dropped: u64,
    /// Dropped as not readable.
    pub malformed: u64,
    /// Dropped at a port that is cut off.
    pub port_cut_off: u64,
    /// Dropped as meant for the local link only.
    pub link_local: u64,
    /// Dropped for want of a link or a route, or as addressed to a router.
    pub unroutable: u64,
    /// Dropped by source validation.
    pub source_invalid: u64,
    /// Dropped at the end of their TTL.
    pub ttl_exceeded: u64,
    /// Dropped before a link that was down.
    pub link_down: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Dropped before a full queue.
    pub queue_full: u64,
    /// Dropped by middleboxes.
    pub middlebox: u64,
}

impl Stats {
    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        self.dropped += 1;
        *match reason {
            DropReason::Malformed => &mut self.malformed,
            DropReason::PortCutOff => &mut self.port_cut_off,
            DropReason::LinkLocal => &mut self.link_local,
            DropReason::Unlinked | DropReason::Unroutable | DropReason::ForRouter => {
                &mut self.unroutable
            }
            DropReason::SourceInvalid => &mut self.source_invalid,
            DropReason::TtlExceeded => &mut self.ttl_exceeded,
            DropReason::LinkDown => &mut self.link_down,
            DropReason::Lost => &mut self.lost,
            DropReason::QueueFull => &mut self.queue_full,
            DropReason::Middlebox(_) => &mut self.middlebox,
        } += 1;
    }
}

/// Deliveries by port, kind and origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeliveryCounts {
    by_kind: alloc::vec::Vec<[u64; PacketKind::COUNT]>,
    /// Only journalled kinds, which are rare enough for a map.
    by_origin: BTreeMap<(PortId, PacketKind, Origin), u64>,
}

impl DeliveryCounts {
    pub(crate) fn new(ports: usize) -> Self {
        Self { by_kind: alloc::vec![[0; PacketKind::COUNT]; ports], by_origin: BTreeMap::new() }
    }

    #[inline]
    pub(crate) fn count(&mut self, port: PortId, kind: PacketKind, origin: Origin) {
        self.by_kind[port.index()][kind as usize] += 1;
        if kind.is_journalled() {
            *self.by_origin.entry((port, kind, origin)).or_default() += 1;
        }
    }

    pub(crate) fn delivered(&self, port: PortId, kind: PacketKind) -> u64 {
        self.by_kind.get(port.index()).map_or(0, |kinds| kinds[kind as usize])
    }

    pub(crate) fn delivered_from(&self, port: PortId, kind: PacketKind, origin: Origin) -> u64 {
        self.by_origin.get(&(port, kind, origin)).copied().unwrap_or(0)
    }
}

/// The bounded ring of events; the oldest make room for the newest and are counted.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    events: VecDeque<FabricEvent>,
    capacity: usize,
    lost: u64,
}

impl Journal {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { events: VecDeque::new(), capacity, lost: 0 }
    }

    pub(crate) fn push(&mut self, event: FabricEvent) {
        if self.events.len() >= self.capacity {
            self.lost += 1;
            if self.events.pop_front().is_none() {
                return;
            }
        }
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<FabricEvent> {
        self.events.pop_front()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}
