//! What the fabric's journal proves about a run, whoever turned the fabric.

pub mod followed;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use simopen_fabric::{
    DropReason, Fabric, FabricEvent, Happening, Origin, PacketKind, PacketSummary, Place,
};
use simopen_nat::{DropReason as BoxReason, JournalEvent, OwnAnswer};
use simopen_packet::Timestamp;
use simopen_traversal::{Failure, Side};

use self::followed::{Followed, follow};
use crate::network::{Layout, NoSuchHost};
use crate::proxies::PROXY_NAMES;
use crate::run::{Delivered, LadderPacket, PacketsSent};

/// The packets between two hosts, whoever sent them.
#[derive(Debug, Clone)]
struct Flow {
    /// The broker's address and those of proxies: what comes from there or goes there does not go
    /// between the two.
    others: Vec<IpAddr>,
}

impl Flow {
    fn contains(&self, packet: &PacketSummary) -> bool {
        !self.others.contains(&packet.source.ip())
            && !self.others.contains(&packet.destination.ip())
            && packet.kind != PacketKind::Other
    }
}

/// A run's journal, read for the flow between two hosts.
#[derive(Clone)]
pub struct Evidence<'run> {
    fabric: &'run Fabric,
    events: &'run [FabricEvent],
    layout: &'run Layout,
    flow: Flow,
    /// The names of originator, responder and broker.
    hosts: [&'run str; 3],
    packets: Vec<Followed<'run>>,
}

impl<'run> Evidence<'run> {
    /// Reads a journal for what went between the first two of these hosts; the third is the
    /// broker's.
    ///
    /// # Errors
    ///
    /// [`NoSuchHost`] where the layout is another network's.
    pub fn read(
        fabric: &'run Fabric,
        events: &'run [FabricEvent],
        layout: &'run Layout,
        hosts: [&'run str; 3],
    ) -> Result<Self, NoSuchHost> {
        let proxies = PROXY_NAMES.iter().filter_map(|name| layout.address(name).ok());
        let others = [layout.address(hosts[2])?].into_iter().chain(proxies).collect();
        let flow = Flow { others };
        let packets = follow(fabric, events, layout, &flow);
        Ok(Self { fabric, events, layout, flow, hosts, packets })
    }

    /// The packets of the flow, in the order in which they were sent.
    #[must_use]
    pub fn packets(&self) -> &[Followed<'run>] {
        &self.packets
    }

    /// The names of originator, responder and broker.
    #[must_use]
    pub const fn hosts(&self) -> [&'run str; 3] {
        self.hosts
    }

    /// The network.
    #[must_use]
    pub const fn fabric(&self) -> &'run Fabric {
        self.fabric
    }

    /// The lines of the journal that tell of packets of the flow.
    pub fn lines(&self) -> impl Iterator<Item = (&'run FabricEvent, &'run PacketSummary)> {
        let ours = |event: &'run FabricEvent| {
            let packet = event.packet.as_ref().filter(|packet| self.flow.contains(packet))?;
            Some((event, packet))
        };
        self.events.iter().filter_map(ours)
    }

    /// The name of the box that is a kernel and has that place as its port.
    #[must_use]
    pub fn kernel_at(&self, place: Place) -> Option<&'run str> {
        let Place::Port(port) = place else { return None };
        self.layout.kernel_at(port).map(|kernel| &*self.layout.boxes[kernel].name)
    }

    /// Whether the broker sent it in another's name.
    #[must_use]
    pub fn is_forged(&self, packet: &Followed<'_>) -> bool {
        packet.from == self.hosts[2]
    }

    /// Counts what was delivered to each of the two hosts.
    #[must_use]
    pub fn delivered(&self) -> [Delivered; 2] {
        [0, 1].map(|place| {
            let host = self.hosts[place];
            let mut counts = Delivered::default();
            for packet in &self.packets {
                match packet.kind {
                    PacketKind::BareSyn => {
                        counts.syns_sent += u32::from(packet.from == host);
                        counts.syns += u32::from(packet.reached(host));
                    }
                    PacketKind::SynAck if packet.reached(host) => {
                        counts.syn_acks += 1;
                        counts.syn_acks_from_broker += u32::from(self.is_forged(packet));
                    }
                    PacketKind::SynAck
                    | PacketKind::Rst
                    | PacketKind::Fin
                    | PacketKind::Segment
                    | PacketKind::Icmp
                    | PacketKind::Other => {}
                }
            }
            counts
        })
    }

    /// Counts the packets that the hosts sent until then.
    #[must_use]
    pub fn sent(&self, until: Timestamp) -> PacketsSent {
        let by = |place: usize| {
            let sent = self.packets.iter().filter(|packet| packet.sent <= until);
            let count = sent.filter(|packet| packet.from == self.hosts[place]).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        PacketsSent { a: by(0), b: by(1), forged: by(2) }
    }

    /// How many endpoints the boxes gave each of the two hosts on this flow until then.
    #[must_use]
    pub fn mappings(&self, until: Timestamp) -> [u32; 2] {
        [0, 1].map(|place| {
            let own = self
                .packets
                .iter()
                .filter(|packet| packet.sent <= until && packet.from == self.hosts[place]);
            let endpoints: BTreeSet<_> = own.filter_map(|packet| packet.passed.first()).collect();
            u32::try_from(endpoints.len()).unwrap_or(u32::MAX)
        })
    }

    /// When each of the two hosts sent its first bare SYN.
    #[must_use]
    pub fn first_syns(&self) -> [Option<Timestamp>; 2] {
        [0, 1].map(|place| {
            let own = self.packets.iter().filter(|packet| packet.from == self.hosts[place]);
            own.filter(|packet| packet.kind == PacketKind::BareSyn).map(|packet| packet.sent).min()
        })
    }

    /// When the first packet that opens a connection came through to either host.
    #[must_use]
    pub fn first_packet(&self) -> Option<Timestamp> {
        let opens = |kind| matches!(kind, PacketKind::BareSyn | PacketKind::SynAck);
        self.packets
            .iter()
            .filter(|packet| opens(packet.kind))
            .filter(|packet| self.hosts[..2].iter().any(|host| packet.reached(host)))
            .map(|packet| packet.ended)
            .min()
    }

    /// The packets for a ladder diagram.
    #[must_use]
    pub fn ladder(&self, at: impl Fn(Timestamp) -> f64, until: Timestamp) -> Vec<LadderPacket> {
        let rung = |packet: &Followed| LadderPacket {
            from: packet.from.to_owned(),
            sent_ms: at(packet.sent),
            to: packet.to.to_owned(),
            ended_ms: at(packet.ended),
            label: packet.label(),
            fate: packet.fate(),
            forged: self.is_forged(packet),
        };
        self.packets.iter().filter(|packet| packet.sent <= until).map(rung).collect()
    }

    /// Why the attempt failed: what the peers saw, and what the boxes on the way did.
    #[must_use]
    pub fn explain(&self, seen: String) -> String {
        let done = self.done_by_boxes();
        if done.is_empty() { seen } else { format!("{seen}; {}", done.join(", ")) }
    }

    /// What boxes and routers did to packets of the flow, counted.
    fn done_by_boxes(&self) -> Vec<String> {
        let mut deeds: BTreeMap<(&str, &'static str), u32> = BTreeMap::new();
        for event in self.events {
            if let Some(deed) = self.deed(event) {
                *deeds.entry((self.fabric.name(event.place), deed)).or_default() += 1;
            }
        }
        for packet in &self.packets {
            if let Some((place, deed)) = self.deed_of_kernel(packet) {
                *deeds.entry((place, deed)).or_default() += 1;
            }
        }
        deeds
            .into_iter()
            .map(|((place, deed), count)| format!("{place} {deed} ({count})"))
            .collect()
    }

    fn deed(&self, event: &FabricEvent) -> Option<&'static str> {
        let ours = event.packet.as_ref().filter(|packet| self.flow.contains(packet));
        match (event.what, ours) {
            (Happening::Dropped(DropReason::Middlebox(reason)), Some(packet)) => {
                let early =
                    reason == BoxReason::SynAckWithoutSyn && !self.sent_before(event.at, packet);
                deed_of(reason, packet.kind, early)
            }
            (Happening::Dropped(DropReason::SourceInvalid), Some(packet)) => {
                Some(if packet.kind == PacketKind::SynAck {
                    "dropped a SYN-ACK for its source address"
                } else {
                    "dropped a packet for its source address"
                })
            }
            (Happening::Middlebox(entry), _) => {
                let JournalEvent::Answered { answer, .. } = entry.event else { return None };
                Some(if answer == OwnAnswer::Reset { "answered RST" } else { "answered ICMP" })
            }
            _ => None,
        }
    }

    /// What can be seen of a kernel from outside.
    fn deed_of_kernel(&self, packet: &Followed<'run>) -> Option<(&'run str, &'static str)> {
        if packet.is_kept_by_a_kernel() {
            let deed = match packet.kind {
                PacketKind::BareSyn => "did not pass on a SYN",
                PacketKind::SynAck => "did not pass on a SYN-ACK",
                PacketKind::Rst
                | PacketKind::Fin
                | PacketKind::Segment
                | PacketKind::Icmp
                | PacketKind::Other => return None,
            };
            return Some((packet.to, deed));
        }
        let by_fabric = matches!(packet.first.origin, Origin::Node(_));
        if by_fabric || self.hosts.contains(&packet.from) {
            return None;
        }
        match packet.kind {
            PacketKind::Rst => Some((packet.from, "answered RST")),
            PacketKind::Icmp => Some((packet.from, "answered ICMP")),
            PacketKind::BareSyn
            | PacketKind::SynAck
            | PacketKind::Fin
            | PacketKind::Segment
            | PacketKind::Other => None,
        }
    }

    /// Whether the SYN that a SYN-ACK answers had been sent by then.
    fn sent_before(&self, at: Timestamp, answer: &PacketSummary) -> bool {
        let answered = answer.tcp.map(|tcp| tcp.acknowledgment);
        self.packets.iter().filter(|packet| packet.sent < at).any(|packet| {
            packet.kind == PacketKind::BareSyn
                && packet.first.tcp.map(|tcp| tcp.sequence + 1) == answered
        })
    }
}

/// What the peers saw of a failure.
#[must_use]
pub fn seen_by_peers(failure: Option<&Failure>) -> String {
    failure.map_or_else(
        || "the responder failed".to_owned(),
        |failure| match failure.seen_by {
            Side::Own => failure.cause.sentence().to_owned(),
            Side::Peer => format!("seen by b: {}", failure.cause.sentence()),
        },
    )
}

fn deed_of(reason: BoxReason, kind: PacketKind, early: bool) -> Option<&'static str> {
    if reason == BoxReason::BareSynDropped {
        Some("dropped a bare SYN on an open mapping")
    } else if early {
        Some("met a SYN-ACK before the SYN that it answers: forged too early")
    } else if kind == PacketKind::BareSyn {
        Some("dropped an unsolicited SYN")
    } else if kind == PacketKind::SynAck {
        Some("dropped a SYN-ACK without a session")
    } else {
        None
    }
}
