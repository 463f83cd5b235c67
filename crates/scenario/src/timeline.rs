//! What happened, in the order in which it happened, for a person to read.

use simopen_broker::{Event as BrokerEvent, Party, What as BrokerWhat};
use simopen_fabric::{
    DropReason, FabricEvent, Happening, Origin, PacketKind, PacketSummary, Place,
};
use simopen_packet::Timestamp;
use simopen_traversal::{Event, What};

use crate::evidence::Evidence;
use crate::milliseconds;
use crate::run::TimelineEntry;

/// Collects lines from all sources.
#[derive(Debug)]
pub struct Timeline<'run> {
    requested: Timestamp,
    /// The names of originator, responder and broker.
    hosts: [&'run str; 3],
    entries: Vec<(Timestamp, TimelineEntry)>,
}

impl<'run> Timeline<'run> {
    /// One without lines. `hosts` are the names of originator, responder and broker.
    #[must_use]
    pub const fn new(requested: Timestamp, hosts: [&'run str; 3]) -> Self {
        Self { requested, hosts, entries: Vec::new() }
    }

    /// Adds what a host or the world itself did.
    pub fn add(&mut self, at: Timestamp, host: &str, event: impl Into<String>) {
        self.push(at, host, event.into(), None);
    }

    /// Adds what became true in the attempt of originator (0) or responder (1).
    pub fn add_event(&mut self, place: usize, event: &Event) {
        if let Some(words) = self.observed(&event.what) {
            self.add(event.at, self.hosts[place], words);
        }
    }

    /// Adds what the broker did.
    pub fn add_broker(&mut self, event: &BrokerEvent) {
        if let Some(words) = self.brokered(&event.what) {
            self.add(event.at, self.hosts[2], words);
        }
    }

    /// Adds what the journal says of the packets of the flow, and what kernels did not pass on.
    pub fn add_packets(&mut self, evidence: &Evidence<'_>) {
        for (event, packet) in evidence.lines() {
            self.add_packet(evidence, event, packet);
        }
        for packet in evidence.packets().iter().filter(|packet| packet.is_kept_by_a_kernel()) {
            let words = "does not pass it on:".to_owned();
            self.push(packet.ended, packet.to, words, Some(packet.last.to_string()));
        }
    }

    fn add_packet(&mut self, evidence: &Evidence<'_>, event: &FabricEvent, packet: &PacketSummary) {
        let kernel = evidence.kernel_at(event.place);
        let words = match (event.what, event.place, kernel) {
            (Happening::Entered, _, Some(_)) => "sends on".to_owned(),
            (Happening::Delivered, _, Some(_)) => return,
            (Happening::Entered, _, None) if evidence.is_from_broker(packet) => {
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
        let place = kernel.unwrap_or_else(|| evidence.fabric().name(event.place));
        let packet = if packet.kind == PacketKind::Icmp {
            format!("{} > {} ICMP error", packet.source.ip(), packet.destination.ip())
        } else {
            packet.to_string()
        };
        self.push(event.at, place, words, Some(packet));
    }

    fn push(&mut self, at: Timestamp, host: &str, event: String, packet: Option<String>) {
        let at_ms = since(self.requested, at);
        self.entries.push((at, TimelineEntry { at_ms, host: host.to_owned(), event, packet }));
    }

    /// All lines up to `until`, oldest first.
    #[must_use]
    pub fn finish(mut self, until: Timestamp) -> Vec<TimelineEntry> {
        self.entries.retain(|(at, _)| *at <= until);
        self.entries.sort_by_key(|(at, _)| *at);
        self.entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// SYNs and SYN-ACKs are told by the packets themselves.
    fn observed(&self, what: &What) -> Option<String> {
        let responder = self.hosts[1];
        Some(match what {
            What::Requested => format!("asks the broker for a connection to {responder}"),
            What::Asked { remote: Some(remote) } => {
                format!("is asked for a connection by {remote}")
            }
            What::Asked { remote: None } => "is asked to a meeting at the relay".to_owned(),
            What::Acknowledged { remote: Some(remote) } => {
                format!("learns that {responder} is {remote}")
            }
            What::Acknowledged { remote: None } => {
                format!("learns where it meets {responder}")
            }
            What::Established => "kernel: ESTABLISHED".into(),
            What::Confirmed => "the other side has shown who it is: confirmed".into(),
            What::GivenUp(cause) => format!("gives up: {}", cause.sentence()),
            What::Failed(failure) => format!("failed: {}", failure.cause.sentence()),
            What::SynSent { .. } | What::SynAckReceived | _ => return None,
        })
    }

    fn brokered(&self, what: &BrokerWhat) -> Option<String> {
        let name = |party: &Party| match party {
            Party::Originator => self.hosts[0],
            Party::Responder => self.hosts[1],
        };
        let [originator, responder, _] = self.hosts;
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
    fn is_from_broker(&self, packet: &PacketSummary) -> bool {
        let Origin::Port(port) = packet.origin else { return false };
        self.fabric().name(port) == self.hosts()[2]
    }
}

/// Milliseconds from one moment to another; negative where that one is earlier.
#[must_use]
pub fn since(from: Timestamp, to: Timestamp) -> f64 {
    milliseconds::of(to - from) - milliseconds::of(from - to)
}
