//! The words that simopen's machines and worlds exchange: encode and decode, nothing else.
//!
//! * [`frame`] — four bytes of length, then that many bytes (seed 001 ¶145);
//! * [`document`] — the strict XML inside a frame, with its limits;
//! * [`control`] — what those documents mean between a peer and the broker (seed 001 ¶144-150);
//! * [`token`] — one-time random values, [`greeting`] — the first bytes on an opened connection;
//! * [`carrier`] — the paths by which bytes go through HTTP;
//! * [`invitation`] — the line by which a device joins, [`certificate_name`] — what its certificate
//!   and those of sessions are good for;
//! * [`peer_frame`] and [`peer_link`] — what two peers exchange on their link (¶156-163);
//! * [`identity`], [`address`], [`technique`], [`cause`] — the names that appear in all of them.
//!
//! What it is not: there is no state here beyond a half-received frame, no clock, no socket, and
//! no judgement about who may say what. That is the broker's.
//!
//! ```
//! use simopen_protocol::control::{Action, Login, Message, Reachable, Request, TransactionId};
//! use simopen_protocol::{frame, identity::UserId, token::Token};
//!
//! let login = Request::new(
//!     TransactionId(7),
//!     Action::Login(Login {
//!         user: UserId::new("alice").unwrap(),
//!         secret: Some(Token::from_random([9; 32])),
//!         reachable: Reachable::Yes,
//!     }),
//! );
//! let mut wire = Vec::new();
//! frame::encode(&Message::Request(login.clone()).to_bytes(), &mut wire);
//!
//! let mut decoder = frame::Decoder::new(frame::BEFORE_LOGIN);
//! decoder.push(&wire);
//! let document = decoder.poll_frame().unwrap().expect("the frame is complete");
//! assert_eq!(Message::parse(&document).unwrap(), Message::Request(login));
//! ```
#![forbid(unsafe_code)]

pub mod address;
pub mod carrier;
pub mod cause;
pub mod certificate_name;
pub mod control;
pub mod document;
pub mod frame;
pub mod greeting;
pub mod identity;
pub mod invitation;
pub mod peer_frame;
pub mod peer_link;
pub mod technique;
pub mod token;
