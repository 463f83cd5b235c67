//! What a probe needs of the world: places to send packets from, places to look, and time.

use std::net::IpAddr;
use std::time::Duration;

use simopen_packet::Timestamp;

/// A place where packets are sent and looked for. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vantage {
    /// The n-th host inside.
    Inside(usize),
    /// The n-th host outside.
    Outside(usize),
}

/// The hosts of a bench.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    /// Addresses inside. Several allow to see what the box does to each by itself.
    pub inside: Vec<IpAddr>,
    /// Addresses outside, at least two, which the box cannot know beforehand.
    pub outside: Vec<IpAddr>,
}

impl Hosts {
    /// The place that has an address.
    #[must_use]
    pub fn vantage(&self, address: IpAddr) -> Option<Vantage> {
        let place = |hosts: &[IpAddr]| hosts.iter().position(|host| *host == address);
        place(&self.inside)
            .map(Vantage::Inside)
            .or_else(|| place(&self.outside).map(Vantage::Outside))
    }
}

/// A box with hosts on both of its sides, and a clock.
pub trait Bench {
    /// Who is where.
    fn hosts(&self) -> &Hosts;

    /// Lets the box forget everything, as after a loss of power.
    fn restart(&mut self);

    /// Sends one whole IP packet, and lets everything happen that comes of it without waiting.
    fn send(&mut self, from: Vantage, packet: &[u8]);

    /// The next packet that came to a host, and to which.
    fn receive(&mut self) -> Option<(Vantage, Vec<u8>)>;

    /// The time on the bench's clock.
    fn now(&self) -> Timestamp;

    /// Lets time pass. False if the bench cannot wait that long; then no time has passed.
    #[must_use]
    fn wait(&mut self, time: Duration) -> bool;
}
