//! What keeps an experiment from being made.

use std::io;
use std::path::PathBuf;

use simopen_device::DeviceError;
use simopen_fabric::GraphError;
use simopen_peer::LoginError;
use simopen_scenario::network::NoSuchHost;
use simopen_server::ServerError;
use thiserror::Error;

use crate::nft::NotExpressible;

/// What keeps an experiment from being made. A technique that fails is no error: it is a result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabError {
    /// The kernel refused something.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The plan of the network cannot be built.
    #[error("the network cannot be built: {0}")]
    Graph(#[from] GraphError),
    /// The broker did not start.
    #[error("the broker did not start: {0}")]
    Broker(#[from] ServerError),
    /// A peer did not log in.
    #[error("a peer did not log in: {0}")]
    Login(#[from] LoginError),
    /// A host's thread or the fabric's thread has ended.
    #[error("the thread of {0} has ended before its work was done")]
    ThreadEnded(String),
    /// An experiment names a host that the network does not have.
    #[error("the network has no host {0:?}, or none with an address")]
    NoSuchHost(String),
    /// A way names a program that the experiment was not given.
    #[error("there is no program {0:?} in this experiment")]
    NoSuchProgram(String),
    /// A foreign program is not installed.
    #[error("the program {0} is missing: run scripts/install-test-programs, or install it")]
    MissingProgram(&'static str),
    /// A foreign program ended before its work was done.
    #[error("{program} ended at once, {how}: {words}")]
    ProgramEnded {
        /// Which.
        program: String,
        /// How.
        how: String,
        /// The last lines that it wrote.
        words: String,
    },
    /// A box that is a kernel was to be replaced while it is used.
    #[error("{0} is a kernel, and only boxes that are machines can be replaced in mid-run")]
    NotForKernels(String),
    /// A topology was to be used for a network that has other hosts.
    #[error("the topology that stands has other hosts or kernel routers than the network needs")]
    OtherHosts,
    /// The system gives no thread, runtime or random bytes.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A capture file cannot be written.
    #[error("the capture file {} cannot be written: {source}", path.display())]
    CaptureFile {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A kernel router cannot be the box that was asked for.
    #[error(transparent)]
    NotExpressible(#[from] NotExpressible),
    /// The rules of a kernel router could not be put in place.
    #[error("the rules of a kernel router: {0}")]
    Nft(String),
    /// It took longer than any honest run can take.
    #[error("{0} did not come about in time")]
    TimedOut(&'static str),
    /// The user broke it off.
    #[error("broken off")]
    Cancelled,
}

impl From<NoSuchHost> for LabError {
    fn from(NoSuchHost(name): NoSuchHost) -> Self {
        Self::NoSuchHost(name)
    }
}
