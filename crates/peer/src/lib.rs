//! The client library: log in to a broker, connect to other users, be reachable.
//!
//! The decisions stand in [`simopen_traversal`]; this crate holds the control link, keeps proven
//! ports ready, dials, captures, installs, and gives out connections that the other side has
//! confirmed.
//!
//! ```no_run
//! use simopen_peer::{Peer, PeerConfig};
//! use simopen_protocol::{identity::UserId, technique::{SynOwner, Technique}, token::Token};
//! use tokio::io::AsyncWriteExt;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Token::parse("wxyz…")?;
//! let config = PeerConfig::new("192.0.2.1:7000".parse()?, UserId::new("alice")?, secret);
//! let (peer, _incoming) = Peer::login(config).await?;
//!
//! let bob = UserId::new("bob")?;
//! let mut connection = peer.connect(&bob, Technique::ForgedSynAck(SynOwner::Userspace)).await?;
//! connection.stream.write_all(b"straight through both firewalls").await?;
//! # Ok(()) }
//! ```
//!
//! What it is not: there is no encryption here. The greeting shows that the
//! other end is the one that the broker named, to everybody who cannot read the control link.
#![forbid(unsafe_code)]

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
mod renewal;
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
