//! The outside port of a new mapping.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

/// Lowest port that a box hands out by itself (a kept port may be any).
const FIRST_PORT: u16 = 1024;
/// How many ports a box can hand out by itself.
pub(crate) const PORT_COUNT: u32 = 65_536 - FIRST_PORT as u32;

/// How the outside port of a new mapping is chosen. May grow (sequential, blocks, parity).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PortAllocation {
    /// The inside port if it is free, else the next free one above it.
    Preserve,
    /// A random port from 1024 up; the next free one above it if it is taken.
    Random,
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
    /// Chooses a port for which `is_free` says yes, or none if all are taken.
    pub(crate) fn choose(
        self,
        inside_port: u16,
        generator: &mut ChaCha20Rng,
        is_free: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let start = match self {
            Self::Preserve => inside_port,
            Self::Random => random_port(generator),
        };
        if is_free(start) {
            return Some(start);
        }
        let offset = u32::from(start.saturating_sub(FIRST_PORT));
        (1..=PORT_COUNT)
            .map(|step| port_at((offset + step) % PORT_COUNT))
            .find(|port| is_free(*port))
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

    #[test]
    fn preserve_keeps_a_free_port_even_below_1024() {
        assert_eq!(PortAllocation::Preserve.choose(80, &mut generator(), |_| true), Some(80));
    }

    #[test]
    fn preserve_takes_the_next_free_port_and_wraps_to_1024() {
        let mut random = generator();
        let choose = PortAllocation::Preserve;
        assert_eq!(choose.choose(4000, &mut random, |port| port > 4001), Some(4002));
        assert_eq!(choose.choose(65_535, &mut random, |port| port < 2000), Some(1024));
    }

    #[test]
    fn nothing_is_chosen_where_every_port_is_taken() {
        assert_eq!(PortAllocation::Random.choose(4000, &mut generator(), |_| false), None);
    }

    #[test]
    fn random_ports_come_from_1024_up_and_differ() {
        let mut random = generator();
        let first = PortAllocation::Random.choose(4000, &mut random, |_| true);
        let second = PortAllocation::Random.choose(4000, &mut random, |_| true);
        assert!(first.is_some_and(|port| port >= FIRST_PORT));
        assert_ne!(first, second);
    }
}
