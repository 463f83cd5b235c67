//! A bare middlebox between its hosts, in virtual time.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use simopen_nat::{MAX_ANSWER_LEN, Middlebox, MiddleboxSpec, Side, Verdict};
use simopen_packet::{Entropy, Packet, Timestamp};

use super::bench::{Bench, Hosts, Vantage};
use crate::star::IpVersion;

/// How many hosts are inside: as many as make it likely that each outside address of a pool has
/// its share of them.
const INSIDE_HOSTS: u8 = 64;

/// A bare middlebox between its hosts, in virtual time.
#[derive(Clone)]
pub struct MiddleboxBench {
    fresh: Middlebox,
    machine: Middlebox,
    hosts: Hosts,
    now: Timestamp,
    arrived: VecDeque<(Vantage, Vec<u8>)>,
}

impl MiddleboxBench {
    /// A bench for a box of that specification, whose chance follows from `entropy`.
    #[must_use]
    pub fn new(spec: MiddleboxSpec, ip: IpVersion, entropy: Entropy) -> Self {
        // Networks that are set aside for documentation (RFC 5737, RFC 3849).
        let (external, inside, outside): (IpAddr, fn(u8) -> IpAddr, [IpAddr; 2]) = match ip {
            IpVersion::V4 => (
                [203, 0, 113, 1].into(),
                |host| [10, 0, 0, host].into(),
                [[192, 0, 2, 2].into(), [198, 51, 100, 2].into()],
            ),
            IpVersion::V6 => (
                [0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1].into(),
                |host| [0x2001, 0xdb8, 0xa, 1, 0, 0, 0, u16::from(host)].into(),
                [
                    [0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 2].into(),
                    [0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 2].into(),
                ],
            ),
        };
        let hosts = Hosts {
            inside: (2..2 + INSIDE_HOSTS).map(inside).collect(),
            outside: outside.to_vec(),
        };
        let fresh = Middlebox::new(spec, external, entropy, Timestamp::ZERO);
        let machine = fresh.clone();
        Self { fresh, machine, hosts, now: Timestamp::ZERO, arrived: VecDeque::new() }
    }

    fn deliver(&mut self, side: Side, packet: &[u8]) {
        let Ok(parsed) = Packet::parse(packet) else { return };
        let Some(place) = self.hosts.vantage(parsed.ip.destination) else { return };
        let is_there = match place {
            Vantage::Inside(_) => side == Side::Inside,
            Vantage::Outside(_) => side == Side::Outside,
        };
        if is_there {
            self.arrived.push_back((place, packet.to_vec()));
        }
    }

    fn deliver_own(&mut self) {
        let mut buffer = [0; MAX_ANSWER_LEN];
        while let Some((side, length)) = self.machine.poll_transmit(&mut buffer) {
            self.deliver(side, &buffer[..length]);
        }
        while self.machine.poll_journal().is_some() {}
    }
}

impl Bench for MiddleboxBench {
    fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    fn restart(&mut self) {
        self.machine = self.fresh.clone();
        self.now = Timestamp::ZERO;
        self.arrived.clear();
    }

    fn send(&mut self, from: Vantage, packet: &[u8]) {
        let side = match from {
            Vantage::Inside(_) => Side::Inside,
            Vantage::Outside(_) => Side::Outside,
        };
        let mut packet = packet.to_vec();
        match self.machine.handle_packet(side, &mut packet, self.now) {
            Verdict::Forward | Verdict::Untranslated => self.deliver(side.other(), &packet),
            Verdict::Hairpin => self.deliver(side, &packet),
            Verdict::Drop(_) => {}
        }
        self.deliver_own();
    }

    fn receive(&mut self) -> Option<(Vantage, Vec<u8>)> {
        self.arrived.pop_front()
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn wait(&mut self, time: Duration) -> bool {
        let end = self.now + time;
        while let Some((due, _)) = self.machine.poll_timeout().filter(|(due, _)| *due <= end) {
            self.machine.handle_timeout(due);
            self.deliver_own();
        }
        self.now = end;
        true
    }
}
