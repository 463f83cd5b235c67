//! What happened, in the order in which it happened, for a person to read.

use simopen_broker::{Event as BrokerEvent, Party, What as BrokerWhat};
use simopen_fabric::{DropReason, FabricEvent, Happening, Origin, PacketKind, Place};
use simopen_packet::Timestamp;
use simopen_peer::Observation;
use simopen_scenario::milliseconds;
use simopen_scenario::run::TimelineEntry;
use simopen_traversal::What;

use crate::evidence::Evidence;

/// Collects lines from all sources.
#[derive(Debug)]
pub(crate) struct Timeline {
    requested: Timestamp,
    /// The names of originator, responder and broker.
    hosts: [String; 3],
    entries: Vec<(Timestamp, TimelineEntry)>,
}

impl Timeline {
    pub(crate) const fn new(requested: Timestamp, hosts: [String; 3]) -> Self {
        Self { requested, hosts, entries: Vec::new() }
    }

    pub(crate) fn add(&mut self, at: Timestamp, host: &str, event: impl Into<String>) {
        self.push(at, host, event.into(), None);
    }

    pub(crate) fn add_observation(&mut self, place: usize, observation: &Observation) {
        if let Some(event) = self.observed(&observation.event.what) {
            let host = self.hosts[place].clone();
            self.add(observation.event.at, &host, event);
        }
    }

    pub(crate) fn add_broker(&mut self, event: &BrokerEvent) {
        if let Some(words) = self.brokered(&event.what) {
            let broker = self.hosts[2].clone();
            self.add(event.at, &broker, words);
        }
    }

    /// Adds what the journal says of the packets of the flow, and what kernels did not pass on.
    pub(crate) fn add_packets(&mut self, evidence: &Evidence<'_>) {
        for event in evidence.events {
            self.add_packet(evidence, event);
        }
        for packet in evidence.packets.iter().filter(|packet| packet.is_kept_by_a_kernel()) {
            let words = "does not pass it on:".to_owned();
            self.push(packet.ended, &packet.to, words, Some(packet.last.to_string()));
        }
    }

    fn add_packet(&mut self, evidence: &Evidence<'_>, event: &FabricEvent) {
        let Some(packet) = event.packet.filter(|packet| evidence.flow.contains(packet)) else {
            return;
        };
        let kernel = evidence.kernel_at(event.place);
        let words = match (event.what, event.place, kernel) {
            (Happening::Entered, _, Some(_)) => "sends on".to_owned(),
            (Happening::Delivered, _, Some(_)) => return,
            (Happening::Entered, _, None) if evidence.is_from_broker(&packet) => {
                "sends, in another's name,".to_owned()
            }
            (Happening::Entered, _, None) => "sends".to_owned(),
            (Happening::Delivered, _, None) => "receives".to_owned(),
            (Happening::Emitted, ..) => "answers".to_owned(),
            (Happening::TtlExceeded, ..) => "TTL used up".to_owned(),
            (Happening::Dropped(DropReason::TtlExceeded), ..) => return,
            (Happening::Dropped(reason), Place::Link(_), _) => format!("loses it: {reason}"),
            (Happening::Dropped(reason), ..) => format!("drops it: {reason}"),
            _ => return,
        };
        let place = kernel.unwrap_or_else(|| evidence.fabric.name(event.place)).to_owned();
        let packet = if packet.kind == PacketKind::Icmp {
            format!("{} > {} ICMP error", packet.source.ip(), packet.destination.ip())
        } else {
            packet.to_string()
        };
        self.push(event.at, &place, words, Some(packet));
    }

    fn push(&mut self, at: Timestamp, host: &str, event: String, packet: Option<String>) {
        let at_ms = since(self.requested, at);
        self.entries.push((at, TimelineEntry { at_ms, host: host.to_owned(), event, packet }));
    }

    /// All lines up to `until`, oldest first.
    pub(crate) fn finish(mut self, until: Timestamp) -> Vec<TimelineEntry> {
        self.entries.retain(|(at, _)| *at <= until);
        self.entries.sort_by_key(|(at, _)| *at);
        self.entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// SYNs and SYN-ACKs are told by the packets themselves.
    fn observed(&self, what: &What) -> Option<String> {
        let responder = &self.hosts[1];
        Some(match what {
            What::Requested => format!("asks the broker for a connection to {responder}"),
            What::Asked { remote } => format!("is asked for a connection by {remote}"),
            What::Acknowledged { remote } => format!("learns that {responder} is {remote}"),
            What::Established => "kernel: ESTABLISHED".into(),
            What::Confirmed => "the other side has shown who it is: confirmed".into(),
            What::GivenUp(cause) => format!("gives up: {}", cause.sentence()),
            What::Failed(failure) => format!("failed: {}", failure.cause.sentence()),
            What::SynSent { .. } | What::SynAckReceived | _ => return None,
        })
    }

    fn brokered(&self, what: &BrokerWhat) -> Option<String> {
        let name = |party: &Party| match party {
            Party::Originator => &*self.hosts[0],
            Party::Responder => &*self.hosts[1],
        };
        let [originator, responder, _] = &self.hosts;
        Some(match what {
            BrokerWhat::Asked { .. } => format!("passes the request on to {responder}"),
            BrokerWhat::Accepted { .. } => {
                format!("{responder} accepts: acknowledges the request to {originator}")
            }
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
}

impl Evidence<'_> {
    /// Whether a packet entered the network at the broker's port.
    fn is_from_broker(&self, packet: &simopen_fabric::PacketSummary) -> bool {
        let Origin::Port(port) = packet.origin else { return false };
        self.fabric.name(port) == self.hosts[2]
    }
}

/// Milliseconds from one moment to another; negative where that one is earlier.
pub(crate) fn since(from: Timestamp, to: Timestamp) -> f64 {
    milliseconds::of(to - from) - milliseconds::of(from - to)
}
