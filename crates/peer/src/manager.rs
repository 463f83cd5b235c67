//! The one manager of a device (seed 001 ¶104-106), and what commands say to it.

mod name;
mod roster;
pub mod words;

use std::io;

use thiserror::Error;

pub use self::name::{NameError, NoteTo, PeerName, TeamPath};
pub use self::roster::Roster;

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
