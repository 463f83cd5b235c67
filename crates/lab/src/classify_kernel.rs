//! The probe's bench for a box that is a kernel: straight at its two ports, in real time.
//!
//! It needs the ports before a pump owns them. What is written into a port has been answered when
//! the write returns, so nothing is waited for, and timers are not measured.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use simopen_device::tun::Tun;
use simopen_nat::MiddleboxSpec;
use simopen_packet::{Packet, Timestamp};
use simopen_scenario::classify::bench::{Bench, Hosts, Vantage};
use simopen_scenario::star::IpVersion;

use crate::error::LabError;
use crate::kernel_router::KernelRouter;
use crate::nft::{Placement, Ruleset};

/// How many hosts are inside: few, since a kernel takes its time over each packet.
const INSIDE_HOSTS: u8 = 32;
/// Room for any packet of a port.
const ROOM: usize = 2048;

/// A kernel router, its ports, and hosts that exist as addresses only.
#[derive(Debug)]
pub struct KernelBench {
    router: KernelRouter,
    ports: [Tun; 2],
    ip: IpVersion,
    hosts: Hosts,
    started: Instant,
    arrived: VecDeque<(Vantage, Vec<u8>)>,
    /// The first thing that the system refused.
    fault: Option<LabError>,
}

impl KernelBench {
    /// Makes a router for hosts of that version of IP.
    ///
    /// # Errors
    ///
    /// As [`KernelRouter::build`].
    pub fn build(ip: IpVersion) -> Result<Self, LabError> {
        let mut router = KernelRouter::build()?;
        let ports = router.take_ports();
        Ok(Self {
            router,
            ports,
            ip,
            hosts: hosts(ip),
            started: Instant::now(),
            arrived: VecDeque::new(),
            fault: None,
        })
    }

    /// Makes the router the box that `spec` describes.
    ///
    /// # Errors
    ///
    /// As [`KernelRouter::load`].
    pub fn load(&mut self, spec: &MiddleboxSpec) -> Result<Ruleset, LabError> {
        let (external, network) = match self.ip {
            IpVersion::V4 => ([203, 0, 113, 1].into(), ([10, 0, 0, 0].into(), 24)),
            IpVersion::V6 => (
                [0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1].into(),
                ([0x2001, 0xdb8, 0xa, 1, 0, 0, 0, 0].into(), 64),
            ),
        };
        self.router.load(spec, &Placement { external, inside: &[network] })
    }

    /// The first thing that the system refused since the bench was made; what was found out after
    /// that does not count.
    pub fn fault(&mut self) -> Option<LabError> {
        self.fault.take()
    }

    fn collect(&mut self) {
        let mut buffer = [0; ROOM];
        for (port, is_inside) in self.ports.iter().zip([true, false]) {
            while let Ok(length) = port.read(&mut buffer) {
                let packet = &buffer[..length];
                let Ok(parsed) = Packet::parse(packet) else { continue };
                // The kernel also says things of its own accord, to nobody here.
                let Some(at) = self.hosts.vantage(parsed.ip.destination) else { continue };
                if matches!(at, Vantage::Inside(_)) == is_inside {
                    self.arrived.push_back((at, packet.to_vec()));
                }
            }
        }
    }
}

impl Bench for KernelBench {
    fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    fn restart(&mut self) {
        self.collect();
        self.arrived.clear();
        if let Err(error) = self.router.forget_connections() {
            self.fault.get_or_insert(error);
        }
    }

    fn send(&mut self, from: Vantage, packet: &[u8]) {
        let [inside, outside] = &self.ports;
        let port = match from {
            Vantage::Inside(_) => inside,
            Vantage::Outside(_) => outside,
        };
        if let Err(source) = port.write(packet) {
            self.fault.get_or_insert(LabError::System { what: "a write into a port", source });
        }
        self.collect();
    }

    fn receive(&mut self) -> Option<(Vantage, Vec<u8>)> {
        self.arrived.pop_front()
    }

    fn now(&self) -> Timestamp {
        let elapsed = self.started.elapsed().as_nanos();
        Timestamp::from_nanos(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn wait(&mut self, _time: Duration) -> bool {
        false
    }
}

/// Addresses that are set aside for documentation (RFC 5737, RFC 3849).
fn hosts(ip: IpVersion) -> Hosts {
    let nth = 2..2 + INSIDE_HOSTS;
    match ip {
        IpVersion::V4 => Hosts {
            inside: nth.map(|host| [10, 0, 0, host].into()).collect(),
            outside: vec![[192, 0, 2, 2].into(), [198, 51, 100, 2].into()],
        },
        IpVersion::V6 => Hosts {
            inside: nth
                .map(|host| [0x2001, 0xdb8, 0xa, 1, 0, 0, 0, u16::from(host)].into())
                .collect(),
            outside: vec![
                [0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 2].into(),
                [0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 2].into(),
            ],
        },
    }
}
