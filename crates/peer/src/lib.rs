//! The client library: log in to a broker, connect to other users, be reachable.
//!
//! The decisions stand in [`simopen_traversal`]; this crate holds the control link, keeps proven
//! ports ready, dials, captures, installs, and makes of connections links between devices, which
//! are encrypted, known by their keys, and carry channels.
//!
//! ```no_run
//! use std::sync::Arc;
//! use simopen_peer::{DeviceKey, Links, MemoryPins, PeerConfig, Resident, Whom, carriage::Carriage, join};
//! use simopen_protocol::invitation::Invitation;
//! use tokio::io::AsyncWriteExt;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let invitation: Invitation = "simopen://broker.example:7443/home?ca=…".parse()?;
//! let key = DeviceKey::generate()?;
//! let credentials = join(&invitation, &"laptop".parse()?, &key, &Carriage::default()).await?;
//!
//! let (links, mut new_links) = Links::new(Arc::new(MemoryPins::default()));
//! let peer = Resident::start(PeerConfig::joined(invitation.addresses, credentials, links));
//! peer.online().await;
//!
//! let bob = Whom { user: "bob".parse()?, device: None };
//! let link = peer.link_to(&bob, &mut |step| eprintln!("{step:?}")).await?;
//! link.open("files").await?.write_all(b"straight through both firewalls").await?;
//! # Ok(()) }
//! ```
//!
//! | piece | is |
//! | --- | --- |
//! | [`join()`] | a device becomes a user's, by an invitation |
//! | [`Peer`] | one login; plain connections by one technique, links by one after the other |
//! | [`Resident`] | logs in again whenever the link to the broker is gone |
//! | [`PeerLink`], [`Channel`] | what two devices have with each other; brokers may come and go |
//! | [`Pins`] | the keys of other devices, as they were at first contact |
//!
//! What it is not: it decides nothing about who may reach whom, that is the broker's; and a
//! connection of [`Peer::connect`] is plain text, as experiments want it.
//!
//! RFC 8446 (TLS 1.3), RFC 5280 (certificates), seed 001 ¶104-107, ¶144-163.
#![forbid(unsafe_code)]

mod broker_words;
pub mod carriage;
mod config;
mod control_stream;
mod credentials;
mod error;
mod greet;
pub mod home;
mod join;
pub mod key_words;
mod link;
mod links;
mod listen;
pub mod manager;
mod meet;
mod multiplexer;
mod news;
mod peer;
mod peer_link;
mod pins;
mod ports;
pub mod renewal;
mod resident;
mod tls;
mod world;

pub use config::{IcmpShield, Identity, PeerConfig, SynCaptureWay};
pub use credentials::{Credentials, CurrentCredentials, DeviceKey, KeyError};
pub use error::{ConnectError, LoginError, RequestError};
pub use join::{JoinError, join};
pub use links::{Links, NewLinks};
pub use news::{News, NewsDesk};
pub use peer::{Connection, Incoming, LinkError, Observation, Peer, Step, Whom};
pub use peer_link::{Channel, Offered, OpenError, PeerLink, Remote};
pub use pins::{MemoryPins, Pins};
pub use resident::{Resident, Standing};
pub use tls::CredentialsError;
