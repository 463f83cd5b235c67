//! Where a broker or a relay keeps what has to outlive it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

use thiserror::Error;

/// Of the file that is locked.
const LOCK: &str = "lock";

/// A data directory that belongs to this process alone until this is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    /// The kernel gives the lock up when the file is closed, whatever ends the process.
    _lock: File,
}

impl DataDirectory {
    /// Takes a directory, and makes it (mode 0700, its parents too) where it is not there.
    ///
    /// # Errors
    ///
    /// [`DataDirectoryError`], where another process has it or it cannot be written.
    pub fn open(path: &Path) -> Result<Self, DataDirectoryError> {
        let failed = |error| DataDirectoryError::Unusable { path: path.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        // Where it can be, as other programs are started in other directories.
        let path = fs::canonicalize(path).map_err(failed)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut by = String::new();
                // It names the other only to help.
                let _ = lock.read_to_string(&mut by);
                return Err(DataDirectoryError::Taken { path, by: by.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", process::id()));
        written.map_err(failed)?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of that name is in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Why a directory cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataDirectoryError {
    /// Another process has it.
    #[error(
        "another process{} works on {}: stop it first, or give this one a directory of its own",
        by.map(|by| format!(" (number {by})")).unwrap_or_default(),
        path.display()
    )]
    Taken {
        /// Which directory.
        path: PathBuf,
        /// The process's number, where it is known.
        by: Option<u32>,
    },
    /// It cannot be made or written.
    #[error("the data directory {}: {error}", path.display())]
    Unusable {
        /// Which directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A directory that is gone when this is.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("simopen-{name}-{}", process::id()));
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let scratch = Scratch::new("data-directory");
        let first = DataDirectory::open(&scratch.0).unwrap();
        let mode = fs::metadata(first.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let refused = DataDirectory::open(&scratch.0).unwrap_err();
        let by = Some(process::id());
        assert!(matches!(refused, DataDirectoryError::Taken { by: told, .. } if told == by));
        drop(first);
        DataDirectory::open(&scratch.0).unwrap();
    }
}
