//! What the fabric's journal proves about a run.

use std::collections::BTreeMap;
use std::net::IpAddr;

use simopen_fabric::{
    DropReason, Fabric, FabricEvent, Happening, Origin, PacketKind, PacketSummary, PortId,
};
use simopen_nat::{DropReason as BoxReason, JournalEvent, OwnAnswer};
use simopen_packet::Timestamp;
use simopen_traversal::{Failure, Side};

use crate::topology::Addresses;

/// The packets between `a` and `b`, whoever sent them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    broker: IpAddr,
}

impl Flow {
    pub(crate) const fn of(addresses: &Addresses) -> Self {
        Self { broker: addresses.hosts[2] }
    }

    pub(crate) fn contains(&self, packet: &PacketSummary) -> bool {
        packet.source.ip() != self.broker
            && packet.destination.ip() != self.broker
            && packet.kind != PacketKind::Other
    }
}

/// What was delivered to one host on the flow between `a` and `b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Bare SYNs.
    pub syns: u64,
    /// SYN-ACKs.
    pub syn_acks: u64,
    /// Those of them that entered the fabric at the broker's port.
    pub syn_acks_from_broker: u64,
    /// SYNs that the host sent.
    pub syns_sent: u64,
}

/// Counts what was delivered to `a` and `b`, from the journal.
pub(crate) fn delivered(
    events: &[FabricEvent],
    flow: &Flow,
    ports: &[PortId; 3],
) -> [Delivered; 2] {
    let mut counts = [Delivered::default(); 2];
    for event in events {
        let Some(packet) = event.packet.filter(|packet| flow.contains(packet)) else {
            continue;
        };
        for (count, port) in counts.iter_mut().zip(ports) {
            if event.place != (*port).into() {
                continue;
            }
            match (event.what, packet.kind) {
                (Happening::Delivered, PacketKind::BareSyn) => count.syns += 1,
                (Happening::Delivered, PacketKind::SynAck) => {
                    count.syn_acks += 1;
                    count.syn_acks_from_broker +=
                        u64::from(packet.origin == Origin::Port(ports[2]));
                }
                (Happening::Entered, PacketKind::BareSyn) => count.syns_sent += 1,
                _ => {}
            }
        }
    }
    counts
}

/// Why the attempt failed: what the peers saw, and what the boxes on the way did.
pub(crate) fn explain(
    failure: Option<&Failure>,
    events: &[FabricEvent],
    flow: &Flow,
    fabric: &Fabric,
) -> String {
    let seen = failure.map_or_else(
        || "the responder failed".to_owned(),
        |failure| match failure.seen_by {
            Side::Own => failure.cause.sentence().to_owned(),
            Side::Peer => format!("seen by b: {}", failure.cause.sentence()),
        },
    );
    let done = done_by_boxes(events, flow, fabric);
    if done.is_empty() { seen } else { format!("{seen}; {}", done.join(", ")) }
}

/// What boxes and routers did to packets of the flow, counted.
fn done_by_boxes(events: &[FabricEvent], flow: &Flow, fabric: &Fabric) -> Vec<String> {
    let mut deeds: BTreeMap<(String, &'static str), u32> = BTreeMap::new();
    for event in events {
        let ours = event.packet.filter(|packet| flow.contains(packet));
        let deed = match (event.what, ours) {
            (Happening::Dropped(DropReason::Middlebox(reason)), Some(packet)) => {
                let early = reason == BoxReason::SynAckWithoutSyn
                    && !sent_before(events, event.at, &packet);
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
                if let JournalEvent::Answered { answer, .. } = entry.event {
                    Some(if answer == OwnAnswer::Reset { "answered RST" } else { "answered ICMP" })
                } else {
                    None
                }
            }
            _ => None,
        };
        if let Some(deed) = deed {
            *deeds.entry((fabric.name(event.place).to_owned(), deed)).or_default() += 1;
        }
    }
    deeds.into_iter().map(|((place, deed), count)| format!("{place} {deed} ({count})")).collect()
}

/// Whether the SYN that a SYN-ACK answers had entered the fabric by then.
fn sent_before(events: &[FabricEvent], at: Timestamp, answer: &PacketSummary) -> bool {
    let answered = answer.tcp.map(|tcp| tcp.acknowledgment);
    events.iter().take_while(|event| event.at < at).any(|event| {
        let packet = event.packet.filter(|packet| packet.kind == PacketKind::BareSyn);
        event.what == Happening::Entered
            && packet.and_then(|packet| packet.tcp).map(|tcp| tcp.sequence + 1) == answered
    })
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
