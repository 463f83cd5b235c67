//! Where a broker keeps its directory.
//!
//! The directory lives in memory; a store is read once, at the start, and written before anything
//! that a peer asked for is acknowledged.

mod keeper;
mod memory;
mod record;
mod sqlite;
mod timed;

use std::io;
use std::path::PathBuf;

use simopen_broker::directory::{Change, Directory};
use thiserror::Error;

pub(crate) use self::keeper::Keeper;
pub use self::memory::Memory;
pub use self::sqlite::Sqlite;
pub use self::timed::Timed;

/// Keeps a directory's changes.
///
/// A broker calls [`Store::append`] from a thread of its own, one call at a time, so it may block.
pub trait Store: Send + 'static {
    /// The directory as all changes have made it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be read.
    fn load(&mut self) -> Result<Directory, StoreError>;

    /// Keeps these changes, all or none of them. When it returns they outlive a power failure.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where they are not kept.
    fn append(&mut self, changes: &[Change]) -> Result<(), StoreError>;
}

/// Why a store cannot be read or written. May grow.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be opened.
    #[error("{} cannot be opened: {why}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A newer version of this program wrote it.
    #[error(
        "{} was written by a newer version (its schema is {found}, this one reads up to {known}): \
         use that version, or restore a backup",
        path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest one that is known here.
        known: i64,
    },
    /// It is some other program's.
    #[error("{} is no directory of a simopen broker", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("{} is in use by another process: only one broker can have it", path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// It may not be written.
    #[error("{} cannot be written: its file or file system is read-only", path.display())]
    ReadOnly {
        /// Which file.
        path: PathBuf,
    },
    /// There is no room.
    #[error("{} cannot be written: the disk is full", path.display())]
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// A record in it cannot be read.
    #[error("{}: record {number} is damaged ({why}); restore a backup", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which record.
        number: i64,
        /// What is wrong with it.
        why: String,
    },
    /// Anything else.
    #[error("{}: {why}", path.display())]
    Other {
        /// Which file.
        path: PathBuf,
        /// What the library says.
        why: String,
    },
    /// The thread that writes cannot be started.
    #[error("no thread for the store: {0}")]
    Thread(#[source] io::Error),
}
