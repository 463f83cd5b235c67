//! Packets as bytes: IPv4, IPv6, TCP and ICMP, the SYN, and the SYN-ACK forged from two of them.
#![no_std]
#![forbid(unsafe_code)]

pub mod checksum;
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

pub use entropy::Entropy;
pub use error::{EmitError, Layer, ParseError};
pub use icmp::{IcmpError, IcmpKind, IcmpMessage, Quoted, error_quoting};
pub use ip::{IpHeader, Packet, Transport, Ttl};
pub use rewrite::Layout;
pub use sequence::SeqNumber;
pub use syn::{ForgeError, MAX_SYN_LEN, Syn, SynAck, SynError};
pub use tcp::{TcpBuilder, TcpFlags, TcpSegment, reset_answering};
pub use tcp_options::{SynOptions, Timestamps, option_kind};
pub use time::Timestamp;
