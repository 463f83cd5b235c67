//! One middlebox as a machine without IO: a NAT, or a firewall that does not translate.
//!
//! It takes packets from its inside and its outside and says what becomes of each: forwarded and
//! rewritten in place, forwarded as it came, or dropped and why. What it is, is written in a
//! [`MiddleboxSpec`]; [`preset`] has known boxes as data. It is not a router: routes, links and the
//! TTL belong to whoever carries its packets. It handles TCP, UDP and ICMP echo over IPv4 and IPv6,
//! and the ICMP errors that belong to them.
//!
//! # The drive loop
//!
//! ```
//! use core::time::Duration;
//! use simopen_nat::{MAX_ANSWER_LEN, Middlebox, MiddleboxSpec, Side, Verdict};
//! use simopen_packet::{Entropy, Timestamp};
//!
//! let now = Timestamp::ZERO;
//! let external = [203, 0, 113, 1].into();
//! let spec = MiddleboxSpec::ei_mapping_apd_filtering();
//! let mut middlebox = Middlebox::new(spec, external, Entropy::new([7; 32]), now);
//!
//! // A packet arrives: it is rewritten in place.
//! let mut packet = [0; 40];
//! match middlebox.handle_packet(Side::Inside, &mut packet, now) {
//!     Verdict::Forward | Verdict::Untranslated => { /* send it on, on the other side */ }
//!     Verdict::Hairpin => { /* send it back on the side that it came from */ }
//!     Verdict::Drop(reason) => println!("dropped: {reason}"),
//! }
//! // Then the box's own packets, what it wrote down, and its next deadline.
//! let mut buffer = [0; MAX_ANSWER_LEN];
//! while let Some((side, length)) = middlebox.poll_transmit(&mut buffer) {
//!     println!("{length} bytes leave on {side:?}");
//! }
//! while let Some(entry) = middlebox.poll_journal() {
//!     println!("{entry}");
//! }
//! if let Some((deadline, _timer)) = middlebox.poll_timeout() {
//!     middlebox.handle_timeout(deadline + Duration::from_millis(1));
//! }
//! ```
//!
//! # How a packet goes through
//!
//! ```text
//!             ┌──────── session found ──▶ tracking ──▶ rewritten, forwarded
//!  packet ─▶ session table                   │ invalid
//!             │ none                         ▼
//!             ├─ from inside: mapping found or opened, session created, forwarded
//!             │               (not a SYN: leaves untranslated, or dropped)
//!             └─ from outside: SYN to an open mapping and filtering agrees: session created
//!                              else: the box itself drops, resets, or answers by ICMP
//! ```
//!
//! A packet from inside that is addressed to the box's own outside goes this way twice, out and in
//! again, where the box hairpins. A box that rewrites numbers or options, or makes handshakes
//! itself, does so before and after; datagrams have tables of their own and no tracking.
//!
//! The states of a session stand in [`TcpState`].
//!
//! RFC 4787 and 5382 (NAT behaviour, words), RFC 5508 (ICMP), RFC 6092 (IPv6 firewalls), RFC 7857
//! (updates), RFC 9293 (TCP), RFC 5961 (challenge ACKs), RFC 1624 (checksums).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod answers;
mod bindings;
mod census;
mod datagram_sessions;
mod endpoint;
mod filtering;
mod flow_index;
mod flow_protocol;
mod handshakes;
mod journal;
mod mapping;
mod middlebox;
mod port_allocation;
mod port_set;
pub mod preset;
mod reservations;
mod rewriter;
mod session;
pub mod spec;
mod stats;
mod tcp_tracking;
mod timers;

pub use answers::MAX_ANSWER_LEN;
pub use endpoint::Side;
pub use filtering::Filtering;
pub use flow_protocol::FlowProtocol;
pub use journal::{
    DropReason, EndCause, JOURNAL_CAPACITY, JournalEntry, JournalEvent, OwnAnswer, PacketSummary,
    SessionEndpoints,
};
pub use mapping::Mapping;
pub use middlebox::{Middlebox, Timer, Verdict};
pub use port_allocation::{PortAllocation, PortOverloading};
pub use preset::{PRESETS, Preset};
pub use spec::{
    AddressPool, EarlyPacket, Egress, Hairpin, IcmpEcho, IcmpErrors, IdleKill, IdleKiller,
    InboundBareSyn, InvalidOutbound, IsnRewriting, Limits, MidStream, MiddleboxSpec, OnIcmpError,
    OnReset, OptionRewriting, Pairing, PortParity, Refresh, Rewriting, Role, SynProxy, TcpTimers,
    TcpTracking, TimestampRewriting, UdpHandling, UdpPolicy, UnsolicitedSyn, WhenFull,
};
pub use stats::Stats;
pub use tcp_tracking::state::TcpState;
