//! The network as one machine without IO.
//!
//! A [`Fabric`] is a graph of ports, links, routers and middleboxes. A port ends in a host outside
//! the machine: a kernel behind a TUN device, a simulated stack, a test. The world that turns the
//! fabric reads what a host sends and hands it in with the time at which it read it; the fabric
//! says what comes out where, and when it should have.
//!
//! It is not a protocol stack: routers run no services and answer only by ICMP, and what happens
//! inside a middlebox is decided in `simopen_nat`.
//!
//! # The drive loop
//!
//! ```
//! use core::time::Duration;
//! use simopen_fabric::{Fabric, Graph, LinkSpec, RouterSpec};
//! use simopen_packet::{Entropy, SeqNumber, TcpBuilder, TcpFlags, Timestamp, Ttl};
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//!
//! let [a, b] = ["192.0.2.1:4000", "198.51.100.1:5000"].map(|text| text.parse().unwrap());
//! # let (a, b): (core::net::SocketAddr, core::net::SocketAddr) = (a, b);
//! let mut graph = Graph::new();
//! let core = graph.router("core", RouterSpec::default());
//! let link = LinkSpec::with_delay(Duration::from_millis(5));
//! let ports = [("a", a), ("b", b)].map(|(name, host)| {
//!     let port = graph.port(name);
//!     let link = graph.link(port, simopen_fabric::End::Router(core), link)?;
//!     graph.route(core, host.ip(), link)?;
//!     Ok::<_, simopen_fabric::GraphError>(port)
//! });
//! let [port_a, port_b] = [ports[0].clone()?, ports[1].clone()?];
//! let mut fabric = Fabric::new(graph, Entropy::new([0; 32]), Timestamp::ZERO);
//!
//! // A host sends: read into a buffer of the fabric's, hand it in.
//! let syn = TcpBuilder {
//!     source: a,
//!     destination: b,
//!     ttl: Ttl(64),
//!     sequence: SeqNumber(1),
//!     acknowledgment: SeqNumber(0),
//!     flags: TcpFlags::SYN,
//!     window: 65_535,
//! };
//! let mut buffer = fabric.buffer();
//! let len = syn.emit(&[], &[], buffer.as_mut_slice())?;
//! buffer.set_len(len);
//! fabric.handle_packet(port_a, buffer, Timestamp::from_nanos(1_000));
//!
//! // The loop of every world: sleep until the deadline, turn, drain.
//! while let Some((deadline, _timer)) = fabric.poll_timeout() {
//!     let now = deadline; // a world with a clock sleeps until then and reads it again
//!     fabric.handle_timeout(now);
//!     while let Some(delivery) = fabric.poll_transmit() {
//!         assert_eq!(delivery.port, port_b);
//!         assert_eq!(delivery.due, Timestamp::from_nanos(10_001_000));
//!         fabric.recycle(delivery.packet); // after writing it to the host
//!     }
//!     while let Some(event) = fabric.poll_event() {
//!         println!("{event}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # A packet's way
//!
//! ```text
//!   handle_packet ─► port ─► lane ─► router or middlebox ─► lane ─► … ─► port ─► poll_transmit
//!                             │               │
//!                     lost, queue full    no route, source invalid, TTL, refused by the box
//!                             └───────┬───────┘
//!                              journal, counters
//! ```
//!
//! Each direction of a link is a lane: packets in the order of their arrival at its end. Only the
//! first packet of each lane stands in the one deadline heap, beside the timers of the
//! middleboxes, so the heap is as small as the graph.
//!
//! # Time
//!
//! A packet carries the time at which it entered, and every hop computes its next due time from
//! the one before, never from the time at which the world came to turn it. A world that is late
//! by 3 ms delivers one packet 3 ms late and nothing else changes. Middleboxes are told the due
//! times too: the same inputs with the same ingress times give the same network, however the
//! thread was scheduled.
//!
//! # Names
//!
//! Routers forward by RFC 1812 and RFC 8200, answer by RFC 792 and RFC 4443, and check sources
//! by RFC 3704; a middlebox is that of RFC 3234.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod buffer;
mod deadline;
mod draw;
mod fabric;
mod flight;
mod graph;
mod journal;
mod link;
mod router;
mod star;

pub use buffer::{BufferCount, PacketBuffer, PacketTooLong};
pub use fabric::{Delivery, Fabric, Held, Timer};
pub use graph::{
    DEFAULT_JOURNAL_CAPACITY, DEFAULT_PACKET_CAPACITY, End, Graph, GraphError, LinkId, NodeId,
    PortId,
};
pub use journal::{
    DropReason, FabricEvent, Happening, Origin, PacketKind, PacketSummary, Place, Stats, TcpSummary,
};
pub use link::{DEFAULT_QUEUE, LinkSpec, LinkStats, Reordering};
pub use router::{Forwarding, Prefix, RouterSpec, SourceValidation};
pub use star::{Arm, HOST_LINK_DELAY, Star};
