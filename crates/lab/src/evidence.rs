//! What the fabric's journal proves about a run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use simopen_fabric::{
    DropReason, Fabric, FabricEvent, Happening, Origin, PacketKind, PacketSummary, Place,
};
use simopen_nat::{DropReason as BoxReason, JournalEvent, OwnAnswer};
use simopen_packet::Timestamp;
use simopen_scenario::network::Layout;
use simopen_scenario::run::{Delivered, LadderPacket, PacketsSent};
use simopen_traversal::{Failure, Side};

use crate::followed::{Followed, follow};
use crate::pump::Report;

/// The packets between two hosts, whoever sent them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    /// The broker's address: what comes from it or goes to it is signalling.
    pub(crate) broker: IpAddr,
}

impl Flow {
    pub(crate) fn contains(&self, packet: &PacketSummary) -> bool {
        packet.source.ip() != self.broker
            && packet.destination.ip() != self.broker
            && packet.kind != PacketKind::Other
    }
}

/// A run's journal, read for the flow between two hosts.
pub(crate) struct Evidence<'report> {
    pub(crate) fabric: &'report Fabric,
    pub(crate) events: &'report [FabricEvent],
    layout: &'report Layout,
    pub(crate) flow: Flow,
    /// The names of originator, responder and broker.
    pub(crate) hosts: [String; 3],
    pub(crate) packets: Vec<Followed>,
}

impl<'report> Evidence<'report> {
    pub(crate) fn read(
        report: &'report Report,
        layout: &'report Layout,
        flow: Flow,
        hosts: [String; 3],
    ) -> Self {
        let fabric = &report.fabric;
        let packets = follow(&report.events, &flow, layout, |place| fabric.name(place).to_owned());
        Self { fabric, events: &report.events, layout, flow, hosts, packets }
    }

    /// The name of the box that is a kernel and has that place as its port.
    pub(crate) fn kernel_at(&self, place: Place) -> Option<&'report str> {
        let Place::Port(port) = place else { return None };
        self.layout.kernel_at(port).map(|kernel| &*self.layout.boxes[kernel].name)
    }

    /// Whether the broker sent it in another's name.
    pub(crate) fn is_forged(&self, packet: &Followed) -> bool {
        packet.from == self.hosts[2]
    }

    /// Counts what was delivered to each of the two hosts.
    pub(crate) fn delivered(&self) -> [Delivered; 2] {
        [0, 1].map(|place| {
            let host = &self.hosts[place];
            let mut counts = Delivered::default();
            for packet in &self.packets {
                match packet.kind {
                    PacketKind::BareSyn => {
                        counts.syns_sent += u32::from(packet.from == *host);
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
    pub(crate) fn sent(&self, until: Timestamp) -> PacketsSent {
        let by = |place: usize| {
            let sent = self.packets.iter().filter(|packet| packet.sent <= until);
            let count = sent.filter(|packet| packet.from == self.hosts[place]).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        PacketsSent { a: by(0), b: by(1), forged: by(2) }
    }

    /// How many endpoints the boxes gave each of the two hosts on this flow until then.
    pub(crate) fn mappings(&self, until: Timestamp) -> [u32; 2] {
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
    pub(crate) fn first_syns(&self) -> [Option<Timestamp>; 2] {
        [0, 1].map(|place| {
            let own = self.packets.iter().filter(|packet| packet.from == self.hosts[place]);
            own.filter(|packet| packet.kind == PacketKind::BareSyn).map(|packet| packet.sent).min()
        })
    }

    /// When the first packet that opens a connection came through to either host.
    pub(crate) fn first_packet(&self) -> Option<Timestamp> {
        let opens = |kind| matches!(kind, PacketKind::BareSyn | PacketKind::SynAck);
        self.packets
            .iter()
            .filter(|packet| opens(packet.kind))
            .filter(|packet| self.hosts[..2].iter().any(|host| packet.reached(host)))
            .map(|packet| packet.ended)
            .min()
    }

    /// The packets for a ladder diagram.
    pub(crate) fn ladder(
        &self,
        at: impl Fn(Timestamp) -> f64,
        until: Timestamp,
    ) -> Vec<LadderPacket> {
        let rung = |packet: &Followed| LadderPacket {
            from: packet.from.clone(),
            sent_ms: at(packet.sent),
            to: packet.to.clone(),
            ended_ms: at(packet.ended),
            label: packet.label(),
            fate: packet.fate.clone(),
            forged: self.is_forged(packet),
        };
        self.packets.iter().filter(|packet| packet.sent <= until).map(rung).collect()
    }

    /// Why the attempt failed: what the peers saw, and what the boxes on the way did.
    pub(crate) fn explain(&self, seen: String) -> String {
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
        let ours = event.packet.filter(|packet| self.flow.contains(packet));
        match (event.what, ours) {
            (Happening::Dropped(DropReason::Middlebox(reason)), Some(packet)) => {
                let early =
                    reason == BoxReason::SynAckWithoutSyn && !self.sent_before(event.at, &packet);
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
    fn deed_of_kernel<'packet>(
        &self,
        packet: &'packet Followed,
    ) -> Option<(&'packet str, &'static str)> {
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
            return Some((&packet.to, deed));
        }
        let by_fabric = matches!(packet.first.origin, Origin::Node(_));
        if by_fabric || self.hosts.contains(&packet.from) {
            return None;
        }
        match packet.kind {
            PacketKind::Rst => Some((&packet.from, "answered RST")),
            PacketKind::Icmp => Some((&packet.from, "answered ICMP")),
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
pub(crate) fn seen_by_peers(failure: Option<&Failure>) -> String {
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
