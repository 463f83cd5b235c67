//! How many files and sockets this process may have open.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Allows this process as many descriptors as it may ever have, and tells how many these are.
///
/// # Errors
///
/// Fails where the system does not tell.
pub fn raise_limit() -> io::Result<u64> {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if setrlimit(Resource::RLIMIT_NOFILE, most, most).is_ok() {
        return Ok(most);
    }
    Ok(now)
}
