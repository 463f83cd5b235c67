//! The packets between two hosts, followed from where each came into being to where it ended.
//!
//! The fabric's journal has a line for each place that a packet was seen at. Boxes rewrite it on
//! its way, and a box that is a kernel takes it out of the fabric and puts it in again; so its
//! lines are joined by what a box leaves as it was.

use std::net::SocketAddr;

use simopen_fabric::{
    DropReason, Fabric, FabricEvent, Happening, PacketKind, PacketSummary, Place as At,
};
use simopen_packet::Timestamp;

use super::Flow;
use crate::network::Layout;
use crate::run::Fate;

/// One packet on its way.
#[derive(Debug, Clone)]
pub struct Followed<'run> {
    /// What it is.
    pub kind: PacketKind,
    /// As it read where it was seen first.
    pub first: PacketSummary,
    /// As it read where it was seen last.
    pub last: PacketSummary,
    /// The host or box that sent it.
    pub from: &'run str,
    /// When.
    pub sent: Timestamp,
    /// Where it ended: a host, box, router or link; empty while it is under way.
    pub to: &'run str,
    /// When.
    pub ended: Timestamp,
    /// The boxes that it passed, and its source behind each.
    pub passed: Vec<(&'run str, SocketAddr)>,
    end: End,
}

/// How far a packet has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    UnderWay,
    /// In the kernel of the box of that place in the layout.
    InKernel(usize),
    Delivered,
    Dropped(DropReason),
}

/// What a place in the journal is.
enum Station<'run> {
    Host(&'run str),
    /// A port of a box that is a kernel.
    Kernel(usize),
    /// Anything else: a node or link of the fabric.
    Inner,
}

/// Follows all packets of a flow through a journal.
pub(super) fn follow<'run>(
    fabric: &'run Fabric,
    events: &[FabricEvent],
    layout: &'run Layout,
    flow: &Flow,
) -> Vec<Followed<'run>> {
    let mut known = Known { all: Vec::new(), open: Vec::new() };
    for event in events {
        let Some(packet) = event.packet.as_ref().filter(|packet| flow.contains(packet)) else {
            continue;
        };
        match (event.what, station(layout, event.place)) {
            (Happening::Entered, Station::Host(host)) => known.begin(host, event.at, packet),
            (Happening::Emitted, _) => known.begin(fabric.name(event.place), event.at, packet),
            (Happening::Entered, Station::Kernel(kernel)) => {
                let name = &*layout.boxes[kernel].name;
                if let Some(place) = known.find(packet, End::InKernel(kernel)) {
                    known.all[known.open[place]].leave_kernel(name, packet);
                } else {
                    known.begin(name, event.at, packet);
                }
            }
            (what, station) => {
                let Some(place) = known.find(packet, End::UnderWay) else { continue };
                let followed = &mut known.all[known.open[place]];
                followed.last = *packet;
                followed.ended = event.at;
                followed.advance(what, station, layout, fabric.name(event.place));
                if matches!(followed.end, End::Delivered | End::Dropped(_)) {
                    known.open.remove(place);
                }
            }
        }
    }
    known.all
}

/// The packets that have been seen by now.
struct Known<'run> {
    all: Vec<Followed<'run>>,
    /// The places of those that have not ended, oldest first.
    open: Vec<usize>,
}

impl<'run> Known<'run> {
    fn begin(&mut self, from: &'run str, at: Timestamp, packet: &PacketSummary) {
        self.open.push(self.all.len());
        self.all.push(Followed {
            kind: packet.kind,
            first: *packet,
            last: *packet,
            from,
            sent: at,
            to: "",
            ended: at,
            passed: Vec::new(),
            end: End::UnderWay,
        });
    }

    /// The place among the open ones of the packet that a summary is the next line of: the one that
    /// has most in common with it, the oldest of several.
    fn find(&self, packet: &PacketSummary, end: End) -> Option<usize> {
        let mut best: Option<(u8, usize)> = None;
        for (place, number) in self.open.iter().enumerate() {
            let known = &self.all[*number];
            if known.end != end || known.kind != packet.kind {
                continue;
            }
            if end == End::UnderWay && known.last.origin != packet.origin {
                continue;
            }
            let likeness = likeness(&known.last, packet);
            if likeness > best.map_or(0, |(most, _)| most) {
                best = Some((likeness, place));
            }
        }
        best.map(|(_, place)| place)
    }
}

impl<'run> Followed<'run> {
    fn advance(
        &mut self,
        what: Happening,
        station: Station<'run>,
        layout: &'run Layout,
        place: &'run str,
    ) {
        match (what, station) {
            (Happening::Passed, _) => self.passed.push((place, self.last.source)),
            (Happening::Delivered, Station::Host(host)) => {
                (self.to, self.end) = (host, End::Delivered);
            }
            (Happening::Delivered, Station::Kernel(kernel)) => {
                (self.to, self.end) = (&layout.boxes[kernel].name, End::InKernel(kernel));
            }
            (Happening::Dropped(reason), _) => (self.to, self.end) = (place, End::Dropped(reason)),
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

    /// Goes on behind a kernel, as that one puts it in again.
    fn leave_kernel(&mut self, kernel: &'run str, packet: &PacketSummary) {
        self.passed.push((kernel, packet.source));
        self.last = *packet;
        (self.to, self.end) = ("", End::UnderWay);
    }

    /// Whether a kernel took it and did not pass it on.
    #[must_use]
    pub const fn is_kept_by_a_kernel(&self) -> bool {
        matches!(self.end, End::InKernel(_))
    }

    /// Whether it reached that host.
    #[must_use]
    pub fn reached(&self, host: &str) -> bool {
        self.end == End::Delivered && self.to == host
    }

    /// How it ended.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self.end {
            End::Delivered => Fate::Delivered,
            End::Dropped(reason) => Fate::Dropped(reason.to_string()),
            End::InKernel(_) => Fate::Dropped("not passed on".to_owned()),
            End::UnderWay => Fate::Dropped("the run was over before it arrived".to_owned()),
        }
    }

    /// Flags or kind in a few words.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.first.tcp {
            Some(tcp) => tcp.flags.to_string(),
            None if self.kind == PacketKind::Icmp => "ICMP error".to_owned(),
            None => format!("protocol {}", self.first.protocol),
        }
    }
}

/// How much two summaries have in common. A box may rewrite the source, the destination or the
/// sequence number, but never all of them.
fn likeness(one: &PacketSummary, other: &PacketSummary) -> u8 {
    let sequence = |packet: &PacketSummary| packet.tcp.map(|tcp| tcp.sequence);
    2 * u8::from(sequence(one).is_some() && sequence(one) == sequence(other))
        + u8::from(one.source == other.source)
        + u8::from(one.destination == other.destination)
}

fn station(layout: &Layout, place: At) -> Station<'_> {
    let At::Port(port) = place else { return Station::Inner };
    if let Some(host) = layout.hosts.iter().find(|host| host.port == port) {
        return Station::Host(&host.name);
    }
    layout.kernel_at(port).map_or(Station::Inner, Station::Kernel)
}
