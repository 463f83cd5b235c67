//! The rendezvous relay as a machine without IO: pending and active pairings (seed 001 ¶175-182).
//!
//! A broker announces two values ([`Relay::handle_open`]). Two connections present one each
//! ([`Relay::handle_presented`]), and the second of them joins the pair ([`Command::Join`]).
//!
//! What it is not: it moves no bytes, opens no socket and knows no clock. The world accepts
//! connections, reads what they present, and pumps between those that are joined; what is pending
//! when one side ends is the pump's to deliver.
//!
//! The one law: hand in one thing, drain [`Relay::poll_command`], read [`Relay::poll_timeout`].
//!
//! ```
//! use simopen_packet::Timestamp;
//! use simopen_protocol::{control::Proxy, identity::SessionId, token::Token};
//! use simopen_relay::{Command, ConnectionId, Limits, Presented, Relay};
//!
//! let mut relay = Relay::new(Limits::default());
//! let now = Timestamp::ZERO;
//! let values = [1, 2].map(|byte| Token::from_random([byte; 32]));
//! relay.handle_open(&Proxy { session: SessionId(7), values }, now).unwrap();
//!
//! for (connection, value) in [(ConnectionId(1), &values[0]), (ConnectionId(2), &values[1])] {
//!     relay.handle_connection(connection, now);
//!     relay.handle_presented(connection, &Presented::Value(*value.as_bytes()), now);
//! }
//! let Some(Command::Join { session, connections }) = relay.poll_command() else { panic!() };
//! assert_eq!((session, connections), (SessionId(7), [ConnectionId(1), ConnectionId(2)]));
//! ```
//!
//! # A pairing
//!
//! ```text
//! Proxy ─► pending ─ one value ─► pending, one side waits ─ the other value ─► active ─ one side
//!             │                        │                                              closes ─► half-closed
//!             └──── over 30 s old ─────┴──► closed                over 30 s half-closed ─► closed ┘
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod key;
mod pair;
mod relay;
mod stats;

pub use key::Presented;
pub use relay::{
    Command, ConnectionId, Limits, OpenRefused, PRESENT_WITHIN, Relay, SCAN_INTERVAL, Timer,
    VALUE_LIFETIME,
};
pub use stats::{Refusal, Stats};
