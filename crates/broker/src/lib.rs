//! The broker as a machine without IO: who is there, who asks whom, and the two packets that it
//! sends in other names.
//!
//! * [`Broker`] takes links, requests and time, and gives responses, notifications and forged
//!   packets;
//! * [`consent`] is the one module that says whether a packet may be forged;
//! * [`arrival`] says when it leaves;
//! * [`directory`] holds users, communities, devices, teams and notes as plain data. It changes by
//!   what [`Broker::poll_persist`] gives out, and only after [`Broker::handle_persisted`]: nothing
//!   is acknowledged before;
//! * [`pairing`] is what a relay is asked to do, [`admin`] what an operator asks.
//!
//! What it is not: it opens no socket and knows no clock. The server hands in what it read and
//! sends what comes out; a simulator does the same in virtual time.
//!
//! The one law: hand in one thing, then drain [`Broker::poll_transmit`], [`Broker::poll_persist`],
//! [`Broker::poll_pairing`], [`Broker::poll_admin`], [`Broker::poll_forge`] and
//! [`Broker::poll_event`], then read [`Broker::poll_timeout`].
//!
//! ```
//! use simopen_broker::{Broker, BrokerConfig, LinkId, LinkOrigin, Transmit, directory::{Directory, User}};
//! use simopen_packet::{Entropy, Timestamp};
//! use simopen_protocol::{control::{Action, Login, Message, Reachable, Request, TransactionId}, identity::UserId, token::Token};
//!
//! let alice = UserId::new("alice").unwrap();
//! let secret = Token::from_random([7; 32]);
//! let mut directory = Directory::default();
//! directory.insert(alice.clone(), User { secret: Some(secret), communities: ["friends".parse().unwrap()].into() });
//!
//! let mut broker = Broker::new(BrokerConfig::default(), directory, Entropy::new([1; 32]));
//! let now = Timestamp::ZERO;
//! let origin = LinkOrigin { remote: "198.51.100.7:4000".parse().unwrap(), syn: None, key: None };
//! broker.handle_link(LinkId(1), origin, now);
//! broker.handle_request(LinkId(1), Request::new(TransactionId(1), Action::Login(Login { user: alice, secret: Some(secret), reachable: Reachable::Yes })), now);
//!
//! let Some(Transmit::Message(LinkId(1), Message::Response(response))) = broker.poll_transmit() else { panic!() };
//! assert!(response.result.is_ok());
//! ```
//!
//! # A session
//!
//! ```text
//! Connect ─► Asked ─ Accept ─► Accepted ─ both SYNs known ─► forged packets leave ─► Outcome of both
//!              └─ refused: one cause to the originator            (each again on a new report, twice at most)
//! ```
//!
//! With a relay:
//!
//! ```text
//! Connect ─► Asked ─ PairingOrder::Open ─► handle_pairing_opened ─► both sides are told ─► Outcome of both
//!              └─ handle_pairing_failed: no-relay                     └─ failed or revoked: PairingOrder::End
//! ```
//!
//! # A change of the directory
//!
//! ```text
//! request ─► waits ─► judged ─ Persist ─► handle_persisted ─► in force ─► acknowledged, and told
//!                       └─ refused: one word       └─ handle_persist_failed: storage-failed, nothing changed
//! ```
//!
//! # A peer
//!
//! ```text
//! Login ─► there ─ silent for the alive interval ─► asked (Verify) ─ silent for half of it ─► gone, announced
//!            └─ link closed, Logout, revoked: gone at once             └─ says anything: there
//! ```
//!
//! Seed 001 ¶144-150 (control link), ¶115, ¶126-137 (teams, shares, notes), ¶164-174 (forging),
//! ¶175-182 (relay); seed 004 (presence).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod admin;
pub mod arrival;
mod broker;
mod config;
pub mod consent;
mod deadline;
pub mod directory;
pub mod event;
pub mod forge;
mod guess;
mod limits;
mod link;
mod listing;
pub mod pairing;
pub mod persist;
mod session;

pub use admin::{AdminError, AdminId, AdminReply, AdminRequest};
pub use broker::{Broker, Timer, Transmit};
pub use config::{BrokerConfig, Rendezvous};
pub use consent::Forging;
pub use event::{Event, Gauges, Stats, What};
pub use forge::{ConsentRecord, Forged};
pub use limits::Limits;
pub use link::{LinkId, LinkOrigin, PathEstimate};
pub use pairing::PairingOrder;
pub use persist::{Persist, PersistId};
pub use session::Party;
