//! What this process may do, found by trying, and what to do about what it may not.

use std::fmt;

use crate::capture::PacketSocketCapture;
use crate::error::{Context, DeviceError};
use crate::filter::{Scope, Selection};
use crate::handover;
use crate::namespace::{Namespace, NamespaceThread};
use crate::raw::RawSender;
use crate::syscall;
use crate::tun::{Tun, TunConfig};

/// Something that the kernel must grant. May grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Capability {
    /// Network namespaces of its own.
    NetworkNamespace,
    /// A TUN device.
    TunDevice,
    /// A packet socket, which sees the kernel's own SYN.
    PacketSocket,
    /// A raw IP socket, which sends whole packets.
    RawSocket,
    /// TCP_REPAIR, which installs a connection that was opened outside the kernel.
    TcpRepair,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkNamespace => "network namespaces",
            Self::TunDevice => "TUN device",
            Self::PacketSocket => "packet socket",
            Self::RawSocket => "raw IP socket",
            Self::TcpRepair => "TCP_REPAIR",
        })
    }
}

/// A capability and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What was tried.
    pub capability: Capability,
    /// `Ok`, or why not.
    pub state: Result<(), Missing>,
}

/// Why a capability is not there, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The system call that was refused, on what, and with which error.
    pub reason: String,
    /// What to do about it, in words.
    pub remedy: String,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            Ok(()) => write!(f, "{}: present", self.capability),
            Err(missing) => {
                write!(f, "{}: missing ({}): {}", self.capability, missing.reason, missing.remedy)
            }
        }
    }
}

/// What this process may do in network namespaces that it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities(Vec<Requirement>);

impl Capabilities {
    /// Tries everything once in a namespace that is thrown away.
    #[must_use]
    pub fn probe() -> Self {
        let inside = Namespace::spawn("probe", || {
            INSIDE.map(|(capability, attempt)| requirement(capability, attempt()))
        });
        let outcome = inside.and_then(NamespaceThread::join);
        match outcome {
            Ok(found) => {
                let namespaces = requirement(Capability::NetworkNamespace, Ok(()));
                Self([namespaces].into_iter().chain(found).collect())
            }
            // Without a namespace of its own the process is judged where it stands; nothing
            // that is tried there changes anything but the TUN device, which goes at once.
            Err(error) => {
                let namespaces = requirement(Capability::NetworkNamespace, Err(error));
                let here = INSIDE.map(|(capability, attempt)| requirement(capability, attempt()));
                Self([namespaces].into_iter().chain(here).collect())
            }
        }
    }

    /// Returns all that was tried, in a fixed order.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// Returns those that are not there.
    pub fn missing(&self) -> impl Iterator<Item = &Requirement> {
        self.0.iter().filter(|requirement| requirement.state.is_err())
    }

    /// Says whether the process has this one.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        let mut granted = self.0.iter().filter(|requirement| requirement.state.is_ok());
        granted.any(|requirement| requirement.capability == capability)
    }
}

/// A capability of the kernel, for [`keep_only`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// CAP_NET_ADMIN: TCP_REPAIR, TUN devices, addresses and routes.
    NetAdmin,
    /// CAP_NET_RAW: packet sockets and raw IP sockets.
    NetRaw,
}

/// Takes all capabilities but these from the calling thread, for good: an experiment shows what a
/// program needs by doing without the rest.
///
/// # Errors
///
/// Fails where the kernel refuses, as it does for a capability that the thread does not have.
pub fn keep_only(privileges: &[Privilege]) -> Result<(), DeviceError> {
    let number = |privilege: &Privilege| match privilege {
        Privilege::NetAdmin => 12,
        Privilege::NetRaw => 13,
    };
    let kept = privileges.iter().fold(0_u64, |kept, privilege| kept | 1 << number(privilege));
    syscall::set_capabilities(kept).on("capset", "thread")
}

type Attempt = fn() -> Result<(), DeviceError>;

/// What is tried inside the namespace.
const INSIDE: [(Capability, Attempt); 4] = [
    (Capability::TunDevice, || Tun::open(&TunConfig::named("probe%d")).map(drop)),
    (Capability::PacketSocket, || {
        let selection = Selection { local_port: 1, remote: None, scope: Scope::OwnSyns };
        PacketSocketCapture::open(&selection, None).map(drop)
    }),
    (Capability::RawSocket, || RawSender::new_v4().map(drop)),
    (Capability::TcpRepair, handover::probe),
];

fn requirement(capability: Capability, outcome: Result<(), DeviceError>) -> Requirement {
    let state = outcome.map_err(|error| match error {
        DeviceError::System { call, object, advice, source } => Missing {
            reason: format!("{call} on {object}: {source}"),
            remedy: if advice.0.is_empty() { RUN_AS_ROOT } else { advice.0 }.to_owned(),
        },
        DeviceError::Panicked { .. }
        | DeviceError::FamilyMismatch { .. }
        | DeviceError::Unintelligible { .. } => {
            Missing { reason: error.to_string(), remedy: RUN_AS_ROOT.to_owned() }
        }
    });
    Requirement { capability, state }
}

const RUN_AS_ROOT: &str = "run as root";
