//! The one manager of a device (seed 001 ¶104-106), and what commands say to it.
//!
//! A [`Device`] is logged in at all brokers that were joined. `simopen peer` offers it to commands
//! by a socket, as a [`Manager`]; a command that finds none makes a device of its own, for as long
//! as it runs. [`Desk`] is the one or the other.

mod choice;
mod client;
mod deed;
mod desk;
mod device;
mod ending;
mod journal;
mod name;
mod refusal;
mod roster;
mod server;
mod services;
mod site;
mod stream_end;
pub mod words;

use std::io;

use thiserror::Error;

pub use self::client::{Client, Listening};
pub use self::desk::{Desk, Doorway, Stream};
pub use self::device::{Device, DeviceConfig};
pub use self::ending::Ending;
pub use self::name::{NameError, NoteTo, PeerName, TeamPath};
pub use self::roster::Roster;
pub use self::server::Manager;
pub use self::services::{Arrival, Listener};

/// What keeps a command and the manager from understanding each other.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// The socket broke.
    #[error("the connection to `simopen peer` broke: {0}")]
    Socket(#[source] io::Error),
    /// One of them said what the other does not know.
    #[error(
        "`simopen peer` and this command do not understand each other: \
         they are of different versions; start `simopen peer` anew"
    )]
    NotUnderstood,
}
