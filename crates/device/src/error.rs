//! Errors that name the system call, the object it was made on, and what to do.

use std::fmt;
use std::io;

use thiserror::Error;

/// What went wrong at the border to the kernel.
///
/// May grow: match with a wildcard arm outside this workspace.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A system call was refused.
    #[error("{call} on {object}: {source}{advice}")]
    System {
        /// The system call with its operation, as `setsockopt TCP_REPAIR`.
        call: &'static str,
        /// What it was made on, as `10.0.0.2:4000` or `tun0`.
        object: String,
        /// What to do about it; prints as nothing where nothing is known.
        advice: Advice,
        /// What the kernel said.
        source: io::Error,
    },
    /// The code that ran in a namespace thread panicked.
    #[error("namespace thread {thread} panicked: {message}")]
    Panicked {
        /// Name of the thread.
        thread: String,
        /// The panic's message, as far as it was text.
        message: String,
    },
    /// Two addresses that belong together are of different IP versions.
    #[error("{local} and {remote} are of different IP versions; give two of the same one")]
    FamilyMismatch {
        /// The own endpoint.
        local: std::net::SocketAddr,
        /// The other endpoint.
        remote: std::net::SocketAddr,
    },
    /// The kernel answered in a form that this crate does not know.
    #[error("{call} on {object}: the kernel's answer cannot be read: {what}")]
    Unintelligible {
        /// The system call with its operation.
        call: &'static str,
        /// What it was made on.
        object: String,
        /// What was expected and not found.
        what: &'static str,
    },
}

impl DeviceError {
    /// Wraps what the kernel said about `call` on `object`.
    #[must_use]
    pub fn system(call: &'static str, object: impl fmt::Display, source: io::Error) -> Self {
        let advice = Advice::on(call, &source);
        Self::System { call, object: object.to_string(), advice, source }
    }

    /// Returns the operating system's error number, if there is one.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::System { source, .. } => source.raw_os_error(),
            Self::Panicked { .. } | Self::FamilyMismatch { .. } | Self::Unintelligible { .. } => {
                None
            }
        }
    }

    /// Returns what to do about it, in words; empty where nothing is known.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::System { advice, .. } => advice.0,
            Self::Panicked { .. } | Self::FamilyMismatch { .. } | Self::Unintelligible { .. } => "",
        }
    }
}

/// What to do about a refused system call, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice(pub(crate) &'static str);

impl Advice {
    /// Finds the remedy for what the kernel said about `call`.
    pub(crate) fn on(call: &str, source: &io::Error) -> Self {
        let Some(number) = source.raw_os_error() else { return Self("") };
        let refused = number == libc::EPERM || number == libc::EACCES;
        Self(match call {
            "unshare CLONE_NEWUSER" if number == libc::EINVAL => {
                "call this before the process starts its second thread"
            }
            "unshare CLONE_NEWUSER" if refused || number == libc::ENOSPC => {
                "user namespaces are forbidden here: run as root, or allow them with `sysctl -w \
                 kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 \
                 kernel.apparmor_restrict_unprivileged_userns=0`"
            }
            "unshare CLONE_NEWNET" if refused => {
                "needs CAP_SYS_ADMIN: run as root, or inside a user namespace"
            }
            "unshare CLONE_NEWNET" if number == libc::EINVAL => {
                "this kernel lacks CONFIG_NET_NS; use one that has it"
            }
            "open TUN" if number == libc::ENOENT || number == libc::ENODEV => {
                "there is no /dev/net/tun: `modprobe tun`, in a container pass `--device \
                 /dev/net/tun`"
            }
            "open TUN" if refused => {
                "needs CAP_NET_ADMIN in the namespace and write permission on /dev/net/tun: run \
                 as root, or `chmod 0666 /dev/net/tun`"
            }
            "open TUN" if number == libc::EBUSY => {
                "a device of that name is held by someone else; choose another name"
            }
            "socket AF_PACKET" | "socket SOCK_RAW" if refused => {
                "needs CAP_NET_RAW: run as root, or `setcap cap_net_raw,cap_net_admin+ep` on the \
                 program"
            }
            "setsockopt TCP_REPAIR" if refused => {
                "needs CAP_NET_ADMIN in the user namespace that owns the network namespace: run \
                 as root, or `setcap cap_net_raw,cap_net_admin+ep` on the program"
            }
            "setsockopt TCP_REPAIR" if number == libc::ENOPROTOOPT => {
                "this kernel lacks TCP_REPAIR; use one with CONFIG_CHECKPOINT_RESTORE, or the \
                 kernel's own SYN"
            }
            "sendto SOCK_RAW" if number == libc::EPERM => SPOOF_REFUSED,
            "netlink" | "write sysctl" if refused => {
                "needs CAP_NET_ADMIN in this network namespace: run as root"
            }
            "bind" if number == libc::EADDRINUSE => {
                "every socket on that port needs SO_REUSEADDR and SO_REUSEPORT before its bind"
            }
            "listen" if number == libc::EADDRINUSE => {
                "another program listens there, or this one was told to twice: `ss -ltnp` shows \
                 which; stop it, or take another port"
            }
            "listen" if refused => {
                "ports below 1024 need CAP_NET_BIND_SERVICE: take another one, or give this \
                 program that capability"
            }
            "bind" | "listen" if number == libc::EADDRNOTAVAIL => {
                "that address is not on this host; bind to one that is"
            }
            "connect" if number == libc::EADDRNOTAVAIL => {
                "another socket holds the same pair of endpoints; close it or take another port"
            }
            _ => "",
        })
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; {}", self.0) }
    }
}

/// A raw packet that the own host's firewall stops: sendto gives EPERM, never silence.
pub(crate) const SPOOF_REFUSED: &str = "this host's own firewall (OUTPUT: `ct state invalid drop`, or a source check by fib) stops \
     the packet: exempt it by `notrack` at priority -300, or remove that rule";

/// Attaches the call and its object to an `io::Result`.
pub(crate) trait Context<T> {
    /// Names what was attempted.
    fn on(self, call: &'static str, object: impl fmt::Display) -> Result<T, DeviceError>;
}

impl<T> Context<T> for io::Result<T> {
    fn on(self, call: &'static str, object: impl fmt::Display) -> Result<T, DeviceError> {
        self.map_err(|source| DeviceError::system(call, object, source))
    }
}

impl<T> Context<T> for nix::Result<T> {
    fn on(self, call: &'static str, object: impl fmt::Display) -> Result<T, DeviceError> {
        self.map_err(|number| DeviceError::system(call, object, number.into()))
    }
}
