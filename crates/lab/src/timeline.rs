//! What happened, in the order in which it happened, for a person to read.

use simopen_broker::{Event as BrokerEvent, Party, What as BrokerWhat};
use simopen_fabric::{Fabric, FabricEvent, Happening, PacketKind, Place};
use simopen_packet::Timestamp;
use simopen_peer::Observation;
use simopen_traversal::What;

use crate::evidence::Flow;

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When, on the clock of the topology.
    pub at: Timestamp,
    /// Which host, box or router; `lab` for what the experiment itself did.
    pub host: String,
    /// What happened.
    pub event: String,
    /// The packet, where there is one.
    pub packet: Option<String>,
}

/// Collects lines from all sources.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    entries: Vec<TimelineEntry>,
}

impl Timeline {
    pub(crate) fn add(&mut self, at: Timestamp, host: &str, event: impl Into<String>) {
        self.entries.push(TimelineEntry {
            at,
            host: host.into(),
            event: event.into(),
            packet: None,
        });
    }

    pub(crate) fn add_observation(&mut self, host: &str, observation: &Observation) {
        if let Some(event) = observed(&observation.event.what) {
            self.add(observation.event.at, host, event);
        }
    }

    pub(crate) fn add_broker(&mut self, event: &BrokerEvent) {
        if let Some(words) = brokered(&event.what) {
            self.add(event.at, "c", words);
        }
    }

    pub(crate) fn add_packet(&mut self, fabric: &Fabric, flow: &Flow, event: &FabricEvent) {
        let Some(packet) = event.packet.filter(|packet| flow.contains(packet)) else {
            return;
        };
        let words = match (event.what, event.place) {
            (Happening::Entered, _) if packet.kind == PacketKind::SynAck => {
                "sends, in another's name,".into()
            }
            (Happening::Entered, _) => "sends".into(),
            (Happening::Delivered, _) => "receives".into(),
            (Happening::Emitted, _) => "answers".into(),
            (Happening::TtlExceeded, _) => "TTL used up".into(),
            (Happening::Dropped(simopen_fabric::DropReason::TtlExceeded), _) => return,
            (Happening::Dropped(reason), Place::Link(_)) => format!("loses it: {reason}"),
            (Happening::Dropped(reason), _) => format!("drops it: {reason}"),
            _ => return,
        };
        self.entries.push(TimelineEntry {
            at: event.at,
            host: fabric.name(event.place).to_owned(),
            event: words,
            packet: Some(if packet.kind == PacketKind::Icmp {
                format!("{} > {} ICMP error", packet.source.ip(), packet.destination.ip())
            } else {
                packet.to_string()
            }),
        });
    }

    /// All lines up to `until`, oldest first.
    pub(crate) fn finish(mut self, until: Timestamp) -> Vec<TimelineEntry> {
        self.entries.retain(|entry| entry.at <= until);
        self.entries.sort_by_key(|entry| entry.at);
        self.entries
    }
}

/// SYNs and SYN-ACKs are told by the packets themselves.
fn observed(what: &What) -> Option<String> {
    Some(match what {
        What::Requested => "asks the broker for a connection to b".into(),
        What::Asked { remote } => format!("is asked for a connection by {remote}"),
        What::Acknowledged { remote } => format!("learns that b is {remote}"),
        What::Established => "kernel: ESTABLISHED".into(),
        What::Confirmed => "the other side has shown who it is: confirmed".into(),
        What::GivenUp(cause) => format!("gives up: {}", cause.sentence()),
        What::Failed(failure) => format!("failed: {}", failure.cause.sentence()),
        What::SynSent { .. } | What::SynAckReceived | _ => return None,
    })
}

fn brokered(what: &BrokerWhat) -> Option<String> {
    let name = |party: &Party| match party {
        Party::Originator => "a",
        Party::Responder => "b",
    };
    Some(match what {
        BrokerWhat::Asked { .. } => "passes the request on to b".into(),
        BrokerWhat::Accepted { .. } => "b accepts: acknowledges the request to a".into(),
        BrokerWhat::SynReported { by, observation: 1, .. } => {
            format!("{} reports its SYN", name(by))
        }
        BrokerWhat::SynReported { by, .. } => format!("{} reports its SYN again", name(by)),
        BrokerWhat::Forged(consent) => format!(
            "consent given: forges {}'s SYN-ACK for {}",
            name(&consent.towards.other()),
            name(&consent.towards)
        ),
        BrokerWhat::Withheld(consent) => format!(
            "forging is switched off: withholds {}'s SYN-ACK for {}",
            name(&consent.towards.other()),
            name(&consent.towards)
        ),
        BrokerWhat::Refused { towards, violation, .. } => {
            format!("refuses to forge for {}: {violation:?}", name(towards))
        }
        BrokerWhat::LoggedIn { .. }
        | BrokerWhat::LoggedOut { .. }
        | BrokerWhat::Proven { .. }
        | BrokerWhat::Ended { .. }
        | _ => return None,
    })
}
