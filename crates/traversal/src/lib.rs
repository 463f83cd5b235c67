//! One peer's attempt to open a TCP connection to another, as a machine without IO.
//!
//! The attempt decides; a *world* acts. The world hands in control messages, SYNs that it
//! captured, packets that the swallowed port saw and the outcomes of dials; it carries out
//! [`Command`]s, sends the messages to the broker and comes back at the deadline. Neither side of
//! an attempt knows whether a kernel, a simulated host or a test stands behind it, and the machine
//! never sees the boxes on the way: it may not know the answer.
//!
//! The one law: hand in one thing, then drain [`Attempt::poll_message`],
//! [`Attempt::poll_command`] and [`Attempt::poll_event`] until all are empty, then read
//! [`Attempt::poll_timeout`].
//!
//! ```
//! use core::time::Duration;
//! use simopen_packet::{Entropy, Timestamp, Ttl};
//! use simopen_protocol::{control::Action, identity::UserId, technique::Technique};
//! use simopen_traversal::{Attempt, AttemptConfig, Command, FromBroker, SynTemplate};
//!
//! let config = AttemptConfig {
//!     technique: Technique::SimultaneousOpen,
//!     local: "10.0.0.2:40000".parse().unwrap(),
//!     observed: "198.51.100.7:40000".parse().unwrap(),
//!     broker: "192.0.2.1".parse().unwrap(),
//!     gateway: None,
//!     round_trip: Duration::from_millis(20),
//!     kernel_ttl: None,
//!     low_ttl: Ttl(2),
//!     syn: SynTemplate::default(),
//!     start_skew: Duration::ZERO,
//! };
//! let mut now = Timestamp::ZERO;
//! let bob = UserId::new("bob").unwrap();
//! let mut attempt = Attempt::originate(config, bob, Entropy::new([1; 32]), now);
//!
//! // The loop of every world: messages out, commands out, events out, then wait.
//! let Some(Action::Connect(connect)) = attempt.poll_message() else { panic!() };
//! assert_eq!(connect.port, 40000);
//! while let Some(command) = attempt.poll_command() { /* dial, emit, install … */ }
//! while let Some(event) = attempt.poll_event() { /* show it */ }
//! let (deadline, _timer) = attempt.poll_timeout().expect("something is always awaited");
//! now = deadline;
//! attempt.handle_timeout(now);
//! assert!(attempt.outcome().is_some(), "a silent broker ends the attempt");
//! ```
//!
//! # States
//!
//! ```text
//! originate ─► AwaitingAcceptance ─┐
//! respond ──► AwaitingMoment ──────┼─► Opening ─► Established ─► Confirmed
//!                                  │      │            │
//!                                  └──────┴────────────┴─► GivenUp ─► Failed
//! ```
//!
//! *GivenUp* is this side's own verdict; *Failed* comes when the other side's report is in as well,
//! so that no attempt is declared failed before both sides have done their part. Where only the
//! originator dials, its verdict is both sides'.
//!
//! RFC 9293 §3.5 (simultaneous open), RFC 6298 §2 (timers), seed 001 ¶164-174.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod attempt;
pub mod command;
pub mod consent;
pub mod probe;
pub mod signalling;
mod technique;

pub use attempt::{
    Attempt, AttemptConfig, AttemptOutcome, Event, Failure, FromBroker, Role, Side, Timer, What,
};
pub use command::{Command, DialOutcome, Handshake};
pub use technique::SynTemplate;
