//! What came out of a box, in a form in which two boxes can be compared.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use simopen_nat::Side;
use simopen_packet::{IcmpKind, Packet, Transport};

use super::place::Place;

/// One packet that left a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Where it left.
    pub side: Side,
    /// Its source; port 0 in an ICMP error.
    pub source: SocketAddr,
    /// Its destination; port 0 in an ICMP error.
    pub destination: SocketAddr,
    /// All else that matters: flags, numbers, window, options and length of the data of a
    /// segment, kind and sequence number of an error.
    pub content: String,
    /// The endpoints of the segment that an error quotes.
    pub quoted: Option<(SocketAddr, SocketAddr)>,
}

impl Observation {
    /// Reads a packet; none if it is neither TCP nor an ICMP error.
    ///
    /// # Panics
    ///
    /// Where a checksum is wrong.
    #[must_use]
    pub fn of(side: Side, bytes: &[u8]) -> Option<Self> {
        let packet = Packet::parse(bytes).ok()?;
        if matches!(packet.transport, Transport::Other | Transport::Fragment) {
            return None;
        }
        Packet::verify_checksums(bytes).expect("a box writes right checksums");
        let (content, quoted) = match &packet.transport {
            Transport::Tcp(segment) => {
                let bits = segment.flags.0;
                let (seq, ack) = (segment.sequence, segment.acknowledgment);
                let options = segment.options;
                let length = segment.payload.len();
                (
                    format!(
                        "{} ({bits:#04x}) seq {seq} ack {ack} win {} options {options:?} len {length}",
                        segment.flags, segment.window
                    ),
                    None,
                )
            }
            Transport::Icmp(message) => {
                let IcmpKind::Error(kind) = message.kind else { return None };
                let quoted = message.quoted?;
                let sequence = quoted.sequence?;
                (format!("{kind} about seq {sequence}"), Some((quoted.source, quoted.destination)))
            }
            Transport::Fragment | Transport::Other => return None,
        };
        let endpoint = |of: Option<SocketAddr>, ip| of.unwrap_or(SocketAddr::new(ip, 0));
        Some(Self {
            side,
            source: endpoint(packet.source_endpoint(), packet.ip.source),
            destination: endpoint(packet.destination_endpoint(), packet.ip.destination),
            content,
            quoted,
        })
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, source, destination, content, quoted } = self;
        write!(f, "{side:?}: {source} > {destination} {content}")?;
        quoted.map_or(Ok(()), |(source, destination)| write!(f, " {source} > {destination}"))
    }
}

/// Which port of one box stands for which port of the other.
#[derive(Debug)]
pub struct Renaming {
    place: Place,
    inside_ports: [u16; 2],
    to_second: HashMap<(SocketAddr, u16), u16>,
    to_first: HashMap<(SocketAddr, u16), u16>,
}

impl Renaming {
    /// Nothing is renamed yet.
    #[must_use]
    pub fn new(place: Place, inside_port: u16) -> Self {
        Self {
            place,
            inside_ports: [inside_port, inside_port + 1],
            to_second: HashMap::new(),
            to_first: HashMap::new(),
        }
    }

    /// Whether two boxes let out the same, but for ports that only their generators chose: such a
    /// port of the first must always meet the same one of the second.
    pub fn agrees(
        &mut self,
        inside: SocketAddr,
        first: &[Observation],
        second: &[Observation],
    ) -> bool {
        first.len() == second.len()
            && first.iter().zip(second).all(|(first, second)| self.same(inside, first, second))
    }

    fn same(&mut self, inside: SocketAddr, first: &Observation, second: &Observation) -> bool {
        let quoted = match (first.quoted, second.quoted) {
            (None, None) => true,
            (Some(first), Some(second)) => {
                self.same_endpoint(inside, first.0, second.0)
                    && self.same_endpoint(inside, first.1, second.1)
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        quoted
            && first.side == second.side
            && first.content == second.content
            && self.same_endpoint(inside, first.source, second.source)
            && self.same_endpoint(inside, first.destination, second.destination)
    }

    fn same_endpoint(&mut self, inside: SocketAddr, first: SocketAddr, second: SocketAddr) -> bool {
        if first.ip() != second.ip() || first.ip() != self.place.external() || first.port() == 0 {
            return first == second;
        }
        let (a, b) = (first.port(), second.port());
        let is_kept = |port| self.inside_ports.contains(&port);
        if (is_kept(a) || is_kept(b)) && a != b {
            return false;
        }
        port_class(a) == port_class(b)
            && *self.to_second.entry((inside, a)).or_insert(b) == b
            && *self.to_first.entry((inside, b)).or_insert(a) == a
    }
}

/// Linux chooses a new port from the class of the old one.
const fn port_class(port: u16) -> u8 {
    match port {
        0..512 => 0,
        512..1024 => 1,
        1024.. => 2,
    }
}
