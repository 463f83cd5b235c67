//! The packets between two hosts, followed from where each came into being to where it ended.
//!
//! The fabric's journal has a line for each place that a packet was seen at. Boxes rewrite it on
//! its way, and a box that is a kernel takes it out of the fabric and puts it in again; so its
//! lines are joined by what a box leaves as it was.

use std::net::SocketAddr;

use simopen_fabric::{FabricEvent, Happening, PacketKind, PacketSummary, Place as At};
use simopen_packet::Timestamp;
use simopen_scenario::network::Layout;
use simopen_scenario::run::Fate;

use crate::evidence::Flow;

/// One packet on its way.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    /// What it is.
    pub(crate) kind: PacketKind,
    /// As it read where it was seen first.
    pub(crate) first: PacketSummary,
    /// As it read where it was seen last.
    pub(crate) last: PacketSummary,
    /// The host or box that sent it.
    pub(crate) from: String,
    /// When.
    pub(crate) sent: Timestamp,
    /// Where it ended: a host, box, router or link.
    pub(crate) to: String,
    /// When.
    pub(crate) ended: Timestamp,
    /// How.
    pub(crate) fate: Fate,
    /// The boxes that it passed, and its source behind each.
    pub(crate) passed: Vec<(String, SocketAddr)>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    UnderWay,
    /// In the kernel of the box of that place in the layout.
    InKernel(usize),
    Ended,
}

/// What a place in the journal is.
enum Station {
    Host(String),
    /// A port of a box that is a kernel.
    Kernel(usize),
    /// Anything else: a node or link of the fabric.
    Inner,
}

/// Follows all packets of a flow through a journal. `name` tells the name of a place.
pub(crate) fn follow(
    events: &[FabricEvent],
    flow: &Flow,
    layout: &Layout,
    name: impl Fn(At) -> String,
) -> Vec<Followed> {
    let mut all: Vec<Followed> = Vec::new();
    for event in events {
        let Some(packet) = event.packet.filter(|packet| flow.contains(packet)) else { continue };
        let begin = |from: String| Followed {
            kind: packet.kind,
            first: packet,
            last: packet,
            from,
            sent: event.at,
            to: String::new(),
            ended: event.at,
            fate: Fate::Dropped("the run was over before it arrived".into()),
            passed: Vec::new(),
            state: State::UnderWay,
        };
        match (event.what, station(layout, event.place)) {
            (Happening::Entered, Station::Host(host)) => all.push(begin(host)),
            (Happening::Emitted, _) => all.push(begin(name(event.place))),
            (Happening::Entered, Station::Kernel(kernel)) => {
                let box_name = &layout.boxes[kernel].name;
                if let Some(known) = find(&mut all, &packet, State::InKernel(kernel)) {
                    known.passed.push((box_name.clone(), packet.source));
                    known.last = packet;
                    known.state = State::UnderWay;
                } else {
                    all.push(begin(box_name.clone()));
                }
            }
            (what, station) => {
                let Some(known) = find(&mut all, &packet, State::UnderWay) else { continue };
                known.last = packet;
                known.ended = event.at;
                known.advance(what, station, layout, &name(event.place));
            }
        }
    }
    all
}

impl Followed {
    fn advance(&mut self, what: Happening, station: Station, layout: &Layout, place: &str) {
        match (what, station) {
            (Happening::Passed, _) => self.passed.push((place.to_owned(), self.last.source)),
            (Happening::Delivered, Station::Host(host)) => {
                self.end(&host, Fate::Delivered);
            }
            (Happening::Delivered, Station::Kernel(kernel)) => {
                self.end(&layout.boxes[kernel].name, Fate::Dropped(NOT_PASSED_ON.into()));
                self.state = State::InKernel(kernel);
            }
            (Happening::Dropped(reason), _) => self.end(place, Fate::Dropped(reason.to_string())),
            (Happening::Delivered, Station::Inner)
            | (
                Happening::Entered
                | Happening::Emitted
                | Happening::TtlExceeded
                | Happening::Middlebox(_)
                | _,
                _,
            ) => {}
        }
    }

    fn end(&mut self, place: &str, fate: Fate) {
        place.clone_into(&mut self.to);
        self.fate = fate;
        self.state = State::Ended;
    }

    /// Whether a kernel took it and did not pass it on.
    pub(crate) const fn is_kept_by_a_kernel(&self) -> bool {
        matches!(self.state, State::InKernel(_))
    }

    /// Whether it reached that host.
    pub(crate) fn reached(&self, host: &str) -> bool {
        self.fate == Fate::Delivered && self.to == host
    }

    /// Flags or kind in a few words.
    pub(crate) fn label(&self) -> String {
        match &self.first.tcp {
            Some(tcp) => tcp.flags.to_string(),
            None if self.kind == PacketKind::Icmp => "ICMP error".to_owned(),
            None => format!("protocol {}", self.first.protocol),
        }
    }
}

/// What is known of a packet that a kernel keeps.
const NOT_PASSED_ON: &str = "not passed on";

/// The packet that a summary is the next line of: the one that has most in common with it, the
/// oldest of several.
fn find<'all>(
    all: &'all mut [Followed],
    packet: &PacketSummary,
    state: State,
) -> Option<&'all mut Followed> {
    let mut best: Option<(u8, &mut Followed)> = None;
    for known in all.iter_mut().filter(|known| known.state == state && known.kind == packet.kind) {
        if state == State::UnderWay && known.last.origin != packet.origin {
            continue;
        }
        let likeness = likeness(&known.last, packet);
        if likeness > best.as_ref().map_or(0, |(most, _)| *most) {
            best = Some((likeness, known));
        }
    }
    best.map(|(_, known)| known)
}

/// How much two summaries have in common. A box may rewrite the source, the destination or the
/// sequence number, but never all of them.
fn likeness(one: &PacketSummary, other: &PacketSummary) -> u8 {
    let sequence = |packet: &PacketSummary| packet.tcp.map(|tcp| tcp.sequence);
    2 * u8::from(sequence(one).is_some() && sequence(one) == sequence(other))
        + u8::from(one.source == other.source)
        + u8::from(one.destination == other.destination)
}

fn station(layout: &Layout, place: At) -> Station {
    let At::Port(port) = place else { return Station::Inner };
    if let Some(host) = layout.hosts.iter().find(|host| host.port == port) {
        return Station::Host(host.name.clone());
    }
    layout.kernel_at(port).map_or(Station::Inner, Station::Kernel)
}
