//! From the events of a file to what the lab does to its network.

use std::net::IpAddr;

use simopen_scenario::file::{Attached, Attempt, Change, Direction, Scenario};

use crate::attempt::{Incident, NetworkChange};
use crate::error::LabError;
use crate::scenario_run::network;
use crate::topology::Topology;
use simopen_scenario::network::Executor;

/// What happens during an attempt, in the order of time.
pub(super) fn of(
    scenario: &Scenario,
    attempt: &Attempt,
    topology: &Topology,
    seed: u64,
) -> Result<Vec<Incident>, LabError> {
    // Links have the same numbers whoever turns the boxes.
    let links = network(scenario, Executor::Model, seed, topology.clock().now())?.links;
    let plan = &scenario.plan;
    let mut externals: Vec<IpAddr> = plan.boxes.iter().map(|placed| placed.address).collect();
    let mut addresses: Vec<_> = plan.hosts.iter().map(|host| host.addresses.clone()).collect();
    let mut incidents = Vec::new();
    for (number, event) in scenario.events_of(attempt).enumerate() {
        let fresh = |name: &str, external| NetworkChange::Box {
            name: name.to_owned(),
            external,
            seed: seed.wrapping_add(1 + number as u64),
        };
        let (change, words) = match event.what {
            Change::Reboot(number) => {
                let name = &plan.boxes[number].name;
                (fresh(name, externals[number]), format!("reboots {name}: its tables are lost"))
            }
            Change::BoxAddress(number, address) => {
                externals[number] = address;
                let name = &plan.boxes[number].name;
                (fresh(name, address), format!("gives {name} the address {address}"))
            }
            Change::HostAddress(number, address) => {
                let own = &mut addresses[number];
                let same = |(known, _): &&mut (IpAddr, u8)| known.is_ipv4() == address.is_ipv4();
                if let Some(known) = own.iter_mut().find(same) {
                    known.0 = address;
                }
                let name = plan.hosts[number].name.clone();
                let words = format!("gives {name} the address {address}");
                (NetworkChange::HostAddresses { name, addresses: own.clone() }, words)
            }
            Change::Link(attached, direction) => {
                let name = match attached {
                    Attached::Host(number) => &plan.hosts[number].name,
                    Attached::Box(number) => &plan.boxes[number].name,
                };
                let link = links.get(name).ok_or_else(|| LabError::NoSuchHost(name.clone()))?;
                let is_up = direction == Direction::Up;
                let way = if is_up { "up" } else { "down" };
                let words = format!("takes the link of {name} {way}");
                (NetworkChange::Link { link: *link, is_up }, words)
            }
        };
        incidents.push(Incident { at: event.at, change, words });
    }
    Ok(incidents)
}
