//! Packets as bytes: IPv4, IPv6, TCP and ICMP, the SYN, and the SYN-ACK forged from two of them.
//!
//! What it is: views over bytes ([`Packet`]), builders that write bytes ([`TcpBuilder`],
//! [`error_quoting`], [`reset_answering`]), rewriting in place as a NAT does it ([`Layout`]), and
//! the two packets by which a broker opens a connection between two peers ([`Syn`], [`SynAck`]).
//! Beside them stand the three small values that every machine takes: [`Timestamp`], [`Entropy`]
//! and [`SeqNumber`].
//!
//! What it is not: a stack. It keeps no state, decides nothing, and reassembles no fragments; it
//! reads no clock and no socket. It has no allocator either: the crate links `core` alone, so
//! that nothing on the way of a forged packet can allocate.
//!
//! # From two SYNs to a SYN-ACK
//!
//! ```
//! use simopen_packet::{
//!     MAX_SYN_LEN, Packet, SeqNumber, Syn, SynAck, SynOptions, Ttl,
//! };
//!
//! let (a, b) = ("192.0.2.1:4000".parse()?, "198.51.100.2:5000".parse()?);
//! let syn_of_a = Syn {
//!     source: a,
//!     destination: b,
//!     sequence: SeqNumber(1_000),
//!     window: 64_240,
//!     ttl: Ttl::DEFAULT,
//!     ecn_setup: false,
//!     options: SynOptions::new(Some(1460), Some(7), true, None),
//! };
//! let syn_of_b = Syn { source: b, destination: a, sequence: SeqNumber(2_000), ..syn_of_a };
//!
//! // Both arrive as bytes: verify, then parse.
//! let mut wire = [0; MAX_SYN_LEN];
//! let length = syn_of_a.emit(&mut wire)?;
//! Packet::verify_checksums(&wire[..length])?;
//! let answered = Syn::parse(&wire[..length])?;
//!
//! // What B would have answered, had it listened.
//! let syn_ack = SynAck::forge(&syn_of_b, &answered, b, a)?;
//! let length = syn_ack.emit(&mut wire)?;
//!
//! assert_eq!(
//!     Packet::parse(&wire[..length])?.to_string(),
//!     "198.51.100.2:5000 > 192.0.2.1:4000 SYN|ACK seq 2000 ack 1001 win 64240 \
//!      mss 1460 wscale 7 sack ttl 64"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rewriting in place
//!
//! ```
//! # use simopen_packet::{Packet, SeqNumber, TcpBuilder, TcpFlags, Ttl};
//! # let mut bytes = [0; 40];
//! # TcpBuilder {
//! #     source: "10.0.0.2:4000".parse()?,
//! #     destination: "198.51.100.2:5000".parse()?,
//! #     ttl: Ttl(64),
//! #     sequence: SeqNumber(1),
//! #     acknowledgment: SeqNumber(2),
//! #     flags: TcpFlags::ACK,
//! #     window: 512,
//! # }
//! # .emit(&[], &[], &mut bytes)?;
//! let layout = Packet::parse(&bytes)?.layout();
//! let rewritten = layout.set_source(&mut bytes, "192.0.2.1:40000".parse()?);
//! let remaining = layout.decrement_ttl(&mut bytes);
//!
//! assert!(rewritten);
//! assert_eq!(remaining, Ttl(63));
//! assert_eq!(Packet::verify_checksums(&bytes), Ok(()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The RFCs
//!
//! RFC 791 and 8200 (IP), 9293 (TCP), 2018 and 7323 (SACK, window scale, timestamps), 3168 (ECN),
//! 792, 1122, 1812 and 4443 (ICMP), 1071 and 1624 (checksums).
#![no_std]
#![forbid(unsafe_code)]

pub mod checksum;
mod datagram;
mod entropy;
mod error;
mod icmp;
mod ip;
mod rewrite;
mod sequence;
mod syn;
mod tcp;
mod tcp_options;
mod time;

pub use datagram::{Datagram, DatagramKind};
pub use entropy::Entropy;
pub use error::{EmitError, Layer, ParseError};
pub use icmp::{IcmpError, IcmpKind, IcmpMessage, Quoted, error_quoting};
pub use ip::{IpHeader, Packet, Transport, Ttl};
pub use rewrite::{Layout, SegmentEdit};
pub use sequence::SeqNumber;
pub use syn::{ForgeError, MAX_SYN_LEN, Syn, SynAck, SynError};
pub use tcp::{TcpBuilder, TcpFlags, TcpSegment, reset_answering};
pub use tcp_options::{SynOptions, Timestamps, option_kind};
pub use time::Timestamp;
