//! A network on real kernels: each host a namespace with a TUN port, each box that is a kernel a
//! namespace with two, and one thread that turns the fabric between them.
//!
//! A topology outlives the network that it was built for: [`Topology::load`] puts another one with
//! hosts of the same names in its place. Namespaces, ports and threads stay, because to make and to
//! take down namespaces occupies the kernel for milliseconds in which it lets nothing else run.
//! Nothing else stays: programs and sockets of the hosts end, their kernels choose from other
//! local ports and learn nothing of paths, kernel routers forget their connections.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use simopen_device::capability::Privilege;
use simopen_device::clock::Clock;
use simopen_device::tun::Tun;
use simopen_fabric::{Fabric, LinkSpec, PortId};
use simopen_packet::{Entropy, Timestamp};
use simopen_scenario::network::{Layout, Network, Place, PlacedBox};
use simopen_scenario::star::Star;

use crate::error::LabError;
use crate::host::{Host, HostSpec, Settings};
use crate::kernel_router::KernelRouter;
use crate::nft::Placement;
use crate::pump::{Load, Packets, Pump, Report};

/// The largest packet on all links, in bytes.
const MTU: u32 = 1500;

/// Bits per second of a link that says nothing else: what a host sends at once goes one packet
/// after the other. Without a rate a burst would be due in one instant, and since no thread
/// delivers it in one, its end would be late by the time that the rest of it takes. Two transfers
/// beside each other, both ways at this rate, leave two processors idle for most of the time; at
/// 1 Gbit/s they do not, and packets queue before the thread. A SYN takes two microseconds.
const RATE: u64 = 250_000_000;

/// Bytes that may wait before such a link: more than any connection here has under way.
const QUEUE: usize = 16 << 20;

/// A link that says nothing of how much it carries.
pub(crate) const RATED: LinkSpec =
    LinkSpec { rate: Some(RATE), queue: QUEUE, ..LinkSpec::with_delay(Duration::ZERO) };

/// The local ports that kernels choose from lie from here to 60,999, as Linux has it.
const FIRST_PORT: u16 = 32_768;
/// How many of them one run chooses from.
const PORTS: u16 = 512;
/// How many runs there are until ports come again.
const WINDOWS: u32 = 55;

/// What a topology is given beside its network.
#[derive(Debug, Clone, Default)]
pub struct TopologyOptions {
    /// The capabilities of the programs of hosts, by the host's name. A host that is not named
    /// here has all, and only such hosts can be used for a second network.
    pub privileges: BTreeMap<String, Vec<Privilege>>,
}

/// A running network.
#[derive(Debug)]
pub struct Topology {
    hosts: Vec<Host>,
    routers: Vec<KernelRouter>,
    pump: Pump,
    layout: Layout,
    clock: Clock,
    loads: u32,
    /// How long the building took.
    pub built_in: Duration,
}

impl Topology {
    /// Builds hosts, kernel routers and ports, and begins to turn the network.
    ///
    /// # Errors
    ///
    /// [`LabError::Device`] where the machine lacks a privilege or a device,
    /// [`LabError::NotExpressible`] and [`LabError::Nft`] where a kernel cannot be what a box is.
    pub fn build(
        network: Network,
        entropy: Entropy,
        packets: Packets,
        options: &TopologyOptions,
        clock: Clock,
    ) -> Result<Self, LabError> {
        let started = Instant::now();
        let building: Vec<_> = network
            .hosts
            .iter()
            .map(|host| {
                Host::build(HostSpec {
                    name: host.name.clone(),
                    settings: settings(&host.addresses, 0),
                    mtu: MTU,
                    privileges: options.privileges.get(&host.name).cloned(),
                })
            })
            .collect();
        let mut hosts = Vec::with_capacity(building.len());
        let mut ports: Vec<Tun> = Vec::with_capacity(building.len());
        for host in building {
            let (host, port) = host?.finish()?;
            hosts.push(host);
            ports.push(port);
        }
        let layout = network.layout();
        let mut routers = Vec::new();
        for _ in layout.kernels() {
            let mut router = KernelRouter::build()?;
            ports.extend(router.take_ports());
            routers.push(router);
        }
        let pump = Pump::start(ports, clock, Load::Sparse)?;
        let mut topology =
            Self { hosts, routers, pump, layout, clock, loads: 0, built_in: Duration::ZERO };
        topology.begin(network, entropy, packets)?;
        topology.built_in = started.elapsed();
        Ok(topology)
    }

    /// Whether the hosts and kernel routers are those that a network needs.
    #[must_use]
    pub fn fits(&self, network: &Network) -> bool {
        let kernels = network.boxes.iter().filter(|placed| is_kernel(placed)).count();
        kernels == self.routers.len()
            && self.hosts.iter().map(Host::name).eq(network.hosts.iter().map(|host| &*host.name))
    }

    /// Ends all that runs on the hosts and begins to turn another network.
    ///
    /// # Errors
    ///
    /// [`LabError::OtherHosts`] where the network does not [fit](Self::fits), and as
    /// [`build`](Self::build).
    pub fn load(
        &mut self,
        network: Network,
        entropy: Entropy,
        packets: Packets,
    ) -> Result<(), LabError> {
        if !self.fits(&network) {
            return Err(LabError::OtherHosts);
        }
        self.loads = self.loads.wrapping_add(1);
        // A network that is still being turned would carry what ending sockets say.
        let _ = self.pump.unload();
        let renewing: Vec<_> = self
            .hosts
            .iter()
            .zip(&network.hosts)
            .map(|(host, plan)| host.renew(settings(&plan.addresses, self.loads)))
            .collect();
        renewing.into_iter().try_for_each(|host| host?.finish())?;
        self.begin(network, entropy, packets)
    }

    fn begin(
        &mut self,
        network: Network,
        entropy: Entropy,
        packets: Packets,
    ) -> Result<(), LabError> {
        let Network { graph, hosts, boxes, .. } = network;
        self.layout = Layout { hosts, boxes };
        let mut ids: Vec<PortId> = self.layout.hosts.iter().map(|host| host.port).collect();
        for (router, (placed, ports)) in self.routers.iter().zip(self.layout.kernels()) {
            let placement = Placement { external: placed.external, inside: &placed.inside };
            router.load(&placed.spec, &placement)?;
            ids.extend(ports);
        }
        self.pump.load(Fabric::new(graph, entropy, self.clock.now()), ids, packets)
    }

    /// Ends the network and gives what is known of it. The hosts go on, cut off from each other.
    ///
    /// # Errors
    ///
    /// [`LabError::ThreadEnded`] where it has ended already.
    pub fn unload(&self) -> Result<Report, LabError> {
        self.pump.unload()
    }

    /// The host of that name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name() == name)
    }

    /// Runs a job on the host of that name, in its namespace, and waits for what it gives.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchHost`], and [`LabError::ThreadEnded`] where the job panicked.
    ///
    /// # Panics
    ///
    /// On a thread that runs an asynchronous runtime.
    pub fn run_on<T: Send + 'static>(
        &self,
        name: &str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LabError> {
        let host = self.host(name).ok_or_else(|| LabError::NoSuchHost(name.to_owned()))?;
        host.spawn(move || async move { job() })?.wait()
    }

    /// Changes the network while it is turned, and returns when that is done.
    ///
    /// # Errors
    ///
    /// [`LabError::ThreadEnded`] where there is none any more.
    pub fn alter<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Fabric, Timestamp) -> T + Send + 'static,
    ) -> Result<T, LabError> {
        self.pump.alter(change)
    }

    /// The thread and the ports.
    #[must_use]
    pub const fn pump(&self) -> &Pump {
        &self.pump
    }

    /// Where hosts and boxes are.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The clock of everything in it.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }
}

/// A star whose links carry no more than two processors deliver in time, where they say nothing
/// else.
#[must_use]
pub fn with_rates(star: &Star) -> Star {
    let links = star.links.map(|link| match link.rate {
        Some(_) => link,
        None => LinkSpec { rate: Some(RATE), queue: QUEUE, ..link },
    });
    Star { links, ..star.clone() }
}

const fn is_kernel(placed: &PlacedBox) -> bool {
    matches!(placed.place, Place::Kernel { .. })
}

fn settings(addresses: &[(IpAddr, u8)], loads: u32) -> Settings {
    let window = u16::try_from(loads % WINDOWS).unwrap_or(0);
    let first = FIRST_PORT + window * PORTS;
    let local_ports: RangeInclusive<u16> = first..=first + (PORTS - 1);
    Settings { addresses: addresses.to_vec(), local_ports }
}
