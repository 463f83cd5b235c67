//! A sequence of packets that means the same to every box.

use std::fmt;
use std::net::SocketAddr;

use simopen_nat::Side;
use simopen_packet::{IcmpError, SeqNumber, TcpBuilder, TcpFlags, Ttl, error_quoting};

use super::place::Place;

/// Packets in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The port of the first two inside endpoints; the third has the next one.
    pub inside_port: u16,
    /// The packets.
    pub steps: Vec<Step>,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it enters the box.
    pub side: Side,
    /// Number of its inside endpoint, as [`Place::inside`] has it.
    pub inside: u8,
    /// Number of its endpoint outside, as [`Place::remote`] has it.
    pub remote: u8,
    /// What it is.
    pub content: Content,
}

/// What a packet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A segment between the two endpoints.
    Segment {
        /// Control bits.
        flags: TcpFlags,
        /// Sequence number.
        sequence: u32,
        /// Acknowledgment number; it stands in the header with or without ACK.
        acknowledgment: u32,
        /// Window, unscaled.
        window: u16,
        /// Options as they stand in the header.
        options: Vec<u8>,
        /// Length of the data in bytes.
        payload: u16,
    },
    /// An error about a segment that went the other way.
    Error {
        /// Which error.
        kind: IcmpError,
        /// Sequence number of the segment.
        sequence: u32,
        /// Whether the endpoint itself reports it, or a router on the way.
        reporter: Reporter,
    },
}

/// Who reports an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporter {
    /// The endpoint to which the segment went.
    Endpoint,
    /// A router before it; inside, there is none.
    Router,
}

impl Step {
    /// Writes the packet. `external` is the endpoint by which the inside endpoint is addressed
    /// from outside.
    ///
    /// # Panics
    ///
    /// Where a sequence holds what cannot be a packet.
    #[must_use]
    pub fn bytes(&self, place: &Place, inside: SocketAddr, external: SocketAddr) -> Vec<u8> {
        let remote = place.remote(self.remote);
        let near = match self.side {
            Side::Inside => inside,
            Side::Outside => external,
        };
        let (source, destination) = match self.side {
            Side::Inside => (near, remote),
            Side::Outside => (remote, near),
        };
        let mut buffer = vec![0; 2048];
        let length = match &self.content {
            Content::Segment { flags, sequence, acknowledgment, window, options, payload } => {
                let builder = TcpBuilder {
                    source,
                    destination,
                    ttl: Ttl(64),
                    sequence: SeqNumber(*sequence),
                    acknowledgment: SeqNumber(*acknowledgment),
                    flags: *flags,
                    window: *window,
                };
                let payload = vec![0x5a; usize::from(*payload)];
                builder.emit(options, &payload, &mut buffer).expect("a segment")
            }
            Content::Error { kind, sequence, reporter } => {
                let quoted = TcpBuilder {
                    source: destination,
                    destination: source,
                    ttl: Ttl(1),
                    sequence: SeqNumber(*sequence),
                    acknowledgment: SeqNumber(0),
                    flags: TcpFlags::SYN,
                    window: 65_535,
                };
                let mut segment = [0; 60];
                let length = quoted.emit(&[], &[], &mut segment).expect("a segment");
                let from = match (self.side, reporter) {
                    (Side::Outside, Reporter::Router) => place.far_router(),
                    (Side::Outside, Reporter::Endpoint) | (Side::Inside, _) => source.ip(),
                };
                error_quoting(*kind, from, &segment[..length], &mut buffer).expect("an error")
            }
        };
        buffer.truncate(length);
        buffer
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "inside port {}", self.inside_port)?;
        self.steps.iter().enumerate().try_for_each(|(nth, step)| writeln!(f, "{nth:>3}  {step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, inside, remote, content } = self;
        match side {
            Side::Inside => write!(f, "inside {inside} > remote {remote} ")?,
            Side::Outside => write!(f, "remote {remote} > inside {inside} ")?,
        }
        match content {
            Content::Segment { flags, sequence, acknowledgment, window, options, payload } => {
                write!(f, "{flags} seq {sequence} ack {acknowledgment} win {window}")?;
                if !options.is_empty() {
                    write!(f, " options {options:?}")?;
                }
                if *payload > 0 { write!(f, " len {payload}") } else { Ok(()) }
            }
            Content::Error { kind, sequence, reporter } => {
                write!(f, "{kind} by the {reporter:?} about seq {sequence}")
            }
        }
    }
}
