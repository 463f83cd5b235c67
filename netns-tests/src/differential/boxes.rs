//! The two boxes that are compared.

use std::net::IpAddr;
use std::time::Duration;

use simopen_device::tun::Tun;
use simopen_lab::LabError;
use simopen_lab::kernel_router::KernelRouter;
use simopen_lab::nft::{Placement, Ruleset};
use simopen_nat::{MAX_ANSWER_LEN, Middlebox, MiddleboxSpec, Side, Verdict};
use simopen_packet::{Entropy, Timestamp};

use super::observation::Observation;
use super::place::Place;

/// Takes packets and lets packets out.
pub trait PacketBox {
    /// Takes one packet and gives all that leaves the box because of it.
    fn pass(&mut self, from: Side, packet: Vec<u8>) -> Vec<Observation>;
}

/// The machine.
pub struct MachineBox(Middlebox);

impl MachineBox {
    /// A machine with empty tables.
    #[must_use]
    pub fn new(spec: MiddleboxSpec, place: &Place, entropy: [u8; 32]) -> Self {
        Self(Middlebox::new(spec, place.external(), Entropy::new(entropy), Timestamp::ZERO))
    }
}

impl MachineBox {
    /// Gives what leaves the machine of itself within some time.
    pub fn wait(&mut self, time: Duration) -> Vec<Observation> {
        self.0.handle_timeout(Timestamp::ZERO + time);
        self.answers()
    }

    fn answers(&mut self) -> Vec<Observation> {
        let mut buffer = [0; MAX_ANSWER_LEN];
        let mut left = Vec::new();
        while let Some((side, length)) = self.0.poll_transmit(&mut buffer) {
            left.extend(Observation::of(side, &buffer[..length]));
        }
        left
    }
}

impl PacketBox for MachineBox {
    fn pass(&mut self, from: Side, mut packet: Vec<u8>) -> Vec<Observation> {
        let other = match from {
            Side::Inside => Side::Outside,
            Side::Outside => Side::Inside,
        };
        let mut left = Vec::new();
        match self.0.handle_packet(from, &mut packet, Timestamp::ZERO) {
            Verdict::Forward | Verdict::Untranslated => {
                left.extend(Observation::of(other, &packet));
            }
            Verdict::Hairpin => left.extend(Observation::of(from, &packet)),
            Verdict::Drop(_) => {}
        }
        left.extend(self.answers());
        left
    }
}

/// The kernel.
pub struct KernelBox {
    router: KernelRouter,
    ports: [Tun; 2],
    ruleset: Ruleset,
}

impl KernelBox {
    /// A kernel that is the box of a specification.
    ///
    /// # Errors
    ///
    /// Where the router cannot be made or cannot be that box.
    pub fn new(spec: &MiddleboxSpec, external: IpAddr) -> Result<Self, LabError> {
        let mut router = KernelRouter::build()?;
        let ports = router.take_ports();
        let inside = [Place::inside_network(external)];
        let ruleset = router.load(spec, &Placement { external, inside: &inside })?;
        Ok(Self { router, ports, ruleset })
    }

    /// The rules that make it that box.
    #[must_use]
    pub const fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// Forgets all connections.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses.
    pub fn forget_connections(&self) -> Result<(), LabError> {
        self.router.forget_connections()
    }

    fn port(&self, side: Side) -> &Tun {
        match side {
            Side::Inside => &self.ports[0],
            Side::Outside => &self.ports[1],
        }
    }

    fn read(&self, side: Side, left: &mut Vec<Observation>) {
        let mut buffer = [0; 2048];
        while let Ok(length) = self.port(side).read(&mut buffer) {
            left.extend(Observation::of(side, &buffer[..length]));
        }
    }
}

impl PacketBox for KernelBox {
    fn pass(&mut self, from: Side, packet: Vec<u8>) -> Vec<Observation> {
        self.port(from).write(&packet).expect("the router takes packets");
        let mut left = Vec::new();
        self.read(Side::Inside, &mut left);
        self.read(Side::Outside, &mut left);
        left
    }
}
