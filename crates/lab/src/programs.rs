//! Foreign programs on hosts.

use simopen_device::namespace::Namespace;
use simopen_device::process::ProgramSpace;

use crate::error::LabError;
use crate::host::Host;

/// Makes room for foreign programs in the host's namespace. All of them end with it.
///
/// # Errors
///
/// [`LabError::Device`] where the kernel gives no process namespace.
pub fn start_programs(host: &Host) -> Result<ProgramSpace, LabError> {
    let network = host.spawn(|| async { Namespace::current() })?.wait()??;
    Ok(ProgramSpace::start(&network)?)
}
