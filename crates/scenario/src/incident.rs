//! What happens to a network in the middle of an attempt.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use simopen_fabric::LinkId;

use crate::file::{Attached, Attempt, Change, Direction, Scenario};
use crate::network::NoSuchHost;

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

/// What happens during an attempt, in the order of time, from the events of its file. `links` are
/// those of the scenario's network; the chance of boxes that are replaced follows from `seed`.
///
/// # Errors
///
/// [`NoSuchHost`] where the links are another network's.
pub fn of(
    scenario: &Scenario,
    attempt: &Attempt,
    links: &BTreeMap<String, LinkId>,
    seed: u64,
) -> Result<Vec<Incident>, NoSuchHost> {
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
                let link = links.get(name).ok_or_else(|| NoSuchHost(name.clone()))?;
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
