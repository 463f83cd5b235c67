//! The outside port of a new mapping.

use alloc::vec;
use alloc::vec::Vec;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

/// Lowest port that a box hands out by itself (a kept port may be any).
const FIRST_PORT: u16 = 1024;
/// How many ports a box can hand out by itself.
const PORT_COUNT: u32 = 65_536 - FIRST_PORT as u32;

/// How the outside port of a new mapping is chosen. May grow.
///
/// A box chooses a port by itself among those of the inside port's kind: 1 to 511, 600 to 1023, or
/// 1024 to 65535 (as Linux does; RFC 4787 §4.2.1 asks for the well-known ones to stay among
/// themselves). Where the chosen one is taken, the next free one above it follows, round from the
/// end of the range to its start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PortAllocation {
    /// The inside port if it is free, else a random one.
    Preserve,
    /// The inside port if it is free, else the next free one above it.
    PreserveElseNext,
    /// The port of the last mapping plus this step, whoever had that; the first is random.
    Sequential {
        /// The step, in ports.
        step: u16,
    },
    /// A random port.
    Random,
    /// A random port of a block which the inside address keeps as long as it has mappings. The
    /// block is a random one that no other inside address has, as long as there are such.
    RandomInBlock {
        /// Ports of a block; 0 counts as 1.
        size: u16,
    },
    /// The inside port if it lies in the block of the inside address and is free, else a random
    /// one of that block.
    Block {
        /// Ports of a block; 0 counts as 1.
        size: u16,
    },
}

/// Whether two mappings may share one outside port (RFC 4787 §4.2.2 calls it port overloading).
/// May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PortOverloading {
    /// Each outside port belongs to one mapping.
    Off,
    /// Mappings whose remote scopes differ may share a port; without effect on
    /// endpoint-independent mappings, which have no remote scope.
    ByRemote,
}

impl PortAllocation {
    /// Chooses a port, or none if all are taken. `next_free` gives the first free port of
    /// [`search_order`] from a given one on.
    pub(crate) fn choose(
        self,
        inside_port: u16,
        generator: &mut ChaCha20Rng,
        next_free: impl FnOnce(u16) -> Option<u16>,
    ) -> Option<u16> {
        match self {
            Self::Preserve | Self::PreserveElseNext | Self::Block { .. } => next_free(inside_port),
            Self::Random | Self::Sequential { .. } | Self::RandomInBlock { .. } => {
                next_free(random_port(generator))
            }
        }
    }
}

/// The ports in the order in which a free one is looked for: `start`, then upwards, and round from
/// 65535 to 1024.
pub(crate) fn search_order(start: u16) -> impl Iterator<Item = u16> {
    let offset = u32::from(start.saturating_sub(FIRST_PORT));
    let others = (1..=PORT_COUNT).map(move |step| port_at((offset + step) % PORT_COUNT));
    core::iter::once(start).chain(others)
}

/// A set of ports, one bit each, so that a free one is found among thousands of taken ones at
/// once: an inside host must not be able to make the box search.
#[derive(Clone, Debug)]
pub(crate) struct PortSet {
    words: Vec<u64>,
}

impl PortSet {
    /// The empty set.
    pub(crate) fn new() -> Self {
        Self { words: vec![0; 1024] }
    }

    /// Adds a port.
    pub(crate) fn insert(&mut self, port: u16) {
        self.words[usize::from(port / 64)] |= 1 << (port % 64);
    }

    /// Takes a port out.
    pub(crate) fn remove(&mut self, port: u16) {
        self.words[usize::from(port / 64)] &= !(1 << (port % 64));
    }

    /// The first port of [`search_order`] that is not in the set.
    pub(crate) fn next_free(&self, start: u16) -> Option<u16> {
        let is_free = self.words[usize::from(start / 64)] & 1 << (start % 64) == 0;
        if is_free {
            return Some(start);
        }
        let above = start.max(FIRST_PORT);
        self.first_gap(above, u16::MAX).or_else(|| self.first_gap(FIRST_PORT, above))
    }

    /// The lowest port from `first` to `last` that is not in the set.
    fn first_gap(&self, first: u16, last: u16) -> Option<u16> {
        (first / 64..=last / 64).find_map(|index| {
            let below_first = if index == first / 64 { (1 << (first % 64)) - 1 } else { 0 };
            let taken = self.words[usize::from(index)] | below_first;
            let port = u32::from(index) * 64 + taken.trailing_ones();
            (taken != u64::MAX && port <= u32::from(last)).then_some(port as u16)
        })
    }
}

/// Draws a port from 1024 up, each equally likely but for one part in 60,000.
fn random_port(generator: &mut ChaCha20Rng) -> u16 {
    let scaled = (u64::from(generator.next_u32()) * u64::from(PORT_COUNT)) >> 32;
    port_at(scaled as u32)
}

/// The port at an offset below [`PORT_COUNT`].
const fn port_at(offset: u32) -> u16 {
    FIRST_PORT + offset as u16
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn generator() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([1; 32])
    }

    fn taken(ports: impl IntoIterator<Item = u16>) -> PortSet {
        let mut set = PortSet::new();
        ports.into_iter().for_each(|port| set.insert(port));
        set
    }

    fn choose(allocation: PortAllocation, inside_port: u16, taken: &PortSet) -> Option<u16> {
        allocation.choose(inside_port, &mut generator(), |start| taken.next_free(start))
    }

    #[test]
    fn preserve_keeps_a_free_port_even_below_1024() {
        assert_eq!(choose(PortAllocation::Preserve, 80, &taken([])), Some(80));
        assert_eq!(choose(PortAllocation::Preserve, 80, &taken([80])), Some(1024));
    }

    #[test]
    fn preserve_takes_the_next_free_port_and_wraps_to_1024() {
        let preserve = PortAllocation::Preserve;
        assert_eq!(choose(preserve, 4000, &taken([4000, 4001])), Some(4002));
        assert_eq!(choose(preserve, 65_535, &taken([65_535, 1024])), Some(1025));
        assert_eq!(choose(preserve, 4000, &taken((4000..=65_535).chain(1024..3999))), Some(3999));
    }

    #[test]
    fn a_set_and_a_search_port_by_port_find_the_same() {
        let set = taken((1024..5000).chain(7000..7200).chain(60_000..=65_535));
        let is_taken = |port| !(5000..7000).contains(&port) && !(7200..60_000).contains(&port);
        for start in [1, 1024, 4999, 5000, 6999, 7063, 7199, 65_535] {
            let by_port = search_order(start).find(|port| *port < 1024 || !is_taken(*port));
            assert_eq!(set.next_free(start), by_port, "from {start}");
        }
    }

    #[test]
    fn nothing_is_chosen_where_every_port_is_taken() {
        assert_eq!(choose(PortAllocation::Random, 4000, &taken(1024..=65_535)), None);
        assert_eq!(choose(PortAllocation::Preserve, 4000, &taken(1024..=65_535)), None);
    }

    #[test]
    fn random_ports_come_from_1024_up_and_differ() {
        let mut random = generator();
        let mut draw = || PortAllocation::Random.choose(4000, &mut random, Some);
        let (first, second) = (draw(), draw());
        assert!(first.is_some_and(|port| port >= FIRST_PORT));
        assert_ne!(first, second);
    }
}
