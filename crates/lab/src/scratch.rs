//! A directory of files that nobody needs afterwards.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::LabError;

/// Where temporary files belong (file-hierarchy(7)).
const TEMPORARY: &str = "/tmp";

/// A directory that goes, with all in it, when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a directory that any user may write to, under a name that nobody can guess.
    pub(crate) fn new(purpose: &str) -> Result<Self, LabError> {
        let system = |source| LabError::System { what: "a temporary directory", source };
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| system(std::io::Error::other(error)))?;
        let name = format!("simopen-{purpose}-{:016x}", u64::from_be_bytes(bytes));
        let path = Path::new(TEMPORARY).join(name);
        fs::create_dir(&path).map_err(system)?;
        let made = Self(path);
        fs::set_permissions(made.path(), Permissions::from_mode(0o1777)).map_err(system)?;
        Ok(made)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "temporary files stay");
        }
    }
}
