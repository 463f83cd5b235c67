//! What happens to the network in the middle of an attempt.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::pending;
use std::net::IpAddr;

use simopen_device::DeviceError;
use simopen_device::interface::Interface;
use simopen_nat::Middlebox;
use simopen_packet::Timestamp;
use simopen_scenario::incident::{Incident, NetworkChange};
use simopen_scenario::network::{Place, PlacedBox};
use simopen_scenario::seed::entropy_of;
use tokio::time::sleep_until;

use crate::error::LabError;
use crate::host::PORT;
use crate::topology::Topology;

/// Lets everything happen at its time, writes down when it did, and then waits for ever.
pub(super) async fn play(
    incidents: &[Incident],
    topology: &Topology,
    requested: Timestamp,
    steps: &RefCell<Vec<(Timestamp, String)>>,
) -> Result<Infallible, LabError> {
    for Incident { at, change, words } in incidents {
        sleep_until(topology.clock().instant(requested + *at).into()).await;
        apply(change, topology).await?;
        steps.borrow_mut().push((topology.clock().now(), words.clone()));
    }
    pending().await
}

/// Does it to a network that is being turned.
async fn apply(change: &NetworkChange, topology: &Topology) -> Result<(), LabError> {
    match change {
        NetworkChange::Box { name, external, seed } => {
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
        NetworkChange::HostAddresses { name, addresses } => {
            let host = topology.host(name).ok_or_else(|| LabError::NoSuchHost(name.clone()))?;
            let addresses = addresses.clone();
            Ok(host.spawn(move || async move { readdress(&addresses) })?.join().await??)
        }
        NetworkChange::Link { link, is_up } => {
            let (link, is_up) = (*link, *is_up);
            topology.alter(move |fabric, _| fabric.set_link_up(link, is_up))
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
