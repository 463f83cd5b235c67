//! Rootless operation: a user namespace in which the caller is root.
//!
//! There every network namespace that the process makes is its own, and with it CAP_NET_ADMIN
//! and CAP_NET_RAW in it. What stays denied is the host's own network, and /dev/net/tun where
//! its mode forbids it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::error::{Context, DeviceError};

/// Moves the process into a new user namespace as its root.
///
/// # Errors
///
/// Fails where the process has a second thread (EINVAL) and where the system forbids user
/// namespaces; the error says which switch that is.
pub fn enter() -> Result<(), DeviceError> {
    let (user, group) = (geteuid(), getegid());
    await_ended_threads();
    unshare(CloneFlags::CLONE_NEWUSER).on("unshare CLONE_NEWUSER", "process")?;
    // user_namespaces(7): without this the group map is refused to the unprivileged.
    fs::write("/proc/self/setgroups", "deny").on("write", "/proc/self/setgroups")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).on("write", "/proc/self/uid_map")?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).on("write", "/proc/self/gid_map")
}

/// The kernel counts a joined thread for a moment longer than its joiner does.
fn await_ended_threads() {
    for _ in 0..100 {
        let others = fs::read_dir("/proc/self/task").map_or(0, |threads| threads.skip(1).count());
        if others == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Enters a new user namespace and starts the running program there anew with `arguments`
/// (without the program's name) and the environment variable `marker` set to `1`.
///
/// The caller looks for `marker` in its environment before it calls this, so that the second
/// start does not come here again. Returns only on failure.
///
/// # Errors
///
/// As [`enter`], and where the program cannot be executed.
pub fn reexec_in_user_namespace(
    arguments: &[OsString],
    marker: &str,
) -> Result<Infallible, DeviceError> {
    enter()?;
    let error = Command::new("/proc/self/exe").args(arguments).env(marker, "1").exec();
    Err(DeviceError::system("execve", "/proc/self/exe", error))
}
