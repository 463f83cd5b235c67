//! What a process gives up for good before it works for somebody whom it does not trust.
//!
//! Capabilities are given up by [`crate::capability::keep_only`], system calls by a filter
//! (seccomp(2)) which is its owner's to choose.

use std::os::fd::RawFd;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

use crate::error::{Context, DeviceError};
use crate::syscall;

/// Closes every descriptor from this number on: what was inherited by mistake.
///
/// Call it first of all, while the process owns none itself.
///
/// # Errors
///
/// Where the kernel is older than 5.9.
pub fn close_inherited(from: RawFd) -> Result<(), DeviceError> {
    syscall::close_from(from).on("close_range", from)
}

/// Makes the process one that gains nothing by executing a program, that no other process of its
/// user may trace or read, that writes no file and starts no process.
///
/// # Errors
///
/// What the system says.
pub fn seal() -> Result<(), DeviceError> {
    prctl::set_no_new_privs().on("prctl PR_SET_NO_NEW_PRIVS", "process")?;
    prctl::set_dumpable(false).on("prctl PR_SET_DUMPABLE", "process")?;
    for limit in [Resource::RLIMIT_CORE, Resource::RLIMIT_FSIZE, Resource::RLIMIT_NPROC] {
        setrlimit(limit, 0, 0).on("setrlimit", format!("{limit:?}"))?;
    }
    Ok(())
}
