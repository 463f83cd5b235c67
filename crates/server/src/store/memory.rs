//! A store that forgets everything when it ends.

use simopen_broker::directory::{Change, Directory};

use super::{Store, StoreError};

/// Keeps a directory in memory: for tests, and for programs that have their own users.
#[derive(Debug, Clone, Default)]
pub struct Memory(Directory);

impl Memory {
    /// One that begins with this directory.
    #[must_use]
    pub const fn new(directory: Directory) -> Self {
        Self(directory)
    }
}

impl Store for Memory {
    fn load(&mut self) -> Result<Directory, StoreError> {
        Ok(self.0.clone())
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            self.0.apply(change);
        }
        Ok(())
    }
}
