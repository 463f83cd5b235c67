//! What happens to the network in the middle of an attempt.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::pending;
use std::net::IpAddr;
use std::time::Duration;

use simopen_device::DeviceError;
use simopen_device::interface::Interface;
use simopen_fabric::LinkId;
use simopen_nat::Middlebox;
use simopen_packet::Timestamp;
use simopen_scenario::network::{Place, PlacedBox};
use simopen_scenario::seed::entropy_of;
use tokio::time::sleep_until;

use crate::error::LabError;
use crate::host::PORT;
use crate::topology::Topology;

/// Something happens in the middle of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// How long after the request.
    pub at: Duration,
    /// What.
    pub change: NetworkChange,
    /// The same for a timeline.
    pub words: String,
}

/// What changes. Complete: it will not grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkChange {
    /// The box of that name is replaced by one that knows nothing of any connection.
    Box {
        /// Its name.
        name: String,
        /// The address that it has outside from now on.
        external: IpAddr,
        /// What the chance of the new one follows from.
        seed: u64,
    },
    /// The host of that name has these addresses from now on.
    HostAddresses {
        /// Its name.
        name: String,
        /// With the length of their prefixes.
        addresses: Vec<(IpAddr, u8)>,
    },
    /// That link goes down, or comes up.
    Link {
        /// Which.
        link: LinkId,
        /// Whether it comes up.
        is_up: bool,
    },
}

/// Lets everything happen at its time, writes down when it did, and then waits for ever.
pub(super) async fn play(
    incidents: &[Incident],
    topology: &Topology,
    requested: Timestamp,
    steps: &RefCell<Vec<(Timestamp, String)>>,
) -> Result<Infallible, LabError> {
    for Incident { at, change, words } in incidents {
        sleep_until(topology.clock().instant(requested + *at).into()).await;
        change.apply(topology).await?;
        steps.borrow_mut().push((topology.clock().now(), words.clone()));
    }
    pending().await
}

impl NetworkChange {
    async fn apply(&self, topology: &Topology) -> Result<(), LabError> {
        match self {
            Self::Box { name, external, seed } => {
                let placed = topology.layout().boxes.iter().find(|placed| placed.name == *name);
                let unknown = || LabError::NoSuchHost(name.clone());
                let PlacedBox { spec, place, .. } = *placed.ok_or_else(unknown)?;
                let Place::Machine(node) = place else {
                    return Err(LabError::NotForKernels(name.clone()));
                };
                let (external, seed) = (*external, *seed);
                topology.alter(move |fabric, now| {
                    let machine = Middlebox::new(spec, external, entropy_of(seed), now);
                    fabric.replace_middlebox(node, machine, now);
                })
            }
            Self::HostAddresses { name, addresses } => {
                let host = topology.host(name).ok_or_else(|| LabError::NoSuchHost(name.clone()))?;
                let addresses = addresses.clone();
                Ok(host.spawn(move || async move { readdress(&addresses) })?.join().await??)
            }
            Self::Link { link, is_up } => {
                let (link, is_up) = (*link, *is_up);
                topology.alter(move |fabric, _| fabric.set_link_up(link, is_up))
            }
        }
    }
}

/// Gives the port of the calling thread's host these addresses. The interface stays up: sockets
/// that are bound to an address that goes find out only when they send.
fn readdress(addresses: &[(IpAddr, u8)]) -> Result<(), DeviceError> {
    let interface = Interface::find(PORT)?;
    interface.flush_addresses()?;
    for (address, prefix) in addresses {
        interface.add_address(*address, *prefix)?;
    }
    if addresses.iter().any(|(address, _)| address.is_ipv4()) {
        interface.add_default_route_v4()?;
    }
    if addresses.iter().any(|(address, _)| address.is_ipv6()) {
        interface.add_default_route_v6()?;
    }
    Ok(())
}
