//! The standard star on real kernels: hosts `a` and `b`, each behind a box or not, and the broker
//! `c`, one leg apart from each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use simopen_device::capability::Privilege;
use simopen_device::clock::Clock;
use simopen_fabric::{Arm, Fabric, LinkSpec, RouterSpec, SourceValidation, Star};
use simopen_nat::{Middlebox, MiddleboxSpec, Role};
use simopen_packet::{Entropy, Timestamp};

use crate::error::LabError;
use crate::host::{Host, HostSpec};
use crate::pump::{Load, Pump, PumpPort};

/// The largest packet on all links, in bytes.
const MTU: u32 = 1500;

/// Bits per second of each link to the core: what a host sends at once goes one packet after the
/// other. Without a rate a burst would be due in one instant, and since no thread delivers it in
/// one, its end would be late by the time that the rest of it takes. Two transfers beside each
/// other, both ways at this rate, leave two processors idle for most of the time; at 1 Gbit/s they
/// do not, and packets queue before the thread. A SYN takes two microseconds.
const RATE: u64 = 250_000_000;

/// Bytes that may wait before such a link: more than any connection here has under way.
const QUEUE: usize = 16 << 20;

/// Which version of IP a topology speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpVersion {
    /// IPv4.
    #[default]
    V4,
    /// IPv6; boxes are firewalls then.
    V6,
}

/// What a topology is.
#[derive(Clone)]
pub struct TopologySpec {
    /// The boxes before `a` and `b`.
    pub boxes: [Option<MiddleboxSpec>; 2],
    /// Half a leg for each of `a`, `b` and `c`: the delay of its link to the core.
    pub half_legs: [Duration; 3],
    /// Whether the core checks source addresses, as the broker's network may.
    pub source_validation: SourceValidation,
    /// Which version of IP.
    pub ip: IpVersion,
    /// What all chance in the fabric follows from.
    pub entropy: Entropy,
    /// The capabilities that `a` and `b` have; `None` leaves all.
    pub privileges: Option<Vec<Privilege>>,
    /// Where to write a capture of each port.
    pub captures: Option<PathBuf>,
}

impl TopologySpec {
    /// The star without boxes whose legs all take that long.
    #[must_use]
    pub fn star(leg: Duration) -> Self {
        Self {
            boxes: [None, None],
            half_legs: [leg / 2; 3],
            source_validation: SourceValidation::Off,
            ip: IpVersion::V4,
            entropy: Entropy::new([0; 32]),
            privileges: None,
            captures: None,
        }
    }
}

/// The addresses of a star. Behind a NAT a host has a private one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Of the hosts `a`, `b` and `c`.
    pub(crate) hosts: [IpAddr; 3],
    /// Of the boxes' outsides.
    pub(crate) boxes: [IpAddr; 2],
    pub(crate) core: IpAddr,
}

impl Addresses {
    fn of(spec: &TopologySpec) -> Self {
        let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        // Networks that are set aside for documentation (RFC 5737, RFC 3849).
        let v6 = |net, host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, host));
        match spec.ip {
            IpVersion::V4 => {
                let behind_nat = |place: usize| {
                    spec.boxes[place].as_ref().is_some_and(|spec| spec.role == Role::Nat)
                };
                Self {
                    hosts: [
                        if behind_nat(0) { v4(10, 0, 1, 2) } else { v4(198, 51, 100, 2) },
                        if behind_nat(1) { v4(10, 0, 2, 2) } else { v4(203, 0, 113, 2) },
                        v4(192, 0, 2, 2),
                    ],
                    boxes: [v4(198, 51, 100, 1), v4(203, 0, 113, 1)],
                    core: v4(192, 0, 2, 1),
                }
            }
            IpVersion::V6 => Self {
                hosts: [v6(0xa, 2), v6(0xb, 2), v6(0xc, 2)],
                boxes: [v6(0xa, 1), v6(0xb, 1)],
                core: v6(0xc, 1),
            },
        }
    }

    const fn prefix_len(address: IpAddr) -> u8 {
        match address {
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => 64,
        }
    }
}

/// The names of the hosts, in the order of all arrays of three.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

/// A running star.
pub struct Topology {
    pub(crate) hosts: [Host; 3],
    pub(crate) pump: Pump,
    pub(crate) ports: [simopen_fabric::PortId; 3],
    pub(crate) addresses: Addresses,
    pub(crate) clock: Clock,
    /// How long the building took.
    pub built_in: Duration,
}

impl Topology {
    /// Builds hosts, ports and fabric, and starts the pump.
    ///
    /// # Errors
    ///
    /// [`LabError::Device`] where the machine lacks a privilege or a device.
    pub fn build(spec: &TopologySpec, clock: Clock) -> Result<Self, LabError> {
        let started = Instant::now();
        let addresses = Addresses::of(spec);
        let building = [0, 1, 2].map(|place| {
            let address = addresses.hosts[place];
            Host::build(HostSpec {
                name: NAMES[place],
                addresses: vec![(address, Addresses::prefix_len(address))],
                mtu: MTU,
                privileges: if place < 2 { spec.privileges.clone() } else { None },
            })
        });
        let star = plan(spec, &addresses, clock.now())?;
        let fabric = Fabric::new(star.graph, spec.entropy.clone(), clock.now());
        let mut ports = Vec::with_capacity(3);
        let mut finish = |place: usize, building: Result<_, LabError>| {
            let building: crate::host::Building = building?;
            let (host, tun) = building.finish()?;
            ports.push(PumpPort { id: star.ports[place], tun });
            Ok::<Host, LabError>(host)
        };
        let [a, b, c] = building;
        let hosts = [finish(0, a)?, finish(1, b)?, finish(2, c)?];
        let pump = Pump::start(fabric, ports, clock, spec.captures.as_deref(), Load::Sparse)?;
        Ok(Self { hosts, pump, ports: star.ports, addresses, clock, built_in: started.elapsed() })
    }

    /// Runs a job on the host at that place (`a`, `b`, `c`), in its namespace, and waits for what
    /// it gives.
    ///
    /// # Errors
    ///
    /// [`LabError::ThreadEnded`] where it panicked.
    ///
    /// # Panics
    ///
    /// On a thread that runs an asynchronous runtime.
    pub fn run_on<T: Send + 'static>(
        &self,
        place: usize,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LabError> {
        let host = self.hosts.get(place).ok_or(LabError::ThreadEnded("no such host"))?;
        host.spawn(move || async move { job() })?.wait()
    }
}

fn plan(spec: &TopologySpec, addresses: &Addresses, now: Timestamp) -> Result<Star<3>, LabError> {
    let arm = |place: usize| {
        let delay = LinkSpec::with_delay(spec.half_legs[place]);
        let link = LinkSpec { rate: Some(RATE), queue: QUEUE, ..delay };
        let host = addresses.hosts[place];
        let Some(middlebox) = spec.boxes.get(place).copied().flatten() else {
            return Arm::new(NAMES[place], &[host], spec.half_legs[place]).with_links(link, link);
        };
        let outside = addresses.boxes[place];
        let routed = match middlebox.role {
            Role::Nat => vec![outside],
            Role::Firewall | Role::Transparent | _ => vec![host, outside],
        };
        let machine = Middlebox::new(middlebox, outside, derived(&spec.entropy, place), now);
        let arm = Arm::new(NAMES[place], &routed, spec.half_legs[place]);
        arm.behind(machine).with_links(link, link)
    };
    let core =
        RouterSpec {
            addresses: vec![addresses.core],
            source_validation: spec.source_validation,
            ..RouterSpec::default()
        };
    Ok(Star::new(core, [arm(0), arm(1), arm(2)])?)
}

/// Each box gets a stream of its own.
fn derived(entropy: &Entropy, place: usize) -> Entropy {
    let mut bytes = entropy.clone().into_bytes();
    bytes[0] ^= 1 + u8::try_from(place).unwrap_or(u8::MAX - 1);
    Entropy::new(bytes)
}
